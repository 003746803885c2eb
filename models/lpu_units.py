"""LPU units: the replicas of a rack share its LPUs.

sum_k n_k R_k <= N_lpu n            (n racks)
"""

import pyomo.core as pyo

from .quantities import ConfigurationData, RackData


def add_lpu_units(
    block: pyo.Block, rack: RackData, configurations: list[ConfigurationData]
) -> None:
    """Add ``lpu_units`` over the rack, divided by N_lpu, where any replica has LPUs."""
    if not any(data.clocks[0].offloaded for data in configurations):
        return

    @block.Constraint(doc="Replicas use no more LPUs than there are [racks]")
    def lpu_units(block: pyo.Block) -> object:
        used = sum(
            data.clocks[0].lpu.units * column.replicas
            for data, column in zip(configurations, block.configuration.values(), strict=True)
            if data.clocks[0].offloaded
        )
        return used / rack.lpu_units <= rack.racks
