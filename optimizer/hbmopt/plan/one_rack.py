"""`solve`: from an instance to its solution."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hbmopt.basics import verb
from hbmopt.demand import (
    Configuration,
    Demand,
    Layout,
    Point,
    Rejection,
    Segment,
    enumerate_configurations,
    offloadable_components,
    rack_data,
    sequence_cache,
    step_tokens,
)
from hbmopt.documents import Figure, KeyPath
from hbmopt.errors import SolverError
from hbmopt.instance import Instance, Overrides, Source, load
from hbmopt.models.quantities import number
from hbmopt.plan.infeasibility import explain_conflict
from hbmopt.points import (
    AllPoints,
    Envelope,
    OperatingPoints,
    Points,
    ServingPoint,
    all_points,
    demands_of,
    points_of,
    polish_clocks,
    served_by,
)
from hbmopt.program import (
    ClockOperation,
    Operation,
    PricedRack,
    RackPlan,
    RunningColumn,
    exposed_time,
    highs,
    priced,
    rack_plan,
    running_column,
    solve_program,
)
from hbmopt.results import (
    NO_ELASTICITY,
    Certificate,
    ClockShare,
    ConfigurationResult,
    ConstraintResult,
    InputPrices,
    InputResult,
    Solution,
    constraint_table,
    estimates,
    input_prices,
    step_accuracy,
)

OFFLOADED = 1e-9
"""Shares up to this size are noise of the solver, not weights in SRAM."""

WAITED = 1e-6
"""Share of a step from which a wait is one, and not the rounding of whole sequences."""

ACCEPTED_VIOLATION = 1e-6
"""Largest relative violation of the exact physics that a returned plan may have."""


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
    envelope = _envelope(instance, points)
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
    instances: Sequence[Instance], *, only: Sequence[Configuration] | None = None
) -> list[ServingPoint | None]:
    """Return the best point of each of many instances that have the same choices, at one go."""
    found = _best(instances, only)
    return [served_by(*one) if one is not None else None for one in found]


@dataclass(frozen=True)
class Reached:
    """The most throughput of an instance in tok/s, and what reaches it."""

    throughput: float
    configuration: Configuration
    replicas: int


def most_of_each(
    instances: Sequence[Instance], *, only: Sequence[Configuration] | None = None
) -> list[Reached | None]:
    """Return what `best_points` does, without how the best points run."""
    return [_reached(*one) if one is not None else None for one in _best(instances, only)]


def _reached(source: OperatingPoints, points: Points) -> Reached:
    (owner,), (replicas,), (made,) = points.owner, points.replicas, points.throughput
    return Reached(float(made), source.configurations[owner], int(replicas))


def best_of_each(instance: Instance) -> list[tuple[Configuration, float, float]]:
    """Return every configuration with the most tok/s that it makes, and its sequences."""
    cap, groups = instance.power_cap_kw, all_points(instance).groups
    ends = np.cumsum([len(one.configurations) for one in groups])
    envelope = Envelope(
        groups,
        math.inf if cap is None else cap,
        float(instance.limits.min_speed),
        questions=np.split(np.arange(ends[-1]), ends[:-1]) if groups else None,
        only_best=True,
        whole=instance.choices.whole_sequences,
    )
    return envelope.best_of_each()


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
    instances: Sequence[Instance], only: Sequence[Configuration] | None
) -> list[tuple[OperatingPoints, Points] | None]:
    if not instances:
        return []
    listed = [only if only is not None else enumerate_configurations(one)[0] for one in instances]
    found = [demands_of(*one)[0] for one in zip(instances, listed, strict=True)]
    groups = points_of(alike for one in found for alike in one)
    place = {id(one): position for position, one in enumerate(instances)}
    caps = [math.inf if one.power_cap_kw is None else one.power_cap_kw for one in instances]
    envelope = Envelope(
        groups,
        np.array(caps),
        np.array([float(one.limits.min_speed) for one in instances]),
        questions=[np.array([place[id(one)] for one in group.instances]) for group in groups],
        only_best=True,
        whole=instances[0].choices.whole_sequences,
    )
    return [*envelope.best_of_questions(), *[None] * len(instances)][: len(instances)]


def _envelope(instance: Instance, points: AllPoints) -> Envelope:
    cap = instance.power_cap_kw
    return Envelope(
        points.groups,
        math.inf if cap is None else cap,
        float(instance.limits.min_speed),
        only_best=True,
        whole=instance.choices.whole_sequences,
    )


def found_at(instance: Instance, best: ServingPoint) -> Found:
    """Return the plan of a point that is known to be best, solved and priced by its program.

    Raises
    ------
    SolverError
        When HiGHS does not find the same plan.
    """
    demand = Demand(instance, best.configuration)
    column = running_column(demand, best.replicas, best.batch, best.parts)
    plan = RackPlan(rack_data(instance), (column,))
    clocks, exact = column.configuration.clocks, Segment(best.batch, best.batch)

    def certified(clocks: tuple[float, ...]) -> tuple[Operation, float]:
        held, count = demand.with_clocks(clocks), float(best.replicas)
        solved = solve_program(held, exact, integers=False, replicas=count)
        made = solved.throughput * 1e3 if solved.answer.optimal else 0.0
        return solved, plan.throughput / made - 1.0 if made > 0 else math.inf

    # Where power does not limit, slower clocks only draw less: prices are those of the full one.
    limited = _limited(plan)
    certificate, gap = certified(clocks if limited else clocks[:1])
    if not limited and gap > AGREES:
        certificate, gap = certified(clocks)
    if not -AGREES <= gap <= ALLOWED:
        found = certificate.throughput * 1e3 if certificate.answer.optimal else 0.0
        raise SolverError(
            f"HiGHS finds {found:,.6g} tok/s where the best point makes {plan.throughput:,.6g}: "
            f"{best.replicas} x {best.configuration}"
        )
    if gap > AGREES:
        # Two limits on power at once: the program's own mix of clocks is what there is.
        plan = rack_plan(certificate)
    # With a free batch other clocks may be better than those of whole sequences.
    relaxed, around = polish_clocks(demand, certificate)
    alone = (best.configuration,)
    return Found(best, plan, relaxed, around, max(0.0, gap), 1, alone, ())


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


@verb
def solve(source: Source, overrides: Overrides = None) -> Solution:
    """Return the plan of highest throughput, proven optimal, with limits and prices.

    `source` and `overrides` are those of `load`. An instance in which nothing can be served is not
    an error: its solution has the status ``infeasible`` and names the conflict.

    Raises
    ------
    SolverError
        When HiGHS fails, or when a plan does not stand the independent check.
    """
    begun = time.perf_counter()
    instance = load(source, overrides)
    return with_next_units(instance, solution_of(instance, search(instance), begun))


def solutions(instances: Sequence[Instance]) -> Iterator[Solution]:
    """Yield the solutions of instances that differ in limits alone: the best points at one go."""
    known = InputPrices()
    best: Sequence[ServingPoint | None] = [None] * len(instances)
    if instances and instances[0].choices.uniform:
        best = best_points(instances)
    for instance, point in zip(instances, best, strict=True):
        begun = time.perf_counter()
        found = found_at(instance, point) if point is not None else search(instance)
        yield solution_of(instance, found, begun, known)


def solution_of(
    instance: Instance, found: Found, begun: float, known: InputPrices | None = None
) -> Solution:
    """Return what a search found as a solution: checked again, priced and described.

    `known` is what solutions that differ in limits alone have in common.
    """
    if found.plan is None or found.relaxed is None or found.around is None:
        return Solution(
            status="infeasible",
            conflict=explain_conflict(instance, found.configurations, found.rejections),
            accuracy=step_accuracy(instance, ()),
            certificate=_certificate(_proof(found, 0.0), "infeasible", begun),
            **_heading(instance),
        )
    plan, gap = found.plan, found.gap
    if instance.choices.uniform:
        optimum = priced(instance, found.relaxed, found.around)
    else:
        # Pyomo's solver interface is loaded only by those who mix configurations.
        from hbmopt.plan.mixed import solve_mixed

        plan, optimum, gap = solve_mixed(instance)
    solution = described(plan, optimum, _proof(found, gap), begun, known)
    accuracy = step_accuracy(
        instance, [column.configuration.layout.attention_data_parallel for column in plan.columns]
    )
    provenance = estimates(instance, lpus=plan.used_lpus > 0)
    return replace(solution, accuracy=accuracy, provenance=provenance)


def with_next_units(instance: Instance, solution: Solution) -> Solution:
    """Return a solution that says what one more kW, GB of HBM and tok/s per user change in all."""
    if not solution.feasible or not instance.choices.uniform:
        return solution
    changed = one_more(instance)
    found = most_of_each(list(changed.values()))
    now = solution.throughput_tok_s or 0.0
    made = {
        name: _difference(point.throughput if point is not None else 0.0, now)
        for name, point in zip(changed, found, strict=True)
    }
    return replace(
        solution,
        inputs=tuple(replace(one, next_unit=made.get(one.name)) for one in solution.inputs),
        constraints=tuple(
            replace(one, next_unit=made.get(one.name)) for one in solution.constraints
        ),
    )


def _difference(then: float, now: float) -> float:
    """Return a difference; 0 where it is the rounding of the two."""
    return then - now if abs(then - now) > 10.0 * NEARLY * now else 0.0


def one_more(instance: Instance) -> dict[str, Instance]:
    """Return the instance with one more unit of what limits it, by limit.

    A kW of power, a GB of HBM of every accelerator, a token per second for every user.
    """
    paths: dict[str, KeyPath] = {"hbm_capacity": ("rack", "accelerator", "hbm_capacity")}
    if instance.power_cap_kw is not None:
        given = instance.limits.power is not None
        paths["power_cap"] = ("limits", "power") if given else ("rack", "power")
    if float(instance.limits.min_speed) > 0:
        paths["min_speed"] = ("limits", "min_speed")
    return {
        name: instance.changed(path, lambda now: replace(now, amount=now.amount + 1.0))
        for name, path in paths.items()
    }


@dataclass(frozen=True)
class Proof:
    """What proves a plan: the gaps that are left, and how much was looked at."""

    mip_gap: float
    gap: float
    configurations: int
    rejected: int
    programs: int


def _proof(found: Found, gap: float) -> Proof:
    return Proof(0.0, gap, len(found.configurations), len(found.rejections), found.evaluated)


def described(
    plan: RackPlan,
    optimum: PricedRack,
    proof: Proof,
    begun: float,
    known: InputPrices | None = None,
) -> Solution:
    """Return a plan as a solution: checked again and priced, without what it rests on.

    `known` is what solutions that differ in limits alone have in common.

    Raises
    ------
    SolverError
        When the plan does not stand the check.
    """
    instance = optimum.instance
    violation = plan.violation
    if violation > ACCEPTED_VIOLATION:
        raise SolverError(f"the plan exceeds a limit by {violation:g} when it is checked again")
    if not instance.choices.whole_sequences:
        plan = optimum
    inputs, constraints = input_prices(optimum, known), constraint_table(optimum)
    power, throughput, batch = plan.power_kw * 1e3, plan.throughput, plan.batch
    loss = max(0.0, 1.0 - throughput / optimum.throughput)
    return Solution(
        status="optimal",
        throughput_tok_s=throughput,
        speed_tok_s_user=throughput / batch,
        batch=batch,
        power_w=power,
        tok_s_per_mw=throughput / power * 1e6 if power > 0 else None,
        priced_batch=optimum.batch,
        configurations=tuple(configuration_result(instance, column) for column in plan.columns),
        constraints=constraints,
        inputs=inputs,
        limiting_resource=_limiting(inputs, constraints),
        elasticities={one.name: one.elasticity for one in inputs},
        certificate=_certificate(proof, "optimal", begun, loss, violation),
        **_heading(instance),
    )


def _limiting(
    inputs: tuple[InputResult, ...], constraints: tuple[ConstraintResult, ...]
) -> str | None:
    """Return the hardware input of the largest elasticity; a binding budget where none has any.

    The power limit of the accelerators has no figure of its own: draw and limit are shares of one
    TDP. What a higher limit at the same energy per operation is worth is the price of its row.
    """
    throttle = next((row for row in constraints if row.name == "accelerator_power"), None)
    strongest = abs(inputs[0].elasticity) if inputs else 0.0
    if throttle is not None and abs(throttle.elasticity) > max(strongest, NO_ELASTICITY):
        return throttle.name
    if inputs and abs(inputs[0].elasticity) > NO_ELASTICITY:
        return inputs[0].name
    binding = [row for row in constraints if row.binding and abs(row.elasticity) > NO_ELASTICITY]
    return max(binding, key=lambda row: abs(row.elasticity)).name if binding else None


def _heading(instance: Instance) -> dict[str, Any]:
    return {
        "instance": instance.name,
        "title": instance.description,
        "llm": instance.llm.title or instance.llm.name,
        "rack": instance.rack.title or instance.rack.name,
        "objective": instance.objective,
        "accelerators": int(instance.rack.accelerators),
        "power_scope": instance.limits.power_scope,
        "min_speed_tok_s_user": float(instance.limits.min_speed),
        "context_tokens": instance.workload.mean_context,
        "reserved_context_tokens": instance.workload.reserved_context,
        "prefill": instance.workload.prefill,
    }


def _certificate(
    proof: Proof, status: str, begun: float, loss: float = 0.0, violation: float = 0.0
) -> Certificate:
    return Certificate(
        solver=f"HiGHS {highs.version()}",
        status=status,
        mip_gap=proof.mip_gap,
        piecewise_error=proof.gap,
        rounding_loss=loss,
        seconds=time.perf_counter() - begun,
        configurations=proof.configurations,
        rejected=proof.rejected,
        nodes=proof.programs,
        violation=violation,
    )


def configuration_of(result: ConfigurationResult) -> Configuration:
    """Return the configuration that a result describes, at the clocks that run."""
    layout = Layout(
        result.accelerators,
        result.tensor_parallel,
        result.expert_parallel,
        result.attention_data_parallel,
        result.pipeline_parallel,
    )
    return Configuration(
        layout,
        result.weight_format,
        result.kv_format,
        result.lpu_units,
        tuple(part.clock for part in result.clocks),
        result.draft_tokens,
        result.kv_compression,
    )


def configuration_result(instance: Instance, column: RunningColumn) -> ConfigurationResult:
    """Describe one running configuration of a plan."""
    chosen, clocks, replicas = column.configuration, column.clocks, column.replicas
    layout = chosen.layout
    # A replica may also spend time at a clock at which it makes no step.
    step_ms = replicas / sum(clock.point.steps for clock in clocks)
    names = offloadable_components(instance, chosen)
    cache = sequence_cache(instance, chosen)
    return ConfigurationResult(
        replicas=replicas,
        accelerators=layout.accelerators,
        tensor_parallel=layout.tensor_parallel,
        expert_parallel=layout.expert_parallel,
        attention_data_parallel=layout.attention_data_parallel,
        pipeline_parallel=layout.pipeline_parallel,
        weight_format=chosen.weight_format,
        kv_format=chosen.kv_format,
        kv_compression=chosen.kv_compression,
        kv_copies=cache.copies,
        kv_held_gb=cache.held,
        kv_read_gb=cache.read,
        draft_tokens=chosen.draft_tokens,
        tokens_per_step=step_tokens(instance, chosen).accepted,
        lpu_units=chosen.lpu_units,
        clocks=tuple(
            ClockShare(chosen.clocks[clock.index], min(1.0, clock.point.running / replicas))
            for clock in clocks
        ),
        batch=column.batch,
        speed_tok_s_user=column.throughput / (column.batch * replicas),
        throughput_tok_s=column.throughput,
        offload={
            name: share
            for name, share in zip(names, column.offloaded_share, strict=True)
            if share > OFFLOADED
        },
        step_ms=step_ms,
        step_breakdown_ms=_breakdown(clocks, step_ms),
    )


def _breakdown(clocks: tuple[ClockOperation, ...], step_ms: float) -> dict[str, float]:
    """Return the ms of each part of a step, and what it waits where power or a budget limits."""
    parts: dict[str, float] = {}
    steps, busy = sum(clock.point.steps for clock in clocks), 0.0
    for clock in clocks:
        times = clock.done.times
        for resource, spent in times.items():
            parts[resource] = parts.get(resource, 0.0) + spent / steps
        busy += max(
            exposed_time(clock.replica, times),
            times["weights"] + times["kv"],
            times["gemm"] + times["attention"],
            times["link"],
        )
    waiting = step_ms - busy / steps
    parts["waiting"] = waiting if waiting > WAITED * step_ms else 0.0
    return parts
