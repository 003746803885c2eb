"""What families of latent, linear and state-space attention read alike.

These readers demand what the class of a model would otherwise make up: a key that decides the
count is there, if only as null, or is an error.
"""

from hbmopt.llm.importing.blocks import DenseBlock, ExpertBlock, GroupedMixer, Layer, Mixer
from hbmopt.llm.importing.families.common import (
    FULL,
    LINEAR,
    SLIDING,
    dense_layers,
    head_dimension,
    picked,
)
from hbmopt.llm.importing.keys import Keys

INDEXED = "indexed_attention"

RENAMED = {
    "mamba": LINEAR,
    "attention": FULL,
    "deepseek_sparse_attention": INDEXED,
    "qwen_sparse_attention": INDEXED,
}
"""Kinds of layers as older files name them."""

STATE_FORMATS = {
    "float32": "fp32",
    "fp32": "fp32",
    "bfloat16": "bf16",
    "bf16": "bf16",
    "float16": "bf16",
    "auto": "bf16",
}


def require(keys: Keys, *names: str) -> None:
    """Raise an error where none of these keys is there; null counts as there."""
    if not any(name in keys.values for name in names):
        raise keys.missing(*names)


def required_flag(keys: Keys, name: str) -> bool:
    """Return true or false, which published files of a family state one way or the other."""
    require(keys, name)
    return keys.flag(name, default=False)


def required_head_dimension(keys: Keys, *others: str) -> int:
    """Return the width of a head in families whose class would make one up."""
    return keys.whole("head_dim", *others)


def kv_heads(keys: Keys, heads: int) -> int:
    """Return the KV heads; null is one for every query head."""
    require(keys, "num_key_value_heads")
    found = keys.whole("num_key_value_heads", default=heads)
    if heads % found:
        raise keys.error("num_key_value_heads", f"{heads} heads do not divide by {found}")
    return found


def plain_attention(
    keys: Keys, hidden: int, *, dimension: int | None = None, bias: str = "", qk_norm: str = "none"
) -> GroupedMixer:
    """Return full grouped attention; `bias` is the key that adds biases to all projections."""
    heads = keys.whole("num_attention_heads")
    if dimension is None:
        dimension = head_dimension(keys, hidden, heads)
    biased = bool(bias) and keys.flag(bias, default=False)
    return GroupedMixer(
        hidden,
        heads,
        kv_heads(keys, heads),
        dimension,
        dimension,
        qkv_bias=biased,
        output_bias=biased,
        qk_norm=qk_norm,
    )


def mixer_kinds(
    keys: Keys, layers: int | None, allowed: tuple[str, ...], name: str = "layer_types"
) -> list[str] | None:
    """Return the kind of every layer as listed, or None where the key is absent."""
    listed = keys.listed(name, layers)
    if listed is None:
        return None
    kinds = [RENAMED.get(str(one), str(one)) for one in listed]
    for kind, stated in zip(kinds, listed, strict=True):
        if kind not in allowed:
            raise keys.error(name, f"{stated!r} is not a kind of layer that is known here")
    return kinds


def linear_layers(
    keys: Keys, layers: int, *, period_key: str | None = None, full: tuple[str, ...] = (FULL,)
) -> list[bool]:
    """Return which layers are linear attention: as listed, or all but every n-th."""
    kinds = mixer_kinds(keys, layers, (LINEAR, *full))
    if kinds is None:
        if period_key is None or not keys.has(period_key):
            raise keys.missing("layer_types", *([period_key] if period_key else []))
        period = keys.whole(period_key)
        found = [(layer + 1) % period != 0 for layer in range(layers)]
        picked(keys, found, "with linear attention", period_key)
        return found
    if period_key is not None:
        keys.ignore(period_key)
    return [kind == LINEAR for kind in kinds]


def expert_layers(keys: Keys, layers: int) -> list[bool]:
    """Return which layers have experts; the file must say so one way or the other."""
    if not isinstance(keys.raw("moe_layer_freq"), list):
        require(keys, "mlp_layer_types", "first_k_dense_replace")
    return dense_layers(keys, layers, stated=True)


def shared_experts(keys: Keys) -> int:
    """Return the number of shared experts; null is none."""
    names = ("n_shared_experts", "num_shared_experts")
    require(keys, *names)
    return keys.whole(*names, default=0, least=0)


def routed_experts(keys: Keys) -> int:
    """Return the number of routed experts; several spellings in one file must agree."""
    names = ("n_routed_experts", "num_experts", "num_local_experts")
    count = keys.whole(*names)
    for name in names:
        if keys.has(name) and keys.whole(name) != count:
            raise keys.error(name, f"{keys.raw(name)!r} is not the {count} stated elsewhere")
    return count


def experts_of(
    keys: Keys, hidden: int, *, shared: int | None = None, router_small: int = 0
) -> ExpertBlock:
    """Return routed and shared experts of DeepSeek's kind.

    `shared` is the width of all shared experts, where it is not that of routed ones.
    """
    width = keys.whole("moe_intermediate_size")
    if shared is None:
        shared = shared_experts(keys) * width
    return ExpertBlock(
        hidden,
        routed_experts(keys),
        keys.whole("num_experts_per_tok", "num_experts_per_token"),
        width,
        shared_weights=3 * hidden * shared,
        router_small=router_small,
    )


def either(
    mixers: tuple[Mixer, ...],
    experts: ExpertBlock | None,
    dense: DenseBlock | None,
    *,
    sparse: bool,
    norms: int,
) -> Layer:
    """Return a layer with experts or with a dense block."""
    return Layer(mixers, None if sparse else dense, experts if sparse else None, norms)


def dense_block(keys: Keys, hidden: int, *, needed: bool) -> DenseBlock | None:
    """Return the gated feed-forward block of layers without experts, where there are any."""
    if not needed:
        keys.ignore("intermediate_size")
        return None
    return DenseBlock(hidden, keys.whole("intermediate_size"))


def biased_dense(keys: Keys, hidden: int) -> DenseBlock:
    """Return the gated feed-forward block, with biases where `mlp_bias` says so."""
    width = keys.whole("intermediate_size")
    bias = 2 * width + hidden if keys.flag("mlp_bias", default=False) else 0
    return DenseBlock(hidden, width, small=bias)


def state_format(keys: Keys, *names: str, default: str) -> str:
    """Return the format of recurrent states: of the first key that is there."""
    for name in names:
        if keys.has(name):
            stated = keys.word(name)
            if stated not in STATE_FORMATS:
                raise keys.error(name, f"{stated!r} is not a state format that is known")
            return STATE_FORMATS[stated]
    return default


def sliding_window(keys: Keys, kinds: list[str], *names: str) -> int | None:
    """Return the window of layers that slide, None where no layer does."""
    if SLIDING not in kinds:
        keys.ignore("sliding_window", *names)
        return None
    return keys.whole("sliding_window", *names)
