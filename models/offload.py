"""Offload of weights to SRAM: a share x_c of component c runs on the LPUs.

    y_c <= z        x_c is a share

Some work grows with x_c and with the batch at once: w_c = x_c v. Within batches b0..b1 the
product is enclosed by the McCormick rows (McCormick 1976), which are exact where b0 = b1:

    b0 y_c <= w_c <= b1 y_c
    b0 (z - y_c) <= v - w_c <= b1 (z - y_c)
"""

import pyomo.core as pyo

from .quantities import BatchPoint, BatchSegment, ReplicaData


def add_offload(block: pyo.Block, replica: ReplicaData, batches: BatchSegment | BatchPoint) -> None:
    """Add ``offload_share`` and, over a segment, the four ``offload_*`` rows per component."""
    offloaded = range(len(replica.offloaded))
    if not offloaded:
        return

    @block.Constraint(offloaded, doc="No more than all of a component is offloaded [steps/ms]")
    def offload_share(block: pyo.Block, index: int) -> object:
        return block.offloaded_steps[index] <= block.steps

    if isinstance(batches, BatchPoint):
        return
    lowest, highest = batches.lowest, batches.highest

    @block.Constraint(offloaded, doc="Offloaded part: batch at least the lowest [steps/ms]")
    def offload_lowest(block: pyo.Block, index: int) -> object:
        return block.offloaded_steps[index] <= block.offloaded_sequences[index] / lowest

    @block.Constraint(offloaded, doc="Offloaded part: batch at most the highest [steps/ms]")
    def offload_highest(block: pyo.Block, index: int) -> object:
        return block.offloaded_sequences[index] / highest <= block.offloaded_steps[index]

    @block.Constraint(offloaded, doc="Kept part: batch at least the lowest [steps/ms]")
    def kept_lowest(block: pyo.Block, index: int) -> object:
        kept = block.sequences - block.offloaded_sequences[index]
        return block.steps - block.offloaded_steps[index] <= kept / lowest

    @block.Constraint(offloaded, doc="Kept part: batch at most the highest [steps/ms]")
    def kept_highest(block: pyo.Block, index: int) -> object:
        kept = block.sequences - block.offloaded_sequences[index]
        return kept / highest <= block.steps - block.offloaded_steps[index]
