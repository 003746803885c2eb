"""What a rack leaves to each of so many replicas: power under a cap, and declared budgets.

Arrays of replica counts, caps and batches may have any shapes that broadcast.
"""

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import Demand, rack_data
from hbmopt.models.quantities import number
from hbmopt.points.step_formula import Array

ROUNDING = 1e-12
"""Share of a budget up to which a rest is the rounding of a difference."""


class ReplicaShare:
    """The share of one replica of a configuration, by the number of replicas."""

    def __init__(self, demand: Demand) -> None:
        self._rack, self._uses = rack_data(demand.instance), demand.budgets
        size = float(demand.configuration.layout.accelerators)
        self.parked_kw = size * number(self._rack.parked_accelerator_kw)
        """What the accelerators of a replica draw that is parked, in kW."""

    def left_kw(self, caps: Array) -> Array:
        """Return the kW that caps leave beside static power and a rack that is parked."""
        return caps / number(self._rack.power_overhead) - self._parked_rack_kw

    def power_kw(self, caps: Array, counts: NDArray[np.int64]) -> Array:
        """Return the kW that each of `counts` replicas may draw."""
        return np.asarray(self.left_kw(caps) / counts + self.parked_kw)

    def drawn_kw(self, each: Array, counts: NDArray[np.int64]) -> Array:
        """Return the kW of the rack, in its own scope, where each of `counts` replicas draws so."""
        running = counts * (each - self.parked_kw) + self._parked_rack_kw
        return np.asarray(number(self._rack.power_overhead) * running)

    @property
    def _parked_rack_kw(self) -> float:
        rack = self._rack
        parked = number(rack.parked_accelerator_kw) * number(rack.accelerators)
        return number(rack.static_kw) + parked + number(rack.parked_lpu_kw) * number(rack.lpu_units)

    def budgets(self, counts: NDArray[np.int64]) -> list[tuple[Array, float, float]]:
        """Return of each budget what is left for a replica's steps, and what these use per ms."""
        found = []
        for budget, use in zip(self._rack.budgets, self._uses, strict=True):
            left = (number(budget.capacity) - number(budget.fixed)) / counts
            left = left - number(use.per_replica)
            # What replicas take exactly leaves nothing, whatever the rounding.
            left = np.where(np.abs(left) <= ROUNDING * number(budget.capacity), 0.0, left)
            found.append((left, 1e3 * number(use.per_step), 1e3 * number(use.per_sequence_step)))
        return found

    def steps_allowed(self, counts: NDArray[np.int64], batches: Array) -> Array:
        """Return the steps per ms of a replica that declared budgets allow, -1 for none."""
        allowed = np.full(np.broadcast_shapes(counts.shape, batches.shape), np.inf)
        for left, per_step, per_sequence in self.budgets(counts):
            each = per_step + per_sequence * batches
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                steps = np.where(each > 0, left / each, np.inf)
            allowed = np.minimum(allowed, np.where(left < 0, -1.0, steps))
        return allowed


def share_of_fast(high: Array, low: Array, power: Array) -> Array:
    """Return the share of time at the fast of two clocks at which they draw a power, 0 for none."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = (power - low) / (high - low)
    return np.where((power < high) & (power > low), share, 0.0)
