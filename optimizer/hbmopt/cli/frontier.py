"""The frontier of an instance, with a chart."""

from functools import partial
from pathlib import Path

import click

from hbmopt.cli.command import INFEASIBLE, SOLVED, command
from hbmopt.cli.destination import destination
from hbmopt.cli.options import (
    format_option,
    instance_argument,
    output_option,
    planned,
    plot_option,
    set_option,
    worst_option,
)
from hbmopt.cli.plot import check_plot, draw
from hbmopt.cli.progress import SHOWN_AFTER, stages
from hbmopt.cli.question import question
from hbmopt.errors import InputError


@click.command()
@instance_argument
@set_option
@worst_option
@click.option(
    "--at",
    "speeds",
    metavar="SPEEDS",
    help="Speeds of the ladder in tok/s per user, such as 20,40,60; default: round ones.",
)
@click.option(
    "--per",
    type=click.Choice(["rack", "accelerator", "mw", "usd"]),
    default="rack",
    show_default=True,
    help="Quote throughput by accelerator, MW drawn or million USD.",
)
@format_option
@output_option
@plot_option
@click.option(
    "--chart",
    type=click.Choice(["frontier", "steps", "elasticities"]),
    help="What --plot draws along the frontier; default: frontier.",
)
@command
def frontier(
    instance: Path,
    overrides: tuple[str, ...],
    worst: str | None,
    speeds: str | None,
    per: str,
    style: str | None,
    output: Path | None,
    plot: Path | None,
    chart: str | None,
) -> int:
    """Draw the exact frontier of INSTANCE: the most throughput at every speed per user.

    With what limits each stretch and what speed costs there. Speeds below the instance's own
    floor are left out. CSV lists every point.
    """
    from hbmopt.report.tables import render_frontier
    from hbmopt.studies.frontier import frontier as frontier_of
    from hbmopt.studies.frontier import normalisation, parse_speeds

    chosen = parse_speeds(speeds) if speeds is not None else None
    if chart is not None and plot is None:
        raise InputError(f"--chart {chart}: needs --plot FILE to draw to")
    check_plot(plot)
    answer = destination(output, style)
    loaded = question(instance, planned(overrides, worst), output=output, plot=plot)
    normalisation(per, loaded)  # a price that is missing is told before the work
    with stages("drawing the frontier", SHOWN_AFTER):
        drawn = frontier_of(loaded)
    answer.show(partial(render_frontier, speeds=chosen, per=per), drawn)
    if plot is not None and drawn.feasible:
        from hbmopt.report.charts import chart_along

        draw(plot, chart_along(drawn, chart or "frontier", per))
    return SOLVED if drawn.feasible else INFEASIBLE
