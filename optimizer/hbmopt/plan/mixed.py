"""A single rack that may run a mix of configurations.

One rack whose configurations may be mixed is the planning program with that rack alone.
"""

import pyomo.environ as pyo

from hbmopt.demand import rack_data
from hbmopt.instance import Instance
from hbmopt.plan.plan_prices import price_racks
from hbmopt.plan.planning import rack_block
from hbmopt.plan.rack_columns import running_columns
from hbmopt.plan.refinement import Refinement
from hbmopt.program import PricedRack, RackPlan, one_at_a_time


@one_at_a_time
def solve_mixed(instance: Instance) -> tuple[RackPlan, PricedRack, float]:
    """Return the best plan of a rack, its priced optimum, and the proven relative gap.

    Raises
    ------
    SolverError
        If HiGHS stops without a proof.
    """
    model = pyo.ConcreteModel()
    model.rack = rack_block(instance)
    model.tokens = pyo.Objective(expr=model.rack.throughput, sense=pyo.maximize)
    bound, _ = Refinement(model, [model.rack], model.tokens).run()
    plan = RackPlan(rack_data(instance), tuple(running_columns(model.rack)))
    gap = max(0.0, bound / plan.throughput - 1.0)
    racks, _ = price_racks(model, [model.rack], model.tokens, "tok/s")
    return plan, racks[0], gap
