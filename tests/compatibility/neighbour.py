"""A planning script of somebody who uses HiGHS for other things as well, run as a process.

`python neighbour.py NEIGHBOUR FIRST VERB...` takes turns: the other program solves with HiGHS,
hbmopt is asked, the other solves again, and so on; FIRST says who begins. What hbmopt answered is
printed as one JSON document. It ends with an error where the other programs are not solved as they
would be without hbmopt.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import highspy
import pyomo.environ as pyo

import hbmopt

INSTANCES = Path(__file__).resolve().parents[2] / "instances"
OPTIMUM = 22.0


def pyomo_model():
    """Return a small program with integers, whose optimum is OPTIMUM."""
    model = pyo.ConcreteModel()
    model.racks = pyo.Var(range(2), within=pyo.NonNegativeIntegers)
    model.power = pyo.Constraint(expr=3 * model.racks[0] + 4 * model.racks[1] <= 13)
    model.tokens = pyo.Objective(expr=5 * model.racks[0] + 7 * model.racks[1], sense=pyo.maximize)
    return model


def by_pyomo(solver):
    model = pyomo_model()
    pyo.SolverFactory(solver).solve(model)
    return pyo.value(model.tokens)


def by_highspy(threads):
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", threads)
    racks = [solver.addIntegral(lb=0), solver.addIntegral(lb=0)]
    solver.addConstr(3 * racks[0] + 4 * racks[1] <= 13)
    solver.maximize(5 * racks[0] + 7 * racks[1])
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal, solver.getModelStatus()
    return solver.getInfo().objective_function_value


def solve_model():
    """Return the optimum of a hall with racks."""
    hall = pyo.ConcreteModel()
    hall.rack = hbmopt.rack_block(INSTANCES / "closed_form.yaml", racks_at_most=3)
    hall.power = pyo.Constraint(expr=hall.rack.racks <= 2)
    hall.tokens = pyo.Objective(expr=hall.rack.throughput, sense=pyo.maximize)
    plan = hbmopt.solve_model(hall, objective_unit="tok/s")
    return [plan.objective, plan.racks[0].racks]


def sweep():
    """Return the throughput at two speeds, answered by two processes."""
    variation = "limits.min_speed=20 tok/s/user,40 tok/s/user"
    swept = hbmopt.sweep(INSTANCES / "h100.yaml", variation, jobs=2)
    return [row["throughput_tok_s"] for row in swept.rows]


def solve():
    """Return the whole answer for one rack."""
    answer = hbmopt.solve(hbmopt.load(INSTANCES / "h100.yaml")).to_dict()
    answer["certificate"].pop("seconds")
    return answer


def frontier():
    """Return throughput and batch along a frontier."""
    found = hbmopt.frontier(hbmopt.load(INSTANCES / "h100.yaml"))
    return found.points_frame[["throughput_tok_s", "batch"]].to_numpy().tolist()


NEIGHBOURS = {
    "appsi_highs": lambda: by_pyomo("appsi_highs"),
    "highs": lambda: by_pyomo("highs"),
    "threads=0": lambda: by_highspy(0),
    "threads=1": lambda: by_highspy(1),
    "threads=2": lambda: by_highspy(2),
    "threads=4": lambda: by_highspy(4),
}
VERBS = {"solve": solve, "frontier": frontier, "sweep": sweep, "solve_model": solve_model}


def quietly(neighbour):
    """Solve as a neighbour does, without what HiGHS itself prints for it."""
    sys.stdout.flush()
    kept = os.dup(1)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 1)
        try:
            return neighbour()
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def main(neighbour, first, *verbs):
    """Take turns; `first` is who begins, ``hbmopt`` or ``other``."""
    answers = {}
    if first == "other":
        solve_as(neighbour)
    for verb in verbs:
        answers[verb] = VERBS[verb]()
        solve_as(neighbour)
    print(json.dumps(answers))


def solve_as(neighbour):
    found = quietly(NEIGHBOURS[neighbour])
    assert abs(found - OPTIMUM) < 1e-6, found


if __name__ == "__main__":
    main(*sys.argv[1:])
