"""A fleet inside a larger plan: a Pyomo block of its rows, for a model of one's own."""

import pyomo.environ as pyo

from hbmopt.basics import verb
from hbmopt.fleet.load_curve import LoadCurve, refine
from hbmopt.fleet.numbers import fleet_data
from hbmopt.fleet.pools import pools_of
from hbmopt.fleet.schema import FleetSource, fleet_of, load_fleet_document
from hbmopt.instance import Overrides
from hbmopt.models.fleet.fleet import declare_fleet

FINE = 2e-3
"""Share of a rack's power that the lines of a block's load curves leave open."""


@verb
def fleet_block(source: FleetSource, overrides: Overrides = None) -> pyo.Block:
    """Return a Pyomo block that holds a fleet, without an objective.

    It is linear with whole racks, so that any solver solves it as it stands. What its pools make on
    their power is bounded by lines, which racks that run come near to (see docs/fleets.md).

    Parameters
    ----------
    source, overrides
        As of `solve_fleet`.

    Returns
    -------
    pyomo.environ.Block
        With variables ``bought`` and ``kept`` by type and year, and the expressions ``standing`` by
        these [racks], ``racks`` [1] and ``rate`` [tok/s, or prompts/s] by pool and period,
        ``served`` by class and period [tok/s], ``site_power`` by period [kW], ``price`` [USD],
        ``cost``, ``revenue`` and ``margin`` [USD/h], and ``throughput`` [tok/s]. All count from 0,
        in the order of the file; ``names`` are those of pools.

    Raises
    ------
    InputError
        If the fleet is not valid.
    """
    document = load_fleet_document(source, overrides)
    fleet = fleet_of(document)
    pools, _ = pools_of(fleet, document)
    refine([pool.curve for pool in pools if isinstance(pool.curve, LoadCurve)], FINE)
    block = pyo.Block(concrete=True)
    declare_fleet(block, fleet_data(fleet, pools))
    block.names = [pool.name for pool in pools]
    return block
