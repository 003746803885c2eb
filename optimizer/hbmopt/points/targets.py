"""Whether configurations serve a batch at a speed, and by how much they miss.

A target is a batch of the whole rack and a speed that every user receives in the mean. Sequences
are spread evenly: each of R replicas holds ceil(batch / R), so a batch need not divide. How fast R
replicas are then is known (`operating_points`), and so is whether they serve the target. Where
none does, the closest is the one whose largest factor, usage over limit, is smallest at one clock;
with LPUs over the shares of the weights as well, which is a small program.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from hbmopt.demand import Array
from hbmopt.instance import Instance
from hbmopt.points.clock_mix import Whole
from hbmopt.points.many_programs import maximised
from hbmopt.points.operating_points import BatchRates, OperatingPoints
from hbmopt.points.replica_rows import Work
from hbmopt.points.serving_point import ServingPoint
from hbmopt.program import ClockRun

PRECISION = 1e-9
"""Relative width at which halving stops."""

EXACT = 1e-9
"""Relative excess that is the rounding of a sum, and no excess."""


@dataclass(frozen=True)
class Target:
    """A batch of the rack, and a speed in tok/s per user; batch 0 stands for one replica's least.

    Limits count as kept where the speed is reached but for a share of `slack`.
    """

    batch: float
    speed: float
    slack: float = EXACT


@dataclass(frozen=True)
class Nearest:
    """The point of a configuration at a target whose largest factor is smallest."""

    point: ServingPoint
    factor: float

    def serves(self, target: Target) -> bool:
        """Whether the point keeps every limit."""
        return self.factor <= 1.0 + target.slack


def one_replica(instance: Instance) -> Target:
    """Return what every plan contains: one replica with its smallest batch, at the floor."""
    return Target(0.0, float(instance.limits.min_speed))


def last(
    holds: Callable[[float], bool], low: float, high: float, precision: float = PRECISION
) -> float:
    """Return the last number at which something holds that holds at `low` and not at `high`."""
    while high > low * (1.0 + precision):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


class GroupTargets:
    """What configurations of one shape can say about a target."""

    def __init__(self, points: OperatingPoints, cap: float, *, whole: bool) -> None:
        self.points, self._cap, self._whole = points, np.asarray(cap), whole
        self._owners = np.repeat(np.arange(len(points.most)), points.most)
        counts = [np.arange(most, 0, -1) for most in points.most.tolist()]
        self._counts = np.concatenate([np.zeros(0, dtype=np.int64), *counts])

    def spread(self, batch: float) -> tuple[Whole, Whole, Array]:
        """Return owner, number of replicas and batch of each of all ways to spread a batch."""
        owners, counts = self._owners, self._counts
        if batch <= 0:
            single = np.nonzero(counts == 1)[0]
            owners, counts = owners[single], counts[single]
            return owners, counts, self.points.lowest[owners]
        each = batch / counts
        if self._whole:
            each = np.ceil(each * (1.0 - 1e-12))
        return owners, counts, np.maximum(each, self.points.lowest[owners])

    def speeds(self, batch: float) -> tuple[Whole, Whole, Array, Array]:
        """Return owner, replicas, batch and tok/s per user of each way to spread a batch.

        Less than nothing where it cannot run.
        """
        owners, counts, batches = self.spread(batch)
        rates = BatchRates(self.points, owners, batches).under(counts, self._cap)
        return owners, counts, batches, rates * self.points.gained[owners]

    def top_speeds(self) -> Array:
        """Return the speed of one replica with its least batch, whatever power and budgets say."""
        owners = np.arange(len(self.points.most))
        rates = BatchRates(self.points, owners, self.points.lowest)
        return rates.rates(np.array(np.inf)) * rates.gained

    def least_power(self, target: Target) -> tuple[Whole, Array]:
        """Return the least kW at which each way to spread the batch reaches the speed."""
        owners, counts, batches = self.spread(target.batch)
        rates = BatchRates(self.points, owners, batches)
        needed = target.speed * (1.0 - target.slack) / rates.gained
        free = np.minimum(rates.rates(np.array(np.inf)), rates.steps_allowed(counts))
        fast = np.nonzero((free >= needed * (1.0 - EXACT)) & (free >= 0))[0]
        least = np.full(len(owners), np.inf)
        if len(fast):
            each = rates.take(fast).thriftiest(needed[fast])
            least[fast] = self.points.rack_kw(each, counts[fast], owners[fast])
        return owners, least

    def serving(self, target: Target, owner: int, count: int, batch: float) -> ServingPoint:
        """Return a point that reaches the speed, on least power."""
        rates = self.points.at(owner, np.array([batch]))
        rate = target.speed / float(rates.gained[0])
        most = float(rates.under(np.array([count]), self._cap)[0])
        parts = rates.parts(0, min(rate, max(most, 0.0)))
        gained = float(rates.gained[0])
        return ServingPoint(self.points.configurations[owner], count, batch, parts, gained)

    def nearest(self, target: Target, below: float) -> Nearest | None:
        """Return the point of one clock with the smallest largest factor, if that is `below`."""
        owners, counts, batches = self.spread(target.batch)
        if not len(owners):
            return None
        hopeful = np.nonzero(self._glance(target, owners, batches) < below)[0]
        if not len(hopeful):
            return None
        owners, counts, batches = owners[hopeful], counts[hopeful], batches[hopeful]
        rate = target.speed / self.points.gained[owners]
        shares, factors = self._least_factors(owners, counts, batches, rate)
        clock, place = np.unravel_index(int(np.argmin(factors)), factors.shape)
        factor = float(factors[clock, place])
        if factor >= below:
            return None
        offloaded = tuple(shares[:, clock, place].tolist())
        run = ClockRun(float(self.points.clocks[clock]), 1.0, float(rate[place]), offloaded)
        configuration = self.points.configurations[owners[place]]
        count, batch = int(counts[place]), float(batches[place])
        gained = float(self.points.gained[owners[place]])
        return Nearest(ServingPoint(configuration, count, batch, (run,), gained), factor)

    def factors(self, target: Target, owners: Whole, counts: Whole, batches: Array) -> Array:
        """Return the smallest largest factor of each way to spread the batch, at any one clock."""
        rate = target.speed / self.points.gained[owners]
        return np.asarray(self._least_factors(owners, counts, batches, rate)[1].min(axis=0))

    def _glance(self, target: Target, owners: Whole, batches: Array) -> Array:
        """Return factors that no point falls below: of rows that no lower clock eases."""
        rows = self.points.rows.at(owners, batches, every=False)
        rate = target.speed / self.points.gained[owners]
        factors = [one.least * rate for one in rows.timed]
        factors += [1.0 + one.least for one in rows.held]
        return np.asarray(reduce(np.maximum, factors))

    def _least_factors(
        self, owners: Whole, counts: Whole, batches: Array, rate: Array
    ) -> tuple[Array, Array]:
        """Return shares of the weights, and the largest factor with them, by clock and point."""
        points, rows = self.points, self.points.rows.at(owners, batches, every=True)
        linear = [_times(one, rate) for one in rows.timed]
        linear += [Work(1.0 + one.base, one.parts) for one in rows.held]
        heat = _times(rows.heat.step, rate)
        linear.append(Work(rows.heat.running + heat.base, heat.parts))
        for row in rows.shared:
            used = row.fixed + counts * (row.each + rate * row.step)
            linear.append(Work(1.0 + used, (np.zeros(()),) * points.rows.parts))
        if np.isfinite(self._cap):
            drawn = _times(rows.rack.step, rate)
            whole = points.rack_kw(rows.rack.running + drawn.base, counts, owners)
            parts = tuple(counts * part / self._cap for part in drawn.parts)
            linear.append(Work(whole / self._cap, parts))
        shape = (len(points.clocks), len(owners))
        if not points.rows.parts:
            factors = reduce(np.maximum, (one.base for one in linear))
            return np.zeros((0, *shape)), np.broadcast_to(factors, shape)
        return _least_largest(linear, shape)


def _least_largest(linear: list[Work], shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return shares of parts between 0 and 1 with the smallest largest of linear terms, and that.

    Below the largest at no share by as much as possible: a program with a point to start from.
    """
    parts, programs = len(linear[0].parts), int(np.prod(shape))

    def flat(array: Array) -> Array:
        return np.broadcast_to(array, shape).reshape(programs)

    start = np.stack([flat(one.base) for one in linear], axis=1)
    most = start.max(axis=1)
    rows = np.zeros((programs, len(linear) + parts + 1, parts + 1))
    limits = np.ones((programs, rows.shape[1]))
    scale = np.maximum(most, 1e-300)
    for row, one in enumerate(linear):
        for part, array in enumerate(one.parts):
            rows[:, row, part] = flat(array) / scale
        rows[:, row, parts] = 1.0
        limits[:, row] = (most - start[:, row]) / scale
    for part in range(parts):
        rows[:, len(linear) + part, part] = 1.0
    rows[:, -1, parts] = 1.0
    cost = np.zeros((programs, parts + 1))
    cost[:, parts] = 1.0
    found = np.clip(maximised(cost, rows, limits)[:, :parts], 0.0, 1.0)
    shares = found.T.reshape(parts, *shape)
    factors = reduce(
        np.maximum,
        (
            one.base + sum(part * share for part, share in zip(one.parts, shares, strict=True))
            for one in linear
        ),
    )
    return shares, np.broadcast_to(factors, shape)


def _times(work: Work, rate: Array) -> Work:
    return Work(work.base * rate, tuple(part * rate for part in work.parts))
