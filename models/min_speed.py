"""Speed floor: every user receives at least so many tokens per second.

    s_min R <= a z            [tokens/ms]

a accepted tokens per sequence and step. This row is the parameter of the frontier.
"""

import pyomo.environ as pyo

from .quantities import ReplicaData


def add_min_speed(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``min_speed``; not divided by s_min, which may be 0."""

    @block.Constraint(doc="Speed per user is at least the floor [tokens/ms]")
    def min_speed(block: pyo.Block) -> object:
        speed = replica.tokens_per_sequence_step * block.steps
        return replica.min_speed_per_ms * block.running <= speed
