"""Targets over all configurations of an instance: which comes closest, and what is within reach.

Whether a target can be served only ever turns once as its batch, its speed or the power cap
grows. So the most that can be served is found by halving, and a configuration is halved only
where it serves more than the best one so far, which few do.
"""

import math
from collections.abc import Callable
from dataclasses import replace

from hbmopt.demand import Configuration, enumerate_configurations
from hbmopt.instance import Instance
from hbmopt.points.offloaded_targets import OffloadedSource
from hbmopt.points.plain_targets import PlainSource
from hbmopt.points.serving_point import WITHIN
from hbmopt.points.targets import PRECISION, Nearest, Source, Target, last


def source(instance: Instance, configuration: Configuration) -> Source:
    """Return what answers for a configuration: arrays, or programs where it has LPUs."""
    if configuration.lpu_units:
        return OffloadedSource(instance, configuration)
    return PlainSource(instance, configuration)


class TargetSearch:
    """Answers questions about targets on an instance, over all that it lets choose."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        configurations, self.rejections = enumerate_configurations(instance)
        self.sources: tuple[Source, ...] = tuple(source(instance, one) for one in configurations)

    def target(self, batch: float, speed: float) -> Target:
        """Return a target under the instance's own floor, where that is not above the speed."""
        return Target(batch, speed, min(float(self.instance.limits.min_speed), speed), WITHIN)

    def closest(self, target: Target) -> Nearest | None:
        """Return the point whose largest factor is smallest, None where nothing can run at all."""
        best: Nearest | None = None
        for one in self.sources:
            found = one.nearest(target, best.factor if best is not None else math.inf)
            best = found if found is not None else best
        return best

    def within(self, target: Target, factor: float) -> list[Configuration]:
        """Return the configurations that miss no limit by more than a factor."""
        above = factor * (1.0 + 1e-6)
        return [one.configuration for one in self.sources if one.nearest(target, above)]

    def least_power(self, target: Target) -> float:
        """Return the least kW at which the target can be served, infinity where none is enough."""
        return min((one.least_power(target) for one in self.sources), default=math.inf)

    def highest_speed(self, target: Target) -> tuple[float, Nearest] | None:
        """Return the highest speed at which the target's batch is served, and the point there."""
        best, owner = 0.0, None
        for one in self.sources:
            reached = one.highest_speed(target, best)
            if reached > best:
                best, owner = reached, one
        if owner is None:
            return None
        found = owner.nearest(replace(target, speed=best, floor=min(target.floor, best)))
        return (best, found) if found is not None else None

    def largest_batch(self, target: Target) -> tuple[float, Nearest] | None:
        """Return the largest batch that is served at the target's speed, and the point there."""

        def at(batch: float) -> Target:
            return replace(target, batch=batch)

        whole, best, owner = self.instance.choices.whole_sequences, 0.0, None
        for one in self.sources:
            above = best + 1.0 if whole else max(best * (1.0 + PRECISION), 1e-6)
            if one.serves(at(above)):
                best = _largest(one, at, above, whole=whole)
                owner = one
        found = owner.nearest(at(best)) if owner is not None else None
        return (best, found) if found is not None else None


def _largest(one: Source, at: Callable[[float], Target], least: float, *, whole: bool) -> float:
    """Return the largest batch that a configuration serves, which serves `least`."""
    low, high = least, 2.0 * least
    while one.serves(at(high)):
        low, high = high, 2.0 * high
    if not whole:
        return last(lambda batch: one.serves(at(batch)), low, high)
    while high - low > 1.0:
        middle = float((low + high) // 2.0)
        low, high = (middle, high) if one.serves(at(middle)) else (low, middle)
    return low
