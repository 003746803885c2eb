"""Fixed latency: the ms of a step that pass whatever the bandwidth, by kind of block and layout."""

from dataclasses import dataclass

import numpy as np

from hbmopt.demand.configuration import Configuration, Layout
from hbmopt.demand.domains import spans_domains, stages_handed_over
from hbmopt.demand.placement import stage_imbalance
from hbmopt.demand.traffic import messages_outside
from hbmopt.instance import Instance
from hbmopt.llm import Draft, Llm

LATENT = frozenset({"latent", "compressed"})
"""Kinds of attention whose block takes more kernels: projections down and up, and indexes."""


@dataclass(frozen=True)
class LayerLatency:
    """Fixed ms of one layer, and what blocks of some kinds take more."""

    kernels: float
    latent: float
    recurrent: float
    experts: float


def layer_latency(instance: Instance, configuration: Configuration) -> LayerLatency:
    """Return the fixed times of layers and blocks in a configuration."""
    calibration, layout = instance.calibration, configuration.layout
    latency = calibration.latency
    kernels = float(latency.per_layer)
    experts = float(latency.per_expert_block)
    own = calibration.architectures.get(instance.rack.accelerator.architecture)
    if own is not None:
        kernels += float(own.per_layer)
        experts += float(own.per_expert_block)
    if block_scaled(instance.llm, configuration.weight_format):
        kernels += float(latency.per_block_scaled_layer)
    beyond = np.greater(layout.stage_accelerators, instance.rack.domain)
    if np.any(beyond):
        # What was measured holds the messages of the networks that it was measured on.
        messages = messages_outside(instance, layout) * float(instance.rack.scale_out_latency)
        kernels = kernels + np.maximum(float(latency.per_layer_beyond_domain), messages) * beyond
    spread = np.log2(layout.stage_accelerators) * np.greater(layout.attention_data_parallel, 1)
    return LayerLatency(
        kernels=kernels,
        latent=float(latency.per_latent_block),
        recurrent=float(latency.per_recurrent_block),
        experts=experts + float(latency.per_exchange_doubling) * spread,
    )


def block_scaled(llm: Llm, weight_format: str) -> bool:
    """Whether weights are FP8 with a scale for each block, as checkpoints published in FP8 are."""
    return weight_format == llm.native_format == "fp8"


def fixed_latency(instance: Instance, configuration: Configuration, drafted: int) -> float:
    """Return the ms of a step that pass whatever the batch.

    Draft passes follow one another and are waited for as well.
    """
    llm, layout = instance.llm, configuration.layout
    each = layer_latency(instance, configuration)
    waited = latency_layers(llm, drafted) * each.kernels + _blocks(llm, each)
    if llm.draft is not None:
        waited += drafted * _blocks(llm.draft, each)
    shared = np.greater(layout.context_parallel, 1)
    exchanges = float(shared) if np.ndim(shared) == 0 else shared
    waited += llm.mixer_blocks * exchanges * float(instance.calibration.latency.per_shared_cache)
    per_stage = float(instance.calibration.latency.per_stage)
    handed_on = (layout.pipeline_parallel - 1) * per_stage
    if spans_domains(instance, layout):
        longer = max(0.0, float(instance.rack.scale_out_latency) - per_stage)
        handed_on += stages_handed_over(instance, layout) * longer
    return waited * stage_imbalance(llm.layers, layout) + handed_on


def sequence_latency(instance: Instance, layout: Layout) -> float:
    """Return the ms that an engine spends on every sequence of a replica, in each step."""
    return float(instance.calibration.latency.per_sequence) / layout.attention_data_parallel


def _blocks(model: Llm | Draft, each: LayerLatency) -> float:
    """Return the ms of the blocks of a model beyond those of its layers."""
    latent = sum(group.layers for group in model.attention if group.kind in LATENT)
    recurrent = sum(group.layers for group in model.attention if group.kind == "recurrent")
    experts = model.mixture.layers if model.mixture is not None else 0
    return latent * each.latent + recurrent * each.recurrent + experts * each.experts


def latency_layers(llm: Llm, drafted: int = 0) -> float:
    """Return the layers that a step waits for, a mixer and a feed-forward block each.

    Draft passes follow one another and are waited for as well.
    """
    layers = (llm.mixer_blocks + llm.feed_forward_blocks) / 2
    return layers + (drafted * llm.draft.layers if llm.draft is not None else 0)
