"""The columns of a rack block: configurations over ranges of batches, declared in Pyomo.

A rack block keeps what it was made from in `contents`, so that its columns can be declared again
with narrower ranges while the user's constraints stay as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pyomo.environ as pyo

from hbmopt.demand import (
    Configuration,
    Point,
    Segment,
    configuration_data,
    enumerate_configurations,
    largest_batch,
    rack_data,
    smallest_batch,
)
from hbmopt.instance import Instance
from hbmopt.models.quantities import ConfigurationData
from hbmopt.models.rack import declare_rack
from hbmopt.program import Label, RunningColumn

RANGES = 4
"""Batch ranges that a configuration starts with, equal on a logarithmic scale."""

PARTS = ("program", "throughput_link", "power_link")
"""Components of a rack block that are declared again when its columns change."""


@dataclass(frozen=True)
class Column:
    """One configuration over a range of batches, or around one batch."""

    configuration: Configuration
    batches: Segment | Point


@dataclass
class RackContents:
    """What a rack block was made from, the columns that it began with and those it holds now."""

    instance: Instance
    racks_at_most: int
    first: tuple[Column, ...] = ()
    columns: list[Column] = field(default_factory=list)


def first_columns(instance: Instance) -> Iterator[Column]:
    """Yield every configuration that holds its smallest batch, over its ranges of batches."""
    configurations, _ = enumerate_configurations(instance)
    for configuration in configurations:
        most = largest_batch(instance, configuration)
        least = smallest_batch(configuration)
        if most < least:
            continue
        edges = [least * (most / least) ** (part / RANGES) for part in range(RANGES + 1)]
        if instance.llm.mixture is None and configuration.lpu_units == 0:
            edges = [least, most]
        for lowest, highest in pairwise(edges):
            if highest > lowest:
                yield Column(configuration, Segment(lowest, highest))


@dataclass(frozen=True)
class DeclaredColumns:
    """The declared columns of a rack block, taken out to be put back later."""

    columns: list[Column]
    parts: tuple[Any, ...]


def take_out(block: pyo.Block) -> DeclaredColumns:
    """Take the declared columns out of a rack block."""
    parts = tuple(block.component(name) for name in PARTS)
    for part in parts:
        if part is not None:
            block.del_component(part)
    return DeclaredColumns(block.contents.columns, parts)


def put_back(block: pyo.Block, declared: DeclaredColumns) -> None:
    """Put declared columns back in place of those that the block holds."""
    take_out(block)
    block.contents.columns = declared.columns
    for name, part in zip(PARTS, declared.parts, strict=True):
        block.add_component(name, part)


def declare_columns(block: pyo.Block, *, uniform: bool) -> None:
    """Declare the columns of a rack block, in place of those that it held before."""
    contents: RackContents = block.contents
    take_out(block)
    data = [
        configuration_data(contents.instance, column.configuration, column.batches)
        for column in contents.columns
    ]
    rack = replace(rack_data(contents.instance), racks=block.racks)
    block.program = pyo.Block(concrete=True)
    declare_rack(
        block.program, rack, data, uniform=uniform, racks_at_most=float(contents.racks_at_most)
    )
    if not uniform:
        _whole_racks(block.program, block.racks, data)
    block.throughput_link = pyo.Constraint(
        expr=block.throughput == 1e3 * block.program.throughput, doc="tok/s from tokens/ms"
    )
    block.power_link = pyo.Constraint(expr=block.power == block.program.power, doc="kW")


def _whole_racks(program: pyo.Block, racks: pyo.Var, data: list[ConfigurationData]) -> None:
    program.whole_racks = pyo.Constraint(
        range(len(data)),
        rule=lambda _, index: (
            program.configuration[index].replicas <= data[index].replicas_at_most * racks
        ),
    )


def used_columns(block: pyo.Block, least: float = 0.5) -> list[tuple[Column, float]]:
    """Return the columns that run, with the batch of each."""
    found = []
    for index, column in enumerate(block.contents.columns):
        part = block.program.configuration[index]
        if (part.replicas.value or 0.0) < least:
            continue
        steps = sum(clock.steps.value or 0.0 for clock in part.clock.values())
        sequences = sum(clock.sequences.value or 0.0 for clock in part.clock.values())
        if steps > 0:
            found.append((column, sequences / steps))
    return found


def clock_batches(configuration: pyo.Block) -> list[float]:
    """Return the sequences per replica at each clock that runs, from a configuration's values."""
    pairs = [
        (clock.sequences.value or 0.0, clock.steps.value or 0.0)
        for clock in configuration.clock.values()
    ]
    steps = sum(pair[1] for pair in pairs)
    return [sequences / rate for sequences, rate in pairs if rate > 1e-9 * steps]


def running_columns(block: pyo.Block, least: float = 0.5) -> list[RunningColumn]:
    """Return the columns of which at least `least` replicas run, with all their values."""
    contents: RackContents = block.contents
    found = []
    for index, column in enumerate(contents.columns):
        part = block.program.configuration[index]
        if (part.replicas.value or 0.0) >= least:
            data = configuration_data(contents.instance, column.configuration, column.batches)
            values = {
                component_label(variable, part): float(variable.value or 0.0)
                for variable in part.component_data_objects(pyo.Var, descend_into=True)
            }
            found.append(RunningColumn(column.configuration, data, values))
    return found


def component_label(component: Any, root: pyo.Block) -> Label:
    """Return the label of a variable or row inside a configuration or rack."""
    parent = component.parent_component()
    clock, owner = None, component.parent_block()
    if owner is not root and owner.parent_component().local_name == "clock":
        clock = owner.index()
    index = component.index()
    return Label(parent.local_name, clock, index if isinstance(index, int) else None)
