"""Qwen4-Exp: Gated DeltaNet, sparse attention, hyper-connections and n-gram tables."""

from dataclasses import replace
from math import isqrt

from hbmopt.llm.importing.blocks import (
    BlockIndexer,
    Blueprint,
    GroupedMixer,
    Layer,
    Mixer,
    RecurrentMixer,
)
from hbmopt.llm.importing.families.common import (
    FULL,
    Builder,
    decoder,
    sizes,
)
from hbmopt.llm.importing.families.linear import delta_net, qwen_experts
from hbmopt.llm.importing.families.parts import (
    INDEXED,
    linear_layers,
    plain_attention,
    require,
    required_head_dimension,
)
from hbmopt.llm.importing.keys import Keys

MOST_ROWS, MOST_TABLES = 10**8, 10_000
"""More rows per table, or more tables, are a mistake in the file."""


def gated_residual(keys: Keys, hidden: int, *, injects: bool) -> int:
    """Return the parameters of a mix of streams: norm, down and up, and weights of the way back."""
    streams = keys.whole("hc_count")
    width = streams * hidden
    return width + 2 * width * keys.whole("hc_lowrank") + (width * streams if injects else 0)


def primes_from(start: int, count: int) -> list[int]:
    """Return the first primes that are not below a number."""
    found: list[int] = []
    number = max(start, 2)
    while len(found) < count:
        if all(number % divisor for divisor in range(2, isqrt(number) + 1)):
            found.append(number)
        number += 1
    return found


def ngram_rows(keys: Keys, tables: int) -> list[int]:
    """Return the rows of every table: primes of successive size, one per head, padded together."""
    heads = (keys.whole("ngram_size", least=2) - 1) * keys.whole("heads_per_ngram")
    start, multiple = (
        keys.whole("ngram_vocab_size_base"),
        keys.whole("make_ngram_vocab_size_divisible_by"),
    )
    if start > MOST_ROWS or heads * tables > MOST_TABLES:
        raise keys.error("ngram_vocab_size_base", f"{heads} tables of {start} rows are too many")
    primes = primes_from(start, tables * heads)
    totals = [sum(primes[table * heads : (table + 1) * heads]) for table in range(tables)]
    return [multiple * -(-total // multiple) for total in totals]


def ngram_layer(keys: Keys, hidden: int, width: int) -> RecurrentMixer:
    """Return the projections and the dilated convolution that add n-grams to every stream."""
    channels = keys.whole("hc_count") * hidden
    kernel, dilation = keys.whole("ple_conv_kernel_size", least=2), keys.whole("ngram_size")
    return RecurrentMixer(
        heads=channels,
        key_dimension=1,
        value_dimension=(kernel - 1) * dilation,
        weights=width * (channels + hidden),
        small=(3 + kernel) * channels,
        state_format="bf16",
        flops_per_element=0.0,
    )


def sparse_attention(keys: Keys, hidden: int) -> GroupedMixer:
    """Return gated attention to the blocks of tokens that an indexer picks."""
    full = plain_attention(
        keys,
        hidden,
        dimension=required_head_dimension(keys),
        bias="attention_bias",
        qk_norm="head",
    )
    heads, dimension = keys.whole("indexer_n_heads"), keys.whole("indexer_head_dim")
    if keys.whole("indexer_kv_heads") != 1:
        raise keys.error("indexer_kv_heads", "one head of index keys is known only")
    return replace(
        full,
        output_gate="element",
        # The gate is half of the query projection, and has its bias.
        extra_small=full.heads * full.head_dimension if full.qkv_bias else 0,
        indexer=BlockIndexer(
            heads=heads,
            dimension=dimension,
            top_k=keys.whole("indexer_budget"),
            weights=hidden * (heads + 1) * dimension,
            small=2 * dimension,
            pool=keys.whole("indexer_compress_ratio"),
        ),
    )


def qwen4(keys: Keys, outer: Keys) -> Blueprint:
    """Qwen4-Exp: three Gated DeltaNet layers to one sparse attention layer, experts everywhere."""
    size = sizes(keys)
    kinds = linear_layers(
        keys, size.layers, period_key="full_attention_interval", full=(FULL, INDEXED)
    )
    linear, sparse = delta_net(keys, size.hidden), sparse_attention(keys, size.hidden)
    experts = qwen_experts(keys, size.hidden)
    require(keys, "ple_layer_ids")
    # Layers with n-grams are numbered from 1.
    with_tables = keys.numbered("ple_layer_ids", size.layers, first=1) or frozenset()
    keys.ignore("number_of_conv_states", "split_ngram_parts", "ple_conv_kernel_size")
    tables, width, ngrams = 0, 0, None
    if with_tables:
        require(keys, "ple_embed_dim")
        width = keys.whole("ple_embed_dim", default=size.hidden)
        heads = (keys.whole("ngram_size", least=2) - 1) * keys.whole("heads_per_ngram")
        if width % heads:
            raise keys.error("ple_embed_dim", f"{width} does not divide by {heads} heads")
        tables = sum(ngram_rows(keys, len(with_tables))) * (width // heads)
        ngrams = ngram_layer(keys, size.hidden, width)
    norms = 2 * gated_residual(keys, size.hidden, injects=True)
    layers = []
    for number, is_linear in enumerate(kinds, start=1):
        mixers: tuple[Mixer, ...] = (linear if is_linear else sparse,)
        if ngrams is not None and number in with_tables:
            mixers = (*mixers, ngrams)
        layers.append(Layer(mixers, None, experts, norms))
    return decoder(
        keys,
        outer,
        size,
        layers,
        ends=gated_residual(keys, size.hidden, injects=False),
        lookup_tables=tables,
    )


FAMILIES: dict[str, Builder] = {"qwen4_exp": qwen4, "qwen4_exp_text": qwen4}
