"""The rows of racks as columns, as `models.columns` declares them, in a larger program.

A rack of one group with one way is declared once per shape (budgets, limits, whether racks are
uniform), with a parameter for every number. Rows over the rack are sums over groups, and groups
sums over ways, so its entries, filled with the numbers of many groups and ways, are theirs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pyomo.core as pyo

from hbmopt.demand import Array, collect
from hbmopt.models.columns import OF_GROUPS, GroupData, declare_columns
from hbmopt.models.quantities import RackData
from hbmopt.plan.columns import Group, RackColumns
from hbmopt.program import (
    Entry,
    Formulas,
    Label,
    Row,
    extracted,
    highs,
    label_of,
    one_at_a_time,
    with_parameters,
)

SMALL = 1e-9
"""Entries up to this size change nothing; HiGHS would drop them as well."""

REPLICAS, WAY, CHOSEN = "replicas", "way", "chosen"
"""Columns of a group; all others are around the rack: racks, throughput and power."""


class ProgramRows:
    """Rows of a program that are added one by one to those that there are."""

    def __init__(self, program: highs.Program) -> None:
        self._program = program
        self.cost, self.lower = program.cost.tolist(), program.column_lower.tolist()
        self.upper, self.integer = program.column_upper.tolist(), list(program.integer)
        self._starts = [int(program.starts[-1])]
        self._indices, self._values = list[int](), list[float]()
        self._lower, self._upper = list[float](), list[float]()

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self._program.row_lower) + len(self._lower)

    def column(
        self, upper: float = highs.INFINITY, lower: float = 0.0, *, integer: bool = False
    ) -> int:
        """Add a column, by default from 0 up."""
        self.cost.append(0.0)
        self.lower.append(float(lower))
        self.upper.append(float(upper))
        if integer:
            self.integer.append(len(self.cost) - 1)
        return len(self.cost) - 1

    def row(self, entries: Sequence[tuple[int, float]], upper: float, *, equal: bool) -> int:
        """Add a row; return its place."""
        listed = [(place, value) for place, value in entries if abs(value) > SMALL]
        self._indices += [place for place, _ in listed]
        self._values += [value for _, value in listed]
        self._starts.append(self._starts[0] + len(self._indices))
        self._lower.append(upper if equal else -highs.INFINITY)
        self._upper.append(upper)
        return self.count - 1

    def whole(self) -> highs.Program:
        """Return the program with all rows."""
        before = self._program
        return highs.Program(
            cost=np.array(self.cost),
            column_lower=np.array(self.lower),
            column_upper=np.array(self.upper),
            integer=tuple(self.integer),
            row_lower=np.concatenate([before.row_lower, self._lower]),
            row_upper=np.concatenate([before.row_upper, self._upper]),
            starts=np.concatenate([before.starts, self._starts[1:]]).astype(np.int32),
            indices=np.concatenate([before.indices, self._indices]).astype(np.int32),
            values=np.concatenate([before.values, self._values]),
        )


@dataclass(frozen=True)
class PlacedColumns:
    """Where the groups and the rows over a rack stand in a program.

    `groups` are each with its column of replicas and its first column of ways.
    """

    groups: tuple[tuple[Group, int, int], ...]
    rows: dict[Label, int]

    def dual(self, answer: highs.Answer, family: str, index: int | None = None) -> float:
        """Return the multiplier of a row over the rack, 0 where it has no such row."""
        place = self.rows.get(Label(family, None, index))
        return float(answer.duals[place]) if place is not None else 0.0


@dataclass(frozen=True)
class _Declared:
    """The rows of a rack of one group with one way, and the function that fills their entries."""

    columns: tuple[Label, ...]
    rows: tuple[Row, ...]
    evaluate: Callable[[Sequence[Entry]], tuple[Entry, ...]]


_DECLARED: dict[tuple[object, ...], _Declared] = {}


@one_at_a_time
def _declared(rack: RackColumns) -> _Declared:
    """Return the rows of a rack's shape, extracted when it is met for the first time."""
    data, uniform = rack.rack, rack.instance.choices.uniform
    unlimited = data.power_cap_kw is None, data.min_tokens_per_ms is None
    shape = len(rack.fixed_budgets), uniform, rack.lpus, *unlimited
    if shape not in _DECLARED:
        _DECLARED[shape] = _extract(rack, uniform=uniform)
    return _DECLARED[shape]


def _extract(rack: RackColumns, *, uniform: bool) -> _Declared:
    model, (data, fixed_kw, fixed, most, group) = with_parameters(_numbers(rack, 1.0, []))
    model.racks, model.total_throughput, model.total_power = pyo.Var(), pyo.Var(), pyo.Var()
    declare_columns(
        model,
        replace(data, racks=model.racks),
        fixed_kw,
        fixed,
        [group],
        uniform=uniform,
        lpus=rack.lpus,
        racks_at_most=most,
        throughput=model.total_throughput,
        power=model.total_power,
    )
    formulas = Formulas()
    variables, rows = extracted(model, formulas)
    terms = [term for row in rows for term in (*row.entries, row.constant)]
    labels = tuple(label_of(variable.name) for variable in variables)
    return _Declared(labels, tuple(rows), formulas.function(terms))


RackNumbers = tuple[RackData, float, tuple[float, ...], float, GroupData]


def _numbers(rack: RackColumns, racks_at_most: float, groups: Sequence[Group]) -> RackNumbers:
    """Return the numbers of a rack's rows, those of its groups as arrays over all of their ways."""
    counts = [len(one.tokens) for one in groups]

    def by_group(values: Sequence[float]) -> Array:
        return np.repeat(np.array(values, dtype=float), counts)

    def by_way(values: Sequence[Sequence[float]]) -> Array:
        return np.array([one for each in values for one in each], dtype=float)

    every = GroupData(
        "groups",
        cast("float", by_group([one.most for one in groups])),
        cast("float", by_group([one.configuration.layout.accelerators for one in groups])),
        cast("float", by_group([one.configuration.lpu_units for one in groups])),
        cast("float", by_group([one.parked_kw for one in groups])),
        (cast("float", by_way([one.tokens for one in groups])),),
        (cast("float", by_way([one.power for one in groups])),),
        tuple(
            (
                cast("float", by_group([one.budgets[place][0] for one in groups])),
                (cast("float", by_way([one.budgets[place][1] for one in groups])),),
            )
            for place in range(len(rack.fixed_budgets))
        ),
    )
    return rack.rack, rack.fixed_kw, rack.fixed_budgets, racks_at_most, every


@dataclass(frozen=True)
class RackPlace:
    """Which columns of a program are a rack's: how many there are, their tok/s and their kW."""

    racks: int
    throughput: int
    power: int


def place_columns(
    rows: ProgramRows,
    rack: RackColumns,
    groups: Sequence[Group],
    place: RackPlace,
    racks_at_most: float,
) -> PlacedColumns:
    """Add the columns and rows of a rack's groups to a program."""
    declared = _declared(rack)
    entries = iter(declared.evaluate(collect(_numbers(rack, racks_at_most, groups), [])))
    replicas, ways = list[int](), list[list[int]]()
    for one in groups:
        replicas.append(rows.column(one.most * racks_at_most, integer=True))
        ways.append([rows.column() for _ in one.tokens])
    chosen = list[int]()
    if rack.instance.choices.uniform:
        chosen = [rows.column(1.0, integer=True) for _ in groups]
    *begins, total = np.cumsum([0, *map(len, ways)]).tolist()
    around = {
        "racks": place.racks,
        "total_throughput": place.throughput,
        "total_power": place.power,
    }
    columns = {
        WAY: ways,
        REPLICAS: [[one] for one in replicas],
        CHOSEN: [[one] for one in chosen],
        **{family: [[one]] * len(groups) for family, one in around.items()},
    }

    def of_group(
        position: int, values: Sequence[tuple[str, list[float]]]
    ) -> Iterator[tuple[int, float]]:
        """Yield the entries of a group, of values over all ways; the first is that of a group."""
        begin = begins[position]
        for family, each in values:
            own = columns[family][position]
            yield from zip(own, each[begin : begin + len(own)], strict=True)

    found, members = dict[Label, int](), range(len(groups))
    for row in declared.rows:
        pairs = [(declared.columns[column].family, next(entries)) for column in row.columns]
        values = [(family, np.broadcast_to(entry, total).tolist()) for family, entry in pairs]
        upper = -float(next(entries))
        if row.label.family in OF_GROUPS:
            for position in members:
                rows.row([*of_group(position, values)], upper, equal=row.equality)
            continue
        listed = [(around[family], float(entry)) for family, entry in pairs if family in around]
        inside = [(family, each) for family, each in values if family not in around]
        for position in members:
            listed += of_group(position, inside)
        found[row.label] = rows.row(listed, upper, equal=row.equality)
    return PlacedColumns(tuple(zip(groups, replicas, [one[0] for one in ways], strict=True)), found)
