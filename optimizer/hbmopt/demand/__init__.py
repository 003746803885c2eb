"""Demand: what a configuration asks of a rack, as coefficients.

In: an `Instance` and a `Configuration`. Out: the numbers of the program:
bytes, FLOPs, seconds, joules.
"""

from hbmopt.demand.aim import (
    MILLION,
    MOST_TOKENS,
    PER_HOUR,
    Aim,
    aim_of,
    aims_of,
    side_by_side,
)
from hbmopt.demand.alike import Alike, alike
from hbmopt.demand.coefficients import (
    Array,
    Demand,
    ExpertReads,
    Point,
    Segment,
    configuration_data,
    largest_batch,
    power_cap,
    rack_data,
    replica_data,
    structure_of,
)
from hbmopt.demand.components import offloadable_components
from hbmopt.demand.configuration import (
    NO_MEMORY,
    Configuration,
    Layout,
    Rejection,
    enumerate_configurations,
    replica_sizes,
    why_not,
)
from hbmopt.demand.engine_memory import usable_hbm
from hbmopt.demand.number_tree import collect, replaced
from hbmopt.demand.prompts import PromptDemand, alike_prompts
from hbmopt.demand.sequence import (
    KeptCache,
    context_regime,
    kept_cache,
    room_for,
    sequence_cache,
    smallest_batch,
    step_tokens,
)
from hbmopt.demand.step_latency import LATENT, fixed_latency, latency_layers, sequence_latency

__all__ = [
    "LATENT",
    "MILLION",
    "MOST_TOKENS",
    "NO_MEMORY",
    "PER_HOUR",
    "Aim",
    "Alike",
    "Array",
    "Configuration",
    "Demand",
    "ExpertReads",
    "KeptCache",
    "Layout",
    "Point",
    "PromptDemand",
    "Rejection",
    "Segment",
    "aim_of",
    "aims_of",
    "alike",
    "alike_prompts",
    "collect",
    "configuration_data",
    "context_regime",
    "enumerate_configurations",
    "fixed_latency",
    "kept_cache",
    "largest_batch",
    "latency_layers",
    "offloadable_components",
    "power_cap",
    "rack_data",
    "replaced",
    "replica_data",
    "replica_sizes",
    "room_for",
    "sequence_cache",
    "sequence_latency",
    "side_by_side",
    "smallest_batch",
    "step_tokens",
    "structure_of",
    "usable_hbm",
    "why_not",
]
