"""What an instance asks to be best, as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbmopt.errors import InputError
from hbmopt.instance import OBJECTIVES, Instance, Objective, cost_rate, rack_kw, unpriced
from hbmopt.models.objective import TOKENS, Worth

Number: TypeAlias = float | NDArray[np.float64]

PER_HOUR = 3600.0
"""Seconds in an hour."""

MILLION = 1e6


@dataclass(frozen=True)
class Aim:
    """What is best, and the demand that is to be served: numbers, or arrays of one per question.

    Parameters
    ----------
    objective
        What is best.
    least
        Output tok/s that are to be served at least.
    usd_per_hour
        What the rack costs however it runs.
    usd_per_kwh
        What a kWh costs beyond that, of power in the scope of the power limit.
    """

    objective: Objective = "throughput"
    least: Number = 0.0
    usd_per_hour: Number = 0.0
    usd_per_kwh: Number = 0.0

    @property
    def fraction(self) -> bool:
        """Whether it is throughput divided by what the rack draws or costs."""
        return self.objective in ("tokens_per_joule", "tokens_per_dollar")

    @property
    def runs_slowly(self) -> bool:
        """Whether a point is best that runs no faster than it has to."""
        return self.objective in ("power", "cost")

    def taken(self, index: NDArray[np.int64]) -> "Aim":
        """Return the aims of some of the questions."""

        def of_some(number: Number) -> Number:
            return number[index] if isinstance(number, np.ndarray) else number

        return replace(
            self,
            least=of_some(self.least),
            usd_per_hour=of_some(self.usd_per_hour),
            usd_per_kwh=of_some(self.usd_per_kwh),
        )

    def cost(self, power_kw: Number) -> Number:
        """Return USD per hour at a power."""
        return self.usd_per_hour + self.usd_per_kwh * power_kw

    def amount(
        self, throughput: Number, power_kw: Number, speed: Number, accelerators: Number
    ) -> Number:
        """Return the objective in its own unit.

        Parameters
        ----------
        throughput, power_kw, speed, accelerators
            In tok/s, kW in the power scope, tok/s per user, and those that run.
        """
        if self.objective == "throughput":
            return throughput
        if self.objective == "tokens_per_joule":
            return throughput / (1e3 * power_kw)
        if self.objective == "tokens_per_dollar":
            return throughput * PER_HOUR / MILLION / self.cost(power_kw)
        if self.objective == "speed":
            return speed
        if self.objective == "power":
            return power_kw
        return self.cost(power_kw) if self.objective == "cost" else accelerators

    def value(
        self, throughput: Number, power_kw: Number, speed: Number, accelerators: Number
    ) -> Number:
        """Return how good a point is, more being better: the objective, or 1 over what is least."""
        found = self.amount(throughput, power_kw, speed, accelerators)
        return 1.0 / found if OBJECTIVES[self.objective].least else found

    def worth(self, throughput: float, power_kw: float) -> Worth:
        """Return what is worth what at an optimum, in tokens per ms, or whatever is least.

        `throughput` in tok/s and `power_kw` are those of the optimum, at which a fraction is what
        it is.
        """
        if self.objective == "tokens_per_joule":
            return Worth(token=1.0, kilowatt=throughput / 1e3 / power_kw)
        if self.objective == "tokens_per_dollar":
            per_dollar = throughput / 1e3 / float(self.cost(power_kw))
            return Worth(token=1.0, kilowatt=per_dollar * float(self.usd_per_kwh))
        if self.objective == "speed":
            return Worth(pace=1.0)
        if self.objective in ("power", "cost"):
            return Worth(kilowatt=1.0)
        return Worth(accelerator=1.0) if self.objective == "accelerators" else TOKENS


MOST_TOKENS = Aim()
"""As many tokens as possible."""


def aim_of(instance: Instance) -> Aim:
    """Return what an instance asks to be best.

    Raises
    ------
    InputError
        If it is about money, and the price of the rack is not known.
    """
    demand = instance.limits.min_throughput
    least = float(demand) if demand is not None else 0.0
    if not OBJECTIVES[instance.objective].priced:
        return Aim(instance.objective, least)
    rate = cost_rate(instance)
    if rate is None:
        raise InputError(
            f"objective: {instance.objective} needs what the rack costs: set {unpriced(instance)}, "
            f'such as --set {unpriced(instance)}="3 MUSD"'
        )
    # Costs follow the power of the rack, the aim that in the scope of the limit.
    resting = rack_kw(instance, 0.0)
    per_kwh = rate.usd_per_kwh * (rack_kw(instance, 1.0) - resting)
    fixed = rate.fixed_usd_per_hour + rate.usd_per_kwh * resting
    return Aim(instance.objective, least, fixed, per_kwh)


def aims_of(instances: Sequence[Instance]) -> Aim:
    """Return what instances of one objective ask to be best; of several with arrays for numbers."""
    return side_by_side([aim_of(one) for one in instances])


def side_by_side(each: Sequence[Aim]) -> Aim:
    """Return aims of one objective as one, of several with arrays for numbers."""
    if len(each) == 1:
        return each[0]
    numbers = (
        np.array([float(getattr(one, name)) for one in each])
        for name in ("least", "usd_per_hour", "usd_per_kwh")
    )
    return Aim(each[0].objective, *numbers)
