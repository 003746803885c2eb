"""Speed floor: every user receives at least so many tokens per second, in the mean over time.

    s_min R <= a sum_m z_m            [tokens/ms]

a accepted tokens per sequence and step, m the clocks that a replica alternates between, many times
a second. This row is the parameter of the frontier.
"""

import pyomo.core as pyo

from .limit import ConfigurationFamily, Limit
from .quantities import PER_SECOND, ConfigurationData


def add_min_speed(block: pyo.Block, configuration: ConfigurationData) -> None:
    """Add ``min_speed`` of a configuration; not divided by s_min, which may be 0."""
    replica = configuration.clocks[0]

    @block.Constraint(doc="Speed per user is at least the floor [tokens/ms]")
    def min_speed(block: pyo.Block) -> object:
        steps = sum(clock.steps for clock in block.clock.values())
        return replica.min_speed_per_ms * block.replicas <= replica.tokens_per_sequence_step * steps


FAMILY = ConfigurationFamily(
    Limit(
        "min_speed",
        "tok/s/user",
        lambda replica: PER_SECOND * replica.min_speed_per_ms,
        against="replicas",
        floor=PER_SECOND,
    ),
    add_min_speed,
)
