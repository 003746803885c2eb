"""The declared program of one configuration, extracted once and filled many times.

Declaring a Pyomo block and extracting its rows takes milliseconds; HiGHS solves such a program
in microseconds. So the rack of `hbmopt.models` is declared once per *shape* (number of clocks,
of components, of budgets) with every number a mutable parameter. Each coefficient is then an
expression of parameters, and all of them are compiled to one function from numbers to matrix.
The declaration stays the single source of the mathematics.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray
from pyomo.core.base.param import ParamData
from pyomo.core.expr import numeric_expr as numeric
from pyomo.repn import generate_standard_repn

from hbmopt.models.quantities import ConfigurationData, RackData
from hbmopt.models.rack import declare_rack
from hbmopt.program.declaring import one_at_a_time
from hbmopt.program.highs import INFINITY, Program

Tree = TypeVar("Tree")

Array: TypeAlias = NDArray[np.float64]
Entry: TypeAlias = float | Array


class Formula:
    """A quantity that is linear in the columns of a program, by its numbers `p`.

    It is compiled when it is asked for: prices need the few rows that have a multiplier.
    """

    def __init__(self, columns: Sequence[int], entries: Sequence[str], constant: str) -> None:
        terms = (f"x[{column}] * ({entry})" for column, entry in zip(columns, entries, strict=True))
        self._terms, self._constant = " + ".join(terms), constant

    @cached_property
    def value(self) -> Callable[[Sequence[Entry], Array], Array]:
        """Return its value for numbers `p`, which may be arrays of variants, and columns `x`."""
        function: Callable[[Sequence[Entry], Array], Array]
        function = _compiled(f"lambda p, x: {self._terms} + {self._constant}")
        return function

    @cached_property
    def _linear(self) -> Callable[[Sequence[Entry], Array], Array]:
        function: Callable[[Sequence[Entry], Array], Array]
        function = _compiled(f"lambda p, x: {self._terms}")
        return function

    def gradient(self, numbers: Sequence[float], columns: int) -> Array:
        """Return its coefficients for numbers, by column."""
        return self._linear(numbers, np.eye(columns))


def _compiled(source: str) -> Any:
    # Names of parameters are `p[7]`, so the expressions of Pyomo are Python as they print.
    return eval(source, {"__builtins__": {}})


STRUCTURAL = frozenset(
    {
        "clock_shares",
        "common_batch",
        "min_batch",
        "max_batch",
        "offload_share",
        "offload_lowest",
        "offload_highest",
        "kept_lowest",
        "kept_highest",
    }
)
"""Rows that define what a replica is, and are nobody's limit to change."""


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
    lower: Array
    magnitudes: NDArray[np.int64]
    time_rows: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    """Entries of rows that say how often steps can be made: of steps, and of sequences."""
    sources: tuple[str, ...]
    """Entries of the rows, their constants, throughput by column, power by column, its constant."""
    slacks: tuple[Formula, ...]
    """Right-hand side less activity of each row."""
    throughput: Formula
    power: Formula
    """In tokens per ms and kW."""

    @cached_property
    def evaluate(self) -> Callable[[Sequence[Entry]], tuple[Entry, ...]]:
        """Return the function from numbers to all of `sources`."""
        return self.compiled(range(len(self.sources)))

    def compiled(self, places: Iterable[int]) -> Callable[[Sequence[Entry]], tuple[Entry, ...]]:
        """Return the function from numbers to some of `sources`."""
        listed = ", ".join(self.sources[place] for place in places)
        function: Callable[[Sequence[Entry]], tuple[Entry, ...]]
        function = _compiled(f"lambda p: ({listed},)")
        return function

    @cached_property
    def _columns(self) -> dict[Label, int]:
        return {label: position for position, label in enumerate(self.columns)}

    @cached_property
    def _rows(self) -> dict[Label, int]:
        return {label: position for position, label in enumerate(self.rows)}

    def column(self, family: str, clock: int | None = None, index: int | None = None) -> int:
        """Return the position of a column."""
        return self._columns[Label(family, clock, index)]

    def row_columns(self, row: int) -> NDArray[np.int32]:
        """Return the columns of a row."""
        return self.indices[self.starts[row] : self.starts[row + 1]]

    def row(self, family: str, clock: int | None = None, index: int | None = None) -> int:
        """Return the position of a row."""
        return self._rows[Label(family, clock, index)]


@dataclass(frozen=True)
class Filled:
    """A template filled with numbers: the program, and the scales of its columns and rows.

    A column of the program holds the variable divided by its scale; a row is multiplied by its
    scale, and so is its dual to be read as one of the model's own row.
    """

    template: Template
    program: Program
    scale: Array
    row_scale: Array


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
    """Append every number of a tree of dataclasses and tuples to `found`, in order.

    A number is a float, or an array of them where many points are evaluated at once.
    """
    if isinstance(tree, float | np.ndarray):
        found.append(tree)  # type: ignore[arg-type]  # an array in place of a number
        return found
    parts = tree if isinstance(tree, tuple) else _parts(tree)
    for part in parts:
        if isinstance(part, float):
            found.append(part)
        else:
            collect(part, found)
    return found


def replaced(tree: Tree, make: Callable[[], object]) -> Tree:
    """Return the tree with every number, as `collect` knows it, replaced by what `make` returns."""
    if isinstance(tree, float | np.ndarray):
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
    known = _TEMPLATES.get(shape)
    return known if known is not None else _extracted(shape, rack, configuration)


@one_at_a_time
def _extracted(
    shape: tuple[object, ...], rack: RackData, configuration: ConfigurationData
) -> "Template":
    """Return the template of a shape that was not known when it was asked for."""
    if shape not in _TEMPLATES:
        _TEMPLATES[shape] = _extract(rack, configuration)
    return _TEMPLATES[shape]


@dataclass(frozen=True)
class Coefficients:
    """The numbers of a program in the model's own units: entries, right-hand sides, throughput."""

    template: Template
    values: Array
    upper: Array
    cost: Array


def coefficients(rack: RackData, configuration: ConfigurationData) -> Coefficients:
    """Evaluate every coefficient of `rack` running replicas of `configuration` alone."""
    template = template_of(rack, configuration)
    found = np.array(template.evaluate(collect(configuration, collect(rack, []))))
    return _coefficients(template, found)


def _coefficients(template: Template, found: Array) -> Coefficients:
    entries, rows = len(template.indices), len(template.rows)
    cost = np.zeros((len(template.columns), *found.shape[1:]))
    throughput = slice(entries + rows, entries + rows + len(template.cost_columns))
    cost[template.cost_columns] = found[throughput]
    return Coefficients(template, found[:entries], -found[entries : entries + rows], cost)


def fill(rack: RackData, configuration: ConfigurationData) -> Filled:
    """Return the program of `rack` running replicas of `configuration` alone."""
    template, span = template_of(rack, configuration), configuration.batches
    found = np.array(template.evaluate(collect(configuration, collect(rack, []))))
    lowest, highest = (np.array([float(end)]) for end in (span.lowest, span.highest))
    at_most = float(configuration.replicas_at_most)
    return _filled(_coefficients(template, found[:, None]), lowest, highest, at_most)[0]


def fill_many(
    template: Template, numbers: Array, lowest: Array, highest: Array, at_most: float
) -> list[Filled]:
    """Return the programs of a template for many numbers.

    Parameters
    ----------
    numbers
        By number, in the order of `collect`, and program.
    lowest, highest
        The range of batches of each program.
    at_most
        Replicas of each.
    """
    found = np.array(
        [np.broadcast_to(one, lowest.shape) for one in template.evaluate(list(numbers))]
    )
    return _filled(_coefficients(template, found), lowest, highest, at_most)


def _filled(found: Coefficients, lowest: Array, highest: Array, at_most: float) -> list[Filled]:
    """Return the scaled programs of coefficients that have a last axis of programs."""
    template = found.template
    scale = _column_scale(found, lowest, highest)
    column_upper = np.full(len(template.columns), INFINITY)
    replicas = template.column("replicas")
    column_upper[replicas] = at_most

    values = found.values * scale[template.indices]
    largest = np.maximum.reduceat(np.abs(values), template.starts[:-1], axis=0)
    row_scale = 1.0 / np.where(largest > 0, largest, 1.0)
    values *= np.repeat(row_scale, np.diff(template.starts), axis=0)
    upper, cost = found.upper * row_scale, found.cost * scale
    row_lower = np.where(template.equality[:, None], upper, -INFINITY)
    kept = np.abs(values) > NEGLIGIBLE
    alike = bool((kept == kept[:, :1]).all())
    starts, indices = _structure(template, kept[:, 0])
    programs = []
    for place in range(len(lowest)):
        if not alike:
            starts, indices = _structure(template, kept[:, place])
        program = Program(
            cost=cost[:, place],
            column_lower=template.lower,
            column_upper=column_upper,
            integer=(replicas,),
            row_lower=row_lower[:, place],
            row_upper=upper[:, place],
            starts=starts,
            indices=indices,
            values=values[kept[:, place], place],
        )
        programs.append(Filled(template, program, scale[:, place], row_scale[:, place]))
    return programs


def _structure(
    template: Template, kept: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return where rows start and in which columns their entries stand, of those that are kept."""
    counts = np.add.reduceat(kept, template.starts[:-1], dtype=np.int32)
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    return starts, template.indices[kept]


NEGLIGIBLE = 1e-9
"""Entries of a scaled program up to this size change nothing; HiGHS would drop them as well."""


def _column_scale(found: Coefficients, lowest: Array, highest: Array) -> Array:
    """Return the scale of each column: near the value that it will take for one replica.

    HiGHS holds rows to an absolute tolerance, so rates far below 1 would be held loosely. Steps
    are measured in steps of a typical length, sequences in the batch times that.
    """
    template, typical = found.template, np.sqrt(lowest * highest)
    length = np.zeros_like(lowest)
    for per_step, per_sequence in template.time_rows:
        taken = np.zeros_like(lowest)
        for entry in per_step:
            taken = taken + found.values[entry]
        for entry in per_sequence:
            taken = taken + found.values[entry] * typical
        length = np.maximum(length, taken)
    rate = 1.0 / np.where(length > 0, length, 1.0)
    one = np.ones_like(rate)
    return np.array([one, rate, rate * highest, highest])[template.magnitudes]


MAGNITUDES = {
    "steps": 1,
    "offloaded_steps": 1,
    "sequences": 2,
    "offloaded_sequences": 2,
    "batch_change": 3,
}
"""What columns are measured in: replicas (0), their steps, their sequences, or the batch."""

TIME_ROWS = ("step_time", "hbm_bandwidth", "compute")
"""Rows that say how long a step takes."""


OPERATORS = (
    (numeric.ProductExpression, " * "),
    (numeric.DivisionExpression, " / "),
    (numeric.SumExpression, " + "),
    (numeric.PowExpression, " ** "),
)
"""What most coefficients are made of; Pyomo writes anything, but takes its time."""


def _written(expression: Any) -> str:
    """Return an expression of parameters as Python."""
    if isinstance(expression, float | int):
        return repr(expression)
    if isinstance(expression, ParamData):
        return f"p[{expression.index()}]"
    if isinstance(expression, numeric.NegationExpression):
        return f"(-{_written(expression.arg(0))})"
    for kind, operator in OPERATORS:
        if isinstance(expression, kind):
            return f"({operator.join(map(_written, expression.args))})"
    return f"({expression})"


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
        entries += [_written(coefficient) for coefficient in form.linear_coefs]
        constants.append(f"({_written(form.constant)}) - ({_written(bound)})")
        starts.append(len(indices))
    throughput, power = (
        generate_standard_repn(quantity.expr, compute_values=False)
        for quantity in (model.throughput, model.power)
    )
    cost = [_written(coefficient) for coefficient in throughput.linear_coefs]
    drawn = [_written(one) for one in (*power.linear_coefs, power.constant)]

    def formula(quantity: Any) -> Formula:
        places = [position[id(variable)] for variable in quantity.linear_vars]
        listed = [_written(one) for one in quantity.linear_coefs]
        return Formula(places, listed, _written(quantity.constant))

    columns = tuple(_label(variable.name) for variable in variables)
    rows = tuple(_label(constraint.name) for constraint in constraints)

    def entries_in(row: int, family: str) -> tuple[int, ...]:
        span = range(starts[row], starts[row + 1])
        wanted = Label(family, 0, None)
        return tuple(one for one in span if columns[indices[one]] == wanted)

    return Template(
        columns=columns,
        rows=rows,
        magnitudes=np.array([MAGNITUDES.get(label.family, 0) for label in columns]),
        time_rows=tuple(
            (entries_in(row, "steps"), entries_in(row, "sequences"))
            for row, label in enumerate(rows)
            if (label.family in TIME_ROWS and label.clock == 0) or label.family == "budget"
        ),
        lower=np.array([-INFINITY if label.family == "batch_change" else 0.0 for label in columns]),
        equality=np.array([constraint.equality for constraint in constraints]),
        starts=np.array(starts, dtype=np.int32),
        indices=np.array(indices, dtype=np.int32),
        cost_columns=np.array(
            [position[id(variable)] for variable in throughput.linear_vars], dtype=np.int32
        ),
        power_columns=np.array(
            [position[id(variable)] for variable in power.linear_vars], dtype=np.int32
        ),
        sources=(*entries, *constants, *cost, *drawn),
        slacks=tuple(
            Formula(
                indices[first:last],
                [f"-({entry})" for entry in entries[first:last]],
                f"-({constant})",
            )
            for first, last, constant in zip(starts[:-1], starts[1:], constants, strict=True)
        ),
        throughput=formula(throughput),
        power=formula(power),
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
