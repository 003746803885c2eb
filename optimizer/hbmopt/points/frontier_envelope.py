"""The points of a frontier without LPUs: the upper envelope of all operating points, exactly.

Batches are refined only where the box of a range could still reach above the envelope, so
configurations and batches that cannot win are dropped by their bound, and the points that remain
are all there are.
"""

from collections.abc import Sequence

import numpy as np

from hbmopt.demand import Configuration, Demand
from hbmopt.instance import Instance
from hbmopt.points.operating_points import (
    OperatingPoints,
    Outline,
    Points,
    first_batches,
    joined,
    no_outline,
    split_range,
)
from hbmopt.points.step_formula import Array

NOT_BETTER = 1e-9
"""Relative margin by which a box has to exceed the envelope to be looked into."""


class Envelope:
    """Operating points of all configurations, refined until none can be missing."""

    def __init__(self, instance: Instance, configurations: Sequence[Configuration]) -> None:
        self.lowest_floor = float(instance.limits.min_speed) * (1.0 - 1e-9)
        sources = (OperatingPoints(Demand(instance, one)) for one in configurations)
        self.sources = [one for one in sources if one.possible]
        self.ranges = [_Range(one) for one in self.sources]
        while True:
            floors, reached = self._envelope()
            if not sum(one.refine(floors, reached, self.lowest_floor) for one in self.ranges):
                break

    def _envelope(self) -> tuple[Array, Array]:
        """Return floors, falling, and the best throughput at each."""
        points = joined([one.points for one in self.ranges]) if self.ranges else None
        if points is None or not len(points.batch):
            return np.zeros(0), np.zeros(0)
        best = points.best()
        return best.floor, best.throughput

    def result(self) -> Outline:
        """Return the points of the frontier, the fastest first, and whose they are."""
        if not self.ranges:
            return no_outline()
        points = joined([one.points for one in self.ranges])
        owners = np.concatenate(
            [
                np.full(len(one.points.batch), index, dtype=np.int64)
                for index, one in enumerate(self.ranges)
            ]
        )
        chosen = points.best_order()
        chosen = chosen[points.floor[chosen] >= self.lowest_floor]
        points, owners = points.take(chosen), owners[chosen]
        power = np.zeros(len(owners))
        for index, source in enumerate(self.sources):
            own = owners == index
            if own.any():
                power[own] = source.drawn_kw(points.take(own))
        configurations = tuple(one.configuration for one in self.sources)
        return Outline(configurations, points, owners, power, 0.0)


class _Range:
    """The batches of one configuration that have been evaluated."""

    def __init__(self, source: OperatingPoints) -> None:
        self.source = source
        self.batches = first_batches(source)
        self.points = self._kept(source.at(self.batches))

    @staticmethod
    def _kept(points: Points) -> Points:
        """Drop points that another of the same batch beats in floor and throughput."""
        if not len(points.batch):
            return points
        order = np.lexsort((-points.throughput, -points.floor, points.batch))
        ordered = points.take(order)
        group = np.concatenate([[0], np.cumsum(np.diff(ordered.batch) != 0)])
        # A step between batches that no throughput bridges, so that the maximum starts anew.
        lifted = ordered.throughput + group * (1.0 + ordered.throughput.max())
        keep = np.ones(len(order), dtype=bool)
        keep[1:] = lifted[1:] > np.maximum.accumulate(lifted)[:-1]
        return ordered.take(keep)

    def refine(self, floors: Array, reached: Array, lowest_floor: float) -> int:
        """Look into the ranges whose box exceeds the envelope; return how many batches that took.

        The box of the batches between two neighbours: floors up to the first one's highest,
        throughput up to the last one's.
        """
        if len(self.batches) < 2:
            return 0
        position = np.searchsorted(self.batches, self.points.batch)
        highest_floor, most = np.zeros(len(self.batches)), np.zeros(len(self.batches))
        np.maximum.at(highest_floor, position, self.points.floor)
        np.maximum.at(most, position, self.points.throughput)
        corner_floor, corner = highest_floor[:-1], most[1:]
        place = np.searchsorted(-floors, -corner_floor, side="right") - 1
        known = np.where(place >= 0, reached[np.maximum(place, 0)] if len(reached) else 0.0, 0.0)
        open_range = np.diff(self.batches) > 1
        above = corner > known * (1.0 + NOT_BETTER)
        wanted = open_range & above & (corner_floor >= lowest_floor)
        if not wanted.any():
            return 0
        parts = [
            split_range(float(self.batches[one]), float(self.batches[one + 1]))
            for one in np.nonzero(wanted)[0]
        ]
        fresh = np.unique(np.concatenate(parts))
        self.points = joined([self.points, self._kept(self.source.at(fresh))])
        self.batches = np.union1d(self.batches, fresh)
        return len(fresh)
