"""Throughput of a rack as it is, per accelerator, per MW that it draws, or per million USD.

The power is what the rack draws in the scope of `limits.power_scope`, as in every other answer.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hbmopt.demand import Aim, aim_of
from hbmopt.errors import InputError, nearest
from hbmopt.instance import OBJECTIVES, Instance

if TYPE_CHECKING:
    from hbmopt.demand import Array

PER = ("rack", "accelerator", "mw", "usd")
"""What throughput can be divided by."""

OBJECTIVE = "objective"
"""In place of that: the objective in its own unit, where it is not throughput."""


@dataclass(frozen=True)
class Normalisation:
    """How throughput is quoted; `divisor` is None where it is the power drawn, in MW.

    With an `aim` it is the objective that is quoted, whatever it is.
    """

    per: str
    unit: str
    of: str
    divisor: float | None
    aim: Aim | None = None

    def value(self, throughput: float, power_kw: float) -> float:
        """Return throughput in tok/s, at the power drawn there, in `unit`."""
        if self.aim is not None:
            return float(self.aim.amount(throughput, power_kw, 0.0, 0.0))
        return throughput / (power_kw / 1e3 if self.divisor is None else self.divisor)

    @property
    def by_power(self) -> bool:
        """Whether it depends on the power that is drawn, which takes time to find."""
        return self.aim is not None or self.divisor is None

    def values(self, throughputs: "Array", powers_kw: "Array") -> "Array":
        """Return throughputs in tok/s, each at the power drawn there, in `unit`."""
        if self.aim is not None:
            none = np.zeros_like(powers_kw)
            return np.asarray(self.aim.amount(throughputs, powers_kw, none, none))
        divisors = powers_kw / 1e3 if self.divisor is None else self.divisor
        found: Array = np.divide(throughputs, divisors).astype(np.float64)
        return found

    @property
    def label(self) -> str:
        """The title of an axis."""
        if self.aim is not None:
            return f"{self.of}, {self.unit}"
        return f"throughput {self.of}, {self.unit}"


def normalisation(per: str, instance: Instance) -> Normalisation:
    """Return how throughput is quoted per ``rack``, ``accelerator``, ``mw`` or ``usd``.

    Raises
    ------
    InputError
        For another name, and where the price of the rack or of its LPUs is not known.
    """
    objective = instance.objective
    if per == "rack" and objective != "throughput":
        kind = OBJECTIVES[objective]
        return Normalisation(OBJECTIVE, kind.unit, kind.title, None, aim_of(instance))
    if per == "rack":
        return Normalisation(per, "tok/s", "of the rack", 1.0)
    if per == "accelerator":
        count = float(instance.rack.all_accelerators)
        return Normalisation(per, "tok/s per accelerator", "by accelerator", count)
    if per == "mw":
        return Normalisation(per, "tok/s per MW", "by power drawn", None)
    if per != "usd":
        raise InputError(f"--per {per}: is none of them; {nearest(per, PER)}")
    missing = _without_price(instance)
    if missing:
        raise InputError(
            f'--per usd: {missing} is not known; give it with --set {missing}="3000000 USD"'
        )
    return Normalisation(per, "tok/s per million USD", "by price of the rack", millions(instance))


def millions(instance: Instance) -> float | None:
    """Return the price of the rack with its LPUs in million USD, None where it is not known."""
    if _without_price(instance):
        return None
    return instance.rack.all_usd / 1e6


def _without_price(instance: Instance) -> str:
    """Return the key of a price that is missing, or is 0 and cannot be divided by."""
    rack = instance.rack
    if rack.price is None or rack.price.amount == 0:
        return "rack.price"
    if rack.offload is not None and rack.offload.price is None:
        return "rack.offload.price"
    return ""
