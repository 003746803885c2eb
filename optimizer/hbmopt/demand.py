"""From an instance and a configuration to the coefficients of the program.

This is where architecture, layout and data sheet meet: bytes held and read, FLOPs, traffic,
latency and power per step and per sequence, in GB, GFLOP, joule and ms. Everything is one
copy's demand times the copies that the layout keeps.
"""

import math
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

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
    number,
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

COMPOSITE = frozenset({"latent", "compressed"})
"""Kinds of attention whose block takes many kernels: projections down and up, and indexes."""

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


@dataclass(frozen=True)
class ExpertReads:
    """GB that a step reads of routed experts: all of them, and how its tokens choose among them."""

    gigabytes: float
    mixture: Mixture
    tokens_per_sequence: float

    def over(self, batches: Segment | Point) -> LinearPiece:
        """Return the GB of distinct experts as a linear piece over the batch.

        The tokens of a step that reach the same experts at once are all of a stage's, whatever
        rank they are on.
        """
        mixture, tokens = self.mixture, self.tokens_per_sequence
        if isinstance(batches, Segment):
            piece = chord(mixture.experts, mixture.active, batches.lowest, batches.highest, tokens)
        else:
            piece = tangent(mixture.experts, mixture.active, batches.batch, tokens)
        whole = self.gigabytes / mixture.experts
        return LinearPiece(whole * piece.per_step, whole * piece.per_sequence)


Part = TypeVar("Part", ComponentData, OffloadedData)


def _reading(part: Part, experts: ExpertReads | None, batches: Segment | Point) -> Part:
    """Return a component that reads what batches touch of its experts."""
    if experts is None:
        return part
    piece = experts.over(batches)
    return replace(part, read_gb_per_step=piece.per_step, read_gb_per_sequence=piece.per_sequence)


class Demand:
    """What replicas of one configuration demand, over any batches.

    Only reads of distinct experts depend on the batches; the rest is computed once.
    """

    def __init__(self, instance: Instance, configuration: Configuration) -> None:
        self.instance, self.configuration = instance, configuration
        self._full = _replica(instance, configuration)
        self.experts = _experts(instance, configuration)
        """Of each component, None for one that a step reads whole."""
        self._offloaded_experts = _offloaded_experts(instance, configuration)
        self._clocks: dict[float, ReplicaData] = {}

    def with_limits(self, instance: Instance) -> "Demand":
        """Return the demand in an instance that differs in its limits alone."""
        other = copy(self)
        other.instance = instance
        floor = _min_speed_per_ms(instance)
        if floor != self._full.min_speed_per_ms:
            other._full = replace(self._full, min_speed_per_ms=floor)
            other._clocks = {
                clock: replace(data, min_speed_per_ms=floor) for clock, data in self._clocks.items()
            }
        return other

    def with_clocks(self, clocks: tuple[float, ...]) -> "Demand":
        """Return the demand of the configuration with other clocks to choose from."""
        other = copy(self)
        other.configuration = replace(self.configuration, clocks=clocks)
        return other

    @cached_property
    def replicas_at_most(self) -> int:
        """Replicas that the rack's accelerators and LPUs make up."""
        rack, configuration = self.instance.rack, self.configuration
        at_most = math.floor(float(rack.accelerators) / configuration.layout.accelerators)
        if configuration.lpu_units and rack.offload is not None:
            at_most = min(at_most, math.floor(float(rack.offload.units) / configuration.lpu_units))
        return at_most

    @cached_property
    def largest_batch(self) -> float:
        """The most sequences that the HBM of a replica can hold, maybe less than 1 or none.

        Without LPUs this is (g C - M) / S; with them the share that SRAM can take is added.
        """
        data = self._full
        resident = sum(number(part.resident_gb) for part in data.components)
        if data.offloaded:
            sram = number(data.lpu.units) * number(data.lpu.sram_gb)
            taken = 0.0
            # The cheapest gigabytes first: what frees most HBM per byte of SRAM.
            order = sorted(
                zip(data.offloadable, data.offloaded, strict=True),
                key=lambda pair: (
                    -number(data.components[pair[0]].resident_gb) / number(pair[1].resident_gb)
                ),
            )
            for position, part in order:
                share = min(1.0, sram / number(part.resident_gb))
                taken += share * number(data.components[position].resident_gb)
                sram -= share * number(part.resident_gb)
            resident -= taken
        free = number(data.accelerators) * number(data.hbm_gb) - resident
        return free / number(data.kv_held_gb)

    @property
    def budgets(self) -> tuple[BudgetUse, ...]:
        """What a replica uses of the declared budgets."""
        size = self.configuration.layout.accelerators
        accepted = number(self._full.tokens_per_sequence_step)
        return tuple(
            BudgetUse(
                per_replica=budget.per_replica + budget.per_accelerator * size,
                per_step=budget.per_step,
                per_sequence_step=budget.per_token * accepted,
            )
            for budget in self.instance.limits.budgets
        )

    def replica(self, clock: float, batches: Segment | Point) -> ReplicaData:
        """Return the coefficients of one replica at a clock.

        The fullest pipeline stage decides: where layers do not divide evenly, demands are those
        of a replica whose stages all are as full.
        """
        found = self.whole_replica(clock)
        components, offloaded = found.components, found.offloaded
        if any(self.experts):
            components = tuple(
                _reading(part, experts, batches)
                for part, experts in zip(components, self.experts, strict=True)
            )
        if any(self._offloaded_experts):
            offloaded = tuple(
                _reading(part, experts, batches)
                for part, experts in zip(offloaded, self._offloaded_experts, strict=True)
            )
        return replace(found, components=components, offloaded=offloaded)

    def whole_replica(self, clock: float) -> ReplicaData:
        """Return the coefficients of one replica at a clock whose steps read all experts."""
        if clock not in self._clocks:
            self._clocks[clock] = _at_clock(self.instance, self._full, clock)
        return self._clocks[clock]

    def over(self, batches: Segment | Point) -> ConfigurationData:
        """Return the coefficients of the configuration over a range of batches or around one."""
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
        return ConfigurationData(
            replicas_at_most=float(self.replicas_at_most),
            clocks=tuple(self.replica(clock, batches) for clock in self.configuration.clocks),
            batches=span,
            budgets=self.budgets,
        )


def configuration_data(
    instance: Instance, configuration: Configuration, batches: Segment | Point
) -> ConfigurationData:
    """Return the coefficients of `configuration` over a range of batches or around one."""
    return Demand(instance, configuration).over(batches)


def replica_data(
    instance: Instance, configuration: Configuration, clock: float, batches: Segment | Point
) -> ReplicaData:
    """Return the coefficients of one replica of `configuration` at `clock`."""
    return Demand(instance, configuration).replica(clock, batches)


def largest_batch(instance: Instance, configuration: Configuration) -> float:
    """Return the most sequences that the HBM of a replica can hold, maybe less than 1 or none."""
    return Demand(instance, configuration).largest_batch


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
    """Return the accelerator's own power law, or the calibration's for chips without one.

    A law that was fitted with the calibration's other constants goes before that of the catalogue.
    """
    return instance.power_law


def _min_speed_per_ms(instance: Instance) -> float:
    return float(instance.limits.min_speed) / 1000.0


def _replica(instance: Instance, configuration: Configuration) -> ReplicaData:
    """Return the coefficients of one replica at full clock whose steps read all experts."""
    accelerator, calibration, llm = instance.rack.accelerator, instance.calibration, instance.llm
    layout = configuration.layout
    tokens = step_tokens(instance, configuration)
    names = components_of(llm, configuration)
    offloadable = offloadable_components(instance, configuration)
    cache = sequence_cache(instance, configuration)
    fuller = stage_imbalance(llm.layers, layout)
    constants = calibration.constants(layout.attention_data_parallel)
    return ReplicaData(
        accelerators=float(layout.accelerators),
        hbm_gb=float(accelerator.hbm_capacity) * float(calibration.hbm_usable),
        hbm_tb_per_s=float(accelerator.hbm_bandwidth),
        link_tb_per_s=float(accelerator.scale_up_bandwidth) or 1.0,
        attention_peak_tflops=float(accelerator.peak_flops["bf16"]),
        components=tuple(_component(instance, configuration, name) for name in names),
        kv_held_gb=cache.held * fuller,
        kv_read_gb=cache.read * fuller,
        attention_gflop=attention_gflop(instance, configuration) * fuller,
        link_gb_per_sequence=_link_bytes(instance, layout, tokens) * fuller * GIGA,
        fixed_latency_ms=_fixed_latency(instance, layout, tokens.drafted),
        tokens_per_sequence_step=tokens.accepted,
        min_speed_per_ms=_min_speed_per_ms(instance),
        efficiency=EfficiencyData(
            **{
                name: float(getattr(constants.efficiency, name))
                for name in type(constants.efficiency).model_fields
            }
        ),
        overlap=OverlapData(
            **{
                name: float(getattr(calibration.overlap, name))
                for name in type(calibration.overlap).model_fields
            }
        ),
        power=accelerator_power(instance, 1.0),
        lpu=_lpu_units(instance, configuration),
        offloadable=tuple(names.index(name) for name in offloadable),
        offloaded=tuple(_offloaded(instance, configuration, name) for name in offloadable),
    )


def _at_clock(instance: Instance, full: ReplicaData, clock: float) -> ReplicaData:
    """Return a replica at a share of the full clock: its peaks and its power."""
    return replace(
        full,
        attention_peak_tflops=number(full.attention_peak_tflops) * clock,
        components=tuple(
            replace(part, peak_tflops=number(part.peak_tflops) * clock) for part in full.components
        ),
        power=accelerator_power(instance, clock),
    )


def _experts(instance: Instance, configuration: Configuration) -> tuple[ExpertReads | None, ...]:
    """Return what a step reads of the experts of each component, None where there are none.

    A pipeline of P stages passes P micro-batches in a step, and every stage reads its weights
    for each of them.
    """
    llm, layout, scheme = instance.llm, configuration.layout, configuration.weight_format
    stages, drafted = float(layout.pipeline_parallel), configuration.draft_tokens
    found: dict[str, ExpertReads] = {}
    if llm.mixture is not None:
        gigabytes = llm.component_bytes(scheme, "routed_experts") * GIGA
        gigabytes *= stage_imbalance(llm.layers, layout) * stages * _imbalance(instance, layout)
        passing = step_tokens(instance, configuration).passing
        found["routed_experts"] = ExpertReads(gigabytes, llm.mixture, passing / stages)
    if llm.draft is not None and llm.draft.mixture is not None:
        gigabytes = llm.draft_bytes(scheme, ("routed_experts",)) * GIGA * stages * drafted
        found[DRAFT_EXPERTS] = ExpertReads(gigabytes, llm.draft.mixture, 1.0 / stages)
    return tuple(found.get(name) for name in components_of(llm, configuration))


def _offloaded_experts(
    instance: Instance, configuration: Configuration
) -> tuple[ExpertReads | None, ...]:
    """Return what a step reads of the experts of each offloadable component."""
    mixture, offload = instance.llm.mixture, instance.rack.offload
    names = offloadable_components(instance, configuration)
    if mixture is None or offload is None or "routed_experts" not in names:
        return (None,) * len(names)
    stored = _stored_gigabytes(
        instance.llm, configuration.weight_format, "routed_experts", offload.device
    )
    reads = ExpertReads(stored, mixture, step_tokens(instance, configuration).passing)
    return tuple(reads if name == "routed_experts" else None for name in names)


@dataclass(frozen=True)
class LayerLatency:
    """Fixed ms of one layer: of its kernels, its collectives, and of a composite block more."""

    kernels: float
    collectives: float
    composite: float


def layer_latency(instance: Instance, layout: Layout) -> LayerLatency:
    """Return the fixed times of a layer in a layout, with the chosen serving engine."""
    calibration, data = instance.calibration, layout.attention_data_parallel
    latency, factor = calibration.constants(data).latency, calibration.engine_factor(data)
    doublings = math.log2(layout.stage_accelerators)
    return LayerLatency(
        kernels=factor * float(latency.per_layer),
        collectives=factor * float(latency.per_layer_doubling) * doublings,
        composite=factor * float(latency.per_composite_block),
    )


def _fixed_latency(instance: Instance, layout: Layout, drafted: int) -> float:
    """Return the ms of a step that pass whatever the batch."""
    llm, each = instance.llm, layer_latency(instance, layout)
    waited = latency_layers(llm, drafted) * (each.kernels + each.collectives)
    waited += composite_blocks(llm, drafted) * each.composite
    constants = instance.calibration.constants(layout.attention_data_parallel)
    handed_on = (layout.pipeline_parallel - 1) * float(constants.latency.per_layer_doubling)
    return waited * stage_imbalance(llm.layers, layout) + handed_on


def composite_blocks(llm: Llm, drafted: int = 0) -> int:
    """Return the blocks of a step that take many kernels: mixtures and latent attention."""
    found = _composite(llm)
    return found + (drafted * _composite(llm.draft) if llm.draft is not None else 0)


def _composite(model: Llm | Draft) -> int:
    latent = sum(group.layers for group in model.attention if group.kind in COMPOSITE)
    return latent + (model.mixture.layers if model.mixture is not None else 0)


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


def _component(instance: Instance, configuration: Configuration, component: str) -> ComponentData:
    """Return what one component keeps, reads and computes over a replica, all experts read.

    A pipeline of P stages passes P micro-batches in a step, and every stage reads its weights
    for each of them.
    """
    if component in (DRAFT_DENSE, DRAFT_EXPERTS):
        return _draft_component(instance, configuration, component)
    llm, layout, scheme = instance.llm, configuration.layout, configuration.weight_format
    tokens = step_tokens(instance, configuration)
    fuller, stages = stage_imbalance(llm.layers, layout), float(layout.pipeline_parallel)
    one_copy = llm.component_bytes(scheme, component) * GIGA * fuller
    resident = one_copy * copies(llm, layout, component)
    per_step, per_sequence = resident * stages, 0.0
    visits, computed = tokens.passing, computed_copies(llm, layout, component)
    stored_as = component
    if component == "routed_experts":
        fullest = _imbalance(instance, layout)
        per_step = one_copy * stages * fullest
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
        peak_tflops=_peak(instance, llm.component_format(scheme, stored_as)),
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
    instance: Instance, configuration: Configuration, component: str
) -> ComponentData:
    """Return what the draft module keeps, reads and computes: one pass per drafted token."""
    llm, layout, scheme = instance.llm, configuration.layout, configuration.weight_format
    draft, drafted = llm.draft, configuration.draft_tokens
    if draft is None:
        raise AssertionError("only models with a draft module draft tokens")
    stages, modules = float(layout.pipeline_parallel), min(draft.modules, drafted)
    if component == DRAFT_EXPERTS:
        one_copy = llm.draft_bytes(scheme, ("routed_experts",)) * GIGA
        read = one_copy
        resident = one_copy * copies(draft, layout, "routed_experts")
        gflop = _gflop(draft, "routed_experts")
        stored = llm.draft_format(scheme, "routed_experts")
    else:
        parts = tuple(name for name in COMPONENTS if name not in ("routed_experts", "embedding"))
        resident = GIGA * sum(
            llm.draft_bytes(scheme, (name,)) * copies(draft, layout, name) for name in parts
        )
        read = resident
        resident += GIGA * llm.draft_bytes(scheme, ("embedding",))
        gflop = sum(
            _gflop(draft, name) * computed_copies(draft, layout, name)
            for name in parts
            if name != "lm_head" or draft.parameters.lm_head > 0
        )
        stored = llm.draft_format(scheme, "attention")
    return ComponentData(
        resident_gb=resident * modules,
        read_gb_per_step=read * stages * drafted,
        read_gb_per_sequence=0.0,
        gflop_per_sequence=gflop * drafted,
        peak_tflops=_peak(instance, stored),
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


def _offloaded(instance: Instance, configuration: Configuration, component: str) -> OffloadedData:
    """Return what one component keeps, reads and computes on LPUs, all experts read."""
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
    each = layer_latency(instance, configuration.layout)
    kernels, collectives = each.kernels, each.collectives
    attention = float(latency.attention_share)
    saved = {
        "attention": attention * float(latency.projection_share) * kernels + collectives / 2,
        "dense_ffn": (1 - attention) * kernels + collectives / 2,
        "routed_experts": (1 - attention) * kernels + each.composite + collectives / 2,
    }.get(component, 0.0)
    stored_as = "embedding" if component == "lm_head" and not llm.parameters.lm_head else component
    gigabytes = _stored_gigabytes(llm, scheme, stored_as, device)
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
        read_gb_per_step=gigabytes * passes,
        read_gb_per_sequence=0.0,
        gflop_per_sequence=_gflop(llm, component) * visits,
        peak_tflops=float(peak),
        crossing_gb_per_sequence=layers * trips * crossing * visits * GIGA,
    )


def _stored_gigabytes(llm: Llm, scheme: str, component: str, device: OffloadDevice) -> float:
    """Return the GB of a component in SRAM: the device stores what it computes in."""
    stored = BITS_PER_WEIGHT[llm.component_format(scheme, component)]
    arithmetic = arithmetic_format(device.peak_flops, _arithmetic_bits(llm, scheme, component))
    bits = max(stored, float(ARITHMETIC[arithmetic]))
    return float(getattr(llm.parameters, component)) * bits / 8 * GIGA


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
