"""Decoders of the usual kind whose files name their sizes otherwise: MPT, ChatGLM, OpenELM."""

from hbmopt.llm.importing.blocks import Blueprint, DenseBlock, GroupedMixer, Layer
from hbmopt.llm.importing.families.common import Builder, Sizes, decoder, groups, layer_count, tied
from hbmopt.llm.importing.families.legacy import LegacyTraits, legacy
from hbmopt.llm.importing.keys import Keys


def mpt(keys: Keys, outer: Keys) -> Blueprint:
    """MPT: norms and projections without biases, positions by ALiBi."""
    hidden, count = keys.whole("d_model"), layer_count(keys, "n_layers")
    heads, vocabulary = keys.whole("n_heads"), keys.whole("vocab_size")
    if keys.whole("expansion_ratio", default=4) != 4:
        raise keys.error("expansion_ratio", "only four times the hidden size is known")
    if not keys.flag("no_bias", default=True):
        raise keys.error("no_bias", "biases are not known in this family")
    described = keys.below("attn_config")
    if described is not None:
        kind = described.word("attn_type", default="multihead_attention")
        if kind != "multihead_attention":
            raise described.error("attn_type", f"{kind!r} is not known in this family")
        for key in ("qk_ln", "prefix_lm"):
            if described.flag(key, default=False):
                raise described.error(key, "is not known in this family")
        if not described.flag("alibi", default=True):
            raise described.error("alibi", "learned positions are not known in this family")
    if hidden % heads:
        raise keys.error("n_heads", f"{hidden} does not divide by {heads} heads")
    dimension = hidden // heads
    layer = Layer(
        (GroupedMixer(hidden, heads, heads, dimension, dimension),),
        DenseBlock(hidden, 4 * hidden, matrices=2),
        None,
        2 * hidden,
    )
    return Blueprint(hidden, vocabulary, tied(keys, outer, default=True), (layer,) * count, hidden)


CHATGLM_1 = LegacyTraits(
    hidden=("hidden_size",),
    layers=("num_layers",),
    heads=("num_attention_heads",),
    width=("inner_hidden_size",),
    width_required=True,
)


def chatglm(keys: Keys, outer: Keys) -> Blueprint:
    """ChatGLM 2 and 3 and GLM-4-9B, and the first ChatGLM, which is of the GPT-2 line."""
    if keys.has("inner_hidden_size"):
        return legacy(keys, outer, CHATGLM_1)
    hidden, layers = keys.whole("hidden_size"), layer_count(keys, "num_layers")
    size = Sizes(hidden, layers, keys.whole("padded_vocab_size", "vocab_size"))
    keys.ignore("vocab_size")
    heads, dimension = keys.whole("num_attention_heads"), keys.whole("kv_channels")
    shared = keys.flag("multi_query_attention")
    kv_heads = keys.whole("multi_query_group_num") if shared else heads
    keys.ignore("multi_query_group_num", "original_rope", "rope_ratio", "seq_length")
    groups(keys, "num_attention_heads", heads, kv_heads)
    linear = keys.flag("add_bias_linear")
    attention = GroupedMixer(
        hidden,
        heads,
        kv_heads,
        dimension,
        dimension,
        qkv_bias=linear or keys.flag("add_qkv_bias"),
        output_bias=linear,
    )
    width = keys.whole("ffn_hidden_size")
    norm = hidden if keys.flag("rmsnorm", default=True) else 2 * hidden
    layer = Layer(
        (attention,),
        DenseBlock(hidden, width, small=2 * width + hidden if linear else 0),
        None,
        2 * norm,
    )
    last = norm if keys.flag("post_layer_norm", default=True) else 0
    return decoder(keys, outer, size, (layer,) * layers, ends=last)


def divisible(value: float, divisor: int) -> int:
    """Return the nearest multiple, and the next one where that is more than a tenth below."""
    found = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return found + divisor if found < 0.9 * value else found


def openelm(keys: Keys, outer: Keys) -> Blueprint:
    """OpenELM: heads and widths that grow from layer to layer."""
    layers = layer_count(keys, "num_transformer_layers")
    size = Sizes(keys.whole("model_dim"), layers, keys.whole("vocab_size"))
    dimension, divisor = keys.whole("head_dim"), keys.whole("ffn_dim_divisor")
    queries = keys.wholes("num_query_heads", layers, least=1)
    owners = keys.wholes("num_kv_heads", layers, least=1)
    multipliers = keys.listed("ffn_multipliers", layers)
    if queries is None or owners is None or multipliers is None:
        raise keys.missing("num_query_heads", "num_kv_heads", "ffn_multipliers")
    # The lists say what these made.
    keys.ignore("num_gqa_groups", "qkv_multipliers")
    normed = "head" if keys.flag("normalize_qk_projections") else "none"
    matrices = 3 if keys.flag("ffn_with_glu") else 2
    found, widths = [], []
    for heads, kv_heads, multiplier in zip(queries, owners, multipliers, strict=True):
        groups(keys, "num_query_heads", heads, kv_heads)
        if isinstance(multiplier, bool) or not isinstance(multiplier, int | float):
            raise keys.error("ffn_multipliers", f"{multiplier!r} is not a number")
        if not 0 < multiplier < 1000:
            raise keys.error("ffn_multipliers", f"{multiplier!r} is out of range")
        attention = GroupedMixer(size.hidden, heads, kv_heads, dimension, dimension, qk_norm=normed)
        width = divisible(multiplier * size.hidden, divisor)
        widths.append(width)
        found.append(
            Layer((attention,), DenseBlock(size.hidden, width, matrices), None, 2 * size.hidden)
        )
    keys.tally("ffn_multipliers", f"blocks of {sum(widths):,} rows, each rounded")
    keys.tally("ffn_dim_divisor", f"blocks of {sum(widths):,} rows, each rounded")
    return decoder(
        keys, outer, size, found, tie=keys.flag("share_input_output_layers", default=True)
    )


FAMILIES: dict[str, Builder] = {"chatglm": chatglm, "mpt": mpt, "openelm": openelm}
