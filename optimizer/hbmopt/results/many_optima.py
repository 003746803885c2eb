"""The optima of one configuration under many limits: programs filled, solved and priced together.

What `hbmopt.solve` says of one instance, as columns of a table for many that differ in power cap
and speed floor. HiGHS solves every program; all that is around it is evaluated for all points at
once, and by the operations of one point, so that a row does not depend on those beside it.
"""

from dataclasses import dataclass, fields, replace
from itertools import count
from typing import cast

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import Demand, Point, rack_data, smallest_batch
from hbmopt.instance import Instance
from hbmopt.models.quantities import BatchPoint, ConfigurationData, RackData, ReplicaData, number
from hbmopt.points import (
    Array,
    BatchTable,
    ManyLimits,
    Running,
    Whole,
    distinct_reads,
    point_around,
    settles,
    tangent_reads,
)
from hbmopt.program import (
    RUNNING,
    ClockPoint,
    Template,
    collect,
    fill_many,
    highs,
    rack_power,
    replaced,
    template_of,
    violations,
    with_replicas,
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

PER_SECOND = 1e3
"""Milliseconds, the unit of time of a program, in a second."""


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

    @property
    def rack(self) -> RackData:
        """The rack's shared numbers, with the caps of all."""
        rack = rack_data(self.instance)
        return replace(rack, power_cap_kw=1.0 if self.capped else None)


def solved(table: BatchTable, limited: Limited, free: Running) -> Optima:
    """Solve the program of every point around the batch at which it runs best."""
    demand, limits, points = table.demand, limited.limits, len(limited.replicas)
    rack, clocks = limited.rack, len(table.demand.configuration.clocks)
    data = demand.over(Point(1.0, (), (1.0,) * clocks, 1.0, 2.0))
    template = template_of(rack, data)
    numbers = np.repeat(np.array(collect(data, collect(rack, [])))[:, None], points, axis=1)
    lowest, highest = np.empty(points), np.empty(points)
    for place, batch in enumerate(free.batch.tolist()):
        around = point_around(demand, batch, (), (0.0,) * clocks)
        lowest[place], highest[place] = around.lowest, around.highest
    _set_numbers(numbers, rack, data, demand, limits, free, limited.replicas, (lowest, highest))
    values, duals = (
        np.zeros((len(template.columns), points)),
        np.zeros((len(template.rows), points)),
    )
    slacks, objective = np.zeros_like(duals), np.zeros(points)
    optimal = np.zeros(points, dtype=bool)
    filled = fill_many(template, numbers, lowest, highest, 0.0)
    programs = (
        with_replicas(one, running).program
        for one, running in zip(filled, limited.replicas.tolist(), strict=True)
    )
    answers = highs.solve_all(programs, integers=False)
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
    wanted = limited.replicas * free.steps
    return replace(found, settled=optimal & settles(batch, free.batch, steps, wanted))


def _set_numbers(
    numbers: Array,
    rack: RackData,
    data: ConfigurationData,
    demand: Demand,
    limits: ManyLimits,
    free: Running,
    replicas: Whole,
    ends: tuple[Array, Array],
) -> None:
    """Set the numbers that differ between points: limits, reads of experts, and the point."""
    position = count()
    rack_at, at = replaced((rack, data), lambda: next(position))
    if not isinstance(at.batches, BatchPoint):
        raise TypeError("a program around a point is needed")
    changes: list[tuple[object, Array]] = [
        (at.batches.lowest, ends[0]),
        (at.batches.highest, ends[1]),
        (at.batches.batch, free.batch),
        *zip(at.batches.steps, replicas * free.steps, strict=True),
    ]
    if rack.power_cap_kw is not None:
        changes.append((rack_at.power_cap_kw, limits.power))
    for clock in at.clocks:
        changes.append((clock.min_speed_per_ms, limits.floor / PER_SECOND))
        for part, reads in zip(clock.components, demand.experts, strict=True):
            if reads is not None:
                per_step, per_sequence = tangent_reads(reads, free.batch)
                changes.append((part.read_gb_per_step, per_step))
                changes.append((part.read_gb_per_sequence, per_sequence))
    for place, values in changes:
        # The tree of numbers is one of positions here.
        numbers[cast("int", place)] = values


def _replica(demand: Demand, clock: float, limits: ManyLimits, batches: Array) -> ReplicaData:
    """Return one replica at a clock and whole batches, with arrays for what differs."""
    whole = demand.whole_replica(clock)
    parts = [
        part
        if reads is None
        else replace(
            part,
            read_gb_per_step=of_each(distinct_reads(reads, batches)),
            read_gb_per_sequence=0.0,
        )
        for part, reads in zip(whole.components, demand.experts, strict=True)
    ]
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


def whole_plans(table: BatchTable, limited: Limited, whole: Running) -> WholePlans:
    """Evaluate plans in the exact physics, and check them against their limits."""
    demand, rack, replicas = table.demand, rack_data(limited.instance), limited.replicas
    none = np.zeros(len(replicas))
    worst, drawn, sequences = none, none, none
    for clock, share, rate in zip(
        demand.configuration.clocks, whole.share, whole.steps, strict=True
    ):
        running, steps = replicas * share, replicas * rate
        replica = _replica(demand, clock, limited.limits, whole.batch)
        point = ClockPoint(of_each(running), of_each(steps), of_each(steps * whole.batch), ())
        exceeded = np.maximum.reduce(list(violations(replica, point).values()))
        worst = np.maximum(worst, np.where(share > RUNNING, exceeded * share, 0.0))
        drawn = drawn + work(replica, point).power_kw
        sequences = sequences + point.sequences
    used = demand.configuration.layout.accelerators * replicas.astype(float)
    power = np.asarray(rack_power(rack, of_each(drawn), of_each(used), 0.0))
    worst = np.maximum(worst, power / limited.limits.power - 1.0)
    worst = np.maximum(worst, used / number(rack.accelerators) - 1.0)
    for budget, use in zip(rack.budgets, demand.budgets, strict=True):
        spent = number(budget.fixed) + number(use.per_replica) * replicas
        spent = spent + PER_SECOND * number(use.per_step) * replicas * whole.rate
        spent = spent + PER_SECOND * number(use.per_sequence_step) * sequences
        worst = np.maximum(worst, spent / number(budget.capacity) - 1.0)
    gained = number(demand.whole_replica(1.0).tokens_per_sequence_step)
    throughput = PER_SECOND * gained * sequences
    return WholePlans(throughput, replicas * whole.batch, power * 1e3, 1.0 / whole.rate, worst)


@dataclass(frozen=True)
class Prices:
    """Slopes and unit prices of the hardware inputs, in tok/s, by input and point."""

    names: tuple[str, ...]
    unit_prices: Array
    elasticities: Array


def priced_inputs(
    table: BatchTable, limited: Limited, optima: Optima, known: InputPrices
) -> Prices:
    """Return price and elasticity of every hardware input at every point."""
    instance, configuration = limited.instance, table.demand.configuration
    inputs = hardware_inputs(instance, lpus=False)
    moved = moved_figures(inputs)
    factors = known.answers(instance, configuration, moved).factors
    numbers = list(optima.numbers[:, None, :] * factors[:, :, None])
    ends = lagrangian_of(optima.template, numbers, optima.values, optima.duals, (PER_SECOND, 0.0))
    changes = slopes(ends)
    latency = number(table.demand.whole_replica(1.0).fixed_latency_ms)
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


CLOCK_ROWS = (
    "hbm_capacity",
    "hbm_bandwidth",
    "compute",
    "interconnect",
    "accelerator_power",
    "step_time",
    "min_speed",
)
"""Rows of every clock, in the order in which limits are listed."""


def binding(table: BatchTable, limited: Limited, optima: Optima) -> list[list[str]]:
    """Return the limits that bind at every point, in the order in which limits are listed."""
    demand, limits, rack = table.demand, limited.limits, rack_data(limited.instance)
    running, steps = optima.by_clock("running"), optima.by_clock("steps")
    floors = limits.floor / PER_SECOND

    def tight(slack: Array, limit: Array | float) -> NDArray[np.bool_]:
        return np.abs(slack) <= BINDING * np.maximum(np.abs(limit), 1e-12)

    tights: list[tuple[str, NDArray[np.bool_]]] = []
    for family in CLOCK_ROWS:
        found = np.zeros(len(floors), dtype=bool)
        for row, clock in optima.rows(family):
            runs = (running[clock] > RUNNING) & (steps[clock] > 0)
            weight = {"hbm_capacity": steps[clock], "min_speed": floors * running[clock]}.get(
                family, running[clock]
            )
            found |= runs & tight(optima.slacks[row], weight)
        tights.append((family, found & (floors > 0) if family == "min_speed" else found))
    least, most = smallest_batch(demand.configuration), number(rack.accelerators)
    sequences = np.sum(optima.by_clock("sequences"), axis=0)
    apart = (sequences / np.sum(steps, axis=0) - least).astype(np.float64)
    used = demand.configuration.layout.accelerators * limited.replicas
    tights.append(("min_batch", tight(apart, least)))
    tights.append(("accelerators", tight((most - used).astype(np.float64), most)))
    tights += [("power_cap", tight(optima.slacks[row], 1.0)) for row, _ in optima.rows("power_cap")]
    budgets = zip(rack.budgets, optima.rows("budget"), strict=True)
    tights += [(one.name, tight(optima.slacks[row], 1.0)) for one, (row, _) in budgets]
    return [[name for name, one in tights if one[place]] for place in range(len(floors))]


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
    running = optima.by_clock("running")
    worth = np.zeros_like(optima.objective)
    for row, clock in optima.rows("accelerator_power"):
        worth = worth + optima.duals[row] * (running[clock] - optima.slacks[row])
    return np.asarray(worth / optima.objective)


def prices_of_speed(optima: Optima, limits: ManyLimits) -> list[float | None]:
    """Return what one more tok/s per user of the floor is worth at every point, in tok/s.

    None where there is no floor.
    """
    running = optima.by_clock("running")
    worth = np.zeros_like(optima.objective)
    for row, clock in optima.rows("min_speed"):
        worth = worth - optima.duals[row] / PER_SECOND * running[clock]
    floored = zip((worth + 0.0).tolist(), (limits.floor > 0).tolist(), strict=True)
    return [price if floor else None for price, floor in floored]
