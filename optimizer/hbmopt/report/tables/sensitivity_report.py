"""The table of a sensitivity: price, range and steps of every number, and what to buy next."""

from collections.abc import Sequence

from rich.console import Group, RenderableType

from hbmopt.basics import csv_text, elasticity_text, made, show, signed
from hbmopt.instance import TOGETHER
from hbmopt.report.tables.fitted_table import Column, FittedTable
from hbmopt.report.tables.output import json_text, printed
from hbmopt.report.tables.table_text import Indented, Text
from hbmopt.studies.sensitivity import (
    AT_BOUND,
    COLUMNS,
    NumberPrice,
    RangeEnd,
    Resolved,
    Sensitivity,
)

WIDTH = 172


def render_sensitivity(found: Sensitivity, style: str, *, width: int | None, color: bool) -> str:
    """Return a sensitivity as text in the style ``table``, ``json`` or ``csv``."""
    if style == "json":
        return json_text(found.to_dict())
    if style == "csv":
        return csv_text([one.flat() for one in found.numbers], COLUMNS)
    return printed(sensitivity_table(found, width or WIDTH), width or WIDTH, color=color)


def sensitivity_table(found: Sensitivity, width: int = WIDTH) -> RenderableType:
    """Return what to buy next, the prices, and what is worth nothing.

    Columns that do not fit into `width` are left out.
    """
    parts: list[RenderableType] = [_heading(found), Text()]
    if found.conflict is not None:
        reason = f"{found.conflict.summary}. Nothing has a price."
        return Group(*parts, Text.assemble(("Infeasible: ", "bold"), reason))
    if found.advice:
        parts.append(Text("What to buy next", style="bold"))
        parts += [Indented(sentence) for sentence in found.advice]
        parts.append(Text())
    shown = [one for one in found.numbers if not one.idle]
    if shown:
        prices = _prices(found, shown)
        parts += [prices, Text(), *_notes(found, shown, ranges=TO in prices.shown(width))]
    idle = [_idle(one) for one in found.numbers if one.idle]
    parts += _listed("Worth nothing here", idle)
    parts += _listed("Not read by any configuration of this instance", found.unused)
    if found.left_out:
        reasons = "; ".join(f"{what}: {why}" for what, why in found.left_out.items())
        parts.append(Text(f"Not listed: {reasons}.", style="dim"))
    return Group(*parts)


def _heading(found: Sensitivity) -> Text:
    text = Text()
    if found.title.strip():
        text.append(found.title.strip() + "\n", style="bold")
    text.append(f"{found.llm} on {found.rack}")
    if found.objective_amount is not None:
        banded = found.throughput_range_tok_s is not None
        reached = made(found.objective_amount, banded=banded)
        text.append(f": {reached} {found.objective_unit} with {found.configuration}")
    return text


TO = "to"
"""Heads the upper end of the range of a price."""


def _prices(found: Sensitivity, shown: Sequence[NumberPrice]) -> FittedTable:
    steps = any(one.steps for one in shown)
    title = "What each number is worth: price and range with configuration and replicas held"
    if steps:
        title += ", and the optimum a step away with everything free"
    less, more = f"{-100 * found.step:g} %", f"+{100 * found.step:g} %"
    columns = [
        Column("number", [_name(one) for one in shown], right=False),
        Column("now", [f"{show(one.value)} {one.unit}".strip() for one in shown], rank=4),
        Column("price", [_price(one) for one in shown], rank=2),
        Column(
            f"{found.objective_unit} per",
            [_per(one) for one in shown],
            right=False,
            rank=5,
            style="dim",
        ),
        Column("% per %", [_elasticity(one) for one in shown], rank=1),
        Column("holds from", [_end(one.low, one) for one in shown], rank=6),
        Column(TO, [_end(one.high, one) for one in shown], rank=6),
        Column(
            "at the nearer end",
            [_reason(one) for one in shown],
            right=False,
            least=20,
            rank=7,
            style="dim",
        ),
        Column(less, [_step(one.down, found.step) for one in shown], rank=3),
        Column(more, [_step(one.up, found.step) for one in shown], rank=3),
    ]
    return FittedTable([one for one in columns if any(one.cells)], title)


def _name(one: NumberPrice) -> str:
    return f"{one.name} (all)" if one.name in TOGETHER and one.unit == "%" else one.name


def _price(one: NumberPrice) -> str:
    if one.unit_price is None:
        return ""
    if one.unit_price_below is not None and one.unit_price_above is not None:
        return f"{signed(one.unit_price_below)} | {signed(one.unit_price_above)}"
    return signed(one.unit_price)


def _per(one: NumberPrice) -> str:
    return (one.unit_price_unit or "").partition(" per ")[2]


def _elasticity(one: NumberPrice) -> str:
    if one.elasticity is None or one.value == 0:
        return ""
    return elasticity_text(one.elasticity)


OPEN = "..."


def _end(end: RangeEnd | None, one: NumberPrice) -> str:
    if end is None:
        return ""
    return OPEN if end.reason is None else show(end.value, 3 if end.value != one.value else 4)


def _reason(one: NumberPrice) -> str:
    """Return what changes at the nearer end of the range."""
    ends = [
        (max(end.value, one.value) / (min(end.value, one.value) or 1e-9), end.reason)
        for end in (one.low, one.high)
        if end is not None and end.reason not in (None, AT_BOUND)
    ]
    return str(min(ends)[1]) if ends else ""


def _step(step: Resolved | None, asked: float) -> str:
    if step is None:
        return ""
    where = f"at {show(step.value)}: " if step.other_than(asked) else ""
    if step.change is None:
        return where + ("no plan" if step.status == "infeasible" else step.status)
    # Aligned: a mark stands to the right of all figures.
    return f"{where}{100 * step.change:+.2f} %{'*' if step.other_configuration else ' '}"


MOST_LISTED = 8


def _notes(
    found: Sensitivity, shown: Sequence[NumberPrice], *, ranges: bool
) -> list[RenderableType]:
    """Say what the marks mean, and which configurations win a step away."""
    notes: list[RenderableType] = []
    if any(one.unit_price_below is not None for one in shown):
        notes.append(_dim("a | b: the price of less is a, that of more is b."))
    ends = [end for one in shown for end in (one.low, one.high) if end is not None]
    if ranges and any(end.reason is None for end in ends):
        notes.append(_dim("...: as far as was looked for, a tenth or ten times the number."))
    uneven = [
        f"{one.name} {show(step.value)} is {step.other_than(found.step)}"
        for one in shown
        for step in one.steps
        if step.other_than(found.step)
    ]
    if uneven:
        asked = f"{100 * found.step:g} %"
        reason = f"at a number: counts are whole and bounds end steps, which are not {asked} then:"
        notes.append(_dim(reason))
        notes += [Indented(one, 3, style="dim") for one in uneven[:MOST_LISTED]]
        notes += _more(uneven)
    winners = [
        (one, step)
        for one in shown
        for step in one.steps
        if step.other_configuration and step.configuration is not None
    ]
    if winners:
        notes.append(_dim("*: another configuration wins there, which the price does not know:"))
    for one, step in winners[:MOST_LISTED]:
        value = f"{show(step.value)} {one.unit}".strip()
        notes.append(Indented(f"{one.name} {value}: {step.configuration}", 3, style="dim"))
    notes += _more(winners)
    return [*notes, Text()] if notes else []


def _more(listed: Sequence[object]) -> list[RenderableType]:
    hidden = len(listed) - MOST_LISTED
    return [_dim(f"   and {hidden} more in --format json")] if hidden > 0 else []


def _idle(one: NumberPrice) -> str:
    """Return the name of a number without a price, and from where on what can be bought has one."""
    ends = [
        f"{word} {show(end.value, 3)} {one.unit}".strip()
        for word, end in (("below", one.low), ("above", one.high))
        if end is not None and end.reason not in (None, AT_BOUND)
    ]
    if one.section not in ("rack", "limits") or not ends:
        return one.name
    return f"{one.name} (but {' and '.join(ends)})"


def _dim(text: str) -> Text:
    return Text(text, style="dim")


def _listed(title: str, names: Sequence[str]) -> list[RenderableType]:
    if not names:
        return []
    return [Text.assemble((f"{title}: ", "bold"), ", ".join(names), "."), Text()]
