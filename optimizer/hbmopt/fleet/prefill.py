"""Prefill pools: the ways in which a rack computes prompts and nothing else.

    t_pass = max(rows of a step with the chunk's tokens for a batch, D n / (eta g OUT))   [ms]
    prompts/s = R tokens of a pass / (t_pass u)
    time of a prompt = (ceil(u / chunk) + P - 1) t_pass / P + hand-over

u tokens of a prompt that are not in the cache, n prompts of a pass, D bytes of a prompt's cache, g
accelerators of a replica, OUT the scale-out bandwidth of each, R replicas, P pipeline stages, whose
chunks follow one another. What a pass takes and draws is said by the rows that `hbmopt.models`
declares for decode steps, with tokens of prompts for sequences (see `hbmopt.demand`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import cast

import numpy as np

from hbmopt.demand import (
    Array,
    Configuration,
    Demand,
    PromptDemand,
    alike_prompts,
    enumerate_configurations,
    power_cap,
)
from hbmopt.instance import Instance, rack_kw
from hbmopt.points import Drawn, OperatingPoints, Whole, points_of

CHUNKS = (512, 1024, 2048, 4096, 8192, 16384)
"""Tokens of a chunk that are looked at: those that engines are set to."""

FITS = 1e-9
"""Share of a limit that is the rounding of a sum, and no excess."""


@dataclass(frozen=True)
class PrefillPoint:
    """One way in which a rack computes prompts and nothing else, at full work.

    Power is that of the whole rack in the scope `rack`: without what cools it. `configuration`
    drafts nothing and uses no LPUs; `clock` is a share of the full clock.
    """

    configuration: Configuration
    replicas: int
    chunk: int
    """Tokens that an attention rank computes in one pass."""
    clock: float
    prompts_per_s: float
    uncached_tokens: float
    """Tokens of a prompt that are computed, as they are not in the cache."""
    compute_s: float
    """Time from the start of a prompt to the end of its last chunk."""
    handover_gb: float
    """Cache of a prompt that goes to where it is decoded."""
    handover_s: float | None
    """Time that it takes over the scale-out network, None where its bandwidth is not known."""
    rack_kw: float
    rest_kw: float
    """The rack's power while it has no work, its model loaded."""

    @property
    def first_token_s(self) -> float:
        """Time from the start of a prompt to its first token, hand-over included where known."""
        return self.compute_s + (self.handover_s or 0.0)

    @property
    def tokens_per_s(self) -> float:
        """Tokens of prompts that the rack computes per second."""
        return self.prompts_per_s * self.uncached_tokens

    @property
    def joule_per_prompt(self) -> float:
        """Energy of a prompt beyond what the rack draws at rest."""
        return 1e3 * (self.rack_kw - self.rest_kw) / self.prompts_per_s


def prefill_points(
    instance: Instance,
    first_token_s: float | None = None,
    *,
    queueing_s: float = 0.0,
    chunks: Sequence[int] = CHUNKS,
) -> list[PrefillPoint]:
    """Return the efficient ways in which the rack computes the workload's prompts alone.

    A rack may work for a share of the time and rest for the others. So one way beats another where
    it computes as many prompts per second or more, each with no more energy beyond rest and in no
    more time. Only what leaves the same cache behind is compared, as that is what is decoded from.

    Parameters
    ----------
    instance
        Rack, model, workload, choices, and the limits on power. Its floors and budgets are those of
        decoding and do not count here, nor does `workload.prefill`.
    first_token_s
        Longest time from the arrival of a prompt to its first token in s; None: any.
    queueing_s
        The part of that in which a prompt waits for its turn, in s.
    chunks
        Tokens of a chunk to choose from, for each attention rank.

    Returns
    -------
    list of PrefillPoint
        The most prompts per second first; none where memory, power or time leave no way.

    Raises
    ------
    InputError
        If the workload gives no `prompt`.
    """
    sizes = sorted(set(chunks))
    if not sizes or sizes[0] < 1:
        raise ValueError("a chunk has at least one token")
    longest = math.inf if first_token_s is None else first_token_s - queueing_s
    found = list[PrefillPoint]()
    for same in _with_one_cache(_configurations(instance)):
        groups = points_of(one for size in sizes for one in alike_prompts(instance, same, size))
        found += _efficient([_ways(instance, group, longest) for group in groups])
    return sorted(found, key=lambda one: (-one.prompts_per_s, one.first_token_s))


def _configurations(instance: Instance) -> list[Configuration]:
    """Return the ways to run a replica that drafts nothing and uses no LPUs."""
    enumerated, _ = enumerate_configurations(instance)
    return list(dict.fromkeys(replace(one, draft_tokens=0, lpu_units=0) for one in enumerated))


def _with_one_cache(configurations: Sequence[Configuration]) -> list[list[Configuration]]:
    """Return configurations by the cache that they write."""
    found: dict[tuple[str, str], list[Configuration]] = {}
    for one in configurations:
        found.setdefault((one.kv_format, one.kv_compression), []).append(one)
    return list(found.values())


@dataclass(frozen=True)
class _Ways:
    """Ways to compute prompts, as parallel arrays; `owner` is one of the configurations.

    `power` is that of the whole rack in kW, `rest` what it draws without work.
    """

    configurations: tuple[Configuration, ...]
    uncached: float
    rest: float
    owner: Whole
    replicas: Whole
    chunk: Whole
    clock: Array
    rate: Array
    compute_s: Array
    handover_gb: Array
    handover_s: Array
    power: Array

    @property
    def first_token_s(self) -> Array:
        """Time to the first token, without a hand-over whose time is not known."""
        return np.asarray(self.compute_s + np.nan_to_num(self.handover_s))

    @property
    def energy(self) -> Array:
        """Energy of a prompt beyond rest, in kJ."""
        return np.asarray((self.power - self.rest) / self.rate)

    def point(self, place: int) -> PrefillPoint:
        """Return one of the ways."""
        handover_s = float(self.handover_s[place])
        return PrefillPoint(
            configuration=self.configurations[self.owner[place]],
            replicas=int(self.replicas[place]),
            chunk=int(self.chunk[place]),
            clock=float(self.clock[place]),
            prompts_per_s=float(self.rate[place]),
            uncached_tokens=self.uncached,
            compute_s=float(self.compute_s[place]),
            handover_gb=float(self.handover_gb[place]),
            handover_s=None if math.isnan(handover_s) else handover_s,
            rack_kw=float(self.power[place]),
            rest_kw=self.rest,
        )


def _ways(instance: Instance, group: OperatingPoints, longest: float) -> _Ways:
    """Return all ways to run the configurations of a group that take no longer, at every clock.

    Where the cap does not let all replicas work in full at a clock, fewer of them run, or all wait
    between passes. They wait too where an accelerator would draw more than its own limit.
    """

    def of_each(value: Callable[[PromptDemand], float]) -> Array:
        return group.of_each(lambda demand: value(_prompts(demand)))

    most, abreast = group.most, of_each(lambda one: one.chunks_at_once)
    chunk, width = of_each(lambda one: one.chunks.chunk), of_each(lambda one: one.chunks.width)
    # A rank holds whole prompts.
    held = np.floor(group.highest / (abreast * width) * (1.0 + FITS))
    full_chunk = held >= of_each(lambda one: one.chunks.prompts)
    tokens = abreast * np.where(full_chunk, chunk, held * width)
    owners = np.nonzero((held >= 1) & (most >= 1))[0]
    tokens, most, width = tokens[owners], most[owners], width[owners]
    fixed, parked = group.rows.fixed_kw[owners], group.rows.parked_kw[owners]
    rows = group.rows.at(owners, tokens, every=True)
    network = of_each(lambda one: one.network_ms)[owners] * tokens
    passing = reduce(np.maximum, (one.base for one in rows.timed), network)
    full = np.minimum(1.0 / passing, _rate_on(1.0, rows.heat))
    left = power_cap(instance) - fixed
    fewer = _count_on(left, rows.rack.running + full * rows.rack.step.base + parked, most)
    waiting = np.minimum(full, _rate_on(left / most - parked, rows.rack))
    # By fewer or waiting, clock and configuration.
    shape = 2, len(group.clocks), len(owners)
    passes, replicas = np.empty(shape), np.empty(shape)
    passes[0], passes[1], replicas[0], replicas[1] = full, waiting, fewer, most
    with np.errstate(divide="ignore"):
        compute_s = of_each(lambda one: one.passes)[owners] / (1e3 * passes)
    # Prompts that end together wait for one another's hand-over.
    together = tokens / (abreast[owners] * width)
    handover_s = together * of_each(lambda one: one.handover_ms)[owners] / 1e3
    runs = (passes > 0.0) & (replicas >= 1.0)
    # Where all replicas may work in full, one is the other.
    runs[1] &= replicas[0] < most
    runs &= compute_s + np.nan_to_num(handover_s) <= longest * (1.0 + FITS)
    each = rows.rack.running + passes * rows.rack.step.base + parked
    uncached = of_each(lambda one: one.chunks.computed)
    prompts = tokens / uncached[owners]
    power = rack_kw(instance, cast("float", fixed + replicas * each))
    place = np.nonzero(runs)[2]
    return _Ways(
        configurations=group.configurations,
        uncached=float(uncached[0]),
        rest=rack_kw(instance, float(group.rows.fixed_kw[0])),
        owner=owners[place],
        replicas=replicas[runs].astype(np.int64),
        chunk=chunk[owners][place].astype(np.int64),
        clock=np.broadcast_to(group.clocks[:, None], shape)[runs],
        rate=(1e3 * replicas * passes * prompts)[runs],
        compute_s=compute_s[runs],
        handover_gb=of_each(lambda one: one.handover_gb)[owners][place],
        handover_s=handover_s[place],
        power=np.asarray(power)[runs],
    )


def _prompts(demand: Demand) -> PromptDemand:
    if not isinstance(demand, PromptDemand):
        raise AssertionError("a prefill pool decodes nothing")
    return demand


def _rate_on(power: float | Array, drawn: Drawn) -> Array:
    """Return the passes per ms that so much power is enough for."""
    left, step = np.broadcast_arrays(power - drawn.running, drawn.step.base)
    free = np.where(left >= 0.0, np.inf, 0.0)
    return np.asarray(np.divide(np.maximum(left, 0.0), step, out=free, where=step > 0.0))


def _count_on(power: Array, each: Array, most: Whole) -> Array:
    """Return the replicas that so much power is enough for, and `most` at most."""
    left, drawn = np.broadcast_arrays(power, each)
    free = np.where(left >= 0.0, np.inf, 0.0)
    fits = np.divide(left * (1.0 + FITS), drawn, out=free, where=drawn > 0.0)
    return np.asarray(np.minimum(most, np.floor(fits)))


def _efficient(ways: Sequence[_Ways]) -> list[PrefillPoint]:
    """Return the ways that no other beats in prompts per second, energy of each and time."""
    rate, energy, time = (
        np.concatenate([getattr(one, name) for one in ways])
        for name in ("rate", "energy", "first_token_s")
    )
    whose = [(one, place) for one in ways for place in range(len(one.rate))]
    # The fastest of those that are left is beaten by none of them.
    left, kept = np.lexsort((time, energy, -rate)), list[int]()
    while len(left):
        best = left[0]
        kept.append(int(best))
        cheaper = energy[left] < energy[best] - TIE * abs(energy[best])
        left = left[cheaper | (time[left] < time[best] * (1.0 - TIE))]
    return [ways.point(place) for ways, place in (whose[one] for one in kept)]


TIE = 1e-9
"""Share by which an energy or a time has to be less than another to count as less."""
