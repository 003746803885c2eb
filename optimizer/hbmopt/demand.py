"""From an instance and a configuration to the coefficients of the program.

This is where architecture, layout and data sheet meet: bytes held and read, FLOPs, traffic,
latency and power per step and per sequence, in GB, GFLOP, joule and ms. Everything is one
copy's demand times the copies that the layout keeps.
"""

import math
from dataclasses import dataclass

from hbmopt.configuration import Configuration, Layout
from hbmopt.formats import ARITHMETIC_BITS, BITS_PER_WEIGHT
from hbmopt.hardware import ARITHMETIC, OffloadDevice, PowerLaw, arithmetic_format
from hbmopt.instance import Instance
from hbmopt.llm import COMPONENTS, Draft, Llm, Mixture
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
from hbmopt.placement import computed_copies, copies, stage_imbalance
from hbmopt.sequence import (
    GIGA,
    StepTokens,
    attention_gflop,
    sequence_cache,
    step_tokens,
)

DRAFT_DENSE, DRAFT_EXPERTS = "draft", "draft_experts"
"""Weights of the draft module: all but its routed experts, and these."""

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


def components_of(llm: Llm, configuration: Configuration) -> tuple[str, ...]:
    """Return the components that take part in a step; an output head always does."""
    found = [
        component
        for component in COMPONENTS
        if component == "lm_head" or getattr(llm.parameters, component) > 0
    ]
    if configuration.draft_tokens and llm.draft is not None:
        found.append(DRAFT_DENSE)
        if llm.draft.mixture is not None:
            found.append(DRAFT_EXPERTS)
    return tuple(found)


def offloadable_components(instance: Instance, configuration: Configuration) -> tuple[str, ...]:
    """Return the components that the configuration's LPUs can compute."""
    offload = instance.rack.offload
    if offload is None or configuration.lpu_units == 0:
        return ()
    widest = max(ARITHMETIC[name] for name in offload.device.peak_flops)
    return tuple(
        component
        for component in components_of(instance.llm, configuration)
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
    accepted = step_tokens(instance, configuration).accepted
    uses = tuple(
        BudgetUse(
            per_replica=budget.per_replica + budget.per_accelerator * size,
            per_step=budget.per_step,
            per_sequence_step=budget.per_token * accepted,
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
    """Return the coefficients of one replica of `configuration` at `clock`.

    The fullest pipeline stage decides: where layers do not divide evenly, demands are those of
    a replica whose stages all are as full.
    """
    accelerator, calibration, llm = instance.rack.accelerator, instance.calibration, instance.llm
    layout = configuration.layout
    tokens = step_tokens(instance, configuration)
    names = components_of(llm, configuration)
    offloadable = offloadable_components(instance, configuration)
    cache = sequence_cache(instance, configuration)
    fuller = stage_imbalance(llm.layers, layout)
    attention_peak = accelerator.peak_flops["bf16"]
    kernels, collectives = _layer_latency(instance, layout)
    return ReplicaData(
        accelerators=float(layout.accelerators),
        hbm_gb=float(accelerator.hbm_capacity) * float(calibration.hbm_usable),
        hbm_tb_per_s=float(accelerator.hbm_bandwidth),
        link_tb_per_s=float(accelerator.scale_up_bandwidth) or 1.0,
        attention_peak_tflops=float(attention_peak) * clock,
        components=tuple(
            _component(instance, configuration, name, clock, batches) for name in names
        ),
        kv_held_gb=cache.held * fuller,
        kv_read_gb=cache.read * fuller,
        attention_gflop=attention_gflop(instance, configuration) * fuller,
        link_gb_per_sequence=_link_bytes(instance, layout, tokens) * fuller * GIGA,
        fixed_latency_ms=latency_layers(llm, tokens.drafted) * fuller * (kernels + collectives)
        + (layout.pipeline_parallel - 1) * float(calibration.latency.per_layer_doubling),
        tokens_per_sequence_step=tokens.accepted,
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
        power=accelerator_power(instance, clock),
        lpu=_lpu_units(instance, configuration),
        offloadable=tuple(names.index(name) for name in offloadable),
        offloaded=tuple(_offloaded(instance, configuration, name, batches) for name in offloadable),
    )


def _layer_latency(instance: Instance, layout: Layout) -> tuple[float, float]:
    """Return the fixed ms of one layer: of its kernels, and of its collectives."""
    latency = instance.calibration.latency
    return (
        float(latency.per_layer),
        float(latency.per_layer_doubling) * math.log2(layout.stage_accelerators),
    )


def latency_layers(llm: Llm, drafted: int = 0) -> float:
    """Return the layers that a step waits for, a mixer and a feed-forward block each.

    Draft passes follow one another and are waited for as well.
    """
    layers = (llm.mixer_blocks + llm.feed_forward_blocks) / 2
    return layers + (drafted * llm.draft.layers if llm.draft is not None else 0)


def _link_bytes(instance: Instance, layout: Layout, tokens: StepTokens) -> float:
    """Return the bytes that a replica's accelerators send per sequence and step.

    A ring all-reduce of h activations over t ranks makes them send 2 (t - 1) h elements in all,
    after every attention and every feed-forward block. Wide expert parallelism sends each token
    once to every other accelerator that holds one of its experts, and gets the result back.
    Pipeline stages hand activations on.
    """
    llm, calibration = instance.llm, instance.calibration
    activation = float(calibration.activation_bytes) * llm.hidden_size
    moe_layers = llm.mixture.layers if llm.mixture else 0
    dense_layers = max(llm.feed_forward_blocks - moe_layers, 0)
    per_token = _block_traffic(instance, layout, llm.mixer_blocks, dense_layers, llm.mixture)
    per_token += (layout.pipeline_parallel - 1) * activation
    per_draft = 0.0
    if llm.draft is not None and tokens.drafted:
        drafting = llm.draft
        experts = drafting.mixture.layers if drafting.mixture else 0
        per_draft = _block_traffic(
            instance, layout, drafting.layers, drafting.layers - experts, drafting.mixture
        )
    return tokens.passing * per_token + tokens.drafted * per_draft


def _block_traffic(
    instance: Instance, layout: Layout, mixers: int, dense: int, mixture: Mixture | None
) -> float:
    """Return the bytes sent for one token by attention, dense and expert blocks."""
    llm, calibration = instance.llm, instance.calibration
    activation = float(calibration.activation_bytes) * llm.hidden_size
    reduce_once = 2.0 * (layout.tensor_parallel - 1) * activation
    total = (mixers + dense) * reduce_once
    if mixture is None:
        return total
    if layout.attention_data_parallel == 1:
        return total + mixture.layers * reduce_once
    ranks = layout.expert_parallel
    visited = ranks * -math.expm1(mixture.active * math.log1p(-1.0 / ranks))
    remote = visited * (ranks - 1) / ranks
    width = mixture.expert_width or llm.hidden_size
    dispatched = float(calibration.dispatch_bytes) * width
    returned = float(calibration.activation_bytes) * width
    return total + mixture.layers * remote * (dispatched + returned)


def _expert_piece(
    mixture: Mixture | None, batches: Segment | Point, tokens_per_sequence: float
) -> LinearPiece:
    """Return distinct experts per layer as a linear piece over the batch, as a share of all.

    Tokens of a step that reach the same experts at once: all of a stage's, whatever rank.
    """
    if mixture is None:
        return LinearPiece(1.0, 0.0)
    if isinstance(batches, Segment):
        piece = chord(
            mixture.experts, mixture.active, batches.lowest, batches.highest, tokens_per_sequence
        )
    else:
        piece = tangent(mixture.experts, mixture.active, batches.batch, tokens_per_sequence)
    return LinearPiece(piece.per_step / mixture.experts, piece.per_sequence / mixture.experts)


def _gflop(model: Llm | Draft, component: str) -> float:
    """Return the GFLOP of one token in a component: two per weight that it visits."""
    if component in ("embedding", "lookup_tables"):
        return 0.0
    weights = float(getattr(model.parameters, component))
    if component == "lm_head" and weights == 0:
        weights = model.parameters.embedding
    if component == "routed_experts" and model.mixture is not None:
        weights *= model.mixture.active / model.mixture.experts
    return 2.0 * weights * GIGA


def _component(
    instance: Instance,
    configuration: Configuration,
    component: str,
    clock: float,
    batches: Segment | Point,
) -> ComponentData:
    """Return what one component keeps, reads and computes over a replica.

    A pipeline of P stages passes P micro-batches in a step, and every stage reads its weights
    for each of them.
    """
    if component in (DRAFT_DENSE, DRAFT_EXPERTS):
        return _draft_component(instance, configuration, component, clock, batches)
    llm, layout, scheme = instance.llm, configuration.layout, configuration.weight_format
    tokens = step_tokens(instance, configuration)
    fuller, stages = stage_imbalance(llm.layers, layout), float(layout.pipeline_parallel)
    one_copy = llm.component_bytes(scheme, component) * GIGA * fuller
    resident = one_copy * copies(llm, layout, component)
    per_step, per_sequence = resident * stages, 0.0
    visits, computed = tokens.passing, computed_copies(llm, layout, component)
    stored_as = component
    if component == "routed_experts":
        piece = _expert_piece(llm.mixture, batches, tokens.passing / stages)
        fullest = _imbalance(instance, layout)
        per_step = one_copy * piece.per_step * stages * fullest
        per_sequence = one_copy * piece.per_sequence * stages * fullest
        computed *= fullest
    elif component in ("embedding", "lookup_tables"):
        bits = BITS_PER_WEIGHT[llm.component_format(scheme, component)]
        per_step, per_sequence = 0.0, tokens.passing * llm.hidden_size * bits / 8 * GIGA
        if component == "lookup_tables" and instance.choices.lookup_tables == "host":
            resident = 0.0
    elif component == "lm_head":
        visits = tokens.at_head + _drafts_at_head(llm, tokens)
        if llm.parameters.lm_head == 0:
            # Tied: the head multiplies with the embedding table, which is resident already.
            stored_as = "embedding"
            table = llm.component_bytes(scheme, "embedding") * GIGA * fuller
            per_step = table * copies(llm, layout, "embedding") * stages
        # Every draft pass needs the head to say which token it drafts.
        per_step *= 1.0 + _drafts_at_head(llm, tokens)
    return ComponentData(
        resident_gb=resident,
        read_gb_per_step=per_step,
        read_gb_per_sequence=per_sequence,
        gflop_per_sequence=_gflop(llm, component) * visits * computed * fuller,
        peak_tflops=_peak(instance, llm.component_format(scheme, stored_as)) * clock,
    )


def _imbalance(instance: Instance, layout: Layout) -> float:
    """Return the work of the fullest expert-parallel rank per mean one."""
    if layout.expert_parallel == 1:
        return 1.0
    return float(instance.calibration.expert_imbalance)


def _drafts_at_head(llm: Llm, tokens: StepTokens) -> float:
    """Return the draft passes of a step that end in the model's own output head."""
    if llm.draft is None or llm.draft.parameters.lm_head > 0:
        return 0.0
    return float(tokens.drafted)


def _peak(instance: Instance, stored: str) -> float:
    peaks = instance.rack.accelerator.peak_flops
    return float(peaks[arithmetic_format(peaks, ARITHMETIC_BITS[stored])])


def _draft_component(
    instance: Instance,
    configuration: Configuration,
    component: str,
    clock: float,
    batches: Segment | Point,
) -> ComponentData:
    """Return what the draft module keeps, reads and computes: one pass per drafted token."""
    llm, layout, scheme = instance.llm, configuration.layout, configuration.weight_format
    draft, drafted = llm.draft, configuration.draft_tokens
    if draft is None:
        raise AssertionError("only models with a draft module draft tokens")
    stages, modules = float(layout.pipeline_parallel), min(draft.modules, drafted)
    if component == DRAFT_EXPERTS:
        one_copy = llm.draft_bytes(scheme, ("routed_experts",)) * GIGA
        piece = _expert_piece(draft.mixture, batches, 1.0 / stages)
        read = LinearPiece(one_copy * piece.per_step, one_copy * piece.per_sequence)
        resident = one_copy * copies(draft, layout, "routed_experts")
        gflop = _gflop(draft, "routed_experts")
        stored = llm.draft_format(scheme, "routed_experts")
    else:
        parts = tuple(name for name in COMPONENTS if name not in ("routed_experts", "embedding"))
        resident = GIGA * sum(
            llm.draft_bytes(scheme, (name,)) * copies(draft, layout, name) for name in parts
        )
        read = LinearPiece(resident, 0.0)
        resident += GIGA * llm.draft_bytes(scheme, ("embedding",))
        gflop = sum(
            _gflop(draft, name) * computed_copies(draft, layout, name)
            for name in parts
            if name != "lm_head" or draft.parameters.lm_head > 0
        )
        stored = llm.draft_format(scheme, "attention")
    return ComponentData(
        resident_gb=resident * modules,
        read_gb_per_step=read.per_step * stages * drafted,
        read_gb_per_sequence=read.per_sequence * stages * drafted,
        gflop_per_sequence=gflop * drafted,
        peak_tflops=_peak(instance, stored) * clock,
    )


def _visits(llm: Llm, component: str) -> tuple[float, float]:
    """Return (layers that wait for the component, trips to it per such layer).

    Attention's projections are visited before and after attention proper. Shared experts run
    beside the routed ones, so no layer waits for them alone.
    """
    moe_layers = llm.mixture.layers if llm.mixture else 0
    return {
        "attention": (float(llm.mixer_blocks), 2.0),
        "dense_ffn": (float(max(llm.feed_forward_blocks - moe_layers, 0)), 1.0),
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
    tokens = step_tokens(instance, configuration)
    visits, passes = tokens.passing, 1.0
    if component == "lm_head":
        passes += _drafts_at_head(llm, tokens)
        visits = tokens.at_head + _drafts_at_head(llm, tokens)
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
        piece = _expert_piece(llm.mixture, batches, tokens.passing)
    peaks = device.peak_flops
    peak = peaks[arithmetic_format(peaks, _arithmetic_bits(llm, scheme, stored_as))]
    layers = {"shared_experts": float(llm.mixture.layers if llm.mixture else 0)}.get(
        component, waiting
    )
    crossing = 2.0 * float(instance.calibration.activation_bytes) * llm.hidden_size
    return OffloadedData(
        latency_saved_ms=waiting * saved,
        latency_added_ms=waiting
        * passes
        * trips
        * (float(device.layer_latency) + 2.0 * float(device.hop_latency)),
        resident_gb=gigabytes,
        read_gb_per_step=gigabytes * piece.per_step * passes,
        read_gb_per_sequence=gigabytes * piece.per_sequence,
        gflop_per_sequence=_gflop(llm, component) * visits,
        peak_tflops=float(peak),
        crossing_gb_per_sequence=layers * trips * crossing * visits * GIGA,
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


def accelerator_power(instance: Instance, clock: float) -> AcceleratorPower:
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
