"""Rows of a Pyomo model whose numbers are parameters: entries as formulas of these.

Declaring a Pyomo block and reading its rows takes milliseconds. So what is filled many times is
declared once with a mutable parameter for every number; each coefficient is then an expression of
parameters, and all of them are compiled to one function from numbers to entries.
"""

import re
from dataclasses import dataclass
from typing import Any, TypeVar

import pyomo.core as pyo
from pyomo.repn import generate_standard_repn

from hbmopt.demand import collect, replaced
from hbmopt.program.formulas import Formulas

Tree = TypeVar("Tree")


@dataclass(frozen=True)
class Label:
    """The name of a row or column: family, and clock and index where it has them."""

    family: str
    clock: int | None
    index: int | None


@dataclass(frozen=True)
class Row:
    """A row, entries less right-hand side at most or equal to nothing, in terms of formulas."""

    label: Label
    columns: tuple[int, ...]
    entries: tuple[str, ...]
    constant: str
    equality: bool


def with_parameters(tree: Tree) -> tuple[pyo.ConcreteModel, Tree]:
    """Return a model with a parameter for every number of a tree, and the tree of these."""
    model = pyo.ConcreteModel()
    model.p = pyo.Param(range(len(collect(tree, []))), mutable=True, initialize=1.0)
    parameters = iter(model.p.values())
    return model, replaced(tree, lambda _: next(parameters))


def extracted(model: pyo.ConcreteModel, formulas: Formulas) -> tuple[list[Any], list[Row]]:
    """Return the variables of a model, its columns, and its rows."""
    variables = list(model.component_data_objects(pyo.Var, descend_into=True))
    position = {id(variable): index for index, variable in enumerate(variables)}
    rows = []
    for constraint in model.component_data_objects(pyo.Constraint, descend_into=True):
        form = generate_standard_repn(constraint.body, compute_values=False)
        if not form.is_linear():
            raise AssertionError(f"{constraint.name} is not linear")
        bound = constraint.upper if constraint.upper is not None else 0.0
        less = formulas.negative(formulas.term(bound))
        rows.append(
            Row(
                label_of(constraint.name),
                tuple(position[id(variable)] for variable in form.linear_vars),
                tuple(map(formulas.term, form.linear_coefs)),
                formulas.sum(formulas.term(form.constant), less),
                bool(constraint.equality),
            )
        )
    return variables, rows


_NAME = re.compile(
    r"(?:configuration\[\w+\]\.)?(?:clock\[(?P<clock>\d+)\]\.)?(?P<family>\w+)(?:\[(?P<index>\d+)\])?"
)


def label_of(name: str) -> Label:
    """Return the label of a row or column by its name in a model of one configuration."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise AssertionError(f"unexpected name {name}")
    clock, index = match["clock"], match["index"]
    return Label(match["family"], int(clock) if clock else None, int(index) if index else None)
