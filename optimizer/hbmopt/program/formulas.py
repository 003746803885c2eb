"""Formulas of numbers as Pyomo writes them, compiled to Python in which no step is done twice.

The entries of a program share most of what they are made of: the streams of a component stand in
the rows of bandwidth, of power and of time. Each step is named once, and a function holds the steps
that its results need. Its numbers are floats, or arrays where there are many programs.
"""

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyomo.core.base.param import ParamData
from pyomo.core.expr import numeric_expr as numeric

Array: TypeAlias = NDArray[np.float64]
Entry: TypeAlias = float | Array
Numbers: TypeAlias = Sequence[Entry]

NOTHING, ONE = "0.0", "1.0"
"""Terms that a sum and a product can do without."""


class Formulas:
    """Steps of formulas; the terms that stand for them are literals, numbers ``p[7]`` or names."""

    def __init__(self) -> None:
        self._steps = dict[str, str]()
        self._known = dict[int, tuple[object, str]]()
        self._functions = dict[tuple[str, ...], Callable[[Numbers], tuple[Entry, ...]]]()

    def term(self, expression: Any) -> str:
        """Return the term of an expression of parameters, whose steps are added."""
        if isinstance(expression, float | int):
            return repr(float(expression)) if expression >= 0 else f"({float(expression)!r})"
        if isinstance(expression, ParamData):
            return f"p[{expression.index()}]"
        known = self._known.get(id(expression))
        if known is None:
            # The expression is kept with its term: another must not get its identity.
            known = self._known[id(expression)] = expression, self._step(expression)
        return known[1]

    def _step(self, expression: Any) -> str:
        if isinstance(expression, numeric.NegationExpression):
            return self.negative(self.term(expression.arg(0)))
        for kind, operator in OPERATORS:
            if isinstance(expression, kind):
                terms = [self.term(one) for one in expression.args]
                return self._joined(operator, terms)
        # Pyomo writes anything as Python, but takes its time.
        return self._named(str(expression))

    def _joined(self, operator: str, terms: list[str]) -> str:
        if operator == " * " and NOTHING in terms:
            return NOTHING
        if operator in NEUTRAL:
            terms = [one for one in terms if one != NEUTRAL[operator]]
        if len(terms) < 2:
            return terms[0] if terms else NEUTRAL[operator]
        return self._named(operator.join(terms))

    def sum(self, *terms: str) -> str:
        """Return the term of a sum of terms."""
        return self._joined(" + ", list(terms))

    def negative(self, term: str) -> str:
        """Return the term of a term's negative."""
        return self._named(f"-{term}") if term != NOTHING else NOTHING

    def _named(self, step: str) -> str:
        return self._steps.setdefault(step, f"v{len(self._steps)}")

    @cached_property
    def _made(self) -> dict[str, str]:
        return {name: step for step, name in self._steps.items()}

    def function(self, terms: Sequence[str]) -> Callable[[Numbers], tuple[Entry, ...]]:
        """Return the function from numbers to terms."""
        wanted = tuple(terms)
        if wanted not in self._functions:
            self._functions[wanted] = self._compiled("p", wanted, f"({', '.join(wanted)},)")
        return self._functions[wanted]

    def linear(self, columns: Sequence[int], terms: Sequence[str]) -> Callable[..., Array]:
        """Return the function from numbers and columns ``x`` to a sum of columns times terms.

        Terms beyond the columns are added as they are.
        """
        parts = [f"x[{column}] * {term}" for column, term in zip(columns, terms, strict=False)]
        parts += terms[len(columns) :]
        found: Callable[..., Array] = self._compiled("p, x", terms, " + ".join(parts) or NOTHING)
        return found

    def _compiled(self, arguments: str, terms: Sequence[str], result: str) -> Any:
        """Return a function with the steps that terms are made of, in the order they were met."""
        needed, open_ones = set[str](), [one for one in terms if one in self._made]
        while open_ones:
            name = open_ones.pop()
            if name not in needed:
                needed.add(name)
                open_ones += NAME.findall(self._made[name])
        steps = [f" {name} = {step}" for name, step in self._made.items() if name in needed]
        source = "\n".join([f"def found({arguments}):", *steps, f" return {result}"])
        space: dict[str, Any] = {"__builtins__": {}}
        # Nothing but terms of the model's own expressions stands in the source.
        exec(source, space)
        return space["found"]


NAME = re.compile(r"\bv\d+\b")

OPERATORS = (
    (numeric.ProductExpression, " * "),
    (numeric.DivisionExpression, " / "),
    (numeric.SumExpression, " + "),
    (numeric.PowExpression, " ** "),
)
"""What most formulas are made of."""

NEUTRAL = {" + ": NOTHING, " * ": ONE}


class Formula:
    """A quantity that is linear in the columns of a program, by its numbers `p`.

    It is compiled when it is asked for: prices need the few rows that have a multiplier.
    """

    def __init__(
        self, formulas: Formulas, columns: Sequence[int], entries: Sequence[str], constant: str
    ) -> None:
        self._formulas, self._columns = formulas, columns
        self._entries, self._constant = entries, constant

    @cached_property
    def value(self) -> Callable[[Numbers, Array], Array]:
        """Return its value for numbers `p`, which may be arrays of variants, and columns `x`."""
        return self._formulas.linear(self._columns, [*self._entries, self._constant])

    @cached_property
    def _linear(self) -> Callable[[Numbers, Array], Array]:
        return self._formulas.linear(self._columns, self._entries)

    def gradient(self, numbers: Sequence[float], columns: int) -> Array:
        """Return its coefficients for numbers, by column."""
        return self._linear(numbers, np.eye(columns))
