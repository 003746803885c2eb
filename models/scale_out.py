"""Scale-out: what a replica sends from one scale-up domain to another fits in the network.

    X' v <= eta' g OUT R            [TB/s]

X' bytes that the accelerators of a replica send to other domains per sequence and step, OUT the
bandwidth of the network for one accelerator in one direction. What stays inside a domain is
`interconnect`.
"""

import pyomo.core as pyo

from .limit import ClockFamily, Limit
from .quantities import Number, ReplicaData


def add_scale_out(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``scale_out``, divided by the attainable bandwidth, where a replica spans domains."""
    network = replica.scale_out
    if network is None:
        return
    limit = network.attained * replica.accelerators * network.tb_per_s

    @block.Constraint(doc="Traffic between scale-up domains fits in the network [replicas]")
    def scale_out(block: pyo.Block) -> object:
        return block.scale_out_traffic / limit <= block.running


def _bandwidth(replica: ReplicaData) -> Number:
    return replica.scale_out.tb_per_s if replica.scale_out is not None else 0.0


FAMILY = ClockFamily(Limit("scale_out", "TB/s per accelerator", _bandwidth), add_scale_out)
