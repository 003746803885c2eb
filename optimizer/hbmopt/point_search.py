"""The best operating point of an instance, found by formula: for many instances that differ little.

A search over programs takes a tenth of a second on a large rack. Where a sweep changes only limits,
the operating points of every configuration stay what they are, and the best one under the new
limits is found in a few milliseconds: configurations in the order of a bound, batches refined where
the box of a range exceeds the best so far. The program is then solved at that point alone.
"""

from dataclasses import dataclass

import numpy as np

from hbmopt.configuration import Configuration, enumerate_configurations
from hbmopt.demand import rack_data
from hbmopt.instance import Instance
from hbmopt.operating_points import OperatingPoints, first_batches, split_range
from hbmopt.step_profile import Array

SAME = 1e-12
"""Relative difference below which two throughputs are one, and the earlier configuration counts."""


@dataclass(frozen=True)
class BestPoint:
    """The best operating point: configuration, batch per replica, throughput in tok/s."""

    configuration: Configuration
    batch: float
    throughput: float


@dataclass(frozen=True)
class _Bounds:
    """What a configuration makes at most over its first batches, whatever the power."""

    batches: Array
    floor: Array
    throughput: Array
    tokens_per_joule: Array


def has_formula(instance: Instance) -> bool:
    """Whether the operating points of an instance have a formula: no LPUs, whole sequences."""
    choices = instance.choices
    without_lpus = instance.rack.offload is None or choices.lpu_units == [0]
    return choices.uniform and choices.whole_sequences and without_lpus


class PointSearch:
    """Searches for the best operating points of instances that differ in their limits."""

    def __init__(self, instance: Instance) -> None:
        configurations, _ = enumerate_configurations(instance)
        sources = (OperatingPoints(instance, one) for one in configurations)
        self._sources = [one for one in sources if one.possible]
        self._bounds = [self._bounded(one) for one in self._sources]

    @staticmethod
    def _bounded(source: OperatingPoints) -> _Bounds:
        batches = first_batches(source)
        floor, throughput, tokens_per_joule = source.without_cap(batches)
        return _Bounds(batches, floor, throughput, tokens_per_joule)

    def best(self, instance: Instance) -> BestPoint | None:
        """Return the best operating point under the limits of `instance`, None if there is none."""
        floor = float(instance.limits.min_speed) * (1.0 - 1e-12)
        found: BestPoint | None = None
        rack = rack_data(instance)
        sources = [one.with_limits(instance, rack) for one in self._sources]
        bounds = [
            self._bound(source, bound, floor)
            for source, bound in zip(sources, self._bounds, strict=True)
        ]
        for position in sorted(range(len(sources)), key=lambda one: (-bounds[one], one)):
            reached = found.throughput if found is not None else 0.0
            if bounds[position] <= reached * (1.0 + SAME):
                break
            batches = self._bounds[position].batches
            found = self._better(sources[position], batches, floor, found)
        return found

    @staticmethod
    def _bound(source: OperatingPoints, bound: _Bounds, floor: float) -> float:
        """Return what a configuration makes at most: by time, and by the power that there is."""
        meeting = np.nonzero(bound.floor >= floor)[0]
        if not len(meeting):
            return 0.0
        last = min(int(meeting[-1]) + 1, len(bound.batches) - 1)
        by_power = source.power_kw * float(bound.tokens_per_joule[: last + 1].max()) * 1e3
        return min(float(bound.throughput[last]), by_power)

    @staticmethod
    def _better(
        source: OperatingPoints, batches: Array, floor: float, found: BestPoint | None
    ) -> BestPoint | None:
        """Refine one configuration's batches until none can be better; return the best point."""
        floors, made, most = source.best_by_batch(batches, floor)
        while True:
            top = int(np.argmax(made))
            reached = found.throughput if found is not None else 0.0
            if made[top] > reached * (1.0 + SAME):
                found = BestPoint(source.configuration, float(batches[top]), float(made[top]))
                reached = found.throughput
            # Between two batches: floors below the first one's, throughput below the last one's.
            wanted = np.diff(batches) > 1
            wanted &= (floors[:-1] >= floor) & (most[1:] > reached * (1.0 + SAME))
            if not wanted.any():
                return found
            parts = [
                split_range(float(batches[one]), float(batches[one + 1]))
                for one in np.nonzero(wanted)[0]
            ]
            fresh = np.unique(np.concatenate(parts))
            more = source.best_by_batch(fresh, floor)
            order = np.argsort(np.concatenate([batches, fresh]), kind="stable")
            batches = np.concatenate([batches, fresh])[order]
            floors, made, most = (
                np.concatenate([old, new])[order]
                for old, new in zip((floors, made, most), more, strict=True)
            )
