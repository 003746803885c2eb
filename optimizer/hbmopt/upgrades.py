"""What to buy next: the optimum with a tenth more of one hardware input, solved anew.

A price is local and holds configuration and replicas. A tenth more may change both, and then the
two differ; that difference is part of the answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from hbmopt.instance import Instance
from hbmopt.point_search import PointSearch, has_formula
from hbmopt.prices import hardware_inputs
from hbmopt.solution import InputResult, Solution
from hbmopt.solver import solve

TENTH = 0.1

LESS_IS_BETTER = frozenset({"latency", "lpu_latency"})
"""Inputs of which a tenth less is bought."""

NO_GAIN = 5e-4
"""Share of throughput below which a tenth more changes nothing to speak of."""


@dataclass(frozen=True)
class Upgrade:
    """One input with a tenth more of it (less of a latency) and what the rack makes then."""

    input: InputResult
    change: float
    throughput_tok_s: float
    gain: float


def upgrades(instance: Instance, solution: Solution) -> Iterator[Upgrade]:
    """Yield the upgrade of every input that has a price, as they are solved."""
    lpus = any(one.lpu_units for one in solution.configurations)
    paths = {one.name: one.paths for one in hardware_inputs(instance, lpus=lpus)}
    now = solution.throughput_tok_s or 0.0
    for one in solution.inputs:
        change = -TENTH if one.name in LESS_IS_BETTER else TENTH
        bought = instance
        for path in paths[one.name]:
            bought = bought.scaled(path, 1.0 + change)
        made = _most(bought)
        yield Upgrade(one, change, made, made / now - 1.0)


def _most(instance: Instance) -> float:
    """Return the most throughput of an instance, by formula where it has one."""
    if has_formula(instance):
        found = PointSearch(instance).best([instance])
        return float(found[0].throughput[0]) if found else 0.0
    return solve(instance).throughput_tok_s or 0.0
