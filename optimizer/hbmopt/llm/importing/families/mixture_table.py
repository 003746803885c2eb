"""Traits of families with experts."""

from dataclasses import dataclass, replace

from hbmopt.llm.importing.families.dense_table import BIASED, QWEN3
from hbmopt.llm.importing.families.traits import Traits


@dataclass(frozen=True)
class MixtureTraits:
    """How a family with experts differs from one with `num_experts` on every layer."""

    attention: Traits
    experts: tuple[str, ...] = ("num_experts", "num_local_experts")
    active: tuple[str, ...] = ("num_experts_per_tok",)
    width: str = "moe_intermediate_size"
    layers: str = "all"
    """Which layers have experts: all; step (`decoder_sparse_step`, `mlp_only_layers`); stated
    (`mlp_layer_types` or the first key, one of which must be there); first (as stated, but none
    dense where nothing is said)."""
    first_keys: tuple[str, ...] = ("first_k_dense_replace",)
    first_dense: tuple[int, ...] = ()
    dense_width: str = "intermediate_size"
    shared_count: tuple[str, ...] = ()
    """Key of the number of shared experts, each as wide as a routed one."""
    shared_count_default: int | None = None
    shared_width: str | None = None
    """Key of the width of the shared experts; with a count, of each, where it is stated."""
    shared_gate: bool = False
    router_bias: bool = False
    """A learned bias per expert (where transformers keeps it as a buffer it is not counted)."""
    expert_bias: bool = False
    """Biases in all matrices of an expert."""
    no_bias: bool = False
    """`use_bias` would add biases to experts too, and is refused."""
    draft: bool = False
    """Multi-token prediction by a layer of the usual kind."""
    draft_repeats_tables: bool = False
    """Files repeat embedding and head with the draft layer."""


NO_BIAS = Traits()


_QWEN3 = replace(QWEN3, head_dimension_stated=False)
_QWEN3_MOE = MixtureTraits(_QWEN3, layers="step")


_GLM4_MOE = MixtureTraits(
    Traits(
        qkv_bias="attention_bias!",
        qk_norm="head",
        qk_norm_key="use_qk_norm!",
    ),
    experts=("n_routed_experts",),
    layers="stated",
    shared_count=("n_shared_experts",),
    draft=True,
    draft_repeats_tables=True,
)


BAILING = MixtureTraits(
    Traits(qkv_bias="use_qkv_bias", qk_norm="head", qk_norm_key="use_qk_norm"),
    experts=("num_experts",),
    layers="first",
    shared_count=("num_shared_experts",),
    shared_width="moe_shared_expert_intermediate_size",
    no_bias=True,
    draft=True,
)

_SARVAM = MixtureTraits(
    Traits(
        qkv_bias="attention_bias|use_qkv_bias",
        qk_norm="head",
        qk_norm_key="use_qk_norm=true",
        head_dimension_stated=True,
    ),
    experts=("n_routed_experts", "num_experts"),
    layers="stated",
    shared_count=("n_shared_experts", "num_shared_experts"),
    no_bias=True,
    draft=True,
)

DEEPSEEK = MixtureTraits(
    BIASED,
    experts=("n_routed_experts",),
    layers="stated",
    shared_count=("n_shared_experts",),
)

_GRANITE_MOE = MixtureTraits(BIASED, experts=("num_local_experts",), width="intermediate_size")


MIXTURE_TRAITS: dict[str, MixtureTraits] = {
    "mixtral": MixtureTraits(
        Traits(window="uniform"), experts=("num_local_experts",), width="intermediate_size"
    ),
    "gpt_oss": MixtureTraits(
        Traits(
            qkv_bias="attention_bias!",
            output_bias="attention_bias!",
            sinks=True,
            head_dimension_stated=True,
            window="period",
            period=2,
        ),
        experts=("num_local_experts", "num_experts"),
        active=("num_experts_per_tok", "experts_per_token"),
        width="intermediate_size",
        expert_bias=True,
        router_bias=True,
    ),
    "qwen2_moe": MixtureTraits(
        Traits(qkv_bias="qkv_bias=true", window="switched"),
        layers="step",
        shared_width="shared_expert_intermediate_size",
        shared_gate=True,
    ),
    "qwen3_moe": _QWEN3_MOE,
    "qwen3_vl_moe": replace(_QWEN3_MOE, attention=replace(_QWEN3, window="none")),
    "qwen3_vl_moe_text": replace(_QWEN3_MOE, attention=replace(_QWEN3, window="none")),
    "qwen3_omni_moe_text": replace(_QWEN3_MOE, attention=replace(_QWEN3, window="none")),
    "glm4_moe": _GLM4_MOE,
    "glm4v_moe": _GLM4_MOE,
    "glm4v_moe_text": _GLM4_MOE,
    "bailing_moe": BAILING,
    "bailing_moe_v2": BAILING,
    "sarvam_moe": _SARVAM,
    "deepseek": DEEPSEEK,
    "deepseek_ocr2_text": DEEPSEEK,
    "dots1": MixtureTraits(
        replace(BIASED, qk_norm="head", window="layered", window_stated=True),
        experts=("n_routed_experts",),
        layers="stated",
        shared_count=("n_shared_experts",),
        shared_count_default=0,
    ),
    "olmoe": MixtureTraits(replace(BIASED, qk_norm="full"), width="intermediate_size"),
    "flex_olmo": MixtureTraits(replace(BIASED, qk_norm="full"), width="intermediate_size"),
    "phimoe": MixtureTraits(
        Traits(
            qkv_bias="attention_bias!",
            output_bias="attention_bias!",
            norm_bias=True,
            window="uniform",
            head_bias="lm_head_bias!",
        ),
        experts=("num_local_experts",),
        width="intermediate_size",
    ),
    "granitemoe": _GRANITE_MOE,
    "granitemoe_swa": replace(_GRANITE_MOE, attention=replace(BIASED, sinks=True, window="listed")),
    "granitemoeshared": replace(_GRANITE_MOE, shared_width="shared_intermediate_size"),
    "aria_text": MixtureTraits(
        replace(BIASED, mlp_bias="mlp_bias"),
        experts=("moe_num_experts",),
        active=("moe_topk",),
        width="intermediate_size",
        shared_count=("moe_num_shared_experts",),
    ),
    "solar_open": MixtureTraits(
        Traits(qkv_bias="attention_bias", head_dimension_stated=True),
        experts=("n_routed_experts",),
        layers="first",
        shared_count=("n_shared_experts",),
    ),
    "hy_v3": MixtureTraits(
        replace(BIASED, mlp_bias="mlp_bias", qk_norm="head", head_dimension_stated=True),
        layers="stated",
        shared_count=("num_shared_experts",),
    ),
    "exaone_moe": MixtureTraits(
        Traits(
            qk_norm="head",
            window="pattern",
            period_key="sliding_window_pattern",
            window_stated=True,
        ),
        layers="stated",
        shared_count=("num_shared_experts",),
    ),
    "cohere2_moe": MixtureTraits(
        replace(BIASED, tied=True, norms=1, head_dimension_stated=True, window="listed"),
        width="intermediate_size",
        layers="stated",
        dense_width="prefix_dense_intermediate_size",
        shared_count=("num_shared_experts",),
        shared_count_default=0,
    ),
    "afmoe": MixtureTraits(
        replace(
            BIASED,
            norms=4,
            qk_norm="head",
            output_gate="element",
            head_dimension_stated=True,
            window="period",
            period_key="global_attn_every_n_layers",
        ),
        layers="stated",
        first_keys=("num_dense_layers",),
        shared_count=("num_shared_experts",),
        router_bias=True,
    ),
    "mellum": MixtureTraits(
        replace(BIASED, qk_norm="head", head_dimension_stated=True, window="listed"),
        layers="stated",
    ),
    "flint": MixtureTraits(
        replace(BIASED, qk_norm="head", sinks=True, head_dimension_stated=True, window="listed"),
        layers="step",
        first_dense=(0, 1),
        shared_width="shared_expert_intermediate_size",
    ),
    "kolibri1": MixtureTraits(
        Traits(norms=4, qk_norm="head", head_dimension_stated=True, window="listed"),
        shared_width="shared_expert_intermediate_size",
    ),
    "beam": MixtureTraits(
        replace(
            BIASED,
            norms=4,
            qk_norm="head",
            output_gate="element",
            attention_small="heads",
            head_dimension_stated=True,
            window="listed",
        ),
        layers="stated",
    ),
}
"""Families with experts, by model_type."""
