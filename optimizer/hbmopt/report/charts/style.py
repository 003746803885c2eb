"""What all charts share: colours and shapes of resources, numbers on axes, the look of a page.

Colours are those of Okabe and Ito, which stay apart for the colour-blind; what an LPU adds takes a
darker shade of what it stands in for. A shape goes with every colour, so that a print in grey can
be read too.
"""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

import altair as alt

from hbmopt.basics import BAND_DIGITS, input_name, round_step

WIDTH, HEIGHT = 680, 400
EXTENT = 38
"""Room for the numbers of an upright axis, so that the panels of one chart line up."""

NOTHING = "nothing that is priced"
LIMITED_BY = ["limited by", "(the input whose 1 %", "is worth most)"]
"""Title of the legend of limiting resources."""

RIBBON = 0.16
"""How opaque the range of four of five cases is."""

LIKELY = "what plans make in four of five cases, by measured steps."

INK, FAINT, GREY = "#222222", "#e4e4e4", "#8c8c8c"

RESOURCE_COLOURS = {
    "hbm_capacity": "#000000",
    "hbm_bandwidth": "#0072B2",
    "compute": "#009E73",
    "interconnect": "#CC79A7",
    "scale_out": "#A0447A",
    "latency": "#E69F00",
    "power_cap": "#D55E00",
    "accelerator_power": "#7F2A00",
    "sram_capacity": "#56B4E9",
    "sram_bandwidth": "#00446B",
    "lpu_compute": "#005A41",
    "lpu_link": "#7E3A62",
    "lpu_latency": "#8A5F00",
}
"""Colour of an input by name, the same in every chart."""

RESOURCE_SHAPES = {
    "hbm_capacity": "diamond",
    "hbm_bandwidth": "circle",
    "compute": "square",
    "interconnect": "cross",
    "scale_out": "cross",
    "latency": "triangle-up",
    "power_cap": "triangle-down",
    "accelerator_power": "triangle-down",
    "sram_capacity": "diamond",
    "sram_bandwidth": "circle",
    "lpu_compute": "square",
    "lpu_link": "cross",
    "lpu_latency": "triangle-up",
}
OTHER_COLOURS = ("#A6761D", "#F0E442", "#4D4D4D", "#B3DE69")
"""Colours of limits that a user declares."""

STEP_COLOURS = {
    "weights": "#0072B2",
    "experts": "#4C5FB8",
    "kv": "#56B4E9",
    "gemm": "#009E73",
    "experts_gemm": "#4FA83D",
    "attention": "#8FD6BF",
    "prefill": "#B5CF6B",
    "link": "#CC79A7",
    "scale_out": "#A0447A",
    "latency": "#E69F00",
    "sram": "#00446B",
    "lpu_compute": "#005A41",
    "lpu_link": "#7E3A62",
    "waiting": "#BBBBBB",
}
"""Colour of a part of the step: that of the resource that takes the time, or a shade of it."""

PARTS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#8FD6BF",
    "#F0E442",
    "#7E3A62",
    "#A6761D",
)
"""Colours of parts that are stacked, neighbours far apart; more of them are drawn as one."""

DASHES = ([1, 0], [7, 3], [2, 2], [10, 3, 2, 3], [14, 4], [5, 2, 1, 2, 1, 2])
"""Line styles by which the frontiers of several instances differ."""

Ends = tuple[float, float]
"""First and last number of an axis."""

MENU = {
    "embedOptions": {
        "renderer": "svg",
        "actions": {"export": True, "source": False, "editor": False},
    }
}
"""The HTML is drawn with lines that print sharply; its menu saves pictures, and leads nowhere."""

Finished = TypeVar("Finished", alt.LayerChart, alt.VConcatChart, alt.HConcatChart)


def resource_label(name: str | None) -> str:
    """Return the name of a limiting resource as a legend shows it."""
    return input_name(name) or NOTHING


def resource_scales(names: Iterable[str | None]) -> tuple[alt.Scale, alt.Scale]:
    """Return the scales of colour and shape for the resources that a chart shows."""
    used = set(names)
    known = [one for one in RESOURCE_COLOURS if one in used]
    others = sorted(one for one in used if one and one not in RESOURCE_COLOURS)
    labels = [resource_label(one) for one in (*known, *others)]
    colours = [RESOURCE_COLOURS[one] for one in known]
    colours += [OTHER_COLOURS[index % len(OTHER_COLOURS)] for index in range(len(others))]
    shapes = [RESOURCE_SHAPES[one] for one in known] + ["triangle-right"] * len(others)
    if None in used or "" in used:
        labels, colours, shapes = [*labels, NOTHING], [*colours, GREY], [*shapes, "circle"]
    return alt.Scale(domain=labels, range=colours), alt.Scale(domain=labels, range=shapes)


class _Rows(alt.InlineData):
    """Data of which charts that are put together hold no copies: nobody changes them."""

    def __deepcopy__(self, _: object = None) -> "_Rows":
        return self


def inline(rows: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    """Return rows as data that stand in the chart itself."""
    return _Rows(values=[dict(one) for one in rows])


def ribbon(base: alt.Chart) -> alt.Chart:
    """Return the range of four of five cases, from `low` to `high` of the rows."""
    area = base.mark_area(color=GREY, opacity=RIBBON)
    found: alt.Chart = area.encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    return found


def made_format(*, banded: bool, digits: int = 6) -> str:
    """Return the format of what racks make or draw: as many digits as are known."""
    return f",.{BAND_DIGITS if banded else digits}~r"


def tooltips(*parts: tuple[str, str, str]) -> list[alt.Tooltip]:
    """Return tooltips from (field, title, number format or nothing for text)."""
    return [
        alt.Tooltip(field=field, type="quantitative", title=title, format=style)
        if style
        else alt.Tooltip(field=field, type="nominal", title=title)
        for field, title, style in parts
    ]


def axis(ends: Ends, ticks: int = 10, extent: int = 0) -> alt.Axis:
    """Return an axis with at most so many round numbers: 200k for thousands, plain ones below."""
    low, high = ends
    step = round_step((high - low) / ticks)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return alt.Axis(
        values=[round(step * one, 12) for one in range(first, last + 1)],
        format="~s" if max(abs(low), abs(high)) >= 2e3 else ",.6~g",
        labelExpr="datum.value == 0 ? '0' : datum.label",
        labelFlush=False,
        labelOverlap=False,
        minExtent=extent,
    )


def linear(ends: Ends) -> alt.Scale:
    """Return the scale between two ends."""
    return alt.Scale(domain=ends, nice=False, zero=False)


def round_domain(values: Iterable[float], *, zero: bool = False, parts: int = 10) -> Ends:
    """Return round ends of an axis that holds the values, and 0 if so asked or if it is near."""
    held = list(values)
    low, high = min(held), max(held)
    if zero or 0 < low < 0.2 * high:
        low, high = min(low, 0.0), max(high, 0.0)
    size = high - low if high > low else max(abs(high), 1.0)
    step = round_step(size / parts)
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    return first * step, max(last, first + 1) * step


def heading(title: str, lines: Sequence[str] = (), width: int = WIDTH) -> alt.TitleParams:
    """Return a title over lines that are wrapped to the width of the chart."""
    wrapped = [part for one in lines for part in textwrap.wrap(one, int(width / 6.1))]
    return alt.TitleParams(
        text=textwrap.wrap(title, int(width / 8.2)) or [""],
        subtitle=wrapped or alt.Undefined,
        anchor="start",
        frame="bounds",
    )


def layered(charts: Sequence[alt.Chart], width: int, height: int) -> alt.LayerChart:
    """Return charts one over the other."""
    # None of the charts is a facet, the one case in which layers are not a LayerChart.
    return cast("alt.LayerChart", alt.layer(*charts)).properties(width=width, height=height)


def finished(chart: Finished, title: alt.TitleParams) -> Finished:
    """Return a chart with the look of all: sizes that print, faint grids, labels never cut."""
    font = "Helvetica, Arial, Liberation Sans, sans-serif"
    # All at one go, as each call copies the whole chart.
    styled: Finished = chart.properties(title=title, usermeta=MENU).configure(
        background="white",
        font=font,
        padding=12,
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(
            labelFontSize=12,
            titleFontSize=13,
            titleFontWeight="normal",
            titlePadding=8,
            labelColor=INK,
            titleColor=INK,
            domainColor=GREY,
            tickColor=GREY,
            gridColor=FAINT,
            labelLimit=0,
            titleLimit=0,
        ),
        legend=alt.LegendConfig(
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            labelColor=INK,
            titleColor=INK,
            labelLimit=0,
            titleLimit=0,
            symbolSize=90,
            rowPadding=4,
        ),
        title=alt.TitleConfig(
            fontSize=16,
            subtitleFontSize=12,
            subtitleColor="#555555",
            color=INK,
            offset=14,
            subtitlePadding=5,
            limit=0,
        ),
    )
    return styled
