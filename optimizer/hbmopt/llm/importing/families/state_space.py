"""Families with state-space layers: Mamba alone, or mixed with attention."""

from math import ceil

from hbmopt.llm.importing.blocks import (
    Blueprint,
    DenseBlock,
    ExpertBlock,
    Layer,
    Mixer,
    RecurrentMixer,
)
from hbmopt.llm.importing.families.common import FULL, LINEAR, sizes, tied
from hbmopt.llm.importing.families.mixture import Builder
from hbmopt.llm.importing.families.parts import (
    dense_block,
    either,
    mixer_kinds,
    plain_attention,
    require,
    required_flag,
    routed_experts,
    state_format,
)
from hbmopt.llm.importing.keys import Keys


def inner_size(keys: Keys, hidden: int, name: str = "expand") -> int:
    """Return the inner width, a multiple of the hidden size that need not be whole."""
    found = keys.number(name) * hidden
    if found < 1 or not found.is_integer():
        raise keys.error(name, f"{keys.raw(name)!r} times {hidden} is not a whole number")
    return int(found)


def stated_inner(keys: Keys, hidden: int, name: str) -> int:
    """Return the inner width of Mamba-1, which files state beside the factor that it comes from.

    Falcon-Mamba's files state the width and a factor that was never used; elsewhere both agree.
    """
    if name != "expand" or not keys.has("intermediate_size"):
        return inner_size(keys, hidden, name)
    inner = keys.whole("intermediate_size")
    if keys.family == "falcon_mamba":
        keys.ignore("expand", reason="the inner width is stated by intermediate_size")
    elif keys.has("expand") and inner_size(keys, hidden) != inner:
        raise keys.error(
            "intermediate_size", f"{inner} contradicts `expand`, {keys.raw('expand')} x {hidden}"
        )
    return inner


def mamba1(
    keys: Keys,
    hidden: int,
    *,
    prefix: bool,
    inner_norms: bool = False,
) -> RecurrentMixer:
    """Mamba-1: h 2 inner, convolution, inner (R + 2 N), R inner, A, D, dt bias, output.

    `prefix`: keys are spelled as those of hybrids, mamba_d_state and the like.
    """
    names = (
        ("mamba_expand", "mamba_d_state", "mamba_dt_rank", "mamba_d_conv")
        if prefix
        else ("expand", "state_size", "time_step_rank", "conv_kernel")
    )
    convolution_bias, bias = (
        ("mamba_conv_bias", "mamba_proj_bias") if prefix else ("use_conv_bias", "use_bias")
    )
    expand, state_key, rank_key, kernel_key = names
    inner, state = stated_inner(keys, hidden, expand), keys.whole(state_key)
    rank = ceil(hidden / 16) if keys.raw(rank_key) == "auto" else keys.whole(rank_key)
    kernel = keys.whole(kernel_key)
    small = kernel * inner + inner * state + 2 * inner
    if keys.flag(convolution_bias, default=True):
        small += inner
    if keys.flag(bias, default=False):
        small += 2 * inner + hidden
    if inner_norms:
        small += rank + 2 * state
    return RecurrentMixer(
        heads=inner,
        key_dimension=1,
        value_dimension=state,
        weights=2 * hidden * inner + inner * (rank + 2 * state) + rank * inner + inner * hidden,
        small=small,
        # Engines keep it in the format of the model unless they are told otherwise.
        state_format=state_format(keys, "mamba_ssm_cache_dtype", default="bf16"),
        convolution_elements=(kernel - 1) * inner,
        named=(
            ("in_proj", 2 * hidden * inner),
            ("x_proj", inner * (rank + 2 * state)),
            ("dt_proj", rank * inner),
            ("out_proj", inner * hidden),
        ),
    )


def mamba2(
    keys: Keys,
    hidden: int,
    *,
    inner: int,
    heads: int,
    state: int,
    groups: int,
    kernel: int,
    bias: bool = False,
    output_bias: bool | None = None,
    convolution_bias: bool = True,
    gated_norm: bool = True,
) -> RecurrentMixer:
    """Mamba-2: h (2 inner + 2 G N + heads), convolution with bias, A, D, dt, norm, output."""
    channels = inner + 2 * groups * state
    small = (kernel + int(convolution_bias)) * channels + 3 * heads + (inner if gated_norm else 0)
    if bias:
        small += inner + channels + heads
    if bias if output_bias is None else output_bias:
        small += hidden
    return RecurrentMixer(
        heads=heads,
        key_dimension=inner // heads,
        value_dimension=state,
        weights=hidden * (inner + channels + heads) + inner * hidden,
        small=small,
        state_format=state_format(keys, "mamba_ssm_cache_dtype", "mamba_ssm_dtype", default="bf16"),
        convolution_elements=(kernel - 1) * channels,
        named=(("in_proj", hidden * (inner + channels + heads)), ("out_proj", inner * hidden)),
    )


def split_heads(keys: Keys, inner: int, heads_key: str, dimension_key: str) -> int:
    """Return the heads that share the inner width; their stated size must agree."""
    heads = keys.whole(heads_key)
    if inner % heads:
        raise keys.error(heads_key, f"an inner width of {inner} does not divide by {heads} heads")
    if keys.raw(dimension_key) not in (None, "auto"):
        dimension = keys.whole(dimension_key)
        if heads * dimension != inner:
            raise keys.error(
                dimension_key, f"{heads} heads of {dimension} are not the inner width {inner}"
            )
    return heads


def prefixed_mamba2(
    keys: Keys, hidden: int, *, inner: int, gated_norm: bool = True, output_bias: str | None = None
) -> RecurrentMixer:
    """Return Mamba-2 with keys as hybrids spell them."""
    keys.ignore("mamba_chunk_size", "mamba_expand")
    return mamba2(
        keys,
        hidden,
        inner=inner,
        heads=split_heads(keys, inner, "mamba_n_heads", "mamba_d_head"),
        state=keys.whole("mamba_d_state"),
        groups=keys.whole("mamba_n_groups"),
        kernel=keys.whole("mamba_d_conv"),
        bias=keys.flag("mamba_proj_bias", default=False),
        output_bias=None if output_bias is None else keys.flag(output_bias, default=False),
        convolution_bias=keys.flag("mamba_conv_bias", default=True),
        gated_norm=gated_norm,
    )


def pure(keys: Keys, outer: Keys, mixer: RecurrentMixer, *, tie: bool) -> Blueprint:
    """Return a model of state-space layers alone: one norm each, no feed-forward blocks."""
    size = sizes(keys)
    return Blueprint(
        size.hidden,
        size.vocabulary,
        tied(keys, outer, default=tie),
        (Layer((mixer,), norms=size.hidden),) * size.layers,
        size.hidden,
    )


def mamba_model(keys: Keys, outer: Keys) -> Blueprint:
    """Mamba and Falcon-Mamba, whose norms inside the layer have no weights."""
    return pure(keys, outer, mamba1(keys, sizes(keys).hidden, prefix=False), tie=True)


def mamba2_model(keys: Keys, outer: Keys) -> Blueprint:
    """Mamba-2, Codestral-Mamba."""
    keys.ignore("chunk_size")
    hidden = sizes(keys).hidden
    inner = inner_size(keys, hidden)
    mixer = mamba2(
        keys,
        hidden,
        inner=inner,
        heads=split_heads(keys, inner, "num_heads", "head_dim"),
        state=keys.whole("state_size"),
        groups=keys.whole("n_groups"),
        kernel=keys.whole("conv_kernel"),
        bias=keys.flag("use_bias", default=False),
        convolution_bias=keys.flag("use_conv_bias", default=True),
    )
    return pure(keys, outer, mixer, tie=False)


def biased_dense(keys: Keys, hidden: int) -> DenseBlock:
    """Return the gated feed-forward block, with biases where `mlp_bias` says so."""
    width = keys.whole("intermediate_size")
    bias = 2 * width + hidden if keys.flag("mlp_bias", default=False) else 0
    return DenseBlock(hidden, width, small=bias)


def falcon_h1(keys: Keys, outer: Keys) -> Blueprint:
    """Falcon-H1: attention and Mamba-2 beside each other in every layer."""
    size = sizes(keys)
    require(keys, "mamba_d_ssm")
    stated = keys.has("mamba_d_ssm")
    inner = keys.whole("mamba_d_ssm") if stated else inner_size(keys, size.hidden, "mamba_expand")
    recurrent = prefixed_mamba2(
        keys,
        size.hidden,
        inner=inner,
        gated_norm=required_flag(keys, "mamba_rms_norm"),
        output_bias="projectors_bias",
    )
    keys.ignore("mamba_norm_before_gate", "mamba_use_mlp", "ssm_multipliers")
    keys.ignore("ssm_in_multiplier", "ssm_out_multiplier")
    attention = plain_attention(keys, size.hidden, bias="attention_bias")
    layer = Layer((attention, recurrent), biased_dense(keys, size.hidden), None, 2 * size.hidden)
    return Blueprint(
        size.hidden,
        size.vocabulary,
        tied(keys, outer, default=False),
        (layer,) * size.layers,
        size.hidden,
    )


def bamba(keys: Keys, outer: Keys) -> Blueprint:
    """Bamba: Mamba-2 with attention on a few layers."""
    size = sizes(keys)
    kinds = mixer_kinds(keys, size.layers, (FULL, LINEAR), "layers_block_type")
    if kinds is None:
        require(keys, "attn_layer_indices", "layers_block_type")
        chosen = keys.wholes("attn_layer_indices") or []
        kinds = [FULL if layer in chosen else LINEAR for layer in range(size.layers)]
    inner = inner_size(keys, size.hidden, "mamba_expand")
    recurrent = prefixed_mamba2(keys, size.hidden, inner=inner)
    attention = plain_attention(keys, size.hidden, bias="attention_bias")
    dense = biased_dense(keys, size.hidden)
    layers = [
        Layer((attention if kind == FULL else recurrent,), dense, None, 2 * size.hidden)
        for kind in kinds
    ]
    return Blueprint(
        size.hidden, size.vocabulary, tied(keys, outer, default=False), tuple(layers), size.hidden
    )


def granite_hybrid(keys: Keys, outer: Keys) -> Blueprint:
    """Granite 4: Mamba-2 and attention, experts beside a shared block, or that block alone."""
    size = sizes(keys)
    require(keys, "tie_word_embeddings")
    kinds = mixer_kinds(keys, size.layers, (FULL, LINEAR))
    if kinds is None:
        raise keys.missing("layer_types")
    recurrent: Mixer | None = None
    if LINEAR in kinds:
        inner = inner_size(keys, size.hidden, "mamba_expand")
        recurrent = prefixed_mamba2(keys, size.hidden, inner=inner)
    keys.ignore(*(key for key in keys.values if key.startswith("mamba_")))
    attention = plain_attention(keys, size.hidden, bias="attention_bias")
    shared = keys.whole("shared_intermediate_size")
    count = keys.whole("num_local_experts", "num_experts", least=0)
    experts = None
    if count:
        experts = ExpertBlock(
            size.hidden,
            count,
            keys.whole("num_experts_per_tok"),
            keys.whole("intermediate_size"),
            shared_weights=3 * size.hidden * shared,
        )
    dense = DenseBlock(size.hidden, shared)
    layers = [
        either(
            (attention if kind == FULL or recurrent is None else recurrent,),
            experts,
            dense,
            sparse=count > 0,
            norms=2 * size.hidden,
        )
        for kind in kinds
    ]
    return Blueprint(
        size.hidden, size.vocabulary, tied(keys, outer, default=False), tuple(layers), size.hidden
    )


def phased(keys: Keys, layers: int, period_key: str, offset_key: str) -> list[bool]:
    """Return which layers stand at the offset of their period."""
    period, offset = keys.whole(period_key), keys.whole(offset_key, least=0)
    if offset >= period:
        raise keys.error(offset_key, f"{offset} is not below the period {period}")
    return [layer % period == offset for layer in range(layers)]


def jamba(keys: Keys, outer: Keys) -> Blueprint:
    """Jamba: one attention layer in eight, Mamba-1 otherwise, experts in every other layer."""
    size = sizes(keys)
    attention = plain_attention(keys, size.hidden)
    recurrent = mamba1(keys, size.hidden, prefix=True, inner_norms=True)
    count = routed_experts(keys)
    experts = ExpertBlock(
        size.hidden, count, keys.whole("num_experts_per_tok"), keys.whole("intermediate_size")
    )
    attends = phased(keys, size.layers, "attn_layer_period", "attn_layer_offset")
    chosen = phased(keys, size.layers, "expert_layer_period", "expert_layer_offset")
    dense = dense_block(keys, size.hidden, needed=True)
    layers = [
        either(
            (attention if attending else recurrent,),
            experts,
            dense,
            sparse=sparse and count > 1,
            norms=2 * size.hidden,
        )
        for attending, sparse in zip(attends, chosen, strict=True)
    ]
    return Blueprint(
        size.hidden, size.vocabulary, tied(keys, outer, default=False), tuple(layers), size.hidden
    )


def zamba(keys: Keys, _outer: Keys) -> Blueprint:
    """Zamba applies the weights of few attention blocks many times, which no entry can say."""
    raise keys.error(
        "model_type",
        f"{keys.family!r} applies the same attention blocks several times in a step, so that it "
        "reads and computes more than it stores; only models that use each weight once are known",
    )


STATE_SPACE: dict[str, Builder] = {
    "mamba": mamba_model,
    "falcon_mamba": mamba_model,
    "mamba2": mamba2_model,
    "falcon_h1": falcon_h1,
    "bamba": bamba,
    "granitemoehybrid": granite_hybrid,
    "jamba": jamba,
    "zamba": zamba,
    "zamba2": zamba,
}
