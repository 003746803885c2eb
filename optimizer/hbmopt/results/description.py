"""A running configuration in words and numbers, as results show it."""

import math
from collections.abc import Sequence
from dataclasses import replace

from hbmopt.demand import (
    Configuration,
    Layout,
    offloadable_components,
    sequence_cache,
    step_tokens,
)
from hbmopt.instance import Instance
from hbmopt.program import (
    ClockOperation,
    PricedRack,
    RunningColumn,
    busiest,
    step_parts,
)
from hbmopt.results.solution import ClockShare, ConfigurationResult, KernelResult

OFFLOADED = 1e-9
"""Shares up to this size are noise of the solver, not weights in SRAM."""

WAITED = 1e-6
"""Share of a step from which a wait is one, and not the rounding of whole sequences."""


def configuration_of(result: ConfigurationResult) -> Configuration:
    """Return the configuration that a result describes, at the clocks that run."""
    layout = Layout(
        result.accelerators,
        result.tensor_parallel,
        result.expert_parallel,
        result.attention_data_parallel,
        result.pipeline_parallel,
        result.context_parallel,
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


def configuration_result(
    instance: Instance, column: RunningColumn, optimum: PricedRack | None = None
) -> ConfigurationResult:
    """Describe one running configuration of a plan, its kernels with their prices at an optimum."""
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
        context_parallel=layout.context_parallel,
        weight_format=chosen.weight_format,
        kv_format=chosen.kv_format,
        kv_compression=chosen.kv_compression,
        kv_copies=float(cache.copies),
        kv_held_gb=float(cache.held),
        kv_read_gb=float(cache.read),
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
        lowest_clock=float(min(instance.choices.clocks)),
        scale_up_domains=math.ceil(layout.accelerators / instance.rack.domain),
        kernels=_kernels(clocks, step_ms, _worth(column, optimum) if optimum is not None else {}),
    )


def _breakdown(clocks: tuple[ClockOperation, ...], step_ms: float) -> dict[str, float]:
    """Return the ms of each part of a step, and what it waits where power or a budget limits."""
    steps = sum(clock.point.steps for clock in clocks)
    parts, busy = times_taken(clocks)
    waiting = float(step_ms - busy / steps)
    found = {name: spent / steps for name, spent in parts.items()}
    known = {name: ms if ms > OFFLOADED * step_ms else 0.0 for name, ms in found.items()}
    return known | {"waiting": waiting if waiting > WAITED * step_ms else 0.0}


def _worth(column: RunningColumn, optimum: PricedRack) -> dict[str, float]:
    """Return the elasticity of each class of kernels, by name; nothing where none is priced."""
    ours = replace(column.configuration, clocks=())
    for one in optimum.columns:
        if replace(one.configuration, clocks=()) == ours:
            return {name: each / optimum.objective for name, each in one.kernel_worth.items()}
    return {}


def _kernels(
    clocks: tuple[ClockOperation, ...], step_ms: float, worth: dict[str, float]
) -> tuple[KernelResult, ...]:
    """Return what each class of kernels reads and computes in a step, in ms over all clocks."""
    steps = sum(clock.point.steps for clock in clocks)
    found = []
    for name in clocks[0].done.kernels:
        pairs = [clock.done.kernels[name] for clock in clocks]
        reading, computing = (float(sum(pair[at] for pair in pairs) / steps) for at in (0, 1))
        if max(reading, computing) > OFFLOADED * step_ms:
            bound = "memory" if reading >= computing else "arithmetic"
            found.append(KernelResult(name, reading, computing, bound, worth.get(name)))
    return tuple(found)


def times_taken(clocks: Sequence[ClockOperation]) -> tuple[dict[str, float], float]:
    """Return what replicas spend on each part of their steps over their clocks, and in all."""
    parts = dict[str, float]()
    for clock in clocks:
        for name, spent in step_parts(clock.done).items():
            parts[name] = parts.get(name, 0.0) + float(spent)
    return parts, sum(busiest(clock.replica, clock.done) for clock in clocks)
