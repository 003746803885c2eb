"""Charts, from one specification to HTML, PNG and SVG. Colours stand in `style.py`."""

from typing import TYPE_CHECKING

from hbmopt.first_use import on_first_use
from hbmopt.report.charts.chart_files import (
    chart_along,
    check_chart_path,
    fleet_cost_chart,
    fleet_curve_chart,
    fleet_power_chart,
    fleet_token_chart,
    frontier_chart,
    generation_chart,
    heat_map_chart,
    power_curve_chart,
    require_packages,
    sensitivity_chart,
    step_breakdown_chart,
    sweep_chart,
    write_chart,
)
from hbmopt.report.charts.compared import comparison_chart
from hbmopt.report.charts.swept import check_sweep_chart

if TYPE_CHECKING:
    from hbmopt.report.charts.chart_files import Chart as Chart
    from hbmopt.report.charts.live import LiveCharts, live_charts, live_limits, live_line
    from hbmopt.report.charts.style import NOTHING

# altair takes 0.3 s that whoever only names a chart does without.
__getattr__ = on_first_use(
    __name__,
    dict.fromkeys(("LiveCharts", "live_charts", "live_limits", "live_line"), "live")
    | {"NOTHING": "style"},
)

__all__ = [
    "NOTHING",
    "LiveCharts",
    "chart_along",
    "check_chart_path",
    "check_sweep_chart",
    "comparison_chart",
    "fleet_cost_chart",
    "fleet_curve_chart",
    "fleet_power_chart",
    "fleet_token_chart",
    "frontier_chart",
    "generation_chart",
    "heat_map_chart",
    "live_charts",
    "live_limits",
    "live_line",
    "power_curve_chart",
    "require_packages",
    "sensitivity_chart",
    "step_breakdown_chart",
    "sweep_chart",
    "write_chart",
]
