"""Compute: matrix products and attention fit into the arithmetic of the accelerators.

    (sum_c f_c (v - w_c) / F_c) / eta_g + a v / (eta_a F_a) <= g R      [accelerators]

f_c FLOPs of component c per sequence and step (2 per weight that the token visits), F_c the peak
at the component's format; a attention FLOPs, F_a the peak at the attention's format. The two are
kept apart because their efficiencies differ and MLA decode is heavy on attention FLOPs.
"""

import pyomo.core as pyo

from .limit import ClockFamily, Limit
from .quantities import ReplicaData


def add_compute(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``compute``, divided by the accelerators of one replica."""

    @block.Constraint(doc="Matrix products and attention fit in the compute budget [replicas]")
    def compute(block: pyo.Block) -> object:
        busy = (
            block.gemm_at_peak / replica.efficiency.gemm
            + block.attention_at_peak / replica.efficiency.attention
        )
        return busy / replica.accelerators <= block.running


FAMILY = ClockFamily(Limit("compute", "% of the time", lambda _: 100.0), add_compute)
