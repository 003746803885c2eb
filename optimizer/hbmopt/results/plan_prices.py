"""Prices of a plan: the rows around the racks, the racks' rows and hardware inputs in one table.

The integers of the plan are held and the batches freed: every running group is replaced by the
first-order model of its declared program, until the optimum stays in place. The multipliers found
there are those of the exact program (see `hbmopt.points.polish`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import Array, Demand, Point, collect
from hbmopt.errors import SolverError
from hbmopt.models.quantities import RackData
from hbmopt.plan import MasterPlan, ProgramRows, RackColumns, RunningGroup, Surroundings
from hbmopt.points import point_around, settles
from hbmopt.program import (
    Asked,
    Filled,
    Label,
    PricedColumn,
    PricedRack,
    coefficients,
    filled_programs,
    highs,
)
from hbmopt.results.limits import constraint_table
from hbmopt.results.prices import SHARED, input_prices
from hbmopt.results.solution import ConstraintResult, InputResult

FIRST_ORDER_ROUNDS = 30

NEARLY = 1e-9
"""Share of a rate from which replicas run as fast as they can."""


@dataclass(frozen=True)
class PricedPlan:
    """The priced racks of a plan, and the multiplier of every row around them."""

    racks: tuple[PricedRack, ...]
    duals: Array
    objective: float


@dataclass(frozen=True)
class _Held:
    """A running group whose replicas are held, at the point of its first-order model."""

    running: RunningGroup
    demand: Demand
    point: Point
    slowed: bool

    @property
    def filled(self) -> Filled:
        """Return its program."""
        asked = Asked(self.demand, self.point, float(self.running.replicas))
        ((_, filled),) = filled_programs([asked])
        return filled


def price_plan(
    around: Surroundings, racks: Sequence[RackColumns], plan: MasterPlan, sign: float, unit: str
) -> PricedPlan:
    """Hold the integers, free the batches; return the priced racks and the rows around them.

    `sign` is -1 where the objective around the racks is to be minimised.

    Raises
    ------
    SolverError
        If the first-order model has no optimum, which a plan that exists rules out.
    """
    # Where power has no price, slower clocks only draw less: prices are those of the full one.
    held = [
        [_held(rack, one, slowed=slowed) for one in running]
        for rack, running, slowed in zip(racks, plan.running, plan.power_counts, strict=True)
    ]
    solved = _to_first_order(around, racks, plan, held)
    if not solved.answer.optimal:
        raise SolverError("no optimum around the plan")
    objective = sign * solved.answer.objective
    priced = tuple(
        solved.priced_rack(position, rack, own, sign, objective, unit)
        for position, (rack, own) in enumerate(zip(racks, solved.held, strict=True))
    )
    rows = len(around.program.row_lower)
    return PricedPlan(priced, sign * solved.answer.duals[:rows], objective)


def _to_first_order(
    around: Surroundings, racks: Sequence[RackColumns], plan: MasterPlan, held: list[list[_Held]]
) -> "_Solved":
    """Return the program solved around the point at which its optimum stays."""
    solved = _Solved(around, racks, plan, held)
    for _ in range(FIRST_ORDER_ROUNDS):
        if not solved.answer.optimal:
            break
        after = [[solved.moved(one) for one in own] for own in held]
        both = zip(held, after, strict=True)
        if all(_settled(*one) for own in both for one in zip(*own, strict=True)):
            wider = [
                [
                    _with_neighbours(one) if one.slowed or solved.priced_power(place) else one
                    for one in own
                ]
                for place, own in enumerate(held)
            ]
            if wider == held:
                break
            after = wider
        held = after
        solved = _Solved(around, racks, plan, held)
    return solved


def _with_neighbours(held: _Held) -> _Held:
    """Return a group that may run at the neighbours of its clocks as well."""
    listed = held.running.group.demand.configuration.clocks
    clocks, steps = held.demand.configuration.clocks, held.point.steps
    runs = [listed.index(one) for one, made in zip(clocks, steps, strict=True) if made > 0]
    wanted = {place + beside for place in runs for beside in (-1, 0, 1)}
    wider = {*clocks, *(listed[place] for place in wanted if 0 <= place < len(listed))}
    if wider == set(clocks):
        return held
    known = dict(zip(clocks, steps, strict=True))
    sorted_ = tuple(sorted(wider, reverse=True))
    point = replace(held.point, steps=tuple(known.get(clock, 0.0) for clock in sorted_))
    return replace(held, demand=held.demand.with_clocks(sorted_), point=point)


def _held(rack: RackColumns, running: RunningGroup, *, slowed: bool) -> _Held:
    parts, full, hot = rack.running(running.group, running.rate)
    clocks, demand = tuple(part.clock for part in parts), running.group.demand
    slowed = (slowed or hot) and (hot or running.rate < full * (1.0 - NEARLY))
    # What is bound by memory runs as fast at a lower clock, on less power than the full one takes.
    slowed = slowed or clocks != demand.configuration.clocks[:1]
    demand = demand.with_clocks(clocks if slowed else demand.configuration.clocks[:1])
    count = running.replicas
    steps = tuple(count * part.share * part.steps for part in parts)
    if len(steps) != len(demand.configuration.clocks):
        steps = (count * running.rate,)
    made = [(part.share * part.steps, part.offloaded) for part in parts]
    offloaded = _mean_shares(running.rate, made)
    point = point_around(demand, running.group.lowest, offloaded, steps)
    return _Held(running, demand, point, slowed)


def _mean_shares(
    rate: float, parts: Sequence[tuple[float, tuple[float, ...]]]
) -> tuple[float, ...]:
    """Return the offloaded shares of the mean step."""
    count = len(parts[0][1])
    return tuple(
        min(1.0, sum(steps * shares[part] for steps, shares in parts) / rate) if rate else 0.0
        for part in range(count)
    )


def _settled(before: _Held, after: _Held) -> bool:
    near, point = before.point, after.point
    return bool(settles(point.batch, near.batch, np.array(point.steps), np.array(near.steps)))


class _Solved:
    """The program in which the running groups are their first-order models, solved."""

    def __init__(
        self,
        around: Surroundings,
        racks: Sequence[RackColumns],
        plan: MasterPlan,
        held: Sequence[Sequence[_Held]],
    ) -> None:
        self._around, self._values = around, plan.values
        rows = ProgramRows(around.program)
        for place in around.program.integer:
            rows.lower[place] = rows.upper[place] = float(round(plan.values[place]))
        rows.integer = []
        self._placed: dict[int, tuple[Filled, int, int]] = {}
        self._shared: list[dict[Label, int]] = []
        self._links: list[tuple[int, int]] = []
        for position, (rack, own) in enumerate(zip(racks, held, strict=True)):
            self._declare(rows, position, rack, own)
        self.held = held
        self.answer = highs.solve(rows.whole(), integers=False)

    def priced_power(self, position: int) -> bool:
        """Whether one more kW for a kind of rack is worth anything."""
        cap = self._shared[position].get(Label("power_cap", None, None))
        rows = [self._links[position][1], *([cap] if cap is not None else [])]
        most = float(np.abs(self.answer.duals[rows]).max())
        return most > NEARLY * max(1.0, abs(self.answer.objective))

    def racks(self, position: int) -> float:
        """Return how many racks of a kind there are."""
        return float(round(self._values[self._around.racks[position]]))

    def _declare(
        self, rows: ProgramRows, position: int, rack: RackColumns, own: Sequence[_Held]
    ) -> None:
        """Add the programs of a rack's groups, with the rows over the rack as sums of theirs."""
        count = self.racks(position)
        numbers: RackData = replace(rack.rack, racks=count)
        tokens = [(self._around.throughput[position], 1.0)]
        power = [(self._around.power[position], 1.0)]
        sums: dict[Label, tuple[list[tuple[int, float]], float]] = {}
        for one in own:
            filled, data = one.filled, one.demand.over(one.point)
            template, raw = filled.template, coefficients(numbers, data)
            columns = [
                rows.column(upper, lower)
                for lower, upper in zip(
                    filled.program.column_lower, filled.program.column_upper, strict=True
                )
            ]
            first, begin = columns[0], rows.count
            for row, label in enumerate(template.rows):
                span = slice(filled.program.starts[row], filled.program.starts[row + 1])
                entries = _placed(first, filled.program.indices[span], filled.program.values[span])
                upper = float(filled.program.row_upper[row])
                kept = label.family not in SHARED
                equal = kept and bool(template.equality[row])
                rows.row(entries if kept else [], upper if kept else 0.0, equal=equal)
                if not kept and not template.counting[row]:
                    # What the rack has once is the same in every group's row.
                    span = slice(template.starts[row], template.starts[row + 1])
                    used = template.indices[span]
                    added = _placed(first, used, raw.values[span] * filled.scale[used])
                    known, _ = sums.get(label, ([], 0.0))
                    sums[label] = known + added, float(raw.upper[row])
            self._placed[id(one)] = filled, first, begin
            places = np.arange(len(template.columns))
            drawn = template.power.gradient(collect(data, collect(numbers, [])), len(places))
            tokens += _placed(first, places, -1e3 * raw.cost * filled.scale)
            power += _placed(first, places, -drawn * filled.scale)
        link = rows.row(tokens, 0.0, equal=False)
        taken = rows.row(power, rack.fixed_kw * count, equal=True)
        self._links.append((link, taken))
        self._shared.append(
            {
                label: rows.row(entries, upper, equal=False)
                for label, (entries, upper) in sums.items()
            }
        )

    def values(self, held: _Held) -> dict[Label, float]:
        """Return the values of a group's variables."""
        filled, first, _ = self._placed[id(held)]
        point = self.answer.point[first : first + len(filled.scale)] * filled.scale
        return dict(zip(filled.template.columns, point.tolist(), strict=True))

    def moved(self, held: _Held) -> _Held:
        """Return a group at the optimum of its first-order model."""
        values = self.values(held)
        clocks = len(held.demand.configuration.clocks)
        steps = tuple(values[Label("steps", clock, None)] for clock in range(clocks))
        sequences = sum(values[Label("sequences", clock, None)] for clock in range(clocks))
        batch = sequences / sum(steps)
        if abs(batch - held.point.batch) <= 1e-9 * batch:
            batch = held.point.batch
        parts = [
            (
                steps[clock],
                tuple(
                    values[Label("offloaded_steps", clock, part)] / steps[clock]
                    if steps[clock] > 0
                    else 0.0
                    for part in range(len(held.point.offloaded_share))
                ),
            )
            for clock in range(clocks)
        ]
        offloaded = _mean_shares(sum(steps), parts)
        return replace(held, point=point_around(held.demand, batch, offloaded, steps))

    def priced_rack(
        self,
        position: int,
        rack: RackColumns,
        held: Sequence[_Held],
        sign: float,
        objective: float,
        unit: str,
    ) -> PricedRack:
        """Return a rack with its multipliers."""
        duals = sign * self.answer.duals
        columns = []
        for one in held:
            filled, _, begin = self._placed[id(one)]
            labels = filled.template.rows
            own = duals[begin : begin + len(labels)] * filled.row_scale
            columns.append(
                PricedColumn(
                    one.demand.configuration,
                    one.demand.over(one.point),
                    self.values(one),
                    one.point,
                    dict(zip(labels, own.tolist(), strict=True)),
                )
            )
        tokens, power = self._links[position]
        shared = {Label(name, None, None): 0.0 for name in ("accelerators", "lpu_units")}
        shared |= {label: float(duals[row]) for label, row in self._shared[position].items()}
        numbers: RackData = replace(rack.rack, racks=self.racks(position))
        return PricedRack(
            rack=numbers,
            columns=tuple(columns),
            instance=rack.instance,
            duals=shared,
            objective=objective,
            throughput_weight=1e3 * float(duals[tokens]),
            power_weight=float(duals[power]),
            objective_unit=unit,
        )


def _placed(
    first: int, columns: NDArray[np.integer[Any]], values: Array
) -> list[tuple[int, float]]:
    """Return the entries of a group's columns, the first of which stands at a place."""
    pairs = zip(columns.tolist(), values.tolist(), strict=True)
    return [(first + int(column), float(value)) for column, value in pairs]


def price_table(
    names: Sequence[str], racks: Sequence[PricedRack], rows: Sequence[ConstraintResult]
) -> tuple[tuple[ConstraintResult, ...], tuple[InputResult, ...]]:
    """Return the user's rows and the racks' rows, and the inputs, under the names of the racks."""
    constraints, inputs = list(rows), list[InputResult]()
    for name, rack in zip(names, racks, strict=True):
        if rack.columns:
            constraints += [
                replace(row, name=f"{name}.{row.name}") for row in constraint_table(rack)
            ]
            inputs += [replace(one, name=f"{name}.{one.name}") for one in input_prices(rack)]
    return tuple(constraints), tuple(inputs)
