"""Idle caches: each is somewhere until the next turn, and what holds them is large and fast enough.

    sum_k S_p,k,t = S_p,t                                        [tok/s]
    sum_(p of r, k) gb_k S_p,k,t <= GB_r n,  sum busy_k S_p,k,t <= nodes_r n     host, storage
    sum_k hbm_k S_p,k,t <= reserved n_p                          [GB of HBM]

S_p,k,t are the tokens of turns whose cache waits in place k for the next one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyomo.core as pyo

from .quantities import FleetData, KindData, PlaceData


@dataclass(frozen=True)
class _Shared:
    """What idle caches take of a type of rack: name of the rows, what a place takes, the limit."""

    name: str
    taken: Callable[[PlaceData], float]
    there: Callable[[KindData], float]
    doc: str


SHARED = (
    _Shared(
        "host_gb",
        lambda one: one.host_gb,
        lambda kind: kind.host_gb,
        "Idle caches fit into host memory [racks]",
    ),
    _Shared(
        "host_busy",
        lambda one: one.host_busy,
        lambda kind: kind.host_busy,
        "And move through its links in time [racks]",
    ),
    _Shared(
        "storage_gb",
        lambda one: one.storage_gb,
        lambda kind: kind.storage_gb,
        "Idle caches fit onto the drives [racks]",
    ),
    _Shared(
        "storage_busy",
        lambda one: one.storage_busy,
        lambda kind: kind.storage_busy,
        "And move through them in time [racks]",
    ),
)
"""What all pools of a type of rack share."""


def add_idle_caches(block: pyo.Block, fleet: FleetData) -> None:
    """Declare ``placed`` by pool, period and place, ``recomputed`` and ``moving_power``."""
    pools, periods = range(len(fleet.pools)), range(len(fleet.periods))
    listed = [
        (pool, period, place)
        for pool in pools
        for period in periods
        for place in range(len(fleet.pools[pool].places))
    ]
    block.placed = pyo.Var(listed, within=pyo.NonNegativeReals, doc="rate by place [tok/s]")

    def summed(pool: int, period: int, taken: Callable[[PlaceData], float]) -> object:
        places = enumerate(fleet.pools[pool].places)
        return sum(taken(one) * block.placed[pool, period, place] for place, one in places)

    block.recomputed = pyo.Expression(
        pools,
        periods,
        rule=lambda _, pool, period: summed(pool, period, lambda one: one.prompts_per_s),
        doc="prompts that are computed again [prompts/s]",
    )
    block.moving_power = pyo.Expression(
        pools,
        periods,
        rule=lambda _, pool, period: summed(pool, period, lambda one: one.kw),
        doc="power of moving caches [kW]",
    )

    @block.Constraint(pools, periods, doc="Every idle cache is somewhere [tok/s]")
    def all_placed(block: pyo.Block, pool: int, period: int) -> object:
        places = fleet.pools[pool].places
        if not places:
            return pyo.Constraint.Skip
        placed = sum(block.placed[pool, period, place] for place in range(len(places)))
        return placed == block.rate[pool, period]

    def limit(shared: _Shared) -> pyo.Constraint:
        def row(block: pyo.Block, kind: int, period: int) -> object:
            own = fleet.pools_of(kind)
            using = [pool for pool in own if _uses(fleet.pools[pool].places, shared.taken)]
            if not using:
                return pyo.Constraint.Skip
            used = pyo.quicksum(summed(pool, period, shared.taken) for pool in using)
            there = shared.there(fleet.kinds[kind])
            racks = sum(block.racks[pool, period] for pool in own)
            return used / there <= racks if there > 0 else used <= 0

        return pyo.Constraint(range(len(fleet.kinds)), periods, rule=row, doc=shared.doc)

    for shared in SHARED:
        block.add_component(shared.name, limit(shared))

    @block.Constraint(pools, periods, doc="Idle caches fit into the HBM that is kept [racks]")
    def hbm_gb(block: pyo.Block, pool: int, period: int) -> object:
        one = fleet.pools[pool]
        if not _uses(one.places, lambda place: place.hbm_gb):
            return pyo.Constraint.Skip
        used = summed(pool, period, lambda place: place.hbm_gb)
        return used <= one.reserved_hbm_gb * block.racks[pool, period]


def _uses(places: tuple[PlaceData, ...], taken: Callable[[PlaceData], float]) -> bool:
    return any(taken(one) > 0 for one in places)
