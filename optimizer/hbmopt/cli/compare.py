"""Instances side by side, with a chart."""

from pathlib import Path

import click

from hbmopt.cli.command import INFEASIBLE, SOLVED, command
from hbmopt.cli.destination import destination
from hbmopt.cli.options import format_option, output_option, plot_option, set_option
from hbmopt.cli.plot import check_plot, draw
from hbmopt.cli.question import question


@click.command()
@click.argument("instances", nargs=-1, required=True, type=click.Path(path_type=Path))
@set_option
@format_option
@output_option
@plot_option
@command
def compare(
    instances: tuple[Path, ...],
    overrides: tuple[str, ...],
    style: str | None,
    output: Path | None,
    plot: Path | None,
) -> int:
    """Put INSTANCES side by side: throughput, speed, limits and prices.

    Where all serve the same model and workload, says where throughput follows HBM size times
    bandwidth, with the fitted slope, and where it does not.
    """
    from hbmopt.comparison import compare as compare_instances
    from hbmopt.comparison_report import render_comparison

    check_plot(plot)
    answer = destination(output, style)
    asked = [question(path, overrides, output=output, plot=plot) for path in instances]
    comparison = compare_instances(asked)
    answer.show(render_comparison, comparison)
    if plot is not None and any(row.tok_s_per_accelerator for row in comparison.rows):
        from hbmopt.charts import generation_chart

        rows = [
            {
                "name": row.name,
                "year": row.year,
                "throughput_tok_s": row.tok_s_per_accelerator,
                "hbm_size_gb": row.hbm_gb,
                "hbm_bandwidth_tb_s": row.hbm_tb_s,
                "limiting_resource": row.limiting_resource,
            }
            for row in comparison.rows
        ]
        law = comparison.law
        note = "" if law is not None else f"No line is fitted: {comparison.law_missing}."
        draw(plot, generation_chart(rows, subtitle=note, fitted=law is not None))
    return SOLVED if comparison.feasible else INFEASIBLE
