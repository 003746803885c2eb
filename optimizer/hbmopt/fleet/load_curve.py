"""Load curves: the least power at which a rack makes a rate, as lines below it and points on it.

The most that a rack makes, and the points that make most per kW beyond a share of its cost, are
proven optima of one rack; the line through each bounds what any way to run makes:

    T <= m (E + a)    where m is the most of T / (E + a) over all operating points

E are the kW beyond those of the resting rack. Between two points more are sought until the lines
leave no more than a small share open.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hbmopt.demand import Aim, rack_data
from hbmopt.documents import Figure
from hbmopt.errors import SolverError
from hbmopt.instance import Instance, rack_kw
from hbmopt.models.fleet.quantities import Line
from hbmopt.plan import best_points, plan_at
from hbmopt.points import ServingPoint
from hbmopt.program import rack_power

FINE = 2e-3
"""Share of a rate that lines may leave open before another one is sought."""

MOST_LINES = 4

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


@dataclass
class LoadCurve:
    """What one rack makes on its power for one class.

    Parameters
    ----------
    instance
        The rack with the class's model, workload and floor.
    idle_kw
        What it draws at rest.
    corners
        Points of the curve that lines go through, the slowest first; the last makes most.
    lines
        Bounds of what any way to run makes.
    """

    instance: Instance
    idle_kw: float
    corners: tuple[CurvePoint, ...]
    lines: tuple[Line, ...]
    _known: dict[float, CurvePoint | None] = field(default_factory=dict, repr=False)

    @property
    def top(self) -> CurvePoint:
        """The way to run that makes most."""
        return self.corners[-1]

    @cached_property
    def steepest(self) -> CurvePoint:
        """The way to run that makes most per kW."""
        return max(self.corners, key=lambda one: one.rate / max(one.kw, LEAST_KW))

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
        scale = rack_kw(self.instance, 1.0) - rack_kw(self.instance, 0.0)
        scoped = (kilowatt + self.idle_kw - rack_kw(self.instance, 0.0)) / scale
        cap = self.instance.power_cap_kw
        power = Figure(scoped if cap is None else min(cap, scoped), "power")
        changed = {"power": power, "power_capped": True}
        limits = self.instance.limits.model_copy(update=changed)
        (point,) = best_points([self.instance.model_copy(update={"limits": limits})])
        return curve_point(self.instance, self.idle_kw, point) if point is not None else None


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
    return rack_kw(instance, rack_power(rack_data(instance), 0.0, 0.0, 0.0))


def load_curves(instances: Sequence[Instance]) -> list[LoadCurve | None]:
    """Return the load curves of racks for classes, None where a rack serves nobody.

    All of them are asked at one go, line by line.
    """
    drawn = [
        _Drawing(one, most) if most is not None else None
        for one, most in zip(instances, best_points(instances), strict=True)
    ]
    while asking := [(one, beyond) for one in drawn if one and (beyond := one.next()) is not None]:
        found = best_points(
            [one.instance for one, _ in asking],
            aims=[one.aim(beyond) for one, beyond in asking],
        )
        for (one, beyond), point in zip(asking, found, strict=True):
            one.told(beyond, point)
    return [one.curve() if one is not None else None for one in drawn]


class _Drawing:
    """A load curve that is being drawn, line by line."""

    def __init__(self, instance: Instance, most: ServingPoint) -> None:
        self.instance, self._idle = instance, resting_kw(instance)
        self._scale = rack_kw(instance, 1.0) - rack_kw(instance, 0.0)
        self._corners = [curve_point(instance, self._idle, most)]
        self._lines = list[Line]()
        self._open = list[tuple[CurvePoint, CurvePoint]]()
        self._between: tuple[CurvePoint, CurvePoint] | None = None

    def next(self) -> float | None:
        """Return the kW beyond resting that are to be counted beside those of the next point."""
        if not self._lines:
            return 0.0
        if len(self._lines) >= MOST_LINES or not self._open:
            return None
        low, high = self._between = self._open.pop()
        return max(0.0, low.rate / _slope(low, high) - low.kw)

    def aim(self, beyond: float) -> Aim:
        """Return what the next point is the best of: what it makes per kW."""
        scoped = (self._idle - beyond - rack_kw(self.instance, 0.0)) / self._scale
        return Aim("tokens_per_dollar", 0.0, -scoped, 1.0)

    def told(self, beyond: float, found: ServingPoint | None) -> None:
        """Take the point that makes most per kW."""
        if found is None:
            raise SolverError(f"{self.instance.name}: nothing makes most per kW, yet it runs")
        point = curve_point(self.instance, self._idle, found)
        most = point.rate / max(point.kw + beyond, LEAST_KW) * (1.0 + ROUNDING)
        self._lines.append(Line(most * beyond, most))
        if self._between is None:
            (top,) = self._corners
            if point.rate < top.rate * (1.0 - FINE):
                self._corners.append(point)
                self._open.append((point, top))
            return
        low, high = self._between
        if most > _slope(low, high) * (1.0 + FINE) and low.rate < point.rate < high.rate:
            self._corners.append(point)
            self._open += [(low, point), (point, high)]

    def curve(self) -> LoadCurve:
        """Return what was drawn."""
        corners = tuple(sorted(self._corners, key=lambda one: one.rate))
        return LoadCurve(self.instance, self._idle, corners, tuple(self._lines))


def _slope(low: CurvePoint, high: CurvePoint) -> float:
    return (high.rate - low.rate) / max(high.kw - low.kw, LEAST_KW)
