"""Quantities with units.

Inside hbmopt every quantity is held in one coherent system that keeps the solver's
coefficients near 1: **GB, GFLOP, joule and millisecond**. It follows that GB/ms = TB/s,
GFLOP/ms = TFLOP/s and J/ms = kW, so data sheets can be read without conversion.
GB is 1e9 bytes, GiB is 2**30 bytes.
"""

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

from hbmopt.errors import nearest

_DECIMAL = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}


def _scaled(base: str, per_internal: float, *, binary: bool = False) -> dict[str, Fraction]:
    """Return the units of one base; `per_internal` of it make one internal unit."""
    prefixes = {**_DECIMAL, **_BINARY} if binary else _DECIMAL
    return {
        prefix + base: Fraction(scale) / Fraction(per_internal)
        for prefix, scale in prefixes.items()
    }


_DATA = _scaled("B", 1e9, binary=True)
_BANDWIDTH = {
    **_scaled("B/s", 1e12, binary=True),
    **_scaled("bit/s", 8e12),
    **_scaled("b/s", 8e12),
}
_COMPUTE = {**_scaled("FLOP/s", 1e12), **_scaled("FLOPS", 1e12)}
_POWER = {"mW": Fraction(1, 10**6), **_scaled("W", 1e3)}
_ENERGY_PER_BYTE = {"pJ/B": Fraction(1, 1000), "nJ/B": Fraction(1), "pJ/bit": Fraction(8, 1000)}
_ENERGY_PER_FLOP = {"pJ/FLOP": Fraction(1, 1000), "nJ/FLOP": Fraction(1)}
_TIME = {
    "ns": Fraction(1, 10**6),
    **dict.fromkeys(("us", "µs", "μs"), Fraction(1, 1000)),
    "ms": Fraction(1),
    "s": Fraction(1000),
}
_SPEED = {"tok/s/user": Fraction(1), "tok/s": Fraction(1)}
_RATE = {
    f"{prefix}{space}tok/s": Fraction(scale)
    for prefix, scale in (("", 1), ("k", 1000), ("K", 1000), ("M", 10**6), ("G", 10**9))
    for space in ("", " ")
}
_MONEY = {"USD": Fraction(1), "kUSD": Fraction(1000), "MUSD": Fraction(10**6)}
_ENERGY_PRICE = {"USD/kWh": Fraction(1), "USD/MWh": Fraction(1, 1000)}
_COST_PER_POWER = {
    f"{money}/{power}": worth / kilowatts
    for money, worth in _MONEY.items()
    for power, kilowatts in (("W", Fraction(1, 1000)), ("kW", Fraction(1)), ("MW", Fraction(1000)))
}
_LIFE = {
    **dict.fromkeys(("year", "years"), Fraction(1)),
    **dict.fromkeys(("month", "months"), Fraction(1, 12)),
}
_REQUEST_RATE = {
    f"{prefix}{word}": Fraction(scale) / per
    for prefix, scale in (("", 1), ("k", 1000), ("M", 10**6))
    for words, per in ((("requests/s", "req/s"), 1), (("requests/min", "requests/minute"), 60))
    for word in words
}
_TOKEN_PRICE = {"USD/Mtok": Fraction(1), "USD/ktok": Fraction(1000)}
_CARBON = {"kg/kWh": Fraction(1), "g/kWh": Fraction(1, 1000)}
_YEARLY_COST = {f"{money}/year": worth for money, worth in _MONEY.items()}

DIMENSIONS: Mapping[str, Mapping[str, Fraction]] = MappingProxyType(
    {
        "data": _DATA,
        "bandwidth": _BANDWIDTH,
        "compute": _COMPUTE,
        "power": _POWER,
        "energy per byte": _ENERGY_PER_BYTE,
        "energy per operation": _ENERGY_PER_FLOP,
        "time": _TIME,
        "speed": _SPEED,
        "rate": _RATE,
        "money": _MONEY,
        "price of energy": _ENERGY_PRICE,
        "cost per power": _COST_PER_POWER,
        "life": _LIFE,
        "yearly cost": _YEARLY_COST,
        "request rate": _REQUEST_RATE,
        "price of tokens": _TOKEN_PRICE,
        "carbon": _CARBON,
    }
)
"""Unit tables: dimension -> unit -> exact factor into the internal unit."""

EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "data": "288 GB",
        "bandwidth": "22 TB/s",
        "compute": "50 PFLOP/s",
        "power": "120 kW",
        "energy per byte": "110 pJ/B",
        "energy per operation": "0.9 pJ/FLOP",
        "time": "4 us",
        "speed": "60 tok/s/user",
        "rate": "50k tok/s",
        "money": "3000000 USD",
        "price of energy": "0.08 USD/kWh",
        "cost per power": "10000 USD/kW",
        "life": "5 years",
        "yearly cost": "150000 USD/year",
        "request rate": "12 requests/s",
        "price of tokens": "2 USD/Mtok",
        "carbon": "300 g/kWh",
    }
)

INTERNAL_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "data": "GB",
        "bandwidth": "TB/s",
        "compute": "TFLOP/s",
        "power": "kW",
        "energy per byte": "nJ/B",
        "energy per operation": "nJ/FLOP",
        "time": "ms",
        "speed": "tok/s/user",
        "rate": "tok/s",
        "money": "USD",
        "price of energy": "USD/kWh",
        "cost per power": "USD/kW",
        "life": "years",
        "yearly cost": "USD/year",
        "request rate": "requests/s",
        "price of tokens": "USD/Mtok",
        "carbon": "kg/kWh",
        "fraction": "",
        "count": "",
    }
)

QUOTED: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "data": ("GB", 1.0),
        "bandwidth": ("TB/s", 1.0),
        "compute": ("TFLOP/s", 1.0),
        "time": ("us", 1e3),
        "energy per byte": ("pJ/B", 1e3),
        "energy per operation": ("pJ/FLOP", 1e3),
        "speed": ("tok/s/user", 1.0),
        "rate": ("tok/s", 1.0),
        "money": ("kUSD", 1e-3),
        "price of energy": ("USD/kWh", 1.0),
        "cost per power": ("USD/kW", 1.0),
        "life": ("years", 1.0),
        "yearly cost": ("USD/year", 1.0),
        "request rate": ("requests/s", 1.0),
        "price of tokens": ("USD/Mtok", 1.0),
        "carbon": ("kg/kWh", 1.0),
    }
)
"""Units in which people read figures, and how many make an internal one."""

LONGEST, LARGEST_EXPONENT = 100, 1000
"""Characters of a number, and the power of ten in it."""

_QUANTITY = re.compile(r"\s*([+-]?[0-9][0-9_,]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?|[+-]?\.[0-9]+)\s*(.*)")


def parse(text: object, dimension: str) -> float:
    """Convert text such as ``"288 GB"`` into the internal unit of `dimension`.

    Raises ``ValueError`` with a message for the user when the number, the unit or either
    of them is missing, unknown, negative or not finite.
    """
    example = EXAMPLES[dimension]
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        raise ValueError(f'expected a {dimension} with a unit, such as "{example}"')
    if isinstance(text, int | float):
        raise ValueError(f'{text} has no unit; write a {dimension} such as "{example}"')
    found = split(text)
    if found is None:
        raise ValueError(f'{text!r} is not a {dimension}; write one such as "{example}"')
    number, unit = found
    units = DIMENSIONS[dimension]
    if not unit:
        raise ValueError(f'{text!r} has no unit; write a {dimension} such as "{example}"')
    if unit not in units:
        raise ValueError(f"{unit!r} is not a unit of {dimension}; {_unit_hint(unit, dimension)}")
    # Exactly, so that 0.1 TB is 100 GB.
    amount = _float(number * units[unit])
    if not math.isfinite(amount) or amount < 0:
        raise ValueError(f"{text!r} must be a finite {dimension} of at least 0")
    return amount


def split(text: str) -> tuple[Fraction, str] | None:
    """Return number and unit of text such as ``"288 GB"``, or None where it has no number.

    One of more digits or a larger power of ten than a float has is none: exactly, it would fill
    the memory.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None or len(match[1]) > LONGEST:
        return None
    number = match[1].replace("_", "").replace(",", "")
    exponent = number.lower().partition("e")[2]
    if exponent and abs(int(exponent)) > LARGEST_EXPONENT:
        return None
    return Fraction(number), match[2].strip()


def _float(exact: Fraction) -> float:
    try:
        return float(exact)
    except OverflowError:
        return math.inf


def _unit_hint(unit: str, dimension: str) -> str:
    other = [name for name, units in DIMENSIONS.items() if unit in units]
    example = EXAMPLES[dimension]
    if other:
        return f'it measures {other[0]}; write a {dimension} such as "{example}"'
    hint = nearest(unit, DIMENSIONS[dimension])
    return hint if hint.startswith("did") else f'write one such as "{example}"'
