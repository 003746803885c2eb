"""HiGHS, called directly, with checks that it solved the program that it was given.

HiGHS drops matrix entries of at most 1e-9 and refuses rows with an entry of 1e15 or more; either
gives the optimum of another program. Entries are therefore checked before they are passed, and
the row count after.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import highspy
import numpy as np

from hbmopt.errors import SolverError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALLEST, LARGEST = 1e-9, 1e15
INFINITY = highspy.kHighsInf

TOLERANCE, LOOSE = 1e-7, 1e-6
"""How far rows and multipliers may be off: what HiGHS takes, and what a plan is checked to."""

TRIALS = (("off", TOLERANCE), ("choose", TOLERANCE), ("off", LOOSE))
"""Presolve and tolerance of the trials of a program without integers, until one ends in a proof.

Small programs gain nothing from presolve, but where the simplex method alone cannot tell whether a
row on the verge of infeasible holds, presolve can. Where neither can, either answer is right to
the looser tolerance.
"""

INTEGER_TRIALS = (("choose", TOLERANCE),)


@dataclass(frozen=True)
class Program:
    """A program to maximise, row by row: cost, bounds, integrality, rows in compressed form."""

    cost: "NDArray[np.float64]"
    column_lower: "NDArray[np.float64]"
    column_upper: "NDArray[np.float64]"
    integer: tuple[int, ...]
    row_lower: "NDArray[np.float64]"
    row_upper: "NDArray[np.float64]"
    starts: "NDArray[np.int32]"
    indices: "NDArray[np.int32]"
    values: "NDArray[np.float64]"


@dataclass(frozen=True)
class Answer:
    """What HiGHS returned. `point` and `duals` are empty unless the status is optimal.

    A dual is d(objective) / d(right-hand side) of its row.
    """

    status: str
    objective: float
    point: "NDArray[np.float64]"
    duals: "NDArray[np.float64]"
    activity: "NDArray[np.float64]"
    mip_gap: float

    @property
    def optimal(self) -> bool:
        """Whether the point is a proven optimum."""
        return self.status == "optimal"


_STATUS = {
    highspy.HighsModelStatus.kOptimal: "optimal",
    highspy.HighsModelStatus.kInfeasible: "infeasible",
    highspy.HighsModelStatus.kUnbounded: "unbounded",
    highspy.HighsModelStatus.kUnboundedOrInfeasible: "infeasible",
}


@cache
def _solver() -> highspy.Highs:
    solver = highspy.Highs()
    for option, value in (
        ("output_flag", False),
        ("threads", 1),
        ("random_seed", 0),
        ("mip_rel_gap", 1e-9),
        ("mip_abs_gap", 1e-12),
    ):
        solver.setOptionValue(option, value)
    return solver


def version() -> str:
    """Return the version of HiGHS that solves."""
    return str(_solver().version())


def solve(program: Program, *, integers: bool) -> Answer:
    """Solve `program`, with its integer columns relaxed unless `integers`.

    Raises
    ------
    SolverError
        When HiGHS does not take the program whole or stops without a proof.
    """
    solver = _load(program, integers=integers)
    status, stopped = None, ""
    for presolve, tolerance in INTEGER_TRIALS if integers else TRIALS:
        solver.setOptionValue("presolve", presolve)
        solver.setOptionValue("primal_feasibility_tolerance", tolerance)
        solver.setOptionValue("dual_feasibility_tolerance", tolerance)
        solver.run()
        status = _STATUS.get(solver.getModelStatus())
        if status is not None:
            break
        stopped = solver.modelStatusToString(solver.getModelStatus())
        solver.clearSolver()
    if status is None:
        raise SolverError(f"HiGHS stopped without a proof: {stopped}")
    empty = np.empty(0)
    if status != "optimal":
        return Answer(status, float("nan"), empty, empty, empty, 0.0)
    solution, info = solver.getSolution(), solver.getInfo()
    return Answer(
        status=status,
        objective=info.objective_function_value,
        point=np.array(solution.col_value),
        duals=np.array(solution.row_dual),
        activity=np.array(solution.row_value),
        mip_gap=max(info.mip_gap, 0.0) if integers and program.integer else 0.0,
    )


def _load(program: Program, *, integers: bool) -> highspy.Highs:
    magnitudes = np.abs(program.values)
    if magnitudes.size and (
        magnitudes.max() >= LARGEST or magnitudes.min() <= SMALLEST or np.isnan(magnitudes).any()
    ):
        raise SolverError(
            f"coefficients from {magnitudes.min():g} to {magnitudes.max():g} are outside what "
            "HiGHS keeps; check the magnitudes of the instance"
        )
    columns, rows = len(program.cost), len(program.row_lower)
    integrality = np.zeros(columns, dtype=np.int32)
    if integers:
        integrality[list(program.integer)] = 1
    solver = _solver()
    status = solver.passModel(
        columns,
        rows,
        len(program.values),
        int(highspy.MatrixFormat.kRowwise),
        int(highspy.ObjSense.kMaximize),
        0.0,
        program.cost,
        program.column_lower,
        program.column_upper,
        program.row_lower,
        program.row_upper,
        program.starts,
        program.indices,
        program.values,
        integrality,
    )
    if status == highspy.HighsStatus.kError or solver.getNumRow() != rows:
        raise SolverError("HiGHS refused the program; check the magnitudes of the instance")
    return solver
