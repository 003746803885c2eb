"""From a relaxed plan to an exact one: solve, split the batch ranges in use, solve again.

The declared columns bound the plan from above; columns of single batches are exact. Ranges that
the answer uses are split at the batch found until the answer uses single batches only, or none
can be better by more than a tolerance. Columns that cannot be part of a better plan are dropped
first, by their Lagrangian bound.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyomo.environ as pyo

from hbmopt.demand import Configuration, Segment, configuration_data, rack_data, smallest_batch
from hbmopt.instance import Instance
from hbmopt.plan.rack_columns import (
    Column,
    RackContents,
    clock_batches,
    component_label,
    declare_columns,
    put_back,
    take_out,
    used_columns,
)
from hbmopt.program import InfeasiblePlanError, coefficients, collect, fill, highs, solve_linear
from hbmopt.results import SHARED

TOLERANCE = 1e-6
MOST_ROUNDS = 60


class Refinement:
    """Solve, split the batch ranges in use, solve again, until only single batches are used."""

    def __init__(
        self,
        model: pyo.ConcreteModel,
        blocks: list[pyo.Block],
        objective: pyo.Objective,
        tolerance: float = TOLERANCE,
    ) -> None:
        self.model = model
        self.tolerance = tolerance
        self.blocks = blocks
        self.objective = objective
        self.sign = 1.0 if objective.sense == pyo.maximize else -1.0
        self.incumbent = -math.inf
        self.best: list[list[Column]] = []
        self.relaxed = math.inf
        """Optimum of the first program with its integers relaxed."""
        self.values: list[dict[Column, float]] = []
        """By block and column: what the relaxation changes if the column has to run."""

    def run(self) -> tuple[float, int]:
        """Leave the model at its exact optimum; return the proven bound and the rounds used."""
        # A plan that was solved before left its own few columns, and the model may be another now.
        for block in self.blocks:
            if block.contents.columns != list(block.contents.first):
                block.contents.columns = list(block.contents.first)
                declare_columns(block, uniform=block.contents.instance.choices.uniform)
        self._relax()
        self._declare_promising()
        rounds, bound = 0, math.inf
        while rounds < MOST_ROUNDS:
            rounds += 1
            bound = solve_linear(self.model).objective
            used = [used_columns(block) for block in self.blocks]
            self._offer([_candidates(block) for block in self.blocks])
            gap = self.sign * bound - self.incumbent
            if gap <= self.tolerance * max(1.0, abs(self.incumbent)):
                break
            for block, columns, values in zip(self.blocks, used, self.values, strict=True):
                _split(block, columns, values)
            self._declare_promising()
        self._take(self.best)
        solve_linear(self.model)
        return bound, rounds

    def restore(self) -> None:
        """Leave the model at the exact optimum again."""
        self._take(self.best)
        solve_linear(self.model)

    def _take(self, columns: list[list[Column]]) -> None:
        for block, own in zip(self.blocks, columns, strict=True):
            block.contents.columns = own
            declare_columns(block, uniform=block.contents.instance.choices.uniform)

    def _offer(self, used: list[list[tuple[Column, list[float]]]]) -> None:
        """Solve with single batches at those found; keep the plan if it is the best so far."""
        exact = [_exact(block, columns) for block, columns in zip(self.blocks, used, strict=True)]
        before = [take_out(block) for block in self.blocks]
        self._take(exact)
        try:
            value = solve_linear(self.model).objective
        except InfeasiblePlanError:
            value = -self.sign * math.inf
        if self.sign * value > self.incumbent:
            self.incumbent = self.sign * value
            self.best = [
                [column for column, _ in used_columns(block)] or columns[:1]
                for block, columns in zip(self.blocks, exact, strict=True)
            ]
        for block, declared in zip(self.blocks, before, strict=True):
            put_back(block, declared)

    def _declare_promising(self) -> None:
        """Declare the columns that can still be part of a better plan.

        A column that costs the relaxation more than it leaves over the best known plan is in
        no better plan.
        """
        room = self.relaxed - self.incumbent + self.tolerance * max(1.0, abs(self.incumbent))
        for block, values in zip(self.blocks, self.values, strict=True):
            contents: RackContents = block.contents
            kept = [column for column in contents.columns if values[column] >= -room]
            contents.columns = kept or contents.columns[:1]
            declare_columns(block, uniform=contents.instance.choices.uniform)

    def _relax(self) -> None:
        """Relax the integers, value every column by the multipliers, and find a first plan."""
        integers = [
            (variable, variable.domain)
            for variable in self.model.component_data_objects(pyo.Var, descend_into=True)
            if variable.is_integer() or variable.is_binary()
        ]
        bounds = [(variable.lb, variable.ub) for variable, _ in integers]
        for (variable, _), (lower, upper) in zip(integers, bounds, strict=True):
            variable.domain = pyo.Reals
            variable.setlb(lower)
            variable.setub(upper)
        try:
            relaxed = solve_linear(self.model)
            used = [used_columns(block, least=1e-6) for block in self.blocks]
            self.relaxed = self.sign * relaxed.objective
            self.values = [_entry_values(block, relaxed.duals, self.sign) for block in self.blocks]
        finally:
            for variable, domain in integers:
                variable.domain = domain
        self._offer([_alone(block, None) for block in self.blocks])
        self._offer(
            [
                _alone(block, [column.configuration for column, _ in columns])
                for block, columns in zip(self.blocks, used, strict=True)
            ]
        )


def _alone(block: pyo.Block, only: list[Configuration] | None) -> list[tuple[Column, list[float]]]:
    """Return the column that would run if the rack stood alone, of `only` these configurations."""
    plan = search(block.contents.instance, only=only).plan
    if plan is None:
        return []
    batch = plan.batch
    return [(Column(plan.configuration, Segment(batch, batch)), [batch])]


def _entry_values(block: pyo.Block, duals: Any, sign: float) -> dict[Column, float]:
    """Return what the relaxation changes if it has to run one replica, by column.

    The Lagrangian bound: rows that the column shares with others are priced by their
    multipliers, its own rows hold. No plan that runs the column exceeds the relaxation plus
    this value, which is at most 0.
    """
    program, contents = block.program, block.contents
    rack = rack_data(contents.instance)
    per_token = sign * 1e3 * float(duals[block.throughput_link])
    per_kw = sign * float(duals[block.power_link])
    single = program.component("one_chosen")
    entry = sign * float(duals[single]) if single is not None else 0.0
    shared = {
        component_label(row, program): sign * float(duals.get(row, 0.0))
        for name in SHARED
        for row in _members(program.component(name))
    }
    found = {}
    for index, column in enumerate(contents.columns):
        data = configuration_data(contents.instance, column.configuration, column.batches)
        raw, filled = coefficients(rack, data), fill(rack, data)
        template = raw.template
        power = template.power.gradient(collect(data, collect(rack, [])), len(template.columns))
        cost = per_token * raw.cost + per_kw * power
        upper = filled.program.row_upper.copy()
        for row, label in enumerate(template.rows):
            if label.family in SHARED:
                span = slice(template.starts[row], template.starts[row + 1])
                price = shared.get(label, 0.0)
                np.add.at(cost, template.indices[span], -price * raw.values[span])
                upper[row] = highs.INFINITY
        replicas = template.column("replicas")
        if program.component("whole_racks") is not None:
            cost[replicas] -= sign * float(duals.get(program.whole_racks[index], 0.0))
        lower = filled.program.column_lower.copy()
        most = filled.program.column_upper.copy()
        lower[replicas] = 1.0
        most[replicas] *= contents.racks_at_most
        answer = highs.solve(
            replace(
                filled.program,
                cost=cost * filled.scale,
                column_lower=lower,
                column_upper=most,
                row_upper=upper,
            ),
            integers=False,
        )
        found[column] = answer.objective - entry if answer.optimal else -math.inf
    return found


def _members(component: Any) -> list[Any]:
    return [] if component is None else list(component.values())


def _whole(instance: Instance, configuration: Configuration, batch: float) -> float:
    if not instance.choices.whole_sequences:
        return batch
    return max(smallest_batch(configuration), float(math.floor(batch + 1e-6)))


def _exact(block: pyo.Block, used: list[tuple[Column, list[float]]]) -> list[Column]:
    """Return columns of single batches at those in use; one that is idle where none is."""
    instance = block.contents.instance
    found: list[Column] = []
    for column, batches in used:
        for batch in batches:
            at = _whole(instance, column.configuration, batch)
            exact = Column(column.configuration, Segment(at, at))
            if exact not in found:
                found.append(exact)
    if not found:
        configuration = block.contents.columns[0].configuration
        least = smallest_batch(configuration)
        found.append(Column(configuration, Segment(least, least)))
    return found


def _candidates(block: pyo.Block) -> list[tuple[Column, list[float]]]:
    """Return the columns in use with the batches that a plan near them may hold."""
    columns = block.contents.columns
    return [
        (
            column,
            [batch, *clock_batches(block.program.configuration[columns.index(column)])],
        )
        for column, batch in used_columns(block)
    ]


def _split(block: pyo.Block, used: list[tuple[Column, float]], values: dict[Column, float]) -> None:
    """Split the batch ranges in use; a part is worth no more than the whole was."""
    contents: RackContents = block.contents
    whole = contents.instance.choices.whole_sequences
    declared = list(contents.columns)
    for column, batch in used:
        segment = column.batches
        if not isinstance(segment, Segment) or segment.lowest == segment.highest:
            continue
        part = block.program.configuration[declared.index(column)]
        middle = split_batch(segment, clock_batches(part), batch)
        at = _whole(contents.instance, column.configuration, middle)
        above = at + 1.0 if whole else at
        parts = [(segment.lowest, at), (at, at), (above, segment.highest)]
        contents.columns.remove(column)
        for lowest, highest in parts:
            new = Column(column.configuration, Segment(lowest, highest))
            if lowest <= highest and new not in contents.columns and new != column:
                contents.columns.append(new)
                values[new] = values[column]
