"""Targets of a configuration without LPUs, by formula over all numbers of replicas at once."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from hbmopt.demand import Configuration, Demand, accelerator_power
from hbmopt.instance import Instance
from hbmopt.models.quantities import number
from hbmopt.points.serving_point import ClockPart, ServingPoint
from hbmopt.points.step_formula import Array, StepProfile, step_profile
from hbmopt.points.targets import FASTEST, PRECISION, CommonSource, Nearest, Target, last


@dataclass(frozen=True)
class _Way:
    """One clock or a mix of two, for all numbers of replicas.

    `busy` is the largest factor of all rows that no lower clock eases, `drawing` that of the
    accelerators' own power limit, `power` the rack's kW.
    """

    clocks: tuple[int, ...]
    busy: Array
    drawing: Array
    power: Array
    shares: tuple[Array, ...]
    steps: tuple[Array, ...]


class PlainSource(CommonSource):
    """A configuration without LPUs, as arrays over the numbers of replicas."""

    def __init__(self, instance: Instance, configuration: Configuration) -> None:
        super().__init__(instance, configuration)
        self._demand = Demand(instance, configuration)
        self._profiles: dict[int, StepProfile] = {}

    def _profile(self, clock: int) -> StepProfile:
        if clock not in self._profiles:
            self._profiles[clock] = step_profile(self._demand, self.clocks[clock])
        return self._profiles[clock]

    @property
    def top_speed(self) -> float:
        """The speed of one replica with its least batch, whatever power and budgets say."""
        best = 0.0
        for clock in range(len(self.clocks)):
            rates, _, throttled = self._profile(clock).rates(np.array([self.least]))
            best = max(best, float(rates[0]))
            # A lower clock is faster only where the chip's own power limit holds it up.
            if not throttled[0]:
                break
        return best * self.gained

    def serves(self, target: Target) -> bool:
        """Whether the configuration can serve the target."""
        found = self._nearest(target, 1.0)
        return found is not None and found.serves(target)

    def nearest(self, target: Target, below: float = math.inf) -> Nearest | None:
        """Return the point with the smallest largest factor."""
        if self._idle_factor(target) >= below:
            return None
        found = self._nearest(target, 0.0)
        return found if found is not None and found.factor < below else None

    def _idle_factor(self, target: Target) -> float:
        """Return the least that replicas draw that make no step, over the power cap."""
        counts = self.counts(target)
        if not len(counts) or self.rack.power_cap_kw is None:
            return 0.0
        size = float(self.configuration.layout.accelerators)
        running = size * number(accelerator_power(self.instance, self.clocks[-1]).active_kw)
        idle = self.rack_kw(counts, np.full_like(counts, running))
        return float(self.power_factor(idle).min())

    def highest_speed(self, target: Target, above: float) -> float:
        """Return the highest speed at which the target's batch is served, 0 if not `above` one."""

        def serves(speed: float) -> bool:
            return self.serves(replace(target, speed=speed, floor=min(target.floor, speed)))

        least = max(above * (1.0 + PRECISION), 1.0 / FASTEST)
        return last(serves, least, FASTEST) if serves(least) else 0.0

    def _nearest(self, target: Target, enough: float) -> Nearest | None:
        """Return the best point, or the first found with a factor of at most `enough`."""
        counts = self.counts(target)
        if not len(counts):
            return None
        batches = self.batches(target, counts)
        factor, place = math.inf, 0
        best: _Way | None = None
        for way in self._ways(target, counts, batches):
            total = np.maximum.reduce([way.busy, way.drawing, self.power_factor(way.power)])
            lowest = int(np.argmin(total))
            if total[lowest] < factor * (1.0 - 1e-12):
                factor, place, best = float(total[lowest]), lowest, way
            # Lower clocks ease nothing but power.
            if factor <= enough or (way.clocks == (0,) and bool((way.busy >= factor).all())):
                break
        if best is None:
            return None
        parts = tuple(
            ClockPart(self.clocks[clock], float(share[place]), float(steps[place]))
            for clock, share, steps in zip(best.clocks, best.shares, best.steps, strict=True)
        )
        found = ServingPoint(self.configuration, int(counts[place]), float(batches[place]), parts)
        return Nearest(found, factor)

    def least_power(self, target: Target) -> float:
        """Return the least kW at which every row but the power cap holds."""
        counts, least = self.counts(target), math.inf
        if not len(counts):
            return least
        for way in self._ways(target, counts, self.batches(target, counts)):
            holds = np.maximum(way.busy, way.drawing) <= 1.0 + target.slack
            if holds.any():
                least = min(least, float(way.power[holds].min()))
        return least

    def _ways(self, target: Target, counts: Array, batches: Array) -> Iterator[_Way]:
        """Yield every clock at the speed's own rate, the full one first, then mixes of two."""
        rate = np.full_like(batches, target.speed / self.gained)
        whole = np.ones_like(batches)
        fixed = [self._profile(0).memory_share(batches)]
        fixed += self.budget_factors(counts, batches, rate)
        for clock in range(len(self.clocks)):
            profile = self._profile(clock)
            drawn = profile.running_kw + profile.energy(batches) * rate
            rows = [time * rate for time in profile.row_times(batches).values()]
            yield _Way(
                (clock,),
                np.maximum.reduce(fixed + rows),
                drawn / self._limit_kw(profile),
                self.rack_kw(counts, drawn),
                (whole,),
                (rate,),
            )
        at_full = [self._at_full_rate(clock, batches) for clock in range(len(self.clocks))]
        lowest = target.floor / self.gained * (1.0 - 1e-12)
        for fast, slow in combinations(range(len(self.clocks)), 2):
            (quick, high), (steady, low) = at_full[fast], at_full[slow]
            between = (steady < rate) & (rate < quick) & (steady >= lowest)
            if not between.any():
                continue
            share = np.where(between, (rate - steady) / np.where(between, quick - steady, 1.0), 0)
            # At their full rates both keep every row of time, one of them to the last bit.
            busy = np.where(between, np.maximum.reduce([*fixed, whole]), np.inf)
            drawn = share * high + (1.0 - share) * low
            yield _Way(
                (fast, slow),
                busy,
                whole,
                self.rack_kw(counts, drawn),
                (share, 1.0 - share),
                (quick, steady),
            )

    def _limit_kw(self, profile: StepProfile) -> float:
        replica = profile.replica
        return number(replica.accelerators) * number(replica.power.limit_kw)

    def _at_full_rate(self, clock: int, batches: Array) -> tuple[Array, Array]:
        """Return the most steps per ms at a clock, and the kW that a replica draws then."""
        profile = self._profile(clock)
        rates, energy, _ = profile.rates(batches)
        return rates, profile.running_kw + energy * rates
