"""Prices of every number of an instance, with a chart."""

from pathlib import Path

import click

from hbmopt.cli.command import INFEASIBLE, INTERRUPTED, SOLVED, command, say
from hbmopt.cli.completing import numbers
from hbmopt.cli.destination import destination
from hbmopt.cli.options import (
    format_option,
    instance_argument,
    output_option,
    plot_option,
    set_option,
)
from hbmopt.cli.plot import check_plot, draw
from hbmopt.cli.progress import counter
from hbmopt.cli.question import question


@click.command()
@instance_argument
@set_option
@click.option(
    "--step",
    "step",
    default="10%",
    show_default=True,
    metavar="SHARE",
    help="Size of the steps that are solved anew.",
)
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="Only what is worth most.")
@click.option(
    "--only",
    metavar="PATTERN",
    shell_complete=numbers,
    help="Only numbers with this in their path: hbm, limits.*, *peak*.",
)
@click.option("--no-resolve", is_flag=True, help="Prices and ranges alone, without the steps.")
@format_option
@output_option
@plot_option
@command
def sensitivity(
    instance: Path,
    overrides: tuple[str, ...],
    step: str,
    top: int | None,
    only: str | None,
    no_resolve: bool,
    style: str | None,
    output: Path | None,
    plot: Path | None,
) -> int:
    """Price every number of INSTANCE: what it is worth, how far, and what to buy next.

    Price and range hold configuration and replicas; the steps beside them are solved anew, with
    everything free. Exit code 0: solved; 1: infeasible; 2: bad input; 130: interrupted.
    """
    from hbmopt.report.tables import render_sensitivity
    from hbmopt.studies.sensitivity import parse_step
    from hbmopt.studies.sensitivity import sensitivity as study

    check_plot(plot)
    answer = destination(output, style)
    asked = question(instance, overrides, output=output, plot=plot)
    with counter("numbers") as progress:
        found = study(
            asked,
            step=parse_step(step),
            top=top,
            only=only,
            resolve=not no_resolve,
            progress=progress,
        )
    answer.show(render_sensitivity, found)
    if plot is not None and found.feasible:
        from hbmopt.report.charts import sensitivity_chart

        draw(plot, sensitivity_chart(found, top))
    if found.interrupted:
        where = "above" if answer.path is None else f"in {answer.path}"
        say(f"interrupted; what was done is {where}")
        return INTERRUPTED
    return SOLVED if found.feasible else INFEASIBLE
