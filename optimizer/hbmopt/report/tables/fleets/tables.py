"""The tables of a fleet, in the order in which whoever builds it asks."""

from collections.abc import Sequence

from rich.console import Group, RenderableType

from hbmopt.basics import csv_text, show, shown, signed
from hbmopt.fleet import ClassResult, FleetConflict, FleetPlan, PeriodResult, PoolResult
from hbmopt.report.tables.fitted_table import Column, FittedTable, RemarkTable
from hbmopt.report.tables.fleets import facts
from hbmopt.report.tables.output import json_text, printed
from hbmopt.report.tables.table_text import Text

WIDTH = 150

FEW_PERIODS = 4
"""Periods up to which each has a column of racks."""

MOST_PERIODS = 48
"""Lines of periods that a table has; those that are alike are one."""

MOST_ESTIMATES = 8

CURES_TITLE = "Each of these alone is enough, and no smaller one of its kind"


def render_fleet(plan: FleetPlan, style: str, *, width: int | None, color: bool) -> str:
    """Return the plan of a fleet as text in the style ``table``, ``json`` or ``csv``."""
    if style == "json":
        return json_text(plan.to_dict())
    if style == "csv":
        return csv_text(plan.rows() if plan.feasible else [_infeasible_row(plan)])
    return printed(fleet_tables(plan), width or WIDTH, color=color)


def _infeasible_row(plan: FleetPlan) -> dict[str, str]:
    return {
        "status": plan.status,
        "conflict": plan.conflict.summary if plan.conflict is not None else "",
    }


def fleet_tables(plan: FleetPlan) -> RenderableType:
    """Return the tables of a fleet, or the conflict that rules a plan out."""
    if not plan.feasible:
        return Group(_heading(plan), Text(), *_conflict(plan), _seconds(plan))
    parts: list[RenderableType] = [
        _heading(plan),
        Text(),
        RemarkTable("Answer", answer_rows(plan)),
        Text(),
        racks_table(plan),
        Text(),
        pools_table(plan),
        Text(),
        demand_table(plan),
        *_remarks(plan),
        Text(),
        *_periods(plan),
        Text(),
    ]
    if plan.cost is not None:
        parts += [RemarkTable(COST_TITLE, fleet_cost_rows(plan)), Text()]
    if plan.limits:
        parts += [limits_table(plan), Text()]
    return Group(*parts, *_notes(plan), _seconds(plan))


def _heading(plan: FleetPlan) -> Text:
    text = Text((plan.title.strip() or plan.name) + "\n", style="bold")
    return text.append(facts.setting(plan), "")


def answer_rows(plan: FleetPlan) -> list[tuple[str, str, str]]:
    """Return name, number and remark of what the plan comes to."""
    made, power = plan.made_tok_s, [one.power_kw for one in plan.periods]
    rows = [
        (
            plan.objective,
            f"{show(plan.amount or 0.0, 6)} {plan.unit}",
            f"{facts.sought(plan)}; {facts.proof(plan)}",
        )
    ]
    if plan.objective != "racks":
        rows.append(("racks", f"{plan.standing_racks:,}", facts.racks_text(plan)))
    if plan.objective != "throughput" or len(plan.periods) > 1:
        remark = "output tokens of all classes"
        if len(plan.periods) > 1:
            remark += f" at the peak; {show(facts.mean(plan, made), 5)} in the mean"
        rows.append(("throughput", f"{show(max(made), 5)} tok/s", remark))
    rows.append(("power", facts.power_text(max(power)), _power_remark(plan)))
    cost = plan.cost
    if cost is not None and cost.usd_per_million is not None:
        remark = "per million output tokens, with all that the fleet costs"
        rows.append(("cost of tokens", f"{show(cost.usd_per_million)} USD", remark))
    return rows


def _power_remark(plan: FleetPlan) -> str:
    power = [one.power_kw for one in plan.periods]
    remark = f"of the site, with a PUE of {plan.pue:g}"
    if len(plan.periods) > 1:
        remark += f"; at the peak, {facts.power_text(facts.mean(plan, power))} in the mean"
    shares = [share for one in plan.periods if (share := facts.cap_share(one)) is not None]
    if shares:
        remark += f"; {max(shares):.0%} of the cap"
    return remark


def racks_table(plan: FleetPlan) -> FittedTable:
    """Return the racks of each type: owned, kept, bought and standing."""
    racks = plan.racks
    columns = [Column("type", [one.kind for one in racks], right=False)]
    if any(any(one.owned) for one in racks):
        columns += [
            Column("owned", [f"{one.owned[0]:,}" for one in racks]),
            Column("kept", [facts.kept_text(plan, one) for one in racks]),
        ]
    columns.append(Column("bought", [facts.bought_text(plan, one) for one in racks]))
    if any(one.at_most is not None for one in racks):
        most = [f"{one.at_most:,}" if one.at_most is not None else "any" for one in racks]
        columns.append(Column("of at most", most, rank=1))
    if len(plan.years) > 1:
        columns += [
            Column(f"stand\n{year}", [f"{one.standing[place]:,}" for one in racks], rank=2)
            for place, year in enumerate(plan.years)
        ]
    columns += [
        Column("M USD\neach", [shown(one.usd and one.usd / 1e6) for one in racks], rank=3),
        Column("kW each\nat rest", [show(one.idle_kw, 3) for one in racks], rank=4),
    ]
    if any(one.hbm_gb_worth is not None for one in racks):
        word = f"HBM {facts.saved_word(plan)}\n{plan.unit}"
        columns += [
            Column(f"1 GB more {word}", [shown(one.hbm_gb_worth) for one in racks], rank=4),
            Column(f"1 TB/s more {word}", [shown(one.hbm_tb_s_worth) for one in racks], rank=4),
        ]
    columns += [
        Column("rack", [one.title for one in racks], right=False, least=20, rank=5, style="dim"),
    ]
    return FittedTable(columns, "Racks to buy and to keep")


def pools_table(plan: FleetPlan) -> FittedTable:
    """Return what the racks of each type do for each class."""
    work = facts.work_of(plan)
    several = len(plan.periods) > 1
    columns = [
        Column("class", [one.demand for one in work], right=False),
        Column("racks of", [one.kind for one in work], right=False),
        Column("stage", [one.stage for one in work], right=False),
        Column("racks", [facts.span(one.racks) for one in work]),
    ]
    if 1 < len(plan.periods) <= FEW_PERIODS:
        columns += [
            Column(f"racks\n{period.name}", [f"{one.racks[place]:,}" for one in work], rank=6)
            for place, period in enumerate(plan.periods)
        ]
    makes = [f"{show(max(one.rate))} {one.unit}" for one in work]
    power = [show(max(one.power_kw), 3) for one in work]
    mean = [f"{facts.mean(plan, one.rate) / facts.mean(plan, one.could):.0%}" for one in work]
    peak = [f"{max(one.used):.0%}" for one in work]
    columns += [
        Column("makes at\nthe peak" if several else "makes", makes),
        Column("used\nmean" if several else "used", mean),
        *([Column("used\npeak", peak, rank=2)] if several else []),
        Column("kW at\nthe peak" if several else "kW", power, rank=1),
        Column("tok/s/user\nor first token", [_speed(one.told) for one in work], rank=3),
        Column("batch", [show(one.told.batch, 7) for one in work], rank=4),
    ]
    if any(any(one.kept) for one in work):
        columns.append(Column("HBM for\ncaches", [_kept(one) for one in work], rank=5))
    runs = [_runs(one) for one in work]
    columns.append(
        Column("each rack runs", runs, right=False, least=24, rank=7, style="dim"),
    )
    return FittedTable(columns, "What the racks do")


def _speed(pool: PoolResult) -> str:
    if pool.speed_tok_s_user is not None:
        return show(pool.speed_tok_s_user)
    return f"{show(pool.first_token_s, 2)} s" if pool.first_token_s is not None else ""


def _kept(work: facts.Work) -> str:
    low, high = work.kept[0], work.kept[-1]
    return f"{high:.0%}" if low == high else f"{100 * low:.0f} to {high:.0%}"


def _runs(work: facts.Work) -> str:
    told = work.told
    more = f" and {work.ways - 1} more ways" if work.ways > 1 else ""
    return f"{told.replicas} x {told.configuration}{more}"


def demand_table(plan: FleetPlan) -> FittedTable:
    """Return what is asked and served, and what one more of it takes."""
    classes = plan.classes
    peaks = [facts.peak_asked(one) for one in classes]
    several = len(plan.periods) > 1
    word, sign = facts.price_word(plan), facts.price_sign(plan)
    columns = [
        Column("class", [one.name for one in classes], right=False),
        Column(
            "asked, tok/s\nat the peak" if several else "asked\ntok/s",
            [show(peak, 5) if peak is not None else "any" for peak in peaks],
        ),
        Column(
            "served, tok/s\nat the peak" if several else "served\ntok/s",
            [show(max(one.served_tok_s), 5) for one in classes],
        ),
        Column("served", [_served(plan, one) for one in classes], rank=1),
    ]
    if any(one.price is not None for one in classes):
        head = f"1 tok/s more {word}\n{plan.unit},"
        columns += [
            Column(
                f"{head} in a large fleet",
                [_price(one.price, sign) for one in classes],
                rank=2,
            ),
            Column(f"{head} racks held", [_price(one.price_held, sign) for one in classes], rank=4),
        ]
    if any(one.output_tokens is not None and one.price is not None for one in classes):
        columns.append(
            Column(
                f"1 request/s more {word}\n{plan.unit}, in a large fleet",
                [_price(_of_a_request(one), sign) for one in classes],
                rank=3,
            )
        )
    if facts.is_many(plan):
        ratios = [facts.prefilling(plan, one) for one in classes]
        waiting = [facts.waiting_text(plan, one) for one in classes]
        if any(ratios):
            cells = [f"{one[0]:,} to {one[1]:,}" if one else "" for one in ratios]
            columns.append(Column("racks: prefill\nto decode", cells, rank=6))
        if any(waiting):
            columns.append(Column("caches wait in", waiting, right=False, least=20, rank=7))
    columns.append(
        Column("model", [one.llm for one in classes], right=False, least=12, rank=5, style="dim")
    )
    return FittedTable(columns, "Demand, and what more of it takes")


def _price(price: float | None, sign: float) -> str:
    return show(sign * price, 3) if price is not None else ""


def _of_a_request(one: ClassResult) -> float | None:
    if one.price is None or one.output_tokens is None:
        return None
    return one.price * one.output_tokens


def _served(plan: FleetPlan, one: ClassResult) -> str:
    share = facts.served_share(plan, one)
    return facts.share_text(share) if share is not None else ""


def remarks(plan: FleetPlan) -> list[str]:
    """Return what is not served and why, how many racks prefill, and where caches wait."""
    found = [
        f"Not all of {one.name} is served, as {one.why_not_served}."
        for one in plan.classes
        if one.why_not_served
    ]
    for one in () if facts.is_many(plan) else plan.classes:
        ratio, waiting = facts.prefill_text(plan, one), facts.waiting_text(plan, one)
        found += [f"{one.name}: {ratio}."] if ratio else []
        found += [f"{one.name}: between turns caches wait in {waiting}."] if waiting else []
    binding = facts.tiers_that_bind(plan)
    if binding:
        found.append(f"Used up for caches and tools: {'; '.join(binding)}.")
    return found


def _remarks(plan: FleetPlan) -> list[Text]:
    return [Text(f"  {one}") for one in remarks(plan)]


def periods_table(plan: FleetPlan) -> FittedTable:
    """Return rates, power and what binds by period; neighbours that are alike are one line."""
    rows = period_rows(plan)[:MOST_PERIODS]
    cells = list(zip(*(cells for _, cells in rows), strict=True))
    columns = [Column("period", [facts.stretch(names) for names, _ in rows], right=False)]
    for (title, right, rank), listed in zip(period_columns(plan), cells, strict=True):
        if any(listed):
            least = None if right else 16
            columns.append(Column(title, listed, right=right, rank=rank, least=least))
    return FittedTable(columns, "By period" if len(plan.periods) > 1 else "Power of the site")


def _periods(plan: FleetPlan) -> list[RenderableType]:
    hidden = len(period_rows(plan)) - MOST_PERIODS
    more = [Text(f"  and {hidden} more in --format json", style="dim")] if hidden > 0 else []
    return [periods_table(plan), *more]


def period_columns(plan: FleetPlan) -> list[tuple[str, bool, int]]:
    """Return title, whether it holds numbers, and rank of the columns of periods."""
    return [
        ("tok/s", True, 2),
        ("racks\nat rest", True, 0),
        ("MW of\nthe site", True, 0),
        ("of the\ncap", True, 0),
        ("energy\nUSD/h", True, 1),
        ("kg CO2\nan hour", True, 4),
        (f"1 kW more {facts.saved_word(plan)}\n{plan.unit}", True, 0),
        ("what binds", False, 3),
    ]


def period_rows(plan: FleetPlan) -> list[tuple[list[str], tuple[str, ...]]]:
    """Return names of neighbouring periods that are alike, and their cells."""
    found = list[tuple[list[str], tuple[str, ...]]]()
    for one, tokens in zip(plan.periods, plan.made_tok_s, strict=True):
        cells = _period(one, tokens)
        if found and found[-1][1] == cells:
            found[-1][0].append(one.name)
        else:
            found.append(([one.name], cells))
    return found


def _period(one: PeriodResult, tokens: float) -> tuple[str, ...]:
    share = facts.cap_share(one)
    energy = one.power_kw * one.usd_per_kwh
    worth = signed(one.kw_worth) if one.kw_worth else ""
    return (
        show(tokens, 4),
        f"{one.racks_at_rest:,}",
        show(one.power_kw / 1e3, 3),
        f"{share:.0%}" if share is not None else "",
        show(energy, 3) if energy else "",
        show(one.kg_co2_per_hour, 3) if one.kg_co2_per_hour else "",
        worth,
        ", ".join(one.binding),
    )


COST_TITLE = "What it costs, USD an hour in the mean"


def fleet_cost_rows(plan: FleetPlan) -> list[tuple[str, str, str]]:
    """Return name, number and remark of the parts of what a fleet costs and earns."""
    cost = plan.cost
    if cost is None:
        return []
    parts = [
        ("racks bought", cost.capital),
        ("site and operations", cost.site_and_operations),
        ("energy", cost.energy),
    ]
    rows = [
        (name, show(usd), facts.share_text(usd / cost.total) if cost.total > 0 else "")
        for name, usd in parts
    ]
    remark = ""
    if cost.usd_per_million is not None:
        remark = f"{show(cost.usd_per_million)} USD per million output tokens"
    rows.append(("in all", show(cost.total), remark))
    if cost.revenue:
        margin = cost.revenue - cost.total
        rows.append(("revenue", show(cost.revenue), f"{show(margin)} more than it costs"))
    return rows


def limits_table(plan: FleetPlan) -> FittedTable:
    """Return how much of the limits of the whole fleet is used, and what more is worth."""
    limits = plan.limits
    columns = [
        Column("limit", [one.name for one in limits], right=False),
        Column("used", [show(one.used, 5) for one in limits]),
        Column("of", [show(one.limit, 5) for one in limits]),
        Column("", [one.unit for one in limits], right=False),
        Column(
            f"1 more {facts.saved_word(plan)}\n{plan.unit}",
            [signed(one.worth) if one.worth else "0" for one in limits],
        ),
    ]
    return FittedTable(columns, "Limits of the fleet")


def _notes(plan: FleetPlan) -> list[RenderableType]:
    parts = [Text("Note: ", style="bold").append(one, "") for one in plan.notes]
    if plan.estimates:
        hidden = len(plan.estimates) - MOST_ESTIMATES
        text = ", ".join(plan.estimates[:MOST_ESTIMATES])
        more = f", and {hidden} more in --format json" if hidden > 0 else ""
        parts.append(Text(f"Rests on numbers that may turn out otherwise: {text}{more}."))
    return [*parts, *([Text()] if parts else [])]


def _conflict(plan: FleetPlan) -> Sequence[RenderableType]:
    found = plan.conflict
    if found is None:
        return [Text("Infeasible.", style="bold")]
    parts: list[RenderableType] = [
        Text("Infeasible: ", style="bold").append(f"{found.summary.rstrip('.')}.", "")
    ]
    if found.limits:
        parts.append(Text(f"In each other's way: {'; '.join(found.limits)}."))
    parts.append(Text())
    if found.cures:
        parts += [cures_table(found), Text()]
    if found.without:
        names = ", ".join(found.without)
        parts += [Text(f"Not enough alone, however far it goes: {names}."), Text()]
    return parts


def cures_table(found: FleetConflict) -> FittedTable:
    """Return the smallest single changes that each make a plan possible."""
    columns = [
        Column("change", [one.name for one in found.cures], right=False),
        Column("now", [one.now for one in found.cures], rank=1),
        Column("to", [one.to for one in found.cures]),
        Column(
            "on the command line",
            [" ".join(f'--set "{text}"' for text in one.settings) for one in found.cures],
            right=False,
            least=20,
            rank=2,
            style="dim",
        ),
    ]
    return FittedTable(columns, CURES_TITLE)


def _seconds(plan: FleetPlan) -> Text:
    return Text(f"{plan.seconds:.1f} s.", style="dim")
