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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hbmopt.demand import (
    Configuration,
    Segment,
    configuration_data,
    rack_data,
    smallest_batch,
    step_tokens,
)
from hbmopt.instance import Instance
from hbmopt.models.quantities import number
from hbmopt.points.serving_point import ServingPoint
from hbmopt.points.step_formula import Array

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


class CommonSource:
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
