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
    Duration,
    Efficiency,
    Figure,
    FigureRule,
    Fraction,
    Ratio,
    StrictModel,
    catalogue,
)
from hbmopt.errors import nearest
from hbmopt.instance.hardware import PowerLaw

UNIVERSAL, SPEC_SHEET, CALIBRATED = "universal", "spec_sheet", "calibrated"
"""Two entries of the catalogue, and the word for the entry that covers the rack's chip."""

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

    weights: Efficiency
    kv: Efficiency
    gemm: Efficiency
    attention: Efficiency
    link: Efficiency
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
    """Fixed time per layer: per_layer + per_layer_doubling * log2(accelerators of a replica).

    Blocks that take many kernels, mixtures of experts and latent attention, add
    `per_composite_block` each.
    """

    per_layer: Duration
    per_layer_doubling: Duration
    per_composite_block: Duration
    attention_share: Fraction
    projection_share: Fraction


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


class LayoutConstants(StrictModel):
    """Constants of one mode of layouts, where they differ."""

    efficiency: Efficiencies
    latency: Latency
    engines: dict[str, Ratio] = Field(default_factory=dict)


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
    engine: str | None = Field(
        default=None, description="serving engine, one of `engines`; default: the middle of them"
    )
    engines: dict[str, Ratio] = Field(
        default_factory=dict, description="latency of a serving engine per that of the middle"
    )
    expert_parallel: LayoutConstants | None = Field(
        default=None, description="for layouts with attention-data parallelism, where they differ"
    )
    errors: list[StepError] = Field(default_factory=list)
    overall: list[VendorError] = Field(
        default_factory=list, description="errors over all measured rows, and by vendor"
    )
    hbm_usable: Efficiency
    power_law: PowerLaw = Field(description="for accelerators without a power law of their own")
    clock_power_exponent: Ratio
    activation_bytes: Ratio
    dispatch_bytes: Ratio
    expert_imbalance: Figure = Field(
        description="work of the fullest expert-parallel rank per mean one"
    )

    @field_validator("expert_imbalance", mode="before")
    @classmethod
    def _imbalance_at_least_one(cls, value: object) -> Figure:
        return at_least_one(value, "the fullest rank has at least the mean")

    @model_validator(mode="before")
    @classmethod
    def _own_constants_but_where_they_differ(cls, data: Any) -> Any:
        """Fill `expert_parallel` up with the constants that hold for all layouts."""
        if not isinstance(data, dict) or not isinstance(data.get(EXPERT_PARALLEL), dict):
            return data
        own = dict(data[EXPERT_PARALLEL])
        for part in ("efficiency", "latency"):
            if isinstance(data.get(part), dict) and isinstance(own.setdefault(part, {}), dict):
                own[part] = {**data[part], **own[part]}
        return {**data, EXPERT_PARALLEL: own}

    @model_validator(mode="after")
    def _engine_known(self) -> "Calibration":
        known = set(self.engines)
        if self.expert_parallel is not None:
            known |= set(self.expert_parallel.engines)
        if self.engine is not None and self.engine not in known:
            hint = nearest(self.engine, known) if known else "this calibration tells none apart"
            raise ValueError(f"engine: no serving engine {self.engine!r}; {hint}")
        return self

    def constants(self, attention_data_parallel: int) -> "Calibration | LayoutConstants":
        """Return the efficiencies and latencies of layouts with so much attention-data parallelism.

        Those of the expert-parallel mode where there are any, else those that hold for all.
        """
        if layout_mode(attention_data_parallel) == EXPERT_PARALLEL and self.expert_parallel:
            return self.expert_parallel
        return self

    def engine_factor(self, attention_data_parallel: int) -> float:
        """Return the latency of the chosen serving engine per that of the middle; 1 for none."""
        if self.engine is None:
            return 1.0
        return float(self.constants(attention_data_parallel).engines.get(self.engine, 1.0))

    @property
    def basis(self) -> Basis:
        """What the step times rest on.

        Constants that somebody gave, or that an ideal roofline has, are those of a spec sheet:
        nobody compared them with measured steps.
        """
        sets: list[Calibration | LayoutConstants] = [self]
        if self.expert_parallel is not None:
            sets.append(self.expert_parallel)
        for one in sets:
            figures = [getattr(one.efficiency, name) for name in STEP_RESOURCES]
            figures += [getattr(one.latency, name) for name in LATENCIES]
            if any(figure.status == "given" for figure in figures):
                return "spec sheet"
        if any(getattr(self.overlap, name).status == "given" for name in STEP_RESOURCES):
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

    def overall_error(self, vendor: str = "") -> VendorError | None:
        """Return the error over all measured rows, or on a vendor's chips; None without any."""
        if self.basis == "spec sheet":
            return None
        return next((one for one in self.overall if one.vendor == vendor), None)


STEP_RESOURCES = ("weights", "kv", "gemm", "attention", "link")
"""Resources of a step without LPUs, whose efficiencies are fitted."""

LATENCIES = ("per_layer", "per_layer_doubling", "per_composite_block")
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
        value = catalogue.entry("calibrations", name).value
        if isinstance(value, dict):
            for key in ("accelerators", "same_architecture"):
                chips = value.get(key)
                found |= dict.fromkeys(map(str, chips if isinstance(chips, list) else []), name)
    return found


def entry_for(accelerator: str) -> str:
    """Return the entry that `calibrated` stands for: the chip's family, or `universal`."""
    return families().get(accelerator, UNIVERSAL)
