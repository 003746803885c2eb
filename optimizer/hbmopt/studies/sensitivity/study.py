"""Prices of everything: what each number of an instance is worth, how far that holds, and beyond.

Three answers stand side by side for every number. The *price* is the derivative of the objective by
the envelope theorem, with configuration and replicas held. Its *range* is how far the number can
move before other rows take over, integers still held. The *step* is a new solve a step below and
above, in which everything may change; where it differs from the price, that is information.
"""

import fnmatch
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hbmopt.basics import Progress, brief, counted, elasticity_text, verb
from hbmopt.demand import Array, Configuration, alike, collect, enumerate_configurations, rack_data
from hbmopt.errors import HbmoptError, InputError, nearest
from hbmopt.instance import (
    LEFT_OUT,
    Instance,
    InstanceNumber,
    Objective,
    Overrides,
    Source,
    load,
    numbers_of,
)
from hbmopt.notebook import Answer, chart_of
from hbmopt.plan import Reached, hopeful, most_of_each, search
from hbmopt.program import (
    PricedRack,
    Solving,
    answered_together,
    template_of,
)
from hbmopt.results import Conflict, Solution, configuration_of, plain, priced_solution, solution_of
from hbmopt.studies.sensitivity.advice import what_to_buy
from hbmopt.studies.sensitivity.number_price import COLUMNS, NumberPrice, RangeEnd, Resolved
from hbmopt.studies.sensitivity.price_range import (
    NOTHING,
    HeldOptimum,
    Side,
    jumps,
    price_side,
    slopes,
)

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

MOST_LISTED = 3
"""Numbers that a sensitivity in one line names: those that are worth most."""

STEP = 0.10
"""Relative size of the step of the new solves."""


@dataclass(frozen=True)
class Sensitivity(Answer):
    """What the numbers of an instance are worth at its optimum.

    `numbers` are sorted by what they are worth, `unused` are those that no configuration of this
    instance reads. `priced_throughput_tok_s` is that of the priced optimum, whose batch need not be
    whole; prices are derivatives of its objective, steps are relative to `objective_amount`, the
    plan's.
    """

    instance: str
    title: str
    llm: str
    rack: str
    status: str
    objective: Objective
    step: float
    objective_unit: str = "tok/s"
    objective_amount: float | None = None
    throughput_tok_s: float | None = None
    throughput_range_tok_s: tuple[float, float] | None = None
    priced_throughput_tok_s: float | None = None
    configuration: str | None = None
    advice: tuple[str, ...] = ()
    numbers: tuple[NumberPrice, ...] = ()
    unused: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=lambda: dict(LEFT_OUT))
    interrupted: bool = False
    seconds: float = 0.0
    conflict: Conflict | None = None

    def __repr__(self) -> str:
        if self.conflict is not None:
            return brief("Sensitivity", self.instance, f"{self.status}: {self.conflict.summary}")
        listed = [one for one in self.numbers if one.elasticity][:MOST_LISTED]
        return brief(
            "Sensitivity",
            self.instance,
            counted(len(self.numbers), "number"),
            *(f"{one.name} {elasticity_text(one.elasticity or 0.0)} % per %" for one in listed),
        )

    @property
    def feasible(self) -> bool:
        """Whether there is a plan."""
        return self.status == "optimal"

    def number(self, name: str) -> NumberPrice:
        """Return one number by its dotted path. Raises `InputError` where it is not listed."""
        for one in self.numbers:
            if one.name == name:
                return one
        raise InputError(f"{name}: {nearest(name, [one.name for one in self.numbers])}")

    def chart(self) -> "alt.LayerChart":
        """Return the tornado that ``hbmopt sensitivity --plot`` draws.

        What a step of each number does to the objective, the largest first.

        Raises
        ------
        InputError
            Where the packages that draw charts are missing, or no number is worth anything.
        """
        return cast("alt.LayerChart", chart_of(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the documented JSON structure (`schemas/sensitivity.schema.json`)."""
        return plain(self)

    @property
    def frame(self) -> "pd.DataFrame":
        """One row per number, indexed by its dotted path."""
        import pandas as pd  # 0.3 s that only frames need

        rows = [one.flat() for one in self.numbers]
        return pd.DataFrame(rows, columns=list(COLUMNS)).set_index("name")


@verb
def sensitivity(
    source: Source,
    overrides: Overrides = None,
    *,
    step: float | str = STEP,
    top: int | None = None,
    only: str | None = None,
    resolve: bool = True,
    progress: Progress | None = None,
) -> Sensitivity:
    """Return price, elasticity, range and re-solved steps of every number of an instance.

    Parameters
    ----------
    source, overrides
        As of `load`.
    step
        Relative size of the re-solved steps: 0.1, or ``"10%"``.
    top
        Only so many numbers, those that are worth most.
    only
        Only numbers whose dotted path holds this text, or matches it with ``*`` in it.
    resolve
        Whether steps are solved anew; without, prices and their ranges are all there is.
    progress
        Called with (numbers done, numbers to do).

    Raises
    ------
    InputError
        Where the step is not between 0 and 1, or `only` matches no number.
    SolverError
        As `solve` does.
    """
    instance = load(source, overrides)
    step = parse_step(step) if isinstance(step, str) else step
    if not 0.0 < step < 1.0:
        raise InputError(f"a step of {step:g} is not a share between 0 and 1, such as 0.05")
    begun = time.perf_counter()
    chosen = _chosen(numbers_of(instance), only)
    found = search(instance)
    solution = solution_of(instance, found, begun)
    heading: dict[str, Any] = {
        "instance": solution.instance,
        "title": solution.title,
        "llm": solution.llm,
        "rack": solution.rack,
        "status": solution.status,
        "objective": solution.objective,
        "objective_unit": solution.objective_unit,
        "step": step,
    }
    if found.relaxed is None or found.around is None or not solution.feasible:
        seconds = time.perf_counter() - begun
        return Sensitivity(conflict=solution.conflict, seconds=seconds, **heading)
    held: HeldOptimum | None = None
    if instance.choices.uniform:
        held = HeldOptimum(found.relaxed, found.around)
        optimum = held.priced
    else:
        from hbmopt.results import solve_mixed  # Pyomo's solver interface

        _, optimum, _ = solve_mixed(instance, found)
    study = _Study(instance, solution, optimum, held, step, resolve=resolve)
    prices, unused, interrupted = study.run(chosen, top, progress)
    return Sensitivity(
        objective_amount=solution.objective_amount,
        throughput_tok_s=solution.throughput_tok_s,
        throughput_range_tok_s=solution.throughput_range_tok_s,
        priced_throughput_tok_s=optimum.throughput,
        configuration=_configurations(solution),
        advice=what_to_buy(instance, solution, prices),
        numbers=prices,
        unused=unused,
        interrupted=interrupted,
        seconds=time.perf_counter() - begun,
        **heading,
    )


def parse_step(text: str) -> float:
    """Read a step such as ``5%`` or ``0.05``. Raises `InputError` for anything else."""
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100.0 if percent else 1.0)
    except ValueError:
        value = 0.0
    if rest or not 0.0 < value < 1.0:
        raise InputError(f"--step {text}: write a share between 0 and 1, such as 5% or 0.05")
    return value


def _chosen(numbers: list[InstanceNumber], only: str | None) -> list[InstanceNumber]:
    if only is None:
        return numbers
    pattern = only if any(sign in only for sign in "*?[") else f"*{only}*"
    chosen = [one for one in numbers if fnmatch.fnmatchcase(one.name, pattern)]
    if not chosen:
        hint = nearest(only, [one.name for one in numbers])
        raise InputError(f"--only {only}: no number has such a path; {hint}")
    return chosen


def _configurations(solution: Solution) -> str:
    """Return what runs, in words; at which clocks is no choice that a price holds."""
    return "; ".join(f"{one.replicas} x {configuration_of(one)}" for one in solution.configurations)


class _Study:
    """The prices of one instance: what is worth anything first, ranges and steps after that."""

    def __init__(
        self,
        instance: Instance,
        solution: Solution,
        optimum: PricedRack,
        held: HeldOptimum | None,
        step: float,
        *,
        resolve: bool,
    ) -> None:
        self.instance = instance
        self.solution = solution
        self.optimum = optimum
        self.held = held
        self.step = step
        self.resolve = resolve
        self.configuration = _configurations(solution)
        self._read: bytes | None = None
        self._known: tuple[list[Configuration], bytes] | None = None
        self._most = dict[tuple[str, float], Reached | None]()

    def run(
        self, numbers: Sequence[InstanceNumber], top: int | None, progress: Progress | None
    ) -> tuple[tuple[NumberPrice, ...], tuple[str, ...], bool]:
        """Return the prices, the names of numbers that nothing reads, and whether it was cut."""
        priced_ones, unused = list[tuple[InstanceNumber, NumberPrice]](), list[str]()
        for number, price in zip(numbers, self._prices(numbers), strict=True):
            if not price.elasticity and not price.unit_price and not self._is_read(number):
                unused.append(number.name)
            else:
                priced_ones.append((number, price))
        priced_ones.sort(key=lambda pair: -pair[1].worth)
        counted = [pair for pair in priced_ones if not pair[0].priced]
        kept = [pair for pair in priced_ones if pair[0].priced][:top]
        if self.resolve:
            kept += counted
        found, interrupted = [price for _, price in kept], False
        try:
            choices = self.instance.choices
            if self.resolve and choices.uniform:
                self._solve_steps([number for number, _ in kept])
            for done, (position, sides) in enumerate(self._sided(kept)):
                if progress is not None:
                    progress(done, len(kept))
                found[position] = self._studied(*kept[position], sides)
        except KeyboardInterrupt:
            interrupted = True
        if progress is not None:
            progress(1, 1)
        # Counts come last: what they are worth hangs on how they divide into replicas.
        found.sort(key=lambda one: (one.unit_price is None, -one.worth))
        return tuple(found), tuple(unused), interrupted

    def _prices(self, numbers: Sequence[InstanceNumber]) -> list[NumberPrice]:
        """Return the prices of numbers at the optimum itself; counts have none."""
        continuous = [one for one in numbers if one.priced]
        amounts = [(one, one.amount) for one in continuous]
        rates = slopes(self.optimum, self.instance, amounts)
        known = {one.name: rate for one, rate in zip(continuous, rates, strict=True)}
        found = list[NumberPrice]()
        for number in numbers:
            quoted = NumberPrice(
                name=number.name,
                section=number.section,
                value=number.amount * number.quoted,
                unit=number.unit,
                status=number.status,
            )
            rate = known.get(number.name)
            if rate is not None:
                if abs(rate) * number.size <= NOTHING * self.optimum.objective:
                    rate = 0.0
                quoted = self._priced_at(number, quoted, rate)
            found.append(quoted)
        return found

    def _priced_at(self, number: InstanceNumber, price: NumberPrice, rate: float) -> NumberPrice:
        """Return a price with d(throughput) / d(amount) filled in."""
        objective = self.optimum.objective
        shares = number.amount == 0.0 and number.highest == 1.0
        return replace(
            price,
            unit_price=self._unit_price(number, rate),
            unit_price_unit=f"{self.optimum.objective_unit} per {number.price_unit}",
            elasticity=rate * number.amount / objective + 0.0,
            worth=abs(rate) * (number.scale if shares else number.amount) / objective,
        )

    @staticmethod
    def _unit_price(number: InstanceNumber, rate: float) -> float:
        return rate * number.per / number.quoted + 0.0

    def _sided(
        self, kept: Sequence[tuple[InstanceNumber, NumberPrice]]
    ) -> Iterator[tuple[int, list[Side]]]:
        """Yield places of numbers with the sides of the ranges of their prices, as they are found.

        Those of all numbers are sought side by side; where there are none, the list is empty.
        """
        ranged, questions = list[int](), list[Solving[Side]]()
        for position, (number, price) in enumerate(kept):
            if self.held is None or not number.priced:
                yield position, []
                continue
            centre = (price.unit_price or 0.0) / self._unit_price(number, 1.0)
            ranged.append(position)
            for upward in (False, True):
                sought = price_side(self.instance, self.held, number, centre, upward=upward)
                questions.append(sought)
        found: dict[int, Side] = {}
        for place, side in answered_together(questions):
            found[place] = side
            first = place - place % 2
            if first in found and first + 1 in found:
                yield ranged[place // 2], [found[first], found[first + 1]]

    def _studied(
        self, number: InstanceNumber, price: NumberPrice, sides: Sequence[Side]
    ) -> NumberPrice:
        """Return a price with its range and the re-solved steps."""
        if sides:
            price = self._ranged(number, price, *sides)
        if not self.resolve:
            return price
        down, up = (self._resolved(number, price, share) for share in (-self.step, self.step))
        price = replace(price, down=down, up=up)
        if not number.priced:
            changes = [abs(one.change) for one in (down, up) if one and one.change is not None]
            price = replace(price, worth=max(changes, default=0.0) / self.step)
        return price

    def _ranged(
        self, number: InstanceNumber, price: NumberPrice, below: Side, above: Side
    ) -> NumberPrice:
        objective = self.optimum.objective
        centre = (price.unit_price or 0.0) / self._unit_price(number, 1.0)
        beside = [one.slope for one in (below, above) if one.slope is not None]
        if beside and jumps(number, objective, centre, *beside):
            # The multipliers at a kink are any between those of its sides: quote those instead.
            price = self._priced_at(number, price, beside[-1])
            if len(beside) == 2:
                ends = [self._unit_price(number, one) for one in beside]
                price = replace(price, unit_price_below=ends[0], unit_price_above=ends[1])
                worth = max(map(abs, beside)) * number.size / objective
                price = replace(price, worth=worth)
        return replace(price, low=_end(number, below), high=_end(number, above))

    def _solve_steps(self, numbers: Sequence[InstanceNumber]) -> None:
        """Find what the steps of numbers make, of all configurations that may be best there."""
        likely = hopeful(self.instance, self.step)
        for priced_ones, only in ((True, likely), (False, None)):
            # A count decides which configurations there are.
            wanted = {
                (number.name, share): number.at(self.instance, amount)
                for number in numbers
                if number.priced == priced_ones
                for share in (-self.step, self.step)
                if (amount := number.stepped(share)) is not None
            }
            found = most_of_each(list(wanted.values()), only=only)
            self._most.update(zip(wanted, found, strict=True))

    def _resolved(
        self, number: InstanceNumber, price: NumberPrice, share: float
    ) -> Resolved | None:
        """Return the optimum a step away, everything free; None where there is no such step."""
        moved = number.stepped(share)
        if moved is None or (share < 0 and number.amount == 0.0):
            return None
        quoted, expected = moved * number.quoted, None
        taken = moved / number.amount - 1.0 if number.amount else None
        base = self.solution.objective_amount or 0.0
        if price.unit_price is not None:
            side = price.unit_price_below if share < 0 else price.unit_price_above
            rate = price.unit_price if side is None else side
            more = (moved - number.amount) * number.quoted / number.per
            expected = rate * more / self.optimum.objective
        found = self._most.get((number.name, share))
        if found is not None:
            amount, wins = found.amount, f"{found.replicas} x {found.configuration}"
        else:
            # Nothing that is nearly as good here can run there: why, or what else, takes a solve.
            try:
                solution = priced_solution(number.at(self.instance, moved))
            except HbmoptError as error:
                message = " ".join(str(error).split())
                return Resolved(quoted, "failed", expected, message=message, share=taken)
            if solution.objective_amount is None:
                reason = solution.conflict.summary if solution.conflict else ""
                return Resolved(quoted, "infeasible", expected, message=reason, share=taken)
            amount, wins = solution.objective_amount, _configurations(solution)
        return Resolved(
            value=quoted,
            status="optimal",
            expected=expected,
            change=amount / base - 1.0,
            amount=amount,
            throughput_tok_s=amount if self.instance.objective == "throughput" else None,
            configuration=wins,
            other_configuration=wins != self.configuration,
            share=taken,
        )

    def _is_read(self, number: InstanceNumber) -> bool:
        """Whether the program of any configuration depends on the number."""
        changed = number.at(self.instance, 0.9 * number.size)
        running = [column.configuration for column in self.optimum.columns]
        if self._read is None:
            self._read = _numbers_read(self.instance, running)
        if _numbers_read(changed, running) != self._read:
            return True
        if self._known is None:
            configurations, _ = enumerate_configurations(self.instance)
            self._known = configurations, _numbers_read(self.instance, configurations)
        possible, _ = enumerate_configurations(changed)
        return possible != self._known[0] or _numbers_read(changed, possible) != self._known[1]


def _numbers_read(instance: Instance, configurations: Sequence[Configuration]) -> bytes:
    """Return the numbers of the programs of configurations at their highest and lowest clock."""
    rack, found = rack_data(instance), list[Array]()
    for one in alike(instance, configurations):
        clocks = one.demand.configuration.clocks
        for data in map(one.demand.whole, {clocks[0], clocks[-1]}):
            template = template_of(rack, data)
            # What the rack draws in any case, the last of them, moves nothing by itself.
            found += map(np.ravel, template.evaluate(collect(data, collect(rack, [])))[:-1])
        reads = (one.demand.experts, one.demand.offloaded_experts)
        found += map(np.ravel, collect(reads, []))
    return np.concatenate(found).tobytes()


def _end(number: InstanceNumber, side: Side) -> RangeEnd:
    return RangeEnd(side.end * number.quoted, side.reason)
