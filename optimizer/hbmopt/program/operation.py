"""The program of one configuration, solved: over a range of batches or around a point."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import Configuration, Demand, Point, Segment, rack_data
from hbmopt.models.quantities import ConfigurationData, RackData
from hbmopt.program import highs
from hbmopt.program.template import Filled, fill


@dataclass(frozen=True)
class Operation:
    """A solved program of one configuration: its numbers, and the values of its variables."""

    configuration: Configuration
    data: ConfigurationData
    rack: RackData
    filled: Filled
    answer: highs.Answer

    @property
    def throughput(self) -> float:
        """Output tokens per ms."""
        return self.answer.objective

    @property
    def values(self) -> NDArray[np.float64]:
        """Values of the variables, in the model's own units."""
        return self.answer.point * self.filled.scale

    @property
    def duals(self) -> NDArray[np.float64]:
        """Multipliers of the model's own rows: d(tokens per ms) / d(right-hand side)."""
        return self.answer.duals * self.filled.row_scale

    def total(self, family: str, index: int | None = None) -> float:
        """Return the sum of a variable over the clocks."""
        return float(
            sum(
                value
                for label, value in zip(self.filled.template.columns, self.values, strict=True)
                if label.family == family and label.index == index
            )
        )

    @property
    def replicas(self) -> float:
        """Replicas that run."""
        return self.total("replicas")

    @property
    def batch(self) -> float:
        """Sequences per replica."""
        span = self.data.batches
        if isinstance(span.lowest, float) and span.lowest == span.highest:
            return span.lowest
        steps = self.total("steps")
        return self.total("sequences") / steps if steps > 0 else 0.0

    @property
    def clock_steps(self) -> tuple[float, ...]:
        """Steps per ms at each clock."""
        column = self.filled.template.column
        return tuple(
            float(self.values[column("steps", clock)]) for clock in range(len(self.data.clocks))
        )

    @property
    def clock_batches(self) -> list[float]:
        """Sequences per replica at each clock that runs."""
        column = self.filled.template.column
        return [
            float(self.values[column("sequences", clock)]) / steps
            for clock, steps in enumerate(self.clock_steps)
            if steps > 1e-9 * sum(self.clock_steps)
        ]

    @property
    def offloaded_share(self) -> tuple[float, ...]:
        """Offloaded share of each offloadable component."""
        steps = self.total("steps")
        return tuple(
            min(1.0, self.total("offloaded_steps", index) / steps) if steps > 0 else 0.0
            for index in range(len(self.data.clocks[0].offloaded))
        )


def solve_program(
    demand: Demand,
    batches: Segment | Point,
    *,
    integers: bool,
    replicas: float | None = None,
) -> Operation:
    """Solve the program of one configuration over a range of batches or around a point.

    With `replicas` their number is fixed and the integrality dropped, which is what prices
    are read from.
    """
    rack, data = rack_data(demand.instance), demand.over(batches)
    filled = fill(rack, data)
    if replicas is not None:
        filled = with_replicas(filled, replicas)
    answer = highs.solve(filled.program, integers=integers)
    return Operation(demand.configuration, data, rack, filled, answer)


def with_replicas(filled: Filled, replicas: float) -> Filled:
    """Return a program in which the number of replicas is fixed."""
    program, template = filled.program, filled.template
    position = template.column("replicas")
    lower, upper = program.column_lower.copy(), program.column_upper.copy()
    lower[position] = upper[position] = replicas
    # With the replicas fixed the counts hold or not; free, they cannot take a price.
    row_upper = program.row_upper.copy()
    for row, label in enumerate(template.rows):
        if label.family in ("accelerators", "lpu_units"):
            row_upper[row] = highs.INFINITY
    program = replace(program, column_lower=lower, column_upper=upper, row_upper=row_upper)
    return replace(filled, program=program)
