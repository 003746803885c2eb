"""The chart that a command draws beside its answer."""

from pathlib import Path
from typing import TYPE_CHECKING

from hbmopt.cli.destination import wrote

if TYPE_CHECKING:
    from hbmopt.charts import Chart


def check_plot(plot: Path | None) -> None:
    """Refuse a chart that cannot be written before the work, not after it."""
    if plot is not None:
        from hbmopt.charts import check_chart_path, require_packages  # only where one is drawn

        require_packages()
        check_chart_path(plot)


def draw(path: Path, chart: "Chart") -> None:
    """Write a chart, and say so."""
    from hbmopt.charts import write_chart  # 0.5 s that only charts need

    write_chart(chart, path)
    wrote(path)
