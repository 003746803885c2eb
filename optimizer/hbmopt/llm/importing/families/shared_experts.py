"""ERNIE 4.5 and Hunyuan: shared experts beside routed ones, ranges and caches of their own."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import (
    Blueprint,
    DenseBlock,
    ExpertBlock,
)
from hbmopt.llm.importing.families.common import (
    Builder,
    decoder,
    dense_layers,
    picked,
    sizes,
)
from hbmopt.llm.importing.families.dense_table import HUNYUAN
from hbmopt.llm.importing.families.mixture import refuse_biases, unknown_draft
from hbmopt.llm.importing.families.mixture_table import NO_BIAS
from hbmopt.llm.importing.families.parts import dense_block, either
from hbmopt.llm.importing.families.traits import mixer
from hbmopt.llm.importing.keys import Keys


def _first(keys: Keys, name: str, *, least: int = 1, default: int | None = None) -> int:
    """Return a number, or the first of two, which is that of text beside that of images."""
    if isinstance(keys.raw(name), list):
        listed = keys.wholes(name, least=least) or []
        if len(listed) != 2:
            raise keys.error(name, "is not a number for text and one for images")
        return listed[0]
    return keys.whole(name, default=default, least=least)


def ernie_layers(keys: Keys, layers: int) -> list[bool]:
    """Return which layers have experts: every few of a range, or as listed."""
    if keys.has("mlp_layer_types"):
        return dense_layers(keys, layers)
    first = _first(keys, "moe_layer_start_index", least=0)
    last = _first(keys, "moe_layer_end_index", default=-1, least=-1)
    last = layers - 1 if last == -1 else last
    if last >= layers:
        keys.idle("moe_layer_end_index", "all layers from the first with experts on have them")
    every = keys.whole("moe_layer_interval", default=1)
    found = [(layer + 1) % every == 0 and first <= layer <= last for layer in range(layers)]
    names = ("moe_layer_start_index", "moe_layer_end_index", "moe_layer_interval")
    picked(keys, found, "with experts", *names)
    return found


def image_experts(keys: Keys, hidden: int, layers: int) -> int:
    """Return the parameters of experts that only tokens of images visit, and of their routers."""
    widths = keys.wholes("moe_intermediate_size", least=1)
    if widths is None or len(widths) != 2:
        raise keys.error("moe_intermediate_size", "is not the width of text and that of images")
    counts = keys.raw("moe_num_experts")
    listed = keys.wholes("moe_num_experts", least=1) if isinstance(counts, list) else None
    count = listed[-1] if listed else keys.whole("moe_num_experts")
    return layers * count * (3 * hidden * widths[1] + hidden + 1)


def ernie4_5_moe(keys: Keys, outer: Keys) -> Blueprint:
    """ERNIE 4.5: experts on a range of layers and shared ones; with images also those of images."""
    size = sizes(keys)
    refuse_biases(keys)
    width = _first(keys, "moe_intermediate_size")
    count = _first(keys, "moe_num_experts")
    experts = ExpertBlock(
        size.hidden,
        count,
        keys.whole("moe_k"),
        width,
        shared_weights=3 * size.hidden * width * keys.whole("moe_num_shared_experts", least=0),
        router_small=count,
    )
    sparse = ernie_layers(keys, size.layers)
    attention = mixer(keys, NO_BIAS, size.hidden, None)
    dense = dense_block(keys, size.hidden, needed=not all(sparse))
    layers = [
        either((attention,), experts, dense, sparse=has, norms=2 * size.hidden) for has in sparse
    ]
    keys.ignore("moe_norm_min", "moe_use_aux_free", "moe_gate", "moe_capacity")
    images, notes = 0, unknown_draft(keys)
    if isinstance(keys.raw("moe_intermediate_size"), list):
        images = image_experts(keys, size.hidden, sum(sparse))
        notes += (
            f"Experts that only images visit, {images:,} parameters with their routers, are "
            "counted as lookup_tables: resident, and not read for tokens of text.",
        )
    return decoder(keys, outer, size, layers, tie=True, lookup_tables=images, notes=notes)


def _by_layer(keys: Keys, layers: int, *names: str, default: int | None = None) -> int:
    """Return a number that is stated once, or for every layer and always the same."""
    for name in names:
        listed = keys.raw(name)
        if isinstance(listed, list) and len(listed) != layers:
            raise keys.error(name, f"has {len(listed)} items for {layers} layers")
    return keys.alike(*names, default=default, least=0)


def hunyuan_moe(keys: Keys, outer: Keys) -> Blueprint:
    """Hunyuan-A13B and Large: experts on all layers but the first few, shared ones beside them.

    With attention across layers (CLA) only every n-th layer makes keys and values.
    """
    size = sizes(keys)
    width = keys.whole("intermediate_size")
    beside = keys.flag("use_mixed_mlp_moe", default=True)
    shared = _by_layer(keys, size.layers, "num_shared_expert", default=1) if beside else 0
    keys.ignore("num_shared_expert", reason="`use_mixed_mlp_moe` says that there are none")
    experts = ExpertBlock(
        size.hidden,
        _by_layer(keys, size.layers, "num_experts"),
        _by_layer(keys, size.layers, "moe_topk", "num_experts_per_tok"),
        _by_layer(keys, size.layers, "moe_intermediate_size", default=width),
        shared_weights=3 * size.hidden * width * shared,
    )
    keys.ignore("moe_drop_tokens", "moe_random_routing_dropped_token")
    first = keys.whole("moe_layer_num_skipped", default=0, least=0)
    attention = mixer(keys, HUNYUAN, size.hidden, None)
    across = replace(
        attention,
        owns_cache=False,
        # It normalises the keys of another layer with weights of its own.
        extra_small=attention.head_dimension if attention.qk_norm != "none" else 0,
    )
    share = 1
    if keys.flag("use_cla", default=False):
        share = keys.whole("cla_share_factor")
    keys.ignore("cla_share_factor", reason="no layer uses the keys of another")
    dense = DenseBlock(size.hidden, width)
    layers = [
        either(
            (across if layer % share else attention,),
            experts,
            dense,
            sparse=layer >= first,
            norms=2 * size.hidden,
        )
        for layer in range(size.layers)
    ]
    return decoder(keys, outer, size, layers, tie=keys.family == "hunyuan")


FAMILIES: dict[str, Builder] = {
    "ernie4_5_moe": ernie4_5_moe,
    "ernie4_5_moe_vl": ernie4_5_moe,
    "ernie4_5_vl_moe": ernie4_5_moe,
    "ernie4_5_vl_moe_text": ernie4_5_moe,
    "hunyuan": hunyuan_moe,
    "hunyuan_v1_moe": hunyuan_moe,
}
