"""Idle caches: each is somewhere until the next turn, and what holds them is large and fast enough.

    sum_k S_p,k,t = S_p,t                                        [tok/s]
    sum_(p of r, k) gb_k S_p,k,t <= GB_r n,  sum gb/s_k S_p,k,t <= GB/s_r n     host, storage
    sum_k hbm_k S_p,k,t <= reserved n_p                          [GB of HBM]

S_p,k,t are the tokens of turns whose cache waits in place k for the next one.
"""

import pyomo.core as pyo

from .quantities import FleetData, PlaceData


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

    def summed(pool: int, period: int, of: str) -> object:
        places = fleet.pools[pool].places
        return sum(
            getattr(one, of) * block.placed[pool, period, place] for place, one in enumerate(places)
        )

    @block.Expression(pools, periods, doc="Prompts that are computed again [prompts/s]")
    def recomputed(block: pyo.Block, pool: int, period: int) -> object:
        return summed(pool, period, "prompts_per_s")

    @block.Expression(pools, periods, doc="Power of moving caches [kW]")
    def moving_power(block: pyo.Block, pool: int, period: int) -> object:
        return summed(pool, period, "kw")

    @block.Constraint(pools, periods, doc="Every idle cache is somewhere [tok/s]")
    def all_placed(block: pyo.Block, pool: int, period: int) -> object:
        places = fleet.pools[pool].places
        if not places:
            return pyo.Constraint.Skip
        placed = sum(block.placed[pool, period, place] for place in range(len(places)))
        return placed == block.rate[pool, period]

    def limit(of: str, doc: str) -> None:
        def row(block: pyo.Block, kind: int, period: int) -> object:
            own = [pool for pool in fleet.pools_of(kind) if _uses(fleet.pools[pool].places, of)]
            if not own:
                return pyo.Constraint.Skip
            used = sum(summed(pool, period, of) for pool in own)
            held = getattr(fleet.kinds[kind], of)
            racks = sum(block.racks[pool, period] for pool in fleet.pools_of(kind))
            return used / held <= racks if held > 0 else used <= 0

        block.add_component(
            of, pyo.Constraint(range(len(fleet.kinds)), periods, rule=row, doc=doc)
        )

    limit("host_gb", "Idle caches fit into host memory [racks]")
    limit("host_gb_per_s", "And move through it in time [racks]")
    limit("storage_gb", "Idle caches fit onto storage [racks]")
    limit("storage_gb_per_s", "And move through it in time [racks]")

    @block.Constraint(pools, periods, doc="Idle caches fit into the HBM that is kept [racks]")
    def hbm_gb(block: pyo.Block, pool: int, period: int) -> object:
        one = fleet.pools[pool]
        if not _uses(one.places, "hbm_gb"):
            return pyo.Constraint.Skip
        return summed(pool, period, "hbm_gb") <= one.reserved_hbm_gb * block.racks[pool, period]


def _uses(places: tuple[PlaceData, ...], of: str) -> bool:
    return any(getattr(one, of) > 0 for one in places)
