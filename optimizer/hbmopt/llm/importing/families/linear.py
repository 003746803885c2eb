"""Families with linear attention: Gated DeltaNet, Kimi delta attention, lightning attention."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import Blueprint, ExpertBlock, LatentMixer, Layer, RecurrentMixer
from hbmopt.llm.importing.families.common import FULL, Sizes, layer_draft, sizes, step_layers, tied
from hbmopt.llm.importing.families.compressed import hyper_connections
from hbmopt.llm.importing.families.latent import (
    draft_of,
    indexer_layers,
    latent_mixer,
    with_indexer,
)
from hbmopt.llm.importing.families.mixture import Builder
from hbmopt.llm.importing.families.parts import (
    INDEXED,
    dense_block,
    either,
    expert_layers,
    experts_of,
    linear_layers,
    plain_attention,
    require,
    required_head_dimension,
    shared_experts,
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
    return Blueprint(
        size.hidden,
        size.vocabulary,
        tied(keys, outer, default=False),
        tuple(layers),
        size.hidden,
        layer_draft(drafting, size.hidden, modules),
    )


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
    return Blueprint(
        size.hidden, size.vocabulary, tied(keys, outer, default=False), tuple(layers), size.hidden
    )


def delta_attention(
    hidden: int,
    heads: int,
    dimension: int,
    kernel: int,
    *,
    full_decay: bool = False,
    full_gate: bool = False,
) -> RecurrentMixer:
    """Kimi delta attention: q, k, v, o of heads x d, decay gate and output gate.

    Gates are of rank d or `full`.
    """
    width = heads * dimension
    low_rank, full = hidden * dimension + dimension * width, hidden * width
    decay, gate = full if full_decay else low_rank, full if full_gate else low_rank
    return RecurrentMixer(
        heads=heads,
        key_dimension=dimension,
        value_dimension=dimension,
        weights=4 * hidden * width + decay + gate,
        small=kernel * 3 * width + hidden * heads + width + heads + dimension,
        state_format="fp32",
        convolution_elements=(kernel - 1) * 3 * width,
        flops_per_element=8.0,
        named=(
            *((f"{one}_proj", full) for one in "qkvo"),
            ("f_proj", decay),
            ("g_proj", gate),
        ),
    )


def kimi_delta(keys: Keys, hidden: int) -> RecurrentMixer:
    """Return delta attention of Kimi's or GLM's spelling, in a mapping of its own or beside."""
    nested = keys.below("linear_attn_config")
    if nested is None:
        require(keys, "linear_attn_config", "linear_num_heads")
        return delta_attention(
            hidden,
            keys.whole("linear_num_heads"),
            keys.whole("linear_head_dim"),
            keys.whole("linear_conv_kernel_dim"),
        )
    nested.ignore("full_attn_layers", "kda_layers", "gate_lower_bound", "safe_gate")
    return delta_attention(
        hidden,
        nested.whole("num_heads"),
        nested.whole("head_dim"),
        nested.whole("short_conv_kernel_size"),
        full_gate=nested.flag("use_full_rank_gate", default=False),
    )


def kimi_layers(keys: Keys, layers: int) -> list[bool]:
    """Return which layers are linear attention; Kimi's lists number them from 1."""
    nested = keys.below("linear_attn_config")
    if nested is None or keys.has("layer_types"):
        return linear_layers(keys, layers)
    linear, full = nested.wholes("kda_layers"), nested.wholes("full_attn_layers")
    if linear is None:
        raise nested.missing("kda_layers")
    if full is None:
        raise nested.missing("full_attn_layers")
    if sorted(linear + full) != list(range(1, layers + 1)):
        raise nested.error(
            "kda_layers", f"with `full_attn_layers` these are not each of {layers} layers once"
        )
    return [layer + 1 in linear for layer in range(layers)]


def kimi_experts(keys: Keys, hidden: int) -> ExpertBlock:
    """Routed experts, in a latent space of their own from Kimi-K3 on, and shared experts."""
    width = keys.whole("moe_intermediate_size")
    latent = None
    if keys.has("routed_expert_hidden_size"):
        latent = keys.whole("routed_expert_hidden_size")
    normed = keys.flag("latent_moe_use_norm", default=False)
    if normed and latent is None:
        raise keys.error("latent_moe_use_norm", "needs `routed_expert_hidden_size`")
    return ExpertBlock(
        hidden,
        keys.whole("num_experts"),
        keys.whole("num_experts_per_token", "num_experts_per_tok"),
        width,
        latent=latent,
        latent_small=latent if latent and normed else 0,
        shared_weights=3 * hidden * width * shared_experts(keys),
    )


def require_new(keys: Keys) -> None:
    """Raise an error where a key is missing that Kimi-K3 has and Kimi Linear does not."""
    for name in (
        "attn_res_block_size",
        "latent_moe_use_norm",
        "mla_use_output_gate",
        "routed_expert_hidden_size",
    ):
        require(keys, name)
    nested = keys.below("linear_attn_config")
    if nested is not None:
        require(nested, "use_full_rank_gate")


def kimi_linear(keys: Keys, outer: Keys) -> Blueprint:
    """Kimi Linear and Kimi-K3: three delta-attention layers to one latent-attention layer."""
    size = sizes(keys)
    if outer.family == "kimi_k3":
        require_new(keys)
    linear = kimi_delta(keys, size.hidden)
    full: LatentMixer = replace(
        latent_mixer(keys, size.hidden),
        output_gate=keys.flag("mla_use_output_gate", default=False),
    )
    kinds = kimi_layers(keys, size.layers)
    with_experts = expert_layers(keys, size.layers)
    experts = kimi_experts(keys, size.hidden)
    dense = dense_block(keys, size.hidden, needed=not all(with_experts))
    keys.ignore("activation_situ_linear_beta")
    # Attention residuals mix the outputs of the blocks before: a query and a norm per sublayer.
    residuals = 4 * size.hidden if keys.whole("attn_res_block_size", default=0, least=0) else 0
    norms = 2 * size.hidden + residuals
    layers = [
        either((linear if is_linear else full,), experts, dense, sparse=sparse, norms=norms)
        for is_linear, sparse in zip(kinds, with_experts, strict=True)
    ]
    return Blueprint(
        size.hidden,
        size.vocabulary,
        tied(keys, outer, default=False),
        tuple(layers),
        size.hidden + residuals // 2,
        draft_of(keys, Layer((full,), None, experts, 2 * size.hidden), size.hidden),
    )


def bailing_delta(keys: Keys, hidden: int) -> RecurrentMixer:
    """Return delta attention with full gates; it has heads of its own or those of attention."""
    if keys.has("linear_head_dim"):
        dimension = keys.whole("linear_head_dim")
    else:
        dimension = keys.whole("head_dim")
        if dimension == keys.whole("qk_rope_head_dim", least=0):
            # Files that the library writes keep the rotary width there.
            raise keys.missing("linear_head_dim")
    return delta_attention(
        hidden,
        keys.whole("linear_num_heads", "num_attention_heads"),
        dimension,
        keys.whole("linear_conv_kernel_dim", "short_conv_kernel_size"),
        full_decay=True,
        full_gate=True,
    )


def bailing_hybrid(keys: Keys, outer: Keys) -> Blueprint:
    """Ling 3.0: delta attention and, on the last of each group of layers, latent attention."""
    size = sizes(keys)
    linear = bailing_delta(keys, size.hidden)
    keys.ignore("short_conv_kernel_size", "head_dim")
    full = latent_mixer(keys, size.hidden, low_rank_query=False)
    # One gate per head on the output.
    full = replace(full, extra_weights=size.hidden * full.heads)
    kinds = linear_layers(keys, size.layers, period_key="layer_group_size")
    with_experts = expert_layers(keys, size.layers)
    experts = experts_of(keys, size.hidden)
    dense = dense_block(keys, size.hidden, needed=not all(with_experts))
    norms = 2 * size.hidden
    layers = [
        either((linear if is_linear else full,), experts, dense, sparse=sparse, norms=norms)
        for is_linear, sparse in zip(kinds, with_experts, strict=True)
    ]
    return Blueprint(
        size.hidden,
        size.vocabulary,
        tied(keys, outer, default=False),
        tuple(layers),
        size.hidden,
        draft_of(keys, Layer((full,), None, experts, norms), size.hidden),
    )


def glm5_next(keys: Keys, outer: Keys) -> Blueprint:
    """GLM-5.3-Flash: delta attention, sparse latent attention with pooled index keys, streams."""
    size = sizes(keys)
    linear = kimi_delta(keys, size.hidden)
    full = replace(
        with_indexer(keys, latent_mixer(keys, size.hidden)), index_pool=keys.whole("index_kpool")
    )
    keys.ignore("index_kpool_always_select_tail", "linear_lower_bound")
    kinds = linear_layers(keys, size.layers, full=(FULL, INDEXED))
    runs = indexer_layers(keys, size.layers, offset=2)
    with_experts = expert_layers(keys, size.layers)
    experts = experts_of(keys, size.hidden)
    dense = dense_block(keys, size.hidden, needed=not all(with_experts))
    norms = 2 * size.hidden + hyper_connections(keys, size.hidden)
    layers = [
        either(
            (linear if is_linear else replace(full, runs_indexer=running),),
            experts,
            dense,
            sparse=sparse,
            norms=norms,
        )
        for is_linear, running, sparse in zip(kinds, runs, with_experts, strict=True)
    ]
    return Blueprint(
        size.hidden,
        size.vocabulary,
        tied(keys, outer, default=False),
        tuple(layers),
        size.hidden,
        draft_of(keys, Layer((full,), None, experts, norms), size.hidden),
    )


def lightning(keys: Keys, size: Sizes, heads: int, dimension: int) -> RecurrentMixer:
    """Lightning attention: q, k, v, output gate and output, h H d each, and one norm."""
    width = heads * dimension
    return RecurrentMixer(
        heads=heads,
        key_dimension=dimension,
        value_dimension=dimension,
        weights=5 * size.hidden * width,
        small=width,
        state_format=state_format(keys, "mamba_ssm_dtype", default="bf16"),
        named=(
            ("qkv_proj", 3 * size.hidden * width),
            ("output_gate", size.hidden * width),
            ("out_proj", size.hidden * width),
        ),
    )


def minimax_text(keys: Keys, outer: Keys) -> Blueprint:
    """MiniMax-Text-01: seven lightning attention layers to one full attention layer."""
    size = sizes(keys)
    require(keys, "head_dim")
    full = plain_attention(keys, size.hidden)
    linear = lightning(keys, size, full.heads, full.head_dimension)
    listed = keys.wholes("attn_type_list", size.layers)
    if listed is not None:
        kinds = [one == 0 for one in listed]
        keys.ignore("layer_types")
    else:
        kinds = linear_layers(keys, size.layers)
    keys.ignore("linear_attn_alpha_factor", "linear_attn_beta_factor")
    shared = keys.raw("shared_intermediate_size")
    if shared not in (None, 0, [0] * size.layers):
        raise keys.error("shared_intermediate_size", "shared experts are not known in this family")
    experts = ExpertBlock(
        size.hidden,
        keys.whole("num_local_experts"),
        keys.whole("num_experts_per_tok"),
        keys.whole("intermediate_size"),
    )
    layers = [
        Layer((linear if is_linear else full,), None, experts, 2 * size.hidden)
        for is_linear in kinds
    ]
    return Blueprint(
        size.hidden, size.vocabulary, tied(keys, outer, default=False), tuple(layers), size.hidden
    )


LINEAR_ATTENTION: dict[str, Builder] = {
    "qwen3_next": qwen_hybrid,
    "qwen3_5": qwen_hybrid,
    "qwen3_5_text": qwen_hybrid,
    "qwen3_5_moe": qwen_hybrid,
    "qwen3_5_moe_text": qwen_hybrid,
    "olmo_hybrid": olmo_hybrid,
    "kimi_linear": kimi_linear,
    "kimi_k3": kimi_linear,
    "bailing_hybrid": bailing_hybrid,
    "glm5_next": glm5_next,
    "glm5_next_text": glm5_next,
    "minimax": minimax_text,
    "minimax_text_01": minimax_text,
}
