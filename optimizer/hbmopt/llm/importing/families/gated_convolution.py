"""Families whose layers mix tokens by a short convolution or a gated recurrence per channel."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import (
    Blueprint,
    DenseBlock,
    ExpertBlock,
    GroupedMixer,
    Layer,
    RecurrentMixer,
)
from hbmopt.llm.importing.families.common import (
    FULL,
    SLIDING,
    Builder,
    decoder,
    sizes,
    tied,
)
from hbmopt.llm.importing.families.parts import (
    dense_block,
    either,
    mixer_kinds,
    plain_attention,
    required_flag,
    sliding_window,
)
from hbmopt.llm.importing.keys import Keys, number_of_each

CONVOLUTION = "conv"


def short_convolution(
    channels: int, kernel: int, *, weights: int = 0, small: int = 0
) -> RecurrentMixer:
    """Return a convolution over the last inputs of every channel, kept as its state.

    Its products are those of its weights, so that the state adds no FLOPs.
    """
    return RecurrentMixer(
        heads=channels,
        key_dimension=1,
        value_dimension=kernel - 1,
        weights=weights,
        small=kernel * channels + small,
        state_format="bf16",
        flops_per_element=0.0,
        # Three parts in and one out, where it has projections.
        named=(("in_proj", weights - weights // 4), ("out_proj", weights // 4)) if weights else (),
    )


def gated_convolution(keys: Keys, hidden: int) -> RecurrentMixer:
    """LFM2's convolution between two gates: h 3h in, h h out."""
    bias = 5 * hidden if keys.flag("conv_bias", default=False) else 0
    kernel = keys.whole("conv_L_cache", least=2)
    for name in ("conv_dim", "conv_dim_out"):
        if keys.has(name) and keys.whole(name) != hidden:
            raise keys.error(name, f"another width than the hidden size {hidden} is not known")
    return short_convolution(hidden, kernel, weights=4 * hidden * hidden, small=bias)


def liquid_kinds(keys: Keys, layers: int, *, sliding: bool = False) -> list[str]:
    """Return which layers attend and which convolve: as listed, or attending layers by number."""
    allowed = (FULL, CONVOLUTION, *((SLIDING,) if sliding else ()))
    kinds = mixer_kinds(keys, layers, allowed)
    if kinds is not None:
        keys.ignore("full_attn_idxs")
        return kinds
    chosen = keys.numbered("full_attn_idxs", layers)
    if chosen is None:
        raise keys.missing("layer_types", "full_attn_idxs")
    return [FULL if layer in chosen else CONVOLUTION for layer in range(layers)]


def liquid_width(keys: Keys) -> int:
    """Return the width of LFM2's feed-forward blocks: two thirds of what is stated, rounded up."""
    width = keys.whole("block_ff_dim", "intermediate_size")
    keys.ignore("intermediate_size")
    if not keys.flag("block_auto_adjust_ff_dim", default=True):
        return width
    width = 2 * width // 3
    name = "block_ff_dim" if keys.has("block_ff_dim") else "intermediate_size"
    if keys.has("block_ffn_dim_multiplier"):
        width = int(keys.number("block_ffn_dim_multiplier") * width)
        multiple = keys.whole("block_multiple_of")
        width = multiple * -(-width // multiple)
    elif "block_ffn_dim_multiplier" not in keys.values:
        raise keys.missing("block_ffn_dim_multiplier")
    for rounded in (name, "block_ffn_dim_multiplier", "block_multiple_of"):
        keys.tally(rounded, f"blocks {width:,} wide, rounded")
    return width


def liquid_tied(keys: Keys, outer: Keys) -> bool:
    """Return whether the output head is the embedding; older files say `tie_embedding`."""
    return tied(keys, outer, default=keys.flag("tie_embedding", default=True))


def liquid(keys: Keys, outer: Keys) -> Blueprint:
    """LFM2: gated short convolutions and a few attention layers, dense or with experts."""
    size = sizes(keys)
    kinds = liquid_kinds(keys, size.layers)
    attention = plain_attention(keys, size.hidden, qk_norm="head")
    convolution = gated_convolution(keys, size.hidden)
    experts = None
    if keys.family == "lfm2_moe":
        first = keys.whole("num_dense_layers", least=0)
        experts = ExpertBlock(
            size.hidden,
            keys.whole("num_experts"),
            keys.whole("num_experts_per_tok"),
            keys.whole("moe_intermediate_size"),
        )
        dense = dense_block(keys, size.hidden, needed=first > 0)
    else:
        first, dense = size.layers, DenseBlock(size.hidden, liquid_width(keys))
    keys.ignore("use_expert_bias")
    layers = [
        either(
            (attention if kind == FULL else convolution,),
            experts,
            dense,
            sparse=layer >= first,
            norms=2 * size.hidden,
        )
        for layer, kind in enumerate(kinds)
    ]
    return Blueprint(
        size.hidden, size.vocabulary, liquid_tied(keys, outer), tuple(layers), size.hidden
    )


def liquid3(keys: Keys, outer: Keys) -> Blueprint:
    """LFM3: convolutions between attention layers with and without a window, gates per head."""
    size = sizes(keys)
    kinds = liquid_kinds(keys, size.layers, sliding=True)
    window = sliding_window(keys, kinds)
    full = plain_attention(keys, size.hidden, bias="attention_bias", qk_norm="head")
    if required_flag(keys, "use_attention_gate"):
        full = replace(full, output_gate="head")
    mixers: dict[str, GroupedMixer | RecurrentMixer] = {
        FULL: full,
        SLIDING: replace(full, window=window),
        CONVOLUTION: gated_convolution(keys, size.hidden),
    }
    norms = (4 if required_flag(keys, "use_sandwich_norm") else 2) * size.hidden
    dense = dense_block(keys, size.hidden, needed=True)
    layers = [Layer((mixers[kind],), dense, None, norms) for kind in kinds]
    return Blueprint(
        size.hidden, size.vocabulary, liquid_tied(keys, outer), tuple(layers), size.hidden
    )


def gated_recurrence(keys: Keys, hidden: int, heads: int) -> RecurrentMixer:
    """RG-LRU: two branches in and one out, a convolution, gates in blocks of one head."""
    width = keys.whole("lru_width", default=hidden)
    if "lru_width" not in keys.values:
        raise keys.missing("lru_width")
    if width % heads:
        raise keys.error("lru_width", f"{width} does not divide by {heads} heads")
    kernel = keys.whole("conv1d_width", least=2)
    return RecurrentMixer(
        heads=heads,
        key_dimension=1,
        value_dimension=width // heads,
        weights=3 * hidden * width + 2 * width * (width // heads),
        # Biases of the branches, the convolution's, those of the gates, the decay.
        small=2 * width + hidden + (kernel + 1) * width + 2 * width + width,
        state_format="fp32",
        convolution_elements=(kernel - 1) * width,
        named=tuple((f"linear_{one}", hidden * width) for one in ("x", "y", "out")),
    )


def recurrent_gemma(keys: Keys, outer: Keys) -> Blueprint:
    """RecurrentGemma: two gated recurrences to one attention layer with a window."""
    size = sizes(keys)
    heads = keys.whole("num_attention_heads")
    if size.hidden % heads:
        raise keys.error("num_attention_heads", f"{size.hidden} does not divide by {heads} heads")
    if keys.has("head_dim") and keys.whole("head_dim") != size.hidden // heads:
        raise keys.error("head_dim", f"contradicts {size.hidden} / {heads} heads")
    attention = plain_attention(keys, size.hidden, dimension=size.hidden // heads)
    biased = keys.flag("attention_bias", default=False)
    attention = replace(
        attention,
        qkv_bias=biased,
        output_bias=True,
        window=keys.whole("attention_window_size", "sliding_window"),
    )
    recurrence = gated_recurrence(keys, size.hidden, heads)
    pattern = keys.listed("block_types")
    if not pattern:
        raise keys.missing("block_types")
    for kind in pattern:
        if kind not in ("recurrent", "attention"):
            raise keys.error("block_types", f"{kind!r} is not a kind of layer that is known here")
    keys.ignore("layers_block_type")
    kinds = [str(pattern[layer % len(pattern)]) for layer in range(size.layers)]
    keys.tally("block_types", number_of_each(kinds))
    width = keys.whole("intermediate_size") // 2
    keys.tally("intermediate_size", f"blocks {width:,} wide, half of it")
    dense = DenseBlock(size.hidden, width, small=2 * width + size.hidden)
    layers = [
        Layer(
            (recurrence if kind == "recurrent" else attention,),
            dense,
            None,
            2 * size.hidden,
        )
        for kind in kinds
    ]
    return decoder(keys, outer, size, layers, tie=True)


FAMILIES: dict[str, Builder] = {
    "lfm2": liquid,
    "lfm2_moe": liquid,
    "lfm3": liquid3,
    "recurrent_gemma": recurrent_gemma,
}
