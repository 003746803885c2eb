"""The optimum over all configurations and batches, with a proof.

A rack that runs one configuration is solved by best-first branch and bound. A node is a
configuration with a range of batches; its bound is the optimum of the program in which concave
terms are replaced by their chords and products by their McCormick rows, so no plan in the node
beats it. An incumbent comes from fixing the batch, where both are exact. Ranges are split at the
batch that the bound found, until no node's bound exceeds the incumbent by more than a tolerance.
Configurations that cannot win are thereby dropped by their bound, which is part of the proof.
"""

import heapq
import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import (
    NO_MEMORY,
    Configuration,
    Demand,
    Point,
    Rejection,
    Segment,
    enumerate_configurations,
    smallest_batch,
)
from hbmopt.errors import SolverError
from hbmopt.instance import Instance
from hbmopt.models.quantities import number
from hbmopt.program import Operation, solve_program, solve_relaxed

Array = NDArray[np.float64]
Number = float | Array

TOLERANCE = 1e-6
"""Relative gap at which the search stops: a thousandth of the error that is allowed."""

PATIENCE = ((1_000, 1e-4), (3_000, 1e-3))
"""Programs after which a search accepts a wider gap, as on a flat optimum; the plan states it."""

ALLOWED = 1e-3
"""The widest relative gap of a plan that is called optimal."""

MOST_NODES = 100_000
INTEGRAL = 1e-7


@dataclass(frozen=True)
class Found:
    """The outcome of a search: the plan, the bound that proves it, and how much work it took."""

    plan: Operation | None
    relaxed: Operation | None
    point: Point | None
    bound: float
    nodes: int
    configurations: tuple[Configuration, ...]
    rejections: tuple[Rejection, ...]
    best_bounds: dict[Configuration, float]

    @property
    def gap(self) -> float:
        """How much more than the plan any other plan could make, relative to it."""
        if self.plan is None or self.plan.throughput <= 0:
            return 0.0
        return max(0.0, self.bound / self.plan.throughput - 1.0)


@dataclass(order=True)
class _Node:
    key: float
    order: int
    configuration: Configuration = field(compare=False)
    segment: Segment = field(compare=False)
    operation: Operation = field(compare=False)


MIXED = 1e-6
"""Relative difference from which the batches of two clocks count as different."""

WIDE = 4.0
"""Ratio of batches above which the bound of a range says little about where its optimum is."""


def split_batch(segment: Segment, by_clock: list[float], average: float) -> float:
    """Return the batch at which to split a range, from the batches of its bound.

    Clocks may hold different batches within a range, but not in a plan: where they do, halfway
    between them no such mix is left on either side. Otherwise the batch of the bound is where
    the bound is loose, or nearer the middle if the range is wide.
    """
    inside = min(max(average, segment.lowest), segment.highest)
    if by_clock and max(by_clock) > (1.0 + MIXED) * min(by_clock):
        return min(max(math.sqrt(min(by_clock) * max(by_clock)), segment.lowest), segment.highest)
    if segment.highest > WIDE * segment.lowest:
        middle = math.sqrt(segment.lowest * segment.highest)
        return min(inside, max(middle, inside / WIDE))
    return inside


def search(
    instance: Instance,
    *,
    only: list[Configuration] | None = None,
    tolerance: float = TOLERANCE,
) -> Found:
    """Return the best plan of one configuration, proven within `tolerance`.

    With `only`, the best plan among these configurations.
    """
    return _Search(instance, only, tolerance).run()


def found_at(demand: Demand, batch: float) -> Found:
    """Return the plan of one configuration at one batch, as if a search had ended there.

    For callers that know by other means that no plan is better.
    """
    exact, configuration = Segment(batch, batch), demand.configuration
    plan = solve_program(demand, exact, integers=False)
    if plan.answer.optimal and abs(plan.replicas - round(plan.replicas)) > INTEGRAL:
        plan = solve_program(demand, exact, integers=True)
    if not plan.answer.optimal:
        return Found(None, None, None, 0.0, 1, (configuration,), (), {})
    relaxed, point = polish(demand, plan)
    bounds = {configuration: plan.throughput}
    return Found(plan, relaxed, point, plan.throughput, 1, (configuration,), (), bounds)


class _Search:
    def __init__(
        self, instance: Instance, only: list[Configuration] | None, tolerance: float
    ) -> None:
        self.instance = instance
        self.only = only
        self.tolerance = tolerance
        self.whole = instance.choices.whole_sequences
        self.heap: list[_Node] = []
        self.nodes = 0
        self.dropped = 0.0
        """The largest bound among nodes that were dropped as not better by the tolerance."""
        self.best: Operation | None = None
        self.best_bounds: dict[Configuration, float] = {}
        self.demands: dict[Configuration, Demand] = {}

    @property
    def incumbent(self) -> float:
        return self.best.throughput if self.best is not None else 0.0

    def run(self) -> Found:
        configurations, rejections = enumerate_configurations(self.instance)
        if self.only is not None:
            configurations = self.only
        possible: list[Configuration] = []
        for configuration in configurations:
            demand = Demand(self.instance, configuration)
            most, least = demand.largest_batch, smallest_batch(configuration)
            if most < least:
                rejections.append(no_memory(demand))
                continue
            possible.append(configuration)
            self.demands[configuration] = demand
            self._push(configuration, Segment(least, most))
        bound = 0.0
        while self.heap and self.nodes < MOST_NODES:
            node = heapq.heappop(self.heap)
            bound = -node.key
            for programs, accepted in PATIENCE:
                if self.nodes >= programs:
                    self.tolerance = max(self.tolerance, accepted)
            if bound <= self.incumbent * (1.0 + self.tolerance):
                break
            self._expand(node)
        else:
            bound = max([self.incumbent, *(-node.key for node in self.heap)])
        self._drop_idle_lpus()
        relaxed, point = self._polished()
        return Found(
            plan=self.best,
            relaxed=relaxed,
            point=point,
            bound=max(bound, self.dropped, self.incumbent),
            nodes=self.nodes,
            configurations=tuple(possible),
            rejections=tuple(rejections),
            best_bounds=self.best_bounds,
        )

    def _solve(
        self, configuration: Configuration, segment: Segment, *, integers: bool
    ) -> Operation:
        self.nodes += 1
        demand = self.demands[configuration]
        if integers:
            return solve_program(demand, segment, integers=True)
        return solve_relaxed(demand, segment)

    def _push(self, configuration: Configuration, segment: Segment) -> None:
        """Bound a node, and keep it if it can still beat the incumbent."""
        operation = self._solve(configuration, segment, integers=False)
        if not self._promising(operation):
            return
        if abs(operation.replicas - round(operation.replicas)) > INTEGRAL:
            operation = self._solve(configuration, segment, integers=True)
            if not self._promising(operation):
                return
        heapq.heappush(
            self.heap,
            _Node(-operation.throughput, self.nodes, configuration, segment, operation),
        )

    def _promising(self, operation: Operation) -> bool:
        if not operation.answer.optimal or operation.throughput <= 0:
            return False
        known = self.best_bounds.get(operation.configuration, 0.0)
        self.best_bounds[operation.configuration] = max(known, operation.throughput)
        if operation.throughput > self.incumbent * (1.0 + self.tolerance):
            return True
        self.dropped = max(self.dropped, operation.throughput)
        return False

    def _expand(self, node: _Node) -> None:
        segment, configuration = node.segment, node.configuration
        batch = split_batch(segment, node.operation.clock_batches, node.operation.batch)
        if self.whole:
            below = math.floor(batch + 1e-9)
            self._try(configuration, float(below))
            parts = (
                Segment(math.ceil(segment.lowest - 1e-9), below),
                Segment(below + 1, math.floor(segment.highest + 1e-9)),
            )
        else:
            self._try(configuration, batch)
            parts = (Segment(segment.lowest, batch), Segment(batch, segment.highest))
        for part in parts:
            if part.lowest == part.highest:
                self._try(configuration, float(part.lowest))
            elif part.lowest < part.highest and part != segment:
                self._push(configuration, Segment(float(part.lowest), float(part.highest)))

    def _try(self, configuration: Configuration, batch: float) -> None:
        """Fix the batch, where nothing is approximated, and keep the plan if it is better."""
        exact = Segment(batch, batch)
        operation = self._solve(configuration, exact, integers=False)
        if not operation.answer.optimal or operation.throughput <= self.incumbent:
            return
        if abs(operation.replicas - round(operation.replicas)) > INTEGRAL:
            operation = self._solve(configuration, exact, integers=True)
        if operation.answer.optimal and operation.throughput > self.incumbent:
            self.best = operation

    def _drop_idle_lpus(self) -> None:
        """Prefer the same plan without LPUs where they take nothing over."""
        best = self.best
        if best is None or best.configuration.lpu_units == 0:
            return
        if any(share > 1e-9 for share in best.offloaded_share):
            return
        without = replace(best.configuration, lpu_units=0)
        if without in self.best_bounds:
            batch = best.batch
            bare = self._solve(without, Segment(batch, batch), integers=True)
            if bare.answer.optimal and bare.throughput >= best.throughput * (1.0 - 1e-9):
                self.best = bare

    def _polished(self) -> tuple[Operation | None, Point | None]:
        """Return the optimum of the plan's configuration and replicas at a free batch."""
        if self.best is None:
            return None, None
        return polish(self.demands[self.best.configuration], self.best)


def no_memory(demand: Demand) -> Rejection:
    """Return why a configuration cannot run whose replicas do not hold one sequence per rank."""
    data = demand.whole_replica(1.0)
    weights = sum(number(part.resident_gb) for part in data.components)
    usable = number(data.accelerators) * number(data.hbm_gb)
    detail = (
        f"weights {weights:,.1f} GB + {smallest_batch(demand.configuration):.0f} sequence(s) of "
        f"{number(data.kv_held_gb):,.2f} GB exceed {usable:,.1f} GB of usable HBM"
    )
    return Rejection(str(demand.configuration), NO_MEMORY, detail)


def polish(demand: Demand, plan: Operation) -> tuple[Operation, Point]:
    """Return the local optimum around `plan`, integers fixed and batch free, and its point.

    The concave and bilinear terms are replaced by their first-order model at the current point.
    Where the optimum of the model is that point, the model's multipliers are those of the exact
    program, so prices read from it carry no approximation. Otherwise the optimum of the model is
    the next point. Should the points not settle, as between two vertices with a smooth optimum
    in between, only steps that improve the exact program are taken, and the model is trusted
    less far after each that does not.

    Raises
    ------
    SolverError
        If the first-order model has no optimum, which a plan that exists rules out.
    """
    current = plan
    for _ in range(FREE_STEPS):
        step, point = _step(demand, current, plan, 2.0)
        if _same(step, point):
            return step, point
        current = step
    current, spread = plan, 2.0
    while True:
        step, point = _step(demand, current, plan, spread)
        if _same(step, point) or spread < 1.0 + SETTLED:
            return step, point
        exact = Segment(step.batch, step.batch)
        better = _with_replicas_of(plan, demand, exact)
        if better.answer.optimal and better.throughput > current.throughput * (1.0 + 1e-12):
            current = better
        else:
            spread = math.sqrt(spread)


def settled(demand: Demand, replicas: int, near: Point) -> tuple[Operation, Point] | None:
    """Return the local optimum of a number of replicas and its point, if it is at `near`."""
    step = solve_program(demand, near, integers=False, replicas=float(replicas))
    return (step, near) if step.answer.optimal and _same(step, near) else None


FREE_STEPS = 12
"""First-order steps that are taken as they come; a few are what it takes to settle."""

SETTLED = 1e-8
"""Spread of trust at which a point counts as a smooth optimum of the batch."""


def _with_replicas_of(plan: Operation, demand: Demand, batches: Segment | Point) -> Operation:
    return solve_program(demand, batches, integers=False, replicas=float(round(plan.replicas)))


def _step(
    demand: Demand, current: Operation, plan: Operation, spread: float
) -> tuple[Operation, Point]:
    """Return the optimum of the first-order model around `current`, and the model's point."""
    point = _first_order(demand, current, spread)
    step = _with_replicas_of(plan, demand, point)
    if not step.answer.optimal or step.throughput <= 0:
        raise SolverError(f"no optimum around batch {point.batch:g} of {plan.configuration}")
    return step, point


def _first_order(demand: Demand, operation: Operation, spread: float) -> Point:
    clocks, parked = operation.clock_steps, len(operation.configuration.clocks)
    steps = clocks + (0.0,) * (parked - len(clocks))
    return point_around(demand, operation.batch, operation.offloaded_share, steps, spread)


def point_around(
    demand: Demand,
    batch: float,
    offloaded_share: tuple[float, ...],
    steps: tuple[float, ...],
    spread: float = 2.0,
) -> Point:
    """Return the point of a batch, trusted within a factor of `spread` of it.

    `steps` per ms are those of all replicas at each clock.
    """
    # Twice what fits: the capacity row must bind by itself, so that it carries the price.
    lowest, highest = smallest_batch(demand.configuration), 2.0 * demand.largest_batch
    if offloaded_share or len(steps) > 1:
        # Products of batch with shares or clocks are neither convex nor concave: trust nearby.
        lowest, highest = max(lowest, batch / spread), min(highest, batch * spread)
    return Point(batch, offloaded_share, steps, lowest, max(highest, lowest))


def _same(step: Operation, point: Point) -> bool:
    """Whether the optimum of a first-order model is the point that the model was made at."""
    steps = np.array(step.clock_steps)
    return bool(settles(step.batch, point.batch, steps, np.array(point.steps)))


def settles(batch: Number, near: Number, steps: Array, near_steps: Array) -> NDArray[np.bool_]:
    """Whether optima of first-order models are the points that these were made at.

    `batch` and `near` are one or many, `steps` by clock and, of many, by point.
    """
    rate = near_steps.max(axis=0)
    apart = np.abs(steps - near_steps).max(axis=0)
    return np.asarray((np.abs(batch - near) <= 1e-9 * near) & (apart <= 1e-8 * rate))
