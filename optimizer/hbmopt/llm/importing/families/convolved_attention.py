"""Families of grouped attention whose queries, keys and values pass short convolutions."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import (
    Blueprint,
    DenseBlock,
    DraftPlan,
    ExpertBlock,
    GroupedMixer,
    Layer,
    Mixer,
    RecurrentMixer,
)
from hbmopt.llm.importing.families.common import (
    Builder,
    decoder,
    sizes,
)
from hbmopt.llm.importing.families.gated_convolution import short_convolution
from hbmopt.llm.importing.families.parts import (
    either,
    expert_layers,
    mixer_kinds,
    require,
    routed_experts,
)
from hbmopt.llm.importing.keys import Keys

HYBRID, HYBRID_SLIDING = "hybrid", "hybrid_sliding"
"""Kinds of layers that attend and convolve, to everything or over a window."""


def hybrid_kinds(keys: Keys, layers: int) -> list[str]:
    """Return which layers have a window: as listed, or by the numbers of those that do."""
    kinds = mixer_kinds(keys, layers, (HYBRID, HYBRID_SLIDING))
    if kinds is not None:
        keys.ignore("local_layer_ids")
        return kinds
    local = keys.numbered("local_layer_ids", layers)
    if local is None:
        raise keys.missing("layer_types", "local_layer_ids")
    return [HYBRID_SLIDING if layer in local else HYBRID for layer in range(layers)]


def inkling_attention(keys: Keys, hidden: int, kind: str) -> GroupedMixer:
    """Attention with relative positions: a state of `d_rel` per head, mixed over distances."""
    slides = kind == HYBRID_SLIDING
    prefix = "swa_" if slides else ""
    heads = keys.whole(f"{prefix}num_attention_heads")
    dimension = keys.whole(f"{prefix}head_dim")
    window = keys.whole("sliding_window_size", "sliding_window") if slides else None
    relative = keys.whole("d_rel")
    return GroupedMixer(
        hidden,
        heads,
        keys.whole(f"{prefix}num_key_value_heads"),
        dimension,
        dimension,
        window=window,
        extra_weights=hidden * heads * relative,
        extra_small=relative * (window or keys.whole("rel_extent")),
    )


def inkling_convolutions(keys: Keys, attention: GroupedMixer) -> RecurrentMixer:
    """Return the convolutions of keys, of values and of the outputs of both blocks."""
    kernel = keys.whole("conv_kernel_size", "sconv_kernel_size", least=2)
    channels = 2 * attention.kv_heads * attention.head_dimension + 2 * attention.hidden
    return short_convolution(channels, kernel)


def inkling_mixers(keys: Keys, hidden: int, kind: str) -> tuple[Mixer, ...]:
    """Return attention with norms per head, and its convolutions."""
    attention = replace(inkling_attention(keys, hidden, kind), qk_norm="head")
    return attention, inkling_convolutions(keys, attention)


def inkling_draft(
    keys: Keys, outer: Keys, hidden: int, dense_width: int | None
) -> tuple[DraftPlan | None, tuple[str, ...]]:
    """Return draft layers, which have dense blocks; those of several kinds are left out."""
    source = outer.below("mtp_config")
    modules = keys.whole("num_mtp_layers", default=0, least=0)
    local = keys.wholes("mtp_local_layer_ids") or []
    chained = keys.flag("chain_hidden_post_norm", default=False)
    if source is not None and not modules:
        modules = source.whole("num_nextn_predict_layers", default=0, least=0)
        local = source.wholes("local_layer_ids") or []
        chained = source.flag("chain_hidden_post_norm", default=False)
    keys.ignore("mtp_hidden_states_first", "number_of_conv_states")
    if not modules:
        return None, ()
    kinds = {HYBRID_SLIDING if layer in local else HYBRID for layer in range(modules)}
    if len(kinds) > 1 or dense_width is None:
        return None, ("Draft layers are left out: they differ, or their width is not stated.",)
    layer = Layer(
        inkling_mixers(keys, hidden, kinds.pop()),
        DenseBlock(hidden, dense_width, small=1),
        None,
        2 * hidden,
    )
    norms = (3 if chained else 2) * hidden
    return DraftPlan(modules, (layer,), 2 * hidden * hidden, norms), ()


def inkling(keys: Keys, outer: Keys) -> Blueprint:
    """Inkling: windows on five of six layers, shared experts that the router weighs too."""
    size = sizes(keys)
    kinds = hybrid_kinds(keys, size.layers)
    if keys.has("dense_mlp_idx") and not keys.has("mlp_layer_types"):
        first = keys.whole("dense_mlp_idx", least=0)
        with_experts = [layer >= first for layer in range(size.layers)]
    else:
        require(keys, "mlp_layer_types", "dense_mlp_idx")
        with_experts = expert_layers(keys, size.layers)
    # Files that state a dense width of its own mean that of experts by the other key.
    renamed = keys.has("dense_intermediate_size")
    width = keys.whole("intermediate_size" if renamed else "moe_intermediate_size")
    dense_key = "dense_intermediate_size" if renamed else "intermediate_size"
    shared = keys.whole("n_shared_experts")
    experts = ExpertBlock(
        size.hidden,
        routed_experts(keys),
        keys.whole("num_experts_per_tok"),
        width,
        shared_weights=3 * size.hidden * width * shared,
        # One more row of the router per shared expert, and a scale.
        router_small=shared * size.hidden + 1,
    )
    keys.ignore("shared_expert_sink")
    dense_width = keys.whole(dense_key) if keys.has(dense_key) else None
    dense = None
    if not all(with_experts):
        dense = DenseBlock(size.hidden, keys.whole(dense_key), small=1)
    layers = [
        either(
            inkling_mixers(keys, size.hidden, kind),
            experts,
            dense,
            sparse=sparse,
            norms=2 * size.hidden,
        )
        for kind, sparse in zip(kinds, with_experts, strict=True)
    ]
    draft, notes = inkling_draft(keys, outer, size.hidden, dense_width)
    # The embedding has a norm too.
    return decoder(keys, outer, size, layers, ends=2 * size.hidden, draft=draft, notes=notes)


def inkling2_mixers(keys: Keys, hidden: int, kind: str) -> tuple[Mixer, ...]:
    """Return gated attention with sinks that depend on the token, and its convolutions."""
    plain = inkling_attention(keys, hidden, kind)
    relative = keys.whole("d_rel")
    attention = replace(
        plain,
        output_gate="element",
        extra_weights=plain.extra_weights + hidden * plain.heads,
        # Scales of clipped queries and relative states.
        extra_small=plain.extra_small + plain.heads * (plain.head_dimension + relative),
    )
    convolutions = inkling_convolutions(keys, plain)
    if kind == HYBRID:
        # Here the taps of keys and values depend on the token.
        taps = 2 * hidden * plain.kv_heads * (convolutions.value_dimension + 1)
        convolutions = replace(convolutions, weights=taps)
    return attention, convolutions


def inkling2(keys: Keys, outer: Keys) -> Blueprint:
    """Inkling 2: no shared experts, inputs of blocks mixed from the outputs of those before."""
    size = sizes(keys)
    keys.ignore("qk_l2_clip_threshold", "rel_l2_clip_threshold", "n_layers_per_attn_res_block")
    experts = ExpertBlock(
        size.hidden,
        routed_experts(keys),
        keys.whole("num_experts_per_tok"),
        keys.whole("moe_intermediate_size"),
    )
    layers = []
    for number, kind in enumerate(hybrid_kinds(keys, size.layers)):
        inputs = 1 if kind == HYBRID_SLIDING else 3
        # A norm per input of attention, one of the experts; a query per mixed input.
        norms = inputs + 1 + 1 + (inputs if number else 0)
        layers.append(
            Layer(inkling2_mixers(keys, size.hidden, kind), None, experts, norms * size.hidden)
        )
    # The head has no rows for what pads the embedding.
    rows = keys.whole("unpadded_vocab_size", default=size.vocabulary)
    if rows > size.vocabulary:
        raise keys.error("unpadded_vocab_size", f"{rows} is more than {size.vocabulary}")
    return decoder(
        keys,
        outer,
        replace(size, vocabulary=rows),
        layers,
        # Norms of the embedding and of the output, and the query before the latter.
        ends=3 * size.hidden,
        embedding_extra=(size.vocabulary - rows) * size.hidden,
    )


FAMILIES: dict[str, Builder] = {
    "inkling_text": inkling,
    "inkling_mm_model": inkling,
    "inkling2": inkling2,
    "inkling2_text": inkling2,
}
