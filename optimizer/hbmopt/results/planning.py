"""`solve_model`: a user's model around rack blocks, solved exactly and priced.

It prices in whatever columns the model's own rows ask for.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyomo.environ as pyo

from hbmopt.basics import brief, counted, show, verb
from hbmopt.demand import Array
from hbmopt.errors import InputError, SolverError
from hbmopt.notebook import Answer
from hbmopt.plan import (
    Master,
    MasterPlan,
    RackColumns,
    RackContents,
    RunningGroup,
    UserModel,
    rack_blocks,
)
from hbmopt.program import InfeasiblePlanError, one_at_a_time
from hbmopt.results.limits import BINDING
from hbmopt.results.next_unit import one_more
from hbmopt.results.plan_prices import price_plan, price_table
from hbmopt.results.solution import ConstraintResult, InputResult, price_frame

if TYPE_CHECKING:
    import pandas as pd


OPTIMAL, FEASIBLE = "optimal", "feasible"
"""Status of a plan that is proven to be best, and of the best one that was found."""

MOST_LISTED = 6
"""Blocks that a plan in one line names."""


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
class Plan(Answer):
    """The optimum of a planning model, with the price of every row and hardware input.

    `status` is ``optimal`` where that is proven to the tolerance that was asked for. Else it is
    ``feasible``: the plan is the best that was found, and none is better than `bound`.
    """

    status: str
    objective: float
    bound: float
    racks: tuple[PlannedRack, ...]
    constraints: tuple[ConstraintResult, ...]
    inputs: tuple[InputResult, ...]
    rounds: int
    seconds: float

    def __repr__(self) -> str:
        listed = [f"{one.name} {one.racks}" for one in self.racks[:MOST_LISTED]]
        hidden = len(self.racks) - MOST_LISTED
        more = f"and {counted(hidden, 'more block')}" if hidden > 0 else ""
        status = self.status if self.status == OPTIMAL else f"{self.status}, gap {self.gap:.1e}"
        objective = f"objective {show(self.objective, 7)}"
        return brief("Plan", status, objective, f"racks: {', '.join(listed)}", more)

    @property
    def gap(self) -> float:
        """Return how much better a plan could be at most, as a share of the objective."""
        return abs(self.bound - self.objective) / max(1.0, abs(self.objective))

    @property
    def prices(self) -> "pd.DataFrame":
        """One table of all prices: the user's rows, the racks' rows and hardware inputs."""
        return price_frame(self.constraints, self.inputs)

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
        Relative gap between the plan and the proven bound at which refinement stops. Where it is
        not reached, the plan says so: its `status` is ``feasible``, and `gap` is what is proven.

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
    read = UserModel(model, blocks, objectives[0])
    contents: list[RackContents] = [block.contents for block in blocks]
    racks = [one.columns for one in contents]
    found = Master(read.around, racks, tolerance=tolerance).run()
    read.leave(found, blocks)
    planned = tuple(
        _planned(block, running) for block, running in zip(blocks, found.running, strict=True)
    )
    priced = price_plan(read.around, racks, found, read.sign, objective_unit)
    rows = _all_user_rows(read, priced.duals, priced.objective, objective_unit)
    names = [block.name for block in blocks]
    constraints, inputs = price_table(names, priced.racks, rows)
    steps = _Steps(read, racks, names, found, tolerance)
    constraints = tuple(steps.taken(one) for one in constraints)
    return Plan(
        OPTIMAL if found.proven(tolerance) else FEASIBLE,
        read.sign * found.objective + read.constant,
        read.sign * found.bound + read.constant,
        planned,
        constraints,
        inputs,
        found.rounds,
        time.perf_counter() - begun,
    )


class _Steps:
    """What one more unit of limits that bind changes in all: the plan solved again."""

    def __init__(
        self,
        read: UserModel,
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
        if (moved := self._read.moved(row.name, row.limit)) is not None:
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
        except (InfeasiblePlanError, SolverError):
            # One unit more has no plan, or none was found; the plan that there is stands.
            return row
        if not found.proven(self._tolerance):
            return row
        return replace(row, next_unit=self._read.sign * (found.objective - self._plan.objective))


def _all_user_rows(
    read: UserModel, duals: Array, objective: float, unit: str
) -> list[ConstraintResult]:
    """Return the user's rows with their prices, at the plan."""
    prices = (duals * read.scale).tolist()
    found = [
        _user_rows(row, dual, objective + read.constant, unit)
        for row, dual in zip(read.rows, prices, strict=True)
    ]
    return [one for rows in found for one in rows]


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
                floor=floor,
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
