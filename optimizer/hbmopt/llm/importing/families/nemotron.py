"""Nemotron-H and Nemotron 3, whose layers are one block each."""

from hbmopt.llm.importing.blocks import (
    Blueprint,
    DenseBlock,
    DraftPlan,
    ExpertBlock,
    Layer,
    RecurrentMixer,
)
from hbmopt.llm.importing.families.common import (
    FULL,
    LINEAR,
    decoder,
    sizes,
)
from hbmopt.llm.importing.families.mixture import Builder
from hbmopt.llm.importing.families.parts import (
    mixer_kinds,
    plain_attention,
    required_head_dimension,
    routed_experts,
)
from hbmopt.llm.importing.families.state_space import mamba2
from hbmopt.llm.importing.keys import Keys

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
        keys.ignore(pattern_key)
        return kinds
    if not keys.has(pattern_key):
        return None
    pattern = keys.word(pattern_key)
    for letter in pattern:
        if letter not in LETTERS:
            raise keys.error(pattern_key, f"{letter!r} is not a kind of block that is known")
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


NEMOTRON: dict[str, Builder] = {"nemotron_h": nemotron_h}
