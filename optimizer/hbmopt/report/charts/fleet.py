"""Charts of a fleet: power and tokens through the periods, what it costs, and curves of sweeps."""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice, pairwise
from typing import Any

import altair as alt

from hbmopt.basics import show
from hbmopt.fleet import FleetPlan
from hbmopt.report.charts.style import (
    EXTENT,
    FAINT,
    GREY,
    HEIGHT,
    INK,
    PARTS,
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
from hbmopt.report.tables import Work, setting, work_of

OTHERS = "all others"
AT_REST = "racks at rest"

RACKS_HIGH = 170
"""Height of the panel of racks."""

STEP_WIDE = 26
"""Pixels of a period at least."""

Rows = Sequence[Mapping[str, Any]]


def power_bars(plan: FleetPlan) -> alt.LayerChart:
    """Return the power of the site in each period, stacked by what draws it, with the cap."""
    works = work_of(plan)
    amounts = _by_name(works, lambda one: [kilowatt * plan.pue / 1e3 for kilowatt in one.power_kw])
    drawn = [one.power_kw / 1e3 for one in plan.periods]
    known = map(sum, zip(*amounts.values(), strict=True)) if amounts else [0.0] * len(drawn)
    rest = [max(all_of_it - part, 0.0) for all_of_it, part in zip(drawn, known, strict=True)]
    if max(rest) > 1e-3 * max(drawn):
        amounts[AT_REST] = rest
    caps = [one.cap_kw / 1e3 if one.cap_kw else None for one in plan.periods]
    notes = [setting(plan)]
    if any(cap is not None for cap in caps):
        notes.append("Dark lines: the cap.")
    title = heading("Power of the site by period", notes)
    return _stacked(plan, amounts, caps, "power of the site, MW", "MW", title)


def token_bars(plan: FleetPlan) -> alt.LayerChart:
    """Return output tokens per second in each period, stacked by the pools that make them."""
    works = [one for one in work_of(plan) if not one.prefills]
    amounts = _by_name(works, lambda one: list(one.rate))
    asked = [
        sum(tokens for one in plan.classes if (tokens := one.asked_tok_s[place]) is not None)
        if any(one.asked_tok_s[place] is not None for one in plan.classes)
        else None
        for place in range(len(plan.periods))
    ]
    notes = ["Dark lines: what is asked for."] if any(asked) else []
    title = heading("Tokens by period", notes)
    return _stacked(plan, amounts, asked, "output tokens, tok/s", "tok/s", title)


def _by_name(works: Sequence[Work], of: Callable[[Work], list[float]]) -> dict[str, list[float]]:
    """Return amounts by period of each pool, of each class where pools are more than colours."""
    by_class = len(works) > len(PARTS)
    found = dict[str, list[float]]()
    for one in works:
        name = one.demand if by_class else _named(one, works)
        known = found.get(name)
        found[name] = [a + b for a, b in zip(known, of(one), strict=True)] if known else of(one)
    return _most(found)


def _named(one: Work, among: Sequence[Work]) -> str:
    """Return the class, and type of rack and stage where others of the class differ in them."""
    alike = [other for other in among if other.demand == one.demand]
    name = one.demand
    if len({other.stage for other in alike}) > 1:
        name += f", {one.stage}"
    return f"{name} on {one.kind}" if len({other.kind for other in alike}) > 1 else name


def _stacked(
    plan: FleetPlan,
    amounts: dict[str, list[float]],
    line: Sequence[float | None],
    label: str,
    unit: str,
    title: alt.TitleParams,
) -> alt.LayerChart:
    """Return bars by period of amounts on top of each other, and a line of what limits them."""
    order = list(amounts)
    periods = [one.name for one in plan.periods]
    rows = [
        {"period": periods[place], "part": name, "order": order.index(name), "amount": amount}
        for name, listed in amounts.items()
        for place, amount in enumerate(listed)
        if amount > 0
    ]
    tops = [sum(listed[place] for listed in amounts.values()) for place in range(len(periods))]
    up = round_domain([*tops, *(one for one in line if one is not None)], zero=True)
    wide = max(WIDTH, STEP_WIDE * len(periods)) if len(periods) > 4 else 110 * len(periods)
    x = alt.X(
        "period:O",
        sort=periods,
        title=None,
        axis=alt.Axis(labelAngle=_angle(periods, wide), ticks=False, labelOverlap=True),
        scale=alt.Scale(paddingInner=0.12, paddingOuter=0.06),
    )
    y = alt.Y("amount:Q", title=label, stack="zero", scale=linear(up), axis=axis(up, extent=EXTENT))
    greys = {AT_REST: "#bdbdbd", OTHERS: GREY}
    colours = [greys.get(name, PARTS[place % len(PARTS)]) for place, name in enumerate(order)]
    bars = (
        alt.Chart(inline(rows))
        .mark_bar(stroke="white", strokeWidth=0.6)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "part:N",
                scale=alt.Scale(domain=order[::-1], range=colours[::-1]),
                legend=alt.Legend(title=None, symbolType="square"),
            ),
            order=alt.Order("order:Q"),
            tooltip=tooltips(
                ("period", "period", ""), ("part", "of", ""), ("amount", unit, ",.4~r")
            ),
        )
    )
    limits = [
        {"period": name, "limit": limit}
        for name, limit in zip(periods, line, strict=True)
        if limit is not None
    ]
    layers: list[alt.Chart] = [bars]
    if limits:
        layers.append(
            alt.Chart(inline(limits))
            .mark_tick(thickness=2, color=INK, bandSize=wide / len(periods))
            .encode(x=x, y=alt.Y("limit:Q"), tooltip=tooltips(("limit", unit, ",.4~r")))
        )
    return finished(layered(layers, wide, HEIGHT - 80), title)


def _most(amounts: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return the largest parts, as many as there are colours, and the sum of all others."""
    if len(amounts) <= len(PARTS):
        return amounts
    largest = sorted(amounts, key=lambda name: -sum(amounts[name]))[: len(PARTS) - 1]
    kept = {name: listed for name, listed in amounts.items() if name in largest}
    rest = [listed for name, listed in amounts.items() if name not in largest]
    return kept | {OTHERS: [float(sum(parts)) for parts in zip(*rest, strict=True)]}


def _angle(names: Sequence[str], wide: int) -> int:
    """Return the angle at which the names of periods do not touch."""
    return 0 if max(map(len, names)) * 7.0 <= wide / len(names) else -45


def cost_bars(plan: FleetPlan) -> alt.LayerChart:
    """Return what an hour of the fleet costs by part, and what it earns."""
    cost = plan.cost
    parts = [
        ("racks bought", cost.capital if cost else 0.0),
        ("site and operations", cost.site_and_operations if cost else 0.0),
        ("energy", cost.energy if cost else 0.0),
    ]
    total = sum(usd for _, usd in parts)
    rows = [
        {"part": name, "usd": usd, "text": f"{show(usd)} ({usd / total:.0%})" if total else "0"}
        for name, usd in parts
    ]
    if cost is not None and cost.revenue > 0:
        rows.append({"part": "revenue", "usd": cost.revenue, "text": show(cost.revenue)})
    across = round_domain([1.18 * float(str(row["usd"])) for row in rows], zero=True)
    names = [str(row["part"]) for row in rows]
    x = alt.X("usd:Q", title="USD an hour in the mean", scale=linear(across), axis=axis(across))
    y = alt.Y("part:N", sort=names, title=None, axis=alt.Axis(ticks=False, labelOverlap=False))
    colours = alt.Scale(domain=names, range=[PARTS[0], PARTS[4], PARTS[1], PARTS[2]])
    base = alt.Chart(inline(rows)).encode(x=x, y=y)
    bars = base.mark_bar(height={"band": 0.66}).encode(
        color=alt.Color("part:N", scale=colours, legend=None),
        tooltip=tooltips(("part", "of", ""), ("usd", "USD/h", ",.4~r")),
    )
    numbers = base.mark_text(align="left", dx=5, fontSize=12, color=INK).encode(text="text:N")
    notes = []
    if cost is not None and cost.usd_per_million is not None:
        notes.append(f"{show(cost.usd_per_million)} USD per million output tokens.")
    layers: list[alt.Chart] = [bars, numbers]
    return finished(layered(layers, WIDTH, 38 * len(rows)), heading("What the fleet costs", notes))


def fleet_curve(
    rows: Rows, field: str, label: str, title: str, subtitle: str = ""
) -> alt.VConcatChart:
    """Return the objective of fleets over a number or a name, and below it the racks by type.

    Rows are those of a sweep of a fleet; `field` is what varies.
    """
    named = any(isinstance(row[field], str) for row in rows)
    solved = [row for row in rows if row["status"] == "optimal"]
    unit = str(solved[0]["objective_unit"]) if solved else ""
    kinds = [name for name in (rows[0] if rows else {}) if str(name).startswith("racks_")]
    kinds = [name for name in kinds if any(row[name] for row in solved)]
    places = [str(row[field]) for row in rows]
    values = [] if named else sorted({float(row[field]) for row in rows})
    apart = min((after - one for one, after in pairwise(values)), default=1.0)
    # Bars stand around their values, so there is room for half a bar at both ends.
    across = (values[0] - apart / 2, values[-1] + apart / 2) if values else (0.0, 1.0)

    def x(name: str | None) -> alt.X:
        if named:
            plain = alt.Axis(labelOverlap=False, ticks=False, labelAngle=_angle(places, WIDTH))
            scale = alt.Scale(domain=places)
            return alt.X("at:N", sort=places, title=name, axis=plain, scale=scale)
        # Without padding, which bars would get and lines would not.
        scale = alt.Scale(domain=across, nice=False, zero=False, padding=0)
        return alt.X("at:Q", title=name, scale=scale, axis=axis(across))

    points = [
        {
            "at": str(row[field]) if named else float(row[field]),
            "amount": float(row["objective_amount"]),
            "racks": int(row["racks"]),
            "kw": float(row["power_kw"]),
            "served": float(row["served"]) if row["served"] is not None else 1.0,
        }
        for row in solved
    ]
    up = round_domain([float(str(one["amount"])) for one in points] or [0.0, 1.0], zero=True)
    hover = tooltips(
        ("at", label, "" if named else ",.5~r"),
        ("amount", unit, ",.5~r"),
        ("racks", "racks", ",.0f"),
        ("kw", "kW at the peak", ",.4~r"),
        ("served", "served", ".0%"),
    )
    y = alt.Y("amount:Q", title=unit, scale=linear(up), axis=axis(up, 6, EXTENT))
    base = alt.Chart(inline(points)).encode(x=x(None), y=y)
    line: list[alt.Chart] = [] if named else [base.mark_line(color=GREY, strokeWidth=1.5)]
    dots = base.mark_point(filled=True, size=64, color=PARTS[0], opacity=1.0).encode(tooltip=hover)
    top = layered([*_unserved(rows, field, x(None), 220), *line, dots], WIDTH, 220)
    size = 36.0 if named else min(36.0, 0.7 * WIDTH * apart / (across[1] - across[0]))
    return finished(
        alt.vconcat(
            top, _racks_panel(solved, field, kinds, x(label), size, named=named), spacing=16
        ),
        heading(title, [subtitle] if subtitle else []),
    )


def _racks_panel(
    rows: Rows, field: str, kinds: Sequence[str], x: alt.X, size: float, *, named: bool
) -> alt.LayerChart:
    """Return the racks that stand, stacked by type."""
    counts = [
        {
            "at": str(row[field]) if named else float(row[field]),
            "kind": name.removeprefix("racks_"),
            "order": order,
            "count": int(row[name]),
        }
        for row in rows
        for order, name in enumerate(kinds)
    ]
    names = [name.removeprefix("racks_") for name in kinds]
    tops = [float(sum(int(row[name]) for name in kinds)) for row in rows] or [1.0]
    up = round_domain(tops, zero=True, parts=4)
    bars = (
        alt.Chart(inline(counts))
        .mark_bar(size=max(size, 3.0), stroke="white", strokeWidth=0.6)
        .encode(
            x=x,
            y=alt.Y(
                "count:Q", title="racks", stack="zero", scale=linear(up), axis=axis(up, 4, EXTENT)
            ),
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(domain=names, range=[*islice(cycle(PARTS), len(names))]),
                legend=alt.Legend(title="racks of", symbolType="square"),
            ),
            order=alt.Order("order:Q"),
            tooltip=tooltips(("kind", "type", ""), ("count", "racks", ",.0f")),
        )
    )
    return layered([bars], WIDTH, RACKS_HIGH)


def _unserved(rows: Rows, field: str, x: alt.X, height: int) -> list[alt.Chart]:
    """Return a mark at each value at which there is no plan."""
    failed = [{"at": row[field]} for row in rows if row["status"] != "optimal"]
    if not failed:
        return []
    data = inline(failed)
    rule = alt.Chart(data).mark_rule(color=FAINT, strokeWidth=18).encode(x=x)
    text = (
        alt.Chart(data)
        .mark_text(text="no plan", angle=270, color=INK, fontSize=12)
        .encode(x=x, y=alt.value(height / 2))
    )
    return [rule, text]
