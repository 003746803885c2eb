"""`solve`: from an instance to its solution."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hbmopt.basics import verb
from hbmopt.demand import aim_of
from hbmopt.errors import SolverError
from hbmopt.instance import (
    OBJECTIVES,
    Instance,
    Overrides,
    Source,
    llm_name,
    load,
    rack_name,
    unpriced,
)
from hbmopt.plan import Found, best_points, found_at, search
from hbmopt.points import (
    ServingPoint,
)
from hbmopt.program import (
    PricedRack,
    RackPlan,
    highs,
    priced,
)
from hbmopt.results.accuracy import step_accuracy
from hbmopt.results.description import configuration_result
from hbmopt.results.economics import rack_economics
from hbmopt.results.infeasibility import explain_conflict
from hbmopt.results.limits import NO_ELASTICITY, constraint_table
from hbmopt.results.next_unit import with_next_units
from hbmopt.results.notes import notes_of
from hbmopt.results.prices import InputPrices, input_prices
from hbmopt.results.provenance import estimates
from hbmopt.results.solution import Certificate, ConstraintResult, InputResult, Solution

ACCEPTED_VIOLATION = 1e-6
"""Largest relative violation of the exact physics that a returned plan may have."""


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


def priced_solution(instance: Instance) -> Solution:
    """Return what `solve` does, without what one more unit of a limit changes in all."""
    begun = time.perf_counter()
    return solution_of(instance, search(instance), begun)


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
        from hbmopt.results.mixed import solve_mixed

        plan, optimum, gap = solve_mixed(instance, found)
    solution = described(plan, optimum, _proof(found, gap), begun, known)
    accuracy = step_accuracy(
        instance, [column.configuration.layout.attention_data_parallel for column in plan.columns]
    )
    provenance = estimates(instance, lpus=plan.used_lpus > 0)
    solution = replace(solution, accuracy=accuracy, provenance=provenance)
    return replace(
        solution,
        economics=rack_economics(instance, plan, solution.configurations),
        unpriced=unpriced(instance) or None,
        throughput_range_tok_s=accuracy.rates(solution.throughput_tok_s or 0.0),
        speed_range_tok_s_user=accuracy.rates(solution.speed_tok_s_user or 0.0),
        power_range_w=accuracy.draws(solution.power_w or 0.0, 1e3 * plan.beside_kw),
        notes=notes_of(instance, [one.weight_format for one in solution.configurations]),
    )


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
    constraints = constraint_table(optimum)
    inputs = _with_throttle(instance, input_prices(optimum, known), constraints)
    power, throughput, batch = plan.power_kw * 1e3, plan.throughput, plan.batch
    amount = plan.amount(aim_of(instance))
    loss = _rounding_loss(instance, amount, optimum)
    return Solution(
        status="optimal",
        objective_amount=amount,
        throughput_tok_s=throughput,
        speed_tok_s_user=throughput / batch,
        batch=batch,
        power_w=power,
        tok_s_per_mw=throughput / power * 1e6 if power > 0 else None,
        priced_batch=optimum.batch,
        configurations=tuple(
            configuration_result(instance, column, optimum) for column in plan.columns
        ),
        constraints=constraints,
        inputs=inputs,
        limiting_resource=_limiting(inputs, constraints),
        elasticities={one.name: one.elasticity for one in inputs},
        certificate=_certificate(proof, "optimal", begun, loss, violation),
        **_heading(instance),
    )


def _rounding_loss(instance: Instance, amount: float, optimum: PricedRack) -> float:
    """Return the share of the objective that whole sequences and accelerators lose."""
    if min(amount, optimum.objective) <= 0.0:
        return 0.0
    kept = amount / optimum.objective
    return max(0.0, 1.0 - (1.0 / kept if OBJECTIVES[instance.objective].least else kept))


THROTTLE = "accelerator_power"
"""The row of the accelerators' power limit."""


def _with_throttle(
    instance: Instance,
    inputs: tuple[InputResult, ...],
    constraints: tuple[ConstraintResult, ...],
) -> tuple[InputResult, ...]:
    """Return the inputs with the power limit of the accelerators before them where it limits.

    It has no figure of its own among them: draw and limit are shares of one TDP. What a higher
    limit at the same energy per operation is worth is the price of its row.
    """
    row = next((row for row in constraints if row.name == THROTTLE), None)
    strongest = abs(inputs[0].elasticity) if inputs else 0.0
    if row is None or abs(row.elasticity) <= max(strongest, NO_ELASTICITY):
        return inputs
    throttle = InputResult(
        name=row.name,
        value=row.limit,
        unit="W",
        status=instance.accelerator_limit.status,
        unit_price=row.unit_price,
        unit_price_unit=row.unit_price_unit,
        elasticity=row.elasticity,
    )
    return (throttle, *inputs)


def _limiting(
    inputs: tuple[InputResult, ...], constraints: tuple[ConstraintResult, ...]
) -> str | None:
    """Return the hardware input of the largest elasticity; a binding budget where none has any."""
    if inputs and abs(inputs[0].elasticity) > NO_ELASTICITY:
        return inputs[0].name
    binding = [row for row in constraints if row.binding and abs(row.elasticity) > NO_ELASTICITY]
    return max(binding, key=lambda row: abs(row.elasticity)).name if binding else None


def _heading(instance: Instance) -> dict[str, Any]:
    limits = instance.limits
    return {
        "instance": instance.name,
        "title": instance.description,
        "llm": llm_name(instance.llm),
        "rack": rack_name(instance.rack),
        "objective": instance.objective,
        "objective_unit": OBJECTIVES[instance.objective].unit,
        "min_throughput_tok_s": float(least) if (least := limits.min_throughput) else None,
        "accelerators": instance.rack.all_accelerators,
        "nodes": int(instance.rack.nodes),
        "notes": notes_of(instance),
        "power_scope": limits.power_scope,
        "min_speed_tok_s_user": float(limits.min_speed),
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
