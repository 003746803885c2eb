"""What a serving engine keeps of HBM, and what it leaves to weights and caches."""

import numpy as np

from hbmopt.demand.configuration import Configuration
from hbmopt.demand.sequence import GIGA
from hbmopt.instance import Instance
from hbmopt.llm import Llm

NOTHING_LEFT = 1e-6
"""GB that stand for no HBM at all, so that shares of it are numbers."""


def usable_hbm(instance: Instance, configuration: Configuration) -> float:
    """Return the GB of an accelerator that weights and caches may fill.

    An engine takes a share of HBM. Of that it keeps a fixed reserve, and room for the activations
    of the largest chunk of prompts that it computes at once.
    """
    calibration, ranks = instance.calibration, configuration.layout.accelerators
    taken = float(instance.rack.accelerator.hbm_capacity) * float(calibration.hbm_usable)
    kept = float(calibration.hbm_reserve) + np.greater(ranks, 1) * float(calibration.link_reserve)
    left: float = np.maximum(NOTHING_LEFT, taken - kept - activations(instance, configuration))
    return left


def activations(instance: Instance, configuration: Configuration) -> float:
    """Return the GB of activations of a prompt chunk on one accelerator, and of sampling.

    Of every token the hidden state is kept some `STREAMS` times in one layer, and what its
    feed-forward block makes of it once, split over tensor ranks; then the next layer overwrites it.
    """
    llm, layout, calibration = instance.llm, configuration.layout, instance.calibration
    width = llm.hidden_size
    inner = _active_feed_forward(llm) / width / layout.tensor_parallel
    per_token = float(calibration.activation_bytes) * (STREAMS * width + inner)
    entries, most = llm.parameters.embedding / width, instance.limits.max_batch
    sequences = float(most if most is not None else calibration.engine_sequences)
    sampling = float(calibration.logit_bytes) * sequences * entries
    return GIGA * (float(calibration.prompt_chunk) * per_token + sampling)


STREAMS = 4
"""Hidden states of a token that are alive at once: residual, normalised, in and out of a block."""


def _active_feed_forward(llm: Llm) -> float:
    """Return the weights of one feed-forward block that a token visits."""
    parts, mixture = llm.parameters, llm.mixture
    blocks = max(llm.feed_forward_blocks, 1)
    if mixture is None:
        return parts.dense_ffn / blocks
    routed = parts.routed_experts * mixture.active / mixture.experts
    return (routed + parts.shared_experts) / mixture.layers
