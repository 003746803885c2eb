"""Uniform racks: at most one configuration runs.

    R_k <= Rmax_k u_k,    sum_k u_k <= 1,    u_k in {0, 1}

Rmax_k is the largest number of replicas that fits, not an arbitrary big number, so the relaxation
is as tight as the rows of each configuration are.
"""

import pyomo.environ as pyo

from .quantities import ConfigurationData


def add_uniform(block: pyo.Block, configurations: list[ConfigurationData]) -> None:
    """Add the binary ``chosen`` per configuration, ``only_if_chosen`` and ``one_chosen``."""
    block.chosen = pyo.Var(range(len(configurations)), within=pyo.Binary, doc="runs at all")

    @block.Constraint(range(len(configurations)), doc="Replicas run only if chosen [replicas]")
    def only_if_chosen(block: pyo.Block, index: int) -> object:
        at_most = configurations[index].replicas_at_most
        return block.configuration[index].replicas <= at_most * block.chosen[index]

    @block.Constraint(doc="At most one configuration runs [1]")
    def one_chosen(block: pyo.Block) -> object:
        return sum(block.chosen.values()) <= 1
