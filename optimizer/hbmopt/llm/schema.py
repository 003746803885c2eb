"""The schema of a served model: parameters by component, attention by kind, drafting.

An entry states parameters by component, counted from the model's own configuration, and one
group per kind of attention layer (`hbmopt.attention`). What follows for one sequence and for a
checkpoint is derived here; what follows for a replica is in `hbmopt.demand`.
"""

import math

from pydantic import Field, model_validator

from hbmopt.documents import StrictModel
from hbmopt.errors import InputError, nearest
from hbmopt.llm.attention import AttentionGroup, GroupedAttention
from hbmopt.llm.formats import BITS_PER_WEIGHT, is_weight_format, weight_bits

COMPONENTS = (
    "attention",
    "dense_ffn",
    "shared_experts",
    "routed_experts",
    "router",
    "embedding",
    "lookup_tables",
    "lm_head",
)
"""Classes of weights. `router` holds what no checkpoint quantizes: routers, norms, gates."""

DRAFT = "draft"
"""Key of a weight-format scheme that sets the format of all weights of the draft module."""

DRAFT_COMPONENTS = tuple(f"{DRAFT}.{component}" for component in COMPONENTS)
"""Keys of a scheme that set the format of one component of the draft module."""

SCHEME_KEYS = (*COMPONENTS, DRAFT, *DRAFT_COMPONENTS)

UNQUANTIZED = frozenset({"router", "embedding", "lookup_tables", "lm_head"})
"""Components that a scheme leaves in bf16 unless it names them."""


TILED, TILE = "mxfp4", (256, 128)
"""Format of weights that engines pad to whole tiles, and the width and height of these."""


def _tiles(size: int, tile: int) -> float:
    """Return the size in whole tiles per size."""
    return math.ceil(size / tile) * tile / size


def _known(place: str, component: str, chosen: str) -> None:
    """Raise `ValueError` where a component or a format is not known."""
    if component not in SCHEME_KEYS:
        raise ValueError(f"{place}: no component {component!r}; {nearest(component, SCHEME_KEYS)}")
    if not is_weight_format(chosen):
        raise ValueError(f"{place}: no format {chosen!r}; {nearest(chosen, BITS_PER_WEIGHT)}")


class Parameters(StrictModel):
    """Number of parameters by component."""

    attention: float = Field(ge=0)
    dense_ffn: float = Field(default=0.0, ge=0)
    shared_experts: float = Field(default=0.0, ge=0)
    routed_experts: float = Field(default=0.0, ge=0)
    router: float = Field(default=0.0, ge=0)
    embedding: float = Field(default=0.0, ge=0)
    lookup_tables: float = Field(
        default=0.0, ge=0, description="tables of which a token reads a few rows (n-grams)"
    )
    lm_head: float = Field(default=0.0, ge=0, description="0 where tied to the embedding")

    @property
    def total(self) -> float:
        """All parameters."""
        return float(sum(getattr(self, component) for component in COMPONENTS))

    def active(self, mixture: "Mixture | None") -> float:
        """Parameters that one token uses: all but the routed experts that it does not visit."""
        if mixture is None:
            return self.total
        visited = self.routed_experts * mixture.active / mixture.experts
        return self.total - self.routed_experts + visited


class Mixture(StrictModel):
    """Routed experts: how many there are and how many a token visits."""

    layers: int = Field(gt=0)
    experts: int = Field(gt=0)
    active: int = Field(gt=0, description="experts that one token visits per layer")
    expert_width: int | None = Field(
        default=None,
        gt=0,
        description="width of the activations sent to experts; default: the hidden size",
    )

    inner_width: int | None = Field(
        default=None,
        gt=0,
        description="width inside an expert, where engines pad it to whole tiles",
    )

    @model_validator(mode="after")
    def _fewer_active_than_all(self) -> "Mixture":
        if self.active > self.experts:
            raise ValueError(f"{self.active} active of {self.experts} experts is not possible")
        return self


class Draft(StrictModel):
    """What proposes tokens that the model then verifies: MTP layers, or a small model.

    Each drafted token is one pass through `layers` layers with `parameters`.
    """

    modules: int = Field(
        default=1, gt=0, description="modules with weights of their own; the last one is reused"
    )
    layers: int = Field(default=1, gt=0, description="decoder layers of one pass")
    parameters: Parameters = Field(description="of one module")
    mixture: Mixture | None = None
    attention: list[AttentionGroup] = Field(default_factory=list)
    in_checkpoint: bool = Field(default=True, description="whether the model's files hold it")
    repeats_tables: bool = Field(
        default=False, description="whether the files repeat embedding and output head"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Draft":
        if (self.mixture is None) != (self.parameters.routed_experts == 0):
            raise ValueError("`mixture` and `parameters.routed_experts` belong together")
        return self


WeightFormats = dict[str, dict[str, str]]


class Llm(StrictModel):
    """Architecture facts of a served model."""

    name: str
    title: str = ""
    huggingface: str = Field(default="", description="identifier on the hub, where there is one")
    same_architecture: list[str] = Field(
        default_factory=list, description="identifiers of other models of the same dimensions"
    )
    status: str = "counted"
    source: list[str] = Field(default_factory=list)
    note: str = ""
    layers: int = Field(gt=0)
    mixers: int | None = Field(
        default=None,
        gt=0,
        description="attention or state-space blocks; default: one per layer",
    )
    feed_forwards: int | None = Field(
        default=None, ge=0, description="feed-forward blocks; default: one per layer"
    )
    hidden_size: int = Field(gt=0)
    parameters: Parameters
    mixture: Mixture | None = None
    attention: list[AttentionGroup] = Field(min_length=1)
    draft: Draft | None = None
    weight_formats: WeightFormats = Field(
        default_factory=dict,
        description="named schemes: format per component; components left out keep the default",
    )
    native_format: str = Field(default="bf16", description="the scheme that the publisher ships")
    stored_apart: dict[str, dict[str, dict[str, float]]] = Field(
        default_factory=dict,
        description="by scheme, component and format: parameters that are stored in that format, "
        "not in the one of the rest of the component",
    )
    generates: bool = Field(
        default=True, description="whether an output head makes tokens; embedding models have none"
    )

    @model_validator(mode="after")
    def _consistent_parameters(self) -> "Llm":
        if (self.mixture is None) != (self.parameters.routed_experts == 0):
            raise ValueError("`mixture` and `parameters.routed_experts` belong together")
        if self.parameters.attention == 0:
            raise ValueError("`parameters.attention` must be more than 0")
        if "embedding" not in self.parameters.model_fields_set:
            raise ValueError("`parameters.embedding` is missing")
        for group in self.attention:
            replicated = group.replicated_parameters
            if isinstance(group, GroupedAttention):
                replicated += group.kv_parameters
            if replicated > self.parameters.attention:
                raise ValueError("more replicated attention weights than attention weights")
        return self

    @model_validator(mode="after")
    def _consistent_layers(self) -> "Llm":
        if self.mixture is not None and self.mixture.layers > self.feed_forward_blocks:
            raise ValueError(
                f"`mixture.layers` {self.mixture.layers} are more than the model's "
                f"{self.feed_forward_blocks} feed-forward blocks"
            )
        blocks = self.mixer_blocks
        together = sum(group.layers for group in self.attention)
        if together < blocks or any(group.layers > blocks for group in self.attention):
            raise ValueError(
                f"the groups of `attention` have {together} layers, the model {blocks} attention "
                "blocks; `mixers` says how many where that is not `layers`"
            )
        return self

    @model_validator(mode="after")
    def _consistent_formats(self) -> "Llm":
        for scheme, formats in self.weight_formats.items():
            for component, chosen in formats.items():
                _known(f"weight_formats.{scheme}", component, chosen)
        for scheme, parts in self.stored_apart.items():
            for component, apart in parts.items():
                for chosen in apart:
                    _known(f"stored_apart.{scheme}", component, chosen)
                draft = self.draft if component in DRAFT_COMPONENTS else None
                owner = draft.parameters if draft is not None else self.parameters
                whole = getattr(owner, component.removeprefix(f"{DRAFT}."), 0.0)
                if min(apart.values(), default=0.0) < 0 or sum(apart.values()) > whole:
                    raise ValueError(
                        f"stored_apart.{scheme}.{component}: more parameters than there are"
                    )
        if self.native_format not in self.schemes:
            hint = nearest(self.native_format, self.schemes)
            raise ValueError(f"native_format {self.native_format!r} is not known; {hint}")
        return self

    @property
    def mixer_blocks(self) -> int:
        """Attention or state-space blocks of a step."""
        return self.layers if self.mixers is None else self.mixers

    @property
    def feed_forward_blocks(self) -> int:
        """Dense or mixture-of-experts blocks of a step."""
        return self.layers if self.feed_forwards is None else self.feed_forwards

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
        if scheme not in BITS_PER_WEIGHT and scheme not in self.weight_formats:
            raise InputError(f"no weight format {scheme!r}; {nearest(scheme, self.schemes)}")
        if component in UNQUANTIZED:
            return "bf16"
        return scheme if scheme in BITS_PER_WEIGHT else "bf16"

    def draft_format(self, scheme: str, component: str) -> str:
        """Return the format of `component` of the draft module: the model's own by default."""
        own = self.weight_formats.get(scheme, {})
        return (
            own.get(f"{DRAFT}.{component}")
            or own.get(DRAFT)
            or self.component_format(scheme, component)
        )

    def loaded_bytes(self, scheme: str, component: str) -> float:
        """Bytes of one copy of `component` as engines hold and read it, padded to whole tiles.

        Kernels of MXFP4 experts take tiles of 256 x 128 weights (vLLM with Marlin or TensorRT-LLM).
        """
        stored = self.component_bytes(scheme, component)
        inner = self.mixture.inner_width if self.mixture is not None else None
        tiled = self.component_format(scheme, component) == TILED and component == "routed_experts"
        if not tiled or self.mixture is None or inner is None:
            return stored
        width = self.mixture.expert_width or self.hidden_size
        return stored * _tiles(width, TILE[0]) * _tiles(inner, TILE[1])

    def component_bytes(self, scheme: str, component: str) -> float:
        """Bytes of one copy of `component` as a checkpoint stores it."""
        count = float(getattr(self.parameters, component))
        return self._stored_bytes(
            scheme, component, count, weight_bits(self.component_format(scheme, component))
        )

    def _stored_bytes(self, scheme: str, key: str, count: float, bits: float) -> float:
        """Return the bytes of weights of which some may be stored apart from the rest."""
        apart = self.stored_apart.get(scheme, {}).get(key, {})
        rest = count - sum(apart.values())
        return (rest * bits + sum(n * weight_bits(name) for name, n in apart.items())) / 8

    def draft_bytes(self, scheme: str, components: tuple[str, ...] = COMPONENTS) -> float:
        """Resident bytes of one copy of one draft module, or of some components of it."""
        if self.draft is None:
            return 0.0
        return sum(
            self._stored_bytes(
                scheme,
                f"{DRAFT}.{component}",
                float(getattr(self.draft.parameters, component)),
                weight_bits(self.draft_format(scheme, component)),
            )
            for component in components
        )

    def checkpoint_bytes(self, scheme: str) -> float:
        """Bytes of the files that hold the model's weights, draft modules as the files do."""
        total = sum(self.component_bytes(scheme, component) for component in COMPONENTS)
        if self.draft is None or not self.draft.in_checkpoint:
            return total
        total += self.draft.modules * self.draft_bytes(scheme)
        if self.draft.repeats_tables:
            for table in ("embedding", "lm_head"):
                total += self.draft.modules * self.component_bytes(scheme, table)
        return total

    @property
    def active_parameters(self) -> float:
        """Parameters that one token uses, embedding and output head included."""
        return self.parameters.active(self.mixture) - self.parameters.lookup_tables

    @property
    def matmul_parameters(self) -> float:
        """Weights that one token is multiplied with: the output head, not the embedding."""
        tied = self.parameters.embedding if self.tied else 0.0
        return self.active_parameters - self.parameters.embedding + tied

    @property
    def tied(self) -> bool:
        """Whether the output head is the embedding."""
        return self.generates and self.parameters.lm_head == 0

    @property
    def matmul_flops(self) -> float:
        """FLOPs of matrix products for one generated token: two per weight."""
        return 2.0 * self.matmul_parameters

    def held_bytes(self, tokens: float, kv_format: str) -> float:
        """KV bytes that one sequence of `tokens` tokens keeps resident, one copy, no states."""
        return sum(
            cache.held
            for group in self.attention
            for cache in group.cache(tokens, kv_format, anywhere=False)
        )

    def token_bytes(self, kv_format: str) -> float:
        """KV bytes that one more token of a long sequence keeps resident, one copy."""
        shorter, longer = self.held_bytes(1e5, kv_format), self.held_bytes(2e5, kv_format)
        return (longer - shorter) / 1e5

    def read_bytes(self, tokens: float, kv_format: str) -> float:
        """KV bytes read to generate one token of a sequence of `tokens` tokens, one copy."""
        return sum(
            cache.read
            for group in self.attention
            for cache in group.cache(tokens, kv_format, anywhere=False)
        )

    def state_bytes(self) -> float:
        """Bytes of recurrent states of one sequence, whatever its length."""
        return sum(group.state_bytes() for group in self.attention)

    def attention_flops(self, tokens: float) -> float:
        """FLOPs of attention proper for one generated token."""
        return sum(group.flops(tokens, anywhere=False) for group in self.attention)
