"""A priced optimum: values and multipliers of a rack, wherever they were solved.

`hbmopt.solve` reads them from HiGHS, a planning model from Pyomo; limits and prices are computed
from this one form.
"""

from dataclasses import dataclass
from functools import cached_property

from hbmopt.configuration import Configuration
from hbmopt.demand import Point
from hbmopt.instance import Instance
from hbmopt.models.quantities import ConfigurationData, RackData, ReplicaData
from hbmopt.physics import ClockPoint, Work, rack_power, work
from hbmopt.search import Operation
from hbmopt.template import Label

RUNNING = 1e-9
"""Replicas, or shares of their time, below which a clock does not run."""


@dataclass(frozen=True)
class ClockOperation:
    """One clock of a configuration: its coefficients, rates and work."""

    index: int
    replica: ReplicaData
    point: ClockPoint
    done: Work


@dataclass(frozen=True)
class PricedColumn:
    """One running configuration: values of its variables, multipliers of its rows."""

    configuration: Configuration
    data: ConfigurationData
    batches: Point
    values: dict[Label, float]
    duals: dict[Label, float]

    def value(self, family: str, clock: int | None = None, index: int | None = None) -> float:
        """Return the value of one variable."""
        return self.values[Label(family, clock, index)]

    def dual(self, family: str, clock: int | None = None, index: int | None = None) -> float:
        """Return the multiplier of one row: d(objective) / d(right-hand side)."""
        return self.duals[Label(family, clock, index)]

    def total(self, family: str) -> float:
        """Return the sum of a rate over the clocks."""
        return sum(
            value
            for label, value in self.values.items()
            if label.family == family and label.index is None
        )

    @property
    def replicas(self) -> int:
        """Replicas that run."""
        return round(self.value("replicas"))

    @property
    def batch(self) -> float:
        """Sequences per replica."""
        return self.total("sequences") / self.total("steps")

    @cached_property
    def clocks(self) -> tuple[ClockOperation, ...]:
        """The clocks at which replicas run, with what they do there."""
        return clock_operations(self.data, self.values)


@dataclass(frozen=True)
class PricedRack:
    """The optimum of a rack inside some program.

    `objective` is the program's value, `throughput_weight` and `power_weight` its derivatives
    with respect to the rack's tokens per ms and kW from outside the rack's own rows.
    """

    instance: Instance
    rack: RackData
    racks: float
    columns: tuple[PricedColumn, ...]
    duals: dict[Label, float]
    objective: float
    throughput_weight: float
    power_weight: float
    objective_unit: str = "tok/s"

    @property
    def power_kw(self) -> float:
        """Power in the rack's scope, from the physics."""
        clocks = [clock for column in self.columns for clock in column.clocks]
        running = sum(clock.done.power_kw + clock.done.lpu_power_kw for clock in clocks)
        return rack_power(self.rack, running, self.used_accelerators, self.used_lpus)

    @property
    def used_accelerators(self) -> float:
        """Accelerators of the running replicas."""
        return sum(number(c.data.clocks[0].accelerators) * c.replicas for c in self.columns)

    @property
    def used_lpus(self) -> float:
        """LPUs of the running replicas."""
        return sum(number(c.data.clocks[0].lpu.units) * c.replicas for c in self.columns)


def clock_operations(
    data: ConfigurationData, values: dict[Label, float]
) -> tuple[ClockOperation, ...]:
    """Return the clocks at which replicas run, with their work from the physics."""
    found = []
    for index, replica in enumerate(data.clocks):
        running = values[Label("running", index, None)]
        steps = values[Label("steps", index, None)]
        if running <= RUNNING or steps <= 0:
            continue
        share = tuple(
            min(1.0, max(0.0, values[Label("offloaded_steps", index, part)] / steps))
            for part in range(len(replica.offloaded))
        )
        point = ClockPoint(running, steps, values[Label("sequences", index, None)], share)
        found.append(ClockOperation(index, replica, point, work(replica, point)))
    return tuple(found)


def priced(instance: Instance, operation: Operation, batches: Point) -> PricedRack:
    """Return the priced optimum of a rack that was solved alone, in tokens per second."""
    template = operation.filled.template
    per_second = 1e3
    duals = {
        label: per_second * float(dual)
        for label, dual in zip(template.rows, operation.duals, strict=True)
    }
    values = labelled_values(operation)
    column = PricedColumn(operation.configuration, operation.data, batches, values, duals)
    return PricedRack(
        instance=instance,
        rack=operation.rack,
        racks=1.0,
        columns=(column,),
        duals=duals,
        objective=operation.throughput * per_second,
        throughput_weight=per_second,
        power_weight=0.0,
    )


def labelled_values(operation: Operation) -> dict[Label, float]:
    """Return the values of an operation's variables by label."""
    labels = operation.filled.template.columns
    return {label: float(value) for label, value in zip(labels, operation.values, strict=True)}


def number(value: object) -> float:
    """Return a coefficient as the float that it is outside of declared programs."""
    if not isinstance(value, float):
        raise TypeError(f"{value!r} is not a number")
    return value
