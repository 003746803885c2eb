"""Fixed latency: the ms of a step that pass whatever the batch, by layer and by layout."""

from dataclasses import dataclass

import numpy as np

from hbmopt.demand.configuration import Layout
from hbmopt.demand.placement import stage_imbalance
from hbmopt.instance import Instance
from hbmopt.llm import Draft, Llm

COMPOSITE = frozenset({"latent", "compressed"})
"""Kinds of attention whose block takes many kernels: projections down and up, and indexes."""


@dataclass(frozen=True)
class LayerLatency:
    """Fixed ms of one layer: of its kernels, its collectives, and of a composite block more."""

    kernels: float
    collectives: float
    composite: float


def layer_latency(instance: Instance, layout: Layout) -> LayerLatency:
    """Return the fixed times of a layer in a layout, with the chosen serving engine."""
    calibration, data = instance.calibration, layout.attention_data_parallel
    latency, factor = calibration.constants(data).latency, calibration.engine_factor(data)
    doublings: float = np.log2(layout.stage_accelerators)
    return LayerLatency(
        kernels=factor * float(latency.per_layer),
        collectives=factor * float(latency.per_layer_doubling) * doublings,
        composite=factor * float(latency.per_composite_block),
    )


def fixed_latency(instance: Instance, layout: Layout, drafted: int) -> float:
    """Return the ms of a step that pass whatever the batch."""
    llm, each = instance.llm, layer_latency(instance, layout)
    waited = latency_layers(llm, drafted) * (each.kernels + each.collectives)
    waited += composite_blocks(llm, drafted) * each.composite
    constants = instance.calibration.constants(layout.attention_data_parallel)
    handed_on = (layout.pipeline_parallel - 1) * float(constants.latency.per_layer_doubling)
    return waited * stage_imbalance(llm.layers, layout) + handed_on


def composite_blocks(llm: Llm, drafted: int = 0) -> int:
    """Return the blocks of a step that take many kernels: mixtures and latent attention."""
    found = _composite(llm)
    return found + (drafted * _composite(llm.draft) if llm.draft is not None else 0)


def _composite(model: Llm | Draft) -> int:
    latent = sum(group.layers for group in model.attention if group.kind in COMPOSITE)
    return latent + (model.mixture.layers if model.mixture is not None else 0)


def latency_layers(llm: Llm, drafted: int = 0) -> float:
    """Return the layers that a step waits for, a mixer and a feed-forward block each.

    Draft passes follow one another and are waited for as well.
    """
    layers = (llm.mixer_blocks + llm.feed_forward_blocks) / 2
    return layers + (drafted * llm.draft.layers if llm.draft is not None else 0)
