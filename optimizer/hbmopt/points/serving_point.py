"""One way to serve: everything that a plan of one configuration decides."""

from dataclasses import dataclass

from hbmopt.demand import Configuration
from hbmopt.program import ClockRun

WITHIN = 1e-6
"""Relative excess up to which a limit counts as kept, as everywhere a plan is checked."""


@dataclass(frozen=True)
class ServingPoint:
    """Replicas of one configuration with `batch` sequences each.

    `gained` is tokens per s and user for a step per ms.
    """

    configuration: Configuration
    replicas: int
    batch: float
    parts: tuple[ClockRun, ...]
    gained: float

    @property
    def throughput(self) -> float:
        """Output tokens per second."""
        return self.replicas * self.batch * self.rate * self.gained

    @property
    def rate(self) -> float:
        """Steps per ms of one replica, in the mean over its clocks."""
        return sum(part.share * part.steps for part in self.parts)
