"""Plans: the best of one rack, and racks as columns of a larger program.

In: points and columns. Out: a plan, and the program that certifies it.
"""

from typing import TYPE_CHECKING

from hbmopt.first_use import on_first_use

if TYPE_CHECKING:
    from hbmopt.plan.blocks import RackContents, rack_block, rack_blocks
    from hbmopt.plan.column_rows import ProgramRows
    from hbmopt.plan.columns import RackColumns
    from hbmopt.plan.load import SharedLoad, at_shares
    from hbmopt.plan.master import (
        Master,
        MasterPlan,
        RunningGroup,
        Surroundings,
        alone,
    )
    from hbmopt.plan.one_rack import (
        NEARLY,
        Found,
        Reached,
        best_of_each,
        best_outline,
        best_point,
        best_points,
        found_at,
        hopeful,
        most_of_each,
        plan_at,
        search,
    )
    from hbmopt.plan.user_model import UserModel, export_program

__all__ = [
    "NEARLY",
    "Found",
    "Master",
    "MasterPlan",
    "ProgramRows",
    "RackColumns",
    "RackContents",
    "Reached",
    "RunningGroup",
    "SharedLoad",
    "Surroundings",
    "UserModel",
    "alone",
    "at_shares",
    "best_of_each",
    "best_outline",
    "best_point",
    "best_points",
    "export_program",
    "found_at",
    "hopeful",
    "most_of_each",
    "plan_at",
    "rack_block",
    "rack_blocks",
    "search",
]

__getattr__ = on_first_use(
    __name__,
    {
        "NEARLY": "one_rack",
        "Found": "one_rack",
        "Master": "master",
        "MasterPlan": "master",
        "ProgramRows": "column_rows",
        "RackColumns": "columns",
        "RackContents": "blocks",
        "Reached": "one_rack",
        "RunningGroup": "master",
        "SharedLoad": "load",
        "Surroundings": "master",
        "UserModel": "user_model",
        "alone": "master",
        "at_shares": "load",
        "best_of_each": "one_rack",
        "best_outline": "one_rack",
        "best_point": "one_rack",
        "best_points": "one_rack",
        "export_program": "user_model",
        "found_at": "one_rack",
        "hopeful": "one_rack",
        "most_of_each": "one_rack",
        "plan_at": "one_rack",
        "rack_block": "blocks",
        "rack_blocks": "blocks",
        "search": "one_rack",
    },
)
