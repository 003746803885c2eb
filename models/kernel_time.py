"""Kernel time: inside a kernel reading and arithmetic overlap, and kernels follow one another.

    T_k >= (1 - overlap) W_k / (eta_k g BW)        memory            [replicas]
    T_k >= (1 - overlap) F_k / (eta_k g)           arithmetic        [replicas]

for the classes k of matrix products and for attention proper, which reads the cache. W_k bytes that
are read, F_k accelerators kept busy at peak. A product takes the longer of reading its weights and
multiplying with them (Williams, Waterman and Patterson 2009, for one kernel); `step_time` adds the
T_k up, and of the two rows of a class the one with a multiplier says what it is bound by.
"""

import pyomo.core as pyo

from .quantities import ReplicaData


def add_kernel_time(block: pyo.Block, replica: ReplicaData) -> None:
    """Add the variables ``kernel_time``, and ``kernel_memory`` and ``kernel_arithmetic`` each."""
    efficiency, overlap = replica.efficiency, replica.overlap
    hbm = replica.accelerators * replica.hbm_tb_per_s
    last = len(replica.kernels)
    memory = [
        (1.0 - overlap.weights) * block.kernel_read[index] / (kernel.weights * hbm)
        for index, kernel in enumerate(replica.kernels)
    ]
    memory.append((1.0 - overlap.kv) * block.kv_read / (efficiency.kv * hbm))
    arithmetic = [
        (1.0 - overlap.gemm) * block.kernel_at_peak[index] / (kernel.gemm * replica.accelerators)
        for index, kernel in enumerate(replica.kernels)
    ]
    attention = efficiency.attention * replica.accelerators
    arithmetic.append((1.0 - overlap.attention) * block.attention_at_peak / attention)
    block.kernel_time = pyo.Var(
        range(last + 1), within=pyo.NonNegativeReals, doc="time of a class of kernels [replicas]"
    )

    @block.Constraint(range(last + 1), doc="A kernel takes the time of what it reads [replicas]")
    def kernel_memory(block: pyo.Block, index: int) -> object:
        return memory[index] <= block.kernel_time[index]

    @block.Constraint(range(last + 1), doc="A kernel takes the time of its arithmetic [replicas]")
    def kernel_arithmetic(block: pyo.Block, index: int) -> object:
        return arithmetic[index] <= block.kernel_time[index]
