"""Demand: the racks make at least so many output tokens per second, where that is asked for.

T >= D n            [tokens/ms]

for n racks.
"""

import pyomo.core as pyo

from .quantities import RackData


def add_min_throughput(block: pyo.Block, rack: RackData) -> None:
    """Add ``min_throughput``, divided by D, where there is one."""
    if rack.min_tokens_per_ms is None:
        return

    @block.Constraint(doc="Throughput is at least the demand [racks]")
    def min_throughput(block: pyo.Block) -> object:
        return rack.racks - block.throughput / rack.min_tokens_per_ms <= 0.0
