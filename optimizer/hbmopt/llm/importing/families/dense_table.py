"""Traits of families without experts.

Each row states the traits of one model_type as the transformers library's module of that name,
or the model's own code, has them.
"""

from dataclasses import replace

from hbmopt.llm.importing.families.traits import (
    Traits,
)

BIASED = Traits(qkv_bias="attention_bias", output_bias="attention_bias")
"""Biases in all four projections of attention, where `attention_bias` says so."""


LLAMA = replace(BIASED, mlp_bias="mlp_bias", kv_heads_required=False)


QWEN2 = Traits(qkv_bias=True, window="optional")


QWEN3 = replace(BIASED, qk_norm="head", head_dimension_stated=True, window="optional")


GEMMA = replace(BIASED, tied=True, head_dimension_stated=True)


HUNYUAN = replace(
    BIASED,
    qk_norm="head",
    qk_norm_key="use_qk_norm=true",
    head_dimension_names=("attention_head_dim",),
)


_GEMMA2 = replace(GEMMA, norms=4, window="period", period=2)


_GEMMA3 = replace(
    GEMMA,
    vocabulary=262_208,
    heads=8,
    kv_heads=4,
    head_dimension=256,
    norms=4,
    qk_norm="head",
    window="period",
    period=6,
    period_key="sliding_window_pattern",
)


_GLM4 = Traits(qkv_bias="attention_bias!", head_dimension_stated=True, norms=4)


_ERNIE = Traits(
    tied=True,
    qkv_bias="use_bias",
    output_bias="use_bias",
    mlp_bias="use_bias",
    head_dimension_stated=True,
)


_MISTRAL = Traits(window="uniform", window_stated=True)


_PHI3 = Traits(window="uniform")
PHI4 = replace(_PHI3, tied=True)


_COHERE = replace(BIASED, tied=True, norms=1)


_EXAONE4 = Traits(qk_norm="head", window="pattern", period=4, period_key="sliding_window_pattern")


_HYPERCLOVAX = replace(LLAMA, kv_heads_required=True, post_norms="use_post_norm!")


PHI3_SMALL = Traits(
    tied=True,
    qkv_bias=True,
    output_bias=True,
    norm_bias=True,
    mlp_bias=True,
    intermediate_key="ff_intermediate_size",
)
_APERTUS = replace(BIASED, matrices=2, qk_norm="head", mlp_small=2)
_GRANITE = replace(LLAMA, kv_heads_required=True)


DENSE: dict[str, Traits] = {
    "llama": LLAMA,
    "baichuan": Traits(kv_heads_required=False),
    "internlm": Traits(kv_heads_required=False, qkv_bias="bias!", output_bias="bias!"),
    "granite4_vision_text": _GRANITE,
    "mistral": _MISTRAL,
    "ministral": _MISTRAL,
    "ministral3": Traits(window="uniform", head_dimension_stated=True),
    "qwen2": QWEN2,
    "qwen2_vl": QWEN2,
    "qwen2_vl_text": QWEN2,
    "qwen2_5_vl": QWEN2,
    "qwen2_5_vl_text": QWEN2,
    "qwen2_5_omni_text": QWEN2,
    "qwen3": QWEN3,
    "qwen3_vl": replace(QWEN3, window="none"),
    "qwen3_vl_text": replace(QWEN3, window="none"),
    "gemma": GEMMA,
    "gemma2": _GEMMA2,
    "gemma3": _GEMMA3,
    "gemma3_text": _GEMMA3,
    "vaultgemma": replace(GEMMA, window="listed"),
    "phi": Traits(
        kv_heads_required=False,
        qkv_bias=True,
        output_bias=True,
        qk_norm="head_bias",
        qk_norm_key="qk_layernorm",
        norms=1,
        norm_bias=True,
        matrices=2,
        mlp_bias=True,
        head_bias=True,
    ),
    "phi3": _PHI3,
    "olmo": replace(BIASED, norms=0, final_norm=False),
    "olmo2": replace(BIASED, qk_norm="full"),
    "olmo3": replace(BIASED, qk_norm="full", window="period", period=4),
    "cohere_compass_text": replace(_COHERE, window="listed"),
    "cohere": replace(_COHERE, qk_norm="full", qk_norm_key="use_qk_norm"),
    "cohere2": replace(_COHERE, window="period", period=4, period_key="sliding_window_pattern"),
    "granite": _GRANITE,
    "granite_docling_text": replace(_GRANITE, tied=True),
    "granite_swa": replace(_GRANITE, tied=True, sinks=True, window="listed"),
    "starcoder2": Traits(
        tied=True,
        qkv_bias="use_bias=true",
        output_bias="use_bias=true",
        mlp_bias="use_bias=true",
        norm_bias=True,
        matrices=2,
        window="uniform",
    ),
    "glm": Traits(qkv_bias="attention_bias!", head_dimension_stated=True),
    "glm4": _GLM4,
    "glm4v": replace(_GLM4, qkv_bias=True, head_dimension_stated=False),
    "glm4v_text": replace(_GLM4, qkv_bias=True, head_dimension_stated=False),
    "glm_ocr": replace(_GLM4, qkv_bias=False, head_dimension_stated=False),
    "glm_ocr_text": replace(_GLM4, qkv_bias=False, head_dimension_stated=False),
    "seed_oss": Traits(
        qkv_bias="attention_bias!",
        output_bias="attention_out_bias!",
        mlp_bias="mlp_bias",
        head_dimension_stated=True,
    ),
    "exaone": Traits(),
    "exaone4": _EXAONE4,
    "exaone4_5_text": _EXAONE4,
    "smollm3": replace(LLAMA, tied=True, kv_heads_required=True, window="switched"),
    "arcee": replace(LLAMA, kv_heads_required=True, matrices=2),
    "apertus": _APERTUS,
    "apertus1p5_text": _APERTUS,
    "nemotron": replace(LLAMA, kv_heads_required=True, matrices=2, norm_bias=True),
    "stablelm": Traits(
        norm_bias=True,
        parallel="use_parallel_residual",
        qkv_bias="use_qkv_bias",
        qk_norm="full",
        qk_norm_key="qk_layernorm",
    ),
    "ernie4_5": _ERNIE,
    "paddleocr_vl": _ERNIE,
    "paddleocr_vl_text": _ERNIE,
    "helium": Traits(qkv_bias="attention_bias", mlp_bias="mlp_bias", head_dimension_stated=True),
    "internlm2": Traits(qkv_bias="bias", output_bias="bias"),
    "internlm3": Traits(
        qkv_bias="qkv_bias|attention_bias",
        output_bias="bias|mlp_bias",
        mlp_bias="bias|mlp_bias",
        head_dimension_stated=True,
    ),
    "iquestcoder": replace(LLAMA, kv_heads_required=True),
    "hyperclovax": _HYPERCLOVAX,
    "minicpm": Traits(tied=True),
    "jais2": Traits(
        qkv_bias="attention_bias!",
        output_bias="attention_bias!",
        mlp_bias="mlp_bias!",
        norm_bias=True,
        matrices=2,
    ),
    "cwm": Traits(mlp_bias="mlp_bias", head_dimension_stated=True, window="listed"),
    "bitnet": replace(BIASED, attention_small="hidden", mlp_norm=True),
    "nanochat": replace(BIASED, norms=0, final_norm=False, matrices=2),
    "persimmon": Traits(
        kv_heads_required=False,
        qkv_bias=True,
        output_bias=True,
        qk_norm="head_bias",
        qk_norm_key="qk_layernorm=true",
        norm_bias=True,
        matrices=2,
        mlp_bias=True,
    ),
    "gpt_neox": Traits(
        kv_heads_required=False,
        qkv_bias="attention_bias=true",
        output_bias="attention_bias=true",
        norm_bias=True,
        matrices=2,
        mlp_bias=True,
    ),
    "cosmos3_edge_text": replace(
        LLAMA, kv_heads_required=True, matrices=2, head_dimension_stated=True
    ),
    "muse_glimmer_text": replace(
        BIASED, norms=4, output_gate="element", head_dimension_stated=True, window="listed"
    ),
}
"""Families without experts, by model_type."""
