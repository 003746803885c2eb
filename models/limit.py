"""How the limit of a family of rows is read: its name, the number that it is, and the unit.

Rows say ``use / limit <= w``, so that at an optimum a row's activity over `w` is the share of the
limit that is used, and its multiplier times that activity what one per cent more is worth. A floor
says ``limit <= use`` instead.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import pyomo.core as pyo

from .quantities import ConfigurationData, Number, ReplicaData

Data = TypeVar("Data")


@dataclass(frozen=True)
class Limit:
    """The limit of a family.

    Parameters
    ----------
    name
        That of the rows.
    unit
        In which people read it.
    amount
        The number that is the limit, in that unit, from those of a replica. A limit that is what a
        step leaves has none: then it is what a step may take.
    against
        What stands on the other side of a row: ``running`` replicas, their ``steps`` or all
        ``replicas``.
    floor
        How much of the unit one of a row's own is, where the limit is a floor; 0 for others.
    """

    name: str
    unit: str
    amount: Callable[[ReplicaData], Number] | None
    against: str = "running"
    floor: float = 0.0


@dataclass(frozen=True)
class Family(Generic[Data]):
    """A family of rows: what it limits, and how its rows are declared on a block."""

    limit: Limit
    declare: Callable[[pyo.Block, Data], None]


ClockFamily = Family[ReplicaData]
"""Rows of a replica at every one of its clocks."""

ConfigurationFamily = Family[ConfigurationData]
"""Rows of a replica over all of its clocks."""
