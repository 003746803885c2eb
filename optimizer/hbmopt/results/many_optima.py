"""The optima of one configuration under many limits: programs filled, solved and priced together.

What `hbmopt.solve` says of one instance, as columns of a table for many that differ in power cap
and speed floor. HiGHS solves every program; all that is around it is evaluated for all points at
once, and by the operations of one point, so that a row does not depend on those beside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import Array, Demand, ExpertReads, collect, rack_data, smallest_batch
from hbmopt.instance import Instance
from hbmopt.models.expert_reads import LinearPiece
from hbmopt.models.quantities import (
    PER_SECOND,
    BatchPoint,
    ConfigurationData,
    ReplicaData,
    number,
)
from hbmopt.models.rack import CLOCK_FAMILIES, CONFIGURATION_FAMILIES
from hbmopt.points import ManyLimits, Running, Whole, point_around, settles
from hbmopt.program import (
    RUNNING,
    ClockPoint,
    Template,
    fill_many,
    highs,
    rack_power,
    template_of,
    violations,
    work,
)
from hbmopt.results.limits import BINDING, NO_ELASTICITY
from hbmopt.results.prices import (
    InputPrices,
    hardware_inputs,
    lagrangian_of,
    moved_figures,
    quoted,
    slopes,
)


@dataclass(frozen=True)
class Optima:
    """Priced optima of one configuration: an array over the points for every column and row.

    `values`, `duals` and `slacks` are in the model's own units, by column or row and point, the
    multipliers in tok/s. `settled` says where the optimum is the point of its program.
    """

    template: Template
    numbers: Array
    values: Array
    duals: Array
    slacks: Array
    objective: Array
    settled: NDArray[np.bool_]

    def take(self, index: Whole) -> "Optima":
        """Return some of the points."""
        points = {
            one.name: getattr(self, one.name)[..., index]
            for one in fields(self)
            if one.name != "template"
        }
        return replace(self, **points)

    def rows(self, family: str) -> list[tuple[int, int]]:
        """Return the rows of a family, each with its clock."""
        return [
            (row, label.clock or 0)
            for row, label in enumerate(self.template.rows)
            if label.family == family
        ]

    def of(self, family: str, clock: int | None) -> Array:
        """Return the values of a column."""
        return np.asarray(self.values[self.template.column(family, clock)])

    def by_clock(self, family: str) -> list[Array]:
        """Return the values of a family of columns, by clock."""
        clocks = len(self.rows("step_time"))
        return [self.values[self.template.column(family, clock)] for clock in range(clocks)]


@dataclass(frozen=True)
class Limited:
    """Instances that differ in power cap and speed floor, and the replicas that each runs."""

    instance: Instance
    limits: ManyLimits
    replicas: Whole

    @property
    def capped(self) -> bool:
        """Whether there are power caps; all have one or none has."""
        return bool(np.isfinite(self.limits.power).all())

    def take(self, index: Whole) -> "Limited":
        """Return some of them."""
        return Limited(self.instance, self.limits.take(index), self.replicas[index])


def solved(demand: Demand, limited: Limited, free: Running) -> Optima:
    """Solve the program of every point around the batch at which it runs best.

    All of them run at as many clocks: one, or two where power slows them down.
    """
    points, slots = len(limited.replicas), 2 if free.alternating.any() else 1
    running = [limited.replicas * free.share[slot] * free.steps[slot] for slot in range(slots)]
    if slots == 1:
        running = [limited.replicas * free.rate]
    lowest, highest = np.empty(points), np.empty(points)
    for place, batch in enumerate(free.batch.tolist()):
        around = point_around(demand, batch, (), (0.0,) * slots)
        lowest[place], highest[place] = around.lowest, around.highest
    rack = replace(
        rack_data(limited.instance),
        power_cap_kw=of_each(limited.limits.power) if limited.capped else None,
    )
    data = ConfigurationData(
        replicas_at_most=float(demand.replicas_at_most),
        clocks=tuple(
            _replica(demand, clock, limited.limits, lambda reads: reads.around(of_each(free.batch)))
            for clock in (free.clock if slots > 1 else [_alone(free)])
        ),
        batches=BatchPoint(
            of_each(lowest),
            of_each(highest),
            of_each(free.batch),
            (),
            tuple(map(of_each, running)),
        ),
        budgets=demand.budgets,
    )
    template = template_of(rack, data)
    listed = collect(data, collect(rack, []))
    numbers = np.array([np.broadcast_to(one, (points,)) for one in listed])
    values, duals = (
        np.zeros((len(template.columns), points)),
        np.zeros((len(template.rows), points)),
    )
    slacks, objective = np.zeros_like(duals), np.zeros(points)
    optimal = np.zeros(points, dtype=bool)
    counts = limited.replicas.astype(float)
    filled = fill_many(template, numbers, lowest, highest, (counts, counts))
    answers = highs.solve_all([one.program for one in filled], integers=False)
    for place, (one, answer) in enumerate(zip(filled, answers, strict=True)):
        if not answer.optimal:
            continue
        optimal[place] = True
        values[:, place] = answer.point * one.scale
        duals[:, place] = answer.duals * one.row_scale * PER_SECOND
        slacks[:, place] = (one.program.row_upper - answer.activity) / one.row_scale
        objective[place] = answer.objective * PER_SECOND
    found = Optima(template, numbers, values, duals, slacks, objective, optimal)
    steps = np.array(found.by_clock("steps"))
    batch = np.sum(found.by_clock("sequences"), axis=0) / np.where(optimal, steps.sum(axis=0), 1.0)
    same = settles(batch, free.batch, steps, np.array(running))
    return replace(found, settled=optimal & same)


def _alone(free: Running) -> Array:
    """Return the clock at which replicas run that need no other."""
    return np.asarray(np.where(free.share[0] >= free.share[-1], free.clock[0], free.clock[-1]))


def _replica(
    demand: Demand, clocks: Array, limits: ManyLimits, read: Callable[[ExpertReads], LinearPiece]
) -> ReplicaData:
    """Return one replica at clocks, with arrays for what differs; `read` says what of experts."""
    whole = demand.at_clocks(clocks)
    parts = []
    for part, reads in zip(whole.components, demand.experts, strict=True):
        if reads is None:
            parts.append(part)
            continue
        once, each = read(reads)
        parts.append(replace(part, read_gb_per_step=once, read_gb_per_sequence=each))
    floor = of_each(limits.floor / PER_SECOND)
    return replace(whole, components=tuple(parts), min_speed_per_ms=floor)


def of_each(values: Array) -> float:
    """Return an array where the physics asks for a number: it evaluates all points at once."""
    return cast("float", values)


@dataclass(frozen=True)
class WholePlans:
    """Plans of whole batches, from the physics: tok/s, sequences, W, ms, and what they exceed."""

    throughput: Array
    batch: Array
    power_w: Array
    step_ms: Array
    violation: Array

    def take(self, index: Whole) -> "WholePlans":
        """Return some of the plans."""
        return WholePlans(*(getattr(self, one.name)[index] for one in fields(self)))


def whole_plans(demand: Demand, limited: Limited, whole: Running) -> WholePlans:
    """Evaluate plans in the exact physics, and check them against their limits."""
    rack, replicas = rack_data(limited.instance), limited.replicas
    clocks, drawn, sequences = [], np.zeros(len(replicas)), np.zeros(len(replicas))
    for clock, share, rate in zip(whole.clock, whole.share, whole.steps, strict=True):
        running, steps = replicas * share, replicas * share * rate
        replica = _replica(
            demand,
            clock,
            limited.limits,
            lambda reads: LinearPiece(reads.at(of_each(whole.batch)), 0.0),
        )
        point = ClockPoint(of_each(running), of_each(steps), of_each(steps * whole.batch), ())
        clocks.append((replica, point))
        drawn = drawn + work(replica, point).power_kw
        sequences = sequences + point.sequences
    exceeded = list(violations(clocks).values())
    worst = np.maximum.reduce([np.zeros(len(replicas)), *map(np.asarray, exceeded)])
    used = demand.configuration.layout.accelerators * replicas.astype(float)
    power = np.asarray(rack_power(rack, of_each(drawn), of_each(used), 0.0))
    worst = np.maximum(worst, power / limited.limits.power - 1.0)
    worst = np.maximum(worst, used / number(rack.accelerators) - 1.0)
    gained = number(demand.whole_replica(1.0).tokens_per_sequence_step)
    throughput = PER_SECOND * gained * sequences
    return WholePlans(throughput, replicas * whole.batch, power * 1e3, 1.0 / whole.rate, worst)


@dataclass(frozen=True)
class Prices:
    """Slopes and unit prices of the hardware inputs, in tok/s, by input and point."""

    names: tuple[str, ...]
    unit_prices: Array
    elasticities: Array


def prepare_prices(
    instance: Instance, found: Sequence[tuple[Demand, int]], known: InputPrices
) -> None:
    """Find at one go what prices at some clocks each of configurations have in common."""
    inputs = hardware_inputs(instance, lpus=False)
    running = [
        replace(one.configuration, clocks=one.configuration.clocks[:1] * clocks)
        for one, clocks in found
    ]
    known.prepare(instance, running, moved_figures(inputs))


def priced_inputs(demand: Demand, limited: Limited, optima: Optima, known: InputPrices) -> Prices:
    """Return price and elasticity of every hardware input at every point."""
    instance = limited.instance
    running = demand.configuration.clocks[:1] * len(optima.rows("step_time"))
    configuration = replace(demand.configuration, clocks=running)
    inputs = hardware_inputs(instance, lpus=False)
    moved = moved_figures(inputs)
    factors = known.answers(instance, configuration, moved).factors
    numbers = list(optima.numbers[:, None, :] * factors[:, :, None])
    ends = lagrangian_of(
        optima.template, numbers, optima.values, optima.duals, (PER_SECOND, 0.0, 0.0)
    )
    changes = slopes(ends)
    latency = number(demand.whole_replica(1.0).fixed_latency_ms)
    quotes = quoted(instance, inputs, configuration, latency)
    unit_prices = [
        changes[one.change] / (limited.limits.power if one.name == "power_cap" else one.divisor)
        for one in quotes
    ]
    return Prices(
        tuple(one.name for one in quotes),
        np.array(unit_prices) + 0.0,
        changes[: len(quotes)] / optima.objective + 0.0,
    )


def binding(demand: Demand, limited: Limited, optima: Optima) -> list[list[str]]:
    """Return the limits that bind at every point, in the order in which limits are listed."""
    limits, rack = limited.limits, rack_data(limited.instance)
    steps = optima.by_clock("steps")

    def tight(slack: Array, limit: Array | float) -> NDArray[np.bool_]:
        return np.abs(slack) <= BINDING * np.maximum(np.abs(limit), 1e-12)

    tights: list[tuple[str, NDArray[np.bool_]]] = []
    for family in (*CLOCK_FAMILIES, *CONFIGURATION_FAMILIES):
        name, found = family.limit.name, np.zeros(len(limits.floor), dtype=bool)
        for row, clock in optima.rows(name):
            whole = optima.template.rows[row].clock is None
            weight = optima.of(family.limit.against, None if whole else clock)
            runs = weight > RUNNING
            if family.limit.floor:
                weight, runs = limits.floor / family.limit.floor * weight, limits.floor > 0
            found |= runs & tight(optima.slacks[row], weight)
        tights.append((name, found))
    least, most = smallest_batch(demand.configuration), number(rack.accelerators)
    sequences = np.sum(optima.by_clock("sequences"), axis=0)
    apart = (sequences / np.sum(steps, axis=0) - least).astype(np.float64)
    used = demand.configuration.layout.accelerators * limited.replicas
    tights.append(("min_batch", tight(apart, least)))
    tights.append(("accelerators", tight((most - used).astype(np.float64), most)))
    tights += [("power_cap", tight(optima.slacks[row], 1.0)) for row, _ in optima.rows("power_cap")]
    return [[name for name, one in tights if one[place]] for place in range(len(limits.floor))]


def limiting(prices: Prices, throttle: Array) -> list[str | None]:
    """Return the hardware input of the largest elasticity at every point, None where none has any.

    Or the accelerators' power limit, which is no figure of its own, where it is worth more.
    """
    strongest = np.argmax(np.abs(prices.elasticities), axis=0)
    worth = np.abs(prices.elasticities).max(axis=0)
    chosen: list[str | None] = []
    for input_, most, limit in zip(strongest.tolist(), worth.tolist(), throttle, strict=True):
        if abs(limit) > max(most, NO_ELASTICITY):
            chosen.append("accelerator_power")
        else:
            chosen.append(prices.names[input_] if most > NO_ELASTICITY else None)
    return chosen


def throttled(optima: Optima) -> Array:
    """Return the elasticity of the accelerators' own power limit at every point."""
    row, replicas = optima.template.row("accelerator_power"), optima.of("replicas", None)
    return np.asarray(optima.duals[row] * (replicas - optima.slacks[row]) / optima.objective)


def prices_of_speed(optima: Optima, limits: ManyLimits) -> list[float | None]:
    """Return what one more tok/s per user of the floor is worth at every point, in tok/s.

    None where there is no floor.
    """
    row, replicas = optima.template.row("min_speed"), optima.of("replicas", None)
    worth = -optima.duals[row] / PER_SECOND * replicas
    floored = zip((worth + 0.0).tolist(), (limits.floor > 0).tolist(), strict=True)
    return [price if floor else None for price, floor in floored]
