"""Why no plan serves a fleet: limits in each other's way, and the least change of each that cures.

A change is the least of its kind that suffices by itself, with whole racks. Where a limit is one
row, the program says how far it has to move; where a change makes other pools or other numbers, it
is found by halving. What was found by the lines below the load curves is then decided, with racks
that run, and moved on a little where these draw more than the lines.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from hbmopt.basics import counted, show
from hbmopt.documents import Document, Figure
from hbmopt.errors import InputError
from hbmopt.fleet.deciding import decidable
from hbmopt.fleet.feasibility import (
    Feasibility,
    HostRow,
    Limit,
    LimitKind,
    pools_that_count,
    what_counts,
)
from hbmopt.fleet.numbers import fleet_data
from hbmopt.fleet.plan import FleetConflict, FleetCure
from hbmopt.fleet.pools import NoPool, Pool, instance_of, pools_of, prefill_pool
from hbmopt.fleet.schema import Fleet
from hbmopt.fleet.sessions import Sessions
from hbmopt.instance import Rack
from hbmopt.models.fleet.quantities import FleetData

DIGITS = 4
"""Significant digits that a change is rounded to, towards more of it."""

FURTHEST = 1e3
"""Factor up to which a number is changed; what 1,000 times does not cure, it does not cure."""

FINELY, ROUGHLY = 1e-4, 2e-3
"""Relative precision of halving, and where each trial computes load curves."""

STEP = 1e-3
"""Share by which a change goes on first where racks draw more than the lines; each time twice."""

MOST_STEPS = 7

CLOSE = 4e-3
"""Share within which a change that was decided is the least."""


@dataclass(frozen=True)
class Case:
    """A fleet after a change, as numbers and pools."""

    data: FleetData
    pools: Sequence[Pool]


@dataclass(frozen=True)
class Change:
    """A limit that may be changed: where it stands, the fleet at a value, how the value is set.

    Parameters
    ----------
    more
        The change in words, as it is told where it never cures.
    shown
        Shown units per unit of `now`.
    least
        What the program says that is needed at least, None where none is enough; where it is not
        given, halving finds it.
    precision
        Relative precision of halving.
    """

    name: str
    more: str
    key: str
    unit: str
    now: float
    case: Callable[[float], Case]
    settings: Callable[[float], tuple[str, ...]]
    rises: bool = True
    whole: bool = False
    shown: float = 1.0
    least: Callable[[], float | None] | None = None
    precision: float = FINELY

    def text(self, value: float) -> str:
        """Write a value with its unit."""
        return f"{value * self.shown:,.10g} {self.unit}".strip()

    def rounded(self, value: float) -> float:
        """Return the next value with few digits that is no less of a change."""
        if value == 0:
            return value
        unit = 1.0 if self.whole else 10.0 ** (math.floor(math.log10(value)) + 1 - DIGITS)
        share = value / unit
        # What is round already stays as it is.
        whole = math.ceil(share - 1e-6) if self.rises else math.floor(share + 1e-6)
        return float(f"{whole * unit:.10g}")

    def further(self, value: float, by: float) -> float:
        """Return a value that is changed by a share more, and by one where it is whole."""
        if self.whole:
            by = max(by, by / STEP / max(value, 1.0))
        return self.rounded(value * (1.0 + by) if self.rises else value / (1.0 + by))

    def between(self, one: float, other: float) -> float | None:
        """Return a value in the middle of two, None where there is no other one."""
        middle = self.rounded(math.sqrt(one * other))
        return middle if middle not in (one, other) else None


def conflict_of(
    fleet: Fleet,
    document: Document,
    data: FleetData,
    pools: Sequence[Pool],
    missing: Sequence[NoPool],
) -> FleetConflict:
    """Return the limits of a fleet that are in each other's way, and what cures it."""
    return _Conflict(fleet, document, data, pools, missing).told()


class _Conflict:
    """A fleet that nothing serves."""

    def __init__(
        self,
        fleet: Fleet,
        document: Document,
        data: FleetData,
        pools: Sequence[Pool],
        missing: Sequence[NoPool],
    ) -> None:
        self._fleet, self._document, self._data = fleet, document, data
        self._pools, self._missing = pools, missing
        self._feasibility = Feasibility(data)
        self._limits = self._feasibility.limits

    def told(self) -> FleetConflict:
        """Return the conflict and its cures."""
        cures, without = list[FleetCure](), list[str]()
        for change in self._changes():
            value = _least(change)
            if value is None:
                without.append(change.more)
                continue
            cures.append(
                FleetCure(
                    change.name,
                    change.key,
                    change.text(change.now),
                    change.text(value),
                    change.settings(value),
                )
            )
        for name, one in self._fleet.classes.items():
            if not self._pools:
                break  # there would be nothing to decide
            if one.must_serve and not self._possible_without(name):
                without.append(f"leaving {name} unserved")
            elif one.must_serve:
                key = f"classes.{name}.must_serve"
                text = f"{name} need not be served"
                cures.append(FleetCure(text, key, "true", "false", (f"{key}=false",)))
        summary, limits = self._words()
        return FleetConflict(summary, limits, tuple(cures), tuple(without))

    def _possible_without(self, name: str) -> bool:
        return _decided(self._of(_with_class(self._fleet, name, must_serve=False)))

    def _of(self, fleet: Fleet, pools: Sequence[Pool] | None = None) -> Case:
        pools = self._pools if pools is None else pools
        return Case(fleet_data(fleet, pools), pools)

    # --- What may be changed -------------------------------------------------------------------

    def _changes(self) -> Iterator[Change]:
        """Yield every limit that may be changed."""
        yield from self._power()
        for kind, name in enumerate(self._fleet.racks):
            yield from self._racks(kind, name)
        yield from self._site()
        for kind, name in enumerate(self._fleet.racks):
            yield from self._host(kind, name)
        for place, name in enumerate(self._fleet.classes):
            yield from self._demand(place, name)
            yield from self._speed(name)
            yield from self._first_token(name)
            yield from self._resume(name)

    def _power(self) -> Iterator[Change]:
        """Yield the cap of the site, with those of periods in proportion."""
        site, periods = self._fleet.site.power, self._fleet.periods
        caps = dict[str, float]()
        if site is not None and any(one.power is None for one in periods):
            caps["site.power"] = float(site)
        for place, one in enumerate(periods):
            if one.power is not None:
                caps[f"periods.{place}.power"] = float(one.power)
        if not caps:
            return
        key, now = next(iter(caps.items()))

        def at(value: float, own: float) -> float:
            return value if own == now else change.rounded(own * (value / now))

        def case(value: float) -> Case:
            changed = [
                one.model_copy(update={"power": Figure(at(value, float(one.power)), "power")})
                if one.power is not None
                else one
                for one in periods
            ]
            fleet = self._fleet.model_copy(update={"periods": changed})
            power = Figure(at(value, float(site)), "power") if site is not None else None
            return self._of(_with_site(fleet, power=power))

        def settings(value: float) -> tuple[str, ...]:
            return tuple(f"{one}={at(value, own):.10g} kW" for one, own in caps.items())

        def least() -> float | None:
            more = self._feasibility.least_more(self._feasibility.of("power"))
            return now * (1.0 + more) if more is not None else None

        name = "power of the site"
        change = Change(name, f"more {name}", key, "kW", now, case, settings, least=least)
        yield change

    def _racks(self, kind: int, name: str) -> Iterator[Change]:
        """Yield the racks of a type that may be bought."""
        one = self._fleet.racks[name]
        if one.at_most is None:
            return
        key = f"racks.{name}.at_most"

        def case(value: float) -> Case:
            figure = Figure(value, "count")
            racks = {**self._fleet.racks, name: one.model_copy(update={"at_most": figure})}
            return self._of(self._fleet.model_copy(update={"racks": racks}))

        def least() -> float | None:
            found = self._feasibility.least_racks(kind)
            try:
                case(float(found or 0))
            except InputError:
                return None  # one that has no price is not bought
            # Where lines find them enough, it is the racks that run which are not.
            return max(found, float(one.at_most or 0)) if found is not None else None

        yield Change(
            f"racks of {name} to buy",
            f"more racks of {name}",
            key,
            "",
            float(one.at_most),
            case,
            lambda value: (f"{key}={value:.10g}",),
            whole=True,
            least=least,
        )

    def _site(self) -> Iterator[Change]:
        """Yield capital, space and the racks that may change what they do."""
        site, switching = self._fleet.site, self._fleet.switching

        def more(kind: LimitKind, now: float, unit: float) -> Callable[[], float | None]:
            def least() -> float | None:
                limits = self._feasibility.of(kind)
                found = self._feasibility.least_more(limits) if limits else None
                return now + found * unit if found is not None else None

            return least

        if site.capital is not None:
            now = float(site.capital)
            yield Change(
                "capital",
                "more capital",
                "site.capital",
                "MUSD",
                now,
                lambda value: self._of(_with_site(self._fleet, capital=Figure(value, "money"))),
                lambda value: (f"site.capital={value / 1e6:.10g} MUSD",),
                shown=1e-6,
                least=more("capital", now, max(now, 1.0)),
            )
        if site.space is not None:
            yield Change(
                "places for racks",
                "more space",
                "site.space",
                "",
                float(site.space),
                lambda value: self._of(_with_site(self._fleet, space=Figure(value, "count"))),
                lambda value: (f"site.space={value:.10g}",),
                whole=True,
                least=more("space", float(site.space), 1.0),
            )
        if switching is not None:
            yield Change(
                "racks that may change what they do",
                "more switching",
                "switching",
                "",
                float(switching),
                lambda value: self._of(
                    self._fleet.model_copy(update={"switching": Figure(value, "count")})
                ),
                lambda value: (f"switching={value:.10g}",),
                whole=True,
                least=more("switching", float(switching), 1.0),
            )

    def _host(self, kind: int, name: str) -> Iterator[Change]:
        """Yield what stands beside the accelerators of a type of rack, where it is a limit."""
        pool = next((one for one in self._pools if one.kind == name), None)
        if pool is None:
            return
        rack = pool.instance.rack
        for limit in HOST_LIMITS:
            figures = limit.figures(rack)
            known = {key: float(one) for key, one in figures.items() if one is not None}
            if known and Limit(limit.kind, kind) in self._limits:
                yield self._host_change(kind, name, limit, known)

    def _host_change(
        self, kind: int, name: str, limit: "_HostLimit", figures: Mapping[str, float]
    ) -> Change:
        (first, now), *_ = figures.items()
        key = f"racks.{name}.rack"
        named = self._document.get(("racks", name, "rack"))

        def case(value: float) -> Case:
            one = self._data.kinds[kind]
            more = {limit.field: getattr(one, limit.field) * value / now}
            kinds = list(self._data.kinds)
            kinds[kind] = replace(one, **more)
            return Case(replace(self._data, kinds=tuple(kinds)), self._pools)

        def settings(value: float) -> tuple[str, ...]:
            values = {
                one: f"{own * value / now:.10g} {limit.unit}".strip()
                for one, own in figures.items()
            }
            if not isinstance(named, str):
                return tuple(f"{key}.{one}={text}" for one, text in values.items())
            part = first.partition(".")[0]
            inner = ", ".join(f"{one.partition('.')[2]}: {text}" for one, text in values.items())
            return (f"{key}={{base: {named}, {part}: {{{inner}}}}}",)

        return Change(
            f"{limit.words} of {name}",
            f"more {limit.words} of {name}",
            f"{key}.{first}",
            limit.unit,
            now,
            case,
            settings,
            whole=limit.whole,
        )

    def _demand(self, place: int, name: str) -> Iterator[Change]:
        """Yield the demand of a class."""
        one = self._fleet.classes[name]
        if not one.must_serve:
            return
        for field, unit in (("rate", "requests/s"), ("throughput", "tok/s"), ("users", "")):
            figure = getattr(one, field)
            if not isinstance(figure, Figure):
                continue
            yield self._demand_change(place, name, field, unit, figure)

    def _demand_change(
        self, place: int, name: str, field: str, unit: str, figure: Figure
    ) -> Change:
        key, now = f"classes.{name}.{field}", float(figure)

        def case(value: float) -> Case:
            changed = Figure(value, figure.dimension)
            return self._of(_with_class(self._fleet, name, **{field: changed}))

        def least() -> float | None:
            limit = Limit("demand", place)
            known = limit in self._feasibility.limits
            less = self._feasibility.least_more([limit]) if known else None
            return now * (1.0 - less) if less is not None and less < 1.0 - 1.0 / FURTHEST else None

        return Change(
            f"demand of {name}",
            f"less demand of {name}",
            key,
            unit,
            now,
            case,
            lambda value: (f"{key}={value:.10g} {unit}".strip(),),
            rises=False,
            whole=figure.dimension == "count",
            least=least,
        )

    def _speed(self, name: str) -> Iterator[Change]:
        """Yield the speed floor of a class; at each another load curve is computed."""
        one = self._fleet.classes[name]
        key, now = f"classes.{name}.min_speed", float(one.min_speed)
        if now == 0 or not one.must_serve:
            return
        others = [pool for pool in self._pools if pool.demand != name]

        @cache
        def case(value: float) -> Case:
            document = self._document.copied()
            path = ("classes", name, "min_speed")
            document.graft(path, Document(f"{value:.10g} tok/s/user", {(): document.origin(path)}))
            fleet = _with_class(self._fleet, name, min_speed=Figure(value, "speed"))
            alone = fleet.model_copy(update={"classes": {name: fleet.classes[name]}})
            return self._of(fleet, [*others, *pools_of(alone, document)[0]])

        yield Change(
            f"speed floor of {name}",
            f"a lower speed floor of {name}",
            key,
            "tok/s/user",
            now,
            case,
            lambda value: (f"{key}={value:.10g} tok/s/user",),
            rises=False,
            precision=ROUGHLY,
        )

    def _first_token(self, name: str) -> Iterator[Change]:
        """Yield the limit of the time to the first token, where pools prefill."""
        one = self._fleet.classes[name]
        if one.first_token is None or one.prefill not in ("pool", "choose") or not one.must_serve:
            return
        key, now = f"classes.{name}.first_token", float(one.first_token)
        others = [pool for pool in self._pools if pool.demand != name or not pool.prefills]
        instances = {
            kind: instance_of(self._fleet, self._document, name, kind, shared=False)
            for kind in one.racks or self._fleet.racks
        }

        @cache
        def case(value: float) -> Case:
            fleet = _with_class(self._fleet, name, first_token=Figure(value, "time"))
            found = [prefill_pool(fleet, name, kind, own) for kind, own in instances.items()]
            return self._of(fleet, [*others, *(pool for pool in found if pool is not None)])

        yield Change(
            f"time to the first token of {name}",
            f"more time to the first token of {name}",
            key,
            "ms",
            now,
            case,
            lambda value: (f"{key}={value:.10g} ms",),
            precision=ROUGHLY,
        )

    def _resume(self, name: str) -> Iterator[Change]:
        """Yield the time within which the cache of a session has to be back."""
        one = self._fleet.classes[name]
        sessions = one.sessions
        if sessions is None or sessions.resume is None or not one.must_serve:
            return
        key, now = f"classes.{name}.sessions.resume", float(sessions.resume)

        def case(value: float) -> Case:
            longer = sessions.model_copy(update={"resume": Figure(value, "time")})
            return self._of(_with_class(self._fleet, name, sessions=longer))

        yield Change(
            f"resume limit of {name}",
            f"more time to resume sessions of {name}",
            key,
            "ms",
            now,
            case,
            lambda value: (f"{key}={value:.10g} ms",),
        )

    # --- What is in the way, in words ----------------------------------------------------------

    def _words(self) -> tuple[str, tuple[str, ...]]:
        """Return the conflict in a sentence, and its limits one by one."""
        unserved = [self._data.demands[place].name for place in self._feasibility.unserved]
        if unserved:
            return self._no_pool(unserved)
        limits = self._feasibility.conflict() if not self._feasibility.possible() else []
        if not limits:
            asked = [self._limit_in_words(one) for one in self._limits if one.kind == "power"]
            summary = (
                "the lines below the load curves leave a plan, but racks that run were found to "
                "draw a little more than the cap of the site"
            )
            return summary, tuple(asked)
        demands = [one for one in limits if one.kind == "demand"]
        others = [one for one in limits if one.kind != "demand"]
        named = tuple(self._limit_in_words(one) for one in limits)
        who = " and ".join(self._asked_in_words(one, others) for one in demands)
        verb = "needs" if len(demands) == 1 and not who.endswith("tok/s") else "need"
        for kind in TOLD_FIRST:
            first = [one for one in others if one.kind == kind]
            needed = self._needed(first, limits) if first else None
            if needed is not None:
                beside = [self._limit_in_words(one) for one in others if one not in first]
                within = f" (with {'; '.join(beside)})" if beside else ""
                return f"{who} {verb} at least {needed}{within}", named
        if others:
            within = "; ".join(self._limit_in_words(one) for one in others)
            return f"{who} {verb} more than there is: {within}", named
        return f"{who} cannot be served by any number of racks that may run then", named

    def _no_pool(self, unserved: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """Return why classes have no pools on any type of rack."""
        told = list[str]()
        for name in unserved:
            why = dict[str, list[str]]()
            for gone in self._missing:
                if gone.demand == name:
                    kinds = why.setdefault(gone.reason, [])
                    kinds += [gone.kind] if gone.kind not in kinds else []
            reasons = [f"on {', '.join(kinds)} {reason}" for reason, kinds in why.items()]
            told.append(f"no type of rack serves class {name}: {'; '.join(reasons)}")
        named = list[str]()
        for name in unserved:
            one = self._fleet.classes[name]
            named.append(f"speed floor of {name}: {show(float(one.min_speed))} tok/s/user")
            if one.first_token is not None and one.prefill in ("pool", "choose"):
                named.append(
                    f"time to the first token of {name}: {show(float(one.first_token))} ms"
                )
        return "; ".join(told), tuple(named)

    def _needed(self, first: Sequence[Limit], limits: Sequence[Limit]) -> str | None:
        """Return how much of limits a conflict needs, and how much there is; None if never enough.

        Limits outside of the conflict do not count.
        """
        lifted = [one for one in self._limits if one not in limits]
        kind, place = first[0].kind, first[0].index
        data = self._feasibility.data
        if kind == "racks":
            one = data.kinds[place]
            racks = self._feasibility.least_racks(place, lifted)
            if racks is None:
                return None
            owned = f" beside the {show(max(one.owned))} owned" if max(one.owned) else ""
            return (
                f"{counted(racks, 'rack')} of {one.name}{owned}, "
                f"of which at most {show(one.at_most or 0.0)} may be bought"
            )
        if kind not in ("power", "capital", "space", "switching"):
            return None
        more = self._feasibility.least_more(first, lifted)
        if more is None:
            return None
        if kind == "power":
            cap = self._cap(place)
            when = f" in {self._when(place)}" if self._when(place) else ""
            return f"{show(cap * (1.0 + more))} kW of the site{when}, whose cap is {show(cap)} kW"
        if kind == "capital":
            now = data.capital_usd or 0.0
            total = now + more * max(now, 1.0)
            return f"{show(total / 1e6)} MUSD of capital, of which there are {show(now / 1e6)} MUSD"
        if kind == "space":
            now = data.space or 0.0
            return f"{show(now + more)} places for racks, of which there are {show(now)}"
        now = data.switches or 0.0
        return f"{show(now + more)} racks that change what they do, of which {show(now)} may"

    def _asked_in_words(self, limit: Limit, others: Sequence[Limit]) -> str:
        """Return a class and what it asks for where it is short."""
        data, powers = self._feasibility.data, [one for one in others if one.kind == "power"]
        periods = [data.periods[one.index] for one in powers] or data.periods
        most = max(one.asked[limit.index] or 0.0 for one in periods)
        return f"class {data.demands[limit.index].name}'s {show(most)} tok/s"

    def _cap(self, period: int) -> float:
        """Return the cap of a period in the scope in which it was given."""
        data = self._feasibility.data
        scale = data.overhead if self._fleet.site.power_scope == "rack" else 1.0
        return (data.periods[period].cap_kw or 0.0) / scale

    def _when(self, period: int) -> str:
        return self._feasibility.data.periods[period].name if len(self._data.periods) > 1 else ""

    def _limit_in_words(self, limit: Limit) -> str:
        data, place = self._feasibility.data, limit.index
        if limit.kind == "power":
            when = f" in {self._when(place)}" if self._when(place) else ""
            return f"power of the site{when}: {show(self._cap(place))} kW"
        if limit.kind == "racks":
            one = data.kinds[place]
            owned = f"{show(max(one.owned))} owned, " if max(one.owned) else ""
            return f"racks of {one.name}: {owned}{show(one.at_most or 0.0)} to buy"
        if limit.kind == "capital":
            return f"capital: {show((data.capital_usd or 0.0) / 1e6)} MUSD"
        if limit.kind == "space":
            return f"space: {show(data.space or 0.0)} places"
        if limit.kind == "switching":
            return f"racks that change what they do: {show(data.switches or 0.0)}"
        if limit.kind == "demand":
            most = max(one.asked[place] or 0.0 for one in data.periods)
            return f"demand of {data.demands[place].name}: {show(most)} tok/s"
        words = next(one.words for one in HOST_LIMITS if one.kind == limit.kind)
        kind = data.kinds[place]
        there = {
            "host_gb": f": {show(kind.host_gb)} GB a rack",
            "storage_gb": f": {show(kind.storage_gb)} GB a rack",
            "cpu": f": {show(kind.cores)} a rack",
        }
        return f"{words} of {kind.name}{there.get(limit.kind, '')}"


TOLD_FIRST: tuple[LimitKind, ...] = ("power", "racks", "space", "capital", "switching")


@dataclass(frozen=True)
class _HostLimit:
    """What stands beside the accelerators: its row, the number that grows, and its figures."""

    kind: HostRow
    words: str
    unit: str
    field: str
    figures: Callable[[Rack], dict[str, Figure | None]]
    whole: bool = False


def _of_host(*names: str) -> Callable[[Rack], dict[str, Figure | None]]:
    return lambda rack: {f"host.{name}": getattr(rack.host, name, None) for name in names}


def _of_storage(*names: str) -> Callable[[Rack], dict[str, Figure | None]]:
    return lambda rack: {f"storage.{name}": getattr(rack.storage, name, None) for name in names}


HOST_LIMITS = (
    _HostLimit("host_gb", "host memory", "GB", "host_gb", _of_host("memory")),
    _HostLimit(
        "host_busy", "links to host memory", "TB/s", "host_busy", _of_host("memory_bandwidth")
    ),
    _HostLimit("storage_gb", "drives", "GB", "storage_gb", _of_storage("capacity")),
    _HostLimit(
        "storage_busy",
        "bandwidth of drives",
        "TB/s",
        "storage_busy",
        _of_storage("read_bandwidth", "write_bandwidth"),
    ),
    _HostLimit("cpu", "CPU cores", "", "cores", _of_host("cores"), whole=True),
)
"""What may be more of beside the accelerators of each rack."""


def _with_site(fleet: Fleet, **changes: Figure | None) -> Fleet:
    return fleet.model_copy(update={"site": fleet.site.model_copy(update=changes)})


def _with_class(fleet: Fleet, name: str, **changes: Figure | Sessions | bool) -> Fleet:
    one = fleet.classes[name].model_copy(update=changes)
    return fleet.model_copy(update={"classes": {**fleet.classes, name: one}})


# --- The least of a change ---------------------------------------------------------------------


def _least(change: Change) -> float | None:
    """Return the least value of a change that suffices by itself, None where none does."""
    value = _by_lines(change)
    if value is None:
        return None
    for decided in (_decided_where_it_counts, _decided):
        value = _going_on(change, value, decided)
        if value is None:
            return None
    return value


def _by_lines(change: Change) -> float | None:
    """Return the least value at which the lines below the load curves leave a plan."""

    def possible(value: float) -> bool:
        return Feasibility(change.case(value).data).possible()

    bad = change.now
    if change.least is not None:
        least = change.least()
        if least is None:
            return None
        bad = change.rounded(least)
        if bad > 0 and possible(bad):
            return bad
    good = change.rounded(change.now * FURTHEST if change.rises else change.now / FURTHEST)
    if good <= 0 or bad <= 0 or not possible(good):
        return None
    while abs(math.log(good / bad)) > change.precision:
        middle = change.between(good, bad)
        if middle is None:
            break
        if possible(middle):
            good = middle
        else:
            bad = middle
    return good


def _going_on(change: Change, value: float, decided: Callable[[Case], bool]) -> float | None:
    """Return a value at which racks that run serve the fleet, the first that is found."""
    if decided(change.case(value)):
        return value
    good, bad = None, value
    for doubled in range(MOST_STEPS):
        further = change.further(value, STEP * 2**doubled)
        if decided(change.case(further)):
            good = further
            break
        bad = further
    if good is None:
        return None
    while abs(math.log(good / bad)) > CLOSE:
        middle = change.between(good, bad)
        if middle is None:
            break
        if decided(change.case(middle)):
            good = middle
        else:
            bad = middle
    return good


def _decided(case: Case) -> bool:
    return decidable(case.data, case.pools)


def _decided_where_it_counts(case: Case) -> bool:
    """Whether racks that run serve what has to be served in the periods that ask for most."""
    pools = [case.pools[place] for place in pools_that_count(case.data)]
    return not pools or decidable(what_counts(case.data), pools)
