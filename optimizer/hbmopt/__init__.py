"""hbmopt: proven-optimal configurations of LLM inference racks.

Every verb takes a path, the name of a shipped instance, a mapping or an `Instance`, with overrides
such as ``{"limits.power": "90 kW"}``, and returns an object with pandas frames::

    solve         the plan of highest throughput, with limits and prices
    frontier      the most throughput at every speed per user
    sweep         the optimum at every point of a grid over fields of the instance
    compare       several instances side by side
    check         is a claimed batch, speed and power possible?
    explain       why this configuration won, or why none can run
    sensitivity   price, elasticity and range of every number
    report_page   one HTML page to send

    rack_block    a rack as a Pyomo block inside a model of one's own
    solve_model   that model, solved exactly and priced

    load          an instance, validated
    import_llm    a model from its published configuration
    predict       measured decode steps against the model
    calibrate     constants fitted to measured decode steps

Wrong input raises `InputError`, in one line of what, where and what to do. Any number of threads
may call at once. Public names are loaded on first use, so that importing the package costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hbmopt.calibrating import CalibrationFit, calibrate
    from hbmopt.checking import check
    from hbmopt.claim import Check
    from hbmopt.comparison import Comparison, compare
    from hbmopt.errors import HbmoptError, InputError, SolverError
    from hbmopt.explanation import Explanation, explain
    from hbmopt.importing.huggingface import import_llm
    from hbmopt.instance import Instance, load
    from hbmopt.linear_model import InfeasiblePlanError
    from hbmopt.llm import Llm
    from hbmopt.page import Page, report_page
    from hbmopt.planning import Plan, rack_block, solve_model
    from hbmopt.prediction import Prediction, predict
    from hbmopt.sensitivities import Sensitivity, sensitivity
    from hbmopt.solution import Solution
    from hbmopt.solver import solve
    from hbmopt.speed_frontier import Frontier, frontier
    from hbmopt.sweeping import Sweep, SweepInterrupted, sweep

__version__ = "0.1.0"

_HOME = {
    "CalibrationFit": "calibrating",
    "Check": "claim",
    "Comparison": "comparison",
    "Explanation": "explanation",
    "Frontier": "speed_frontier",
    "HbmoptError": "errors",
    "InfeasiblePlanError": "linear_model",
    "InputError": "errors",
    "Instance": "instance",
    "Llm": "llm",
    "Page": "page",
    "Plan": "planning",
    "Prediction": "prediction",
    "Sensitivity": "sensitivities",
    "Solution": "solution",
    "SolverError": "errors",
    "Sweep": "sweeping",
    "SweepInterrupted": "sweeping",
    "calibrate": "calibrating",
    "check": "checking",
    "compare": "comparison",
    "explain": "explanation",
    "frontier": "speed_frontier",
    "import_llm": "importing.huggingface",
    "load": "instance",
    "predict": "prediction",
    "rack_block": "planning",
    "sensitivity": "sensitivities",
    "report_page": "page",
    "solve": "solver",
    "sweep": "sweeping",
    "solve_model": "planning",
}

__all__ = [
    "CalibrationFit",
    "Check",
    "Comparison",
    "Explanation",
    "Frontier",
    "HbmoptError",
    "InfeasiblePlanError",
    "InputError",
    "Instance",
    "Llm",
    "Page",
    "Plan",
    "Prediction",
    "Sensitivity",
    "Solution",
    "SolverError",
    "Sweep",
    "SweepInterrupted",
    "calibrate",
    "check",
    "compare",
    "explain",
    "frontier",
    "import_llm",
    "load",
    "predict",
    "rack_block",
    "report_page",
    "sensitivity",
    "solve",
    "solve_model",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hbmopt' has no attribute {name!r}")
    from importlib import import_module  # costs nothing until it is needed

    return getattr(import_module(f"hbmopt.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
