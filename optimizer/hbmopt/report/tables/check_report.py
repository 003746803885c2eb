"""The check of a claim as text: verdict, limits, what would make it possible, what it rests on."""

from rich.console import Group, RenderableType
from rich.table import Table

from hbmopt.basics import SCOPES, STEP_NAMES, counted, made, show, shown
from hbmopt.report.tables.fitted_table import Column, FittedTable, RemarkTable
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


def _claim(found: Check, point: ClosestPoint) -> RemarkTable:
    claim = found.claim
    rows = [
        ("requests", f"{claim.batch:,.10g}", "decoding at once in the rack"),
        ("speed", f"{claim.speed_tok_s_user:,.6g} tok/s", "per user, mean over time"),
        ("throughput", f"{claim.throughput_tok_s:,.10g} tok/s", "output tokens"),
    ]
    if claim.power_w is not None:
        whose = "as claimed" if claim.power_is_claimed else "limit of the instance"
        scope = SCOPES[claim.power_scope]
        rows.append(("power", f"{claim.power_w / 1e3:,.5g} kW", f"{whose}, {scope}"))
    if claim.tok_s_per_mw is not None:
        rows.append(("efficiency", f"{show(claim.tok_s_per_mw)} tok/s/MW", "at that power"))
    used = f"{found.accelerators_used} of {found.accelerators} accelerators run"
    if found.accelerators_used == found.accelerators:
        used = f"all {counted(found.accelerators, 'accelerator')} run"
    rows.append(("replicas", str(point.replicas), f"{point.configuration}; {used}"))
    spare = point.replicas * point.batch - claim.batch
    note = "sequence" if point.batch == 1 else "sequences"
    note += " each" if point.replicas > 1 else ""
    if spare > 0.5:
        note += f", {spare:,.10g} place{'' if spare == 1 else 's'} to spare"
    rows.append(("batch", f"{show(point.batch, 7)}", note))
    if any(part.clock < 1.0 for part in point.clocks):
        rows.append(("clock", "", clock_text(point.clocks)))
    return RemarkTable("The claim, and the configuration that comes closest", rows)


def _limits(found: Check) -> FittedTable:
    rows = found.limits
    missing = [f"needs {row.missing:.3g} x" if row.missing else "" for row in rows]
    return FittedTable(
        [
            Column("limit", [row.name for row in rows], right=False),
            Column("used", [show(row.usage) for row in rows]),
            Column("of", [show(row.limit) for row in rows]),
            Column("unit", [row.unit for row in rows], right=False, rank=2),
            Column("", [f"{row.utilization:.0%}" for row in rows]),
            Column("", missing, right=False, rank=1, style="bold"),
        ],
        "Limits at the claim",
    )


def _step(point: ClosestPoint) -> RemarkTable:
    taken, left = show(point.step_ms, 3), show(point.step_allowed_ms)
    rows = [
        (
            STEP_NAMES.get(name, name),
            f"{show(spent, 3)} ms",
            f"{spent / point.step_allowed_ms:.0%} of the time there is",
        )
        for name, spent in sorted(point.step_breakdown_ms.items(), key=lambda part: -part[1])
        if spent > 0
    ]
    return RemarkTable(f"A step takes {taken} ms; the speed leaves {left}", rows)


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

    table = titled(f"Power there: {kilowatt(point.power_w)}, {scope}")
    table.show_header = False
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
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


def _reachable(found: Check) -> FittedTable:
    rows, banded = found.reachable, found.banded
    priced = any(row.full_usd_per_million is not None for row in rows)
    costs = [shown(row.full_usd_per_million, 3) for row in rows]
    speeds = [made(row.speed_tok_s_user, banded=banded, digits=4) for row in rows]
    return FittedTable(
        [
            Column("", [row.what for row in rows], right=False),
            Column("requests", [f"{row.batch:,.6g}" for row in rows]),
            Column("tok/s/user", speeds),
            Column("tok/s", [made(row.throughput_tok_s, banded=banded) for row in rows], rank=2),
            Column(
                "kW", [made(row.power_w / 1e3, banded=banded, digits=4) for row in rows], rank=1
            ),
            *([Column("USD per M", costs, rank=4)] if priced else []),
            Column(
                "configuration",
                [row.configuration for row in rows],
                right=False,
                least=24,
                rank=3,
            ),
        ],
        "Within reach",
    )


def _premises(found: Check) -> list[RenderableType]:
    turning = [one for one in found.premises if one.turns_at is not None]
    steady = [one for one in found.premises if one.turns_at is None]
    parts: list[RenderableType] = []
    if turning:
        shown_ones = turning[:MOST_PREMISES]
        columns = [
            Column("input", [one.input for one in shown_ones], right=False),
            Column("now", [one.value for one in shown_ones], rank=1),
            Column("status", [one.status for one in shown_ones], right=False, rank=2),
            Column("turns at", [_turn(one) for one in shown_ones]),
            Column("note", [one.note for one in shown_ones], right=False, least=24, rank=3),
        ]
        parts.append(FittedTable(columns, "The verdict rests on these uncertain inputs"))
    if steady:
        count = f"{len(steady)} more uncertain input{'' if len(steady) == 1 else 's'}"
        verb = "does not turn it" if len(steady) == 1 else "do not turn it"
        if not turning:
            count, verb = "None of the uncertain inputs", f"({len(steady)}) turns it"
        parts.append(Text(f"{count} {verb}, halved or doubled (--format json lists them)."))
    return parts


def _turn(one: Premise) -> str:
    return f"{one.turns_at} ({one.ratio - 1.0:+.0%})" if one.ratio is not None else ""
