"""A single rack that may run a mix of configurations: the master program with that rack alone."""

from hbmopt.demand import rack_data
from hbmopt.instance import Instance
from hbmopt.plan import Master, RackColumns, alone
from hbmopt.program import PricedRack, RackPlan, running_column
from hbmopt.results.plan_prices import price_plan


def solve_mixed(instance: Instance) -> tuple[RackPlan, PricedRack, float]:
    """Return the best plan of a rack, its priced optimum, and the proven relative gap.

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
    plan = RackPlan(rack_data(instance), tuple(columns))
    priced = price_plan(around, [rack], found, 1.0, "tok/s")
    gap = max(0.0, found.bound / found.objective - 1.0) if found.objective > 0 else 0.0
    return plan, priced.racks[0], gap
