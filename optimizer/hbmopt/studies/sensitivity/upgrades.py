"""What to buy next: the optimum with a tenth more of one hardware input, solved anew.

A price is local and holds configuration and replicas. A tenth more may change both, and then the
two differ; that difference is part of the answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hbmopt.documents import Figure, KeyPath
from hbmopt.instance import OBJECTIVES, Instance
from hbmopt.plan import hopeful, most_of_each
from hbmopt.results import (
    ConstraintResult,
    InputResult,
    Solution,
    hardware_inputs,
    priced_solution,
    scaled,
)

TENTH = 0.1

LESS_IS_BETTER = frozenset({"latency", "lpu_latency"})
"""Inputs of which a tenth less is bought."""

NO_GAIN = 5e-4
"""Share of throughput below which a tenth more changes nothing to speak of."""


@dataclass(frozen=True)
class Upgrade:
    """One input with a tenth more of it (less of a latency), and the objective then.

    `gain` is by which share of it that is better.
    """

    input: InputResult
    change: float
    amount: float
    gain: float


def upgrades(instance: Instance, solution: Solution) -> Iterator[Upgrade]:
    """Yield the upgrade of every input that has a price and of every budget, as they are solved."""
    lpus = any(one.lpu_units for one in solution.configurations)
    paths = {one.name: one.paths for one in hardware_inputs(instance, lpus=lpus)}
    wanted = list[tuple[InputResult, float, Instance]]()
    for one in solution.inputs:
        change = -TENTH if one.name in LESS_IS_BETTER else TENTH
        wanted.append((one, change, _bought(instance, one.name, paths, 1.0 + change)))
    rows = {row.name: row for row in solution.constraints}
    for position, budget in enumerate(instance.budgets):
        bought = instance.changed(instance.budget_path(position), _a_tenth_more)
        wanted.append((_as_input(rows[budget.name]), TENTH, bought))
    made = _best(instance, [bought for *_, bought in wanted])
    now = solution.objective_amount or 1.0
    better = -1.0 if OBJECTIVES[instance.objective].least else 1.0
    for (one, change, _), then in zip(wanted, made, strict=True):
        if then is not None:
            yield Upgrade(one, change, then, better * (then / now - 1.0) + 0.0)


def _a_tenth_more(now: Figure | float) -> Figure | float:
    return now.scaled(1.0 + TENTH) if isinstance(now, Figure) else now * (1.0 + TENTH)


def _bought(
    instance: Instance, name: str, paths: Mapping[str, tuple[KeyPath, ...]], factor: float
) -> Instance:
    """Return the instance with an input multiplied by a factor."""
    if name in paths:
        return scaled(instance, paths[name], factor)
    limit, path = instance.accelerator_limit.scaled(factor), instance.accelerator_limit_path
    own = ("rack", "accelerator", "power_limit")
    return instance.changed(own if path[-1] == "tdp" else path, lambda _: limit)


def _as_input(row: ConstraintResult) -> InputResult:
    """Return a budget as an input: what is bought is its capacity."""
    return InputResult(
        name=row.name,
        value=row.limit,
        unit=row.unit,
        status="given",
        unit_price=row.unit_price,
        unit_price_unit=row.unit_price_unit,
        elasticity=row.elasticity,
    )


def _best(instance: Instance, bought: list[Instance]) -> Iterator[float | None]:
    """Yield the objective of changed instances; None where nothing can run."""
    if instance.choices.uniform:
        for one in most_of_each(bought, only=hopeful(instance, TENTH)):
            yield one.amount if one is not None else None
    else:
        for changed in bought:
            yield priced_solution(changed).objective_amount
