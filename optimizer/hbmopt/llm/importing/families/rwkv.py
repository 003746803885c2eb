"""RWKV 4 to 7: a recurrence per channel or per head, and a feed-forward of two matrices."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import Blueprint, DenseBlock, Layer, RecurrentMixer
from hbmopt.llm.importing.families.common import Builder, Sizes, decoder, sizes
from hbmopt.llm.importing.keys import Keys

DECAY_RANK, MIXING_RANK, WIDE = 64, 32, 4096
"""Ranks of RWKV 6; a model as wide as `WIDE` has twice as much."""


def recurrence(size: Sizes, width: int) -> RecurrentMixer:
    """Return the recurrence of RWKV 4: keys, values, receptance and output, three numbers kept.

    `small`: decay and bonus per channel, the mixes of three inputs with those of the token before.
    """
    return RecurrentMixer(
        heads=width,
        key_dimension=1,
        value_dimension=3,
        weights=4 * size.hidden * width,
        small=2 * width + 3 * size.hidden,
        state_format="fp32",
        # The token before, of this block and of the feed-forward.
        convolution_elements=2 * size.hidden,
        named=tuple((one, size.hidden * width) for one in ("key", "value", "receptance", "output")),
    )


def matrix_recurrence(keys: Keys, size: Sizes, width: int) -> RecurrentMixer:
    """Return the recurrence of RWKV 5 and 6: a square state per head, an output gate, a norm."""
    head = keys.whole("head_size")
    if width % head:
        raise keys.error("head_size", f"{width} does not divide by heads of {head}")
    found = replace(
        recurrence(size, width),
        heads=width // head,
        key_dimension=head,
        value_dimension=head,
        weights=5 * size.hidden * width,
        small=4 * width + 4 * size.hidden,
    )
    if keys.family == "rwkv5":
        return found
    twice = 2 if size.hidden == WIDE else 1
    mixing, decay = 2 * 5 * size.hidden * MIXING_RANK, (size.hidden + width) * DECAY_RANK
    return replace(
        found,
        weights=found.weights + twice * (mixing + decay),
        small=4 * width + 6 * size.hidden,
    )


def rwkv(keys: Keys, outer: Keys) -> Blueprint:
    """RWKV: no cache, a feed-forward of two matrices behind a square gate."""
    size = sizes(keys)
    first = keys.family == "rwkv"
    width = keys.whole("attention_hidden_size", default=size.hidden)
    default = 4 * size.hidden if first else int(size.hidden * 3.5) // 32 * 32
    inner = keys.whole("intermediate_size", default=default)
    mixer = recurrence(size, width) if first else matrix_recurrence(keys, size, width)
    keys.ignore("rescale_every", "head_size_divisor", "num_attention_heads")
    forward = DenseBlock(
        size.hidden, inner, 2, small=2 * size.hidden, beside=size.hidden * size.hidden
    )
    layer = Layer((mixer,), forward, None, 4 * size.hidden)
    # Norms before the first layer and behind the last.
    return decoder(keys, outer, size, (layer,) * size.layers, ends=4 * size.hidden)


def rwkv7(keys: Keys, outer: Keys) -> Blueprint:
    """RWKV 7: a square state per head with a delta rule, whose rates are of low rank."""
    size = sizes(keys)
    hidden, head = size.hidden, keys.whole("head_dim")
    inner = keys.whole("intermediate_size")
    if hidden % head or keys.whole("num_heads", default=hidden // head) * head != hidden:
        raise keys.error("head_dim", f"heads of {head} do not make the hidden size {hidden}")
    for name in ("norm_first", "norm_bias"):
        if not keys.flag(name, default=True):
            raise keys.error(name, "this family is known with biased norms before the layers only")
    if keys.has("attn"):
        raise keys.error("attn", "layers of attention are not known in this family")
    decay, rate, gate, value = (
        keys.whole(f"{name}_low_rank_dim") for name in ("decay", "a", "gate", "v")
    )
    keys.ignore("value_dim", "hidden_ratio", reason="says what widths that are stated follow from")
    keys.ignore("fuse_norm", "attn_mode", "fuse_cross_entropy", reason="how the software runs it")
    first = RecurrentMixer(
        heads=hidden // head,
        key_dimension=head,
        value_dimension=head,
        weights=4 * hidden * hidden + 2 * hidden * (decay + rate + gate),
        # Six mixes with the token before, three weights per channel, two biases, a norm.
        small=(6 + 3 + 2 + 2) * hidden,
        state_format="fp32",
        convolution_elements=2 * hidden,
        flops_per_element=8.0,
    )
    # From the second layer on values are mixed with those of the first.
    later = replace(first, weights=first.weights + 2 * hidden * value, small=first.small + hidden)
    forward = DenseBlock(hidden, inner, 2, small=hidden)
    layers = [
        Layer((later if number else first,), forward, None, 4 * hidden)
        for number in range(size.layers)
    ]
    return decoder(keys, outer, size, layers, ends=4 * hidden)


FAMILIES: dict[str, Builder] = {"rwkv": rwkv, "rwkv5": rwkv, "rwkv6": rwkv, "rwkv7": rwkv7}
