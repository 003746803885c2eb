"""Instances side by side, with a chart."""

from pathlib import Path

import click

from hbmopt.cli.command import INFEASIBLE, SOLVED, command
from hbmopt.cli.completing import instances as instance_completions
from hbmopt.cli.completing import variations
from hbmopt.cli.destination import destination, protect
from hbmopt.cli.options import format_option, output_option, plot_option, set_option
from hbmopt.cli.plot import check_plot, draw
from hbmopt.cli.progress import counter


@click.command()
@click.argument(
    "instances",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    shell_complete=instance_completions,
)
@click.option(
    "--vary",
    "variations",
    multiple=True,
    metavar="KEY=VALUES",
    shell_complete=variations,
    help="Each instance once for every value, as of sweep: rack=*, llm=a,b. Several make a grid.",
)
@set_option
@format_option
@output_option
@plot_option
@command
def compare(
    instances: tuple[Path, ...],
    variations: tuple[str, ...],
    overrides: tuple[str, ...],
    style: str | None,
    output: Path | None,
    plot: Path | None,
) -> int:
    """Put INSTANCES side by side: throughput, speed, limits and prices.

    A pattern in quotes stands for all shipped instances that it matches: 'gb*', 'generations/*'.
    With --vary an instance stands beside itself: compare h200 --vary "rack=*_nvl72".

    Where all serve the same model and workload, says where throughput follows HBM size times
    bandwidth, with the fitted slope, and where it does not.
    """
    from hbmopt.documents import shipped
    from hbmopt.instance import load_document, validate
    from hbmopt.report.tables import render_comparison
    from hbmopt.studies.comparison import VariedInstances, solved_comparison, varied_instances

    check_plot(plot)
    answer = destination(output, style)
    documents = []
    for one in (source for path in instances for source in shipped.matching(path)):
        documents.append(load_document(one, list(overrides)))
        protect(documents[-1].files, output=output, plot=plot)
    if variations:
        found = varied_instances(documents, variations)
    else:
        found = VariedInstances(tuple(map(validate, documents)))
    with counter("instances") as progress:
        comparison = solved_comparison(found, progress=progress)
    answer.show(render_comparison, comparison)
    if plot is not None and any(row.tok_s_per_accelerator for row in comparison.rows):
        from hbmopt.report.charts import comparison_chart

        draw(plot, comparison_chart(comparison))
    return SOLVED if comparison.feasible else INFEASIBLE
