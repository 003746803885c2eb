"""The answer at one point of a sweep, as one flat row of plain numbers and texts."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np

from hbmopt.documents import Figure
from hbmopt.instance import OBJECTIVES, Instance, cost_rate
from hbmopt.plan import search
from hbmopt.points import BestPoints, PointSearch, has_formula
from hbmopt.program import ClockRun, running_column
from hbmopt.results import (
    ACCEPTED_VIOLATION,
    ConfigurationResult,
    Conflicts,
    InputPrices,
    Limited,
    Solution,
    binding,
    configuration_result,
    full_usd_per_million,
    limiting,
    prepare_prices,
    priced_inputs,
    prices_of_speed,
    solution_of,
    solved,
    step_accuracy,
    throttled,
    whole_plans,
)
from hbmopt.studies.sweep.files import Row
from hbmopt.studies.sweep.layout import Layout

THROTTLE = "accelerator_power"
"""The limit that has a price of its own in the rows that it limits."""

SHOWN = tuple(
    one.name
    for one in fields(ConfigurationResult)
    if one.name not in ("clocks", "offload", "step_breakdown_ms", "kernels", "lowest_clock")
)
"""Fields of a configuration that are one value."""

INSTANCE_LAYOUT = Layout(
    first=(
        "status",
        "objective_amount",
        "objective_unit",
        "throughput_tok_s",
        "speed_tok_s_user",
        "batch",
        "power_w",
        "tok_s_per_mw",
        "full_usd_per_million",
        "load_usd_per_million",
        "throughput_low_tok_s",
        "throughput_high_tok_s",
        "limiting_resource",
        "binding",
        "price_of_speed",
        "configurations",
    ),
    groups=("configuration_", "offload_", "price_", "elasticity_"),
    order=SHOWN,
)


MOST_KNOWN = 4
"""Sets of instances that are alike of which is kept what they have in common."""


class _Common:
    """What instances that differ in power cap and speed floor alone have in common."""

    def __init__(self, instance: Instance) -> None:
        self.instance, self.prices = instance, InputPrices()
        self.search = PointSearch(instance) if has_formula(instance) else None
        self._conflicts: Conflicts | None = None

    def conflicts(self, search: PointSearch) -> Conflicts:
        """Return why nothing is feasible for some of them."""
        if self._conflicts is None:
            known = search.configurations, search.rejections
            self._conflicts = Conflicts(self.instance, *known)
        return self._conflicts


class Evaluator:
    """Answers many instances, and keeps what they have in common.

    Where instances differ in power cap and speed floor alone and have a formula, the best points
    are found by it, and their programs solved and priced together; anything else is a solve, and
    so is what has a load to pay for. The
    same instance gives the same row to the last bit, in any process and with any others.
    """

    def __init__(self) -> None:
        self._known = list[_Common]()
        """The last that were asked for, the latest first."""

    def rows(self, instances: Sequence[Instance]) -> Iterator[Callable[[], Row]]:
        """Yield for each instance the call that gives its row; those that are alike together."""
        groups, member = list[tuple[tuple[Instance, bool], list[int]]](), list[int]()
        for place, one in enumerate(instances):
            alike = _alike(one)
            known = (at for at, (other, _) in enumerate(groups) if other == alike)
            member.append(next(known, len(groups)))
            if member[-1] == len(groups):
                groups.append((alike, []))
            groups[member[-1]][1].append(place)
        calls = dict[int, Callable[[], Row]]()
        for place, group in enumerate(member):
            if place not in calls:
                (instance, _), places = groups[group]
                answers = self._rows(self._common(instance), [instances[one] for one in places])
                calls |= zip(places, answers, strict=True)
            yield calls.pop(place)

    def _common(self, instance: Instance) -> _Common:
        known = next((one for one in self._known if one.instance == instance), None)
        if known is None:
            known = _Common(instance)
        else:
            self._known.remove(known)
        self._known = [known, *self._known][:MOST_KNOWN]
        return known

    def _rows(self, common: _Common, instances: list[Instance]) -> list[Callable[[], Row]]:
        search, prices = common.search, common.prices
        loaded = cost_rate(common.instance) is not None and common.instance.economics.stretches
        if search is None or not search.tabled or loaded:
            return [partial(_solved_row, one, prices) for one in instances]
        calls: list[Callable[[], Row]] = [
            partial(_conflict_row, common.conflicts(search), one) for one in instances
        ]
        # Programs of one clock and of two are of different shapes.
        found = [
            (best.take(best.free.alternating == two), 1 + two)
            for best in search.best(instances)
            for two in (False, True)
        ]
        found = [(alike, clocks) for alike, clocks in found if len(alike.places)]
        if found:
            demands = [(alike.demand, clocks) for alike, clocks in found]
            one = instances[found[0][0].places[0]]
            prepare_prices(one, demands, prices)
        for alike, _ in found:
            rows = _rows_of(alike, instances[alike.places[0]], prices)
            for place, row in zip(alike.places.tolist(), rows, strict=True):
                if row is not None:
                    made, drawn = row["throughput_tok_s"], row["power_w"] / 1e3
                    cost = full_usd_per_million(instances[place], made, drawn)
                    row |= {"full_usd_per_million": cost, "load_usd_per_million": None}
                calls[place] = (
                    partial(_solved_row, instances[place], prices) if row is None else row.copy
                )
        return calls


def _conflict_row(conflicts: Conflicts, instance: Instance) -> Row:
    return {"status": "infeasible", "conflict": conflicts.summary(instance)}


def _solved_row(instance: Instance, known: InputPrices) -> Row:
    begun = time.perf_counter()
    return answer_row(solution_of(instance, search(instance), begun, known))


def _rows_of(best: BestPoints, instance: Instance, prices_known: InputPrices) -> list[Row | None]:
    """Return the rows of best points of one configuration, None where they have to be solved.

    That is where the optimum of a program is not the point that the formula gives, and where no
    hardware input has a price.
    """
    demand, whole = best.demand, best.whole
    limited = Limited(instance, best.limits, best.replicas)
    optima, plans = solved(demand, limited, best.free), whole_plans(demand, limited, whole)
    good = np.nonzero(optima.settled & (plans.violation <= ACCEPTED_VIOLATION))[0]
    rows: list[Row | None] = [None] * len(best.replicas)
    if not len(good):
        return rows
    limited, optima = limited.take(good), optima.take(good)
    plans, whole = plans.take(good), whole.take(good)
    prices, throttle = priced_inputs(demand, limited, optima, prices_known), throttled(optima)
    speeds = plans.throughput / plans.batch
    known = step_accuracy(instance, [demand.configuration.layout.attention_data_parallel])
    ranges = [known.rates(made) or (None, None) for made in plans.throughput.tolist()]
    columns: dict[str, list[Any]] = {
        "status": ["optimal"] * len(good),
        "objective_amount": plans.throughput.tolist(),
        "objective_unit": [OBJECTIVES["throughput"].unit] * len(good),
        "throughput_tok_s": plans.throughput.tolist(),
        "speed_tok_s_user": speeds.tolist(),
        "batch": plans.batch.tolist(),
        "power_w": plans.power_w.tolist(),
        "tok_s_per_mw": (plans.throughput / plans.power_w * 1e6).tolist(),
        "throughput_low_tok_s": [low for low, _ in ranges],
        "throughput_high_tok_s": [high for _, high in ranges],
        "limiting_resource": limiting(prices, throttle),
        "binding": [" ".join(names) for names in binding(demand, limited, optima)],
        "price_of_speed": prices_of_speed(optima, limited.limits),
        "configurations": [1] * len(good),
    }
    parts = [ClockRun(float(whole.clock[0, 0]), 1.0, float(whole.rate[0]))]
    first = running_column(demand, int(limited.replicas[0]), float(whole.batch[0]), parts)
    alike = configuration_result(instance, first)
    differing = {
        "replicas": limited.replicas.tolist(),
        "batch": whole.batch.tolist(),
        "speed_tok_s_user": speeds.tolist(),
        "throughput_tok_s": plans.throughput.tolist(),
        "step_ms": plans.step_ms.tolist(),
    }
    for name in SHOWN:
        same = [_plain(getattr(alike, name))] * len(good)
        columns[f"configuration_{name}"] = differing.get(name, same)
    for kind, values in (("price", prices.unit_prices), ("elasticity", prices.elasticities)):
        for name, of_all in zip(prices.names, values.tolist(), strict=True):
            columns[f"{kind}_{name}"] = of_all
    watts = 1e3 * float(instance.accelerator_limit)
    throttling = (throttle * np.asarray(optima.objective) / watts).tolist()
    cells = zip(*columns.values(), strict=True)
    points = zip(good.tolist(), cells, throttling, throttle.tolist(), strict=True)
    for place, of_point, price, elasticity in points:
        row = dict(zip(columns, of_point, strict=True))
        if row["limiting_resource"] == THROTTLE:
            row |= {f"price_{THROTTLE}": price, f"elasticity_{THROTTLE}": elasticity}
        rows[place] = row if row["limiting_resource"] is not None else None
    return rows


def _alike(instance: Instance) -> tuple[Instance, bool]:
    """Return what instances have in common that differ in power cap and speed floor alone.

    And whether there is a cap, as a program has a row for it or has none.
    """
    changes = {"power": None, "min_speed": Figure(0.0, "speed")}
    limits = instance.limits.model_copy(update=changes)
    return instance.model_copy(update={"limits": limits}), instance.power_cap_kw is not None


def answer_row(solution: Solution) -> dict[str, Any]:
    """Return a solution as a flat row; of several configurations the first one is described."""
    if solution.conflict is not None:
        return {"status": solution.status, "conflict": solution.conflict.summary}
    floors = [one for one in solution.constraints if one.name.split("[")[0] == "min_speed"]
    low, high = solution.throughput_range_tok_s or (None, None)
    row: dict[str, Any] = {
        "status": solution.status,
        "objective_amount": solution.objective_amount,
        "objective_unit": solution.objective_unit,
        "throughput_tok_s": solution.throughput_tok_s,
        "speed_tok_s_user": solution.speed_tok_s_user,
        "batch": solution.batch,
        "power_w": solution.power_w,
        "tok_s_per_mw": solution.tok_s_per_mw,
        **_costs(solution),
        "throughput_low_tok_s": low,
        "throughput_high_tok_s": high,
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


def _costs(solution: Solution) -> dict[str, float | None]:
    """Return what a million output tokens cost, at full utilisation and of the load."""
    known = solution.economics
    full = known.full_utilisation.usd_per_million if known is not None else None
    load = known.load.usd_per_million if known is not None and known.load is not None else None
    return {"full_usd_per_million": full, "load_usd_per_million": load}


def _plain(value: Any) -> Any:
    """Return a number of numpy's as one of Python's."""
    return value.item() if hasattr(value, "item") else value
