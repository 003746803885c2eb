"""Sizing: how many racks a demand takes, or how much of any one number is enough for it."""

from hbmopt.studies.sizing.racks import Fleet, Least, fleets_for
from hbmopt.studies.sizing.sizing import Sizing, size
from hbmopt.studies.sizing.unknown import Unknown, unknown_of

__all__ = ["Fleet", "Least", "Sizing", "Unknown", "fleets_for", "size", "unknown_of"]
