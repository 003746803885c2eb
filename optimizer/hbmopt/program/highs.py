"""HiGHS, called directly, so that it solves the program that it was given and disturbs nobody.

HiGHS drops matrix entries of at most 1e-9 and refuses rows with an entry of 1e15 or more; either
gives the optimum of another program. Entries are therefore checked before they are passed, and
the row count after.

HiGHS shares more than its interface shows. Its scheduler belongs to the *thread* of the first run:
one of another number of threads then fails in that thread, whoever asks for it. A `Highs` object
that two threads use at once ends the process. And releases from 1.16 on print a banner at the
first call that they log, the constructor's own included. So every program is solved by a worker:
a thread that nobody else knows of, with a silent object of its own. The caller's threads, their
other uses of HiGHS and the standard output are left as they are.
"""

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

import highspy
import numpy as np

from hbmopt.errors import HbmoptError, SolverError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALLEST, LARGEST = 1e-9, 1e15
INFINITY = highspy.kHighsInf

TOLERANCE, LOOSE = 1e-7, 1e-6
"""How far rows and multipliers may be off: what HiGHS takes, and what a plan is checked to."""

TRIALS = (("off", TOLERANCE), ("choose", TOLERANCE), ("off", LOOSE), ("choose", LOOSE))
"""Presolve and tolerance of the trials of a program without integers, until one ends in a proof.

Small programs gain nothing from presolve, but where the simplex method alone cannot tell whether a
row on the verge of infeasible holds, presolve can. Where neither can, either answer is right to
the looser tolerance.
"""

NO_GAP = 1e-9
"""Relative gap of a program with integers that counts as none."""

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

    A dual is d(objective) / d(right-hand side) of its row, a reduced cost d(objective) / d(column).
    `bound` is what no point exceeds. A program that was given up after so many nodes is `stopped`,
    with the best point that was found by then, if any.
    """

    status: str
    objective: float
    point: "NDArray[np.float64]"
    reduced: "NDArray[np.float64]"
    duals: "NDArray[np.float64]"
    activity: "NDArray[np.float64]"
    bound: float

    @property
    def optimal(self) -> bool:
        """Whether the point is a proven optimum."""
        return self.status == "optimal"

    @property
    def found(self) -> bool:
        """Whether there is a point, proven or the best that was found."""
        return len(self.point) > 0


_STATUS = {
    highspy.HighsModelStatus.kOptimal: "optimal",
    highspy.HighsModelStatus.kInfeasible: "infeasible",
    highspy.HighsModelStatus.kUnbounded: "unbounded",
    highspy.HighsModelStatus.kUnboundedOrInfeasible: "infeasible",
}


_GIVEN_UP = (highspy.HighsModelStatus.kSolutionLimit, highspy.HighsModelStatus.kIterationLimit)

FEASIBLE = int(highspy.SolutionStatus.kSolutionStatusFeasible)

OPTIONS: tuple[tuple[str, bool | float | int], ...] = (
    ("output_flag", False),
    ("log_to_console", False),
    ("threads", 1),
    ("random_seed", 0),
    ("mip_abs_gap", 1e-12),
)
"""Silent, and the same answer whatever was solved before and however busy the machine is."""


class _Silent(highspy.Highs):  # type: ignore[misc]  # highspy is not followed by the checker
    """HiGHS that prints nothing from its first moment on."""

    def __init__(self) -> None:
        super().__init__()
        self._configure()

    def enableCallbacks(self) -> None:
        """Be silent before the first call that HiGHS logs, which its constructor makes here."""
        self._configure()
        super().enableCallbacks()

    def _configure(self) -> None:
        for option, value in OPTIONS:
            self.setOptionValue(option, value)


Found = TypeVar("Found")


@dataclass(frozen=True)
class _Outcome(Generic[Found]):
    """What a task returned, or the error that it ended with."""

    found: Found | None
    error: BaseException | None


class _Worker:
    """A thread with a HiGHS object that no other thread touches."""

    def __init__(self) -> None:
        self._solver = _Silent()
        self._tasks: SimpleQueue[Callable[[_Silent], object] | None] = SimpleQueue()
        self._outcomes: SimpleQueue[_Outcome[object]] = SimpleQueue()
        # A daemon, as one that waits for a task must not keep the process.
        self._thread = threading.Thread(target=self._work, name="hbmopt-highs", daemon=True)
        self._thread.start()

    def call(self, task: Callable[[_Silent], Found]) -> Found:
        """Return what a task makes of the HiGHS object; its error is raised here."""
        self._tasks.put(task)
        outcome = self._outcomes.get()
        if outcome.error is not None:
            raise outcome.error
        return outcome.found  # type: ignore[return-value]  # of this task

    def dismiss(self) -> None:
        """End the thread; a program with integers that it may be at is given up."""
        self._solver.cancelSolve()
        self._tasks.put(None)

    def join(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                outcome = _Outcome(task(self._solver), None)
            except BaseException as error:
                outcome = _Outcome(None, error)
            del task
            self._outcomes.put(outcome)
            del outcome
        _BUSY.discard(self)


_IDLE: deque[_Worker] = deque()
"""Workers that wait for a task: as many as there were callers at once."""

_BUSY: set[_Worker] = set()
"""Workers at a task, those too whose caller has gone."""


@atexit.register
def _end() -> None:
    """Wait for workers at a task: HiGHS cannot come back into an interpreter that has ended."""
    for worker in list(_BUSY):
        worker.dismiss()
    for worker in list(_BUSY):
        worker.join()


def _forget() -> None:
    """Know of no workers, in a process that was forked: their threads are in the other one."""
    _IDLE.clear()
    _BUSY.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@contextmanager
def _worker() -> Iterator[_Worker]:
    """Lend a worker. One that is left in the middle of a task, as by Ctrl-C, is dismissed."""
    try:
        worker = _IDLE.pop()
    except IndexError:
        worker = _Worker()
    _BUSY.add(worker)
    try:
        yield worker
    except HbmoptError:
        _put_back(worker)  # the task ended, with an answer about the program
        raise
    except BaseException:
        worker.dismiss()
        raise
    _put_back(worker)


def _put_back(worker: _Worker) -> None:
    _BUSY.discard(worker)
    _IDLE.append(worker)


def version() -> str:
    """Return the version of HiGHS that solves."""
    numbers = (
        highspy.HIGHS_VERSION_MAJOR,
        highspy.HIGHS_VERSION_MINOR,
        highspy.HIGHS_VERSION_PATCH,
    )
    return ".".join(map(str, numbers))


def solve(
    program: Program, *, integers: bool, gap: float = NO_GAP, nodes: int | None = None
) -> Answer:
    """Solve `program`, with its integer columns relaxed unless `integers`.

    With integers to within a relative `gap`, and no further than so many nodes of the search.

    Raises
    ------
    SolverError
        When HiGHS does not take the program whole or stops without a proof.
    """
    (answer,) = solve_all([program], integers=integers, gap=gap, nodes=nodes)
    return answer


def solve_all(
    programs: Iterable[Program],
    *,
    integers: bool,
    gap: float = NO_GAP,
    nodes: int | None = None,
) -> list[Answer]:
    """Solve programs as `solve` does, one after the other; each as if it stood alone."""
    with _worker() as worker:
        return worker.call(
            lambda solver: [
                _solved(solver, program, integers=integers, gap=gap, nodes=nodes)
                for program in programs
            ]
        )


NO_LIMIT = 2**31 - 1
"""Nodes of a search that goes on to its end, as HiGHS counts them."""


def _solved(
    solver: _Silent, program: Program, *, integers: bool, gap: float, nodes: int | None
) -> Answer:
    _load(solver, program, integers=integers)
    solver.setOptionValue("mip_rel_gap", gap)
    solver.setOptionValue("mip_max_nodes", NO_LIMIT if nodes is None else nodes)
    # Programs with integers may take long; the others take less than asking would.
    solver.HandleUserInterrupt = integers
    status, stopped, unit = None, "", _unit(program)
    for presolve, tolerance in INTEGER_TRIALS if integers else TRIALS:
        _set_trial(solver, presolve, tolerance)
        solver.run()
        status = _STATUS.get(solver.getModelStatus())
        if status is None and nodes is not None and solver.getModelStatus() in _GIVEN_UP:
            status = "stopped"
        if status is not None:
            break
        stopped = solver.modelStatusToString(solver.getModelStatus())
        solver.clearSolver()
    if status is None and not integers and _has_no_point(solver, program):
        status = "infeasible"
    if status is None:
        raise SolverError(f"HiGHS stopped without a proof: {stopped}")
    empty = np.empty(0)
    none = solver.getInfo().primal_solution_status != FEASIBLE
    if status != "optimal" and (status != "stopped" or none):
        return Answer(status, float("nan"), empty, empty, empty, empty, float("nan"))
    solution, info = solver.getSolution(), solver.getInfo()
    mixed = integers and program.integer
    return Answer(
        status=status,
        objective=unit * info.objective_function_value,
        point=np.array(solution.col_value),
        reduced=unit * np.array(solution.col_dual),
        duals=unit * np.array(solution.row_dual),
        activity=np.array(solution.row_value),
        bound=unit * (info.mip_dual_bound if mixed else info.objective_function_value),
    )


def _has_no_point(solver: _Silent, program: Program) -> bool:
    """Whether it is proven that no point keeps the rows, whatever it is worth.

    Where a program is infeasible by little, its costs can keep the simplex method from the proof.
    """
    _load(solver, replace(program, cost=np.zeros_like(program.cost)), integers=False)
    for presolve, tolerance in TRIALS:
        _set_trial(solver, presolve, tolerance)
        solver.run()
        if solver.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
            return True
        solver.clearSolver()
    return False


def _set_trial(solver: _Silent, presolve: str, tolerance: float) -> None:
    solver.setOptionValue("presolve", presolve)
    solver.setOptionValue("primal_feasibility_tolerance", tolerance)
    solver.setOptionValue("dual_feasibility_tolerance", tolerance)


FAR_FROM_ONE = 2.0**20
"""Ratio to 1 from which costs are measured in a unit of their own."""


def _unit(program: Program) -> float:
    """Return the power of two in which costs are passed, that of the largest one.

    HiGHS takes costs below its tolerance for nothing. Costs near 1 are passed as they are.
    """
    largest = float(np.abs(program.cost).max(initial=0.0))
    if largest == 0.0 or 1.0 / FAR_FROM_ONE <= largest <= FAR_FROM_ONE:
        return 1.0
    return float(2.0 ** np.floor(np.log2(largest)))


def _load(solver: _Silent, program: Program, *, integers: bool) -> None:
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
    status = solver.passModel(
        columns,
        rows,
        len(program.values),
        int(highspy.MatrixFormat.kRowwise),
        int(highspy.ObjSense.kMaximize),
        0.0,
        program.cost / _unit(program),
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
