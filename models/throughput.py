"""Throughput: output tokens per millisecond, summed over configurations and clocks.

maximise sum_k a_k v_k            [tokens/ms]
"""

import pyomo.core as pyo


def add_throughput(block: pyo.Block) -> None:
    """Add the expression ``throughput``; it becomes an objective only in `maximise_throughput`."""
    block.throughput = pyo.Expression(
        expr=sum(
            clock.tokens
            for column in block.configuration.values()
            for clock in column.clock.values()
        ),
        doc="Output tokens [tokens/ms]",
    )


def maximise_throughput(block: pyo.Block) -> None:
    """Make the throughput of `block` the objective."""
    block.objective = pyo.Objective(expr=block.throughput, sense=pyo.maximize)
