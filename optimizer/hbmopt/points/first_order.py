"""The first-order model of a configuration around a point: what prices are read from.

A plan holds whole sequences at fixed clocks. Prices are those of the optimum beside it whose batch
is free, configuration, replicas and clocks held.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import Array, Demand, Point, Segment, aim_of, smallest_batch
from hbmopt.errors import SolverError
from hbmopt.models.objective import Worth
from hbmopt.models.quantities import number
from hbmopt.program import Asked, Operation, Solving

Number = float | Array

SAME_BATCH = 1e-9
"""Relative difference of two batches that are one."""

RUNS = 1e-9
"""Steps at a clock, as a share of those at the busiest one, from which on it runs."""


Polished: TypeAlias = tuple[Operation, Point]
"""An optimum with its batch free, and the point whose first-order model it is the optimum of."""


def polish(
    demand: Demand,
    plan: Operation,
    precision: float = SAME_BATCH,
    leave: Callable[[Operation], bool] = lambda _: False,
) -> Solving[Polished]:
    """Return the local optimum around `plan`, integers fixed and batch free, and its point.

    The concave and bilinear terms are replaced by their first-order model at the current point.
    Where the optimum of the model is that point, the model's multipliers are those of the exact
    program, so prices read from it carry no approximation. Otherwise the optimum of the model is
    the next point. Should the points not settle, as between two vertices with a smooth optimum
    in between, only steps that improve the exact program are taken, and the model is trusted
    less far after each that does not. A point counts as the same to a relative `precision`.
    A step at which to `leave` is returned as it is, before it has settled.

    Raises
    ------
    SolverError
        If the first-order model has no optimum, which a plan that exists rules out.
    """
    current = plan
    for _ in range(FREE_STEPS):
        step, point = yield from _step(demand, current, plan, 2.0)
        if _same(step, point, precision) or leave(step):
            return step, point
        current = step
    current, spread = plan, 2.0
    while True:
        step, point = yield from _step(demand, current, plan, spread)
        if _same(step, point, precision) or spread < 1.0 + SETTLED:
            return step, point
        exact = Segment(step.batch, step.batch)
        better = yield Asked(demand, exact, _held(plan), plan.worth)
        if better.answer.optimal and better.objective > current.objective + 1e-12 * current.size:
            current = better
        else:
            spread = math.sqrt(spread)


FREE_STEPS = 12
"""First-order steps that are taken as they come; a few are what it takes to settle."""

SETTLED = 1e-8
"""Spread of trust at which a point counts as a smooth optimum of the batch."""


def _held(plan: Operation) -> float | None:
    """Return the replicas of a plan; None where they are what is to be few, and free."""
    return None if number(plan.worth.accelerator) else float(round(plan.replicas))


def _step(demand: Demand, current: Operation, plan: Operation, spread: float) -> Solving[Polished]:
    """Return the optimum of the first-order model around `current`, and the model's point."""
    point = _first_order(demand, current, current.batch, spread)
    step = yield Asked(demand, point, _held(plan), plan.worth)
    smallest = smallest_batch(demand.configuration)
    if not step.answer.optimal and point.lowest > smallest:
        # Nothing runs as near as the model is trusted: whatever it finds farther away is nearer.
        point = _first_order(demand, current, current.batch, math.inf)
        step = yield Asked(demand, point, _held(plan), plan.worth)
    if not step.answer.optimal and current.batch > smallest:
        # Seen from a large batch a small one reads more experts than it does.
        point = _first_order(demand, current, smallest, spread)
        step = yield Asked(demand, point, _held(plan), plan.worth)
    if not step.answer.optimal or step.throughput <= 0 or step.total("steps") <= 0:
        raise SolverError(f"no optimum around batch {point.batch:g} of {plan.configuration}")
    return step, point


def _first_order(demand: Demand, operation: Operation, batch: float, spread: float) -> Point:
    known = dict(zip(operation.configuration.clocks, operation.clock_steps, strict=True))
    steps = tuple(known.get(clock, 0.0) for clock in demand.configuration.clocks)
    return point_around(demand, batch, operation.offloaded_share, steps, spread)


def polish_clocks(
    demand: Demand, near: Operation, precision: float = SAME_BATCH
) -> Solving[Polished]:
    """Return the local optimum around a plan as `polish` does, with whatever clocks it needs.

    Where a fraction is best, its value there is what the optimum is worth (see `models.objective`).

    Raises
    ------
    SolverError
        As `polish` does.
    """
    aim = aim_of(demand.instance)
    step, point = yield from _polish_clocks(demand, near, precision)
    for _ in range(MOST_FRACTIONS if aim.fraction else 0):
        worth = aim.worth(1e3 * step.throughput, step.power_kw)
        if abs(_paid(worth) - _paid(step.worth)) <= SAME_FRACTION * _paid(worth):
            break
        step, point = yield from _polish_clocks(demand, replace(step, worth=worth), precision)
    return step, point


MOST_FRACTIONS, SAME_FRACTION = 20, 1e-8
"""How often a fraction is taken anew, and the relative difference of two that are one.

It is at its highest there, so what is left changes it by the square of that.
"""


def _paid(worth: Worth) -> float:
    return number(worth.kilowatt)


def _polish_clocks(demand: Demand, near: Operation, precision: float) -> Solving[Polished]:
    """Return the local optimum around a plan with whatever clocks it needs.

    The neighbours of the clocks that run have to be no better: the next faster ones in any case,
    and where power has a price the next slower ones.

    Raises
    ------
    SolverError
        As `polish` does.
    """
    listed = demand.configuration.clocks
    before = [listed.index(one) for one in near.configuration.clocks]
    held = _with_others(listed, _wanted(near, before, len(listed)))
    turn = 0
    while True:
        some = demand.with_clocks(tuple(listed[one] for one in held))
        # Which clocks are wanted shows long before the batch has settled.
        elsewhere = partial(_wants_others, held, len(listed))
        try:
            step, point = yield from polish(some, near, precision, elsewhere)
        except SolverError:
            if len(listed) - 1 in held:
                raise
            # What the lowest clock does not allow none does.
            held = [*held, len(listed) - 1]
            continue
        wanted = _wanted(step, held, len(listed), MOSTLY)
        if wanted <= set(held):
            wanted = _wanted(step, held, len(listed))
            if wanted <= set(held):
                return step, point
        # Clocks are let go of, so that few shapes of programs are met; but not for ever.
        held = _with_others(listed, wanted if turn < LET_GO else wanted | set(held))
        near, turn = step, turn + 1


MOSTLY = 0.05
"""Steps at a clock, as a share of those at the busiest one, that show where others are wanted.

The way from one batch and mix of clocks to another leaves few at all clocks that it came through.
"""


def _wanted(step: Operation, held: Sequence[int], clocks: int, least: float = RUNS) -> set[int]:
    """Return the clocks that run, and those beside them that have to be no better."""
    slower = 2 if _power_has_price(step) else 1
    return {
        place
        for one, steps in zip(held, step.clock_steps, strict=True)
        if steps > least * max(step.clock_steps)
        for place in range(max(one - 1, 0), min(one + slower, clocks))
    }


def _wants_others(held: Sequence[int], clocks: int, step: Operation) -> bool:
    return not _wanted(step, held, clocks, MOSTLY) <= set(held)


LET_GO = 20
"""Times that the clocks are chosen anew, after which they are only added to."""

TOGETHER = 4
"""Clocks beside one that are looked at together: more cost little, each new shape takes long."""


def _with_others(listed: Sequence[float], wanted: set[int]) -> list[int]:
    """Return one clock as it is, and others with the nearest to them, up to a round number."""
    size = 1 if len(wanted) == 1 else -(-len(wanted) // TOGETHER) * TOGETHER
    order = sorted(range(len(listed)), key=lambda one: min(abs(one - each) for each in wanted))
    return sorted(order[:size])


POWER_ROWS = ("power_cap", "accelerator_power")


def _power_has_price(operation: Operation) -> bool:
    rows = operation.filled.template.rows
    places = [place for place, label in enumerate(rows) if label.family in POWER_ROWS]
    size = max(1.0, operation.size)
    return _paid(operation.worth) > 0 or bool((abs(operation.duals[places]) > 1e-9 * size).any())


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


def _same(step: Operation, point: Point, precision: float) -> bool:
    """Whether the optimum of a first-order model is the point that the model was made at."""
    steps = np.array(step.clock_steps)
    return bool(settles(step.batch, point.batch, steps, np.array(point.steps), precision))


def settles(
    batch: Number, near: Number, steps: Array, near_steps: Array, precision: float = SAME_BATCH
) -> NDArray[np.bool_]:
    """Whether optima of first-order models are the points that these were made at.

    `batch` and `near` are one or many, `steps` by clock and, of many, by point.
    """
    rate = near_steps.max(axis=0)
    apart = np.abs(steps - near_steps).max(axis=0)
    same = (np.abs(batch - near) <= precision * near) & (apart <= 10.0 * precision * rate)
    return np.asarray(same)
