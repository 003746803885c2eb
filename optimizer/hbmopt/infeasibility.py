"""Why nothing can be served: the limits that cannot hold together, in words with numbers.

Without a replica every row holds at zero, so "infeasible" means that no configuration can run one
replica. For the configuration that misses by least, HiGHS names a smallest set of rows that
exclude each other (an irreducible infeasible subsystem); the sentence says what they amount to.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from hbmopt import highs
from hbmopt.configuration import (
    NO_MEMORY,
    Configuration,
    Rejection,
    enumerate_configurations,
    replica_sizes,
)
from hbmopt.demand import (
    Segment,
    configuration_data,
    largest_batch,
    rack_data,
    replica_data,
)
from hbmopt.instance import Instance
from hbmopt.models.quantities import number
from hbmopt.physics import ClockPoint, work
from hbmopt.search import Found
from hbmopt.sequence import smallest_batch, step_tokens
from hbmopt.solution import Conflict
from hbmopt.template import Filled, fill

STRUCTURAL = frozenset(
    {
        "clock_shares",
        "min_batch",
        "max_batch",
        "offload_share",
        "offload_lowest",
        "offload_highest",
        "kept_lowest",
        "kept_highest",
    }
)
"""Rows that define what a replica is, and are nobody's limit to change."""


def explain_conflict(instance: Instance, found: Found) -> Conflict:
    """Return the conflict of an instance in which the search found no plan."""
    if not found.configurations:
        return _nothing_fits(instance, found.rejections)
    closest = min(
        (_miss(instance, configuration) for configuration in found.configurations),
        key=lambda miss: miss.distance,
    )
    families = _conflicting_families(closest.filled)
    names = tuple(_limit_name(instance, family) for family in families)
    fast_enough = _fastest(instance, found)
    floor = float(instance.limits.min_speed)
    if floor > 0 and fast_enough.speed < floor:
        summary, chosen = _speed_sentence(instance, fast_enough), fast_enough.configuration
        names = tuple(name for name in names if name != "power_cap")
    elif "power_cap" in families:
        summary, chosen, at_floor = _power_sentence(instance, found)
        names = tuple(dict.fromkeys(("power_cap", *(("min_speed",) if at_floor else ()), *names)))
    else:
        rows = " and ".join(names) or "the rows of a replica"
        summary = f"{rows} cannot hold together for one replica of {closest.configuration}"
        chosen = closest.configuration
        for position, budget in enumerate(instance.limits.budgets):
            if f"budget[{position}]" in families:
                summary = f"{budget.name}: {_budget_sentence(instance, position, chosen)}"
    return Conflict(summary, str(chosen), names)


def _asked(instance: Instance) -> str:
    """Say which sizes and degrees of parallelism an instance asks for, none of which divide."""
    choices = instance.choices
    sizes = ", ".join(str(size) for size in replica_sizes(instance)) or "none"
    asked = {
        "pipeline_parallel": choices.pipeline_parallel,
        "tensor_parallel": choices.tensor_parallel,
        "expert_parallel": choices.expert_parallel,
        "attention_data_parallel": choices.attention_data_parallel,
    }
    stated = ", ".join(f"{name} {values}" for name, values in asked.items() if values is not None)
    return (
        f"replicas of {sizes} accelerators with {stated}; stages have to divide a replica, and "
        "tensor, expert and attention-data parallelism a stage"
    )


def _nothing_fits(instance: Instance, rejections: tuple[Rejection, ...]) -> Conflict:
    """Return the conflict where no configuration even holds one sequence, or none exists."""
    memory = [one for one in rejections if one.reason == NO_MEMORY]
    if not memory:
        reasons = Counter(one.reason for one in rejections).most_common(3)
        listed = "; ".join(reason for reason, _ in reasons)
        summary = f"none of the layouts asked for can run: {listed}"
        if not listed:
            summary = f"the layouts asked for do not divide: {_asked(instance)}"
        return Conflict(summary, "", ("choices",))
    configurations, _ = enumerate_configurations(instance)
    roomiest = max(configurations, key=lambda one: _memory(instance, one).share_served)
    count = smallest_batch(roomiest)
    sequences = "one sequence" if count == 1 else f"{count:.0f} sequences"
    memory_of = _memory(instance, roomiest)
    size = roomiest.layout.accelerators
    capacity = float(instance.rack.accelerator.hbm_capacity)
    reserve = 100.0 * (1.0 - float(instance.calibration.hbm_usable))
    reserved = f" less {reserve:.0f} % reserve" if reserve > 0 else ""
    summary = (
        f"weights {memory_of.weights:,.4g} GB + {sequences} {memory_of.sequence:,.3g} GB exceed "
        f"{memory_of.usable:,.4g} GB of HBM ({size} x {capacity:,.4g} GB{reserved}) even for the "
        f"roomiest configuration, {roomiest}"
    )
    return Conflict(summary, str(roomiest), ("hbm_capacity",))


@dataclass(frozen=True)
class _Memory:
    weights: float
    sequence: float
    usable: float

    @property
    def share_served(self) -> float:
        return self.usable / (self.weights + self.sequence)


def _memory(instance: Instance, configuration: Configuration) -> _Memory:
    data = replica_data(instance, configuration, 1.0, Segment(1.0, 1.0))
    weights = sum(number(part.resident_gb) for part in data.components)
    usable = number(data.accelerators) * number(data.hbm_gb)
    # Weights that LPUs take over need no HBM.
    freed = usable - number(data.kv_held_gb) * largest_batch(instance, configuration)
    return _Memory(
        weights=min(weights, freed) if data.offloaded else weights,
        sequence=number(data.kv_held_gb) * smallest_batch(configuration),
        usable=usable,
    )


@dataclass(frozen=True)
class _Miss:
    configuration: Configuration
    distance: float
    filled: Filled


def _one_replica(instance: Instance, configuration: Configuration) -> Filled:
    """Return the program of a configuration that has to run one replica."""
    most = largest_batch(instance, configuration)
    segment = Segment(smallest_batch(configuration), most)
    filled = fill(rack_data(instance), configuration_data(instance, configuration, segment))
    position = filled.template.column("replicas")
    lower, upper = filled.program.column_lower.copy(), filled.program.column_upper.copy()
    lower[position] = upper[position] = 1.0
    program = replace(filled.program, column_lower=lower, column_upper=upper)
    return replace(filled, program=program)


def _miss(instance: Instance, configuration: Configuration) -> _Miss:
    """Return by how much, summed over its rows, one replica of a configuration misses."""
    filled = _one_replica(instance, configuration)
    program, template = filled.program, filled.template
    elastic = [row for row, label in enumerate(template.rows) if label.family not in STRUCTURAL]
    columns = len(template.columns)
    starts, indices, values = [0], list[int](), list[float]()
    slack_of = {row: columns + position for position, row in enumerate(elastic)}
    for row in range(len(template.rows)):
        span = slice(program.starts[row], program.starts[row + 1])
        indices += program.indices[span].tolist()
        values += program.values[span].tolist()
        if row in slack_of:
            indices.append(slack_of[row])
            values.append(-1.0)
        starts.append(len(indices))
    padding = np.zeros(len(elastic))
    answer = highs.solve(
        replace(
            program,
            cost=np.concatenate((np.zeros(columns), padding - 1.0)),
            column_lower=np.concatenate((program.column_lower, padding)),
            column_upper=np.concatenate((program.column_upper, padding + highs.INFINITY)),
            starts=np.array(starts, dtype=np.int32),
            indices=np.array(indices, dtype=np.int32),
            values=np.array(values),
        ),
        integers=False,
    )
    distance = -answer.objective if answer.optimal else float("inf")
    return _Miss(configuration, distance, filled)


def _conflicting_families(filled: Filled) -> list[str]:
    rows = highs.conflicting_rows(filled.program)
    found: list[str] = []
    for row in rows:
        label = filled.template.rows[row]
        name = label.family if label.family != "budget" else f"budget[{label.index}]"
        if label.family not in STRUCTURAL and name not in found:
            found.append(name)
    return found


def _limit_name(instance: Instance, family: str) -> str:
    if family.startswith("budget["):
        return instance.limits.budgets[int(family[7:-1])].name
    return family


def _extreme(filled: Filled, family: str, *, without: frozenset[str]) -> highs.Answer:
    """Maximise (or minimise, for power) a quantity of one replica without some of the limits."""
    program, template = filled.program, filled.template
    upper = program.row_upper.copy()
    for row, label in enumerate(template.rows):
        if label.family in without:
            upper[row] = highs.INFINITY
    cost = np.zeros(len(template.columns))
    if family == "steps":
        for column, label in enumerate(template.columns):
            cost[column] = filled.scale[column] if label.family == "steps" else 0.0
    else:
        row = template.row("power_cap")
        span = slice(program.starts[row], program.starts[row + 1])
        cost[program.indices[span]] = -program.values[span] / filled.row_scale[row]
    return highs.solve(replace(program, cost=cost, row_upper=upper), integers=False)


@dataclass(frozen=True)
class _Fastest:
    configuration: Configuration
    speed: float


def _fastest(instance: Instance, found: Found) -> _Fastest:
    """Return the configuration of the highest speed, whatever power it draws, in tok/s."""
    without = frozenset({"min_speed", "power_cap", "budget"})
    best = _Fastest(found.configurations[0], 0.0)
    for configuration in found.configurations:
        answer = _extreme(_one_replica(instance, configuration), "steps", without=without)
        accepted = step_tokens(instance, configuration).accepted
        speed = answer.objective * accepted * 1e3 if answer.optimal else 0.0
        if speed > best.speed:
            best = _Fastest(configuration, speed)
    return best


def _speed_sentence(instance: Instance, fastest: _Fastest) -> str:
    """Say how fast the fastest configuration is, and what its step is made of."""
    floor, configuration = float(instance.limits.min_speed), fastest.configuration
    batch = smallest_batch(configuration)
    exact = Segment(batch, batch)
    replica = replica_data(instance, configuration, max(configuration.clocks), exact)
    share = (0.0,) * len(replica.offloaded)
    done = work(replica, ClockPoint(1.0, 1.0, batch, share))
    parts = sorted(done.times.items(), key=lambda part: -part[1])[:2]
    made_of = ", ".join(f"{name} {time:.3g} ms" for name, time in parts)
    beside = " without LPUs" if replica.offloaded else ""
    gained = 1e3 * step_tokens(instance, configuration).accepted
    return (
        f"the speed floor of {floor:g} tok/s/user leaves {gained / floor:.3g} ms per step; the "
        f"fastest configuration, batch {batch:.0f} on {configuration}, needs "
        f"{gained / fastest.speed:.3g} ms = {fastest.speed:.4g} tok/s/user ({made_of}{beside})"
    )


def _power_sentence(instance: Instance, found: Found) -> tuple[str, Configuration, bool]:
    """Say what the thriftiest replica draws beside what is always on; whether the floor matters."""
    rack = rack_data(instance)
    cap = instance.power_cap_kw or 0.0
    fixed = number(rack.static_kw) * number(rack.power_overhead)
    scope = instance.limits.power_scope
    if fixed >= cap:
        return (
            f"static power {fixed:,.4g} kW alone reaches the power cap of {cap:,.4g} kW "
            f"({scope} scope)",
            found.configurations[0],
            False,
        )
    least, thriftiest = _thriftiest(instance, found, at_floor=False)
    at_floor = least <= cap
    if at_floor:
        least, thriftiest = _thriftiest(instance, found, at_floor=True)
    at_speed = f" at {float(instance.limits.min_speed):g} tok/s/user" if at_floor else ""
    return (
        f"static power {fixed:,.5g} kW + one replica{at_speed} and parked accelerators "
        f"{least - fixed:,.5g} kW = {least:,.5g} kW exceed the power cap of {cap:,.5g} kW "
        f"({scope} scope), even with {thriftiest}",
        thriftiest,
        at_floor,
    )


def _thriftiest(instance: Instance, found: Found, *, at_floor: bool) -> tuple[float, Configuration]:
    """Return the least power in kW at which one replica runs, and its configuration."""
    without = frozenset({"power_cap", "budget"} | (set() if at_floor else {"min_speed"}))
    least, thriftiest = float("inf"), found.configurations[0]
    for configuration in found.configurations:
        filled = _one_replica(instance, configuration)
        answer = _extreme(filled, "power", without=without)
        if answer.optimal:
            row = filled.template.row("power_cap")
            constant = 1.0 - filled.program.row_upper[row] / filled.row_scale[row]
            drawn = (constant - answer.objective) * (instance.power_cap_kw or 0.0)
            if drawn < least:
                least, thriftiest = drawn, configuration
    return least, thriftiest


def _budget_sentence(instance: Instance, position: int, configuration: Configuration) -> str:
    budget = instance.limits.budgets[position]
    use = configuration_data(instance, configuration, Segment(1.0, 1.0)).budgets[position]
    return (
        f"fixed {budget.fixed:g} + one replica {number(use.per_replica):g} {budget.unit} and what "
        f"its steps use exceed the capacity of {budget.capacity:g} {budget.unit}"
    )
