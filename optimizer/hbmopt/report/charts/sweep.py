"""Charts of sweeps: throughput and price along a power cap, and heat maps of two inputs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import altair as alt

from hbmopt.basics import made, range_text, round_step, show
from hbmopt.errors import InputError
from hbmopt.instance import OBJECTIVES
from hbmopt.report.charts.answer import Mark, mark_layers, marked, ring_note
from hbmopt.report.charts.style import (
    EXTENT,
    GREY,
    HEIGHT,
    INK,
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

Rows = Sequence[Mapping[str, Any]]

PANEL = 210
"""Height of each of the two panels of a power curve."""

HATCH = "M-1,-0.5L-0.5,-1M-1,0L0,-1M-1,0.5L0.5,-1M-1,1L1,-1M-0.5,1L1,-0.5M0,1L1,0M0.5,1L1,0.5"
"""Slanted lines over a square, for cells where nothing can be served."""

ON_COLOUR = "#111111"
"""Ink of what stands on colours, which stay where the page is dark."""

MOST_NUMBERS = 200
"""Cells up to which each has its number written in it."""


@dataclass(frozen=True)
class Curve:
    """What a curve is drawn over, by key and title, and the price that is drawn below it.

    `answer` is ringed where it stands, and `limit` is a dashed line with its name.
    """

    x: str
    label: str
    price: str | None = None
    price_label: str = ""
    one_more: str = ""
    answer: Mark | None = None
    limit: tuple[float, str] | None = None


POWER_CURVE = Curve(
    "power_kw",
    "power cap, kW",
    "price_tok_s_per_kw",
    "price of the cap, tok/s per kW",
    "one more kW",
)


def power_curve(answer: Solution | None, cap_kw: float | None) -> Curve:
    """Return the curve of power caps, with the answer at the power that it draws, and its cap."""
    if answer is None or answer.objective_amount is None:
        return POWER_CURVE
    drawn, known = (answer.power_w or 0.0) / 1e3, answer.throughput_range_tok_s
    ends = None
    if known is not None and answer.objective_unit == TOKENS:
        ends = ((drawn, known[0]), (drawn, known[1]))
    mark = marked(answer, (drawn, answer.objective_amount), ends)
    limit = (cap_kw, f"the cap, {show(cap_kw)} kW") if cap_kw is not None else None
    return replace(POWER_CURVE, answer=mark, limit=limit)


DETAILS = (
    ("speed_tok_s_user", "speed", "speed (tok/s per user)", ",.4~r"),
    ("batch", "batch", "batch (sequences)", ",.6~r"),
    ("power_w", "power", "power drawn (kW)", ",.4~r"),
    ("tok_s_per_mw", "per_mw", "throughput per MW drawn (tok/s)", ",.6~r"),
)
"""What is hovered of a row where it is known: its key, field, title and format."""


def _details(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is hovered of a row beside its inputs and its answer."""
    found: dict[str, Any] = {
        field: float(row[key]) / (1e3 if key == "power_w" else 1.0)
        for key, field, _, _ in DETAILS
        if row.get(key) is not None
    }
    found["limit"] = resource_label(row.get("limiting_resource"))
    if row.get("throughput_low_tok_s") is not None and objective_unit([row]) == TOKENS:
        found["low"], found["high"] = (
            float(row[f"throughput_{end}_tok_s"]) for end in ("low", "high")
        )
        found["likely"] = range_text(found["low"], found["high"])
    if row.get("configuration"):
        found["configuration"] = row["configuration"]
    return found


def _banded(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether it is known of all rows how far off they may be."""
    return all("low" in row for row in rows)


def _detail_hover(rows: Sequence[Mapping[str, Any]]) -> list[alt.Tooltip]:
    """Return the tooltips of the details that rows have."""
    banded = _banded(rows)
    parts = [
        (field, title, style if field == "batch" or not banded else made_format(banded=True))
        for _, field, title, style in DETAILS
    ]
    parts += [("likely", "in four of five cases (tok/s)", "")]
    parts += [("limit", "limited by", ""), ("configuration", "configuration", "")]
    return tooltips(*(part for part in parts if any(part[0] in row for row in rows)))


def curve_panels(
    rows: Rows, curve: Curve, title: str, subtitle: str
) -> alt.LayerChart | alt.VConcatChart:
    """Return throughput over a number, and below it what one more of it is worth."""
    ordered = sorted(rows, key=lambda row: float(row[curve.x]))
    solved = [row for row in ordered if _served(row)]
    if not solved:
        raise InputError("the curve is empty: nothing can be served at any of these points")
    marks = curve.answer.spots if curve.answer is not None else []
    limits = [curve.limit[0]] if curve.limit is not None else []
    named = [float(row[curve.x]) for row in ordered]
    across = round_domain([*named, *limits, *(at for at, _ in marks)])
    colours, shapes = resource_scales(row.get("limiting_resource") for row in solved)
    drawn: list[dict[str, Any]] = [
        {curve.x: float(row[curve.x]), "throughput": _reached(row)}
        | ({"price": float(row[curve.price] or 0.0)} if curve.price is not None else {})
        | _details(row)
        for row in solved
    ]
    reached = objective_unit(solved)
    measured = "throughput" if reached == TOKENS else OBJECTIVE_TITLES.get(reached, "objective")
    name, _, unit = curve.label.partition(", ")
    hover = tooltips(
        (curve.x, f"{name} ({unit})" if unit else name, ",.5~r"),
        ("throughput", f"{measured} ({reached})", made_format(banded=_banded(drawn))),
    )
    if curve.price is not None:
        hover += tooltips(
            (
                "price",
                f"{curve.one_more} ({reached})",
                made_format(banded=_banded(drawn), digits=4),
            )
        )
    hover += _detail_hover(drawn)
    legend = alt.Legend(title=LIMITED_BY)

    def panel(field: str, name: str, height: int, *, last: bool) -> alt.LayerChart:
        parts = 5 if height == PANEL else 10
        ranged = field == "throughput" and _banded(drawn)
        highest = [row["high"] for row in drawn] if ranged else []
        highest += [made for _, made in marks] if field == "throughput" else []
        up = round_domain([*(row[field] for row in drawn), *highest], zero=True, parts=parts)
        x = alt.X(
            f"{curve.x}:Q",
            title=curve.label if last else None,
            scale=linear(across),
            axis=axis(across),
        )
        y = alt.Y(f"{field}:Q", title=name, scale=linear(up), axis=axis(up, parts, EXTENT))
        base = alt.Chart(inline(drawn)).encode(x=x, y=y)
        # Throughput between two points lies between theirs; a price holds at its point alone.
        line = (
            base.mark_line(color=GREY, strokeWidth=1.5)
            if field == "throughput"
            else base.mark_rule(color=GREY, strokeWidth=1.5).encode(y2=alt.datum(0))
        )
        points = base.mark_point(filled=True, size=58, opacity=1.0).encode(
            color=alt.Color("limit:N", scale=colours, legend=legend),
            shape=alt.Shape("limit:N", scale=shapes, legend=legend),
            tooltip=hover,
        )
        layers = [*_empty(ordered, curve.x, across, x, height), line, points]
        if ranged:
            layers.insert(0, ribbon(base))
        if limits:
            cap = alt.Chart(inline([{curve.x: one} for one in limits]))
            layers.append(cap.mark_rule(color=INK, strokeDash=[5, 3], strokeWidth=1.3).encode(x=x))
        if curve.answer is not None and field == "throughput":
            layers += mark_layers(curve.answer, (curve.x, field), x, y)
        return layered(layers, WIDTH, height)

    notes = [f"Grey: {LIKELY}"] if all("low" in row for row in drawn) else []
    if curve.answer is not None:
        notes.append(ring_note(curve.answer, f", at the {curve.label.partition(', ')[0]} it needs"))
    if curve.limit is not None:
        notes.append(f"Dashed: {curve.limit[1]}.")
    top = heading(title, [*([subtitle] if subtitle else []), *notes])
    if curve.price is None:
        return finished(
            panel("throughput", f"{measured} of the rack, {reached}", HEIGHT, last=True), top
        )
    panels = (
        panel("throughput", f"{measured}, {reached}", PANEL, last=False),
        panel("price", curve.price_label.replace(TOKENS, reached, 1), PANEL, last=True),
    )
    return finished(alt.vconcat(*panels, spacing=18), top)


def _unserved(row: Mapping[str, Any]) -> str:
    """Say why a row has no throughput: not all that has none was answered."""
    status = row.get("status", "infeasible")
    return "nothing can be served" if status == "infeasible" else f"no answer: {status}"


def _served(row: Mapping[str, Any]) -> bool:
    return row.get("status", "optimal") == "optimal" and row.get("throughput_tok_s") is not None


def _empty(ordered: Rows, field: str, across: Ends, x: alt.X, height: int) -> list[alt.Chart]:
    """Return the stretches in which nothing can be served, with their name."""
    failed = [float(row[field]) for row in ordered if not _served(row)]
    if not failed:
        return []
    served = [float(row[field]) for row in ordered if _served(row)]
    low = [one for one in failed if one < served[0]]
    high = [one for one in failed if one > served[-1]]
    spans = [(across[0], low[-1], low[-1])] if low else []
    spans += [(high[0], across[1], high[0])] if high else []
    spans += [(one, one, one) for one in failed if served[0] < one < served[-1]]
    data = inline([{field: first, "to": last, "edge": edge} for first, last, edge in spans])
    marks: list[alt.Chart] = [
        alt.Chart(data).mark_rect(color="#dddddd", opacity=0.7).encode(x=x, x2=alt.X2("to")),
        alt.Chart(data).mark_rule(color=GREY, strokeDash=[3, 3]).encode(x=alt.X("edge:Q")),
    ]
    pixel = WIDTH / (across[1] - across[0])
    middles = [(first + last) / 2 for first, last, _ in spans if (last - first) * pixel >= 20]
    if middles:
        marks.append(
            alt.Chart(inline([{field: one} for one in middles]))
            .mark_text(text="nothing can be served", angle=270, color=INK, fontSize=12)
            .encode(x=x, y=alt.value(height / 2))
        )
    return marks


TOKENS = "tok/s"
"""Unit of throughput, which is drawn where nothing else is sought."""


OBJECTIVE_TITLES = {one.unit: one.title for one in OBJECTIVES.values()}
"""Objectives by their units."""


def objective_unit(rows: Rows) -> str:
    """Return the unit of what is sought in all rows; that of throughput where they differ."""
    units = {row.get("objective_unit", TOKENS) for row in rows}
    return str(units.pop()) if len(units) == 1 else TOKENS


def _reached(row: Mapping[str, Any]) -> float:
    """Return the objective of a row in its own unit."""
    return float(row.get("objective_amount", row["throughput_tok_s"]))


def _reached_text(row: Mapping[str, Any]) -> str:
    banded = row.get("throughput_low_tok_s") is not None
    return made(_reached(row), banded=banded)


def name_bars(rows: Rows, field: str, label: str, title: str, subtitle: str) -> alt.LayerChart:
    """Return a bar of throughput for each name, as they come."""
    solved = [row for row in rows if _served(row)]
    if not solved:
        raise InputError("the bars are empty: nothing can be served with any of these names")
    drawn: list[dict[str, Any]] = [
        {
            "name": str(row[field]),
            "throughput": _reached(row),
            "text": _reached_text(row),
        }
        | _details(row)
        for row in solved
    ]
    reached = objective_unit(solved)
    measured = "throughput" if reached == TOKENS else OBJECTIVE_TITLES.get(reached, "objective")
    ranged = _banded(drawn)
    longest = "high" if ranged else "throughput"
    texts = [{"name": one["name"], "at": one[longest], "text": one["text"]} for one in drawn]
    texts += [
        {"name": str(row[field]), "at": 0.0, "text": _unserved(row)}
        for row in rows
        if not _served(row)
    ]
    # The number beside the longest bar needs room within the plot.
    across = round_domain([1.12 * float(one[longest]) for one in drawn], zero=True)
    x = alt.X(
        "throughput:Q",
        title=f"{measured} of the rack, {reached}",
        scale=linear(across),
        axis=axis(across),
    )
    y = alt.Y(
        "name:N",
        sort=[str(row[field]) for row in rows],
        title=label,
        axis=alt.Axis(labelOverlap=False, ticks=False),
    )
    colours, _ = resource_scales(row.get("limiting_resource") for row in solved)
    bars = (
        alt.Chart(inline(drawn))
        .mark_bar(height={"band": 0.66})
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "limit:N", scale=colours, legend=alt.Legend(title=LIMITED_BY, symbolType="square")
            ),
            tooltip=[
                *tooltips(
                    ("name", label, ""),
                    ("throughput", f"{measured} ({reached})", made_format(banded=ranged)),
                ),
                *_detail_hover(drawn),
            ],
        )
    )
    numbers = (
        alt.Chart(inline(texts))
        .mark_text(align="left", dx=5, fontSize=12, color=INK)
        .encode(x=alt.X("at:Q"), y=y, text="text:N")
    )
    tall, notes = max(34 * len(rows), 80), [subtitle] if subtitle else []
    layers: list[alt.Chart] = [bars, numbers]
    if ranged:
        ends = alt.Chart(inline(drawn)).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"), y=y)
        layers.insert(1, ends.mark_rule(color=INK, opacity=0.6, strokeWidth=1.5))
        notes.append(f"Lines: {LIKELY}")
    return finished(layered(layers, WIDTH, tall), heading(title, notes))


def heat_map_cells(
    rows: Rows,
    fields: tuple[str, str, str],
    labels: tuple[str, str, str],
    title: str,
    subtitle: str,
) -> alt.LayerChart:
    """Return cells coloured by a number, or by a limiting resource where the value is a name."""
    (x, y, value), (x_label, y_label, value_label) = fields, labels
    across, up = _ordered(rows, x), _ordered(rows, y)
    found = [row for row in rows if _valued(row, value)]
    if not found:
        raise InputError("the heat map is empty: nothing can be served in any of its cells")
    named = isinstance(found[0][value], str)
    # Numbers grow upwards, as on any axis; words are read downwards.
    up = up if isinstance(rows[0][y], str) else up[::-1]
    size = max(min(54, WIDTH // len(across)), 14)
    tall = max(min(54, 420 // len(up)), 14)
    cells = [_cell(row, x, y, value, named=named) for row in rows]
    solved = [cell for cell in cells if cell["value"] is not None]
    failed = [cell for cell in cells if cell["value"] is None]
    position = {
        "x": alt.X(
            "x:O",
            sort=[_text(one) for one in across],
            title=x_label,
            axis=alt.Axis(labelAngle=_slant(across, size), labelOverlap=False, ticks=False),
        ),
        "y": alt.Y(
            "y:O",
            sort=[_text(one) for one in up],
            title=y_label,
            axis=alt.Axis(labelOverlap=False, ticks=False),
        ),
    }
    hover = [
        *tooltips(("x", x_label, ""), ("y", y_label, "")),
        *tooltips(
            (
                "value",
                value_label,
                "" if named else made_format(banded=_banded(solved), digits=5),
            )
        ),
        *_detail_hover(solved),
    ]
    if named:
        colour = alt.Color(
            "value:N",
            scale=resource_scales(row[value] for row in found)[0],
            legend=alt.Legend(title=value_label, symbolType="square"),
        )
    else:
        shades = [float(cell["value"]) for cell in solved]
        colour = alt.Color(
            "value:Q",
            scale=alt.Scale(scheme="cividis"),
            legend=alt.Legend(
                title=_lines(value_label),
                values=_round_values(min(shades), max(shades)),
                format="~s" if max(map(abs, shades)) >= 2e3 else ",.6~g",
                gradientLength=min(220, max(tall * len(up), 80)),
            ),
        )
    layers: list[alt.Chart] = [
        alt.Chart(inline(solved))
        .mark_rect(stroke="white", strokeWidth=1)
        .encode(**position, color=colour, tooltip=hover)
    ]
    if not named and len(cells) <= MOST_NUMBERS and size >= 34:
        middle = _lightness_turns([float(cell["value"]) for cell in solved])
        dark = [cell for cell in solved if cell["value"] <= middle]
        light = [cell for cell in solved if cell["value"] > middle]
        layers += [
            alt.Chart(inline(some), name=f"numbers_{ink}")
            .mark_text(fontSize=11, color=colour)
            .encode(**position, text="text:N", tooltip=hover)
            for some, ink, colour in ((dark, "light", "white"), (light, "dark", ON_COLOUR))
            if some
        ]
    if failed:
        layers += _hatched(failed, position, hover[:2], min(size, tall))
    notes = [subtitle] if subtitle else []
    notes += ["Hatched: nothing can be served."] if failed else []
    wide, name = size * len(across), title or _capital(value_label)
    return finished(
        layered(layers, wide, tall * len(up)), heading(name, notes, max(wide + 120, 420))
    )


def _round_values(low: float, high: float) -> list[float]:
    """Return round values of a range for its legend, which else may show its ends rounded."""
    if high <= low:
        return [low]
    step = round_step((high - low) / 4)
    return [step * at for at in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _lightness_turns(values: Sequence[float]) -> float:
    """Return the value up to which cells are so dark that white reads better."""
    return min(values) + 0.57 * (max(values) - min(values))


def _valued(row: Mapping[str, Any], value: str) -> bool:
    return row.get("status", "optimal") == "optimal" and row.get(value) is not None


def _ordered(rows: Rows, field: str) -> list[Any]:
    """Return the values of a field: numbers by size, words as they come."""
    values = list(dict.fromkeys(row[field] for row in rows))
    return values if any(isinstance(one, str) for one in values) else sorted(values)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"


def _cell(row: Mapping[str, Any], x: str, y: str, value: str, *, named: bool) -> dict[str, Any]:
    cell: dict[str, Any] = {"x": _text(row[x]), "y": _text(row[y]), "value": None}
    if _valued(row, value):
        raw = row[value]
        cell["value"] = resource_label(raw) if named else float(raw)
        cell["text"] = "" if named else short(float(raw))
        cell |= _details(row)
    return cell


def _hatched(
    failed: Sequence[dict[str, Any]],
    position: dict[str, Any],
    hover: list[alt.Tooltip],
    size: int,
) -> list[alt.Chart]:
    data = inline([cell | {"value": "nothing can be served"} for cell in failed])
    shown = [*hover, *tooltips(("value", "result", ""))]
    return [
        alt.Chart(data)
        .mark_rect(color="#eeeeee", stroke="white", strokeWidth=1)
        .encode(**position, tooltip=shown),
        alt.Chart(data, name="hatching")
        .mark_point(
            shape=HATCH, size=(size - 4) ** 2, stroke=GREY, strokeWidth=1, filled=False, opacity=1.0
        )
        .encode(**position, tooltip=shown),
    ]


def _slant(values: Sequence[Any], size: int) -> int:
    """Return the angle at which the labels of columns do not touch."""
    return 0 if max(len(_text(one)) for one in values) * 6.6 <= size - 4 else -45


def _capital(label: str) -> str:
    """Return a label without its unit as a title."""
    name = label.partition(", ")[0]
    return name[:1].upper() + name[1:]


def _lines(label: str) -> list[str]:
    """Return a legend's title in lines that are not much wider than the legend."""
    name, comma, unit = label.partition(", ")
    return [name + comma.strip(), unit] if comma else [name]


def short(value: float) -> str:
    """Return a number in at most five characters."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{sign}"
    return show(value, 3)
