"""Figures: numbers that carry a unit, a source and what the source is worth."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from hbmopt.basics import units
from hbmopt.errors import nearest

Status = Literal[
    "given", "datasheet", "announced", "press", "measured", "derived", "estimate", "counted"
]
"""What a number is worth; `given` is the user's own, `counted` follows from a configuration."""

UNCERTAIN = ("estimate", "press", "derived", "announced")
"""Statuses that a result has to name, as the product may turn out otherwise; the weakest first."""


@dataclass(frozen=True)
class Figure:
    """One number in internal units, with its provenance."""

    amount: float
    dimension: str
    status: str = "given"
    source: tuple[str, ...] = ()
    note: str = ""

    def __float__(self) -> float:
        return self.amount

    def __int__(self) -> int:
        return int(self.amount)

    def scaled(self, factor: float) -> "Figure":
        """Return the same figure with its amount multiplied by `factor`."""
        return Figure(self.amount * factor, self.dimension, self.status, self.source, self.note)


class StrictModel(BaseModel):
    """A frozen mapping of known keys; an unknown key is an error that names the nearest one.

    `also_called` says of other words for a key which one is meant.
    """

    also_called: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            if isinstance(data, cls):
                return data
            raise PydanticCustomError("mapping", "expected `key: value` lines below this key")
        for key in data:
            if key not in cls.model_fields:
                meant = cls.also_called.get(str(key))
                hint = f"did you mean {meant!r}?" if meant else None
                raise PydanticCustomError(
                    "unknown_key",
                    "unknown key '{key}'; {hint}",
                    {"key": str(key), "hint": hint or nearest(str(key), cls.model_fields)},
                )
        return data


PERCENT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?%")


def _share(text: str) -> float | None:
    """Return the share that a percentage is, None for any other text."""
    found = PERCENT.fullmatch(text.strip())
    # By way of the text, so that 10 % is 0.1 to the last bit.
    return float(f"{found[1]}e-2") if found else None


def _parse_amount(value: object, dimension: str) -> float:
    if dimension in units.DIMENSIONS:
        return units.parse(value, dimension)
    if dimension == "fraction" and isinstance(value, str) and (share := _share(value)) is not None:
        value = share
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a plain number")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{value} must be finite and at least 0")
    if dimension == "count" and value != int(value):
        raise ValueError(f"{value} must be a whole number")
    return float(value)


_FIGURE_KEYS = ("value", "status", "source", "note")


@dataclass(frozen=True)
class FigureRule:
    """How one kind of figure is read: its dimension and the range that makes sense."""

    dimension: str
    zero: bool = False
    most: float = math.inf

    def parse(self, data: object) -> Figure:
        """Read ``"288 GB"``, or ``{value: 288 GB, status: ..., source: [...], note: ...}``."""
        if isinstance(data, Figure):
            return data
        status, source, note = "given", tuple[str, ...](), ""
        if isinstance(data, dict):
            status, source, note = _provenance(data)
            data = data["value"]
        amount = _parse_amount(data, self.dimension)
        if amount == 0 and not self.zero:
            raise ValueError(f"{data!r} must be more than 0")
        if amount > self.most:
            percent = self.dimension == "fraction" and isinstance(data, int | float) and data <= 100
            hint = f"; {data:g} % is written {data:g}%" if percent else ""
            raise ValueError(f"{data!r} must be at most {self.most:g}{hint}")
        return Figure(amount, self.dimension, status, source, note)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        amount: dict[str, Any] = {"type": "integer" if self.dimension == "count" else "number"}
        if self.dimension == "fraction":
            share = {"type": "string", "pattern": PERCENT.pattern, "examples": ["10%"]}
            amount = {"anyOf": [amount, share]}
        if self.dimension in units.DIMENSIONS:
            amount = {"type": "string", "examples": [units.EXAMPLES[self.dimension]]}
        sourced = {
            "type": "object",
            "properties": {
                "value": amount,
                "status": {"enum": list(get_args(Status))},
                "source": {"type": "array", "items": {"type": "string"}},
                "note": {"type": "string"},
            },
            "required": ["value"],
            "additionalProperties": False,
        }
        return {"anyOf": [amount, sourced]}


def _provenance(data: dict[Any, Any]) -> tuple[str, tuple[str, ...], str]:
    for key in data:
        if key not in _FIGURE_KEYS:
            raise ValueError(f"unknown key {key!r}; {nearest(str(key), _FIGURE_KEYS)}")
    if "value" not in data:
        raise ValueError("a figure written as a mapping needs a `value`")
    status = data.get("status", "given")
    if status not in get_args(Status):
        raise ValueError(f"unknown status {status!r}; {nearest(str(status), get_args(Status))}")
    listed = data.get("source", [])
    source = tuple(str(key) for key in (listed if isinstance(listed, list) else [listed]))
    return str(status), source, str(data.get("note") or "")


OptionalDataSize = Annotated[Figure, FigureRule("data", zero=True)]
OptionalCount = Annotated[Figure, FigureRule("count", zero=True, most=1e9)]
DataSize = Annotated[Figure, FigureRule("data")]
Bandwidth = Annotated[Figure, FigureRule("bandwidth")]
OptionalBandwidth = Annotated[Figure, FigureRule("bandwidth", zero=True)]
Compute = Annotated[Figure, FigureRule("compute")]
Power = Annotated[Figure, FigureRule("power")]
OptionalPower = Annotated[Figure, FigureRule("power", zero=True)]
EnergyPerByte = Annotated[Figure, FigureRule("energy per byte", zero=True)]
EnergyPerFlop = Annotated[Figure, FigureRule("energy per operation", zero=True)]
Duration = Annotated[Figure, FigureRule("time", zero=True)]
Speed = Annotated[Figure, FigureRule("speed", zero=True)]
Rate = Annotated[Figure, FigureRule("rate")]
Money = Annotated[Figure, FigureRule("money", zero=True)]
EnergyPrice = Annotated[Figure, FigureRule("price of energy", zero=True)]
CostPerPower = Annotated[Figure, FigureRule("cost per power", zero=True)]
Life = Annotated[Figure, FigureRule("life", most=100.0)]
YearlyCost = Annotated[Figure, FigureRule("yearly cost", zero=True)]
RequestRate = Annotated[Figure, FigureRule("request rate", zero=True)]
TokenPrice = Annotated[Figure, FigureRule("price of tokens", zero=True)]
Carbon = Annotated[Figure, FigureRule("carbon", zero=True)]
Count = Annotated[Figure, FigureRule("count", most=1e9)]
Ratio = Annotated[Figure, FigureRule("fraction", zero=True)]
Fraction = Annotated[Figure, FigureRule("fraction", zero=True, most=1.0)]
Half = Annotated[Figure, FigureRule("fraction", zero=True, most=0.5)]
Efficiency = Annotated[Figure, FigureRule("fraction", most=1.0)]
