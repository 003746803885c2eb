"""How far a price holds: the optimum with configuration and replicas held, at other numbers.

As long as the same rows have a price, the same clocks run, the same components are offloaded and
the context passes the same windows, the optimum is one smooth function of the number, and its slope
is the price there. Where that changes, other rows take over and the price jumps, or nothing is
feasible any more: the price holds up to there. The range is found by solving: as far as it is
looked for, and where something is expected to change before. A change that leaves the
price as it is does not end a range.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from hbmopt.demand import Configuration, Demand, Point, context_regime, smallest_batch
from hbmopt.errors import SolverError
from hbmopt.instance import Instance, InstanceNumber
from hbmopt.points import polish_clocks
from hbmopt.program import (
    KERNEL,
    KERNEL_ROWS,
    Label,
    Operation,
    PricedRack,
    Solving,
    priced,
)
from hbmopt.results import STEP, lagrangians

NEAR = 1e-5
"""Relative distance of the neighbours that say what the price is on either side."""

OUTWARD = 10.0
"""Factor up to which the end of a range is looked for; of a number that is 0, up to its scale."""

RESOLUTION = 5e-4
"""Relative width to which the end of a range is found."""

END = 0.4
"""How far from an expected end it is looked for on both sides, as a share of that width."""

NEARLY = 0.8
"""Share of the way to an amount just beyond an expected end that is tried after it."""

PRICED = 1e-7
"""Share of the objective from which on the multiplier of a scaled row counts as a price."""

NOTHING = 1e-9
"""Elasticities up to this size are the noise of a difference of nearly equal numbers."""

NEARLY_SETTLED = 1e-4
"""Relative change of the batch up to which an optimum on the way to the end of a range settles."""

JUMP = 0.02
"""Relative difference of two prices a hair apart that is a jump and no curvature."""

FINE_CLOCKS = 0.0251
"""Steps of clocks, as shares of the full one, up to which they stand for any clock between."""

MOST_CROSSED = 5
"""Changes of the pattern without a jump of the price after which a range is given up."""

MOST_DRAWN = 16
"""Times that an end is drawn on to; what has not been met by then is halved."""

DRAWN_FROM = 3
"""Amounts from which an end is drawn on."""

BESIDE = 1e-3
"""Relative distance of a neighbour that says where margins are going."""

REACHED = 20.0
"""How much farther than that one goes where an amount at an expected end is inside."""

CLOSE = 0.02
"""Relative distance from which on an end is looked for on both sides."""

LOGARITHMIC = 1e-6
"""Powers up to this size are the logarithm."""

POWERS, HALVINGS = 8.0, 30
"""Between which powers of an amount the one that fits is looked for, and how often by halves."""

RUNNING = 1e-6
"""Share of the time, or of the steps, from which on a clock runs or a component is offloaded."""

NO_PLAN = "no plan beyond"
AT_BOUND = "it can go no further"

STATES = frozenset({"running", "offloaded_steps"})
"""What a pattern holds beside rows."""

POWER_ROWS = frozenset({"power_cap", "accelerator_power"})

UNPRICED = frozenset({"common_batch", "clock_shares", "highest_batch", "accelerators", "lpu_units"})
"""Rows that tie variables together or trust a first-order model; they limit nothing."""


@dataclass(frozen=True)
class HeldOptimum:
    """The optimum of an instance with configuration and replicas held and the batch free."""

    operation: Operation
    around: Point

    @property
    def instance(self) -> Instance:
        """The instance that it is the optimum of."""
        return self.operation.demand.instance

    @cached_property
    def priced(self) -> PricedRack:
        """The optimum with its multipliers; few of those on the way to an end are asked for it."""
        return priced(self.instance, self.operation, self.around)

    @property
    def objective(self) -> float:
        """Return the objective in its own unit."""
        return self.priced.objective

    @cached_property
    def regime(self) -> tuple[bool, ...]:
        """Return which bounds on what a token sees the contexts have passed."""
        return context_regime(self.instance, self.operation.configuration)

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
        listed = self.instance.choices.clocks
        return tuple(listed[place] for place in sorted(one for one in places if one is not None))

    def margin(self, label: Label) -> float | None:
        """Return what is left until something of a pattern ends, or else begins; None if unknown.

        The multiplier of a row that has one, the slack of one that has none, the share of the time
        of a clock that runs, and what one that does not would lose.
        """
        operation, answer = self.operation, self.operation.answer
        template, clocks = operation.filled.template, range(len(operation.configuration.clocks))
        if label.clock is not None:
            clock = self.instance.choices.clocks[label.clock]
            if clock not in operation.configuration.clocks:
                return None
            place = operation.configuration.clocks.index(clock)
            if label.family == "running":
                column = template.column("running", place)
                runs = float(operation.values[column]) / operation.replicas
                return runs if runs > RUNNING else abs(float(answer.reduced[column]))
            clocks = range(place, place + 1)
        running = {place for place in clocks if operation.clock_steps[place] > 0.0}
        if label.family == "offloaded_steps":
            share = operation.total("offloaded_steps", label.index) / operation.total("steps")
            if share > RUNNING:
                return share
            columns = [template.column("offloaded_steps", place, label.index) for place in running]
            return min(abs(float(answer.reduced[column])) for column in columns)
        rows = [
            row
            for row, one in enumerate(template.rows)
            if (one.family, one.index) == (label.family, label.index)
            and (one.clock is None or one.clock in running)
        ]
        if not rows:
            return None
        price = sum(abs(float(answer.duals[row])) for row in rows) / operation.size
        if price > PRICED and self.fine and running != {0}:
            # Between clocks prices are a staircase; how far the clock is lowered is not.
            if label.family in POWER_ROWS:
                return 1.0 - self.mean_clock
            if label.family == "step_time":
                return self.mean_clock - self.instance.choices.clocks[-1]
        if price > PRICED:
            return price
        slack = operation.filled.program.row_upper - answer.activity
        return min(float(slack[row]) for row in rows)

    @property
    def limits(self) -> frozenset[Label]:
        """Return the rows that may come to have a price, at any clock."""
        rows = self.operation.filled.template.rows
        return frozenset(replace(one, clock=None) for one in rows if one.family not in UNPRICED)

    def _takes_time(self, row: Label) -> bool:
        """Whether the class of kernels of a row takes any: one whose work is offloaded has none."""
        operation = self.operation
        column = operation.filled.template.column(KERNEL, row.clock, row.index)
        return float(operation.answer.point[column]) > RUNNING

    @cached_property
    def fine(self) -> bool:
        """Whether clocks stand for one that moves smoothly."""
        listed = self.instance.choices.clocks
        return max((high - low for high, low in pairwise(listed)), default=1.0) <= FINE_CLOCKS

    @property
    def mean_clock(self) -> float:
        """Return the clock in the mean over the steps, as a share of the full one."""
        pairs = zip(self.operation.configuration.clocks, self.operation.clock_steps, strict=True)
        return sum(clock * steps for clock, steps in pairs) / sum(self.operation.clock_steps)

    @property
    def spare_batch(self) -> float:
        """Return the sequences above the least that a replica holds: without any nothing runs."""
        return self.operation.batch - smallest_batch(self.operation.configuration)

    @cached_property
    def pattern(self) -> frozenset[Label]:
        """Return the rows with a price, the clocks that run and the components offloaded.

        Clocks are counted as the instance lists them, whichever of them the program has. Those in
        fine steps stand for a clock that moves smoothly: it does not matter which of them run.
        """
        operation, found = self.operation, set[Label]()
        template, values = operation.filled.template, operation.values
        listed, fine = self.instance.choices.clocks, self.fine
        places: list[int | None] = [None] * len(operation.configuration.clocks)
        if not fine:
            places = [listed.index(clock) for clock in operation.configuration.clocks]
        running = set[int]()
        for label, value in zip(template.columns, values, strict=True):
            runs = label.family == "running" and value > RUNNING * operation.replicas
            if runs and label.clock is not None:
                running.add(label.clock)
                if not fine:
                    found.add(replace(label, clock=places[label.clock]))
        steps = operation.total("steps")
        for label, value in zip(template.columns, values, strict=True):
            if label.family == "offloaded_steps" and value > RUNNING * steps:
                found.add(Label(label.family, None, label.index))
        smallest = smallest_batch(operation.configuration) * (1.0 + RUNNING)
        for label, dual in zip(template.rows, operation.answer.duals, strict=True):
            if label.family in UNPRICED or abs(dual) <= PRICED * operation.size:
                continue
            if label.clock is not None and label.clock not in running:
                continue
            if label.family in KERNEL_ROWS and not self._takes_time(label):
                continue
            if label.family == "min_batch" and operation.batch > smallest:
                continue
            place = places[label.clock] if label.clock is not None else None
            found.add(replace(label, clock=place))
        return frozenset(found)


def held_optimum(instance: Instance, near: Operation) -> Solving[HeldOptimum | None]:
    """Return the optimum with configuration and replicas of `near`; None where there is none."""
    try:
        demand = Demand(instance, _any_clock(instance, near))
        operation, point = yield from polish_clocks(demand, near, NEARLY_SETTLED)
    except SolverError:
        return None
    if operation.throughput <= 0.0:
        return None
    return HeldOptimum(operation, point)


def _any_clock(instance: Instance, near: Operation) -> Configuration:
    """Return the configuration of a plan, free to run at any clock of the instance."""
    return replace(near.configuration, clocks=tuple(instance.choices.clocks))


def slopes(
    optimum: PricedRack, base: Instance, amounts: Sequence[tuple[InstanceNumber, float]]
) -> list[float]:
    """Return d(objective) / d(amount) at an optimum, where each number has this amount.

    By the envelope theorem: the central difference of the Lagrangian, which is smooth.
    """
    if not amounts:
        return []
    widths = [STEP * (abs(amount) or number.scale) for number, amount in amounts]
    ends = [
        number.at(base, amount + change)
        for (number, amount), width in zip(amounts, widths, strict=True)
        for change in (width, -width)
    ]
    values = lagrangians(optimum, ends)
    return [
        float(above - below) / (2.0 * width)
        for above, below, width in zip(values[::2], values[1::2], widths, strict=True)
    ]


def slope(optimum: PricedRack, base: Instance, number: InstanceNumber, amount: float) -> float:
    """Return what `slopes` does, of one number."""
    (found,) = slopes(optimum, base, [(number, amount)])
    return found


_Known = tuple[float, HeldOptimum]
"""An amount of a number, and the optimum there."""


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
) -> Solving[Side]:
    """Return the price beside a number and how far it holds on that side.

    `price` is d(objective) / d(amount) at the number itself.
    """
    trials = _outward(number, upward=upward)
    if not trials:
        return Side(number.amount, AT_BOUND, None)
    good, farthest = trials[0], trials[-1]
    held = yield from held_optimum(number.at(base, good), centre.operation)
    if held is None:
        return Side(number.amount, NO_PLAN, None)
    beside, before = price, None
    if not held.same(centre):
        beside = slope(held.priced, base, number, good)
    elif number.amount:
        before = number.amount, centre
    far: HeldOptimum | None = held
    if farthest != good:
        far = yield from held_optimum(number.at(base, farthest), held.operation)
    crossed = 0
    while True:
        if far is not None and far.same(held):
            # Mostly nothing changes as far as it is looked for.
            bound = number.highest if upward else number.lowest
            return Side(farthest, AT_BOUND if farthest == bound else None, beside)
        inside, outside = yield from _narrowed(base, before, (good, held), (farthest, far), number)
        good, held = inside
        beyond, other = outside
        if other is None:
            return Side(good, NO_PLAN, beside)
        last = slope(held.priced, base, number, good)
        new = slope(other.priced, base, number, beyond)
        if crossed == MOST_CROSSED or jumps(number, centre.objective, last, new):
            return Side(good, _change(held, other), beside)
        # Other rows, but the same price: one of several equal optima, or nothing to this number.
        before, good, held = None, beyond, other
        crossed += 1


def jumps(number: InstanceNumber, objective: float, *prices: float) -> bool:
    """Whether prices a hair apart differ by more than curvature can account for."""
    largest = max(map(abs, prices))
    if largest * number.size <= NOTHING * objective:
        return False
    return max(prices) - min(prices) > JUMP * largest


def _outward(number: InstanceNumber, *, upward: bool) -> list[float]:
    """Return the amounts at which a price is tried, from its neighbour to the farthest."""
    if number.amount == 0.0:
        return [number.scale * NEAR, min(number.scale, number.highest)] if upward else []
    bound = number.highest if upward else number.lowest
    found = list[float]()
    for factor in (1.0 + NEAR, OUTWARD):
        amount = number.amount * (factor if upward else 1.0 / factor)
        if amount >= bound if upward else amount <= bound:
            return [*found, bound] if bound not in (number.amount, 0.0) else found
        found.append(amount)
    return found


def _narrowed(
    base: Instance,
    before: _Known | None,
    inside: _Known,
    outside: tuple[float, HeldOptimum | None],
    number: InstanceNumber,
) -> Solving[tuple[_Known, tuple[float, HeldOptimum | None]]]:
    """Return the last amount with the pattern of `inside`, the first without, and the optima.

    The end is sought where what changes there would be nothing, drawn on from the last amounts
    that are inside, `before` among them; halves are taken where that is not known or gets nowhere.
    """
    known = [inside] if before is None else [before, inside]
    bad, other = outside
    too_far, reached, drawn = False, False, 0
    while abs(bad - known[-1][0]) > RESOLUTION * known[-1][0]:
        good, held = known[-1]
        aside = END * math.copysign(RESOLUTION * good, bad - good)
        tries, expected = [math.sqrt(good * bad)], None
        if len(known) == 1:
            # A neighbour says where things are going.
            tries = [good + math.copysign(min(BESIDE * good, 0.5 * abs(bad - good)), bad - good)]
        elif too_far:
            tries = [good ** (1.0 - NEARLY) * bad**NEARLY]
        elif drawn < MOST_DRAWN:
            expected = _expected_end(known, (bad, other))
            drawn += 1
        if expected is not None:
            tries = [expected - aside, expected + aside]
            if abs(expected - good) > CLOSE * good:
                # Two neighbours tell little of what is far: first something on the way there.
                tries = [expected if len(known) > 2 else math.sqrt(good * expected)]
        elif reached:
            # Nothing is left of what was to change, and yet it is inside: the end is near.
            tries = [good + REACHED * aside]
        too_far, reached = False, False
        for amount in tries:
            if not min(known[-1][0], bad) < amount < max(known[-1][0], bad):
                continue
            tried = yield from held_optimum(number.at(base, amount), known[-1][1].operation)
            if tried is not None and tried.same(held):
                known = [*known, (amount, tried)][-DRAWN_FROM:]
                reached = expected is not None
                continue
            bad, other, too_far = amount, tried, expected is not None and known[-1][0] == good
            break
    return known[-1], (bad, other)


def _expected_end(
    known: Sequence[_Known], outside: tuple[float, HeldOptimum | None]
) -> float | None:
    """Return where the pattern of amounts that are inside is expected to end, if that is known."""
    bad, other = outside
    good, held = known[-1]
    optima = [one for _, one in known]
    if not all(one.same(held) for one in optima):
        return None
    # Where nothing runs at all beyond, anything may be what ends before.
    changed = held.pattern ^ other.pattern if other is not None else held.pattern | held.limits
    margins = [[one.margin(label) for one in optima] for label in changed]
    if other is None:
        margins.append([one.spare_batch for one in optima])
    # As logarithms of the amounts: most of what changes is a product of them.
    ways = [math.log(amount / good) for amount, _ in known]
    width = math.log(bad / good)
    ends = [
        nothing_at(ways, [one for one in values if one is not None])
        for values in margins
        if None not in values
    ]
    met = [one for one in ends if one is not None and 0.0 < one / width < 1.0]
    return good * math.exp(min(met, key=abs)) if met else None


def nothing_at(ways: Sequence[float], margins: Sequence[float]) -> float | None:
    """Return where a margin that falls is expected to be nothing, in logarithms of the amount.

    It is drawn on as linear in the logarithm through two amounts, and in the power of the amount
    that fits best through three: coefficients are products and quotients of numbers.
    """
    last, now = margins[-2:]
    if not last > now > 0.0:
        return None
    power = _power_through(ways, margins) if len(margins) > 2 else 0.0
    reached = _grown(ways[-2], power) + last / (last - now) * (
        _grown(ways[-1], power) - _grown(ways[-2], power)
    )
    inside = 1.0 + power * reached
    if abs(power) < LOGARITHMIC:
        return reached
    return math.log(inside) / power if inside > 0.0 else None


def _grown(way: float, power: float) -> float:
    """Return (x ** power - 1) / power of x = exp(way), which is its logarithm at a power of 0."""
    return way if abs(power) < LOGARITHMIC else math.expm1(power * way) / power


def _power_through(ways: Sequence[float], margins: Sequence[float]) -> float:
    """Return the power of the amount in which three margins are linear, within `POWERS`."""
    first, last, now = margins[-3:]
    a, b, c = ways[-3:]
    if not first > last:
        return 0.0
    wanted = (last - now) / (first - last)
    low, high = -POWERS, POWERS
    for _ in range(HALVINGS):
        power = 0.5 * (low + high)
        one, two, three = (_grown(way, power) for way in (a, b, c))
        # Seen from where it starts: with a higher power what comes later grows faster.
        if ((three - two) / (two - one) > wanted) == (c > a):
            high = power
        else:
            low = power
    return 0.5 * (low + high)


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
    if any(label.family == "offloaded_steps" for label in before.pattern ^ after.pattern):
        return "other weights are offloaded"
    return "which rows bind at which clock changes"


def _named(family: str, after: HeldOptimum) -> str:
    """Return the name of a row as the table of limits has it."""
    if family == "offload_share":
        return "a component's share of 100 % in SRAM"
    budgets = after.instance.budgets
    if family == "budget" and len(budgets) == 1:
        return budgets[0].name
    return family
