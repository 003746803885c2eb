"""A sizing as text: the racks that serve a demand, or how much of a number is enough."""

from collections.abc import Sequence

from rich.console import Group, RenderableType

from hbmopt.basics import SCOPES, csv_text, made, show
from hbmopt.report.tables.fitted_table import Column, FittedTable
from hbmopt.report.tables.output import json_text, printed
from hbmopt.report.tables.solution_report import step_times_text
from hbmopt.report.tables.table_text import Text
from hbmopt.studies.sizing import Fleet, Sizing, Unknown

WIDTH = 150

LEAST = {"racks": "fewest racks", "power": "least power", "cost": "least cost"}


def render_sizing(sizing: Sizing, style: str, *, width: int | None, color: bool) -> str:
    """Return a sizing as text in the style ``table``, ``json`` or ``csv``."""
    if style == "json":
        return json_text(sizing.to_dict())
    if style == "csv":
        return csv_text(sizing.rows())
    return printed(sizing_tables(sizing), width or WIDTH, color=color)


def sizing_tables(sizing: Sizing) -> RenderableType:
    """Return the table of a sizing, what is proven, and what it rests on."""
    heading = Text(_question(sizing) + "\n", style="bold")
    heading.append(
        f"{sizing.llm} on {sizing.rack}, {show(sizing.context_tokens, 7)} tokens of context", ""
    )
    parts: list[RenderableType] = [heading, Text()]
    if sizing.conflict is not None:
        parts.append(Text(f"Infeasible: {sizing.conflict.summary}."))
        return Group(*parts)
    if sizing.unknown is not None:
        parts += _unknown(sizing.unknown)
    if sizing.fleets:
        banded = sizing.accuracy is not None and sizing.accuracy.step_low is not None
        parts += [_fleets(sizing, sizing.fleets, banded=banded), Text()]
        parts.append(Text(f"{sizing.statement[:1].upper()}{sizing.statement[1:]}."))
        if sizing.users is not None:
            parts.append(Text("Users count by the tokens that they take: who is faster is done."))
        parts.append(Text(f"Power: {SCOPES[sizing.power_scope]}."))
    if sizing.accuracy is not None:
        parts.append(Text(f"Step times: {step_times_text(sizing.accuracy)}."))
    parts.append(Text(f"{sizing.seconds:.2f} s.", style="dim"))
    return Group(*parts)


def _question(sizing: Sizing) -> str:
    asked = []
    if sizing.users is not None:
        asked.append(f"{sizing.users:,.10g} users")
    elif sizing.demand_tok_s is not None:
        asked.append(f"{show(sizing.demand_tok_s, 7)} tok/s")
    speed_asked = sizing.unknown is not None and sizing.unknown.name == "limits.min_speed"
    if sizing.speed_tok_s_user > 0 and not speed_asked:
        each = f"{sizing.speed_tok_s_user:g} tok/s per user"
        asked.append(f"at {each}" if asked else each)
    if sizing.unknown is None:
        return f"How many racks for {' '.join(asked)}?"
    return f"How much {sizing.unknown.name} for {' '.join(asked) or 'anything to run'}?"


def _fleets(sizing: Sizing, fleets: Sequence[Fleet], *, banded: bool) -> FittedTable:
    nodes = any(one.nodes != one.racks for one in fleets)
    columns = [
        Column("", [_name(sizing, one) for one in fleets], right=False),
        Column("racks", [f"{one.racks:,}" for one in fleets]),
        *([Column("nodes", [f"{one.nodes:,}" for one in fleets])] if nodes else []),
        Column("accelerators", [f"{one.accelerators:,}" for one in fleets]),
        Column("kW", [made(one.power_kw, banded=banded) for one in fleets]),
    ]
    if any(one.usd_per_year is not None for one in fleets):
        yearly = [(one.usd_per_year or 0.0) / 1e6 for one in fleets]
        tokens = [one.usd_per_million or 0.0 for one in fleets]
        columns += [
            Column("M USD\na year", [made(one, banded=banded, digits=4) for one in yearly]),
            Column("USD per\nM tokens", [made(one, banded=banded, digits=4) for one in tokens]),
        ]
    columns += [
        Column("spare", [f"{one.spare:.0%}" for one in fleets]),
        Column("tok/s\n/user", [show(one.speed_tok_s_user) for one in fleets], rank=2),
        Column("batch", [show(one.batch, 7) for one in fleets], rank=4),
        Column("no other\nless by", [_gap(one) for one in fleets], rank=1),
        Column(
            "each rack runs",
            [one.configuration for one in fleets],
            right=False,
            least=24,
            rank=3,
            style="dim",
        ),
    ]
    return FittedTable(columns)


def _name(sizing: Sizing, fleet: Fleet) -> str:
    return ("* " if fleet.least == sizing.least else "  ") + LEAST[fleet.least]


def _gap(fleet: Fleet) -> str:
    return "0" if fleet.gap == 0.0 else f"{fleet.gap:.1%}"


def _unknown(unknown: Unknown) -> list[RenderableType]:
    if unknown.value is None:
        return [Text(f"{unknown.name}: {unknown.statement}.")]
    bound = "at least" if unknown.more else "at most"
    value = f"{show(unknown.value, 6)} {unknown.unit}".strip()
    now = f"{show(unknown.now, 6)} {unknown.unit}".strip()
    return [
        Text(f"{unknown.name}: {bound} {value} (now {now})", style="bold"),
        Text(f"  {unknown.statement}."),
        Text(f"  It then runs {unknown.configuration}."),
        Text(),
    ]
