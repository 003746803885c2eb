"""A Pyomo model as a program for HiGHS, and the answer put back into the model.

Pyomo's own interfaces run HiGHS in the caller's thread, change where the process prints while it
runs, and go on where HiGHS refuses rows. Here the model is only read: every row is taken as it
stands, or the model is refused.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.core as pyo
from pyomo.common.collections import ComponentMap
from pyomo.repn import generate_standard_repn

from hbmopt.errors import HbmoptError, InputError, SolverError
from hbmopt.program import highs


class InfeasiblePlanError(HbmoptError):
    """No plan satisfies all constraints of the model."""


NOT_LINEAR = (
    "the model is not linear; write every constraint and the objective as a sum of variables times "
    "numbers"
)

DECLARATIONS = (
    pyo.Block,
    pyo.Var,
    pyo.Constraint,
    pyo.Objective,
    pyo.Expression,
    pyo.Param,
    pyo.Set,
    pyo.RangeSet,
    pyo.SetOf,
    pyo.Suffix,
    pyo.BuildAction,
    pyo.BuildCheck,
)
"""What a linear program with integers may be declared of; anything else would be left out."""


KEPT = 10 * highs.SMALLEST
"""The size that the smallest number of a row is lifted to."""

ROUNDING = 1e-14
"""Share of the largest number of a row below which another one is what rounding left of zero."""


@dataclass(frozen=True)
class ModelAnswer:
    """The proven optimum of a model: its objective, and the dual of each constraint.

    A dual is d(objective) / d(right-hand side), whether the objective is to be minimised or
    maximised. A model with integers has none.
    """

    objective: float
    duals: "ComponentMap[Any, float]"


def solve_linear(model: pyo.ConcreteModel) -> ModelAnswer:
    """Solve a linear model to proven optimality; its variables hold the optimum.

    Raises
    ------
    InputError
        If the model is not linear, or holds what no linear program has.
    InfeasiblePlanError
        If no point satisfies all constraints.
    SolverError
        If HiGHS does not take the model whole or stops without a proof.
    """
    (objective,) = model.component_data_objects(pyo.Objective, active=True)
    check_linear(model)
    read = LinearReader()
    rows = [
        row
        for row in model.component_data_objects(pyo.Constraint, active=True, descend_into=True)
        if read.row(row)
    ]
    cost, constant = read.cost(objective)
    sign = 1.0 if objective.sense == pyo.maximize else -1.0
    program = read.program(sign * cost)
    answer = highs.solve(program, integers=bool(program.integer))
    if answer.status == "infeasible":
        raise InfeasiblePlanError(
            "no plan satisfies all constraints of the model; relax one of them, or solve each rack "
            "alone to see its own limits"
        )
    if not answer.optimal:
        raise SolverError(f"the model is {answer.status}; a limit is missing that bounds it")
    for variable, value in zip(read.variables, answer.point.tolist(), strict=True):
        variable.set_value(value, skip_validation=True)
    duals = ComponentMap()
    if not program.integer:
        by_row = sign * answer.duals * np.array(read.scale)
        duals.update(zip(rows, by_row.tolist(), strict=True))
    return ModelAnswer(sign * answer.objective + constant, duals)


def check_linear(model: pyo.ConcreteModel) -> None:
    """Raise `InputError` for what no linear program with integers has."""
    declared = model.collect_ctypes(active=True, descend_into=True)
    unknown = sorted(kind.__name__ for kind in declared.difference(DECLARATIONS))
    if unknown:
        raise InputError(f"the model holds a {unknown[0]}; write it as linear constraints")


class LinearReader:
    """Reads rows and objective of a model into a program; a variable gets a column when it is met.

    Fixed variables are numbers.
    """

    def __init__(self) -> None:
        self.variables: list[Any] = []
        self._place: dict[int, int] = {}
        self._starts, self._indices, self._values = [0], list[int](), list[float]()
        self._lower, self._upper = list[float](), list[float]()
        self.scale = list[float]()
        """What each row is multiplied by, so that HiGHS keeps its smallest number."""

    def row(self, constraint: Any) -> bool:
        """Read a constraint; False where it limits nothing."""
        places, values, constant = self._linear(constraint.body)
        lower, upper = constraint.lb, constraint.ub
        if lower is None and upper is None:
            return False
        scale = _scale(values)
        self.scale.append(scale)
        self._indices += places
        self._values += [scale * value for value in values]
        self._starts.append(len(self._indices))
        self._lower.append(-highs.INFINITY if lower is None else scale * (lower - constant))
        self._upper.append(highs.INFINITY if upper is None else scale * (upper - constant))
        return True

    def cost(self, objective: Any) -> tuple["np.ndarray[Any, np.dtype[np.float64]]", float]:
        """Return the objective as one number per column, and its constant."""
        places, values, constant = self._linear(objective.expr)
        cost = np.zeros(len(self.variables))
        cost[places] = values
        return cost, constant

    def program(self, cost: "np.ndarray[Any, np.dtype[np.float64]]") -> highs.Program:
        """Return the program that was read, to maximise `cost`."""
        bounds = [variable.bounds for variable in self.variables]
        return highs.Program(
            cost=cost,
            column_lower=np.array([-highs.INFINITY if low is None else low for low, _ in bounds]),
            column_upper=np.array([highs.INFINITY if up is None else up for _, up in bounds]),
            integer=tuple(
                place
                for place, variable in enumerate(self.variables)
                if not variable.is_continuous()
            ),
            row_lower=np.array(self._lower),
            row_upper=np.array(self._upper),
            starts=np.array(self._starts, dtype=np.int32),
            indices=np.array(self._indices, dtype=np.int32),
            values=np.array(self._values),
        )

    def _linear(self, expression: Any) -> tuple[list[int], list[float], float]:
        form = generate_standard_repn(expression)
        if not form.is_linear():
            raise InputError(NOT_LINEAR)
        values = [float(value) for value in form.linear_coefs]
        least = ROUNDING * max(map(abs, values), default=0.0)
        kept = [place for place, value in enumerate(values) if abs(value) > least]
        places = [self.column(form.linear_vars[place]) for place in kept]
        return places, [values[place] for place in kept], float(form.constant)

    def column(self, variable: Any) -> int:
        """Return the column of a variable; a new one where it was not met."""
        place = self._place.get(id(variable))
        if place is None:
            place = self._place[id(variable)] = len(self.variables)
            self.variables.append(variable)
        return place


def _scale(values: list[float]) -> float:
    """Return the power of two that lifts the smallest number of a row above what HiGHS drops."""
    smallest = min(map(abs, values), default=1.0)
    return 1.0 if smallest > highs.SMALLEST else 2.0 ** math.ceil(math.log2(KEPT / smallest))
