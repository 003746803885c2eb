"""CPUs: tools of agents keep cores busy, and a rack has so many.

sum_(p of r) cores_p S_p,t <= cores_r sum_(p of r) n_p,t          [racks]
"""

import pyomo.core as pyo

from .quantities import FleetData


def add_host_cpu(block: pyo.Block, fleet: FleetData) -> None:
    """Add ``cpu`` by type and period, where a class keeps cores busy."""

    @block.Constraint(
        range(len(fleet.kinds)), range(len(fleet.periods)), doc="Cores are enough [racks]"
    )
    def cpu(block: pyo.Block, kind: int, period: int) -> object:
        pools = fleet.pools_of(kind)
        busy = [pool for pool in pools if fleet.pools[pool].cores_per_token > 0]
        if not busy:
            return pyo.Constraint.Skip
        used = sum(fleet.pools[pool].cores_per_token * block.rate[pool, period] for pool in busy)
        cores = fleet.kinds[kind].cores
        racks = sum(block.racks[pool, period] for pool in pools)
        return used / cores <= racks if cores > 0 else used <= 0
