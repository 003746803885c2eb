"""The operating points of one configuration: how fast replicas run at each batch, on so much power.

A point is a batch per replica, a number of replicas, and a mix of clocks. With LPUs the shares of
the weights that they take belong to it too: at a fixed batch and clock the best ones are the
optimum of a small program, and those that are best on little power are found by pricing power.

Throughput grows with the batch and the rate falls with it: every row, divided by batch times rate,
falls with the batch, as distinct experts are concave and start at 0. One row does not: the larger
the batch, the more weights may have to leave HBM. So a range of batches makes no more than its last
batch would with the HBM that its first one leaves (`BatchRates` with `room`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import (
    NO_MEMORY,
    Alike,
    Array,
    Configuration,
    Demand,
    Rejection,
    alike,
    enumerate_configurations,
    smallest_batch,
)
from hbmopt.instance import Instance
from hbmopt.models.quantities import number
from hbmopt.points.clock_mix import RESTING, ClockMix, Whole, clock_mix, fastest_on
from hbmopt.points.many_programs import maximised
from hbmopt.points.replica_rows import Drawn, ReplicaRows, Rows, Work
from hbmopt.program import ClockRun

FITS = 1e-9
"""Share of a capacity that is the rounding of a sum, and no excess."""

ROUNDING = 1e-12
"""Share of a budget up to which a rest is the rounding of a difference."""

GAINS = 1e-9
"""Share of a rate from which other shares of the weights are better on the same power."""

MOST_ROUNDS = 20
"""Rounds of pricing power after which shares count as best."""


@dataclass(frozen=True)
class Modes:
    """Ways to run a replica at some batches: arrays with the axes (mode, batch).

    `power` in kW in the rack's scope, `heat` as a share of the accelerators' limit, `offloaded` by
    part first.
    """

    clock: Whole
    rate: Array
    power: Array
    heat: Array
    offloaded: Array

    def take(self, places: Whole) -> "Modes":
        """Return the modes of some of the batches."""
        return Modes(*(getattr(self, one.name)[..., places] for one in fields(self)))

    def put(self, places: Whole, other: "Modes") -> "Modes":
        """Return these modes with those of some batches replaced; others repeat the first."""
        height = len(other.rate)
        found = []
        for one in fields(self):
            mine = np.array(getattr(self, one.name))
            missing = np.repeat(mine[..., :1, :], height - mine.shape[-2], axis=-2)
            mine = np.concatenate([mine, missing], axis=-2)
            mine[..., places] = getattr(other, one.name)
            found.append(mine)
        return Modes(*found)

    def joined(self, other: "Modes") -> "Modes":
        """Return these modes and others of the same batches."""
        return Modes(
            np.concatenate([self.clock, other.clock]),
            np.concatenate([self.rate, other.rate]),
            np.concatenate([self.power, other.power]),
            np.concatenate([self.heat, other.heat]),
            np.concatenate([self.offloaded, other.offloaded], axis=1),
        )


class BatchRates:
    """How fast replicas run at some points, each with whatever clocks it needs.

    A point is a batch of one of the configurations. With `room`, the HBM has to hold those
    smaller batches only.
    """

    def __init__(
        self, points: "OperatingPoints", owners: Whole, batches: Array, room: Array | None = None
    ) -> None:
        self.points, self.owners, self.batches, self._room = points, owners, batches, room
        self.gained = points.gained[owners]
        self._known_rows: dict[bool, Rows] = {}
        self._known_modes: dict[bool, Modes] = {}
        self._mixes: dict[str, tuple[Modes, ClockMix]] = {}

    def take(self, index: Whole) -> "BatchRates":
        """Return the operation at some of the points, with what is known of them."""
        room = self._room[index] if self._room is not None else None
        some = BatchRates(self.points, self.owners[index], self.batches[index], room)
        points = len(self.batches)
        some._known_rows = {
            every: rows.take(index, points) for every, rows in self._known_rows.items()
        }
        some._known_modes = {every: one.take(index) for every, one in self._known_modes.items()}
        if not self.points.rows.parts:
            some._mixes = {
                of: (modes.take(index), mix.take(index)) for of, (modes, mix) in self._mixes.items()
            }
        return some

    @cached_property
    def rate(self) -> Array:
        """Steps per ms at full clock."""
        return np.asarray(self._plain_modes(every=False).rate[0])

    @cached_property
    def power(self) -> Array:
        """Power at full clock, in kW of the rack's scope."""
        return np.asarray(self._plain_modes(every=False).power[0])

    @cached_property
    def heat(self) -> Array:
        """Power at full clock, as a share of the accelerators' own limit."""
        return np.asarray(self._plain_modes(every=False).heat[0])

    def _plain_modes(self, *, every: bool) -> Modes:
        """Return the fastest ways to run at full clock, the first of them, or at every one."""
        if not every and True in self._known_modes:
            return self._known_modes[True]
        if every not in self._known_modes:
            self._known_modes[every] = self._modes(every=every)
        return self._known_modes[every]

    def _rows(self, *, every: bool) -> Rows:
        if every not in self._known_rows:
            rows = self.points.rows.at(self.owners, self.batches, every=every)
            self._known_rows[every] = rows
        return self._known_rows[every]

    def _modes(self, *, every: bool, price: Array | None = None, of: str = "rack") -> Modes:
        """Return the fastest way to run at full clock, or at every one.

        With a `price`, that which makes most steps less what power costs, in steps per kJ.
        """
        rows, points = self._rows(every=every), self.points
        clocks = len(points.clocks) if every else 1
        shape = (clocks, len(self.batches))
        held = rows.held
        if self._room is not None:
            held = points.rows.at(self.owners, self._room, every=every).held
        if points.rows.parts:
            shares = _best_shares(rows, held, shape, price, of)
        else:
            shares = np.zeros((0, *shape))
        busiest = reduce(np.maximum, (_taken(one, shares) for one in rows.timed))
        fits = reduce(np.logical_and, (_taken(one, shares) <= 2.0 * FITS for one in held))
        with np.errstate(divide="ignore"):
            rate = np.broadcast_to(np.where(fits, 1.0 / busiest, 0.0), shape)
        return Modes(
            np.broadcast_to(np.arange(clocks)[:, None], shape),
            rate,
            np.broadcast_to(_drawn(rows.rack, shares, rate), shape),
            np.broadcast_to(_drawn(rows.heat, shares, rate), shape),
            shares,
        )

    def rates(self, power: Array) -> Array:
        """Return the most steps per ms on so much power for each point, -1 where it cannot run.

        `power` in kW of the rack's scope may have more axes before that of the points.
        """
        if power.ndim == 1 and not self.points.rows.parts and np.isfinite(power).any():
            # Where power limits, the full clock is one of those that are looked at anyway.
            self._plain_modes(every=True)
        found = np.where(power >= self.power, self.rate, -1.0)
        short = (power < self.power) & (self.rate > 0)
        places = np.nonzero(short.any(axis=tuple(range(power.ndim - 1))))[0]
        if 0 < len(places) == len(self.batches):
            found = self._on_power(power)
        elif len(places):
            found[..., places] = self.take(places)._on_power(power[..., places])
        return np.where(self.rate > 0, np.minimum(found, self.heat_rates), -1.0)

    def _on_power(self, power: Array) -> Array:
        # On more power than the full clock draws clocks do not matter.
        if power.ndim == 1 and not self.points.rows.parts:
            return np.where(power >= self.power, self.rate, self._fastest_on(power, "rack"))
        short = np.where(power < self.power, power, np.nan)
        on_less = self._mix("rack", short.reshape(-1, len(self.batches)))[1].fastest(power)
        return np.where(power >= self.power, self.rate, on_less)

    def _fastest_on(self, power: Array, of: str) -> Array:
        """Return the most steps per ms on one power for each point without LPUs."""
        if of in self._mixes:
            return self._mixes[of][1].fastest(power)
        modes = self._plain_modes(every=True)
        drawn = modes.power if of == "rack" else modes.heat
        return fastest_on(power, drawn, modes.rate, self._resting(of))

    def rates_at_most(self, power: Array) -> Array:
        """Return steps per ms that are not exceeded on so much power, at a glance.

        As fast as at the full clock, on the energy that the lowest clock takes for each step
        with every part of the weights where it is read for least.
        """
        if (power >= self.power).all():
            return np.broadcast_to(self.rate, power.shape)
        drawn = self.points.slowest.at(self.owners, self.batches, every=False).rack
        step = drawn.step.base + sum(np.minimum(part, 0.0) for part in drawn.step.parts)
        running, whole = drawn.running, drawn.running + step * self.rate
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(power >= whole, 1.0, (power - running) / (whole - running))
        return np.asarray(self.rate * np.maximum(share, 0.0))

    def rates_at(self, places: Whole, power: Array) -> Array:
        """Return the most steps per ms at places among the points, each on so much power."""
        if ((power >= self.power[places]) & (self.heat[places] <= 1.0)).all():
            return np.asarray(self.rate[places])
        mix = self._mix("rack", None)[1]
        found = mix.take(places.ravel()).fastest(power.ravel()).reshape(power.shape)
        return np.asarray(np.minimum(found, self.heat_rates[places]))

    @cached_property
    def heat_rates(self) -> Array:
        """The most steps per ms that the accelerators' own limit allows."""
        places = np.nonzero(self.heat > 1.0)[0]
        found = np.array(self.rate)
        if not len(places):
            return found
        hot, whole = self.take(places), np.ones(len(places))
        if self.points.rows.parts:
            found[places] = hot._mix("heat", whole[None])[1].fastest(whole)
        else:
            found[places] = hot._fastest_on(whole, "heat")
        return found

    def least_power(self, rate: float) -> Array:
        """Return the least kW at which each point makes so many steps per ms, infinity for none."""
        least = self._mix("rack", None)[1].least_power(np.full_like(self.batches, rate))
        return np.where(self.heat_rates >= rate * (1.0 - ROUNDING), least, np.inf)

    def thriftiest(self, rate: Array) -> Array:
        """Return the least kW of the rack's scope at which each point makes its own mean rate."""
        full = rate >= self.rate * (1.0 - GAINS)
        if self.points.rows.parts:
            alone = full & self._only_at_full_clock(rate)
            if alone.any():
                found, places = np.array(self.power), np.nonzero(~alone)[0]
                if len(places):
                    found[places] = self.take(places).thriftiest(rate[places])
                return found
        mix = self._mix("rack", None)[1]
        return np.where(full, np.minimum(self.power, mix.power[-1]), mix.least_power(rate))

    def hull(self) -> tuple[Array, Array]:
        """Return power and steps per ms of the corners of each hull, from resting up."""
        mix = self._mix("rack", None)[1]
        return mix.power, mix.rate

    def power_at(self, rate: Array) -> Array:
        """Return the least kW for so many steps per ms of each point, which has to reach them.

        `rate` may have more axes before that of the points.
        """
        mix = self._mix("rack", None)[1]
        return mix.least_power(np.minimum(rate, mix.rate[-1]))

    def clipped(self, least: Array) -> tuple[Array, Array]:
        """Return power and rate of the corners of each hull, from some power up.

        And as far as the accelerators' own limit lets them; corners beyond are drawn in.
        """
        mix = self._mix("rack", None)[1]
        power = np.maximum(mix.power, least)
        most = np.minimum(mix.rate[-1], self.heat_rates)
        power = np.minimum(power, np.maximum(mix.least_power(most), least))
        return power, np.minimum(mix.fastest(power), most)

    def shared_steps(self) -> tuple[Array, ...]:
        """Return what a step per ms uses of each row over the rack, as shares of its capacity."""
        shape = (len(self.batches),)
        return tuple(np.broadcast_to(one.step, shape) for one in self._rows(every=False).shared)

    def _only_at_full_clock(self, rate: Array) -> NDArray[np.bool_]:
        """Whether no lower clock makes the rate of the full one.

        One does, and draws less, where something that has no clock is what limits.
        """
        slower = self._plain_modes(every=True).rate[1:]
        return np.asarray((slower < rate * (1.0 - GAINS)).all(axis=0))

    def most_per_joule(self) -> Array:
        """Return the most tokens per J, and ms in a s, that each point makes, parked power aside.

        That of no number of replicas exceeds it.
        """
        modes = self._mixes["rack"][0] if "rack" in self._mixes else self._plain_modes(every=True)
        beyond = modes.power + self.points.rows.parked_kw[self.owners]
        with np.errstate(divide="ignore", invalid="ignore"):
            per_joule = np.where(beyond > 0, modes.rate / beyond, np.inf).max(axis=0)
        return np.asarray(per_joule * self.tokens)

    @cached_property
    def tokens(self) -> Array:
        """Output tokens per step of one replica."""
        return self.batches * self.gained / 1e3

    def steps_allowed(self, counts: Whole) -> Array:
        """Return the steps per ms of a replica that rows over the rack allow, -1 for none."""
        allowed = np.full(np.broadcast_shapes(counts.shape, self.batches.shape), np.inf)
        if not self.points.shares:
            return allowed
        for row in self._rows(every=False).shared:
            left = -row.fixed / counts - row.each
            # What replicas take exactly leaves nothing, whatever the rounding.
            left = np.where(np.abs(left) <= ROUNDING, 0.0, left)
            with np.errstate(divide="ignore", invalid="ignore"):
                steps = np.where(row.step > 0, left / row.step, np.inf)
            allowed = np.minimum(allowed, np.where(left < 0, -1.0, steps))
        return allowed

    def under(self, counts: Whole, caps: Array) -> Array:
        """Return the steps per ms of each of `counts` replicas under caps, -1 for none."""
        power = self.points.power_kw(caps, counts, self.owners)
        power = np.where(counts <= self.points.most[self.owners], power, np.inf)
        return np.minimum(self.rates(power), self.steps_allowed(counts))

    def _mix(self, of: str, needed: Array | None) -> tuple[Modes, ClockMix]:
        """Return the modes and their hull, exact on power that is needed; None for any."""
        known = self._mixes.get(of)
        if known is None:
            modes = self._plain_modes(every=True)
            known = modes, self._hull(modes, of)
        if self.points.rows.parts:
            known = self._with_shares(*known, of, needed)
        self._mixes[of] = known
        return known

    def _with_shares(
        self, modes: Modes, mix: ClockMix, of: str, needed: Array | None
    ) -> tuple[Modes, ClockMix]:
        """Return modes and hull with the shares of the weights that are best at prices of power.

        Shares that are best for nothing and at the highest price on a hull are best at any between.
        """
        clocks, rise = len(self.points.clocks), mix.rise.max(axis=0)
        found = self._modes(every=True, price=rise, of=of)

        def worth(one: Modes) -> Array:
            drawn = one.power if of == "rack" else one.heat
            return np.asarray((one.rate - rise * drawn)[:clocks])

        better = worth(found) > worth(modes) + GAINS * np.maximum(mix.rate[-1], 1e-300)
        rest = np.nonzero(better.any(axis=0))[0]
        if not len(rest):
            return modes, mix
        some = self.take(rest)
        power = needed[..., rest] if needed is not None else None
        fresh, own = some._refined(modes.take(rest), mix.take(rest), of, power)
        return modes.put(rest, fresh), mix.put(rest, own)

    def _hull(self, modes: Modes, of: str) -> ClockMix:
        drawn = modes.power if of == "rack" else modes.heat
        return clock_mix(drawn, modes.rate, self._resting(of))

    def _resting(self, of: str) -> Array:
        """Return what each point draws at the clock that draws least, at no rate."""
        rows = self._rows(every=True)
        drawn = rows.rack if of == "rack" else rows.heat
        shape = (len(self.points.clocks), len(self.batches))
        return np.asarray(np.broadcast_to(drawn.running, shape).min(axis=0))

    def _refined(
        self, modes: Modes, mix: ClockMix, of: str, needed: Array | None
    ) -> tuple[Modes, ClockMix]:
        """Price power along the hull, and add shares of the weights that are better at a price."""
        for _ in range(MOST_ROUNDS):
            better = False
            for corner in range(len(mix.power) - 1):
                low, high, rise = mix.power[corner], mix.power[corner + 1], mix.rise[corner]
                used = rise > 0
                if needed is not None:
                    used &= ((needed > low) & (needed < high)).any(axis=0)
                if not used.any():
                    continue
                found = self._modes(every=True, price=np.where(used, rise, 0.0), of=of)
                drawn = found.power if of == "rack" else found.heat
                worth = found.rate - rise * drawn
                line = mix.rate[corner] - rise * mix.power[corner]
                scale = GAINS * np.maximum(mix.rate[-1], 1e-300)
                if (used & (worth.max(axis=0) > line + scale)).any():
                    modes, better = modes.joined(found), True
            if not better:
                break
            mix = self._hull(modes, of)
        return modes, mix

    def parts(self, place: int, rate: float) -> tuple[ClockRun, ...]:
        """Return clocks, their shares of time and what they offload, that make a mean rate.

        Those that draw least, and where that is too much for the accelerators those that heat
        least.
        """
        one = self.take(np.array([place]))
        clocks, offloading = self.points.clocks, self.points.rows.parts > 0
        fastest = offloading and rate >= one.rate[0] * (1.0 - GAINS) and one.heat[0] <= 1.0
        if fastest and one._only_at_full_clock(np.array([rate]))[0]:
            full = one._plain_modes(every=False)
            offloaded = tuple(full.offloaded[:, 0, 0].tolist())
            return (ClockRun(float(clocks[0]), 1.0, float(one.rate[0]), offloaded),)
        modes, mix = one._mix("rack" if one.heat[0] <= 1.0 else "heat", None)
        found, rest = list[ClockRun](), 0.0
        for corner, share in mix.at(0, rate):
            mode = int(mix.clock[corner, 0])
            if mode == RESTING:
                rest = share
                continue
            clock = float(clocks[modes.clock[mode, 0]])
            offloaded = tuple(modes.offloaded[:, mode, 0].tolist())
            found.append(ClockRun(clock, share, float(modes.rate[mode, 0]), offloaded))
        if rest and found and found[-1].clock == clocks[-1]:
            # It rests at the clock that it runs at: that is one slower clock.
            last = found.pop()
            whole = last.share + rest
            found.append(replace(last, share=whole, steps=last.steps * last.share / whole))
        elif rest:
            found.append(ClockRun(float(clocks[-1]), rest, 0.0, (0.0,) * self.points.rows.parts))
        return tuple(found)

    def heat_at(self, rate: Array) -> Array:
        """Return what a replica draws at full clock at a rate, as a share of its own limit."""
        drawn = self._rows(every=False).heat
        return np.asarray(drawn.running + rate * drawn.step.base)

    def corners(self, rate: Array) -> tuple[Whole, Array, Array]:
        """Return two clocks of each point that make a mean rate: clock, share of time, its rate.

        By slot and point, the faster clock first; where one is enough the other has no share. For
        points without LPUs.
        """
        hot = self.heat > 1.0
        clocks = np.zeros((2, len(rate)), dtype=np.int64)
        shares, steps = np.zeros((2, len(rate))), np.zeros((2, len(rate)))
        for of, mine in (("rack", np.nonzero(~hot)[0]), ("heat", np.nonzero(hot)[0])):
            if len(mine):
                mix = self.take(mine)._mix(of, None)[1]
                clocks[:, mine], shares[:, mine], steps[:, mine] = mix.between(rate[mine])
        # Resting is at the clock that draws least.
        return np.where(clocks == RESTING, len(self.points.clocks) - 1, clocks), shares, steps


class OperatingPoints:
    """The operating points of configurations that have one shape of program.

    They may be of several instances, which list the same clocks.
    """

    def __init__(self, sets: Sequence[Alike]) -> None:
        order = np.argsort(np.concatenate([one.places for one in sets]), kind="stable")
        self._sets, self._order = sets, order
        self._demands = dict[int, Demand]()

        members = [(one.demand.instance, each) for one in sets for each in one.configurations]
        self.instances = [members[place][0] for place in order]
        self.configurations = tuple(members[place][1] for place in order)
        self.clocks = np.array(self.configurations[0].clocks)
        self.rows = ReplicaRows(sets, order, self.clocks)
        self.lowest = self.of_each(lambda one: smallest_batch(one.configuration))
        memory = self.of_each(lambda one: one.largest_batch)
        self.highest = np.minimum(memory, self.rows.largest_batches)
        self.first = np.ceil(self.lowest - 1e-9)
        each = np.floor(self.highest / self.rows.ranks * (1.0 + FITS) + 1e-9)
        self.last = self.rows.ranks * each
        self.most = self.of_each(lambda one: one.replicas_at_most).astype(np.int64)
        self.gained = 1e3 * self.of_each(
            lambda one: number(one.whole_replica(1.0).tokens_per_sequence_step)
        )
        """Tokens per s and user for a step per ms, by configuration."""
        self.shares = bool(sets[0].demand.budgets)
        """Whether replicas share more than power and devices."""

    def of_each(self, value: Callable[[Demand], float]) -> Array:
        """Return a number of the demand of each configuration."""
        return np.concatenate([one.each(value(one.demand)) for one in self._sets])[self._order]

    @cached_property
    def slowest(self) -> ReplicaRows:
        """The rows at the lowest clock, which draws least and takes least energy for a step."""
        return ReplicaRows(self._sets, self._order, self.clocks[-1:])

    def demand(self, owner: int) -> Demand:
        """Return the demand of one of the configurations."""
        if owner not in self._demands:
            self._demands[owner] = Demand(self.instances[owner], self.configurations[owner])
        return self._demands[owner]

    def at(self, owner: int, batches: Array) -> BatchRates:
        """Return how replicas of one configuration run at some batches."""
        return BatchRates(self, np.full(len(batches), owner), batches)

    @cached_property
    def shared_each(self) -> tuple[Array, ...]:
        """What a replica uses of each row over the rack anyway, by configuration."""
        owners = np.arange(len(self.configurations))
        rows = self.rows.at(owners, self.lowest, every=False).shared
        return tuple(np.broadcast_to(one.each, owners.shape) for one in rows)

    def power_kw(self, caps: Array, counts: Whole, owners: Whole | int) -> Array:
        """Return the kW, in the rack's scope, that each of `counts` replicas may draw."""
        left = caps - self.rows.fixed_kw[owners]
        return np.asarray(left / counts - self.rows.parked_kw[owners])

    def rack_kw(self, each: Array, counts: Whole, owners: Whole | int) -> Array:
        """Return the kW of the rack where each of `counts` replicas draws so much."""
        replicas = counts * (each + self.rows.parked_kw[owners])
        return np.asarray(self.rows.fixed_kw[owners] + replicas)


@dataclass(frozen=True)
class AllPoints:
    """The operating points of all configurations of an instance, by shape, and what cannot run."""

    groups: tuple[OperatingPoints, ...]
    configurations: tuple[Configuration, ...]
    rejections: tuple[Rejection, ...]


def all_points(
    instance: Instance,
    only: Sequence[Configuration] | None = None,
    *,
    fitting: bool = True,
) -> AllPoints:
    """Return the operating points of the configurations that hold a sequence per rank.

    Of `only` some of them, or without `fitting` of those too that memory rules out.
    """
    enumerated, rejections = enumerate_configurations(instance)
    listed = enumerated if only is None else only
    possible, without = demands_of(instance, listed, fitting=fitting)
    rejections += [no_memory(Demand(instance, listed[place])) for place in without]
    places = sorted(place for one in possible for place in one.places.tolist())
    groups = points_of(possible)
    left_out = {
        group.configurations[owner]
        for group in groups
        for owner in np.nonzero(group.highest < group.lowest)[0]
    }
    if fitting and left_out:
        # Memory holds a batch that another limit forbids.
        rejections += [Rejection(str(one), NO_BATCH) for one in left_out]
        kept = [listed[place] for place in places if listed[place] not in left_out]
        possible, _ = demands_of(instance, kept)
        return AllPoints(points_of(possible), tuple(kept), tuple(rejections))
    configurations = tuple(listed[place] for place in places)
    return AllPoints(groups, configurations, tuple(rejections))


NO_BATCH = "no batch keeps every limit on what a replica holds"
"""Reason of configurations that limits other than memory rule out."""


def demands_of(
    instance: Instance, listed: Sequence[Configuration], *, fitting: bool = True
) -> tuple[list[Alike], list[int]]:
    """Return the demands of those that can run, and the places of those that memory rules out."""
    found, without = list[Alike](), list[int]()
    for one in alike(instance, listed):
        fits = one.fits if fitting else np.ones(len(one.places), dtype=bool)
        without += one.places[~fits].tolist()
        kept = one.places[fits & (one.each(one.demand.replicas_at_most) >= 1)].tolist()
        if len(kept) == len(one.places):
            found.append(one)
        else:
            found += alike(instance, [listed[place] for place in kept], kept)
    return found, sorted(without)


def points_of(sets: Iterable[Alike]) -> tuple[OperatingPoints, ...]:
    """Return the points of configurations, those together whose programs have one shape."""
    found: dict[object, list[Alike]] = {}
    for one in sets:
        instance, configuration = one.demand.instance, one.demand.configuration
        budgets = tuple(each.name for each in instance.budgets)
        asked = instance.limits.min_throughput is None
        shape = (
            one.demand.shape,
            configuration.clocks,
            instance.power_cap_kw is None,
            asked,
            budgets,
        )
        found.setdefault(shape, []).append(one)
    return tuple(map(OperatingPoints, found.values()))


def no_memory(demand: Demand) -> Rejection:
    """Return why a configuration cannot run whose replicas do not hold one sequence per rank."""
    data = demand.whole_replica(1.0)
    weights = sum(number(part.resident_gb) for part in data.components)
    usable = number(data.accelerators) * number(data.hbm_gb)
    detail = (
        f"weights {weights:,.1f} GB + {smallest_batch(demand.configuration):.0f} sequence(s) of "
        f"{number(data.kv_held_gb):,.2f} GB exceed {usable:,.1f} GB of usable HBM"
    )
    return Rejection(str(demand.configuration), NO_MEMORY, detail)


def _taken(work: Work, shares: Array) -> Array:
    """Return what a row takes where shares of its parts are offloaded."""
    taken = work.base
    for part, share in zip(work.parts, shares, strict=False):
        taken = taken + part * share
    return taken


def _drawn(drawn: Drawn, shares: Array, rate: Array) -> Array:
    return np.asarray(drawn.running + rate * _taken(drawn.step, shares))


def _best_shares(
    rows: Rows, held: Sequence[Work], shape: tuple[int, ...], price: Array | None, of: str
) -> Array:
    """Return the shares of the parts that make most steps, less what their power is worth."""
    priced = (rows.rack if of == "rack" else rows.heat).step
    parts = len(priced.parts)
    programs = int(np.prod(shape))

    def flat(array: Array) -> Array:
        return np.broadcast_to(array, shape).reshape(programs)

    length = reduce(np.maximum, (flat(one.base) for one in rows.timed))
    table = [
        np.stack([flat(one.base), *(flat(part) for part in one.parts)], axis=1) / length[:, None]
        for one in rows.timed
    ]
    limits = [np.ones(programs)] * len(table)
    for one in held:
        row = np.stack([flat(one.base) - FITS, *(flat(part) for part in one.parts)], axis=1)
        largest = np.abs(row).max(axis=1, keepdims=True)
        table.append(row / np.where(largest > 0, largest, 1.0))
        limits.append(np.zeros(programs))
    for part in range(parts):
        at_most = np.zeros((programs, 1 + parts))
        at_most[:, 0], at_most[:, 1 + part] = -1.0, 1.0
        table.append(at_most)
        limits.append(np.zeros(programs))
    # Of shares that are as fast those that draw least.
    worth = np.full(shape, 0.0) if price is None else np.broadcast_to(price, shape)
    worth = worth.reshape(programs)
    energy = np.stack([flat(priced.base), *(flat(part) for part in priced.parts)], axis=1)
    least = TIE / np.maximum(np.abs(energy).max(axis=1), 1e-300)
    cost = -np.maximum(worth, least)[:, None] * energy
    cost[:, 0] += 1.0
    point = maximised(cost, np.stack(table, axis=1), np.stack(limits, axis=1))
    steps = point[:, :1]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(steps > 0, point[:, 1:] / steps, 0.0)
    return np.asarray(np.clip(shares, 0.0, 1.0).T.reshape(parts, *shape))


TIE = 1e-10
"""Worth of power, as a share of that of steps, that only decides between what is as fast."""
