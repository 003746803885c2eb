"""Largest batch: an engine schedules so many sequences at once and no more.

    v <= b_max z            [sequence-steps/ms]

b_max sequences of a replica: those of one attention rank (vLLM's ``--max-num-seqs``) times the
ranks that hold sequences of their own.
"""

import pyomo.core as pyo

from .limit import ClockFamily, Limit
from .quantities import ReplicaData


def add_max_batch(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``max_batch``, divided by b_max, where a largest batch is set."""
    if replica.max_batch is None:
        return

    @block.Constraint(doc="The batch is at most what an engine schedules [steps/ms]")
    def max_batch(block: pyo.Block) -> object:
        return block.sequences / replica.max_batch <= block.steps


def _most(replica: ReplicaData) -> float | pyo.Param:
    return replica.max_batch if replica.max_batch is not None else 0.0


FAMILY = ClockFamily(
    Limit("max_batch", "sequences per replica", _most, against="steps"), add_max_batch
)
