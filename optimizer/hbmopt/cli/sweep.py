"""The optimum at every point of a grid, with a chart."""

from functools import partial
from pathlib import Path

import click

from hbmopt.cli.command import INFEASIBLE, INTERRUPTED, SOLVED, command, say
from hbmopt.cli.completing import variations
from hbmopt.cli.destination import Destination, destination, protect, wrote
from hbmopt.cli.options import instance_or_fleet_argument, output_to, plot_option, set_option
from hbmopt.cli.plot import check_plot, draw


@click.command()
@instance_or_fleet_argument
@click.option(
    "--vary",
    "variations",
    multiple=True,
    required=True,
    metavar="KEY=VALUES",
    shell_complete=variations,
    help='What varies: limits.power="60 kW:600 kW:20 kW", llm=a,b or rack=*. Several make a grid.',
)
@click.option("--zip", "zipped", is_flag=True, help="Take values together instead of a grid.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Worker processes.")
@click.option("--dask", metavar="ADDRESS", help="A Dask scheduler, or local.")
@click.option("--resume", is_flag=True, help="Go on with what FILE.partial holds.")
@set_option
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "jsonl"]),
    help="How to write to the terminal; default: table. A file's suffix says its format.",
)
@output_to("Write all rows to FILE: .csv, .jsonl or .parquet; what is done is kept on the way.")
@plot_option
@command
def sweep(
    instance: Path,
    variations: tuple[str, ...],
    zipped: bool,
    jobs: int | None,
    dask: str | None,
    resume: bool,
    overrides: tuple[str, ...],
    style: str | None,
    output: Path | None,
    plot: Path | None,
) -> int:
    """Solve INSTANCE at every value of one or more of its fields.

    Power caps first of all. A point where nothing can be served is a row, not an error. With
    --output what is done is kept in FILE.partial, and --resume goes on to the same file. --plot
    draws one variation as a curve with its price, two as a heat map.

    Exit code 0: done; 1: no point can be served; 2: bad input; 130: interrupted.
    """
    from hbmopt.instance import load_document
    from hbmopt.report.tables import render_sweep
    from hbmopt.studies.sweep import FORMATS, SweepInterrupted
    from hbmopt.studies.sweep import sweep as sweep_instance

    answer = destination(output, style, FORMATS)
    check_plot(plot)
    if plot is not None:
        from hbmopt.instance import parse_variation
        from hbmopt.report.charts import check_sweep_chart

        check_sweep_chart([parse_variation(one) for one in variations], zipped=zipped)
    files = load_document(instance, list(overrides)).files
    protect(files, output=answer.path, plot=plot)
    try:
        swept = sweep_instance(
            instance,
            variations,
            overrides=list(overrides),
            zipped=zipped,
            jobs=jobs,
            dask=dask,
            output=answer.path,
            resume=resume,
            progress=True,
        )
        code = SOLVED if swept.feasible else INFEASIBLE
    except SweepInterrupted as interruption:
        say(str(interruption))
        swept, code = interruption.sweep, INTERRUPTED
    if answer.path is None and style in ("csv", "jsonl"):
        answer.stream(partial(swept.write, style=style))
    elif answer.path is None:
        Destination(None, "table").show(render_sweep, swept)
    elif code != INTERRUPTED:
        wrote(answer.path)
    if plot is not None and code == SOLVED:
        from hbmopt.report.charts import sweep_chart

        draw(plot, sweep_chart(swept))
    return code
