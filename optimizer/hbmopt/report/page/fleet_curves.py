"""What a fleet comes to as its demand and its power cap change: rows for two curves."""

from collections.abc import Iterator
from dataclasses import dataclass

from hbmopt.documents import Document
from hbmopt.fleet import Fleet, FleetPlan, fleet_of
from hbmopt.instance import apply_override
from hbmopt.studies.sweep import Row, fleet_row

DEMANDS = (0.5, 0.75, 1.0, 1.25, 1.5)
"""Shares of the demand at which a fleet is planned again."""

CAPS = (0.7, 0.85, 1.0, 1.15, 1.3)
"""Shares of the power cap, or of the power that is drawn where there is none."""


@dataclass(frozen=True)
class Point:
    """A value of what varies, and the changes that set it."""

    value: float
    changes: tuple[str, ...]


def demand_points(fleet: Fleet) -> list[Point]:
    """Return all demands of a fleet multiplied by the same shares; none where none is given."""
    asked = [name for name in fleet.classes if _demand(fleet, name, 1.0)]
    if not asked:
        return []
    return [
        Point(share, tuple(f"classes.{name}.{_demand(fleet, name, share)}" for name in asked))
        for share in DEMANDS
    ]


def _demand(fleet: Fleet, name: str, share: float) -> str:
    """Return the key and the value of a share of a class's demand, "" where it has none."""
    one = fleet.classes[name]
    if one.rate is not None:
        return f"rate={share * float(one.rate)!r} requests/s"
    if one.throughput is not None:
        return f"throughput={share * float(one.throughput)!r} tok/s"
    # Users are whole.
    return f"users={round(share * float(one.users))}" if one.users is not None else ""


def power_points(fleet: Fleet, plan: FleetPlan) -> list[Point]:
    """Return caps of the site in MW around its own, or around what it draws; none of periods' own.

    In the scope in which the fleet states its cap.
    """
    if any(one.power is not None for one in fleet.periods):
        return []
    scope = plan.pue if fleet.site.power_scope == "rack" else 1.0
    drawn = max(one.power_kw for one in plan.periods) / scope
    middle = float(fleet.site.power) if fleet.site.power is not None else drawn
    return [Point(share * middle / 1e3, (f"site.power={share * middle!r} kW",)) for share in CAPS]


def curve_rows(document: Document, field: str, points: list[Point]) -> Iterator[Row]:
    """Yield the plan at each point as a row, with what varies as `field`."""
    for point in points:
        changed = document.copied()
        for change in point.changes:
            apply_override(changed, change)
        yield {field: point.value} | fleet_row(fleet_of(changed), changed)
