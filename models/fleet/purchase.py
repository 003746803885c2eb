"""What is bought: its price stays within the capital, and it finds its place.

sum_r,Y price_r bought_r,Y <= capital        [USD]
sum_r space_r n_r,Y <= space                 [places]
"""

import pyomo.core as pyo

from .quantities import FleetData


def add_purchase(block: pyo.Block, fleet: FleetData) -> None:
    """Declare ``price``, and ``capital`` and ``space`` where there is a limit."""
    years = range(fleet.years)
    pairs = [(kind, year) for kind in range(len(fleet.kinds)) for year in years]
    block.price = pyo.Expression(
        expr=sum(fleet.kinds[kind].usd * block.bought[kind, year] for kind, year in pairs),
        doc="price of what is bought [USD]",
    )
    if fleet.capital_usd is not None:
        whole = max(fleet.capital_usd, 1.0)
        block.capital = pyo.Constraint(
            expr=block.price / whole <= fleet.capital_usd / whole,
            doc="What is bought stays within the capital [share of it]",
        )

    @block.Constraint(years, doc="Racks find their place [places]")
    def space(block: pyo.Block, year: int) -> object:
        if fleet.space is None:
            return pyo.Constraint.Skip
        taken = (one.space * block.standing[kind, year] for kind, one in enumerate(fleet.kinds))
        return sum(taken) <= fleet.space
