"""Site power: all racks that stand, what runs on them, and the overhead of the site.

PUE (sum_r idle_r n_r,Y(t) + sum_p (E_p,t + moving_p,t + cpu_p S_p,t)) <= cap_t          [kW]
"""

import pyomo.core as pyo

from .quantities import FleetData


def add_site_power(block: pyo.Block, fleet: FleetData) -> None:
    """Declare ``site_power`` by period, and ``power_cap`` where there is one."""
    periods = range(len(fleet.periods))

    @block.Expression(periods, doc="Power of the site [kW]")
    def site_power(block: pyo.Block, period: int) -> object:
        year = fleet.periods[period].year
        resting = sum(
            one.idle_kw * block.standing[kind, year] for kind, one in enumerate(fleet.kinds)
        )
        running = sum(
            block.power[pool, period]
            + block.moving_power[pool, period]
            + one.kw_per_token * block.rate[pool, period]
            for pool, one in enumerate(fleet.pools)
        )
        return fleet.overhead * (resting + running)

    @block.Constraint(periods, doc="Power stays within the cap of the site [share of the cap]")
    def power_cap(block: pyo.Block, period: int) -> object:
        cap = fleet.periods[period].cap_kw
        if cap is None:
            return pyo.Constraint.Skip
        return block.site_power[period] / cap <= 1
