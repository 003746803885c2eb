"""Accelerators: replicas share the accelerators of n racks, and clocks share the replicas.

sum_k g_k R_k <= N n          sum_m R_km = R_k
"""

import pyomo.core as pyo

from .quantities import ConfigurationData, RackData


def add_accelerators(
    block: pyo.Block, rack: RackData, configurations: list[ConfigurationData]
) -> None:
    """Add ``used_accelerators``, and ``accelerators`` over the rack, divided by N."""
    block.used_accelerators = pyo.Expression(
        expr=sum(
            data.clocks[0].accelerators * column.replicas
            for data, column in zip(configurations, block.configuration.values(), strict=True)
        ),
        doc="Accelerators that run [1]",
    )

    @block.Constraint(doc="Replicas use no more accelerators than there are [racks]")
    def accelerators(block: pyo.Block) -> object:
        return block.used_accelerators / rack.accelerators <= rack.racks


def add_clock_shares(block: pyo.Block) -> None:
    """Add ``clock_shares`` of one configuration: each replica runs at one clock at a time."""

    @block.Constraint(doc="Every replica runs at one of its clocks at any time [replicas]")
    def clock_shares(block: pyo.Block) -> object:
        return sum(clock.running for clock in block.clock.values()) == block.replicas
