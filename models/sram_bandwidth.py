"""SRAM bandwidth: offloaded weights are read from SRAM at every step.

sum_c W_c y_c <= eta n SRAM_BW R            [TB/s]
"""

import pyomo.core as pyo

from .limit import ClockFamily, Limit
from .quantities import ReplicaData


def add_sram_bandwidth(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``sram_bandwidth``, divided by its limit, where the replica has LPUs."""
    if not replica.offloaded:
        return

    @block.Constraint(doc="Offloaded weights read stay within SRAM bandwidth [replicas]")
    def sram_bandwidth(block: pyo.Block) -> object:
        limit = replica.efficiency.sram * replica.lpu.units * replica.lpu.sram_tb_per_s
        return block.sram_read / limit <= block.running


FAMILY = ClockFamily(
    Limit("sram_bandwidth", "TB/s per LPU", lambda replica: replica.lpu.sram_tb_per_s),
    add_sram_bandwidth,
)
