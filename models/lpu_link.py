"""LPU link: activations cross to the LPUs and back for every offloaded layer.

    sum_c H_c w_c <= eta n LINK R            [TB/s]

H_c bytes of activations that cross, both ways together, per sequence and step.
"""

import pyomo.core as pyo

from .limit import ClockFamily, Limit
from .quantities import ReplicaData


def add_lpu_link(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``lpu_link``, divided by its limit, where the replica has LPUs."""
    if not replica.offloaded:
        return

    @block.Constraint(doc="Activations crossing to the LPUs fit in their links [replicas]")
    def lpu_link(block: pyo.Block) -> object:
        limit = replica.efficiency.lpu_link * replica.lpu.units * replica.lpu.link_tb_per_s
        return block.crossing_traffic / limit <= block.running


FAMILY = ClockFamily(
    Limit("lpu_link", "TB/s per LPU", lambda replica: replica.lpu.link_tb_per_s),
    add_lpu_link,
)
