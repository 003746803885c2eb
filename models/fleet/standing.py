"""Racks that stand in a year: those owned that are kept, and those that were bought in time.

n_r,Y = kept_r,Y + sum_(runs(y) <= Y) bought_r,y          [racks]
kept_r,Y <= owned_r,Y      kept_r,Y <= kept_r,Y-1      sum_y bought_r,y <= most_r
"""

import pyomo.core as pyo

from .quantities import FleetData


def add_standing(block: pyo.Block, fleet: FleetData) -> None:
    """Declare ``bought`` and ``kept`` by type and year, and ``standing``, which follows."""
    kinds, years = range(len(fleet.kinds)), range(fleet.years)
    domain = pyo.NonNegativeIntegers if fleet.whole else pyo.NonNegativeReals

    def most_bought(_: pyo.Block, kind: int, year: int) -> tuple[float, float | None]:
        one = fleet.kinds[kind]
        return (0.0, one.at_most) if one.runs[year] is not None else (0.0, 0.0)

    block.bought = pyo.Var(kinds, years, within=domain, bounds=most_bought, doc="racks bought [1]")
    block.kept = pyo.Var(
        kinds,
        years,
        within=domain,
        bounds=lambda _, kind, year: (0.0, fleet.kinds[kind].owned[year]),
        doc="owned racks that are kept [1]",
    )

    @block.Expression(kinds, years, doc="Racks that stand [1]")
    def standing(block: pyo.Block, kind: int, year: int) -> object:
        runs = fleet.kinds[kind].runs
        bought = [block.bought[kind, one] for one in years if _by(runs[one], year)]
        return block.kept[kind, year] + sum(bought)

    @block.Constraint(kinds, years, doc="What is given away does not come back [racks]")
    def kept_on(block: pyo.Block, kind: int, year: int) -> object:
        owned = fleet.kinds[kind].owned
        if year == 0 or owned[year] == 0 or owned[year] > owned[year - 1]:
            return pyo.Constraint.Skip
        return block.kept[kind, year] <= block.kept[kind, year - 1]

    @block.Constraint(kinds, doc="No more racks are bought than there are to buy [racks]")
    def at_most(block: pyo.Block, kind: int) -> object:
        most = fleet.kinds[kind].at_most
        if most is None or fleet.years == 1:
            return pyo.Constraint.Skip
        return sum(block.bought[kind, year] for year in years) <= most


def _by(first: int | None, year: int) -> bool:
    return first is not None and first <= year
