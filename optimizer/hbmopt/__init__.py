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
    size          how many racks a demand takes, or how much of one number
    report_page   one HTML page to send
    solve_fleet   what to buy for classes of demand, and what every rack does in every period

    rack_block    a rack as a Pyomo block inside a model of one's own
    fleet_block   a fleet as one
    solve_model   that model, solved exactly and priced

    load          an instance, validated
    catalogue     racks, accelerators, models and instances that ship with it, as frames
    import_llm    a model from its published configuration
    predict       measured decode steps against the model
    calibrate     constants fitted to measured decode steps

Wrong input raises `InputError`, in one line of what, where and what to do. Any number of threads
may call at once. Public names are loaded on first use, so that importing the package costs nothing.
"""

from typing import TYPE_CHECKING

from hbmopt.first_use import on_first_use

if TYPE_CHECKING:
    from hbmopt.errors import HbmoptError, InputError, SolverError
    from hbmopt.fleet import FleetPlan, fleet_block, solve_fleet
    from hbmopt.instance import Instance, catalogue, load
    from hbmopt.llm import Llm
    from hbmopt.llm.importing import import_llm
    from hbmopt.plan import rack_block
    from hbmopt.program import InfeasiblePlanError
    from hbmopt.report.page import Page, report_page
    from hbmopt.results import Plan, Solution, solve, solve_model
    from hbmopt.studies.accuracy import CalibrationFit, Prediction, calibrate, predict
    from hbmopt.studies.claim import Check, check
    from hbmopt.studies.comparison import Comparison, compare
    from hbmopt.studies.conflict import Explanation, explain
    from hbmopt.studies.frontier import Frontier, frontier
    from hbmopt.studies.sensitivity import Sensitivity, sensitivity
    from hbmopt.studies.sizing import Sizing, size
    from hbmopt.studies.sweep import Sweep, SweepInterrupted, sweep

__version__ = "0.1.0"

_HOME = {
    "calibrate": "studies.accuracy",
    "catalogue": "instance",
    "check": "studies.claim",
    "compare": "studies.comparison",
    "explain": "studies.conflict",
    "fleet_block": "fleet",
    "frontier": "studies.frontier",
    "import_llm": "llm.importing",
    "load": "instance",
    "predict": "studies.accuracy",
    "rack_block": "plan",
    "report_page": "report.page",
    "sensitivity": "studies.sensitivity",
    "size": "studies.sizing",
    "solve": "results",
    "solve_fleet": "fleet",
    "solve_model": "results",
    "sweep": "studies.sweep",
    "CalibrationFit": "studies.accuracy",
    "Check": "studies.claim",
    "Comparison": "studies.comparison",
    "Explanation": "studies.conflict",
    "FleetPlan": "fleet",
    "Frontier": "studies.frontier",
    "HbmoptError": "errors",
    "InfeasiblePlanError": "program",
    "InputError": "errors",
    "Instance": "instance",
    "Llm": "llm",
    "Page": "report.page",
    "Plan": "results",
    "Prediction": "studies.accuracy",
    "Sensitivity": "studies.sensitivity",
    "Sizing": "studies.sizing",
    "Solution": "results",
    "SolverError": "errors",
    "Sweep": "studies.sweep",
    "SweepInterrupted": "studies.sweep",
}
"""Public names, and the room that each comes from."""

__all__ = [
    "CalibrationFit",
    "Check",
    "Comparison",
    "Explanation",
    "FleetPlan",
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
    "Sizing",
    "Solution",
    "SolverError",
    "Sweep",
    "SweepInterrupted",
    "calibrate",
    "catalogue",
    "check",
    "compare",
    "explain",
    "fleet_block",
    "frontier",
    "import_llm",
    "load",
    "predict",
    "rack_block",
    "report_page",
    "sensitivity",
    "size",
    "solve",
    "solve_fleet",
    "solve_model",
    "sweep",
]


__getattr__ = on_first_use(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
