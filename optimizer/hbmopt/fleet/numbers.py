"""The numbers of a fleet's program: types of racks, demand, periods and pools."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from hbmopt.demand import MILLION, Configuration
from hbmopt.errors import InputError
from hbmopt.fleet.load_curve import LoadCurve
from hbmopt.fleet.pools import DECODE, Pool, arrivals_of
from hbmopt.fleet.schema import Fleet
from hbmopt.fleet.sessions import Place, SessionNumbers, session_numbers
from hbmopt.instance import Instance, capital, cost_rate, unpriced
from hbmopt.models.fleet.quantities import (
    Band,
    DemandData,
    FleetData,
    KindData,
    PeriodData,
    PlaceData,
    PoolData,
)

PRICED = ("cost", "margin")
"""Objectives that need the price of every rack that may be bought."""


def fleet_data(fleet: Fleet, pools: Sequence[Pool]) -> FleetData:
    """Return the numbers of a fleet.

    Raises
    ------
    InputError
        Where a price or a length of outputs is missing that the objective needs.
    """
    kinds, demands = list(fleet.racks), list(fleet.classes)
    instances = {pool.kind: pool for pool in pools}
    overhead = max((float(pool.instance.limits.pue) for pool in pools), default=1.0)
    periods = _periods(fleet, pools, overhead)
    site = fleet.site
    return FleetData(
        kinds=tuple(_kind(fleet, name, instances.get(name)) for name in kinds),
        demands=tuple(
            DemandData(name, one.must_serve, float(one.price) / MILLION)
            for name, one in fleet.classes.items()
        ),
        periods=periods,
        pools=tuple(
            _pool(fleet, one, kinds.index(one.kind), demands.index(one.demand), periods)
            for one in pools
        ),
        bands=tuple(
            ((Band(0.0, one.highest, 0.0, tuple(one.curve.lines)),),) * len(periods)
            for one in pools
        ),
        years=len(fleet.years),
        overhead=overhead,
        objective=fleet.objective,
        capital_usd=float(site.capital) if site.capital is not None else None,
        space=float(site.space) if site.space is not None else None,
        switches=float(fleet.switching) if fleet.switching is not None else None,
    )


def _kind(fleet: Fleet, name: str, pool: Pool | None) -> KindData:
    one, years = fleet.racks[name], fleet.years
    owned = tuple(
        float(one.owned) if one.retires is None or year < one.retires else 0.0 for year in years
    )
    if pool is None:
        # It serves nobody: none of it is bought or kept.
        nothing = (0.0,) * len(years), 0.0, (None,) * len(years)
        return KindData(name, *nothing, 0.0, 0.0, 0.0, 0.0, one.space)
    instance = pool.instance
    rate, paid = cost_rate(instance), capital(instance)
    sold = one.at_most is None or float(one.at_most) > 0
    if rate is None and sold and (fleet.objective in PRICED or fleet.site.capital is not None):
        raise InputError(
            f"racks.{name}: its price is not known ({unpriced(instance)}); set "
            f'racks.{name}.price, such as "3 MUSD", or at_most: 0'
        )
    lead = float(one.lead) if one.lead is not None else 0.0
    first = one.available if one.available is not None else min(years)
    runs = tuple(
        next((place for place, later in enumerate(years) if later >= year + lead), None)
        if year >= first
        else None
        for year in years
    )
    return KindData(
        name=name,
        owned=owned,
        at_most=float(one.at_most) if one.at_most is not None else None,
        runs=runs,
        usd=paid.usd if paid is not None else 0.0,
        bought_usd_per_hour=rate.capital_usd_per_hour if rate is not None else 0.0,
        standing_usd_per_hour=(
            rate.site_usd_per_hour + rate.operations_usd_per_hour if rate is not None else 0.0
        ),
        idle_kw=pool.curve.idle_kw,
        space=one.space,
        host_gb=instance.rack.all_host_gb,
        storage_gb=instance.rack.all_storage_gb,
        host_busy=float(instance.rack.nodes),
        storage_busy=float(instance.rack.nodes),
        cores=instance.rack.all_cores,
    )


def _periods(fleet: Fleet, pools: Sequence[Pool], overhead: float) -> tuple[PeriodData, ...]:
    total = sum(one.weight for one in fleet.periods)
    site = fleet.site
    scale = overhead if site.power_scope == "rack" else 1.0
    found = []
    for place, one in enumerate(fleet.periods):
        cap = one.power if one.power is not None else site.power
        price = one.power_price
        if price is None:
            price = fleet.economics.power_price
        found.append(
            PeriodData(
                name=one.name or (str(one.year) if one.year is not None else f"period {place + 1}"),
                share=one.weight / total,
                year=fleet.years.index(one.year or 0),
                asked=tuple(_asked(fleet, name, place, pools) for name in fleet.classes),
                cap_kw=scale * float(cap) if cap is not None else None,
                usd_per_kwh=float(price),
                kg_per_kwh=float(one.co2) if one.co2 is not None else 0.0,
            )
        )
    return tuple(found)


def _asked(fleet: Fleet, name: str, period: int, pools: Sequence[Pool]) -> float | None:
    """Return the demand of a class in a period in tok/s."""
    one, share = fleet.classes[name], fleet.asked(name, period)
    if share is None:
        return None
    if one.throughput is not None:
        return share * float(one.throughput)
    if one.users is not None:
        return share * float(one.users) * float(one.min_speed)
    instances = [pool.instance for pool in pools if pool.demand == name]
    if one.rate is None or not instances:
        return 0.0 if one.rate is None or float(one.rate) == 0 else share * float(one.rate)
    return share * float(one.rate) * output_tokens(name, instances[0])


def output_tokens(name: str, instance: Instance) -> float:
    """Return the output tokens of a request. Raises `InputError` where they are not given."""
    output = instance.workload.output
    if output is None:
        raise InputError(
            f"classes.{name}.workload: requests need `prompt` and `output` tokens, not `context`; "
            "or give the demand as `throughput`"
        )
    return float(output)


def _pool(
    fleet: Fleet, pool: Pool, kind: int, demand: int, periods: Sequence[PeriodData]
) -> PoolData:
    own = fleet.classes[pool.demand]
    pooled = own.prefill in ("pool", "choose")
    separate = pooled and pool.stage == DECODE
    data = PoolData(
        name=pool.name,
        kind=kind,
        demand=demand,
        prefill=pool.prefills,
        headroom=tuple(_headroom(fleet, pool, one.asked[demand]) for one in periods),
        prompts_per_token=(1.0 / output_tokens(pool.demand, pool.instance) if separate else 0.0),
    )
    if own.sessions is None or pool.prefills:
        return data
    numbers = session_numbers(pool.instance, own.sessions, _running(pool))
    output = numbers.output_tokens
    rack = pool.instance.rack
    # The pool's own instance has what it keeps no more.
    whole = float(rack.accelerator.hbm_capacity) * rack.all_accelerators / (1.0 - pool.kept)
    return replace(
        data,
        reserved_hbm_gb=pool.kept * whole,
        cores_per_token=numbers.core_s / output,
        kw_per_token=numbers.core_joule / output / 1e3,
        places=tuple(
            _place(way, output, numbers)
            for way in numbers.ways
            if pooled or all(one.kind != "recompute" for one in way)
        ),
    )


def _running(pool: Pool) -> Configuration | None:
    curve = pool.curve
    return curve.top.running.configuration if isinstance(curve, LoadCurve) else None


def _place(way: Sequence[Place], output: float, numbers: SessionNumbers) -> PlaceData:
    """Return what waiting takes where each kind of pause has its place."""

    def summed(kind: str, of: Callable[[Place], float]) -> float:
        return sum(of(one) for one in way if one.kind == kind) / output

    again = sum(one.prompt_tokens for one in way) / output
    return PlaceData(
        name=" and ".join(dict.fromkeys(one.kind for one in way)),
        host_gb=summed("host", lambda one: one.held_gb),
        storage_gb=summed("storage", lambda one: one.held_gb),
        hbm_gb=summed("hbm", lambda one: one.held_gb),
        host_busy=summed("host", lambda one: one.busy_node_s),
        storage_busy=summed("storage", lambda one: one.busy_node_s),
        kw=sum(one.joule for one in way) / output / 1e3,
        prompts_per_s=again / max(numbers.new_tokens - output, 1.0),
    )


def _headroom(fleet: Fleet, pool: Pool, asked: float | None) -> float:
    """Return the servers that a class's random arrivals need per server that is busy.

    Servers are sequences that decode side by side, or replicas that compute prompts.
    """
    arrivals = arrivals_of(fleet, pool.demand)
    if arrivals.wait is None or not asked:
        return 1.0
    output = output_tokens(pool.demand, pool.instance)
    curve = pool.curve
    if isinstance(curve, LoadCurve):
        running = curve.top.running
        speed = curve.top.rate / (running.replicas * running.batch)
        floor = float(pool.instance.limits.min_speed)
        speed = max(floor, speed)
        return arrivals.headroom(asked / speed, 1e3 * output / speed)
    best = curve.ways[0]
    service = best.replicas / best.prompts_per_s
    return arrivals.headroom(asked / output * service, 1e3 * service)
