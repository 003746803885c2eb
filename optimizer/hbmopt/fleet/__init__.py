"""Fleets: classes of demand on types of racks over periods, as one program.

In: a document of kind `fleet`. Out: a `FleetPlan`: pools of racks, what each makes in each period,
what it costs, and what one more of everything is worth.
"""

from hbmopt.fleet.prefill import CHUNKS, PrefillPoint, prefill_points

__all__ = ["CHUNKS", "PrefillPoint", "prefill_points"]
