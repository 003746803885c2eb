"""The charts of the explorer: drawn once, and given other rows whenever something moves.

Colours, shapes and words are those of all charts.
"""

from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

from hbmopt.basics import INPUT_NAMES
from hbmopt.report.charts.frontier import AS_LIKELY, likely_rows, thinned
from hbmopt.report.charts.style import (
    DASHES,
    GREY,
    INK,
    NOTHING,
    RESOURCE_COLOURS,
    RIBBON,
    WIDTH,
    finished,
    layered,
    resource_label,
    resource_scales,
    tooltips,
)
from hbmopt.studies.frontier import Frontier

HEIGHT, LOW = 360, 150
"""Pixels of the frontier and of the two panels below it."""

SPEED, POWER = "speed, tok/s per user", "power cap, kW"

CORNERS = 250
"""Corners that are drawn of one curve."""


@dataclass(frozen=True)
class LiveCharts:
    """The charts of a page that moves, and what they have to know of words and colours."""

    frontier: alt.LayerChart
    power: alt.LayerChart
    price: alt.LayerChart
    unknown: str
    colours: dict[str, str]


def live_charts() -> LiveCharts:
    """Return the charts, without rows."""
    colours = {resource_label(name): colour for name, colour in RESOURCE_COLOURS.items()}
    return LiveCharts(_frontier(), _power(), _price(), NOTHING, colours | {NOTHING: GREY})


def live_line(frontier: Frontier, per: str) -> dict[str, Any]:
    """Return what is drawn of a frontier: corners, the range of four of five cases, its end."""
    if not frontier.feasible:
        return {"points": [], "likely": []}
    values, speeds, made = frontier.normalised(per), frontier.speeds, frontier.throughputs
    kept = thinned(speeds, values, CORNERS)
    places = np.unique(np.concatenate([kept, [0, len(values) - 1]])).tolist()
    rows = likely_rows(frontier, "", values, CORNERS // 2) if per in AS_LIKELY else ()
    return {
        "points": [
            {
                "speed": float(speeds[at]),
                "value": float(values[at]),
                "throughput": float(made[at]),
            }
            for at in places
        ],
        "likely": [{key: row[key] for key in ("speed", "low", "high")} for row in rows],
    }


def live_limits(frontier: Frontier) -> list[dict[str, Any]]:
    """Return what limits along a frontier: stretches with their ends in tok/s per user."""
    return [
        {
            "from": one.slowest.speed_tok_s_user,
            "to": one.fastest.speed_tok_s_user,
            "limit": resource_label(one.limiting_resource),
        }
        for one in frontier.segments
    ]


def _frontier() -> alt.LayerChart:
    """Return throughput over speed, from rows `lines`, `ribbons`, `marks` and `floors`."""
    colours, _ = resource_scales([*INPUT_NAMES, None])
    x = alt.X("speed:Q", title=SPEED, scale=alt.Scale(zero=True, nice=True), axis=_axis())
    y = alt.Y("value:Q", title="tok/s", scale=alt.Scale(zero=True, nice=True), axis=_axis())
    ribbon = (
        alt.Chart(alt.NamedData("ribbons"))
        .mark_area(color=GREY, opacity=RIBBON)
        .encode(x=x, y=alt.Y("low:Q"), y2="high:Q")
    )
    order = [str(at + 1) for at in range(len(DASHES))]
    lines = (
        alt.Chart(alt.NamedData("lines"))
        .mark_line(interpolate="step-before", strokeWidth=2.5, strokeJoin="round")
        .encode(
            x=x,
            y=y,
            color=alt.Color("limit:N", scale=colours, legend=None),
            strokeDash=alt.StrokeDash(
                "curve:N", scale=alt.Scale(domain=order, range=list(DASHES)), legend=None
            ),
            detail=["curve:N", "segment:N"],
        )
    )
    floor = (
        alt.Chart(alt.NamedData("floors"))
        .mark_rule(color=GREY, strokeDash=[4, 4])
        .encode(x=alt.X("speed:Q"))
    )
    marks = alt.Chart(alt.NamedData("marks"))
    likely = marks.mark_rule(strokeWidth=1.6, color=INK).encode(
        x=alt.X("slow:Q"), y=alt.Y("low:Q"), x2="fast:Q", y2="high:Q"
    )
    mark = _ring(marks).encode(
        x=alt.X("speed:Q"), y=alt.Y("value:Q"), tooltip=tooltips(("words", "ring", ""))
    )
    return _finished([ribbon, lines, floor, likely, mark], HEIGHT)


def _power() -> alt.LayerChart:
    """Return throughput over power caps, from `rows`, `marks` and `caps`."""
    colours, _ = resource_scales([*INPUT_NAMES, None])
    x = alt.X("power_kw:Q", title=None, scale=alt.Scale(zero=False, nice=False), axis=_axis())
    y = alt.Y("throughput:Q", title="tok/s", scale=alt.Scale(zero=True), axis=_axis())
    rows = alt.Chart(alt.NamedData("rows"))
    line = rows.mark_line(color=GREY, strokeWidth=1.5).encode(x=x, y=y)
    points = rows.mark_point(filled=True, size=50, opacity=1.0).encode(
        x=x,
        y=y,
        color=alt.Color("limit:N", scale=colours, legend=None),
        tooltip=_hovers(),
    )
    cap = (
        alt.Chart(alt.NamedData("caps"))
        .mark_rule(color=GREY, strokeDash=[4, 4])
        .encode(x=alt.X("power_kw:Q"))
    )
    mark = _ring(alt.Chart(alt.NamedData("marks"))).encode(x=x, y=y)
    return _finished([line, cap, points, mark], LOW)


def _price() -> alt.LayerChart:
    """Return what one more kW is worth over power caps, from `rows`."""
    x = alt.X("power_kw:Q", title=POWER, scale=alt.Scale(zero=False, nice=False), axis=_axis())
    y = alt.Y("price:Q", title="tok/s per kW", scale=alt.Scale(zero=True), axis=_axis())
    rows = alt.Chart(alt.NamedData("rows"))
    steps = rows.mark_line(color="#D55E00", strokeWidth=2).encode(x=x, y=y)
    points = rows.mark_point(filled=True, size=40, opacity=1.0, color="#D55E00").encode(
        x=x, y=y, tooltip=_hovers()
    )
    return _finished([steps, points], LOW)


def _ring(marks: alt.Chart) -> alt.Chart:
    """Return a ring around the answer, as in the charts of reports."""
    found: alt.Chart = marks.mark_point(
        shape="circle", size=170, filled=False, color=INK, strokeWidth=2.2, opacity=1.0
    )
    return found


def _hovers() -> list[alt.Tooltip]:
    return tooltips(
        ("power_kw", "power cap (kW)", ",.4~r"),
        ("throughput", "throughput (tok/s)", ",.3~r"),
        ("price", "one more kW (tok/s)", ",.3~r"),
        ("limit", "limited by", ""),
    )


def _axis() -> alt.Axis:
    return alt.Axis(format="~s", minExtent=42, labelOverlap=True, tickCount=8)


def _finished(layers: list[alt.Chart], height: int) -> alt.LayerChart:
    """Return layers as wide as the page, with the look of all charts and none of their white."""
    drawn = layered(layers, WIDTH, height).properties(width="container")
    found = finished(drawn, alt.TitleParams(text=""))
    # The page around it is light or dark, and says what the chart shows.
    found.config.background, found.config.padding = "transparent", 5
    return found
