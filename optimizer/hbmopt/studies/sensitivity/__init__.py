"""Sensitivity: price, range and re-solved steps of every number."""

from hbmopt.studies.sensitivity.number_price import COLUMNS, SMALL, NumberPrice, RangeEnd, Resolved
from hbmopt.studies.sensitivity.price_range import AT_BOUND
from hbmopt.studies.sensitivity.study import Sensitivity, parse_step, sensitivity
from hbmopt.studies.sensitivity.upgrades import LESS_IS_BETTER, NO_GAIN, TENTH, Upgrade, upgrades

__all__ = [
    "AT_BOUND",
    "COLUMNS",
    "LESS_IS_BETTER",
    "NO_GAIN",
    "SMALL",
    "TENTH",
    "NumberPrice",
    "RangeEnd",
    "Resolved",
    "Sensitivity",
    "Upgrade",
    "parse_step",
    "sensitivity",
    "upgrades",
]
