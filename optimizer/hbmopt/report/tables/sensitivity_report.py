"""The table of a sensitivity: price, range and steps of every number, and what to buy next."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from hbmopt.basics import csv_text, elasticity_text, made, show, signed
from hbmopt.instance import TOGETHER
from hbmopt.report.tables.output import json_text, printed
from hbmopt.report.tables.solution_report import titled
from hbmopt.report.tables.table_text import Text
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
        parts += [Text(f"  {sentence}") for sentence in found.advice]
        parts.append(Text())
    shown = [one for one in found.numbers if not one.idle]
    if shown:
        parts += [_prices(found, shown, width), Text(), *_notes(shown, width)]
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


PER = "per"
WIDTHS = {"at the nearer end": 150, "now": 100, PER: 118, "holds from": 118, "to": 118}
"""Widths from which on columns are shown that not all terminals have room for."""


def _prices(found: Sensitivity, shown: Sequence[NumberPrice], width: int) -> Table:
    steps = any(one.steps for one in shown)
    title = "What each number is worth: price and range with configuration and replicas held"
    if steps:
        title += ", and the optimum a step away with everything free"
    columns: dict[str, list[str]] = {
        "number": [_name(one) for one in shown],
        "now": [f"{show(one.value)} {one.unit}".strip() for one in shown],
        "price": [_price(one) for one in shown],
        PER: [_per(one) for one in shown],
        "% per %": [_elasticity(one) for one in shown],
        "holds from": [_end(one.low, one) for one in shown],
        "to": [_end(one.high, one) for one in shown],
        "at the nearer end": [_reason(one) for one in shown],
    }
    if steps:
        columns[f"{-100 * found.step:g} %"] = [_step(one.down) for one in shown]
        columns[f"+{100 * found.step:g} %"] = [_step(one.up) for one in shown]
    columns = {
        name: cells
        for name, cells in columns.items()
        if any(cells) and width >= WIDTHS.get(name, 0)
    }
    table = titled(title)
    for name in columns:
        words = name in ("number", PER, "at the nearer end")
        table.add_column(
            f"{found.objective_unit} per" if name == PER else name,
            justify="left" if words else "right",
            style="dim" if words and name != "number" else "",
            no_wrap=name != "at the nearer end",
        )
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


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


def _step(step: Resolved | None) -> str:
    if step is None:
        return ""
    if step.change is None:
        return "no plan" if step.status == "infeasible" else step.status
    # Aligned: a mark stands to the right of all figures.
    return f"{100 * step.change:+.2f} %{'*' if step.other_configuration else ' '}"


MOST_LISTED = 8


def _notes(shown: Sequence[NumberPrice], width: int) -> list[RenderableType]:
    """Say what the marks mean, and which configurations win a step away."""
    notes: list[RenderableType] = []
    if any(one.unit_price_below is not None for one in shown):
        notes.append(_dim("a | b: the price of less is a, that of more is b."))
    ends = [end for one in shown for end in (one.low, one.high) if end is not None]
    if width >= WIDTHS["to"] and any(end.reason is None for end in ends):
        notes.append(_dim("...: as far as was looked for, a tenth or ten times the number."))
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
        notes.append(_dim(f"   {one.name} {value}: {step.configuration}"))
    if len(winners) > MOST_LISTED:
        notes.append(_dim(f"   and {len(winners) - MOST_LISTED} more in --format json"))
    return [*notes, Text()] if notes else []


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
