"""SRAM capacity: the offloaded share of the weights fits in the LPUs of the replica.

    sum_c M_c y_c <= n SRAM z            [GB per replica, times steps]

One copy of each component, in the narrowest format that the LPU computes in.
"""

import pyomo.core as pyo

from .limit import ClockFamily, Limit
from .quantities import ReplicaData


def add_sram_capacity(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``sram_capacity``, divided by n SRAM, where the replica has LPUs."""
    if not replica.offloaded:
        return
    limit = replica.lpu.units * replica.lpu.sram_gb
    block.sram_resident = pyo.Expression(
        expr=sum(
            part.resident_gb * block.offloaded_steps[index]
            for index, part in enumerate(replica.offloaded)
        ),
        doc="Offloaded bytes per replica, times steps [GB/ms]",
    )

    @block.Constraint(doc="Offloaded weights fit in SRAM [share of SRAM]")
    def sram_capacity(block: pyo.Block) -> object:
        return block.sram_resident / limit <= block.steps


FAMILY = ClockFamily(
    Limit("sram_capacity", "GB per LPU", lambda replica: replica.lpu.sram_gb, against="steps"),
    add_sram_capacity,
)
