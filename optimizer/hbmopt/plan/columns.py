"""The columns of a rack: operating points as they enter a program.

A *group* is a configuration at a batch: so many whole replicas of it run. Its columns are the ways
in which a replica may run there, the corners of its hull of power and rate, as far as the speed
floor and the accelerators' own limit let them: what runs between two corners is a mix of both.

Before the batch is decided a group stands for a range of batches. It then makes what its last batch
would (with the HBM that its first one leaves) on the power that its first one needs for the floor:
no batch of the range does better, so a program over groups bounds what any plan makes, and over
groups of single batches it is exact.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hbmopt.demand import Array, Configuration, Demand, rack_data
from hbmopt.instance import Instance
from hbmopt.models.columns import GroupData
from hbmopt.models.quantities import number
from hbmopt.points import BatchRates, OperatingPoints, Whole, all_points
from hbmopt.program import ClockRun

Key = tuple[tuple[int, int], float, float]
"""What tells groups of a rack apart: the configuration's place and the ends of its batches."""

FIRST_RATIO = 1.06
"""Ratio of the ends of the ranges of batches that a configuration starts with."""

MOST_FIRST = 120
"""Ends of the ranges of batches that a configuration starts with at most."""

PARTS = 100
"""Ends of the parts into which a range is divided at a time where a batch is sought in it."""

HOPE = 0.02
"""Share of the highest value by which another range may promise less and is divided with it."""

SPLIT = 8
"""Parts of a range that is divided."""

ALIKE = 1e-9
"""Relative difference up to which two corners are one."""


@dataclass(frozen=True)
class Group:
    """A configuration at a batch, or over a range of batches.

    `tokens` in tok/s, `power` in kW in the rack's scope and `rate` in steps per ms are those of one
    replica, by column; `parked_kw` is what a replica draws more by not being parked. `budgets` are
    what a replica uses of each as shares of its capacity: anyway, and by column.
    """

    configuration: Configuration
    demand: Demand
    place: tuple[int, int]
    lowest: float
    highest: float
    most: int
    parked_kw: float
    tokens: tuple[float, ...]
    power: tuple[float, ...]
    rate: tuple[float, ...]
    budgets: tuple[tuple[float, tuple[float, ...]], ...]
    batches: tuple[float, ...] = ()
    """Of each column, where they differ."""

    @property
    def key(self) -> Key:
        """What tells it from others of its rack."""
        return self.place, self.lowest, self.highest

    @property
    def exact(self) -> bool:
        """Whether it is of one batch."""
        return self.lowest == self.highest

    @property
    def data(self) -> GroupData:
        """The numbers of a group of one batch, as `models` declares it."""
        return GroupData(
            _label(self.configuration, self.lowest),
            float(self.most),
            float(self.configuration.layout.accelerators),
            float(self.configuration.lpu_units),
            self.parked_kw,
            self.tokens,
            self.power,
            self.budgets,
        )


@dataclass(frozen=True)
class Ranges:
    """Ranges of batches of configurations of one shape; corners have the axes (corner, range)."""

    owners: Whole
    lowest: Array
    highest: Array
    tokens: Array
    power: Array
    rate: Array
    steps: tuple[Array, ...]

    def joined(self, other: "Ranges") -> "Ranges":
        """Return these ranges and others; of hulls with fewer corners the last one repeats."""
        height = max(len(self.power), len(other.power))

        def filled(corners: Array) -> Array:
            missing = height - len(corners)
            return np.concatenate([corners, np.repeat(corners[-1:], missing, axis=0)])

        return Ranges(
            np.concatenate([self.owners, other.owners]),
            np.concatenate([self.lowest, other.lowest]),
            np.concatenate([self.highest, other.highest]),
            np.concatenate([filled(self.tokens), filled(other.tokens)], axis=1),
            np.concatenate([filled(self.power), filled(other.power)], axis=1),
            np.concatenate([filled(self.rate), filled(other.rate)], axis=1),
            tuple(map(_joined, self.steps, other.steps)),
        )

    def take(self, index: Whole) -> "Ranges":
        """Return some of the ranges."""
        return Ranges(
            self.owners[index],
            self.lowest[index],
            self.highest[index],
            self.tokens[:, index],
            self.power[:, index],
            self.rate[:, index],
            tuple(one[index] for one in self.steps),
        )


@dataclass(frozen=True)
class Worth:
    """What a program pays for what a rack does: one more tok/s, kW, accelerator, LPU, budget."""

    token: float
    kilowatt: float
    accelerator: float
    lpu: float
    budgets: tuple[float, ...]


class RackColumns:
    """All columns that a rack may have."""

    def __init__(self, instance: Instance) -> None:
        self.instance, self.rack = instance, rack_data(instance)
        found = all_points(instance)
        self.configurations, self.rejections = found.configurations, found.rejections
        self._shapes = found.groups
        self.lpus = number(self.rack.lpu_units) > 0.0
        self._whole = instance.choices.whole_sequences
        self._floor = float(instance.limits.min_speed) * (1.0 - ALIKE**1.3)
        self.fixed_kw = float(found.groups[0].rows.fixed_kw[0]) if found.groups else 0.0
        self.fixed_budgets = tuple(
            number(one.fixed) / number(one.capacity) for one in self.rack.budgets
        )
        self.first = [self._first(shape) for shape in found.groups]

    def _first(self, shape: OperatingPoints) -> Ranges:
        """Return the ranges that the configurations of a shape start with."""
        owners, lowest, highest = list[int](), list[float](), list[float]()
        for owner in range(len(shape.configurations)):
            ends = self._ends(shape, owner)
            if not self._floor and not shape.rows.parts:
                # Without a floor, and with no weights in the way, the largest batch is best.
                ends = ends[-1:]
            pairs = pairwise(ends) if len(ends) > 1 else [(ends[0], ends[0])]
            for low, high in pairs:
                owners.append(owner)
                lowest.append(low)
                highest.append(high)
        return self._ranges(shape, np.array(owners), np.array(lowest), np.array(highest))

    def _ends(self, shape: OperatingPoints, owner: int) -> list[float]:
        first, last = float(shape.first[owner]), float(shape.last[owner])
        if not self._whole:
            first, last = float(shape.lowest[owner]), float(shape.highest[owner])
        count = int(math.log(max(last / first, 1.0)) / math.log(FIRST_RATIO)) + 2
        ends = np.geomspace(first, last, min(count, MOST_FIRST))
        ends[0], ends[-1] = first, last
        listed: list[float] = np.unique(np.round(ends) if self._whole else ends).tolist()
        return listed

    def _ranges(
        self, shape: OperatingPoints, owners: Whole, lowest: Array, highest: Array
    ) -> Ranges:
        """Return ranges with their corners; those that cannot meet the floor left out."""
        here = BatchRates(shape, owners, lowest)
        needed = self._floor / shape.gained[owners]
        meeting = np.nonzero((here.rate > 0) & (here.heat_rates >= needed))[0]
        owners, lowest, highest = owners[meeting], lowest[meeting], highest[meeting]
        needed, here = needed[meeting], here.take(meeting)
        then = here
        if (highest > lowest).any():
            then = BatchRates(shape, owners, highest, lowest if shape.rows.parts else None)
        least = here.thriftiest(needed) if self._floor else np.zeros_like(needed)
        power, rate = then.clipped(least)
        per_second = shape.gained[owners] * highest
        return Ranges(owners, lowest, highest, rate * per_second, power, rate, then.shared_steps())

    def worth(self, ranges: Ranges, shape: int, worth: Worth) -> Array:
        """Return what one replica of each range is worth at its best."""
        points = self._shapes[shape]
        owners = ranges.owners
        value = worth.token * ranges.tokens + worth.kilowatt * ranges.power
        for price, step in zip(worth.budgets, ranges.steps, strict=True):
            value = value - price * ranges.rate * step
        best = value.max(axis=0) + worth.kilowatt * points.rows.parked_kw[owners]
        sizes, lpus = self.devices(ranges, shape)
        best = best - worth.accelerator * sizes - worth.lpu * lpus
        for price, each in zip(worth.budgets, points.shared_each, strict=True):
            best = best - price * each[owners]
        return np.asarray(best)

    def devices(self, ranges: Ranges, shape: int) -> tuple[Array, Array]:
        """Return the accelerators and LPUs of a replica of each range."""
        owners, configurations = ranges.owners, self._shapes[shape].configurations
        sizes = np.array([float(one.layout.accelerators) for one in configurations])
        lpus = np.array([float(one.lpu_units) for one in configurations])
        return sizes[owners], lpus[owners]

    def most(self, ranges: Ranges, shape: int) -> Array:
        """Return the replicas of one rack that each range may have."""
        return np.asarray(self._shapes[shape].most[ranges.owners], dtype=float)

    def bundles(self, shape: int, ranges: Ranges, cuts: set[tuple[int, float]]) -> list[Group]:
        """Return ranges with neighbours of one configuration taken together, but for some batches.

        What runs in a bundle may be a mix of its batches: it makes no less than any of them.
        `cuts` are owners and batches that stand alone.
        """
        found, members = list[Group](), list[int]()
        beside = 1.0 if self._whole else 0.0
        for place in np.lexsort((ranges.highest, ranges.lowest, ranges.owners)).tolist():
            owner, low = int(ranges.owners[place]), float(ranges.lowest[place])
            single = low == float(ranges.highest[place]) and (owner, low) in cuts
            last = members[-1] if members else place
            apart = int(ranges.owners[last]) != owner
            apart |= low > float(ranges.highest[last]) + beside
            if members and (single or apart or (owner, float(ranges.lowest[last])) in cuts):
                found.append(self._bundle(shape, ranges, members))
                members = []
            members.append(place)
        if members:
            found.append(self._bundle(shape, ranges, members))
        return found

    def _bundle(self, shape: int, ranges: Ranges, members: Sequence[int]) -> Group:
        """Return ranges of one configuration as one group, with the ways of all of them."""
        (first,) = self.groups(ranges.take(np.array(members[:1])), shape)
        if len(members) == 1:
            return first
        part = ranges.take(np.array(members))
        place, corner = _best_ways(part) if _by_the_token(part) else _undominated(part)
        rate = part.rate[corner, place]
        return replace(
            first,
            lowest=float(part.lowest.min()),
            highest=float(part.highest.max()),
            tokens=tuple(part.tokens[corner, place].tolist()),
            power=tuple(part.power[corner, place].tolist()),
            rate=tuple(rate.tolist()),
            batches=tuple(part.highest[place].tolist()),
            budgets=tuple(
                (each, tuple((rate * part.steps[budget][place]).tolist()))
                for budget, (each, _) in enumerate(first.budgets)
            ),
        )

    def single(self, shape: int, owner: int, batch: float) -> Ranges:
        """Return one batch of a configuration."""
        at = np.array([batch])
        return self._ranges(self._shapes[shape], np.array([owner]), at, at)

    def around(self, shape: int, ranges: Ranges, batch: float) -> Ranges:
        """Return what is left of ranges when a batch is cut out of them."""
        beside = 1.0 if self._whole else 0.0
        owners, lowest, highest = list[int](), list[float](), list[float]()
        ends = zip(ranges.lowest.tolist(), ranges.highest.tolist(), strict=True)
        for owner, (low, high) in zip(ranges.owners.tolist(), ends, strict=True):
            for first, last in ((low, batch - beside), (batch + beside, high)):
                if first <= last and (first, last) != (batch, batch):
                    owners.append(owner)
                    lowest.append(first)
                    highest.append(last)
        return self._ranges(
            self._shapes[shape],
            np.array(owners, dtype=np.int64),
            np.array(lowest),
            np.array(highest),
        )

    def groups(self, ranges: Ranges, shape: int) -> list[Group]:
        """Return ranges as groups."""
        points, found = self._shapes[shape], []
        each = [one.tolist() for one in points.shared_each]
        for place, owner in enumerate(ranges.owners.tolist()):
            power, rate, tokens = _corners(
                ranges.power[:, place], ranges.rate[:, place], ranges.tokens[:, place]
            )
            budgets = tuple(
                (each[budget][owner], tuple(one * float(step[place]) for one in rate))
                for budget, step in enumerate(ranges.steps)
            )
            found.append(
                Group(
                    points.configurations[owner],
                    points.demand(owner),
                    (shape, owner),
                    float(ranges.lowest[place]),
                    float(ranges.highest[place]),
                    int(points.most[owner]),
                    float(points.rows.parked_kw[owner]),
                    tokens,
                    power,
                    rate,
                    budgets,
                )
            )
        return found

    def between(self, group: Group, ends: Sequence[tuple[float, float]]) -> list[Group]:
        """Return groups of the same configuration over other ranges of batches."""
        shape, owner = group.place
        lowest, highest = (np.array([one[end] for one in ends]) for end in (0, 1))
        owners = np.full(len(ends), owner)
        ranges = self._ranges(self._shapes[shape], owners, lowest, highest)
        return self.groups(ranges, shape)

    def running(self, group: Group, rate: float) -> tuple[tuple[ClockRun, ...], float, bool]:
        """Return clocks of a group that make a mean rate, the rate of the full clock, and heat.

        That is whether the accelerators' own limit slows the full clock down.
        """
        shape, owner = group.place
        rates = self._shapes[shape].at(owner, np.array([group.lowest]))
        return rates.parts(0, rate), float(rates.rate[0]), float(rates.heat[0]) > 1.0

    def efficient(self) -> tuple[list[Group], float]:
        """Return the groups of single batches that are best at some price of power, and a gap.

        Racks count as full. The gap is the most throughput that mixes of these groups miss on any
        power between theirs, as a share of it.
        """
        found: dict[Key, Group] = {}
        corners = list[Corner]()
        per_kw = max((most_per_kw(one.tokens, one.power) for one in self.first), default=0.0)
        prices = [0.0, DEAREST * per_kw]
        missed = 0.0
        for _ in range(MOST_EFFICIENT):
            for price in prices:
                best = self._best_at(price)
                if best is not None:
                    group, way = best
                    found[group.key] = group
                    power = group.most * (group.power[way] + group.parked_kw)
                    corners.append((power, group.most * group.tokens[way], price))
            missed, price = _most_missed(corners)
            if missed <= FINE:
                break
            prices = [price]
        return list(found.values()), missed

    def _best_at(self, price: float) -> tuple[Group, int] | None:
        """Return the best group at a price of power in tok/s per kW, and its best way to run."""
        worth = Worth(1.0, -price, 0.0, 0.0, (0.0,) * len(self.fixed_budgets))
        while True:
            best: tuple[float, int, int] | None = None
            values = [
                self.worth(one, shape, worth) * self.most(one, shape)
                for shape, one in enumerate(self.first)
            ]
            for shape, (value, one) in enumerate(zip(values, self.first, strict=True)):
                single = np.where(one.lowest == one.highest, value, -np.inf)
                place = int(np.argmax(single)) if len(single) else -1
                if place >= 0 and single[place] > (best[0] if best is not None else -np.inf):
                    best = float(single[place]), shape, place
            reached = best[0] if best is not None else -np.inf
            wide = [one.lowest < one.highest for one in self.first]
            promised = zip(values, wide, strict=True)
            highest = max(float(one[open_].max(initial=-np.inf)) for one, open_ in promised)
            if highest > reached + ALIKE * abs(highest):
                # Those that promise most first: they may be enough.
                least = max(reached, highest - HOPE * abs(highest))
                for shape, (value, one) in enumerate(zip(values, self.first, strict=True)):
                    above = wide[shape] & (value > least)
                    parts = self.parted(shape, one.take(np.nonzero(above)[0]))
                    self.first[shape] = one.take(np.nonzero(~above)[0]).joined(parts)
                continue
            if best is None:
                return None
            _, shape, place = best
            (group,) = self.groups(self.first[shape].take(np.array([place])), shape)
            pairs = list(zip(group.tokens, group.power, strict=True))
            way = max(range(len(pairs)), key=lambda one: pairs[one][0] - price * pairs[one][1])
            return group, way

    def parted(self, shape: int, ranges: Ranges) -> Ranges:
        """Return ranges divided into equal parts, down to single batches."""
        count = np.where(ranges.highest > ranges.lowest, SPLIT, 1)
        if self._whole:
            count = np.minimum(count, ranges.highest - ranges.lowest + 1.0).astype(np.int64)
        else:
            near = ranges.highest <= ranges.lowest * (1.0 + ALIKE)
            count = np.where(near, 1, count)
        place = np.repeat(np.arange(len(count)), count)
        part = np.arange(len(place)) - np.repeat(np.cumsum(count) - count, count)
        low, high = ranges.lowest[place], ranges.highest[place]
        if self._whole:
            length = (high - low + 1.0) / count[place]
            first = low + np.floor(part * length)
            last = low + np.floor((part + 1.0) * length) - 1.0
        else:
            length = (high - low) / count[place]
            last = low + (part + 1.0) * length
            # A range that is as good as one batch ends there.
            first = np.where(count[place] == 1, last, low + part * length)
        return self._ranges(self._shapes[shape], ranges.owners[place], first, last)

    def best_batch(self, group: Group, power: float) -> float:
        """Return the largest batch of a range that meets the floor on so much power, or its first.

        Throughput on some power grows with the batch.
        """
        shape, owner = group.place
        points, low, high = self._shapes[shape], group.lowest, group.highest
        needed = self._floor / float(points.gained[owner])

        def meeting(batches: Array) -> int:
            """Return how many of growing batches meet the floor."""
            rates = points.at(owner, batches)
            fast = rates.heat_rates >= needed
            fast &= rates.thriftiest(np.full_like(batches, needed)) <= power * (1.0 + ALIKE)
            return int(fast.sum())

        if not self._floor:
            return high
        while high - low > (0.0 if self._whole else 1e-9 * high):
            batches = np.linspace(low, high, PARTS)[1:]
            if self._whole:
                batches = np.unique(np.clip(np.round(batches), low + 1.0, high))
            count = meeting(batches)
            ends = [low, *batches.tolist()]
            if count == len(batches):
                return high
            low, high = ends[count], ends[count + 1] - (1.0 if self._whole else 0.0)
        return low


def _all_ways(ranges: Ranges) -> tuple[Whole, Whole]:
    """Return range and corner of every way."""
    places = np.arange(ranges.power.shape[1])
    corner, place = np.meshgrid(np.arange(len(ranges.power)), places, indexing="ij")
    return place.ravel(), corner.ravel()


def _by_the_token(ranges: Ranges) -> bool:
    """Whether ranges of one configuration use budgets by the token alone.

    Then what makes more uses more: of what makes as much only the power differs.
    """
    shares = [step / ranges.highest for step in ranges.steps]
    return all(float(np.ptp(share)) <= ALIKE * float(share.max()) for share in shares)


def _undominated(ranges: Ranges) -> tuple[Whole, Whole]:
    """Return range and corner of the ways that no other beats, or equals, in all that counts.

    That is tokens, power and what a way uses of each budget.
    """
    place, corner = _all_ways(ranges)
    tokens, rate = ranges.tokens[corner, place], ranges.rate[corner, place]
    taken = [ranges.power[corner, place], *(rate * step[place] for step in ranges.steps)]
    order = np.lexsort((*taken, -tokens))
    taken_by, kept = np.array(taken).T[order], list[int]()
    for position, own in enumerate(taken_by):
        if not (taken_by[kept] <= own).all(axis=1).any():
            kept.append(position)
    chosen = np.sort(order[kept])
    return place[chosen], corner[chosen]


def _best_ways(ranges: Ranges) -> tuple[Whole, Whole]:
    """Return range and corner of the ways that no mix of others beats on their power."""
    place, corner = _all_ways(ranges)
    power, tokens = ranges.power[corner, place], ranges.tokens[corner, place]
    order = np.lexsort((-tokens, power))
    more = np.ones(len(order), dtype=bool)
    more[1:] = tokens[order][1:] > np.maximum.accumulate(tokens[order])[:-1]
    kept = order[more]
    while True:
        # What lies below a chord of its neighbours, whatever becomes of these, is no corner.
        run, rise = np.diff(power[kept]), np.diff(tokens[kept])
        above = np.ones(len(kept), dtype=bool)
        above[1:-1] = rise[:-1] * run[1:] > rise[1:] * run[:-1]
        if above.all():
            break
        kept = kept[above]
    return place[kept], corner[kept]


Corner = tuple[float, float, float]
"""Power and throughput of a full rack, and the price of power at which they are best."""

DEAREST = 0.98
"""The highest price of power at which columns are sought, as a share of the most tokens per kW."""

FINE = 5e-3
"""Share of throughput that columns may miss before more are sought."""

MOST_EFFICIENT = 12
"""Prices of power at which columns are sought at most, besides the ends."""


def most_per_kw(tokens: Array, power: Array) -> float:
    """Return the most tok/s per kW of any way to run."""
    drawn = np.where(power > 0, power, np.inf)
    return float((tokens / drawn).max(initial=0.0))


def _most_missed(corners: Sequence[Corner]) -> tuple[float, float]:
    """Return the most that a chord between corners misses of what prices leave open, as a share.

    And the slope of that chord: a price at which there may be more.
    """
    missed, slope = 0.0, 0.0
    for (low, less, steep), (high, more, flat) in pairwise(sorted(set(corners))):
        if high - low <= ALIKE * high or steep - flat <= 0:
            continue
        # Where the lines of both prices meet is what any plan may reach at most.
        power = min(max((more - less + steep * low - flat * high) / (steep - flat), low), high)
        reached = less + (more - less) * (power - low) / (high - low)
        most = min(less + steep * (power - low), more - flat * (high - power))
        if reached > 0 and most / reached - 1.0 > missed:
            missed, slope = most / reached - 1.0, (more - less) / (high - low)
    return missed, slope


def _label(configuration: Configuration, batch: float) -> str:
    """Return a name for a group that files of programs take: the layout and its batch."""
    words = "".join(one if one.isalnum() or one == "." else " " for one in str(configuration))
    return "_".join([*words.split(), "batch", f"{batch:.12g}"])


def _joined(one: Array, other: Array) -> Array:
    return np.concatenate([one, other])


def _corners(
    power: Array, rate: Array, tokens: Array
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Return corners without those that repeat, the fastest first."""
    kept = [len(power) - 1]
    for place in range(len(power) - 2, -1, -1):
        last = kept[-1]
        moved = abs(power[last] - power[place]) > ALIKE * abs(power[last])
        if moved or abs(rate[last] - rate[place]) > ALIKE * abs(rate[last]):
            kept.append(place)
    return (
        tuple(float(power[one]) for one in kept),
        tuple(float(rate[one]) for one in kept),
        tuple(float(tokens[one]) for one in kept),
    )
