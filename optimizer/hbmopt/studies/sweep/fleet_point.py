"""The plan of a fleet at one point of a sweep, as one flat row of plain numbers and texts."""

from hbmopt.documents import Document
from hbmopt.errors import HbmoptError, InputError
from hbmopt.fleet import Fleet, FleetPlan, plan_of
from hbmopt.studies.sweep.files import Row
from hbmopt.studies.sweep.layout import Layout

FLEET_LAYOUT = Layout(
    first=(
        "status",
        "objective_amount",
        "objective_unit",
        "gap",
        "racks",
        "power_kw",
        "throughput_tok_s",
        "served",
        "usd_per_hour",
        "usd_per_million",
        "revenue_usd_per_hour",
        "price_kw",
        "binding",
    ),
    groups=("racks_", "bought_", "served_", "price_"),
)
"""Columns of fleets. `racks` stand in the last year, `power_kw` and `throughput_tok_s` are those of
the peak, `served` is the share of all tokens that were asked for, `price_kw` what one more kW of
the site in all periods is worth. Then of each type the racks that stand in the last year and those
that were bought, of each class the share that is served and what one more tok/s is worth."""


def fleet_row(fleet: Fleet, document: Document) -> Row:
    """Return the plan of a fleet as a row; what is wrong with its classes and racks is one too."""
    try:
        plan = plan_of(fleet, document)
    except InputError as error:
        return wrong("invalid", error)
    return plan_row(plan)


def plan_row(plan: FleetPlan) -> Row:
    """Return a plan as a flat row."""
    if not plan.feasible:
        conflict = plan.conflict.summary if plan.conflict is not None else None
        return {"status": plan.status, "conflict": conflict}
    time = [one.share for one in plan.periods]
    asked = {one.name: _summed(time, one.asked_tok_s) for one in plan.classes}
    made = {one.name: _summed(time, one.served_tok_s, one.asked_tok_s) for one in plan.classes}
    all_asked = sum(asked.values())
    binding = [name for one in plan.periods for name in one.binding]
    binding += [one.name for one in plan.limits if one.binding]
    cost = plan.cost
    row: Row = {
        "status": plan.status,
        "objective_amount": plan.amount,
        "objective_unit": plan.unit,
        "gap": plan.gap,
        "racks": plan.standing_racks,
        "power_kw": max(one.power_kw for one in plan.periods),
        "throughput_tok_s": max(plan.made_tok_s),
        "served": sum(made.values()) / all_asked if all_asked > 0 else None,
        "usd_per_hour": cost.total if cost is not None else None,
        "usd_per_million": cost.usd_per_million if cost is not None else None,
        "revenue_usd_per_hour": cost.revenue if cost is not None else None,
        "price_kw": sum(one.kw_worth for one in plan.periods),
        "binding": ", ".join(dict.fromkeys(binding)),
    }
    for kind in plan.racks:
        row |= {f"racks_{kind.kind}": kind.standing[-1], f"bought_{kind.kind}": sum(kind.bought)}
    for one in plan.classes:
        share = made[one.name] / asked[one.name] if asked[one.name] > 0 else None
        row |= {f"served_{one.name}": share, f"price_{one.name}": one.price}
    return row


def _summed(
    time: list[float],
    amounts: tuple[float | None, ...],
    where: tuple[float | None, ...] | None = None,
) -> float:
    """Return amounts by period over the time, of the periods in which there is one to compare."""
    known = amounts if where is None else where
    return sum(
        share * (amount or 0.0)
        for share, amount, other in zip(time, amounts, known, strict=True)
        if other is not None
    )


def wrong(status: str, error: HbmoptError) -> Row:
    """Return the row of a point that has no answer."""
    return {"status": status, "error": " ".join(str(error).split())}
