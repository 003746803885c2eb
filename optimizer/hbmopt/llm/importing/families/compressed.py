"""DeepSeek-V4 and V4.1: a window, compressed entries and hyper-connections."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import Blueprint, CompressedMixer, DraftPlan, Layer
from hbmopt.llm.importing.families.common import (
    SLIDING,
    Builder,
    Sizes,
    decoder,
    sizes,
)
from hbmopt.llm.importing.families.parts import experts_of
from hbmopt.llm.importing.keys import Keys

OVERLAPPED_RATIO = 4
"""Largest ratio at which entries overlap and an indexer picks among them."""


def hyper_connections(keys: Keys, hidden: int) -> int:
    """Return the parameters of one layer's two hyper-connections: 2 ((2 + m) m (m h + 1) + 3)."""
    streams = keys.whole("hc_mult")
    return 2 * ((2 + streams) * streams * (streams * hidden + 1) + 3)


def head_connection(keys: Keys, hidden: int) -> int:
    """Return the parameters of the connection before the output head: m (m h) + m + 1."""
    streams = keys.whole("hc_mult")
    return streams * streams * hidden + streams + 1


def ratios(keys: Keys, layers: int) -> list[int]:
    """Return the tokens compressed into one entry, layer by layer; 0: window only."""
    listed = keys.wholes("compress_ratios", layers)
    if listed is not None:
        keys.ignore("layer_types", "compress_rates")
        return listed
    kinds = keys.listed("layer_types", layers)
    rates = keys.below("compress_rates")
    if kinds is None:
        raise keys.missing("compress_ratios", "layer_types")
    if rates is None:
        raise keys.missing("compress_rates")
    known = {SLIDING: 0}
    for kind in ("compressed_sparse_attention", "heavily_compressed_attention"):
        known[kind] = rates.whole(kind) if kind in kinds else 0
    for kind in kinds:
        if not isinstance(kind, str) or kind not in known:
            raise keys.error("layer_types", f"{kind!r} is not a kind of layer that is known here")
    return [known[kind] for kind in kinds]


def base_mixer(keys: Keys, size: Sizes, entry_fp8: float) -> CompressedMixer:
    """Return attention over the window alone."""
    if keys.whole("num_key_value_heads") != 1:
        raise keys.error("num_key_value_heads", "this family shares one head of keys and values")
    dimension = keys.whole("head_dim")
    return CompressedMixer(
        hidden=size.hidden,
        heads=keys.whole("num_attention_heads"),
        head_dimension=dimension,
        query_rank=keys.whole("q_lora_rank"),
        output_rank=keys.whole("o_lora_rank"),
        output_groups=keys.whole("o_groups"),
        window=keys.whole("sliding_window"),
        # Engines store an entry of 512 with scales and a bf16 rotary part.
        cache_entry_bytes=(("fp8", entry_fp8),) if dimension == 512 else (),
    )


def deepseek_v4(keys: Keys, outer: Keys) -> Blueprint:
    """DeepSeek-V4: ratio 4 with an indexer (CSA), ratio 128 without (HCA)."""
    size = sizes(keys)
    keys.ignore("num_hash_layers", "mlp_layer_types", "expert_dtype", "compress_rope_theta")
    window_only = base_mixer(keys, size, 584.0)
    dimension = window_only.head_dimension

    def mixer(ratio: int) -> CompressedMixer:
        if ratio == 0:
            return window_only
        overlapping = ratio <= OVERLAPPED_RATIO
        # fp32 tails of the compressor: two projections of R tokens, twice as wide with overlap.
        width = 2 if overlapping else 1
        tail = 2.0 * ratio * dimension * 4 * width
        found = replace(
            window_only,
            ratio=ratio,
            compressor_streams=2 * width,
            compressor_small=width * ratio * dimension,
            fixed_bytes=tail,
        )
        if not overlapping:
            return found
        index = keys.whole("index_head_dim")
        return replace(
            found,
            index_heads=keys.whole("index_n_heads"),
            index_dimension=index,
            index_top_k=keys.whole("index_topk"),
            runs_indexer=True,
            index_key_weights=2 * width * size.hidden * index,
            index_key_small=width * ratio * index,
            # The index keys have a compressor of their own.
            fixed_bytes=tail * (dimension + index) / dimension,
        )

    experts = experts_of(keys, size.hidden)
    norms = 2 * size.hidden + hyper_connections(keys, size.hidden)
    layers = [Layer((mixer(ratio),), None, experts, norms) for ratio in ratios(keys, size.layers)]
    modules = keys.whole("num_nextn_predict_layers", default=0, least=0)
    draft = None
    if modules:
        draft = DraftPlan(
            modules=modules,
            layers=(Layer((window_only,), None, experts, norms),),
            projection=2 * size.hidden * size.hidden,
            norms=3 * size.hidden + head_connection(keys, size.hidden),
        )
    return decoder(
        keys,
        outer,
        size,
        layers,
        ends=size.hidden + head_connection(keys, size.hidden),
        draft=draft,
    )


def deepseek_v41(keys: Keys, outer: Keys) -> Blueprint:
    """DeepSeek-V4.1: compressed entries kept by a few layers for all, n-gram tables."""
    size = sizes(keys)
    keys.ignore("dspark_block_size", "dspark_markov_rank", "engram_max_ngram_size")
    window_only = base_mixer(keys, size, 528.0)
    sources = keys.numbered("kv_source_layer_ids", size.layers)
    indexed = keys.numbered("index_source_layer_ids", size.layers)
    if not sources or not indexed:
        raise keys.missing("kv_source_layer_ids", "index_source_layer_ids")
    first_candidates = keys.whole("candidate_source_layer_id", least=0)
    candidates = keys.whole("candidate_topk_blocks") * keys.whole("candidate_block_size")
    index = keys.whole("index_head_dim")

    def mixer(layer: int, ratio: int) -> CompressedMixer:
        if ratio == 0:
            return window_only
        return replace(
            window_only,
            ratio=ratio,
            # Keys and gates of the tokens that become one entry; nothing to weigh at ratio 1.
            compressor_streams=2 if ratio > 1 else 1,
            keeps_entries=layer in sources,
            index_heads=keys.whole("index_n_heads"),
            index_dimension=index,
            # Index keys are made from the compressed entries.
            index_key_weights=window_only.head_dimension * index,
            index_top_k=keys.whole("index_topk"),
            runs_indexer=layer in indexed,
            keeps_index_keys=layer in sources,
            candidates=candidates if layer > first_candidates else None,
        )

    experts = experts_of(keys, size.hidden)
    norms = 2 * size.hidden + hyper_connections(keys, size.hidden)
    engram = keys.numbered("engram_layer_ids", size.layers) or frozenset()
    tables = keys.wholes("engram_num_embeddings", len(engram)) or []
    rows = sum(tables)
    if engram and not rows:
        raise keys.missing("engram_num_embeddings")
    width = keys.whole("engram_head_dim") if engram else 0
    keys.ignore("engram_n_heads")
    layers = [
        Layer((mixer(layer, ratio),), None, experts, norms)
        for layer, ratio in enumerate(ratios(keys, size.layers))
    ]
    modules = keys.whole("num_nextn_predict_layers", default=0, least=0)
    draft = None
    if modules:
        small = replace(
            experts,
            experts=keys.whole("dspark_n_routed_experts"),
            active=keys.whole("dspark_num_experts_per_tok"),
        )
        draft = DraftPlan(
            modules=1,
            layers=tuple(Layer((window_only,), None, small, norms) for _ in range(modules)),
            projection=2 * size.hidden * size.hidden,
            norms=3 * size.hidden,
        )
    return decoder(
        keys,
        outer,
        size,
        layers,
        ends=size.hidden + head_connection(keys, size.hidden),
        draft=draft,
        lookup_tables=rows * width,
        notes=(
            "Draft layers are counted with the attention of the model's own window-only layers; "
            "their shapes are not stated.",
        )
        if modules
        else (),
    )


FAMILIES: dict[str, Builder] = {
    "deepseek_v4": deepseek_v4,
    "deepseek_ref": deepseek_v4,
    "deepseek_v41": deepseek_v41,
    "deepseek_v41_text": deepseek_v41,
}
