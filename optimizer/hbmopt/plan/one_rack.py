"""One rack: the best point of all its configurations, and the certificate of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hbmopt.demand import (
    Aim,
    Configuration,
    Demand,
    Point,
    Rejection,
    Segment,
    aim_of,
    aims_of,
    enumerate_configurations,
    power_cap,
    rack_data,
    side_by_side,
)
from hbmopt.documents import Figure
from hbmopt.errors import SolverError
from hbmopt.instance import OBJECTIVES, Instance
from hbmopt.models.objective import TOKENS
from hbmopt.models.quantities import number
from hbmopt.points import (
    Envelope,
    OperatingPoints,
    Outline,
    Points,
    ServingPoint,
    Whole,
    all_points,
    demands_of,
    points_of,
    polish_clocks,
    served_by,
)
from hbmopt.program import (
    Operation,
    RackPlan,
    amount_of,
    answered,
    rack_plan,
    running_column,
    solve_program,
)


@dataclass(frozen=True)
class Found:
    """The outcome of a search: the best point, its plan, and the optimum that prices are read from.

    `relaxed` is the optimum beside the plan whose batch need not be whole, at its first-order model
    `around`. `gap` is how much more than the plan any other plan could make, relative to it.
    """

    point: ServingPoint | None
    plan: RackPlan | None
    relaxed: Operation | None
    around: Point | None
    gap: float
    evaluated: int
    configurations: tuple[Configuration, ...]
    rejections: tuple[Rejection, ...]


def search(instance: Instance, *, only: Sequence[Configuration] | None = None) -> Found:
    """Return the best plan of one configuration, with its certificate.

    With `only`, the best plan among these configurations.

    Raises
    ------
    SolverError
        When HiGHS does not find the same plan, or stops without a proof.
    """
    points = all_points(instance, only)
    envelope = _envelope([instance], points.groups)
    best = envelope.best()
    looked = envelope.evaluated, points.configurations, points.rejections
    if best is None:
        return Found(None, None, None, None, 0.0, *looked)
    return replace(
        found_at(instance, best),
        evaluated=looked[0],
        configurations=looked[1],
        rejections=looked[2],
    )


def best_point(
    instance: Instance, *, only: Sequence[Configuration] | None = None
) -> ServingPoint | None:
    """Return the best point of an instance as `search` does, without its certificate."""
    return best_points([instance], only=only)[0]


def best_points(
    instances: Sequence[Instance],
    *,
    only: Sequence[Configuration] | None = None,
    aims: Sequence[Aim] | None = None,
) -> list[ServingPoint | None]:
    """Return the best point of each of many instances that have the same choices, at one go.

    With `aims`, what is best is said by these and not by the instances; all have one objective.
    """
    found = _best(instances, only, aims)
    return [served_by(*one) if one is not None else None for one in found]


@dataclass(frozen=True)
class Reached:
    """The best of an instance in the unit of its objective, its tok/s, and what reaches it."""

    amount: float
    throughput: float
    configuration: Configuration
    replicas: int


def most_of_each(
    instances: Sequence[Instance], *, only: Sequence[Configuration] | None = None
) -> list[Reached | None]:
    """Return what `best_points` does, without how the best points run."""
    found = _best(instances, only)
    return [
        _reached(one, *best) if best is not None else None
        for one, best in zip(instances, found, strict=True)
    ]


def _reached(instance: Instance, source: OperatingPoints, points: Points) -> Reached:
    (owner,), (replicas,), (value,) = points.owner, points.replicas, points.value
    amount = 1.0 / value if OBJECTIVES[instance.objective].least else value
    made = float(points.throughput[0])
    return Reached(float(amount), made, source.configurations[owner], int(replicas))


def best_of_each(instance: Instance) -> list[tuple[Configuration, float, float]]:
    """Return every configuration with how good it is at its best, and its sequences.

    That is the objective in its own unit, or 1 over it where less is better.
    """
    groups = all_points(instance).groups
    ends = np.cumsum([len(one.configurations) for one in groups])
    each = np.split(np.arange(ends[-1]), ends[:-1]) if groups else None
    return _envelope([instance], groups, each).best_of_each()


HOPEFUL, AT_LEAST = 0.8, 8
"""Share of the best from which a configuration may be best where a number is a tenth other.

And how many are in any case, as far as there are.
"""


def hopeful(instance: Instance, step: float) -> list[Configuration]:
    """Return the configurations that may be best where one number is a step away.

    They are judged where all limits are a step wider: what hardly fits here may do well there.
    """
    wider = instance.scaled(("rack", "accelerator", "hbm_capacity"), 1.0 + step)
    wider = wider.scaled(("limits", "min_speed"), 1.0 - step)
    if instance.power_cap_kw is not None:
        cap = Figure(instance.power_cap_kw * (1.0 + step), "power")
        limits = wider.limits.model_copy(update={"power": cap})
        wider = wider.model_copy(update={"limits": limits})
    ranked = sorted(best_of_each(wider), key=lambda one: -one[1])
    least = max((made for _, made, _ in ranked), default=0.0) * HOPEFUL ** (step / 0.1)
    return [one for place, (one, made, _) in enumerate(ranked) if made >= least or place < AT_LEAST]


def _best(
    instances: Sequence[Instance],
    only: Sequence[Configuration] | None,
    aims: Sequence[Aim] | None = None,
) -> list[tuple[OperatingPoints, Points] | None]:
    if not instances:
        return []
    envelope = _asked(instances, only, aims)
    return [*envelope.best_of_questions(), *[None] * len(instances)][: len(instances)]


def _asked(
    instances: Sequence[Instance],
    only: Sequence[Configuration] | None,
    aims: Sequence[Aim] | None = None,
) -> Envelope:
    """Return the envelope in which each instance is a question of its own."""
    listed = [only if only is not None else enumerate_configurations(one)[0] for one in instances]
    found = [demands_of(*one)[0] for one in zip(instances, listed, strict=True)]
    groups = points_of(alike for one in found for alike in one)
    place = {id(one): position for position, one in enumerate(instances)}
    asked = [np.array([place[id(one)] for one in group.instances]) for group in groups]
    return _envelope(instances, groups, asked, aims)


def best_outline(instances: Sequence[Instance]) -> Outline:
    """Return the best points of instances that differ in speed floors alone, the fastest first."""
    return _asked(instances, None).best_outline()


def _envelope(
    instances: Sequence[Instance],
    groups: Sequence[OperatingPoints],
    questions: Sequence[Whole] | None = None,
    aims: Sequence[Aim] | None = None,
) -> Envelope:
    """Return where each question is highest: of the only instance, or one of each."""
    caps = [power_cap(one) for one in instances]
    floors = [float(one.limits.min_speed) for one in instances]
    whole = instances[0].choices.whole_sequences
    return Envelope(
        groups,
        np.array(caps) if len(caps) > 1 else caps[0],
        np.array(floors) if len(floors) > 1 else floors[0],
        aims_of(instances) if aims is None else side_by_side(aims),
        questions=questions,
        only_best=True,
        whole=whole,
    )


def plan_at(instance: Instance, best: ServingPoint) -> RackPlan:
    """Return the plan of one point, without its certificate."""
    demand = Demand(instance, best.configuration)
    column = running_column(demand, best.replicas, best.batch, best.parts)
    return RackPlan(rack_data(instance), (column,))


def found_at(instance: Instance, best: ServingPoint) -> Found:
    """Return the plan of a point that is known to be best, solved and priced by its program.

    Raises
    ------
    SolverError
        When HiGHS does not find the same plan.
    """
    demand, aim = Demand(instance, best.configuration), aim_of(instance)
    plan = plan_at(instance, best)
    (column,) = plan.columns
    clocks, exact = column.configuration.clocks, Segment(best.batch, best.batch)

    worth = aim.worth(plan.throughput, plan.power_kw)
    # How few accelerators are enough is counted; the program says that they make as much.
    proving = TOKENS if aim.objective == "accelerators" else worth

    def certified(clocks: tuple[float, ...]) -> tuple[Operation, float]:
        held, count = demand.with_clocks(clocks), float(best.replicas)
        solved = solve_program(held, exact, count, proving)
        return solved, _gap(aim, plan, solved)

    # Where power does not matter, slower clocks only draw less: prices are those of the full one.
    limited = _limited(plan) or number(worth.kilowatt) > 0
    certificate, gap = certified(clocks if limited else clocks[:1])
    if not limited and gap > AGREES:
        certificate, gap = certified(clocks)
    if not -AGREES <= gap <= ALLOWED:
        found = certificate.throughput * 1e3 if certificate.answer.optimal else 0.0
        drawn = certificate.power_kw if certificate.answer.optimal else 0.0
        raise SolverError(
            f"HiGHS finds {found:,.6g} tok/s on {drawn:,.6g} kW where the best point makes "
            f"{plan.throughput:,.6g} on {plan.power_kw:,.6g}: "
            f"{best.replicas} x {best.configuration}"
        )
    if gap > AGREES:
        # Two limits on power at once: the program's own mix of clocks is what there is.
        plan = rack_plan(certificate)
    # With a free batch other clocks may be better than those of whole sequences.
    relaxed, around = answered(polish_clocks(demand, replace(certificate, worth=worth)))
    alone = (best.configuration,)
    return Found(best, plan, relaxed, around, max(0.0, gap), 1, alone, ())


def _gap(aim: Aim, plan: RackPlan, solved: Operation) -> float:
    """Return by how much a plan is better than what its program finds, as a share of that."""
    if not solved.answer.optimal or solved.throughput <= 0:
        return math.inf
    if aim.objective in ("throughput", "accelerators"):
        return plan.throughput / (1e3 * solved.throughput) - 1.0
    more = plan.amount(aim) / amount_of(aim, solved)
    return (1.0 / more if OBJECTIVES[aim.objective].least else more) - 1.0


def _limited(plan: RackPlan) -> bool:
    """Whether a limit on power decides how fast a plan runs."""
    (column,) = plan.columns
    cap, limits = plan.rack.power_cap_kw, column.data.clocks[0]
    limit = number(limits.accelerators) * number(limits.power.limit_kw) * column.replicas
    drawn = sum(clock.done.power_kw for clock in column.clocks)
    capped = cap is not None and plan.power_kw >= number(cap) * (1.0 - NEARLY)
    return capped or drawn >= limit * (1.0 - NEARLY)


AGREES = 1e-6
"""Relative difference up to which a program finds the plan that it certifies."""

NEARLY = 1e-9
"""Share of a limit from which it counts as reached."""

ALLOWED = 1e-3
"""The widest relative gap of a plan that is called optimal."""
