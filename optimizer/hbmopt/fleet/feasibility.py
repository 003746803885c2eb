"""Feasibility of a fleet: its program without an objective, and limits that are lifted or moved.

Only what has to be served counts, and of the periods of a year only those that ask for most: where
another one asks for no more of any class under no lower a cap, racks that serve the first serve the
second as well. That leaves few periods of many, and the same answer.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np

from hbmopt.demand import Array
from hbmopt.fleet.program import FleetProgram, Whole
from hbmopt.models.fleet.quantities import FleetData
from hbmopt.program import highs

HostRow: TypeAlias = Literal["host_gb", "host_busy", "storage_gb", "storage_busy", "cpu"]
"""Rows of what stands beside the accelerators of a type of rack."""

LimitKind: TypeAlias = Literal["power", "racks", "capital", "space", "switching", "demand", HostRow]

ROWS: dict[str, LimitKind] = {
    "power_cap": "power",
    "at_most": "racks",
    "capital": "capital",
    "space": "space",
    "switching": "switching",
    "demand": "demand",
    **{name: name for name in get_args(HostRow)},
}
"""The rows that are limits somebody may change; all others are how racks work."""

ORDER: tuple[LimitKind, ...] = (
    "demand",
    *get_args(HostRow),
    "switching",
    "space",
    "capital",
    "power",
    "racks",
)
"""The order in which limits are tried to be left out of a conflict."""

OF_THE_WHOLE = ("capital", "space", "switching")

CLOSELY = 1e-5
"""Relative gap of the least of a limit."""


@dataclass(frozen=True)
class Limit:
    """A limit of a fleet: its kind, and the place of its period, type of rack or class."""

    kind: LimitKind
    index: int = 0


class Feasibility:
    """Whether anything serves what a fleet has to serve, and how little of a limit is enough.

    Periods of `limits` and `data` are those that count.
    """

    def __init__(self, data: FleetData) -> None:
        self.data = what_counts(data)
        self.unserved = unserved(data)
        """Classes that have to be served and that have no pools for it."""
        self._program = FleetProgram(self.data) if self.data.pools else None
        self._rows = dict[Limit, list[int]]()
        for place, row in enumerate(self._program.rows if self._program is not None else ()):
            kind = ROWS.get(row.parent_component().local_name)
            if kind is not None:
                self._rows.setdefault(Limit(kind, _index(kind, row.index())), []).append(place)
        for at, rack in enumerate(self.data.kinds):
            if rack.at_most is not None and self._bought(at):
                self._rows.setdefault(Limit("racks", at), [])

    @property
    def limits(self) -> list[Limit]:
        """All limits that there are."""
        return list(self._rows)

    def of(self, kind: LimitKind) -> list[Limit]:
        """Return the limits of a kind."""
        return [one for one in self._rows if one.kind == kind]

    def possible(self, lifted: Iterable[Limit] = ()) -> bool:
        """Whether whole racks serve what has to be served without some limits."""
        if self.unserved:
            return False
        if self._program is None:
            return True
        # Where parts of racks do not do, whole ones need not be tried.
        program = self._without(lifted)
        if not highs.solve(program, integers=False).optimal:
            return False
        return highs.solve(program, integers=True).optimal

    def conflict(self) -> list[Limit]:
        """Return limits none of which can stay out for there to be no plan (a deletion filter).

        Demand goes first, so that few classes are left, and those that ask for most.
        """
        left, lifted = sorted(self._rows, key=self._first_to_go), list[Limit]()
        for one in list(left):
            if not self.possible([*lifted, one]):
                lifted.append(one)
                left.remove(one)
        return left

    def _first_to_go(self, limit: Limit) -> tuple[int, float]:
        if limit.kind == "demand":
            return 0, max(one.asked[limit.index] or 0.0 for one in self.data.periods)
        if limit.kind == "power":
            return ORDER.index("power"), -(self.data.periods[limit.index].cap_kw or 0.0)
        return ORDER.index(limit.kind), 0.0

    def least_racks(self, kind: int, lifted: Iterable[Limit] = ()) -> int | None:
        """Return how many racks of a type have to be bought at least, None if none are enough."""
        if self._program is None or self.unserved:
            return None
        program = self._without([*lifted, Limit("racks", kind)])
        cost = np.zeros(len(program.cost))
        cost[self._bought(kind)] = -1.0
        answer = highs.solve(replace(program, cost=cost), integers=True)
        return round(-answer.objective) if answer.optimal else None

    def least_more(self, limits: Collection[Limit], lifted: Iterable[Limit] = ()) -> float | None:
        """Return by how much limits have to move at least, all by as much; None if never enough.

        Power and capital move by shares of themselves, space by places, switching by racks. Demand
        moves down by a share of itself.
        """
        if self._program is None or self.unserved:
            return None
        program = self._without(lifted)
        rows = np.array(sorted(row for one in limits for row in self._rows[one]), dtype=np.int64)
        falls = any(one.kind == "demand" for one in limits)
        moved = self._program.scale[rows] * (1.0 if falls else -1.0)
        # Rows that ask for nothing have nothing to give.
        asking = program.row_upper[rows] > 0 if falls else np.ones(len(rows), dtype=bool)
        program = _with_column(program, rows[asking], moved[asking], 1.0 if falls else np.inf)
        answer = highs.solve(program, integers=True, gap=CLOSELY)
        return max(0.0, float(answer.point[-1])) if answer.optimal else None

    def _bought(self, kind: int) -> list[int]:
        """Return the columns of the purchases of a type that are possible at all."""
        if self._program is None:
            return []
        return [
            self._program.column("bought", kind, year)
            for year, first in enumerate(self.data.kinds[kind].runs)
            if first is not None and self._program.holds("bought", kind, year)
        ]

    def _without(self, lifted: Iterable[Limit]) -> highs.Program:
        """Return the program without an objective and without some limits."""
        if self._program is None:
            raise AssertionError("nothing has to be served")
        program = self._program.declared
        lower, upper = program.row_lower.copy(), program.row_upper.copy()
        most = program.column_upper.copy()
        for one in lifted:
            rows = self._rows.get(one, [])
            lower[rows], upper[rows] = -highs.INFINITY, highs.INFINITY
            if one.kind == "racks":
                most[self._bought(one.index)] = highs.INFINITY
        return replace(
            program,
            cost=np.zeros(len(program.cost)),
            row_lower=lower,
            row_upper=upper,
            column_upper=most,
        )


def _index(kind: LimitKind, index: int | tuple[int, ...] | None) -> int:
    """Return the period, type or class of a row; years and other periods are of one limit."""
    if kind in OF_THE_WHOLE or index is None:
        return 0
    return index[0] if isinstance(index, tuple) else index


def _with_column(program: highs.Program, rows: Whole, values: Array, most: float) -> highs.Program:
    """Return a program with one more column in some rows, of which as little as can be is taken."""
    ends = program.starts[rows + 1]
    entries = np.zeros(len(program.starts), dtype=np.int32)
    entries[rows + 1] = 1
    return replace(
        program,
        cost=np.append(np.zeros(len(program.cost)), -1.0),
        column_lower=np.append(program.column_lower, 0.0),
        column_upper=np.append(program.column_upper, most),
        starts=(program.starts + np.cumsum(entries)).astype(np.int32),
        indices=np.insert(program.indices, ends, len(program.cost)).astype(np.int32),
        values=np.insert(program.values, ends, values),
    )


def unserved(data: FleetData) -> list[int]:
    """Return the classes that have to be served and that nothing decodes, or prefills for."""
    return [
        place
        for place in range(len(data.demands))
        if _has_to_be_served(data, place) and not _has_pools(data, place)
    ]


def _has_pools(data: FleetData, demand: int) -> bool:
    decoding = [data.pools[pool] for pool in data.serving(demand, prefill=False)]
    alone = any(one.prompts_per_token == 0 for one in decoding)
    return alone or bool(decoding and data.serving(demand, prefill=True))


def _has_to_be_served(data: FleetData, demand: int) -> bool:
    return data.demands[demand].must_serve and any(one.asked[demand] for one in data.periods)


def pools_that_count(data: FleetData) -> list[int]:
    """Return the pools of classes that have to be served."""
    needed = [_has_to_be_served(data, place) for place in range(len(data.demands))]
    return [place for place, one in enumerate(data.pools) if needed[one.demand]]


def what_counts(data: FleetData) -> FleetData:
    """Return a fleet of the pools and periods on which it depends whether there is a plan."""
    pools = pools_that_count(data)
    periods = _periods_that_count(data, pools)
    return replace(
        data,
        periods=tuple(data.periods[period] for period in periods),
        pools=tuple(
            replace(
                data.pools[pool],
                headroom=tuple(data.pools[pool].headroom[period] for period in periods),
            )
            for pool in pools
        ),
        bands=tuple(tuple(data.bands[pool][period] for period in periods) for pool in pools),
    )


def _periods_that_count(data: FleetData, pools: Sequence[int]) -> list[int]:
    periods = range(len(data.periods))
    demands = sorted({data.pools[pool].demand for pool in pools})
    if data.switches is not None:
        return list(periods)

    def asked(period: int) -> list[float]:
        # What racks have to be able to make, with their headroom, grows with what is asked for.
        tokens = data.periods[period].asked
        able = [
            data.pools[pool].headroom[period] * (tokens[data.pools[pool].demand] or 0.0)
            for pool in pools
        ]
        return [*(tokens[demand] or 0.0 for demand in demands), *able]

    def cap(period: int) -> float:
        most = data.periods[period].cap_kw
        return np.inf if most is None else most

    kept = list[int]()
    hardest = sorted(periods, key=lambda period: (-sum(asked(period)), cap(period), period))
    for period in hardest:
        harder = (
            data.periods[other].year == data.periods[period].year
            and cap(other) <= cap(period)
            and all(more >= less for more, less in zip(asked(other), asked(period), strict=True))
            for other in kept
        )
        if not any(harder):
            kept.append(period)
    return sorted(kept)
