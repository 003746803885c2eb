"""How real steps differ from the data sheet: attained shares of the peaks, fixed times, power.

A calibration is an entry of the catalogue like any other: every constant carries its status, and
the entry says on which chips it was measured and how far its step times lie from measured ones.
What an instance leaves out comes from the entry `universal`.
"""

import math
from functools import cache
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from hbmopt.documents import (
    Count,
    Duration,
    Efficiency,
    Figure,
    FigureRule,
    Fraction,
    Half,
    OptionalCount,
    OptionalDataSize,
    Ratio,
    StrictModel,
    catalogue,
)
from hbmopt.instance.error_band import PROBABILITIES, Known, QuantileBand, band_of
from hbmopt.instance.hardware import PowerLaw

UNIVERSAL, SPEC_SHEET, CALIBRATED = "universal", "spec_sheet", "calibrated"
"""Two entries of the catalogue, and the word for the entry that covers the rack's chip."""

KERNELS = "kernels"
"""The entry of steps without a serving engine around them, which covers no chip by itself."""

TENSOR_PARALLEL, EXPERT_PARALLEL = "tensor_parallel", "expert_parallel"
"""Modes of a layout: attention split over all ranks, or repeated with the experts spread."""

Basis = Literal["spec sheet", "universal", "calibrated"]


def layout_mode(attention_data_parallel: int) -> str:
    """Return the mode of a layout, or of many of one mode, which decides over its constants."""
    return EXPERT_PARALLEL if np.min(attention_data_parallel) > 1 else TENSOR_PARALLEL


def at_least_one(value: object, reason: str) -> Figure:
    """Read a plain number that must be at least 1, for the reason given."""
    if isinstance(value, Figure):
        return value
    if isinstance(value, dict):
        figure = FigureRule("fraction", zero=True).parse(value)
        at_least_one(figure.amount, reason)
        return figure
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a plain number")
    if not 1.0 <= value < math.inf:
        raise ValueError(f"{value} must be at least 1: {reason}")
    return Figure(float(value), "fraction")


class Efficiencies(StrictModel):
    """Attained share of the peak, by resource."""

    weights: Efficiency = Field(description="of HBM bandwidth, reading weights of dense products")
    experts: Efficiency = Field(description="of HBM bandwidth, reading weights of experts")
    kv: Efficiency = Field(description="of HBM bandwidth, reading caches")
    gemm: Efficiency = Field(description="of arithmetic, in dense products")
    experts_gemm: Efficiency = Field(description="of arithmetic, in products of experts")
    attention: Efficiency = Field(description="of arithmetic, in attention proper")
    prefill: Efficiency = Field(description="of arithmetic, in prompts between decode steps")
    link: Efficiency = Field(description="of links inside a scale-up domain")
    scale_out: Efficiency = Field(description="of the network between scale-up domains")
    sram: Efficiency
    lpu_compute: Efficiency
    lpu_link: Efficiency


class Overlaps(StrictModel):
    """Share of a resource's time that hides behind the others: 1 roofline, 0 serial.

    A single number holds for all resources.
    """

    weights: Fraction
    kv: Fraction
    gemm: Fraction
    attention: Fraction
    prefill: Fraction
    link: Fraction
    sram: Fraction
    lpu_compute: Fraction
    lpu_link: Fraction

    @model_validator(mode="before")
    @classmethod
    def _one_number_for_all(cls, data: Any) -> Any:
        if isinstance(data, int | float) and not isinstance(data, bool):
            return dict.fromkeys(cls.model_fields, data)
        return data


class Latency(StrictModel):
    """Fixed times of a step: of its layers, what blocks of some kinds take more, of sequences."""

    per_layer: Duration
    per_latent_block: Duration = Field(description="latent and compressed attention, more")
    per_recurrent_block: Duration = Field(description="recurrent attention, more")
    per_expert_block: Duration = Field(description="mixture of experts, more")
    per_block_scaled_layer: Duration = Field(description="layers in FP8 with scaled blocks, more")
    per_exchange_doubling: Duration = Field(
        description="mixtures with attention-data parallelism: times log2 of the accelerators"
    )
    per_layer_beyond_domain: Duration = Field(
        description="layers of a replica wider than a scale-up domain, more"
    )
    per_stage: Duration = Field(description="handing activations on to the next pipeline stage")
    per_shared_cache: Duration = Field(
        description="attention blocks whose ranks share the tokens of a cache, more"
    )
    per_sequence: Duration = Field(description="of every sequence of an attention rank")
    clock_share: Fraction = Field(
        description="share of the fixed times that gets longer where the clock is lower"
    )
    attention_share: Fraction
    projection_share: Fraction


class ArchitectureLatency(StrictModel):
    """What layers and blocks of experts take more on chips of one architecture."""

    per_layer: Duration = Figure(0.0, "time", "derived")
    per_expert_block: Duration = Figure(0.0, "time", "derived")


class ErrorBand(StrictModel):
    """How far step times lie from measured ones, as shares of these."""

    rows: int = Field(gt=0)
    median: float = Field(ge=0, description="median absolute error, as a share")
    mean: float = Field(ge=0)
    p90: float = Field(ge=0)
    bias: float = Field(description="median error; negative: predictions are too short")


class StepError(ErrorBand):
    """The errors of some chips and one layout, on rows that took no part in the fit."""

    accelerators: list[str] = Field(min_length=1, description="chips of the measured rows")
    layout: Literal["tensor_parallel", "expert_parallel"]
    series: int = Field(gt=0, description="independent series of rows")


class VendorError(ErrorBand):
    """The errors over all measured rows, or those of one vendor's chips."""

    vendor: str = Field(default="", description="empty: all vendors")


class Calibration(StrictModel):
    """How real steps differ from the data sheet."""

    name: str
    title: str = ""
    note: str = ""
    accelerators: list[str] = Field(
        default_factory=list, description="chips whose measured steps were fitted"
    )
    same_architecture: list[str] = Field(
        default_factory=list, description="chips that take these constants without measured steps"
    )
    efficiency: Efficiencies
    overlap: Overlaps
    latency: Latency
    architectures: dict[str, ArchitectureLatency] = Field(
        default_factory=dict, description="by the architecture of the accelerator"
    )
    measured: dict[str, list[str]] = Field(
        default_factory=dict, description="models whose steps were measured, by chip"
    )
    bands: list[QuantileBand] = Field(
        default_factory=list, description="measured over predicted, by what is known"
    )
    worst: Half = Field(
        default=Figure(0.0, "fraction"),
        description="plan for the worst cases: 0.1 is slower than nine of ten; 0: the middle",
    )
    errors: list[StepError] = Field(default_factory=list)
    overall: list[VendorError] = Field(
        default_factory=list, description="errors over all measured rows, and by vendor"
    )
    hbm_usable: Efficiency = Field(description="share of HBM that an engine takes")
    hbm_reserve: OptionalDataSize = Field(
        description="of that, per accelerator: the driver's own, context and graphs"
    )
    link_reserve: OptionalDataSize = Field(
        description="and buffers of communication, where a replica has several accelerators"
    )
    prompt_chunk: OptionalCount = Field(
        description="prompt tokens that an engine computes at once; 0: prompts come from elsewhere"
    )
    engine_sequences: OptionalCount = Field(
        description="sequences that an engine samples at once, where `limits.max_batch` is not set"
    )
    logit_bytes: Ratio = Field(
        description="bytes that sampling takes per sequence and entry of the vocabulary"
    )
    page_tokens: Count = Field(description="tokens of a page of the cache")
    power_law: PowerLaw = Field(description="power of an accelerator")
    clock_power_exponent: Ratio = Field(
        description="the energy of an operation is the clock to this power"
    )
    activation_bytes: Ratio
    dispatch_bytes: Ratio
    expert_imbalance: Figure = Field(
        description="work of the fullest expert-parallel rank per mean one"
    )

    @field_validator("expert_imbalance", mode="before")
    @classmethod
    def _imbalance_at_least_one(cls, value: object) -> Figure:
        return at_least_one(value, "the fullest rank has at least the mean")

    @field_validator("worst")
    @classmethod
    def _worst_is_known(cls, worst: Figure) -> Figure:
        if 0.0 < float(worst) < PROBABILITIES[0]:
            raise ValueError(
                f"{float(worst):g}: bands are known from {PROBABILITIES[0]:g} on; "
                "0 plans for the middle"
            )
        return worst

    @property
    def basis(self) -> Basis:
        """What the step times rest on.

        Constants that somebody gave, or that an ideal roofline has, are those of a spec sheet:
        nobody compared them with measured steps.
        """
        figures = [getattr(self.efficiency, name) for name in STEP_RESOURCES]
        figures += [getattr(self.latency, name) for name in LATENCIES]
        if any(figure.status == "given" for figure in figures):
            return "spec sheet"
        if any(getattr(self.overlap, name).status == "given" for name in OVERLAPPING):
            return "spec sheet"
        return "universal" if self.name == UNIVERSAL else "calibrated"

    def error(self, accelerator: str, attention_data_parallel: int) -> StepError | None:
        """Return the error on measured steps of a chip and layout mode, or None without any."""
        if self.basis == "spec sheet":
            return None
        mode = layout_mode(attention_data_parallel)
        return next(
            (one for one in self.errors if accelerator in one.accelerators and one.layout == mode),
            None,
        )

    def band(
        self, of: Literal["step", "power"], known: Known, attention_data_parallel: int
    ) -> QuantileBand | None:
        """Return how far measured ones lie from predicted; None for constants of one's own."""
        if self.basis == "spec sheet":
            return None
        mode = layout_mode(attention_data_parallel)
        found = band_of(self.bands, of, known, mode)
        return found if found is not None else band_of(universal().bands, of, known, mode)

    def overall_error(self, vendor: str = "") -> VendorError | None:
        """Return the error over all measured rows, or on a vendor's chips; None without any."""
        if self.basis == "spec sheet":
            return None
        return next((one for one in self.overall if one.vendor == vendor), None)


STEP_RESOURCES = (
    "weights",
    "experts",
    "kv",
    "gemm",
    "experts_gemm",
    "attention",
    "prefill",
    "link",
)
"""Resources of a step without LPUs, whose efficiencies are fitted."""

OVERLAPPING = ("weights", "kv", "gemm", "attention", "prefill", "link")
"""Those whose time may hide behind others."""

LATENCIES = (
    "per_layer",
    "per_latent_block",
    "per_recurrent_block",
    "per_block_scaled_layer",
    "per_exchange_doubling",
    "per_layer_beyond_domain",
    "per_sequence",
)
"""Fixed times that are fitted."""


@cache
def universal() -> Calibration:
    """Return the one set of constants for all chips, models and layouts."""
    return Calibration.model_validate(catalogue.entry("calibrations", UNIVERSAL).value)


@cache
def families() -> dict[str, str]:
    """Return the calibration entry of each chip that has one, by the chip's name."""
    found: dict[str, str] = {}
    for name in catalogue.names("calibrations"):
        if name == KERNELS:
            continue
        value = catalogue.entry("calibrations", name).value
        if isinstance(value, dict):
            for key in ("accelerators", "same_architecture"):
                chips = value.get(key)
                found |= dict.fromkeys(map(str, chips if isinstance(chips, list) else []), name)
    return found


def entry_for(accelerator: str) -> str:
    """Return the entry that `calibrated` stands for: the chip's family, or `universal`."""
    return families().get(accelerator, UNIVERSAL)
