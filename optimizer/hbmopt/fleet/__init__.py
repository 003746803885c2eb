"""Fleets: classes of demand on types of racks over periods, as one program.

In: a document of kind `fleet`. Out: a `FleetPlan`: pools of racks, what each makes in each period,
what it costs, and what one more of everything is worth.
"""

from hbmopt.fleet.sessions import (
    Pause,
    Place,
    SessionNumbers,
    Sessions,
    ToolCalls,
    narrowest_configuration,
    session_numbers,
)

__all__ = [
    "Pause",
    "Place",
    "SessionNumbers",
    "Sessions",
    "ToolCalls",
    "narrowest_configuration",
    "session_numbers",
]
