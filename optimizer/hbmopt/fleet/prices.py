"""What one more of everything is worth to a fleet.

Two prices stand side by side. With all racks held as they are, one more token costs its energy. In
a fleet that is large beside a rack it costs its share of a rack as well: that is the price of the
relaxation, where racks may be parts.
"""

from dataclasses import dataclass, replace

from hbmopt.demand import Array
from hbmopt.fleet.deciding import Decided
from hbmopt.fleet.program import FleetProgram
from hbmopt.models.fleet.quantities import Band, FleetData
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
