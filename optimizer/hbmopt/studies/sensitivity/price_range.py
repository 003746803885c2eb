"""How far a price holds: the optimum with configuration and replicas held, at other numbers.

As long as the same rows have a price, the same clocks run, the same components are offloaded and
the context passes the same windows, the optimum is one smooth function of the number, and its slope
is the price there. Where that changes, other rows take over and the price jumps, or nothing is
feasible any more: the price holds up to there. The range is found by solving: outward in growing
steps until something changes, then by bisection. A change that leaves the price as it is does not
end a range.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

from hbmopt.demand import Configuration, Demand, context_regime, smallest_batch
from hbmopt.errors import SolverError
from hbmopt.instance import Instance, InstanceNumber
from hbmopt.points import polish_clocks
from hbmopt.program import Label, Operation, PricedRack, priced
from hbmopt.results import STEP, lagrangians

NEAR = 1e-5
"""Relative distance of the neighbours that say what the price is on either side."""

OUTWARD = (1.1, 1.5, 3.0, 10.0)
"""Factors at which the range is tried; the last one is as far as it is looked for."""

FROM_ZERO = (0.1, 0.3, 1.0)
"""Shares of its scale at which the range of a number that is 0 is tried."""

RESOLUTION = 5e-4
"""Relative width to which the end of a range is found."""

PRICED = 1e-7
"""Share of the objective from which on the multiplier of a scaled row counts as a price."""

NOTHING = 1e-9
"""Elasticities up to this size are the noise of a difference of nearly equal numbers."""

JUMP = 0.02
"""Relative difference of two prices a hair apart that is a jump and no curvature."""

MOST_CROSSED = 5
"""Changes of the pattern without a jump of the price after which a range is given up."""

RUNNING = 1e-6
"""Share of the time, or of the steps, from which on a clock runs or a component is offloaded."""

NO_PLAN = "no plan beyond"
AT_BOUND = "it can go no further"

STATES = frozenset({"running", "offloaded_steps"})
"""What a pattern holds beside rows."""

UNPRICED = frozenset({"common_batch", "clock_shares", "max_batch", "accelerators", "lpu_units"})
"""Rows that tie variables together or trust a first-order model; they limit nothing."""


@dataclass(frozen=True)
class HeldOptimum:
    """The optimum of an instance with configuration and replicas held and the batch free."""

    operation: Operation
    priced: PricedRack

    @property
    def objective(self) -> float:
        """Return output tokens per second."""
        return self.priced.objective

    @cached_property
    def regime(self) -> tuple[bool, ...]:
        """Return which bounds on what a token sees the contexts have passed."""
        return context_regime(self.priced.instance, self.operation.configuration)

    def same(self, other: "HeldOptimum") -> bool:
        """Whether both are points of one smooth function."""
        return self.pattern == other.pattern and self.regime == other.regime

    @property
    def families(self) -> frozenset[str]:
        """Return the families of what is in the pattern."""
        return frozenset(label.family for label in self.pattern)

    @property
    def clocks(self) -> tuple[float, ...]:
        """Return the clocks that run, as shares of the full one."""
        places = [one.clock for one in self.pattern if one.family == "running"]
        listed = self.priced.instance.choices.clocks
        return tuple(listed[place] for place in sorted(one for one in places if one is not None))

    @cached_property
    def pattern(self) -> frozenset[Label]:
        """Return the rows with a price, the clocks that run and the components offloaded.

        Clocks are counted as the instance lists them, whichever of them the program has.
        """
        operation, found = self.operation, set[Label]()
        template, values = operation.filled.template, operation.values
        listed = self.priced.instance.choices.clocks
        places = [listed.index(clock) for clock in operation.configuration.clocks]
        running = set[int]()
        for label, value in zip(template.columns, values, strict=True):
            runs = label.family == "running" and value > RUNNING * operation.replicas
            if runs and label.clock is not None:
                running.add(label.clock)
                found.add(replace(label, clock=places[label.clock]))
        steps = operation.total("steps")
        for label, value in zip(template.columns, values, strict=True):
            if label.family == "offloaded_steps" and value > RUNNING * steps:
                found.add(Label(label.family, None, label.index))
        smallest = smallest_batch(operation.configuration) * (1.0 + RUNNING)
        for label, dual in zip(template.rows, operation.answer.duals, strict=True):
            if label.family in UNPRICED or abs(dual) <= PRICED * operation.throughput:
                continue
            if label.clock is not None and label.clock not in running:
                continue
            if label.family == "min_batch" and operation.batch > smallest:
                continue
            place = places[label.clock] if label.clock is not None else None
            found.add(replace(label, clock=place))
        return frozenset(found)


def held_optimum(instance: Instance, near: Operation) -> HeldOptimum | None:
    """Return the optimum with configuration and replicas of `near`; None where there is none."""
    try:
        operation, point = polish_clocks(Demand(instance, _any_clock(instance, near)), near)
    except SolverError:
        return None
    if operation.throughput <= 0.0:
        return None
    return HeldOptimum(operation, priced(instance, operation, point))


def _any_clock(instance: Instance, near: Operation) -> Configuration:
    """Return the configuration of a plan, free to run at any clock of the instance."""
    return replace(near.configuration, clocks=tuple(instance.choices.clocks))


def slope(optimum: PricedRack, base: Instance, number: InstanceNumber, amount: float) -> float:
    """Return d(objective) / d(amount) at an optimum, where the number has this amount.

    By the envelope theorem: the central difference of the Lagrangian, which is smooth.
    """
    width = STEP * (abs(amount) or number.scale)
    ends = [number.at(base, amount + change) for change in (width, -width)]
    above, below = lagrangians(optimum, ends)
    return float(above - below) / (2.0 * width)


@dataclass(frozen=True)
class Side:
    """How far a price holds on one side, in internal units.

    `slope` is d(objective) / d(amount) just beside the number, None where nothing is feasible
    there. `reason` says what changes at `end`; None where nothing does as far as it was looked for.
    """

    end: float
    reason: str | None
    slope: float | None


def price_side(
    base: Instance, centre: HeldOptimum, number: InstanceNumber, price: float, *, upward: bool
) -> Side:
    """Return the price beside a number and how far it holds on that side.

    `price` is d(objective) / d(amount) at the number itself.
    """
    trials = _outward(number, upward=upward)
    if not trials:
        return Side(number.amount, AT_BOUND, None)
    good = trials.pop(0)
    held = _reached(base, centre, number, good)
    if held is None:
        return Side(number.amount, NO_PLAN, None)
    beside, crossed = price, 0
    if not held.same(centre):
        beside = slope(held.priced, base, number, good)
    far = held_optimum(number.at(base, trials[-1]), held.operation) if trials else None
    if far is not None and far.same(held):
        # Mostly nothing changes as far as it is looked for.
        good, trials = trials[-1], []
    while trials:
        tried = _reached(base, held, number, trials[0], from_amount=good)
        if tried is not None and tried.same(held):
            good, held = trials.pop(0), tried
            continue
        inside, outside = _bisected(base, (good, held), (trials[0], tried), number)
        good, held = inside
        beyond, other = outside
        if other is None:
            return Side(good, NO_PLAN, beside)
        slopes = slope(held.priced, base, number, good), slope(other.priced, base, number, beyond)
        if jumps(number, centre.objective, *slopes) or crossed == MOST_CROSSED:
            return Side(good, _change(held, other), beside)
        # Other rows, but the same price: one of several equal optima, or nothing to this number.
        good, held, crossed = beyond, other, crossed + 1
    bound = number.highest if upward else number.lowest
    return Side(good, AT_BOUND if good == bound else None, beside)


def jumps(number: InstanceNumber, objective: float, *slopes: float) -> bool:
    """Whether prices a hair apart differ by more than curvature can account for."""
    largest = max(map(abs, slopes))
    if largest * number.size <= NOTHING * objective:
        return False
    return max(slopes) - min(slopes) > JUMP * largest


def _reached(
    base: Instance,
    near: HeldOptimum,
    number: InstanceNumber,
    amount: float,
    *,
    from_amount: float | None = None,
    halvings: int = 3,
) -> HeldOptimum | None:
    """Return the optimum at an amount, reached from a known one.

    A first-order model is trusted nearby only, so a far one may be reached in smaller steps where
    it is not in one.
    """
    found = held_optimum(number.at(base, amount), near.operation)
    if found is not None or from_amount is None or halvings == 0:
        return found
    middle = math.sqrt(from_amount * amount)
    halfway = _reached(base, near, number, middle, from_amount=from_amount, halvings=halvings - 1)
    if halfway is None:
        return None
    return _reached(base, halfway, number, amount, from_amount=middle, halvings=halvings - 1)


def _outward(number: InstanceNumber, *, upward: bool) -> list[float]:
    """Return the amounts at which a price is tried, from its neighbour to the farthest."""
    if number.amount == 0.0:
        if not upward:
            return []
        found = [number.scale * one for one in (NEAR, *FROM_ZERO)]
        return [one for one in found if one <= number.highest]
    bound = number.highest if upward else number.lowest
    found = list[float]()
    for factor in (1.0 + NEAR, *OUTWARD):
        amount = number.amount * (factor if upward else 1.0 / factor)
        if amount >= bound if upward else amount <= bound:
            return [*found, bound] if bound not in (number.amount, 0.0) else found
        found.append(amount)
    return found


_Known = tuple[float, HeldOptimum]


def _bisected(
    base: Instance,
    inside: _Known,
    outside: tuple[float, HeldOptimum | None],
    number: InstanceNumber,
) -> tuple[_Known, tuple[float, HeldOptimum | None]]:
    """Return the last amount with the pattern of `inside`, the first without, and the optima."""
    (good, held), (bad, other) = inside, outside
    while abs(bad - good) > RESOLUTION * good:
        middle = math.sqrt(good * bad)
        tried = _reached(base, held, number, middle, from_amount=good, halvings=1)
        if tried is not None and tried.same(held):
            good, held = middle, tried
        else:
            bad, other = middle, tried
    return (good, held), (bad, other)


def _change(before: HeldOptimum, after: HeldOptimum) -> str:
    """Say what takes over where a price ends."""
    first, second = before.families, after.families
    appearing = [_named(one, after) for one in sorted(second - first - STATES)]
    if appearing:
        return f"{' and '.join(appearing)} {'binds' if len(appearing) == 1 else 'bind'}"
    if before.clocks != after.clocks:
        clocks = " and ".join(f"{100 * one:g} %" for one in after.clocks)
        return f"runs at {clocks} of the full clock"
    if "offloaded_steps" in first ^ second:
        return "what is offloaded changes"
    vanishing = [_named(one, after) for one in sorted(first - second)]
    if vanishing:
        verb = "binds" if len(vanishing) == 1 else "bind"
        return f"{' and '.join(vanishing)} no longer {verb}"
    if before.regime != after.regime:
        return "the context passes a window or the entries that are chosen"
    return "other weights are offloaded"


def _named(family: str, after: HeldOptimum) -> str:
    """Return the name of a row as the table of limits has it."""
    if family == "offload_share":
        return "a component's share of 100 % in SRAM"
    budgets = after.priced.instance.limits.budgets
    if family == "budget" and len(budgets) == 1:
        return budgets[0].name
    return family
