"""Results: the solution, its limits and their prices, and what it rests on.

In: an optimum. Out: a `Solution` and its parts.
"""

from hbmopt.results.accuracy import step_accuracy
from hbmopt.results.limits import BINDING, NO_ELASTICITY, constraint_table
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
from hbmopt.results.prices import (
    SHARED,
    STEP,
    InputPrices,
    hardware_inputs,
    input_prices,
    lagrangian,
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
    "Limited",
    "Solution",
    "StepAccuracy",
    "binding",
    "constraint_table",
    "estimates",
    "figures",
    "hardware_inputs",
    "input_prices",
    "lagrangian",
    "limiting",
    "plain",
    "priced_inputs",
    "prices_of_speed",
    "scaled",
    "solved",
    "step_accuracy",
    "text",
    "throttled",
    "whole_plans",
]
