"""The frontier: the most throughput at every speed per user."""

from hbmopt.studies.frontier.normalisation import PER, Normalisation, millions, normalisation
from hbmopt.studies.frontier.speed_frontier import (
    MOST_RUNGS,
    NOT_BY_SPEED,
    Frontier,
    FrontierPoint,
    FrontierSegment,
    frontier,
    parse_speeds,
)

__all__ = [
    "MOST_RUNGS",
    "NOT_BY_SPEED",
    "PER",
    "Frontier",
    "FrontierPoint",
    "FrontierSegment",
    "Normalisation",
    "frontier",
    "millions",
    "normalisation",
    "parse_speeds",
]
