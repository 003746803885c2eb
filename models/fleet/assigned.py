"""A rack serves one class in a period: racks of all pools of a type are among those that stand.

sum_(p of r) n_p,t <= n_r,Y(t)          [racks]
"""

import pyomo.core as pyo

from .quantities import FleetData


def add_assigned(block: pyo.Block, fleet: FleetData) -> None:
    """Declare ``band_racks`` by pool, period and band, and ``racks``, their sum."""
    domain = pyo.NonNegativeIntegers if fleet.whole else pyo.NonNegativeReals
    block.band_racks = pyo.Var(fleet.indices(), within=domain, doc="racks of a pool [1]")

    @block.Expression(range(len(fleet.pools)), range(len(fleet.periods)), doc="Racks [1]")
    def racks(block: pyo.Block, pool: int, period: int) -> object:
        bands = fleet.bands[pool][period]
        return sum(block.band_racks[pool, period, band] for band in range(len(bands)))

    @block.Constraint(range(len(fleet.kinds)), range(len(fleet.periods)), doc="Racks stand [racks]")
    def assigned(block: pyo.Block, kind: int, period: int) -> object:
        pools = fleet.pools_of(kind)
        if not pools:
            return pyo.Constraint.Skip
        standing = block.standing[kind, fleet.periods[period].year]
        return sum(block.racks[pool, period] for pool in pools) <= standing
