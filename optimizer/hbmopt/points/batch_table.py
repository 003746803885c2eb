"""One configuration under many power caps and speed floors at once, by formula.

The rates and energies of a configuration's steps, by clock and batch, do not depend on limits.
Under a cap a replica runs at one clock, slowed down, or at two in turn so that their mean power is
the cap: the upper hull of (power, rate), which is enough as there is one limit beside time.

For one number of replicas and one choice of clocks

- throughput grows with the batch: divided by tokens, no row of the program grows with it;
- the batches that meet the floor are those up to a largest one, which is found in sorted tables, as
  rates fall with the batch and the energy of a step grows with it.

So the best point has one of a few largest batches: for each clock alone the one at which it still
is fast enough and has the power for it, for each pair the one at which both are fast enough.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import Demand, smallest_batch
from hbmopt.models.quantities import number
from hbmopt.points.operating_points import geometric_batches
from hbmopt.points.replica_share import ReplicaShare, share_of_fast
from hbmopt.points.step_formula import Array, StepProfile, step_profile

Whole = NDArray[np.int64]

SAME = 1e-12
"""Relative difference below which two throughputs are one, and the first of them counts."""

ROUNDING = 1e-9
"""Relative margin of a bound for the rounding of its formula."""

RATIO = 1.02
"""Ratio of neighbouring batches between which a bound is read."""

MOST_CELLS = 200_000
"""Limits times replica counts that are looked at together: what bounds the memory."""

MOST_STEPS = 100
"""Steps of false position within which a root is one to the last bit."""


@dataclass(frozen=True)
class ManyLimits:
    """Power caps in kW, infinite where there is none, and speed floors in tok/s per user."""

    power: Array
    floor: Array

    def take(self, index: Whole) -> "ManyLimits":
        """Return some of the limits."""
        return ManyLimits(self.power[index], self.floor[index])


@dataclass(frozen=True)
class BestBatch:
    """The best whole batch and number of replicas under each limit; no throughput: none."""

    throughput: Array
    batch: Array
    replicas: Whole


@dataclass(frozen=True)
class Running:
    """How one replica runs under each limit.

    Its batch, its steps per ms, and by clock and limit the share of its time and the steps there.
    """

    batch: Array
    rate: Array
    share: Array
    steps: Array

    def take(self, index: Whole) -> "Running":
        """Return how it runs under some of the limits."""
        return Running(
            self.batch[index], self.rate[index], self.share[:, index], self.steps[:, index]
        )


def holds_a_batch(demand: Demand) -> bool:
    """Whether a replica holds one sequence per rank, and the rack a replica."""
    least = smallest_batch(demand.configuration)
    return demand.largest_batch >= least and demand.replicas_at_most >= 1


class BatchTable:
    """Rates and energies of one configuration by batch and clock."""

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        self.first = int(np.ceil(smallest_batch(demand.configuration) - 1e-9))
        self.last = int(np.floor(demand.largest_batch + 1e-9))
        self._profiles = [step_profile(demand, one) for one in demand.configuration.clocks]
        self._pairs = tuple(combinations(range(len(self._profiles)), 2))
        self._running_kw = np.array([profile.running_kw for profile in self._profiles])
        self._gained = number(demand.whole_replica(1.0).tokens_per_sequence_step) * 1e3
        self._share = ReplicaShare(demand)
        self._all: tuple[Array, Array] | None = None
        self._bounds = self._bounded()

    def _rates(self, batches: Array) -> tuple[Array, Array]:
        """Return the fastest steps per ms and the joule of a step, by clock and batch."""
        found = [profile.rates(batches)[:2] for profile in self._profiles]
        return np.array([one[0] for one in found]), np.array([one[1] for one in found])

    @property
    def _by_batch(self) -> tuple[Array, Array]:
        """Rates and energies of all whole batches."""
        if self._all is None:
            self._all = self._rates(np.arange(self.first, self.last + 1, dtype=float))
        return self._all

    def _bounded(self) -> tuple[Array, Array, Array]:
        """Return, by batch: the highest floor, the most throughput, the most tokens per joule."""
        batches = geometric_batches(self.first, self.last, RATIO)
        rates, energy = self._rates(batches)
        # What a replica draws beyond its accelerators' parked power, which is drawn anyway.
        beyond = self._running_kw[:, None] + energy * rates - self._share.parked_kw
        tokens = batches * self._gained
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            thrifty = np.where(beyond > 0, rates * tokens / beyond, np.inf).max(axis=0)
        fastest = rates.max(axis=0)
        return (
            fastest * self._gained,
            self.demand.replicas_at_most * fastest * tokens,
            np.maximum.accumulate(thrifty),
        )

    def bound(self, limits: ManyLimits) -> Array:
        """Return the throughput that no point exceeds, in tok/s, by time and by power."""
        floors, throughput, per_joule = self._bounds
        meeting = np.searchsorted(-floors, -limits.floor * (1.0 - SAME), side="right")
        # Batches that meet the floor end before the first of these that does not.
        place = np.minimum(meeting, len(floors) - 1)
        left = np.maximum(0.0, self._share.left_kw(limits.power))
        with np.errstate(invalid="ignore"):
            by_power = np.where(left > 0, left * per_joule[place], 0.0)
        bound = np.minimum(throughput[place], by_power) * (1.0 + ROUNDING)
        return np.asarray(np.where(meeting > 0, bound, 0.0))

    def best(self, limits: ManyLimits) -> BestBatch:
        """Return the best whole batch and number of replicas under each limit."""
        size = max(1, MOST_CELLS // self.demand.replicas_at_most)
        parts = [
            self._best(limits.take(np.arange(begin, min(begin + size, len(limits.power)))))
            for begin in range(0, len(limits.power), size)
        ]
        return BestBatch(
            np.concatenate([one.throughput for one in parts]),
            np.concatenate([one.batch for one in parts]),
            np.concatenate([one.replicas for one in parts]),
        )

    def _best(self, limits: ManyLimits) -> BestBatch:
        rates, energy = self._by_batch
        most = self.demand.replicas_at_most
        free = bool(np.isinf(limits.power).all()) and not self.demand.budgets
        # Fewer replicas pay only where they share what is limited.
        counts = np.arange(most, most - 1 if free else 0, -1)[:, None]
        power, needed = self._of_a_replica(limits, counts)
        affordable = np.floor(self._affordable(counts, needed, float(self.last)))
        within = np.asarray(affordable, dtype=np.int64) - self.first
        made, batches = [], []
        for place in self._largest(power, needed, within):
            at = np.maximum(place, 0)
            rate = self._averages(rates[:, at], energy[:, at], power, needed).max(axis=0)
            batch = at + float(self.first)
            rate = np.minimum(rate, self._share.steps_allowed(counts, batch))
            meets = (place >= 0) & _reaches(rate, needed)
            made.append(np.where(meets, counts * batch * rate * self._gained, 0.0))
            batches.append(batch)
        points = needed.shape[1]
        all_made = np.array(made).reshape(-1, points)
        chosen, place = _first_best(all_made), np.arange(points)
        return BestBatch(
            all_made[chosen, place],
            np.array(batches).reshape(-1, points)[chosen, place],
            np.tile(counts[:, 0], len(made))[chosen],
        )

    def _largest(self, power: Array, needed: Array, within: Whole) -> list[Whole]:
        """Return the largest batches that may be best, as positions in the table, -1 for none."""
        rates, energy = self._by_batch
        fast, alone = [], []
        for clock, running in enumerate(self._running_kw):
            place = np.searchsorted(-rates[clock], -needed, side="right") - 1
            fast.append(np.minimum(place, within))
            place = np.searchsorted(energy[clock], _joules(power - running, needed), "right") - 1
            alone.append(np.minimum(fast[-1], place))
        return alone + [np.minimum(fast[one], fast[other]) for one, other in self._pairs]

    def _averages(self, rates: Array, energy: Array, power: Array, needed: Array) -> Array:
        """Return the steps per ms of each clock alone and of each pair, -1 where there are none."""
        running = self._running_kw.reshape(-1, *(1,) * (rates.ndim - 1))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            slowed = np.where(energy > 0, (power - running) / energy, np.inf)
        found = [np.minimum(np.where(power >= running, slowed, -1.0), rates)]
        drawn = running + energy * rates
        for fast, slow in self._pairs:
            share = share_of_fast(drawn[fast], drawn[slow], power)
            mixed = rates[slow] + (rates[fast] - rates[slow]) * share
            meet = _reaches(np.minimum(rates[fast], rates[slow]), needed)
            found.append(np.where((share > 0) & (share < 1) & meet, mixed, -1.0)[None])
        return np.concatenate(found)

    def running(self, limits: ManyLimits, counts: Whole, batches: Array) -> Running:
        """Return how replicas run fastest at given batches, whole or not, one under each limit."""
        rates, energy = self._rates(batches)
        power, needed = self._of_a_replica(limits, counts)
        averages = self._averages(rates, energy, power, needed)
        kind = _first_best(np.where(_reaches(averages, needed), averages, 0.0))
        place = np.arange(len(batches))
        made = averages[kind, place]
        share = np.zeros(rates.shape)
        drawn = self._running_kw[:, None] + energy * rates
        for clock in range(len(rates)):
            share[clock, kind == clock] = 1.0
        for position, (fast, slow) in enumerate(self._pairs):
            mixed = kind == len(rates) + position
            of_fast = share_of_fast(drawn[fast], drawn[slow], power)[mixed]
            share[fast, mixed], share[slow, mixed] = of_fast, 1.0 - of_fast
        # One clock alone is slowed down by the cap, and a budget slows all alike.
        rate = np.minimum(made, self._share.steps_allowed(counts, batches))
        full = (share * rates).sum(axis=0)
        slower = np.divide(rate, full, out=np.zeros_like(rate), where=full > 0)
        return Running(batches, rate, share, share * rates * slower)

    def free_batch(self, limits: ManyLimits, counts: Whole) -> Running:
        """Return how given numbers of replicas run best where batches need not be whole."""
        power, needed = self._of_a_replica(limits, counts)
        most = self._affordable(counts, needed, self.demand.largest_batch)
        rates, energy = self._by_batch
        fast, alone = [], []
        for clock, profile in enumerate(self._profiles):
            spare = power - profile.running_kw

            def quick(batches: Array, of: StepProfile = profile) -> Array:
                return of.rates(batches)[0] - needed

            def paid(batches: Array, of: StepProfile = profile, spare: Array = spare) -> Array:
                return spare - of.energy(batches) * needed

            place = np.searchsorted(-rates[clock], -needed, side="right") - 1
            fast.append(_last_not_negative(quick, *self._around(place, most)))
            place = np.searchsorted(energy[clock], _joules(spare, needed), side="right") - 1
            alone.append(_last_not_negative(paid, *self._around(place, fast[-1])))
        tried = alone + [np.minimum(fast[one], fast[other]) for one, other in self._pairs]
        found = [self.running(limits, counts, batches) for batches in tried]
        best = _first_best(np.array([one.batch * one.rate for one in found]))
        place = np.arange(len(counts))
        return Running(
            np.array([one.batch for one in found])[best, place],
            np.array([one.rate for one in found])[best, place],
            np.array([one.share for one in found])[best, :, place].T,
            np.array([one.steps for one in found])[best, :, place].T,
        )

    def _around(self, place: Whole, most: Array) -> tuple[Array, Array]:
        """Return between which batches a limit is reached that holds up to a place of the table."""
        low = np.clip(place + float(self.first), float(self.first), most).astype(np.float64)
        return low, np.minimum(low + 1.0, np.maximum(most, low))

    def _of_a_replica(self, limits: ManyLimits, counts: Whole) -> tuple[Array, Array]:
        """Return the kW that a replica may draw, and the steps per ms that the floor asks for."""
        power = self._share.power_kw(limits.power, counts)
        needed = limits.floor * (1.0 - SAME) / self._gained
        return power, np.broadcast_to(needed, power.shape)

    def _affordable(self, counts: Whole, needed: Array, most: float) -> Array:
        """Return the largest batch whose steps at the floor the budgets allow, -1 for none."""
        largest = np.full(needed.shape, most)
        for left, per_step, per_sequence in self._share.budgets(counts):
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                room = _joules(left, needed) - per_step
                at_most = np.inf if per_sequence == 0 else room / per_sequence
            largest = np.minimum(largest, np.where(room < 0, -1.0, at_most))
        return largest


def _joules(spare: Array, needed: Array) -> Array:
    """Return what is left for each step at the steps that are needed, a rounding more, or -1."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        each = np.where(needed > 0, spare / needed, np.inf)
    return np.where(spare >= 0, each * (1.0 + SAME), -1.0)


def _reaches(rate: Array, needed: Array) -> NDArray[np.bool_]:
    return (rate > 0) & (rate >= needed * (1.0 - 4.0 * SAME))


def _first_best(made: Array) -> Whole:
    """Return the first of each column's entries that are as good as its best one."""
    return np.asarray(np.argmax(made >= made.max(axis=0) * (1.0 - SAME), axis=0))


def _last_not_negative(value: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Return the largest batches between two at which a falling function is not negative.

    By false position, where an end that stays twice counts half (the Illinois method). Where the
    function is negative throughout, the lower end.
    """
    at_low, at_high = value(low), value(high)
    done = (at_high >= 0) | (at_low < 0)
    low = np.where(at_high >= 0, high, low)
    stayed = np.zeros(len(low))
    for _ in range(MOST_STEPS):
        done |= high - low <= 2e-16 * high
        if done.all():
            break
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            middle = low + (high - low) * (at_low / (at_low - at_high))
        middle = np.where(done, low, np.clip(middle, low, high))
        # On an end the root is between it and its neighbour.
        done |= (middle == low) | (middle == high)
        found = value(middle)
        kept = found >= 0
        at_high = np.where(kept & (stayed > 0), at_high / 2.0, np.where(kept, at_high, found))
        at_low = np.where(~kept & (stayed < 0), at_low / 2.0, np.where(kept, found, at_low))
        low, high = np.where(kept, middle, low), np.where(kept, high, middle)
        stayed = np.where(kept, 1.0, -1.0)
    return low
