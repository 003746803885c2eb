"""Families of grouped attention with a mixture of experts, as rows of traits."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from hbmopt.llm.importing.blocks import Blueprint, DenseBlock, DraftPlan, ExpertBlock, Layer
from hbmopt.llm.importing.families.common import dense_layers, layer_draft, sizes, step_layers, tied
from hbmopt.llm.importing.families.dense import BIASED, QWEN3
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

Builder = Callable[[Keys, Keys], Blueprint]

NO_BIAS = Traits()


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
    """Key of the width of the shared experts."""
    shared_gate: bool = False
    router_bias: bool = False
    """A learned bias per expert (where transformers keeps it as a buffer it is not counted)."""
    draft: bool = False
    """Multi-token prediction by a layer of the usual kind."""


def shared_width(keys: Keys, width: int) -> int:
    """Return the width of all shared experts together: their number times one expert's."""
    return keys.whole("n_shared_experts", "num_shared_experts", default=0, least=0) * width


def unknown_draft(keys: Keys) -> tuple[str, ...]:
    """Return the note of a family whose multi-token prediction is not known, where it has one."""
    keys.ignore("mtp_layer_types", "mtp_mlp_layer_types")
    modules = keys.whole("num_nextn_predict_layers", "num_mtp_layers", default=0, least=0)
    if not modules:
        return ()
    for key in ("num_nextn_predict_layers", "num_mtp_layers"):
        keys.leave_out(key, "multi-token prediction, whose layers are not described")
    return ()


def _shared_width(keys: Keys, traits: MixtureTraits, width: int) -> int:
    """Return the width of all shared experts of one layer together."""
    if traits.shared_count:
        default = traits.shared_count_default
        return width * keys.whole(*traits.shared_count, default=default, least=0)
    if traits.shared_width is not None:
        return keys.whole(traits.shared_width, least=0)
    return 0


def experts_of(keys: Keys, traits: MixtureTraits, hidden: int) -> ExpertBlock:
    """Return the experts of one layer."""
    width, count = keys.whole(traits.width), keys.whole(*traits.experts)
    shared = _shared_width(keys, traits, width)
    small = count if traits.router_bias else 0
    if shared and traits.shared_gate:
        small += hidden
    if shared and says(keys, traits.attention.mlp_bias):
        small += 2 * shared + hidden
    return ExpertBlock(
        hidden,
        count,
        keys.whole(*traits.active),
        width,
        shared_weights=3 * hidden * shared,
        router_small=small,
    )


def layers_with_experts(keys: Keys, traits: MixtureTraits, layers: int) -> list[bool]:
    """Return which layers have experts by the family's rule."""
    if traits.layers == "all":
        return [True] * layers
    if traits.layers == "step":
        return step_layers(keys, layers, traits.first_dense)
    return dense_layers(
        keys, layers, first_keys=traits.first_keys, stated=traits.layers == "stated"
    )


def mixture(keys: Keys, outer: Keys, traits: MixtureTraits) -> Blueprint:
    """Return the blueprint of a decoder with experts."""
    size = sizes(keys)
    experts = experts_of(keys, traits, size.hidden)
    row = traits.attention
    sparse = layers_with_experts(keys, traits, size.layers)

    def dense_block() -> DenseBlock:
        return feed_forward(keys, row, size.hidden, keys.whole(traits.dense_width))

    layers = [
        Layer(
            (mixer(keys, row, size.hidden, window),),
            None if has_experts else dense_block(),
            experts if has_experts else None,
            norm_parameters(keys, row, size.hidden),
        )
        for has_experts, window in zip(sparse, layer_windows(keys, row, size.layers), strict=True)
    ]
    draft: DraftPlan | None = None
    notes: tuple[str, ...] = ()
    if traits.draft:
        modules = keys.whole("num_nextn_predict_layers", "num_mtp_layers", default=0, least=0)
        drafting = replace(layers[-1], dense=None, experts=experts)
        # Files of GLM-4.5 repeat embedding and head with the draft layer.
        draft = layer_draft(drafting, size.hidden, modules, repeats_tables=True)
    else:
        notes = unknown_draft(keys)
    return Blueprint(
        size.hidden,
        size.vocabulary,
        tied(keys, outer, default=row.tied),
        tuple(layers),
        end_parameters(row, size.hidden),
        draft,
        head_bias=size.vocabulary if says(keys, row.head_bias) else 0,
        notes=notes,
    )


_QWEN3_MOE = MixtureTraits(QWEN3, layers="step")
_GLM4_MOE = MixtureTraits(
    Traits(
        qkv_bias="attention_bias!",
        qk_norm="head",
        qk_norm_key="use_qk_norm!",
        head_dimension_stated=True,
    ),
    experts=("n_routed_experts",),
    layers="stated",
    shared_count=("n_shared_experts",),
    draft=True,
)
_GRANITE_MOE = MixtureTraits(BIASED, experts=("num_local_experts",), width="intermediate_size")

MIXTURE_TRAITS: dict[str, MixtureTraits] = {
    "mixtral": MixtureTraits(
        Traits(window="uniform"), experts=("num_local_experts",), width="intermediate_size"
    ),
    "qwen2_moe": MixtureTraits(
        Traits(qkv_bias="qkv_bias=true", window="switched"),
        layers="step",
        shared_width="shared_expert_intermediate_size",
        shared_gate=True,
    ),
    "qwen3_moe": _QWEN3_MOE,
    "qwen3_vl_moe": replace(_QWEN3_MOE, attention=replace(QWEN3, window="none")),
    "qwen3_vl_moe_text": replace(_QWEN3_MOE, attention=replace(QWEN3, window="none")),
    "qwen3_omni_moe_text": replace(_QWEN3_MOE, attention=replace(QWEN3, window="none")),
    "glm4_moe": _GLM4_MOE,
    "glm4v_moe": _GLM4_MOE,
    "glm4v_moe_text": _GLM4_MOE,
    "deepseek": MixtureTraits(
        BIASED,
        experts=("n_routed_experts",),
        layers="stated",
        shared_count=("n_shared_experts",),
    ),
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

MIXTURE: dict[str, Builder] = {
    family: partial(mixture, traits=traits) for family, traits in MIXTURE_TRAITS.items()
}
