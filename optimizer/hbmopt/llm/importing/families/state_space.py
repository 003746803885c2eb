"""Families with state-space layers: Mamba alone, or mixed with attention."""

from hbmopt.llm.importing.blocks import (
    Blueprint,
    DenseBlock,
    ExpertBlock,
    Layer,
    Mixer,
    RecurrentMixer,
)
from hbmopt.llm.importing.families.common import (
    FULL,
    LINEAR,
    Builder,
    decoder,
    picked,
    sizes,
)
from hbmopt.llm.importing.families.mamba import (
    inner_size,
    mamba1,
    mamba2,
    prefixed_mamba2,
    split_heads,
)
from hbmopt.llm.importing.families.parts import (
    biased_dense,
    dense_block,
    either,
    mixer_kinds,
    plain_attention,
    require,
    required_flag,
    routed_experts,
)
from hbmopt.llm.importing.keys import Keys


def pure(keys: Keys, outer: Keys, mixer: RecurrentMixer, *, tie: bool) -> Blueprint:
    """Return a model of state-space layers alone: one norm each, no feed-forward blocks."""
    size = sizes(keys)
    return decoder(keys, outer, size, (Layer((mixer,), norms=size.hidden),) * size.layers, tie=tie)


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
    return decoder(keys, outer, size, (layer,) * size.layers)


def bamba(keys: Keys, outer: Keys) -> Blueprint:
    """Bamba: Mamba-2 with attention on a few layers."""
    size = sizes(keys)
    kinds = mixer_kinds(keys, size.layers, (FULL, LINEAR), "layers_block_type")
    if kinds is None:
        require(keys, "attn_layer_indices", "layers_block_type")
        chosen = keys.numbered("attn_layer_indices", size.layers) or frozenset()
        kinds = [FULL if layer in chosen else LINEAR for layer in range(size.layers)]
    inner = inner_size(keys, size.hidden, "mamba_expand")
    recurrent = prefixed_mamba2(keys, size.hidden, inner=inner)
    attention = plain_attention(keys, size.hidden, bias="attention_bias")
    dense = biased_dense(keys, size.hidden)
    layers = [
        Layer((attention if kind == FULL else recurrent,), dense, None, 2 * size.hidden)
        for kind in kinds
    ]
    return decoder(keys, outer, size, layers)


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
    return decoder(keys, outer, size, layers)


def phased(keys: Keys, layers: int, period_key: str, offset_key: str) -> list[bool]:
    """Return which layers stand at the offset of their period."""
    period, offset = keys.whole(period_key), keys.whole(offset_key, least=0)
    if offset >= period:
        raise keys.error(offset_key, f"{offset} is not below the period {period}")
    found = [layer % period == offset for layer in range(layers)]
    picked(keys, found, "at the offset of their period", period_key, offset_key)
    return found


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
    return decoder(keys, outer, size, layers)


def zamba(keys: Keys, _outer: Keys) -> Blueprint:
    """Zamba applies the weights of few attention blocks many times, which no entry can say."""
    raise keys.error(
        "model_type",
        f"{keys.family!r} applies the same attention blocks several times in a step, so that it "
        "reads and computes more than it stores; only models that use each weight once are known",
    )


FAMILIES: dict[str, Builder] = {
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
