"""Families of grouped attention with a mixture of experts, as rows of traits."""

from dataclasses import replace
from functools import partial

from hbmopt.llm.importing.blocks import Blueprint, DenseBlock, DraftPlan, ExpertBlock, Layer
from hbmopt.llm.importing.families.common import (
    Builder,
    decoder,
    dense_layers,
    layer_draft,
    sizes,
    step_layers,
)
from hbmopt.llm.importing.families.mixture_table import MIXTURE_TRAITS, MixtureTraits
from hbmopt.llm.importing.families.traits import (
    end_parameters,
    feed_forward,
    mixer,
    norm_parameters,
    says,
)
from hbmopt.llm.importing.families.windows import layer_windows
from hbmopt.llm.importing.keys import Keys


def shared_width(keys: Keys, width: int) -> int:
    """Return the width of all shared experts together: their number times one expert's."""
    return keys.whole("n_shared_experts", "num_shared_experts", default=0, least=0) * width


def refuse_biases(keys: Keys) -> None:
    """Refuse biases of experts, which files of Ling and ERNIE could switch on."""
    if keys.flag("use_bias", default=False):
        raise keys.error("use_bias", "biases of experts are not known in this family")


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
        each = keys.whole(traits.shared_width, default=width) if traits.shared_width else width
        return each * keys.whole(*traits.shared_count, default=default, least=0)
    if traits.shared_width is not None:
        return keys.whole(traits.shared_width, least=0)
    return 0


def mixture_experts(keys: Keys, traits: MixtureTraits, hidden: int) -> ExpertBlock:
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
        expert_bias=2 * width + hidden if traits.expert_bias else 0,
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
    if traits.no_bias:
        refuse_biases(keys)
    experts = mixture_experts(keys, traits, size.hidden)
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
        draft = layer_draft(
            drafting, size.hidden, modules, repeats_tables=traits.draft_repeats_tables
        )
    else:
        notes = unknown_draft(keys)
    return decoder(
        keys,
        outer,
        size,
        layers,
        tie=row.tied,
        ends=end_parameters(row, size.hidden),
        draft=draft,
        head_bias=size.vocabulary if says(keys, row.head_bias) else 0,
        notes=notes,
    )


FAMILIES: dict[str, Builder] = {
    family: partial(mixture, traits=traits) for family, traits in MIXTURE_TRAITS.items()
}
