"""dots3: sparse latent attention, and a window with other sizes."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import Blueprint, LatentMixer
from hbmopt.llm.importing.families.common import (
    SLIDING,
    Builder,
    sizes,
)
from hbmopt.llm.importing.families.latent import (
    latent_mixer,
    routed_decoder,
    with_indexer,
)
from hbmopt.llm.importing.families.parts import (
    INDEXED,
    experts_of,
    mixer_kinds,
    shared_experts,
    sliding_window,
)
from hbmopt.llm.importing.keys import Keys

WINDOWED = (
    "num_attention_heads",
    "q_lora_rank",
    "kv_lora_rank",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "v_head_dim",
)
"""Keys of attention that layers with a window may state differently."""


def overridden(mixer: LatentMixer, values: dict[str, int]) -> LatentMixer:
    """Return attention with other sizes."""
    return replace(
        mixer,
        heads=values.get("num_attention_heads", mixer.heads),
        query_rank=values.get("q_lora_rank", mixer.query_rank),
        latent_rank=values.get("kv_lora_rank", mixer.latent_rank),
        nope_dimension=values.get("qk_nope_head_dim", mixer.nope_dimension),
        rope_dimension=values.get("qk_rope_head_dim", mixer.rope_dimension),
        value_dimension=values.get("v_head_dim", mixer.value_dimension),
    )


def layer_sizes(keys: Keys) -> dict[int, dict[str, int]] | None:
    """Return the sizes of attention that `per_layer_config` states, by layer."""
    nested = keys.below("per_layer_config")
    if nested is None:
        return None
    known = (*WINDOWED, "num_key_value_heads", "head_dim")
    found: dict[int, dict[str, int]] = {}
    for number in nested.values:
        stated = nested.below(number)
        if not number.isdigit() or stated is None:
            raise nested.error(number, "is not the number of a layer with a mapping")
        for name in stated.values:
            if name not in known:
                raise stated.error(name, "is not known to differ between layers")
        found[int(number)] = {name: stated.whole(name) for name in WINDOWED if stated.has(name)}
    return found


def same_windows(keys: Keys, kinds: list[str], found: dict[int, dict[str, int]]) -> None:
    """Raise an error where layers with a window do not state the same sizes."""
    stated = [found.get(layer) for layer, kind in enumerate(kinds) if kind == SLIDING]
    if any(one is None or one != stated[0] for one in stated):
        raise keys.error("per_layer_config", "layers with a window do not all state the same sizes")


def window_sizes(keys: Keys) -> dict[str, int]:
    """Return the sizes of attention of layers with a window, from keys that begin with swa_."""
    keys.ignore("swa_num_key_value_heads", "swa_head_dim", "swa_rope_theta")
    if not keys.has("swa_num_attention_heads"):
        raise keys.missing("per_layer_config", "swa_num_attention_heads")
    values = {name: keys.whole(f"swa_{name}") for name in WINDOWED if name != "qk_rope_head_dim"}
    if keys.has("swa_qk_rope_head_dim"):
        return {**values, "qk_rope_head_dim": keys.whole("swa_qk_rope_head_dim")}
    rotary = keys.whole("swa_head_dim") - values["qk_nope_head_dim"]
    return {**values, "qk_rope_head_dim": rotary}


def dots3_note(keys: Keys, outer: Keys) -> Blueprint:
    """dots3: sparse latent attention on one layer in four, a window with other sizes elsewhere."""
    size = sizes(keys)
    kinds = mixer_kinds(keys, size.layers, (INDEXED, SLIDING))
    if kinds is None:
        raise keys.missing("layer_types")
    for key, needed in (("use_dsa", True), ("use_sliding_window", True)):
        if keys.flag(key, default=needed) != needed:
            raise keys.error(key, "this family is known with sparse attention and windows only")
    plain = latent_mixer(keys, size.hidden)
    if plain.query_rank is None:
        raise keys.error("q_lora_rank", "this family needs one")
    window = sliding_window(keys, kinds, "sliding_window_size")
    per_layer = layer_sizes(keys)
    if per_layer is not None:
        same_windows(keys, kinds, per_layer)

    def mixer(layer: int, kind: str) -> LatentMixer:
        if kind == SLIDING:
            stated = window_sizes(keys) if per_layer is None else per_layer.get(layer, {})
            found = replace(overridden(plain, stated), window=window)
        else:
            stated = {} if per_layer is None else per_layer.get(layer, {})
            found = with_indexer(keys, overridden(plain, stated))
        # A gate per head on the output, and a norm of the rotary key.
        return replace(
            found, extra_weights=size.hidden * found.heads, extra_small=found.rope_dimension
        )

    width = keys.whole("moe_shared_expert_intermediate_size", "shared_experts_intermediate_size")
    experts = experts_of(keys, size.hidden, shared=shared_experts(keys) * width)
    if keys.flag("mlp_bias", default=False):
        raise keys.error("mlp_bias", "this family is known without biases only")
    mixers = [mixer(layer, kind) for layer, kind in enumerate(kinds)]
    return routed_decoder(keys, outer, size, mixers, mixer(size.layers, INDEXED), experts=experts)


FAMILIES: dict[str, Builder] = {
    "dots3_note": dots3_note,
    "dots3_note_text": dots3_note,
}
