"""Families whose layers differ in heads, or lack a block: one layer at a time."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import (
    Blueprint,
    DenseBlock,
    ExpertBlock,
    GroupedMixer,
    Layer,
)
from hbmopt.llm.importing.families.common import (
    SLIDING,
    Builder,
    decoder,
    dense_layers,
    groups,
    layer_draft,
    listed_kinds,
    sizes,
)
from hbmopt.llm.importing.families.dense_table import BIASED
from hbmopt.llm.importing.families.mixture import shared_width
from hbmopt.llm.importing.families.parts import dense_block, either
from hbmopt.llm.importing.families.traits import mixer
from hbmopt.llm.importing.families.windows import windows
from hbmopt.llm.importing.keys import Keys


def laguna(keys: Keys, outer: Keys) -> Blueprint:
    """Laguna: query heads per layer, a gate on the output, one shared expert."""
    size = sizes(keys)
    kinds = listed_kinds(keys, size.layers)
    heads = keys.wholes("num_attention_heads_per_layer", size.layers, least=1)
    if heads is None:
        heads = [keys.whole("num_attention_heads")] * size.layers
    gating = keys.raw("gating")
    if gating not in (True, "per-head", "per-element"):
        raise keys.error("gating", f"{gating!r} is neither 'per-head' nor 'per-element'")
    bias = keys.flag("attention_bias", default=False)
    kv_heads, dimension = keys.whole("num_key_value_heads"), keys.whole("head_dim")
    window = keys.whole("sliding_window") if SLIDING in kinds else None
    keys.ignore("sliding_window")
    count = keys.whole("num_experts")
    experts = ExpertBlock(
        size.hidden,
        count,
        keys.whole("num_experts_per_tok"),
        keys.whole("moe_intermediate_size"),
        shared_weights=3 * size.hidden * keys.whole("shared_expert_intermediate_size", least=0),
        router_small=count,
    )
    layers = []
    for kind, own, sparse in zip(
        kinds, heads, dense_layers(keys, size.layers, stated=True), strict=True
    ):
        groups(keys, "num_attention_heads_per_layer", own, kv_heads)
        attention = GroupedMixer(
            size.hidden,
            own,
            kv_heads,
            dimension,
            dimension,
            bias,
            bias,
            "head",
            output_gate="element" if gating == "per-element" else "head",
            window=window if kind == SLIDING else None,
        )
        dense = None if sparse else DenseBlock(size.hidden, keys.whole("intermediate_size"))
        layers.append(Layer((attention,), dense, experts if sparse else None, 2 * size.hidden))
    keys.ignore("moe_apply_router_weight_on_input")
    return decoder(keys, outer, size, layers)


def mimo_v2(keys: Keys, outer: Keys) -> Blueprint:
    """MiMo-V2: narrow values, window layers with KV heads and sinks of their own."""
    size = sizes(keys)
    keys.ignore("attention_chunk_size", "attention_value_scale", "swa_rope_theta")
    heads, kv_heads = keys.whole("num_attention_heads"), keys.whole("num_key_value_heads")
    key_width, value_width = keys.whole("head_dim"), keys.whole("v_head_dim")
    full = GroupedMixer(
        size.hidden,
        heads,
        kv_heads,
        key_width,
        value_width,
        qkv_bias=keys.flag("attention_bias", default=False),
        sinks=keys.flag("add_full_attention_sink_bias", default=False),
    )
    # Without a number of its own a window layer has twice the KV heads: the model class's rule.
    local = replace(
        full,
        heads=keys.whole("swa_num_attention_heads", default=heads),
        kv_heads=keys.whole("swa_num_key_value_heads", default=2 * kv_heads),
        head_dimension=keys.whole("swa_head_dim", default=key_width),
        value_dimension=keys.whole("swa_v_head_dim", default=value_width),
        sinks=keys.flag("add_swa_attention_sink_bias", default=True),
        window=keys.whole("sliding_window_size", "sliding_window"),
    )
    keys.ignore("sliding_window")
    groups(keys, "num_key_value_heads", full.heads, full.kv_heads)
    groups(keys, "swa_num_key_value_heads", local.heads, local.kv_heads)
    slides = keys.flags("hybrid_layer_pattern", size.layers)
    if slides is not None:
        keys.ignore("layer_types")
    else:
        slides = [kind == SLIDING for kind in listed_kinds(keys, size.layers)]
    width = keys.whole("moe_intermediate_size")
    experts = ExpertBlock(
        size.hidden,
        keys.whole("n_routed_experts"),
        keys.whole("num_experts_per_tok"),
        width,
        shared_weights=3 * size.hidden * shared_width(keys, width),
    )
    dense = DenseBlock(size.hidden, keys.whole("intermediate_size"))
    if not isinstance(keys.raw("moe_layer_freq"), list) and not keys.has("mlp_layer_types"):
        raise keys.missing("moe_layer_freq", "mlp_layer_types")
    layers = [
        Layer(
            (local if sliding else full,),
            None if sparse else dense,
            experts if sparse else None,
            2 * size.hidden,
        )
        for sliding, sparse in zip(slides, dense_layers(keys, size.layers), strict=True)
    ]
    modules = keys.whole("num_nextn_predict_layers", default=0, least=0)
    return decoder(
        keys,
        outer,
        size,
        layers,
        draft=layer_draft(Layer((local,), dense, None, 2 * size.hidden), size.hidden, modules),
        notes=()
        if modules
        else ("Multi-token prediction is left out: the configuration does not state it.",),
    )


def muse_spark(keys: Keys, outer: Keys) -> Blueprint:
    """Muse Spark: gated attention, experts of a narrower width, gates on both residuals."""
    size = sizes(keys)
    kinds = listed_kinds(keys, size.layers)
    traits = replace(BIASED, output_gate="element", head_dimension_stated=True)
    width = keys.whole("moe_hidden_size")
    experts = ExpertBlock(
        size.hidden,
        keys.whole("num_local_experts"),
        keys.whole("num_experts_per_tok"),
        keys.whole("moe_intermediate_size"),
        latent=width,
        # Norms before and behind the experts.
        latent_small=2 * width,
    )
    sparse = dense_layers(keys, size.layers, stated=True)
    dense = dense_block(keys, size.hidden, needed=not all(sparse))
    layers = [
        either(
            (mixer(keys, traits, size.hidden, window),),
            experts,
            dense,
            sparse=has,
            norms=(3 + 2) * size.hidden,
        )
        for window, has in zip(windows(keys, kinds), sparse, strict=True)
    ]
    return decoder(keys, outer, size, layers)


FAMILIES: dict[str, Builder] = {
    "laguna": laguna,
    "muse_spark_text": muse_spark,
    "mimo_v2": mimo_v2,
    "mimo_v2_flash": mimo_v2,
}
