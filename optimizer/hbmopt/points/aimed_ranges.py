"""Ranges of batches under any objective but the most throughput.

Replicas of one configuration at one batch have one free number left: how fast they run. Power is a
convex function of it (`clock_mix`), so what is best lies at an end of what is allowed or, where
tokens are divided by what they take, at a corner between.

No batch of a range does better than its last one would with the HBM that its first one leaves, at
the throughput that its first one needs for the speed floor: that is the box of the range.
"""

from dataclasses import dataclass, replace

import numpy as np

from hbmopt.demand import Aim, Array
from hbmopt.errors import InputError
from hbmopt.points.batch_ranges import NOT_BETTER, BatchRanges, Gaps, Points, best_of_each
from hbmopt.points.clock_mix import Whole
from hbmopt.points.operating_points import BatchRates, OperatingPoints

ROUNDING = 1e-12
"""Share of a rate that is the rounding of a quotient."""


NO_POWER = "the rack draws no power; set rack.static_power or a power law"
NO_COST = "the rack costs nothing; set its price, or another objective"
NOTHING_TAKEN = {
    "tokens_per_joule": NO_POWER,
    "power": NO_POWER,
    "tokens_per_dollar": NO_COST,
    "cost": NO_COST,
}
"""What is wrong where what tokens are divided by, or what is to be least, is nothing at all."""


@dataclass(frozen=True)
class _Chosen:
    """The best way to run of numbers of replicas at some points: steps per ms, and its value.

    The value is 0 where nothing runs.
    """

    rate: Array
    value: Array


def ranges_for(
    aim: Aim, source: OperatingPoints, questions: Whole, caps: Array, floors: Array, *, whole: bool
) -> BatchRanges:
    """Return the ranges of configurations of one shape, for whatever is best.

    `caps` and `floors` are by configuration, the numbers of the `aim` by question.
    """
    if aim.objective == "throughput" and not np.any(aim.least):
        return BatchRanges(source, questions, caps, floors, whole=whole)
    return AimedRanges(source, questions, caps, floors, aim.taken(questions), whole=whole)


class AimedRanges(BatchRanges):
    """Batches that have been looked at, and how good they are."""

    def __init__(
        self,
        source: OperatingPoints,
        questions: Whole,
        caps: Array,
        floors: Array,
        aim: Aim,
        *,
        whole: bool,
    ) -> None:
        self._aim = aim
        self._sizes = np.array([one.layout.accelerators for one in source.configurations])
        # Of a fraction the more replicas, the less of what the rack takes anyway falls on each.
        self.any_number = not aim.fraction and aim.objective != "throughput"
        super().__init__(source, questions, caps, floors, whole=whole)

    def _between(self, owners: Whole, left: Array, right: Array) -> Gaps:
        """Return ranges with what is seen at a glance.

        At most as many tokens as at the rate of the full clock on the energy of the thriftiest, on
        no less power than that takes.
        """
        seen = super()._between(owners, left, right)
        source, aim, counts = self.source, self._aim.taken(owners), self._replicas(owners)
        needed, each = self._needed(owners, left), right * source.gained[owners]
        reached = (seen.made > 0) & (seen.made >= counts * needed * (1.0 - NOT_BETTER))
        made = counts * needed if aim.runs_slowly else seen.made
        rate = made / (counts * each)
        drawn = source.slowest.at(owners, right, every=False).rack
        power = source.rack_kw(drawn.running + drawn.step.least * rate, counts, owners)
        accelerators = (counts * self._sizes[owners]).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = aim.value(made, power, seen.floor, accelerators)
        return replace(seen, made=np.where(reached, value, 0.0))

    def _looked(self, gaps: Gaps) -> Gaps:
        if not len(gaps.left):
            return gaps
        source, owners = self.source, gaps.owner
        ends = np.array([np.concatenate([owners, owners]), np.concatenate([gaps.left, gaps.right])])
        ends = np.unique(ends, axis=1)
        self._evaluate(ends[0].astype(np.int64), ends[1])
        here = BatchRates(source, owners, gaps.left)
        then = BatchRates(source, owners, gaps.right, gaps.left if source.rows.parts else None)
        speeds = self._speeds(here)
        bound = self._chosen(then, self._needed(owners, gaps.left)).value
        if self._aim.objective == "speed":
            bound = np.where(bound > 0, speeds, 0.0)
        return replace(gaps, floor=speeds, made=bound, exact=np.ones(len(owners), dtype=bool))

    def _needed(self, owners: Whole, batches: Array) -> Array:
        """Return the tok/s that each of some replicas has to make, for its users and the demand."""
        floors = self._floors[owners] / (1.0 - NOT_BETTER)
        demand = self._aim.taken(owners).least / self._replicas(owners)
        return np.asarray(np.maximum(floors * batches, demand))

    def _chosen(self, operation: BatchRates, needed: Array) -> _Chosen:
        """Return the best way to run of those in which a replica makes what is needed."""
        source, owners, aim = self.source, operation.owners, self._aim.taken(operation.owners)
        counts = self._replicas(owners)
        accelerators = (counts * self._sizes[owners]).astype(np.float64)
        each = operation.batches * operation.gained
        most = operation.under(counts, self._caps[owners])
        least = np.minimum(needed / each, np.maximum(most, 0.0))
        runs = (counts <= source.most[owners]) & (most > 0)
        runs &= most * each >= needed * (1.0 - NOT_BETTER)

        def value(rate: Array, power: Array) -> Array:
            made = counts * each * rate
            drawn = source.rack_kw(power, counts, owners)
            with np.errstate(divide="ignore", invalid="ignore"):
                found = aim.value(made, drawn, operation.gained * rate, accelerators)
            found = np.where(runs & (rate > 0), found, 0.0)
            if not np.isfinite(found).all():
                raise InputError(f"objective: {aim.objective}: {NOTHING_TAKEN[aim.objective]}")
            return found

        if not (aim.fraction or aim.runs_slowly):
            return _Chosen(most, value(most, np.zeros_like(most)))
        best = _Chosen(least, value(least, operation.power_at(least)))
        if aim.runs_slowly:
            return best
        best = _better(best, _Chosen(most, value(most, operation.power_at(most))))
        for power, rate in zip(*operation.hull(), strict=True):
            allowed = (rate >= least) & (rate <= most)
            at_corner = np.where(allowed, value(np.broadcast_to(rate, most.shape), power), 0.0)
            best = _better(best, _Chosen(np.broadcast_to(rate, most.shape), at_corner))
        return best

    def _evaluate(self, owners: Whole, batches: Array) -> Array:
        """Return how good some batches are, and keep them as points."""
        self.evaluated += len(owners)
        operation, counts = BatchRates(self.source, owners, batches), self._replicas(owners)
        chosen = self._chosen(operation, self._needed(owners, batches))
        runs = chosen.value > 0
        owner, replicas = (np.broadcast_to(one, runs.shape)[runs] for one in (owners, counts))
        batch, speed = np.broadcast_to(batches, runs.shape)[runs], chosen.rate * operation.gained
        speed = speed[runs]
        made = replicas * batch * speed
        points = Points(owner, batch, replicas, speed, made, chosen.value[runs])
        self._known.append(best_of_each(points))
        return chosen.value


def _better(one: _Chosen, other: _Chosen) -> _Chosen:
    """Return the better of two ways; the faster of two that are as good."""
    wins = other.value > one.value * (1.0 + ROUNDING)
    wins |= (other.value >= one.value * (1.0 - ROUNDING)) & (other.rate > one.rate)
    return _Chosen(np.where(wins, other.rate, one.rate), np.where(wins, other.value, one.value))
