"""Families of latent attention with a sparse indexer and particulars of their own."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import Blueprint, LatentMixer
from hbmopt.llm.importing.families.common import (
    Builder,
    picked,
    sizes,
)
from hbmopt.llm.importing.families.latent import (
    all_indexed,
    indexer_layers,
    latent_mixer,
    routed_decoder,
    with_indexer,
)
from hbmopt.llm.importing.families.parts import (
    require,
)
from hbmopt.llm.importing.keys import Keys


def axk2(keys: Keys, outer: Keys) -> Blueprint:
    """A.X-K2: one projection for queries and output gate, norms with a low-rank gate."""
    size = sizes(keys)
    all_indexed(keys, size.layers)
    plain = latent_mixer(keys, size.hidden)
    rank = plain.query_rank
    if rank is None:
        raise keys.error("q_lora_rank", "the output gate of this family needs it")
    # Queries and gate come from twice the rank, in place of the usual projection up.
    query, gate = plain.nope_dimension + plain.rope_dimension, plain.value_dimension
    extra = rank * plain.heads * (2 * (query + gate) - query)
    mixer = replace(with_indexer(keys, plain), extra_weights=extra)
    gated_norm = size.hidden + 2 * size.hidden * keys.whole("gated_norm_rank")
    return routed_decoder(
        keys,
        outer,
        size,
        [mixer] * size.layers,
        mixer,
        norms=gated_norm + size.hidden,
        after=gated_norm - size.hidden,
    )


def hunyuan_v4(keys: Keys, outer: Keys) -> Blueprint:
    """Hunyuan V4: gated latent attention with sinks, and streams that layers mix as they go."""
    size = sizes(keys)
    all_indexed(keys, size.layers)
    plain = latent_mixer(keys, size.hidden)
    mixer = replace(with_indexer(keys, plain), output_gate=True, extra_small=plain.heads)
    if not keys.has("indexer_types"):
        raise keys.missing("indexer_types")
    runs = indexer_layers(keys, size.layers, offset=2)
    streams = keys.whole("hc_mult")
    keys.ignore("hc_magnitude", "hc_eps")
    # Two connections per layer: 2 m (m h) weights, 2 m biases, 2 scales each.
    connections = 2 * (2 * streams * (streams * size.hidden + 1) + 2)
    return routed_decoder(
        keys,
        outer,
        size,
        [replace(mixer, runs_indexer=running) for running in runs],
        mixer,
        norms=2 * size.hidden + connections,
        ends=size.hidden + streams * streams * size.hidden + streams + 1,
    )


def rotary_layers(keys: Keys, layers: int) -> list[bool]:
    """Return which layers rotate queries and keys."""
    listed = keys.flags("no_rope_layers", layers)
    if listed is None:
        require(keys, "no_rope_layers", "no_rope_layer_interval")
        every = keys.whole("no_rope_layer_interval")
        found = [(layer + 1) % every != 0 for layer in range(layers)]
        picked(keys, found, "that rotate", "no_rope_layer_interval")
        return found
    keys.ignore("no_rope_layer_interval")
    return listed


def cache_owners(keys: Keys, rotary: list[bool]) -> list[bool]:
    """Return which layers keep a latent of their own; the others read that of a layer before."""
    sources = keys.wholes("kv_source_layers", len(rotary))
    if sources is None:
        if "kv_source_layers" not in keys.values:
            raise keys.missing("kv_source_layers")
        return [True] * len(rotary)
    for layer, source in enumerate(sources):
        if source > layer or sources[source] != source:
            raise keys.error("kv_source_layers", f"layer {layer} cannot read that of {source}")
        if rotary[source] != rotary[layer]:
            raise keys.error(
                "kv_source_layers", f"layers {layer} and {source} do not rotate keys alike"
            )
    return [layer == source for layer, source in enumerate(sources)]


def mistral_large4(keys: Keys, outer: Keys) -> Blueprint:
    """Mistral Large 4: sparse latent attention, some layers without rotation, latents shared."""
    size = sizes(keys)
    all_indexed(keys, size.layers)
    with_rotary = latent_mixer(keys, size.hidden, low_rank_query=False)
    # Without rotation a key is as wide, but nothing beside the latent is kept.
    without = replace(
        with_rotary,
        nope_dimension=with_rotary.nope_dimension + with_rotary.rope_dimension,
        rope_dimension=0,
    )
    rotary = rotary_layers(keys, size.layers)
    owners = cache_owners(keys, rotary)
    runs = indexer_layers(keys, size.layers, offset=2)

    def mixer(*, rotates: bool, owns: bool, running: bool) -> LatentMixer:
        found = with_indexer(keys, with_rotary if rotates else without)
        # Scale and offset per head for queries; the indexer has them too, and a norm before.
        small = 2 * found.heads + running * (2 * size.hidden + 2 * found.index_heads)
        return replace(found, runs_indexer=running, owns_cache=owns, extra_small=small)

    mixers = [
        mixer(rotates=rotates, owns=owns, running=running)
        for rotates, owns, running in zip(rotary, owners, runs, strict=True)
    ]
    return routed_decoder(
        keys,
        outer,
        size,
        mixers,
        mixer(rotates=True, owns=True, running=True),
        # A factor per frequency of the rotation.
        ends=size.hidden + with_rotary.rope_dimension // 2,
    )


FAMILIES: dict[str, Builder] = {
    "axk2": axk2,
    "hy_v4": hunyuan_v4,
    "hy_v4_vl_text": hunyuan_v4,
    "mistral_large4": mistral_large4,
    "mistral_large4_text": mistral_large4,
}
