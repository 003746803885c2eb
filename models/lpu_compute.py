"""LPU compute: the matrix products of offloaded components fit in the LPUs' arithmetic.

sum_c f_c w_c / F_c <= eta n R            [LPUs]
"""

import pyomo.core as pyo

from .limit import ClockFamily, Limit
from .quantities import ReplicaData


def add_lpu_compute(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``lpu_compute``, divided by the attainable LPUs, where the replica has LPUs."""
    if not replica.offloaded:
        return

    @block.Constraint(doc="Offloaded matrix products fit in LPU compute [replicas]")
    def lpu_compute(block: pyo.Block) -> object:
        limit = replica.efficiency.lpu_compute * replica.lpu.units
        return block.lpu_at_peak / limit <= block.running


FAMILY = ClockFamily(Limit("lpu_compute", "% of the time", lambda _: 100.0), add_lpu_compute)
