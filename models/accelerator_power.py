"""Accelerator power: no accelerator draws more than its thermal design power on average.

    g P_active R + e_hbm (HBM bytes/s) + e_flop (FLOP/s) + e_link (link bytes/s) <= g TDP R   [kW]

A measured chip clips at its TDP by slowing down; here the rates are what has to give.
"""

import pyomo.environ as pyo

from .quantities import ReplicaData


def add_accelerator_power(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``accelerator_power``, divided by the TDP of one replica."""
    limit = replica.accelerators * replica.power.limit_kw

    @block.Constraint(doc="Accelerators stay within their TDP [replicas]")
    def accelerator_power(block: pyo.Block) -> object:
        return block.power / limit <= block.running
