"""A frontier solved at chosen speeds, for racks whose operating points have no formula.

With LPUs every batch has a best share of the weights to move, which is a program of its own. So
the frontier is solved at speed floors, each to proven optimality, where the step between two known
points is largest. It falls with speed, so in between it lies between the two.
"""

from itertools import pairwise

import numpy as np

from hbmopt.basics import Progress
from hbmopt.demand import Configuration
from hbmopt.instance import Instance
from hbmopt.models.quantities import number
from hbmopt.points.configuration_search import search
from hbmopt.points.operating_points import Outline, Points, no_outline
from hbmopt.program import Operation, rack_plan

MOST_SOLVES = 48
"""Speeds at which the frontier is solved, if no other number is asked for."""

FINE = 0.01
"""Step between neighbours that needs no point in between."""

NARROW = 1.002
"""Ratio of neighbouring speeds below which a step is the frontier's own."""


class _Samples:
    def __init__(self, instance: Instance, progress: Progress | None, most: int) -> None:
        self.instance = instance
        self.progress = progress
        self.most = most
        self.plans: list[tuple[float, Operation]] = []
        """Reached floor and plan, the slowest first."""
        self.solves = 0

    def solve(self, floor: float) -> float | None:
        """Solve at a floor; return the highest floor that the plan meets, None where none does."""
        self.solves += 1
        if self.progress is not None:
            self.progress(min(self.solves, self.most), self.most)
        plan = search(self.instance.at_floor(floor)).plan
        if plan is None or plan.throughput <= 0:
            return None
        reached = max(floor, _slowest(plan))
        self.plans.append((reached, plan))
        self.plans.sort(key=lambda pair: pair[0])
        return reached

    def steps(self) -> list[tuple[float, float, float]]:
        """Return step and speeds of neighbours, largest first.

        A step is the fall of throughput between them as a share of the most.
        """
        found, most = [], self.plans[0][1].throughput
        for (slow, more), (fast, less) in pairwise(self.plans):
            step = (more.throughput - less.throughput) / most
            if fast > slow * NARROW:
                found.append((step, slow, fast))
        return sorted(found, reverse=True)


def _slowest(plan: Operation) -> float:
    """Return the speed of the slowest clock that runs, in tok/s per user."""
    column, values = plan.filled.template.column, plan.values
    gained = number(plan.data.clocks[0].tokens_per_sequence_step) * 1e3
    rates = [
        float(values[column("steps", clock)] / values[column("running", clock)])
        for clock in range(len(plan.data.clocks))
        if values[column("running", clock)] > 1e-9
    ]
    return gained * min(rates, default=0.0)


def sampled_outline(
    instance: Instance,
    progress: Progress | None = None,
    most: int = MOST_SOLVES,
) -> Outline:
    """Return the frontier at up to `most` speeds, the largest step between them its gap.

    The step is the fall of throughput between two neighbours as a share of the most.
    """
    samples = _Samples(instance, progress, most)
    reached = samples.solve(float(instance.limits.min_speed))
    if reached is None:
        return no_outline()
    _find_the_end(samples, reached)
    while samples.solves < most:
        steps = [one for one in samples.steps() if one[0] > FINE]
        if not steps:
            break
        _, slow, fast = steps[0]
        samples.solve((slow + fast) / 2.0)
    steps = samples.steps()
    return _outline(samples, steps[0][0] if steps else 0.0)


def _find_the_end(samples: _Samples, reached: float) -> None:
    """Raise the floor until nothing meets it, and close in on the highest that is met."""
    beyond = None
    while beyond is None:
        higher = samples.solve(reached * 2.0)
        if higher is None:
            beyond = reached * 2.0
        else:
            reached = higher
    while beyond > reached * 1.01:
        middle = float(np.sqrt(reached * beyond))
        higher = samples.solve(middle)
        if higher is None:
            beyond = middle
        else:
            reached = higher


def _outline(samples: _Samples, gap: float) -> Outline:
    plans = samples.plans[::-1]
    configurations: list[Configuration] = []
    for _, plan in plans:
        if plan.configuration not in configurations:
            configurations.append(plan.configuration)
    points = Points(
        batch=np.array([plan.batch for _, plan in plans]),
        replicas=np.array([round(plan.replicas) for _, plan in plans], dtype=np.int64),
        floor=np.array([floor for floor, _ in plans]),
        throughput=np.array([plan.throughput * 1e3 for _, plan in plans]),
    )
    owners = np.array([configurations.index(plan.configuration) for _, plan in plans])
    power = np.array([rack_plan(plan).power_kw for _, plan in plans])
    chosen = points.best_order()
    return Outline(tuple(configurations), points.take(chosen), owners[chosen], power[chosen], gap)
