"""A plan that is asked for less than it can make: the least power of every share of its peak.

The configuration stays, so no weights are loaded anew. Fewer requests are under way at once, each
as fast as the floor asks for. They may be gathered on few replicas while the others are parked and
draw what idle devices draw, and clocks may be lower: of all numbers of replicas that one counts
which draws least. A replica with less than one sequence in the mean works that share of the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hbmopt.demand import Array
from hbmopt.instance import Instance
from hbmopt.points import EXACT, BatchRates, OperatingPoints, demands_of, points_of
from hbmopt.program import RackPlan, RunningColumn, resting_power


@dataclass(frozen=True)
class SharedLoad:
    """What a plan draws at a share of its peak, in the scope of its power limit.

    `replicas` are those that run, of all of its configurations.
    """

    share: float
    throughput: float
    power_kw: float
    replicas: int


def at_shares(instance: Instance, plan: RackPlan, shares: Sequence[float]) -> list[SharedLoad]:
    """Return the least power of a plan at each share of what it makes, of one configuration each.

    All of it is the plan itself; at no share more than that is drawn, and at share 0 what an idle
    rack draws.
    """
    rack = plan.rack
    idle = resting_power(rack)
    columns = [_Column(instance, column) for column in plan.columns]
    found = []
    for share in shares:
        pairs = [column.least(share) for column in columns]
        drawn = idle + sum(beyond for beyond, _ in pairs)
        running = sum(replicas for _, replicas in pairs)
        if share == 1.0 or (drawn > plan.power_kw and share > 0):
            drawn, running = plan.power_kw, sum(column.replicas for column in plan.columns)
        found.append(SharedLoad(share, share * plan.throughput, float(drawn), running))
    return found


class _Column:
    """One configuration of a plan at a part of its own throughput."""

    def __init__(self, instance: Instance, column: RunningColumn) -> None:
        whole = replace(column.configuration, clocks=tuple(instance.choices.clocks))
        possible, _ = demands_of(instance, [whole], fitting=False)
        self._points: OperatingPoints = points_of(possible)[0]
        self._column = column
        floor = float(instance.limits.min_speed)
        self._speed = floor or column.throughput / (column.batch * column.replicas)

    def least(self, share: float) -> tuple[float, int]:
        """Return the least kW beyond idle devices at a share, and the replicas that draw it."""
        if share <= 0:
            return 0.0, 0
        made, points = share * self._column.throughput, self._points
        counts = np.arange(1, self._column.replicas + 1)
        each: Array = np.divide(made / self._speed, counts, dtype=np.float64)
        # More is under way where the peak leaves its users more than the floor.
        batches = np.clip(each, 1.0, max(float(points.last[0]), self._column.batch))
        working = np.minimum(each, 1.0)
        owners = np.zeros(len(counts), dtype=np.int64)
        rates = BatchRates(points, owners, batches)
        needed = made / (counts * working * batches * rates.gained)
        able = np.minimum(rates.rates(np.array(np.inf)), rates.steps_allowed(counts))
        fast = np.nonzero(able >= needed * (1.0 - EXACT))[0]
        if not len(fast):
            return np.inf, 0
        power = rates.take(fast).thriftiest(needed[fast]) + points.rows.parked_kw[0]
        drawn = counts[fast] * working[fast] * power
        best = int(np.argmin(drawn))
        return float(drawn[best]), int(counts[fast][best])
