"""Throughput of generations of hardware against HBM size times HBM bandwidth, on log axes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from hbmopt.errors import InputError
from hbmopt.report.charts.labels import (
    LEADING,
    WIDTHS,
    Labelled,
    Place,
    covering,
    label_layers,
    placed,
    places_around,
)
from hbmopt.report.charts.style import (
    LIMITED_BY,
    WIDTH,
    Ends,
    finished,
    heading,
    inline,
    layered,
    made_format,
    resource_label,
    resource_scales,
    tooltips,
)

TALL = 460
LABEL_SIZE = 12
MARGIN = 1.35
"""Factor by which the axes reach beyond the points."""


def generation_layers(
    rows: Sequence[Mapping[str, Any]], titles: tuple[str, str], basis: str, *, fitted: bool
) -> alt.LayerChart:
    """Return points relative to the first row, with a line of slope 1 and a fitted one."""
    title, subtitle = titles
    solved = [row for row in rows if (row.get("throughput_tok_s") or 0.0) > 0]
    if not solved:
        raise InputError("the chart of generations is empty: none of the racks serves anything")
    points = _points(solved)
    named = any(row.get("limiting_resource") for row in solved)
    across, up = _ends([one["product"] for one in points]), _ends([one["made"] for one in points])
    x, y = _axes(across, up, f"that of {points[0]['name']}", basis)
    lines, styles = _lines(across, up, slope_of(points) if fitted else None)
    base = alt.Chart(inline(points)).mark_point(filled=True, size=90, opacity=1.0)
    marks = base.encode(x=x, y=y, tooltip=_hover(points))
    if named:
        colours, shapes = resource_scales(row.get("limiting_resource") for row in solved)
        legend = alt.Legend(title=LIMITED_BY)
        marks = marks.encode(
            color=alt.Color("limit:N", scale=colours, legend=legend),
            shape=alt.Shape("limit:N", scale=shapes, legend=legend),
        )
    drawn = (
        alt.Chart(inline(lines))
        .mark_line(color="#666666", strokeWidth=1.5, clip=True)
        .encode(
            x=x,
            y=y,
            strokeDash=alt.StrokeDash(
                "line:N",
                scale=styles,
                legend=alt.Legend(title="lines", symbolType="stroke", symbolSize=400),
            ),
        )
    )
    look = Labelled(x, y, ("product", "made"), LABEL_SIZE)
    labels = [
        layer
        for kind, width in WIDTHS
        for layer in label_layers(_labels(points, lines, (across, width), (up, TALL)), look, kind)
    ]
    missing = [str(row["name"]) for row in rows if row not in solved]
    notes = [subtitle] if subtitle else []
    notes += [f"Not shown, for nothing can be served: {', '.join(missing)}."] if missing else []
    return finished(layered([drawn, marks, *labels], WIDTH, TALL), heading(title, notes))


def _points(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    first = rows[0]
    scale = float(first["hbm_size_gb"]) * float(first["hbm_bandwidth_tb_s"])
    return [
        {
            "name": str(row["name"]),
            "year": row.get("year"),
            "size": float(row["hbm_size_gb"]),
            "bandwidth": float(row["hbm_bandwidth_tb_s"]),
            "throughput": float(row["throughput_tok_s"]),
            "product": float(row["hbm_size_gb"]) * float(row["hbm_bandwidth_tb_s"]) / scale,
            "made": float(row["throughput_tok_s"]) / float(first["throughput_tok_s"]),
            "limit": resource_label(row.get("limiting_resource")),
        }
        for row in rows
    ]


def _hover(points: Sequence[Mapping[str, Any]]) -> list[alt.Tooltip]:
    first = points[0]["name"]
    return tooltips(
        ("name", "rack", ""),
        ("year", "year", ""),
        ("throughput", "throughput (tok/s)", made_format(banded=True)),
        ("size", "HBM size (GB)", ",.6~r"),
        ("bandwidth", "HBM bandwidth (TB/s)", ",.5~r"),
        ("made", f"throughput, times {first}", made_format(banded=True)),
        ("product", f"size x bandwidth, times {first}", ",.4~r"),
        ("limit", "limited by", ""),
    )


def _ends(values: Sequence[float]) -> Ends:
    """Return the ends of a log axis around the values, at least a factor of 4 apart."""
    low, high = min(values), max(values)
    widen = max(MARGIN, math.sqrt(4.0 / (high / low)))
    return low / widen, high * widen


def _axes(across: Ends, up: Ends, first: str, basis: str) -> tuple[alt.X, alt.Y]:
    def ticks(ends: Ends) -> list[float]:
        powers = range(math.floor(math.log10(ends[0])), math.ceil(math.log10(ends[1])) + 1)
        many = math.log10(ends[1] / ends[0]) <= 4
        found = [10.0**power * one for power in powers for one in ((1, 2, 5) if many else (1,))]
        return [one for one in found if ends[0] <= one <= ends[1]]

    def shown(ends: Ends) -> alt.Axis:
        return alt.Axis(values=ticks(ends), format=",.6~g", labelOverlap=False, labelFlush=False)

    def scale(ends: Ends) -> alt.Scale:
        return alt.Scale(type="log", domain=ends, nice=False)

    basis = f" {basis}" if basis else ""
    x = alt.X(
        "product:Q",
        title=f"HBM size × HBM bandwidth{basis}, times {first} (log scale)",
        scale=scale(across),
        axis=shown(across),
    )
    y = alt.Y(
        "made:Q",
        title=f"throughput{basis}, times {first} (log scale)",
        scale=scale(up),
        axis=shown(up),
    )
    return x, y


def slope_of(points: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    """Return slope and height at 1 of the line through the logarithms, None through one point."""
    right = np.log([one["product"] for one in points])
    made = np.log([one["made"] for one in points])
    spread = right - right.mean()
    if float((spread**2).sum()) < 1e-12:
        return None
    slope = float((spread * made).sum() / (spread**2).sum())
    return slope, math.exp(float(made.mean() - slope * right.mean()))


def _lines(
    across: Ends, up: Ends, fit: tuple[float, float] | None
) -> tuple[list[dict[str, Any]], alt.Scale]:
    """Return the corners of both lines, kept within the plot, and their styles."""
    lines = [] if fit is None else [(f"fit: slope {fit[0]:.2f}", fit[0], fit[1], [1, 0])]
    lines.append(("slope 1: proportional", 1.0, 1.0, [2, 3]))
    rows = []
    for name, slope, height, _ in lines:
        for at in np.geomspace(*across, 80):
            made = height * float(at) ** slope
            if up[0] <= made <= up[1]:
                rows.append({"line": name, "product": float(at), "made": made})
    styles = alt.Scale(domain=[one[0] for one in lines], range=[one[3] for one in lines])
    return rows, styles


def _labels(
    points: Sequence[Mapping[str, Any]],
    lines: Sequence[Mapping[str, Any]],
    across: tuple[Ends, int],
    up: tuple[Ends, int],
) -> list[dict[str, Any]]:
    """Return the names of the points where they cover neither each other nor points and lines."""
    (ends, width), (heights, tall) = across, up

    def pixel(one: Mapping[str, Any]) -> tuple[float, float]:
        right = math.log(one["product"] / ends[0]) / math.log(ends[1] / ends[0])
        high = math.log(one["made"] / heights[0]) / math.log(heights[1] / heights[0])
        return right * width, (1.0 - high) * tall

    spots, path = [pixel(one) for one in points], [pixel(one) for one in lines]

    def cost(place: Place, rank: int, spot: tuple[float, float]) -> float:
        box, others = place.box, [other for other in spots if other != spot]
        own = box.distance(*spot)
        # A name that another point is as near to would be read as that one's; one at the end of
        # a line, where another point touches it.
        near = 9.0 if place.led else own + 3.0
        doubtful = sum(box.distance(*other) < near for other in others)
        return (
            1000.0 * box.outside(width, tall)
            + 300.0 * covering(box, spots, 5.0)
            + 30.0 * covering(box, path, 1.0)
            + (LEADING if place.led else 0.0)
            + 60.0 * doubtful
            + rank
        )

    choices = [
        [
            (place, cost(place, rank, spot))
            for rank, place in enumerate(places_around(*spot, one["name"], LABEL_SIZE, gap=9.0))
        ]
        for spot, one in zip(spots, points, strict=True)
    ]
    return [
        {"name": one["name"], "product": one["product"], "made": one["made"]} | place.row()
        for one, place in zip(points, placed(choices, worst=300.0), strict=True)
        if place is not None
    ]
