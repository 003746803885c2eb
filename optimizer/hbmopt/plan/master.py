"""The master program: racks as columns, inside whatever else has to be decided.

The rows of a rack are those of `models.columns`. Groups over ranges of batches bound what any plan
makes. The program is solved relaxed first, and ranges are priced in by its multipliers until none
is worth more than nothing. With whole replicas, neighbouring ranges of a configuration are bundled,
and the batches that a plan would have are cut out of the bundles that the answer uses, until none
can be better than a plan of cut out batches by more than a tolerance. Ranges that cost the
relaxation more than it leaves over the best known plan are part of no better plan, and are dropped.
So the work depends on kinds of racks, not on their number.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hbmopt.demand import Array
from hbmopt.errors import SolverError
from hbmopt.models.quantities import number
from hbmopt.plan.column_rows import PlacedColumns, ProgramRows, RackPlace, place_columns
from hbmopt.plan.columns import Group, Key, RackColumns, Worth, most_per_kw
from hbmopt.program import InfeasiblePlanError, highs

TOLERANCE = 1e-6
"""Relative gap between a plan and its bound at which it is optimal."""

MOST_ROUNDS = 80

PRICED_IN = 12
"""Ranges of a rack that are priced in at once, those that are worth most."""

SLOWLY = 2e-5
"""Share by which the relaxation has to fall when its ranges are split, for it to go on."""

RELAXED = 1e-6
"""Replicas from which on a group runs in the relaxation."""

RUNS = 0.5
"""Replicas of a whole number from which on a group runs."""

AHEAD = 1e-9
"""Worth of a range, as a share of the objective, above which it is priced in."""


@dataclass(frozen=True)
class Surroundings:
    """What else is decided: rows and columns of a program, and the columns that are a rack's.

    `program` is to be maximised; `racks`, `throughput` and `power` say by rack which of its columns
    these are.
    """

    program: highs.Program
    racks: tuple[int, ...]
    throughput: tuple[int, ...]
    power: tuple[int, ...]

    def place(self, position: int) -> RackPlace:
        """Return the columns of a rack."""
        return RackPlace(self.racks[position], self.throughput[position], self.power[position])


def alone(token: float = 1.0, kilowatt: float = 0.0, rack: float = 0.0) -> Surroundings:
    """Return the surroundings of one rack: what a tok/s, a kW less and the rack are worth."""
    none, nowhere = np.zeros(0), np.zeros(0, dtype=np.int32)
    endless = highs.INFINITY
    return Surroundings(
        highs.Program(
            cost=np.array([rack, token, -kilowatt]),
            column_lower=np.array([1.0, 0.0, 0.0]),
            column_upper=np.array([1.0, endless, endless]),
            integer=(),
            row_lower=none,
            row_upper=none,
            starts=np.zeros(1, dtype=np.int32),
            indices=nowhere,
            values=none,
        ),
        (0,),
        (1,),
        (2,),
    )


@dataclass(frozen=True)
class RunningGroup:
    """A group that runs: whole replicas, and how many of them run in each of its ways."""

    group: Group
    replicas: float
    ways: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Steps per ms of one replica, in the mean over its ways."""
        pairs = zip(self.ways, self.group.rate, strict=True)
        return sum(way * rate for way, rate in pairs) / self.replicas

    @property
    def between(self) -> float:
        """A whole batch between those that it is a mix of."""
        batches = self.group.batches or (self.group.highest,) * len(self.ways)
        mixed = sum(way * batch for way, batch in zip(self.ways, batches, strict=True))
        mean = float(math.floor(mixed / self.replicas))
        return min(max(mean, self.group.lowest), self.group.highest)

    @property
    def power(self) -> float:
        """KW of one replica, in the mean over its ways."""
        pairs = zip(self.ways, self.group.power, strict=True)
        return sum(way * kilowatt for way, kilowatt in pairs) / self.replicas


Cut = tuple[int, float]
"""The place of a configuration in its shape, and a batch."""


@dataclass(frozen=True)
class MasterPlan:
    """The best plan: values of the surroundings' columns, and what runs, by rack.

    `objective` and the proven `bound` are those of the surroundings, to maximise.
    """

    objective: float
    bound: float
    values: Array
    running: tuple[tuple[RunningGroup, ...], ...]
    rounds: int
    power_counts: tuple[bool, ...] = ()
    """By rack, whether one more kW would change anything, with all integers held."""
    cuts: tuple[tuple[RackColumns, tuple[frozenset[Cut], ...]], ...] = ()
    """By rack, the batches that were cut out of bundles, by shape: where to begin the next time."""

    def proven(self, tolerance: float) -> bool:
        """Whether no plan is better by more than a relative tolerance."""
        return self.bound - self.objective <= tolerance * max(1.0, abs(self.objective))


class Master:
    """Racks inside their surroundings; `near` is the plan of nearly the same, if one is known."""

    def __init__(
        self,
        around: Surroundings,
        racks: Sequence[RackColumns],
        *,
        tolerance: float = TOLERANCE,
        near: MasterPlan | None = None,
    ) -> None:
        self._around, self._racks, self._tolerance = around, racks, tolerance
        self._near = near
        program = around.program
        self._racks_at_most = [float(program.column_upper[place]) for place in around.racks]
        self._ranges = [list(rack.first) for rack in racks]
        self._cuts = [[set[Cut]() for _ in rack.first] for rack in racks]
        self._relaxed = math.inf
        self._worth: list[Worth] = []
        self._entry: list[float] = []
        self._rack: list[float] = []
        self._best: MasterPlan | None = None

    def run(self) -> MasterPlan:
        """Return the best plan, with what is proven of it: after many rounds that may be a gap.

        Raises
        ------
        InfeasiblePlanError
            If there is none.
        SolverError
            If HiGHS stops without a proof, or many rounds neither find a plan nor rule one out.
        """
        relaxed = self._priced_in()
        for rack, ranges in zip(self._racks, self._ranges, strict=True):
            # Whatever is asked of the same racks next begins with ranges that are split already.
            rack.first = list(ranges)
        self._begin_near()
        near = relaxed if self._near is None else self._near.running
        self._offer(self._beside(near))
        bound = self._relaxed
        for rounds in range(1, MOST_ROUNDS + 1):
            self._keep_promising()
            answer, placed = self._solved(self._bundles(), integers=True)
            if answer is None:
                if self._best is None:
                    raise InfeasiblePlanError(NO_PLAN)
                # Against a plan that was found: what was proven before it stands.
                return self._finished(self._best, bound, rounds)
            # No plan is better than any round's bound.
            bound = min(bound, max(answer.bound, answer.objective))
            running = self._running(answer, placed)
            if all(one.group.exact for own in running for one in own):
                self._keep(answer, running)
            if bound - self._reached > self._margin:
                self._cut(running)
                self._offer(self._cut_groups())
            if self._best is not None and bound - self._reached <= self._margin:
                return self._finished(self._best, bound, rounds)
        if self._best is None:
            raise SolverError(f"no plan was found in {MOST_ROUNDS} rounds, and none is ruled out")
        return self._finished(self._best, bound, MOST_ROUNDS)

    @property
    def _reached(self) -> float:
        return self._best.objective if self._best is not None else -math.inf

    @property
    def _margin(self) -> float:
        """What a plan may be better by; as long as there is none, nothing."""
        return self._tolerance * max(1.0, abs(self._reached)) if self._best is not None else 0.0

    def _finished(self, best: MasterPlan, bound: float, rounds: int) -> MasterPlan:
        bound, counts = max(bound, best.objective), self._power_counts(best)
        each = zip(self._racks, self._cuts, strict=True)
        cuts = tuple((rack, tuple(map(frozenset, own))) for rack, own in each)
        return MasterPlan(best.objective, bound, best.values, best.running, rounds, counts, cuts)

    def _power_counts(self, best: MasterPlan) -> tuple[bool, ...]:
        """Return whether power has a price for each rack with the integers of a plan held."""
        program, placed = self._build([[one.group for one in own] for own in best.running])
        lower, upper = program.column_lower.copy(), program.column_upper.copy()
        for place in self._around.program.integer:
            lower[place] = upper[place] = float(round(best.values[place]))
        for one, own in zip(placed, best.running, strict=True):
            for (_, replicas, _), running in zip(one.groups, own, strict=True):
                lower[replicas] = upper[replicas] = float(round(running.replicas))
        held = replace(program, column_lower=lower, column_upper=upper)
        answer = highs.solve(held, integers=False)
        if not answer.optimal:
            return (True,) * len(placed)
        scale = AHEAD * max(1.0, abs(best.objective))
        return tuple(abs(one.dual(answer, "power")) > scale for one in placed)

    # The program

    def _build(self, groups: list[list[Group]]) -> tuple[highs.Program, list[PlacedColumns]]:
        rows, placed = ProgramRows(self._around.program), list[PlacedColumns]()
        for position, (rack, own) in enumerate(zip(self._racks, groups, strict=True)):
            place, at_most = self._around.place(position), self._racks_at_most[position]
            placed.append(place_columns(rows, rack, own, place, at_most))
        return rows.whole(), placed

    def _solved(
        self, groups: list[list[Group]], *, integers: bool
    ) -> tuple[highs.Answer | None, list[PlacedColumns]]:
        program, placed = self._build(groups)
        answer = highs.solve(program, integers=integers, gap=self._tolerance / 4.0)
        if answer.status == "infeasible":
            return None, placed
        if not answer.optimal:
            raise SolverError(f"the model is {answer.status}; a limit is missing that bounds it")
        return answer, placed

    # The relaxation

    def _priced_in(self) -> list[list[RunningGroup]]:
        """Price ranges in until none is worth more than nothing; return what runs then.

        Ranges that the relaxation uses are split on the way, until it uses single batches. Sets its
        optimum and what each rack is worth there.
        """
        groups = [self._starting(rack) for rack in self._racks]
        complete, slow = False, 0
        while True:
            before = self._relaxed
            answer, placed = self._solved(groups, integers=False)
            if answer is None:
                if complete:
                    raise InfeasiblePlanError(NO_PLAN)
                # The few ranges that it starts with allow no plan.
                groups, complete = self._all_ranges(), True
                continue
            self._relaxed = answer.objective
            self._worth = [
                _worth(answer, one, len(rack.fixed_budgets))
                for rack, one in zip(self._racks, placed, strict=True)
            ]
            self._entry = [one.dual(answer, "one_chosen") for one in placed]
            self._rack = [float(answer.reduced[place]) for place in self._around.racks]
            added = self._added(groups)
            if added:
                continue
            running = self._running(answer, placed, least=RELAXED)
            fallen = before - self._relaxed
            slow = slow + 1 if 0 <= fallen <= SLOWLY * abs(self._relaxed) else 0
            if slow > 1 or all(one.group.exact for own in running for one in own):
                return running
            gone = self._split(running)
            groups = [
                [one for one in own if one.key not in keys]
                for own, keys in zip(groups, gone, strict=True)
            ]
            self._added(groups)

    def _added(self, groups: list[list[Group]]) -> int:
        """Add the ranges that would improve the relaxation; return how many these are."""
        added = 0
        for position, rack in enumerate(self._racks):
            known = {one.key for one in groups[position]}
            fresh = [one for one in self._worth_more(position, rack) if one.key not in known]
            groups[position] += fresh
            added += len(fresh)
        return added

    def _all_ranges(self) -> list[list[Group]]:
        return [
            [one for shape, own in enumerate(ranges) for one in rack.groups(own, shape)]
            for rack, ranges in zip(self._racks, self._ranges, strict=True)
        ]

    def _starting(self, rack: RackColumns) -> list[Group]:
        """Return the ranges that make most on any power and those that make most per kW."""
        found: dict[Key, Group] = {}
        nothing = (0.0,) * len(rack.fixed_budgets)
        for price in STARTING_PRICES:
            best: tuple[float, int, int] | None = None
            for shape, ranges in enumerate(rack.first):
                if not len(ranges.owners):
                    continue
                most = rack.most(ranges, shape)
                per_kw = most_per_kw(ranges.tokens, ranges.power)
                worth = Worth(1.0, -price * per_kw, 0.0, 0.0, nothing)
                value = rack.worth(ranges, shape, worth) * most
                place = int(np.argmax(value))
                if best is None or value[place] > best[0]:
                    best = float(value[place]), shape, place
            if best is not None:
                _, shape, place = best
                ranges = rack.first[shape].take(np.array([place]))
                for group in rack.groups(ranges, shape):
                    found[group.key] = group
        return list(found.values())

    def _worth_more(self, position: int, rack: RackColumns) -> list[Group]:
        """Return the ranges of a rack that would improve the relaxation, the best ones first."""
        found: list[tuple[float, int, int]] = []
        for shape in range(len(rack.first)):
            value = self._value(position, rack, shape)
            places = np.argsort(-value, kind="stable")[:PRICED_IN]
            found += [
                (float(value[place]), shape, int(place))
                for place in places
                if value[place] > AHEAD * max(1.0, abs(self._relaxed))
            ]
        found.sort(reverse=True)
        groups = []
        for _, shape, place in found[:PRICED_IN]:
            ranges = self._ranges[position][shape]
            groups += rack.groups(ranges.take(np.array([place])), shape)
        return groups

    def _value(self, position: int, rack: RackColumns, shape: int) -> Array:
        """Return what the relaxation gains, or loses, if each range has to run.

        All replicas that there may be, where one configuration runs at all; else one.
        """
        ranges = self._ranges[position][shape]
        each = rack.worth(ranges, shape, self._worth[position])
        return self._entered(position, rack, shape, each)

    def _entered(self, position: int, rack: RackColumns, shape: int, each: Array) -> Array:
        if not rack.instance.choices.uniform:
            return each
        ranges, place = self._ranges[position][shape], self._around.racks[position]
        most, program = rack.most(ranges, shape), self._around.program
        at_most = most * self._racks_at_most[position]
        # Where a replica costs more than it is worth, one of them has to run.
        value = np.where(each > 0, each * at_most, each)
        if program.column_lower[place] < program.column_upper[place]:
            # And a whole rack has to be there, whose other accelerators are of no use to others.
            value = value + self._rack[position]
            sizes, lpus = rack.devices(ranges, shape)
            worth = self._worth[position]
            bare = each + worth.accelerator * sizes + worth.lpu * lpus
            idle = worth.accelerator * (number(rack.rack.accelerators) - most * sizes)
            idle = idle + worth.lpu * (number(rack.rack.lpu_units) - most * lpus)
            full = self._rack[position] + most * each - idle
            value = np.where((each <= 0) & (bare > 0), full, value)
        return value - self._entry[position]

    # Whole replicas

    def _keep_promising(self) -> None:
        """Drop the ranges that can be part of no better plan."""
        room = self._relaxed - self._reached + self._margin
        for position, rack in enumerate(self._racks):
            for shape, ranges in enumerate(self._ranges[position]):
                kept = np.nonzero(self._value(position, rack, shape) >= -room)[0]
                self._ranges[position][shape] = ranges.take(kept)

    def _bundles(self) -> list[list[Group]]:
        """Return the ranges as bundles, batches that are cut out by themselves."""
        return [
            [
                one
                for shape, ranges in enumerate(self._ranges[position])
                for one in rack.bundles(shape, ranges, self._cuts[position][shape])
            ]
            for position, rack in enumerate(self._racks)
        ]

    def _cut(self, running: list[list[RunningGroup]]) -> None:
        """Cut the batch out of each bundle that runs which a plan like that would have."""
        for position, (rack, used) in enumerate(zip(self._racks, running, strict=True)):
            for one in used:
                shape, owner = one.group.place
                if one.group.exact:
                    # One batch may be left of a bundle between two cuts; plans may have it as well.
                    self._cuts[position][shape].add((owner, one.group.lowest))
                    continue
                wanted = self._wanted(rack, one)
                self._cuts[position][shape].add((owner, wanted))
                # Where it is a mix of batches, the bundle is cut between them.
                whole = rack.instance.choices.whole_sequences
                self._cut_out(position, shape, (owner, one.between if whole else wanted))

    def _cut_out(self, position: int, shape: int, cut: Cut) -> None:
        """Cut a batch out of the ranges of its configuration."""
        (owner, batch), rack = cut, self._racks[position]
        ranges = self._ranges[position][shape]
        holds = (ranges.owners == owner) & (ranges.lowest <= batch) & (ranges.highest >= batch)
        # What is left of its bundle is bounded more closely as well.
        wide = (ranges.owners == owner) & (ranges.lowest < ranges.highest) & ~holds
        kept = ranges.take(np.nonzero(~holds & ~wide)[0])
        kept = kept.joined(rack.parted(shape, ranges.take(np.nonzero(wide)[0])))
        beside = rack.around(shape, ranges.take(np.nonzero(holds)[0]), batch)
        kept = kept.joined(rack.parted(shape, beside))
        self._ranges[position][shape] = kept.joined(rack.single(shape, owner, batch))
        self._cuts[position][shape].add(cut)

    def _begin_near(self) -> None:
        """Cut out what the plan of nearly the same has cut out of racks that are as before."""
        known = self._near.cuts if self._near is not None else ()
        for position, (rack, shapes) in enumerate(known):
            if rack is self._racks[position]:
                for shape, cuts in enumerate(shapes):
                    for cut in sorted(cuts):
                        self._cut_out(position, shape, cut)

    def _cut_groups(self) -> list[list[Group]]:
        """Return all batches that are cut out, as groups."""
        return [
            [
                group
                for shape, cuts in enumerate(self._cuts[position])
                for owner, batch in sorted(cuts)
                for group in rack.groups(rack.single(shape, owner, batch), shape)
            ]
            for position, rack in enumerate(self._racks)
        ]

    def _running(
        self, answer: highs.Answer, placed: list[PlacedColumns], least: float = RUNS
    ) -> list[list[RunningGroup]]:
        found = []
        for one in placed:
            own = []
            for group, replicas, first in one.groups:
                count = float(answer.point[replicas])
                if count >= least:
                    ways = tuple(answer.point[first : first + len(group.tokens)].tolist())
                    own.append(RunningGroup(group, count if least < RUNS else round(count), ways))
            found.append(own)
        return found

    def _wanted(self, rack: RackColumns, running: RunningGroup) -> float:
        """Return the batch of a range that a plan with so much power would have."""
        group = running.group
        if group.exact:
            return group.lowest
        return rack.best_batch(group, running.power)

    def _beside(self, running: Sequence[Sequence[RunningGroup]]) -> list[list[Group]]:
        """Return the batches that run, and their neighbours."""
        found = []
        for rack, used in zip(self._racks, running, strict=True):
            own = dict[Key, Group]()
            for one in used:
                batch = self._wanted(rack, one)
                ends = [(at, at) for at in (batch - 1.0, batch, batch + 1.0) if at >= 1.0]
                own |= {group.key: group for group in rack.between(one.group, ends)}
            found.append(list(own.values()))
        return found

    def _offer(self, groups: list[list[Group]]) -> None:
        """Solve with groups of single batches; keep the plan if it is the best so far."""
        answer, placed = self._solved(groups, integers=True)
        if answer is not None:
            self._keep(answer, self._running(answer, placed))

    def _keep(self, answer: highs.Answer, running: list[list[RunningGroup]]) -> None:
        """Keep the plan of an answer whose groups are of single batches, if it is the best."""
        if self._best is None or answer.objective > self._best.objective:
            self._best = MasterPlan(
                answer.objective,
                math.inf,
                answer.point[: len(self._around.program.cost)],
                tuple(tuple(own) for own in running),
                0,
            )

    def _split(self, running: list[list[RunningGroup]]) -> list[set[Key]]:
        """Divide the ranges that run; return which these were."""
        gone = []
        for position, (rack, used) in enumerate(zip(self._racks, running, strict=True)):
            keys = {one.group.key for one in used if not one.group.exact}
            gone.append(keys)
            for shape in {shape for (shape, _), _, _ in keys}:
                ranges = self._ranges[position][shape]
                ends = zip(
                    ranges.owners.tolist(),
                    ranges.lowest.tolist(),
                    ranges.highest.tolist(),
                    strict=True,
                )
                mine = np.array([((shape, owner), low, high) in keys for owner, low, high in ends])
                parts = rack.parted(shape, ranges.take(np.nonzero(mine)[0]))
                self._ranges[position][shape] = ranges.take(np.nonzero(~mine)[0]).joined(parts)
        return gone


NO_PLAN = (
    "no plan satisfies all constraints of the model; relax one of them, or solve each rack alone "
    "to see its own limits"
)

STARTING_PRICES = (0.0, 0.3, 0.6, 0.9, 0.99)
"""Prices of power at which a rack's first ranges are best, as shares of the most tokens per kW."""


def _worth(answer: highs.Answer, placed: PlacedColumns, budgets: int) -> Worth:
    def dual(family: str, index: int | None = None) -> float:
        return placed.dual(answer, family, index)

    # Rows of a list count from 1.
    shares = tuple(dual("budget", 1 + place) for place in range(budgets))
    return Worth(dual("tokens"), dual("power"), dual("accelerators"), dual("lpu_units"), shares)
