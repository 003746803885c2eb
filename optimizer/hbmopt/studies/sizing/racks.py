"""How many alike racks a demand takes: the fewest, those that draw least, those that cost least.

Every rack serves its share of the demand and runs as the others do.

    fewest        n = ceil(D / T)          T is the most that one rack makes
    least power   n P(D / n)   >= D / e    e is the most that one rack makes per kW
    least cost    n C(D / n)   >= D / m    m is the most that one rack makes per USD

One rack less than the fewest makes at most (n - 1) T, which is less than D. No number of racks
draws less than D / e or costs less than D / m, whatever it is. Every rack draws what it does at
rest, so only so many numbers can be better than the best that is known: where these are few all of
them are tried, and otherwise the gap is told from those bounds.
"""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hbmopt.demand import MILLION, PER_HOUR, rack_data
from hbmopt.documents import Figure
from hbmopt.errors import SolverError
from hbmopt.instance import (
    HOURS_OF_A_YEAR,
    Instance,
    Objective,
    cost_rate,
    rack_kw,
    usd_per_million,
)
from hbmopt.plan import Reached, most_of_each, search
from hbmopt.program import RackPlan, resting_power
from hbmopt.results import Solution, solution_of, solve_mixed

Least = Literal["racks", "power", "cost"]

ROUNDING = 1e-9
"""Share of a rack that is the rounding of a quotient."""

ALL_TRIED = 40
"""Numbers of racks up to which all that may take less are tried."""

NEIGHBOURS = 2
"""Numbers of racks beside the best ratio's that are looked at."""


@dataclass(frozen=True)
class Fleet:
    """Racks that serve a demand.

    Parameters
    ----------
    least
        Of what they are the least.
    racks, nodes, accelerators
        How many of the instance's rack, of its nodes and of its accelerators.
    power_kw
        What they draw together at the demand, in the power scope.
    throughput_tok_s, speed_tok_s_user, batch
        Of all of them, of every user, and the sequences that decode at once.
    spare
        How much more than the demand they could serve, as a share of it.
    usd_per_year, usd_per_million
        At the demand all the year; None where no price is known.
    gap
        How much less any other number of such racks could draw or cost, as a share; 0 for the
        fewest.
    configuration
        What every rack runs.
    """

    least: Least
    racks: int
    nodes: int
    accelerators: int
    power_kw: float
    throughput_tok_s: float
    speed_tok_s_user: float
    batch: float
    spare: float
    usd_per_year: float | None
    usd_per_million: float | None
    gap: float
    configuration: str


def asking(instance: Instance, objective: Objective, demand: float | None = None) -> Instance:
    """Return the instance with another objective, and a demand in tok/s or none."""
    least = Figure(demand, "rate") if demand is not None else None
    limits = instance.limits.model_copy(update={"min_throughput": least})
    return instance.model_copy(update={"limits": limits, "objective": objective})


def optimum(instance: Instance) -> Solution:
    """Return the proven optimum of an instance, without what one more unit would change."""
    return solution_of(instance, search(instance), time.perf_counter())


def fleets_for(instance: Instance, demand: float, most: float) -> list[Fleet]:
    """Return the racks that serve a demand in tok/s, by what they are the least of.

    `most` is the most that one rack makes, in tok/s. Of what costs where prices are known.
    """
    fewest = max(1, math.ceil(demand / most * (1.0 - ROUNDING)))
    ratios: dict[Least, Objective] = {}
    if resting_power(rack_data(instance)) > 0.0:
        ratios["power"] = "tokens_per_joule"
    if ratios and cost_rate(instance) is not None:
        ratios["cost"] = "tokens_per_dollar"
    best = dict[Least, Reached]()
    for least, ratio in ratios.items():
        (found,) = most_of_each([asking(instance, ratio)])
        if found is not None:
            best[least] = found
    power = _powers(instance, demand, _candidates(fewest, best.values(), demand))
    chosen: dict[Least, tuple[int, float]] = {"racks": (fewest, 0.0)}
    for least, one in best.items():
        taken = {count: count * _each(instance, least, kw) for count, kw in power.items()}
        if not taken:
            continue
        # No more racks than this take less, as every one draws what it does at rest.
        most_racks = int(
            min(taken.values()) / _each(instance, least, resting_power(rack_data(instance)))
        )
        missing = [at for at in range(fewest, most_racks + 1) if at not in power]
        if len(missing) <= ALL_TRIED:
            power |= _powers(instance, demand, missing)
            taken = {count: count * _each(instance, least, kw) for count, kw in power.items()}
        count = min(taken, key=lambda at: taken[at])
        bound = demand / _per_unit(ratios[least], one.amount)
        gap = 0.0 if len(missing) <= ALL_TRIED else max(0.0, 1.0 - bound / taken[count])
        chosen[least] = count, gap
    plans = {
        count: _plan(asking(instance, "power" if power else "throughput", demand / count))
        for count in {count for count, _ in chosen.values()}
    }
    return [
        _fleet(instance, least, count, gap, plans[count], demand, most)
        for least, (count, gap) in chosen.items()
    ]


def _plan(instance: Instance) -> RackPlan:
    """Return the proven plan of an instance of which is known that it has one."""
    found = search(instance)
    if not instance.choices.uniform:
        return solve_mixed(instance, found)[0]
    if found.plan is None:
        raise SolverError(f"{instance.name}: no rack serves its share of the demand")
    return found.plan


def _each(instance: Instance, least: Least, kilowatts: float) -> float:
    """Return the kW, or the USD per hour, of a rack that draws so much: both grow with power."""
    rate = cost_rate(instance) if least == "cost" else None
    return rate.usd_per_hour(rack_kw(instance, kilowatts)) if rate is not None else kilowatts


def _per_unit(ratio: Objective, amount: float) -> float:
    """Return tok/s per kW, or per USD per hour, of a ratio in its own unit."""
    return amount * 1e3 if ratio == "tokens_per_joule" else amount * MILLION / PER_HOUR


def _powers(instance: Instance, demand: float, counts: Sequence[int]) -> dict[int, float]:
    """Return the least kW of each of so many racks; what cannot serve its share is missing."""
    if resting_power(rack_data(instance)) <= 0.0:
        return {}
    drawn = most_of_each([asking(instance, "power", demand / count) for count in counts])
    return {count: one.amount for count, one in zip(counts, drawn, strict=True) if one is not None}


def _candidates(fewest: int, best: Iterable[Reached], demand: float) -> list[int]:
    """Return numbers of racks: the fewest, those at which each runs best, and their neighbours."""
    middles = [fewest, *(round(demand / one.throughput) for one in best)]
    around = range(-NEIGHBOURS, NEIGHBOURS + 1)
    wanted = {middle + beside for middle in middles for beside in around}
    return sorted(count for count in wanted if count >= fewest)


def _fleet(
    instance: Instance,
    least: Least,
    count: int,
    gap: float,
    plan: RackPlan,
    demand: float,
    most: float,
) -> Fleet:
    power, rate = plan.power_kw, cost_rate(instance)
    hourly = count * rate.usd_per_hour(rack_kw(instance, power)) if rate is not None else None
    return Fleet(
        least=least,
        racks=count,
        nodes=count * int(instance.rack.nodes),
        accelerators=count * instance.rack.all_accelerators,
        power_kw=count * power,
        throughput_tok_s=count * plan.throughput,
        speed_tok_s_user=plan.throughput / plan.batch,
        batch=count * plan.batch,
        spare=count * most / demand - 1.0,
        usd_per_year=HOURS_OF_A_YEAR * hourly if hourly is not None else None,
        usd_per_million=usd_per_million(hourly, demand) if hourly is not None else None,
        gap=gap,
        configuration="; ".join(
            f"{column.replicas} x {column.configuration}" for column in plan.columns
        ),
    )
