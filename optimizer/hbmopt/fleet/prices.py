"""What one more of everything is worth to a fleet.

Two prices stand side by side. With all racks held as they are, one more token costs its energy. In
a fleet that is large beside a rack it costs its share of a rack as well: that is the price of the
relaxation, where racks may be parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from hbmopt.demand import Array
from hbmopt.fleet.deciding import Decided
from hbmopt.fleet.load_curve import LoadCurve, load_curves, refine
from hbmopt.fleet.pools import Pool
from hbmopt.fleet.program import FleetProgram
from hbmopt.models.fleet.quantities import Band, FleetData, Line
from hbmopt.program import highs


@dataclass(frozen=True)
class FleetPrices:
    """What the objective gains by one more unit of right-hand sides: of the relaxation, and held.

    The keys are names of rows and their indices.
    """

    relaxed: dict[tuple[str, tuple[int, ...]], float]
    held: dict[tuple[str, tuple[int, ...]], float]
    rack: dict[str, float]
    """Of one more rack of each type that may be bought in the first year."""

    def of(self, name: str, *index: int, held: bool = False) -> float:
        """Return the price of a row, 0 where there is none."""
        return (self.held if held else self.relaxed).get((name, index), 0.0)


def prices_of(decided: Decided) -> FleetPrices:
    """Return the prices of all rows of a plan, in the objective's unit, more being better.

    Of the lines below the load curves alone: bands around what racks make would hold them there.
    """
    data = without_bands(decided.program.data)
    program = FleetProgram(data)
    relaxed, held = program.relaxed(), program.relaxed(_held(program, decided))
    return FleetPrices(
        _by_row(program, relaxed.duals) if relaxed.optimal else {},
        _by_row(program, held.duals) if held.optimal else {},
        {
            one.name: float(relaxed.reduced[program.column("bought", kind, 0)])
            for kind, one in enumerate(data.kinds)
            if relaxed.optimal and program.holds("bought", kind, 0)
        },
    )


@dataclass(frozen=True)
class MemoryWorth:
    """What the objective gains by more HBM on every accelerator of a type of rack.

    `gigabyte` is for one GB more, `terabyte_per_s` for one TB/s more, in the objective's unit.
    """

    gigabyte: float
    terabyte_per_s: float


def memory_worth(decided: Decided, pools: Sequence[Pool]) -> dict[str, MemoryWorth]:
    """Return what more HBM is worth, by type of rack of which pools decode.

    The load curves are drawn anew for a per cent more, and parts of racks decided again. Pools that
    compute prompts are left as they are.
    """
    used = {place for place, _ in decided.operations}
    decoding = [place for place in sorted(used) if isinstance(pools[place].curve, LoadCurve)]
    kinds = list(dict.fromkeys(pools[place].kind for place in decoding))
    asked = [
        (kind, path, place)
        for kind in kinds
        for path in (CAPACITY, BANDWIDTH)
        for place in decoding
        if pools[place].kind == kind
    ]
    fresh = load_curves([pools[place].instance.scaled(path, MORE) for _, path, place in asked])
    drawn = [one for one in fresh if one is not None]
    refine([*drawn, *(one for place in decoding if _is_curve(one := pools[place].curve))], FINE)
    bare = without_bands(decided.program.data)
    lines = {place: tuple(pools[place].curve.lines) for place in decoding}
    before = FleetProgram(_with(bare, lines, {})).relaxed().objective
    found = dict[str, MemoryWorth]()
    for kind in kinds:
        gains = []
        for path in (CAPACITY, BANDWIDTH):
            own = {
                place: one
                for (whose, what, place), one in zip(asked, fresh, strict=True)
                if one is not None and whose == kind and what == path
            }
            more = {place: (tuple(one.lines), one.top.rate) for place, one in own.items()}
            lifted = {place: each for place, (each, _) in more.items()}
            tops = {place: top for place, (_, top) in more.items()}
            after = FleetProgram(_with(bare, lines | lifted, tops)).relaxed().objective
            place = next(iter(own))
            amount = float(pools[place].instance.figure(path)) * (MORE - 1.0)
            gained = after - before if after > before + ROUNDED * abs(before) else 0.0
            gains.append(gained / amount)
        found[kind] = MemoryWorth(*gains)
    return found


CAPACITY = ("rack", "accelerator", "hbm_capacity")
BANDWIDTH = ("rack", "accelerator", "hbm_bandwidth")

MORE = 1.01
"""How much more of HBM its price is taken over."""

ROUNDED = 1e-9
"""Share of the objective up to which it gained nothing."""

FINE = 1e-3
"""Share of a rack's power that load curves leave open where their differences count."""


def _is_curve(curve: object) -> TypeGuard[LoadCurve]:
    return isinstance(curve, LoadCurve)


def _with(
    data: FleetData, lines: Mapping[int, tuple[Line, ...]], tops: Mapping[int, float]
) -> FleetData:
    """Return numbers of one band each with other lines and highest rates of some pools."""

    def band(place: int, one: Band) -> Band:
        return replace(one, lines=lines.get(place, one.lines), highest=tops.get(place, one.highest))

    return replace(
        data,
        bands=tuple(
            tuple((band(place, one),) for (one,) in own) for place, own in enumerate(data.bands)
        ),
    )


def without_bands(data: FleetData) -> FleetData:
    """Return numbers in which all racks of a pool are of one band."""
    return replace(data, bands=tuple(map(_as_one, data.bands)))


def _as_one(bands: tuple[tuple[Band, ...], ...]) -> tuple[tuple[Band, ...], ...]:
    """Return bands of a pool by period as the one that holds them all."""
    return tuple((Band(0.0, own[-1].highest, 0.0, own[-1].lines),) for own in bands)


def _held(program: FleetProgram, decided: Decided) -> highs.Program:
    """Return the program with all racks as they are in a plan."""
    lower, upper = program.declared.column_lower.copy(), program.declared.column_upper.copy()
    for pool, period, band in program.data.indices():
        place = program.column("band_racks", pool, period, band)
        lower[place] = upper[place] = float(decided.racks(pool, period))
    for name in ("bought", "kept"):
        for index in program.model.component(name):
            if program.holds(name, *index):
                place = program.column(name, *index)
                lower[place] = upper[place] = round(decided.value(name, *index))
    return replace(program.declared, column_lower=lower, column_upper=upper)


def _by_row(program: FleetProgram, duals: Array) -> dict[tuple[str, tuple[int, ...]], float]:
    found = {}
    for row, dual, scale in zip(program.rows, duals, program.scale, strict=False):
        index = row.index()
        key = () if index is None else index if isinstance(index, tuple) else (index,)
        found[row.parent_component().local_name, tuple(key)] = float(dual * scale)
    return found
