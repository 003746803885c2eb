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

__all__ = [
    "CHUNKS",
    "MOST_OFFERED",
    "Arrivals",
    "PrefillPoint",
    "erlang_b",
    "erlang_c",
    "headroom",
    "prefill_points",
    "servers_needed",
    "share_waiting",
    "square_root_staffing",
]

__getattr__ = on_first_use(
    __name__,
    {
        "Arrivals": "arrivals",
        "CHUNKS": "prefill",
        "MOST_OFFERED": "arrivals",
        "PrefillPoint": "prefill",
        "erlang_b": "arrivals",
        "erlang_c": "arrivals",
        "headroom": "arrivals",
        "prefill_points": "prefill",
        "servers_needed": "arrivals",
        "share_waiting": "arrivals",
        "square_root_staffing": "arrivals",
    },
)
