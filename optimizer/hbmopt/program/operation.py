"""The program of one configuration, solved: over a range of batches or around a point."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import Configuration, Demand, Point, Segment, collect
from hbmopt.models.objective import TOKENS, Worth
from hbmopt.models.quantities import ConfigurationData, RackData
from hbmopt.program import highs
from hbmopt.program.formulas import Formula
from hbmopt.program.template import Filled, Template, fill_many, template_for


@dataclass(frozen=True)
class Operation:
    """A solved program of one configuration: its numbers, and the values of its variables."""

    demand: Demand
    batches: Segment | Point
    rack: RackData
    filled: Filled
    answer: highs.Answer
    worth: Worth = TOKENS
    """What the program maximises."""

    @property
    def configuration(self) -> Configuration:
        """What runs, and the clocks that it may run at."""
        return self.demand.configuration

    @cached_property
    def data(self) -> ConfigurationData:
        """The numbers of the program."""
        return self.demand.over(self.batches)

    @property
    def objective(self) -> float:
        """What the program maximises, but for what is drawn whatever runs."""
        return self.answer.objective

    @cached_property
    def size(self) -> float:
        """How large the terms of the objective are, whatever their signs."""
        return float(np.abs(self.filled.program.cost * self.answer.point).sum())

    @cached_property
    def throughput(self) -> float:
        """Output tokens per ms."""
        if self.worth == TOKENS:
            return self.answer.objective
        return self._amount(self.filled.template.throughput)

    @cached_property
    def power_kw(self) -> float:
        """Power in the rack's scope."""
        return self._amount(self.filled.template.power)

    @cached_property
    def pace(self) -> float:
        """Output tokens per ms of one user of every replica."""
        return self._amount(self.filled.template.pace)

    @property
    def accelerators(self) -> float:
        """Accelerators that run."""
        return self.replicas * self.configuration.layout.accelerators

    def _amount(self, formula: Formula) -> float:
        numbers = collect(self.data, collect(self.rack, []))
        return float(formula.value(numbers, self.values))

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """Values of the variables, in the model's own units."""
        return self.answer.point * self.filled.scale

    @cached_property
    def duals(self) -> NDArray[np.float64]:
        """Multipliers of the model's own rows: d(objective) / d(right-hand side)."""
        return self.answer.duals * self.filled.row_scale

    def total(self, family: str, index: int | None = None) -> float:
        """Return the sum of a variable over the clocks."""
        return float(self.values[self.filled.template.places(family, index)].sum())

    @property
    def replicas(self) -> float:
        """Replicas that run."""
        return self.total("replicas")

    @property
    def batch(self) -> float:
        """Sequences per replica."""
        if self.batches.lowest == self.batches.highest:
            return self.batches.lowest
        steps = self.total("steps")
        return self.total("sequences") / steps if steps > 0 else 0.0

    @cached_property
    def clock_steps(self) -> tuple[float, ...]:
        """Steps per ms at each clock."""
        column = self.filled.template.column
        return tuple(
            float(self.values[column("steps", clock)])
            for clock in range(len(self.configuration.clocks))
        )

    @property
    def offloaded_share(self) -> tuple[float, ...]:
        """Offloaded share of each offloadable component."""
        steps = self.total("steps")
        replica = self.demand.whole_replica(self.configuration.clocks[0])
        return tuple(
            min(1.0, self.total("offloaded_steps", index) / steps) if steps > 0 else 0.0
            for index in range(len(replica.offloaded))
        )


@dataclass(frozen=True)
class Asked:
    """A program: of a configuration over a range of batches or around one.

    Its number of replicas is held, or free where it is None.
    """

    demand: Demand
    batches: Segment | Point
    replicas: float | None
    worth: Worth = TOKENS


Answered = TypeVar("Answered")

Solving: TypeAlias = Generator[Asked, Operation, Answered]
"""A question that takes several programs to answer: it asks for them one after the other."""


def solve_program(
    demand: Demand, batches: Segment | Point, replicas: float | None, worth: Worth = TOKENS
) -> Operation:
    """Solve the program of one configuration over a range of batches or around a point.

    The number of replicas is held, or free where it is None.
    """
    (solved,) = solve_programs([Asked(demand, batches, replicas, worth)])
    return solved


def solve_programs(asked: Sequence[Asked]) -> list[Operation]:
    """Solve many programs."""
    programs = filled_programs(asked)
    answers = highs.solve_all([one.program for _, one in programs], integers=False)
    return [
        Operation(one.demand, one.batches, rack, filled, answer, one.worth)
        for one, (rack, filled), answer in zip(asked, programs, answers, strict=True)
    ]


def filled_programs(asked: Sequence[Asked]) -> list[tuple[RackData, Filled]]:
    """Return many programs and the racks that they are of; those of one shape filled together."""
    racks = [one.demand.rack for one in asked]
    shapes: dict[int, tuple[Template, list[int]]] = {}
    for place, (rack, one) in enumerate(zip(racks, asked, strict=True)):
        template = template_for(rack, one.demand, one.batches)
        shapes.setdefault(id(template), (template, []))[1].append(place)
    filled = dict[int, Filled]()
    for template, places in shapes.values():
        listed = [
            [*collect(racks[one], []), *asked[one].demand.numbers(asked[one].batches)]
            for one in places
        ]
        numbers = np.array(listed).T
        spans = [asked[one].batches for one in places]
        lowest, highest = (np.array([getattr(one, end) for one in spans]) for end in ENDS)
        counts = [asked[one].replicas for one in places]
        replicas = (
            np.array([0.0 if one is None else one for one in counts]),
            np.array([highs.INFINITY if one is None else one for one in counts]),
        )
        worths = [asked[one].worth for one in places]
        made = fill_many(template, numbers, lowest, highest, replicas, worths)
        filled |= zip(places, made, strict=True)
    return [(rack, filled[place]) for place, rack in enumerate(racks)]


ENDS = ("lowest", "highest")


def answered(question: Solving[Answered]) -> Answered:
    """Answer one question."""
    ((_, answer),) = answered_together([question])
    return answer


def answered_together(questions: Sequence[Solving[Answered]]) -> Iterator[tuple[int, Answered]]:
    """Yield the place and the answer of each question as they are found.

    In every round the programs that all of them ask for are solved at one go.
    """
    going: list[tuple[int, Solving[Answered], Operation | None]]
    going = [(place, one, None) for place, one in enumerate(questions)]
    while going:
        asking = list[tuple[int, Solving[Answered], Asked]]()
        for place, one, solved in going:
            try:
                asking.append((place, one, next(one) if solved is None else one.send(solved)))
            except StopIteration as end:
                yield place, end.value
        solved_now = solve_programs([asked for _, _, asked in asking])
        going = [
            (place, one, solved) for (place, one, _), solved in zip(asking, solved_now, strict=True)
        ]
