"""`solve`: from an instance to its solution."""

import time
from typing import Any

from hbmopt import highs
from hbmopt.demand import offloadable_components
from hbmopt.errors import SolverError
from hbmopt.infeasibility import explain_conflict
from hbmopt.instance import Instance
from hbmopt.limits import constraint_table
from hbmopt.optimum import ClockOperation, clock_operations, labelled_values, number, priced
from hbmopt.physics import rack_power, violations
from hbmopt.prices import input_prices
from hbmopt.provenance import estimates
from hbmopt.search import Found, Operation, search
from hbmopt.solution import (
    Certificate,
    ClockShare,
    ConfigurationResult,
    Solution,
)

ACCEPTED_VIOLATION = 1e-6
"""Largest relative violation of the exact physics that a returned plan may have."""


def solve(instance: Instance) -> Solution:
    """Return the plan of highest throughput, proven optimal, with limits and prices.

    An instance in which nothing can be served is not an error: its solution has the status
    ``infeasible`` and names the conflict.

    Raises
    ------
    SolverError
        When HiGHS fails, or when a plan does not stand the independent check.
    """
    begun = time.perf_counter()
    found = search(instance)
    if found.plan is None or found.relaxed is None or found.point is None:
        return Solution(
            status="infeasible",
            conflict=explain_conflict(instance, found),
            certificate=_certificate(found, "infeasible", begun, 0.0, 0.0),
            **_heading(instance),
        )
    plan, optimum = found.plan, found.relaxed
    rack = priced(instance, optimum, found.point)
    violation = largest_violation(plan)
    if violation > ACCEPTED_VIOLATION:
        raise SolverError(f"the plan exceeds a limit by {violation:g} when it is checked again")
    if not instance.choices.whole_sequences:
        plan = optimum
    inputs = input_prices(rack)
    power = power_kw(plan) * 1e3
    throughput = plan.throughput * 1e3
    sequences = plan.batch * round(plan.replicas)
    lpus = bool(plan.data.clocks[0].offloaded)
    return Solution(
        status="optimal",
        throughput_tok_s=throughput,
        speed_tok_s_user=throughput / sequences,
        batch=sequences,
        power_w=power,
        tok_s_per_mw=throughput / power * 1e6 if power > 0 else None,
        priced_batch=optimum.batch * round(optimum.replicas),
        configurations=(configuration_result(instance, plan),),
        constraints=constraint_table(rack),
        inputs=inputs,
        limiting_resource=inputs[0].name if inputs else None,
        elasticities={one.name: one.elasticity for one in inputs},
        certificate=_certificate(
            found, "optimal", begun, max(0.0, 1.0 - plan.throughput / optimum.throughput), violation
        ),
        provenance=estimates(instance, lpus=lpus),
        **_heading(instance),
    )


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
    }


def _certificate(
    found: Found, status: str, begun: float, rounding_loss: float, violation: float
) -> Certificate:
    return Certificate(
        solver=f"HiGHS {highs.version()}",
        status=status,
        mip_gap=found.plan.answer.mip_gap if found.plan else 0.0,
        piecewise_error=found.gap,
        rounding_loss=rounding_loss,
        seconds=time.perf_counter() - begun,
        configurations=len(found.configurations),
        rejected=len(found.rejections),
        nodes=found.nodes,
        violation=violation,
    )


def power_kw(operation: Operation) -> float:
    """Return the power of an operation in its rack's scope, from the physics."""
    clocks = _clocks(operation)
    running = sum(clock.done.power_kw + clock.done.lpu_power_kw for clock in clocks)
    data, replicas = operation.data.clocks[0], round(operation.replicas)
    return rack_power(
        operation.rack,
        running,
        number(data.accelerators) * replicas,
        number(data.lpu.units) * replicas,
    )


def _clocks(operation: Operation) -> tuple[ClockOperation, ...]:
    return clock_operations(operation.data, labelled_values(operation))


def largest_violation(operation: Operation) -> float:
    """Return the largest relative violation of a plan in the exact physics, 0 if none."""
    worst = 0.0
    for clock in _clocks(operation):
        worst = max(worst, *violations(clock.replica, clock.point).values())
    cap = operation.rack.power_cap_kw
    if isinstance(cap, float):
        worst = max(worst, power_kw(operation) / cap - 1.0)
    return worst


def configuration_result(instance: Instance, plan: Operation) -> ConfigurationResult:
    """Describe the configuration of a plan."""
    layout, chosen = plan.configuration.layout, plan.configuration
    clocks = _clocks(plan)
    running = sum(clock.point.running for clock in clocks)
    steps = sum(clock.point.steps for clock in clocks)
    replicas = round(plan.replicas)
    throughput = plan.throughput * 1e3
    names = offloadable_components(instance, chosen)
    return ConfigurationResult(
        replicas=replicas,
        accelerators=layout.accelerators,
        tensor_parallel=layout.tensor_parallel,
        expert_parallel=layout.expert_parallel,
        attention_data_parallel=layout.attention_data_parallel,
        weight_format=chosen.weight_format,
        kv_format=chosen.kv_format,
        draft_tokens=chosen.draft_tokens,
        lpu_units=chosen.lpu_units,
        clocks=tuple(
            ClockShare(chosen.clocks[clock.index], clock.point.running / running)
            for clock in clocks
        ),
        batch=plan.batch,
        speed_tok_s_user=throughput / (plan.batch * replicas),
        throughput_tok_s=throughput,
        offload={
            name: share
            for name, share in zip(names, plan.offloaded_share, strict=True)
            if share > 1e-9
        },
        step_ms=running / steps,
        step_breakdown_ms=_breakdown(clocks, steps),
    )


def _breakdown(clocks: tuple[ClockOperation, ...], steps: float) -> dict[str, float]:
    parts: dict[str, float] = {}
    for clock in clocks:
        for resource, spent in clock.done.times.items():
            parts[resource] = parts.get(resource, 0.0) + spent / steps
    return parts
