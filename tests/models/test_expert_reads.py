import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbmopt.models.expert_reads import chord, distinct_experts, fullest_of, rank_spread, tangent

EXPERTS = st.integers(2, 1024)
BATCHES = st.floats(1.0, 1e5)


@st.composite
def mixtures(draw):
    experts = draw(EXPERTS)
    return float(experts), float(draw(st.integers(1, experts)))


@pytest.mark.parametrize(
    ("experts", "active", "tokens", "touched"),
    [
        (256, 8, 0, 0.0),
        (256, 8, 1, 8.0),
        (256, 8, 2, 15.75),  # 8 + 8 x 248 / 256
        (256, 8, 64, 222.44),
        (4, 2, 3, 3.5),  # 4 (1 - 1/8)
        (8, 8, 1, 8.0),
        (8, 8, 100, 8.0),
    ],
)
def test_distinct_experts_at_closed_values(experts, active, tokens, touched):
    assert distinct_experts(experts, active, tokens) == pytest.approx(touched, abs=0.005)


def test_distinct_experts_equals_the_power_written_out():
    assert distinct_experts(256, 8, 64) == pytest.approx(256 * (1 - (1 - 8 / 256) ** 64), rel=1e-12)


@given(mixtures(), BATCHES, BATCHES, st.floats(0, 1))
def test_chord_never_exceeds_the_experts_touched(mixture, one, other, between):
    lowest, highest = sorted((one, other))
    piece = chord(*mixture, lowest, highest, 1.0)
    batch = min(highest, lowest + between * (highest - lowest))
    touched = distinct_experts(*mixture, batch)
    assert piece.per_step + piece.per_sequence * batch <= touched * (1 + 1e-9)


@given(mixtures(), BATCHES, BATCHES)
def test_chord_is_exact_at_both_ends(mixture, one, other):
    lowest, highest = sorted((one, other))
    piece = chord(*mixture, lowest, highest, 1.0)
    for batch in (lowest, highest):
        read = piece.per_step + piece.per_sequence * batch
        assert read == pytest.approx(distinct_experts(*mixture, batch), rel=1e-9)


@given(mixtures(), BATCHES, BATCHES)
def test_tangent_never_falls_below_the_experts_touched(mixture, at, batch):
    piece = tangent(*mixture, at, 1.0)
    read = piece.per_step + piece.per_sequence * batch
    assert read >= distinct_experts(*mixture, batch) * (1 - 1e-9)


@given(mixtures(), BATCHES)
def test_tangent_is_exact_where_it_touches(mixture, batch):
    piece = tangent(*mixture, batch, 1.0)
    read = piece.per_step + piece.per_sequence * batch
    assert read == pytest.approx(distinct_experts(*mixture, batch), rel=1e-12)


RANKS = st.sampled_from([1.0, 2.0, 4.0, 8.0, 16.0, 64.0])


@given(mixtures(), RANKS, BATCHES, BATCHES, st.floats(0, 1))
def test_pieces_of_the_fullest_rank_enclose_what_it_reads(mixture, ranks, one, other, between):
    lowest, highest = sorted((one, other))
    batch = min(highest, lowest + between * (highest - lowest))
    spread = rank_spread(mixture[0], ranks)
    read = distinct_experts(*mixture, batch, spread)
    below = chord(*mixture, lowest, highest, 1.0, spread)
    assert below.per_step + below.per_sequence * batch <= read * (1 + 1e-9)
    above = tangent(*mixture, lowest, 1.0, spread)
    assert above.per_step + above.per_sequence * batch >= read * (1 - 1e-9)
    at = tangent(*mixture, batch, 1.0, spread)
    assert at.per_step + at.per_sequence * batch == pytest.approx(read, rel=1e-9)
    assert distinct_experts(*mixture, batch) <= read <= mixture[0]


def test_the_fullest_of_some_ranks():
    # Expected maxima of 2, 4, 8, 16 and 32 standard normal variables, to 6 %.
    ranks = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    assert fullest_of(ranks) == pytest.approx([0, 0.56, 1.03, 1.42, 1.77, 2.07], rel=0.06)
    # 8 of 256 experts for 64 tokens over 8 ranks: U = 0.869, and 1.43 sqrt(0.1138 / 32) more.
    assert distinct_experts(256, 8, 64, rank_spread(256, 8)) == pytest.approx(256 * 0.954, rel=1e-3)


def test_tangent_has_the_slope_of_the_curve():
    # dU/dB = -E (1 - k/E)^B ln(1 - k/E), at E = 256, k = 8, B = 64.
    slope = -256 * (31 / 32) ** 64 * math.log(31 / 32)
    assert tangent(256, 8, 64, 1.0).per_sequence == pytest.approx(slope)


def test_tokens_per_sequence_multiply_the_batch():
    # Two tokens per sequence: 32 sequences are 64 tokens.
    piece = tangent(256, 8, 32, 2.0)
    read = piece.per_step + piece.per_sequence * 32
    assert read == pytest.approx(distinct_experts(256, 8, 64))
    assert piece.per_sequence == pytest.approx(2 * tangent(256, 8, 64, 1.0).per_sequence)
    ends = chord(256, 8, 1, 32, 2.0)
    assert ends.per_step + ends.per_sequence == pytest.approx(distinct_experts(256, 8, 2))


def test_pieces_over_one_batch_are_the_value_itself():
    assert chord(256, 8, 64, 64, 1.0) == (distinct_experts(256, 8, 64), 0.0)


def test_golden_pieces(assert_golden):
    pieces = {
        "chord 256 8 over 1..64": chord(256, 8, 1, 64, 1.0),
        "tangent 256 8 at 64": tangent(256, 8, 64, 1.0),
        "chord 4 2 over 1..3": chord(4, 2, 1, 3, 1.0),
    }
    text = "".join(
        f"{name}\n  {piece.per_step:+.12g} * steps\n  {piece.per_sequence:+.12g} * sequences\n"
        for name, piece in pieces.items()
    )
    assert_golden("expert_reads", text)
