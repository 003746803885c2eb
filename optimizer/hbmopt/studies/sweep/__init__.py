"""Sweeps: the optimum at every point of a grid over fields of an instance or a fleet."""

from hbmopt.studies.sweep.files import FORMATS, Row
from hbmopt.studies.sweep.fleet_point import FLEET_LAYOUT, fleet_row, plan_row
from hbmopt.studies.sweep.point import Evaluator, answer_row
from hbmopt.studies.sweep.sweeping import Sweep, SweepInterrupted, sweep

__all__ = [
    "FLEET_LAYOUT",
    "FORMATS",
    "Evaluator",
    "Row",
    "Sweep",
    "SweepInterrupted",
    "answer_row",
    "fleet_row",
    "plan_row",
    "sweep",
]
