"""What one sequence asks of a replica in one step: tokens, cache, attention.

A step verifies the drafted tokens of every sequence together with one token that is sure. Where
prompts are computed on the same accelerators, their tokens are spread evenly over the steps.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand.configuration import Configuration, Layout, compression
from hbmopt.demand.placement import placed_bytes, stage_imbalance
from hbmopt.instance import Instance
from hbmopt.llm import Cache, Llm, bounds_passed

Array: TypeAlias = NDArray[np.float64]

GIGA = 1e-9
PREFILL_POSITIONS = 16
"""Positions of a prompt at which its attention is sampled (midpoints of equal parts)."""


@dataclass(frozen=True)
class StepTokens:
    """Tokens of one sequence in one step."""

    drafted: int
    verified: float
    accepted: float
    prefilled: float

    @property
    def passing(self) -> float:
        """Tokens that pass through the layers of the model."""
        return self.verified + self.prefilled

    @property
    def at_head(self) -> float:
        """Tokens that pass through the output head of the model."""
        return self.verified


def step_tokens(instance: Instance, configuration: Configuration) -> StepTokens:
    """Return the tokens of one sequence in one step of a configuration."""
    drafted = configuration.draft_tokens
    accepted = instance.workload.accepted_tokens(drafted)
    return StepTokens(
        drafted=drafted,
        verified=1.0 + drafted,
        accepted=accepted,
        prefilled=accepted * instance.workload.prefilled_per_output,
    )


@dataclass(frozen=True)
class SequenceCache:
    """Cache of one sequence over a replica in GB, and how often it is kept."""

    held: float
    read: float
    copies: float


def sequence_cache(instance: Instance, configuration: Configuration) -> SequenceCache:
    """Return the cache that a sequence keeps and reads per step, all copies and drafts included.

    Held bytes are those of the context that capacity is reserved for, with half a page that is not
    full and with the prompt chunk in flight, which a window does not forget yet; read bytes those
    of the mean context. Compression shrinks what grows with the context, not recurrent states.
    """
    llm, layout, workload = instance.llm, configuration.layout, instance.workload
    tokens = step_tokens(instance, configuration)
    ratio = compression(instance, configuration).ratio
    kept, in_flight = _kept_tokens(instance, tokens)
    reserved = caches_of(llm, kept, configuration, in_flight)
    mean = caches_of(llm, workload.mean_context, configuration, tokens.verified)
    states = states_of(llm, tokens.verified)
    held = ratio * placed_bytes(reserved, layout, held=True)
    held += placed_bytes(states, layout, held=True, growing=False)
    read = ratio * placed_bytes(mean, layout, held=False)
    read += placed_bytes(states, layout, held=False, growing=False)
    # How often the cache that grows is kept; a model without one keeps states.
    counted = reserved if any(one.held for one in reserved) else states
    once = sum(one.held for one in counted)
    drafts = _draft_cache(instance, configuration, ratio)
    return SequenceCache(
        held=GIGA * (held + drafts[0]),
        read=GIGA * (read + drafts[1]),
        copies=placed_bytes(counted, layout, held=True) / once if once > 0 else 1.0,
    )


@dataclass(frozen=True)
class KeptCache:
    """Cache of one sequence between two steps in GB: one copy, and what it takes of HBM."""

    once: float
    in_hbm: float


def kept_cache(instance: Instance, configuration: Configuration, tokens: float) -> KeptCache:
    """Return the cache that a sequence of `tokens` tokens leaves behind when no step runs.

    States count as well, whatever the tokens. HBM holds all copies of the layout, and room for as
    much in every pipeline stage as in the fullest; elsewhere one copy is enough.
    """
    llm, layout, drafted = instance.llm, configuration.layout, configuration.draft_tokens
    ratio = compression(instance, configuration).ratio
    groups = [(group, 1.0) for group in llm.attention]
    if llm.draft is not None and drafted:
        groups += [(group, float(min(llm.draft.modules, drafted))) for group in llm.draft.attention]
    once = in_hbm = 0.0
    for group, times in groups:
        grown, states = group.cache(tokens, configuration.kv_format), group.state(1.0)
        once += times * ratio * sum(one.held for one in grown)
        once += times * sum(one.held for one in states)
        in_hbm += times * ratio * placed_bytes(grown, layout, held=True)
        in_hbm += times * placed_bytes(states, layout, held=True, growing=False)
    fuller = stage_imbalance(llm.layers, layout)
    return KeptCache(once=float(GIGA * once), in_hbm=float(GIGA * in_hbm * fuller))


def _kept_tokens(instance: Instance, tokens: StepTokens) -> tuple[float, float]:
    """Return the tokens that capacity is reserved for, and how many pass through in one step."""
    calibration = instance.calibration
    half_a_page = (float(calibration.page_tokens) - 1.0) / 2.0
    in_flight = tokens.verified + float(calibration.prompt_chunk)
    return instance.workload.reserved_context + half_a_page, in_flight


def caches_of(
    llm: Llm, context: float, configuration: Configuration, at_once: float
) -> tuple[Cache, ...]:
    """Return the caches that grow, at a context and with so many tokens computed at once."""
    return tuple(
        one
        for group in llm.attention
        for one in group.cache(context, configuration.kv_format, at_once)
    )


def states_of(llm: Llm, at_once: float) -> tuple[Cache, ...]:
    """Return what a sequence keeps whatever its length, with so many tokens verified at once."""
    return tuple(one for group in llm.attention for one in group.state(at_once))


def _draft_cache(
    instance: Instance, configuration: Configuration, ratio: float
) -> tuple[float, float]:
    """Return bytes held and read per step by the draft module's own attention."""
    draft, drafted = instance.llm.draft, configuration.draft_tokens
    if draft is None or drafted == 0:
        return 0.0, 0.0
    layout, kv_format = configuration.layout, configuration.kv_format
    held = read = 0.0
    for group in draft.attention:
        reserved = group.cache(instance.workload.reserved_context, kv_format)
        mean = group.cache(instance.workload.mean_context, kv_format)
        held += ratio * placed_bytes(reserved, layout, held=True)
        held += placed_bytes(group.state(1.0), layout, held=True, growing=False)
        read += ratio * placed_bytes(mean, layout, held=False)
        read += placed_bytes(group.state(1.0), layout, held=False, growing=False)
    return held * min(draft.modules, drafted), read * drafted


def attention_gflop(instance: Instance, configuration: Configuration) -> float:
    """Return the GFLOP of attention proper per sequence and step, restoring the cache included."""
    llm, workload = instance.llm, instance.workload
    tokens = step_tokens(instance, configuration)
    context = workload.mean_context
    flops = tokens.verified * sum(group.flops(context) for group in llm.attention)
    if llm.draft is not None and tokens.drafted:
        flops += tokens.drafted * sum(group.flops(context) for group in llm.draft.attention)
    compressed = compression(instance, configuration)
    if compressed.flops_per_byte > 0:
        caches = caches_of(llm, context, configuration, tokens.verified)
        read = placed_bytes(caches, configuration.layout, held=False)
        flops += compressed.flops_per_byte * read
    return flops * GIGA


def prompt_attention_gflop(instance: Instance, configuration: Configuration) -> float:
    """Return the GFLOP of attention of prompts that a sequence adds to a step."""
    tokens = step_tokens(instance, configuration)
    return tokens.prefilled * prefill_flops(instance) * GIGA if tokens.prefilled > 0 else 0.0


def prefill_flops(instance: Instance) -> float:
    """Return the mean FLOPs of attention of one prompt token that is computed here."""
    return (
        sum(
            group.prefill_flops(position)
            for position in _prefill_positions(instance)
            for group in instance.llm.attention
        )
        / PREFILL_POSITIONS
    )


def _prefill_positions(instance: Instance) -> list[float]:
    """Return the positions of the prompt at which its attention is sampled."""
    prompt = instance.workload.prompt
    if prompt is None:
        return []
    first = prompt.amount * float(instance.workload.prefix_hit_rate)
    part = (prompt.amount - first) / PREFILL_POSITIONS
    return [first + (index + 0.5) * part for index in range(PREFILL_POSITIONS)]


def context_regime(instance: Instance, configuration: Configuration) -> tuple[bool, ...]:
    """Return which bounds on what a token sees the contexts have passed: where demands have kinks.

    While it stays the same, demands are smooth functions of contexts and bounds.
    """
    llm, workload = instance.llm, instance.workload
    tokens = step_tokens(instance, configuration)
    contexts = [workload.mean_context]
    kept, in_flight = _kept_tokens(instance, tokens)
    if tokens.prefilled > 0:
        contexts += _prefill_positions(instance)
    drafting = llm.draft.attention if llm.draft is not None and tokens.drafted else []
    return tuple(
        passed
        for group in [*llm.attention, *drafting]
        for context in contexts
        for passed in bounds_passed(group, context, tokens.verified)
    ) + tuple(
        passed
        for group in [*llm.attention, *drafting]
        for passed in bounds_passed(group, kept, in_flight)
    )


def room_for(batches: Array, ranks: Array | int) -> Array:
    """Return the sequences that replicas keep room for: on every rank as many as on the fullest.

    Attention ranks that repeat each other hold whole sequences of their own. A batch that is not
    whole is one between two plans, and spread evenly.
    """
    rounded = np.ceil(batches / ranks * (1.0 - 1e-12)) * ranks
    return np.asarray(np.where(batches == np.floor(batches), rounded, batches))


def smallest_batch(configuration: Configuration) -> float:
    """Return the fewest sequences of a replica: one for every attention-data-parallel rank.

    With fewer, ranks would idle, and work per accelerator would not be even. A pipeline needs
    that many in every stage.
    """
    layout: Layout = configuration.layout
    return 1.0 * layout.attention_data_parallel * layout.pipeline_parallel
