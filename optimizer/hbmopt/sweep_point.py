"""The answer at one point of a sweep, as one flat row of plain numbers and texts."""

import time
from dataclasses import fields
from functools import cache
from typing import Any

from hbmopt.instance import Instance, Limits
from hbmopt.point_search import PointSearch, has_formula
from hbmopt.search import found_at
from hbmopt.solution import ConfigurationResult, Solution
from hbmopt.solver import solution_of, solve

SHOWN = tuple(
    one.name
    for one in fields(ConfigurationResult)
    if one.name not in ("clocks", "offload", "step_breakdown_ms")
)
"""Fields of a configuration that are one value."""


class Evaluator:
    """Answers points one after the other, and keeps what they have in common.

    Where points differ in limits alone and have a formula, the best point is found by it and the
    program is solved there; anything else is a solve. The same instance gives the same row to the
    last bit, in any process and after any other: what is kept are numbers that do not depend on
    limits.
    """

    def __init__(self) -> None:
        self._search: PointSearch | None = None
        self._common: Instance | None = None

    def evaluate(self, instance: Instance) -> dict[str, Any]:
        """Return the optimum of an instance, or the conflict that rules one out, as a flat row."""
        if not has_formula(instance):
            return answer_row(solve(instance))
        begun = time.perf_counter()
        found = self._searching(instance).best(instance)
        if found is None:
            # The conflict takes a search of its own to explain.
            return answer_row(solve(instance))
        plan = found_at(instance, found.configuration, found.batch)
        return answer_row(solution_of(instance, plan, begun))

    def _searching(self, instance: Instance) -> PointSearch:
        """Return the search of instances that differ from this one in limits alone."""
        common = instance.model_copy(update={"limits": Limits()})
        if self._search is None or common != self._common:
            self._search, self._common = PointSearch(instance), common
        return self._search


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
