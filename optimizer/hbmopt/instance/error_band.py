"""How far measured steps and power lie from predicted ones, by what is known of chip and model.

A band holds quantiles of measured over predicted on rows that took no part in the fit: their
series left out where chip and model were measured, their model, their chip or its whole family
where these were not.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Literal, TypeAlias

from pydantic import Field, field_validator

from hbmopt.documents import StrictModel, catalogue

Known: TypeAlias = Literal["model and chip", "chip", "family", "nothing"]
"""What was measured: model and chip; the chip with other models; chips of its family; neither."""

KNOWN: tuple[Known, ...] = ("model and chip", "chip", "family", "nothing")

PROBABILITIES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
"""Probabilities of the quantiles of a band."""

LOW, HIGH = 0.1, 0.9
"""Ends of the range that four of five cases lie in."""


class QuantileBand(StrictModel):
    """Quantiles of measured over predicted."""

    of: Literal["step", "power"]
    known: Known
    layout: Literal["tensor_parallel", "expert_parallel", "any"] = "any"
    rows: int = Field(gt=0)
    quantiles: list[float] = Field(description="at 5, 10, 25, 50, 75, 90 and 95 %")

    @field_validator("quantiles")
    @classmethod
    def _rising(cls, quantiles: list[float]) -> list[float]:
        if len(quantiles) != len(PROBABILITIES):
            raise ValueError(f"{len(PROBABILITIES)} quantiles are needed")
        if quantiles[0] <= 0 or any(later < earlier for earlier, later in pairwise(quantiles)):
            raise ValueError("quantiles must be positive and must not fall")
        return quantiles

    def at(self, probability: float) -> float:
        """Return the quantile at a probability, straight in logarithms between those known."""
        place = min(max(probability, PROBABILITIES[0]), PROBABILITIES[-1])
        pairs = pairwise(zip(PROBABILITIES, self.quantiles, strict=True))
        for (before, low), (after, high) in pairs:
            if place <= after:
                share = (place - before) / (after - before)
                return math.exp((1.0 - share) * math.log(low) + share * math.log(high))
        return self.quantiles[-1]


def what_is_known(
    measured: Mapping[str, Sequence[str]], chip: str, architecture: str, llm: str
) -> Known:
    """Return what was measured of a chip and a model; `measured` lists models by chip."""
    if chip in measured:
        return "model and chip" if any(llm in one for one in measured.values()) else "chip"
    families = {_architecture(one) for one in measured}
    return "family" if architecture and architecture in families else "nothing"


@cache
def _architecture(chip: str) -> str:
    entry = catalogue.entry("accelerators", chip).value
    return str(entry.get("architecture", "")) if isinstance(entry, dict) else ""


def band_of(
    bands: Sequence[QuantileBand], of: Literal["step", "power"], known: Known, layout: str
) -> QuantileBand | None:
    """Return the band of what is known and of a layout, the own one of the layout first."""
    fitting = [one for one in bands if one.of == of and one.known == known]
    own = [one for one in fitting if one.layout == layout]
    return next(iter(own or [one for one in fitting if one.layout == "any"]), None)
