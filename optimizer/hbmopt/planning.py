"""A rack inside a larger plan: a Pyomo block with all its configurations.

`rack_block` gives a block for the user's own model, which adds constraints and an objective over
`racks`, `throughput` (tok/s) and `power` (kW). The block alone is a sound program: any Pyomo
solver finds a bound that the batch ranges keep within a few per cent. `solve_model` makes it
exact: it solves, splits the ranges that the answer uses at the batch found, and solves again
until the answer uses single batches only, where nothing is approximated.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo
from pyomo.contrib.appsi.base import TerminationCondition
from pyomo.contrib.appsi.solvers.highs import Highs

from hbmopt import highs
from hbmopt.configuration import Configuration, enumerate_configurations
from hbmopt.demand import Point, Segment, configuration_data, largest_batch, rack_data
from hbmopt.errors import HbmoptError, InputError, SolverError
from hbmopt.instance import Instance, load
from hbmopt.limits import BINDING, constraint_table
from hbmopt.models.quantities import ConfigurationData, RackData
from hbmopt.models.rack import declare_rack
from hbmopt.models.throughput import maximise_throughput
from hbmopt.optimum import PricedColumn, PricedRack
from hbmopt.prices import SHARED, input_prices
from hbmopt.search import search
from hbmopt.solution import ConstraintResult, InputResult
from hbmopt.template import Label, coefficients, fill

if TYPE_CHECKING:
    import pandas as pd

RANGES = 4
"""Batch ranges that a configuration starts with, equal on a logarithmic scale."""

TOLERANCE = 1e-6
MOST_ROUNDS = 60
FIRST_ORDER_ROUNDS = 30

# Rows that count whole things: with the integers held they hold or not, and take no price.
COUNTING = ("accelerators", "lpu_units", "only_if_chosen", "one_chosen", "whole_racks")


@dataclass(frozen=True)
class Column:
    """One configuration over a range of batches, or around one batch."""

    configuration: Configuration
    batches: Segment | Point


@dataclass
class RackContents:
    """What a rack block was made from, and the columns that it holds now."""

    instance: Instance
    racks_at_most: int
    columns: list[Column] = field(default_factory=list)


def rack_block(
    source: Instance | str | Path | Mapping[str, Any],
    overrides: Mapping[str, Any] | list[str] | None = None,
    *,
    racks_at_most: int | None = None,
) -> pyo.Block:
    """Return a Pyomo block that holds a rack with all its configurations.

    Parameters
    ----------
    source, overrides
        An instance, or what `load` takes.
    racks_at_most
        Left out, the block is one rack. Given, ``racks`` is an integer variable from 0 to it:
        so many racks of this type are bought, and all run the same configuration.

    Returns
    -------
    pyomo.environ.Block
        With ``racks`` [1], ``throughput`` [tok/s], ``power`` [kW, in the instance's scope] and
        ``cost`` [USD, 0 where no price is known] for the user's own constraints.

    Raises
    ------
    InputError
        If the instance is not valid, or no configuration holds even one sequence.
    """
    instance = source if isinstance(source, Instance) else load(source, overrides)
    if racks_at_most is not None and racks_at_most < 1:
        raise InputError(f"racks_at_most={racks_at_most}: must be at least 1")
    contents = RackContents(instance, racks_at_most or 1)
    contents.columns = list(_first_columns(instance))
    if not contents.columns:
        raise InputError(f"{instance.name}: no configuration holds even one sequence; solve it alone")
    block = pyo.Block(concrete=True)
    block.racks = pyo.Var(
        within=pyo.NonNegativeIntegers, bounds=(0, contents.racks_at_most), doc="racks [1]"
    )
    if racks_at_most is None:
        block.racks.fix(1)
    block.throughput = pyo.Var(within=pyo.NonNegativeReals, doc="output tokens [tok/s]")
    block.power = pyo.Var(within=pyo.NonNegativeReals, doc="power [kW]")
    price = instance.rack.price
    offload = instance.rack.offload
    cost = (float(price) if price else 0.0) + (
        float(offload.price) if offload is not None and offload.price is not None else 0.0
    )
    block.cost = pyo.Expression(expr=cost * block.racks, doc="price of the racks [USD]")
    block.contents = contents
    _declare(block, uniform=instance.choices.uniform)
    return block


def _first_columns(instance: Instance) -> Iterator[Column]:
    configurations, _ = enumerate_configurations(instance)
    for configuration in configurations:
        most = largest_batch(instance, configuration)
        if most < 1.0:
            continue
        edges = [most ** (part / RANGES) for part in range(RANGES + 1)]
        if instance.llm.mixture is None and configuration.lpu_units == 0:
            edges = [1.0, most]
        for lowest, highest in zip(edges, edges[1:], strict=False):
            if highest > lowest:
                yield Column(configuration, Segment(lowest, highest))


PARTS = ("program", "throughput_link", "power_link")


@dataclass(frozen=True)
class _Declared:
    """The declared columns of a rack block, taken out to be put back later."""

    columns: list[Column]
    parts: tuple[Any, ...]


def _take_out(block: pyo.Block) -> _Declared:
    """Take the declared columns out of a rack block."""
    parts = tuple(block.component(name) for name in PARTS)
    for part in parts:
        if part is not None:
            block.del_component(part)
    return _Declared(block.contents.columns, parts)


def _put_back(block: pyo.Block, declared: _Declared) -> None:
    """Put declared columns back in place of those that the block holds."""
    _take_out(block)
    block.contents.columns = declared.columns
    for name, part in zip(PARTS, declared.parts, strict=True):
        block.add_component(name, part)


def _declare(block: pyo.Block, *, uniform: bool) -> None:
    """Declare the columns of a rack block, in place of those that it held before."""
    contents: RackContents = block.contents
    _take_out(block)
    data = [
        configuration_data(contents.instance, column.configuration, column.batches)
        for column in contents.columns
    ]
    rack = replace(rack_data(contents.instance), racks=block.racks)
    block.program = pyo.Block(concrete=True)
    declare_rack(
        block.program, rack, data, uniform=uniform, racks_at_most=float(contents.racks_at_most)
    )
    if not uniform:
        _whole_racks(block.program, block.racks, data)
    block.throughput_link = pyo.Constraint(
        expr=block.throughput == 1e3 * block.program.throughput, doc="tok/s from tokens/ms"
    )
    block.power_link = pyo.Constraint(expr=block.power == block.program.power, doc="kW")


def _whole_racks(program: pyo.Block, racks: pyo.Var, data: list[ConfigurationData]) -> None:
    program.whole_racks = pyo.Constraint(
        range(len(data)),
        rule=lambda _, index: program.configuration[index].replicas
        <= data[index].replicas_at_most * racks,
    )


def rack_blocks(model: pyo.Block) -> list[pyo.Block]:
    """Return the rack blocks of a model, in the order of their declaration."""
    return [
        block
        for block in model.component_data_objects(pyo.Block, active=True, descend_into=True)
        if isinstance(getattr(block, "contents", None), RackContents)
    ]


@dataclass(frozen=True)
class PlannedRack:
    """What one rack block does in a plan."""

    name: str
    racks: int
    configuration: str
    replicas: int
    batch: float
    speed_tok_s_user: float
    throughput_tok_s: float
    power_kw: float


@dataclass(frozen=True)
class Plan:
    """The optimum of a planning model, with the price of every row and hardware input."""

    status: str
    objective: float
    bound: float
    racks: tuple[PlannedRack, ...]
    constraints: tuple[ConstraintResult, ...]
    inputs: tuple[InputResult, ...]
    rounds: int
    seconds: float

    @property
    def prices(self) -> "pd.DataFrame":
        """One table of all prices: the user's rows, the racks' rows and hardware inputs."""
        import pandas as pd  # noqa: PLC0415 -- 0.3 s that only frames need

        rows: list[dict[str, Any]] = [
            {
                "name": row.name,
                "kind": "limit",
                "value": row.limit,
                "slack": row.slack,
                "binding": row.binding,
                "unit_price": row.unit_price,
                "unit": row.unit_price_unit,
                "elasticity": row.elasticity,
            }
            for row in self.constraints
        ]
        rows += [
            {
                "name": one.name,
                "kind": "input",
                "value": one.value,
                "slack": None,
                "binding": None,
                "unit_price": one.unit_price,
                "unit": one.unit_price_unit,
                "elasticity": one.elasticity,
            }
            for one in self.inputs
        ]
        return pd.DataFrame(rows).set_index("name")

    @property
    def racks_frame(self) -> "pd.DataFrame":
        """One row per rack block."""
        import pandas as pd  # noqa: PLC0415 -- 0.3 s that only frames need

        return pd.DataFrame([vars(one) for one in self.racks]).set_index("name")


class InfeasiblePlanError(HbmoptError):
    """No plan satisfies all constraints of the model."""


def solve_model(model: pyo.ConcreteModel, *, objective_unit: str = "objective") -> Plan:
    """Solve a planning model that holds rack blocks, exactly, and price all its rows.

    The model is left at the optimum: its variables hold the plan.

    Parameters
    ----------
    model
        A Pyomo model with one linear objective and at least one block from `rack_block`.
    objective_unit
        How to call a unit of the objective in the table of prices.

    Raises
    ------
    InputError
        If the model has no rack block or not exactly one active objective.
    InfeasiblePlanError
        If no plan satisfies all constraints.
    SolverError
        If HiGHS stops without a proof.
    """
    begun = time.perf_counter()
    blocks = rack_blocks(model)
    if not blocks:
        raise InputError("the model holds no rack block; add one with hbmopt.rack_block(...)")
    objectives = list(model.component_data_objects(pyo.Objective, active=True))
    if len(objectives) != 1:
        raise InputError(f"the model has {len(objectives)} active objectives; it needs one")
    refinement = _Refinement(model, blocks, objectives[0])
    bound, rounds = refinement.run()
    objective = pyo.value(objectives[0])
    planned = tuple(_planned(block) for block in blocks)
    constraints, inputs = _priced(model, blocks, objectives[0], objective_unit)
    refinement.restore()
    return Plan(
        "optimal",
        objective,
        bound,
        planned,
        constraints,
        inputs,
        rounds,
        time.perf_counter() - begun,
    )


def _solver() -> Highs:
    solver = Highs()
    solver.config.load_solution = False
    solver.highs_options = {"threads": 1, "mip_rel_gap": 1e-9, "random_seed": 0}
    return solver


def _solve(model: pyo.ConcreteModel) -> tuple[Highs, float]:
    """Solve a model and load its solution. Raises where there is none."""
    solver = _solver()
    result = solver.solve(model)
    if result.termination_condition in (
        TerminationCondition.infeasible,
        TerminationCondition.infeasibleOrUnbounded,
    ):
        raise InfeasiblePlanError(
            "no plan satisfies all constraints of the model; relax one of them, or solve each rack "
            "alone to see its own limits"
        )
    if result.termination_condition != TerminationCondition.optimal:
        raise SolverError(f"HiGHS stopped without a proof: {result.termination_condition.name}")
    solver.load_vars()
    return solver, float(result.best_feasible_objective)


class _Refinement:
    """Solve, split the batch ranges in use, solve again, until only single batches are used."""

    def __init__(
        self, model: pyo.ConcreteModel, blocks: list[pyo.Block], objective: pyo.Objective
    ) -> None:
        self.model = model
        self.blocks = blocks
        self.objective = objective
        self.sign = 1.0 if objective.sense == pyo.maximize else -1.0
        self.incumbent = -math.inf
        self.best: list[list[Column]] = []

    def run(self) -> tuple[float, int]:
        """Leave the model at its exact optimum; return the proven bound and the rounds used."""
        bound = self._drop_hopeless()
        for rounds in range(1, MOST_ROUNDS + 1):
            _, found = _solve(self.model)
            bound = found
            used = [_used_columns(block) for block in self.blocks]
            self._offer(used)
            gap = self.sign * bound - self.incumbent
            if gap <= TOLERANCE * max(1.0, abs(self.incumbent)):
                break
            for block, columns in zip(self.blocks, used, strict=True):
                _split(block, columns)
                _declare(block, uniform=block.contents.instance.choices.uniform)
        self._take(self.best)
        _solve(self.model)
        return bound, rounds

    def restore(self) -> None:
        """Leave the model at the exact optimum again."""
        self._take(self.best)
        _solve(self.model)

    def _take(self, columns: list[list[Column]]) -> None:
        for block, own in zip(self.blocks, columns, strict=True):
            block.contents.columns = own
            _declare(block, uniform=block.contents.instance.choices.uniform)

    def _offer(self, used: list[list[tuple[Column, float]]]) -> None:
        """Solve with single batches at those found; keep the plan if it is the best so far."""
        exact = [
            _exact(block, columns) for block, columns in zip(self.blocks, used, strict=True)
        ]
        before = [_take_out(block) for block in self.blocks]
        self._take(exact)
        try:
            _, value = _solve(self.model)
        except InfeasiblePlanError:
            value = -self.sign * math.inf
        if self.sign * value > self.incumbent:
            self.incumbent = self.sign * value
            self.best = [
                [column for column, _ in _used_columns(block)] or columns[:1]
                for block, columns in zip(self.blocks, exact, strict=True)
            ]
        for block, declared in zip(self.blocks, before, strict=True):
            _put_back(block, declared)

    def _drop_hopeless(self) -> float:
        """Relax the integers, find a first plan, and drop the columns that cannot beat it.

        A column that costs the relaxation more than it leaves over the best known plan is in
        no better plan.
        """
        integers = [
            (variable, variable.domain)
            for variable in self.model.component_data_objects(pyo.Var, descend_into=True)
            if variable.is_integer() or variable.is_binary()
        ]
        bounds = [(variable.lb, variable.ub) for variable, _ in integers]
        for (variable, _), (lower, upper) in zip(integers, bounds, strict=True):
            variable.domain = pyo.Reals
            variable.setlb(lower)
            variable.setub(upper)
        solver, bound = _solve(self.model)
        duals = solver.get_duals()
        used = [_used_columns(block, least=1e-6) for block in self.blocks]
        values = [_entry_values(block, duals, self.sign) for block in self.blocks]
        for variable, domain in integers:
            variable.domain = domain
        self._offer([_alone(block) for block in self.blocks])
        self._offer(used)
        room = self.sign * bound - self.incumbent + TOLERANCE * max(1.0, abs(self.incumbent))
        for block, entry in zip(self.blocks, values, strict=True):
            contents: RackContents = block.contents
            kept = [
                column
                for column, value in zip(contents.columns, entry, strict=True)
                if value >= -room
            ]
            contents.columns = kept or contents.columns[:1]
            _declare(block, uniform=contents.instance.choices.uniform)
        return bound


def _alone(block: pyo.Block) -> list[tuple[Column, float]]:
    """Return the column that would run if the rack stood alone."""
    plan = search(block.contents.instance).plan
    if plan is None:
        return []
    batch = plan.batch
    return [(Column(plan.configuration, Segment(batch, batch)), batch)]


def _entry_values(block: pyo.Block, duals: Any, sign: float) -> list[float]:
    """Return what the relaxation changes if it has to run one replica of each column.

    The Lagrangian bound: rows that the column shares with others are priced by their
    multipliers, its own rows hold. No plan that runs the column exceeds the relaxation plus
    this value, which is at most 0.
    """
    program, contents = block.program, block.contents
    rack = rack_data(contents.instance)
    per_token = sign * 1e3 * float(duals[block.throughput_link])
    per_kw = sign * float(duals[block.power_link])
    single = program.component("one_chosen")
    entry = sign * float(duals[single]) if single is not None else 0.0
    shared = {
        _label(row, program): sign * float(duals.get(row, 0.0))
        for name in SHARED
        for row in _members(program.component(name))
    }
    found = []
    for index, column in enumerate(contents.columns):
        data = configuration_data(contents.instance, column.configuration, column.batches)
        raw, filled = coefficients(rack, data), fill(rack, data)
        template = raw.template
        cost = per_token * raw.cost + per_kw * raw.power
        upper = filled.program.row_upper.copy()
        for row, label in enumerate(template.rows):
            if label.family in SHARED:
                span = slice(template.starts[row], template.starts[row + 1])
                price = shared.get(label, 0.0)
                np.add.at(cost, template.indices[span], -price * raw.values[span])
                upper[row] = highs.INFINITY
        replicas = template.column("replicas")
        if program.component("whole_racks") is not None:
            cost[replicas] -= sign * float(duals.get(program.whole_racks[index], 0.0))
        lower = filled.program.column_lower.copy()
        most = filled.program.column_upper.copy()
        lower[replicas] = 1.0
        most[replicas] *= contents.racks_at_most
        answer = highs.solve(
            replace(
                filled.program,
                cost=cost * filled.scale,
                column_lower=lower,
                column_upper=most,
                row_upper=upper,
            ),
            integers=False,
        )
        found.append(answer.objective - entry if answer.optimal else -math.inf)
    return found


def _members(component: Any) -> list[Any]:
    return [] if component is None else list(component.values())


def _used_columns(block: pyo.Block, least: float = 0.5) -> list[tuple[Column, float]]:
    """Return the columns that run, with the batch of each."""
    found = []
    for index, column in enumerate(block.contents.columns):
        part = block.program.configuration[index]
        if (part.replicas.value or 0.0) < least:
            continue
        steps = sum(clock.steps.value or 0.0 for clock in part.clock.values())
        sequences = sum(clock.sequences.value or 0.0 for clock in part.clock.values())
        if steps > 0:
            found.append((column, sequences / steps))
    return found


def _whole(instance: Instance, batch: float) -> float:
    return max(1.0, math.floor(batch + 1e-6)) if instance.choices.whole_sequences else batch


def _exact(block: pyo.Block, used: list[tuple[Column, float]]) -> list[Column]:
    """Return columns of single batches at those in use; one that is idle where none is."""
    instance = block.contents.instance
    found: list[Column] = []
    for column, batch in used:
        at = _whole(instance, batch)
        exact = Column(column.configuration, Segment(at, at))
        if exact not in found:
            found.append(exact)
    if not found:
        configuration = block.contents.columns[0].configuration
        found.append(Column(configuration, Segment(1.0, 1.0)))
    return found


def _split(block: pyo.Block, used: list[tuple[Column, float]]) -> None:
    """Split the batch ranges in use at the batch found."""
    contents: RackContents = block.contents
    whole = contents.instance.choices.whole_sequences
    for column, batch in used:
        segment = column.batches
        if not isinstance(segment, Segment) or segment.lowest == segment.highest:
            continue
        at = _whole(contents.instance, batch)
        above = at + 1.0 if whole else at
        parts = [(segment.lowest, at), (at, at), (above, segment.highest)]
        contents.columns.remove(column)
        for lowest, highest in parts:
            new = Column(column.configuration, Segment(lowest, highest))
            if lowest <= highest and new not in contents.columns and new != column:
                contents.columns.append(new)


def _planned(block: pyo.Block) -> PlannedRack:
    used = _used_columns(block)
    names = ", ".join(str(column.configuration) for column, _ in used)
    replicas = [
        round(part.replicas.value or 0.0) for part in block.program.configuration.values()
    ]
    sequences = sum(
        batch * (count or 0)
        for (_, batch), count in zip(used, [count for count in replicas if count], strict=False)
    )
    throughput = float(block.throughput.value or 0.0)
    return PlannedRack(
        name=block.name,
        racks=round(block.racks.value or 0),
        configuration=names or "idle",
        replicas=sum(replicas),
        batch=sequences,
        speed_tok_s_user=throughput / sequences if sequences else 0.0,
        throughput_tok_s=throughput,
        power_kw=float(block.power.value or 0.0),
    )


def _priced(
    model: pyo.ConcreteModel, blocks: list[pyo.Block], objective: pyo.Objective, unit: str
) -> tuple[tuple[ConstraintResult, ...], tuple[InputResult, ...]]:
    """Hold the integers, free the batches, and price every row of the model."""
    inner = {id(variable) for block in blocks for variable in _inner(block)}
    held = [
        (variable, variable.domain, variable.fixed)
        for variable in model.component_data_objects(pyo.Var, descend_into=True)
        if (variable.is_integer() or variable.is_binary()) and id(variable) not in inner
    ]
    for variable, _, _ in held:
        # Fixed and no longer integer: only then is it a linear program with multipliers.
        variable.domain = pyo.Reals
        variable.fix(round(variable.value or 0.0))
    solver = _to_first_order(model, blocks)
    duals = solver.get_duals()
    value = pyo.value(objective)
    constraints: list[ConstraintResult] = []
    inside = {id(row) for block in blocks for row in _rows(block)}
    for row in model.component_data_objects(pyo.Constraint, active=True, descend_into=True):
        if id(row) not in inside:
            constraints += _user_rows(row, duals.get(row, 0.0), value, unit)
    inputs: list[InputResult] = []
    for block in blocks:
        priced = _priced_rack(block, duals, value, unit)
        if priced.columns:
            constraints += [
                replace(row, name=f"{block.name}.{row.name}") for row in constraint_table(priced)
            ]
            inputs += [replace(one, name=f"{block.name}.{one.name}") for one in input_prices(priced)]
    for variable, domain, fixed in held:
        variable.domain = domain
        if not fixed:
            variable.unfix()
    return tuple(constraints), tuple(inputs)


def _inner(block: pyo.Block) -> list[pyo.Var]:
    return list(block.program.component_data_objects(pyo.Var, descend_into=True))


def _rows(block: pyo.Block) -> list[pyo.Constraint]:
    return list(block.component_data_objects(pyo.Constraint, descend_into=True))


def _to_first_order(model: pyo.ConcreteModel, blocks: list[pyo.Block]) -> Highs:
    """Replace the running columns by first-order models until their optimum stays in place."""
    solver = None
    for _ in range(FIRST_ORDER_ROUNDS):
        moved = 0.0
        points = [_points(block) for block in blocks]
        for block, own in zip(blocks, points, strict=True):
            replicas = [count for _, count in own]
            block.contents.columns = [column for column, _ in own]
            _declare(block, uniform=False)
            for name in COUNTING:
                if block.program.component(name) is not None:
                    block.program.component(name).deactivate()
            for part, count in zip(block.program.configuration.values(), replicas, strict=True):
                part.replicas.domain = pyo.Reals
                part.replicas.fix(count)
        solver, _ = _solve(model)
        for block, own in zip(blocks, points, strict=True):
            for (column, _), (_, batch) in zip(own, _used_columns(block), strict=False):
                at = column.batches.batch if isinstance(column.batches, Point) else batch
                moved = max(moved, abs(batch / at - 1.0))
        if moved <= 1e-10:
            break
    if solver is None:
        raise AssertionError
    return solver


def _points(block: pyo.Block) -> list[tuple[Column, int]]:
    """Return the running columns as first-order models at their values, with their replicas."""
    contents: RackContents = block.contents
    found = []
    for index, column in enumerate(contents.columns):
        part = block.program.configuration[index]
        count = round(part.replicas.value or 0.0)
        clocks = list(part.clock.values())
        steps = tuple(float(clock.steps.value or 0.0) for clock in clocks)
        if count == 0 or sum(steps) <= 0:
            continue
        batch = sum(clock.sequences.value or 0.0 for clock in clocks) / sum(steps)
        share = tuple(
            min(1.0, sum(clock.offloaded_steps[part_].value or 0.0 for clock in clocks) / sum(steps))
            for part_ in clocks[0].offloaded_steps
        )
        most = 2.0 * largest_batch(contents.instance, column.configuration)
        lowest, highest = (max(1.0, batch / 1.25), min(most, batch * 1.25)) if share else (1.0, most)
        point = Point(batch, share, steps, lowest, highest)
        found.append((Column(column.configuration, point), count))
    return found


def _priced_rack(block: pyo.Block, duals: Any, objective: float, unit: str) -> PricedRack:
    contents: RackContents = block.contents
    program = block.program
    columns = []
    for index, column in enumerate(contents.columns):
        part = program.configuration[index]
        if not isinstance(column.batches, Point):
            raise TypeError("prices are read at first-order models")
        columns.append(
            PricedColumn(
                column.configuration,
                configuration_data(contents.instance, column.configuration, column.batches),
                column.batches,
                {
                    _label(variable, part): float(variable.value or 0.0)
                    for variable in part.component_data_objects(pyo.Var, descend_into=True)
                },
                {
                    _label(row, part): float(duals.get(row, 0.0))
                    for row in part.component_data_objects(pyo.Constraint, descend_into=True)
                },
            )
        )
    shared = {
        _label(row, program): float(duals.get(row, 0.0))
        for row in program.component_data_objects(pyo.Constraint, descend_into=False)
    }
    racks = float(block.racks.value or 0.0)
    rack: RackData = replace(rack_data(contents.instance), racks=racks)
    # The links are equalities `outside = inside`: their multipliers are what the plan pays
    # for one more token per second, and for one kW less.
    return PricedRack(
        instance=contents.instance,
        rack=rack,
        racks=racks,
        columns=tuple(columns),
        duals=shared,
        objective=objective,
        throughput_weight=1e3 * float(duals[block.throughput_link]),
        power_weight=float(duals[block.power_link]),
        objective_unit=unit,
    )


def _label(component: Any, root: pyo.Block) -> Label:
    """Return the label of a variable or row inside a configuration or rack."""
    parent = component.parent_component()
    clock, owner = None, component.parent_block()
    if owner is not root and owner.parent_component().local_name == "clock":
        clock = owner.index()
    index = component.index()
    return Label(parent.local_name, clock, index if isinstance(index, int) else None)


def _user_rows(
    row: pyo.Constraint, dual: float, objective: float, unit: str
) -> list[ConstraintResult]:
    """Return a constraint of the user as rows of the table: one per side that it limits."""
    body = float(pyo.value(row.body))
    sides = [("", row.upper, False), ("", row.lower, True)]
    if row.equality:
        sides = [("", row.upper, False)]
    found = []
    for _, limit, floor in sides:
        if limit is None:
            continue
        at = float(pyo.value(limit))
        slack = body - at if floor else at - body
        tight = abs(slack) <= BINDING * max(1.0, abs(at))
        price = dual if tight else 0.0
        found.append(
            ConstraintResult(
                name=row.name,
                usage=body,
                limit=at,
                unit="",
                utilization=body / at if at else 0.0,
                slack=slack,
                binding=tight,
                unit_price=price,
                unit_price_unit=f"{unit} per unit of {row.name}",
                elasticity=price * at / objective if objective else 0.0,
            )
        )
    return found


def export_program(instance: Instance, path: Path) -> None:
    """Write the program of an instance as an MPS or LP file. Raises `InputError` on failure."""
    model = pyo.ConcreteModel(name=instance.name)
    model.rack = rack_block(instance)
    maximise_throughput(model.rack.program)
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; create it first")
    model.write(str(path), io_options={"symbolic_solver_labels": True})
