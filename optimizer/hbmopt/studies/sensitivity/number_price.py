"""What one number of an instance is worth: the row of a sensitivity table."""

from dataclasses import dataclass
from typing import Any

from hbmopt.basics import show

EVEN = 1e-6
"""Difference from the step that was asked for that is rounding."""

SMALL = 5e-4
"""Relative change of the objective below which a step is worth nothing."""


@dataclass(frozen=True)
class RangeEnd:
    """One end of the range in which a price holds, in the number's unit.

    `reason` says what changes there; None where nothing does up to a tenth or ten times the number.
    """

    value: float
    reason: str | None


@dataclass(frozen=True)
class Resolved:
    """The optimum a step away, with configuration and replicas free.

    `amount` is the objective there and `change` how it differs from the plan's, relative to that;
    `expected` is what the price alone says. `throughput_tok_s` is known where it is the objective.
    `share` is the step that was taken, relative to the number; it is not the one that was asked for
    where a count has to be whole or a bound is nearer, and None from 0.
    """

    value: float
    status: str
    expected: float | None = None
    change: float | None = None
    amount: float | None = None
    throughput_tok_s: float | None = None
    configuration: str | None = None
    other_configuration: bool = False
    message: str = ""
    share: float | None = None

    def other_than(self, step: float) -> str:
        """Say how large the step is, as ``12.5 % less``; "" where it is the one asked for."""
        if self.share is None or abs(abs(self.share) - step) <= EVEN:
            return ""
        return f"{show(abs(100.0 * self.share), 3)} % {'less' if self.share < 0 else 'more'}"


@dataclass(frozen=True)
class NumberPrice:
    """Price, elasticity, range and re-solved steps of one number.

    `unit_price` is d(objective) / d(number), `elasticity` % of the objective per %. Counts have
    neither. Where the prices on both sides differ, `unit_price` is that of more, and both are
    given. `worth` is what the table is sorted by: the size of the elasticity, or for a share that
    is 0 what all of it would be worth at this price.
    """

    name: str
    section: str
    value: float
    unit: str
    status: str
    unit_price: float | None = None
    unit_price_unit: str | None = None
    elasticity: float | None = None
    worth: float = 0.0
    unit_price_below: float | None = None
    unit_price_above: float | None = None
    low: RangeEnd | None = None
    high: RangeEnd | None = None
    down: Resolved | None = None
    up: Resolved | None = None

    @property
    def steps(self) -> tuple[Resolved, ...]:
        """The re-solved steps that there are."""
        return tuple(one for one in (self.down, self.up) if one is not None)

    @property
    def idle(self) -> bool:
        """Whether neither price nor steps are worth anything; False where neither is known."""
        if self.unit_price is None and not self.steps:
            return False
        moved = any(one.change is None or abs(one.change) > SMALL for one in self.steps)
        return not self.unit_price and not self.unit_price_below and not moved

    def flat(self) -> dict[str, Any]:
        """Return the row as plain values by column."""
        row: dict[str, Any] = {
            key: value
            for key, value in vars(self).items()
            if key not in ("low", "high", "down", "up")
        }
        for side, end in (("low", self.low), ("high", self.high)):
            row[f"range_{side}"] = end.value if end is not None else None
            row[f"range_{side}_reason"] = end.reason if end is not None else None
        for side, step in (("down", self.down), ("up", self.up)):
            for key in ("value", "share", "status", "expected", "change", "configuration"):
                row[f"{side}_{key}"] = getattr(step, key) if step is not None else None
            row[f"{side}_other_configuration"] = step.other_configuration if step else None
        return row


COLUMNS = tuple(NumberPrice("", "", 0.0, "", "").flat())
"""The columns of a row."""
