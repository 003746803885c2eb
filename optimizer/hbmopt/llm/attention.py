"""What the layers of a model keep per sequence, read per token and compute beside their weights.

There is one class per kind of attention. Each says, for a sequence of n tokens, the bytes of
cache *held* and the bytes *read* for one step, over all layers of the group and for one copy of
the cache; how many ranks such a copy can be split over; and the FLOPs of attention proper.
Held and read differ: sparse attention holds everything and reads little, a recurrent state is
read and written back.
"""

import math
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from hbmopt.documents import StrictModel
from hbmopt.llm.formats import STATE_BYTES, cache_element_bytes


class Cache(NamedTuple):
    """One copy of one kind of cache of a sequence, all layers of a group.

    `shards` is the number of tensor-parallel ranks that it can be split over: KV heads or state
    heads; 1 for latents and index keys, which every rank keeps, and reads, whole.
    """

    held: float
    read: float
    shards: int


def cache_copies(shards: int, ranks: int) -> float:
    """Return how often `ranks` tensor-parallel ranks keep a cache of `shards` heads in all.

    Heads are split until each rank has one, and copied past that: ranks * max(1, H // ranks) / H.
    """
    each: float = np.maximum(1, shards // ranks)
    return ranks * each / shards


def whole_groups(tokens: float, size: int, *, anywhere: bool) -> float:
    """Return how many full groups of `size` there are among `tokens` tokens.

    With `anywhere` the mean over the places that the last token may have in its group: the mean
    length of many sequences is no multiple of a group, and what they keep grows evenly with it.
    """
    if not anywhere:
        return float(tokens // size)
    return max(0.0, (tokens - (size - 1) / 2) / size)


class Indexer(StrictModel):
    """A sparse-attention indexer: scores the cached entries, attention reads the best."""

    heads: int = Field(gt=0)
    head_dimension: int = Field(gt=0)
    top_k: int = Field(gt=0, description="entries that attention then reads")
    layers: int | None = Field(
        default=None, ge=0, description="layers that run it; the others reuse its choice"
    )
    key_layers: int | None = Field(
        default=None, ge=0, description="layers that keep index keys; default: those that run it"
    )
    entry_bytes: float | None = Field(
        default=None, gt=0, description="bytes of one index key; default: as the KV cache"
    )
    candidates: int | None = Field(
        default=None, gt=0, description="entries that are scored at most"
    )
    pool: int = Field(default=1, gt=0, description="entries that share one index key")

    def _keys(self, entries: float, *, anywhere: bool) -> float:
        """Index keys of `entries` entries."""
        return entries if self.pool == 1 else whole_groups(entries, self.pool, anywhere=anywhere)

    def key_bytes(self, kv_format: str) -> float:
        """Bytes of one index key."""
        if self.entry_bytes is not None:
            return self.entry_bytes
        return self.head_dimension * cache_element_bytes(kv_format)

    def cache(self, entries: float, layers: int, kv_format: str, *, anywhere: bool) -> Cache:
        """Index keys of `entries` entries: all held, all read by the layers that score them."""
        entries = self._keys(entries, anywhere=anywhere)
        scored = min(entries, self.candidates or entries)
        running = layers if self.layers is None else self.layers
        keeping = running if self.key_layers is None else self.key_layers
        key = self.key_bytes(kv_format)
        return Cache(keeping * entries * key, running * scored * key, 1)

    def flops(self, entries: float, layers: int, *, anywhere: bool) -> float:
        """2 H_I d_I per index key scored, on the layers that run the indexer."""
        entries = self._keys(entries, anywhere=anywhere)
        scored = min(entries, self.candidates or entries)
        running = layers if self.layers is None else self.layers
        return running * 2.0 * self.heads * self.head_dimension * scored


class _Group(StrictModel):
    """Layers of one kind.

    Every kind says what its layers keep, read and compute for a sequence of `tokens` tokens of
    which `at_once` pass through in one step: as many more than its window a layer keeps.
    `anywhere` averages over places in a chunk, which a plan does not know; without it the place is
    that of token `tokens`.
    """

    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    replicated_parameters: float = Field(
        default=0.0, ge=0, description="weights of the group that every tensor rank holds whole"
    )

    def cache(
        self, tokens: float, kv_format: str, at_once: float = 1.0, *, anywhere: bool = True
    ) -> tuple[Cache, ...]:
        """Return the caches that grow with the sequence, all layers, one copy."""
        raise NotImplementedError

    def flops(self, tokens: float, *, anywhere: bool = True) -> float:
        """Return the FLOPs of attention proper for one generated token, all layers."""
        raise NotImplementedError

    def prefill_flops(self, tokens: float) -> float:
        """Return the FLOPs of a prompt token at position `tokens`: those of a generated one."""
        return self.flops(tokens)

    def exchanged(self) -> float:
        """Return the elements of queries and outputs of a token, all layers.

        Ranks that share the tokens of a cache exchange them: every one attends with all heads.
        """
        return 0.0

    def state_bytes(self) -> float:
        """Return the bytes that a sequence keeps whatever its length."""
        return 0.0

    def state(self, at_once: float) -> tuple[Cache, ...]:
        """Return what is kept whatever the length, and how much of it a step reads and writes."""
        return ()


class GroupedAttention(_Group):
    """Multi-head, grouped-query or multi-query attention: full, windowed, chunked or sparse."""

    kind: Literal["grouped"]
    kv_heads: int = Field(gt=0)
    head_dimension: int = Field(gt=0)
    value_dimension: int | None = Field(default=None, gt=0, description="default: head_dimension")
    window: int | None = Field(
        default=None, gt=0, description="tokens that a layer looks back; none: all"
    )
    chunk: int | None = Field(
        default=None, gt=0, description="tokens of a chunk, within which a layer looks back"
    )
    indexer: Indexer | None = None
    cache_layers: int | None = Field(
        default=None, gt=0, description="layers that own a cache; the others read theirs"
    )
    kv_parameters: float = Field(
        default=0.0,
        ge=0,
        description="weights of the K and V projections, which are copied as KV heads are",
    )

    @model_validator(mode="after")
    def _one_restriction(self) -> "GroupedAttention":
        if sum(one is not None for one in (self.window, self.chunk, self.indexer)) > 1:
            raise ValueError("a layer has a `window`, a `chunk` or an `indexer`, not several")
        return self

    @property
    def _width(self) -> int:
        return self.head_dimension + (self.value_dimension or self.head_dimension)

    def _seen(self, tokens: float, *, anywhere: bool) -> float:
        """Tokens that one token attends to."""
        if self.chunk is not None:
            if not anywhere:
                return (math.ceil(tokens) - 1) % self.chunk + 1
            # Where in its chunk a token stands is not known: half a chunk on average.
            return tokens if tokens <= self.chunk else (self.chunk + 1) / 2
        if self.indexer is not None:
            return min(tokens, self.indexer.top_k)
        return min(tokens, self.window or tokens)

    def entry_bytes(self, kv_format: str) -> float:
        """Cache bytes of one token in one layer: K and V of all KV heads."""
        return self.kv_heads * self._width * cache_element_bytes(kv_format)

    def cache(
        self, tokens: float, kv_format: str, at_once: float = 1.0, *, anywhere: bool = True
    ) -> tuple[Cache, ...]:
        """K and V, and index keys where there is an indexer."""
        bound = self.window or self.chunk
        kept = tokens if bound is None else min(tokens, bound - 1 + at_once)
        entry = self.entry_bytes(kv_format)
        seen = self._seen(tokens, anywhere=anywhere)
        if self.indexer is None:
            read = self.layers * seen * entry
            return (Cache((self.cache_layers or self.layers) * kept * entry, read, self.kv_heads),)
        # Every token verified at once picks its own entries.
        read = self.layers * min(tokens, seen * at_once) * entry
        return (
            Cache(self.layers * kept * entry, read, self.kv_heads),
            self.indexer.cache(tokens, self.layers, kv_format, anywhere=anywhere),
        )

    def exchanged(self) -> float:
        """Return the width of queries and outputs of all heads."""
        return float(self.layers * self.heads * self._width)

    def flops(self, tokens: float, *, anywhere: bool = True) -> float:
        """2 H (d_k + d_v) per token attended to, plus the indexer's scores."""
        seen = self._seen(tokens, anywhere=anywhere)
        scoring = (
            self.indexer.flops(tokens, self.layers, anywhere=anywhere) if self.indexer else 0.0
        )
        return self.layers * 2.0 * self.heads * self._width * seen + scoring


class LatentAttention(_Group):
    """Multi-head latent attention (MLA), dense or with a sparse indexer (DSA)."""

    kind: Literal["latent"]
    latent_rank: int = Field(gt=0)
    rope_dimension: int = Field(ge=0)
    key_dimension: int | None = Field(
        default=None, gt=0, description="width of a key before absorption, without rotary part"
    )
    value_dimension: int | None = Field(default=None, gt=0, description="width of a value")
    indexer: Indexer | None = None
    cache_entry_bytes: dict[str, float] = Field(
        default_factory=dict, description="bytes of one entry by KV format, where engines differ"
    )
    cache_layers: int | None = Field(
        default=None, gt=0, description="layers that own a cache; the others read theirs"
    )
    window: int | None = Field(
        default=None, gt=0, description="tokens that a layer looks back; none: all"
    )

    @model_validator(mode="after")
    def _one_restriction(self) -> "LatentAttention":
        if self.window is not None and self.indexer is not None:
            raise ValueError("a layer has a `window` or an `indexer`, not both")
        return self

    def entry_bytes(self, kv_format: str) -> float:
        """Cache bytes of one token in one layer: the latent and the rotary key, once."""
        default = (self.latent_rank + self.rope_dimension) * cache_element_bytes(kv_format)
        return self.cache_entry_bytes.get(kv_format, default)

    def cache(
        self, tokens: float, kv_format: str, at_once: float = 1.0, *, anywhere: bool = True
    ) -> tuple[Cache, ...]:
        """Latents, one copy per rank, and index keys where there is an indexer."""
        entry, owners = self.entry_bytes(kv_format), self.cache_layers or self.layers
        if self.indexer is None:
            seen = min(tokens, self.window or tokens)
            kept = min(tokens, self.window - 1 + at_once) if self.window is not None else tokens
            return (Cache(owners * kept * entry, self.layers * seen * entry, 1),)
        read = self.layers * min(tokens, self.indexer.top_k * at_once) * entry
        return (
            Cache(owners * tokens * entry, read, 1),
            self.indexer.cache(tokens, self.layers, kv_format, anywhere=anywhere),
        )

    def exchanged(self) -> float:
        """Return the width of queries and outputs of all heads, as wide as latents."""
        return float(self.layers * self.heads * (2 * self.latent_rank + self.rope_dimension))

    def flops(self, tokens: float, *, anywhere: bool = True) -> float:
        """FLOPs with weights absorbed: 2 H (2 r + d_r) per entry read, plus scores."""
        per_entry = 2.0 * self.heads * (2 * self.latent_rank + self.rope_dimension)
        if self.indexer is None:
            return self.layers * per_entry * min(tokens, self.window or tokens)
        chosen = min(tokens, self.indexer.top_k)
        return self.layers * per_entry * chosen + self.indexer.flops(
            tokens, self.layers, anywhere=anywhere
        )

    def prefill_flops(self, tokens: float) -> float:
        """FLOPs of a prompt token, with keys and values expanded: 2 H (d_k + d_r + d_v)."""
        if self.indexer is not None or self.key_dimension is None or self.value_dimension is None:
            return self.flops(tokens)
        width = self.key_dimension + self.rope_dimension + self.value_dimension
        return self.layers * 2.0 * self.heads * width * min(tokens, self.window or tokens)


class CompressedAttention(_Group):
    """A window of recent tokens plus one shared entry per `ratio` older tokens (DeepSeek-V4)."""

    kind: Literal["compressed"]
    head_dimension: int = Field(gt=0)
    window: int = Field(gt=0)
    ratio: int | None = Field(
        default=None, gt=0, description="tokens compressed into one entry; none: window only"
    )
    entry_layers: int | None = Field(
        default=None, ge=0, description="layers that keep compressed entries; the others read them"
    )
    indexer: Indexer | None = None
    cache_entry_bytes: dict[str, float] = Field(default_factory=dict)
    fixed_bytes: float = Field(
        default=0.0, ge=0, description="compressor state per sequence and layer"
    )

    def entry_bytes(self, kv_format: str) -> float:
        """Cache bytes of one entry; K and V share it."""
        default = self.head_dimension * cache_element_bytes(kv_format)
        return self.cache_entry_bytes.get(kv_format, default)

    def cache(
        self, tokens: float, kv_format: str, at_once: float = 1.0, *, anywhere: bool = True
    ) -> tuple[Cache, ...]:
        """Window and compressed entries, and index keys where there is an indexer."""
        entry = self.entry_bytes(kv_format)
        window = self.layers * min(tokens, self.window) * entry
        kept = self.layers * min(tokens, self.window - 1 + at_once) * entry
        if self.ratio is None:
            return (Cache(kept, window, 1),)
        compressed = whole_groups(tokens, self.ratio, anywhere=anywhere)
        keeping = self.layers if self.entry_layers is None else self.entry_layers
        held = kept + keeping * compressed * entry
        if self.indexer is None:
            return (Cache(held, window + self.layers * compressed * entry, 1),)
        chosen = min(compressed, self.indexer.top_k * at_once)
        return (
            Cache(held, window + self.layers * chosen * entry, 1),
            self.indexer.cache(compressed, self.layers, kv_format, anywhere=anywhere),
        )

    def exchanged(self) -> float:
        """Return the width of queries and outputs of all heads."""
        return 2.0 * self.layers * self.heads * self.head_dimension

    def flops(self, tokens: float, *, anywhere: bool = True) -> float:
        """4 H D per entry attended, plus the indexer's scores of all entries."""
        compressed = 0.0
        if self.ratio is not None:
            compressed = whole_groups(tokens, self.ratio, anywhere=anywhere)
        attended, scoring = min(tokens, self.window), 0.0
        if self.indexer is None:
            attended += compressed
        else:
            attended += min(compressed, self.indexer.top_k)
            scoring = self.indexer.flops(compressed, self.layers, anywhere=anywhere)
        return self.layers * 4.0 * self.heads * self.head_dimension * attended + scoring

    def state_bytes(self) -> float:
        """Tails of the compressors."""
        return self.layers * self.fixed_bytes

    def state(self, at_once: float) -> tuple[Cache, ...]:
        """Tails of the compressors: held, and a small part touched per step."""
        return (Cache(self.state_bytes(), 0.0, 1),) if self.fixed_bytes else ()


class RecurrentAttention(_Group):
    """Linear attention or a state-space layer: a state of fixed size instead of a cache.

    `heads` states of `key_dimension` x `value_dimension` elements, and the last inputs of a short
    convolution. Gated DeltaNet, KDA, lightning attention, Mamba.
    """

    kind: Literal["recurrent"]
    key_dimension: int = Field(gt=0)
    value_dimension: int = Field(gt=0)
    state_format: Literal["fp32", "bf16", "fp8"] = "fp32"
    convolution_elements: int = Field(
        default=0, ge=0, description="bf16 inputs kept per layer for the short convolution"
    )
    flops_per_element: float = Field(
        default=6.0, ge=0, description="per state element and token: 8 delta rule, 6 otherwise"
    )

    @property
    def _elements(self) -> int:
        return self.heads * self.key_dimension * self.value_dimension

    def cache(
        self, tokens: float, kv_format: str, at_once: float = 1.0, *, anywhere: bool = True
    ) -> tuple[Cache, ...]:
        """No cache that grows."""
        return ()

    def state_bytes(self) -> float:
        """Bytes of all layers' states and convolution inputs for one sequence."""
        state = self._elements * STATE_BYTES[self.state_format]
        return self.layers * (state + 2.0 * self.convolution_elements)

    def state(self, at_once: float) -> tuple[Cache, ...]:
        """Read once and written for every token; drafted tokens keep a state each."""
        one = self.state_bytes()
        return (Cache(one * at_once, one * (1.0 + at_once), self.heads),)

    def flops(self, tokens: float, *, anywhere: bool = True) -> float:
        """Update and read-out of the state, whatever the context."""
        return self.layers * self.flops_per_element * self._elements


AttentionGroup = Annotated[
    GroupedAttention | LatentAttention | CompressedAttention | RecurrentAttention,
    Field(discriminator="kind"),
]


def bounds_passed(group: AttentionGroup, tokens: float, at_once: float) -> tuple[bool, ...]:
    """Return which bounds on what a token sees a sequence of `tokens` tokens has grown past.

    Windows, chunks and the choices of an indexer: below each the sequence counts, above the bound.
    """
    window, chunk = getattr(group, "window", None), getattr(group, "chunk", None)
    passed = [bound is not None and tokens > bound for bound in (window, chunk)]
    passed += [bound is not None and tokens > bound - 1 + at_once for bound in (window, chunk)]
    indexer: Indexer | None = getattr(group, "indexer", None)
    if indexer is not None:
        entries = tokens
        if isinstance(group, CompressedAttention):
            entries = whole_groups(tokens, group.ratio or 1, anywhere=True)
        passed += [entries > indexer.top_k, entries > indexer.top_k * at_once]
        keys = whole_groups(entries, indexer.pool, anywhere=True)
        passed.append(indexer.candidates is not None and keys > indexer.candidates)
    return tuple(passed)
