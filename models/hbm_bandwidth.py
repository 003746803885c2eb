"""HBM bandwidth: what every step reads again comes out of HBM in time.

    sum_k W_k / eta_k + Q v / eta_kv <= g BW R            [TB/s]

W_k bytes of the weights of kernel class k that are read, Q bytes of KV cache read per sequence and
step; eta the attained share of the peak. This is the roofline over all kernels; `step_time` adds
up those of the single ones.
"""

import pyomo.core as pyo

from .limit import ClockFamily, Limit
from .quantities import ReplicaData


def add_hbm_bandwidth(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``hbm_bandwidth``, divided by the peak bandwidth of one replica."""
    limit = replica.accelerators * replica.hbm_tb_per_s

    @block.Constraint(doc="Weights and KV cache read stay within HBM bandwidth [replicas]")
    def hbm_bandwidth(block: pyo.Block) -> object:
        read = sum(
            block.kernel_read[index] / kernel.weights
            for index, kernel in enumerate(replica.kernels)
        )
        return (read + block.kv_read / replica.efficiency.kv) / limit <= block.running


FAMILY = ClockFamily(
    Limit("hbm_bandwidth", "TB/s per accelerator", lambda replica: replica.hbm_tb_per_s),
    add_hbm_bandwidth,
)
