"""Step 3: window layers with heads of their own, experts beside a shared one."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from hbmopt.llm.importing.blocks import (
    Blueprint,
    DenseBlock,
    DraftPlan,
    ExpertBlock,
    GroupedMixer,
    Layer,
)
from hbmopt.llm.importing.families.common import (
    FULL,
    SLIDING,
    Builder,
    Sizes,
    decoder,
    dense_layers,
    groups,
    layer_draft,
    listed_kinds,
    sizes,
)
from hbmopt.llm.importing.families.parts import dense_block, either
from hbmopt.llm.importing.keys import Keys


def step_experts(keys: Keys, layers: int) -> list[bool] | None:
    """Return which layers have experts by `moe_layers_enum`, or None where it is absent.

    The list goes past `layers` where multi-token prediction follows them.
    """
    stated = keys.raw("moe_layers_enum")
    if stated is None:
        return None
    words = stated.split(",") if isinstance(stated, str) else stated
    try:
        with_experts = {int(one) for one in words if str(one).strip()}
    except (TypeError, ValueError):
        raise keys.error("moe_layers_enum", f"{stated!r} is not a list of layers") from None
    found = [layer in with_experts for layer in range(layers)]
    keys.tally("moe_layers_enum", f"{sum(found)} of {layers} layers")
    return found


def step_mixers(keys: Keys, size: Sizes) -> tuple[GroupedMixer, GroupedMixer]:
    """Return the full and the sliding attention of Step 3.5."""
    heads = keys.whole("num_attention_heads")
    kv_heads = keys.whole("num_attention_groups", "num_key_value_heads")
    dimension = keys.whole("head_dim")
    if keys.flag("sink", default=False):
        raise keys.error("sink", "attention sinks are not known in this family")
    bias = keys.flag("attention_bias", default=False)
    full = GroupedMixer(
        size.hidden,
        heads,
        kv_heads,
        dimension,
        dimension,
        bias,
        bias,
        "head" if keys.flag("use_qk_norm", default=True) else "none",
        output_gate="head" if keys.flag("use_head_wise_attn_gate", default=True) else "none",
    )
    other = keys.below("attention_other_setting")
    own_heads = keys.whole("num_sliding_attention_heads", default=heads)
    if other is not None:
        other.ignore("attention_type", "true_head_dim")
        own_heads = other.whole("num_attention_heads")
        kv_heads = other.whole("num_attention_groups", default=kv_heads)
        dimension = other.whole("head_dim", default=dimension)
    groups(keys, "num_attention_heads", heads, full.kv_heads)
    groups(keys, "num_attention_heads", own_heads, kv_heads)
    window = keys.whole("sliding_window", default=0, least=0) or None
    local = replace(
        full,
        heads=own_heads,
        kv_heads=kv_heads,
        head_dimension=dimension,
        value_dimension=dimension,
        window=window,
    )
    return full, local


def _step_overrides(keys: Keys, heads: int) -> None:
    """Refuse a `per_layer_config` that says more than the heads of window layers."""
    overrides = keys.raw("per_layer_config")
    if not isinstance(overrides, Mapping):
        return
    for values in overrides.values():
        if values != {"num_attention_heads": heads}:
            raise keys.error("per_layer_config", f"{values!r} is not known to be possible")


def _step_draft(
    keys: Keys,
    size: Sizes,
    kinds: list[str],
    sparse: list[bool],
    layer: Callable[[str, bool], Layer],
) -> tuple[DraftPlan | None, tuple[str, ...]]:
    """Return multi-token prediction by the layers that the lists name past the decoder's own."""
    modules = keys.whole("num_nextn_predict_layers", default=0, least=0)
    drafting = keys.listed("mtp_layer_types") or kinds[size.layers :]
    own = keys.listed("mtp_mlp_layer_types") or []
    with_experts = [one == "sparse" for one in own] or sparse[size.layers :]
    if not modules:
        return None, ()
    if not drafting or not with_experts or drafting[0] not in (FULL, SLIDING):
        keys.leave_out(
            "num_nextn_predict_layers", "multi-token prediction, whose layers are not described"
        )
        return None, ()
    plan = layer_draft(layer(str(drafting[0]), with_experts[0]), size.hidden, modules)
    return plan, ()


def step_mixture(keys: Keys, size: Sizes) -> ExpertBlock:
    """Return routed experts, and a shared one as wide as stated."""
    return ExpertBlock(
        size.hidden,
        keys.whole("moe_num_experts", "n_routed_experts", "num_experts"),
        keys.whole("moe_top_k", "num_experts_per_tok"),
        keys.whole("moe_intermediate_size"),
        shared_weights=3 * size.hidden * keys.whole("share_expert_dim", least=0),
    )


def step3p5(keys: Keys, outer: Keys) -> Blueprint:
    """Step 3.5 and 3.7: window layers with heads of their own, gates per head."""
    size = sizes(keys)
    full, local = step_mixers(keys, size)
    _step_overrides(keys, local.heads)
    named = len(keys.listed("layer_types") or [])
    kinds = listed_kinds(keys, max(named, size.layers))
    if SLIDING in kinds and local.window is None:
        raise keys.missing("sliding_window")
    if keys.whole("n_shared_experts", default=1) != 1:
        raise keys.error("n_shared_experts", "several shared experts are not known in this family")
    if keys.flag("mlp_bias", default=False):
        raise keys.error("mlp_bias", "biases of experts are not known in this family")
    experts = step_mixture(keys, size)
    dense = DenseBlock(size.hidden, keys.whole("intermediate_size"))
    sparse = step_experts(keys, len(kinds))
    if sparse is None:
        sparse = dense_layers(keys, size.layers, stated=True)

    def layer(kind: str, has_experts: bool) -> Layer:
        return Layer(
            (local if kind == SLIDING else full,),
            None if has_experts else dense,
            experts if has_experts else None,
            2 * size.hidden,
        )

    keys.ignore("use_moe", "moe_every_n_layer", "moe_layer_offset", "use_moe_router_bias")
    draft, notes = _step_draft(keys, size, kinds, sparse, layer)
    return decoder(
        keys,
        outer,
        size,
        [layer(kind, sparse[place]) for place, kind in enumerate(kinds[: size.layers])],
        draft=draft,
        notes=notes,
    )


def step3(keys: Keys, outer: Keys) -> Blueprint:
    """Step 3: queries of many heads from one narrow state, one head of keys and values."""
    size = sizes(keys)
    heads, dimension = keys.whole("num_attention_heads"), keys.whole("head_dim")
    if keys.whole("num_attention_groups", "num_key_value_heads", default=1) != 1:
        raise keys.error("num_attention_groups", "one head of keys and values is known only")
    attention = GroupedMixer(
        size.hidden, heads, 1, dimension, dimension, query_rank=keys.whole("share_q_dim")
    )
    sparse = step_experts(keys, size.layers)
    if sparse is None:
        raise keys.missing("moe_layers_enum")
    experts = step_mixture(keys, size)
    dense = dense_block(keys, size.hidden, needed=not all(sparse))
    layers = [
        either((attention,), experts, dense, sparse=has, norms=2 * size.hidden) for has in sparse
    ]
    return decoder(keys, outer, size, layers)


FAMILIES: dict[str, Builder] = {
    "step3": step3,
    "step3_text": step3,
    "step3_vl": step3,
    "step3p5": step3p5,
    "step3p7": step3p5,
}
