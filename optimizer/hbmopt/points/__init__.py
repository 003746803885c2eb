"""Operating points: every way to run replicas, as arrays, and the best of them.

In: an `Instance`. Out: configuration, batch, clocks and what they make.
"""

from typing import TYPE_CHECKING

from hbmopt.first_use import on_first_use

if TYPE_CHECKING:
    from hbmopt.points.batch_ranges import Points
    from hbmopt.points.best_points import (
        BestPoints,
        ManyLimits,
        PointSearch,
        Running,
        has_formula,
    )
    from hbmopt.points.clock_mix import Whole
    from hbmopt.points.first_order import point_around, polish, polish_clocks, settles
    from hbmopt.points.frontier_envelope import Envelope, Outline, served_by
    from hbmopt.points.operating_points import (
        AllPoints,
        BatchRates,
        OperatingPoints,
        all_points,
        demands_of,
        points_of,
    )
    from hbmopt.points.replica_rows import Drawn
    from hbmopt.points.serving_point import WITHIN, ServingPoint
    from hbmopt.points.target_search import TargetSearch
    from hbmopt.points.targets import EXACT, PRECISION, Nearest, Target, last, one_replica

__all__ = [
    "EXACT",
    "PRECISION",
    "WITHIN",
    "AllPoints",
    "BatchRates",
    "BestPoints",
    "Drawn",
    "Envelope",
    "ManyLimits",
    "Nearest",
    "OperatingPoints",
    "Outline",
    "PointSearch",
    "Points",
    "Running",
    "ServingPoint",
    "Target",
    "TargetSearch",
    "Whole",
    "all_points",
    "demands_of",
    "has_formula",
    "last",
    "one_replica",
    "point_around",
    "points_of",
    "polish",
    "polish_clocks",
    "served_by",
    "settles",
]

__getattr__ = on_first_use(
    __name__,
    {
        "AllPoints": "operating_points",
        "BatchRates": "operating_points",
        "BestPoints": "best_points",
        "Drawn": "replica_rows",
        "EXACT": "targets",
        "Envelope": "frontier_envelope",
        "ManyLimits": "best_points",
        "Nearest": "targets",
        "OperatingPoints": "operating_points",
        "Outline": "frontier_envelope",
        "PRECISION": "targets",
        "Points": "batch_ranges",
        "PointSearch": "best_points",
        "Running": "best_points",
        "ServingPoint": "serving_point",
        "Target": "targets",
        "TargetSearch": "target_search",
        "WITHIN": "serving_point",
        "Whole": "clock_mix",
        "demands_of": "operating_points",
        "all_points": "operating_points",
        "points_of": "operating_points",
        "has_formula": "best_points",
        "last": "targets",
        "one_replica": "targets",
        "point_around": "first_order",
        "polish": "first_order",
        "polish_clocks": "first_order",
        "served_by": "frontier_envelope",
        "settles": "first_order",
    },
)
