"""How a model's weights and caches are placed on the ranks of a replica.

Weights are split over tensor-parallel ranks, except what cannot be: down-projections of latent
attention, index heads, routers and norms are whole on every rank, and K and V projections are
copied once there are more ranks than KV heads. Attention-data parallelism repeats all but the
routed experts. Experts are dealt out whole, so the fullest rank decides what is reserved.
"""

from typing import cast

import numpy as np

from hbmopt.demand.configuration import Layout
from hbmopt.llm import COMPONENTS, Cache, Draft, GroupedAttention, Llm, cache_copies


def attention_copies(model: Llm | Draft, layout: Layout) -> float:
    """Return how many whole copies of the attention weights one attention group of ranks holds."""
    total = model.parameters.attention
    if total == 0:
        return 1.0
    ranks = layout.tensor_parallel
    extra = 0.0
    for group in model.attention:
        extra += group.replicated_parameters * (ranks - 1)
        if isinstance(group, GroupedAttention):
            extra += group.kv_parameters * (cache_copies(group.kv_heads, ranks) - 1.0)
    return 1.0 + extra / total


def copies(model: Llm | Draft, layout: Layout, component: str) -> float:
    """Return how many copies of a component the ranks of a replica hold in all."""
    data = 1.0 * layout.attention_data_parallel
    if component == "attention":
        return data * attention_copies(model, layout)
    if component == "router":
        return data * layout.tensor_parallel
    if component == "lookup_tables":
        return 1.0
    if component == "routed_experts" and model.mixture is not None:
        ranks = layout.expert_parallel
        # Rounded up; plain numbers stay plain.
        fullest = -(-model.mixture.experts // ranks)
        return fullest * ranks / model.mixture.experts
    return data


def computed_copies(model: Llm | Draft, layout: Layout, component: str) -> float:
    """Return how often the products of a component are computed for one token.

    Ranks that hold the same weights for the same sequence compute the same products;
    attention-data ranks compute those of their own sequences only.
    """
    if component == "attention":
        return attention_copies(model, layout)
    return 1.0 * layout.tensor_parallel if component == "router" else 1.0


def stage_imbalance(layers: int, layout: Layout) -> float:
    """Return the layers of the fullest pipeline stage per mean one."""
    stages = layout.pipeline_parallel
    fullest = -(-layers // stages)
    return fullest * stages / layers


def at_the_ends(llm: Llm, scheme: str, layout: Layout, component: str) -> float:
    """Return how often a table of the first or last stage counts as if every stage had it.

    The embedding lies on the first stage and the output head on the last, so one of these is the
    fullest. Where layers do not divide evenly the stages between have one more of them, and only
    what a table takes beyond that layer counts.
    """
    stages = layout.pipeline_parallel
    if np.all(np.equal(stages, 1)):
        return 1.0
    table = llm.loaded_bytes(scheme, component)
    if table == 0.0:
        return 1.0
    whole = sum(llm.loaded_bytes(scheme, name) for name in COMPONENTS if name not in TABLES)
    more = np.ceil(llm.layers / stages) - np.floor(llm.layers / stages)
    beyond = np.maximum(0.0, 1.0 - more * whole / llm.layers / table)
    return cast("float", np.where(np.equal(stages, 1), 1.0, stages * beyond))


def larger_table(llm: Llm, scheme: str) -> str:
    """Return which of embedding and output head takes more room where it lies."""
    head = llm.loaded_bytes(scheme, "lm_head")
    return "lm_head" if head >= llm.loaded_bytes(scheme, "embedding") else "embedding"


TABLES = ("embedding", "lm_head", "lookup_tables")
"""Components that belong to no layer."""


def placed_bytes(
    caches: tuple[Cache, ...], layout: Layout, *, held: bool, growing: bool = True
) -> float:
    """Return bytes of caches over the tensor-parallel ranks, copies included.

    Ranks that would hold the same tokens share those of a cache that grows, where the layout says
    so (decode context parallelism).
    """
    shared = layout.context_parallel if growing else 1
    return sum(
        cache_copies(cache.shards, layout.tensor_parallel)
        / shared
        * (cache.held if held else cache.read)
        for cache in caches
    )
