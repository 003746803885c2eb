"""Ranges of batches, looked into and split as far as something better may lie in them.

A range of batches lies in the box below the throughput of its last and left of the speed of its
first (see `operating_points`), for every number of replicas. A first box is drawn at a glance: at
the rate of the full clock on the energy of the thriftiest. What power and budgets leave is
evaluated where that box is not low enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import Array
from hbmopt.points.clock_mix import Whole
from hbmopt.points.operating_points import BatchRates, OperatingPoints

NOT_BETTER = 1e-9
"""Relative margin by which a box has to exceed what is known to be looked into."""

TIE = 1e-9
"""Relative difference up to which two points make as much, or are as fast."""

FIRST_RATIO = 1.6
"""Ratio of neighbouring batches of the first look at a configuration."""

ALL_BETWEEN = 48
"""Batches of a range from which on all of them are evaluated."""

SPLIT = 8
"""Parts into which a longer range is split."""


@dataclass(frozen=True)
class Points:
    """Operating points in parallel arrays: `floor` in tok/s per user, `throughput` in tok/s.

    `owner` says which configuration a point is of, `value` how good it is: more is better.
    """

    owner: Whole
    batch: Array
    replicas: Whole
    floor: Array
    throughput: Array
    value: Array

    def best_order(self) -> Whole:
        """Return which points no other beats in floor and value, the highest floor first."""
        order = np.lexsort((-self.value, -self.floor))
        reached = np.maximum.accumulate(self.value[order])
        better = np.ones(len(order), dtype=bool)
        better[1:] = self.value[order][1:] > reached[:-1]
        return np.asarray(order[better])

    def take(self, index: Whole | NDArray[np.bool_]) -> "Points":
        """Return some of the points."""
        return Points(*(getattr(self, one.name)[index] for one in fields(self)))


NOTHING = Points(
    np.zeros(0, dtype=np.int64),
    np.zeros(0),
    np.zeros(0, dtype=np.int64),
    np.zeros(0),
    np.zeros(0),
    np.zeros(0),
)


def joined(parts: Sequence[Points]) -> Points:
    """Return points one after the other."""
    return Points(
        *(
            np.concatenate([getattr(one, part.name) for one in (NOTHING, *parts)])
            for part in fields(Points)
        )
    )


@dataclass(frozen=True)
class Gaps:
    """Ranges between two batches with their boxes: by number of replicas and range."""

    owner: Whole
    left: Array
    right: Array
    floor: Array
    made: Array
    exact: NDArray[np.bool_]

    def take(self, index: Whole | NDArray[np.bool_]) -> "Gaps":
        """Return some of the ranges."""
        return Gaps(*(getattr(self, one.name)[..., index] for one in fields(self)))

    def joined(self, other: "Gaps") -> "Gaps":
        """Return these and others."""
        return Gaps(
            *(
                np.concatenate([getattr(self, one.name), getattr(other, one.name)], axis=-1)
                for one in fields(self)
            )
        )


@dataclass(frozen=True)
class Reached:
    """What is reached at every floor: floors fall, and throughput rises.

    A box that reaches higher by no more than the share `within` is not above it.
    """

    floors: Array
    reached: Array
    within: float

    def above(self, gaps: Gaps) -> NDArray[np.bool_]:
        """Return the boxes that reach above."""
        if not len(self.floors):
            return gaps.made > 0.0
        place = np.searchsorted(-self.floors, -gaps.floor, side="right") - 1
        known = np.where(place >= 0, self.reached[np.maximum(place, 0)], 0.0)
        return np.asarray(gaps.made > known * (1.0 + max(self.within, NOT_BETTER)))


@dataclass(frozen=True)
class BestKnown:
    """The best value that is reached and the highest floor of it, by question or by range."""

    value: Array
    floor: Array

    def take(self, index: Whole) -> "BestKnown":
        """Return that of some of the questions."""
        return BestKnown(self.value[index], self.floor[index])

    def above(self, gaps: Gaps) -> NDArray[np.bool_]:
        """Return the boxes in which there may be more, or as much at no lower floor."""
        more = gaps.made > self.value * (1.0 + NOT_BETTER)
        alike = gaps.made >= self.value * (1.0 - TIE)
        return np.asarray(more | (alike & (gaps.floor >= self.floor * (1.0 - TIE))))


class BatchRanges:
    """The batches that have been looked at, of configurations of one shape."""

    any_number = False
    """Whether any number of replicas may be best where nothing limits how many run."""

    def __init__(
        self,
        source: OperatingPoints,
        questions: Whole,
        caps: Array,
        floors: Array,
        *,
        whole: bool,
    ) -> None:
        self.source, self.questions, self._whole = source, questions, whole
        self._caps, self._floors = caps, floors
        self.evaluated = 0
        limited = bool(np.isfinite(caps).any()) or source.shares
        self._every_number = limited or self.any_number
        self._known = [NOTHING]
        counts = int(source.most.max()) if self._every_number else 1
        """What is limited may be shared by any number of replicas, else by the most there are."""
        self._counts = np.arange(1, counts + 1)[:, None]
        first, last = (source.first, source.last) if whole else (source.lowest, source.highest)
        self._gaps = self._between(*_first_look(first, np.maximum(first, last), whole=whole))

    @property
    def points(self) -> Points:
        """The points that are known, at or above the lowest floor."""
        if len(self._known) > 1:
            self._known = [joined(self._known)]
        return self._known[0]

    def _replicas(self, owners: Whole) -> Whole:
        """Return the numbers of replicas that are looked at, by number and point."""
        return self._counts if self._every_number else self.source.most[owners][None, :]

    def _between(self, owners: Whole, left: Array, right: Array) -> Gaps:
        """Return ranges with what is seen at a glance."""
        source = self.source
        here = BatchRates(source, owners, left)
        then = BatchRates(source, owners, right, left if source.rows.parts else None)
        self.evaluated += 2 * len(owners)
        most, counts = source.most[owners], self._replicas(owners)
        power = source.power_kw(self._caps[owners], counts, owners)
        power = np.where(counts <= most, power, np.inf)
        floor, made = (one.rates_at_most(power) * one.gained for one in (here, then))
        return Gaps(
            owners,
            left,
            right,
            np.where(counts <= most, floor, 0.0),
            np.where(counts <= most, counts * right * made, 0.0),
            np.zeros(len(owners), dtype=bool),
        )

    def _speeds(self, operation: BatchRates) -> Array:
        """Return the tok/s per user of numbers of replicas, 0 for numbers that there are not."""
        most, counts = self.source.most[operation.owners], self._replicas(operation.owners)
        rates = np.maximum(operation.under(counts, self._caps[operation.owners]), 0.0)
        return np.asarray(np.where(counts <= most, rates, 0.0) * operation.gained)

    def _evaluate(self, owners: Whole, batches: Array) -> Array:
        """Return the tok/s per user at some batches, and keep what they make as points."""
        self.evaluated += len(owners)
        speeds = self._speeds(BatchRates(self.source, owners, batches))
        counts = self._replicas(owners)
        runs = np.asarray((speeds > 0) & (speeds >= self._floors[owners]))
        owner, replicas = (np.broadcast_to(one, speeds.shape)[runs] for one in (owners, counts))
        many = np.broadcast_to(batches, speeds.shape)[runs]
        made = replicas * many * speeds[runs]
        points = Points(owner, many, replicas, speeds[runs], made, made)
        self._known.append(best_of_each(points))
        return speeds

    def tied(self, best: "BestKnown") -> tuple[Whole, NDArray[np.bool_]]:
        """Return the question of each point, and whether it is as good as the best of it."""
        question = self.questions[self.points.owner]
        alike = self.points.value >= best.value[question] * (1.0 - TIE)
        return question, alike & (self.points.floor >= best.floor[question] * (1.0 - TIE))

    def best_of_each(self) -> tuple[Array, Array]:
        """Return the best value of each configuration, and its sequences."""
        points = self.points
        order = np.lexsort((points.floor, points.value))
        made, batch = np.zeros((2, len(self.source.configurations)))
        made[points.owner[order]] = points.value[order]
        batch[points.owner[order]] = points.batch[order] * points.replicas[order]
        return made, batch

    def refine(self, wanted: "Reached | BestKnown") -> int:
        """Look into the ranges whose box is wanted; return how many these were."""
        gaps = self._gaps
        if isinstance(wanted, BestKnown):
            wanted = wanted.take(self.questions[gaps.owner])
        above = wanted.above(gaps) & (gaps.floor >= self._floors[gaps.owner]) & (gaps.floor > 0)
        # What is not above now never will be.
        kept = np.asarray(above.any(axis=0))
        gaps, above = gaps.take(kept), above[:, kept]
        self._gaps = gaps
        if not len(gaps.left):
            return 0
        left_over = gaps.take(np.zeros(0, dtype=np.int64))
        asked = self.questions[gaps.owner] if isinstance(wanted, BestKnown) else None
        if asked is not None or self.source.rows.parts:
            # First those that promise most, which may be enough.
            promising = _promising(gaps, above, asked)
            left_over, gaps = gaps.take(~promising), gaps.take(promising)
        found = left_over.joined(self._looked(gaps.take(~gaps.exact)))
        known_ones = gaps.take(gaps.exact)
        place, left, right = _split(known_ones.left, known_ones.right, whole=self._whole)
        owners = known_ones.owner[place]
        if len(owners):
            found = found.joined(self._between(owners, left, right))
        self._gaps = found
        return len(gaps.left)

    def _looked(self, gaps: Gaps) -> Gaps:
        """Return ranges with their boxes as power and budgets leave them; keep their ends."""
        if not len(gaps.left):
            return gaps
        source, ends = self.source, np.concatenate([gaps.left, gaps.right])
        owners, batches, place = _once(np.concatenate([gaps.owner, gaps.owner]), ends)
        speeds = self._evaluate(owners, batches)
        left, right = np.split(place, 2)
        then = speeds[:, right]
        if source.rows.parts:
            then = self._speeds(BatchRates(source, gaps.owner, gaps.right, gaps.left))
        counts = self._replicas(gaps.owner)
        return replace(
            gaps,
            floor=speeds[:, left],
            made=counts * gaps.right * then,
            exact=np.ones(len(gaps.left), dtype=bool),
        )

    def drawn_kw(self, points: Points, first: int) -> Array:
        """Return the least kW that the rack draws at points, whose owners count from `first`."""
        owners = points.owner - first
        operation = BatchRates(self.source, owners, points.batch)
        each = operation.thriftiest(points.floor / operation.gained)
        return self.source.rack_kw(each, points.replicas, owners)


NEAR = 0.97
"""Share of the highest box at a floor from which another one is looked into with it."""


def _promising(gaps: Gaps, above: NDArray[np.bool_], questions: Whole | None) -> NDArray[np.bool_]:
    """Return the ranges whose box is the highest, or nearly so: of its question or at its floor."""
    made = np.where(above, gaps.made, 0.0)
    if questions is not None:
        own, highest = made.max(axis=0), np.zeros(1 + questions.max())
        np.maximum.at(highest, questions, own)
        return np.asarray(own >= NEAR * highest[questions])
    order = np.argsort(-gaps.floor, axis=None, kind="stable")
    highest = np.empty(made.size)
    highest[order] = np.maximum.accumulate(made.ravel()[order])
    near = made.ravel() >= NEAR * highest
    return np.asarray((near & above.ravel()).reshape(made.shape).any(axis=0))


def _first_look(first: Array, last: Array, *, whole: bool) -> tuple[Whole, Array, Array]:
    """Return ranges at about one ratio between the first and the last batch of configurations."""
    counts = (np.log(last / first) / np.log(FIRST_RATIO)).astype(np.int64) + 2
    owners = np.repeat(np.arange(len(first)), counts)
    place = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    batch: Array = first[owners] * (last / first)[owners] ** (place / (counts - 1)[owners])
    batch = np.where(place == (counts - 1)[owners], last[owners], batch)
    if whole:
        batch = np.round(batch)
    # Of a configuration with one batch the range is that batch.
    same = (owners[1:] == owners[:-1]) & ((batch[1:] > batch[:-1]) | (last == first)[owners[1:]])
    return owners[1:][same], batch[:-1][same], batch[1:][same]


def _once(owners: Whole, batches: Array) -> tuple[Whole, Array, Whole]:
    """Return each pair of owner and batch once, and where each of the given pairs is among them."""
    order = np.lexsort((batches, owners))
    owners, batches = owners[order], batches[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (owners[1:] != owners[:-1]) | (batches[1:] != batches[:-1])
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.cumsum(new) - 1
    return owners[new], batches[new], place


def _split(left: Array, right: Array, *, whole: bool) -> tuple[Whole, Array, Array]:
    """Return the parts of ranges and which range each is one of; none of those that are done.

    Short ranges of whole batches are split into all of them, longer ones at about one ratio.
    """
    if whole:
        done, short = right - left <= 1.0, right - left <= ALL_BETWEEN
    else:
        done = right <= left * (1.0 + NOT_BETTER)
        short = np.zeros(len(left), dtype=bool)
    parts = np.where(done, 0, np.where(short, right - left, SPLIT)).astype(np.int64)
    owner = np.repeat(np.arange(len(left)), parts)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(parts) - parts, parts)
    first, last, steps = left[owner], right[owner], parts[owner]

    def batch(at: Whole) -> Array:
        share = at / steps
        if not whole:
            return np.asarray(first + (last - first) * share)
        return np.where(short[owner], first + at, np.round(first * (last / first) ** share))

    begins, ends = batch(place), batch(place + 1)
    held = ends > begins
    return owner[held], begins[held], ends[held]


def best_of_each(points: Points) -> Points:
    """Drop points that another of the same owner and batch beats in floor and value."""
    if not len(points.batch):
        return points
    order = np.lexsort((-points.value, -points.floor, points.batch, points.owner))
    ordered = points.take(order)
    changes = (np.diff(ordered.batch) != 0) | (np.diff(ordered.owner) != 0)
    group = np.concatenate([[0], np.cumsum(changes)])
    # A step between batches that no value bridges, so that the maximum starts anew.
    lifted = ordered.value + group * 2.0 * ordered.value.max()
    keep = np.ones(len(order), dtype=bool)
    keep[1:] = lifted[1:] > np.maximum.accumulate(lifted)[:-1]
    return ordered.take(keep)
