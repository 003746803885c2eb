"""A fleet: all families of its rows on one block."""

import pyomo.core as pyo

from .assigned import add_assigned
from .demand import add_demand
from .host_cpu import add_host_cpu
from .idle_caches import add_idle_caches
from .load_curve import add_load_curve
from .objective import add_objective
from .purchase import add_purchase
from .quantities import FleetData
from .site_power import add_site_power
from .standing import add_standing
from .switching import add_switching


def declare_fleet(block: pyo.Block, fleet: FleetData) -> None:
    """Declare a fleet on `block`; it sets no objective.

    Its expressions ``standing``, ``served``, ``site_power``, ``price``, ``cost``, ``revenue`` and
    ``throughput`` are for whatever else a model asks.
    """
    add_standing(block, fleet)
    add_assigned(block, fleet)
    add_load_curve(block, fleet)
    add_idle_caches(block, fleet)
    add_demand(block, fleet)
    add_host_cpu(block, fleet)
    add_site_power(block, fleet)
    add_purchase(block, fleet)
    add_switching(block, fleet)
    add_objective(block, fleet)
