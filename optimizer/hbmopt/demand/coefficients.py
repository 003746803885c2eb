"""From an instance and a configuration to the coefficients of the program.

This is where architecture, layout and data sheet meet: bytes held and read, FLOPs, traffic,
latency and power per step and per sequence, in GB, GFLOP, joule and ms. Everything is one
copy's demand times the copies that the layout keeps.
"""

import math
from copy import copy
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import count
from typing import TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand.components import (
    DRAFT_EXPERTS,
    component_data,
    components_of,
    imbalance,
    kernel_classes,
    offloadable_components,
    offloaded_data,
    stored_gigabytes,
)
from hbmopt.demand.configuration import Configuration, Layout
from hbmopt.demand.domains import replicas_at_most, spans_domains
from hbmopt.demand.engine_memory import usable_hbm
from hbmopt.demand.number_tree import collect, plain, replaced
from hbmopt.demand.placement import stage_imbalance
from hbmopt.demand.sequence import (
    GIGA,
    attention_gflop,
    prompt_attention_gflop,
    room_for,
    sequence_cache,
    step_tokens,
)
from hbmopt.demand.step_latency import fixed_latency, sequence_latency
from hbmopt.demand.traffic import Traffic, traffic
from hbmopt.instance import Instance, PowerLaw
from hbmopt.llm import Mixture
from hbmopt.models.expert_reads import (
    LinearPiece,
    chord,
    distinct_experts,
    rank_spread,
    tangent,
)
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
    ScaleOutData,
    number,
)

Array: TypeAlias = NDArray[np.float64]


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


@dataclass(frozen=True)
class ExpertReads:
    """GB that a step reads of routed experts: all of them, and how its tokens choose among them.

    `spread` is the `rank_spread` of the ranks that the experts are dealt out to.
    """

    gigabytes: float
    mixture: Mixture
    tokens_per_sequence: float
    spread: float = 0.0

    def over(self, batches: Segment | Point) -> LinearPiece:
        """Return the GB of distinct experts as a linear piece over the batch.

        The tokens of a step that reach the same experts at once are all of a stage's, whatever
        rank they are on.
        """
        if isinstance(batches, Point):
            return self.around(batches.batch)
        experts, active, ends = self.mixture.experts, self.mixture.active, batches
        tokens = self.tokens_per_sequence
        return self._weighed(chord(experts, active, ends.lowest, ends.highest, tokens, self.spread))

    def at(self, batch: float) -> float:
        """Return the GB of distinct experts at a batch, or at each of an array of them."""
        tokens = self.tokens_per_sequence * batch
        experts, active = self.mixture.experts, self.mixture.active
        return self.gigabytes / experts * distinct_experts(experts, active, tokens, self.spread)

    def around(self, batch: float) -> LinearPiece:
        """Return the tangent of the GB at a batch, or at each of an array of them."""
        experts, active = self.mixture.experts, self.mixture.active
        return self._weighed(tangent(experts, active, batch, self.tokens_per_sequence, self.spread))

    def _weighed(self, piece: LinearPiece) -> LinearPiece:
        whole = self.gigabytes / self.mixture.experts
        return LinearPiece(whole * piece.per_step, whole * piece.per_sequence)


Part = TypeVar("Part", ComponentData, OffloadedData)


def _reading(part: Part, experts: ExpertReads | None, batches: Segment | Point) -> Part:
    """Return a component that reads what batches touch of its experts."""
    if experts is None:
        return part
    piece = experts.over(batches)
    return replace(part, read_gb_per_step=piece.per_step, read_gb_per_sequence=piece.per_sequence)


def _reading_all(
    parts: tuple[Part, ...], experts: tuple[ExpertReads | None, ...], batches: Segment | Point
) -> tuple[Part, ...]:
    if not any(experts):
        return parts
    return tuple(_reading(part, reads, batches) for part, reads in zip(parts, experts, strict=True))


class Demand:
    """What replicas of one configuration demand, over any batches.

    Only reads of distinct experts depend on the batches; the rest is computed once. Of
    configurations that stand together (`alike`) numbers are arrays.
    """

    def __init__(self, instance: Instance, configuration: Configuration) -> None:
        self.instance, self.configuration = instance, configuration
        self._law = instance.power_law
        self._full = plain(_replica(instance, configuration, self._law))
        self.experts = _experts(instance, configuration)
        """Of each component, None for one that a step reads whole."""
        self.offloaded_experts = _offloaded_experts(instance, configuration)
        self._clocks: dict[float, ReplicaData] = {}
        self._numbers: dict[float, list[float]] = {}

    def with_clocks(self, clocks: tuple[float, ...]) -> "Demand":
        """Return the demand of the configuration with other clocks to choose from."""
        other = copy(self)
        other.configuration = replace(self.configuration, clocks=clocks)
        return other

    @property
    def shape(self) -> tuple[object, ...]:
        """What decides the structure of the program, and how tokens choose among experts."""
        reads = tuple(
            (one.mixture.experts, one.mixture.active) if one is not None else None
            for one in (*self.experts, *self.offloaded_experts)
        )
        return self.structure, reads

    @cached_property
    def rack(self) -> RackData:
        """What all configurations of the rack share."""
        return rack_data(self.instance)

    @cached_property
    def structure(self) -> tuple[object, ...]:
        """What decides which rows and columns a replica has, but for its clocks."""
        return structure_of(self._full)

    @cached_property
    def replicas_at_most(self) -> float:
        """Replicas that the rack's accelerators and LPUs make up."""
        configuration = self.configuration
        # An array of them, of configurations that stand together.
        return cast(
            "float", replicas_at_most(self.instance, configuration.layout, configuration.lpu_units)
        )

    @cached_property
    def largest_batch(self) -> float:
        """The most sequences that the HBM of a replica can hold, maybe less than 1 or none.

        Without LPUs this is (g C - M) / S; with them the share that SRAM can take is added.
        """
        data = self._full
        resident = sum(number(part.resident_gb) for part in data.components)
        if data.offloaded:
            sram = number(data.lpu.units) * number(data.lpu.sram_gb)
            freed = [number(data.components[place].resident_gb) for place in data.offloadable]
            moved = [number(part.resident_gb) for part in data.offloaded]
            every = np.array(np.broadcast_arrays(*freed, *moved, sram)[:-1])
            hbm, taken = every[: len(freed)], every[len(freed) :]
            # The cheapest gigabytes first: what frees most HBM per byte of SRAM.
            order = np.argsort(-hbm / taken, axis=0, kind="stable")
            hbm, taken = (np.take_along_axis(one, order, axis=0) for one in (hbm, taken))
            before = np.cumsum(taken, axis=0) - taken
            resident -= (np.clip((sram - before) / taken, 0.0, 1.0) * hbm).sum(axis=0)
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
            for budget in self.instance.budgets
        )

    def replica(self, clock: float, batches: Segment | Point) -> ReplicaData:
        """Return the coefficients of one replica at a clock.

        The fullest pipeline stage decides: where layers do not divide evenly, demands are those
        of a replica whose stages all are as full.
        """
        found = self.whole_replica(clock)
        return replace(
            found,
            kv_held_gb=number(found.kv_held_gb) * self._fuller(batches),
            components=_reading_all(found.components, self.experts, batches),
            offloaded=_reading_all(found.offloaded, self.offloaded_experts, batches),
        )

    def at_clocks(self, clocks: Array) -> ReplicaData:
        """Return one replica whose steps read all experts, with arrays for what clocks change."""
        return self._at_clock(cast("float", clocks))

    def whole_replica(self, clock: float) -> ReplicaData:
        """Return the coefficients of one replica at a clock whose steps read all experts."""
        if clock not in self._clocks:
            self._clocks[clock] = self._at_clock(clock)
        return self._clocks[clock]

    def whole(self, clock: float) -> ConfigurationData:
        """Return the coefficients at one clock and a batch of one, all experts read."""
        one = BatchSegment(1.0, 1.0)
        replica = self.whole_replica(clock)
        return ConfigurationData(self.replicas_at_most, (replica,), one, self.budgets)

    def over(self, batches: Segment | Point) -> ConfigurationData:
        """Return the coefficients of the configuration over a range of batches or around one."""
        return ConfigurationData(
            replicas_at_most=self.replicas_at_most,
            clocks=tuple(self.replica(clock, batches) for clock in self.configuration.clocks),
            batches=_span(batches),
            budgets=self.budgets,
        )

    def numbers(self, batches: Segment | Point) -> list[float]:
        """Return the numbers of `over`, as `collect` lists them, without what they are of."""
        found = [self.replicas_at_most]
        fuller = self._fuller(batches)
        reads = [
            (place, one.over(batches))
            for place, one in zip(self._places.reads, self._every_read, strict=True)
            if one is not None
        ]
        missing = [clock for clock in self.configuration.clocks if clock not in self._numbers]
        if missing:
            # Few of them change with the clock: all clocks take one look.
            listed: list[float] = collect(self.at_clocks(np.array(missing)), [])
            changed = [
                (place, np.asarray(one).tolist())
                for place, one in enumerate(listed)
                if not isinstance(one, float)
            ]
            for turn, clock in enumerate(missing):
                for place, values in changed:
                    listed[place] = values[turn]
                self._numbers[clock] = listed.copy()
        for clock in self.configuration.clocks:
            first = len(found)
            found += self._numbers[clock]
            for (per_step, per_sequence), piece in reads:
                found[first + per_step] = piece.per_step
                found[first + per_sequence] = piece.per_sequence
            if fuller != 1.0:
                found[first + self._places.held] *= fuller
        return collect(self.budgets, collect(_span(batches), found))

    def _fuller(self, batches: Segment | Point) -> float:
        """Return the sequences of the fullest attention rank per mean one, at a single batch."""
        ranks = self.configuration.layout.attention_data_parallel
        single = isinstance(batches, Segment) and batches.lowest == batches.highest
        if not single or ranks == 1 or not self.instance.choices.whole_sequences:
            return 1.0
        batch = batches.lowest
        return float(room_for(np.asarray(batch), ranks)) / batch

    def _at_clock(self, clock: float) -> ReplicaData:
        """Return a replica at a share of the full clock: its peaks and its power."""
        calibration, full = self.instance.calibration, self._full
        # Part of the fixed times are cycles; an operation takes less energy at a lower voltage.
        longer = 1.0 + float(calibration.latency.clock_share) * (1.0 / clock - 1.0)
        cheaper = clock ** float(calibration.clock_power_exponent)
        return replace(
            full,
            attention_peak_tflops=number(full.attention_peak_tflops) * clock,
            components=tuple(
                replace(
                    part,
                    peak_tflops=number(part.peak_tflops) * clock,
                    joule_per_gflop=number(part.joule_per_gflop) * cheaper,
                )
                for part in full.components
            ),
            fixed_latency_ms=number(full.fixed_latency_ms) * longer,
            latency_ms_per_sequence=number(full.latency_ms_per_sequence) * longer,
            offloaded=tuple(
                replace(part, latency_saved_ms=number(part.latency_saved_ms) * longer)
                for part in full.offloaded
            ),
            power=_accelerator_power(self.instance, self.configuration, clock, self._law),
        )

    @property
    def _every_read(self) -> tuple[ExpertReads | None, ...]:
        return (*self.experts, *self.offloaded_experts)

    @property
    def _places(self) -> "_Places":
        full = self._full
        absent = full.max_batch is None, full.scale_out is None
        shape = len(full.components), len(full.kernels), len(full.offloaded), *absent
        if shape not in _PLACES:
            position = count()
            places = replaced(self._full, lambda _: next(position))
            parts: list[ComponentData | OffloadedData] = [*places.components, *places.offloaded]
            # The tree of numbers is one of positions here.
            _PLACES[shape] = _Places(
                reads=[
                    (cast("int", one.read_gb_per_step), cast("int", one.read_gb_per_sequence))
                    for one in parts
                ],
                held=cast("int", places.kv_held_gb),
            )
        return _PLACES[shape]


@dataclass(frozen=True)
class _Places:
    """Where among the numbers of a replica stand those that depend on the batch."""

    reads: list[tuple[int, int]]
    held: int


_PLACES: dict[tuple[int, int, int, bool, bool], _Places] = {}
"""By how many components a replica has, classes of them, offers to offload, whether batches are
free and whether all traffic stays inside a domain: what decides."""


def structure_of(replica: ReplicaData) -> tuple[object, ...]:
    """Return what decides which rows and columns a replica has, as a key."""
    kernels = tuple(one.components for one in replica.kernels)
    absent = replica.max_batch is None, replica.scale_out is None
    return len(replica.components), kernels, replica.offloadable, *absent


def _span(batches: Segment | Point) -> BatchSegment | BatchPoint:
    if isinstance(batches, Segment):
        return BatchSegment(batches.lowest, batches.highest)
    steps, share = batches.steps, batches.offloaded_share
    return BatchPoint(batches.lowest, batches.highest, batches.batch, share, steps)


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


def power_cap(instance: Instance) -> float:
    """Return the kW that the rack may draw, infinite without a cap.

    A rack is often provisioned for exactly what its accelerators draw at their own limit. Then both
    rows would bind at once and share one price; a hair more leaves it to the accelerators, as more
    power for the rack is worth nothing.
    """
    cap, rack = instance.power_cap_kw, instance.rack
    if cap is None:
        return math.inf
    if rack.offload is not None:
        return cap
    static, overhead = _in_scope(instance)
    most = overhead * (static + rack.all_accelerators * float(instance.accelerator_limit))
    return cap * (1.0 + HAIR) if abs(cap - most) <= HAIR * most else cap


def _in_scope(instance: Instance) -> tuple[float, float]:
    """Return the static kW that the power cap counts, and what it counts for each kW."""
    limits = instance.limits
    return (
        0.0 if limits.power_scope == "accelerators" else instance.rack.all_static_kw,
        float(limits.pue) if limits.power_scope == "facility" else 1.0,
    )


HAIR = 1e-7
"""Share of a power cap that is less than anybody measures."""


def rack_data(instance: Instance) -> RackData:
    """Return what the configurations share, in the instance's power scope."""
    rack, limits, offload = instance.rack, instance.limits, instance.rack.offload
    static, overhead = _in_scope(instance)
    least = limits.min_throughput
    return RackData(
        racks=1.0,
        accelerators=float(rack.nodes) * float(rack.accelerators),
        lpu_units=float(rack.nodes) * float(offload.units) if offload else 0.0,
        power_cap_kw=power_cap(instance) if instance.power_cap_kw is not None else None,
        min_tokens_per_ms=float(least) / 1000.0 if least is not None else None,
        static_kw=static,
        parked_accelerator_kw=float(instance.power_law.idle) * float(rack.accelerator.tdp),
        parked_lpu_kw=float(offload.device.parked) * float(offload.device.tdp) if offload else 0.0,
        power_overhead=overhead,
        budgets=tuple(
            BudgetData(budget.name, budget.capacity, budget.fixed) for budget in instance.budgets
        ),
    )


def _min_speed_per_ms(instance: Instance) -> float:
    return float(instance.limits.min_speed) / 1000.0


def _max_batch(instance: Instance, layout: Layout) -> float | None:
    """Return the sequences that the engines of a replica schedule at once at most."""
    each = instance.limits.max_batch
    return float(each) * layout.attention_data_parallel if each is not None else None


def _replica(instance: Instance, configuration: Configuration, law: PowerLaw) -> ReplicaData:
    """Return the coefficients of one replica at full clock whose steps read all experts."""
    accelerator, calibration, llm = instance.rack.accelerator, instance.calibration, instance.llm
    layout = configuration.layout
    tokens = step_tokens(instance, configuration)
    names = components_of(llm, configuration)
    offloadable = offloadable_components(instance, configuration)
    cache = sequence_cache(instance, configuration)
    fuller = stage_imbalance(llm.layers, layout)
    attained = calibration.efficiency
    usable = usable_hbm(instance, configuration)
    slower = instance.worst_factor("step", layout.attention_data_parallel)
    sent = traffic(instance, layout, tokens)
    return ReplicaData(
        accelerators=1.0 * layout.accelerators,
        hbm_gb=usable,
        hbm_reserved_gb=float(accelerator.hbm_capacity) - usable,
        hbm_tb_per_s=float(accelerator.hbm_bandwidth),
        link_tb_per_s=float(accelerator.scale_up_bandwidth) or 1.0,
        attention_peak_tflops=float(accelerator.peak_flops["bf16"]),
        components=tuple(
            component_data(instance, configuration, name, tokens, law) for name in names
        ),
        kernels=kernel_classes(names, attained, slower),
        kv_held_gb=cache.held * fuller,
        kv_read_gb=cache.read * fuller,
        attention_gflop=attention_gflop(instance, configuration) * fuller,
        prompt_attention_gflop=prompt_attention_gflop(instance, configuration) * fuller,
        link_gb_per_sequence=sent.inside * fuller * GIGA,
        fixed_latency_ms=slower * fixed_latency(instance, configuration, tokens.drafted),
        latency_ms_per_sequence=slower * sequence_latency(instance, layout),
        tokens_per_sequence_step=tokens.accepted,
        min_speed_per_ms=_min_speed_per_ms(instance),
        max_batch=_max_batch(instance, layout),
        scale_out=_scale_out(instance, layout, sent, fuller, slower),
        efficiency=EfficiencyData(
            **{
                one.name: float(getattr(attained, one.name)) / slower
                for one in fields(EfficiencyData)
            }
        ),
        overlap=OverlapData(
            **{
                one.name: float(getattr(calibration.overlap, one.name))
                for one in fields(OverlapData)
            }
        ),
        power=_accelerator_power(instance, configuration, 1.0, law),
        lpu=_lpu_units(instance, configuration),
        offloadable=tuple(names.index(name) for name in offloadable),
        offloaded=tuple(
            offloaded_data(instance, configuration, name, tokens) for name in offloadable
        ),
    )


def _experts(instance: Instance, configuration: Configuration) -> tuple[ExpertReads | None, ...]:
    """Return what a step reads of the experts of each component, None where there are none.

    A pipeline of P stages passes P micro-batches in a step, and every stage reads its weights
    for each of them.
    """
    llm, layout, scheme = instance.llm, configuration.layout, configuration.weight_format
    stages, drafted = 1.0 * layout.pipeline_parallel, configuration.draft_tokens
    found: dict[str, ExpertReads] = {}
    if llm.mixture is not None:
        gigabytes = llm.loaded_bytes(scheme, "routed_experts") * GIGA
        gigabytes *= stage_imbalance(llm.layers, layout) * stages * imbalance(instance, layout)
        # Prompts read all experts, but behind their own arithmetic.
        tokens = step_tokens(instance, configuration).verified / stages
        spread = rank_spread(llm.mixture.experts, layout.expert_parallel)
        found["routed_experts"] = ExpertReads(gigabytes, llm.mixture, tokens, spread)
    if llm.draft is not None and llm.draft.mixture is not None:
        gigabytes = llm.draft_bytes(scheme, ("routed_experts",)) * GIGA * stages * drafted
        spread = rank_spread(llm.draft.mixture.experts, layout.expert_parallel)
        found[DRAFT_EXPERTS] = ExpertReads(gigabytes, llm.draft.mixture, 1.0 / stages, spread)
    return tuple(found.get(name) for name in components_of(llm, configuration))


def _offloaded_experts(
    instance: Instance, configuration: Configuration
) -> tuple[ExpertReads | None, ...]:
    """Return what a step reads of the experts of each offloadable component."""
    mixture, offload = instance.llm.mixture, instance.rack.offload
    names = offloadable_components(instance, configuration)
    if mixture is None or offload is None or "routed_experts" not in names:
        return (None,) * len(names)
    stored = stored_gigabytes(
        instance.llm, configuration.weight_format, "routed_experts", offload.device
    )
    reads = ExpertReads(stored, mixture, step_tokens(instance, configuration).passing)
    return tuple(reads if name == "routed_experts" else None for name in names)


def _scale_out(
    instance: Instance, layout: Layout, sent: Traffic, fuller: float, slower: float
) -> ScaleOutData | None:
    """Return the network that a replica uses, None where it stays inside a scale-up domain."""
    bandwidth = instance.rack.scale_out_bandwidth
    if bandwidth is None or not spans_domains(instance, layout):
        return None
    return ScaleOutData(
        tb_per_s=float(bandwidth),
        attained=float(instance.calibration.efficiency.scale_out) / slower,
        gb_per_sequence=sent.outside * fuller * GIGA,
    )


def _lpu_units(instance: Instance, configuration: Configuration) -> LpuUnits:
    offload = instance.rack.offload
    if offload is None or np.all(configuration.lpu_units == 0):
        return LpuUnits(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    device = offload.device
    parked, tdp = float(device.parked), float(device.tdp)
    return LpuUnits(
        units=1.0 * configuration.lpu_units,
        sram_gb=float(device.sram_capacity),
        sram_tb_per_s=float(device.sram_bandwidth),
        link_tb_per_s=float(device.link_bandwidth),
        active_kw=parked * tdp,
        joule_per_gb=(1.0 - parked) * tdp / float(device.sram_bandwidth),
    )


def _accelerator_power(
    instance: Instance, configuration: Configuration, clock: float, law: PowerLaw
) -> AcceleratorPower:
    """Return the power law at a clock.

    Lower clocks cut the energy of an operation by clock**exponent, and so the power of what runs
    beside it by one power more; of a byte that is read, they cut what it takes on the chip.
    """
    accelerator = instance.rack.accelerator
    cheaper = clock ** float(instance.calibration.clock_power_exponent)
    idle = float(law.idle) * float(accelerator.tdp)
    on_chip = float(law.on_chip)
    more = instance.worst_factor("power", configuration.layout.attention_data_parallel)
    return AcceleratorPower(
        limit_kw=float(instance.accelerator_limit),
        active_kw=idle + more * float(law.running) * cheaper * clock,
        joule_per_gb=more * float(law.hbm) * (1.0 - on_chip * (1.0 - cheaper)),
        attention_joule_per_gflop=more * float(law.flop["bf16"]) * cheaper,
        joule_per_link_gb=more * float(law.link),
    )
