"""Whether a configuration serves a batch at a speed, and by how much it misses.

A target is a batch of the whole rack and a speed that every user receives in the mean. Sequences
are spread evenly: each of R replicas holds ceil(batch / R), so a batch need not divide. At that
batch, and at the step rate of the speed, every row of the program is a number, its usage over its
limit, and none falls when batch or rate grow. So a target can be served where the largest of them
is at most 1 for some number of replicas and some clock, or mix of two clocks in time.

With LPUs the shares of the weights in SRAM are chosen as well. At a fixed batch every row is
linear in them, so the smallest largest factor is the optimum of a small linear program.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Protocol

import numpy as np

from hbmopt import highs
from hbmopt.configuration import Configuration
from hbmopt.demand import (
    Segment,
    accelerator_power,
    configuration_data,
    largest_batch,
    rack_data,
    replica_data,
)
from hbmopt.errors import SolverError
from hbmopt.figure import Figure
from hbmopt.instance import Instance
from hbmopt.models.quantities import number
from hbmopt.optimum import RUNNING
from hbmopt.physics import ClockPoint, exposed_time, work
from hbmopt.search import Operation, solve_program
from hbmopt.sequence import smallest_batch, step_tokens
from hbmopt.serving_point import WITHIN, ClockPart, ServingPoint
from hbmopt.step_profile import Array, StepProfile, step_profile
from hbmopt.template import NEGLIGIBLE

PRECISION = 1e-9
"""Relative width at which halving stops."""

EXACT = 1e-9
"""Relative excess that is the rounding of a sum, and no excess."""

FASTEST = 1e6
"""Speed in tok/s per user that nothing exceeds."""


@dataclass(frozen=True)
class Target:
    """A batch of the rack, and a speed in tok/s per user; batch 0 stands for one replica's least.

    No clock of a mix may be slower than `floor` tok/s per user. Limits count as kept up to a
    relative excess of `slack`.
    """

    batch: float
    speed: float
    floor: float
    slack: float = EXACT


@dataclass(frozen=True)
class Nearest:
    """The point of a configuration at a target whose largest factor is smallest."""

    point: ServingPoint
    factor: float

    def serves(self, target: Target) -> bool:
        """Whether the point keeps every limit."""
        return self.factor <= 1.0 + target.slack


class Source(Protocol):
    """What a configuration can say about targets."""

    @property
    def configuration(self) -> Configuration:
        """The configuration."""
        ...

    @property
    def top_speed(self) -> float:
        """The speed of one replica with its least batch, whatever power and budgets say."""
        ...

    def serves(self, target: Target) -> bool:
        """Whether the configuration can serve the target."""
        ...

    def nearest(self, target: Target, below: float = math.inf) -> Nearest | None:
        """Return the point with the smallest largest factor, None where no replica fits the rack.

        A point with a factor that is not `below` the one given may be left out.
        """
        ...

    def highest_speed(self, target: Target, above: float) -> float:
        """Return the highest speed at which the target's batch is served, 0 if not `above` one."""
        ...

    def least_power(self, target: Target) -> float:
        """Return the least kW at which the target can be served but for the power cap."""
        ...


def source(instance: Instance, configuration: Configuration) -> Source:
    """Return what answers for a configuration: arrays, or programs where it has LPUs."""
    if configuration.lpu_units:
        return OffloadedSource(instance, configuration)
    return PlainSource(instance, configuration)


def one_replica(instance: Instance) -> Target:
    """Return what every plan contains: one replica with its smallest batch, at the floor."""
    floor = float(instance.limits.min_speed)
    return Target(0.0, floor, floor)


def last(
    holds: Callable[[float], bool], low: float, high: float, precision: float = PRECISION
) -> float:
    """Return the last number at which something holds that holds at `low` and not at `high`."""
    while high > low * (1.0 + precision):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def spread(batch: float, counts: Array, least: float, *, whole: bool) -> Array:
    """Return the sequences of a replica when `batch` is spread evenly over counts of replicas."""
    each = batch / counts
    if whole:
        each = np.ceil(each * (1.0 - 1e-12))
    return np.maximum(each, least)


class _Common:
    """What both kinds of sources know of a configuration."""

    def __init__(self, instance: Instance, configuration: Configuration) -> None:
        self.instance = instance
        self.configuration = configuration
        self.clocks = configuration.clocks
        self.least = smallest_batch(configuration)
        self.rack = rack_data(instance)
        self.gained = 1e3 * step_tokens(instance, configuration).accepted
        data = int(float(instance.rack.accelerators)) // configuration.layout.accelerators
        if configuration.lpu_units and instance.rack.offload is not None:
            data = min(data, int(float(instance.rack.offload.units)) // configuration.lpu_units)
        self.most = data
        self.budgets = (
            configuration_data(instance, configuration, Segment(1.0, 1.0)).budgets
            if instance.limits.budgets
            else ()
        )

    def counts(self, target: Target) -> Array:
        """Return the numbers of replicas worth a look: one where the batch is the least."""
        if target.batch <= 0:
            return np.ones(min(1, self.most))
        return np.arange(1.0, self.most + 1.0)

    def batches(self, target: Target, counts: Array) -> Array:
        """Return the sequences of a replica, by number of replicas."""
        whole = self.instance.choices.whole_sequences
        return spread(target.batch, counts, self.least, whole=whole)

    def budget_factors(self, counts: Array, batches: Array, steps: Array) -> list[Array]:
        """Return what the declared budgets are used, over their capacities."""
        found = []
        for budget, use in zip(self.rack.budgets, self.budgets, strict=True):
            each = number(use.per_step) + number(use.per_sequence_step) * batches
            used = number(budget.fixed) + counts * (number(use.per_replica) + 1e3 * steps * each)
            found.append(used / number(budget.capacity))
        return found

    def rack_kw(self, counts: Array, drawn: Array, lpus: float = 0.0) -> Array:
        """Return the rack's power where each replica draws `drawn` kW."""
        rack, size = self.rack, float(self.configuration.layout.accelerators)
        return np.asarray(
            number(rack.power_overhead)
            * (
                number(rack.static_kw)
                + number(rack.parked_accelerator_kw) * (number(rack.accelerators) - size * counts)
                + number(rack.parked_lpu_kw) * (number(rack.lpu_units) - lpus * counts)
                + counts * drawn
            )
        )

    def power_factor(self, power: Array) -> Array:
        """Return power over the cap; 0 where there is none."""
        cap = self.rack.power_cap_kw
        return power / number(cap) if cap is not None else np.zeros_like(power)


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


class PlainSource(_Common):
    """A configuration without LPUs, as arrays over the numbers of replicas."""

    def __init__(self, instance: Instance, configuration: Configuration) -> None:
        super().__init__(instance, configuration)
        self._profiles: dict[int, StepProfile] = {}

    def _profile(self, clock: int) -> StepProfile:
        if clock not in self._profiles:
            factor = self.clocks[clock]
            self._profiles[clock] = step_profile(self.instance, self.configuration, factor)
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


class OffloadedSource(_Common):
    """A configuration with LPUs: the shares of the weights in SRAM are chosen by programs."""

    @property
    def top_speed(self) -> float:
        """The speed of one replica with its least batch, whatever power and budgets say."""
        found = self._speed(_unlimited(self.instance), 1.0, self.least)
        return found[0] if found is not None else 0.0

    def serves(self, target: Target) -> bool:
        """Whether the configuration can serve the target."""
        counts = self.counts(target)
        if not len(counts):
            return False
        if target.speed <= 0:
            found = self.nearest(target)
            return found is not None and found.serves(target)
        # The most replicas at full clock have the least of every row but power.
        batch = float(self.batches(target, counts)[-1])
        if (
            _Shares(self, 0, float(counts[-1]), batch, target.speed).bound_of_time
            > 1.0 + target.slack
        ):
            return False
        wanted = target.speed * (1.0 - target.slack)
        return any(speed >= wanted for speed, _ in self._fastest(target))

    def highest_speed(self, target: Target, above: float) -> float:
        """Return the highest speed at which the target's batch is served, 0 if not `above` one."""
        best = above
        for speed, _ in self._fastest(replace(target, speed=above)):
            best = max(best, speed)
        return best if best > above else 0.0

    def nearest(self, target: Target, below: float = math.inf) -> Nearest | None:
        """Return the point with the smallest largest factor.

        Fewer replicas hold more sequences each, so the bound by all rows but power only grows.
        """
        counts = self.counts(target)
        batches = self.batches(target, counts)
        best: Nearest | None = None
        for count, batch in zip(counts[::-1].tolist(), batches[::-1].tolist(), strict=True):
            reached = min(below, best.factor if best is not None else math.inf)
            for clock in range(len(self.clocks)):
                one = _Shares(self, clock, count, batch, target.speed)
                if one.bound_of_time >= reached:
                    break
                if one.bound >= reached:
                    continue
                factor, shares = one.least_factor()
                if factor < reached * (1.0 - 1e-12):
                    best, reached = Nearest(one.point(shares), factor), factor
            else:
                continue
            if clock == 0:
                break
        if best is not None and not best.serves(target):
            mixed = self._mixed(target)
            return best if mixed is None else mixed
        return best

    def least_power(self, target: Target) -> float:
        """Return the least kW at which every row but the power cap holds."""
        counts, least = self.counts(target), math.inf
        for count, batch in zip(counts, self.batches(target, counts), strict=True):
            for clock in range(len(self.clocks)):
                one = _Shares(self, clock, float(count), float(batch), target.speed)
                if one.bound_of_time > 1.0 + target.slack:
                    break
                least = min(least, one.least_power(target.slack))
        return least

    def _fastest(self, target: Target) -> Iterator[tuple[float, Operation]]:
        """Yield the highest speeds, clocks mixed, by number of replicas, while they can matter.

        Without power and budgets the most replicas are the fastest, and fewer are slower each.
        """
        counts = self.counts(target)
        batches = self.batches(target, counts)
        floor = min(target.floor, target.speed)
        capped, free = self.instance.at_floor(floor), _unlimited(self.instance)
        limited = self.rack.power_cap_kw is not None or bool(self.budgets)
        for count, batch in zip(counts[::-1].tolist(), batches[::-1].tolist(), strict=True):
            alone = self._speed(free, count, batch)
            if alone is None or alone[0] < target.speed * (1.0 - target.slack):
                return
            found = self._speed(capped, count, batch) if limited or floor > 0 else alone
            if found is not None:
                yield found
                if found[0] >= alone[0] * (1.0 - target.slack):
                    return

    def _speed(
        self, instance: Instance, count: float, batch: float
    ) -> tuple[float, Operation] | None:
        """Return the highest speed of a number of replicas, None where they cannot run."""
        if batch > largest_batch(instance, self.configuration) * (1.0 + WITHIN):
            return None
        exact = Segment(batch, batch)
        found = solve_program(instance, self.configuration, exact, integers=False, replicas=count)
        if not found.answer.optimal:
            return None
        return found.throughput * 1e3 / (count * batch), found

    def _mixed(self, target: Target) -> Nearest | None:
        """Return a point of several clocks that serves the target, None where none does.

        Only power makes a mix of clocks worth while.
        """
        if self.rack.power_cap_kw is None or len(self.clocks) == 1 or target.speed <= 0:
            return None
        for speed, found in self._fastest(target):
            if speed >= target.speed * (1.0 - target.slack):
                return Nearest(_mixed_point(found, round(found.replicas), found.batch), 1.0)
        return None


def _unlimited(instance: Instance) -> Instance:
    """Return the instance without a power cap, a floor or budgets."""
    limits = {"power_capped": False, "budgets": [], "min_speed": Figure(0.0, "speed")}
    return instance.model_copy(update={"limits": instance.limits.model_copy(update=limits)})


def _mixed_point(found: Operation, replicas: int, batch: float) -> ServingPoint:
    """Return the point that a program of fixed replicas and batch found."""
    column, values = found.filled.template.column, found.values
    parts = []
    for clock, steps in enumerate(found.clock_steps):
        running = float(values[column("running", clock)])
        if running <= RUNNING * replicas or steps <= 0:
            continue
        offloaded = tuple(
            min(1.0, max(0.0, float(values[column("offloaded_steps", clock, index)]) / steps))
            for index in range(len(found.data.clocks[clock].offloaded))
        )
        factor = found.configuration.clocks[clock]
        parts.append(ClockPart(factor, running / replicas, steps / running, offloaded))
    return ServingPoint(found.configuration, replicas, batch, tuple(parts))


class _Shares:
    """The rows of one number of replicas at one clock, linear in the shares moved to SRAM."""

    def __init__(
        self, owner: OffloadedSource, clock: int, count: float, batch: float, speed: float
    ) -> None:
        self.clock, self.count, self.batch = clock, count, batch
        self._owner = owner
        self._rate = speed / owner.gained
        exact = Segment(batch, batch)
        self._replica = replica_data(
            owner.instance, owner.configuration, owner.clocks[clock], exact
        )
        parts = len(self._replica.offloaded)
        self._base = self._rows(np.zeros(parts))
        slopes = [self._rows(row) - self._base for row in np.eye(parts)]
        self._slopes = np.array(slopes).reshape(parts, len(self._base))
        least = self._base + np.minimum(self._slopes, 0.0).sum(axis=0)
        self._per_kw = float(owner.power_factor(np.ones(1))[0])
        self.bound_of_time = float(least[:-1].max())
        self.bound = max(self.bound_of_time, float(least[-1]) * self._per_kw)

    def _rows(self, shares: Array) -> Array:
        """Return the factor of every row at some shares, and the rack's kW as the last."""
        owner, replica, rate = self._owner, self._replica, self._rate
        step = work(replica, ClockPoint(0.0, 1.0, self.batch, tuple(shares.tolist())))
        still = work(replica, ClockPoint(1.0, 0.0, 0.0, tuple(shares.tolist())))
        size, times = number(replica.accelerators), step.times
        drawn = still.power_kw + rate * step.power_kw
        lpus = number(replica.lpu.units) if replica.offloaded else 0.0
        beside = still.lpu_power_kw + rate * step.lpu_power_kw
        count, batch, steps = (np.array([one]) for one in (self.count, self.batch, rate))
        factors = [
            step.resident_gb_steps / (size * number(replica.hbm_gb)),
            rate * exposed_time(replica, times),
            rate * (times["weights"] + times["kv"]),
            rate * (times["gemm"] + times["attention"]),
            rate * times["link"],
            rate * times["sram"],
            rate * times["lpu_compute"],
            rate * times["lpu_link"],
            drawn / (size * number(replica.power.limit_kw)),
            *(float(used[0]) for used in owner.budget_factors(count, batch, steps)),
        ]
        if replica.offloaded:
            factors.append(step.sram_gb_steps / (lpus * number(replica.lpu.sram_gb)))
        return np.array(
            [*factors, float(owner.rack_kw(count, np.array([drawn + beside]), lpus)[0])]
        )

    def least_factor(self) -> tuple[float, tuple[float, ...]]:
        """Return the smallest largest factor over all shares, and the shares."""
        parts = len(self._slopes)
        if not parts:
            return self.bound, ()
        unit = np.append(np.ones(len(self._base) - 1), self._per_kw)
        matrix = np.vstack([self._slopes * unit, -np.ones(len(unit))]).T
        cost = np.append(np.zeros(parts), -1.0)
        found = _bounded_program(cost, matrix, -self._base * unit, np.append(np.ones(parts), 1e9))
        if not found.optimal:
            raise SolverError(f"no least factor of {self._owner.configuration}")
        shares = np.clip(found.point[:-1], 0.0, 1.0)
        reached = (self._base + shares @ self._slopes) * unit
        return float(reached.max()), tuple(shares.tolist())

    def least_power(self, slack: float) -> float:
        """Return the least kW at which every row but the power cap holds, infinity for none."""
        parts = len(self._slopes)
        if not parts:
            return float(self._base[-1])
        room = 1.0 + slack - self._base[:-1]
        found = _bounded_program(-self._slopes[:, -1], self._slopes[:, :-1].T, room, np.ones(parts))
        return float(self._base[-1]) - found.objective if found.optimal else math.inf

    def point(self, shares: tuple[float, ...]) -> ServingPoint:
        """Return the point at some shares."""
        owner = self._owner
        part = ClockPart(owner.clocks[self.clock], 1.0, self._rate, shares)
        return ServingPoint(owner.configuration, round(self.count), self.batch, (part,))


def _bounded_program(cost: Array, matrix: Array, upper: Array, highest: Array) -> highs.Answer:
    """Maximise over columns from 0 to `highest` with ``matrix @ columns <= upper``."""
    kept = np.abs(matrix) > NEGLIGIBLE
    rows, columns = matrix.shape
    return highs.solve(
        highs.Program(
            cost=cost,
            column_lower=np.zeros(columns),
            column_upper=highest,
            integer=(),
            row_lower=np.full(rows, -highs.INFINITY),
            row_upper=upper,
            starts=np.concatenate(([0], np.cumsum(kept.sum(axis=1)))).astype(np.int32),
            indices=np.nonzero(kept)[1].astype(np.int32),
            values=matrix[kept],
        ),
        integers=False,
    )
