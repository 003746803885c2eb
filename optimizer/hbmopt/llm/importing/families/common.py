"""What several families read alike: sizes, layer kinds, experts, output head."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hbmopt.llm.importing.blocks import Blueprint, DraftPlan, Layer
from hbmopt.llm.importing.keys import Keys

Builder = Callable[[Keys, Keys], Blueprint]
"""What makes blocks of a decoder's keys and those of the whole file."""


FULL, SLIDING, CHUNKED, LINEAR = (
    "full_attention",
    "sliding_attention",
    "chunked_attention",
    "linear_attention",
)


@dataclass(frozen=True)
class Sizes:
    """Sizes that every decoder has."""

    hidden: int
    layers: int
    vocabulary: int


MOST_LAYERS = 10_000
"""More layers than this are a mistake."""


def layer_count(keys: Keys, *names: str, default: int | None = None) -> int:
    """Return the number of layers."""
    layers = keys.whole(*names, default=default)
    if layers > MOST_LAYERS:
        named = next((name for name in names if keys.has(name)), names[0])
        raise keys.error(named, f"{layers} is more than any model has")
    return layers


def sizes(keys: Keys, *, vocabulary: int | None = None, layers: int | None = None) -> Sizes:
    """Return hidden size, layers and vocabulary; `layers` where a list of them stands alone."""
    return Sizes(
        keys.whole("hidden_size", "n_embd", "d_model"),
        layer_count(keys, "num_hidden_layers", "n_layer", "n_layers", "num_layers", default=layers),
        keys.whole("vocab_size", default=vocabulary),
    )


HEAD_WIDTH = ("attention_head_dim", "kv_channels")
"""Other spellings of the width of a head, which most classes do not read: they have to agree."""


def head_dimension(
    keys: Keys, hidden: int, heads: int, default: int | None = None, *names: str
) -> int:
    """Return the width of a head: as stated, else the family's default, else hidden / heads.

    `names` are other spellings of `head_dim` that the family's class reads.
    """
    if default is None and hidden % heads == 0:
        default = hidden // heads
    if default is None and not any(keys.has(name) for name in ("head_dim", *names)):
        raise keys.error("num_attention_heads", f"{hidden} does not divide by {heads} heads")
    width = keys.whole("head_dim", *names, default=default)
    for name in HEAD_WIDTH:
        if name in names:
            continue
        if keys.has(name) and keys.whole(name) != width:
            raise keys.error(name, f"{keys.whole(name)} contradicts head_dim, {width}")
        keys.idle(name, "says how wide a head is without it")
    return width


def layer_kinds(
    keys: Keys,
    layers: int,
    *,
    period: int | None = None,
    full_at: int = -1,
    default: str = FULL,
    period_keys: tuple[str, ...] = (),
) -> list[str]:
    """Return the kind of every layer: as listed, or one of every `period` full, others sliding.

    `full_at` is where in a period the full layer stands: the last, unless said otherwise;
    `period_keys` are those that state the period.
    """
    listed = keys.listed("layer_types", layers)
    if listed is not None:
        known = (FULL, SLIDING, CHUNKED, LINEAR)
        for kind in listed:
            if kind not in known:
                raise keys.error("layer_types", f"{kind!r} is not a kind of layer that is known")
        return [str(kind) for kind in listed]
    if period is None:
        return [default] * layers
    found = [layer % period == full_at % period for layer in range(layers)]
    picked(keys, found, "without a window", *period_keys)
    return [FULL if full else SLIDING for full in found]


def listed_kinds(keys: Keys, layers: int) -> list[str]:
    """Return full and sliding layers by `layer_types`, which must be there."""
    if not keys.has("layer_types"):
        raise keys.missing("layer_types")
    kinds = layer_kinds(keys, layers)
    for kind in kinds:
        if kind not in (FULL, SLIDING):
            raise keys.error("layer_types", f"{kind!r} is not a kind of layer that is known here")
    return kinds


def groups(keys: Keys, key: str, heads: int, kv_heads: int) -> None:
    """Refuse heads that do not divide by their KV heads."""
    if heads % kv_heads:
        raise keys.error(key, f"{heads} heads do not divide by {kv_heads}")


def tied(keys: Keys, outer: Keys, *, default: bool) -> bool:
    """Return whether the output head is the embedding.

    Of a nested configuration the outermost statement counts, as the model class around it ties.
    """
    inner = keys.flag("tie_word_embeddings", default=default)
    places = [keys]
    while places[-1] is not outer and places[-1].parent is not None:
        places.append(places[-1].parent)
    for place in places[1:]:
        if place.has("tie_word_embeddings"):
            inner = place.flag("tie_word_embeddings", default=inner)
            for below in places[: places.index(place)]:
                below.idle("tie_word_embeddings", f"{place.path_of('tie_word_embeddings')} counts")
    return inner


def decoder(
    keys: Keys,
    outer: Keys,
    size: Sizes,
    layers: Sequence[Layer],
    *,
    tie: bool = False,
    ends: int | None = None,
    draft: DraftPlan | None = None,
    lookup_tables: int = 0,
    head_bias: int = 0,
    embedding_extra: int = 0,
    notes: tuple[str, ...] = (),
) -> Blueprint:
    """Return a decoder of these layers.

    `tie` is what the model class does where the file does not say, `ends` what stands outside the
    layers: a norm, unless said otherwise.
    """
    return Blueprint(
        size.hidden,
        size.vocabulary,
        tied(keys, outer, default=tie),
        tuple(layers),
        size.hidden if ends is None else ends,
        draft,
        lookup_tables,
        head_bias,
        embedding_extra,
        notes,
    )


def dense_layers(
    keys: Keys,
    layers: int,
    *,
    first_keys: tuple[str, ...] = ("first_k_dense_replace",),
    stated: bool = False,
) -> list[bool]:
    """Return which layers have experts, by the spellings that mixture-of-experts families use.

    `mlp_layer_types`, a list `moe_layer_freq`, or `first_k_dense_replace` dense layers and every
    `moe_layer_freq`-th of the others. `stated`: one of them must be there.
    """
    kinds = keys.listed("mlp_layer_types", layers)
    if kinds is not None:
        keys.ignore("moe_layer_freq", *first_keys)
        for kind in kinds:
            if kind not in ("dense", "sparse"):
                raise keys.error("mlp_layer_types", f"{kind!r} is neither 'dense' nor 'sparse'")
        return [kind == "sparse" for kind in kinds]
    if isinstance(keys.raw("moe_layer_freq"), list):
        keys.ignore(*first_keys)
        return keys.flags("moe_layer_freq", layers) or []
    first = keys.whole(*first_keys, default=None if stated else 0, least=0)
    if first > layers:
        raise keys.error(first_keys[0], f"{first} dense layers are more than all {layers}")
    every = keys.whole("moe_layer_freq", default=1)
    found = [layer >= first and layer % every == 0 for layer in range(layers)]
    picked(keys, found, "with experts", "moe_layer_freq", *first_keys)
    return found


def step_layers(keys: Keys, layers: int, first_dense: tuple[int, ...] = ()) -> list[bool]:
    """Return which layers have experts where `decoder_sparse_step` and `mlp_only_layers` say so.

    `first_dense` are the dense layers of the model class, where the list is absent.
    """
    dense = keys.numbered("mlp_only_layers", layers)
    if dense is None:
        dense = frozenset(first_dense)
    step = keys.whole("decoder_sparse_step", default=1)
    found = [layer not in dense and (layer + 1) % step == 0 for layer in range(layers)]
    picked(keys, found, "with experts", "decoder_sparse_step", "mlp_only_layers")
    return found


def picked(keys: Keys, found: Sequence[bool], which: str, *names: str) -> None:
    """Note of keys that say where layers of a kind stand how many there are."""
    for name in names:
        keys.tally(name, f"{sum(found)} of {len(found)} layers {which}")


def layer_draft(
    layer: Layer, hidden: int, modules: int, *, repeats_tables: bool = False, listed: bool = True
) -> DraftPlan | None:
    """Return multi-token prediction by a decoder layer of the usual kind.

    One layer with its own experts, a projection of two hidden states to one (2 h^2), and three
    norms (3 h): of the embedding, of the state, of the output.
    """
    if modules == 0:
        return None
    return DraftPlan(
        modules=modules,
        layers=(layer,),
        projection=2 * hidden * hidden,
        norms=3 * hidden,
        in_checkpoint=listed,
        repeats_tables=repeats_tables,
    )
