"""HBM bandwidth: what every step reads again comes out of HBM in time.

    (sum_c W_c (z - y_c)) / eta_w + Q v / eta_kv <= g BW R            [TB/s]

W_c bytes of component c read per step, Q bytes of KV cache read per sequence and step; eta the
attained share of the peak. This is the roofline; `step_time` adds the times up instead.
"""

import pyomo.core as pyo

from .limit import ClockFamily, Limit
from .quantities import ReplicaData


def add_hbm_bandwidth(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``hbm_bandwidth``, divided by the peak bandwidth of one replica."""
    limit = replica.accelerators * replica.hbm_tb_per_s

    @block.Constraint(doc="Weights and KV cache read stay within HBM bandwidth [replicas]")
    def hbm_bandwidth(block: pyo.Block) -> object:
        read = (
            block.weights_read / replica.efficiency.weights + block.kv_read / replica.efficiency.kv
        )
        return read / limit <= block.running


FAMILY = ClockFamily(
    Limit("hbm_bandwidth", "TB/s per accelerator", lambda replica: replica.hbm_tb_per_s),
    add_hbm_bandwidth,
)
