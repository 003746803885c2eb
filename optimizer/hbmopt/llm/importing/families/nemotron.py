"""Nemotron-H and Nemotron 3, whose layers are one block each."""

import math
from collections.abc import Mapping
from dataclasses import replace

from hbmopt.llm.importing.blocks import (
    Blueprint,
    DenseBlock,
    DraftPlan,
    ExpertBlock,
    GroupedMixer,
    Layer,
    RecurrentMixer,
)
from hbmopt.llm.importing.families.common import (
    FULL,
    LINEAR,
    Builder,
    Sizes,
    decoder,
    groups,
    sizes,
)
from hbmopt.llm.importing.families.mamba import mamba2
from hbmopt.llm.importing.families.parts import (
    mixer_kinds,
    plain_attention,
    required_head_dimension,
    routed_experts,
)
from hbmopt.llm.importing.keys import Keys, number_of_each


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
    return decoder(keys, outer, size, layers)


DENSE_KIND, EXPERTS_KIND = "mlp", "moe"

LETTERS = {"M": LINEAR, "*": FULL, "-": DENSE_KIND, "E": EXPERTS_KIND}
"""Kinds of blocks as patterns spell them."""

MATRICES = 2
"""Matrices of a feed-forward block, which has no gate."""


def block_kinds(keys: Keys, list_key: str, pattern_key: str) -> list[str] | None:
    """Return the kind of every block, of a list or of a pattern of letters."""
    known = (LINEAR, FULL, DENSE_KIND, EXPERTS_KIND)
    kinds = mixer_kinds(keys, None, known, list_key)
    if kinds is not None:
        keys.tally(list_key, number_of_each(kinds))
        keys.ignore(pattern_key)
        return kinds
    if not keys.has(pattern_key):
        return None
    pattern = keys.word(pattern_key)
    for letter in pattern:
        if letter not in LETTERS:
            raise keys.error(pattern_key, f"{letter!r} is not a kind of block that is known")
    keys.tally(pattern_key, number_of_each(pattern))
    return [LETTERS[letter] for letter in pattern]


def recurrent(keys: Keys, hidden: int) -> RecurrentMixer:
    """Return the Mamba-2 of one block."""
    heads = keys.whole("mamba_num_heads")
    return mamba2(
        keys,
        hidden,
        inner=heads * keys.whole("mamba_head_dim"),
        heads=heads,
        state=keys.whole("ssm_state_size"),
        groups=keys.whole("mamba_n_groups", "n_groups"),
        kernel=keys.whole("mamba_d_conv", "conv_kernel"),
        bias=keys.flag("use_bias", default=False),
        convolution_bias=keys.flag(
            "mamba_conv_bias", default=keys.flag("use_conv_bias", default=True)
        ),
    )


def experts_of(keys: Keys, hidden: int, *, bias: bool) -> ExpertBlock:
    """Return routed experts, in a latent space where the file has one, and a shared one."""
    latent = keys.whole("moe_latent_size") if keys.has("moe_latent_size") else None
    shared = keys.whole("moe_shared_expert_intermediate_size")
    count = keys.whole("n_shared_experts", least=0)
    if count > 1:
        raise keys.error("n_shared_experts", "more than one shared expert is not known here")
    small = 0
    if bias:
        small = count * (shared + hidden) + (latent + hidden if latent else 0)
    return ExpertBlock(
        hidden,
        routed_experts(keys),
        keys.whole("num_experts_per_tok"),
        keys.whole("moe_intermediate_size"),
        matrices=MATRICES,
        latent=latent,
        shared_weights=MATRICES * hidden * shared * count,
        router_small=small,
    )


def block(keys: Keys, hidden: int, kind: str) -> Layer:
    """Return one block with its norm."""
    bias = keys.flag("mlp_bias", default=False)
    if kind == LINEAR:
        return Layer((recurrent(keys, hidden),), norms=hidden)
    if kind == FULL:
        dimension = required_head_dimension(keys, "attention_head_dim")
        return Layer((plain_attention(keys, hidden, dimension=dimension),), norms=hidden)
    if kind == DENSE_KIND:
        width = keys.whole("intermediate_size")
        small = width + hidden if bias else 0
        return Layer((), DenseBlock(hidden, width, MATRICES, small), norms=hidden)
    return Layer((), None, experts_of(keys, hidden, bias=bias), norms=hidden)


def nemotron_h(keys: Keys, outer: Keys) -> Blueprint:
    """Nemotron-H and Nemotron 3: every layer is one block, Mamba-2, attention or feed-forward."""
    kinds = block_kinds(keys, "layers_block_type", "hybrid_override_pattern")
    if kinds is None:
        raise keys.missing("layers_block_type", "hybrid_override_pattern")
    size = sizes(keys, layers=len(kinds))
    if size.layers != len(kinds):
        raise keys.error("num_hidden_layers", f"{size.layers}, but {len(kinds)} blocks are listed")
    if keys.flag("attention_bias", default=False):
        raise keys.error("attention_bias", "attention is known without biases only")
    # Keys of blocks that a model may not have, and those that change nothing.
    keys.ignore("expand", "chunk_size", "mamba_proj_bias", "moe_shared_expert_overlap")
    keys.ignore("moe_intermediate_size", "moe_shared_expert_intermediate_size", "moe_latent_size")
    keys.ignore("n_routed_experts", "n_shared_experts", "num_experts_per_tok", "mamba_expand")
    shapes = {kind: block(keys, size.hidden, kind) for kind in dict.fromkeys(kinds)}
    modules = keys.whole("num_nextn_predict_layers", default=0, least=0)
    drafted = block_kinds(keys, "mtp_layers_block_type", "mtp_hybrid_override_pattern")
    draft = None
    if modules:
        if drafted is None:
            raise keys.missing("mtp_layers_block_type", "mtp_hybrid_override_pattern")
        draft = DraftPlan(
            modules=modules,
            layers=tuple(block(keys, size.hidden, kind) for kind in drafted),
            projection=2 * size.hidden * size.hidden,
            norms=3 * size.hidden,
        )
    return decoder(keys, outer, size, [shapes[kind] for kind in kinds], draft=draft)


FAMILIES: dict[str, Builder] = {
    "nemotron_h": nemotron_h,
    "nemotron-nas": nemotron_nas,
}
