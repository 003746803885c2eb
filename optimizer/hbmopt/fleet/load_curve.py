"""Load curves: the least power at which a rack makes a rate, as lines below it and points on it.

The most that a rack makes, and the points that make most per kW beyond a share of its cost, are
proven optima of one rack; the line through each bounds what any way to run makes:

    T <= m (E + a)    where m is the most of T / (E + a) over all operating points

E are the kW beyond those of the resting rack. Lines are drawn where those that there are leave most
open, until that is a small share of the rack's power.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hbmopt.basics import Told, counted, tells_nobody
from hbmopt.demand import Aim, rack_data
from hbmopt.documents import Figure
from hbmopt.errors import SolverError
from hbmopt.instance import Instance, rack_kw
from hbmopt.models.fleet.quantities import Line
from hbmopt.plan import best_points, plan_at
from hbmopt.points import ServingPoint
from hbmopt.program import resting_power

FINE = 2e-2
"""Share of a rack's power that lines may leave open."""

MOST_LINES = 12

LEAST_KW = 1e-9
"""KW that running takes at least beyond resting, where one divides by it."""

ROUNDING = 1e-10
"""Share of a rate by which it may be missed, as numbers round."""


@dataclass(frozen=True)
class CurvePoint:
    """A way to run one rack: tok/s, kW of the rack beyond resting, and the operating point."""

    rate: float
    kw: float
    running: ServingPoint


@dataclass(frozen=True)
class _Segment:
    """Two neighbouring corners of a curve, and the slopes of the lines through them in rate/kW."""

    low: CurvePoint
    high: CurvePoint
    steep: float
    flat: float

    @property
    def chord(self) -> float:
        """The slope between the corners."""
        return (self.high.rate - self.low.rate) / max(self.high.kw - self.low.kw, LEAST_KW)

    @property
    def open_kw(self) -> float:
        """How many kW less than on the chord the lines leave possible, where that is most."""
        low, high = self.low, self.high
        if self.steep <= self.flat * (1.0 + ROUNDING):
            return 0.0
        rise = high.rate - low.rate + self.steep * low.kw - self.flat * high.kw
        meeting = rise / (self.steep - self.flat)
        rate = low.rate + self.steep * (meeting - low.kw)
        return max(0.0, low.kw + (rate - low.rate) / max(self.chord, LEAST_KW) - meeting)


@dataclass
class LoadCurve:
    """What one rack makes on its power for one class.

    Parameters
    ----------
    instance
        The rack with the class's model, workload and floor.
    idle_kw
        What it draws at rest.
    top
        The way to run that makes most.
    """

    instance: Instance
    idle_kw: float
    top: CurvePoint
    lines: list[Line] = field(default_factory=list)
    """Bounds of what any way to run makes."""
    corners: list[CurvePoint] = field(default_factory=list)
    """Points that lines go through, the slowest first."""
    _segments: list[_Segment] = field(default_factory=list, repr=False)
    _known: dict[float, CurvePoint | None] = field(default_factory=dict, repr=False)

    def at_least(self, rates: Sequence[float]) -> list[CurvePoint | None]:
        """Return the ways to make rates on the least power; None where a rack cannot."""
        wanted = [rate for rate in dict.fromkeys(rates) if rate not in self._known and rate > 0]
        asked = [_asking(self.instance, min(rate, self.top.rate)) for rate in wanted]
        found = best_points(asked) if asked else []
        for rate, point in zip(wanted, found, strict=True):
            known = curve_point(self.instance, self.idle_kw, point) if point is not None else None
            possible = rate <= self.top.rate * (1.0 + 1e3 * ROUNDING)
            self._known[rate] = known if possible else None
        return [self._known.get(rate) for rate in rates]

    def within(self, kilowatt: float) -> CurvePoint | None:
        """Return the way to make most on so many kW beyond resting."""
        resting = rack_kw(self.instance, 0.0)
        scoped = (kilowatt + self.idle_kw - resting) / (rack_kw(self.instance, 1.0) - resting)
        cap = self.instance.power_cap_kw
        power = Figure(scoped if cap is None else min(cap, scoped), "power")
        changed = {"power": power, "power_capped": True}
        limits = self.instance.limits.model_copy(update=changed)
        (point,) = best_points([self.instance.model_copy(update={"limits": limits})])
        return curve_point(self.instance, self.idle_kw, point) if point is not None else None

    def widest(self, share: float) -> _Segment | None:
        """Return the segment that leaves most open, None where none leaves a share of the power."""
        allowed = share * (self.idle_kw + self.top.kw)
        found = max(self._segments, key=lambda one: one.open_kw, default=None)
        return found if found is not None and found.open_kw > allowed else None

    def draw(self, segment: _Segment | None, beyond: float, found: ServingPoint | None) -> None:
        """Add the line through the point that makes most per kW, with `beyond` kW beside its own.

        The first one has no segment, and none beside.
        """
        if found is None:
            raise SolverError(f"{self.instance.name}: nothing makes most per kW, yet it runs")
        point = curve_point(self.instance, self.idle_kw, found)
        most = point.rate / max(point.kw + beyond, LEAST_KW) * (1.0 + ROUNDING)
        self.lines.append(Line(most * beyond, most))
        if segment is None:
            self.corners = [self.top]
            if point.kw < self.top.kw:
                self.corners.insert(0, point)
                self._segments.append(_Segment(point, self.top, most, 0.0))
            return
        self._segments.remove(segment)
        low, high = segment.low, segment.high
        if most > segment.chord * (1.0 + 10.0 * ROUNDING) and low.kw < point.kw < high.kw:
            self.corners.append(point)
            self.corners.sort(key=lambda one: one.rate)
            self._segments.append(_Segment(low, point, segment.steep, most))
            self._segments.append(_Segment(point, high, most, segment.flat))

    def aim(self, beyond: float) -> Aim:
        """Return what makes most per kW beyond resting and `beyond`, as an aim."""
        resting = rack_kw(self.instance, 0.0)
        scale = rack_kw(self.instance, 1.0) - resting
        return Aim("tokens_per_dollar", 0.0, -(self.idle_kw - beyond - resting) / scale, 1.0)


def _asking(instance: Instance, rate: float) -> Instance:
    least = Figure(rate * (1.0 - ROUNDING), "rate")
    limits = instance.limits.model_copy(update={"min_throughput": least})
    return instance.model_copy(update={"limits": limits, "objective": "power"})


def curve_point(instance: Instance, idle_kw: float, point: ServingPoint) -> CurvePoint:
    """Return an operating point as one of a load curve."""
    plan = plan_at(instance, point)
    drawn = rack_kw(instance, plan.power_kw) - idle_kw
    return CurvePoint(plan.throughput, max(0.0, float(drawn)), point)


def resting_kw(instance: Instance) -> float:
    """Return the kW of a rack in which everything is parked."""
    return rack_kw(instance, resting_power(rack_data(instance)))


def load_curves(instances: Sequence[Instance], told: Told = tells_nobody) -> list[LoadCurve | None]:
    """Return the load curves of racks for classes, None where a rack serves nobody."""
    told(f"load curves: the most of {counted(len(instances), 'pool')}")
    most = best_points(instances)
    curves = [
        None if point is None else _undrawn(instance, point)
        for instance, point in zip(instances, most, strict=True)
    ]
    drawn = [one for one in curves if one is not None]
    aims = [one.aim(0.0) for one in drawn]
    for one, point in zip(
        drawn, best_points([one.instance for one in drawn], aims=aims), strict=True
    ):
        one.draw(None, 0.0, point)
    refine(drawn, FINE, told)
    return curves


def _undrawn(instance: Instance, point: ServingPoint) -> LoadCurve:
    idle = resting_kw(instance)
    return LoadCurve(instance, idle, curve_point(instance, idle, point))


def refine(curves: Sequence[LoadCurve], share: float, told: Told = tells_nobody) -> bool:
    """Draw lines until curves leave no more than a share of the power open; whether any was drawn.

    All curves are asked at one go, line by line.
    """
    drawn = False
    while True:
        asking = [
            (one, segment)
            for one in curves
            if len(one.lines) < MOST_LINES and (segment := one.widest(share)) is not None
        ]
        if not asking:
            return drawn
        told(f"load curves: {len(curves) - len(asking)} of {len(curves)} drawn")
        drawn = True
        beyond = [max(0.0, one.low.rate / one.chord - one.low.kw) for _, one in asking]
        aims = [one.aim(more) for (one, _), more in zip(asking, beyond, strict=True)]
        found = best_points([one.instance for one, _ in asking], aims=aims)
        for (one, segment), more, point in zip(asking, beyond, found, strict=True):
            one.draw(segment, more, point)
