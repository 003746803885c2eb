"""How a model's weights and caches are placed on the ranks of a replica.

Weights are split over tensor-parallel ranks, except what cannot be: down-projections of latent
attention, index heads, routers and norms are whole on every rank, and K and V projections are
copied once there are more ranks than KV heads. Attention-data parallelism repeats all but the
routed experts. Experts are dealt out whole, so the fullest rank decides what is reserved.
"""

import numpy as np

from hbmopt.demand.configuration import Layout
from hbmopt.llm import Cache, Draft, GroupedAttention, Llm, cache_copies


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
        fullest: float = np.ceil(model.mixture.experts / ranks)
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
    fullest: float = np.ceil(layers / stages)
    return fullest * stages / layers


def placed_bytes(caches: tuple[Cache, ...], layout: Layout, *, held: bool) -> float:
    """Return bytes of caches over the tensor-parallel ranks, copies included."""
    return sum(
        cache_copies(cache.shards, layout.tensor_parallel) * (cache.held if held else cache.read)
        for cache in caches
    )
