"""Families of the GPT-2 line: their own key names, full attention, biases, learned positions."""

from dataclasses import dataclass, replace
from functools import partial

from hbmopt.llm.importing.blocks import Blueprint, DenseBlock, GroupedMixer, Layer
from hbmopt.llm.importing.families.common import Builder, layer_count, tied
from hbmopt.llm.importing.keys import Keys, number_of_each


@dataclass(frozen=True)
class LegacyTraits:
    """How a family differs from GPT-2: two biased norms, two matrices, biases throughout."""

    hidden: tuple[str, ...] = ("n_embd", "hidden_size")
    layers: tuple[str, ...] = ("n_layer", "num_hidden_layers")
    heads: tuple[str, ...] = ("n_head", "num_attention_heads")
    width: tuple[str, ...] = ("n_inner",)
    """Width of the feed-forward block; four times the hidden size where it is null or absent."""
    width_required: bool = False
    multi_query: str | None = None
    """Key that says, true where absent, that all heads share one head of keys and values."""
    qkv_bias: bool = True
    output_bias: bool = True
    norms: int = 2
    positions: tuple[str, ...] = ()
    """Key of the number of learned positions."""
    head_bias: bool = False
    embedding_norm: bool = False
    tied: bool = True


def legacy(keys: Keys, outer: Keys, traits: LegacyTraits) -> Blueprint:
    """Return the blueprint of a decoder of the GPT-2 line."""
    hidden, count = keys.whole(*traits.hidden), layer_count(keys, *traits.layers)
    vocabulary = keys.whole("vocab_size")
    default = None if traits.width_required else 4 * hidden
    width = keys.whole(*traits.width, default=default)
    shared = traits.multi_query is not None and keys.flag(traits.multi_query, default=True)
    shared = shared_heads(keys, shared=shared)
    if traits.multi_query is not None and keys.has("num_key_value_heads"):
        stated, own = keys.whole("num_key_value_heads"), 1 if shared else keys.whole(*traits.heads)
        if stated != own:
            raise keys.error("num_key_value_heads", f"{stated} contradicts the {own} of the family")
    layer = Layer(
        (attention(keys, traits, hidden, kv_heads=1 if shared else None),),
        DenseBlock(hidden, width, matrices=2, small=width + hidden),
        None,
        traits.norms * 2 * hidden,
    )
    if keys.flag("add_cross_attention", default=False):
        raise keys.error("add_cross_attention", "attention to an encoder is not counted")
    positions = keys.whole(*traits.positions) * hidden if traits.positions else 0
    return Blueprint(
        hidden,
        vocabulary,
        tied(keys, outer, default=traits.tied),
        (layer,) * count,
        2 * hidden * (2 if traits.embedding_norm else 1),
        head_bias=vocabulary if traits.head_bias else 0,
        embedding_extra=positions,
    )


def shared_heads(keys: Keys, *, shared: bool) -> bool:
    """Return whether all heads share keys and values, as early files of BigCode say it."""
    if not keys.has("attention_head_type"):
        return shared
    kind = keys.word("attention_head_type", default="multiquery" if shared else "multihead")
    if kind not in ("multihead", "multiquery"):
        raise keys.error("attention_head_type", f"{kind!r} is neither 'multihead' nor 'multiquery'")
    if keys.has("multi_query") and shared != (kind == "multiquery"):
        raise keys.error("attention_head_type", f"{kind!r} contradicts 'multi_query'")
    return kind == "multiquery"


def attention(
    keys: Keys, traits: LegacyTraits, hidden: int, *, kv_heads: int | None = None
) -> GroupedMixer:
    """Return attention with one KV head per head, unless all share one."""
    heads = keys.whole(*traits.heads)
    if hidden % heads:
        raise keys.error(traits.heads[0], f"{hidden} does not divide by {heads} heads")
    dimension = hidden // heads
    return GroupedMixer(
        hidden,
        heads,
        kv_heads or heads,
        dimension,
        dimension,
        qkv_bias=traits.qkv_bias,
        output_bias=traits.output_bias,
    )


GPT_NEO = LegacyTraits(
    hidden=("hidden_size",),
    layers=("num_layers", "num_hidden_layers"),
    heads=("num_heads", "num_attention_heads"),
    width=("intermediate_size",),
    qkv_bias=False,
    positions=("max_position_embeddings",),
)


def local_layers(keys: Keys, layers: int) -> list[bool]:
    """Return which layers of GPT-Neo look back over a window, by `attention_types`."""
    stated = keys.listed("attention_types")
    if stated is None:
        raise keys.missing("attention_types")
    kinds: list[str] = []
    for item in stated:
        if (
            not isinstance(item, list)
            or len(item) != 2
            or not isinstance(item[0], list)
            or not isinstance(item[1], int)
            or not 0 < item[1] <= layers
            or any(kind not in ("global", "local") for kind in item[0])
        ):
            raise keys.error("attention_types", f"{item!r} is not [[global, local], times]")
        kinds += item[0] * item[1]
    if len(kinds) != layers:
        raise keys.error("attention_types", f"describes {len(kinds)} of {layers} layers")
    keys.tally("attention_types", number_of_each(kinds))
    keys.ignore("attention_layers")
    return [kind == "local" for kind in kinds]


def gpt_neo(keys: Keys, outer: Keys) -> Blueprint:
    """GPT-Neo: layers by turns attend to everything and over a window."""
    plan = legacy(keys, outer, GPT_NEO)
    window = keys.whole("window_size")
    layers = []
    for local, layer in zip(local_layers(keys, len(plan.layers)), plan.layers, strict=True):
        (mixer,) = layer.mixers
        assert isinstance(mixer, GroupedMixer)
        layers.append(replace(layer, mixers=(replace(mixer, window=window if local else None),)))
    return replace(plan, layers=tuple(layers))


def falcon(keys: Keys, outer: Keys) -> Blueprint:
    """Falcon: one KV head, a few with the new architecture, or one per head."""
    hidden = keys.whole("hidden_size", "n_embed")
    count = layer_count(keys, "num_hidden_layers", "n_layer")
    heads = keys.whole("num_attention_heads", "n_head")
    vocabulary = keys.whole("vocab_size")
    grouped = keys.flag("new_decoder_architecture")
    if grouped:
        kv_heads = keys.whole("num_kv_heads", "n_head_kv")
    else:
        kv_heads = 1 if keys.flag("multi_query", default=True) else heads
    keys.ignore("num_kv_heads", "n_head_kv", "multi_query")
    if hidden % heads or heads % kv_heads:
        raise keys.error("num_attention_heads", f"{heads} heads do not divide {hidden}, {kv_heads}")
    parallel = keys.flag("parallel_attn", default=True)
    norms = keys.whole("num_ln_in_parallel_attn", default=2 if grouped else 1)
    if not parallel:
        norms = 2
    bias = keys.flag("bias", default=False)
    width = keys.whole("ffn_hidden_size", default=4 * hidden)
    dimension = hidden // heads
    layer = Layer(
        (GroupedMixer(hidden, heads, kv_heads, dimension, dimension, bias, bias),),
        DenseBlock(hidden, width, matrices=2, small=(width + hidden) if bias else 0),
        None,
        (2 if norms == 2 else 1) * 2 * hidden,
    )
    return Blueprint(
        hidden, vocabulary, tied(keys, outer, default=True), (layer,) * count, 2 * hidden
    )


def opt(keys: Keys, outer: Keys) -> Blueprint:
    """OPT: learned positions with two more than stated, a narrower embedding in one size."""
    hidden, count = keys.whole("hidden_size"), layer_count(keys, "num_hidden_layers")
    vocabulary, width = keys.whole("vocab_size"), keys.whole("ffn_dim")
    bias = keys.flag("enable_bias", default=True)
    norm = 2 * hidden if keys.flag("layer_norm_elementwise_affine", default=True) else 0
    before = keys.flag("do_layer_norm_before")
    final = before and not keys.flag("_remove_final_layer_norm", default=False)
    traits = LegacyTraits(heads=("num_attention_heads",), qkv_bias=bias, output_bias=bias)
    layer = Layer(
        (attention(keys, traits, hidden),),
        DenseBlock(hidden, width, matrices=2, small=(width + hidden) if bias else 0),
        None,
        2 * norm,
    )
    extra = (keys.whole("max_position_embeddings") + 2) * hidden
    ends = norm if final else 0
    is_tied = tied(keys, outer, default=True)
    embedded = keys.whole("word_embed_proj_dim")
    if embedded != hidden:
        if not is_tied:
            raise keys.error("word_embed_proj_dim", "needs the head to be tied to the embedding")
        # A table of another width, with a projection into the layers and one out of them.
        extra += vocabulary * (embedded - hidden)
        ends += 2 * embedded * hidden
    return Blueprint(hidden, vocabulary, is_tied, (layer,) * count, ends, embedding_extra=extra)


LEGACY_TRAITS: dict[str, LegacyTraits] = {
    "gpt2": LegacyTraits(positions=("n_positions",)),
    "gpt_bigcode": LegacyTraits(positions=("n_positions",), multi_query="multi_query"),
    "gptj": LegacyTraits(qkv_bias=False, output_bias=False, norms=1, head_bias=True, tied=False),
    "codegen": LegacyTraits(qkv_bias=False, output_bias=False, norms=1, head_bias=True, tied=False),
    "bloom": LegacyTraits(hidden=("hidden_size", "n_embed", "n_embd"), embedding_norm=True),
    "xglm": LegacyTraits(
        hidden=("d_model",),
        layers=("num_layers",),
        heads=("attention_heads",),
        width=("ffn_dim",),
        width_required=True,
    ),
}
"""Families that differ from GPT-2 in traits alone, by model_type."""


FAMILIES: dict[str, Builder] = {
    "falcon": falcon,
    "gpt_neo": gpt_neo,
    "opt": opt,
    **{family: partial(legacy, traits=traits) for family, traits in LEGACY_TRAITS.items()},
}
