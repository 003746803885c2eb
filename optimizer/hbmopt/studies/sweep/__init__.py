"""Sweeps: the optimum at every point of a grid over fields of an instance."""

from hbmopt.studies.sweep.files import FORMATS, Row
from hbmopt.studies.sweep.point import Evaluator, answer_row
from hbmopt.studies.sweep.sweeping import Sweep, SweepInterrupted, sweep

__all__ = [
    "FORMATS",
    "Evaluator",
    "Row",
    "Sweep",
    "SweepInterrupted",
    "answer_row",
    "sweep",
]
