"""A single rack that may run a mix of configurations: the master program with that rack alone."""

from collections.abc import Sequence

from hbmopt.demand import Aim, aim_of, rack_data
from hbmopt.errors import InputError
from hbmopt.instance import OBJECTIVES, Instance
from hbmopt.models.quantities import PER_SECOND, number
from hbmopt.plan import Found, Master, MasterPlan, RackColumns, Surroundings, alone
from hbmopt.program import PricedRack, RackPlan, priced, quoted_in, running_column
from hbmopt.results.plan_prices import price_plan

GAINED = 1e-6
"""Share of the objective from which a mix of configurations is better than one of them."""

MOST_FRACTIONS, SAME = 20, 1e-9
"""How often a fraction is taken anew, and the relative difference of two that are one."""

OF_ONE = ("speed", "accelerators")
"""Objectives that are sought among single configurations alone."""


def solve_mixed(instance: Instance, single: Found) -> tuple[RackPlan, PricedRack, float]:
    """Return the best plan of a rack, its priced optimum, and the proven relative gap.

    Where no mix is better than the best plan of a `single` configuration, that is the plan: a
    search finds the fastest of those that are as good.

    Raises
    ------
    InputError
        If the objective is not one of a mix.
    InfeasiblePlanError
        If nothing can run.
    SolverError
        If HiGHS stops without a proof.
    """
    aim = aim_of(instance)
    if aim.objective in OF_ONE:
        raise InputError(
            f"objective: {aim.objective} is not sought over mixes of configurations; set "
            "choices.uniform=true, or another objective"
        )
    rack = RackColumns(instance)
    around, found = _best_mix(aim, rack, single)
    plan = _plan_of(instance, rack, found)
    gap = max(0.0, found.bound / found.objective - 1.0) if found.objective > 0 else 0.0
    best = single.plan
    if best is None or single.relaxed is None or single.around is None:
        return plan, _priced(aim, around, [rack], found), gap
    if _value(aim, plan) <= _value(aim, best) * (1.0 + GAINED):
        return best, priced(instance, single.relaxed, single.around), gap
    return plan, _priced(aim, around, [rack], found), gap


def _best_mix(aim: Aim, rack: RackColumns, single: Found) -> tuple[Surroundings, MasterPlan]:
    """Return what is worth what at the best mix, and that mix.

    A fraction is at its highest where tokens less what they are divided by are worth nothing.
    """
    made = single.plan.throughput if single.plan is not None else 1.0
    around = _around(aim, made, single.plan.power_kw if single.plan is not None else 0.0)
    found = Master(around, [rack]).run()
    for _ in range(MOST_FRACTIONS if aim.fraction else 0):
        _, made, power = found.values.tolist()
        before = _fraction(around)
        after = aim.worth(made, power)
        if number(after.kilowatt) <= before * (1.0 + SAME) and before > 0.0:
            break
        around = _around(aim, made, power)
        found = Master(around, [rack], near=found).run()
    return around, found


def _fraction(around: Surroundings) -> float:
    """Return what a kW costs in tokens per ms."""
    return -float(around.program.cost[2])


def _around(aim: Aim, made: float, power: float) -> Surroundings:
    """Return one rack in which what is best counts, at what a plan makes on its power.

    Of a fraction in tokens per ms; the rack itself is worth as much as it makes, so that a gap is
    relative to that.
    """
    if aim.fraction:
        worth = aim.worth(made, power) if power > 0 else aim.worth(0.0, 1.0)
        return alone(1.0 / PER_SECOND, number(worth.kilowatt), made / PER_SECOND)
    return alone(0.0, 1.0) if aim.runs_slowly else alone()


def _plan_of(instance: Instance, rack: RackColumns, found: MasterPlan) -> RackPlan:
    columns = []
    for one in found.running[0]:
        parts, _, _ = rack.running(one.group, one.rate)
        count = round(one.replicas)
        columns.append(running_column(one.group.demand, count, one.group.lowest, parts))
    return RackPlan(rack_data(instance), tuple(columns))


def _value(aim: Aim, plan: RackPlan) -> float:
    """Return how good a plan is, more being better."""
    amount = plan.amount(aim)
    return 1.0 / amount if OBJECTIVES[aim.objective].least else amount


def _priced(
    aim: Aim, around: Surroundings, racks: Sequence[RackColumns], found: MasterPlan
) -> PricedRack:
    """Return the priced optimum of the rack, whose batches are free."""
    unit = OBJECTIVES[aim.objective].unit
    (rack,) = price_plan(around, racks, found, 1.0, unit).racks
    if aim.objective == "throughput":
        return rack
    for _ in range(MOST_FRACTIONS if aim.fraction else 0):
        before, after = _fraction(around), aim.worth(rack.throughput, rack.power_kw)
        if abs(number(after.kilowatt) - before) <= SAME * before:
            break
        around = _around(aim, rack.throughput, rack.power_kw)
        (rack,) = price_plan(around, racks, found, 1.0, unit).racks
    return quoted_in(rack, aim, rack.amount(aim), rack.power_kw, 1.0)
