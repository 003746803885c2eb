"""State-space layers: Mamba and Mamba-2."""

from math import ceil

from hbmopt.llm.importing.blocks import (
    RecurrentMixer,
)
from hbmopt.llm.importing.families.parts import (
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
