"""Results: the solution, its limits and their prices, what it rests on, why there is none.

In: an `Instance` and its plan. Out: a `Solution` or a `Plan`, and their parts.
"""

from typing import TYPE_CHECKING

from hbmopt.first_use import on_first_use

if TYPE_CHECKING:
    from hbmopt.results.accuracy import step_accuracy
    from hbmopt.results.description import configuration_of, configuration_result
    from hbmopt.results.infeasibility import Conflicts, explain_conflict
    from hbmopt.results.limits import BINDING, NO_ELASTICITY, LimitUse, constraint_table
    from hbmopt.results.many_optima import (
        Limited,
        binding,
        limiting,
        prepare_prices,
        priced_inputs,
        prices_of_speed,
        solved,
        throttled,
        whole_plans,
    )
    from hbmopt.results.mixed import solve_mixed
    from hbmopt.results.planning import Plan, solve_model
    from hbmopt.results.point_limits import PointUse, met, plan_of, point_use
    from hbmopt.results.prices import (
        SHARED,
        STEP,
        InputPrices,
        hardware_inputs,
        input_prices,
        lagrangians,
        scaled,
    )
    from hbmopt.results.provenance import estimates, figures, format_notes, text
    from hbmopt.results.solution import (
        Certificate,
        ClockShare,
        ConfigurationResult,
        Conflict,
        ConstraintResult,
        Estimate,
        InputResult,
        KernelResult,
        Solution,
        StepAccuracy,
        plain,
    )
    from hbmopt.results.solving import ACCEPTED_VIOLATION, solution_of, solutions, solve

__all__ = [
    "ACCEPTED_VIOLATION",
    "BINDING",
    "NO_ELASTICITY",
    "SHARED",
    "STEP",
    "Certificate",
    "ClockShare",
    "ConfigurationResult",
    "Conflict",
    "Conflicts",
    "ConstraintResult",
    "Estimate",
    "InputPrices",
    "InputResult",
    "KernelResult",
    "LimitUse",
    "Limited",
    "Plan",
    "PointUse",
    "Solution",
    "StepAccuracy",
    "binding",
    "configuration_of",
    "configuration_result",
    "constraint_table",
    "estimates",
    "explain_conflict",
    "figures",
    "format_notes",
    "hardware_inputs",
    "input_prices",
    "lagrangians",
    "limiting",
    "met",
    "plain",
    "plan_of",
    "point_use",
    "prepare_prices",
    "priced_inputs",
    "prices_of_speed",
    "scaled",
    "solution_of",
    "solutions",
    "solve",
    "solve_mixed",
    "solve_model",
    "solved",
    "step_accuracy",
    "text",
    "throttled",
    "whole_plans",
]

__getattr__ = on_first_use(
    __name__,
    {
        "ACCEPTED_VIOLATION": "solving",
        "BINDING": "limits",
        "NO_ELASTICITY": "limits",
        "SHARED": "prices",
        "STEP": "prices",
        "Certificate": "solution",
        "ClockShare": "solution",
        "ConfigurationResult": "solution",
        "Conflict": "solution",
        "Conflicts": "infeasibility",
        "ConstraintResult": "solution",
        "Estimate": "solution",
        "InputPrices": "prices",
        "InputResult": "solution",
        "KernelResult": "solution",
        "LimitUse": "limits",
        "Limited": "many_optima",
        "Plan": "planning",
        "PointUse": "point_limits",
        "Solution": "solution",
        "StepAccuracy": "solution",
        "binding": "many_optima",
        "configuration_of": "description",
        "configuration_result": "description",
        "constraint_table": "limits",
        "estimates": "provenance",
        "explain_conflict": "infeasibility",
        "figures": "provenance",
        "format_notes": "provenance",
        "hardware_inputs": "prices",
        "input_prices": "prices",
        "lagrangians": "prices",
        "limiting": "many_optima",
        "met": "point_limits",
        "plain": "solution",
        "plan_of": "point_limits",
        "point_use": "point_limits",
        "prepare_prices": "many_optima",
        "priced_inputs": "many_optima",
        "prices_of_speed": "many_optima",
        "scaled": "prices",
        "solution_of": "solving",
        "solutions": "solving",
        "solve": "solving",
        "solve_mixed": "mixed",
        "solve_model": "planning",
        "solved": "many_optima",
        "step_accuracy": "accuracy",
        "text": "provenance",
        "throttled": "many_optima",
        "whole_plans": "many_optima",
    },
)
