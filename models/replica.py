"""The variables of one replica group at one clock, in rate space, and the work that they cause.

running     R     replicas that run at this clock                         [1]
steps       z     decode steps per millisecond, summed over the replicas  [1/ms]
sequences   v     sequence-steps per millisecond = batch * steps          [1/ms]
offloaded_steps      y_c = x_c z    steps for which component c is read from SRAM   [1/ms]
offloaded_sequences  w_c = x_c v    sequence-steps of them                          [1/ms]

Written in batch b and speed the program is bilinear. In these rates every row is linear and
homogeneous, so R = 0 switches a configuration off by itself.
"""

import pyomo.core as pyo

from .quantities import BatchPoint, ReplicaData


def declare_replica(block: pyo.Block, replica: ReplicaData, point: BatchPoint | None) -> None:
    """Declare the variables on `block`, and as expressions the work per millisecond.

    With a `point` the product x_c v is replaced by its first-order model at that point,
    w_c = b y_c + x_c (v - b z); without one it is a variable of its own (see `offload`).
    """
    offloaded = range(len(replica.offloaded))
    block.running = pyo.Var(within=pyo.NonNegativeReals, doc="replicas at this clock [1]")
    block.steps = pyo.Var(within=pyo.NonNegativeReals, doc="decode steps [1/ms]")
    block.sequences = pyo.Var(within=pyo.NonNegativeReals, doc="sequence-steps [1/ms]")
    block.offloaded_steps = pyo.Var(offloaded, within=pyo.NonNegativeReals, doc="[1/ms]")
    if point is None:
        block.offloaded_sequences = pyo.Var(offloaded, within=pyo.NonNegativeReals, doc="[1/ms]")
    else:
        first_order = {
            index: point.batch * block.offloaded_steps[index]
            + point.offloaded_share[index] * (block.sequences - point.batch * block.steps)
            for index in offloaded
        }
        block.offloaded_sequences = pyo.Expression(offloaded, initialize=first_order)

    position = {component: index for index, component in enumerate(replica.offloadable)}
    kept_steps = [
        block.steps - block.offloaded_steps[position[index]] if index in position else block.steps
        for index in range(len(replica.components))
    ]
    kept_sequences = [
        block.sequences - block.offloaded_sequences[position[index]]
        if index in position
        else block.sequences
        for index in range(len(replica.components))
    ]
    parts = list(zip(replica.components, kept_steps, kept_sequences, strict=True))
    block.kv_read = pyo.Expression(
        expr=replica.kv_read_gb * block.sequences, doc="KV cache read from HBM [TB/s]"
    )
    products = [
        part.gflop_per_sequence / part.peak_tflops * sequences for part, _, sequences in parts
    ]
    reads = [
        part.read_gb_per_step * steps + part.read_gb_per_sequence * sequences
        for part, steps, sequences in parts
    ]
    kernels = range(len(replica.kernels))
    members = [kernel.components for kernel in replica.kernels]
    block.kernel_read = pyo.Expression(
        kernels,
        initialize={kernel: sum(reads[one] for one in members[kernel]) for kernel in kernels},
        doc="Weights of a class of products read from HBM [TB/s]",
    )
    block.kernel_at_peak = pyo.Expression(
        kernels,
        initialize={kernel: sum(products[one] for one in members[kernel]) for kernel in kernels},
        doc="Accelerators kept busy by a class of products at peak rate [1]",
    )
    block.prefill_at_peak = pyo.Expression(
        expr=sum(
            part.prompt_gflop_per_sequence / part.peak_tflops * sequences
            for part, _, sequences in parts
        )
        + replica.prompt_attention_gflop / replica.attention_peak_tflops * block.sequences,
        doc="Accelerators kept busy by prompts at peak rate [1]",
    )
    block.attention_at_peak = pyo.Expression(
        expr=replica.attention_gflop / replica.attention_peak_tflops * block.sequences,
        doc="Accelerators kept busy by attention at peak rate [1]",
    )
    block.link_traffic = pyo.Expression(
        expr=replica.link_gb_per_sequence * block.sequences,
        doc="Sent between accelerators of a scale-up domain [TB/s]",
    )
    block.scale_out_traffic = pyo.Expression(
        expr=replica.scale_out.gb_per_sequence * block.sequences
        if replica.scale_out is not None
        else 0.0,
        doc="Sent to accelerators of other scale-up domains [TB/s]",
    )
    block.sram_read = pyo.Expression(
        expr=sum(
            part.read_gb_per_step * block.offloaded_steps[index]
            + part.read_gb_per_sequence * block.offloaded_sequences[index]
            for index, part in enumerate(replica.offloaded)
        ),
        doc="Offloaded weights read from SRAM [TB/s]",
    )
    block.lpu_at_peak = pyo.Expression(
        expr=sum(
            part.gflop_per_sequence / part.peak_tflops * block.offloaded_sequences[index]
            for index, part in enumerate(replica.offloaded)
        ),
        doc="LPUs kept busy at peak rate [1]",
    )
    block.crossing_traffic = pyo.Expression(
        expr=sum(
            part.crossing_gb_per_sequence * block.offloaded_sequences[index]
            for index, part in enumerate(replica.offloaded)
        ),
        doc="Activations between accelerators and LPUs [TB/s]",
    )
    block.power = pyo.Expression(
        expr=replica.accelerators * replica.power.active_kw * block.running
        + replica.power.joule_per_gb * (sum(reads) + block.kv_read)
        + sum(
            part.joule_per_gflop
            * (part.gflop_per_sequence + part.prompt_gflop_per_sequence)
            * sequences
            for part, _, sequences in parts
        )
        + replica.power.attention_joule_per_gflop
        * (replica.attention_gflop + replica.prompt_attention_gflop)
        * block.sequences
        + replica.power.joule_per_link_gb * (block.link_traffic + block.scale_out_traffic),
        doc="Power of the running accelerators [kW]",
    )
    block.lpu_power = pyo.Expression(
        expr=replica.lpu.units * replica.lpu.active_kw * block.running
        + replica.lpu.joule_per_gb * block.sram_read
        if replica.offloaded
        else 0.0,
        doc="Power of the LPUs of the running replicas [kW]",
    )
    block.tokens = pyo.Expression(
        expr=replica.tokens_per_sequence_step * block.sequences, doc="Output tokens [1/ms]"
    )
    block.pace = pyo.Expression(
        expr=replica.tokens_per_sequence_step * block.steps,
        doc="Output tokens of one user of every replica [1/ms]",
    )
