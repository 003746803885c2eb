"""The program: declared once, filled with numbers, solved by HiGHS, checked by a witness.

In: coefficients. Out: an optimum with its multipliers.
"""

from hbmopt.program.declaring import one_at_a_time
from hbmopt.program.formulas import Array, Entry
from hbmopt.program.linear_model import (
    InfeasiblePlanError,
    LinearReader,
    check_linear,
    solve_linear,
)
from hbmopt.program.operation import (
    Asked,
    Operation,
    Solving,
    answered,
    answered_together,
    solve_program,
    solve_programs,
    with_replicas,
)
from hbmopt.program.optimum import (
    RUNNING,
    ClockOperation,
    ClockRun,
    PricedColumn,
    PricedRack,
    RackPlan,
    RunningColumn,
    priced,
    rack_plan,
    running_column,
)
from hbmopt.program.template import (
    NEGLIGIBLE,
    STRUCTURAL,
    Filled,
    Label,
    Template,
    coefficients,
    fill,
    fill_many,
    template_of,
)
from hbmopt.program.witness import (
    ClockPoint,
    Work,
    busiest,
    exposed_time,
    rack_power,
    step_parts,
    violations,
    work,
)

__all__ = [
    "NEGLIGIBLE",
    "RUNNING",
    "STRUCTURAL",
    "Array",
    "Asked",
    "ClockOperation",
    "ClockPoint",
    "ClockRun",
    "Entry",
    "Filled",
    "InfeasiblePlanError",
    "Label",
    "LinearReader",
    "Operation",
    "PricedColumn",
    "PricedRack",
    "RackPlan",
    "RunningColumn",
    "Solving",
    "Template",
    "Work",
    "answered",
    "answered_together",
    "busiest",
    "check_linear",
    "coefficients",
    "exposed_time",
    "fill",
    "fill_many",
    "one_at_a_time",
    "priced",
    "rack_plan",
    "rack_power",
    "running_column",
    "solve_linear",
    "solve_program",
    "solve_programs",
    "step_parts",
    "template_of",
    "violations",
    "with_replicas",
    "work",
]
