"""Fleets: classes of demand on types of racks over periods, as one program.

In: a document of kind `fleet`. Out: a `FleetPlan`: pools of racks, what each makes in each period,
what it costs, and what one more of everything is worth.
"""

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

__all__ = [
    "MOST_OFFERED",
    "Arrivals",
    "erlang_b",
    "erlang_c",
    "headroom",
    "servers_needed",
    "share_waiting",
    "square_root_staffing",
]
