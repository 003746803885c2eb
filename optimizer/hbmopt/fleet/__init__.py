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
    from hbmopt.fleet.block import fleet_block
    from hbmopt.fleet.plan import (
        ClassResult,
        FleetConflict,
        FleetCost,
        FleetCure,
        FleetPlan,
        LimitPrice,
        PeriodResult,
        PoolResult,
        RackCount,
    )
    from hbmopt.fleet.prefill import CHUNKS, PrefillPoint, prefill_points
    from hbmopt.fleet.schema import Fleet, fleet_of
    from hbmopt.fleet.sessions import (
        Pause,
        Place,
        SessionNumbers,
        Sessions,
        ToolCalls,
        narrowest_configuration,
        session_numbers,
    )
    from hbmopt.fleet.solving import plan_of, solve_fleet

__all__ = [
    "CHUNKS",
    "MOST_OFFERED",
    "Arrivals",
    "ClassResult",
    "Fleet",
    "FleetConflict",
    "FleetCost",
    "FleetCure",
    "FleetPlan",
    "LimitPrice",
    "Pause",
    "PeriodResult",
    "Place",
    "PoolResult",
    "PrefillPoint",
    "RackCount",
    "SessionNumbers",
    "Sessions",
    "ToolCalls",
    "erlang_b",
    "erlang_c",
    "fleet_block",
    "fleet_of",
    "headroom",
    "narrowest_configuration",
    "plan_of",
    "prefill_points",
    "servers_needed",
    "session_numbers",
    "share_waiting",
    "solve_fleet",
    "square_root_staffing",
]

__getattr__ = on_first_use(
    __name__,
    {
        "CHUNKS": "prefill",
        "MOST_OFFERED": "arrivals",
        "Arrivals": "arrivals",
        "ClassResult": "plan",
        "Fleet": "schema",
        "FleetConflict": "plan",
        "FleetCost": "plan",
        "FleetCure": "plan",
        "FleetPlan": "plan",
        "LimitPrice": "plan",
        "Pause": "sessions",
        "PeriodResult": "plan",
        "Place": "sessions",
        "PoolResult": "plan",
        "PrefillPoint": "prefill",
        "RackCount": "plan",
        "SessionNumbers": "sessions",
        "Sessions": "sessions",
        "ToolCalls": "sessions",
        "erlang_b": "arrivals",
        "erlang_c": "arrivals",
        "fleet_block": "block",
        "fleet_of": "schema",
        "headroom": "arrivals",
        "narrowest_configuration": "sessions",
        "plan_of": "solving",
        "prefill_points": "prefill",
        "servers_needed": "arrivals",
        "session_numbers": "sessions",
        "share_waiting": "arrivals",
        "solve_fleet": "solving",
        "square_root_staffing": "arrivals",
    },
)
