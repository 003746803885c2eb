"""The points of a frontier: the upper envelope of all operating points, exactly.

A range of batches lies in the box below the throughput of its last and left of the speed of its
first (see `operating_points`), for every number of replicas. Ranges are looked into and split only
where a box reaches above the envelope of the points that are known, so configurations and batches
that cannot win are dropped by their bound, and the points that remain are all there are.

A first box is drawn at a glance: at the rate of the full clock on the energy of the thriftiest.
What power and budgets leave is evaluated where that box is not low enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import Array, Configuration
from hbmopt.points.clock_mix import Whole
from hbmopt.points.operating_points import BatchRates, OperatingPoints
from hbmopt.points.serving_point import ServingPoint

NOT_BETTER = 1e-9
"""Relative margin by which a box has to exceed the envelope to be looked into."""

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

    `owner` says which configuration a point is of.
    """

    owner: Whole
    batch: Array
    replicas: Whole
    floor: Array
    throughput: Array

    def best_order(self) -> Whole:
        """Return which points no other beats in floor and throughput, the highest floor first."""
        order = np.lexsort((-self.throughput, -self.floor))
        reached = np.maximum.accumulate(self.throughput[order])
        better = np.ones(len(order), dtype=bool)
        better[1:] = self.throughput[order][1:] > reached[:-1]
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
class Outline:
    """The points of a frontier, the highest floor first, and whose they are.

    `power_kw` is the least that the rack draws at each point, in its own scope.
    """

    configurations: tuple[Configuration, ...]
    points: Points
    power_kw: Array
    groups: tuple[OperatingPoints, ...]

    def serving(self, position: int) -> ServingPoint:
        """Return one of the points with its clocks and shares of the weights."""
        point = self.points.take(np.array([position]))
        owner = int(point.owner[0])
        for group in self.groups:
            if owner < len(group.configurations):
                return served_by(group, replace(point, owner=np.array([owner])))
            owner -= len(group.configurations)
        raise AssertionError("a point is one of a configuration's")


def served_by(group: OperatingPoints, points: Points) -> ServingPoint:
    """Return the first of points of a group with its clocks and shares of the weights."""
    owner, batch = int(points.owner[0]), float(points.batch[0])
    rates = group.at(owner, points.batch)
    parts = rates.parts(0, float(points.floor[0]) / float(rates.gained[0]))
    replicas, gained = int(points.replicas[0]), float(rates.gained[0])
    return ServingPoint(group.configurations[owner], replicas, batch, parts, gained)


class Envelope:
    """Operating points of configurations, refined until none can be missing.

    `questions` say which question each configuration of each group belongs to: the only one, where
    they are left out. `cap` and `lowest_floor` are one for all questions, or one for each. With
    `only_best` the envelope of each question is known where it is highest, at or above the lowest
    floor; without, there is but one question.
    """

    def __init__(
        self,
        groups: Sequence[OperatingPoints],
        cap: float | Array,
        lowest_floor: float | Array,
        *,
        questions: Sequence[Whole] | None = None,
        only_best: bool = False,
        whole: bool = True,
    ) -> None:
        of = questions or [np.zeros(len(one.configurations), dtype=np.int64) for one in groups]
        self._count = 1 + max((int(one.max()) for one in of), default=0)
        caps, floors = (np.broadcast_to(one, self._count) for one in (cap, lowest_floor))
        self._only_best = only_best
        self.ranges = [
            _Ranges(one, mine, caps[mine], floors[mine] * (1.0 - NOT_BETTER), whole=whole)
            for one, mine in zip(groups, of, strict=True)
        ]
        while True:
            wanted = self._wanted()
            if not sum(one.refine(wanted) for one in self.ranges):
                break

    @property
    def evaluated(self) -> int:
        """How many batches were looked at."""
        return sum(one.evaluated for one in self.ranges)

    def _points(self) -> Points:
        """Return the points that no other beats, the highest floor first."""
        first, parts = 0, []
        for one in self.ranges:
            parts.append(replace(one.points, owner=one.points.owner + first))
            first += len(one.source.configurations)
        points = joined(parts)
        return points.take(points.best_order())

    def _wanted(self) -> "_Envelope | _Best":
        """Return what a box has to exceed to be looked into."""
        if self._only_best:
            return self._best()
        points = self._points()
        return _Envelope(points.floor, points.throughput)

    def _best(self) -> "_Best":
        """Return the most that is reached by each question, and the highest floor of it."""
        most, fastest = np.zeros((2, self._count))
        for one in self.ranges:
            np.maximum.at(most, one.questions[one.points.owner], one.points.throughput)
        for one in self.ranges:
            question = one.questions[one.points.owner]
            alike = one.points.throughput >= most[question] * (1.0 - TIE)
            np.maximum.at(fastest, question[alike], one.points.floor[alike])
        return _Best(most, fastest)

    def best(self) -> ServingPoint | None:
        """Return the best point of the only question, as `best_of_questions` does."""
        (best,) = self.best_of_questions()
        return served_by(*best) if best is not None else None

    def best_of_questions(self) -> list[tuple[OperatingPoints, Points] | None]:
        """Return the best point of each question, None where nothing can be served.

        Of points that make as much the fastest, then that which draws least, then the one of
        fewest accelerators and LPUs, then that listed first.
        """
        found = dict[int, tuple[tuple[float, ...], _Ranges, Points]]()
        best, first = self._best(), 0
        rivals = np.zeros(self._count, dtype=np.int64)
        for one in self.ranges:
            question, alike = one.tied(best)
            np.add.at(rivals, question[alike], 1)
        for one in self.ranges:
            question, alike = one.tied(best)
            points, asked_by = one.points.take(alike), question[alike]
            power, tied = np.zeros(len(asked_by)), rivals[asked_by] > 1
            if tied.any():
                power[tied] = one.drawn_kw(points.take(tied), 0)
            for place, asked in enumerate(asked_by.tolist()):
                layout = one.source.configurations[points.owner[place]]
                count = int(points.replicas[place])
                key = (
                    float(f"{power[place]:.9g}"),
                    count * layout.layout.accelerators,
                    count * layout.lpu_units,
                    first + points.owner[place],
                    place,
                )
                if asked not in found or key < found[asked][0]:
                    found[asked] = key, one, points.take(np.array([place]))
            first += len(one.source.configurations)
        served = {asked: (one.source, point) for asked, (_, one, point) in found.items()}
        return [served.get(asked) for asked in range(self._count)]

    def best_of_each(self) -> list[tuple[Configuration, float, float]]:
        """Return every configuration with the most tok/s that it makes, and its sequences."""
        found = []
        for one in self.ranges:
            made, batch = one.best_of_each()
            each = zip(one.source.configurations, made.tolist(), batch.tolist(), strict=True)
            found += list(each)
        return found

    def result(self) -> Outline:
        """Return the points of the frontier, the fastest first, and whose they are."""
        points, first = self._points(), 0
        power = np.zeros(len(points.batch))
        configurations: list[Configuration] = []
        for one in self.ranges:
            configurations += one.source.configurations
            own = np.nonzero((points.owner >= first) & (points.owner < len(configurations)))[0]
            if len(own):
                power[own] = one.drawn_kw(points.take(own), first)
            first = len(configurations)
        groups = tuple(one.source for one in self.ranges)
        return Outline(tuple(configurations), points, power, groups)


@dataclass(frozen=True)
class _Gaps:
    """Ranges between two batches with their boxes: by number of replicas and range."""

    owner: Whole
    left: Array
    right: Array
    floor: Array
    made: Array
    exact: NDArray[np.bool_]

    def take(self, index: Whole | NDArray[np.bool_]) -> "_Gaps":
        """Return some of the ranges."""
        return _Gaps(*(getattr(self, one.name)[..., index] for one in fields(self)))

    def joined(self, other: "_Gaps") -> "_Gaps":
        """Return these and others."""
        return _Gaps(
            *(
                np.concatenate([getattr(self, one.name), getattr(other, one.name)], axis=-1)
                for one in fields(self)
            )
        )


@dataclass(frozen=True)
class _Envelope:
    """What is reached at every floor: floors fall, and throughput rises."""

    floors: Array
    reached: Array

    def above(self, gaps: _Gaps) -> NDArray[np.bool_]:
        """Return the boxes that reach above."""
        if not len(self.floors):
            return gaps.made > 0.0
        place = np.searchsorted(-self.floors, -gaps.floor, side="right") - 1
        known = np.where(place >= 0, self.reached[np.maximum(place, 0)], 0.0)
        return np.asarray(gaps.made > known * (1.0 + NOT_BETTER))


@dataclass(frozen=True)
class _Best:
    """The most throughput that is reached and the highest floor of it, by question or by range."""

    throughput: Array
    floor: Array

    def take(self, index: Whole) -> "_Best":
        """Return that of some of the questions."""
        return _Best(self.throughput[index], self.floor[index])

    def above(self, gaps: _Gaps) -> NDArray[np.bool_]:
        """Return the boxes in which there may be more, or as much at no lower floor."""
        more = gaps.made > self.throughput * (1.0 + NOT_BETTER)
        alike = gaps.made >= self.throughput * (1.0 - TIE)
        return np.asarray(more | (alike & (gaps.floor >= self.floor * (1.0 - TIE))))


class _Ranges:
    """The batches that have been looked at, of configurations of one shape."""

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
        self._limited = bool(np.isfinite(caps).any()) or source.shares
        self._known = [NOTHING]
        counts = int(source.most.max()) if self._limited else 1
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

    def _between(self, owners: Whole, left: Array, right: Array) -> _Gaps:
        """Return ranges with what is seen at a glance."""
        source = self.source
        here = BatchRates(source, owners, left)
        then = BatchRates(source, owners, right, left if source.rows.parts else None)
        self.evaluated += 2 * len(owners)
        most = source.most[owners]
        counts = self._counts if self._limited else most[None, :]
        power = source.power_kw(self._caps[owners], counts, owners)
        power = np.where(counts <= most, power, np.inf)
        floor, made = (one.rates_at_most(power) * one.gained for one in (here, then))
        return _Gaps(
            owners,
            left,
            right,
            np.where(counts <= most, floor, 0.0),
            np.where(counts <= most, counts * right * made, 0.0),
            np.zeros(len(owners), dtype=bool),
        )

    def _speeds(self, operation: BatchRates) -> Array:
        """Return the tok/s per user of numbers of replicas, 0 for numbers that there are not."""
        most = self.source.most[operation.owners]
        counts = self._counts if self._limited else most[None, :]
        rates = np.maximum(operation.under(counts, self._caps[operation.owners]), 0.0)
        return np.asarray(np.where(counts <= most, rates, 0.0) * operation.gained)

    def _evaluate(self, owners: Whole, batches: Array) -> Array:
        """Return the tok/s per user at some batches, and keep what they make as points."""
        self.evaluated += len(owners)
        speeds = self._speeds(BatchRates(self.source, owners, batches))
        counts = self._counts if self._limited else self.source.most[owners][None, :]
        runs = np.asarray((speeds > 0) & (speeds >= self._floors[owners]))
        owner, replicas = (np.broadcast_to(one, speeds.shape)[runs] for one in (owners, counts))
        many = np.broadcast_to(batches, speeds.shape)[runs]
        points = Points(owner, many, replicas, speeds[runs], replicas * many * speeds[runs])
        self._known.append(_best_of_each(points))
        return speeds

    def tied(self, best: "_Best") -> tuple[Whole, NDArray[np.bool_]]:
        """Return the question of each point, and whether it is as good as the best of it."""
        question = self.questions[self.points.owner]
        alike = self.points.throughput >= best.throughput[question] * (1.0 - TIE)
        return question, alike & (self.points.floor >= best.floor[question] * (1.0 - TIE))

    def best_of_each(self) -> tuple[Array, Array]:
        """Return the most tok/s of each configuration, and its sequences."""
        points = self.points
        order = np.lexsort((points.floor, points.throughput))
        made, batch = np.zeros((2, len(self.source.configurations)))
        made[points.owner[order]] = points.throughput[order]
        batch[points.owner[order]] = points.batch[order] * points.replicas[order]
        return made, batch

    def refine(self, wanted: "_Envelope | _Best") -> int:
        """Look into the ranges whose box is wanted; return how many these were."""
        gaps = self._gaps
        if isinstance(wanted, _Best):
            wanted = wanted.take(self.questions[gaps.owner])
        above = wanted.above(gaps) & (gaps.floor >= self._floors[gaps.owner]) & (gaps.floor > 0)
        # What is not above now never will be.
        kept = np.asarray(above.any(axis=0))
        gaps, above = gaps.take(kept), above[:, kept]
        self._gaps = gaps
        if not len(gaps.left):
            return 0
        left_over = gaps.take(np.zeros(0, dtype=np.int64))
        asked = self.questions[gaps.owner] if isinstance(wanted, _Best) else None
        if asked is not None or self.source.rows.parts:
            # First those that promise most, which may be enough.
            promising = _promising(gaps, above, asked)
            left_over, gaps = gaps.take(~promising), gaps.take(promising)
        found = left_over.joined(self._looked(gaps.take(~gaps.exact)))
        known_ones = gaps.take(gaps.exact)
        parts = [
            self._split(float(left), float(right))
            for left, right in zip(known_ones.left, known_ones.right, strict=True)
        ]
        owners, left, right = _neighbours(known_ones.owner, parts)
        if len(owners):
            found = found.joined(self._between(owners, left, right))
        self._gaps = found
        return len(gaps.left)

    def _looked(self, gaps: _Gaps) -> _Gaps:
        """Return ranges with their boxes as power and budgets leave them; keep their ends."""
        if not len(gaps.left):
            return gaps
        source, ends = self.source, np.concatenate([gaps.left, gaps.right])
        pairs, inverse = np.unique(
            np.array([np.concatenate([gaps.owner, gaps.owner]), ends]), axis=1, return_inverse=True
        )
        speeds = self._evaluate(pairs[0].astype(np.int64), pairs[1])
        left, right = np.split(inverse.ravel(), 2)
        then = speeds[:, right]
        if source.rows.parts:
            then = self._speeds(BatchRates(source, gaps.owner, gaps.right, gaps.left))
        counts = self._counts if self._limited else source.most[gaps.owner][None, :]
        return replace(
            gaps,
            floor=speeds[:, left],
            made=counts * gaps.right * then,
            exact=np.ones(len(gaps.left), dtype=bool),
        )

    def _split(self, left: float, right: float) -> Array:
        """Return the batches that split a range, its ends among them; none where it is done."""
        if not self._whole:
            if right <= left * (1.0 + NOT_BETTER):
                return np.zeros(0)
            return np.linspace(left, right, SPLIT + 1)
        if right - left <= 1.0:
            return np.zeros(0)
        if right - left <= ALL_BETWEEN:
            return np.arange(left, right + 1.0)
        return np.unique(np.round(np.geomspace(left, right, SPLIT + 1)))

    def drawn_kw(self, points: Points, first: int) -> Array:
        """Return the least kW that the rack draws at points, whose owners count from `first`."""
        owners = points.owner - first
        operation = BatchRates(self.source, owners, points.batch)
        each = operation.thriftiest(points.floor / operation.gained)
        return self.source.rack_kw(each, points.replicas, owners)


NEAR = 0.97
"""Share of the highest box at a floor from which another one is looked into with it."""


def _promising(gaps: _Gaps, above: NDArray[np.bool_], questions: Whole | None) -> NDArray[np.bool_]:
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


def _neighbours(owners: Whole, batches: Sequence[Array]) -> tuple[Whole, Array, Array]:
    """Return the ranges between neighbouring batches of configurations; of one batch, itself."""
    pairs = [(one, one) if len(one) == 1 else (one[:-1], one[1:]) for one in batches]
    counts = np.array([len(left) for left, _ in pairs], dtype=np.int64)
    lefts: list[Array] = [np.zeros(0), *(left for left, _ in pairs)]
    rights: list[Array] = [np.zeros(0), *(right for _, right in pairs)]
    return np.repeat(owners, counts), np.concatenate(lefts), np.concatenate(rights)


def _best_of_each(points: Points) -> Points:
    """Drop points that another of the same owner and batch beats in floor and throughput."""
    if not len(points.batch):
        return points
    order = np.lexsort((-points.throughput, -points.floor, points.batch, points.owner))
    ordered = points.take(order)
    changes = (np.diff(ordered.batch) != 0) | (np.diff(ordered.owner) != 0)
    group = np.concatenate([[0], np.cumsum(changes)])
    # A step between batches that no throughput bridges, so that the maximum starts anew.
    lifted = ordered.throughput + group * (1.0 + ordered.throughput.max())
    keep = np.ones(len(order), dtype=bool)
    keep[1:] = lifted[1:] > np.maximum.accumulate(lifted)[:-1]
    return ordered.take(keep)
