"""Charts of frontiers, sweeps and comparisons, from one specification to HTML, PNG and SVG.

The HTML holds everything that it needs and works without a network. Every chart says what it
shows, in units, without a caption.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hbmopt.basics import check_writable, write
from hbmopt.errors import InputError, nearest
from hbmopt.report.html import chart_page, for_pictures, picture, specified
from hbmopt.studies.frontier import Frontier

if TYPE_CHECKING:
    import altair as alt

    from hbmopt.fleet import FleetPlan
    from hbmopt.results import Solution
    from hbmopt.studies.sensitivity import Sensitivity
    from hbmopt.studies.sweep import Sweep

    Chart = alt.LayerChart | alt.VConcatChart

Rows = Sequence[Mapping[str, Any]]

SUFFIXES = (".html", ".png", ".svg")
PNG_SCALE = 2.0
"""Pixels per unit of the chart: sharp on screens and in print."""


def frontier_chart(
    frontiers: Sequence[Frontier], per: str = "rack", answer: "Solution | None" = None
) -> "alt.LayerChart":
    """Return the most throughput at every speed, coloured by what limits it.

    Marks are the ends of segments. Several frontiers are told apart by the style of their lines.
    Throughput is that of the ``rack``, or per ``accelerator``, ``mw`` (drawn) or ``usd``.
    An `answer` of the same question is ringed, with its range of four of five cases.

    Raises
    ------
    InputError
        Where there is no frontier, nothing can be served on one of them, or a price is not known.
    """
    require_packages()
    from hbmopt.report.charts.frontier import (
        frontier_layers,  # altair takes 0.3 s that only charts need
    )

    return frontier_layers(frontiers, per, answer)


def step_breakdown_chart(frontier: Frontier) -> "alt.LayerChart":
    """Return the parts of the decode step in ms at round speeds along a frontier."""
    require_packages()
    from hbmopt.report.charts.along import step_bars  # altair takes 0.3 s that only charts need

    return step_bars(frontier)


def elasticity_chart(frontier: Frontier) -> "alt.LayerChart":
    """Return what 1 % more of each input is worth along a frontier, in % of throughput."""
    require_packages()
    from hbmopt.report.charts.along import (
        elasticity_lines,  # altair takes 0.3 s that only charts need
    )

    return elasticity_lines(frontier)


def chart_along(frontier: Frontier, kind: str, per: str = "rack") -> "alt.LayerChart":
    """Return the chart of a frontier by name: ``frontier``, ``steps`` or ``elasticities``.

    The last two are the same whatever throughput is divided by.

    Raises
    ------
    InputError
        For another name.
    """
    if kind == "frontier":
        return frontier_chart([frontier], per)
    charts = {"steps": step_breakdown_chart, "elasticities": elasticity_chart}
    if kind not in charts:
        raise InputError(f"--chart {kind}: is none of them; {nearest(kind, ['frontier', *charts])}")
    return charts[kind](frontier)


def power_curve_chart(
    rows: Rows,
    *,
    title: str = "Throughput under a power cap, and its price",
    subtitle: str = "",
    answer: "Solution | None" = None,
    cap_kw: float | None = None,
) -> "alt.VConcatChart":
    """Return throughput over power caps, and under it what one more kW is worth.

    An `answer` is ringed at the power that it draws, with its range of four of five cases, and
    `cap_kw` is a dashed line. Rows have `power_kw`, `throughput_tok_s`, `price_tok_s_per_kw`,
    `limiting_resource` and `status`; where the status is not ``optimal``, nothing can be served
    at that cap.
    """
    require_packages()
    # altair takes 0.3 s that only charts need
    from hbmopt.report.charts.sweep import curve_panels, power_curve

    curve = power_curve(answer, cap_kw)
    return cast("alt.VConcatChart", curve_panels(rows, curve, title, subtitle))


def fleet_power_chart(plan: "FleetPlan") -> "alt.LayerChart":
    """Return the power of the site by period, stacked by pools, with the cap."""
    require_packages()
    from hbmopt.report.charts.fleet import power_bars  # altair takes 0.3 s that only charts need

    return power_bars(plan)


def fleet_token_chart(plan: "FleetPlan") -> "alt.LayerChart":
    """Return output tokens per second by period, stacked by pools, with what is asked for."""
    require_packages()
    from hbmopt.report.charts.fleet import token_bars  # altair takes 0.3 s that only charts need

    return token_bars(plan)


def fleet_cost_chart(plan: "FleetPlan") -> "alt.LayerChart":
    """Return what an hour of a fleet costs by part, and what it earns."""
    require_packages()
    from hbmopt.report.charts.fleet import cost_bars  # altair takes 0.3 s that only charts need

    return cost_bars(plan)


def fleet_curve_chart(
    rows: Rows, field: str, label: str, title: str, subtitle: str = ""
) -> "alt.VConcatChart":
    """Return the objective of fleets over what varies, and below it the racks by type.

    Rows are those of a sweep of a fleet, and `field` names what varies in them.
    """
    require_packages()
    from hbmopt.report.charts.fleet import fleet_curve  # altair takes 0.3 s that only charts need

    return fleet_curve(rows, field, label, title, subtitle)


def sweep_chart(sweep: "Sweep") -> "Chart":
    """Return the chart of a sweep.

    Of one variation the curve of throughput with, where it has one, the price of what varies; bars
    where the values are names. Of two variations a heat map of throughput.

    Raises
    ------
    InputError
        For more variations, for two that were zipped, or where nothing can be served.
    """
    require_packages()
    from hbmopt.report.charts.swept import sweep_layers

    return sweep_layers(sweep)


def heat_map_chart(
    rows: Rows,
    x: str,
    y: str,
    value: str,
    *,
    x_label: str,
    y_label: str,
    value_label: str,
    title: str = "",
    subtitle: str = "",
) -> "alt.LayerChart":
    """Return a value over two inputs of a sweep; cells in which nothing can be served are hatched.

    `x`, `y` and `value` are keys of the rows; a cell is hatched where the row's `status` is not
    ``optimal`` or its value is None. A value that is the name of an input, such as
    `limiting_resource`, takes the colour of that input. Labels end in ``, unit``.
    """
    require_packages()
    from hbmopt.report.charts.sweep import (
        heat_map_cells,  # altair takes 0.3 s that only charts need
    )

    labels = (x_label, y_label, value_label)
    return heat_map_cells(rows, (x, y, value), labels, title, subtitle)


def generation_chart(
    rows: Rows,
    *,
    title: str = "Throughput against HBM size × HBM bandwidth",
    subtitle: str = "",
    basis: str = "per accelerator",
    fitted: bool = True,
) -> "alt.LayerChart":
    """Return throughput over HBM size × bandwidth on log axes, relative to the first row.

    Rows have `name`, `year`, `throughput_tok_s`, `hbm_size_gb` and `hbm_bandwidth_tb_s`, and may
    have `limiting_resource`; `basis` says what the figures are of. A row without throughput is
    named under the title. The lines are the slope of proportionality and, where the rows serve the
    same and are to be `fitted`, a least-squares fit of the logarithms.
    """
    require_packages()
    from hbmopt.report.charts.generation import generation_layers  # altair takes 0.3 s

    return generation_layers(rows, (title, subtitle), basis, fitted=fitted)


def sensitivity_chart(found: "Sensitivity", top: int | None = None) -> "alt.LayerChart":
    """Return a tornado: what a step of each number does to throughput, the largest first.

    The `top` numbers, else as many as a page has room for.

    Raises
    ------
    InputError
        Where no number is worth anything.
    """
    require_packages()
    # altair takes 0.3 s that only charts need
    from hbmopt.report.charts.tornado import MOST_ROWS, tornado

    return tornado(found, MOST_ROWS if top is None else top)


def write_chart(chart: "Chart", path: Path) -> None:
    """Write a chart as .html, .png or .svg, whole or not at all.

    Raises
    ------
    InputError
        For another suffix, or where the file cannot be written.
    """
    suffix = check_chart_path(path)
    require_packages()
    import vl_convert  # 30 MB that only charts need

    specification = specified(chart)
    if suffix == ".png":
        drawn = for_pictures(specification)
        write(vl_convert.vegalite_to_png(drawn, scale=PNG_SCALE), path, "--plot")
    elif suffix == ".svg":
        write(picture(specification), path, "--plot")
    else:
        write(chart_page(specification), path, "--plot")


def check_chart_path(path: Path) -> str:
    """Return the suffix of a chart's file. Raises `InputError` where it cannot be written."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise InputError(f"{path}: a chart is written as one of {known}; end the name in one")
    check_writable(path, "--plot")
    return suffix


def require_packages() -> None:
    """Raise `InputError` where the packages that draw are missing."""
    try:
        import altair  # noqa: F401 -- 0.3 s that only charts need
        import vl_convert  # noqa: F401 -- it draws what altair describes
    except ImportError:
        raise InputError(
            "charts need altair and vl-convert-python: pip install 'hbmopt[charts]'"
        ) from None
