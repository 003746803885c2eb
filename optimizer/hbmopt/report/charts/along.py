"""Charts along a frontier: the parts of the decode step, and the elasticities of the inputs."""

from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt
import numpy as np

from hbmopt.basics import STEP_NAMES
from hbmopt.instance import OBJECTIVES
from hbmopt.report.charts.frontier import (
    HOVERED,
    SPEED,
    drawable,
    hover_row,
    hovers,
    setting,
    spans,
)
from hbmopt.report.charts.style import (
    GREY,
    HEIGHT,
    INK,
    STEP_COLOURS,
    WIDTH,
    axis,
    finished,
    heading,
    inline,
    layered,
    linear,
    made_format,
    resource_label,
    resource_scales,
    round_domain,
    tooltips,
)
from hbmopt.studies.frontier import Frontier, FrontierPoint

STEEP = 15.0
"""Range of elasticities from which on a linear axis would hide those around 1."""

SMALL = 5e-3
"""Elasticity below which an input has no line."""


def step_bars(frontier: Frontier) -> alt.LayerChart:
    """Return the parts of the decode step at speeds along a frontier."""
    points = _rungs(drawable(frontier))
    digits = made_format(banded=frontier.likely is not None, digits=4)
    rows, totals = [], []
    for one in points:
        parts = {name: ms for name, ms in one.step_breakdown_ms.items() if ms > 0}
        total = sum(parts.values())
        common = hover_row(one, frontier.instance.name) | {
            "floor": _speed_text(one.floor_tok_s_user or one.speed_tok_s_user),
            "total": total,
        }
        totals.append(common)
        rows += [
            common
            | {"part": STEP_NAMES.get(name, name), "order": order, "ms": parts[name]}
            | {"share": parts[name] / total}
            for order, name in enumerate(STEP_NAMES)
            if name in parts
        ]
    used = [name for name in STEP_NAMES if any(row["part"] == STEP_NAMES[name] for row in rows)]
    x = alt.X(
        "floor:O",
        sort=None,
        title="speed reached at least, tok/s per user",
        axis=alt.Axis(labelAngle=0, labelOverlap=False, ticks=False),
        scale=alt.Scale(paddingInner=0.18, paddingOuter=0.1),
    )
    top = round_domain((row["total"] * 1.04 for row in totals), zero=True)
    y = alt.Y(
        "ms:Q",
        title="time of one decode step, ms",
        stack="zero",
        scale=linear(top),
        axis=axis(top),
    )
    bars = (
        alt.Chart(inline(rows))
        .mark_bar(stroke="white", strokeWidth=0.8)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "part:N",
                scale=alt.Scale(
                    domain=[STEP_NAMES[name] for name in reversed(used)],
                    range=[STEP_COLOURS[name] for name in reversed(used)],
                ),
                legend=alt.Legend(title="part of the step", symbolType="square"),
            ),
            order=alt.Order("order:Q"),
            tooltip=[
                *tooltips(
                    ("part", "part", ""),
                    ("ms", "time (ms)", digits),
                    ("share", "share of the step", ".0%"),
                    ("total", "step (ms)", digits),
                ),
                *hovers(banded=frontier.likely is not None)[1:],
            ],
        )
    )
    sums = (
        alt.Chart(inline(totals))
        .mark_text(dy=-7, fontSize=11, color=INK)
        .encode(x=x, y=alt.Y("total:Q"), text=alt.Text("total:Q", format=",.3~r"))
    )
    title = heading("Where the time of a decode step goes", [setting(frontier)])
    return finished(layered([bars, sums], _bars_width(points), HEIGHT), title)


def elasticity_lines(frontier: Frontier) -> alt.LayerChart:
    """Return the elasticities of the inputs along a frontier."""
    rows: list[dict[str, Any]] = [
        hover_row(one, frontier.instance.name)
        | {"segment": index, "input": name, "elasticity": value, "at": at}
        for index, at, one in _along(drawable(frontier))
        for name, value in one.elasticities.items()
    ]
    shown = {row["input"] for row in rows if abs(row["elasticity"]) >= SMALL}
    rows = [row | {"label": resource_label(row["input"])} for row in rows if row["input"] in shown]
    colours, shapes = resource_scales(shown)
    across = round_domain(row["at"] for row in rows)
    x = alt.X("at:Q", title=SPEED, scale=linear(across), axis=axis(across))
    sought = OBJECTIVES[frontier.instance.objective].title
    name = f"elasticity, % of {sought} per % of the input"
    y = _elasticity_axis([float(row["elasticity"]) for row in rows], name)
    legend = alt.Legend(title="1 % more of")
    base = alt.Chart(inline(rows)).encode(
        x=x, y=y, color=alt.Color("label:N", scale=colours, legend=legend)
    )
    lines = base.mark_line(strokeWidth=2).encode(detail=["label:N", "segment:N"])
    jumps = base.mark_line(strokeWidth=1, strokeDash=[2, 3])
    marks = base.mark_point(filled=True, size=30, opacity=1.0).encode(
        shape=alt.Shape("label:N", scale=shapes, legend=legend),
        tooltip=[
            *tooltips(("label", "input", ""), ("elasticity", "elasticity (% per %)", "+.3f")),
            *hovers(banded=frontier.likely is not None)[1:],
        ],
    )
    zero = alt.Chart(inline([{"zero": 0.0}])).mark_rule(color=GREY).encode(y=alt.Y("zero:Q"))
    title = heading("What 1 % more of each input is worth along the frontier", [setting(frontier)])
    return finished(layered([zero, jumps, lines, marks], WIDTH, HEIGHT), title)


def _elasticity_axis(values: Sequence[float], title: str) -> alt.Y:
    """Return a linear axis, or one that shows numbers around 1 beside much larger ones."""
    ends = round_domain(values, zero=True)
    if ends[1] - ends[0] <= STEEP:
        return alt.Y("elasticity:Q", title=title, scale=linear(ends), axis=axis(ends))
    sizes = [one * 10.0**power for power in range(6) for one in (1, 2, 5)]
    ticks = [one for one in (*(-size for size in sizes), 0, *sizes) if ends[0] <= one <= ends[1]]
    return alt.Y(
        "elasticity:Q",
        title=f"{title} (log scale beyond ±1)",
        scale=alt.Scale(type="symlog", constant=1.0, domain=ends, nice=False),
        axis=alt.Axis(values=ticks, format=",.6~g", labelOverlap=True, labelFlush=False),
    )


def _rungs(frontier: Frontier) -> list[FrontierPoint]:
    """Return the points at round speeds and at both ends of a frontier."""
    slowest, fastest = float(frontier.speeds[0]), float(frontier.speeds[-1])
    near = 0.02 * (fastest - slowest)
    middle = [one for one in frontier.round_speeds() if slowest + near < one < fastest - near]
    asked = sorted({slowest, *middle, fastest})
    return frontier.ladder([one * (1.0 - 1e-9) for one in asked])


def _speed_text(speed: float) -> str:
    return f"{speed:.3g}" if speed < 1000 else f"{speed:,.0f}"


def _bars_width(points: Sequence[FrontierPoint]) -> int:
    """Return a width at which few bars are not broad and many leave room for their labels."""
    return min(max(60 * len(points), 260), max(WIDTH, 38 * len(points)))


def _along(frontier: Frontier) -> Iterator[tuple[int, float, FrontierPoint]]:
    """Return segment, speed and point at the ends of segments and evenly between."""
    speeds = frontier.speeds
    step = float(np.ptp(speeds)) / HOVERED
    for index, (segment, (first, last)) in enumerate(
        zip(frontier.segments, spans(frontier), strict=True)
    ):
        yield index, float(speeds[first]), segment.slowest
        parts = int((speeds[last] - speeds[first]) / step) if step > 0 else 0
        for wanted in np.linspace(speeds[first], speeds[last], parts + 2)[1:-1]:
            at = int(np.searchsorted(speeds, wanted))
            if first < at < last:
                yield index, float(speeds[at]), frontier.point_at(at)
        if last > first:
            yield index, float(speeds[last]), segment.fastest
