"""Demand: what the pools of a class make is served, and no more than is asked for.

sum_(p decodes j) S_p,t = served_j,t <= asked_j,t       [tok/s], equal where it must be served
sum_(p prefills j) S_p,t >= sum_(p decodes j) c_p S_p,t + recomputed      [prompts/s]
"""

import pyomo.core as pyo

from .quantities import FleetData


def add_demand(block: pyo.Block, fleet: FleetData) -> None:
    """Declare ``served`` by class and period, ``demand`` and ``prompts``."""
    demands, periods = range(len(fleet.demands)), range(len(fleet.periods))

    @block.Expression(demands, periods, doc="Output tokens of a class [tok/s]")
    def served(block: pyo.Block, demand: int, period: int) -> object:
        return sum(block.rate[pool, period] for pool in fleet.serving(demand, prefill=False))

    @block.Constraint(demands, periods, doc="Demand is served [share of the demand]")
    def demand(block: pyo.Block, demand: int, period: int) -> object:
        asked, pools = fleet.periods[period].asked[demand], fleet.serving(demand, prefill=False)
        if asked is None or not pools:
            return pyo.Constraint.Skip
        made = block.served[demand, period]
        if asked == 0:
            return made == 0
        return made / asked == 1 if fleet.demands[demand].must_serve else made / asked <= 1

    @block.Constraint(demands, periods, doc="Prompts of a class are computed [prompts/s]")
    def prompts(block: pyo.Block, demand: int, period: int) -> object:
        decoding = fleet.serving(demand, prefill=False)
        if not any(fleet.pools[pool].prompts_per_token for pool in decoding):
            return pyo.Constraint.Skip
        needed = sum(
            fleet.pools[pool].prompts_per_token * block.rate[pool, period]
            + block.recomputed[pool, period]
            for pool in decoding
        )
        made = sum(block.rate[pool, period] for pool in fleet.serving(demand, prefill=True))
        return needed - made <= 0
