"""Operating points: the best ones of all configurations, by formula and by search.

In: an `Instance`. Out: configuration, batch, clocks and what they make.
"""

from typing import TYPE_CHECKING

from hbmopt.first_use import on_first_use

if TYPE_CHECKING:
    from hbmopt.points.batch_table import BatchTable, ManyLimits, Running, Whole
    from hbmopt.points.configuration_search import (
        ALLOWED,
        Found,
        found_at,
        point_around,
        polish,
        search,
        settles,
        split_batch,
    )
    from hbmopt.points.frontier_envelope import Envelope
    from hbmopt.points.operating_points import Outline
    from hbmopt.points.point_search import BestPoints, PointSearch, has_formula
    from hbmopt.points.sampled_frontier import MOST_SOLVES, sampled_outline
    from hbmopt.points.serving_point import LimitUse, PointUse, ServingPoint, point_use
    from hbmopt.points.step_formula import (
        Array,
        StepProfile,
        distinct_reads,
        step_profile,
        tangent_reads,
    )
    from hbmopt.points.target_search import TargetSearch, source
    from hbmopt.points.targets import EXACT, PRECISION, Nearest, Source, Target, last, one_replica

__all__ = [
    "ALLOWED",
    "EXACT",
    "MOST_SOLVES",
    "PRECISION",
    "Array",
    "BatchTable",
    "BestPoints",
    "Envelope",
    "Found",
    "LimitUse",
    "ManyLimits",
    "Nearest",
    "Outline",
    "PointSearch",
    "PointUse",
    "Running",
    "ServingPoint",
    "Source",
    "StepProfile",
    "Target",
    "TargetSearch",
    "Whole",
    "distinct_reads",
    "found_at",
    "has_formula",
    "last",
    "one_replica",
    "point_around",
    "point_use",
    "polish",
    "sampled_outline",
    "search",
    "settles",
    "source",
    "split_batch",
    "step_profile",
    "tangent_reads",
]

__getattr__ = on_first_use(
    __name__,
    {
        "ALLOWED": "configuration_search",
        "Array": "step_formula",
        "BatchTable": "batch_table",
        "BestPoints": "point_search",
        "EXACT": "targets",
        "Envelope": "frontier_envelope",
        "Found": "configuration_search",
        "LimitUse": "serving_point",
        "MOST_SOLVES": "sampled_frontier",
        "ManyLimits": "batch_table",
        "Nearest": "targets",
        "Outline": "operating_points",
        "PRECISION": "targets",
        "PointSearch": "point_search",
        "PointUse": "serving_point",
        "Running": "batch_table",
        "ServingPoint": "serving_point",
        "Source": "targets",
        "StepProfile": "step_formula",
        "Target": "targets",
        "TargetSearch": "target_search",
        "Whole": "batch_table",
        "distinct_reads": "step_formula",
        "found_at": "configuration_search",
        "has_formula": "point_search",
        "last": "targets",
        "one_replica": "targets",
        "point_around": "configuration_search",
        "point_use": "serving_point",
        "polish": "configuration_search",
        "sampled_outline": "sampled_frontier",
        "search": "configuration_search",
        "settles": "configuration_search",
        "source": "target_search",
        "split_batch": "configuration_search",
        "step_profile": "step_formula",
        "tangent_reads": "step_formula",
    },
)
