"""Accelerator power: no accelerator draws more than its thermal design power on average.

    sum_m (g P_active,m R_m + e_hbm (HBM bytes/s) + e_flop,m (FLOP/s) + e_link (link bytes/s))
        <= g TDP R   [kW]

over the clocks m of a replica. A measured chip holds its TDP by alternating between neighbouring
clocks many times a second, so it is the mean that counts.
"""

import pyomo.core as pyo

from .limit import ConfigurationFamily, Limit
from .quantities import ConfigurationData


def add_accelerator_power(block: pyo.Block, configuration: ConfigurationData) -> None:
    """Add ``accelerator_power`` of a configuration, divided by the TDP of one replica."""
    replica = configuration.clocks[0]
    limit = replica.accelerators * replica.power.limit_kw

    @block.Constraint(doc="Accelerators stay within their TDP [replicas]")
    def accelerator_power(block: pyo.Block) -> object:
        drawn = sum(clock.power for clock in block.clock.values())
        return drawn / limit <= block.replicas


FAMILY = ConfigurationFamily(
    Limit(
        "accelerator_power",
        "W per accelerator",
        lambda replica: 1e3 * replica.power.limit_kw,
        against="replicas",
    ),
    add_accelerator_power,
)
