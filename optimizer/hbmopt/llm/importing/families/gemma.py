"""Gemma 3n and 4: shared caches, inputs per layer, wide full-attention heads without values."""

from collections.abc import Mapping
from dataclasses import replace

from hbmopt.llm.importing.blocks import Blueprint, DenseBlock, ExpertBlock, GroupedMixer, Layer
from hbmopt.llm.importing.families.common import (
    FULL,
    SLIDING,
    Builder,
    Sizes,
    decoder,
    layer_kinds,
    sizes,
    tied,
)
from hbmopt.llm.importing.keys import Keys


def overridden(keys: Keys, layers: int) -> list[Keys | None]:
    """Return what `per_layer_config` says of every layer; it may set widths and KV heads."""
    stated = keys.below("per_layer_config")
    found: list[Keys | None] = [None] * layers
    if stated is None:
        return found
    for name, values in stated.values.items():
        if not isinstance(values, Mapping) or not str(name).isdigit() or int(name) >= layers:
            raise stated.error(name, f"{values!r} is not a mapping of a layer of the decoder")
        for key in values:
            if key not in ("head_dim", "num_key_value_heads"):
                raise stated.error(name, f"{key!r} is not known to differ between layers")
        found[int(name)] = stated.nested(name, values)
    return found


def gemma4_mixers(keys: Keys, size: Sizes, kinds: list[str]) -> list[GroupedMixer]:
    """Return the attention of every layer, each with a cache of its own."""
    heads, kv_heads = keys.whole("num_attention_heads"), keys.whole("num_key_value_heads")
    narrow, bias = keys.whole("head_dim"), keys.flag("attention_bias", default=False)
    local = GroupedMixer(
        size.hidden,
        heads,
        kv_heads,
        narrow,
        narrow,
        bias,
        bias,
        "head",
        window=keys.whole("sliding_window"),
    )
    same = keys.flag("attention_k_eq_v")
    own = overridden(keys, size.layers)
    wide = narrow
    if FULL in kinds and not any(own):
        wide = keys.whole("global_head_dim")
        if same and "num_global_key_value_heads" not in keys.values:
            raise keys.missing("num_global_key_value_heads")
    keys.ignore("global_head_dim", "num_global_key_value_heads")
    full = replace(
        local,
        # Where keys serve as values, a full layer may have KV heads of its own.
        kv_heads=keys.whole("num_global_key_value_heads", default=kv_heads) if same else kv_heads,
        head_dimension=wide,
        value_dimension=wide,
        window=None,
        value_projection=not same,
    )
    mixers = []
    for kind, override in zip(kinds, own, strict=True):
        mixer = local if kind == SLIDING else full
        if override is not None:
            width = override.whole("head_dim", default=mixer.head_dimension)
            mixer = replace(
                mixer,
                head_dimension=width,
                value_dimension=width,
                kv_heads=override.whole("num_key_value_heads", default=mixer.kv_heads),
            )
        if heads % mixer.kv_heads:
            raise keys.error("num_key_value_heads", f"{heads} heads do not divide by it")
        mixers.append(mixer)
    return mixers


def gemma4(keys: Keys, outer: Keys) -> Blueprint:
    """Gemma 4: five window layers to one full layer, dense or with experts beside the dense."""
    size = sizes(keys)
    if not keys.has("layer_types"):
        raise keys.missing("layer_types")
    kinds = layer_kinds(keys, size.layers)
    kinds[-1] = FULL
    keys.ignore("expert_intermediate_size", "use_bidirectional_attention")
    mixers = gemma4_mixers(keys, size, kinds)
    sharing = keys.whole("num_kv_shared_layers", default=0, least=0)
    width = keys.whole("intermediate_size")
    double = keys.flag("use_double_wide_mlp", default=False)
    if not sharing:
        keys.idle("use_double_wide_mlp", "no layer shares its cache")
    experts, norms = None, 4 * size.hidden
    # The unified models have neither experts nor inputs per layer, and no key that says so.
    unified = keys.family.startswith("gemma4_unified")
    if not unified and keys.flag("enable_moe_block"):
        count = keys.whole("num_experts")
        experts = ExpertBlock(
            size.hidden,
            count,
            keys.whole("top_k_experts"),
            keys.whole("moe_intermediate_size"),
            router_small=size.hidden + count,
        )
        norms += 3 * size.hidden
    else:
        keys.ignore("moe_intermediate_size", "num_experts", "top_k_experts")
    inputs = 0 if unified else keys.whole("hidden_size_per_layer_input", least=0)
    tables = keys.whole("vocab_size_per_layer_input") if inputs else 0
    keys.ignore("vocab_size_per_layer_input")
    layers = []
    for layer, mixer in enumerate(mixers):
        reuses = layer >= size.layers - sharing
        dense = DenseBlock(
            size.hidden,
            width * (2 if double and reuses else 1),
            # The gate on the layer's own input and the projection back.
            small=2 * size.hidden * inputs + (size.hidden if inputs else 0),
        )
        layers.append(Layer((replace(mixer, owns_cache=not reuses),), dense, experts, norms))
    final = size.hidden
    if inputs:
        final += size.hidden * size.layers * inputs + inputs
    return decoder(
        keys, outer, size, layers, tie=True, ends=final, lookup_tables=tables * size.layers * inputs
    )


def gemma3n(keys: Keys, outer: Keys) -> Blueprint:
    """Gemma 3n: several streams (AltUp), a low-rank path (LAuReL), inputs per layer."""
    size = sizes(keys)
    hidden = size.hidden
    if not keys.has("layer_types"):
        raise keys.missing("layer_types")
    kinds = layer_kinds(keys, size.layers)
    heads, kv_heads = keys.whole("num_attention_heads"), keys.whole("num_key_value_heads")
    if heads % kv_heads:
        raise keys.error("num_key_value_heads", f"{heads} heads do not divide by {kv_heads}")
    dimension, bias = keys.whole("head_dim"), keys.flag("attention_bias", default=False)
    full = GroupedMixer(hidden, heads, kv_heads, dimension, dimension, bias, bias, "head")
    local = replace(full, window=keys.whole("sliding_window"))
    sharing = keys.whole("num_kv_shared_layers", least=0)
    streams, rank = keys.whole("altup_num_inputs"), keys.whole("laurel_rank")
    inputs = keys.whole("hidden_size_per_layer_input")
    # Of one layer: streams predicted, corrected and routed; the low-rank path; its own input.
    altup = hidden + streams**2 + streams**3 + streams * hidden + hidden
    small = altup + 2 * hidden * rank + hidden + 2 * hidden * inputs + hidden
    stated = keys.raw("intermediate_size")
    if isinstance(stated, list):
        widths = keys.wholes("intermediate_size", size.layers, least=1) or []
    else:
        widths = [keys.whole("intermediate_size")] * size.layers
    keys.ignore("activation_sparsity_pattern", "altup_active_idx", "altup_coef_clip")
    keys.ignore("altup_correct_scale", "altup_lr_multiplier")
    layers = [
        Layer(
            (
                replace(
                    local if kind == SLIDING else full, owns_cache=layer < size.layers - sharing
                ),
            ),
            DenseBlock(hidden, width, small=small),
            None,
            4 * hidden,
        )
        for layer, (kind, width) in enumerate(zip(kinds, widths, strict=True))
    ]
    ends = hidden + hidden * size.layers * inputs + inputs + 2 * (streams - 1) * hidden**2
    return Blueprint(
        hidden,
        size.vocabulary,
        tied(keys, outer, default=True),
        tuple(layers),
        ends,
        lookup_tables=keys.whole("vocab_size_per_layer_input") * size.layers * inputs,
    )


FAMILIES: dict[str, Builder] = {
    "gemma3n": gemma3n,
    "gemma3n_text": gemma3n,
    "gemma4": gemma4,
    "gemma4_text": gemma4,
    "gemma4_unified": gemma4,
    "gemma4_unified_text": gemma4,
}
