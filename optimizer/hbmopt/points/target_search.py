"""Targets over configurations of an instance: which comes closest, and what is within reach."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hbmopt.demand import Configuration, power_cap
from hbmopt.instance import Instance
from hbmopt.points.operating_points import all_points
from hbmopt.points.serving_point import WITHIN
from hbmopt.points.targets import PRECISION, GroupTargets, Nearest, Target, last


class TargetSearch:
    """Answers questions about targets on an instance, over all or some of its configurations."""

    def __init__(self, instance: Instance, only: Sequence[Configuration] | None = None) -> None:
        self.instance = instance
        found = all_points(instance, only, fitting=False)
        self.configurations, self.rejections = found.configurations, found.rejections
        cap = power_cap(instance)
        self._groups = [
            GroupTargets(
                one,
                cap,
                whole=instance.choices.whole_sequences,
            )
            for one in found.groups
        ]

    def target(self, batch: float, speed: float) -> Target:
        """Return a target that counts as reached as a plan counts as checked."""
        return Target(batch, speed, WITHIN)

    def serves(self, target: Target) -> bool:
        """Whether anything serves the target."""
        return bool(self.serving(target))

    def serving(self, target: Target) -> list[Configuration]:
        """Return the configurations that serve the target."""
        found: list[Configuration] = []
        for one in self._groups:
            owners, _, _, speeds = one.speeds(target.batch)
            fast = speeds >= max(target.speed * (1.0 - target.slack), 0.0)
            found += [one.points.configurations[owner] for owner in np.unique(owners[fast])]
        return found

    def closest(self, target: Target, below: float = math.inf) -> Nearest | None:
        """Return the point whose largest factor is smallest, None where nothing can run at all.

        Where none of one clock serves the target, one of several that does. A point with a factor
        that is not `below` the one given may be left out.
        """
        best: Nearest | None = None
        for one in self._groups:
            found = one.nearest(target, best.factor if best is not None else below)
            best = found if found is not None else best
        if best is None or best.serves(target):
            return best
        for one in self._groups:
            owners, counts, batches, speeds = one.speeds(target.batch)
            fast = np.nonzero(speeds >= max(target.speed * (1.0 - target.slack), 0.0))[0]
            if len(fast):
                place = fast[int(np.argmax(speeds[fast]))]
                owner, count = int(owners[place]), int(counts[place])
                return Nearest(one.serving(target, owner, count, float(batches[place])), 1.0)
        return best

    def within(self, target: Target, factor: float) -> list[Configuration]:
        """Return the configurations that miss no limit by more than a factor."""
        above = factor * (1.0 + 1e-6)
        found = []
        for one in self._groups:
            owners, counts, batches = one.spread(target.batch)
            if not len(owners):
                continue
            near = one.factors(target, owners, counts, batches) < above
            found += [one.points.configurations[owner] for owner in np.unique(owners[near])]
        return found

    def least_power(self, target: Target) -> tuple[float, Configuration | None]:
        """Return the least kW at which the target is served, cap aside, and what serves it then.

        Infinity and None where no power is enough.
        """
        least, owner = math.inf, None
        for one in self._groups:
            owners, power = one.least_power(target)
            if len(power) and power.min() < least:
                place = int(np.argmin(power))
                least, owner = float(power[place]), one.points.configurations[owners[place]]
        return least, owner

    def fastest(self) -> tuple[float, Configuration | None]:
        """Return the speed of the fastest replica with its least batch, and its configuration.

        Whatever power and budgets say.
        """
        best, owner = 0.0, None
        for one in self._groups:
            speeds = one.top_speeds()
            if len(speeds) and speeds.max() > best:
                place = int(np.argmax(speeds))
                best, owner = float(speeds[place]), one.points.configurations[place]
        return best, owner

    def highest_speed(self, target: Target) -> tuple[float, Nearest] | None:
        """Return the highest speed at which the target's batch is served, and the point there."""
        best: tuple[float, GroupTargets, int, int, float] | None = None
        for one in self._groups:
            owners, counts, batches, speeds = one.speeds(target.batch)
            if len(speeds) and speeds.max() > (best[0] if best is not None else 0.0):
                place = int(np.argmax(speeds))
                owner, count = int(owners[place]), int(counts[place])
                best = float(speeds[place]), one, owner, count, float(batches[place])
        if best is None:
            return None
        speed, group, owner, count, batch = best
        point = group.serving(replace(target, speed=speed), owner, count, batch)
        return speed, Nearest(point, 1.0)

    def largest_batch(self, target: Target) -> tuple[float, Nearest] | None:
        """Return the largest batch that is served at the target's speed, and the point there."""

        def serves(batch: float) -> bool:
            return self.serves(replace(target, batch=batch))

        whole = self.instance.choices.whole_sequences
        low = 1.0 if whole else 1e-6
        if not serves(low):
            return None
        high = 2.0 * low
        while serves(high):
            low, high = high, 2.0 * high
        if whole:
            while high - low > 1.0:
                middle = float((low + high) // 2.0)
                low, high = (middle, high) if serves(middle) else (low, middle)
        else:
            low = last(serves, low, high, PRECISION)
        found = self.closest(replace(target, batch=low))
        return (low, found) if found is not None else None
