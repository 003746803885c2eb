"""The schema of `economics`: what capital, energy and operations cost, and the load."""

from typing import Any

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from hbmopt.documents import (
    CostPerPower,
    Efficiency,
    EnergyPrice,
    Figure,
    Fraction,
    Life,
    Ratio,
    StrictModel,
    YearlyCost,
)

HOURS_OF_A_DAY = 24


class LoadStretch(StrictModel):
    """Part of the time with one load: its share of the peak, and how much of the time it is."""

    share: float = Field(ge=0, le=1, allow_inf_nan=False, description="of what the peak makes")
    weight: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="hours, or any other measure of time"
    )

    @model_validator(mode="before")
    @classmethod
    def _an_hour(cls, data: object) -> object:
        """Read a plain number as an hour of that share."""
        plain = isinstance(data, int | float) and not isinstance(data, bool)
        return {"share": data} if plain else data

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        mapping = handler.resolve_ref_schema(handler(core_schema))
        return {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, mapping]}


class Economics(StrictModel):
    """What capital, energy and operations cost, and how much of the peak is asked for.

    The price of the hardware is that of `rack` and `rack.offload`, facility power per rack power
    is `limits.pue`.
    """

    life: Life = Field(
        default=Figure(5.0, "life", "estimate", note="hardware is written off in 4 to 6 years"),
        description="years after which the rack is worth nothing",
    )
    discount_rate: Fraction = Field(
        default=Figure(0.08, "fraction", "estimate", note="cost of capital, 6 to 12 %"),
        description="cost of capital per year; 0 is straight-line depreciation",
    )
    power_price: EnergyPrice = Field(
        default=Figure(0.08, "price of energy", "estimate", note="large industrial users, US"),
        description="of the energy that the facility draws",
    )
    site: CostPerPower = Field(
        default=Figure(
            10_000.0,
            "cost per power",
            "estimate",
            note="building, power and cooling, 8 to 14 million USD per MW",
        ),
        description="capital of the site per facility power that is provisioned for the rack",
    )
    site_life: Life = Field(
        default=Figure(15.0, "life", "estimate", note="10 to 20 years"),
        description="years after which the site is worth nothing",
    )
    operations_share: Ratio = Field(
        default=Figure(0.05, "fraction", "estimate", note="support, spares and staff"),
        description="fixed operations per year, as a share of the price of the rack",
    )
    operations: YearlyCost | None = Field(
        default=None, description="instead: fixed operations of the rack per year"
    )
    utilisation: Efficiency | None = Field(
        default=None, description="load at all times, as a share of the peak"
    )
    load: list[LoadStretch] | None = Field(
        default=None,
        description="instead: 24 hourly shares of the peak, or a list of {share, weight}",
    )

    @field_validator("load", mode="before")
    @classmethod
    def _a_day_or_stretches(cls, load: Any) -> Any:
        if not isinstance(load, list):
            return load
        if not load:
            raise ValueError("an empty load; leave the key out, or give 24 shares of the peak")
        plain = [one for one in load if not isinstance(one, dict | LoadStretch)]
        if plain and len(load) != HOURS_OF_A_DAY:
            raise ValueError(
                f"{len(load)} shares are not a day: give {HOURS_OF_A_DAY} hourly ones, or "
                "{share: 0.6, weight: 8} for each stretch of time"
            )
        return load

    @model_validator(mode="after")
    def _one_load(self) -> "Economics":
        if self.load is not None and self.utilisation is not None:
            raise ValueError("give `utilisation` or `load`, not both")
        if self.load is not None and not any(one.share for one in self.load):
            raise ValueError("`load` is 0 at all times: nothing is made that could have a price")
        return self

    @property
    def stretches(self) -> tuple[LoadStretch, ...]:
        """The load, each share of the peak once with all of its time; the largest share first.

        Nothing where neither `load` nor `utilisation` says how much is asked for.
        """
        listed = self.load or []
        if self.utilisation is not None:
            listed = [LoadStretch(share=float(self.utilisation))]
        time = dict[float, float]()
        for one in listed:
            time[one.share] = time.get(one.share, 0.0) + one.weight
        return tuple(
            LoadStretch(share=share, weight=time[share]) for share in sorted(time, reverse=True)
        )
