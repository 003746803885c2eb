"""The best operating points of many instances that differ in power cap and speed floor.

For one number of replicas throughput grows with the batch and the rate falls with it (see
`operating_points`), so the best batch is the largest that still is fast enough. It is bracketed in
a table of batches, for all limits and numbers of replicas at once, and found between two of them
where that can still be the best. Configurations are looked at in the order of a bound, until no
bound exceeds the best point found.

With LPUs, where throughput may fall as weights are moved out of the way, ranges of batches are
bounded and split instead (`frontier_envelope`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import Array, Demand, power_cap
from hbmopt.instance import Instance
from hbmopt.points.clock_mix import Whole
from hbmopt.points.operating_points import GAINS, BatchRates, OperatingPoints, all_points

TIE = 1e-9
"""Relative difference up to which two points make as much."""

SAME = 1e-12
"""Relative difference below which two throughputs are one."""

RATIO = 1.05
"""Ratio of neighbouring batches of a table."""

FINEST = 4e-16
"""Relative width at which a batch that need not be whole is found."""


@dataclass(frozen=True)
class ManyLimits:
    """Power caps in kW, infinite where there is none, and speed floors in tok/s per user."""

    power: Array
    floor: Array

    def take(self, index: Whole) -> "ManyLimits":
        """Return some of the limits."""
        return ManyLimits(self.power[index], self.floor[index])


def limits_of(instances: Sequence[Instance]) -> ManyLimits:
    """Return the limits of instances that differ in nothing else."""
    return ManyLimits(
        np.array([power_cap(one) for one in instances]),
        np.array([float(one.limits.min_speed) for one in instances]),
    )


@dataclass(frozen=True)
class Running:
    """How one replica runs under each limit.

    Its batch and its steps per ms, and by slot and limit two clocks with their shares of its time
    and the steps per ms there; `slowed` says where power is what limits.
    """

    batch: Array
    rate: Array
    clock: Array
    share: Array
    steps: Array
    slowed: NDArray[np.bool_]

    @property
    def alternating(self) -> NDArray[np.bool_]:
        """Where two clocks are needed: one that rests at the clock that it runs at has one."""
        return np.asarray(self.slowed & (self.clock[0] != self.clock[-1]))

    def take(self, index: Whole) -> "Running":
        """Return how it runs under some of the limits."""
        return Running(*(getattr(self, one.name)[..., index] for one in fields(self)))


@dataclass(frozen=True)
class BestBatch:
    """The best batch and number of replicas under each limit; no throughput: none."""

    throughput: Array
    batch: Array
    replicas: Whole


def geometric_batches(first: int, last: int, ratio: float) -> Array:
    """Return whole batches from the first to the last at about a ratio, both included."""
    count = max(2, int(np.log(max(last / first, 1.0)) / np.log(ratio)) + 2)
    return np.unique(np.round(np.geomspace(first, max(last, first), count)))


class _Bounds:
    """What no point of each configuration of one shape exceeds, under any limits."""

    def __init__(self, points: OperatingPoints) -> None:
        ends = zip(points.first.tolist(), points.last.tolist(), strict=True)
        self.batches = [geometric_batches(int(first), int(last), RATIO) for first, last in ends]
        lengths = [len(one) for one in self.batches]
        self._points, self._starts = points, np.cumsum([0, *lengths])
        owners = np.repeat(np.arange(len(lengths)), lengths)
        self._table = BatchRates(points, owners, np.concatenate(self.batches))
        self._per_joule: Array | None = None

    def of(self, owner: int, limits: ManyLimits) -> Array:
        """Return the throughput that no point of one exceeds, in tok/s, by time and by power."""
        points, table = self._points, self._table
        span = slice(self._starts[owner], self._starts[owner + 1])
        rate, most = table.rate[span], points.most[owner]
        speeds, made = rate * points.gained[owner], most * rate * table.tokens[span] * 1e3
        # Batches that meet the floor end before the first of these that does not.
        meeting = np.searchsorted(-speeds, -limits.floor * (1.0 - SAME), side="right")
        place = np.minimum(meeting, len(speeds) - 1)
        bound = made[place]
        if (limits.power < points.rack_kw(table.power[span], most, owner).max()).any():
            if self._per_joule is None:
                self._per_joule = table.most_per_joule() * 1e3
            per_joule = np.maximum.accumulate(self._per_joule[span])
            left = np.maximum(0.0, limits.power - points.rows.fixed_kw[owner])
            with np.errstate(invalid="ignore"):
                by_power = np.where(left > 0, left * per_joule[place], 0.0)
            bound = np.minimum(bound, by_power)
        return np.asarray(np.where(meeting > 0, bound * (1.0 + 1e-9), 0.0))


class BatchTable:
    """The operating points of a configuration without LPUs, for any limits."""

    def __init__(self, points: OperatingPoints, owner: int, batches: Array) -> None:
        self.points, self.owner, self.demand = points, owner, points.demand(owner)
        self._table = points.at(owner, batches)
        self._gained, self._most = float(points.gained[owner]), int(points.most[owner])
        self._highest = float(points.highest[owner])
        self._ranks = float(points.rows.ranks[owner])

    def best(self, limits: ManyLimits, *, whole: bool = True) -> BestBatch:
        """Return the best batch and number of replicas under each limit."""
        points, table = self.points, self._table
        counts = np.arange(self._most, 0, -1)[:, None]
        if np.isinf(limits.power).all() and not points.shares:
            # Fewer replicas pay only where they share what is limited.
            counts = counts[:1]
        needed = limits.floor * (1.0 - SAME) / self._gained
        power = points.power_kw(limits.power, counts, self.owner)
        last = np.empty(power.shape, dtype=np.int64)
        for floor in np.unique(needed):
            mine = needed == floor
            last[:, mine] = self._last_place(float(floor), power[:, mine], counts)
        reached = np.maximum(last, 0)
        above = np.minimum(reached + 1, len(table.batches) - 1)
        low, high = (self._made(place, power, counts) * (last >= 0) for place in (reached, above))
        hopeful = (last >= 0) & (high >= low.max(axis=0) * (1.0 - SAME))
        open_range = hopeful & (table.batches[above] > table.batches[reached] + 1)
        batch = table.batches[reached].copy()
        search = _Search(points, self.owner, power, np.broadcast_to(counts, power.shape), needed)
        index = np.nonzero(open_range)
        if len(index[0]):
            batch[index] = search.last_whole(index, batch[index], table.batches[above[index]])
        if not whole:
            index = np.nonzero(hopeful)
            ends = np.minimum(batch[index] + self._ranks, self._highest)
            batch[index] = search.last_at_all(index, batch[index], ends)
        made = np.where(hopeful, search.made(np.nonzero(hopeful), batch), 0.0)
        best = np.argmax(made >= made.max(axis=0) * (1.0 - SAME), axis=0)
        place = np.arange(len(limits.power))
        return BestBatch(
            made[best, place],
            batch[best, place],
            np.broadcast_to(counts[:, 0], best.shape)[best]
            if len(counts) == 1
            else counts[best, 0],
        )

    def _last_place(self, needed: float, power: Array, counts: Whole) -> Whole:
        """Return the last batches of the table that are fast enough on so much power."""
        table = self._table
        least = table.least_power(needed)
        # No power makes what is too slow fast enough, not even all that there is.
        place = np.searchsorted(least, np.minimum(power, np.finfo(float).max), side="right")
        if self.points.shares:
            allowed = table.steps_allowed(counts)
            place = np.minimum(place, (allowed >= needed).sum(axis=1)[:, None])
        return np.asarray(place - 1)

    def _made(self, place: Whole, power: Array, counts: Whole) -> Array:
        """Return the tok/s of batches of the table on so much power, whatever the floor."""
        table = self._table
        rates = table.rates_at(place, power)
        if self.points.shares:
            allowed = table.steps_allowed(counts)
            rates = np.minimum(rates, np.take_along_axis(allowed, place, axis=1))
        return counts * np.maximum(rates, 0.0) * table.tokens[place] * 1e3

    def running(self, limits: ManyLimits, counts: Whole, batches: Array) -> Running:
        """Return how replicas run fastest at given batches, whole or not, one under each limit."""
        operation = self.points.at(self.owner, batches)
        power = self.points.power_kw(limits.power, counts, self.owner)
        rate = np.minimum(operation.rates(power), operation.steps_allowed(counts))
        clock, share, steps = operation.corners(rate)
        # What is bound by memory runs as fast at a lower clock, on less power.
        slower = rate < operation.rate * (1.0 - GAINS)
        slowed = ((power < operation.power) & slower) | (operation.heat > 1.0)
        return Running(batches, rate, self.points.clocks[clock], share, steps, slowed)

    def free_batch(self, limits: ManyLimits, counts: Whole, batch: Array) -> Array:
        """Return how far batches go that need not be whole, from the best whole ones."""
        power = self.points.power_kw(limits.power, counts, self.owner)
        needed = limits.floor * (1.0 - SAME) / self._gained
        search = _Search(self.points, self.owner, power, counts, needed)
        index = (np.arange(len(batch)),)
        return search.last_at_all(index, batch, np.minimum(batch + self._ranks, self._highest))


class _Search:
    """Searches for the largest batches that are fast enough, many at once."""

    def __init__(
        self, points: OperatingPoints, owner: int, power: Array, counts: Whole, needed: Array
    ) -> None:
        self._points, self._owner, self._power, self._counts = points, owner, power, counts
        self._needed = np.broadcast_to(needed, power.shape)

    def _rates(self, index: tuple[Whole, ...], batches: Array) -> Array:
        operation = self._points.at(self._owner, batches)
        allowed = operation.steps_allowed(self._counts[index])
        return np.minimum(operation.rates(self._power[index]), allowed)

    def made(self, index: tuple[Whole, ...], batch: Array) -> Array:
        """Return the tok/s of given batches."""
        found = np.zeros(batch.shape)
        batches = batch[index]
        rates = np.maximum(self._rates(index, batches), 0.0)
        found[index] = self._counts[index] * rates * batches * self._points.gained[self._owner]
        return found

    def last_whole(self, index: tuple[Whole, ...], low: Array, high: Array) -> Array:
        """Return the last whole batches between two, of which the first is fast enough."""
        return self._last(index, low, high, whole=True)

    def last_at_all(self, index: tuple[Whole, ...], low: Array, high: Array) -> Array:
        """Return the last batches between two, of which the first is fast enough."""
        return self._last(index, low, high, whole=False)

    def _last(self, index: tuple[Whole, ...], low: Array, high: Array, *, whole: bool) -> Array:
        """Return the last batches that are fast enough: rates fall with the batch.

        By false position, where an end that stays twice counts half (the Illinois method); the
        time of a step hardly bends. Halves are taken where that gets nowhere.
        """
        low, high = low.copy(), high.copy()
        spare, short = self._spare(index, low), self._spare(index, high)
        low = np.where(short >= 0, high, low)
        stayed = np.zeros(len(low))
        going = np.nonzero(_apart(low, high, whole=whole))[0]
        for turn in range(MOST_TURNS):
            if not len(going):
                break
            first, last = low[going], high[going]
            with np.errstate(divide="ignore", invalid="ignore"):
                share = spare[going] / (spare[going] - short[going])
            middle = first + share * (last - first)
            halved = ~np.isfinite(middle) | (turn % 8 == 7)
            middle = np.where(halved, (first + last) / 2.0, middle)
            if whole:
                middle = np.clip(np.floor(middle), first + 1.0, last - 1.0)
            middle = np.clip(middle, np.nextafter(first, last), np.nextafter(last, first))
            found = self._spare(tuple(one[going] for one in index), middle)
            kept, before = found >= 0, stayed[going]
            spare[going] = np.where(kept, found, spare[going] / np.where(before < 0, 2.0, 1.0))
            short[going] = np.where(kept, short[going] / np.where(before > 0, 2.0, 1.0), found)
            low[going], high[going] = np.where(kept, middle, first), np.where(kept, last, middle)
            stayed[going] = np.where(kept, 1.0, -1.0)
            going = going[_apart(low[going], high[going], whole=whole)]
        return low

    def _spare(self, index: tuple[Whole, ...], batches: Array) -> Array:
        """Return the ms that a step may be longer than it is; -inf where nothing runs."""
        rates = self._rates(index, batches)
        with np.errstate(divide="ignore"):
            spare = 1.0 / self._needed[index] - 1.0 / rates
        return np.where(rates > 0, spare, -np.inf)


def _apart(low: Array, high: Array, *, whole: bool) -> NDArray[np.bool_]:
    return np.asarray(high - low > (1.0 if whole else FINEST * high))


MOST_TURNS = 200
"""Turns after which a batch counts as found."""

MOST_BATCHES = 1_000_000
"""Batches of a replica up to which limits are looked at together; more are solved one by one."""


@dataclass(frozen=True)
class BestPoints:
    """The best operating points of the instances at `places`, whose best configuration is one.

    `throughput` in tok/s; `whole` is how each of the `replicas` runs, and `free` how it would if
    batches did not have to be whole.
    """

    demand: Demand
    places: Whole
    limits: ManyLimits
    replicas: Whole
    throughput: Array
    whole: Running
    free: Running

    def take(self, index: NDArray[np.bool_]) -> "BestPoints":
        """Return some of the points."""
        return BestPoints(
            self.demand,
            self.places[index],
            self.limits.take(np.nonzero(index)[0]),
            self.replicas[index],
            self.throughput[index],
            self.whole.take(np.nonzero(index)[0]),
            self.free.take(np.nonzero(index)[0]),
        )


def has_formula(instance: Instance) -> bool:
    """Whether many limits of an instance can be looked at together: no LPUs, whole sequences.

    And as many tokens as possible. Declared budgets leave ties that are broken one by one.
    """
    choices = instance.choices
    without_lpus = instance.rack.offload is None or choices.lpu_units == [0]
    alone = choices.uniform and choices.whole_sequences and not instance.budgets
    tokens = instance.objective == "throughput" and instance.limits.min_throughput is None
    return alone and without_lpus and tokens


class PointSearch:
    """Searches for the best operating points of instances that differ in cap and floor."""

    def __init__(self, instance: Instance) -> None:
        found = all_points(instance)
        self.configurations, self.rejections = found.configurations, found.rejections
        self._groups = found.groups
        self._bounds = [_Bounds(one) for one in found.groups] if self.tabled else []
        self._tables: dict[tuple[int, int], BatchTable] = {}

    @property
    def tabled(self) -> bool:
        """Whether all batches are few enough to be looked at."""
        return all(float(one.last.max()) <= MOST_BATCHES for one in self._groups)

    def best(self, instances: Sequence[Instance]) -> list[BestPoints]:
        """Return the best operating points under the limits of each instance, by configuration.

        They do not depend on which instances are asked for together. An instance of which nothing
        can be served has none.
        """
        limits = limits_of(instances)
        members = [
            (group, owner)
            for group, one in enumerate(self._groups)
            for owner in range(len(one.configurations))
        ]
        if not members:
            return []
        bounds = np.array([self._bounds[group].of(owner, limits) for group, owner in members])
        looks = _Looks(bounds)
        # The most promising configuration of each first: it rules out most of the others.
        first = np.argmax(bounds, axis=0)
        order = np.argsort(-bounds.max(axis=1), kind="stable").tolist()
        for turn in (np.unique(first).tolist(), order):
            for position in turn:
                wanted = looks.undecided(position)
                if turn is not order:
                    wanted = wanted[first[wanted] == position]
                if len(wanted):
                    found = self._table(members[position]).best(limits.take(wanted))
                    looks.keep(position, wanted, found)
        return [
            self._best_points(members[position], places, limits, looks)
            for position, places in looks.best()
        ]

    def _table(self, member: tuple[int, int]) -> BatchTable:
        if member not in self._tables:
            group, owner = member
            batches = self._bounds[group].batches[owner]
            self._tables[member] = BatchTable(self._groups[group], owner, batches)
        return self._tables[member]

    def _best_points(
        self, member: tuple[int, int], places: Whole, limits: ManyLimits, looks: "_Looks"
    ) -> BestPoints:
        table, limits = self._table(member), limits.take(places)
        replicas, batch = looks.replicas[places], looks.batch[places]
        free = table.free_batch(limits, replicas, batch)
        return BestPoints(
            table.demand,
            places,
            limits,
            replicas,
            looks.throughput[places],
            table.running(limits, replicas, batch),
            table.running(limits, replicas, free),
        )


class _Looks:
    """The best that is known under each of many limits, and whose it is."""

    def __init__(self, bounds: Array) -> None:
        self._bounds, self._known = bounds, np.zeros(bounds.shape, dtype=bool)
        limits = bounds.shape[1]
        self.throughput, self.batch = np.zeros(limits), np.zeros(limits)
        self.replicas, self._owner = np.zeros(limits, dtype=np.int64), np.full(limits, -1)

    def undecided(self, position: int) -> Whole:
        """Return the limits under which a configuration may be best, or as good."""
        promising = self._bounds[position] > self.throughput * (1.0 - 2.0 * TIE)
        return np.nonzero(promising & ~self._known[position])[0]

    def keep(self, position: int, wanted: Whole, found: BestBatch) -> None:
        """Keep what a configuration makes where it is better, or as good and faster.

        Speed is throughput over all sequences; of what is as fast, that listed first counts.
        """
        self._known[position, wanted] = True
        made, before = found.throughput, self.throughput[wanted]
        more = made > before * (1.0 + TIE)
        alike = (made > 0) & ~more & (made >= before * (1.0 - TIE))
        sequences = found.batch * found.replicas
        held = self.batch[wanted] * self.replicas[wanted]
        earlier = (sequences == held) & (position < self._owner[wanted])
        better = more | (alike & ((sequences < held) | earlier))
        mine = wanted[better]
        self.throughput[mine], self.batch[mine] = made[better], found.batch[better]
        self.replicas[mine], self._owner[mine] = found.replicas[better], position

    def best(self) -> list[tuple[int, Whole]]:
        """Return configurations and the limits under which each is best."""
        owners = np.unique(self._owner[self._owner >= 0]).tolist()
        return [(owner, np.nonzero(self._owner == owner)[0]) for owner in owners]
