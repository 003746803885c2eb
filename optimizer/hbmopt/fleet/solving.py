"""`solve_fleet`: the best plan of a fleet, and what it rests on."""

import time
from collections.abc import Sequence

from hbmopt.basics import Told, tells_nobody, verb
from hbmopt.demand import PER_HOUR
from hbmopt.documents import UNCERTAIN, Document
from hbmopt.fleet.conflict import conflict_of
from hbmopt.fleet.deciding import Decided, decide, site_power
from hbmopt.fleet.numbers import fleet_data
from hbmopt.fleet.plan import (
    ClassResult,
    FleetCost,
    FleetPlan,
    LimitPrice,
    PeriodResult,
    PoolResult,
    RackCount,
)
from hbmopt.fleet.pools import NoPool, Pool, PrefillCurve, pools_of
from hbmopt.fleet.prices import FleetPrices, memory_worth, prices_of
from hbmopt.fleet.schema import Fleet, FleetSource, fleet_of, load_fleet_document
from hbmopt.instance import Overrides
from hbmopt.models.fleet.objective import LEAST
from hbmopt.program import InfeasiblePlanError

UNITS = {
    "cost": "USD/h",
    "power": "kW",
    "racks": "racks",
    "revenue": "USD/h",
    "margin": "USD/h",
    "throughput": "tok/s",
}
REACHED = 1e-6
"""Share of a limit that may be left where it counts as reached."""


@verb
def solve_fleet(
    source: FleetSource,
    overrides: Overrides = None,
    *,
    gap: float | None = None,
    progress: Told | None = None,
) -> FleetPlan:
    """Return the best plan of a fleet: what to buy, and what every rack does in every period.

    Parameters
    ----------
    source
        The path of a YAML file of kind ``fleet``, the name of a shipped one, or a mapping.
    overrides
        Changes by dotted key, as of `load`.
    gap
        How much better another plan may be, as a share; by default 0.1 %, and 0.01 % of fleets of
        few pools and periods.
    progress
        Is told what is being done.

    Raises
    ------
    InputError
        With what is wrong, where, and what to do.
    SolverError
        If HiGHS stops without a proof.
    """
    document = load_fleet_document(source, overrides)
    return plan_of(fleet_of(document), document, gap=gap, progress=progress)


def plan_of(
    fleet: Fleet,
    document: Document,
    *,
    gap: float | None = None,
    progress: Told | None = None,
) -> FleetPlan:
    """Return the best plan of a fleet that was read from a document."""
    started, told = time.perf_counter(), progress or tells_nobody
    pools, missing = pools_of(fleet, document, told)
    data = fleet_data(fleet, pools)
    try:
        decided = decide(data, pools, gap, told)
    except InfeasiblePlanError:
        told("looking for what is in the way")
        conflict = conflict_of(fleet, document, data, pools, missing)
        return FleetPlan(
            name=fleet.name,
            title=fleet.description,
            status="infeasible",
            objective=fleet.objective,
            amount=None,
            unit=UNITS[fleet.objective],
            bound=None,
            gap=None,
            years=_years(fleet),
            conflict=conflict,
            seconds=time.perf_counter() - started,
        )
    told("pricing")
    return _Answering(fleet, pools, missing, decided).plan(time.perf_counter() - started)


def _years(fleet: Fleet) -> tuple[int, ...]:
    return tuple(year for year in fleet.years if year)


class _Answering:
    """A plan that was decided, told in words and tables."""

    def __init__(
        self, fleet: Fleet, pools: Sequence[Pool], missing: Sequence[NoPool], decided: Decided
    ) -> None:
        self._fleet, self._pools, self._missing = fleet, pools, missing
        self._decided, self._data = decided, decided.program.data
        self._prices: FleetPrices = prices_of(decided)
        few = len({place for place, _ in decided.operations}) <= FEW_POOLS
        self._memory = memory_worth(decided, pools) if few else {}
        self._sign = -1.0 if fleet.objective in LEAST else 1.0

    def plan(self, seconds: float) -> FleetPlan:
        """Return the answer."""
        decided, data = self._decided, self._data
        constant = decided.program.constant
        return FleetPlan(
            name=self._fleet.name,
            title=self._fleet.description,
            status="optimal",
            objective=self._fleet.objective,
            amount=self._sign * decided.objective + constant,
            unit=UNITS[self._fleet.objective],
            bound=self._sign * decided.bound + constant,
            gap=decided.gap,
            racks=tuple(self._racks(kind) for kind in range(len(data.kinds))),
            pools=tuple(
                self._pool(place)
                for place in range(len(self._pools))
                if any(decided.racks(place, period) for period in range(len(data.periods)))
            ),
            classes=tuple(self._class(demand) for demand in range(len(data.demands))),
            periods=tuple(self._period(period) for period in range(len(data.periods))),
            limits=tuple(self._limits()),
            cost=self._cost(),
            years=_years(self._fleet),
            notes=tuple(self._notes()),
            estimates=tuple(self._estimates()),
            pue=data.overhead,
            seconds=seconds,
        )

    def _standing(self, kind: int, year: int) -> int:
        return round(self._decided.program.amount("standing", self._decided.point, kind, year))

    def _racks(self, kind: int) -> RackCount:
        one, years = self._data.kinds[kind], range(self._data.years)
        pool = next((pool for pool in self._pools if pool.kind == one.name), None)
        memory = self._memory.get(one.name)
        return RackCount(
            kind=one.name,
            title=pool.instance.rack.in_words if pool is not None else one.name,
            owned=tuple(round(own) for own in one.owned),
            kept=tuple(self._count("kept", kind, year) for year in years),
            bought=tuple(self._count("bought", kind, year) for year in years),
            standing=tuple(self._standing(kind, year) for year in years),
            at_most=round(one.at_most) if one.at_most is not None else None,
            usd=one.usd or None,
            idle_kw=one.idle_kw,
            hbm_gb_worth=memory.gigabyte if memory is not None else None,
            hbm_tb_s_worth=memory.terabyte_per_s if memory is not None else None,
        )

    def _count(self, name: str, *index: int) -> int:
        """Return the racks that a variable counts, 0 where no row holds it."""
        held = self._decided.program.holds(name, *index)
        return round(self._decided.value(name, *index)) if held else 0

    def _pool(self, place: int) -> PoolResult:
        pool, data = self._pools[place], self._data
        periods = range(len(data.periods))
        racks = tuple(self._decided.racks(place, period) for period in periods)
        rate = tuple(self._decided.rate(place, period) for period in periods)
        operations = [self._decided.operations.get((place, period)) for period in periods]
        curve = pool.curve
        if isinstance(curve, PrefillCurve):
            way = curve.ways[0]
            configuration, replicas, batch = str(way.configuration), way.replicas, float(way.chunk)
            speed, first = None, way.first_token_s
        else:
            running = curve.top.running
            configuration, replicas = str(running.configuration), running.replicas
            batch, first = running.batch, None
            speed = running.rate * running.gained
        return PoolResult(
            kind=pool.kind,
            demand=pool.demand,
            stage=pool.stage,
            kept_hbm_share=pool.kept,
            configuration=configuration,
            replicas=replicas,
            batch=batch,
            speed_tok_s_user=speed,
            first_token_s=first,
            rate_of_a_rack=pool.highest,
            headroom=data.pools[place].headroom,
            racks=racks,
            rate=rate,
            utilisation=tuple(
                made / (count * pool.highest) if count else None
                for made, count in zip(rate, racks, strict=True)
            ),
            power_kw=tuple(
                count * curve.idle_kw + (run.kw if run is not None else 0.0)
                for count, run in zip(racks, operations, strict=True)
            ),
            places=tuple(
                (where.name, self._shares(place, number, rate))
                for number, where in enumerate(data.pools[place].places)
            ),
        )

    def _shares(self, pool: int, number: int, rate: Sequence[float]) -> tuple[float, ...]:
        placed = [
            self._decided.value("placed", pool, period, number) for period in range(len(rate))
        ]
        return tuple(
            one / made if made > 0 else 0.0 for one, made in zip(placed, rate, strict=True)
        )

    def _class(self, demand: int) -> ClassResult:
        data, one = self._data, self._data.demands[demand]
        periods = range(len(data.periods))
        asked = tuple(data.periods[period].asked[demand] for period in periods)
        served = tuple(
            self._decided.program.amount("served", self._decided.point, demand, period)
            for period in periods
        )
        peak = max((share or 0.0 for share in asked), default=0.0)

        def price(*, held: bool) -> float | None:
            if peak <= 0:
                return None
            # A row is divided by what is asked for, which rises with its share of the peak.
            rows = [self._prices.of("demand", demand, period, held=held) for period in periods]
            return sum(dual / peak for dual, tokens in zip(rows, asked, strict=True) if tokens)

        own = [pool.instance for pool in self._pools if pool.demand == one.name]
        output = own[0].workload.output if own else None
        short = any(
            tokens is not None and made < tokens * (1.0 - REACHED)
            for tokens, made in zip(asked, served, strict=True)
        )
        return ClassResult(
            name=one.name,
            llm=(own[0].llm.title or own[0].llm.name) if own else "",
            output_tokens=float(output) if output is not None else None,
            must_serve=one.must_serve,
            asked_tok_s=asked,
            served_tok_s=served,
            price=price(held=False),
            price_held=price(held=True),
            why_not_served=self._why_not(demand) if short else "",
        )

    def _why_not(self, demand: int) -> str:
        one = self._data.demands[demand]
        own = [pool for pool in self._pools if pool.demand == one.name and not pool.prefills]
        if not own:
            reasons = sorted(
                {f"{gone.kind}: {gone.reason}" for gone in self._missing if gone.demand == one.name}
            )
            return "; ".join(reasons) or "no type of rack may serve it"
        if self._fleet.objective in LEAST:
            return "nothing asks for it: the objective is to spend least, and it may stay unserved"
        reached = [limit.name for limit in self._limits() if limit.binding]
        reached += sorted(
            {name for period in range(len(self._data.periods)) for name in self._binding(period)}
        )
        if reached:
            return f"within {' and '.join(dict.fromkeys(reached))} other uses are worth more"
        return "a token earns less than it costs"

    def _period(self, period: int) -> PeriodResult:
        data, one = self._data, self._data.periods[period]
        power = site_power(self._decided, period)
        standing = sum(self._standing(kind, one.year) for kind in range(len(data.kinds)))
        working = sum(self._decided.racks(pool, period) for pool in range(len(self._pools)))
        dual = self._prices.of("power_cap", period)
        worth = dual / one.cap_kw if one.cap_kw else 0.0
        years = _years(self._fleet)
        return PeriodResult(
            name=one.name,
            year=years[one.year] if years else None,
            share=one.share,
            power_kw=power,
            cap_kw=one.cap_kw,
            racks_at_rest=standing - working,
            usd_per_kwh=one.usd_per_kwh,
            kw_worth=worth,
            binding=tuple(self._binding(period)),
            kg_co2_per_hour=one.kg_per_kwh * power,
        )

    def _binding(self, period: int) -> list[str]:
        """Return the limits of a period that are reached and have a price."""
        data, found = self._data, list[str]()
        if abs(self._prices.of("power_cap", period)) > 0 and self._near_cap(period):
            found.append("power of the site")
        for kind, one in enumerate(data.kinds):
            for row, words in ROWS_IN_WORDS.items():
                # Racks that are simply bought where they are short are no limit.
                short = row != "assigned" or self._sold_out(kind)
                if short and abs(self._prices.of(row, kind, period)) > 0:
                    found.append(f"{words} of {one.name}")
        return found

    def _sold_out(self, kind: int) -> bool:
        one, years = self._data.kinds[kind], range(self._data.years)
        bought = sum(self._count("bought", kind, year) for year in years)
        return one.at_most is not None and bought >= one.at_most

    def _near_cap(self, period: int) -> bool:
        cap = self._data.periods[period].cap_kw
        return cap is not None and site_power(self._decided, period) >= cap * (1.0 - NEAR)

    def _limits(self) -> list[LimitPrice]:
        """Return the limits of the whole fleet."""
        data, decided, found = self._data, self._decided, list[LimitPrice]()
        program, point = decided.program, decided.point
        if data.capital_usd is not None:
            used = program.amount("price", point)
            worth = self._prices.of("capital") / max(data.capital_usd, 1.0)
            found.append(LimitPrice("capital", "USD", used, data.capital_usd, worth, worth > 0))
        if data.space is not None:
            for year in range(data.years):
                used = sum(
                    one.space * self._standing(kind, year) for kind, one in enumerate(data.kinds)
                )
                worth = self._prices.of("space", year)
                found.append(LimitPrice("space", "places", used, data.space, worth, worth > 0))
        for kind, one in enumerate(data.kinds):
            if one.at_most is not None and one.at_most > 0:
                used = sum(self._count("bought", kind, year) for year in range(data.years))
                worth = self._bound_worth(kind)
                name = f"racks of {one.name}"
                found.append(LimitPrice(name, "racks", used, one.at_most, worth, worth > 0))
        return found

    def _bound_worth(self, kind: int) -> float:
        """Return what one more rack that may be bought is worth, by its reduced cost."""
        if self._data.years > 1:
            return max(0.0, self._prices.of("at_most", kind))
        return max(0.0, self._prices.rack.get(self._data.kinds[kind].name, 0.0))

    def _cost(self) -> FleetCost:
        decided, program, data = self._decided, self._decided.program, self._data
        energy = sum(
            one.share * one.usd_per_kwh * site_power(decided, place)
            for place, one in enumerate(data.periods)
        )
        fixed = program.amount("fixed_cost", decided.point)
        time = [sum(p.share for p in data.periods if p.year == year) for year in range(data.years)]
        standing = sum(
            time[year] * one.standing_usd_per_hour * self._standing(kind, year)
            for kind, one in enumerate(data.kinds)
            for year in range(data.years)
        )
        made = program.amount("throughput", decided.point)
        total = fixed + energy
        return FleetCost(
            capital=fixed - standing,
            site_and_operations=standing,
            energy=energy,
            total=total,
            revenue=program.amount("revenue", decided.point),
            usd_per_million=1e6 * total / (PER_HOUR * made) if made > 0 and total > 0 else None,
        )

    def _notes(self) -> list[str]:
        found = [f"{one.demand} has no pool on {one.kind}: {one.reason}" for one in self._missing]
        unpriced = [
            one.name
            for one in self._data.kinds
            if not one.usd and any(pool.kind == one.name for pool in self._pools)
        ]
        if unpriced and self._fleet.objective not in ("cost", "margin"):
            found.append(f"no price is known of {', '.join(unpriced)}: costs leave it out")
        return found

    def _estimates(self) -> list[str]:
        """Return the figures of racks that are not from a data sheet."""
        found = dict[str, None]()
        for pool in self._pools:
            if not any(
                self._decided.racks(self._pools.index(pool), period)
                for period in range(len(self._data.periods))
            ):
                continue
            rack = pool.instance.rack
            figures = {
                "price": rack.price,
                "static_power": rack.static_power,
                "accelerator.hbm_capacity": rack.accelerator.hbm_capacity,
                "accelerator.hbm_bandwidth": rack.accelerator.hbm_bandwidth,
                "accelerator.tdp": rack.accelerator.tdp,
            }
            for name, one in figures.items():
                if one is not None and one.status in UNCERTAIN:
                    found[f"{pool.kind}: rack.{name} ({one.status})"] = None
        return list(found)


ROWS_IN_WORDS = {
    "host_gb": "host memory",
    "host_busy": "links to host memory",
    "storage_gb": "drives' capacity",
    "storage_busy": "drives' bandwidth",
    "cpu": "CPU cores",
    "assigned": "racks",
}
"""Rows of a type of rack in a period that have a price where they are reached."""

FEW_POOLS = 6
"""Pools that run up to which more HBM is priced: their load curves are drawn twice more."""

NEAR = 1e-2
"""Share of a cap within which whole racks come to it."""
