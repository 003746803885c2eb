"""The check of a claim as text: verdict, limits, what would make it possible, what it rests on."""

from rich.console import Group, RenderableType
from rich.table import Table

from hbmopt.basics import SCOPES, STEP_NAMES, counted, made, show, shown
from hbmopt.report.tables.solution_report import clock_text, step_times_text, titled
from hbmopt.report.tables.table_text import Text
from hbmopt.studies.claim import Check, ClosestPoint, Premise
from hbmopt.studies.conflict import cure_lines

MOST_PREMISES = 8


def check_tables(found: Check) -> RenderableType:
    """Return the verdict on a claim and its tables."""
    parts: list[RenderableType] = [_heading(found), Text(), _verdict(found)]
    if found.closest is not None:
        parts += [Text(), _claim(found, found.closest), Text(), _limits(found)]
        parts += [
            Text(),
            _step(found.closest),
            *_needs(found, found.closest),
            Text(),
            _power(found, found.closest),
        ]
    if found.reachable:
        parts += [Text(), _reachable(found)]
    if found.cures is not None:
        parts += [Text(), Text("\n".join(cure_lines(found.cures)))]
    notes = list(found.notes)
    if found.accuracy is not None:
        notes.insert(0, f"Step times: {step_times_text(found.accuracy)}.")
    parts += [Text(), *map(Text, notes)] if notes else []
    if found.premises:
        parts += [Text(), *_premises(found)]
    return Group(*parts)


def _heading(found: Check) -> Text:
    text = Text(f"{found.llm} on {found.rack} ({found.accelerators} accelerators), ")
    text.append(f"{show(found.context_tokens, 7)} tokens of context")
    return text


def _verdict(found: Check) -> RenderableType:
    first, _, rest = found.verdict.partition(":")
    return Text.assemble((first + ":", "bold"), rest)


def _table(title: str, *columns: str) -> Table:
    """Return an empty table; columns whose name starts with > hold numbers, with ! names.

    Where the terminal is narrow, neither is cut: the other columns wrap.
    """
    table = titled(title)
    for column in columns:
        right, whole = column.startswith(">"), column.startswith((">", "!"))
        table.add_column(
            column.lstrip(">!"),
            justify="right" if right else "left",
            no_wrap=whole,
            overflow="fold",
        )
    return table


def _claim(found: Check, point: ClosestPoint) -> Table:
    claim = found.claim
    table = _table("The claim, and the configuration that comes closest", "!", ">", "")
    table.show_header = False
    table.add_row("requests", f"{claim.batch:,.10g}", "decoding at once in the rack")
    table.add_row("speed", f"{claim.speed_tok_s_user:,.6g} tok/s", "per user, mean over time")
    table.add_row("throughput", f"{claim.throughput_tok_s:,.10g} tok/s", "output tokens")
    if claim.power_w is not None:
        whose = "as claimed" if claim.power_is_claimed else "limit of the instance"
        scope = SCOPES[claim.power_scope]
        table.add_row("power", f"{claim.power_w / 1e3:,.5g} kW", f"{whose}, {scope}")
    if claim.tok_s_per_mw is not None:
        table.add_row("efficiency", f"{show(claim.tok_s_per_mw)} tok/s/MW", "at that power")
    used = f"{found.accelerators_used} of {found.accelerators} accelerators run"
    if found.accelerators_used == found.accelerators:
        used = f"all {counted(found.accelerators, 'accelerator')} run"
    table.add_row("replicas", str(point.replicas), f"{point.configuration}; {used}")
    spare = point.replicas * point.batch - claim.batch
    note = "sequence" if point.batch == 1 else "sequences"
    note += " each" if point.replicas > 1 else ""
    if spare > 0.5:
        note += f", {spare:,.10g} place{'' if spare == 1 else 's'} to spare"
    table.add_row("batch", f"{show(point.batch, 7)}", note)
    if any(part.clock < 1.0 for part in point.clocks):
        table.add_row("clock", "", clock_text(point.clocks))
    return table


def _limits(found: Check) -> Table:
    table = _table("Limits at the claim", "!limit", ">used", ">of", "unit", ">", "")
    for row in found.limits:
        missing = Text(f"needs {row.missing:.3g} x", style="bold") if row.missing else ""
        table.add_row(
            row.name,
            show(row.usage),
            show(row.limit),
            row.unit,
            f"{row.utilization:.0%}",
            missing,
        )
    return table


def _step(point: ClosestPoint) -> Table:
    taken, left = show(point.step_ms, 3), show(point.step_allowed_ms)
    title = f"A step takes {taken} ms; the speed leaves {left}"
    table = _table(title, "!", ">", "")
    table.show_header = False
    for name, spent in sorted(point.step_breakdown_ms.items(), key=lambda part: -part[1]):
        if spent > 0:
            share = f"{spent / point.step_allowed_ms:.0%} of the time there is"
            table.add_row(STEP_NAMES.get(name, name), f"{show(spent, 3)} ms", share)
    return table


def _needs(found: Check, point: ClosestPoint) -> list[RenderableType]:
    """Say which resource alone would make the step short enough, where it is too long."""
    if not any(row.name == "step_time" and row.missing for row in found.limits):
        return []
    if not point.step_needs:
        return [Text("No single resource, however much of it, makes the step short enough.")]
    listed = ", or ".join(
        f"{factor:.3g} x the {NEED_NAMES[name]}"
        if name != "latency"
        else f"{1.0 / factor:.3g} x the latency"
        for name, factor in point.step_needs.items()
    )
    return [Text(f"Other limits aside, the step would be short enough with {listed}.")]


NEED_NAMES = {
    "hbm_bandwidth": "HBM bandwidth",
    "compute": "compute",
    "interconnect": "scale-up links",
    "scale_out": "scale-out network",
    "sram_bandwidth": "SRAM bandwidth",
    "lpu_compute": "LPU compute",
    "lpu_link": "LPU links",
}


def _power(found: Check, point: ClosestPoint) -> Table:
    scope = SCOPES[found.claim.power_scope]

    def kilowatt(watt: float) -> str:
        return f"{made(watt / 1e3, banded=found.banded, digits=4)} kW"

    table = _table(f"Power there: {kilowatt(point.power_w)}, {scope}", "", ">")
    table.show_header = False
    for name, watt in point.power_breakdown_w.items():
        if watt > 0:
            table.add_row(POWER_NAMES[name], kilowatt(watt))
    if point.tok_s_per_mw is not None:
        reached = made(point.tok_s_per_mw, banded=found.banded)
        table.add_row("makes of the claim", f"{reached} tok/s/MW")
    if point.full_usd_per_million is not None:
        cost = f"{show(point.full_usd_per_million)} USD"
        table.add_row("a million output tokens, at full utilisation", cost)
    if found.least_power_w is not None:
        table.add_row("least power of any configuration", kilowatt(found.least_power_w))
    return table


POWER_NAMES = {
    "static": "static: CPUs, switches, fans, losses",
    "accelerators": "accelerators that run",
    "lpus": "LPUs that run",
    "parked": "parked devices",
}


def _reachable(found: Check) -> Table:
    priced = any(row.full_usd_per_million is not None for row in found.reachable)
    cost = (">USD per M",) if priced else ()
    columns = ("", ">requests", ">tok/s/user", ">tok/s", ">kW", *cost, "configuration")
    table = _table("Within reach", *columns)
    for row in found.reachable:
        table.add_row(
            row.what,
            f"{row.batch:,.6g}",
            made(row.speed_tok_s_user, banded=found.banded, digits=4),
            made(row.throughput_tok_s, banded=found.banded),
            made(row.power_w / 1e3, banded=found.banded, digits=4),
            *([shown(row.full_usd_per_million, 3)] if priced else []),
            row.configuration,
        )
    return table


def _premises(found: Check) -> list[RenderableType]:
    turning = [one for one in found.premises if one.turns_at is not None]
    steady = [one for one in found.premises if one.turns_at is None]
    parts: list[RenderableType] = []
    if turning:
        columns = ("!input", ">now", "!status", ">turns at", "note")
        table = _table("The verdict rests on these uncertain inputs", *columns)
        for one in turning[:MOST_PREMISES]:
            table.add_row(one.input, one.value, one.status, _turn(one), one.note)
        parts.append(table)
    if steady:
        count = f"{len(steady)} more uncertain input{'' if len(steady) == 1 else 's'}"
        verb = "does not turn it" if len(steady) == 1 else "do not turn it"
        if not turning:
            count, verb = "None of the uncertain inputs", f"({len(steady)}) turns it"
        parts.append(Text(f"{count} {verb}, halved or doubled (--format json lists them)."))
    return parts


def _turn(one: Premise) -> str:
    return f"{one.turns_at} ({one.ratio - 1.0:+.0%})" if one.ratio is not None else ""
