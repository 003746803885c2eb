"""The declared program of one configuration, extracted once and filled many times.

Declaring a Pyomo block and extracting its rows takes milliseconds; HiGHS solves such a program
in microseconds. So the rack of `hbmopt.models` is declared once per *shape* (number of clocks,
of components, of budgets) with every number a mutable parameter. Each coefficient is then an
expression of parameters, and all of them are compiled to one function from numbers to matrix.
The declaration stays the single source of the mathematics.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from operator import attrgetter
from typing import TypeVar

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray
from pyomo.repn import generate_standard_repn

from hbmopt.highs import INFINITY, Program
from hbmopt.models.quantities import ConfigurationData, RackData
from hbmopt.models.rack import declare_rack

Tree = TypeVar("Tree")


@dataclass(frozen=True)
class Label:
    """The name of a row or column: family, and clock and index where it has them."""

    family: str
    clock: int | None
    index: int | None


@dataclass(frozen=True)
class Template:
    """Structure of the program of one configuration, and the function that fills it."""

    columns: tuple[Label, ...]
    rows: tuple[Label, ...]
    equality: NDArray[np.bool_]
    starts: NDArray[np.int32]
    indices: NDArray[np.int32]
    cost_columns: NDArray[np.int32]
    power_columns: NDArray[np.int32]
    evaluate: Callable[[list[float]], tuple[float, ...]]

    def column(self, family: str, clock: int | None = None, index: int | None = None) -> int:
        """Return the position of a column."""
        return self.columns.index(Label(family, clock, index))

    def row(self, family: str, clock: int | None = None, index: int | None = None) -> int:
        """Return the position of a row."""
        return self.rows.index(Label(family, clock, index))


@dataclass(frozen=True)
class Filled:
    """A template filled with numbers: the program, and the scales of its columns and rows.

    A column of the program holds the variable divided by its scale; a row is multiplied by its
    scale, and so is its dual to be read as one of the model's own row.
    """

    template: Template
    program: Program
    scale: NDArray[np.float64]
    row_scale: NDArray[np.float64]


_TAKE_APART: dict[type, Callable[[object], tuple[object, ...]]] = {}


def _parts(tree: object) -> tuple[object, ...]:
    """Return the fields of a dataclass in order; nothing for anything else."""
    kind = type(tree)
    if kind not in _TAKE_APART:
        names = [part.name for part in fields(tree)] if is_dataclass(tree) else []
        _TAKE_APART[kind] = (
            attrgetter(*names)
            if len(names) > 1
            else lambda tree: tuple(getattr(tree, name) for name in names)
        )
    return _TAKE_APART[kind](tree)


def collect(tree: object, found: list[float]) -> list[float]:
    """Append every float of a tree of dataclasses and tuples to `found`, in order."""
    if isinstance(tree, float):
        found.append(tree)
        return found
    parts = tree if isinstance(tree, tuple) else _parts(tree)
    for part in parts:
        if isinstance(part, float):
            found.append(part)
        else:
            collect(part, found)
    return found


def replaced(tree: Tree, make: Callable[[], object]) -> Tree:
    """Return the tree with every float replaced by what `make` returns, in the same order."""
    if isinstance(tree, float):
        return make()  # type: ignore[return-value]
    if isinstance(tree, tuple):
        return tuple(replaced(item, make) for item in tree)  # type: ignore[return-value]
    if is_dataclass(tree) and not isinstance(tree, type):
        changed = {part.name: replaced(getattr(tree, part.name), make) for part in fields(tree)}
        return type(tree)(**changed)
    return tree


def _shape(rack: RackData, configuration: ConfigurationData) -> tuple[object, ...]:
    """Return what decides the structure of a program, as a key that is cheap to compare."""
    first = configuration.clocks[0]
    return (
        len(configuration.clocks),
        len(first.components),
        first.offloadable,
        type(configuration.batches),
        rack.power_cap_kw is None,
        tuple(budget.name for budget in rack.budgets),
    )


_TEMPLATES: dict[tuple[object, ...], "Template"] = {}


def template_of(rack: RackData, configuration: ConfigurationData) -> "Template":
    """Return the template of this shape, extracted when it is met for the first time."""
    shape = _shape(rack, configuration)
    if shape not in _TEMPLATES:
        _TEMPLATES[shape] = _extract(rack, configuration)
    return _TEMPLATES[shape]


@dataclass(frozen=True)
class Coefficients:
    """The numbers of a program in the model's own units.

    Entries, right-hand sides, and throughput and power as functions of the columns.
    """

    template: Template
    values: NDArray[np.float64]
    upper: NDArray[np.float64]
    cost: NDArray[np.float64]
    power: NDArray[np.float64]
    fixed_power: float


def coefficients(rack: RackData, configuration: ConfigurationData) -> Coefficients:
    """Evaluate every coefficient of `rack` running replicas of `configuration` alone."""
    template = template_of(rack, configuration)
    filled = template.evaluate(collect(configuration, collect(rack, [])))
    entries, rows = len(template.indices), len(template.rows)
    rates = entries + rows
    draws = rates + len(template.cost_columns)
    cost, power = np.zeros(len(template.columns)), np.zeros(len(template.columns))
    cost[template.cost_columns] = filled[rates:draws]
    power[template.power_columns] = filled[draws:-1]
    return Coefficients(
        template,
        np.array(filled[:entries]),
        -np.array(filled[entries:rates]),
        cost,
        power,
        filled[-1],
    )


def fill(rack: RackData, configuration: ConfigurationData) -> Filled:
    """Return the program of `rack` running replicas of `configuration` alone."""
    found = coefficients(rack, configuration)
    template, upper, cost = found.template, found.upper, found.cost

    lowest, highest = _range(configuration)
    scale = _column_scale(found, lowest, highest)
    column_upper = np.full(len(template.columns), INFINITY)
    replicas = template.column("replicas")
    column_upper[replicas] = float(configuration.replicas_at_most)

    values = found.values * scale[template.indices]
    largest = np.maximum.reduceat(np.abs(values), template.starts[:-1])
    row_scale = 1.0 / np.where(largest > 0, largest, 1.0)
    values *= np.repeat(row_scale, np.diff(template.starts))
    upper = upper * row_scale
    kept = np.abs(values) > NEGLIGIBLE
    counts = np.add.reduceat(kept, template.starts[:-1])
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    program = Program(
        cost=cost * scale,
        column_lower=np.array(
            [-INFINITY if label.family == "batch_change" else 0.0 for label in template.columns]
        ),
        column_upper=column_upper,
        integer=(replicas,),
        row_lower=np.where(template.equality, upper, -INFINITY),
        row_upper=upper,
        starts=starts,
        indices=template.indices[kept],
        values=values[kept],
    )
    return Filled(template, program, scale, row_scale)


NEGLIGIBLE = 1e-9
"""Entries of a scaled program up to this size change nothing; HiGHS would drop them as well."""


def _range(configuration: ConfigurationData) -> tuple[float, float]:
    lowest, highest = configuration.batches.lowest, configuration.batches.highest
    return float(lowest), float(highest)


def _column_scale(found: Coefficients, lowest: float, highest: float) -> NDArray[np.float64]:
    """Return the scale of each column: near the value that it will take for one replica.

    HiGHS holds rows to an absolute tolerance, so rates far below 1 would be held loosely. Steps
    are measured in steps of a typical length, sequences in the batch times that.
    """
    template, typical = found.template, math.sqrt(lowest * highest)
    length = 0.0
    for row, label in enumerate(template.rows):
        if label.family not in ("step_time", "hbm_bandwidth", "compute") or label.clock != 0:
            continue
        span = slice(template.starts[row], template.starts[row + 1])
        taken = 0.0
        for column, value in zip(template.indices[span], found.values[span], strict=True):
            family = template.columns[column].family
            if family == "steps":
                taken += value
            elif family == "sequences":
                taken += value * typical
        length = max(length, taken)
    rate = 1.0 / length if length > 0 else 1.0
    by_family = {
        "steps": rate,
        "offloaded_steps": rate,
        "sequences": rate * highest,
        "offloaded_sequences": rate * highest,
        "batch_change": highest,
    }
    return np.array([by_family.get(label.family, 1.0) for label in template.columns])


def _extract(rack_shape: RackData, configuration_shape: ConfigurationData) -> Template:
    """Declare a rack of this shape with parameters for numbers, and extract its program."""
    model = pyo.ConcreteModel()
    count = len(collect(configuration_shape, collect(rack_shape, [])))
    model.p = pyo.Param(range(count), mutable=True, initialize=1.0)
    parameters = iter(model.p.values())
    rack, configuration = replaced((rack_shape, configuration_shape), lambda: next(parameters))
    declare_rack(model, rack, [configuration], uniform=False)

    variables = list(model.component_data_objects(pyo.Var, descend_into=True))
    position = {id(variable): index for index, variable in enumerate(variables)}
    constraints = list(model.component_data_objects(pyo.Constraint, descend_into=True))
    starts, indices, entries, constants = [0], list[int](), list[str](), list[str]()
    for constraint in constraints:
        form = generate_standard_repn(constraint.body, compute_values=False)
        if not form.is_linear():
            raise AssertionError(f"{constraint.name} is not linear")
        bound = constraint.upper if constraint.upper is not None else 0.0
        indices += [position[id(variable)] for variable in form.linear_vars]
        entries += [str(coefficient) for coefficient in form.linear_coefs]
        constants.append(f"({form.constant}) - ({bound})")
        starts.append(len(indices))
    objective = generate_standard_repn(model.throughput.expr, compute_values=False)
    cost = [str(coefficient) for coefficient in objective.linear_coefs]
    drawn = generate_standard_repn(model.power.expr, compute_values=False)
    power = [*(str(coefficient) for coefficient in drawn.linear_coefs), str(drawn.constant)]
    # Names of parameters are `p[7]`, so the expressions are Python as they print.
    source = f"lambda p: ({', '.join(entries + constants + cost + power)},)"
    return Template(
        columns=tuple(_label(variable.name) for variable in variables),
        rows=tuple(_label(constraint.name) for constraint in constraints),
        equality=np.array([constraint.equality for constraint in constraints]),
        starts=np.array(starts, dtype=np.int32),
        indices=np.array(indices, dtype=np.int32),
        cost_columns=np.array(
            [position[id(variable)] for variable in objective.linear_vars], dtype=np.int32
        ),
        power_columns=np.array(
            [position[id(variable)] for variable in drawn.linear_vars], dtype=np.int32
        ),
        evaluate=eval(source, {"__builtins__": {}}),
    )


_NAME = re.compile(
    r"(?:configuration\[0\]\.)?(?:clock\[(?P<clock>\d+)\]\.)?(?P<family>\w+)(?:\[(?P<index>\d+)\])?"
)


def _label(name: str) -> Label:
    match = _NAME.fullmatch(name)
    if match is None:
        raise AssertionError(f"unexpected name {name}")
    clock, index = match["clock"], match["index"]
    return Label(match["family"], int(clock) if clock else None, int(index) if index else None)
