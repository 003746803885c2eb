"""Distinct experts that a step reads, and the linear pieces that stand for them.

A step of B tokens touches U(B) = E (1 - (1 - k/E)^B) of E experts per layer when tokens choose k
experts each independently. U is concave in B, so over batches [b0, b1]

- the **chord** alpha + beta b through U(b0) and U(b1) never exceeds U: it reads too little, and
  the program with it bounds the optimum from above;
- the **tangent** at b never falls below U: it reads too much, so what the program with it finds
  can be served, and its multipliers at a point where it returns to b are those of U itself.

In rate space alpha multiplies steps and beta sequence-steps, so both stay linear.
"""

import math
from typing import NamedTuple

import numpy as np


class LinearPiece(NamedTuple):
    """experts = per_step + per_sequence * batch."""

    per_step: float
    per_sequence: float


def distinct_experts(experts: float, active: float, tokens: float) -> float:
    """Return U(B) for B `tokens` of a step, `experts` E and `active` k per token.

    `tokens` may be an array.
    """
    if active >= experts:
        return experts
    missed: float = np.expm1(tokens * math.log1p(-active / experts))
    return -experts * missed


def chord(
    experts: float, active: float, lowest: float, highest: float, tokens_per_sequence: float
) -> LinearPiece:
    """Return the chord of U over batches from `lowest` to `highest` sequences."""
    at_lowest = distinct_experts(experts, active, lowest * tokens_per_sequence)
    if highest <= lowest:
        return LinearPiece(at_lowest, 0.0)
    at_highest = distinct_experts(experts, active, highest * tokens_per_sequence)
    slope = (at_highest - at_lowest) / (highest - lowest)
    return LinearPiece(at_lowest - slope * lowest, slope)


def tangent(experts: float, active: float, batch: float, tokens_per_sequence: float) -> LinearPiece:
    """Return the tangent of U at a batch of `batch` sequences."""
    value = distinct_experts(experts, active, batch * tokens_per_sequence)
    if active >= experts:
        return LinearPiece(value, 0.0)
    slope = -(experts - value) * math.log1p(-active / experts) * tokens_per_sequence
    return LinearPiece(value - slope * batch, slope)
