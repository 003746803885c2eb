"""What is best: cost, power, racks, revenue, margin or throughput, in the mean over all periods.

cost = sum_t w_t (sum_r (buy_r bought + keep_r n_r) + price_t site_power_t)          [USD/h]
revenue = sum_t w_t sum_j 3600 p_j served_j,t          margin = revenue - cost
"""

import pyomo.core as pyo

from .quantities import FleetData

PER_HOUR = 3600.0

LEAST = ("cost", "power", "racks")
"""Objectives of which less is better."""


def add_objective(block: pyo.Block, fleet: FleetData) -> None:
    """Declare ``cost``, ``mean_power``, ``all_racks``, ``revenue``, ``throughput``, ``margin``."""
    kinds, years = list(enumerate(fleet.kinds)), range(fleet.years)
    time = [sum(one.share for one in fleet.periods if one.year == year) for year in years]
    fixed = sum(
        time[year]
        * (
            one.standing_usd_per_hour * block.standing[kind, year]
            + one.bought_usd_per_hour * sum(block.bought[kind, made] for made in range(year + 1))
        )
        for kind, one in kinds
        for year in years
    )
    periods = list(enumerate(fleet.periods))
    energy = sum(one.share * one.usd_per_kwh * block.site_power[at] for at, one in periods)
    block.fixed_cost = pyo.Expression(expr=fixed, doc="of racks and site [USD/h]")
    block.energy_cost = pyo.Expression(expr=energy, doc="of power [USD/h]")
    block.cost = pyo.Expression(expr=fixed + energy, doc="[USD/h]")
    block.mean_power = pyo.Expression(
        expr=sum(one.share * block.site_power[at] for at, one in periods), doc="[kW]"
    )
    block.all_racks = pyo.Expression(
        expr=sum(time[year] * block.standing[kind, year] for kind, _ in kinds for year in years),
        doc="[racks]",
    )
    block.throughput = pyo.Expression(
        expr=sum(
            one.share * block.served[demand, at]
            for at, one in periods
            for demand in range(len(fleet.demands))
        ),
        doc="[tok/s]",
    )
    block.revenue = pyo.Expression(
        expr=sum(
            PER_HOUR * one.share * earns.usd_per_token * block.served[demand, at]
            for at, one in periods
            for demand, earns in enumerate(fleet.demands)
        ),
        doc="[USD/h]",
    )
    block.margin = pyo.Expression(expr=block.revenue - block.cost, doc="[USD/h]")


def objective_of(block: pyo.Block, objective: str) -> object:
    """Return what is to be maximised."""
    amounts = {
        "cost": -block.cost,
        "power": -block.mean_power,
        "racks": -block.all_racks,
        "revenue": block.revenue,
        "margin": block.margin,
        "throughput": block.throughput,
    }
    return amounts[objective]
