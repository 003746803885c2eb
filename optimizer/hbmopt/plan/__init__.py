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
        Found,
        Reached,
        best_of_each,
        best_point,
        best_points,
        configuration_of,
        configuration_result,
        found_at,
        hopeful,
        most_of_each,
        search,
        solution_of,
        solutions,
        solve,
    )
    from hbmopt.plan.planning import Plan, export_program, rack_block, solve_model

__all__ = [
    "ACCEPTED_VIOLATION",
    "Conflicts",
    "Found",
    "Plan",
    "Reached",
    "best_of_each",
    "best_point",
    "best_points",
    "configuration_of",
    "configuration_result",
    "explain_conflict",
    "export_program",
    "found_at",
    "hopeful",
    "most_of_each",
    "rack_block",
    "search",
    "solution_of",
    "solutions",
    "solve",
    "solve_mixed",
    "solve_model",
]

__getattr__ = on_first_use(
    __name__,
    {
        "ACCEPTED_VIOLATION": "one_rack",
        "Conflicts": "infeasibility",
        "Found": "one_rack",
        "Plan": "planning",
        "Reached": "one_rack",
        "best_of_each": "one_rack",
        "best_point": "one_rack",
        "best_points": "one_rack",
        "hopeful": "one_rack",
        "most_of_each": "one_rack",
        "configuration_of": "one_rack",
        "configuration_result": "one_rack",
        "explain_conflict": "infeasibility",
        "export_program": "planning",
        "found_at": "one_rack",
        "rack_block": "planning",
        "search": "one_rack",
        "solution_of": "one_rack",
        "solutions": "one_rack",
        "solve": "one_rack",
        "solve_mixed": "mixed",
        "solve_model": "planning",
    },
)
