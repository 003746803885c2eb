"""The program of a fleet, and what whole racks cost it at least.

The declared rows are read once. Relaxed, they let a class have a part of a rack, which costs small
fleets some per cent less than any plan. So the relaxation is made tighter: at the multipliers of
the rows that classes share, what the rows of one class in one period leave is solved with whole
racks, and what that reaches at most bounds every plan:

    c x <= beta        c: objective less multipliers times shared rows, x: columns of the class

for each class and period. The sum of these is the Lagrangian bound, as good as that of columns of
whole plans of each class (Dantzig-Wolfe).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyomo.core as pyo
from numpy.typing import NDArray
from pyomo.repn import generate_standard_repn

from hbmopt.basics import Told, tells_nobody
from hbmopt.demand import Array
from hbmopt.models.fleet.fleet import declare_fleet
from hbmopt.models.fleet.objective import objective_of
from hbmopt.models.fleet.quantities import FleetData
from hbmopt.program import InfeasiblePlanError, LinearReader, highs

Whole = NDArray[np.int64]

MOST_CUT_ROUNDS = 12

GAINED = 1e-5
"""Share of the objective that another round of cuts has to promise."""

SMALL = 1e-9
"""Entries of a cut up to this share of its largest change nothing."""


@dataclass(frozen=True)
class Block:
    """Columns and own rows of a class in a period."""

    columns: Whole
    rows: Whole


class FleetProgram:
    """The program of a fleet: declared, read, and made tighter."""

    def __init__(self, data: FleetData) -> None:
        self.data = data
        self.model = pyo.ConcreteModel()
        declare_fleet(self.model, data)
        self.model.best = pyo.Objective(
            expr=objective_of(self.model, data.objective), sense=pyo.maximize
        )
        reader = LinearReader()
        every = self.model.component_data_objects(pyo.Constraint, active=True)
        self.rows = [row for row in every if reader.row(row)]
        cost, self.constant = reader.cost(self.model.best)
        for index in data.indices():
            # A column that no row holds is one that costs nothing.
            for name in ("band_racks", "band_rate", "band_power"):
                reader.column(self.model.component(name)[index])
        self.declared = reader.program(
            np.concatenate([cost, np.zeros(len(reader.variables) - len(cost))])
        )
        self.scale = np.array(reader.scale)
        self.variables = reader.variables
        self.place = {id(one): place for place, one in enumerate(reader.variables)}
        self.blocks = self._found_blocks()
        self.program = self.declared

    def holds(self, name: str, *index: int) -> bool:
        """Whether any row, or the objective, holds a variable."""
        return id(self.model.component(name)[_key(index)]) in self.place

    def column(self, name: str, *index: int) -> int:
        """Return the column of a variable."""
        return self.place[id(self.model.component(name)[_key(index)])]

    def columns(self, name: str, indices: Sequence[tuple[int, ...]]) -> Whole:
        """Return the columns of a family of variables."""
        return np.array([self.column(name, *index) for index in indices], dtype=np.int64)

    def period_columns(self, period: int) -> Whole:
        """Return the columns of all classes in a period."""
        return np.concatenate([self.blocks[demand, period].columns for demand in self._demands])

    @property
    def _demands(self) -> range:
        return range(len(self.data.demands))

    def _found_blocks(self) -> dict[tuple[int, int], Block]:
        program, periods = self.declared, len(self.data.periods)
        owner = np.full(len(program.cost), -1, dtype=np.int64)
        for name in ("band_racks", "band_rate", "band_power", "placed"):
            for index, variable in self.model.component(name).items():
                place = self.place.get(id(variable))
                if place is not None:
                    owner[place] = self.data.pools[index[0]].demand * periods + index[1]
        lowest, highest = _ends_of_rows(program, owner)
        own = np.where((lowest == highest) & (lowest >= 0), lowest, -1)
        self.shared_rows = np.nonzero(own < 0)[0]
        return {
            (demand, period): Block(
                np.nonzero(owner == demand * periods + period)[0],
                np.nonzero(own == demand * periods + period)[0],
            )
            for demand in self._demands
            for period in range(periods)
        }

    def amount(self, name: str, point: Array, *index: int) -> float:
        """Return the value of an expression at a point."""
        one = self.model.component(name)
        form = generate_standard_repn(one[_key(index)] if index else one)
        places = [self.place.get(id(variable)) for variable in form.linear_vars]
        pairs = zip(form.linear_coefs, places, strict=True)
        # A variable without a column is held by nothing and is 0.
        return float(form.constant) + sum(
            float(value) * float(point[place]) for value, place in pairs if place is not None
        )

    def adopt(self, other: "FleetProgram") -> None:
        """Take the cuts of a program with other right-hand sides of what classes share."""
        first = len(other.declared.row_lower)
        ends = other.program.starts[first:]
        self.program = _with_cuts(
            self.program,
            [
                (
                    other.program.indices[start:end].astype(np.int64),
                    other.program.values[start:end],
                    float(most),
                )
                for start, end, most in zip(
                    ends[:-1], ends[1:], other.program.row_upper[first:], strict=True
                )
            ],
        )

    def relaxed(self, program: highs.Program | None = None) -> highs.Answer:
        """Solve without whole racks."""
        return highs.solve(program or self.program, integers=False)

    def tighten(self, told: Told = tells_nobody) -> float:
        """Add cuts until none gains; return what no plan exceeds.

        Raises
        ------
        InfeasiblePlanError
            If no racks, or no whole ones, keep all rows.
        """
        answer = self.relaxed()
        if not answer.optimal:
            raise InfeasiblePlanError("no plan serves the fleet")
        bound = answer.objective
        for turn in range(1, MOST_CUT_ROUNDS + 1):
            told(f"bounding every plan: round {turn}")
            cuts, gained = self._cuts(answer)
            if not cuts:
                break
            promised = answer.objective - gained
            self.program = _with_cuts(self.program, cuts)
            answer = self.relaxed()
            if not answer.optimal:
                raise InfeasiblePlanError("no whole racks serve the fleet")
            bound = min(bound, answer.objective)
            # At these multipliers the sum of the cuts is the bound that more of them may reach.
            if answer.objective - promised <= GAINED * abs(answer.objective):
                break
        return bound

    def _cuts(self, answer: highs.Answer) -> tuple[list[tuple[Whole, Array, float]], float]:
        """Return cuts that the relaxed point violates, and by how much in all."""
        program = self.declared
        duals = np.zeros(len(program.row_lower))
        duals[self.shared_rows] = answer.duals[: len(program.row_lower)][self.shared_rows]
        left = program.cost - times_rows(program, duals)
        whole = np.zeros(len(program.cost), dtype=bool)
        whole[list(program.integer)] = True
        priced = [
            one
            for one in self.blocks.values()
            if np.any(np.abs(left[one.columns][whole[one.columns]]) > SMALL)
        ]
        asked = [part_of(program, one.columns, one.rows, left[one.columns]) for one in priced]
        found = highs.solve_all(asked, integers=True)
        cuts, gained = list[tuple[Whole, Array, float]](), 0.0
        for one, best in zip(priced, found, strict=True):
            if not best.optimal:
                continue
            worth, most = left[one.columns], best.bound
            now = float(worth @ answer.point[one.columns])
            if now <= most + 1e-9 * max(1.0, abs(most)):
                continue
            kept = np.abs(worth) > SMALL * np.abs(worth).max()
            cuts.append((one.columns[kept], worth[kept], most))
            gained += now - most
        return cuts, gained


def _key(index: tuple[int, ...]) -> int | tuple[int, ...]:
    """Return an index as Pyomo has it: plain where there is but one."""
    (first, *others) = index
    return index if others else first


def _ends_of_rows(program: highs.Program, owner: Whole) -> tuple[Whole, Whole]:
    """Return the lowest and the highest owner of the columns of each row."""
    counts = np.diff(program.starts)
    row = np.repeat(np.arange(len(counts)), counts)
    lowest = np.full(len(counts), np.iinfo(np.int64).max)
    highest = np.full(len(counts), -2, dtype=np.int64)
    np.minimum.at(lowest, row, owner[program.indices])
    np.maximum.at(highest, row, owner[program.indices])
    return lowest, highest


def times_rows(program: highs.Program, duals: Array) -> Array:
    """Return the sum of all rows, each times its multiplier, by column."""
    row = np.repeat(np.arange(len(program.row_lower)), np.diff(program.starts))
    found = np.zeros(len(program.cost))
    np.add.at(found, program.indices, program.values * duals[row])
    return found


def rows_of(program: highs.Program, columns: Whole) -> Whole:
    """Return the rows that hold any of some columns."""
    held = np.zeros(len(program.cost), dtype=bool)
    held[columns] = True
    row = np.repeat(np.arange(len(program.row_lower)), np.diff(program.starts))
    return np.unique(row[held[program.indices]])


def part_of(
    program: highs.Program,
    columns: Whole,
    rows: Whole,
    cost: Array,
    fixed: Array | None = None,
) -> highs.Program:
    """Return the part of a program that has some columns and rows; others are `fixed`, or 0."""
    new = np.full(len(program.cost), -1, dtype=np.int64)
    new[columns] = np.arange(len(columns))
    starts, indices, values = [0], list[Whole](), list[Array]()
    moved = np.zeros(len(rows))
    for place, row in enumerate(rows.tolist()):
        span = slice(program.starts[row], program.starts[row + 1])
        places, entries = program.indices[span], program.values[span]
        inside = new[places] >= 0
        indices.append(new[places[inside]])
        values.append(entries[inside])
        if fixed is not None:
            moved[place] = float(entries[~inside] @ fixed[places[~inside]])
        starts.append(starts[-1] + int(inside.sum()))
    integer = set(program.integer)
    return highs.Program(
        cost=cost,
        column_lower=program.column_lower[columns],
        column_upper=program.column_upper[columns],
        integer=tuple(place for place, one in enumerate(columns.tolist()) if one in integer),
        row_lower=program.row_lower[rows] - moved,
        row_upper=program.row_upper[rows] - moved,
        starts=np.array(starts, dtype=np.int32),
        indices=np.concatenate([np.zeros(0), *indices]).astype(np.int32),
        values=np.concatenate([np.zeros(0), *values]),
    )


def alone(program: highs.Program, columns: Whole, cost: Array) -> highs.Program:
    """Return the part of a program that has some columns, as if there were no others."""
    others = np.setdiff1d(np.arange(len(program.cost)), columns)
    rows = np.setdiff1d(rows_of(program, columns), rows_of(program, others))
    return part_of(program, columns, rows, cost)


def _with_cuts(program: highs.Program, cuts: Sequence[tuple[Whole, Array, float]]) -> highs.Program:
    lengths = np.cumsum([len(columns) for columns, _, _ in cuts])
    return replace(
        program,
        row_lower=np.concatenate([program.row_lower, np.full(len(cuts), -highs.INFINITY)]),
        row_upper=np.concatenate([program.row_upper, [most for _, _, most in cuts]]),
        starts=np.concatenate([program.starts, program.starts[-1] + lengths]).astype(np.int32),
        indices=np.concatenate([program.indices, *(one for one, _, _ in cuts)]).astype(np.int32),
        values=np.concatenate([program.values, *(one for _, one, _ in cuts)]),
    )
