"""Operating points: the best ones of all configurations, by formula and by search.

In: an `Instance`. Out: configuration, batch, clocks and what they make.
"""

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
from hbmopt.points.step_profile import (
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
