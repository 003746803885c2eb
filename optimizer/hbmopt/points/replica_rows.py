"""The rows of one replica, evaluated for arrays of configurations, clocks and batches at once.

Nothing is written here that `hbmopt.models` declares: the compiled rows of the program of one clock
are evaluated with arrays for numbers. At a fixed batch `b` sequences are `b` times steps, so of
every row only steps and offloaded steps are left:

- a *timed* row says how long a step takes at least: work x rate <= share of the time;
- a *held* row says whether the batch fits: work x rate <= 0;
- the rows of power and of what replicas share say what the rest leaves to a replica.

Arrays have the axes (clock, point), a point being a batch of a configuration; where neither
matters they are plain numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import count, product
from typing import cast

import numpy as np

from hbmopt.demand import Alike, Array, collect, rack_data, replaced, room_for
from hbmopt.models.expert_reads import distinct_experts
from hbmopt.points.clock_mix import Whole
from hbmopt.program import KERNEL, KERNEL_ROWS, STRUCTURAL, Entry, Label, template_of

COUNTED = frozenset({"accelerators", "lpu_units"})
"""Rows that count devices: how many replicas there may be is known before."""

AVERAGED = frozenset({"power_cap", "min_speed", "min_throughput"})
"""Limits that are the parameters of a question, and no part of how a replica runs."""


@dataclass(frozen=True)
class Work:
    """What a row takes of a step: with nothing offloaded, and more (less) for all of each part."""

    base: Array
    parts: tuple[Array, ...]

    @property
    def least(self) -> Array:
        """What it takes where every part that takes less elsewhere is offloaded."""
        return np.asarray(self.base + sum(np.minimum(part, 0.0) for part in self.parts))


@dataclass(frozen=True)
class Drawn:
    """Power of a replica: what it draws anyway, and for each step per ms."""

    running: Array
    step: Work


@dataclass(frozen=True)
class SharedRow:
    """A row over the rack: ``fixed + R (each + rate * step) <= 0`` for R replicas."""

    fixed: Array
    each: Array
    step: Array


@dataclass(frozen=True)
class Rows:
    """All rows of a replica at some clocks and points.

    `rack` is power in the rack's scope in kW, `heat` that of the accelerators as a share of their
    limit. `tokens` are those of one step.
    """

    timed: tuple[Work, ...]
    held: tuple[Work, ...]
    rack: Drawn
    heat: Drawn
    shared: tuple[SharedRow, ...]
    tokens: Array

    def take(self, places: Whole, points: int) -> "Rows":
        """Return the rows of some of so many points."""

        def of_some(number: float | Array) -> float | Array:
            array = np.asarray(number)
            return array[..., places] if array.shape[-1:] == (points,) else number

        return replaced(self, of_some)


@dataclass(frozen=True)
class _Places:
    """Where the entries of a row stand among all that are evaluated, None for columns it lacks."""

    steps: int | None
    sequences: int | None
    running: int | None
    replicas: int | None
    parts: tuple[tuple[int | None, int | None], ...]
    kernels: tuple[int, ...] = ()
    """Columns that stand for the longest of other rows, each counted once."""

    def work(self, found: Sequence[Entry], batches: Array) -> Work:
        """Return what the row has per step at the batches."""
        return Work(
            _per_step(found, self.steps, self.sequences, batches),
            tuple(_per_step(found, steps, each, batches) for steps, each in self.parts),
        )


def _entry(found: Sequence[Entry], place: int | None) -> Entry:
    return found[place] if place is not None else 0.0


def _per_step(
    found: Sequence[Entry], steps: int | None, sequences: int | None, batches: Array
) -> Array:
    once = _entry(found, steps)
    return np.asarray(once if sequences is None else once + found[sequences] * batches)


class ReplicaRows:
    """The rows of configurations that have one shape of program, each of an instance of its own.

    By configuration, `fixed_kw` is what the rack draws however many replicas run, and `parked_kw`
    what a replica draws more (less than nothing) by not being parked.
    """

    def __init__(self, sets: Sequence[Alike], order: Whole, clocks: Array) -> None:
        self._sets, self._order, self._clocks = sets, order, clocks
        first = sets[0].demand
        self.ranks = np.array(
            [
                each.layout.attention_data_parallel
                if one.demand.instance.choices.whole_sequences
                else 1
                for one in sets
                for each in one.configurations
            ]
        )[order]
        """Attention ranks of each that hold whole sequences of their own."""
        rack, data = rack_data(first.instance), first.whole(float(clocks[0]))
        template = template_of(rack, data)
        self._numbers = np.concatenate([_numbers(one, float(clocks[0])) for one in sets])[order]
        self._varies = (self._numbers != self._numbers[0]).any(axis=0)
        position = count()
        _, self._at = replaced((rack, data), lambda _: next(position))
        self.parts = len(data.clocks[0].offloaded)
        self._experts = [*self._reads("components"), *self._reads("offloaded")]

        places = _Chosen()
        self._timed, self._held = list[_Places](), list[_Places]()
        self._kernels: dict[int, list[_Places]] = {}
        self._shared = list[tuple[int, _Places]]()
        entries = len(template.indices)
        for row, label in enumerate(template.rows):
            labels = [template.columns[column] for column in template.row_columns(row)]
            if label.family in KERNEL_ROWS and label.index is not None:
                read = places.of(labels, int(template.starts[row]), self.parts)
                self._kernels.setdefault(label.index, []).append(read)
            if label.family in STRUCTURAL or label.family in COUNTED | AVERAGED:
                continue
            read = places.of(labels, int(template.starts[row]), self.parts)
            if label.family == "accelerator_power":
                self._heat = read
            elif label.clock is None:
                self._shared.append((places.add(entries + row), read))
            elif read.running is not None:
                self._timed.append(read)
            else:
                self._held.append(read)
        made = [template.columns[column] for column in template.token_columns]
        drawn = [template.columns[column] for column in template.power_columns]
        self._tokens = places.of(made, template.token_sources, self.parts)
        self._drawn = places.of(drawn, template.power_sources, self.parts)
        fixed = places.add(len(template.sources) - 1)
        self._evaluate: Callable[[Sequence[Entry]], tuple[Entry, ...]]
        self._evaluate = template.compiled(places.listed)
        owners = np.arange(len(order))
        found = self._found(owners, np.ones(len(order)), every=False)
        parked = _entry(found, self._drawn.replicas)
        self.fixed_kw = np.broadcast_to(found[fixed], owners.shape)
        self.parked_kw = np.broadcast_to(parked, owners.shape)

    def _reads(self, kind: str) -> list["_Experts"]:
        """Return what depends on the batch: distinct experts that a step reads."""
        found = []
        for index, part in enumerate(getattr(self._at.clocks[0], kind)):
            mixture, gigabytes, tokens, spread = None, list[Array](), list[Array](), list[Array]()
            for one in self._sets:
                demand = one.demand
                listed = demand.experts if kind == "components" else demand.offloaded_experts
                reads = listed[index]
                if reads is not None:
                    mixture = reads.mixture
                    gigabytes.append(one.each(reads.gigabytes))
                    tokens.append(one.each(reads.tokens_per_sequence))
                    spread.append(one.each(reads.spread))
            if mixture is not None:
                found.append(
                    _Experts(
                        # The tree of numbers is one of positions here.
                        cast("int", part.read_gb_per_step),
                        cast("int", part.read_gb_per_sequence),
                        mixture.experts,
                        mixture.active,
                        np.concatenate(gigabytes)[self._order],
                        np.concatenate(tokens)[self._order],
                        np.concatenate(spread)[self._order],
                    )
                )
        return found

    @cached_property
    def _clocked(self) -> dict[int, Array]:
        """Numbers that depend on the clock: by position, with the axes (clock, configuration)."""
        column = self._clocks[:, None]
        found: dict[int, list[Array]] = {}
        for one in self._sets:
            rack, data = rack_data(one.demand.instance), one.demand.whole(float(self._clocks[0]))
            data = replace(data, clocks=(one.demand.at_clocks(column),))
            shape = (len(column), len(one.configurations))
            for position, number in enumerate(collect(data, collect(rack, []))):
                if np.ndim(number) == 2:
                    found.setdefault(position, []).append(np.broadcast_to(number, shape))
        return {
            position: np.concatenate(arrays, axis=1)[:, self._order]
            for position, arrays in found.items()
        }

    def _found(self, owners: Whole, batches: Array, *, every: bool) -> tuple[Entry, ...]:
        # Of one configuration numbers are plain, or one for each clock.
        alone = len(owners) > 0 and bool((owners == owners[0]).all())
        numbers: list[Entry] = self._numbers[owners[0] if alone else 0].tolist()
        if not alone:
            for position in np.nonzero(self._varies)[0].tolist():
                numbers[position] = self._numbers[owners, position]
        if every:
            for position, by_clock in self._clocked.items():
                numbers[position] = by_clock[:, owners[:1] if alone else owners]
        for experts in self._experts:
            numbers[experts.per_step] = experts.read(owners, batches)
            numbers[experts.per_sequence] = 0.0
        return self._evaluate(numbers)

    @property
    def largest_batches(self) -> Array:
        """The most sequences that every row of what fits lets each configuration hold.

        Such rows are straight in the batch. Whatever may be offloaded is taken as gone.
        """
        owners = np.arange(len(self._order))
        # What a batch holds is straight between those that fill every rank.
        one, two = (self.at(owners, at * self.ranks, every=False) for at in (1.0, 2.0))
        most = np.full(len(owners), np.inf)
        for first, second in zip(one.held, two.held, strict=True):
            at_one, at_two = first.least, second.least
            with np.errstate(divide="ignore", invalid="ignore"):
                root = self.ranks * (1.0 - at_one / (at_two - at_one))
            most = np.minimum(most, np.where(at_two > at_one, root, np.inf))
        return most

    def at(self, owners: Whole, batches: Array, *, every: bool) -> Rows:
        """Return the rows of batches of some configurations.

        At the full clock alone, or with `every` at all clocks.
        """
        found = self._found(owners, batches, every=every)
        timed = []
        for places in self._timed:
            share = -1.0 / _entry(found, places.running)
            for work in self._with_kernels(places, found, batches):
                timed.append(
                    Work(work.base * share, tuple(part * share for part in work.parts))
                    if np.any(share != 1.0)
                    else work
                )
        return Rows(
            timed=tuple(timed),
            held=tuple(one.work(found, self._room(owners, batches)) for one in self._held),
            rack=_power(self._drawn, found, batches),
            heat=_power(self._heat, found, batches),
            shared=tuple(
                SharedRow(
                    np.asarray(found[constant]),
                    np.asarray(_entry(found, places.replicas)),
                    places.work(found, batches).base,
                )
                for constant, places in self._shared
            ),
            tokens=self._tokens.work(found, batches).base,
        )

    def _room(self, owners: Whole, batches: Array) -> Array:
        ranks = self.ranks[owners]
        return room_for(batches, ranks) if (ranks > 1).any() else batches

    def _with_kernels(
        self, places: _Places, found: Sequence[Entry], batches: Array
    ) -> Iterator[Work]:
        """Yield what a row takes, its kernels bound in every way that they can be.

        The longest of these is what it takes. Without parts to offload that is found at once.
        """
        own = places.work(found, batches)
        bounds = [
            [one.work(found, batches) for one in self._kernels[kernel]] for kernel in places.kernels
        ]
        if not self.parts:
            longest = (reduce(np.maximum, (one.base for one in each)) for each in bounds)
            yield Work(np.asarray(sum(longest, start=own.base)), ())
            return
        for chosen in product(*bounds):
            base = sum((one.base for one in chosen), start=own.base)
            parts = zip(own.parts, *(one.parts for one in chosen), strict=True)
            yield Work(np.asarray(base), tuple(np.asarray(sum(each)) for each in parts))


class _Chosen:
    """Chooses what is evaluated of all that a program has."""

    def __init__(self) -> None:
        self.listed = list[int]()

    def add(self, place: int) -> int:
        """Add one source, and return where it will stand."""
        self.listed.append(place)
        return len(self.listed) - 1

    def of(self, labels: Sequence[Label], first: int, parts: int) -> _Places:
        """Add the entries of a row whose first one is at a place."""
        at = {(one.family, one.index): self.add(first + place) for place, one in enumerate(labels)}
        return _Places(
            at.get(("steps", None)),
            at.get(("sequences", None)),
            at.get(("running", None)),
            at.get(("replicas", None)),
            tuple(
                (at.get(("offloaded_steps", part)), at.get(("offloaded_sequences", part)))
                for part in range(parts)
            ),
            tuple(one.index for one in labels if one.family == KERNEL and one.index is not None),
        )


@dataclass(frozen=True)
class _Experts:
    """Reads of distinct experts: positions of their numbers, and by configuration how many GB."""

    per_step: int
    per_sequence: int
    experts: float
    active: float
    gigabytes: Array
    tokens: Array
    spread: Array

    def read(self, owners: Whole, batches: Array) -> Array:
        """Return the GB that a step reads."""
        share = self.gigabytes / self.experts
        tokens = cast("float", self.tokens[owners] * batches)
        spread = cast("float", self.spread[owners])
        return share[owners] * distinct_experts(self.experts, self.active, tokens, spread)


def _numbers(one: Alike, clock: float) -> Array:
    """Return the numbers of the programs of configurations: by configuration and number."""
    listed = collect(one.demand.whole(clock), collect(rack_data(one.demand.instance), []))
    numbers = np.empty((len(one.configurations), len(listed)))
    for position, number in enumerate(listed):
        numbers[:, position] = number
    return numbers


def _power(places: _Places, found: Sequence[Entry], batches: Array) -> Drawn:
    return Drawn(np.asarray(_entry(found, places.running)), places.work(found, batches))
