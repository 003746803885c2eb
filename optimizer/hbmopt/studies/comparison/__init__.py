"""Comparisons: instances side by side, and the law of HBM size times bandwidth."""

from hbmopt.studies.comparison.generation_law import (
    BANDWIDTH,
    CAPACITY,
    FLOOR,
    HOLDS,
    OTHER,
    GenerationLaw,
)
from hbmopt.studies.comparison.row import ComparisonRow
from hbmopt.studies.comparison.side_by_side import Comparison, compare

__all__ = [
    "BANDWIDTH",
    "CAPACITY",
    "FLOOR",
    "HOLDS",
    "OTHER",
    "Comparison",
    "ComparisonRow",
    "GenerationLaw",
    "compare",
]
