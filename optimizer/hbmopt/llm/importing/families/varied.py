"""Families whose layers differ in heads, or lack a block: one layer at a time."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from hbmopt.llm.importing.blocks import (
    Blueprint,
    DenseBlock,
    DraftPlan,
    ExpertBlock,
    GroupedMixer,
    Layer,
)
from hbmopt.llm.importing.families.common import (
    FULL,
    SLIDING,
    Sizes,
    dense_layers,
    layer_draft,
    layer_kinds,
    sizes,
    tied,
)
from hbmopt.llm.importing.families.mixture import Builder, shared_width
from hbmopt.llm.importing.keys import Keys


def listed_kinds(keys: Keys, layers: int) -> list[str]:
    """Return full and sliding layers by `layer_types`, which must be there."""
    if not keys.has("layer_types"):
        raise keys.missing("layer_types")
    kinds = layer_kinds(keys, layers)
    for kind in kinds:
        if kind not in (FULL, SLIDING):
            raise keys.error("layer_types", f"{kind!r} is not a kind of layer that is known here")
    return kinds


def groups(keys: Keys, key: str, heads: int, kv_heads: int) -> None:
    """Refuse heads that do not divide by their KV heads."""
    if heads % kv_heads:
        raise keys.error(key, f"{heads} heads do not divide by {kv_heads}")


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
    return Blueprint(
        size.hidden, size.vocabulary, tied(keys, outer, default=False), tuple(layers), size.hidden
    )


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
    pattern = keys.wholes("hybrid_layer_pattern", size.layers)
    if pattern is not None:
        keys.ignore("layer_types")
        slides = [bool(one) for one in pattern]
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
    return Blueprint(
        size.hidden,
        size.vocabulary,
        tied(keys, outer, default=False),
        tuple(layers),
        size.hidden,
        # Its layers of multi-token prediction are a window layer with a dense block.
        layer_draft(Layer((local,), dense, None, 2 * size.hidden), size.hidden, modules),
        notes=()
        if modules
        else ("Multi-token prediction is left out: the configuration does not state it.",),
    )


def step_experts(keys: Keys, layers: int) -> list[bool] | None:
    """Return which layers have experts by `moe_layers_enum`, or None where it is absent.

    The list goes past `layers` where multi-token prediction follows them.
    """
    stated = keys.raw("moe_layers_enum")
    if stated is None:
        return None
    words = stated.split(",") if isinstance(stated, str) else stated
    try:
        with_experts = {int(one) for one in words if str(one).strip()}
    except (TypeError, ValueError):
        raise keys.error("moe_layers_enum", f"{stated!r} is not a list of layers") from None
    return [layer in with_experts for layer in range(layers)]


def step_mixers(keys: Keys, size: Sizes) -> tuple[GroupedMixer, GroupedMixer]:
    """Return the full and the sliding attention of Step 3.5."""
    heads = keys.whole("num_attention_heads")
    kv_heads = keys.whole("num_attention_groups", "num_key_value_heads")
    dimension = keys.whole("head_dim")
    if keys.flag("sink", default=False):
        raise keys.error("sink", "attention sinks are not known in this family")
    bias = keys.flag("attention_bias", default=False)
    full = GroupedMixer(
        size.hidden,
        heads,
        kv_heads,
        dimension,
        dimension,
        bias,
        bias,
        "head" if keys.flag("use_qk_norm", default=True) else "none",
        output_gate="head" if keys.flag("use_head_wise_attn_gate", default=True) else "none",
    )
    other = keys.below("attention_other_setting")
    own_heads = keys.whole("num_sliding_attention_heads", default=heads)
    if other is not None:
        other.ignore("attention_type", "true_head_dim")
        own_heads = other.whole("num_attention_heads")
        kv_heads = other.whole("num_attention_groups", default=kv_heads)
        dimension = other.whole("head_dim", default=dimension)
    groups(keys, "num_attention_heads", heads, full.kv_heads)
    groups(keys, "num_attention_heads", own_heads, kv_heads)
    window = keys.whole("sliding_window", default=0, least=0) or None
    local = replace(
        full,
        heads=own_heads,
        kv_heads=kv_heads,
        head_dimension=dimension,
        value_dimension=dimension,
        window=window,
    )
    return full, local


def _step_overrides(keys: Keys, heads: int) -> None:
    """Refuse a `per_layer_config` that says more than the heads of window layers."""
    overrides = keys.raw("per_layer_config")
    if not isinstance(overrides, Mapping):
        return
    for values in overrides.values():
        if values != {"num_attention_heads": heads}:
            raise keys.error("per_layer_config", f"{values!r} is not known to be possible")


def _step_draft(
    keys: Keys,
    size: Sizes,
    kinds: list[str],
    sparse: list[bool],
    layer: Callable[[str, bool], Layer],
) -> tuple[DraftPlan | None, tuple[str, ...]]:
    """Return multi-token prediction by the layers that the lists name past the decoder's own."""
    modules = keys.whole("num_nextn_predict_layers", default=0, least=0)
    drafting = keys.listed("mtp_layer_types") or kinds[size.layers :]
    own = keys.listed("mtp_mlp_layer_types") or []
    with_experts = [one == "sparse" for one in own] or sparse[size.layers :]
    if not modules:
        return None, ()
    if not drafting or not with_experts or drafting[0] not in (FULL, SLIDING):
        keys.leave_out(
            "num_nextn_predict_layers", "multi-token prediction, whose layers are not described"
        )
        return None, ()
    plan = layer_draft(layer(str(drafting[0]), with_experts[0]), size.hidden, modules)
    return plan, ()


def step3p5(keys: Keys, outer: Keys) -> Blueprint:
    """Step 3.5 and 3.7: window layers with heads of their own, gates per head."""
    size = sizes(keys)
    full, local = step_mixers(keys, size)
    _step_overrides(keys, local.heads)
    named = len(keys.listed("layer_types") or [])
    kinds = listed_kinds(keys, max(named, size.layers))
    if SLIDING in kinds and local.window is None:
        raise keys.missing("sliding_window")
    if keys.whole("n_shared_experts", default=1) != 1:
        raise keys.error("n_shared_experts", "several shared experts are not known in this family")
    if keys.flag("mlp_bias", default=False):
        raise keys.error("mlp_bias", "biases of experts are not known in this family")
    experts = ExpertBlock(
        size.hidden,
        keys.whole("moe_num_experts", "n_routed_experts", "num_experts"),
        keys.whole("moe_top_k", "num_experts_per_tok"),
        keys.whole("moe_intermediate_size"),
        shared_weights=3 * size.hidden * keys.whole("share_expert_dim", least=0),
    )
    dense = DenseBlock(size.hidden, keys.whole("intermediate_size"))
    sparse = step_experts(keys, len(kinds))
    if sparse is None:
        sparse = dense_layers(keys, size.layers, stated=True)

    def layer(kind: str, has_experts: bool) -> Layer:
        return Layer(
            (local if kind == SLIDING else full,),
            None if has_experts else dense,
            experts if has_experts else None,
            2 * size.hidden,
        )

    keys.ignore("use_moe", "moe_every_n_layer", "moe_layer_offset", "use_moe_router_bias")
    draft, notes = _step_draft(keys, size, kinds, sparse, layer)
    return Blueprint(
        size.hidden,
        size.vocabulary,
        tied(keys, outer, default=False),
        tuple(layer(kind, sparse[place]) for place, kind in enumerate(kinds[: size.layers])),
        size.hidden,
        draft,
        notes=notes,
    )


def nas_width(multiple: float, hidden: int) -> int:
    """Return the width of a feed-forward block: 2/3 of a multiple of h, up to the next 256."""
    return math.ceil(int(2 * multiple * hidden / 3) / 256) * 256


def _nas_part(block: Keys, name: str, known: tuple[str, ...]) -> Keys:
    """Return the description of one part of a block; refuse what is not known of it."""
    part = block.below(name)
    if part is None:
        raise block.missing(name)
    for key, value in part.values.items():
        if key not in (*known, "no_op", "replace_with_linear") and value not in (None, False):
            raise part.error(key, f"{value!r} is not known to be possible in this family")
    return part


def nas_block(block: Keys, size: Sizes, base: GroupedMixer, *, mlp_bias: bool) -> Layer:
    """Return one block: attention with groups of its own, or a matrix, or nothing; and so on."""
    attention = _nas_part(block, "attention", ("n_heads_in_group", "window_length"))
    forward = _nas_part(block, "ffn", ("ffn_mult", "intermediate_size"))
    square = size.hidden * size.hidden
    mixers: tuple[GroupedMixer, ...] = ()
    norms = beside = 0
    if attention.flag("replace_with_linear", default=False):
        beside, norms = square, size.hidden
    elif not attention.flag("no_op", default=False):
        group = attention.whole("n_heads_in_group")
        groups(attention, "n_heads_in_group", base.heads, group)
        window = attention.whole("window_length", default=0, least=0) or None
        mixers = (replace(base, kv_heads=base.heads // group, window=window),)
        norms = size.hidden
    if forward.flag("replace_with_linear", default=False):
        beside, norms = beside + square, norms + size.hidden
    elif not forward.flag("no_op", default=False):
        width = forward.whole("intermediate_size", default=0, least=0)
        width = width or nas_width(forward.number("ffn_mult"), size.hidden)
        bias = 2 * width + size.hidden if mlp_bias else 0
        return Layer(
            mixers,
            DenseBlock(size.hidden, width, small=bias, beside=beside),
            None,
            norms + size.hidden,
        )
    dense = DenseBlock(size.hidden, 1, matrices=0, beside=beside) if beside else None
    return Layer(mixers, dense, None, norms)


def nemotron_nas(keys: Keys, outer: Keys) -> Blueprint:
    """Llama-Nemotron: a Llama whose blocks were chosen one by one (DeciLM)."""
    size = sizes(keys)
    heads = keys.whole("num_attention_heads")
    keys.ignore("num_key_value_heads", "intermediate_size")
    if size.hidden % heads:
        raise keys.error("num_attention_heads", f"{size.hidden} does not divide by {heads} heads")
    dimension = keys.whole("head_dim", default=size.hidden // heads)
    bias = keys.flag("attention_bias", default=False)
    base = GroupedMixer(size.hidden, heads, heads, dimension, dimension, bias, bias)
    blocks = keys.listed("block_configs", size.layers)
    if blocks is None:
        raise keys.missing("block_configs")
    mlp_bias = keys.flag("mlp_bias", default=False)
    layers = []
    for place, block in enumerate(blocks):
        if not isinstance(block, Mapping):
            raise keys.error("block_configs", f"{block!r} is not a mapping")
        described = keys.nested(f"block_configs[{place}]", block)
        layers.append(nas_block(described, size, base, mlp_bias=mlp_bias))
    return Blueprint(
        size.hidden, size.vocabulary, tied(keys, outer, default=False), tuple(layers), size.hidden
    )


VARIED: dict[str, Builder] = {
    "laguna": laguna,
    "mimo_v2_flash": mimo_v2,
    "nemotron-nas": nemotron_nas,
    "step3p5": step3p5,
    "step3p7": step3p5,
}
"""Families whose layers differ from each other, by model_type."""
