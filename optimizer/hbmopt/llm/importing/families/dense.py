"""Families whose layers are grouped attention and a dense feed-forward block."""

from dataclasses import replace
from functools import partial

from hbmopt.llm.importing.blocks import Blueprint, Layer
from hbmopt.llm.importing.families.common import Builder, layer_draft, sizes, tied
from hbmopt.llm.importing.families.dense_table import DENSE, HUNYUAN, PHI3_SMALL, PHI4, QWEN2
from hbmopt.llm.importing.families.traits import (
    Traits,
    end_parameters,
    feed_forward,
    mixer,
    norm_parameters,
    says,
)
from hbmopt.llm.importing.families.windows import layer_windows
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
    keys.ignore("org_vocab_size", reason="rows of the table beyond it are padding")
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


def phi3_small(keys: Keys, outer: Keys) -> Blueprint:
    """Phi-3-small: biases throughout, blocks of older tokens on most layers."""
    plan = dense(keys, outer, PHI3_SMALL)
    keys.ignore(
        "dense_attention_every_n_layers", reason="all layers are counted as reading everything"
    )
    blocks = ("block_size", "num_local_blocks", "vert_stride", "homo_head_pattern")
    for name in (*blocks, "triton_kernel_block_size"):
        keys.ignore(f"blocksparse_{name}", reason="all layers are counted as reading everything")
    return replace(
        plan,
        notes=(
            "Most layers attend to blocks of older tokens; all are counted as reading the whole "
            "cache, as some head needs every block.",
        ),
    )


def phi4_multimodal(keys: Keys, outer: Keys) -> Blueprint:
    """Phi-4-multimodal: Phi-3 with adapters for images and speech, which are left out."""
    plan = dense(keys, outer, PHI4)
    keys.ignore("vision_lora", "speech_lora", reason="adapters for images and speech are left out")
    return replace(
        plan, notes=("Images and speech, with their adapters of the decoder, are left out.",)
    )


def refuse_cross_layer(keys: Keys) -> None:
    """Refuse Hunyuan's attention across layers (CLA), where layers share a cache in turns."""
    if keys.flag("use_cla", default=False):
        raise keys.error("use_cla", "caches shared between layers are not known in this family")
    keys.ignore("cla_share_factor")


FAMILIES: dict[str, Builder] = {
    **{family: partial(dense, traits=traits) for family, traits in DENSE.items()},
    "mimo": mimo,
    "phi3small": phi3_small,
    "phi4_multimodal": phi4_multimodal,
    "phi4mm": phi4_multimodal,
    "molmo2_text": molmo2,
    "hunyuan_v1_dense": hunyuan,
    "hunyuan_vl": hunyuan,
    "hunyuan_vl_text": hunyuan,
}
