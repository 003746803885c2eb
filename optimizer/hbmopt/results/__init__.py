"""Results: the solution, its limits and their prices, and what it rests on.

In: an optimum. Out: a `Solution` and its parts.
"""

from typing import TYPE_CHECKING

from hbmopt.first_use import on_first_use

if TYPE_CHECKING:
    from hbmopt.results.accuracy import step_accuracy
    from hbmopt.results.limits import BINDING, NO_ELASTICITY, LimitUse, constraint_table
    from hbmopt.results.many_optima import (
        Limited,
        binding,
        limiting,
        priced_inputs,
        prices_of_speed,
        solved,
        throttled,
        whole_plans,
    )
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
    from hbmopt.results.provenance import estimates, figures, text
    from hbmopt.results.solution import (
        Certificate,
        ClockShare,
        ConfigurationResult,
        Conflict,
        ConstraintResult,
        Estimate,
        InputResult,
        Solution,
        StepAccuracy,
        plain,
    )

__all__ = [
    "BINDING",
    "NO_ELASTICITY",
    "SHARED",
    "STEP",
    "Certificate",
    "ClockShare",
    "ConfigurationResult",
    "Conflict",
    "ConstraintResult",
    "Estimate",
    "InputPrices",
    "InputResult",
    "LimitUse",
    "Limited",
    "PointUse",
    "Solution",
    "StepAccuracy",
    "binding",
    "constraint_table",
    "estimates",
    "figures",
    "hardware_inputs",
    "input_prices",
    "lagrangians",
    "limiting",
    "met",
    "plain",
    "plan_of",
    "point_use",
    "priced_inputs",
    "prices_of_speed",
    "scaled",
    "solved",
    "step_accuracy",
    "text",
    "throttled",
    "whole_plans",
]

__getattr__ = on_first_use(
    __name__,
    {
        "BINDING": "limits",
        "Certificate": "solution",
        "ClockShare": "solution",
        "ConfigurationResult": "solution",
        "Conflict": "solution",
        "ConstraintResult": "solution",
        "Estimate": "solution",
        "InputPrices": "prices",
        "InputResult": "solution",
        "LimitUse": "limits",
        "Limited": "many_optima",
        "PointUse": "point_limits",
        "NO_ELASTICITY": "limits",
        "SHARED": "prices",
        "STEP": "prices",
        "Solution": "solution",
        "StepAccuracy": "solution",
        "binding": "many_optima",
        "constraint_table": "limits",
        "estimates": "provenance",
        "figures": "provenance",
        "hardware_inputs": "prices",
        "input_prices": "prices",
        "lagrangians": "prices",
        "limiting": "many_optima",
        "met": "point_limits",
        "plain": "solution",
        "plan_of": "point_limits",
        "point_use": "point_limits",
        "priced_inputs": "many_optima",
        "prices_of_speed": "many_optima",
        "scaled": "prices",
        "solved": "many_optima",
        "step_accuracy": "accuracy",
        "text": "provenance",
        "throttled": "many_optima",
        "whole_plans": "many_optima",
    },
)
