"""Throughput and pace: output tokens per millisecond, of all users and of one in every replica.

    T = sum_k a_k v_k         [tokens/ms]
    S = sum_k a_k z_k         [tokens/ms]

summed over configurations and clocks; a user of one of R alike replicas receives S / R.
"""

import pyomo.core as pyo


def add_throughput(block: pyo.Block) -> None:
    """Add the expressions ``throughput`` and ``pace``; what is best is said in `objective`."""
    clocks = [clock for column in block.configuration.values() for clock in column.clock.values()]
    block.throughput = pyo.Expression(
        expr=sum(clock.tokens for clock in clocks), doc="Output tokens [tokens/ms]"
    )
    block.pace = pyo.Expression(
        expr=sum(clock.pace for clock in clocks),
        doc="Output tokens of one user of every replica [tokens/ms]",
    )
