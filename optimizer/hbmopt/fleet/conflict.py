"""Why no plan serves a fleet."""

from collections.abc import Sequence

from hbmopt.documents import Document
from hbmopt.fleet.plan import FleetConflict
from hbmopt.fleet.pools import NoPool, Pool
from hbmopt.fleet.schema import Fleet
from hbmopt.models.fleet.quantities import FleetData


def conflict_of(
    fleet: Fleet,
    document: Document,
    data: FleetData,
    pools: Sequence[Pool],
    missing: Sequence[NoPool],
) -> FleetConflict:
    """Return the limits of a fleet that are in each other's way, and what cures it."""
    raise NotImplementedError
