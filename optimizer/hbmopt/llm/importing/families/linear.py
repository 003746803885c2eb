"""Families with linear attention: Gated DeltaNet, Kimi delta attention, lightning attention."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import Blueprint, ExpertBlock, Layer, RecurrentMixer
from hbmopt.llm.importing.families.common import (
    Builder,
    decoder,
    layer_draft,
    sizes,
    step_layers,
)
from hbmopt.llm.importing.families.parts import (
    dense_block,
    either,
    linear_layers,
    plain_attention,
    required_head_dimension,
    state_format,
)
from hbmopt.llm.importing.keys import Keys


def delta_net(keys: Keys, hidden: int) -> RecurrentMixer:
    """Gated DeltaNet: h (2 nk dk + 2 nv dv) + 2 h nv, convolution, output, gates."""
    key_heads, value_heads = (
        keys.whole("linear_num_key_heads"),
        keys.whole("linear_num_value_heads"),
    )
    key, value = keys.whole("linear_key_head_dim"), keys.whole("linear_value_head_dim")
    kernel = keys.whole("linear_conv_kernel_dim")
    channels = 2 * key_heads * key + value_heads * value
    return RecurrentMixer(
        heads=value_heads,
        key_dimension=key,
        value_dimension=value,
        weights=hidden * (2 * key_heads * key + 2 * value_heads * value)
        + value_heads * value * hidden,
        small=2 * hidden * value_heads + kernel * channels + 2 * value_heads + value,
        # Without a dtype of its own the state is kept in that of the model.
        state_format=state_format(keys, "mamba_ssm_dtype", default="bf16"),
        convolution_elements=(kernel - 1) * channels,
        flops_per_element=8.0,
        named=(
            ("in_proj_qkv", hidden * channels),
            ("in_proj_z", hidden * value_heads * value),
            ("out_proj", hidden * value_heads * value),
        ),
    )


def qwen_experts(keys: Keys, hidden: int) -> ExpertBlock:
    """Routed experts and one shared expert with a gate."""
    shared = keys.whole("shared_expert_intermediate_size", least=0)
    return ExpertBlock(
        hidden,
        keys.whole("num_experts"),
        keys.whole("num_experts_per_tok"),
        keys.whole("moe_intermediate_size"),
        shared_weights=3 * hidden * shared,
        router_small=hidden if shared else 0,
    )


def qwen_hybrid(keys: Keys, outer: Keys) -> Blueprint:
    """Qwen3-Next and Qwen3.5: three Gated DeltaNet layers to one gated attention layer."""
    size = sizes(keys)
    gated = keys.flag("attn_output_gate", default=True)
    full = replace(
        plain_attention(
            keys,
            size.hidden,
            dimension=required_head_dimension(keys),
            bias="attention_bias",
            qk_norm="head",
        ),
        output_gate="element" if gated else "none",
    )
    linear = delta_net(keys, size.hidden)
    kinds = linear_layers(keys, size.layers, period_key="full_attention_interval")
    has_experts = keys.has("num_experts") or keys.family not in ("qwen3_5", "qwen3_5_text")
    experts = qwen_experts(keys, size.hidden) if has_experts else None
    with_experts = step_layers(keys, size.layers) if has_experts else [False] * size.layers
    dense = dense_block(keys, size.hidden, needed=not all(with_experts))
    norms = 2 * size.hidden
    layers = [
        either((linear if is_linear else full,), experts, dense, sparse=sparse, norms=norms)
        for is_linear, sparse in zip(kinds, with_experts, strict=True)
    ]
    keys.ignore("mtp_use_dedicated_embeddings")
    modules = keys.whole("mtp_num_hidden_layers", "num_nextn_predict_layers", default=0, least=0)
    drafting = either((full,), experts, dense, sparse=has_experts, norms=norms)
    return decoder(keys, outer, size, layers, draft=layer_draft(drafting, size.hidden, modules))


def olmo_hybrid(keys: Keys, outer: Keys) -> Blueprint:
    """OLMo Hybrid: three Gated DeltaNet layers to one full attention layer, dense blocks."""
    size = sizes(keys)
    full = plain_attention(keys, size.hidden, bias="attention_bias", qk_norm="full")
    linear = delta_net(keys, size.hidden)
    keys.ignore("linear_allow_neg_eigval", "linear_a_log_min", "linear_a_log_max")
    keys.ignore("linear_dt_min", "linear_dt_max", "linear_dt_init_floor")
    dense = dense_block(keys, size.hidden, needed=True)
    layers = [
        Layer((linear if is_linear else full,), dense, None, 2 * size.hidden)
        for is_linear in linear_layers(keys, size.layers)
    ]
    return decoder(keys, outer, size, layers)


FAMILIES: dict[str, Builder] = {
    "qwen3_next": qwen_hybrid,
    "qwen3_5": qwen_hybrid,
    "qwen3_5_text": qwen_hybrid,
    "qwen3_5_moe": qwen_hybrid,
    "qwen3_5_moe_text": qwen_hybrid,
    "olmo_hybrid": olmo_hybrid,
}
