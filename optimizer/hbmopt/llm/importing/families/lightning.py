"""MiniMax-Text-01 and M1, Ling and Ring: lightning and delta attention between full layers."""

from collections.abc import Sequence
from dataclasses import replace

from hbmopt.llm.importing.blocks import (
    Blueprint,
    ExpertBlock,
    GroupedMixer,
    Layer,
    Mixer,
    RecurrentMixer,
)
from hbmopt.llm.importing.families.common import (
    Builder,
    Sizes,
    decoder,
    head_dimension,
    sizes,
)
from hbmopt.llm.importing.families.delta_attention import delta_attention
from hbmopt.llm.importing.families.latent import (
    draft_of,
    latent_mixer,
    routed_decoder,
)
from hbmopt.llm.importing.families.mixture import (
    layers_with_experts,
    mixture_experts,
    refuse_biases,
)
from hbmopt.llm.importing.families.mixture_table import BAILING
from hbmopt.llm.importing.families.parts import (
    dense_block,
    either,
    kv_heads,
    linear_layers,
    plain_attention,
    require,
    state_format,
)
from hbmopt.llm.importing.keys import Keys


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
    if keys.has("group_norm_size") and not keys.has("short_conv_kernel_size"):
        return bailing_linear(keys, outer)
    size = sizes(keys)
    linear = bailing_delta(keys, size.hidden)
    keys.ignore("short_conv_kernel_size", "head_dim")
    full = latent_mixer(keys, size.hidden, low_rank_query=False)
    # One gate per head on the output.
    full = replace(full, extra_weights=size.hidden * full.heads)
    kinds = linear_layers(keys, size.layers, period_key="layer_group_size")
    mixers = [linear if is_linear else full for is_linear in kinds]
    return routed_decoder(keys, outer, size, mixers, full)


def lightning(
    keys: Keys, size: Sizes, heads: int, dimension: int, *, small: int = 0
) -> RecurrentMixer:
    """Lightning attention: q, k, v, output gate and output, h H d each, and one norm."""
    width = heads * dimension
    return RecurrentMixer(
        heads=heads,
        key_dimension=dimension,
        value_dimension=dimension,
        weights=5 * size.hidden * width,
        small=width + small,
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
    full_attention = keys.flags("attn_type_list", size.layers)
    if full_attention is not None:
        kinds = [not one for one in full_attention]
        keys.ignore("layer_types")
    else:
        kinds = linear_layers(keys, size.layers)
    for kind in ("full_attention", "linear_attention", "mlp"):
        keys.ignore(f"layernorm_{kind}_alpha", f"layernorm_{kind}_beta")
    keys.ignore("linear_attn_alpha_factor", "linear_attn_beta_factor", "shared_moe_mode")
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
    return decoder(keys, outer, size, layers)


def bailing_experts(keys: Keys, size: Sizes, mixers: Sequence[Mixer]) -> list[Layer]:
    """Return layers of Ling's experts, behind dense ones, with these mixers."""
    refuse_biases(keys)
    sparse = layers_with_experts(keys, BAILING, size.layers)
    experts = mixture_experts(keys, BAILING, size.hidden)
    dense = dense_block(keys, size.hidden, needed=not all(sparse))
    return [
        either((mixer,), experts, dense, sparse=has, norms=2 * size.hidden)
        for mixer, has in zip(mixers, sparse, strict=True)
    ]


def bailing_linear(keys: Keys, outer: Keys) -> Blueprint:
    """Ring-linear 2.0 and Ling 2.5: lightning attention, and grouped or latent on every n-th layer.

    Linear attention has as many heads of keys and values as of queries, a gate and a norm of the
    output, and with `use_qk_norm` norms of queries and keys.
    """
    size = sizes(keys)
    period = keys.whole("layer_group_size")
    if size.layers % period:
        raise keys.error("layer_group_size", f"{size.layers} layers are not groups of {period}")
    heads = keys.whole("num_attention_heads")
    dimension = head_dimension(keys, size.hidden, heads)
    normed = keys.flag("use_qk_norm", default=False)
    bias = keys.flag("use_qkv_bias", default=False)
    small = 2 * dimension * normed + 3 * heads * dimension * bias
    linear = lightning(keys, size, heads, dimension, small=small)
    full: Mixer
    if keys.has("kv_lora_rank"):
        full = latent_mixer(keys, size.hidden)
    else:
        full = GroupedMixer(
            size.hidden,
            heads,
            kv_heads(keys, heads),
            dimension,
            dimension,
            qkv_bias=bias,
            qk_norm="head" if normed else "none",
        )
    keys.ignore("num_key_value_heads", "group_norm_size", "linear_silu", "use_linear_silu")
    keys.ignore("linear_mode", "linear_rope", "rotary_type", "partial_rotary_factor")
    mixers = [linear if (layer + 1) % period else full for layer in range(size.layers)]
    layers = bailing_experts(keys, size, mixers)
    return decoder(keys, outer, size, layers, draft=draft_of(keys, layers[-1], size.hidden))


FAMILIES: dict[str, Builder] = {
    "bailing_hybrid": bailing_hybrid,
    "bailing_moe_linear": bailing_linear,
    "bailing_moe_linear_v2": bailing_linear,
    "bailing_moe_v2_5": bailing_linear,
    "minimax": minimax_text,
    "minimax_m1": minimax_text,
    "minimax_text_01": minimax_text,
}
