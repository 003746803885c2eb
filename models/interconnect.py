"""Interconnect: all-reduce, or dispatch and combine, fit in the scale-up links.

    X v <= eta g LINK R            [TB/s]

X bytes that the accelerators of a replica send per sequence and step, LINK the bandwidth of one
accelerator in one direction.
"""

import pyomo.core as pyo

from .limit import ClockFamily, Limit
from .quantities import ReplicaData


def add_interconnect(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``interconnect``, divided by the attainable link bandwidth of one replica."""
    limit = replica.efficiency.link * replica.accelerators * replica.link_tb_per_s

    @block.Constraint(doc="Traffic between accelerators fits in their links [replicas]")
    def interconnect(block: pyo.Block) -> object:
        return block.link_traffic / limit <= block.running


FAMILY = ClockFamily(
    Limit("interconnect", "TB/s per accelerator", lambda replica: replica.link_tb_per_s),
    add_interconnect,
)
