"""MiniMax-M2 and M3: full and block-sparse attention with experts on every layer."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import (
    BlockIndexer,
    Blueprint,
    DenseBlock,
    ExpertBlock,
    Layer,
)
from hbmopt.llm.importing.families.common import (
    FULL,
    Builder,
    Sizes,
    decoder,
    dense_layers,
    layer_draft,
    sizes,
)
from hbmopt.llm.importing.families.traits import Traits, mixer
from hbmopt.llm.importing.families.windows import uniform_window
from hbmopt.llm.importing.keys import Keys


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
    return decoder(
        keys,
        outer,
        size,
        layers,
        draft=layer_draft(
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
        listed = nested.flags("sparse_attention_freq", size.layers)
        if listed is None:
            raise nested.missing("sparse_attention_freq")
        chosen = listed
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
    return decoder(
        keys,
        outer,
        size,
        layers,
        draft=layer_draft(Layer((plain,), None, experts, 2 * size.hidden), size.hidden, modules),
    )


FAMILIES: dict[str, Builder] = {
    "minimax_m2": minimax_m2,
    "minimax_m3": minimax_m3,
    "minimax_m3_vl": minimax_m3,
    "minimax_m3_vl_text": minimax_m3,
}
