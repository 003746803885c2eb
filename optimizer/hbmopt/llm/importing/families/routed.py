"""Families of grouped attention with experts whose layers follow a rule of their own."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import (
    BlockIndexer,
    Blueprint,
    DenseBlock,
    ExpertBlock,
    GroupedMixer,
    Layer,
)
from hbmopt.llm.importing.families.common import (
    CHUNKED,
    FULL,
    Sizes,
    dense_layers,
    layer_draft,
    layer_kinds,
    sizes,
    tied,
    uniform_window,
    windows,
)
from hbmopt.llm.importing.families.dense import BIASED, HUNYUAN, refuse_cross_layer
from hbmopt.llm.importing.families.mixture import NO_BIAS, Builder, unknown_draft
from hbmopt.llm.importing.families.traits import Traits, mixer
from hbmopt.llm.importing.keys import Keys


def gpt_oss(keys: Keys, outer: Keys) -> Blueprint:
    """gpt-oss: alternating windows, attention sinks, biases everywhere, experts too."""
    size = sizes(keys)
    width = keys.whole("intermediate_size")
    count = keys.whole("num_local_experts", "num_experts")
    experts = ExpertBlock(
        size.hidden,
        count,
        keys.whole("num_experts_per_tok", "experts_per_token"),
        width,
        expert_bias=2 * width + size.hidden,
        router_small=count,
    )
    traits = Traits(
        qkv_bias="attention_bias!", output_bias="attention_bias!", head_dimension_stated=True
    )
    # The first of two layers looks back over the window.
    kinds = layer_kinds(keys, size.layers, period=2)
    layers = [
        Layer(
            (replace(mixer(keys, traits, size.hidden, window), sinks=True),),
            None,
            experts,
            2 * size.hidden,
        )
        for window in windows(keys, kinds)
    ]
    return Blueprint(
        size.hidden, size.vocabulary, tied(keys, outer, default=False), tuple(layers), size.hidden
    )


def llama4(keys: Keys, outer: Keys) -> Blueprint:
    """Llama 4: three of four layers attend within a chunk, experts every few layers."""
    size = sizes(keys)
    width = keys.whole("intermediate_size")
    experts = ExpertBlock(
        size.hidden,
        keys.whole("num_local_experts"),
        keys.whole("num_experts_per_tok"),
        width,
        shared_weights=3 * size.hidden * width,
    )
    listed = keys.wholes("moe_layers")
    step = keys.whole("interleave_moe_layer_step")
    with_experts = set(listed) if listed is not None else set(range(step - 1, size.layers, step))
    # Llama 4 normalises queries and keys without weights.
    keys.ignore("use_qk_norm")
    if keys.has("layer_types"):
        chunked = [kind == CHUNKED for kind in layer_kinds(keys, size.layers)]
        keys.ignore("no_rope_layers", "no_rope_layer_interval")
    else:
        every = keys.whole("no_rope_layer_interval", default=4)
        rotary = keys.wholes("no_rope_layers") or [
            int((layer + 1) % every != 0) for layer in range(size.layers)
        ]
        if len(rotary) != size.layers:
            raise keys.error("no_rope_layers", f"has {len(rotary)} items, not {size.layers}")
        chunked = [bool(one) for one in rotary]
    chunk = keys.whole("attention_chunk_size", default=8192)
    traits = replace(BIASED, head_dimension_stated=True)
    layers = []
    for layer in range(size.layers):
        attention = mixer(keys, traits, size.hidden, None)
        if chunked[layer]:
            attention = replace(attention, chunk=chunk)
        dense = None
        if layer not in with_experts:
            dense = DenseBlock(size.hidden, keys.whole("intermediate_size_mlp"))
        layers.append(
            Layer(
                (attention,),
                dense,
                experts if layer in with_experts else None,
                2 * size.hidden,
            )
        )
    return Blueprint(
        size.hidden, size.vocabulary, tied(keys, outer, default=False), tuple(layers), size.hidden
    )


def norms_of(keys: Keys, kind: str) -> None:
    """Refuse norms of queries and keys of another kind than the family's."""
    stated = keys.word("qk_norm_type", default=kind)
    if stated != kind:
        raise keys.error("qk_norm_type", f"{stated!r} is not known in this family, {kind!r} is")


def minimax_m2(keys: Keys, outer: Keys) -> Blueprint:
    """MiniMax-M2: full attention with norms over all heads, experts on every layer."""
    size = sizes(keys)
    if keys.whole("shared_intermediate_size", default=0, least=0):
        raise keys.error("shared_intermediate_size", "shared experts are not known in this family")
    if any(one != 1 for one in keys.listed("attn_type_list") or []):
        raise keys.error("attn_type_list", "only full attention (1) is known in this family")
    keys.ignore("mtp_transformer_layers", "use_mtp")
    norms_of(keys, "per_layer")
    experts = ExpertBlock(
        size.hidden,
        keys.whole("num_local_experts"),
        keys.whole("num_experts_per_tok"),
        keys.whole("intermediate_size"),
    )
    normed = "full" if keys.flag("use_qk_norm", default=True) else "none"
    traits = Traits(qk_norm=normed, head_dimension_stated=True)
    layers = [
        Layer((mixer(keys, traits, size.hidden, window),), None, experts, 2 * size.hidden)
        for window in uniform_window(keys, size.layers)
    ]
    return Blueprint(
        size.hidden,
        size.vocabulary,
        tied(keys, outer, default=False),
        tuple(layers),
        size.hidden,
        layer_draft(
            layers[-1],
            size.hidden,
            keys.whole("num_mtp_modules", default=0, least=0),
            listed=False,
        ),
    )


def block_indexer(keys: Keys, size: Sizes) -> tuple[BlockIndexer, list[bool]]:
    """Return the indexer of MiniMax-M3 and the layers that have it, by either spelling."""
    nested = keys.below("sparse_attention_config")
    if nested is None:
        kinds = keys.listed("layer_types", size.layers)
        if kinds is None:
            raise keys.missing("sparse_attention_config", "layer_types")
        for kind in kinds:
            if kind not in (FULL, "minimax_m3_sparse"):
                raise keys.error("layer_types", f"{kind!r} is not a kind of layer that is known")
        chosen = [kind != FULL for kind in kinds]
    else:
        listed = nested.wholes("sparse_attention_freq", size.layers)
        if listed is None:
            raise nested.missing("sparse_attention_freq")
        chosen = [bool(one) for one in listed]
        nested.ignore("sparse_disable_index_value", "sparse_local_block", "use_sparse_attention")
        keys.ignore("layer_types")
    place = nested or keys
    heads = place.whole("sparse_num_index_heads", "index_n_heads")
    dimension = place.whole("sparse_index_dim", "index_head_dim")
    blocks = place.whole("sparse_topk_blocks", "index_topk_blocks")
    block = place.whole("sparse_block_size", "index_block_size")
    keys.ignore("index_local_blocks")
    indexer = BlockIndexer(
        heads=heads,
        dimension=dimension,
        top_k=blocks * block,
        weights=size.hidden * (heads + 1) * dimension,
        small=2 * dimension,
    )
    return indexer, chosen


def minimax_m3(keys: Keys, outer: Keys) -> Blueprint:
    """MiniMax-M3: block-sparse attention chosen by an indexer on most layers."""
    size = sizes(keys)
    width = keys.whole("intermediate_size")
    if keys.whole("moe_intermediate_size", default=width) != width:
        raise keys.error("moe_intermediate_size", "differs from intermediate_size")
    shared = keys.whole("shared_intermediate_size", least=0)
    if keys.whole("n_shared_experts", default=1) != 1:
        raise keys.error("n_shared_experts", "several shared experts are not known in this family")
    experts = ExpertBlock(
        size.hidden,
        keys.whole("num_local_experts"),
        keys.whole("num_experts_per_tok"),
        width,
        shared_weights=3 * size.hidden * shared,
    )
    if keys.flag("attention_output_gate", default=False):
        raise keys.error("attention_output_gate", "an output gate is not known in this family")
    norms_of(keys, "per_head")
    traits = Traits(
        qk_norm="head" if keys.flag("use_qk_norm", default=True) else "none",
        head_dimension_stated=True,
    )
    plain = mixer(keys, traits, size.hidden, None)
    indexer, chosen = block_indexer(keys, size)
    layers = []
    for sparse, picks in zip(dense_layers(keys, size.layers, stated=True), chosen, strict=True):
        dense = None
        if not sparse:
            dense = DenseBlock(size.hidden, keys.whole("dense_intermediate_size"))
        layers.append(
            Layer(
                (replace(plain, indexer=indexer) if picks else plain,),
                dense,
                experts if sparse else None,
                2 * size.hidden,
            )
        )
    stated = keys.whole("num_mtp_modules", default=0, least=0)
    if keys.has("num_nextn_predict_layers"):
        keys.idle("num_mtp_modules", "num_nextn_predict_layers says how many the files hold")
    # Files state modules of training beside the layers that they hold.
    modules = keys.whole("num_nextn_predict_layers", default=stated, least=0)
    return Blueprint(
        size.hidden,
        size.vocabulary,
        tied(keys, outer, default=False),
        tuple(layers),
        size.hidden,
        layer_draft(Layer((plain,), None, experts, 2 * size.hidden), size.hidden, modules),
    )


def dbrx(keys: Keys, outer: Keys) -> Blueprint:
    """DBRX: experts on every layer, sizes in nested configurations."""
    size = sizes(keys)
    heads = keys.whole("n_heads")
    attention, experts = keys.below("attn_config"), keys.below("ffn_config")
    if attention is None or experts is None:
        raise keys.missing("attn_config" if attention is None else "ffn_config")
    kv_heads = attention.whole("kv_n_heads")
    if size.hidden % heads or heads % kv_heads:
        raise keys.error("n_heads", f"{heads} heads divide neither the hidden size nor KV heads")
    dimension = size.hidden // heads
    layer = Layer(
        (GroupedMixer(size.hidden, heads, kv_heads, dimension, dimension),),
        None,
        ExpertBlock(
            size.hidden,
            experts.whole("moe_num_experts"),
            experts.whole("moe_top_k"),
            experts.whole("ffn_hidden_size"),
        ),
        2 * size.hidden,
    )
    experts.ignore("moe_normalize_expert_weights", "moe_jitter_eps", "moe_loss_weight")
    return Blueprint(
        size.hidden,
        size.vocabulary,
        tied(keys, outer, default=False),
        (layer,) * size.layers,
        size.hidden,
    )


def ernie4_5_moe(keys: Keys, outer: Keys) -> Blueprint:
    """ERNIE 4.5: experts from one layer to another, every few layers, and shared ones."""
    size = sizes(keys)
    if keys.flag("use_bias", default=False):
        raise keys.error("use_bias", "biases of experts are not known in this family")
    width = keys.whole("moe_intermediate_size")
    count = keys.whole("moe_num_experts")
    experts = ExpertBlock(
        size.hidden,
        count,
        keys.whole("moe_k"),
        width,
        shared_weights=3 * size.hidden * width * keys.whole("moe_num_shared_experts", least=0),
        router_small=count,
    )
    first = keys.whole("moe_layer_start_index", least=0)
    last = keys.whole("moe_layer_end_index", default=-1, least=-1)
    last = size.layers - 1 if last == -1 else last
    every = keys.whole("moe_layer_interval", default=1)
    attention = mixer(keys, NO_BIAS, size.hidden, None)
    layers = []
    for layer in range(size.layers):
        has_experts = (layer + 1) % every == 0 and first <= layer <= last
        layers.append(
            Layer(
                (attention,),
                None if has_experts else DenseBlock(size.hidden, keys.whole("intermediate_size")),
                experts if has_experts else None,
                2 * size.hidden,
            )
        )
    keys.ignore("moe_norm_min", "moe_use_aux_free", "moe_gate", "moe_capacity")
    return Blueprint(
        size.hidden,
        size.vocabulary,
        tied(keys, outer, default=True),
        tuple(layers),
        size.hidden,
        notes=unknown_draft(keys),
    )


def hunyuan_moe(keys: Keys, outer: Keys) -> Blueprint:
    """Hunyuan-A13B: experts on all layers but the first few, shared ones beside them."""
    size = sizes(keys)
    refuse_cross_layer(keys)
    width = keys.whole("intermediate_size")
    if keys.alike("moe_intermediate_size", default=width) != width:
        raise keys.error("moe_intermediate_size", "differs from intermediate_size")
    shared = keys.alike("num_shared_expert", default=1, least=0)
    experts = ExpertBlock(
        size.hidden,
        keys.alike("num_experts"),
        keys.alike("moe_topk"),
        width,
        shared_weights=3 * size.hidden * width * shared,
    )
    keys.ignore("use_mixed_mlp_moe", "moe_drop_tokens", "moe_random_routing_dropped_token")
    first = keys.whole("moe_layer_num_skipped", default=0, least=0)
    attention = mixer(keys, HUNYUAN, size.hidden, None)
    layers = [
        Layer(
            (attention,),
            DenseBlock(size.hidden, width) if layer < first else None,
            None if layer < first else experts,
            2 * size.hidden,
        )
        for layer in range(size.layers)
    ]
    return Blueprint(
        size.hidden, size.vocabulary, tied(keys, outer, default=False), tuple(layers), size.hidden
    )


ROUTED: dict[str, Builder] = {
    "dbrx": dbrx,
    "ernie4_5_moe": ernie4_5_moe,
    "gpt_oss": gpt_oss,
    "hunyuan_v1_moe": hunyuan_moe,
    "llama4": llama4,
    "llama4_text": llama4,
    "minimax_m2": minimax_m2,
    "minimax_m3": minimax_m3,
    "minimax_m3_vl": minimax_m3,
    "minimax_m3_vl_text": minimax_m3,
}
