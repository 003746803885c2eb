"""Compute: matrix products and attention fit into the arithmetic of the accelerators.

    sum_k (sum_c f_c (v - w_c) / F_c) / eta_k + a v / (eta_a F_a) + p v / eta_p <= g R

in accelerators. f_c FLOPs of component c of kernel class k per sequence and step (2 per weight that
the token visits), F_c the peak at the component's format; a attention FLOPs, F_a the peak at the
attention's format; p accelerator-ms at peak of the prompts that are computed in between. They are
kept apart because their efficiencies differ, and MLA decode is heavy on attention FLOPs.
"""

import pyomo.core as pyo

from .limit import ClockFamily, Limit
from .quantities import ReplicaData


def add_compute(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``compute``, divided by the accelerators of one replica."""

    @block.Constraint(doc="Matrix products and attention fit in the compute budget [replicas]")
    def compute(block: pyo.Block) -> object:
        busy = (
            sum(
                block.kernel_at_peak[index] / kernel.gemm
                for index, kernel in enumerate(replica.kernels)
            )
            + block.attention_at_peak / replica.efficiency.attention
            + block.prefill_at_peak / replica.efficiency.prefill
        )
        return busy / replica.accelerators <= block.running


FAMILY = ClockFamily(Limit("compute", "% of the time", lambda _: 100.0), add_compute)
