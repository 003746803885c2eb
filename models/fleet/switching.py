"""Switching: only so many racks change what they do from one period to the next.

    in_p,t >= n_p,t - n_p,t-1          sum_p in_p,t <= most          [racks]

The last period of a year is followed by its first one.
"""

import pyomo.core as pyo

from .quantities import FleetData


def add_switching(block: pyo.Block, fleet: FleetData) -> None:
    """Declare ``switched`` by pool and period, ``moves`` and ``switching``, where it is limited."""
    if fleet.switches is None:
        return
    most, pools, periods = fleet.switches, range(len(fleet.pools)), range(len(fleet.periods))
    block.switched = pyo.Var(pools, periods, within=pyo.NonNegativeReals, doc="racks that join [1]")

    @block.Constraint(pools, periods, doc="Racks that join a pool are counted [racks]")
    def moves(block: pyo.Block, pool: int, period: int) -> object:
        before = _before(fleet, period)
        if before == period:
            return pyo.Constraint.Skip
        more = block.racks[pool, period] - block.racks[pool, before]
        return more - block.switched[pool, period] <= 0

    @block.Constraint(periods, doc="Few racks change what they do [racks]")
    def switching(block: pyo.Block, period: int) -> object:
        return sum(block.switched[pool, period] for pool in pools) <= most


def _before(fleet: FleetData, period: int) -> int:
    """Return the period before one of the same year, of the first one the last."""
    same = [
        place for place, one in enumerate(fleet.periods) if one.year == fleet.periods[period].year
    ]
    return same[same.index(period) - 1]
