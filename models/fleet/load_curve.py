"""What a pool makes on its power: lines above the load curve of its type, for each band of racks.

    h S <= a_i n + k_i E       for every line i        [tok/s or prompts/s]
    low n <= h S <= high n     E >= e_low n            [kW]

S is the rate of n racks, h the headroom for random arrivals, and E the kW that they draw beyond
resting. The load curve is the least power at which a rack makes a rate. Racks that differ make a
mean of its points, which lies on or below the lines, so that these bound what any racks make.
"""

import pyomo.core as pyo

from .quantities import Band, FleetData


def add_load_curve(block: pyo.Block, fleet: FleetData) -> None:
    """Declare ``band_rate``, ``band_power``, their sums ``rate`` and ``power``, and the lines."""
    indices = fleet.indices()
    block.band_rate = pyo.Var(indices, within=pyo.NonNegativeReals, doc="mean rate [tok/s]")
    block.band_power = pyo.Var(indices, within=pyo.NonNegativeReals, doc="beyond resting [kW]")
    pools, periods = range(len(fleet.pools)), range(len(fleet.periods))

    @block.Expression(pools, periods, doc="Rate of a pool [tok/s, or prompts/s]")
    def rate(block: pyo.Block, pool: int, period: int) -> object:
        bands = fleet.bands[pool][period]
        return sum(block.band_rate[pool, period, band] for band in range(len(bands)))

    @block.Expression(pools, periods, doc="Power of a pool beyond that of resting racks [kW]")
    def power(block: pyo.Block, pool: int, period: int) -> object:
        bands = fleet.bands[pool][period]
        return sum(block.band_power[pool, period, band] for band in range(len(bands)))

    @block.Constraint(
        [(*one, line) for one in indices for line in range(len(_band(fleet, one).lines))],
        doc="A rate takes its power [racks]",
    )
    def load_curve(block: pyo.Block, *index: int) -> object:
        place = (index[0], index[1], index[2])
        line, highest = _band(fleet, place).lines[index[3]], _band(fleet, place).highest
        made = fleet.pools[place[0]].headroom[place[1]] * block.band_rate[place]
        allowed = line.per_rack * block.band_racks[place] + line.per_kw * block.band_power[place]
        return made / highest <= allowed / highest

    @block.Constraint(indices, doc="A rack makes no more than it can [racks]")
    def most_rate(block: pyo.Block, *place: int) -> object:
        index = (place[0], place[1], place[2])
        made = fleet.pools[index[0]].headroom[index[1]] * block.band_rate[index]
        return made / _band(fleet, index).highest <= block.band_racks[index]

    @block.Constraint(indices, doc="Racks of a band make at least its lower end [racks]")
    def least_rate(block: pyo.Block, *place: int) -> object:
        index = (place[0], place[1], place[2])
        band = _band(fleet, index)
        if band.lowest <= 0:
            return pyo.Constraint.Skip
        made = fleet.pools[index[0]].headroom[index[1]] * block.band_rate[index]
        return block.band_racks[index] <= made / band.lowest

    @block.Constraint(indices, doc="And draw what that takes [racks]")
    def least_power(block: pyo.Block, *place: int) -> object:
        index = (place[0], place[1], place[2])
        least = _band(fleet, index).least_kw
        if least <= 0:
            return pyo.Constraint.Skip
        return block.band_racks[index] <= block.band_power[index] / least


def _band(fleet: FleetData, index: tuple[int, int, int]) -> Band:
    pool, period, band = index
    return fleet.bands[pool][period][band]
