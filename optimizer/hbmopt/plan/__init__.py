"""Plans: one rack, and racks inside a larger model.

In: an `Instance`, or a Pyomo model with rack blocks. Out: a `Solution` or a `Plan`.
"""

from typing import TYPE_CHECKING

from hbmopt.first_use import on_first_use

if TYPE_CHECKING:
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

__getattr__ = on_first_use(
    __name__,
    {
        "ACCEPTED_VIOLATION": "one_rack",
        "Conflicts": "infeasibility",
        "Plan": "planning",
        "configuration_of": "one_rack",
        "configuration_result": "one_rack",
        "explain_conflict": "infeasibility",
        "export_program": "planning",
        "rack_block": "planning",
        "solution_of": "one_rack",
        "solve": "one_rack",
        "solve_mixed": "mixed",
        "solve_model": "planning",
    },
)
