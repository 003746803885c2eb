"""How much of one number of an instance is enough: the number is the unknown.

Whether anything serves what is asked is proven at every value that is looked at: the search over
all operating points either finds one or leaves none. The number is looked for by factors of two and
then between the last value that is not enough and the first that is. Of a number of which more
helps the least is returned, of one of which less helps the most.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from hbmopt.documents import Figure
from hbmopt.errors import InputError, nearest
from hbmopt.instance import Instance, InstanceNumber, numbers_of
from hbmopt.plan import most_of_each
from hbmopt.results import Solution, configuration_of
from hbmopt.studies.sizing.racks import optimum

FURTHEST = 10
"""Doublings and halvings up to which a number is looked for."""

BETWEEN = 7
"""Values between two that are looked at together."""

CLOSE = 1e-6
"""Relative width up to which the end of what is enough is found."""

DIGITS = 5
"""Digits that it is rounded to, on the side that is enough."""

SHORT = 0.01
"""Share by which a value that is not enough is told beside it."""

ALIASES = {"speed": ("limits.min_speed",), "context": ("workload.context", "workload.prompt")}
"""What numbers are called as well."""

Asked = Callable[[Instance], Instance]
"""An instance with what is to be served, as that follows from its numbers."""


@dataclass(frozen=True)
class Unknown:
    """The value of a number from which on what is asked is served.

    Parameters
    ----------
    name, unit
        Of the number.
    now, value
        What it is, and what is just enough; None where no value is.
    more
        Whether more of it helps: then `value` is the least, otherwise the most.
    short
        A value on the other side, at most 1 % or one unit away, at which nothing is served; None
        where all values do.
    lowest, highest
        Between which it was looked for.
    configuration
        What runs at the value.
    statement
        What is proven, in a sentence.
    """

    name: str
    unit: str
    now: float
    value: float | None
    more: bool
    short: float | None
    lowest: float
    highest: float
    configuration: str
    statement: str


def unknown_of(instance: Instance, name: str, asked: Asked) -> tuple[Unknown, Solution | None]:
    """Return how much of a number is enough, and the solution there.

    Raises
    ------
    InputError
        If the instance has no such number.
    """
    number = _number(instance, name)
    search = _Search(instance, number, asked)
    values = search.values()
    served = search.served(values)
    shown = [number.quoted * value for value in (values[0], values[-1])]
    unknown = Unknown(
        name=number.name,
        unit=number.unit,
        now=number.amount * number.quoted,
        value=None,
        # Where too much of it fails as well, how little is enough is the question.
        more=not served[0],
        short=None,
        lowest=shown[0],
        highest=shown[1],
        configuration="",
        statement="",
    )
    if all(served) or not any(served):
        which = "every" if all(served) else "no"
        told = f"{which} value from {shown[0]:.6g} to {shown[1]:.6g} {number.unit}".rstrip()
        return replace(unknown, statement=f"{told} is enough"), None
    enough, short = search.edge(values, served, more=unknown.more)
    value = search.rounded(enough, short, more=unknown.more)
    beyond = search.just_short(value, more=unknown.more)
    solution = optimum(asked(number.at(instance, value)))
    runs = "; ".join(f"{one.replicas} x {configuration_of(one)}" for one in solution.configurations)
    found, failing = number.quoted * value, number.quoted * beyond
    statement = (
        f"{found:,.10g} {number.unit} is the {'least' if unknown.more else 'most'} that is enough: "
        f"at {failing:,.10g} no operating point of any configuration serves it"
    )
    found_at = replace(unknown, value=found, short=failing, configuration=runs, statement=statement)
    return found_at, solution


def _number(instance: Instance, name: str) -> InstanceNumber:
    listed = {one.name: one for one in numbers_of(instance)}
    for wanted in ALIASES.get(name, (name,)):
        if wanted in listed:
            return listed[wanted]
    if name.startswith("choices"):
        raise InputError(f"--solve-for {name}: the solver picks among choices; name a number")
    hint = nearest(name, listed)
    raise InputError(f"--solve-for {name}: no number of the instance has such a path; {hint}")


def with_limit(instance: Instance, name: str) -> Instance:
    """Return the instance with a limit that it need not give, as it is without, to be looked for.

    Its cap on power, the power limit of its accelerators, its price, or a floor.
    """
    limits, rack = instance.limits, instance.rack
    known: dict[str, Figure | None] = {
        "power": _figure(instance.power_cap_kw, "power"),
        "accelerator_power": instance.accelerator_limit,
        "budget_usd": _figure(rack.all_usd or None, "money"),
        "min_speed": Figure(FIRST_SPEED, "speed"),
    }
    key = "min_speed" if name == "speed" else name.removeprefix("limits.")
    given = getattr(limits, key, None) if key in known else None
    if key not in known or known[key] is None or (given is not None and given.amount > 0.0):
        return instance
    return instance.model_copy(update={"limits": limits.model_copy(update={key: known[key]})})


FIRST_SPEED = 1.0
"""Tok/s per user from which a speed is looked for where there is no floor."""


def _figure(amount: float | None, dimension: str) -> Figure | None:
    return Figure(amount, dimension) if amount is not None else None


class _Search:
    """Looks for the value of a number from which on something is served."""

    def __init__(self, instance: Instance, number: InstanceNumber, asked: Asked) -> None:
        self._instance, self._number, self._asked = instance, number, asked
        self._known = dict[float, bool]()

    def values(self) -> list[float]:
        """Return the values that are looked at first, by factors of two."""
        number = self._number
        found = [number.size * 2.0**power for power in range(-FURTHEST, FURTHEST + 1)]
        found = [min(max(value, number.lowest), number.highest) for value in found]
        if number.whole:
            found = [float(max(1, round(value))) for value in found]
        return sorted({value for value in found if value > 0.0})

    def served(self, values: Sequence[float]) -> list[bool]:
        """Return whether something is served at each of some values."""
        missing = [value for value in dict.fromkeys(values) if value not in self._known]
        asked = [self._asked(self._number.at(self._instance, value)) for value in missing]
        for value, found in zip(missing, most_of_each(asked), strict=True):
            self._known[value] = found is not None
        return [self._known[value] for value in values]

    def edge(
        self, values: Sequence[float], served: Sequence[bool], *, more: bool
    ) -> tuple[float, float]:
        """Return the value nearest to those that fail that is enough, and its failing neighbour."""
        pairs = list(pairwise(zip(values, served, strict=True)))
        changes = [(low, high) for low, high in pairs if low[1] != high[1]]
        (low, _), (high, _) = changes[0] if more else changes[-1]
        enough, short = (high, low) if more else (low, high)
        while not self._close(enough, short):
            between = self._between(short, enough)
            ends = [*between, enough]
            first = next(at for at, ok in enumerate(self.served(ends)) if ok)
            enough, short = ends[first], ends[first - 1] if first else short
        return enough, short

    def _close(self, enough: float, short: float) -> bool:
        if self._number.whole:
            return abs(enough - short) <= 1.0
        return abs(enough - short) <= CLOSE * enough

    def _between(self, short: float, enough: float) -> list[float]:
        ratio = (enough / short) ** (1.0 / (BETWEEN + 1))
        found = [short * ratio ** (step + 1) for step in range(BETWEEN)]
        if self._number.whole:
            low, high = sorted((short, enough))
            whole = {float(round(value)) for value in found}
            found = sorted(whole - {low, high}, reverse=short > enough)
            return found or [float(round((low + high) / 2.0))]
        return found

    def rounded(self, enough: float, short: float, *, more: bool) -> float:
        """Return a value of a few digits that is enough, as near as it can be."""
        if self._number.whole:
            return enough
        step = 10.0 ** (math.floor(math.log10(enough)) + 1 - DIGITS)
        value = step * (math.ceil(enough / step) if more else math.floor(enough / step))
        value = float(f"{value:.12g}")
        within = self._number.lowest <= value <= self._number.highest and value > 0.0
        return value if within and value != short and self.served([value])[0] else enough

    def just_short(self, value: float, *, more: bool) -> float:
        """Return a value at most 1 %, or one, away that is not enough."""
        if self._number.whole:
            return value - 1.0 if more else value + 1.0
        beyond = value * (1.0 - SHORT if more else 1.0 + SHORT)
        if not self.served([beyond])[0]:
            return beyond
        # Where more does not always help, what fails lies nearer.
        failing = [one for one, ok in self._known.items() if not ok and (one < value) == more]
        return max(failing) if more else min(failing)
