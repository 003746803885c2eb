"""Plans: one rack, and racks inside a larger model.

In: an `Instance`, or a Pyomo model with rack blocks. Out: a `Solution` or a `Plan`.
"""

from hbmopt.plan.infeasibility import Conflicts, explain_conflict
from hbmopt.plan.mixed import solve_mixed
from hbmopt.plan.one_rack import (
    ACCEPTED_VIOLATION,
    configuration_of,
    configuration_result,
    solution_of,
    solve,
)
from hbmopt.plan.planning import Plan, export_program, rack_block, solve_model

__all__ = [
    "ACCEPTED_VIOLATION",
    "Conflicts",
    "Plan",
    "configuration_of",
    "configuration_result",
    "explain_conflict",
    "export_program",
    "rack_block",
    "solution_of",
    "solve",
    "solve_mixed",
    "solve_model",
]
