"""A single rack that may run a mix of configurations: the master program with that rack alone."""

from hbmopt.demand import rack_data
from hbmopt.instance import Instance
from hbmopt.plan import Found, Master, RackColumns, alone
from hbmopt.program import PricedRack, RackPlan, priced, running_column
from hbmopt.results.plan_prices import price_plan

GAINED = 1e-6
"""Share of throughput from which a mix of configurations makes more than one of them."""


def solve_mixed(instance: Instance, single: Found) -> tuple[RackPlan, PricedRack, float]:
    """Return the best plan of a rack, its priced optimum, and the proven relative gap.

    Where no mix makes more than the best plan of a `single` configuration, that is the plan: a
    search finds the fastest of those that make as much.

    Raises
    ------
    InfeasiblePlanError
        If nothing can run.
    SolverError
        If HiGHS stops without a proof.
    """
    rack, around = RackColumns(instance), alone()
    found = Master(around, [rack]).run()
    columns = []
    for one in found.running[0]:
        parts, _, _ = rack.running(one.group, one.rate)
        count = round(one.replicas)
        columns.append(running_column(one.group.demand, count, one.group.lowest, parts))
    gap = max(0.0, found.bound / found.objective - 1.0) if found.objective > 0 else 0.0
    if single.plan is not None and single.relaxed is not None and single.around is not None:
        gained = found.objective / single.plan.throughput - 1.0
        if gained <= GAINED:
            return single.plan, priced(instance, single.relaxed, single.around), gap
    plan = RackPlan(rack_data(instance), tuple(columns))
    return plan, price_plan(around, [rack], found, 1.0, "tok/s").racks[0], gap
