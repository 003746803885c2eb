"""Batch range: a step serves at least one sequence, and a segment covers a range of batches.

    b0 z <= v <= b1 z            [sequence-steps/ms]

With b0 = 1 the lower row is the smallest batch that can be served at all.
"""

import pyomo.core as pyo

from .quantities import BatchPoint, BatchSegment


def add_min_batch(block: pyo.Block, batches: BatchSegment | BatchPoint) -> None:
    """Add ``min_batch`` and ``highest_batch``, each divided by its batch."""

    @block.Constraint(doc="The batch is at least the lowest of its range [steps/ms]")
    def min_batch(block: pyo.Block) -> object:
        return block.steps <= block.sequences / batches.lowest

    @block.Constraint(doc="The batch is at most the highest of its range [steps/ms]")
    def highest_batch(block: pyo.Block) -> object:
        return block.sequences / batches.highest <= block.steps
