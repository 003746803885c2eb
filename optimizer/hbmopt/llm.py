"""The schema of a served model, and what follows from it for one sequence.

An entry states parameters by component, counted from the model's own configuration, and one
group per kind of attention layer. Bytes held and bytes read of the KV cache are kept apart:
sparse attention holds everything and reads little.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hbmopt.errors import nearest
from hbmopt.figure import StrictModel

COMPONENTS = (
    "attention",
    "dense_ffn",
    "shared_experts",
    "routed_experts",
    "router",
    "embedding",
    "lm_head",
)
"""Classes of weights. `router` holds what no checkpoint quantizes: routers, norms, gates."""

BITS_PER_WEIGHT = {
    "bf16": 16.0,
    "fp8": 8.0 * 1.0002,  # one fp32 scale per 128 x 128 block
    "mxfp4": 4.25,  # one 8-bit scale per 32 weights
    "nvfp4": 4.5,  # one 8-bit scale per 16 weights
    "fp4": 4.5,  # NVFP4, the default 4-bit format
    "int4": 4.5,  # one bf16 scale per 32 weights
}
"""Stored bits per weight, block scales included."""

ARITHMETIC_BITS = {
    "bf16": 16,
    "fp8": 8,
    "mxfp4": 8,  # served with 8-bit activations
    "nvfp4": 4,
    "fp4": 4,
    "int4": 16,  # weight-only: dequantized to bf16
}
"""Width of the arithmetic that weights of a format are multiplied in."""

BITS_PER_CACHE_ELEMENT = {"bf16": 16.0, "fp8": 8.0, "fp4": 4.5}


class Parameters(StrictModel):
    """Number of parameters by component."""

    attention: float = Field(gt=0)
    dense_ffn: float = Field(default=0.0, ge=0)
    shared_experts: float = Field(default=0.0, ge=0)
    routed_experts: float = Field(default=0.0, ge=0)
    router: float = Field(default=0.0, ge=0)
    embedding: float = Field(ge=0)
    lm_head: float = Field(default=0.0, ge=0, description="0 where tied to the embedding")

    @property
    def total(self) -> float:
        """All parameters."""
        return float(sum(getattr(self, component) for component in COMPONENTS))


class Mixture(StrictModel):
    """Routed experts: how many there are and how many a token visits."""

    layers: int = Field(gt=0)
    experts: int = Field(gt=0)
    active: int = Field(gt=0, description="experts that one token visits per layer")

    @model_validator(mode="after")
    def _fewer_active_than_all(self) -> "Mixture":
        if self.active > self.experts:
            raise ValueError(f"{self.active} active of {self.experts} experts is not possible")
        return self


class GroupedAttention(StrictModel):
    """Multi-head, grouped-query or multi-query attention, with an optional sliding window."""

    kind: Literal["grouped"]
    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_dimension: int = Field(gt=0)
    value_dimension: int | None = Field(default=None, gt=0, description="default: head_dimension")
    window: int | None = Field(
        default=None, gt=0, description="tokens that a layer looks back; none: all"
    )

    def entry_bytes(self, kv_format: str) -> float:
        """Cache bytes of one token in one layer: K and V of all KV heads."""
        width = self.head_dimension + (self.value_dimension or self.head_dimension)
        return self.kv_heads * width * BITS_PER_CACHE_ELEMENT[kv_format] / 8

    def held_bytes(self, tokens: float, kv_format: str) -> float:
        """Cache bytes held for a sequence of `tokens` tokens, all layers of the group."""
        kept = min(tokens, self.window or tokens)
        return self.layers * kept * self.entry_bytes(kv_format)

    def read_bytes(self, tokens: float, kv_format: str) -> float:
        """Cache bytes read for one generated token: everything held."""
        return self.held_bytes(tokens, kv_format)

    def flops(self, tokens: float) -> float:
        """Attention FLOPs of one generated token: 2 H (d_k + d_v) n."""
        seen = min(tokens, self.window or tokens)
        width = self.head_dimension + (self.value_dimension or self.head_dimension)
        return self.layers * 2.0 * self.heads * width * seen

    def cache_copies(self, tensor_parallel: int) -> float:
        """Return the copies of a sequence's cache over the tensor-parallel ranks.

        KV heads are sharded until each rank has one, and replicated past that:
        TP * max(1, K // TP) / K.
        """
        return tensor_parallel * max(1, self.kv_heads // tensor_parallel) / self.kv_heads


class Indexer(StrictModel):
    """A sparse-attention indexer: scores every cached entry, attention reads the best."""

    heads: int = Field(gt=0)
    head_dimension: int = Field(gt=0)
    top_k: int = Field(gt=0, description="entries that attention then reads")
    entry_bytes: float = Field(default=132.0, gt=0, description="bytes of one index key")


class LatentAttention(StrictModel):
    """Multi-head latent attention (MLA), dense or with a sparse indexer (DSA)."""

    kind: Literal["latent"]
    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    latent_rank: int = Field(gt=0)
    rope_dimension: int = Field(ge=0)
    indexer: Indexer | None = None
    cache_entry_bytes: dict[str, float] = Field(
        default_factory=dict, description="bytes of one entry by KV format, where engines differ"
    )

    def entry_bytes(self, kv_format: str) -> float:
        """Cache bytes of one token in one layer: the latent and the rotary key, once."""
        default = (self.latent_rank + self.rope_dimension) * BITS_PER_CACHE_ELEMENT[kv_format] / 8
        return self.cache_entry_bytes.get(kv_format, default)

    def held_bytes(self, tokens: float, kv_format: str) -> float:
        """Cache bytes held: every latent, and every index key where there is an indexer."""
        index = self.indexer.entry_bytes if self.indexer else 0.0
        return self.layers * tokens * (self.entry_bytes(kv_format) + index)

    def read_bytes(self, tokens: float, kv_format: str) -> float:
        """Cache bytes read for one token: all latents, or all index keys and the chosen latents."""
        if self.indexer is None:
            return self.held_bytes(tokens, kv_format)
        chosen = min(tokens, self.indexer.top_k)
        index = tokens * self.indexer.entry_bytes
        return self.layers * (index + chosen * self.entry_bytes(kv_format))

    def flops(self, tokens: float) -> float:
        """Attention FLOPs of one token, weights absorbed: 2 H (2 r + d_r) per entry read."""
        per_entry = 2.0 * self.heads * (2 * self.latent_rank + self.rope_dimension)
        if self.indexer is None:
            return self.layers * per_entry * tokens
        scoring = 2.0 * self.indexer.heads * self.indexer.head_dimension * tokens
        return self.layers * (per_entry * min(tokens, self.indexer.top_k) + scoring)

    def cache_copies(self, tensor_parallel: int) -> float:
        """Every tensor-parallel rank holds, and reads, the whole latent."""
        return float(tensor_parallel)


class CompressedAttention(StrictModel):
    """A window of recent tokens plus one shared entry per `ratio` older tokens (DeepSeek-V4)."""

    kind: Literal["compressed"]
    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    head_dimension: int = Field(gt=0)
    window: int = Field(gt=0)
    ratio: int = Field(gt=0, description="tokens compressed into one entry")
    indexer: Indexer | None = None
    cache_entry_bytes: dict[str, float] = Field(default_factory=dict)
    fixed_bytes: float = Field(
        default=0.0, ge=0, description="compressor state per sequence and layer"
    )

    def entry_bytes(self, kv_format: str) -> float:
        """Cache bytes of one entry; K and V share it."""
        default = self.head_dimension * BITS_PER_CACHE_ELEMENT[kv_format] / 8
        return self.cache_entry_bytes.get(kv_format, default)

    def held_bytes(self, tokens: float, kv_format: str) -> float:
        """Window, compressed entries, their index keys and the compressor's state."""
        entry = self.entry_bytes(kv_format)
        index = self.indexer.entry_bytes if self.indexer else 0.0
        compressed = tokens // self.ratio
        per_layer = min(tokens, self.window) * entry + compressed * (entry + index)
        return self.layers * (per_layer + self.fixed_bytes)

    def read_bytes(self, tokens: float, kv_format: str) -> float:
        """Window, all index keys and the chosen entries; all entries without an indexer."""
        entry, compressed = self.entry_bytes(kv_format), tokens // self.ratio
        window = min(tokens, self.window) * entry
        if self.indexer is None:
            return self.layers * (window + compressed * entry)
        chosen = min(compressed, self.indexer.top_k)
        return self.layers * (window + compressed * self.indexer.entry_bytes + chosen * entry)

    def flops(self, tokens: float) -> float:
        """4 H D per entry attended, plus the indexer's scores of all entries."""
        compressed = tokens // self.ratio
        attended = min(tokens, self.window)
        scoring = 0.0
        if self.indexer is None:
            attended += compressed
        else:
            attended += min(compressed, self.indexer.top_k)
            scoring = 2.0 * self.indexer.heads * self.indexer.head_dimension * compressed
        return self.layers * (4.0 * self.heads * self.head_dimension * attended + scoring)

    def cache_copies(self, tensor_parallel: int) -> float:
        """One shared KV head, so every tensor-parallel rank holds and reads all of it."""
        return float(tensor_parallel)


AttentionGroup = Annotated[
    GroupedAttention | LatentAttention | CompressedAttention, Field(discriminator="kind")
]

WeightFormats = dict[str, dict[str, str]]


class Llm(StrictModel):
    """Architecture facts of a served model."""

    name: str
    title: str = ""
    huggingface: str = Field(default="", description="identifier on the hub, where there is one")
    status: str = "counted"
    source: list[str] = Field(default_factory=list)
    note: str = ""
    layers: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    parameters: Parameters
    mixture: Mixture | None = None
    attention: list[AttentionGroup] = Field(min_length=1)
    weight_formats: WeightFormats = Field(
        default_factory=dict,
        description="named schemes: format per component; components left out keep the default",
    )
    native_format: str = Field(default="bf16", description="the scheme that the publisher ships")

    @model_validator(mode="after")
    def _consistent(self) -> "Llm":
        if (self.mixture is None) != (self.parameters.routed_experts == 0):
            raise ValueError("`mixture` and `parameters.routed_experts` belong together")
        for scheme, formats in self.weight_formats.items():
            for component, chosen in formats.items():
                if component not in COMPONENTS:
                    hint = nearest(component, COMPONENTS)
                    raise ValueError(f"weight_formats.{scheme}: no component {component!r}; {hint}")
                if chosen not in BITS_PER_WEIGHT:
                    hint = nearest(chosen, BITS_PER_WEIGHT)
                    raise ValueError(f"weight_formats.{scheme}: no format {chosen!r}; {hint}")
        if self.native_format not in self.schemes:
            hint = nearest(self.native_format, self.schemes)
            raise ValueError(f"native_format {self.native_format!r} is not known; {hint}")
        return self

    @property
    def schemes(self) -> frozenset[str]:
        """Names that a configuration's weight format may take."""
        return frozenset(BITS_PER_WEIGHT) | frozenset(self.weight_formats)

    def component_format(self, scheme: str, component: str) -> str:
        """Return the format of `component` under the weight format `scheme`.

        Without an entry of its own a scheme quantizes attention and feed-forward weights and
        leaves the router, the embedding and the output head in bf16, as checkpoints do.
        """
        own = self.weight_formats.get(scheme, {})
        if component in own:
            return own[component]
        if component in ("router", "embedding", "lm_head"):
            return "bf16"
        return scheme if scheme in BITS_PER_WEIGHT else "bf16"

    def component_bytes(self, scheme: str, component: str) -> float:
        """Resident bytes of one copy of `component`."""
        bits = BITS_PER_WEIGHT[self.component_format(scheme, component)]
        return float(getattr(self.parameters, component)) * bits / 8

    def held_bytes(self, tokens: float, kv_format: str) -> float:
        """KV bytes that one sequence of `tokens` tokens keeps resident, one copy."""
        return sum(group.held_bytes(tokens, kv_format) for group in self.attention)

    def read_bytes(self, tokens: float, kv_format: str) -> float:
        """KV bytes read to generate one token of a sequence of `tokens` tokens, one copy."""
        return sum(group.read_bytes(tokens, kv_format) for group in self.attention)

    def attention_flops(self, tokens: float) -> float:
        """FLOPs of attention proper for one generated token."""
        return sum(group.flops(tokens) for group in self.attention)
