"""The instance: one problem, from YAML to validated data.

`load` reads a file, resolves the names of catalogue entries, applies overrides and validates.
Every problem found is one `InputError` with file, line and key.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import (
    BaseModel,
    Field,
    SkipValidation,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from hbmopt.basics import exists, is_file, verb
from hbmopt.documents import (
    DEEPEST,
    Count,
    Document,
    Figure,
    Fraction,
    KeyPath,
    Money,
    Origin,
    Power,
    Rate,
    Speed,
    StrictModel,
    Value,
    catalogue,
    model_ids,
    parse_path,
    parse_scalar,
    paths,
    read_document,
    shipped,
)
from hbmopt.errors import InputError, nearest
from hbmopt.instance.calibration import (
    CALIBRATED,
    UNIVERSAL,
    Calibration,
    at_least_one,
    entry_for,
    universal,
)
from hbmopt.instance.economics import Economics
from hbmopt.instance.error_band import Known, what_is_known
from hbmopt.instance.hardware import PowerLaw, Rack
from hbmopt.instance.objective import OBJECTIVES, Objective
from hbmopt.instance.question import Setting, described
from hbmopt.llm import BITS_PER_CACHE_ELEMENT, BITS_PER_WEIGHT, Llm


def problem_at(key: str, message: str) -> PydanticCustomError:
    """Return the error of a check that spans keys, to be reported at one of them."""
    return PydanticCustomError("at_key", "{message}", {"key": key, "message": message})


class Workload(StrictModel):
    """What a sequence looks like while it decodes, and who computes its prompt."""

    context: Count | None = Field(default=None, description="mean tokens resident per sequence")
    prompt: Count | None = Field(default=None, description="prompt tokens")
    output: Count | None = Field(default=None, description="output tokens")
    capacity_context: Count | None = Field(
        default=None,
        description="tokens per sequence that capacity is reserved for: a high quantile of the "
        "context; default: the mean",
    )
    prefill: Literal["elsewhere", "shared"] = Field(
        default="elsewhere", description="whether prompts are computed on these accelerators too"
    )
    prefix_hit_rate: Fraction = Field(
        default=Figure(0.0, "fraction"),
        description="share of prompt tokens that need no prefill, as their cache is there",
    )
    draft_acceptance: Fraction | None = Field(
        default=None,
        description="probability that a drafted token is accepted where all before it are",
    )
    draft_acceptance_by_position: list[Fraction] | None = Field(
        default=None,
        min_length=1,
        description="instead: probability that the first, second, ... drafted token is accepted",
    )

    @model_validator(mode="after")
    def _one_way(self) -> "Workload":
        if self.context is None and self.prompt is None and self.output is None:
            raise ValueError("give either `context`, or `prompt` and `output` tokens")
        if self.context is not None and not (self.prompt is None and self.output is None):
            raise ValueError(
                "give either `context`, or `prompt` and `output` tokens; to replace them: "
                f'--set "workload={{context: {self.context.amount:g}}}"'
            )
        if self.context is None and (self.prompt is None or self.output is None):
            raise ValueError("`prompt` and `output` belong together")
        if self.prefill == "shared" and self.prompt is None:
            raise problem_at(
                "prefill", "shared prefill needs `prompt` and `output` tokens, not `context`"
            )
        reserved = self.capacity_context
        if reserved is not None and reserved.amount < self.mean_context:
            raise problem_at(
                "capacity_context",
                f"{reserved.amount:g} tokens are fewer than the mean of {self.mean_context:g}",
            )
        if self.draft_acceptance is not None and self.draft_acceptance_by_position is not None:
            raise problem_at(
                "draft_acceptance", "give this or `draft_acceptance_by_position`, not both"
            )
        listed = [float(one) for one in self.draft_acceptance_by_position or []]
        if any(later > earlier for earlier, later in pairwise(listed)):
            raise problem_at(
                "draft_acceptance_by_position",
                "a later token cannot be accepted more often than one before it",
            )
        return self

    @property
    def mean_context(self) -> float:
        """Mean tokens of a sequence over its decoding: prompt plus half of the output."""
        if self.context is not None:
            return self.context.amount
        if self.prompt is None or self.output is None:  # excluded by validation
            raise AssertionError
        return self.prompt.amount + self.output.amount / 2

    @property
    def reserved_context(self) -> float:
        """Tokens per sequence that capacity is reserved for."""
        if self.capacity_context is not None:
            return self.capacity_context.amount
        return self.mean_context

    def accepted_tokens(self, drafted: int) -> float:
        """Return the tokens that a sequence gains in a step with `drafted` tokens drafted.

        One that the model makes itself, and every drafted token with the probability that it and
        all before it are accepted. Raises `ValueError` where no acceptance is given for them.
        """
        if drafted == 0:
            return 1.0
        if self.draft_acceptance is not None:
            each = float(self.draft_acceptance)
            return sum(each**position for position in range(drafted + 1))
        listed = self.draft_acceptance_by_position or []
        if len(listed) < drafted:
            raise ValueError(
                f"{drafted} tokens are drafted, and the acceptance is known of {len(listed)}; set "
                "workload.draft_acceptance, or one value for each of them by position"
            )
        return 1.0 + sum(float(one) for one in listed[:drafted])

    @property
    def prefilled_per_output(self) -> float:
        """Prompt tokens computed on these accelerators per output token."""
        if self.prefill == "elsewhere" or self.prompt is None or self.output is None:
            return 0.0
        computed = self.prompt.amount * (1.0 - float(self.prefix_hit_rate))
        return computed / self.output.amount


class BudgetLimit(StrictModel):
    """A budget that the user declares, in a unit of their own."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    unit: str = "1"
    capacity: float = Field(gt=0, allow_inf_nan=False)
    fixed: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    per_accelerator: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="per used one"
    )
    per_replica: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    per_step: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="per decode step per s"
    )
    per_token: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="per output token per s"
    )


CAPITAL = "budget_usd"
"""Name of the budget that is a sum of money."""


class Limits(StrictModel):
    """What the rack has to stay within."""

    power: Power | None = Field(default=None, description="default: the rack's provisioned power")
    power_scope: Literal["accelerators", "rack", "facility"] = Field(
        default="rack", description="whose power is limited: accelerators, rack, or with the PUE"
    )
    accelerator_power: Power | None = Field(
        default=None, description="what an accelerator may draw; default: its own power limit"
    )
    power_capped: bool = Field(default=True, description="false: no power limit at all")
    pue: Figure = Field(
        default=Figure(
            1.2,
            "fraction",
            "estimate",
            note="new halls with liquid cooling 1.1 to 1.3; the mean of all is above 1.5",
        ),
        description="facility power per rack power, to cool it and to bring it there",
    )
    min_throughput: Rate | None = Field(
        default=None, description="output tokens/s that are to be served; default: none"
    )
    min_speed: Speed = Field(default=Figure(0.0, "speed"), description="floor of tokens/s per user")
    max_batch: Count | None = Field(
        default=None,
        description="sequences of an attention rank at once (vLLM's --max-num-seqs); default: all",
    )
    budget_usd: Money | None = Field(
        default=None,
        description="price of the accelerators that run, each with its share of the rack",
    )
    budgets: list[BudgetLimit] = Field(
        default_factory=list, description="limits of one's own on what accelerators and tokens use"
    )

    @field_validator("pue", mode="before")
    @classmethod
    def _pue_at_least_one(cls, value: object) -> Figure:
        return at_least_one(value, "facility power includes the rack")

    @model_validator(mode="after")
    def _names_differ(self) -> "Limits":
        names = [budget.name for budget in self.budgets]
        if self.budget_usd is not None and CAPITAL in names:
            raise ValueError(f"a budget is called {CAPITAL!r}, which limits.{CAPITAL} is too")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two budgets are called {name!r}")
        return self


NO_COMPRESSION = "none"


class KvCompression(StrictModel):
    """A way to keep the KV cache in fewer bytes at the price of arithmetic.

    Spare compute buys bandwidth and capacity: `ratio` of the bytes are held and read, and
    every byte of the cache as it was takes `flops_per_byte` to restore when it is read.
    """

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")
    ratio: float = Field(gt=0, le=1, description="bytes kept per byte of the KV format")
    flops_per_byte: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="per byte before compression"
    )


WeightFormat: TypeAlias = Annotated[str, Field(examples=list(BITS_PER_WEIGHT))]
CacheFormat: TypeAlias = Annotated[str, Field(examples=list(BITS_PER_CACHE_ELEMENT))]


class Choices(StrictModel):
    """What the solver may choose from. A list left out means: whatever is possible."""

    weight_formats: list[WeightFormat] | None = Field(
        default=None, description="default: the model's native one"
    )
    kv_formats: list[CacheFormat] = Field(
        default_factory=lambda: ["fp8"], min_length=1, description="formats of the KV cache"
    )
    kv_compressions: list[KvCompression] = Field(
        default_factory=lambda: [KvCompression(name=NO_COMPRESSION, ratio=1.0)],
        min_length=1,
        description="default: none; with `name: none, ratio: 1` in the list it stays a choice",
    )
    draft_tokens: list[int] = Field(
        default_factory=lambda: [0], description="tokens drafted per step and sequence"
    )
    replica_accelerators: list[int] | None = Field(
        default=None, description="accelerators of a replica"
    )
    tensor_parallel: list[int] | None = Field(
        default=None, description="accelerators that share one attention rank"
    )
    expert_parallel: list[int] | None = Field(
        default=None, description="accelerators that the experts are spread over"
    )
    attention_data_parallel: list[int] | None = Field(
        default=None, description="attention ranks that hold sequences of their own"
    )
    pipeline_parallel: list[int] = Field(
        default_factory=lambda: [1], description="stages that the layers are divided into"
    )
    context_parallel: list[int] = Field(
        default_factory=lambda: [1],
        description="tensor ranks that share the tokens of a cache which each would keep whole",
    )
    lookup_tables: Literal["hbm", "host"] = Field(
        default="hbm", description="where tables are kept of which a token reads a few rows"
    )
    clocks: list[float] = Field(
        default_factory=lambda: [(1000 - 25 * step) / 1000 for step in range(17)],
        min_length=1,
        description="shares of the full clock that accelerators may run at",
    )
    lpu_units: list[int] | None = Field(
        default=None, description="LPU units of a replica; 0 is none"
    )
    uniform: bool = Field(
        default=True, description="false: replicas of one rack may differ in configuration"
    )
    whole_sequences: bool = Field(
        default=True, description="round the batch down to whole sequences"
    )

    @field_validator("kv_formats")
    @classmethod
    def _kv_formats_known(cls, formats: list[str]) -> list[str]:
        for name in formats:
            if name not in BITS_PER_CACHE_ELEMENT:
                hint = nearest(name, BITS_PER_CACHE_ELEMENT)
                raise ValueError(f"no KV format {name!r}; {hint}")
        return formats

    @field_validator("kv_compressions")
    @classmethod
    def _compressions_differ(cls, compressions: list[KvCompression]) -> list[KvCompression]:
        names = [one.name for one in compressions]
        for one in compressions:
            if names.count(one.name) > 1:
                raise ValueError(f"two compressions are called {one.name!r}")
            if one.name == NO_COMPRESSION and (one.ratio, one.flops_per_byte) != (1.0, 0.0):
                raise ValueError("`none` means ratio 1 and no arithmetic")
        return compressions

    @field_validator("clocks")
    @classmethod
    def _clocks_in_range(cls, clocks: list[float]) -> list[float]:
        for clock in clocks:
            if not 0.1 <= clock <= 1.0:
                raise ValueError(f"clock {clock} must be a share of the full clock, 0.1 to 1")
        return sorted(set(clocks), reverse=True)

    @field_validator(
        "weight_formats",
        "kv_formats",
        "replica_accelerators",
        "tensor_parallel",
        "expert_parallel",
        "attention_data_parallel",
        "pipeline_parallel",
        "context_parallel",
        "draft_tokens",
        "lpu_units",
    )
    @classmethod
    def _not_empty(cls, values: list[Any] | None) -> list[Any] | None:
        if values is not None and not values:
            raise ValueError("an empty list leaves nothing to choose; leave the key out for all")
        for value in values or []:
            if isinstance(value, int) and value < 0:
                raise ValueError(f"{value} must not be negative")
        return values

    @field_validator(
        "replica_accelerators",
        "tensor_parallel",
        "expert_parallel",
        "attention_data_parallel",
        "pipeline_parallel",
        "context_parallel",
    )
    @classmethod
    def _at_least_one(cls, values: list[int] | None) -> list[int] | None:
        if values is not None and 0 in values:
            raise ValueError("0 must be at least 1")
        return values


class Instance(StrictModel):
    """One problem: rack, llm, workload, limits, choices, objective, and what it all costs."""

    also_called: ClassVar[Mapping[str, str]] = dict.fromkeys(("racks", "nodes"), "rack.nodes")

    name: str = "instance"
    description: str = ""
    rack: Rack
    llm: Llm
    workload: Workload
    limits: Limits = Field(default_factory=Limits)
    choices: Choices = Field(default_factory=Choices)
    calibration: Calibration = Field(default_factory=universal)
    objective: Objective = Field(default="throughput", description="what is to be best")
    economics: Economics = Field(
        default_factory=Economics, description="what capital, energy and operations cost"
    )

    @model_validator(mode="after")
    def _formats_of_the_model(self) -> "Instance":
        if not self.llm.generates:
            raise problem_at("llm", f"{self.llm.name} has no output head: it makes no tokens")
        for name in self.choices.weight_formats or []:
            if name not in self.llm.schemes:
                hint = nearest(name, self.llm.schemes)
                raise problem_at("choices.weight_formats", f"no weight format {name!r}; {hint}")
        if any(self.choices.lpu_units or []) and self.rack.offload is None:
            raise problem_at("choices.lpu_units", "the rack has no `offload`, so it has no LPUs")
        if self.limits.budget_usd is not None and self.rack.usd_by_accelerator is None:
            raise problem_at(
                f"limits.{CAPITAL}", "no price is known: set rack.price, such as 300 kUSD"
            )
        kind = OBJECTIVES[self.objective]
        if kind.least and self.limits.min_throughput is None:
            raise problem_at(
                "objective",
                f"the least {kind.title} is none at all: say what is to be served, with "
                'limits.min_throughput: "50k tok/s"',
            )
        deepest = max(self.choices.draft_tokens)
        if deepest and self.llm.draft is None:
            raise problem_at(
                "choices.draft_tokens", "the llm has no `draft` (MTP layers or a small model)"
            )
        try:
            self.workload.accepted_tokens(deepest)
        except ValueError as error:
            raise problem_at("choices.draft_tokens", str(error)) from None
        return self

    @property
    def power_cap_kw(self) -> float | None:
        """The power limit in kW, or None where there is none."""
        if not self.limits.power_capped:
            return None
        if self.limits.power is not None:
            return self.limits.power.amount
        return self.rack.all_provisioned_kw

    @property
    def setting(self) -> Setting:
        """What it asks about, as headings put it."""
        limits = self.limits
        capped = limits.power_capped and limits.power is not None
        return Setting(
            name=self.name,
            description=self.description,
            rack=self.rack,
            llm=self.llm,
            context_tokens=self.workload.mean_context,
            min_speed=float(limits.min_speed),
            power_kw=self.power_cap_kw if capped else None,
        )

    @property
    def accelerator_limit(self) -> Figure:
        """What an accelerator may draw: its own power limit, or that of the instance if lower."""
        return self.figure(self.accelerator_limit_path)

    @property
    def accelerator_limit_path(self) -> KeyPath:
        """Where the power limit of an accelerator that counts is given."""
        chip, asked = self.rack.accelerator, self.limits.accelerator_power
        if asked is not None and asked.amount < chip.limit.amount:
            return ("limits", "accelerator_power")
        return ("rack", "accelerator", "power_limit" if chip.power_limit is not None else "tdp")

    @property
    def budgets(self) -> tuple[BudgetLimit, ...]:
        """The declared budgets, and that of money as the last one where there is one."""
        listed, sum_of_money = tuple(self.limits.budgets), self.limits.budget_usd
        if sum_of_money is None:
            return listed
        each = self.rack.usd_by_accelerator or 0.0
        capital = BudgetLimit(
            name=CAPITAL, unit="USD", capacity=sum_of_money.amount, per_accelerator=each
        )
        return (*listed, capital)

    def budget_path(self, position: int) -> KeyPath:
        """Return where the capacity of one of all budgets is given."""
        if position < len(self.limits.budgets):
            return ("limits", "budgets", position, "capacity")
        return ("limits", CAPITAL)

    @property
    def power_law(self) -> PowerLaw:
        """The law of the accelerators' power: the calibration's, with what is known of the chip."""
        own, law = self.rack.accelerator.power_law, self.calibration.power_law
        return own.over(law) if own is not None else law

    @property
    def rates_changed(self) -> bool:
        """Whether somebody gave the chip other rates than those of its data sheet."""
        chip = self.rack.accelerator
        rates = [chip.hbm_bandwidth, chip.scale_up_bandwidth, *chip.peak_flops.values()]
        return any(rate.status == "given" for rate in rates)

    @property
    def known(self) -> Known:
        """What was measured of its chip and model; of a chip with other rates its family alone."""
        chip = self.rack.accelerator
        name = "" if self.rates_changed else chip.name
        return what_is_known(self.calibration.measured, name, chip.architecture, self.llm.name)

    def worst_factor(self, of: Literal["step", "power"], attention_data_parallel: int) -> float:
        """Return what predictions are multiplied with where one plans for the worst cases."""
        worst = float(self.calibration.worst)
        if worst == 0.0:
            return 1.0
        band = self.calibration.band(of, self.known, attention_data_parallel)
        return band.at(1.0 - worst) if band is not None else 1.0

    def at_floor(self, speed: float) -> "Instance":
        """Return a copy with another speed floor, in tok/s per user."""
        limits = self.limits.model_copy(update={"min_speed": Figure(speed, "speed")})
        return self.model_copy(update={"limits": limits})

    def scaled(self, path: KeyPath, factor: float) -> "Instance":
        """Return a copy in which the figure at `path` is multiplied by `factor`."""
        return self.changed(path, lambda figure: figure.scaled(factor))

    def changed(self, path: KeyPath, change: Callable[[Any], Any]) -> "Instance":
        """Return a copy in which `change` is applied to what stands at `path`, not validated."""
        changed = _changed(self, path, change)
        if not isinstance(changed, Instance):
            raise TypeError("a path below the instance is needed")
        return changed

    def figure(self, path: KeyPath) -> Figure:
        """Return the figure at `path`."""
        found = reduce(_below, path, self)
        if not isinstance(found, Figure):
            raise TypeError(f"{path} is not a figure")
        return found


def _below(node: Any, step: str | int) -> Any:
    if isinstance(node, Mapping):
        return node[step]
    return node[step] if isinstance(step, int) else getattr(node, step)


def _changed(node: Any, path: KeyPath, change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(node)
    step, rest = path[0], path[1:]
    changed = _changed(_below(node, step), rest, change)
    if isinstance(node, BaseModel):
        return node.model_copy(update={str(step): changed})
    if isinstance(node, list):
        return [changed if index == step else item for index, item in enumerate(node)]
    return {**node, step: changed}


@dataclass(frozen=True)
class Reference:
    """A place in an instance that may name a catalogue entry."""

    path: KeyPath
    kind: str


REFERENCES = (
    Reference(("rack",), "racks"),
    Reference(("rack", "accelerator"), "accelerators"),
    Reference(("rack", "offload"), "offloads"),
    Reference(("rack", "offload", "device"), "accelerators"),
    Reference(("llm",), "llms"),
    Reference(("calibration",), "calibrations"),
)


def resolve_references(document: Document) -> None:
    """Replace catalogue names by their entries, and ``{base: NAME, ...}`` by the entry changed."""
    for reference in REFERENCES:
        value = document.get(reference.path)
        if reference.kind == "calibrations" and _by_chip(value):
            # Which entry it is depends on the rack, which may still change.
            if isinstance(value, str):
                chosen = Document({"base": CALIBRATED}, {(): document.origin(reference.path)})
                document.graft(reference.path, chosen)
        elif isinstance(value, str):
            document.graft(reference.path, _entry(document, reference, value))
        elif isinstance(value, dict) and "base" in value:
            base = value.pop("base")
            if not isinstance(base, str):
                raise document.error((*reference.path, "base"), "must name a catalogue entry")
            document.origins.pop((*reference.path, "base"), None)
            merged = _entry(document, reference, base)
            _overlay(merged, value, document, reference.path)
            document.graft(reference.path, merged)


@cache
def _calibration(name: str) -> Document:
    """Return an entry that every validation needs, to be copied before it is changed."""
    return catalogue.entry("calibrations", name)


def _by_chip(calibration: Value) -> bool:
    """Whether a calibration is the one that covers the rack's chip, maybe with changes."""
    if isinstance(calibration, dict):
        calibration = calibration.get("base")
    return calibration == CALIBRATED


LIKEWISE = {
    "efficiency": {"experts": "weights", "experts_gemm": "gemm", "prefill": "gemm"},
    "overlap": {"prefill": "gemm"},
}
"""Constants of one's own that hold for others too, where these are not given."""


def _complete_calibration(document: Document) -> Document:
    """Return the document with all constants: the chosen entry's, and `universal` for the rest.

    Bands of error and chips belong to an entry; constants of one's own do not inherit them.
    """
    path: KeyPath = ("calibration",)
    value = document.get(path)
    if not isinstance(document.value, dict) or not (value is None or isinstance(value, dict)):
        return document
    changes = dict(value or {})
    chip = document.get(("rack", "accelerator", "name"))
    name = entry_for(str(chip)) if _by_chip(changes) else UNIVERSAL
    complete = document.copied()
    for part, likely in LIKEWISE.items():
        given = changes.get(part)
        if not isinstance(given, dict):
            continue
        for new, name_of in likely.items():
            if name_of in given and new not in given:
                complete.graft((*path, part, new), complete.part((*path, part, name_of)))
    changed = complete.get(path)
    changes = dict(changed) if isinstance(changed, dict) else {}
    changes.pop("base", None)
    constants = _calibration(UNIVERSAL).copied()
    if isinstance(constants.value, dict) and (name != UNIVERSAL or "name" in changes):
        for name_of_errors in ("errors", "overall", "measured"):
            constants.value.pop(name_of_errors, None)
    if name != UNIVERSAL:
        own = _calibration(name).copied()
        if isinstance(own.value, dict):
            _overlay(constants, own.value, own, ())
    _overlay(constants, changes, complete, path)
    complete.graft(path, constants)
    return complete


ENTRY_FILES = (".yaml", ".yml", ".json", ".gguf")
"""Suffixes by which a name stands for a file with an entry of one's own."""


def names_a_file(text: str) -> bool:
    """Whether a name stands for a file with an entry, where one is asked for."""
    return Path(text).suffix in ENTRY_FILES


def _entry(document: Document, reference: Reference, name: str) -> Document:
    """Return what a name stands for: a catalogue entry, or a file beside the instance."""
    if names_a_file(name):
        return _file_entry(document, reference, name)
    if reference.kind == "llms" and "/" in name:
        return _model_entry(document, reference, name)
    try:
        return _fitting(document, reference, catalogue.entry(reference.kind, name), name)
    except InputError as error:
        if "among the catalogue" not in str(error):
            raise
        other = _of_another_kind(reference, name)
        if other is not None:
            raise document.error(reference.path, other) from None
        if reference.kind == "calibrations":
            error = InputError(f"{error}; or {CALIBRATED}, by the rack's chip, or a file .yaml")
        raise document.error(reference.path, str(error)) from None


def _model_entry(document: Document, reference: Reference, identifier: str) -> Document:
    """Return the entry that an identifier on the Hugging Face hub means, in its weight format."""
    found = model_ids.entry_of(identifier)
    if found is None:
        hint = nearest(identifier, catalogue.names("llms"))
        # What is distilled into another model has that one's shape.
        close = hint.startswith("did you mean") and "distill" not in identifier.lower()
        meant = f"{hint[:-1]}, or import" if close else "import"
        raise document.error(
            reference.path,
            f"no model {identifier!r} in the catalogue; {meant} its configuration: "
            "hbmopt import-llm config.json -o mine.yaml, and name mine.yaml here",
        )
    entry = catalogue.entry("llms", str(found.pop("base")))
    for key, value in found.items():
        entry.graft((key,), Document(value, {(): document.origin(reference.path)}))
    return entry


ACCELERATOR: KeyPath = ("rack", "accelerator")


def _fitting(document: Document, reference: Reference, entry: Document, name: str) -> Document:
    """Return an entry. Raises `InputError` for an LPU where accelerators stand, and the reverse."""
    lpu = entry.get(("kind",)) == "lpu"
    title = entry.get(("title",))
    if reference.path == ACCELERATOR and lpu:
        raise document.error(
            reference.path,
            f"{name} ({title}) is an LPU: weights in SRAM beside accelerators, which keep the KV "
            f"cache in HBM; give it as rack.offload={{device: {name}, units: 256}}",
        )
    if reference.path == ("rack", "offload", "device") and not lpu:
        raise document.error(
            reference.path,
            f"{name} ({title}) is an accelerator with memory of its own, not an LPU that takes "
            f"weights over; give it as rack.accelerator={name}",
        )
    return entry


def _of_another_kind(reference: Reference, name: str) -> str | None:
    """Return what to do with the name of an entry that stands where another kind belongs."""
    kinds = [kind for kind in catalogue.KINDS if name in catalogue.names(kind)]
    if not kinds:
        return None
    uses = {
        "racks": f"rack={name}",
        "accelerators": f"rack.accelerator={name}",
        "offloads": f"rack.offload={name}",
        "llms": f"llm={name}",
        "calibrations": f"calibration={name}",
    }
    kind, use = kinds[0], uses[kinds[0]]
    if catalogue.entry(kind, name).get(("kind",)) == "lpu":
        kind, use = "LPUs", f"rack.offload={{device: {name}, units: 256}}"
    return (
        f"{name!r} is one of the catalogue's {kind}, not of its {reference.kind}; give it as {use}"
    )


def _file_entry(document: Document, reference: Reference, name: str) -> Document:
    """Read an entry of the user's own; a model's config.json is imported on the way."""
    written_in = Path(document.origin(reference.path).source)
    folder = written_in.parent if is_file(written_in) else Path()
    path = Path(name) if Path(name).is_absolute() else folder / name
    if not exists(path):
        raise document.error(reference.path, f"there is no file {path}")
    if path.suffix not in (".json", ".gguf"):
        return read_document(path)
    if reference.kind != "llms":
        raise document.error(reference.path, f"{name}: only models are read from {path.suffix}")
    from hbmopt.llm.importing import (
        entry_mapping,  # 30 ms that few instances need
        import_llm,
    )

    return Document(entry_mapping(import_llm(path)), {(): Origin(str(path))}, {path})


def _overlay(
    merged: Document, changes: dict[str, Value], document: Document, path: KeyPath
) -> None:
    """Lay `changes`, which stand at `path` of `document`, over the entry `merged`."""
    for key, value in changes.items():
        part = document.part((*path, key))
        below = merged.get((key,))
        if isinstance(value, dict) and isinstance(below, dict) and "value" not in value:
            nested = merged.part((key,))
            _overlay(nested, value, document, (*path, key))
            merged.graft((key,), nested)
        else:
            merged.graft((key,), part)


def override_parts(text: str, option: str = "--set") -> tuple[str, str]:
    """Return key and value of ``key.path=value``. Raises `InputError` for another form."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f'{option} {text}: write it as key=value, such as limits.power="90 kW"')
    return key.strip(), value.strip()


def apply_override(document: Document, text: str, option: str = "--set") -> None:
    """Apply one ``key.path=value`` override. Raises `InputError` when it is not of that form."""
    key, value = override_parts(text, option)
    _change(document, key, parse_scalar(value, f"{option} {text}"), value)


def _change(document: Document, key: str, change: Document, text: str) -> None:
    """Put a change at a key, and note it where it is one: `text` is the value as it was written."""
    path = parse_path(key)
    before = document.get(path)
    document.graft(path, change)
    resolve_references(document)
    if document.get(path) != before:
        kept = [one for one in document.changes if one.partition("=")[0] != key]
        document.changes[:] = [*kept, f"{key}={text}" if text else key]


Source: TypeAlias = Annotated[Instance | str | os.PathLike[str] | Mapping[str, Any], SkipValidation]
"""What an instance may be given as: itself, a file, the name of a shipped one, or a mapping."""

Overrides: TypeAlias = Mapping[str, Any] | Sequence[str] | str | None
"""Changes by dotted key: ``{"limits.power": "90 kW"}``, or ``"limits.power=90 kW"``, or several."""


@verb
def load(source: Source, overrides: Overrides = None) -> Instance:
    """Load and validate an instance.

    Parameters
    ----------
    source
        The path of a YAML file, the name of a shipped instance (``"h200"``), a mapping of the same
        shape as a file, or an instance, of which a changed copy is returned.
    overrides
        Changes by dotted key: ``{"limits.power": "90 kW"}``, ``"limits.power=90 kW"``, or a list of
        the latter. An instance keeps the constants of calibration that it was loaded with.

    Raises
    ------
    InputError
        With file, line, key, what is wrong and what to do, in one line.
    """
    if isinstance(source, Instance) and not overrides:
        return source
    return validate(load_document(source, overrides))


def load_document(source: Source, overrides: Overrides = None) -> Document:
    """Load an instance as `load` does, entries resolved and overrides applied, not validated."""
    document = _document(source)
    resolve_references(document)
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            change = Document(_copied(value), {(): Origin(f"override {key}")})
            text = str(value) if isinstance(value, str | int | float) else ""
            _change(document, str(key), change, text)
    else:
        for text in [overrides] if isinstance(overrides, str) else overrides or ():
            apply_override(document, text)
    return document


def _document(source: Source) -> Document:
    """Return a source as a document of its own."""
    if isinstance(source, Instance | Mapping):
        kind = "instance" if isinstance(source, Instance) else "mapping"
        document = Document(_copied(source))
        document.origins.update(dict.fromkeys(paths(document.value), Origin(f"<{kind}>")))
        return document
    if not isinstance(source, str | os.PathLike):
        raise InputError(
            f"an instance is a path, the name of a shipped one, a mapping or an Instance, not of "
            f"type {type(source).__name__}"
        )
    path = shipped.found(os.fspath(source))
    document = read_document(path)
    if isinstance(document.value, dict):
        document.value.setdefault("name", path.stem)
    return document


def _copied(value: Any, depth: int = 0) -> Any:
    """Return a copy of plain data; of models as mappings of what they say, figures as they are."""
    if depth > DEEPEST:
        raise InputError("<mapping>: nested too deeply to be an instance")
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        value = {name: item for name, item in fields.items() if item is not None}
    if isinstance(value, Mapping):
        return {str(key): _copied(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(item, depth + 1) for item in value]
    return value


def is_fleet(document: Document) -> bool:
    """Whether a document describes a fleet, not an instance of one rack."""
    return document.get(("kind",)) == "fleet"


def validate(document: Document) -> Instance:
    """Validate a document. Raises `InputError` for the first thing that is wrong.

    The description of a changed one is what it asks by then.
    """
    if is_fleet(document):
        raise document.error((), "is a fleet; hbmopt solve, sweep, report and explain take fleets")
    document = _complete_calibration(document)
    try:
        instance = Instance.model_validate(document.value)
    except ValidationError as error:
        raise first_problem(document, error) from None
    text = described(instance.setting, document.changes)
    if text == instance.description:
        return instance
    return instance.model_copy(update={"description": text})


_UNION_TAGS = {"grouped", "latent", "compressed", "recurrent"}
"""Steps that pydantic adds to a location to say which kind of attention it tried."""


def first_problem(document: Document, error: ValidationError) -> InputError:
    """Return the one-line error of the first thing that is wrong in a document."""
    problem = error.errors(include_url=False)[0]
    path: KeyPath = tuple(step for step in problem["loc"] if step not in _UNION_TAGS)
    context = problem.get("ctx", {})
    if problem["type"] == "unknown_key":
        path = (*path, str(context["key"]))
    elif problem["type"] == "at_key":
        path = (*path, *parse_path(str(context["key"])))
    elif problem["type"] == "missing":
        message = f"the key {path[-1]!r} is missing"
        return document.error(path[:-1], message)
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] not in ("value_error", "unknown_key", "mapping", "at_key"):
        message = f"{message[0].lower()}{message[1:]} (got {problem['input']!r})"
    return document.error(path, message)
