"""The blocks that decoders are made of: their parameters, and what they keep per sequence.

A *mixer* looks at other tokens (attention, linear attention, state space), a *feed-forward* block
at one. Each class counts parameters exactly as the model's own code allocates them: `weights` are
matrices, `small` is what no checkpoint quantizes (norms, biases, gates, routers). Shapes are those
of the transformers library's modules of the family.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from hbmopt.llm import (
    AttentionGroup,
    CompressedAttention,
    GroupedAttention,
    Indexer,
    LatentAttention,
    RecurrentAttention,
)

Matrices = tuple[tuple[str, int], ...]
"""Parameters of each matrix of a block, by the role that it plays there; `naming.py` has names."""


def _total(matrices: Matrices) -> int:
    return sum(count for _, count in matrices)


class Mixer(Protocol):
    """What the importer needs to know of a mixer; layers with equal `group_key` are a group."""

    @property
    def matrices(self) -> Matrices:
        """Each matrix by its role."""
        ...

    @property
    def weights(self) -> int:
        """Parameters of all matrices."""
        ...

    @property
    def small(self) -> int:
        """Parameters of norms, biases and gates."""
        ...

    @property
    def group_key(self) -> object:
        """What layers of one attention group have in common."""
        ...

    def group(self, mixers: "list[Any]") -> AttentionGroup:
        """Return the attention group of layers with these mixers."""
        ...


@dataclass(frozen=True)
class BlockIndexer:
    """Block-sparse selection over grouped attention (MiniMax-M3): one query per KV group."""

    heads: int
    dimension: int
    top_k: int
    weights: int
    small: int
    pool: int = 1
    """Tokens that share one index key."""


@dataclass(frozen=True)
class GroupedMixer:
    """Multi-head, grouped-query or multi-query attention."""

    hidden: int
    heads: int
    kv_heads: int
    head_dimension: int
    value_dimension: int
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: str = "none"
    """Norms of queries and keys: none, head (d each), head_bias (d and a bias of d each), or full
    (H d and K d)."""
    output_gate: str = "none"
    """Gate on the output: none, element (h H d weights) or head (h H)."""
    sinks: bool = False
    value_projection: bool = True
    window: int | None = None
    chunk: int | None = None
    indexer: BlockIndexer | None = None
    owns_cache: bool = True
    key_bias: bool = True
    extra_small: int = 0
    extra_weights: int = 0
    """Matrices that only this family has."""
    query_rank: int = 0
    """Width from which, normalised, the queries of all heads are made; 0: the hidden size."""

    @property
    def _query(self) -> Matrices:
        width = self.heads * self.head_dimension
        if not self.query_rank:
            return (("query", self.hidden * width),)
        return (
            ("query_down", self.hidden * self.query_rank),
            ("query_up", self.query_rank * width),
        )

    @property
    def kv_weights(self) -> int:
        """Parameters of the K and V projections."""
        if not self.owns_cache:
            return 0
        width = self.head_dimension + (self.value_dimension if self.value_projection else 0)
        return self.hidden * self.kv_heads * width

    @property
    def matrices(self) -> Matrices:
        """Query, key, value and output projections, the gate, the indexer."""
        owned = self.hidden * self.kv_heads * self.owns_cache
        gate = {
            "none": 0,
            "element": self.hidden * self.heads * self.value_dimension,
            "head": self.hidden * self.heads,
        }[self.output_gate]
        return (
            *self._query,
            ("key", owned * self.head_dimension),
            ("value", owned * self.value_dimension * self.value_projection),
            ("gate", gate),
            ("output", self.heads * self.value_dimension * self.hidden),
            ("indexer", self.indexer.weights if self.indexer else 0),
            ("extra", self.extra_weights),
        )

    @property
    def weights(self) -> int:
        """Parameters of all matrices."""
        return _total(self.matrices)

    @property
    def small(self) -> int:
        """Biases, norms of queries and keys, sinks."""
        count = self.extra_small + (self.indexer.small if self.indexer else 0) + self.query_rank
        if self.qkv_bias:
            count += self.heads * self.head_dimension
            if self.owns_cache:
                count += self.kv_heads * (
                    self.head_dimension * self.key_bias
                    + self.value_dimension * self.value_projection
                )
        if self.output_bias:
            count += self.hidden
        keys = 1 if self.owns_cache else 0
        count += {
            "none": 0,
            "head": (1 + keys) * self.head_dimension,
            "head_bias": 2 * (1 + keys) * self.head_dimension,
            "full": (self.heads + keys * self.kv_heads) * self.head_dimension,
        }[self.qk_norm]
        return count + (self.heads if self.sinks else 0)

    @property
    def group_key(self) -> object:
        """Layers that see the same tokens with the same heads."""
        return replace(self, owns_cache=True, extra_small=0, extra_weights=0)

    def group(self, mixers: "list[GroupedMixer]") -> AttentionGroup:
        """Return the attention group of layers with these mixers."""
        owners = sum(mixer.owns_cache for mixer in mixers)
        plain = self.value_dimension == self.head_dimension
        return GroupedAttention(
            kind="grouped",
            layers=len(mixers),
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_dimension=self.head_dimension,
            value_dimension=None if plain else self.value_dimension,
            window=self.window,
            chunk=self.chunk,
            indexer=Indexer(
                heads=self.indexer.heads,
                head_dimension=self.indexer.dimension,
                top_k=self.indexer.top_k,
                pool=self.indexer.pool,
            )
            if self.indexer
            else None,
            cache_layers=owners if owners < len(mixers) else None,
            kv_parameters=sum(mixer.kv_weights for mixer in mixers),
            replicated_parameters=(self.indexer.weights if self.indexer else 0) * len(mixers),
        )


@dataclass(frozen=True)
class LatentMixer:
    """Multi-head latent attention, with a sparse indexer where the family has one."""

    hidden: int
    heads: int
    query_rank: int | None
    latent_rank: int
    nope_dimension: int
    rope_dimension: int
    value_dimension: int
    output_gate: bool = False
    index_heads: int = 0
    index_dimension: int = 0
    index_top_k: int = 0
    runs_indexer: bool = False
    bias: bool = False
    cache_entry_bytes: tuple[tuple[str, float], ...] = ()
    index_entry_bytes: float | None = None
    index_pool: int | None = None
    """Tokens that share one index key, which a gate and a position bias weigh; none: a key each."""
    window: int | None = None
    owns_cache: bool = True
    """Whether the layer projects to a latent of its own, or reads that of a layer before."""
    extra_weights: int = 0
    """Matrices that only this family has."""
    extra_small: int = 0
    """Norms, scales and sinks that only this family has."""

    @property
    def _query_input(self) -> int:
        return self.query_rank or self.hidden

    @property
    def replicated(self) -> int:
        """Down-projections and indexer, which tensor parallelism does not split."""
        query_down = self.hidden * self.query_rank if self.query_rank else 0
        kv_down = self.hidden * (self.latent_rank + self.rope_dimension) * self.owns_cache
        return query_down + kv_down + self._index

    @property
    def _index(self) -> int:
        if not self.runs_indexer:
            return 0
        return (
            self._query_input * self.index_heads * self.index_dimension
            + self.hidden * self.index_dimension * (1 if self.index_pool is None else 2)
            + self.hidden * self.index_heads
        )

    @property
    def matrices(self) -> Matrices:
        """q: h q_r + q_r H (dn + dr); kv_a: h (r + dr); kv_b: r H (dn + dv); o: H dv h."""
        query_up = self._query_input * self.heads * (self.nope_dimension + self.rope_dimension)
        output = self.heads * self.value_dimension * self.hidden
        return (
            ("query_down", self.hidden * (self.query_rank or 0)),
            ("query_up" if self.query_rank else "query", query_up),
            (
                "latent_down",
                self.hidden * (self.latent_rank + self.rope_dimension) * self.owns_cache,
            ),
            (
                "latent_up",
                self.latent_rank * self.heads * (self.nope_dimension + self.value_dimension),
            ),
            ("output", output),
            ("gate", output if self.output_gate else 0),
            ("indexer", self._index),
            ("extra", self.extra_weights),
        )

    @property
    def weights(self) -> int:
        """Parameters of all matrices."""
        return _total(self.matrices)

    @property
    def small(self) -> int:
        """Norms of the latents, of the index key, and biases."""
        count = (self.query_rank or 0) + self.latent_rank * self.owns_cache + self.extra_small
        if self.runs_indexer:
            count += (2 + (self.index_pool or 0)) * self.index_dimension
        if self.bias:
            count += (self.query_rank or 0) + self.hidden
            count += (self.latent_rank + self.rope_dimension) * self.owns_cache
        return count

    @property
    def group_key(self) -> object:
        """Layers that attend alike, whether or not they run the indexer themselves."""
        return replace(
            self,
            runs_indexer=bool(self.index_heads),
            owns_cache=True,
            extra_weights=0,
            extra_small=0,
        )

    def group(self, mixers: "list[LatentMixer]") -> AttentionGroup:
        """Return the attention group of layers with these mixers."""
        running = sum(mixer.runs_indexer for mixer in mixers)
        owners = sum(mixer.owns_cache for mixer in mixers)
        indexer = None
        if self.index_heads:
            indexer = Indexer(
                heads=self.index_heads,
                head_dimension=self.index_dimension,
                top_k=self.index_top_k,
                layers=running if running < len(mixers) else None,
                entry_bytes=self.index_entry_bytes,
                pool=self.index_pool or 1,
            )
        return LatentAttention(
            kind="latent",
            layers=len(mixers),
            heads=self.heads,
            latent_rank=self.latent_rank,
            rope_dimension=self.rope_dimension,
            key_dimension=self.nope_dimension,
            value_dimension=self.value_dimension,
            indexer=indexer,
            cache_entry_bytes=dict(self.cache_entry_bytes),
            cache_layers=owners if owners < len(mixers) else None,
            window=self.window,
            replicated_parameters=sum(mixer.replicated for mixer in mixers),
        )


@dataclass(frozen=True)
class CompressedMixer:
    """DeepSeek-V4 attention: one shared K = V head, a window, and compressed older entries."""

    hidden: int
    heads: int
    head_dimension: int
    query_rank: int
    output_rank: int
    output_groups: int
    window: int
    ratio: int | None = None
    compressor_streams: int = 0
    """Projections h x D of the compressor: keys and gates, twice each where entries overlap."""
    compressor_small: int = 0
    keeps_entries: bool = True
    index_heads: int = 0
    index_dimension: int = 0
    index_top_k: int = 0
    runs_indexer: bool = False
    keeps_index_keys: bool = True
    index_key_weights: int = 0
    index_key_small: int = 0
    candidates: int | None = None
    cache_entry_bytes: tuple[tuple[str, float], ...] = ()
    index_entry_bytes: float = 132.0
    fixed_bytes: float = 0.0

    @property
    def replicated(self) -> int:
        """All but the query and output projections, which have heads to be split by."""
        heads = self.heads * self.head_dimension
        split = heads * (self.query_rank + self.output_rank)
        return self.weights - split - self.output_groups * self.output_rank * self.hidden

    @property
    def matrices(self) -> Matrices:
        """Projections, compressor and indexer."""
        down, heads = self.hidden, self.heads * self.head_dimension
        index = 0
        if self.runs_indexer:
            index = self.index_heads * (self.query_rank * self.index_dimension + down)
            index += self.index_key_weights if self.keeps_index_keys else 0
        streams = self.compressor_streams if self.keeps_entries else 0
        return (
            ("query_down", down * self.query_rank),
            ("query_up", self.query_rank * heads),
            ("latent_down", down * self.head_dimension),
            ("output_down", heads * self.output_rank),
            ("output", self.output_groups * self.output_rank * down),
            ("compressor", streams * down * self.head_dimension),
            ("indexer", index),
        )

    @property
    def weights(self) -> int:
        """Parameters of all matrices."""
        return _total(self.matrices)

    @property
    def small(self) -> int:
        """Norms, sinks and the compressor's position biases."""
        count = self.query_rank + self.head_dimension + self.heads
        if self.ratio is not None and self.keeps_entries:
            count += self.compressor_small + self.head_dimension
        if self.runs_indexer and self.keeps_index_keys:
            count += self.index_key_small + self.index_dimension
        return count

    @property
    def group_key(self) -> object:
        """Layers with the same window, ratio and selection."""
        return replace(
            self,
            keeps_entries=True,
            compressor_streams=0,
            compressor_small=0,
            runs_indexer=bool(self.index_heads),
            keeps_index_keys=True,
        )

    def group(self, mixers: "list[CompressedMixer]") -> AttentionGroup:
        """Return the attention group of layers with these mixers."""
        layers = len(mixers)
        keeping = sum(mixer.keeps_entries for mixer in mixers)
        running = sum(mixer.runs_indexer for mixer in mixers)
        keyed = sum(mixer.runs_indexer and mixer.keeps_index_keys for mixer in mixers)
        indexer = None
        if self.index_heads and running:
            indexer = Indexer(
                heads=self.index_heads,
                head_dimension=self.index_dimension,
                top_k=self.index_top_k,
                layers=running if running < layers else None,
                key_layers=keyed if keyed < running else None,
                entry_bytes=self.index_entry_bytes,
                candidates=self.candidates,
            )
        return CompressedAttention(
            kind="compressed",
            layers=layers,
            heads=self.heads,
            head_dimension=self.head_dimension,
            window=self.window,
            ratio=self.ratio,
            entry_layers=keeping if self.ratio is not None and keeping < layers else None,
            indexer=indexer,
            cache_entry_bytes=dict(self.cache_entry_bytes),
            fixed_bytes=self.fixed_bytes,
            replicated_parameters=sum(mixer.replicated for mixer in mixers),
        )


@dataclass(frozen=True)
class RecurrentMixer:
    """A layer with a state of fixed size; the family counts its parameters."""

    heads: int
    key_dimension: int
    value_dimension: int
    weights: int
    small: int
    state_format: str
    convolution_elements: int = 0
    flops_per_element: float = 6.0
    named: Matrices = ()
    """Its matrices, where the family tells them apart: together `weights`."""

    @property
    def matrices(self) -> Matrices:
        """Each matrix by its role, or all together where the family does not tell them apart."""
        rest = self.weights - _total(self.named)
        return (*self.named, ("recurrent", rest)) if rest else self.named

    @property
    def group_key(self) -> object:
        """Layers of one shape."""
        return self

    def group(self, mixers: "list[RecurrentMixer]") -> AttentionGroup:
        """Return the attention group of layers with these mixers."""
        return RecurrentAttention.model_validate(
            {
                "kind": "recurrent",
                "layers": len(mixers),
                "heads": self.heads,
                "key_dimension": self.key_dimension,
                "value_dimension": self.value_dimension,
                "state_format": self.state_format,
                "convolution_elements": self.convolution_elements,
                "flops_per_element": self.flops_per_element,
            }
        )


def _feed_forward(matrices: int, each: int) -> Matrices:
    """Return the matrices of a feed-forward block of two or three, by role."""
    roles = ("up", "down") if matrices == 2 else ("gate", "up", "down")
    return tuple((role, each) for role in roles[:matrices])


@dataclass(frozen=True)
class DenseBlock:
    """A feed-forward block: 3 matrices with a gate, 2 without."""

    hidden: int
    width: int
    matrices: int = 3
    small: int = 0
    beside: int = 0
    """Weights of matrices beside the block, such as one that stands for attention."""

    @property
    def weights(self) -> int:
        """Matrices h I, and those beside them."""
        return self.matrices * self.hidden * self.width + self.beside

    @property
    def named(self) -> Matrices:
        """Each matrix by its role."""
        return (*_feed_forward(self.matrices, self.hidden * self.width), ("extra", self.beside))


@dataclass(frozen=True)
class ExpertBlock:
    """A mixture of experts: routed and shared experts, router, projections of latent experts."""

    hidden: int
    experts: int
    active: int
    width: int
    matrices: int = 3
    expert_bias: int = 0
    """Biases of one expert."""
    latent: int | None = None
    """Width in which routed experts work, where it is not the hidden size."""
    latent_small: int = 0
    shared_weights: int = 0
    router_small: int = 0
    """Biases of the router, gates of the shared experts."""

    @property
    def routed_weights(self) -> int:
        """E (matrices e I + biases)."""
        inner = self.latent or self.hidden
        return self.experts * (self.matrices * inner * self.width + self.expert_bias)

    @property
    def named(self) -> Matrices:
        """Each matrix of all routed experts together by its role, biases with the last."""
        inner = self.latent or self.hidden
        each = _feed_forward(self.matrices, self.experts * inner * self.width)
        return (*each, ("bias", self.experts * self.expert_bias))

    @property
    def shared_named(self) -> Matrices:
        """Each matrix of the shared experts by its role."""
        return _feed_forward(self.matrices, self.shared_weights // self.matrices)

    @property
    def small(self) -> int:
        """Router, its biases and the projections into and out of the latent space."""
        projections = 2 * self.hidden * self.latent + self.latent_small if self.latent else 0
        return self.experts * self.hidden + self.router_small + projections


@dataclass(frozen=True)
class Layer:
    """One decoder layer: its mixers, its feed-forward blocks, and the parameters of its norms."""

    mixers: tuple[Mixer, ...] = ()
    dense: DenseBlock | None = None
    experts: ExpertBlock | None = None
    norms: int = 0


@dataclass(frozen=True)
class DraftPlan:
    """Multi-token prediction: `modules` modules of these layers, plus projection and norms."""

    modules: int
    layers: tuple[Layer, ...]
    projection: int
    norms: int
    in_checkpoint: bool = True
    repeats_tables: bool = False


@dataclass(frozen=True)
class Blueprint:
    """All blocks of a decoder."""

    hidden: int
    vocabulary: int
    tied: bool
    layers: tuple[Layer, ...]
    final_norms: int
    draft: DraftPlan | None = None
    lookup_tables: int = 0
    head_bias: int = 0
    embedding_extra: int = 0
    """Parameters of position tables and the like, read by row."""
    notes: tuple[str, ...] = field(default=())
