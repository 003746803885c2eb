"""Why nothing can be served: the limits that cannot hold together, in words with numbers.

Without a replica every row holds at zero, so "infeasible" means that no configuration can run one
replica. For the configuration that misses by least, HiGHS names a smallest set of rows that
exclude each other (an irreducible infeasible subsystem); the sentence says what they amount to.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hbmopt.demand import (
    NO_MEMORY,
    Configuration,
    Demand,
    Rejection,
    Segment,
    configuration_data,
    enumerate_configurations,
    largest_batch,
    rack_data,
    replica_data,
    replica_sizes,
    smallest_batch,
    step_tokens,
)
from hbmopt.instance import Instance
from hbmopt.models.quantities import number
from hbmopt.models.rack import CLOCK_FAMILIES, CONFIGURATION_FAMILIES
from hbmopt.plan import search
from hbmopt.points import Target, TargetSearch, one_replica
from hbmopt.program import STRUCTURAL, ClockPoint, Filled, fill, highs, priced, step_parts, work
from hbmopt.results.limits import NO_ELASTICITY, constraint_table
from hbmopt.results.solution import Conflict

MOST_FLOORS = 10_000
"""Speed floors whose thriftiest configuration is kept, so that a long sweep takes no more."""


def explain_conflict(
    instance: Instance, configurations: Sequence[Configuration], rejections: Sequence[Rejection]
) -> Conflict:
    """Return the conflict of an instance in which there is no plan."""
    return Conflicts(instance, configurations, rejections).explain(instance)


class Conflicts:
    """Explains why nothing can be served, to many instances that differ in cap and floor alone.

    How fast and how thrifty each configuration is does not depend on these limits, so it is
    found once.
    """

    def __init__(
        self,
        instance: Instance,
        configurations: Sequence[Configuration],
        rejections: Sequence[Rejection],
    ) -> None:
        """Take the configurations that hold a sequence, and why others cannot run."""
        none: dict[str, object] = {"budgets": [], "budget_usd": None, "min_throughput": None}
        limits = instance.limits.model_copy(update=none)
        self._bare = instance.model_copy(update={"limits": limits})
        self._configurations, self._rejections = configurations, rejections
        self._least: dict[float, tuple[float, Configuration]] = {}

    def summary(self, instance: Instance) -> str:
        """Return the conflict in one sentence."""
        short = _short_of_demand(instance)
        if short is not None:
            return short.summary
        told = self._told(instance)
        return told.summary if told is not None else self.explain(instance).summary

    def explain(self, instance: Instance) -> Conflict:
        """Return the conflict with a smallest set of limits that exclude each other."""
        short = _short_of_demand(instance)
        if short is not None:
            return short
        told = self._told(instance)
        if told is not None and told.limits:
            return told
        too_slow = bool(self._configurations) and self._fastest[0] < _floor(instance)
        closest = self._closest(instance)
        asked = _unlimited_power(instance) if too_slow else instance
        families = _conflicting_families(_one_replica(asked, closest))
        names = tuple(_limit_name(instance, family) for family in families)
        if told is not None:
            first = () if too_slow else ("power_cap",)
            return replace(told, limits=tuple(dict.fromkeys((*first, *names))))
        rows = " and ".join(names) or "the rows of a replica"
        summary = f"{rows} cannot hold together for one replica of {closest}"
        for position, budget in enumerate(instance.budgets):
            if f"budget[{position}]" in families:
                summary = f"{budget.name}: {_budget_sentence(instance, position, closest)}"
        return Conflict(summary, str(closest), names)

    def _told(self, instance: Instance) -> Conflict | None:
        """Return what memory, speed and power say, without limits where these are to be found.

        None where they say nothing: then a declared budget takes part.
        """
        if not self._configurations:
            return _nothing_fits(instance, self._rejections)
        speed, fastest = self._fastest
        if speed <= 0.0:
            return Conflict(_draw_sentence(instance, fastest), str(fastest), ("accelerator_power",))
        if speed < _floor(instance):
            return Conflict(_speed_sentence(instance, fastest, speed), str(fastest), ())
        cap, fixed = instance.power_cap_kw, fixed_power(instance)
        if cap is None:
            return None
        scope = instance.limits.power_scope
        if fixed >= cap:
            summary = (
                f"static power {fixed:,.4g} kW alone reaches the power cap of {cap:,.4g} kW "
                f"({scope} scope)"
            )
            return Conflict(summary, str(self._configurations[0]), ("power_cap",))
        for floor in (0.0, _floor(instance)):
            least, thriftiest = self._thriftiest(floor)
            if least > cap:
                at_speed = f" at {floor:g} tok/s/user" if floor > 0 else ""
                summary = (
                    f"static power {fixed:,.5g} kW + one replica{at_speed} and parked accelerators "
                    f"{least - fixed:,.5g} kW = {least:,.5g} kW exceed the power cap of "
                    f"{cap:,.5g} kW ({scope} scope), even with {thriftiest}"
                )
                return Conflict(summary, str(thriftiest), ())
        return None

    @cached_property
    def _search(self) -> TargetSearch:
        return TargetSearch(self._bare, self._configurations)

    @cached_property
    def _fastest(self) -> tuple[float, Configuration]:
        speed, fastest = self._search.fastest()
        return speed, fastest or self._configurations[0]

    def _thriftiest(self, floor: float) -> tuple[float, Configuration]:
        """Return the least kW at which one replica runs at a floor, budgets left aside."""
        if floor not in self._least:
            if len(self._least) >= MOST_FLOORS:
                self._least.clear()
            least, thriftiest = self._search.least_power(Target(0.0, floor))
            self._least[floor] = least, thriftiest or self._configurations[0]
        return self._least[floor]

    def _closest(self, instance: Instance) -> Configuration:
        """Return the configuration of which one replica comes closest to what every plan needs."""
        found = TargetSearch(instance, self._configurations).closest(one_replica(instance))
        return found.point.configuration if found is not None else self._configurations[0]


def _short_of_demand(instance: Instance) -> Conflict | None:
    """Return the conflict of a demand that is more than the rack makes; None for any other.

    What is in its way is what binds where the rack makes most.
    """
    demand = instance.limits.min_throughput
    if demand is None:
        return None
    limits = instance.limits.model_copy(update={"min_throughput": None})
    free = instance.model_copy(update={"limits": limits, "objective": "throughput"})
    found = search(free)
    if found.point is None or found.relaxed is None or found.around is None:
        return None
    rows = constraint_table(priced(free, found.relaxed, found.around))
    binding = [row.name for row in rows if row.binding and abs(row.elasticity) > NO_ELASTICITY]
    runs, made = found.point.configuration, found.point.throughput
    summary = (
        f"the demand of {float(demand):,.6g} tok/s is more than the rack makes within its other "
        f"limits, {made:,.6g} tok/s with {found.point.replicas} x {runs}"
    )
    return Conflict(summary, str(runs), ("min_throughput", *binding))


def _floor(instance: Instance) -> float:
    return float(instance.limits.min_speed)


def _unlimited_power(instance: Instance) -> Instance:
    limits = instance.limits.model_copy(update={"power_capped": False})
    return instance.model_copy(update={"limits": limits})


def _asked(instance: Instance) -> str:
    """Say which sizes and degrees of parallelism an instance asks for, none of which divide."""
    choices = instance.choices
    sizes = ", ".join(str(size) for size in replica_sizes(instance)) or "none"
    asked = {
        "pipeline_parallel": choices.pipeline_parallel,
        "context_parallel": choices.context_parallel,
        "tensor_parallel": choices.tensor_parallel,
        "expert_parallel": choices.expert_parallel,
        "attention_data_parallel": choices.attention_data_parallel,
    }
    stated = ", ".join(f"{name} {values}" for name, values in asked.items() if values is not None)
    return (
        f"replicas of {sizes} accelerators with {stated}; stages have to divide a replica, and "
        "tensor, expert and attention-data parallelism a stage"
    )


def _nothing_fits(instance: Instance, rejections: Sequence[Rejection]) -> Conflict:
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
    kept = capacity - memory_of.usable / size
    reserved = f" less {kept:,.3g} GB that engines keep" if kept > 0 else ""
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


def _one_replica(instance: Instance, configuration: Configuration) -> Filled:
    """Return the program of a configuration that has to run one replica."""
    most = largest_batch(instance, configuration)
    segment = Segment(smallest_batch(configuration), most)
    # Mixes of few clocks stand for all: what is told is which limits exclude each other.
    clocks = configuration.clocks
    few = tuple(dict.fromkeys((clocks[0], clocks[len(clocks) // 2], clocks[-1])))
    demand = Demand(instance, configuration).with_clocks(few)
    # What one replica cannot do is said here, not what all of them together do not make.
    rack = replace(rack_data(instance), min_tokens_per_ms=None)
    filled = fill(rack, demand.over(segment))
    position = filled.template.column("replicas")
    lower, upper = filled.program.column_lower.copy(), filled.program.column_upper.copy()
    lower[position] = upper[position] = 1.0
    program = replace(filled.program, column_lower=lower, column_upper=upper)
    return replace(filled, program=program)


LEFT_OUT_LAST = ("step_time", "min_speed", "power_cap")
"""Limits that stay where several sets exclude each other: those that say most to a user."""


def _conflicting_families(filled: Filled) -> list[str]:
    """Return a smallest set of limits that exclude each other for one replica.

    Limits are left out one after the other as long as the rest cannot hold together. What is left
    is irreducible: without any one of them a replica could run. They come as `models` lists them.
    """
    families = dict.fromkeys(_family(filled, row) for row in range(len(filled.template.rows)))
    kept = [name for name in families if name not in STRUCTURAL]
    order = [name for name in kept if name not in LEFT_OUT_LAST]
    for name in [*order, *(name for name in LEFT_OUT_LAST if name in kept)]:
        rest = [one for one in kept if one != name]
        if not _hold_together(filled, rest):
            kept = rest
    listed = [one.limit.name for one in (*CLOCK_FAMILIES, *CONFIGURATION_FAMILIES)]
    return sorted(kept, key=lambda name: listed.index(name) if name in listed else len(listed))


def _family(filled: Filled, row: int) -> str:
    label = filled.template.rows[row]
    return label.family if label.family != "budget" else f"budget[{label.index}]"


def _hold_together(filled: Filled, families: list[str]) -> bool:
    """Whether one replica can keep some limits and what makes it a replica, whatever others say."""
    program, kept = filled.program, STRUCTURAL | set(families)
    upper, lower = program.row_upper.copy(), program.row_lower.copy()
    for row in range(len(upper)):
        if _family(filled, row) not in kept:
            upper[row], lower[row] = highs.INFINITY, -highs.INFINITY
    free = replace(program, cost=np.zeros(len(program.cost)), row_upper=upper, row_lower=lower)
    return highs.solve(free, integers=False).optimal


def _limit_name(instance: Instance, family: str) -> str:
    if family.startswith("budget["):
        return instance.budgets[int(family[7:-1])].name
    return family


def _draw_sentence(instance: Instance, configuration: Configuration) -> str:
    """Say that an accelerator that runs draws more than it may, before any work."""
    clock = min(configuration.clocks)
    batch = smallest_batch(configuration)
    power = replica_data(instance, configuration, clock, Segment(batch, batch)).power
    drawn, limit = 1e3 * number(power.active_kw), 1e3 * number(power.limit_kw)
    return (
        f"an accelerator that runs draws {drawn:,.4g} W at {clock:.3g} of the full clock before "
        f"any work, and its power limit is {limit:,.4g} W"
    )


def _speed_sentence(instance: Instance, configuration: Configuration, speed: float) -> str:
    """Say how fast the fastest configuration is, and what its step is made of."""
    floor = float(instance.limits.min_speed)
    batch = smallest_batch(configuration)
    exact = Segment(batch, batch)
    replica = replica_data(instance, configuration, max(configuration.clocks), exact)
    share = (0.0,) * len(replica.offloaded)
    done = work(replica, ClockPoint(1.0, 1.0, batch, share))
    parts = sorted(step_parts(done).items(), key=lambda part: -part[1])[:2]
    made_of = ", ".join(f"{name} {time:.3g} ms" for name, time in parts)
    beside = " without LPUs" if replica.offloaded else ""
    gained = 1e3 * step_tokens(instance, configuration).accepted
    return (
        f"the speed floor of {floor:g} tok/s/user leaves {gained / floor:.3g} ms per step; the "
        f"fastest configuration, batch {batch:.0f} on {configuration}, needs "
        f"{gained / speed:.3g} ms = {speed:.4g} tok/s/user "
        f"({made_of}{beside})"
    )


def fixed_power(instance: Instance) -> float:
    """Return the kW that are drawn whatever runs, parked devices left out."""
    rack = rack_data(instance)
    return number(rack.static_kw) * number(rack.power_overhead)


def _budget_sentence(instance: Instance, position: int, configuration: Configuration) -> str:
    """Say what one replica takes of a budget by itself and by its steps at the floor."""
    budget, floor = instance.budgets[position], float(instance.limits.min_speed)
    batch = smallest_batch(configuration)
    use = configuration_data(instance, configuration, Segment(batch, batch)).budgets[position]
    unit = f" {budget.unit}" if budget.unit != "1" else ""
    parts = f"fixed {budget.fixed:g} + one replica {number(use.per_replica):g}"
    total = budget.fixed + number(use.per_replica)
    rate = floor / step_tokens(instance, configuration).accepted
    steps = rate * (number(use.per_step) + number(use.per_sequence_step) * batch)
    if steps > 0:
        parts += f" + its steps at {floor:g} tok/s/user {steps:.4g}"
        total += steps
    return f"{parts} = {total:.4g}{unit} exceed the capacity of {budget.capacity:g}{unit}"
