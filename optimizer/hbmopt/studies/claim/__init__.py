"""Claims: whether a batch at a speed and power is possible."""

from hbmopt.studies.claim.answer import Check, ClosestPoint, Premise
from hbmopt.studies.claim.checking import check

__all__ = [
    "Check",
    "ClosestPoint",
    "Premise",
    "check",
]
