"""Step time: the seconds of a second.

    sum_r (1 - overlap_r) (time of r) + t_fixed z - sum_c saved_c y_c + sum_c added_c y_c <= R

in replica-milliseconds per millisecond. r runs over weights, KV cache, matrix products,
attention, links, SRAM, LPU compute and LPU links. t_fixed = layers (tau0 + tau1 log2 g) is the
latency that no bandwidth buys off. Offloading component c takes its share of that latency along
and adds the LPU's latency per layer and two hops: that, as much as bandwidth, is what an LPU
buys at high speed. overlap = 1 for all r is the ideal roofline, overlap = 0 is serial; measured
decode steps are near serial.
"""

import pyomo.core as pyo

from .limit import ClockFamily, Limit
from .quantities import ReplicaData

TIMED = ("weights", "kv", "gemm", "attention", "link", "sram", "lpu_compute", "lpu_link")
"""The resources whose time a step is made of, beside the fixed latency."""


def add_step_time(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``step_time`` and, as expressions ``time_*``, the parts that it is made of."""
    efficiency, accelerators = replica.efficiency, replica.accelerators
    hbm = accelerators * replica.hbm_tb_per_s
    link = efficiency.link * accelerators * replica.link_tb_per_s
    block.time_weights = pyo.Expression(expr=block.weights_read / (efficiency.weights * hbm))
    block.time_kv = pyo.Expression(expr=block.kv_read / (efficiency.kv * hbm))
    block.time_gemm = pyo.Expression(expr=block.gemm_at_peak / (efficiency.gemm * accelerators))
    block.time_attention = pyo.Expression(
        expr=block.attention_at_peak / (efficiency.attention * accelerators)
    )
    block.time_link = pyo.Expression(expr=block.link_traffic / link)
    block.time_latency = pyo.Expression(
        expr=replica.fixed_latency_ms * block.steps
        + sum(
            (part.latency_added_ms - part.latency_saved_ms) * block.offloaded_steps[index]
            for index, part in enumerate(replica.offloaded)
        )
    )
    if replica.offloaded:
        lpu = replica.lpu
        block.time_sram = pyo.Expression(
            expr=block.sram_read / (efficiency.sram * lpu.units * lpu.sram_tb_per_s)
        )
        block.time_lpu_compute = pyo.Expression(
            expr=block.lpu_at_peak / (efficiency.lpu_compute * lpu.units)
        )
        block.time_lpu_link = pyo.Expression(
            expr=block.crossing_traffic / (efficiency.lpu_link * lpu.units * lpu.link_tb_per_s)
        )
    else:
        block.time_sram = pyo.Expression(expr=0.0)
        block.time_lpu_compute = pyo.Expression(expr=0.0)
        block.time_lpu_link = pyo.Expression(expr=0.0)

    @block.Constraint(doc="The parts of a step that do not overlap fit in its time [replicas]")
    def step_time(block: pyo.Block) -> object:
        exposed = sum(
            (1.0 - getattr(replica.overlap, resource)) * getattr(block, f"time_{resource}")
            for resource in TIMED
        )
        return exposed + block.time_latency <= block.running


FAMILY = ClockFamily(Limit("step_time", "us per step", None), add_step_time)
