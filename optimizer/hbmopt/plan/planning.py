"""A rack inside a larger plan: a Pyomo block of its columns.

`rack_block` gives a block for the user's own model, which adds constraints and an objective over
`racks`, `throughput` (tok/s) and `power` (kW). The block holds the operating points that are best
at some price of power, as columns: any solver solves it as it stands, to within a stated gap.
`solve_model` makes it exact: it prices in whatever columns the model's own rows ask for.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from hbmopt.basics import check_writable, verb, write
from hbmopt.errors import InputError
from hbmopt.instance import Instance, Overrides, Source, load
from hbmopt.models.columns import declare_columns
from hbmopt.plan.columns import Group, RackColumns
from hbmopt.plan.master import Master, MasterPlan, RunningGroup, Surroundings
from hbmopt.plan.one_rack import one_more
from hbmopt.plan.rack_prices import price_plan, price_table
from hbmopt.program import InfeasiblePlanError, LinearReader, check_linear, one_at_a_time
from hbmopt.results import BINDING, ConstraintResult, InputResult

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class RackContents:
    """What a rack block was made from: all of its columns, and the groups that it holds now."""

    columns: RackColumns
    racks_at_most: int
    groups: list[Group]


@verb
@one_at_a_time
def rack_block(
    source: Source,
    overrides: Overrides = None,
    *,
    racks_at_most: int | None = None,
) -> pyo.Block:
    """Return a Pyomo block that holds a rack with all its configurations.

    Parameters
    ----------
    source, overrides
        As of `load`.
    racks_at_most
        Left out, the block is one rack. Given, ``racks`` is an integer variable from 0 to it:
        so many racks of this type are bought, and all run the same configuration.

    Returns
    -------
    pyomo.environ.Block
        With ``racks`` [1], ``throughput`` [tok/s], ``power`` [kW, in the instance's scope] and
        ``cost`` [USD, 0 where no price is known] for the user's own constraints. ``gap`` says how
        much throughput its columns miss at most on any power, as a share of it.

    Raises
    ------
    InputError
        If the instance is not valid, or no configuration holds even one sequence.
    """
    instance = load(source, overrides)
    if racks_at_most is not None and racks_at_most < 1:
        raise InputError(f"racks_at_most={racks_at_most}: must be a whole number, at least 1")
    columns = RackColumns(instance)
    groups, gap = columns.efficient()
    if not groups:
        raise InputError(
            f"{instance.name}: no configuration holds even one sequence; solve it alone"
        )
    contents = RackContents(columns, racks_at_most or 1, groups)
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
    block.gap = gap
    _declare(block)
    return block


def _declare(block: pyo.Block) -> None:
    """Declare the groups that a rack block holds, in place of those that it held before."""
    contents: RackContents = block.contents
    columns = contents.columns
    if block.component("program") is not None:
        block.del_component("program")
    block.program = pyo.Block(concrete=True)
    declare_columns(
        block.program,
        replace(columns.rack, racks=block.racks),
        columns.fixed_kw,
        columns.fixed_budgets,
        [one.data for one in contents.groups],
        uniform=columns.instance.choices.uniform,
        racks_at_most=float(contents.racks_at_most),
        throughput=block.throughput,
        power=block.power,
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
        import pandas as pd  # 0.3 s that only frames need

        rows: list[dict[str, Any]] = [
            {
                "name": row.name,
                "kind": "limit",
                "value": row.limit,
                "slack": row.slack,
                "binding": row.binding,
                "unit_price": row.unit_price,
                "next_unit": row.next_unit,
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
                "next_unit": one.next_unit,
                "unit": one.unit_price_unit,
                "elasticity": one.elasticity,
            }
            for one in self.inputs
        ]
        return pd.DataFrame(rows).set_index("name")

    @property
    def racks_frame(self) -> "pd.DataFrame":
        """One row per rack block."""
        import pandas as pd  # 0.3 s that only frames need

        return pd.DataFrame([vars(one) for one in self.racks]).set_index("name")


@verb
@one_at_a_time
def solve_model(
    model: pyo.ConcreteModel, *, objective_unit: str = "objective", tolerance: float = 1e-6
) -> Plan:
    """Solve a planning model that holds rack blocks, exactly, and price all its rows.

    The model is left at the optimum: its variables hold the plan. It may be changed and solved
    again.

    Parameters
    ----------
    model
        A Pyomo model with one linear objective and at least one block from `rack_block`.
    objective_unit
        How to call a unit of the objective in the table of prices.
    tolerance
        Relative gap between the plan and the proven bound at which refinement stops.

    Raises
    ------
    InputError
        If the model has no rack block, not exactly one active objective, or is not linear.
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
    read = _Read(model, blocks, objectives[0])
    contents: list[RackContents] = [block.contents for block in blocks]
    racks = [one.columns for one in contents]
    found = Master(read.around, racks, tolerance=tolerance).run()
    read.leave(found, blocks)
    planned = tuple(
        _planned(block, running) for block, running in zip(blocks, found.running, strict=True)
    )
    priced = price_plan(read.around, racks, found, read.sign, objective_unit)
    rows = read.user_rows(priced.duals, priced.objective, objective_unit)
    names = [block.name for block in blocks]
    constraints, inputs = price_table(names, priced.racks, rows)
    steps = _Steps(read, racks, names, found, tolerance)
    constraints = tuple(steps.taken(one) for one in constraints)
    return Plan(
        "optimal",
        read.sign * found.objective + read.constant,
        read.sign * found.bound + read.constant,
        planned,
        constraints,
        inputs,
        found.rounds,
        time.perf_counter() - begun,
    )


class _Read:
    """A user's model around rack blocks, as rows and columns."""

    def __init__(
        self, model: pyo.ConcreteModel, blocks: Sequence[pyo.Block], objective: pyo.Objective
    ) -> None:
        check_linear(model)
        inside = {
            id(row)
            for block in blocks
            for row in block.program.component_data_objects(pyo.Constraint, descend_into=True)
        }
        self._reader = LinearReader()
        every = model.component_data_objects(pyo.Constraint, active=True, descend_into=True)
        self._rows = [one for one in every if id(one) not in inside and self._reader.row(one)]
        self.sign = 1.0 if objective.sense == pyo.maximize else -1.0
        places = [
            [self._reader.column(block.component(name)) for block in blocks]
            for name in ("racks", "throughput", "power")
        ]
        cost, self.constant = self._reader.cost(objective)
        program = self._reader.program(self.sign * cost)
        self.around = Surroundings(program, *(tuple(one) for one in places))

    def leave(self, plan: MasterPlan, blocks: Sequence[pyo.Block]) -> None:
        """Leave the model at a plan: its variables, and the columns that run."""
        for variable, value in zip(self._reader.variables, plan.values.tolist(), strict=True):
            variable.set_value(value, skip_validation=True)
        for block, running in zip(blocks, plan.running, strict=True):
            contents: RackContents = block.contents
            known = {one.key for one in contents.groups}
            used = {one.group.key: one for one in running}
            fresh = [one.group for one in running if one.group.key not in known]
            contents.groups = [*contents.groups, *fresh]
            if fresh:
                _declare(block)
            _set_values(block, contents.groups, used)

    def moved(self, result: ConstraintResult) -> Surroundings | None:
        """Return the surroundings with one more unit of the limit of a user's row, if it is one."""
        program = self.around.program
        for place, row in enumerate(self._rows):
            if row.name != result.name:
                continue
            lower, upper = program.row_lower.copy(), program.row_upper.copy()
            by = self._reader.scale[place]
            at_upper = row.upper is not None and float(pyo.value(row.upper)) == result.limit
            if at_upper:
                upper[place] += by
            if not at_upper or row.equality:
                lower[place] += by
            return replace(self.around, program=replace(program, row_lower=lower, row_upper=upper))
        return None

    def user_rows(
        self, duals: "np.ndarray[Any, np.dtype[np.float64]]", objective: float, unit: str
    ) -> list[ConstraintResult]:
        """Return the user's rows with their prices, at the plan."""
        found: list[ConstraintResult] = []
        scaled = duals * np.array(self._reader.scale)
        for row, dual in zip(self._rows, scaled.tolist(), strict=True):
            found += _user_rows(row, dual, objective + self.constant, unit)
        return found


class _Steps:
    """What one more unit of limits that bind changes in all: the plan solved again."""

    def __init__(
        self,
        read: _Read,
        racks: Sequence[RackColumns],
        names: Sequence[str],
        plan: MasterPlan,
        tolerance: float,
    ) -> None:
        self._read, self._racks, self._names = read, list(racks), list(names)
        self._plan, self._tolerance = plan, tolerance

    def taken(self, row: ConstraintResult) -> ConstraintResult:
        """Return a row with its next unit, where it binds and may be changed."""
        if not row.binding:
            return row
        around, racks = self._read.around, list(self._racks)
        if (moved := self._read.moved(row)) is not None:
            around = moved
        else:
            name, _, limit = row.name.rpartition(".")
            if name not in self._names:
                return row
            place = self._names.index(name)
            changed = one_more(racks[place].instance).get(limit)
            if changed is None:
                return row
            racks[place] = RackColumns(changed)
        try:
            found = Master(around, racks, tolerance=self._tolerance, near=self._plan).run()
        except InfeasiblePlanError:
            return row
        return replace(row, next_unit=self._read.sign * (found.objective - self._plan.objective))


def _set_values(block: pyo.Block, groups: Sequence[Group], used: "dict[Any, RunningGroup]") -> None:
    parts = block.program.configuration.values()
    for position, (group, part) in enumerate(zip(groups, parts, strict=True)):
        running = used.get(group.key)
        part.replicas.set_value(round(running.replicas) if running is not None else 0)
        for way, variable in part.way.items():
            value = max(0.0, running.ways[way]) if running is not None else 0.0
            variable.set_value(value, skip_validation=True)
        chosen = block.program.component("chosen")
        if chosen is not None:
            chosen[position].set_value(int(running is not None))


def _user_rows(
    row: pyo.Constraint, dual: float, objective: float, unit: str
) -> list[ConstraintResult]:
    """Return a constraint of the user as rows of the table: one per side that it limits."""
    body = float(pyo.value(row.body))
    sides = [(row.upper, False), (row.lower, True)]
    if row.equality:
        sides = [(row.upper, False)]
    found = []
    for limit, floor in sides:
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


def _planned(block: pyo.Block, running: Sequence[RunningGroup]) -> PlannedRack:
    sequences = sum(one.group.lowest * round(one.replicas) for one in running)
    throughput = float(block.throughput.value or 0.0)
    return PlannedRack(
        name=block.name,
        racks=round(block.racks.value or 0),
        configuration=", ".join(str(one.group.configuration) for one in running) or "idle",
        replicas=sum(round(one.replicas) for one in running),
        batch=sequences,
        speed_tok_s_user=throughput / sequences if sequences else 0.0,
        throughput_tok_s=throughput,
        power_kw=float(block.power.value or 0.0),
    )


@one_at_a_time
def export_program(instance: Instance, path: Path) -> None:
    """Write the program of an instance as an MPS or LP file, whole or not at all.

    Raises
    ------
    InputError
        Where no configuration holds a sequence, or the file cannot be written.
    """
    check_writable(path, "export")
    model = pyo.ConcreteModel(name=instance.name)
    model.rack = rack_block(instance)
    model.tokens = pyo.Objective(expr=model.rack.throughput, sense=pyo.maximize)
    # With the columns of the optimum among those of the block the program is exact.
    read, columns = _Read(model, [model.rack], model.tokens), model.rack.contents.columns
    with suppress(InfeasiblePlanError):
        read.leave(Master(read.around, [columns]).run(), [model.rack])
    with TemporaryDirectory() as folder:
        written = Path(folder) / path.name
        model.write(str(written), io_options={"symbolic_solver_labels": True})
        write(written.read_bytes(), path, "export")
