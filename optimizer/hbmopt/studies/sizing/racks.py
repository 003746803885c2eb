"""How many alike racks a demand takes: the fewest, those that draw least, those that cost least.

Every rack serves its share of the demand and runs as the others do.

    fewest        n = ceil(D / T)          T is the most that one rack makes
    least power   n P(D / n)   >= D / e    e is the most that one rack makes per kW
    least cost    n C(D / n)   >= D / m    m is the most that one rack makes per USD

One rack less than the fewest makes at most (n - 1) T, which is less than D. No number of racks
draws less than D / e or costs less than D / m, whatever it is: that is what the gap is told from.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hbmopt.documents import Figure
from hbmopt.instance import Instance, Objective, cost_rate, rack_kw, usd_per_million
from hbmopt.plan import most_of_each, search
from hbmopt.results import Solution, configuration_of, solution_of

Least = Literal["racks", "power", "cost"]

HOURS_OF_A_YEAR = 8760.0

ROUNDING = 1e-9
"""Share of a rack that is the rounding of a quotient."""

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
    counts: dict[Least, tuple[int, float]] = {"racks": (fewest, 0.0)}
    counts["power"] = _best_number(instance, demand, fewest, "tokens_per_joule", "power")
    if cost_rate(instance) is not None:
        counts["cost"] = _best_number(instance, demand, fewest, "tokens_per_dollar", "cost")
    solved = dict[int, Solution]()
    found = []
    for least, (count, gap) in counts.items():
        if count not in solved:
            # The least power is the least cost as well: what else there is costs the same.
            solved[count] = optimum(asking(instance, "power", demand / count))
        found.append(_fleet(instance, least, count, gap, solved[count], demand, most))
    return found


def _best_number(
    instance: Instance, demand: float, fewest: int, ratio: Objective, least: Objective
) -> tuple[int, float]:
    """Return the number of racks that take least, and by how much any other could take less."""
    alone = most_of_each([asking(instance, ratio)])[0]
    if alone is None:
        return fewest, 0.0
    bound = demand / _per_unit(ratio, alone.amount)
    counts = _candidates(fewest, round(demand / alone.throughput))
    reached = most_of_each([asking(instance, least, demand / count) for count in counts])
    taken = [
        (count * one.amount, count)
        for count, one in zip(counts, reached, strict=True)
        if one is not None
    ]
    if not taken:
        return fewest, 0.0
    amount, count = min(taken)
    return count, max(0.0, 1.0 - bound / amount)


def _per_unit(ratio: Objective, amount: float) -> float:
    """Return tok/s per kW, or per USD per hour, of a ratio in its own unit."""
    return amount * 1e3 if ratio == "tokens_per_joule" else amount * 1e6 / 3600.0


def _candidates(fewest: int, around: int) -> Sequence[int]:
    """Return numbers of racks: the fewest and those around that at which each runs best."""
    wanted = range(around - NEIGHBOURS, around + NEIGHBOURS + 1)
    beside = range(fewest, fewest + NEIGHBOURS + 1)
    return sorted({count for count in (*wanted, *beside) if count >= fewest})


def _fleet(
    instance: Instance,
    least: Least,
    count: int,
    gap: float,
    each: Solution,
    demand: float,
    most: float,
) -> Fleet:
    power = (each.power_w or 0.0) / 1e3
    made, rate = count * (each.throughput_tok_s or 0.0), cost_rate(instance)
    hourly = count * rate.usd_per_hour(rack_kw(instance, power)) if rate is not None else None
    nodes = count * int(instance.rack.nodes)
    return Fleet(
        least=least,
        racks=count,
        nodes=nodes,
        accelerators=count * instance.rack.all_accelerators,
        power_kw=count * power,
        throughput_tok_s=made,
        speed_tok_s_user=each.speed_tok_s_user or 0.0,
        batch=count * (each.batch or 0.0),
        spare=count * most / demand - 1.0,
        usd_per_year=HOURS_OF_A_YEAR * hourly if hourly is not None else None,
        usd_per_million=usd_per_million(hourly, demand) if hourly is not None else None,
        gap=gap,
        configuration="; ".join(
            f"{one.replicas} x {configuration_of(one)}" for one in each.configurations
        ),
    )
