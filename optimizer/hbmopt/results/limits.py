"""The table of limits: usage, limit, slack and price of every family of rows.

What a family limits, and in which unit, stands in `hbmopt.models` beside its rows; how much of it
is used is read from the declared rows themselves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hbmopt.demand import smallest_batch
from hbmopt.instance import Instance
from hbmopt.models.limit import Limit
from hbmopt.models.quantities import PER_SECOND, RackData, number
from hbmopt.models.rack import CLOCK_FAMILIES, CONFIGURATION_FAMILIES
from hbmopt.program import Label, PricedColumn, PricedRack, RackPlan, RunningColumn
from hbmopt.results.solution import ConstraintResult

BINDING = 1e-6
"""Relative slack below which a row counts as binding."""

NO_ELASTICITY = 1e-9
"""Elasticities up to this size are the noise of a difference of nearly equal numbers."""

PER_STEP = 1e3
"""Microseconds in a ms: a limit on what a step leaves is read per step."""


@dataclass(frozen=True)
class LimitUse:
    """What replicas use of a limit, in its own unit.

    `share` is what is used of what may be, above 1 where a limit is missed. `worth` is
    d(objective) / d(ln limit).
    """

    name: str
    usage: float
    limit: float
    unit: str
    share: float
    binding: bool
    worth: float = 0.0
    floor: bool = False


def limit_uses(
    column: RunningColumn, rack: RackData, duals: dict[Label, float] | None = None
) -> list[LimitUse]:
    """Return what a running configuration uses of its own limits, in the order of `models`."""
    slacks, found = column.slacks(rack), list[LimitUse]()
    runs = [clock.index for clock in column.clocks]
    for family in (*CLOCK_FAMILIES, *CONFIGURATION_FAMILIES):
        name = family.limit.name
        rows = [
            label
            for label in slacks
            if label.family == name and (label.clock is None or label.clock in runs)
        ]
        if rows:
            found.append(_use(column, family.limit, rows, slacks, duals or {}))
    return found


def _use(
    column: RunningColumn,
    limit: Limit,
    rows: Sequence[Label],
    slacks: dict[Label, float],
    duals: dict[Label, float],
) -> LimitUse:
    """Return the use of the rows of one family: ``use / limit <= weight``, summed over clocks."""
    replica = column.data.clocks[0]
    weights = {row: column.value(limit.against, row.clock) for row in rows}
    weight = sum(weights.values())
    used = {row: weights[row] - slacks[row] for row in rows}
    if limit.floor:
        amount = number(limit.amount(replica)) if limit.amount else 0.0
        scale = amount / limit.floor
        usage = amount + limit.floor * sum(slacks[row] for row in rows) / weight
        return LimitUse(
            limit.name,
            usage,
            amount,
            limit.unit,
            share=amount / usage if usage else 0.0,
            floor=True,
            binding=any(_tight(slacks[row], scale * weights[row]) for row in rows),
            worth=-sum(duals.get(row, 0.0) * scale * weights[row] for row in rows),
        )
    if limit.amount is None:
        steps = sum(column.value("steps", row.clock) for row in rows)
        amount = PER_STEP * weight / steps
    else:
        amount = number(limit.amount(replica))
    share = sum(used.values()) / weight
    return LimitUse(
        limit.name,
        share * amount,
        amount,
        limit.unit,
        share,
        binding=any(_tight(slacks[row], weights[row]) for row in rows if weights[row] > 0),
        worth=sum(duals.get(row, 0.0) * used[row] for row in rows),
    )


def constraint_table(optimum: PricedRack) -> tuple[ConstraintResult, ...]:
    """Return every limit at the priced optimum, in the order of `models`.

    The rows of each configuration come first, numbered where several run; then those of the rack.
    """
    table: list[ConstraintResult] = []
    for position, column in enumerate(optimum.columns, start=1):
        uses = limit_uses(column, optimum.rack, column.duals)
        if not float(optimum.instance.limits.min_speed):
            uses = [one for one in uses if one.name != "min_speed"]
        rows = [_row(optimum, one) for one in (*uses, _min_batch(column))]
        rows.insert(1, _row(optimum, _reserve(column)))
        if len(optimum.columns) > 1:
            rows = [replace(row, name=f"{row.name}[{position}]") for row in rows]
        table += rows
    shared = rack_uses(optimum, optimum.instance, optimum.duals)
    return (*table, *(_row(optimum, one) for one in shared))


def _tight(slack: float, limit: float) -> bool:
    return bool(abs(slack) <= BINDING * max(abs(limit), 1e-12))


def _row(optimum: PricedRack, use: LimitUse) -> ConstraintResult:
    usage, limit = use.usage, use.limit
    relative = use.worth / optimum.objective if optimum.objective else 0.0
    return ConstraintResult(
        name=use.name,
        usage=usage,
        limit=limit,
        unit=use.unit,
        utilization=(limit / usage if use.floor else usage / limit) if usage and limit else 0.0,
        slack=usage - limit if use.floor else limit - usage,
        binding=use.binding,
        unit_price=(use.worth / limit if limit else 0.0) + 0.0,
        unit_price_unit=f"{optimum.objective_unit} per {use.unit}",
        elasticity=relative + 0.0,
        floor=use.floor,
    )


def _reserve(column: PricedColumn) -> LimitUse:
    """Return what engines keep of an accelerator's HBM, beside weights and caches."""
    data = column.data.clocks[0]
    kept, whole = number(data.hbm_reserved_gb), number(data.hbm_gb) + number(data.hbm_reserved_gb)
    return LimitUse("hbm_reserve", kept, whole, "GB per accelerator", kept / whole, binding=False)


def _min_batch(column: PricedColumn) -> LimitUse:
    """Return the smallest batch, whatever range of batches the program was trusted in."""
    least = smallest_batch(column.configuration)
    worth = sum(
        column.dual("min_batch", clock.index) * clock.point.steps for clock in column.clocks
    )
    tight = _tight(column.batch - least, least)
    share, unit = least / column.batch, "sequence per replica"
    return LimitUse("min_batch", column.batch, least, unit, share, tight, -worth, floor=True)


def rack_uses(
    plan: RackPlan, instance: Instance, duals: dict[Label, float] | None = None
) -> list[LimitUse]:
    """Return what a rack uses of what its configurations share."""
    rack, racks, prices = plan.rack, number(plan.rack.racks), duals or {}
    counts = [("accelerators", plan.used_accelerators, rack.accelerators, "accelerator")]
    if plan.used_lpus:
        counts.append(("lpu_units", plan.used_lpus, rack.lpu_units, "LPU"))
    found = [
        _ceiling(name, used, number(most) * racks, unit, 0.0) for name, used, most, unit in counts
    ]
    if rack.power_cap_kw is not None:
        cap, used = number(rack.power_cap_kw), plan.power_kw
        worth = prices.get(Label("power_cap", None, None), 0.0) * used / cap
        found.append(_ceiling("power_cap", used, cap * racks, "kW", worth))
    if rack.min_tokens_per_ms is not None:
        demand = PER_SECOND * number(rack.min_tokens_per_ms) * racks
        worth, made = -prices.get(Label("min_throughput", None, None), 0.0), plan.throughput
        found.append(
            LimitUse(
                "min_throughput",
                made,
                demand,
                "tok/s",
                demand / made if made else math.inf,
                binding=_tight(made - demand, demand),
                worth=worth,
                floor=True,
            )
        )
    for position, budget in enumerate(instance.budgets):
        used = plan.budget_used(position)
        worth = prices.get(Label("budget", None, position), 0.0) * used / budget.capacity
        found.append(_ceiling(budget.name, used, budget.capacity * racks, budget.unit, worth))
    return found


def _ceiling(name: str, usage: float, limit: float, unit: str, worth: float) -> LimitUse:
    tight = _tight(limit - usage, limit)
    return LimitUse(name, usage, limit, unit, usage / limit if limit else 0.0, tight, worth)
