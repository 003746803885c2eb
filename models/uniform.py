"""Uniform racks: at most one configuration runs.

    R_k <= Rmax_k n,    R_k <= Rmax_k nmax u_k,    sum_k u_k <= 1,    u_k in {0, 1}

Rmax_k is the largest number of replicas that fits in one of n <= nmax racks, not an arbitrary big
number, so the relaxation is as tight as the rows of each configuration are. Accelerators left
over in one rack do not add up to a replica with those of another.
"""

from collections.abc import Sequence
from typing import Protocol

import pyomo.core as pyo

from .quantities import Number, RackData


class HasReplicas(Protocol):
    """What may run in so many replicas."""

    @property
    def replicas_at_most(self) -> Number:
        """Replicas that fit in one rack."""
        ...


def add_uniform(
    block: pyo.Block, rack: RackData, configurations: Sequence[HasReplicas], racks_at_most: float
) -> None:
    """Add the binary ``chosen`` per configuration, ``only_if_chosen`` and ``one_chosen``."""
    parts = list(block.configuration.values())
    block.chosen = pyo.Var(range(len(configurations)), within=pyo.Binary, doc="runs at all")

    @block.Constraint(range(len(configurations)), doc="Replicas run only if chosen [replicas]")
    def only_if_chosen(block: pyo.Block, index: int) -> object:
        at_most = configurations[index].replicas_at_most * racks_at_most
        return parts[index].replicas <= at_most * block.chosen[index]

    @block.Constraint(range(len(configurations)), doc="Replicas fit in whole racks [replicas]")
    def whole_racks(_: pyo.Block, index: int) -> object:
        at_most = configurations[index].replicas_at_most
        return parts[index].replicas <= at_most * rack.racks

    @block.Constraint(doc="At most one configuration runs [1]")
    def one_chosen(block: pyo.Block) -> object:
        return sum(block.chosen.values()) <= 1
