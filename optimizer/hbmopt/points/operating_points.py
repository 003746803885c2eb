"""Every operating point of a configuration: what each batch makes, and at which speed floors.

A point is a batch per replica, a number of replicas and a way to meet the power cap: all at one
clock, slowed down or not, or a mix of two clocks in time. Its *floor* is the highest speed floor
that it meets: with two clocks that of the slower one, for no user sees the average. Under a cap
the fastest average rate is the upper hull of (power, rate) over the clocks, so two clocks are
enough.

Throughput grows with the batch and the highest floor falls with it, whatever the point: every
row, divided by batch times rate, falls with the batch (distinct experts are concave and start at
0). So a range of batches lies in the box below the throughput of its last and left of the floor of
its first, which is what proves that nothing in between is missed.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import Configuration, Demand, rack_data, smallest_batch
from hbmopt.models.quantities import number
from hbmopt.points.replica_share import ReplicaShare, share_of_fast
from hbmopt.points.step_formula import Array, StepProfile, step_profile


@dataclass(frozen=True)
class Points:
    """Operating points in parallel arrays, speeds in tok/s per user and throughput in tok/s."""

    batch: Array
    replicas: NDArray[np.int64]
    floor: Array
    throughput: Array

    def best_order(self) -> NDArray[np.int64]:
        """Return which points no other beats in floor and throughput, the highest floor first."""
        order = np.lexsort((-self.throughput, -self.floor))
        reached = np.maximum.accumulate(self.throughput[order])
        better = np.ones(len(order), dtype=bool)
        better[1:] = self.throughput[order][1:] > reached[:-1]
        return np.asarray(order[better])

    def best(self) -> "Points":
        """Return the points that no other beats in floor and throughput."""
        return self.take(self.best_order())

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> "Points":
        """Return some of the points."""
        return Points(
            self.batch[index],
            self.replicas[index],
            self.floor[index],
            self.throughput[index],
        )


@dataclass(frozen=True)
class Outline:
    """The points of a frontier, the highest floor first, and whose they are.

    `power_kw` is what the rack draws at each point, in its own scope. `gap` is the largest fall
    between neighbours, as a share of the most throughput, where points in between are not known; 0
    where all are.
    """

    configurations: tuple[Configuration, ...]
    points: Points
    owners: NDArray[np.int64]
    power_kw: Array
    gap: float


def no_outline() -> Outline:
    """Return the outline of a frontier on which nothing can be served."""
    return Outline((), nothing(), np.zeros(0, dtype=np.int64), np.zeros(0), 0.0)


def nothing() -> Points:
    """Return no points."""
    none = np.zeros(0)
    whole = np.zeros(0, dtype=np.int64)
    return Points(none, whole, none, none)


def joined(parts: list[Points]) -> Points:
    """Return points one after the other."""
    return Points(
        np.concatenate([one.batch for one in parts]),
        np.concatenate([one.replicas for one in parts]),
        np.concatenate([one.floor for one in parts]),
        np.concatenate([one.throughput for one in parts]),
    )


FIRST_RATIO = 1.15
"""Ratio of neighbouring batches of the first look at a configuration."""

ALL_BETWEEN = 64
"""Batches of a range from which on all of them are evaluated."""

SPLIT = 8
"""Parts into which a longer range is split."""


def first_batches(source: "OperatingPoints") -> Array:
    """Return the batches of a first look at a configuration."""
    first, last = int(np.ceil(source.lowest - 1e-9)), int(np.floor(source.highest + 1e-9))
    return geometric_batches(first, last, FIRST_RATIO)


def geometric_batches(first: int, last: int, ratio: float) -> Array:
    """Return whole batches from the first to the last at about a ratio, both included."""
    count = max(2, int(np.log(max(last / first, 1.0)) / np.log(ratio)) + 2)
    return np.unique(np.round(np.geomspace(first, max(last, first), count)))


def split_range(before: float, after: float) -> Array:
    """Return batches between two, all of them where they are few."""
    first, last = before + 1, after - 1
    if last - first < ALL_BETWEEN:
        return np.arange(first, last + 1)
    return np.unique(np.round(np.geomspace(first, last, SPLIT)))


class OperatingPoints:
    """The operating points of one configuration without LPUs."""

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        self.configuration = demand.configuration
        self.lowest = smallest_batch(demand.configuration)
        self.highest = demand.largest_batch
        self._share = ReplicaShare(demand)
        cap = rack_data(demand.instance).power_cap_kw
        self._cap = np.asarray(np.inf if cap is None else number(cap))
        self._most = demand.replicas_at_most
        self._profiles: list[StepProfile] = []
        self._gained = number(demand.whole_replica(1.0).tokens_per_sequence_step) * 1e3

    @property
    def possible(self) -> bool:
        """Whether one sequence per rank fits, and one replica."""
        return self.highest >= self.lowest and self._most >= 1

    def at(self, batches: Array) -> Points:
        """Return the points of some batches: those at full clock, and mixes where power limits."""
        rate, energy, throttled = self._profile(0).rates(batches)
        counts = np.array([self._most])
        allowed = self._share.steps_allowed(counts, batches)
        # A declared budget may favour fewer replicas.
        limited = bool((allowed < rate).any())
        drawn = self._profile(0).running_kw + energy * np.minimum(rate, allowed)
        # A lower clock pays only where power limits: that of the rack, or of the accelerator.
        free = (drawn <= self._share.power_kw(self._cap, counts)) & ~throttled
        parts = []
        if free.any():
            reached = np.minimum(rate, allowed)[None, free]
            parts += self._grid(counts, batches[free], reached, reached)
        if not free.all() or limited:
            parts += self._under_cap(batches if limited else batches[~free])
        return joined(parts) if parts else nothing()

    def _profile(self, clock: int) -> StepProfile:
        while len(self._profiles) <= clock:
            factor = self.configuration.clocks[len(self._profiles)]
            self._profiles.append(step_profile(self.demand, factor))
        return self._profiles[clock]

    def drawn_kw(self, points: Points) -> Array:
        """Return the kW that the rack draws at points of this configuration, in its own scope.

        A rate that one clock reaches is had at the thriftiest such clock. One that takes a mix of
        two clocks is the most that the cap allows, so the cap is what is drawn.
        """
        rate = points.throughput / (points.replicas * points.batch * self._gained)
        each = self._share.power_kw(self._cap, points.replicas)
        for clock in range(len(self.configuration.clocks)):
            profile = self._profile(clock)
            fastest, energy, _ = profile.rates(points.batch)
            drawn = profile.running_kw + energy * rate
            reached = fastest >= rate * (1.0 - 1e-9)
            each = np.where(reached, np.minimum(each, drawn), each)
        return self._share.drawn_kw(each, points.replicas)

    def _under_cap(self, batches: Array) -> list[Points]:
        """Return the points of all replica counts and clocks under the power cap."""
        counts = np.arange(1, self._most + 1)
        if np.isinf(self._cap) and not self.demand.budgets:
            counts = counts[-1:]
        power = self._share.power_kw(self._cap, counts)[:, None]
        allowed = self._share.steps_allowed(counts[:, None], batches)
        parts: list[Points] = []
        corners: list[tuple[Array, Array]] = []
        for clock in range(len(self.configuration.clocks)):
            profile = self._profile(clock)
            rate, energy, _ = profile.rates(batches)
            corners.append((profile.running_kw + energy * rate, rate))
            with np.errstate(divide="ignore", invalid="ignore"):
                paid = np.where(energy > 0, (power - profile.running_kw) / energy[None, :], np.inf)
            paid = np.where(power >= profile.running_kw, paid, -1.0)
            reached = np.minimum(np.minimum(paid, rate[None, :]), allowed)
            parts += self._grid(counts, batches, reached, reached)
        for (high, quick), (low, steady) in combinations(corners, 2):
            share = share_of_fast(high, low, power)
            mixed = steady + (quick - steady) * share
            reached = np.where(share > 0, np.minimum(mixed, allowed), -1.0)
            floor = np.minimum(np.minimum(quick, steady), reached)
            parts += self._grid(counts, batches, reached, floor)
        return parts

    def _grid(
        self,
        counts: NDArray[np.int64],
        batches: Array,
        reached: Array,
        floor: Array,
    ) -> list[Points]:
        found = reached > 0
        if not found.any():
            return []
        replicas = np.broadcast_to(counts[:, None], reached.shape)[found]
        many = np.broadcast_to(batches[None, :], reached.shape)[found]
        rates, floors = reached[found] * self._gained, floor[found] * self._gained
        return [Points(many, replicas, floors, replicas * many * rates)]
