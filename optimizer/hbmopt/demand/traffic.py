"""Traffic: the bytes that accelerators of a replica send each other, inside a domain and beyond."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from hbmopt.demand.configuration import Layout
from hbmopt.demand.domains import (
    ring_share_outside,
    share_outside,
    spans_domains,
    stages_handed_over,
)
from hbmopt.demand.sequence import StepTokens
from hbmopt.instance import Instance
from hbmopt.llm import Mixture


@dataclass(frozen=True)
class Traffic:
    """Bytes that are sent: all of them, and those that go to another scale-up domain."""

    total: float
    outside: float

    @property
    def inside(self) -> float:
        """Bytes that stay inside a scale-up domain."""
        return self.total - self.outside

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.total + other.total, self.outside + other.outside)

    def times(self, count: float) -> "Traffic":
        """Return what is sent so many times as often."""
        return Traffic(count * self.total, count * self.outside)


def traffic(instance: Instance, layout: Layout, tokens: StepTokens) -> Traffic:
    """Return the bytes that a replica's accelerators send per sequence and step.

    A ring all-reduce of h activations over t ranks makes them send 2 (t - 1) h elements in all,
    after every attention and every feed-forward block. Wide expert parallelism sends each token
    once to every other accelerator that holds one of its experts, and gets the result back.
    Pipeline stages hand activations on; ranks that share a cache send each other the queries and
    outputs of attention.
    """
    llm, calibration = instance.llm, instance.calibration
    activation = float(calibration.activation_bytes) * llm.hidden_size
    moe_layers = llm.mixture.layers if llm.mixture else 0
    dense_layers = max(llm.feed_forward_blocks - moe_layers, 0)
    per_token = _of_blocks(instance, layout, llm.mixer_blocks, dense_layers, llm.mixture)
    handed_on = Traffic(layout.pipeline_parallel - 1, stages_handed_over(instance, layout))
    per_token += handed_on.times(activation)
    exchanged = sum(group.exchanged() for group in llm.attention)
    shared = (layout.context_parallel - 1) * exchanged * float(calibration.activation_bytes)
    found = per_token.times(tokens.passing)
    if llm.draft is not None and tokens.drafted:
        drafting = llm.draft
        experts = drafting.mixture.layers if drafting.mixture else 0
        per_draft = _of_blocks(
            instance, layout, drafting.layers, drafting.layers - experts, drafting.mixture
        )
        found += per_draft.times(tokens.drafted)
    apart = share_outside(instance, layout.context_parallel)
    found += Traffic(shared, cast("float", shared * apart)).times(tokens.verified)
    return found if spans_domains(instance, layout) else Traffic(found.total, 0.0)


def _of_blocks(
    instance: Instance, layout: Layout, mixers: int, dense: int, mixture: Mixture | None
) -> Traffic:
    """Return the bytes sent for one token by attention, dense and expert blocks."""
    llm, calibration = instance.llm, instance.calibration
    activation = float(calibration.activation_bytes) * llm.hidden_size
    sent = 2.0 * (layout.tensor_parallel - 1) * activation
    hops = cast("float", ring_share_outside(instance, layout.tensor_parallel))
    reduce_once = Traffic(sent, sent * hops)
    found = reduce_once.times(mixers + dense)
    if mixture is None:
        return found
    reduced = np.equal(layout.attention_data_parallel, 1)
    if np.all(reduced):
        return found + reduce_once.times(mixture.layers)
    ranks = np.maximum(2, layout.expert_parallel)
    visited = ranks * -np.expm1(mixture.active * np.log1p(-1.0 / ranks))
    remote = visited * (layout.expert_parallel - 1) / ranks
    width = mixture.expert_width or llm.hidden_size
    dispatched = float(calibration.dispatch_bytes) * width
    returned = float(calibration.activation_bytes) * width
    exchanged = remote * (dispatched + returned)
    apart = exchanged * share_outside(instance, layout.expert_parallel)
    per_block = Traffic(
        cast("float", np.where(reduced, reduce_once.total, exchanged)),
        cast("float", np.where(reduced, reduce_once.outside, apart)),
    )
    return found + per_block.times(mixture.layers)


def messages_outside(instance: Instance, layout: Layout) -> float:
    """Return how many messages to other domains a layer waits for, one after the other.

    Two all-reduces over ranks of several domains pass around a ring twice, less a hop; wide expert
    parallelism sends tokens out and gets them back.
    """
    if not spans_domains(instance, layout):
        return 0.0
    ranks, stage = layout.tensor_parallel, layout.stage_accelerators
    ring = 2.0 * 2.0 * np.subtract(ranks, 1) * ring_share_outside(instance, ranks)
    exchange = 2.0 * np.greater(stage, instance.rack.domain)
    return cast("float", np.maximum(ring, exchange))
