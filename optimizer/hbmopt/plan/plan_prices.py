"""Prices of a plan: the user's rows, the racks' rows and hardware inputs in one table.

The integers of the plan are held and the batches freed: every running column is replaced by its
first-order model until the optimum stays in place. The multipliers found there are those of the
exact program (see `hbmopt.search.polish`).
"""

from dataclasses import replace
from typing import Any

import pyomo.environ as pyo
from pyomo.common.collections import ComponentMap

from hbmopt.demand import Point, largest_batch, rack_data, smallest_batch
from hbmopt.plan.rack_columns import (
    Column,
    RackContents,
    component_label,
    declare_columns,
    running_columns,
    used_columns,
)
from hbmopt.program import PricedColumn, PricedRack, solve_linear
from hbmopt.results import BINDING, ConstraintResult, InputResult, constraint_table, input_prices

FIRST_ORDER_ROUNDS = 30

# Rows that count whole things: with the integers held they hold or not, and take no price.
COUNTING = ("accelerators", "lpu_units", "only_if_chosen", "one_chosen", "whole_racks")


def price_racks(
    model: pyo.ConcreteModel, blocks: list[pyo.Block], objective: pyo.Objective, unit: str
) -> tuple[tuple[PricedRack, ...], tuple[ConstraintResult, ...]]:
    """Hold the integers, free the batches; return the priced racks and the user's rows."""
    inner = {id(variable) for block in blocks for variable in _inner(block)}
    held = [
        (variable, variable.domain, variable.fixed)
        for variable in model.component_data_objects(pyo.Var, descend_into=True)
        if (variable.is_integer() or variable.is_binary()) and id(variable) not in inner
    ]
    for variable, _, _ in held:
        # Fixed and no longer integer: only then is it a linear program with multipliers.
        variable.domain = pyo.Reals
        variable.fix(round(variable.value or 0.0))
    duals = _to_first_order(model, blocks)
    racks = tuple(_priced_rack(block, duals, pyo.value(objective), unit) for block in blocks)
    inside = {id(row) for block in blocks for row in _rows(block)}
    rows = tuple(
        one
        for row in model.component_data_objects(pyo.Constraint, active=True, descend_into=True)
        if id(row) not in inside
        for one in _user_rows(row, duals.get(row, 0.0), pyo.value(objective), unit)
    )
    for variable, domain, fixed in held:
        variable.domain = domain
        if not fixed:
            variable.unfix()
    return racks, rows


def price_table(
    names: list[str], racks: tuple[PricedRack, ...], rows: tuple[ConstraintResult, ...]
) -> tuple[tuple[ConstraintResult, ...], tuple[InputResult, ...]]:
    """Return the user's rows and the racks' rows, and the inputs, under the names of the racks."""
    constraints, inputs = list(rows), list[InputResult]()
    for name, rack in zip(names, racks, strict=True):
        if rack.columns:
            constraints += [
                replace(row, name=f"{name}.{row.name}") for row in constraint_table(rack)
            ]
            inputs += [replace(one, name=f"{name}.{one.name}") for one in input_prices(rack)]
    return tuple(constraints), tuple(inputs)


def _inner(block: pyo.Block) -> list[pyo.Var]:
    return list(block.program.component_data_objects(pyo.Var, descend_into=True))


def _rows(block: pyo.Block) -> list[pyo.Constraint]:
    return list(block.component_data_objects(pyo.Constraint, descend_into=True))


def _to_first_order(
    model: pyo.ConcreteModel, blocks: list[pyo.Block]
) -> "ComponentMap[Any, float]":
    """Replace the running columns by first-order models until their optimum stays in place.

    Return the duals there.
    """
    duals = ComponentMap()
    for attempt in range(FIRST_ORDER_ROUNDS):
        moved = 0.0
        # Products of share and batch are trusted less far from round to round.
        spread = 1.0 + 0.25 * 0.6**attempt
        points = [_points(block, spread) for block in blocks]
        for block, own in zip(blocks, points, strict=True):
            replicas = [count for _, count in own]
            block.contents.columns = [column for column, _ in own]
            declare_columns(block, uniform=False)
            for name in COUNTING:
                if block.program.component(name) is not None:
                    block.program.component(name).deactivate()
            for part, count in zip(block.program.configuration.values(), replicas, strict=True):
                part.replicas.domain = pyo.Reals
                part.replicas.fix(count)
        duals = solve_linear(model).duals
        for block, own in zip(blocks, points, strict=True):
            for (column, _), (_, batch) in zip(own, used_columns(block), strict=False):
                at = column.batches.batch if isinstance(column.batches, Point) else batch
                moved = max(moved, abs(batch / at - 1.0))
        if moved <= 1e-10:
            break
    return duals


def _points(block: pyo.Block, spread: float) -> list[tuple[Column, int]]:
    """Return the running columns as first-order models at their values, with their replicas."""
    contents: RackContents = block.contents
    found = []
    for index, column in enumerate(contents.columns):
        part = block.program.configuration[index]
        count = round(part.replicas.value or 0.0)
        clocks = list(part.clock.values())
        steps = tuple(float(clock.steps.value or 0.0) for clock in clocks)
        if count == 0 or sum(steps) <= 0:
            continue
        batch = sum(clock.sequences.value or 0.0 for clock in clocks) / sum(steps)
        share = tuple(
            min(
                1.0, sum(clock.offloaded_steps[part_].value or 0.0 for clock in clocks) / sum(steps)
            )
            for part_ in clocks[0].offloaded_steps
        )
        most = 2.0 * largest_batch(contents.instance, column.configuration)
        least = smallest_batch(column.configuration)
        lowest, highest = least, most
        if share:
            lowest, highest = max(least, batch / spread), min(most, batch * spread)
        point = Point(batch, share, steps, lowest, highest)
        found.append((Column(column.configuration, point), count))
    return found


def _priced_rack(block: pyo.Block, duals: Any, objective: float, unit: str) -> PricedRack:
    contents: RackContents = block.contents
    program = block.program
    columns = []
    for running, (index, column) in zip(
        running_columns(block), enumerate(contents.columns), strict=True
    ):
        part = program.configuration[index]
        if not isinstance(column.batches, Point):
            raise TypeError("prices are read at first-order models")
        rows = {
            component_label(row, part): float(duals.get(row, 0.0))
            for row in part.component_data_objects(pyo.Constraint, descend_into=True)
        }
        columns.append(
            PricedColumn(running.configuration, running.data, running.values, column.batches, rows)
        )
    shared = {
        component_label(row, program): float(duals.get(row, 0.0))
        for row in program.component_data_objects(pyo.Constraint, descend_into=False)
    }
    racks = float(block.racks.value or 0.0)
    # The links are equalities `outside = inside`: their multipliers are what the plan pays
    # for one more token per second, and for one kW less.
    return PricedRack(
        rack=replace(rack_data(contents.instance), racks=racks),
        columns=tuple(columns),
        instance=contents.instance,
        duals=shared,
        objective=objective,
        throughput_weight=1e3 * float(duals[block.throughput_link]),
        power_weight=float(duals[block.power_link]),
        objective_unit=unit,
    )


def _user_rows(
    row: pyo.Constraint, dual: float, objective: float, unit: str
) -> list[ConstraintResult]:
    """Return a constraint of the user as rows of the table: one per side that it limits."""
    body = float(pyo.value(row.body))
    sides = [("", row.upper, False), ("", row.lower, True)]
    if row.equality:
        sides = [("", row.upper, False)]
    found = []
    for _, limit, floor in sides:
        if limit is None:
            continue
        at = float(pyo.value(limit))
        slack = body - at if floor else at - body
        tight = abs(slack) <= BINDING * max(1.0, abs(at))
        price = dual if tight else 0.0
        found.append(
            ConstraintResult(
                name=row.name,
                usage=body,
                limit=at,
                unit="",
                utilization=body / at if at else 0.0,
                slack=slack,
                binding=tight,
                unit_price=price,
                unit_price_unit=f"{unit} per unit of {row.name}",
                elasticity=price * at / objective if objective else 0.0,
            )
        )
    return found
