"""Common batch: replicas keep their sequences when their clock changes.

    v_m = b z_m            for every clock m, with one b

The product of b and z_m is bilinear. Over a segment of batches every clock stays in the range
(see `min_batch`), exactly so where the range is one batch. Around a point its first-order model
is used, with the change of the batch d as a free variable:

    v_m = b0 z_m + z0_m d
"""

import pyomo.core as pyo

from .quantities import BatchPoint


def add_common_batch(block: pyo.Block, point: BatchPoint) -> None:
    """Add the variable ``batch_change`` and ``common_batch`` of one configuration."""
    block.batch_change = pyo.Var(within=pyo.Reals, doc="change of the batch [sequences]")

    @block.Constraint(range(len(point.steps)), doc="All clocks hold the same batch [1/ms]")
    def common_batch(block: pyo.Block, index: int) -> object:
        clock = block.clock[index]
        return (
            clock.sequences == point.batch * clock.steps + point.steps[index] * block.batch_change
        )
