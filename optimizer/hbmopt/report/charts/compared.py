"""The chart that a comparison is drawn as: its instances against HBM size times bandwidth."""

from typing import TYPE_CHECKING

from hbmopt.report.charts.chart_files import generation_chart
from hbmopt.studies.comparison import Comparison

if TYPE_CHECKING:
    import altair as alt


def comparison_chart(comparison: Comparison) -> "alt.LayerChart":
    """Return the throughput of instances over their HBM size times HBM bandwidth.

    Raises
    ------
    InputError
        Where nothing can be served by any of them.
    """
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
    return generation_chart(rows, subtitle=note, fitted=law is not None)
