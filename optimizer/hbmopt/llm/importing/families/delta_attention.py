"""Families with delta attention: Kimi Linear, Ling 3, GLM-5.3-Flash."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import Blueprint, ExpertBlock, LatentMixer, RecurrentMixer
from hbmopt.llm.importing.families.common import (
    FULL,
    Builder,
    sizes,
)
from hbmopt.llm.importing.families.compressed import hyper_connections
from hbmopt.llm.importing.families.latent import (
    indexer_layers,
    latent_mixer,
    routed_decoder,
    with_indexer,
)
from hbmopt.llm.importing.families.parts import (
    INDEXED,
    linear_layers,
    require,
    shared_experts,
)
from hbmopt.llm.importing.keys import Keys


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
    linear = nested.numbered("kda_layers", layers, first=1)
    full = nested.numbered("full_attn_layers", layers, first=1)
    if linear is None:
        raise nested.missing("kda_layers")
    if full is None:
        raise nested.missing("full_attn_layers")
    if len(linear) + len(full) != layers or linear & full:
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
    keys.ignore("activation_situ_linear_beta")
    # Attention residuals mix the outputs of the blocks before: a query and a norm per sublayer.
    residuals = 4 * size.hidden if keys.whole("attn_res_block_size", default=0, least=0) else 0
    return routed_decoder(
        keys,
        outer,
        size,
        [linear if is_linear else full for is_linear in kinds],
        full,
        experts=kimi_experts(keys, size.hidden),
        norms=2 * size.hidden + residuals,
        draft_norms=2 * size.hidden,
        ends=size.hidden + residuals // 2,
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
    mixers = [
        linear if is_linear else replace(full, runs_indexer=running)
        for is_linear, running in zip(kinds, runs, strict=True)
    ]
    norms = 2 * size.hidden + hyper_connections(keys, size.hidden)
    return routed_decoder(keys, outer, size, mixers, full, norms=norms)


FAMILIES: dict[str, Builder] = {
    "kimi_linear": kimi_linear,
    "kimi_k3": kimi_linear,
    "glm5_next": glm5_next,
    "glm5_next_text": glm5_next,
}
