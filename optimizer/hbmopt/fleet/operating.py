"""How the racks of a pool run: operating points that together make what is asked of the pool.

The program bounds a pool's power by lines below the load curve. Here whole racks run at points on
it. Some may run as fast as is thriftiest while others rest, all of them alike, or some at one
corner of the curve and some at the next; the best of these is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hbmopt.fleet.load_curve import CurvePoint, LoadCurve
from hbmopt.fleet.pools import Pool, PrefillCurve
from hbmopt.fleet.prefill import PrefillPoint
from hbmopt.points import ServingPoint

ROUNDING = 1e-9
"""Share of a rate by which it may be missed, as numbers round."""


@dataclass(frozen=True)
class RunningRacks:
    """Racks that run alike: how many, what each makes and draws beyond resting, and the point."""

    racks: int
    rate: float
    kw: float
    running: ServingPoint | PrefillPoint


@dataclass(frozen=True)
class PoolOperation:
    """What the racks of a pool do in a period."""

    racks: tuple[RunningRacks, ...]

    @property
    def kw(self) -> float:
        """What they draw beyond resting."""
        return sum(one.racks * one.kw for one in self.racks)


NOTHING_RUNS = PoolOperation(())


def operation_of(pool: Pool, racks: int, rate: float, *, exact: bool) -> PoolOperation | None:
    """Return how so many racks make a rate on little power, None where they cannot.

    Where not `exact`, a rack that is asked for less than a corner of its curve makes counts with
    the power of that corner, which is more than it draws.
    """
    if rate <= 0:
        return NOTHING_RUNS
    curve = pool.curve
    if isinstance(curve, PrefillCurve):
        return _prefilling(curve, racks, rate)
    if rate > racks * curve.top.rate * (1.0 + 1e-7):
        return None
    options = [one for one in _mixes(curve, racks, rate, exact=exact) if one is not None]
    return min(options, key=lambda one: one.kw, default=None)


def _prefilling(curve: PrefillCurve, racks: int, rate: float) -> PoolOperation | None:
    if rate > racks * curve.top_rate * (1.0 + 1e-7):
        return None
    each = min(rate / racks, curve.top_rate)
    point, kilowatt = curve.working(each)
    return PoolOperation((RunningRacks(racks, each, kilowatt, point),))


def _mixes(curve: LoadCurve, racks: int, rate: float, *, exact: bool) -> list[PoolOperation | None]:
    """Return ways in which racks make a rate."""
    corners = sorted({*curve.corners, curve.top}, key=lambda one: one.rate)
    asked = [min(rate / racks, curve.top.rate)] if exact else []
    plans = list[tuple[CurvePoint, int, float]]()
    for corner in corners:
        full = min(int(rate / corner.rate * (1.0 + ROUNDING)), racks)
        left = rate - full * corner.rate
        if left <= rate * ROUNDING:
            left = 0.0
        if left > curve.top.rate * (1.0 + ROUNDING) or (left > 0 and full == racks):
            continue
        plans.append((corner, full, left))
        if exact and left > 0:
            asked.append(left)
    known = dict(zip(asked, curve.at_least(asked), strict=True))
    found = list[PoolOperation | None]()
    for corner, full, left in plans:
        rest = None if left <= 0 else known.get(left) or _at_most_corner(corners, left)
        if left > 0 and rest is None:
            continue
        running = [_running(full, corner)] if full else []
        found.append(PoolOperation((*running, *([_running(1, rest)] if rest else []))))
    if exact:
        alike = known[asked[0]]
        found.append(PoolOperation((_running(racks, alike),)) if alike is not None else None)
    found += [_neighbours(low, high, racks, rate) for low, high in pairwise(corners)]
    return found


def _neighbours(low: CurvePoint, high: CurvePoint, racks: int, rate: float) -> PoolOperation | None:
    """Return racks of which some run at one corner and the others at the next."""
    if not racks * low.rate <= rate <= racks * high.rate * (1.0 + 1e-7):
        return None
    above = (rate - racks * low.rate) / (high.rate - low.rate)
    fast = min(racks, int(-(-(above - ROUNDING) // 1)))
    parts = [(racks - fast, low), (fast, high)]
    return PoolOperation(tuple(_running(count, point) for count, point in parts if count))


def _at_most_corner(corners: Sequence[CurvePoint], rate: float) -> CurvePoint | None:
    """Return the slowest corner that makes a rate, as a point that makes it on its power."""
    for one in corners:
        if one.rate >= rate:
            return CurvePoint(rate, one.kw, one.running)
    return None


def _running(racks: int, point: CurvePoint) -> RunningRacks:
    return RunningRacks(racks, point.rate, point.kw, point.running)
