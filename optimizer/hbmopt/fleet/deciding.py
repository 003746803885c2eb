"""Deciding: how many racks of which type, and what each of them does in every period.

First the relaxation is made tight (`FleetProgram.tighten`), which bounds every plan. Then racks are
whole: where there are few periods all at once; where there are many, purchases are decided with
parts of racks in all of them, then each period on what was bought, and those in which racks are
short together with the purchases, which bounds the plan anew. What the lines of the load curves
promise is then made by racks that run, and the gap that is told is that between these and the
bound. Where it is wide, the curves are drawn finer where the plan uses them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hbmopt.basics import Told, counted, tells_nobody
from hbmopt.demand import Array
from hbmopt.errors import SolverError
from hbmopt.fleet.feasibility import unserved
from hbmopt.fleet.load_curve import LoadCurve, refine
from hbmopt.fleet.operating import PoolOperation, RunningRacks, operation_of
from hbmopt.fleet.pools import Pool
from hbmopt.fleet.program import FleetProgram, Whole, alone, part_of, rows_of
from hbmopt.models.fleet.quantities import Band, FleetData
from hbmopt.program import InfeasiblePlanError, highs

GAP = 1e-3
"""Relative gap of a plan that is called optimal."""

CLOSE = 1e-4
"""And of one that is small enough for it."""

FEW = 60
"""Numbers of racks up to which all are decided at once."""

FEWEST = 12
"""And up to which they are decided to the closer gap."""

MOST_BANDED = 8
"""Times that bands are divided at most."""

SLOWLY = 0.8
"""Share of a gap that may be left when bands are divided, for it to go on."""

NARROWER = 8.0
"""How much narrower a band is in which racks run, when it is divided."""

JUST = 3e-5
"""Share of a rate by which a band may be narrow."""

WITHIN = 1e-8
"""Share of a cap by which racks may exceed it, as numbers round."""

NO_RATE = 1e-9
"""Share of what a rack makes up to which a pool makes nothing."""

ROUNDED = 1e-9
"""Share of a power that is the rounding of the rate that it is needed for."""

EXACT = 40
"""Pools and periods up to which every rack's own least power is looked up."""

FINER = (5e-3, 5e-4)
"""Shares of power that load curves leave open, round by round."""

MOST_REPAIRS = 8

TAKEN = 0.7
"""Share of a gap that whole racks may take; load curves and operating points take the rest."""

RUNS = 1e-6
"""Racks from which on a pool runs where racks may be parts."""

NEAR = ((1.0, 0.0), (2.0, 1.0))
"""Racks more or less of pools that run in parts, and those of pools that do not."""

SHARED_GAP = 0.1
"""Share of a gap that periods take which are decided on what was bought."""

JOINT_GAP = 0.15
"""And that of the periods which are decided together with what is bought."""

NODES, MOST_NODES = 200, 20_000
"""Nodes of the search after which a period, and a fleet, is left with the best that was found."""


@dataclass(frozen=True)
class Decided:
    """A plan: values of all variables, how every pool runs, and what no plan is better than.

    `objective` and `bound` are those of the program, more being better.
    """

    program: FleetProgram
    point: Array
    operations: dict[tuple[int, int], PoolOperation]
    objective: float
    bound: float

    @property
    def missed(self) -> float:
        """How much less racks make than the lines below their load curves promise, as a share."""
        promised = float(self.program.declared.cost @ self.point)
        return (promised - self.objective) / max(abs(self.objective), 1e-9)

    @property
    def gap(self) -> float:
        """By how much any plan can be better, as a share."""
        scale = max(abs(self.objective), 1e-9)
        return max(0.0, (self.bound - self.objective) / scale)

    def or_better(self, other: "Decided") -> "Decided":
        """Return the better one of two plans, with what is known of both by how much at most."""
        better = max((self, other), key=lambda one: one.objective)
        return replace(better, bound=min(self.bound, other.bound))

    def value(self, name: str, *index: int) -> float:
        """Return the value of a variable."""
        return float(self.point[self.program.column(name, *index)])

    def racks(self, pool: int, period: int) -> int:
        """Return the racks of a pool in a period; those that make nothing are at rest."""
        if self.program.data.switches is None and (pool, period) not in self.operations:
            return 0
        bands = range(len(self.program.data.bands[pool][period]))
        return round(sum(self.value("band_racks", pool, period, band) for band in bands))

    def rate(self, pool: int, period: int) -> float:
        """Return what a pool makes in a period in the mean."""
        bands = range(len(self.program.data.bands[pool][period]))
        return sum(self.value("band_rate", pool, period, band) for band in bands)


def decide(
    data: FleetData,
    pools: Sequence[Pool],
    gap: float | None = None,
    told: Told = tells_nobody,
) -> Decided:
    """Return the best plan of a fleet.

    Raises
    ------
    InfeasiblePlanError
        If there is none.
    """
    few, wanted = _few(data, pools), _wanted(data, pools, gap)
    best = _decided(data, pools, wanted, told)
    for share in FINER:
        # Finer lines help where these promise more than racks make, not where racks are whole.
        if best.gap <= wanted or (not few and best.missed <= best.gap / 2.0):
            break
        used = {pool for pool, _ in best.operations}
        curves = [one for place in used if isinstance(one := pools[place].curve, LoadCurve)]
        behind = _Behind(told, _so_far(best, wanted))
        behind("finer load curves")
        if not refine(curves, share):
            continue
        try:
            found = _decided(
                with_lines(best.program.data, pools),
                pools,
                wanted,
                behind,
            )
        except InfeasiblePlanError:
            break  # the plan that there is keeps the cap, and others do not
        best = best.or_better(found)
    best = replace(best, bound=max(best.bound, best.objective))
    return _banded(best, pools, wanted, told) if few and best.gap > wanted else best


def decidable(data: FleetData, pools: Sequence[Pool]) -> bool:
    """Whether `decide` finds a plan of a fleet, one as good as any or not."""
    try:
        _decided(data, pools, _wanted(data, pools, None))
    except InfeasiblePlanError:
        return False
    return True


def _so_far(best: Decided, wanted: float) -> str:
    """Say how good a plan there is, and how good is enough."""
    return f"gap {best.gap:.2%}, wanted {wanted:.2%}"


@dataclass(frozen=True)
class _Behind:
    """Tells what is being done behind how far it is."""

    told: Told
    before: str

    def __call__(self, what: str) -> None:
        self.told(f"{self.before}; {what}")


def _few(data: FleetData, pools: Sequence[Pool]) -> bool:
    return len(pools) * len(data.periods) <= FEWEST


def _wanted(data: FleetData, pools: Sequence[Pool], gap: float | None) -> float:
    return gap if gap is not None else (CLOSE if _few(data, pools) else GAP)


def _banded(best: Decided, pools: Sequence[Pool], wanted: float, told: Told) -> Decided:
    """Return a plan of which the power is bounded closely, in bands around what its racks make.

    A rack that makes a rate draws at least what the lower end of its band takes.
    """
    found, slow = best, 0
    for _ in range(MOST_BANDED):
        if best.gap <= wanted or slow > 1:
            break
        told(f"{_so_far(best, wanted)}; closing in on it")
        data, before = _split(found, pools), best.gap
        if data is None:
            break
        try:
            found = _decided(data, pools, wanted)
        except InfeasiblePlanError:
            break  # the plan that there is keeps the cap, and others do not
        best = best.or_better(found)
        slow = slow + 1 if best.gap > SLOWLY * before else 0
    return replace(best, bound=max(best.bound, best.objective))


def _split(found: Decided, pools: Sequence[Pool]) -> FleetData | None:
    """Return the numbers with the bands in which racks run divided, None where none can be."""
    data, changed = found.program.data, False
    bands = [list(own) for own in data.bands]
    for pool, one in enumerate(pools):
        curve = one.curve
        if not isinstance(curve, LoadCurve):
            continue
        for period, own in enumerate(data.bands[pool]):
            ends = {end for band in own for end in (band.lowest, band.highest)}
            fresh = set(ends)
            for place, band in enumerate(own):
                racks = found.value("band_racks", pool, period, place)
                rate = found.value("band_rate", pool, period, place)
                if racks < 0.5 or rate <= 0:
                    continue
                each = data.pools[pool].headroom[period] * rate / racks
                each = min(max(each, band.lowest), band.highest)
                below = each - (each - band.lowest) / NARROWER
                for end in (below, each):
                    if _apart(end, fresh, curve.top.rate):
                        fresh.add(end)
            operation = found.operations.get((pool, period))
            for running in operation.racks if operation is not None else ():
                # What is more than racks make on their power takes more of it.
                for end in (running.rate, running.rate * (1.0 + JUST)):
                    if end < curve.top.rate and _apart(end, fresh, curve.top.rate):
                        fresh.add(end)
            if fresh == ends:
                continue
            changed = True
            bands[pool][period] = _bands(curve, sorted(fresh))
    return replace(data, bands=tuple(tuple(own) for own in bands)) if changed else None


def _apart(end: float, ends: set[float], most: float) -> bool:
    return min(abs(end - one) for one in ends) > 1e-6 * most


def _bands(curve: LoadCurve, ends: Sequence[float]) -> tuple[Band, ...]:
    """Return the bands between ends, with what the lower one of each takes at least."""
    lowest = [one for one in ends[:-1] if one > 0]
    drawn = dict(zip(lowest, curve.at_least(lowest), strict=True))
    found = []
    for low, high in pairwise(ends):
        point = drawn.get(low)
        least = point.kw * (1.0 - ROUNDED) if point is not None else 0.0
        found.append(Band(low, high, least, tuple(curve.lines)))
    return tuple(found)


def with_lines(data: FleetData, pools: Sequence[Pool]) -> FleetData:
    """Return the numbers with the lines that load curves have by now."""
    bands = []
    for pool, own in zip(pools, data.bands, strict=True):
        lines = tuple(pool.curve.lines)
        bands.append(tuple(tuple(replace(one, lines=lines) for one in each) for each in own))
    return replace(data, bands=tuple(bands))


def _decided(
    data: FleetData, pools: Sequence[Pool], gap: float, told: Told = tells_nobody
) -> Decided:
    if unserved(data):
        raise InfeasiblePlanError("no type of rack serves a class that has to be served")
    told("writing the program")
    program = FleetProgram(data)
    bound = program.tighten(told)
    exact = len(pools) * len(data.periods) <= EXACT
    held, found = data, None
    for _ in range(MOST_REPAIRS):
        now = program if held is data else _capped(program, held)
        try:
            point, proven = _whole(now, gap * TAKEN, told)
        except InfeasiblePlanError:
            if found is None:
                raise
            break
        bound = min(bound, proven) if held is data else bound
        told("running whole racks")
        # Told by the program with the caps that there are, not those that it took to keep them.
        found = _operated(program, pools, point, bound, exact=exact)
        over = _over(found, data)
        if over and exact:
            found = _fitted(program, pools, point, bound, found)
            over = _over(found, data)
        if not over:
            return replace(found, bound=max(found.objective, bound))
        held = replace(
            held,
            periods=tuple(
                replace(one, cap_kw=(one.cap_kw or 0.0) - over.get(place, 0.0))
                if place in over
                else one
                for place, one in enumerate(held.periods)
            ),
        )
    # The lines below the load curves keep the cap, and the racks that were found do not.
    raise InfeasiblePlanError("no whole racks were found that keep the cap of the site")


def _capped(program: FleetProgram, data: FleetData) -> FleetProgram:
    """Return a program with other caps; cuts that hold for it hold for them as well."""
    tighter = FleetProgram(data)
    tighter.adopt(program)
    return tighter


def _fitted(
    program: FleetProgram, pools: Sequence[Pool], point: Array, bound: float, found: Decided
) -> Decided:
    """Return a plan whose racks make what they can on the power that the lines promise them.

    Only classes that need not be served whole can be served less.
    """
    data, less = program.data, point.copy()
    for pool, period in found.operations:
        one, demand = pools[pool], data.demands[data.pools[pool].demand]
        asked = data.periods[period].asked[data.pools[pool].demand]
        curve = one.curve
        if not isinstance(curve, LoadCurve) or (demand.must_serve and asked is not None):
            continue
        for band in range(len(data.bands[pool][period])):
            place = pool, period, band
            racks = round(found.value("band_racks", *place))
            if racks == 0:
                continue
            column = program.column("band_rate", *place)
            reached = curve.within(found.value("band_power", *place) / racks)
            made = racks * reached.rate if reached is not None else 0.0
            less[column] = min(less[column], made / data.pools[pool].headroom[period])
    return _operated(program, pools, less, bound, exact=True)


def _over(found: Decided, data: FleetData) -> dict[int, float]:
    """Return the kW by which operating points exceed the cap of a period."""
    over = {}
    for place, one in enumerate(data.periods):
        if one.cap_kw is None:
            continue
        excess = site_power(found, place) - one.cap_kw
        if excess > WITHIN * one.cap_kw:
            over[place] = excess * (1.0 + 1e-6)
    return over


def site_power(found: Decided, period: int) -> float:
    """Return the kW of the site in a period, as its racks run."""
    program = found.program
    lines = sum(
        found.value("band_power", *index) for index in program.data.indices() if index[1] == period
    )
    run = sum(one.kw for (_, when), one in found.operations.items() if when == period)
    return program.amount("site_power", found.point, period) + program.data.overhead * (run - lines)


def _operated(
    program: FleetProgram, pools: Sequence[Pool], point: Array, bound: float, *, exact: bool
) -> Decided:
    """Return a plan in which racks run, with what it is worth by their power."""
    data = program.data
    found = Decided(program, point, {}, 0.0, bound)
    drawn = point.copy()
    for pool, one in enumerate(pools):
        for period, bands in enumerate(data.bands[pool]):
            running = list[RunningRacks]()
            for band in range(len(bands)):
                place = pool, period, band
                rate = data.pools[pool].headroom[period] * found.value("band_rate", *place)
                racks = round(found.value("band_racks", *place))
                drawn[program.column("band_power", *place)] = 0.0
                if racks == 0 or rate <= NO_RATE * one.highest:
                    continue
                operation = operation_of(one, racks, rate, exact=exact)
                if operation is None:
                    raise SolverError(f"{one.name}: {racks} racks do not make {rate:,.6g}")
                running += operation.racks
                drawn[program.column("band_power", *place)] = operation.kw
            if running:
                found.operations[pool, period] = PoolOperation(tuple(running))
    objective = float(program.declared.cost @ drawn)
    return replace(found, objective=objective)


def _whole(program: FleetProgram, gap: float, told: Told) -> tuple[Array, float]:
    """Return a plan of whole racks by the lines, and what none is better than."""
    told("whole racks")
    whole, data = program.program, program.data
    racks = [program.column("band_racks", *index) for index in data.indices()]
    bought = [place for place in whole.integer if place not in set(racks)]
    if len(racks) <= FEW or data.switches is not None or len(data.periods) == 1:
        answer = highs.solve(whole, integers=True, gap=gap, nodes=MOST_NODES)
        if not answer.found:
            raise InfeasiblePlanError("no plan of whole racks serves the fleet")
        return answer.point, answer.bound
    return _by_period(program, bought, gap, told)


def _by_period(
    program: FleetProgram, bought: Sequence[int], gap: float, told: Told
) -> tuple[Array, float]:
    """Decide what is bought with parts of racks in every period, then each period on it.

    Periods in which whole racks are too few are decided together with what is bought.
    """
    whole, data = program.program, program.data
    periods = range(len(data.periods))
    own = {period: program.period_columns(period) for period in periods}
    first = highs.solve(replace(whole, integer=tuple(bought)), integers=True, gap=gap / 4.0)
    if not first.optimal:
        raise InfeasiblePlanError("no plan of whole racks serves the fleet")
    point, bound, short = first.point.copy(), first.bound, set[int]()
    shared = np.setdiff1d(np.arange(len(whole.cost)), np.concatenate(list(own.values())))
    while True:
        point[bought] = np.round(point[bought])
        worse = set[int]()
        allowed = SHARED_GAP * gap * abs(first.objective) / len(data.periods)
        for period in periods:
            if period in short:
                continue
            told(f"whole racks: period {period + 1} of {len(periods)}")
            columns = own[period]
            part = part_of(whole, columns, rows_of(whole, columns), whole.cost[columns], point)
            # What a period may lose is its share of what the plan may.
            size = float(np.abs(whole.cost[columns] * first.point[columns]).sum())
            share = max(gap, allowed / max(size, 1e-9))
            answer = highs.solve(part, integers=True, gap=share, nodes=NODES)
            if answer.found:
                point[columns] = answer.point
            else:
                worse.add(period)
        if not worse:
            return point, bound
        short |= worse
        told(f"purchases with {counted(len(short), 'period')}")
        columns = np.concatenate([shared, *(own[period] for period in sorted(short))])
        answer = _together(program, columns, first.point, JOINT_GAP * gap)
        if not answer.found:
            raise InfeasiblePlanError("no plan of whole racks serves the fleet")
        elsewhere = [own[period] for period in periods if period not in short]
        reached = answer.bound + _least_elsewhere(program, shared, elsewhere)
        bound = min(bound, reached) if np.isfinite(reached) else bound
        point[columns] = answer.point


def _together(program: FleetProgram, columns: Whole, point: Array, gap: float) -> highs.Answer:
    """Decide what is bought and some periods, as if there were no others.

    Where the search ends without whole racks, those near a point with parts of racks are looked at.
    """
    part = alone(program.program, columns, program.program.cost[columns])
    answer = highs.solve(part, integers=True, gap=gap, nodes=MOST_NODES)
    if answer.found:
        return answer
    integer = np.array(part.integer, dtype=np.int64)
    at, lower, upper = point[columns][integer], part.column_lower.copy(), part.column_upper.copy()
    runs = at > RUNS
    for aside, beside in NEAR:
        below = np.where(runs, np.floor(at + RUNS) - aside, 0.0)
        above = np.where(runs, np.ceil(at - RUNS) + aside, beside)
        lower[integer] = np.maximum(part.column_lower[integer], below)
        upper[integer] = np.minimum(part.column_upper[integer], above)
        near = replace(part, column_lower=lower, column_upper=upper)
        found = highs.solve(near, integers=True, gap=gap, nodes=MOST_NODES)
        if found.found:
            return replace(found, bound=answer.bound)
    return answer


def _least_elsewhere(program: FleetProgram, shared: Whole, periods: Sequence[Whole]) -> float:
    """Return what the columns of some periods add at best, with any number of racks bought."""
    whole, found = program.program, 0.0
    for own in periods:
        cost = np.concatenate([np.zeros(len(shared)), whole.cost[own]])
        part = alone(whole, np.concatenate([shared, own]), cost)
        answer = highs.solve(part, integers=False)
        if not answer.optimal:
            return np.inf
        found += answer.objective
    return found
