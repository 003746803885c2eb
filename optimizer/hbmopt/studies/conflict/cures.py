"""The smallest single change of each limit, input or choice that makes the impossible possible.

Every change is sought over all configurations together; those that fail after a change are not
asked about smaller ones. What is reported is rounded to the side on which it suffices, and the
point that it makes possible is checked by its program.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap

from hbmopt.basics import Parts
from hbmopt.demand import Configuration, Demand, Segment, enumerate_configurations, rack_data
from hbmopt.errors import SolverError
from hbmopt.instance import (
    Choice,
    Counter,
    Instance,
    Lever,
    budget_levers,
    counters,
    demand_levers,
    format_choices,
    latency_levers,
    layout_choices,
    memory_levers,
    pace_levers,
    power_levers,
    rate_levers,
    workload_levers,
)
from hbmopt.plan import best_of_each, best_point, found_at
from hbmopt.points import PRECISION, Target, TargetSearch, last, one_replica
from hbmopt.program import resting_power, solve_program

WIDTH = 100
"""Width of lists of names where there is no terminal."""

DIGITS = 4
"""Significant digits that a change is rounded to."""

ROUGHLY = 1e-4
"""Relative precision of a value that is told, and not set."""

CLOSELY = 1e-6
"""Relative precision of a value that it takes searches to find."""

Aim = Callable[[Instance], Target]
"""What an instance is asked to serve; the instance's own floor may be part of it."""


STEP = 1.3
"""Ratio of neighbouring counts of devices of a first look."""


@dataclass(frozen=True)
class Cure:
    """One change that is enough by itself, and the least of its kind that is.

    `ratio` is the value after over the value before, None for a choice. `settings` are what
    ``--set`` takes, `configuration` is what runs then.
    """

    name: str
    key: str
    now: str
    to: str
    ratio: float | None
    settings: tuple[str, ...]
    configuration: str


@dataclass(frozen=True)
class NoCure:
    """One change that is never enough by itself, and how far it was tried."""

    name: str
    key: str
    tried: str
    rises: bool = True


@dataclass(frozen=True)
class Cures:
    """Changes that cure alone, and those that cannot."""

    found: tuple[Cure, ...]
    without: tuple[NoCure, ...]


MOST_TIMES, LEAST_MOST = 2, 64
"""A count is tried up to twice what there is, and up to this number where there are few."""


@dataclass(frozen=True)
class Changes:
    """All single changes of an instance that are tried; levers come in groups of one kind."""

    levers: tuple[tuple[Lever, ...], ...]
    choices: tuple[Choice, ...]
    counters: tuple[Counter, ...]

    @property
    def parts(self) -> int:
        """How many parts of work they are."""
        keys = {one.key for one in self.choices}
        return sum(map(len, self.levers)) + len(keys) + len(self.counters)


def changes_of(instance: Instance, *, floor: bool) -> Changes:
    """Return the changes to try; with `floor` the instance's speed floor is one of them."""
    levers = [
        demand_levers(instance),
        power_levers(instance),
        pace_levers(instance) if floor else latency_levers(instance),
        budget_levers(instance),
        memory_levers(instance),
        rate_levers(instance),
        workload_levers(instance),
    ]
    return Changes(
        tuple(tuple(group) for group in levers),
        (*format_choices(instance), *layout_choices(instance)),
        tuple(counters(instance)),
    )


def smallest_changes(
    instance: Instance,
    aim: Aim,
    ordered: Sequence[Configuration],
    changes: Changes,
    parts: Parts | None = None,
) -> Cures:
    """Return every single change that lets the instance serve the aim, the least of its kind.

    `parts` counts the changes that are done with.
    """
    search = CureSearch(instance, aim, ordered, parts)
    cures = search.run(changes.levers, changes.choices)
    counts = [search.counted(one) for one in changes.counters]
    return Cures(
        (*cures.found, *(one for one in counts if isinstance(one, Cure))),
        (*cures.without, *(one for one in counts if isinstance(one, NoCure))),
    )


def cures_of_infeasible(instance: Instance, parts: Parts | None = None) -> Cures:
    """Return the smallest single changes that give an instance without a plan one."""
    aim, changes = one_replica, changes_of(instance, floor=True)
    if parts is not None:
        parts.expect(changes.parts)
    target = aim(instance)
    ranked = []
    listed = enumerate_configurations(instance)[0]
    if _demand(instance):
        limits = instance.limits.model_copy(update={"min_throughput": None})
        free = _most_tokens(instance).model_copy(update={"limits": limits})
        most = {one: made for one, made, _ in best_of_each(free)}
        ranked = [(-most.get(one, 0.0), one) for one in listed]
    else:
        for one in listed:
            found = TargetSearch(instance, [one]).closest(target)
            ranked.append((found.factor if found is not None else math.inf, one))
    ranked.sort(key=lambda pair: pair[0])
    return smallest_changes(instance, aim, [one for _, one in ranked], changes, parts)


def cure_rows(cures: Cures) -> list[tuple[str, str, str, str]]:
    """Return name, change, relative change and options of cures, the smallest change first."""
    rows = []
    for one in _ordered(cures):
        options = " ".join(option(text) for text in one.settings)
        runs = f"  (runs {one.configuration})" if one.ratio is None else ""
        rows.append((one.name, f"{one.now} -> {one.to}", _relative(one), options + runs))
    return rows


def cure_lines(cures: Cures, width: int = WIDTH) -> list[str]:
    """Return cures as lines of text, the smallest relative change first."""
    lines = []
    if cures.found:
        lines.append("Each of these changes alone is enough, and no smaller one of its kind:")
        rows = cure_rows(cures)
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        for name, change, relative, options in rows:
            line = f"  {name:<{widths[0]}}  {change:<{widths[1]}}  {relative:>8}"
            lines.append(f"{line}  {options}")
    else:
        lines.append("No single change is enough.")
    if cures.without:
        lines.append("What does not help alone, however far it goes:")
        names = ", ".join(one.name for one in cures.without)
        lines += wrap(names, width, initial_indent="  ", subsequent_indent="  ")
    return lines


def option(setting: str) -> str:
    """Write a setting as an option that a shell takes."""
    key, _, value = setting.partition("=")
    return f"--set {key}={value}" if value.isalnum() else f'--set {key}="{value}"'


def _ordered(cures: Cures) -> list[Cure]:
    """Return the cures, the smallest relative change first, choices last."""
    return sorted(
        cures.found,
        key=lambda one: abs(math.log(one.ratio)) if one.ratio is not None else math.inf,
    )


def _relative(cure: Cure) -> str:
    if cure.ratio is None:
        return ""
    return f"x {cure.ratio:.3g}" if cure.ratio > 2 else f"{cure.ratio - 1.0:+.2%}"


class CureSearch:
    """Seeks the smallest changes under which an instance serves what it cannot serve now."""

    def __init__(
        self,
        instance: Instance,
        aim: Aim,
        ordered: Sequence[Configuration],
        parts: Parts | None = None,
    ) -> None:
        self.instance = instance
        self._parts = parts if parts is not None else Parts(None, 0)
        self.aim = aim
        self.ordered = ordered
        """Configurations of the instance, those that miss by least first."""

    def run(self, levers: Iterable[tuple[Lever, ...]], choices: Iterable[Choice]) -> Cures:
        """Return what each lever and choice does; levers come in groups of one kind."""
        found: list[Cure] = []
        without: list[NoCure] = []
        for group in levers:
            # What all of them together do not make possible, none of them does alone.
            together = self.instance
            for lever in group:
                together = lever.apply(together, lever.furthest)
            hopeful = self._serving(together, self.ordered)
            for lever in group:
                cure = self.turned(lever, hopeful)
                if cure is not None:
                    found.append(cure)
                else:
                    without.append(
                        NoCure(lever.name, lever.key, lever.text(lever.furthest), lever.rises)
                    )
                self._parts.add()
        for key, same in groupby(choices, key=lambda choice: choice.key):
            # The smallest change comes first; of what changes more nothing is said.
            tried = list(same)
            chosen = next((one for one in map(self._chosen, tried) if one is not None), None)
            if chosen is not None:
                found.append(chosen)
            else:
                allowed = ", ".join(one.to for one in tried)
                without.append(NoCure(tried[0].name, key, allowed))
            self._parts.add()
        return Cures(tuple(found), tuple(without))

    def counted(self, counter: Counter) -> Cure | NoCure:
        """Return the smallest larger count that is enough, or up to which none is."""
        found = self._counted(counter)
        self._parts.add()
        return found

    def _counted(self, counter: Counter) -> Cure | NoCure:
        now, most = counter.now, max(MOST_TIMES * counter.now, LEAST_MOST)
        tried = NoCure(counter.name, counter.key, f"{most:,}")
        first = counter.apply(self.instance, now + 1)
        if resting_power(rack_data(first)) > (first.power_cap_kw or math.inf):
            return tried
        served = self.aim(self.instance).batch > 0 or _demand(self.instance)
        if served or self.instance.rack.offload is not None:
            found = self._by_steps(counter, now, most)
        else:
            found = self._by_counting(counter, now, most)
        if found is None:
            return tried
        count, owner = found
        self._verify(counter.apply(self.instance, count), owner)
        settings = tuple(f"{key}={count}" for key in counter.keys)
        return Cure(
            counter.name, counter.key, f"{now:,}", f"{count:,}", count / now, settings, str(owner)
        )

    def _by_counting(
        self, counter: Counter, now: int, most: int
    ) -> tuple[int, Configuration] | None:
        """Try one count after the other; a replica that failed with fewer fails with more."""
        failed = set(self.ordered)
        for count in range(now + 1, most + 1):
            instance = counter.apply(self.instance, count)
            for one in enumerate_configurations(instance)[0]:
                if one not in failed:
                    if self._serves(instance, one):
                        return count, one
                    failed.add(one)
        return None

    def _by_steps(self, counter: Counter, now: int, most: int) -> tuple[int, Configuration] | None:
        """Look for a count that is enough in steps, and then for the smallest within a step.

        With LPUs, where each count takes seconds, by halving: one less than what is found is too
        few, but still fewer could be enough where layouts divide better.
        """

        def server(count: int) -> Configuration | None:
            instance = counter.apply(self.instance, count)
            listed = enumerate_configurations(instance)[0]
            return self._server(instance, listed)

        low, high, owner = now, now, None
        while owner is None and high < most:
            low, high = high, min(most, math.ceil(STEP * high))
            owner = server(high)
        if owner is None:
            return None
        if self.instance.rack.offload is None:
            for count in range(low + 1, high):
                found = server(count)
                if found is not None:
                    return count, found
            return high, owner
        while high - low > 1:
            middle = (low + high) // 2
            found = server(middle)
            low, high, owner = (middle, high, owner) if found is None else (low, middle, found)
        return high, owner

    def turned(self, lever: Lever, hopeful: Sequence[Configuration]) -> Cure | None:
        """Return the smallest turn of a lever that is enough, None where none is."""
        best = self._first(lever, hopeful)
        if best is None:
            return None
        exact, owner = best
        value = exact if lever.whole else _rounded(exact, up=lever.rises)
        value = min(value, lever.furthest) if lever.rises else max(value, lever.furthest)
        self._verify(lever.apply(self.instance, value), owner)
        return Cure(
            lever.name,
            lever.key,
            lever.text(lever.now),
            lever.text(value),
            value / lever.now,
            lever.settings(value),
            str(owner),
        )

    def critical(self, lever: Lever) -> float | None:
        """Return the value of a lever from which on something serves, None where none is."""
        found = self._first(lever, self.ordered)
        return found[0] if found is not None else None

    def breaking(self, lever: Lever) -> float | None:
        """Return the value of a lever from which on nothing serves, None where something does."""
        ordered = list(self.ordered)

        def serves(value: float) -> bool:
            one = self._server(lever.apply(self.instance, value), ordered)
            if one is not None:
                # What serves here is the likeliest to serve at the next value.
                ordered.remove(one)
                ordered.insert(0, one)
            return one is not None

        if serves(lever.furthest):
            return None
        return _between(serves, lever.now, lever.furthest, ROUGHLY)

    def _first(
        self, lever: Lever, hopeful: Sequence[Configuration]
    ) -> tuple[float, Configuration] | None:
        """Return the value of a lever from which on something serves, and what that is."""
        if _demand(self.instance):
            return self._first_by_search(lever, hopeful)
        left = self._serving(lever.apply(self.instance, lever.furthest), hopeful)
        if not left:
            return None

        def fails(value: float) -> bool:
            nonlocal left
            serving = self._serving(lever.apply(self.instance, value), left)
            left = serving or left
            return not serving

        return _nearest(lever, lever.furthest, fails, PRECISION), left[-1]

    def _first_by_search(
        self, lever: Lever, hopeful: Sequence[Configuration]
    ) -> tuple[float, Configuration] | None:
        """Return what `_first` does, where it takes a search to say what serves.

        One that serves is asked how much less is enough for it, and the others whether they serve
        with that little.
        """

        def fails(value: float) -> bool:
            return not self._serves(lever.apply(self.instance, value), tried[-1])

        value, tried, left = lever.furthest, list[Configuration](), list(hopeful)
        while owner := self._server(lever.apply(self.instance, value), left):
            tried.append(owner)
            left.remove(owner)
            value = _nearest(lever, value, fails, CLOSELY)
        owner = self._server(lever.apply(self.instance, value), tried)
        return (value, owner) if owner is not None else None

    def _serves(self, instance: Instance, configuration: Configuration) -> bool:
        return self._server(instance, [configuration]) is not None

    def _server(self, instance: Instance, listed: Sequence[Configuration]) -> Configuration | None:
        """Return one of some configurations that serves, None where none does."""
        if not listed:
            return None
        if _demand(instance):
            best = best_point(_most_tokens(instance), only=listed)
            return best.configuration if best is not None else None
        # The likeliest one comes first: where it serves, the others need not be looked at.
        first, others = listed[:1], listed[1:]
        return next(iter(self._serving(instance, first) or self._serving(instance, others)), None)

    def _serving(self, instance: Instance, listed: Sequence[Configuration]) -> list[Configuration]:
        """Return the configurations that may serve: of a demand all, if any one does."""
        if _demand(instance):
            return list(listed) if self._server(instance, listed) is not None else []
        if not listed:
            return []
        serving = set(TargetSearch(instance, listed).serving(self.aim(instance)))
        return [one for one in listed if one in serving]

    def _chosen(self, choice: Choice) -> Cure | None:
        """Return a choice as a cure where something serves with it."""
        known = set(self.ordered)
        fresh, _ = enumerate_configurations(choice.instance)
        if choice.key == "choices.lookup_tables":
            known = set()
        one = self._server(choice.instance, [one for one in fresh if one not in known])
        if one is None:
            return None
        self._verify(choice.instance, one)
        return Cure(choice.name, choice.key, choice.now, choice.to, None, choice.settings, str(one))

    def _verify(self, instance: Instance, configuration: Configuration) -> None:
        """Solve the program of the point that a change makes possible."""
        target = self.aim(instance)
        if _demand(instance):
            point = best_point(_most_tokens(instance), only=[configuration])
            if point is not None:
                found_at(_most_tokens(instance), point)
                return
        found = TargetSearch(instance, [configuration]).closest(target)
        if found is not None and found.serves(target):
            batch, replicas = found.point.batch, float(found.point.replicas)
            exact = Segment(batch, batch)
            floored = instance.at_floor(target.speed * (1.0 - 1e-9))
            clocks = tuple(dict.fromkeys(part.clock for part in found.point.parts))
            demand = Demand(floored, configuration).with_clocks(clocks)
            solved = solve_program(demand, exact, replicas)
            if solved.answer.optimal:
                return
        raise SolverError(f"a change that should be enough is not for {configuration}")


def _demand(instance: Instance) -> bool:
    """Whether so many tokens are to be served that any number of replicas may be needed."""
    return instance.limits.min_throughput is not None


def _most_tokens(instance: Instance) -> Instance:
    """Return the instance, whatever it asks to be best, asked for tokens."""
    return instance.model_copy(update={"objective": "throughput"})


def _nearest(
    lever: Lever, enough: float, fails: Callable[[float], bool], precision: float
) -> float:
    """Return the value of a lever nearest to the present one that is enough."""
    if not lever.whole:
        return _between(fails, lever.now, enough, precision)
    short, serves = lever.now, enough
    while abs(serves - short) > 1.0:
        middle = float((serves + short) // 2.0)
        short, serves = (middle, serves) if fails(middle) else (short, middle)
    return serves


def _between(
    holds: Callable[[float], bool], now: float, then: float, precision: float = PRECISION
) -> float:
    """Return where between two positive numbers something ceases to hold that holds now."""
    if then > now:
        return last(holds, now, then, precision) * (1.0 + precision)
    inverse = last(lambda one: holds(1.0 / one), 1.0 / now, 1.0 / then, precision)
    return 1.0 / (inverse * (1.0 + precision))


def _rounded(value: float, *, up: bool) -> float:
    """Return a value rounded to a few digits, up or down."""
    if value <= 0:
        return value
    step = 10.0 ** (math.floor(math.log10(value)) + 1 - DIGITS)
    count = math.ceil(value / step - 1e-9) if up else math.floor(value / step + 1e-9)
    return float(f"{count * step:.12g}")
