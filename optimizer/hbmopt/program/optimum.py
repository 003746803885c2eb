"""A priced optimum: values and multipliers of a rack, wherever they were solved.

`hbmopt.solve` reads them from HiGHS, a planning model from Pyomo; limits and prices are computed
from this one form.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hbmopt.demand import (
    MILLION,
    PER_HOUR,
    Aim,
    Configuration,
    Demand,
    Point,
    Segment,
    aim_of,
    collect,
)
from hbmopt.instance import OBJECTIVES, Instance
from hbmopt.models.quantities import ConfigurationData, RackData, ReplicaData, number
from hbmopt.program.extraction import Label
from hbmopt.program.operation import Operation
from hbmopt.program.template import KERNEL, KERNEL_ROWS, STRUCTURAL, template_of
from hbmopt.program.witness import (
    ClockPoint,
    Work,
    kernel_times,
    rack_power,
    violations,
    work,
)

RUNNING = 1e-9
"""Replicas, or shares of their time, below which a clock does not run."""


@dataclass(frozen=True)
class ClockRun:
    """Part of the time of all replicas: a clock, and the steps per ms of one replica meanwhile.

    `offloaded` is the share of each offloadable component that is read from SRAM.
    """

    clock: float
    share: float
    steps: float
    offloaded: tuple[float, ...] = ()


@dataclass(frozen=True)
class ClockOperation:
    """One clock of a configuration: its coefficients, rates and work."""

    index: int
    replica: ReplicaData
    point: ClockPoint
    done: Work


@dataclass(frozen=True)
class RunningColumn:
    """One running configuration: its coefficients and the values of its variables."""

    configuration: Configuration
    data: ConfigurationData
    values: dict[Label, float]

    def value(self, family: str, clock: int | None = None, index: int | None = None) -> float:
        """Return the value of one variable."""
        return self.values[Label(family, clock, index)]

    def total(self, family: str, index: int | None = None) -> float:
        """Return the sum of a rate over the clocks."""
        return sum(
            value
            for label, value in self.values.items()
            if label.family == family and label.index == index
        )

    @property
    def replicas(self) -> int:
        """Replicas that run."""
        return round(self.value("replicas"))

    @property
    def batch(self) -> float:
        """Sequences per replica."""
        span = self.data.batches
        if isinstance(span.lowest, float) and span.lowest == span.highest:
            return span.lowest
        return self.total("sequences") / self.total("steps")

    @property
    def throughput(self) -> float:
        """Output tokens per second."""
        return 1e3 * sum(
            clock.point.sequences * number(clock.replica.tokens_per_sequence_step)
            for clock in self.clocks
        )

    @property
    def offloaded_share(self) -> tuple[float, ...]:
        """Offloaded share of each offloadable component."""
        steps = self.total("steps")
        return tuple(
            min(1.0, max(0.0, self.total("offloaded_steps", index) / steps))
            for index in range(len(self.data.clocks[0].offloaded))
        )

    def slacks(self, rack: RackData) -> dict[Label, float]:
        """Return what the declared rows leave, right-hand side less activity, by row."""
        template = template_of(rack, self.data)
        numbers = collect(self.data, collect(rack, []))
        # A kernel's variable may be more than it takes, where nothing is lost by that.
        taken = {
            Label(KERNEL, clock.index, kernel): spent
            for clock in self.clocks
            for kernel, spent in enumerate(kernel_times(clock.replica, clock.done))
        }
        point = np.array(
            [
                taken.get(label, 0.0) if label.family == KERNEL else self.values[label]
                for label in template.columns
            ]
        )
        return {
            label: float(slack.value(numbers, point))
            for label, slack in zip(template.rows, template.slacks, strict=True)
            if label.family not in STRUCTURAL
        }

    @cached_property
    def clocks(self) -> tuple[ClockOperation, ...]:
        """The clocks at which replicas run, with what they do there."""
        return clock_operations(self.data, self.values)


@dataclass(frozen=True)
class PricedColumn(RunningColumn):
    """A running configuration with the multipliers of its rows at a first-order model."""

    batches: Point
    duals: dict[Label, float]

    def dual(self, family: str, clock: int | None = None, index: int | None = None) -> float:
        """Return the multiplier of one row: d(objective) / d(right-hand side)."""
        return self.duals[Label(family, clock, index)]

    @property
    def kernel_worth(self) -> dict[str, float]:
        """Return d(objective) / d(ln speed) of each class of kernels.

        What a class takes less is left to the rows that say that it takes as long as what it reads
        and as its arithmetic.
        """
        worth = dict[str, float]()
        for clock in self.clocks:
            taken = kernel_times(clock.replica, clock.done)
            for kernel, (name, spent) in enumerate(zip(clock.done.kernels, taken, strict=True)):
                price = sum(self.dual(family, clock.index, kernel) for family in KERNEL_ROWS)
                worth[name] = worth.get(name, 0.0) + price * float(spent)
        return worth


@dataclass(frozen=True)
class RackPlan:
    """What a rack runs: its shared numbers and its running configurations."""

    rack: RackData
    columns: tuple[RunningColumn, ...]

    @property
    def throughput(self) -> float:
        """Output tokens per second."""
        return sum(column.throughput for column in self.columns)

    @property
    def batch(self) -> float:
        """Sequences that decode at once, over all replicas."""
        return sum(column.batch * column.replicas for column in self.columns)

    @property
    def power_kw(self) -> float:
        """Power in the rack's scope, from the physics."""
        clocks = [clock for column in self.columns for clock in column.clocks]
        running = sum(clock.done.power_kw + clock.done.lpu_power_kw for clock in clocks)
        return rack_power(self.rack, running, self.used_accelerators, self.used_lpus)

    @property
    def beside_kw(self) -> float:
        """Power in the rack's scope but for the accelerators that run."""
        clocks = [clock for column in self.columns for clock in column.clocks]
        running = sum(clock.done.power_kw for clock in clocks)
        return self.power_kw - number(self.rack.power_overhead) * running

    @property
    def used_accelerators(self) -> float:
        """Accelerators of the running replicas."""
        return sum(number(c.data.clocks[0].accelerators) * c.replicas for c in self.columns)

    @property
    def used_lpus(self) -> float:
        """LPUs of the running replicas."""
        return sum(number(c.data.clocks[0].lpu.units) * c.replicas for c in self.columns)

    def amount(self, aim: Aim) -> float:
        """Return the objective in its own unit."""
        made, speed = self.throughput, self.throughput / self.batch
        return float(aim.amount(made, self.power_kw, speed, self.used_accelerators))

    @property
    def violation(self) -> float:
        """The largest relative violation of a limit in the exact physics, 0 if there is none."""
        worst = 0.0
        for column in self.columns:
            pairs = [(clock.replica, clock.point) for clock in column.clocks]
            worst = max(worst, *violations(pairs).values())
        used = [(self.used_accelerators, self.rack.accelerators)]
        if self.used_lpus:
            used.append((self.used_lpus, self.rack.lpu_units))
        if self.rack.power_cap_kw is not None:
            used.append((self.power_kw, self.rack.power_cap_kw))
        for position, budget in enumerate(self.rack.budgets):
            used.append((self.budget_used(position), budget.capacity))
        return float(max(worst, *(amount / number(limit) - 1.0 for amount, limit in used)))

    def budget_used(self, position: int) -> float:
        """Return what is used of a declared budget, in its own unit."""
        fixed = number(self.rack.budgets[position].fixed) * number(self.rack.racks)
        return fixed + sum(
            number(column.data.budgets[position].per_replica) * column.replicas
            + 1e3 * number(column.data.budgets[position].per_step) * column.total("steps")
            + 1e3
            * number(column.data.budgets[position].per_sequence_step)
            * column.total("sequences")
            for column in self.columns
        )


@dataclass(frozen=True)
class PricedRack(RackPlan):
    """The optimum of a rack inside some program.

    `objective` is the program's value, in `objective_unit`. The weights are its derivatives with
    respect to the rack's tokens per ms, kW, pace and USD per hour from outside the rack's own rows.
    """

    columns: tuple[PricedColumn, ...]
    instance: Instance
    duals: dict[Label, float]
    objective: float
    throughput_weight: float
    power_weight: float
    pace_weight: float = 0.0
    cost_weight: float = 0.0
    objective_unit: str = "tok/s"


def clock_operations(
    data: ConfigurationData, values: dict[Label, float]
) -> tuple[ClockOperation, ...]:
    """Return the clocks at which replicas run, with their work from the physics."""
    found = []
    for index, replica in enumerate(data.clocks):
        running = values[Label("running", index, None)]
        steps = values[Label("steps", index, None)]
        if running <= RUNNING:
            continue
        # A replica may also rest at a clock.
        share = tuple(
            min(1.0, max(0.0, values[Label("offloaded_steps", index, part)] / steps))
            if steps > 0
            else 0.0
            for part in range(len(replica.offloaded))
        )
        point = ClockPoint(running, steps, values[Label("sequences", index, None)], share)
        found.append(ClockOperation(index, replica, point, work(replica, point)))
    return tuple(found)


def priced(instance: Instance, operation: Operation, batches: Point) -> PricedRack:
    """Return the priced optimum of a rack that was solved alone, in the unit of its objective."""
    template, worth, aim = operation.filled.template, operation.worth, aim_of(instance)
    duals = {label: float(dual) for label, dual in zip(template.rows, operation.duals, strict=True)}
    values = labelled_values(operation)
    column = PricedColumn(operation.configuration, operation.data, values, batches, duals)
    rack = PricedRack(
        instance=instance,
        rack=operation.rack,
        columns=(column,),
        duals=duals,
        objective=operation.objective,
        throughput_weight=number(worth.token),
        power_weight=-number(worth.kilowatt) + 0.0,
        pace_weight=number(worth.pace),
    )
    amount = amount_of(aim, operation)
    return quoted_in(rack, aim, amount, operation.power_kw, operation.replicas)


def quoted_in(
    rack: PricedRack, aim: Aim, amount: float, power_kw: float, replicas: float
) -> PricedRack:
    """Return a rack that was priced by what is worth what in the unit of its objective.

    Parameters
    ----------
    rack
        Priced in tokens per ms, or in whatever is least, as `Aim.worth` says.
    amount, power_kw, replicas
        The objective at the optimum in its own unit, the power there, and what runs.
    """
    scale, cost_weight = 1e3, 0.0
    if aim.objective == "tokens_per_joule":
        scale = 1.0 / power_kw
    elif aim.objective == "tokens_per_dollar":
        cost = float(aim.cost(power_kw))
        scale, cost_weight = 1e3 * PER_HOUR / MILLION / cost, -amount / cost
    elif aim.objective == "speed":
        scale = 1e3 / replicas
    elif aim.objective == "cost":
        scale, cost_weight = -float(aim.usd_per_kwh), 1.0
    elif aim.objective in ("power", "accelerators"):
        scale = -1.0
    return replace(
        rack,
        columns=tuple(
            replace(one, duals={label: scale * dual for label, dual in one.duals.items()})
            for one in rack.columns
        ),
        duals={label: scale * dual for label, dual in rack.duals.items()},
        objective=amount,
        throughput_weight=scale * rack.throughput_weight,
        power_weight=scale * rack.power_weight + 0.0,
        pace_weight=scale * rack.pace_weight,
        cost_weight=cost_weight,
        objective_unit=OBJECTIVES[aim.objective].unit,
    )


def amount_of(aim: Aim, operation: Operation) -> float:
    """Return the objective at an optimum, in its own unit."""
    made = 1e3 * operation.throughput
    if aim.objective == "throughput":
        return made
    speed = 1e3 * operation.pace / operation.replicas
    return float(aim.amount(made, operation.power_kw, speed, operation.accelerators))


def rack_plan(operation: Operation) -> RackPlan:
    """Return what a rack that was solved alone runs."""
    column = RunningColumn(operation.configuration, operation.data, labelled_values(operation))
    return RackPlan(operation.rack, (column,))


def running_column(
    demand: Demand, replicas: int, batch: float, parts: Sequence[ClockRun]
) -> RunningColumn:
    """Return replicas that run at one batch, at the clocks of `parts` and no others.

    Steps per ms are those of one replica.
    """
    demand = demand.with_clocks(tuple(part.clock for part in parts))
    values = {Label("replicas", None, None): float(replicas)}
    for clock, part in enumerate(parts):
        rate = replicas * part.share * part.steps
        values[Label("running", clock, None)] = replicas * part.share
        values[Label("steps", clock, None)] = rate
        values[Label("sequences", clock, None)] = rate * batch
        for index, share in enumerate(part.offloaded):
            values[Label("offloaded_steps", clock, index)] = rate * share
            values[Label("offloaded_sequences", clock, index)] = rate * share * batch
    return RunningColumn(demand.configuration, demand.over(Segment(batch, batch)), values)


def labelled_values(operation: Operation) -> dict[Label, float]:
    """Return the values of an operation's variables by label."""
    labels = operation.filled.template.columns
    return {label: float(value) for label, value in zip(labels, operation.values, strict=True)}
