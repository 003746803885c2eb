"""The points of a frontier: the upper envelope of all operating points, exactly.

Ranges of batches are looked into and split only where their box reaches above the envelope of the
points that are known (see `batch_ranges`), so configurations and batches that cannot win are
dropped by their bound, and the points that remain are all there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hbmopt.demand import MOST_TOKENS, Aim, Array, Configuration
from hbmopt.points.aimed_ranges import ranges_for
from hbmopt.points.batch_ranges import (
    NOT_BETTER,
    TIE,
    BatchRanges,
    BestKnown,
    Points,
    Reached,
    joined,
)
from hbmopt.points.clock_mix import Whole
from hbmopt.points.operating_points import OperatingPoints
from hbmopt.points.serving_point import ServingPoint


@dataclass(frozen=True)
class Outline:
    """The points of a frontier, the highest floor first, and whose they are."""

    points: Points
    ranges: tuple[BatchRanges, ...]

    @cached_property
    def configurations(self) -> tuple[Configuration, ...]:
        """All configurations that were looked at, in the order in which points count them."""
        return tuple(layout for one in self.groups for layout in one.configurations)

    @property
    def groups(self) -> tuple[OperatingPoints, ...]:
        """The operating points of configurations that are alike."""
        return tuple(one.source for one in self.ranges)

    @cached_property
    def power_kw(self) -> Array:
        """The least that the rack draws at each point, in its own scope."""
        first, points = 0, self.points
        power = np.zeros(len(points.batch))
        for one in self.ranges:
            last = first + len(one.source.configurations)
            own = np.nonzero((points.owner >= first) & (points.owner < last))[0]
            if len(own):
                power[own] = one.drawn_kw(points.take(own), first)
            first = last
        return power

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
    they are left out. `cap` and `lowest_floor` are one for all questions, or one for each, as are
    the numbers of the `aim`, which says what is best. With `only_best` the envelope of each
    question is known where it is highest, at or above the lowest floor; without, there is but one
    question, and points that are better by no more than the share `within` may be missing.
    """

    def __init__(
        self,
        groups: Sequence[OperatingPoints],
        cap: float | Array,
        lowest_floor: float | Array,
        aim: Aim = MOST_TOKENS,
        *,
        questions: Sequence[Whole] | None = None,
        only_best: bool = False,
        whole: bool = True,
        within: float = 0.0,
    ) -> None:
        of = questions or [np.zeros(len(one.configurations), dtype=np.int64) for one in groups]
        self._count = 1 + max((int(one.max()) for one in of), default=0)
        caps, floors = (
            one if isinstance(one, np.ndarray) else np.full(self._count, one)
            for one in (cap, lowest_floor)
        )
        self._only_best, self._within = only_best, within
        self.ranges = [
            ranges_for(aim, one, mine, caps[mine], floors[mine] * (1.0 - NOT_BETTER), whole=whole)
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

    def _wanted(self) -> "Reached | BestKnown":
        """Return what a box has to exceed to be looked into."""
        if self._only_best:
            return self._best()
        points = self._points()
        return Reached(points.floor, points.value, self._within)

    def _best(self) -> "BestKnown":
        """Return the best value of each question, and the highest floor of it."""
        most, fastest = np.zeros((2, self._count))
        for one in self.ranges:
            np.maximum.at(most, one.questions[one.points.owner], one.points.value)
        for one in self.ranges:
            question = one.questions[one.points.owner]
            alike = one.points.value >= most[question] * (1.0 - TIE)
            np.maximum.at(fastest, question[alike], one.points.floor[alike])
        return BestKnown(most, fastest)

    def best(self) -> ServingPoint | None:
        """Return the best point of the only question, as `best_of_questions` does."""
        (best,) = self.best_of_questions()
        return served_by(*best) if best is not None else None

    def best_of_questions(self) -> list[tuple[OperatingPoints, Points] | None]:
        """Return the best point of each question, None where nothing can be served.

        Of points that make as much the fastest, then that which draws least, then the one of
        fewest accelerators and LPUs, then that listed first.
        """
        found = dict[int, tuple[tuple[float, ...], BatchRanges, Points]]()
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
        """Return every configuration with its best value, and its sequences."""
        found = []
        for one in self.ranges:
            made, batch = one.best_of_each()
            each = zip(one.source.configurations, made.tolist(), batch.tolist(), strict=True)
            found += list(each)
        return found

    def result(self) -> Outline:
        """Return the points of the frontier, the fastest first, and whose they are."""
        return Outline(self._points(), tuple(self.ranges))

    def best_outline(self) -> Outline:
        """Return the best point of each question, the fastest first, each point once."""
        first, starts = 0, dict[int, int]()
        for one in self.ranges:
            starts[id(one.source)] = first
            first += len(one.source.configurations)
        found = [
            replace(points, owner=points.owner + starts[id(source)])
            for source, points in filter(None, self.best_of_questions())
        ]
        points = joined(found)
        return Outline(points.take(points.best_order()), tuple(self.ranges))
