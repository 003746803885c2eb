"""Families of grouped attention with experts whose layers follow a rule of their own."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import (
    Blueprint,
    DenseBlock,
    ExpertBlock,
    GroupedMixer,
    Layer,
)
from hbmopt.llm.importing.families.common import (
    CHUNKED,
    Builder,
    decoder,
    layer_kinds,
    picked,
    sizes,
)
from hbmopt.llm.importing.families.dense_table import BIASED
from hbmopt.llm.importing.families.traits import mixer
from hbmopt.llm.importing.keys import Keys


def llama4(keys: Keys, outer: Keys) -> Blueprint:
    """Llama 4: three of four layers attend within a chunk, experts every few layers."""
    size = sizes(keys)
    width = keys.whole("intermediate_size")
    experts = ExpertBlock(
        size.hidden,
        keys.whole("num_local_experts"),
        keys.whole("num_experts_per_tok"),
        width,
        shared_weights=3 * size.hidden * width,
    )
    listed = keys.numbered("moe_layers", size.layers)
    step = keys.whole("interleave_moe_layer_step")
    with_experts = listed or frozenset(range(step - 1, size.layers, step))
    keys.tally("interleave_moe_layer_step", f"{len(with_experts)} of {size.layers} layers")
    # Llama 4 normalises queries and keys without weights.
    keys.ignore("use_qk_norm")
    if keys.has("layer_types"):
        chunked = [kind == CHUNKED for kind in layer_kinds(keys, size.layers)]
        keys.ignore("no_rope_layers", "no_rope_layer_interval")
    else:
        every = keys.whole("no_rope_layer_interval", default=4)
        chunked = [(layer + 1) % every != 0 for layer in range(size.layers)]
        if keys.raw("no_rope_layers"):  # an empty list is as good as none
            chunked = keys.flags("no_rope_layers", size.layers) or chunked
            keys.idle("no_rope_layer_interval", "the layers are listed")
        else:
            picked(keys, chunked, "that rotate", "no_rope_layer_interval")
    chunk = keys.whole("attention_chunk_size", default=8192)
    traits = replace(BIASED, head_dimension_stated=True)
    layers = []
    for layer in range(size.layers):
        attention = mixer(keys, traits, size.hidden, None)
        if chunked[layer]:
            attention = replace(attention, chunk=chunk)
        dense = None
        if layer not in with_experts:
            dense = DenseBlock(size.hidden, keys.whole("intermediate_size_mlp"))
        layers.append(
            Layer(
                (attention,),
                dense,
                experts if layer in with_experts else None,
                2 * size.hidden,
            )
        )
    return decoder(keys, outer, size, layers)


def dbrx(keys: Keys, outer: Keys) -> Blueprint:
    """DBRX: experts on every layer, sizes in nested configurations."""
    size = sizes(keys)
    heads = keys.whole("n_heads")
    attention, experts = keys.below("attn_config"), keys.below("ffn_config")
    if attention is None or experts is None:
        raise keys.missing("attn_config" if attention is None else "ffn_config")
    kv_heads = attention.whole("kv_n_heads")
    if size.hidden % heads or heads % kv_heads:
        raise keys.error("n_heads", f"{heads} heads divide neither the hidden size nor KV heads")
    dimension = size.hidden // heads
    layer = Layer(
        (GroupedMixer(size.hidden, heads, kv_heads, dimension, dimension),),
        None,
        ExpertBlock(
            size.hidden,
            experts.whole("moe_num_experts"),
            experts.whole("moe_top_k"),
            experts.whole("ffn_hidden_size"),
        ),
        2 * size.hidden,
    )
    experts.ignore("moe_normalize_expert_weights", "moe_jitter_eps", "moe_loss_weight")
    return decoder(keys, outer, size, (layer,) * size.layers)


FAMILIES: dict[str, Builder] = {
    "dbrx": dbrx,
    "llama4": llama4,
    "llama4_text": llama4,
}
