"""The chart of frontiers: throughput over speed, coloured by what limits it."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from hbmopt.basics import show
from hbmopt.demand import Array
from hbmopt.errors import InputError
from hbmopt.instance import llm_name, rack_name
from hbmopt.report.charts.answer import Mark, mark_layers, marked, ring_note
from hbmopt.report.charts.labels import (
    LETTER_HEIGHT,
    WIDTHS,
    Labelled,
    covering,
    label_layers,
    place_beside,
    placed,
)
from hbmopt.report.charts.style import (
    DASHES,
    HEIGHT,
    LIKELY,
    LIMITED_BY,
    WIDTH,
    Ends,
    axis,
    finished,
    heading,
    inline,
    layered,
    linear,
    made_format,
    resource_label,
    resource_scales,
    ribbon,
    round_domain,
    tooltips,
)
from hbmopt.results import Solution
from hbmopt.studies.frontier import Frontier, FrontierPoint, Normalisation, normalisation

MOST_POINTS = 600
"""Corners of the staircase that are drawn of one frontier: more than a line has pixels."""

RIBBON_POINTS = 240
"""Speeds at which the range of four of five cases is drawn."""

AS_LIKELY = ("rack", "accelerator", "usd")
"""Units in which throughput is as uncertain as the step; power has a band of its own."""

HOVERED = 30
"""Points between the ends of segments that can be hovered; each is solved for its prices."""

LABEL_SIZE = 13
UNCLEAR = 4.0
"""Cost from which on a name beside a line could be read as that of another."""

SPEED = "speed, tok/s per user"


def hovers(*, banded: bool) -> list[alt.Tooltip]:
    """Return what is hovered of a point, with as many digits as are known."""
    digits = made_format(banded=banded, digits=4)
    return tooltips(
        ("instance", "instance", ""),
        ("speed", "speed (tok/s per user)", digits),
        ("throughput", "throughput (tok/s)", made_format(banded=banded)),
        ("batch", "batch (sequences)", ",.6~r"),
        ("power_kw", "power (kW)", digits),
        ("limit", "limited by", ""),
        ("price", "price of speed (tok/s per tok/s/user)", digits),
        ("configuration", "configuration", ""),
    )


def frontier_layers(
    frontiers: Sequence[Frontier], per: str = "rack", answer: Solution | None = None
) -> alt.LayerChart:
    """Return frontiers coloured by what limits them, with a ring around the answer."""
    drawn = [drawable(one) for one in frontiers]
    if not drawn:
        raise InputError("a chart of frontiers needs one at least")
    names = _names(drawn)
    values = [one.normalised(per) for one in drawn]
    quoted = [normalisation(per, one.instance) for one in drawn]
    named = list(zip(drawn, names, values, strict=True))
    lines = [row for one in named for row in _staircase(*one)]
    ends = [row for one in named for row in _ends(*one)]
    between = [row for one in named for row in _between(*one)]
    sampled = any(one.sampled for one in drawn)
    likely_too = per in AS_LIKELY and not sampled
    ribbons = [row for one in named for row in likely_rows(*one)] if likely_too else []
    limits = [segment.limiting_resource for one in drawn for segment in one.segments]
    colours, shapes = resource_scales(limits)
    mark = _mark(answer, quoted[0], ranged=likely_too) if answer is not None else None
    spots = mark.spots if mark is not None else []
    speeds = [row["speed"] for row in [*lines, *ribbons]]
    across = round_domain([*speeds, *(speed for speed, _ in spots)])
    made = [*(row["value"] for row in lines), *(row["high"] for row in ribbons)]
    up = round_domain([*made, *(value for _, value in spots)], zero=True)
    x = alt.X("speed:Q", title=SPEED, scale=linear(across), axis=axis(across))
    y = alt.Y("value:Q", title=quoted[0].label, scale=linear(up), axis=axis(up))
    banded = all(one.likely is not None for one in drawn)
    hover = hovers(banded=banded)
    if per != "rack":
        hover.insert(3, _value_hover(quoted[0], banded=banded))
    legend = alt.Legend(title=LIMITED_BY)
    colour = alt.Color("limit:N", scale=colours, legend=legend)
    styles = (
        alt.Legend(title="instance", symbolType="stroke", symbolSize=400, symbolStrokeWidth=2)
        if len(drawn) > 1
        else None
    )
    dashes = alt.Scale(domain=names, range=[DASHES[at % len(DASHES)] for at in range(len(names))])
    curve = (
        alt.Chart(inline(lines))
        # Between the speeds at which a best is known it is no less than at the faster one.
        .mark_line(
            interpolate="linear" if sampled else "step-before",
            strokeWidth=2.5,
            strokeJoin="round",
        )
        .encode(
            x=x,
            y=y,
            color=colour,
            strokeDash=alt.StrokeDash("instance:N", scale=dashes, legend=styles),
            detail=["instance:N", "segment:N"],
        )
    )
    touched = (
        alt.Chart(inline(between))
        .mark_point(filled=True, size=260, opacity=0.0)
        .encode(x=x, y=y, tooltip=hover)
    )
    breaks = (
        alt.Chart(inline(ends))
        .mark_point(filled=True, size=46, opacity=1.0, stroke="white", strokeWidth=0.7)
        .encode(
            x=x,
            y=y,
            color=colour,
            shape=alt.Shape("limit:N", scale=shapes, legend=legend),
            tooltip=hover,
        )
    )
    likely = ribbon(alt.Chart(inline(ribbons)).encode(x=x, detail=["instance:N"]))
    layers: list[alt.Chart] = [*([likely] if ribbons else []), curve, touched, breaks]
    if mark is not None:
        layers += mark_layers(mark, ("speed", "value"), x, y)
    if len(drawn) > 1:
        for kind, width in WIDTHS:
            beside = _direct_labels(named, (across, width), up)
            look = Labelled(x, y, ("speed", "value"), LABEL_SIZE, bold=True)
            layers += label_layers(beside, look, kind)
    title = _title(drawn, quoted[0], mark, likely=bool(ribbons))
    return finished(layered(layers, WIDTH, HEIGHT), title)


def _mark(answer: Solution, quoted: Normalisation, *, ranged: bool) -> Mark:
    """Return where a plan stands. Its range lies on the line through the origin.

    Where steps take longer it is as much slower for everyone as it makes less.
    """
    made, speed = answer.throughput_tok_s or 0.0, answer.speed_tok_s_user or 0.0
    value = quoted.value(made, (answer.power_w or 0.0) / 1e3)
    known, speeds = answer.throughput_range_tok_s, answer.speed_range_tok_s_user
    ends = None
    if ranged and known is not None and speeds is not None:
        low, high = ((one, value * of / made) for one, of in zip(speeds, known, strict=True))
        ends = (low, high)
    return marked(answer, (speed, value), ends)


def drawable(frontier: Frontier) -> Frontier:
    """Return a frontier that has points. Raises `InputError` where nothing can be served."""
    if not frontier.feasible:
        raise InputError(
            f"{frontier.instance.name}: nothing can be served, so there is no frontier to draw; "
            "hbmopt explain says why"
        )
    return frontier


def spans(frontier: Frontier) -> list[tuple[int, int]]:
    """Return the first and last point of every segment, the slowest first."""
    counts = np.cumsum([0, *(one.points for one in frontier.segments)])
    return [(int(first), int(last) - 1) for first, last in pairwise(counts)]


def _value_hover(quoted: Normalisation, *, banded: bool) -> alt.Tooltip:
    style = made_format(banded=banded)
    (found,) = tooltips(("value", f"throughput ({quoted.unit})", style))
    return found


def _staircase(frontier: Frontier, name: str, values: Array) -> Iterator[dict[str, Any]]:
    """Return the corners to draw, evenly along the line, ends of segments among them.

    Between two points the throughput is that of the faster one. So each segment begins where the
    one before ends, and the colour changes there.
    """
    speeds, throughputs = frontier.speeds, frontier.throughputs
    kept = thinned(speeds, values, MOST_POINTS)
    for index, (first, last) in enumerate(spans(frontier)):
        chosen = {first, last, *kept[(kept >= first) & (kept <= last)].tolist()}
        if first > 0:
            chosen.add(first - 1)
        for at in sorted(chosen):
            yield {
                "instance": name,
                "segment": index,
                "speed": float(speeds[at]),
                "throughput": float(throughputs[at]),
                "value": float(values[at]),
                "limit": resource_label(frontier.segments[index].limiting_resource),
            }


def thinned(speeds: Array, values: Array, most: int) -> NDArray[np.int64]:
    """Return at most `most` positions, evenly along the drawn line; sparse points all stay."""
    along = _length(speeds, values)
    place = np.floor(along * (most - 1)).astype(np.int64)
    _, first = np.unique(place, return_index=True)
    return first.astype(np.int64)


def _length(speeds: Array, values: Array) -> Array:
    """Return how far along the drawn line each point lies, from 0 to 1."""
    right = np.diff(speeds) / max(float(np.ptp(speeds)), 1e-300)
    down = np.diff(values) / max(float(np.ptp(values)), 1e-300)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(right, down))])
    return np.asarray(along / max(float(along[-1]), 1e-300))


def _ends(frontier: Frontier, name: str, values: Array) -> Iterator[dict[str, Any]]:
    """Return the ends of all segments with everything a reader may ask of them."""
    for segment, (first, last) in zip(frontier.segments, spans(frontier), strict=True):
        for at, point in ((first, segment.slowest), (last, segment.fastest)):
            yield hover_row(point, name) | _position(frontier, values, at)
            if first == last:
                break


def _between(frontier: Frontier, name: str, values: Array) -> Iterator[dict[str, Any]]:
    """Return points within segments that can be hovered, evenly along the line."""
    ends = {at for span in spans(frontier) for at in span}
    along = _length(frontier.speeds, values)
    places = np.minimum(np.searchsorted(along, np.linspace(0.0, 1.0, HOVERED)), len(along) - 1)
    for at in sorted({int(one) for one in places} - ends):
        yield hover_row(frontier.point_at(at), name) | _position(frontier, values, at)


def _position(frontier: Frontier, values: Array, at: int) -> dict[str, float]:
    return {
        "speed": float(frontier.speeds[at]),
        "throughput": float(frontier.throughputs[at]),
        "value": float(values[at]),
    }


def hover_row(point: FrontierPoint, name: str) -> dict[str, Any]:
    """Return what is shown of a point when it is hovered."""
    return {
        "instance": name,
        "speed": point.speed_tok_s_user,
        "throughput": point.throughput_tok_s,
        "batch": point.batch,
        "power_kw": point.power_w / 1e3,
        "limit": resource_label(point.limiting_resource),
        "price": point.price_of_speed,
        "configuration": f"{point.replicas} x {point.configuration}",
    }


def _direct_labels(
    named: Sequence[tuple[Frontier, str, Array]], across: tuple[Ends, int], up: Ends
) -> list[dict[str, Any]]:
    """Return the names of frontiers beside their lines, clear of all lines."""
    (first, last), width = across

    def along(frontier: Frontier, values: Array, count: int) -> list[tuple[float, float]]:
        """Return speeds and values evenly along a line."""
        share = _length(frontier.speeds, values)
        at = np.minimum(np.searchsorted(share, np.linspace(0, 1, count)), len(share) - 1)
        return list(zip(frontier.speeds[at].tolist(), values[at].tolist(), strict=True))

    def pixel(speed: float, value: float) -> tuple[float, float]:
        return (speed - first) / (last - first) * width, (1.0 - value / up[1]) * HEIGHT

    lift = 6.0 + LABEL_SIZE * LETTER_HEIGHT / 2
    curves = [[pixel(*one) for one in along(curve, values, 300)] for curve, _, values in named]
    anchors, choices = [], []
    for index, (frontier, name, values) in enumerate(named):
        other = [spot for place, curve in enumerate(curves) if place != index for spot in curve]
        beside = along(frontier, values, 60)
        anchors.append([spot for spot in beside for _ in range(2)])
        places = [
            place_beside(pixel(*spot), name, LABEL_SIZE, offset, bold=True)
            for spot in beside
            for offset in ((8.0, -lift), (-8.0, lift))
        ]
        # A name closer to another line than to its own would be read as that line's.
        costs = [
            1000.0 * place.box.outside(width, HEIGHT)
            + 50.0 * covering(place.box, curves[index] + other, 4.0)
            + 5.0 * covering(place.box, other, 16.0)
            + 0.01 * rank
            for rank, place in enumerate(places)
        ]
        choices.append(list(zip(places, costs, strict=True)))
    # The legend names what has no place of its own.
    rows = []
    for (_, name, _), spots, options, place in zip(
        named, anchors, choices, placed(choices, worst=UNCLEAR), strict=True
    ):
        if place is not None:
            speed, value = spots[[one for one, _ in options].index(place)]
            rows.append({"name": name, "speed": speed, "value": value} | place.row())
    return rows


def _names(frontiers: Sequence[Frontier]) -> list[str]:
    """Return what tells the frontiers apart: the rack, else the file, else a number as well."""
    racks = [rack_name(one.instance.rack) for one in frontiers]
    files = [one.instance.name for one in frontiers]
    for names in (racks, files):
        if len(set(names)) == len(names):
            return names
    return [f"{name} ({count})" for count, name in enumerate(files, 1)]


def likely_rows(
    frontier: Frontier, name: str, values: Array, count: int = RIBBON_POINTS
) -> Iterator[dict[str, Any]]:
    """Return what plans make in four of five cases at so many speeds evenly along the axis.

    Where steps take longer than predicted a plan is as much slower for everyone as it makes less,
    so each point moves on the line through the origin; of points moved so, the best at a speed.
    """
    if frontier.likely is None:
        return
    low, high = frontier.likely
    slowest, fastest = (frontier.speeds * low).min(), (frontier.speeds * high).max()
    speeds = np.linspace(float(slowest), float(fastest), count)
    ends = (_best_at(speeds, frontier.speeds * share, values * share) for share in (low, high))
    for speed, least, most in zip(speeds.tolist(), *(one.tolist() for one in ends), strict=True):
        yield {"instance": name, "speed": speed, "low": least, "high": most}


def _best_at(speeds: Array, reached: Array, values: Array) -> Array:
    """Return the best value of the points that reach each speed, 0 where none does."""
    order = np.argsort(-reached)
    best = np.concatenate([[0.0], np.maximum.accumulate(values[order])])
    count = np.searchsorted(-reached[order], -speeds, side="right")
    return np.asarray(best[count])


def _title(
    frontiers: Sequence[Frontier], quoted: Normalisation, mark: Mark | None, *, likely: bool
) -> alt.TitleParams:
    settings = list(dict.fromkeys(setting(one) for one in frontiers))
    if len(frontiers) > 1:
        workloads = {_workload(one) for one in frontiers}
        settings = [workloads.pop()] if len(workloads) == 1 else settings
    marks = "Marks: what limits, what binds or the configuration changes there."
    lines = [*(f"{one}." for one in settings), marks]
    if likely:
        lines.append(f"Grey: {LIKELY}")
    if mark is not None:
        lines.append(ring_note(mark))
    if quoted.per == "mw":
        lines.append("Of the plans with the most throughput, at the power that each draws.")
    best = frontiers[0].best_of_it
    return heading(f"The {best.rstrip(',')}", lines)


def _workload(frontier: Frontier) -> str:
    llm = frontier.instance.llm
    return f"{llm_name(llm)}, {_context(frontier)}"


def _context(frontier: Frontier) -> str:
    return f"{show(frontier.instance.workload.mean_context, 7)} tokens of context"


def setting(frontier: Frontier) -> str:
    """Return model, rack and context of a frontier in words."""
    llm, rack = frontier.instance.llm, frontier.instance.rack
    named = f"{llm_name(llm)} on {rack_name(rack)}"
    return f"{named}, {_context(frontier)}"
