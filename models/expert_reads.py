"""Distinct experts that a step reads, and the linear pieces that stand for them.

A step of B tokens touches U(B) = 1 - (1 - k/E)^B of the E experts of a layer when tokens choose k
experts each independently. Where the experts are spread over p ranks the fullest one decides, which
reads of its own experts

    min(1, U + z_p sqrt(U (1 - U) p / E)),

z_p being the expected maximum of p standard normal variables (Blom 1958 for its value). Both are
concave in B, so over batches [b0, b1]

- the **chord** alpha + beta b through the values at b0 and b1 never exceeds them: it reads too
  little, and the program with it bounds the optimum from above;
- the **tangent** at b never falls below them: it reads too much, so what the program with it finds
  can be served, and its multipliers at a point where it returns to b are those of U itself.

In rate space alpha multiplies steps and beta sequence-steps, so both stay linear.
"""

import math
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple, cast

import numpy as np


class LinearPiece(NamedTuple):
    """experts = per_step + per_sequence * batch."""

    per_step: float
    per_sequence: float


def fullest_of(ranks: float) -> float:
    """Return the expected maximum of so many standard normal variables; of an array, of each."""
    if np.ndim(ranks) == 0:
        return _fullest_of(float(ranks))
    counts, places = np.unique(ranks, return_inverse=True)
    found = np.array([_fullest_of(float(one)) for one in counts])
    return cast("float", found[places.reshape(np.shape(ranks))])


@lru_cache
def _fullest_of(ranks: float) -> float:
    return NormalDist().inv_cdf((ranks - 0.375) / (ranks + 0.25)) if ranks > 1 else 0.0


def rank_spread(experts: float, ranks: float) -> float:
    """Return how far above the mean rank the fullest one reads: z_p sqrt(p / E); 0 for one rank."""
    return fullest_of(ranks) * cast("float", np.sqrt(ranks / experts))


def distinct_experts(experts: float, active: float, tokens: float, spread: float = 0.0) -> float:
    """Return the experts that a step of B `tokens` reads, `active` of `experts` per token.

    With the `rank_spread` of some ranks, as many as if all of them read what the fullest does.
    `tokens` and `spread` may be arrays.
    """
    if active >= experts:
        return experts
    share: float = -np.expm1(tokens * math.log1p(-active / experts))
    fullest: float = np.minimum(1.0, share + spread * np.sqrt(share * (1.0 - share)))
    return experts * fullest


def chord(
    experts: float,
    active: float,
    lowest: float,
    highest: float,
    tokens_per_sequence: float,
    spread: float = 0.0,
) -> LinearPiece:
    """Return the chord of U over batches from `lowest` to `highest` sequences."""
    at_lowest = distinct_experts(experts, active, lowest * tokens_per_sequence, spread)
    if highest <= lowest:
        return LinearPiece(at_lowest, 0.0)
    at_highest = distinct_experts(experts, active, highest * tokens_per_sequence, spread)
    slope = (at_highest - at_lowest) / (highest - lowest)
    return LinearPiece(at_lowest - slope * lowest, slope)


def tangent(
    experts: float, active: float, batch: float, tokens_per_sequence: float, spread: float = 0.0
) -> LinearPiece:
    """Return the tangent of U at a batch of `batch` sequences, or at each of an array of them."""
    value = distinct_experts(experts, active, batch * tokens_per_sequence, spread)
    if active >= experts:
        return LinearPiece(value, 0.0)
    missing = math.log1p(-active / experts)
    missed = np.exp(batch * tokens_per_sequence * missing)
    share = 1.0 - missed
    with np.errstate(divide="ignore", invalid="ignore"):
        # d/dU of U + c sqrt(U (1 - U)), of which nothing is left once all experts are read.
        bend = 1.0 + spread * (1.0 - 2.0 * share) / (2.0 * np.sqrt(share * missed))
        rise = np.where(value >= experts, 0.0, -missed * missing * bend)
    slope = cast("float", rise * experts * tokens_per_sequence)
    return LinearPiece(value - slope * batch, slope)
