"""Step time: the seconds of a second.

    sum_k T_k + sum_r (1 - overlap_r) (time of r) + t_fixed z + t_each v
        - sum_c saved_c y_c + sum_c added_c y_c <= R

in replica-milliseconds per millisecond. T_k are the times of the kernel classes (`kernel_time`), r
runs over prompts in between, links, the network between scale-up domains, SRAM, LPU compute and LPU
links. t_fixed are the fixed times of layers and blocks that no bandwidth buys off, t_each what the
engine spends on every sequence.
Offloading component c takes its share of that latency along and adds the LPU's latency per layer
and two hops: that, as much as bandwidth, is what an LPU buys at high speed. overlap = 1 for all is
the ideal roofline, overlap = 0 is serial; measured decode steps are serial from kernel to kernel.
"""

import pyomo.core as pyo

from .limit import ClockFamily, Limit
from .quantities import ReplicaData

TIMED = {
    "prefill": "prefill",
    "link": "link",
    "scale_out": "link",
    "sram": "sram",
    "lpu_compute": "lpu_compute",
    "lpu_link": "lpu_link",
}
"""The resources whose time a step is made of, beside its kernels and the fixed latency.

Each with the overlap that it has: a network hides behind other work as much as links do.
"""


def add_step_time(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``step_time`` and, as expressions ``time_*``, the parts that it is made of."""
    efficiency, accelerators = replica.efficiency, replica.accelerators
    link = efficiency.link * accelerators * replica.link_tb_per_s
    block.time_prefill = pyo.Expression(
        expr=block.prefill_at_peak / (efficiency.prefill * accelerators)
    )
    block.time_link = pyo.Expression(expr=block.link_traffic / link)
    network = replica.scale_out
    block.time_scale_out = pyo.Expression(
        expr=block.scale_out_traffic / (network.attained * accelerators * network.tb_per_s)
        if network is not None
        else 0.0
    )
    block.time_latency = pyo.Expression(
        expr=replica.fixed_latency_ms * block.steps
        + replica.latency_ms_per_sequence * block.sequences
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
            (1.0 - getattr(replica.overlap, overlap)) * getattr(block, f"time_{resource}")
            for resource, overlap in TIMED.items()
        )
        kernels = sum(block.kernel_time.values())
        return kernels + exposed + block.time_latency <= block.running


FAMILY = ClockFamily(Limit("step_time", "us per step", None), add_step_time)
