"""Fleets: classes of demand on types of racks over periods, as one program.

In: a document of kind `fleet`. Out: a `FleetPlan`: pools of racks, what each makes in each period,
what it costs, and what one more of everything is worth.
"""

from typing import TYPE_CHECKING

from hbmopt.first_use import on_first_use

if TYPE_CHECKING:
    from hbmopt.fleet.arrivals import (
        MOST_OFFERED,
        Arrivals,
        erlang_b,
        erlang_c,
        headroom,
        servers_needed,
        share_waiting,
        square_root_staffing,
    )
    from hbmopt.fleet.prefill import CHUNKS, PrefillPoint, prefill_points
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
    "CHUNKS",
    "MOST_OFFERED",
    "Arrivals",
    "Pause",
    "Place",
    "PrefillPoint",
    "SessionNumbers",
    "Sessions",
    "ToolCalls",
    "erlang_b",
    "erlang_c",
    "headroom",
    "narrowest_configuration",
    "prefill_points",
    "servers_needed",
    "session_numbers",
    "share_waiting",
    "square_root_staffing",
]

__getattr__ = on_first_use(
    __name__,
    {
        "Arrivals": "arrivals",
        "CHUNKS": "prefill",
        "MOST_OFFERED": "arrivals",
        "Pause": "sessions",
        "Place": "sessions",
        "PrefillPoint": "prefill",
        "SessionNumbers": "sessions",
        "Sessions": "sessions",
        "ToolCalls": "sessions",
        "erlang_b": "arrivals",
        "erlang_c": "arrivals",
        "headroom": "arrivals",
        "narrowest_configuration": "sessions",
        "prefill_points": "prefill",
        "servers_needed": "arrivals",
        "session_numbers": "sessions",
        "share_waiting": "arrivals",
        "square_root_staffing": "arrivals",
    },
)
