"""The optimum under power caps, from what a parked rack draws to more than it can use."""

import math
from collections.abc import Iterator
from typing import Any

from hbmopt.basics import round_step
from hbmopt.demand import rack_data
from hbmopt.documents import Figure
from hbmopt.instance import Instance
from hbmopt.points import has_formula
from hbmopt.program import resting_power
from hbmopt.report.tables import configuration_text
from hbmopt.results import Solution, priced_solution, solutions
from hbmopt.studies.sweep import Evaluator, answer_row

BY_FORMULA, BY_SEARCH = 24, 7
"""Steps of a curve: where a point has a formula, and where each takes a search."""


def power_caps(instance: Instance) -> list[float]:
    """Return round caps in kW for a curve, that of the instance among them.

    They go from what a rack draws whose accelerators are all parked to more than one draws that
    nothing caps. None where the rack draws no power.
    """
    uncapped = priced_solution(_under(instance, None)).power_w
    if not uncapped:
        return []
    used, cap = uncapped / 1e3, instance.power_cap_kw or 0.0
    parked = resting_power(rack_data(instance))
    step = round_step(
        (max(used, cap) - parked) / (BY_FORMULA if has_formula(instance) else BY_SEARCH)
    )
    first, last = math.floor(parked / step) + 1, max(math.ceil(used / step), math.floor(cap / step))
    caps = {round(step * one, 9) for one in range(first, last + 1)}
    if cap:
        caps.add(cap)
    return sorted(caps)


def power_rows(instance: Instance, caps: list[float]) -> Iterator[dict[str, Any]]:
    """Yield the rows of `hbmopt.charts.power_curve_chart` at caps in kW."""
    capped = [_under(instance, cap) for cap in caps]
    rows: Iterator[dict[str, Any]] = (
        (answer() for answer in Evaluator().rows(capped))
        if has_formula(instance)
        else map(answer_row, solutions(capped))
    )
    for cap, row in zip(caps, rows, strict=True):
        yield _row(row, cap)


def drawn_row(answer: Solution) -> dict[str, Any]:
    """Return the row of an answer at the power that it draws: a cap there would not change it."""
    return _row(answer_row(answer), (answer.power_w or 0.0) / 1e3)


def _row(row: dict[str, Any], cap: float) -> dict[str, Any]:
    return row | {
        "power_kw": cap,
        "price_tok_s_per_kw": row.get("price_power_cap"),
        "configuration": configuration_text(row),
    }


def _under(instance: Instance, cap: float | None) -> Instance:
    power = Figure(cap, "power") if cap is not None else None
    changed = {"power": power, "power_capped": cap is not None}
    return instance.model_copy(update={"limits": instance.limits.model_copy(update=changed)})
