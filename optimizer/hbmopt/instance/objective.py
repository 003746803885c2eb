"""Objectives: what an instance may ask to be best, in which unit, and which way is better."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Objective: TypeAlias = Literal[
    "throughput",
    "tokens_per_joule",
    "tokens_per_dollar",
    "speed",
    "power",
    "cost",
    "accelerators",
]


@dataclass(frozen=True)
class ObjectiveKind:
    """How an objective is read.

    Parameters
    ----------
    title
        What it is called in a sentence.
    unit
        In which people read it.
    least
        Whether less of it is better; such an objective needs a demand to be served.
    priced
        Whether it needs the prices of hardware and power.
    """

    title: str
    unit: str
    least: bool = False
    priced: bool = False


OBJECTIVES: dict[Objective, ObjectiveKind] = {
    "throughput": ObjectiveKind("throughput", "tok/s"),
    "tokens_per_joule": ObjectiveKind("tokens per joule", "tok/J"),
    "tokens_per_dollar": ObjectiveKind("tokens per dollar", "M tok/USD", priced=True),
    "speed": ObjectiveKind("speed per user", "tok/s/user"),
    "power": ObjectiveKind("power", "kW", least=True),
    "cost": ObjectiveKind("cost", "USD/h", least=True, priced=True),
    "accelerators": ObjectiveKind("accelerators that run", "accelerators", least=True),
}
"""Every objective; power counts in the scope of the power limit."""
