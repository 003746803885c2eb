"""The declared program of one configuration, extracted once and filled many times.

Declaring a Pyomo block and extracting its rows takes milliseconds; HiGHS solves such a program
in microseconds. So the rack of `hbmopt.models` is declared once per *shape* (number of clocks,
of components, of budgets) with every number a mutable parameter. Each coefficient is then an
expression of parameters, and all of them are compiled to one function from numbers to matrix.
The declaration stays the single source of the mathematics.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyomo.repn import generate_standard_repn

from hbmopt.demand import Demand, Point, Segment, collect, structure_of
from hbmopt.models.objective import TOKENS, Worth
from hbmopt.models.quantities import (
    BatchPoint,
    BatchSegment,
    ConfigurationData,
    RackData,
    number,
)
from hbmopt.models.rack import declare_rack
from hbmopt.program.declaring import one_at_a_time
from hbmopt.program.extraction import Label, extracted, label_of, with_parameters
from hbmopt.program.formulas import Array, Entry, Formula, Formulas, Numbers
from hbmopt.program.highs import INFINITY, Program

KERNEL, KERNEL_ROWS = "kernel_time", frozenset({"kernel_memory", "kernel_arithmetic"})
"""The time of a class of kernels, and the rows that say how long it is at least."""

STRUCTURAL = KERNEL_ROWS | frozenset(
    {
        "clock_shares",
        "common_batch",
        "min_batch",
        "highest_batch",
        "offload_share",
        "offload_lowest",
        "offload_highest",
        "kept_lowest",
        "kept_highest",
    }
)
"""Rows that define what a replica is, and are nobody's limit to change."""


@dataclass(frozen=True)
class Template:
    """Structure of the program of one configuration, and the function that fills it."""

    columns: tuple[Label, ...]
    rows: tuple[Label, ...]
    equality: NDArray[np.bool_]
    starts: NDArray[np.int32]
    indices: NDArray[np.int32]
    token_columns: NDArray[np.int32]
    power_columns: NDArray[np.int32]
    pace_columns: NDArray[np.int32]
    device_columns: NDArray[np.int32]
    lower: Array
    magnitudes: NDArray[np.int64]
    time_rows: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    """Entries of rows that say how often steps can be made: of steps, and of sequences."""
    formulas: Formulas
    sources: tuple[str, ...]
    """Entries of the rows, their constants, and by column throughput, power, pace and accelerators.

    The last one is the constant of power.
    """
    slacks: tuple[Formula, ...]
    """Right-hand side less activity of each row."""
    throughput: Formula
    power: Formula
    pace: Formula
    """In tokens per ms, kW and tokens per ms."""

    @cached_property
    def evaluate(self) -> Callable[[Numbers], tuple[Entry, ...]]:
        """Return the function from numbers to all of `sources`."""
        return self.formulas.function(self.sources)

    def compiled(self, places: Iterable[int]) -> Callable[[Numbers], tuple[Entry, ...]]:
        """Return the function from numbers to some of `sources`."""
        return self.formulas.function([self.sources[place] for place in places])

    @property
    def token_sources(self) -> int:
        """Return where in `sources` throughput begins."""
        return len(self.indices) + len(self.rows)

    @property
    def power_sources(self) -> int:
        """Return where in `sources` power begins."""
        return self.token_sources + len(self.token_columns)

    @cached_property
    def counting(self) -> NDArray[np.bool_]:
        """Return which rows count devices."""
        return np.array([label.family in ("accelerators", "lpu_units") for label in self.rows])

    @cached_property
    def _columns(self) -> dict[Label, int]:
        return {label: position for position, label in enumerate(self.columns)}

    @cached_property
    def _rows(self) -> dict[Label, int]:
        return {label: position for position, label in enumerate(self.rows)}

    def column(self, family: str, clock: int | None = None, index: int | None = None) -> int:
        """Return the position of a column."""
        return self._columns[Label(family, clock, index)]

    def places(self, family: str, index: int | None) -> list[int]:
        """Return the positions of a column at all clocks."""
        known = self._places
        if (family, index) not in known:
            every = enumerate(self.columns)
            known[family, index] = [
                place for place, one in every if (one.family, one.index) == (family, index)
            ]
        return known[family, index]

    @cached_property
    def _places(self) -> dict[tuple[str, int | None], list[int]]:
        return {}

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


def _shape(
    rack: RackData,
    structure: tuple[object, ...],
    clocks: int,
    batches: type[BatchSegment | BatchPoint],
) -> tuple[object, ...]:
    """Return what decides the structure of a program, as a key that is cheap to compare."""
    budgets = tuple(budget.name for budget in rack.budgets)
    unlimited = rack.power_cap_kw is None, rack.min_tokens_per_ms is None
    return clocks, structure, batches, *unlimited, budgets


_TEMPLATES: dict[tuple[object, ...], "Template"] = {}


def template_of(rack: RackData, configuration: ConfigurationData) -> "Template":
    """Return the template of this shape, extracted when it is met for the first time."""
    clocks = configuration.clocks
    shape = _shape(rack, structure_of(clocks[0]), len(clocks), type(configuration.batches))
    known = _TEMPLATES.get(shape)
    return known if known is not None else _extracted(shape, rack, configuration)


def template_for(rack: RackData, demand: Demand, batches: Segment | Point) -> "Template":
    """Return the template of the programs of a demand, as `template_of` that of its numbers."""
    clocks = len(demand.configuration.clocks)
    kind = BatchSegment if isinstance(batches, Segment) else BatchPoint
    known = _TEMPLATES.get(_shape(rack, demand.structure, clocks, kind))
    return known if known is not None else template_of(rack, demand.over(batches))


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
    """The numbers of a program in the model's own units: entries, right-hand sides, objective."""

    template: Template
    values: Array
    upper: Array
    cost: Array


def coefficients(rack: RackData, configuration: ConfigurationData) -> Coefficients:
    """Evaluate every coefficient of `rack` running replicas of `configuration` alone."""
    template = template_of(rack, configuration)
    found = np.array(template.evaluate(collect(configuration, collect(rack, []))))
    return _coefficients(template, found, (TOKENS,))


def _coefficients(template: Template, found: Array, worths: Sequence[Worth]) -> Coefficients:
    entries, rows = len(template.indices), len(template.rows)
    cost = np.zeros((len(template.columns), *found.shape[1:]))
    first = template.token_sources
    for columns, name, sign in (
        (template.token_columns, "token", 1.0),
        (template.power_columns, "kilowatt", -1.0),
        (template.pace_columns, "pace", 1.0),
        (template.device_columns, "accelerator", -1.0),
    ):
        worth = np.array([sign * number(getattr(one, name)) for one in worths])
        if worth.any():
            cost[columns] += worth * found[first : first + len(columns)]
        first += len(columns)
    return Coefficients(template, found[:entries], -found[entries : entries + rows], cost)


def fill(rack: RackData, configuration: ConfigurationData) -> Filled:
    """Return the program of `rack` running replicas of `configuration` alone."""
    template, span = template_of(rack, configuration), configuration.batches
    found = np.array(template.evaluate(collect(configuration, collect(rack, []))))
    lowest, highest = (np.array([float(end)]) for end in (span.lowest, span.highest))
    at_most = np.array([float(configuration.replicas_at_most)])
    ends = np.zeros(1), at_most
    return _filled(_coefficients(template, found[:, None], (TOKENS,)), lowest, highest, ends)[0]


def fill_many(
    template: Template,
    numbers: Array,
    lowest: Array,
    highest: Array,
    replicas: tuple[Array, Array],
    worths: Sequence[Worth] | None = None,
) -> list[Filled]:
    """Return the programs of a template for many numbers.

    Parameters
    ----------
    numbers
        By number, in the order of `collect`, and program.
    lowest, highest
        The range of batches of each program.
    replicas
        The least and most of each program. The counts of devices hold or not; free, they cannot
        take a price.
    worths
        What each is to maximise; tokens, where they are left out.
    """
    found = np.empty((len(template.sources), len(lowest)))
    if len(lowest) < WORTH_ARRAYS:
        for place, one in enumerate(numbers.T.tolist()):
            found[:, place] = template.evaluate(one)
    else:
        for place, entry in enumerate(template.evaluate(list(numbers))):
            found[place] = entry
    found[len(template.indices) + np.nonzero(template.counting)[0]] = -INFINITY
    wanted = _coefficients(template, found, worths or (TOKENS,) * len(lowest))
    return _filled(wanted, lowest, highest, replicas)


WORTH_ARRAYS = 10
"""Programs from which arrays are faster than numbers one by one."""


def _filled(
    found: Coefficients, lowest: Array, highest: Array, replicas: tuple[Array, Array]
) -> list[Filled]:
    """Return the scaled programs of coefficients that have a last axis of programs.

    Each of them has from so many replicas to so many.
    """
    template = found.template
    scale = _column_scale(found, lowest, highest)
    column = template.column("replicas")
    column_lower, column_upper = (
        np.repeat(ends[:, None], len(lowest), axis=1)
        for ends in (template.lower, np.full(len(template.columns), INFINITY))
    )
    column_lower[column], column_upper[column] = replicas

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
            column_lower=column_lower[:, place],
            column_upper=column_upper[:, place],
            integer=(column,),
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


def _extract(rack_shape: RackData, configuration_shape: ConfigurationData) -> Template:
    """Declare a rack of this shape with parameters for numbers, and extract its program."""
    model, (rack, configuration) = with_parameters((rack_shape, configuration_shape))
    declare_rack(model, rack, [configuration], uniform=False)
    formulas = Formulas()
    variables, rows = extracted(model, formulas)
    position = {id(variable): index for index, variable in enumerate(variables)}
    throughput, power, pace, devices = (
        generate_standard_repn(quantity.expr, compute_values=False)
        for quantity in (model.throughput, model.power, model.pace, model.used_accelerators)
    )
    worth_while = [
        formulas.term(one)
        for quantity in (throughput, power, pace, devices)
        for one in quantity.linear_coefs
    ]

    def formula(quantity: Any) -> Formula:
        places = [position[id(variable)] for variable in quantity.linear_vars]
        listed = list(map(formulas.term, quantity.linear_coefs))
        return Formula(formulas, places, listed, formulas.term(quantity.constant))

    def columns_of(quantity: Any) -> NDArray[np.int32]:
        places = [position[id(variable)] for variable in quantity.linear_vars]
        return np.array(places, dtype=np.int32)

    columns = tuple(label_of(variable.name) for variable in variables)
    starts = np.cumsum([0, *(len(row.columns) for row in rows)])

    def entries_in(row: int, family: str) -> tuple[int, ...]:
        wanted = Label(family, 0, None)
        return tuple(
            int(starts[row]) + place
            for place, column in enumerate(rows[row].columns)
            if columns[column] == wanted
        )

    return Template(
        columns=columns,
        rows=tuple(row.label for row in rows),
        magnitudes=np.array([MAGNITUDES.get(label.family, 0) for label in columns]),
        time_rows=tuple(
            (entries_in(place, "steps"), entries_in(place, "sequences"))
            for place, label in enumerate(row.label for row in rows)
            if (label.family in TIME_ROWS and label.clock == 0) or label.family == "budget"
        ),
        lower=np.array([-INFINITY if label.family == "batch_change" else 0.0 for label in columns]),
        equality=np.array([row.equality for row in rows]),
        starts=starts.astype(np.int32),
        indices=np.array([column for row in rows for column in row.columns], dtype=np.int32),
        token_columns=columns_of(throughput),
        power_columns=columns_of(power),
        pace_columns=columns_of(pace),
        device_columns=columns_of(devices),
        formulas=formulas,
        sources=(
            *(entry for row in rows for entry in row.entries),
            *(row.constant for row in rows),
            *worth_while,
            formulas.term(power.constant),
        ),
        slacks=tuple(
            Formula(
                formulas,
                row.columns,
                list(map(formulas.negative, row.entries)),
                formulas.negative(row.constant),
            )
            for row in rows
        ),
        throughput=formula(throughput),
        power=formula(power),
        pace=formula(pace),
    )
