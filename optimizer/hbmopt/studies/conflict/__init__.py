"""Conflicts: why a configuration won, why none can run, and what cures that."""

from hbmopt.studies.conflict.cures import (
    Changes,
    Cures,
    CureSearch,
    changes_of,
    cure_lines,
    cure_rows,
    smallest_changes,
)
from hbmopt.studies.conflict.explanation import Explanation, explain, explanation_text

__all__ = [
    "Changes",
    "CureSearch",
    "Cures",
    "Explanation",
    "changes_of",
    "cure_lines",
    "cure_rows",
    "explain",
    "explanation_text",
    "smallest_changes",
]
