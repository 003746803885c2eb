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
from statistics import NormalDist
from typing import NamedTuple, cast

import numpy as np


class LinearPiece(NamedTuple):
    """experts = per_step + per_sequence * batch."""

    per_step: float
    per_sequence: float


def fullest_of(ranks: float) -> float:
    """Return the expected maximum of so many standard normal variables; of an array, of each."""
    counts, places = np.unique(ranks, return_inverse=True)
    normal = NormalDist()
    found = [normal.inv_cdf((one - 0.375) / (one + 0.25)) if one > 1 else 0.0 for one in counts]
    expected = np.array(found)[places.reshape(np.shape(ranks))]
    return cast("float", expected)


def distinct_experts(
    experts: float, active: float, tokens: float, ranks: float = 1.0, fullest: float | None = None
) -> float:
    """Return the experts that a step of B `tokens` reads, `active` of `experts` per token.

    With `ranks`, as many as if all of them read what the fullest does. `tokens` and `ranks` may be
    arrays; `fullest` is `fullest_of` the ranks, where that is known.
    """
    if active >= experts:
        return experts
    share: float = -np.expm1(tokens * math.log1p(-active / experts))
    if np.any(np.asarray(ranks) > 1.0):
        spread = fullest_of(ranks) if fullest is None else fullest
        apart = np.sqrt(share * (1.0 - share) * ranks / experts)
        share = np.minimum(1.0, share + spread * apart)
    return experts * share


def chord(
    experts: float,
    active: float,
    lowest: float,
    highest: float,
    tokens_per_sequence: float,
    ranks: float = 1.0,
) -> LinearPiece:
    """Return the chord of U over batches from `lowest` to `highest` sequences."""
    at_lowest = distinct_experts(experts, active, lowest * tokens_per_sequence, ranks)
    if highest <= lowest:
        return LinearPiece(at_lowest, 0.0)
    at_highest = distinct_experts(experts, active, highest * tokens_per_sequence, ranks)
    slope = (at_highest - at_lowest) / (highest - lowest)
    return LinearPiece(at_lowest - slope * lowest, slope)


def tangent(
    experts: float, active: float, batch: float, tokens_per_sequence: float, ranks: float = 1.0
) -> LinearPiece:
    """Return the tangent of U at a batch of `batch` sequences."""
    value = distinct_experts(experts, active, batch * tokens_per_sequence, ranks)
    if active >= experts:
        return LinearPiece(value, 0.0)
    missed = math.exp(batch * tokens_per_sequence * math.log1p(-active / experts))
    slope = -missed * math.log1p(-active / experts)
    if ranks > 1.0:
        full = value >= experts
        share = 1.0 - missed
        apart = float(fullest_of(ranks)) * math.sqrt(ranks / experts)
        # d/dU of U + c sqrt(U (1 - U)).
        bend = (
            1.0 + apart * (1.0 - 2.0 * share) / (2.0 * math.sqrt(share * missed)) if missed else 0
        )
        slope = 0.0 if full else slope * bend
    slope *= experts * tokens_per_sequence
    return LinearPiece(value - slope * batch, slope)
