"""From an instance and a configuration to the coefficients of the program.

This is where architecture, layout and data sheet meet: bytes held and read, FLOPs, traffic,
latency and power per step and per sequence, in GB, GFLOP, joule and ms. Everything is one
copy's demand times the copies that the layout keeps.
"""

import math
from dataclasses import dataclass

from hbmopt.configuration import Configuration, Layout
from hbmopt.hardware import ARITHMETIC, OffloadDevice, PowerLaw, arithmetic_format
from hbmopt.instance import Instance
from hbmopt.llm import ARITHMETIC_BITS, BITS_PER_WEIGHT, COMPONENTS, Llm
from hbmopt.models.expert_reads import LinearPiece, chord, tangent
from hbmopt.models.quantities import (
    AcceleratorPower,
    BatchPoint,
    BatchSegment,
    BudgetData,
    BudgetUse,
    ComponentData,
    ConfigurationData,
    EfficiencyData,
    LpuUnits,
    OffloadedData,
    OverlapData,
    RackData,
    ReplicaData,
)

GIGA = 1e-9
TOKENS_PER_SEQUENCE_STEP = 1.0
"""Tokens that a sequence gains in one step: one, as nothing is drafted."""
OFFLOADABLE = ("attention", "dense_ffn", "shared_experts", "routed_experts", "lm_head")


@dataclass(frozen=True)
class Segment:
    """Batches from `lowest` to `highest`, in sequences per replica."""

    lowest: float
    highest: float


@dataclass(frozen=True)
class Point:
    """One batch and the offloaded share of each offloadable component there."""

    batch: float
    offloaded_share: tuple[float, ...]
    steps: tuple[float, ...]
    lowest: float
    highest: float


def components_of(llm: Llm) -> tuple[str, ...]:
    """Return the components that the model has; an output head always takes part in a step."""
    return tuple(
        component
        for component in COMPONENTS
        if component == "lm_head" or getattr(llm.parameters, component) > 0
    )


def offloadable_components(instance: Instance, configuration: Configuration) -> tuple[str, ...]:
    """Return the components that the configuration's LPUs can compute."""
    offload = instance.rack.offload
    if offload is None or configuration.lpu_units == 0:
        return ()
    widest = max(ARITHMETIC[name] for name in offload.device.peak_flops)
    return tuple(
        component
        for component in components_of(instance.llm)
        if component in OFFLOADABLE
        and _arithmetic_bits(instance.llm, configuration.weight_format, component) <= widest
    )


def _arithmetic_bits(llm: Llm, scheme: str, component: str) -> int:
    return ARITHMETIC_BITS[llm.component_format(scheme, component)]


def configuration_data(
    instance: Instance, configuration: Configuration, batches: Segment | Point
) -> ConfigurationData:
    """Return the coefficients of `configuration` over a range of batches or around one."""
    count = float(instance.rack.accelerators)
    at_most = math.floor(count / configuration.layout.accelerators)
    if configuration.lpu_units and instance.rack.offload is not None:
        units = float(instance.rack.offload.units)
        at_most = min(at_most, math.floor(units / configuration.lpu_units))
    if isinstance(batches, Segment):
        span: BatchSegment | BatchPoint = BatchSegment(batches.lowest, batches.highest)
    else:
        span = BatchPoint(
            batches.lowest,
            batches.highest,
            batches.batch,
            batches.offloaded_share,
            batches.steps,
        )
    size = configuration.layout.accelerators
    uses = tuple(
        BudgetUse(
            per_replica=budget.per_replica + budget.per_accelerator * size,
            per_step=budget.per_step,
            per_sequence_step=budget.per_token * TOKENS_PER_SEQUENCE_STEP,
        )
        for budget in instance.limits.budgets
    )
    return ConfigurationData(
        replicas_at_most=float(at_most),
        clocks=tuple(
            replica_data(instance, configuration, clock, batches) for clock in configuration.clocks
        ),
        batches=span,
        budgets=uses,
    )


def rack_data(instance: Instance) -> RackData:
    """Return what the configurations share, in the instance's power scope."""
    rack, limits, offload = instance.rack, instance.limits, instance.rack.offload
    static = float(rack.static_power) + (float(offload.static_power) if offload else 0.0)
    law = power_law(instance)
    return RackData(
        racks=1.0,
        accelerators=float(rack.accelerators),
        lpu_units=float(offload.units) if offload else 0.0,
        power_cap_kw=instance.power_cap_kw,
        static_kw=0.0 if limits.power_scope == "accelerators" else static,
        parked_accelerator_kw=float(law.parked) * float(rack.accelerator.tdp),
        parked_lpu_kw=float(offload.device.parked) * float(offload.device.tdp) if offload else 0.0,
        power_overhead=float(limits.pue) if limits.power_scope == "facility" else 1.0,
        budgets=tuple(
            BudgetData(budget.name, budget.capacity, budget.fixed) for budget in limits.budgets
        ),
    )


def power_law(instance: Instance) -> PowerLaw:
    """Return the accelerator's own power law, or the calibration's for chips without one."""
    return instance.rack.accelerator.power_law or instance.calibration.power_law


def smallest_batch(configuration: Configuration) -> float:
    """Return the fewest sequences of a replica: one for every attention-data-parallel rank.

    With fewer, ranks would idle, and work per accelerator would not be even.
    """
    return float(configuration.layout.attention_data_parallel)


def largest_batch(instance: Instance, configuration: Configuration) -> float:
    """Return the most sequences that the HBM of a replica can hold, maybe less than 1 or none.

    Without LPUs this is (g C - M) / S; with them the share that SRAM can take is added.
    """
    data = replica_data(instance, configuration, 1.0, Segment(1.0, 1.0))
    resident = sum(float(part.resident_gb) for part in data.components)
    if data.offloaded:
        sram = float(data.lpu.units) * float(data.lpu.sram_gb)
        taken = 0.0
        # The cheapest gigabytes first: what frees most HBM per byte of SRAM.
        order = sorted(
            zip(data.offloadable, data.offloaded, strict=True),
            key=lambda pair: (
                -float(data.components[pair[0]].resident_gb) / float(pair[1].resident_gb)
            ),
        )
        for position, part in order:
            share = min(1.0, sram / float(part.resident_gb))
            taken += share * float(data.components[position].resident_gb)
            sram -= share * float(part.resident_gb)
        resident -= taken
    free = float(data.accelerators) * float(data.hbm_gb) - resident
    return free / float(data.kv_held_gb)


def replica_data(
    instance: Instance, configuration: Configuration, clock: float, batches: Segment | Point
) -> ReplicaData:
    """Return the coefficients of one replica of `configuration` at `clock`."""
    accelerator, calibration, llm = instance.rack.accelerator, instance.calibration, instance.llm
    layout = configuration.layout
    context = instance.workload.mean_context
    names = components_of(llm)
    offloadable = offloadable_components(instance, configuration)
    held = llm_cache(llm, context, configuration, held=True)
    read = llm_cache(llm, context, configuration, held=False)
    attention_peak = accelerator.peak_flops["bf16"]
    return ReplicaData(
        accelerators=float(layout.accelerators),
        hbm_gb=float(accelerator.hbm_capacity) * float(calibration.hbm_usable),
        hbm_tb_per_s=float(accelerator.hbm_bandwidth),
        link_tb_per_s=float(accelerator.scale_up_bandwidth) or 1.0,
        attention_peak_tflops=float(attention_peak) * clock,
        components=tuple(
            _component(instance, configuration, name, clock, batches) for name in names
        ),
        kv_held_gb=held,
        kv_read_gb=read,
        attention_gflop=llm.attention_flops(context) * GIGA,
        link_gb_per_sequence=_link_bytes(instance, layout) * GIGA,
        fixed_latency_ms=llm.layers * sum(_layer_latency(instance, layout)),
        tokens_per_sequence_step=TOKENS_PER_SEQUENCE_STEP,
        min_speed_per_ms=float(instance.limits.min_speed) / 1000.0,
        efficiency=EfficiencyData(
            **{
                name: float(getattr(calibration.efficiency, name))
                for name in type(calibration.efficiency).model_fields
            }
        ),
        overlap=OverlapData(
            **{
                name: float(getattr(calibration.overlap, name))
                for name in type(calibration.overlap).model_fields
            }
        ),
        power=_accelerator_power(instance, clock),
        lpu=_lpu_units(instance, configuration),
        offloadable=tuple(names.index(name) for name in offloadable),
        offloaded=tuple(_offloaded(instance, configuration, name, batches) for name in offloadable),
    )


def llm_cache(llm: Llm, context: float, configuration: Configuration, *, held: bool) -> float:
    """Return the KV GB of one sequence over a replica, held or read per step, with copies.

    Copies follow the tensor parallelism of attention: KV heads are replicated past their
    number, latents and index keys on every rank; attention-data parallelism keeps one copy.
    """
    tensor, kv_format = configuration.layout.tensor_parallel, configuration.kv_format
    return GIGA * sum(
        group.cache_copies(tensor)
        * (group.held_bytes(context, kv_format) if held else group.read_bytes(context, kv_format))
        for group in llm.attention
    )


def _layer_latency(instance: Instance, layout: Layout) -> tuple[float, float]:
    """Return the fixed ms of one layer: of its kernels, and of its collectives."""
    latency = instance.calibration.latency
    return (
        float(latency.per_layer),
        float(latency.per_layer_doubling) * math.log2(layout.accelerators),
    )


def _link_bytes(instance: Instance, layout: Layout) -> float:
    """Return the bytes that a replica's accelerators send per sequence and step.

    A ring all-reduce of h activations over t ranks makes them send 2 (t - 1) h elements in all.
    Wide expert parallelism sends each token once to every other accelerator that holds one of
    its experts, and gets the result back.
    """
    llm, calibration = instance.llm, instance.calibration
    tensor = layout.tensor_parallel
    activation = float(calibration.activation_bytes) * llm.hidden_size
    reduce_once = 2.0 * (tensor - 1) * activation
    moe_layers = llm.mixture.layers if llm.mixture else 0
    dense_layers = llm.layers - moe_layers
    total = (llm.layers + dense_layers) * reduce_once
    if llm.mixture is None or layout.attention_data_parallel == 1:
        return total + moe_layers * reduce_once
    ranks = layout.expert_parallel
    visited = ranks * -math.expm1(llm.mixture.active * math.log1p(-1.0 / ranks))
    remote = visited * (ranks - 1) / ranks
    dispatched = float(calibration.dispatch_bytes) * llm.hidden_size
    return total + moe_layers * remote * (dispatched + activation)


def _expert_piece(instance: Instance, batches: Segment | Point) -> LinearPiece:
    """Return distinct experts per layer as a linear piece over the batch, as a share of all."""
    mixture = instance.llm.mixture
    if mixture is None:
        return LinearPiece(1.0, 0.0)
    if isinstance(batches, Segment):
        piece = chord(mixture.experts, mixture.active, batches.lowest, batches.highest, 1.0)
    else:
        piece = tangent(mixture.experts, mixture.active, batches.batch, 1.0)
    return LinearPiece(piece.per_step / mixture.experts, piece.per_sequence / mixture.experts)


def _gflop(llm: Llm, component: str) -> float:
    """Return the GFLOP of one token in a component: two per weight that it visits."""
    if component == "embedding":
        return 0.0
    weights = float(getattr(llm.parameters, component)) or llm.parameters.embedding
    if component == "routed_experts" and llm.mixture is not None:
        weights *= llm.mixture.active / llm.mixture.experts
    return 2.0 * weights * GIGA


def _component(
    instance: Instance,
    configuration: Configuration,
    component: str,
    clock: float,
    batches: Segment | Point,
) -> ComponentData:
    llm, layout, scheme = instance.llm, configuration.layout, configuration.weight_format
    one_copy = llm.component_bytes(scheme, component) * GIGA
    copies = float(layout.attention_data_parallel)
    per_step, per_sequence = one_copy * copies, 0.0
    resident = one_copy * copies
    stored_as = component
    if component == "routed_experts" and llm.mixture is not None:
        piece = _expert_piece(instance, batches)
        per_step, per_sequence = one_copy * piece.per_step, one_copy * piece.per_sequence
        slots = math.ceil(llm.mixture.experts / layout.expert_parallel) * layout.expert_parallel
        resident = one_copy * slots / llm.mixture.experts
    elif component == "embedding":
        bits = BITS_PER_WEIGHT[llm.component_format(scheme, component)]
        per_step, per_sequence = 0.0, llm.hidden_size * bits / 8 * GIGA
    elif component == "lm_head" and llm.parameters.lm_head == 0:
        # Tied: the head multiplies with the embedding table, which is resident already.
        stored_as = "embedding"
        per_step = llm.component_bytes(scheme, "embedding") * GIGA * copies
    peaks = instance.rack.accelerator.peak_flops
    peak = peaks[arithmetic_format(peaks, _arithmetic_bits(llm, scheme, stored_as))]
    return ComponentData(
        resident_gb=resident,
        read_gb_per_step=per_step,
        read_gb_per_sequence=per_sequence,
        gflop_per_sequence=_gflop(llm, component),
        peak_tflops=float(peak) * clock,
    )


def _visits(llm: Llm, component: str) -> tuple[float, float]:
    """Return (layers that wait for the component, trips to it per such layer).

    Attention's projections are visited before and after attention proper. Shared experts run
    beside the routed ones, so no layer waits for them alone.
    """
    moe_layers = llm.mixture.layers if llm.mixture else 0
    return {
        "attention": (float(llm.layers), 2.0),
        "dense_ffn": (float(llm.layers - moe_layers), 1.0),
        "routed_experts": (float(moe_layers), 1.0),
        "shared_experts": (0.0, 1.0),
        "lm_head": (1.0, 1.0),
    }[component]


def _offloaded(
    instance: Instance, configuration: Configuration, component: str, batches: Segment | Point
) -> OffloadedData:
    llm, scheme, offload = instance.llm, configuration.weight_format, instance.rack.offload
    if offload is None:
        raise AssertionError("only racks with LPUs have offloadable components")
    device, latency = offload.device, instance.calibration.latency
    waiting, trips = _visits(llm, component)
    kernels, collectives = _layer_latency(instance, configuration.layout)
    attention = float(latency.attention_share)
    saved = {
        "attention": attention * float(latency.projection_share) * kernels + collectives / 2,
        "dense_ffn": (1 - attention) * kernels + collectives / 2,
        "routed_experts": (1 - attention) * kernels + collectives / 2,
    }.get(component, 0.0)
    stored_as = "embedding" if component == "lm_head" and not llm.parameters.lm_head else component
    bits = _stored_bits(llm, scheme, stored_as, device)
    gigabytes = float(getattr(llm.parameters, stored_as)) * bits / 8 * GIGA
    piece = LinearPiece(1.0, 0.0)
    if component == "routed_experts":
        piece = _expert_piece(instance, batches)
    peaks = device.peak_flops
    peak = peaks[arithmetic_format(peaks, _arithmetic_bits(llm, scheme, stored_as))]
    layers = {"shared_experts": float(llm.mixture.layers if llm.mixture else 0)}.get(
        component, waiting
    )
    crossing = 2.0 * float(instance.calibration.activation_bytes) * llm.hidden_size
    return OffloadedData(
        latency_saved_ms=waiting * saved,
        latency_added_ms=waiting
        * trips
        * (float(device.layer_latency) + 2.0 * float(device.hop_latency)),
        resident_gb=gigabytes,
        read_gb_per_step=gigabytes * piece.per_step,
        read_gb_per_sequence=gigabytes * piece.per_sequence,
        gflop_per_sequence=_gflop(llm, component),
        peak_tflops=float(peak),
        crossing_gb_per_sequence=layers * trips * crossing * GIGA,
    )


def _stored_bits(llm: Llm, scheme: str, component: str, device: OffloadDevice) -> float:
    """Return the bits per weight in SRAM: the device stores what it computes in."""
    stored = BITS_PER_WEIGHT[llm.component_format(scheme, component)]
    arithmetic = arithmetic_format(device.peak_flops, _arithmetic_bits(llm, scheme, component))
    return max(stored, float(ARITHMETIC[arithmetic]))


def _lpu_units(instance: Instance, configuration: Configuration) -> LpuUnits:
    offload = instance.rack.offload
    if offload is None or configuration.lpu_units == 0:
        return LpuUnits(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    device = offload.device
    parked, tdp = float(device.parked), float(device.tdp)
    return LpuUnits(
        units=float(configuration.lpu_units),
        sram_gb=float(device.sram_capacity),
        sram_tb_per_s=float(device.sram_bandwidth),
        link_tb_per_s=float(device.link_bandwidth),
        active_kw=parked * tdp,
        joule_per_gb=(1.0 - parked) * tdp / float(device.sram_bandwidth),
    )


def _accelerator_power(instance: Instance, clock: float) -> AcceleratorPower:
    """Return the power law at a clock.

    Lower clocks cut the dynamic share of the running power and the energy of an operation by
    clock**exponent; reading HBM costs the same at every clock.
    """
    accelerator, law = instance.rack.accelerator, power_law(instance)
    tdp = float(accelerator.tdp)
    slower = clock ** float(instance.calibration.clock_power_exponent)
    parked, active = float(law.parked), float(law.active)
    link = float(accelerator.scale_up_bandwidth) or 1.0
    return AcceleratorPower(
        limit_kw=tdp,
        active_kw=tdp * (parked + max(active - parked, 0.0) * slower),
        parked_kw=tdp * parked,
        joule_per_gb=float(law.hbm) * tdp / float(accelerator.hbm_bandwidth),
        kw_at_peak_flops=float(law.flop) * tdp * slower * clock,
        joule_per_link_gb=float(law.link) * tdp / link,
    )
