"""Targets of a configuration with LPUs: small programs choose the shares of the weights in SRAM."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from hbmopt.demand import Demand, Segment, replica_data
from hbmopt.documents import Figure
from hbmopt.errors import SolverError
from hbmopt.instance import Instance
from hbmopt.models.quantities import number
from hbmopt.points.serving_point import WITHIN, ClockPart, ServingPoint
from hbmopt.points.step_formula import Array
from hbmopt.points.targets import CommonSource, Nearest, Target
from hbmopt.program import (
    NEGLIGIBLE,
    RUNNING,
    ClockPoint,
    Operation,
    exposed_time,
    highs,
    solve_program,
    work,
)


class OffloadedSource(CommonSource):
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
        demand = Demand(instance, self.configuration)
        if batch > demand.largest_batch * (1.0 + WITHIN):
            return None
        exact = Segment(batch, batch)
        found = solve_program(demand, exact, integers=False, replicas=count)
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
