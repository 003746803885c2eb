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
from hbmopt.studies.comparison.side_by_side import Comparison, compare, solved_comparison
from hbmopt.studies.comparison.varied import VariedInstances, varied_instances

__all__ = [
    "BANDWIDTH",
    "CAPACITY",
    "FLOOR",
    "HOLDS",
    "OTHER",
    "Comparison",
    "ComparisonRow",
    "GenerationLaw",
    "VariedInstances",
    "compare",
    "solved_comparison",
    "varied_instances",
]
