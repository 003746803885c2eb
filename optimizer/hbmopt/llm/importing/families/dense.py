"""Families whose layers are grouped attention and a dense feed-forward block."""

from dataclasses import replace
from functools import partial

from hbmopt.llm.importing.blocks import Blueprint, Layer
from hbmopt.llm.importing.families.common import Builder, layer_draft, sizes, tied
from hbmopt.llm.importing.families.dense_table import DENSE, HUNYUAN, QWEN2
from hbmopt.llm.importing.families.traits import (
    Traits,
    end_parameters,
    feed_forward,
    layer_windows,
    mixer,
    norm_parameters,
    says,
)
from hbmopt.llm.importing.keys import Keys


def dense(keys: Keys, outer: Keys, traits: Traits) -> Blueprint:
    """Return the blueprint of a dense decoder."""
    size = sizes(keys, vocabulary=traits.vocabulary)
    width = keys.whole(traits.intermediate_key)
    layers = [
        Layer(
            mixers=(mixer(keys, traits, size.hidden, window),),
            dense=feed_forward(keys, traits, size.hidden, width),
            norms=norm_parameters(keys, traits, size.hidden),
        )
        for window in layer_windows(keys, traits, size.layers)
    ]
    return Blueprint(
        hidden=size.hidden,
        vocabulary=size.vocabulary,
        tied=tied(keys, outer, default=traits.tied),
        layers=tuple(layers),
        final_norms=end_parameters(traits, size.hidden),
        head_bias=size.vocabulary if says(keys, traits.head_bias) else 0,
    )


def mimo(keys: Keys, outer: Keys) -> Blueprint:
    """MiMo-7B: Qwen2 with one layer of multi-token prediction."""
    plan = dense(keys, outer, replace(QWEN2, qkv_bias="attention_bias!"))
    modules = keys.whole("num_nextn_predict_layers", default=0, least=0)
    return replace(plan, draft=layer_draft(plan.layers[-1], plan.hidden, modules))


def hunyuan(keys: Keys, outer: Keys) -> Blueprint:
    """Hunyuan dense models, without attention across layers."""
    refuse_cross_layer(keys)
    keys.ignore("org_vocab_size", "attention_head_dim")
    return dense(keys, outer, replace(HUNYUAN, tied=keys.family.startswith("hunyuan_vl")))


def molmo2(keys: Keys, outer: Keys) -> Blueprint:
    """Molmo 2: Qwen3, or OLMo's norms, with a few more embeddings than the head has rows."""
    kind = keys.word("qk_norm_type")
    if kind not in ("qwen3", "olmo"):
        raise keys.error("qk_norm_type", f"{kind!r} is neither 'qwen3' nor 'olmo'")
    traits = Traits(
        qkv_bias="attention_bias",
        qk_norm="head" if kind == "qwen3" else "full",
        head_dimension_stated=True,
    )
    plan = dense(keys, outer, traits)
    if plan.tied:
        raise keys.error("tie_word_embeddings", "the embedding has more rows than the head")
    more = keys.whole("additional_vocab_size", least=0)
    return replace(plan, embedding_extra=more * plan.hidden)


def refuse_cross_layer(keys: Keys) -> None:
    """Refuse Hunyuan's attention across layers (CLA), where layers share a cache in turns."""
    if keys.flag("use_cla", default=False):
        raise keys.error("use_cla", "caches shared between layers are not known in this family")
    keys.ignore("cla_share_factor")


FAMILIES: dict[str, Builder] = {
    **{family: partial(dense, traits=traits) for family, traits in DENSE.items()},
    "mimo": mimo,
    "molmo2_text": molmo2,
    "hunyuan_v1_dense": hunyuan,
    "hunyuan_vl": hunyuan,
    "hunyuan_vl_text": hunyuan,
}
