"""The answer at one point of a sweep, as one flat row of plain numbers and texts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache, partial
from itertools import groupby
from typing import Any

from hbmopt.figure import Figure
from hbmopt.instance import Instance
from hbmopt.optimum import RackPlan, priced, running_column
from hbmopt.point_search import BestPoint, PointSearch, has_formula
from hbmopt.prices import InputPrices
from hbmopt.search import found_at, point_around, settled
from hbmopt.solution import ConfigurationResult, Solution
from hbmopt.solver import Proof, described, solution_of, solve

SHOWN = tuple(
    one.name
    for one in fields(ConfigurationResult)
    if one.name not in ("clocks", "offload", "step_breakdown_ms")
)
"""Fields of a configuration that are one value."""


class Evaluator:
    """Solves many instances, and keeps what they have in common.

    Where instances differ in power cap and speed floor alone and have a formula, the best points
    are found by it, all at once, and the program is solved there; anything else is a solve. The
    same instance gives the same solution to the last bit, in any process and with any others: what
    is kept are numbers that do not depend on these limits.
    """

    def __init__(self) -> None:
        self._common: Instance | None = None
        self._prices = InputPrices()
        self._search: PointSearch | None = None

    def solutions(self, instances: Sequence[Instance]) -> list[Callable[[], Solution]]:
        """Return for each instance the call that solves it."""
        calls: list[Callable[[], Solution]] = []
        for common, group in groupby(instances, _common):
            calls += self._alike(common, list(group))
        return calls

    def _alike(self, common: Instance, instances: list[Instance]) -> list[Callable[[], Solution]]:
        if common != self._common:
            self._common, self._prices = common, InputPrices()
            self._search = PointSearch(common) if has_formula(common) else None
        if self._search is None or not self._search.tabled:
            return [partial(solve, one) for one in instances]
        # The conflict of an instance without a point takes a search of its own to explain.
        return [
            partial(_solved_at, point, self._prices) if point is not None else partial(solve, one)
            for one, point in zip(instances, self._search.best(instances), strict=True)
        ]


def _solved_at(point: BestPoint, known: InputPrices) -> Solution:
    """Return the solution of an instance whose best point is known."""
    begun, demand, whole, free = time.perf_counter(), point.demand, point.whole, point.free
    steps = tuple(point.replicas * one for one in free.steps)
    found = settled(demand, point.replicas, point_around(demand, free.batch, (), steps))
    if found is None:
        return solution_of(demand.instance, found_at(demand, whole.batch), begun)
    relaxed, around = found
    plan = running_column(demand, point.replicas, whole.batch, whole.share, whole.steps)
    return described(
        RackPlan(relaxed.rack, (plan,)),
        priced(demand.instance, relaxed, around),
        Proof(0.0, 0.0, point.configurations, point.rejected, 1),
        begun,
        known,
    )


def _common(instance: Instance) -> Instance:
    """Return what instances have in common that differ in power cap and speed floor alone."""
    changes = {"power": None, "min_speed": Figure(0.0, "speed")}
    limits = instance.limits.model_copy(update=changes)
    return instance.model_copy(update={"limits": limits})


@cache
def evaluator_of_process() -> Evaluator:
    """Return the one evaluator of a process, which its points share."""
    return Evaluator()


def answer_row(solution: Solution) -> dict[str, Any]:
    """Return a solution as a flat row; of several configurations the first one is described."""
    if solution.conflict is not None:
        return {"status": solution.status, "conflict": solution.conflict.summary}
    floors = [one for one in solution.constraints if one.name.split("[")[0] == "min_speed"]
    row: dict[str, Any] = {
        "status": solution.status,
        "throughput_tok_s": solution.throughput_tok_s,
        "speed_tok_s_user": solution.speed_tok_s_user,
        "batch": solution.batch,
        "power_w": solution.power_w,
        "tok_s_per_mw": solution.tok_s_per_mw,
        "limiting_resource": solution.limiting_resource,
        "binding": " ".join(one.name for one in solution.constraints if one.binding),
        "price_of_speed": sum(one.unit_price for one in floors) if floors else None,
        "configurations": len(solution.configurations),
    }
    for one in solution.configurations[:1]:
        row |= {f"configuration_{name}": getattr(one, name) for name in SHOWN}
        row |= {f"offload_{name}": share for name, share in one.offload.items()}
    row |= {f"price_{one.name}": one.unit_price for one in solution.inputs}
    row |= {f"elasticity_{one.name}": one.elasticity for one in solution.inputs}
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """Return a number of numpy's as one of Python's."""
    return value.item() if hasattr(value, "item") else value
