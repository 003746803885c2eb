"""The tornado of a sensitivity: what a step of each number does to throughput, largest first."""

from collections.abc import Iterator
from typing import Any

import altair as alt

from hbmopt.basics import made, show
from hbmopt.errors import InputError
from hbmopt.instance import OBJECTIVES, TOGETHER
from hbmopt.report.charts.style import (
    GREY,
    INK,
    WIDTH,
    axis,
    finished,
    heading,
    inline,
    layered,
    linear,
    round_domain,
    tooltips,
)
from hbmopt.studies.sensitivity import SMALL, NumberPrice, Resolved, Sensitivity

MOST_ROWS = 24
"""Numbers that a tornado shows where nobody says how many."""

ROW = 30
"""Pixels of a row: one bar for less, one for more."""

LESS, MORE = "#E69F00", "#0072B2"


def tornado(found: Sensitivity, most: int = MOST_ROWS) -> alt.LayerChart:
    """Return two bars per number: the change of throughput for a step less and a step more of it.

    Bars are solved anew where that was asked for, and ticks are what the price alone says. A star
    marks steps at which another configuration wins.
    """
    rows = [row for one in _shown(found, most) for row in _rows(found, one)]
    if not rows:
        raise InputError("the chart is empty: no number of this instance is worth anything")
    step = f"{100 * found.step:g} %"
    solved = any(row["solved"] for row in rows)
    ends = [
        value for row in rows for value in (row["change"], row["expected"]) if value is not None
    ]
    # Labels that say how large a step is are longer.
    beside = 0.2 if any("(" in row["text"] for row in rows) else 0.12
    margin = beside * (max([*ends, 0.0]) - min([*ends, 0.0]))
    across = round_domain([min([*ends, 0.0]) - margin, max([*ends, 0.0]) + margin], zero=True)
    order = list(dict.fromkeys(row["label"] for row in rows))
    sides = [f"{step} less of it", f"{step} more of it"]
    sought = OBJECTIVES[found.objective].title
    y = alt.Y(
        "label:N",
        sort=order,
        title=None,
        axis=alt.Axis(ticks=False, domain=False, labelPadding=8),
        scale=alt.Scale(paddingInner=0.25, paddingOuter=0.1),
    )
    x = alt.X(
        "change:Q", title=f"change of {sought}, %", scale=linear(across), axis=axis(across, 8)
    )
    offset = alt.YOffset("side:N", sort=sides, scale=alt.Scale(domain=sides))
    base = alt.Chart(inline(rows)).encode(y=y, yOffset=offset)
    bars = base.mark_bar().encode(
        x=x,
        color=alt.Color(
            "side:N",
            scale=alt.Scale(domain=sides, range=[LESS, MORE]),
            legend=alt.Legend(title=None, orient="top", symbolType="square"),
        ),
        tooltip=tooltips(
            ("label", "number", ""),
            ("to", "solved at", ""),
            ("change", f"change of {sought} (%)", "+.1f"),
            ("expected", "what the price says (%)", "+.1f"),
            ("price", "price", ""),
            ("configuration", "configuration", ""),
        ),
    )
    layers = [bars]
    if solved:
        known = alt.Chart(inline([row for row in rows if row["expected"] is not None]))
        layers.append(
            known.mark_tick(color=INK, thickness=2, size=ROW * 0.34).encode(
                y=y, yOffset=offset, x=alt.X("expected:Q")
            )
        )
    layers += [_labels(rows, y, offset, right=side) for side in (True, False)]
    zero = alt.Chart(inline([{"zero": 0.0}]), name="zero_wide").mark_rule(color=GREY)
    zero = zero.encode(x=alt.X("zero:Q"))
    chart = layered([zero, *layers], WIDTH, ROW * len(order))
    return finished(chart, heading("What each number is worth", _subtitle(found, solved=solved)))


def _shown(found: Sensitivity, most: int) -> list[NumberPrice]:
    """Return the numbers with the longest bars."""
    sized = [(max(map(abs, _changes(found, one)), default=0.0), one) for one in found.numbers]
    kept = sorted((pair for pair in sized if pair[0] > SMALL), key=lambda pair: -pair[0])
    return [one for _, one in kept[:most]]


def _changes(found: Sensitivity, one: NumberPrice) -> Iterator[float]:
    for row in _rows(found, one):
        yield row["change"] / 100.0


def _rows(found: Sensitivity, one: NumberPrice) -> Iterator[dict[str, Any]]:
    """Yield a row for less and one for more of a number, changes in %."""
    name = f"{one.name} (all)" if one.name in TOGETHER and one.unit == "%" else one.name
    label = name if one.unit == "%" else f"{name}  {show(one.value)} {one.unit}".rstrip()
    banded = found.throughput_range_tok_s is not None
    worth = made(one.unit_price or 0.0, banded=banded, digits=4)
    price = f"{worth} {one.unit_price_unit or ''}"
    for word, sign, step in (("less", -1.0, one.down), ("more", 1.0, one.up)):
        common = {
            "label": label,
            "side": f"{100 * found.step:g} % {word} of it",
            "price": price,
            "solved": bool(one.steps),
        }
        if step is not None:
            yield common | _solved_row(step, one, found.step)
        elif not one.steps and one.elasticity:
            expected = 100.0 * sign * found.step * one.elasticity
            to = f"{show(one.value * (1.0 + sign * found.step))} {one.unit}".rstrip()
            yield common | {
                "change": expected,
                "expected": expected,
                "text": f"{expected:+.1f} %",
                "to": f"not solved: {to}",
                "configuration": "held",
            }


def _solved_row(step: Resolved, one: NumberPrice, asked: float) -> dict[str, Any]:
    text = "no plan"
    if step.change is not None:
        text = f"{100 * step.change:+.1f} %{' *' if step.other_configuration else ''}"
    # Of whole things there is no step of just the size asked for.
    other = step.other_than(asked)
    text += f" ({other}: {show(step.value)})" if other else ""
    return {
        "change": 100.0 * step.change if step.change is not None else 0.0,
        "expected": 100.0 * step.expected if step.expected is not None else None,
        "text": text,
        "to": f"{show(step.value)} {one.unit}".rstrip(),
        "configuration": step.configuration or step.message,
    }


def _labels(rows: list[dict[str, Any]], y: alt.Y, offset: alt.YOffset, *, right: bool) -> alt.Chart:
    """Return the numbers at the ends of bars and ticks, to the right or to the left of zero."""
    placed = []
    for row in rows:
        if (row["change"] >= 0.0) != right:
            continue
        ends = [row["change"], row["expected"] or 0.0, 0.0]
        placed.append(row | {"end": max(ends) if right else min(ends)})
    labels: alt.Chart = (
        alt.Chart(inline(placed))
        .mark_text(
            align="left" if right else "right", dx=6 if right else -6, fontSize=10, color=INK
        )
        .encode(y=y, yOffset=offset, x=alt.X("end:Q"), text="text:N")
    )
    return labels


def _subtitle(found: Sensitivity, *, solved: bool) -> list[str]:
    banded = found.throughput_range_tok_s is not None
    reached = made(found.objective_amount or 0.0, banded=banded)
    lines = [f"{found.llm} on {found.rack}: {reached} {found.objective_unit}."]
    if not solved:
        return [*lines, "By the prices alone, with configuration and replicas held."]
    return [
        *lines,
        "Bars: solved anew, everything free (*: another configuration wins).",
        "Black ticks: what the price alone says.",
    ]
