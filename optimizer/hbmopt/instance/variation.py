"""Variations: which field of an instance takes which values, and the points that follow.

A variation is written as ``limits.power=60 kW:600 kW:20 kW``, as ``llm=kimi_k2_5,glm_4_5`` or, with
names of the catalogue, as ``rack=*_nvl72``.
Ranges are computed exactly, so that 0.1 : 0.3 : 0.1 has three values and the last one is 0.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain
from math import lcm, prod
from typing import TypeVar

from hbmopt.basics import Combinations, Computed, Joined, LazySequence, units
from hbmopt.documents import parse_path, parse_scalar
from hbmopt.errors import InputError, nearest
from hbmopt.instance.name_patterns import expanded

ON_GRID = Fraction(1, 10**9)
"""Share of a step by which the end of a range may miss the grid and still be its last value."""

MOST_POINTS = 1_000_000
"""Points of a sweep beyond which a range was surely mistyped."""

LARGEST = 10**200
"""Numbers of this size and beyond are no numbers of an instance."""

LARGEST_WHOLE = 10**15
"""Whole numbers up to this size are written without exponent."""

EXAMPLE = '"limits.power=60 kW:600 kW:20 kW" or llm=NAME,NAME'

Cell = int | float | str
Quantity = tuple[Fraction, str]

Item = TypeVar("Item")


@dataclass(frozen=True)
class Variation:
    """A field of the instance by its dotted path, and its values as they are written there."""

    path: str
    values: Sequence[str]

    @property
    def unit(self) -> str:
        """The unit of the numbers in a result: that of the first value, "" where there is none."""
        return self._column[0]

    @property
    def header(self) -> str:
        """The name of the column of this variation, with the unit."""
        return f"{self.path} [{self.unit}]" if self.unit else self.path

    @property
    def cells(self) -> Sequence[Cell]:
        """The values as they stand in a result: numbers in one unit, or the text as written."""
        return self._column[1]

    @cached_property
    def _column(self) -> tuple[str, Sequence[Cell]]:
        parts = _parts(self.values)
        found = [[_quantity(text) for text in _telling(part)] for part in parts]
        known = [[one for one in listed if one is not None] for listed in found]
        quantities = [one for listed in known for one in listed]
        first = quantities[0][1] if quantities else ""
        dimensions = {_dimension(unit) for _, unit in quantities}
        if sum(map(len, found)) > len(quantities) or len(dimensions) > 1:
            return "", self.values
        numbers = [number * _ratio(unit, first) for number, unit in quantities]
        whole = all(one.denominator == 1 and abs(one) < LARGEST_WHOLE for one in numbers)

        def cell(number: Fraction | float) -> Cell:
            return int(number) if whole else float(number)

        def cells(part: Sequence[str], known: Sequence[Quantity]) -> Sequence[Cell]:
            if not isinstance(part, Range):
                return tuple(cell(number * _ratio(unit, first)) for number, unit in known)
            if part.unit == first:
                return Computed(lambda text: cell(float(text)), part.numbers)
            ratio = _ratio(part.unit, first)
            return Computed(lambda text: cell(Fraction(text) * ratio), part.numbers)

        return first, _joined([cells(*one) for one in zip(parts, known, strict=True)])


class Range(LazySequence[str]):
    """The values of FROM:TO:STEP, in the unit of FROM."""

    def __init__(self, first: Fraction, step: Fraction, steps: Fraction, unit: str) -> None:
        self.unit = unit
        # Whole numbers over one denominator, as a sum of fractions takes ten times as long.
        self._denominator = lcm(first.denominator, step.denominator)
        self._first, self._step = int(first * self._denominator), int(step * self._denominator)
        self._last = int(steps + ON_GRID)
        on_grid = abs(steps - self._last) <= ON_GRID
        end = first + step * (steps if on_grid else self._last)
        self._end = _written(end.numerator, end.denominator)

    def __len__(self) -> int:
        return self._last + 1

    def item(self, place: int) -> str:
        """Return the value at a place from 0 on."""
        return f"{self._number(place)} {self.unit}" if self.unit else self._number(place)

    @property
    def numbers(self) -> Sequence[str]:
        """The values without their unit."""
        return Computed(self._number, range(len(self)))

    def _number(self, place: int) -> str:
        if place == self._last:
            return self._end
        return _written(self._first + self._step * place, self._denominator)


@dataclass(frozen=True)
class SweepPoint:
    """One point of a sweep: a value for every variation, as it is written in an instance."""

    index: int
    values: tuple[str, ...]


class Points(LazySequence[SweepPoint]):
    """The points of a sweep."""

    def __init__(self, variations: Sequence[Variation], *, zipped: bool) -> None:
        self._values = Combinations([one.values for one in variations], zipped=zipped)
        self.cells = Combinations([one.cells for one in variations], zipped=zipped)
        """What stands in a result for the values of each point."""

    def __len__(self) -> int:
        return len(self._values)

    def item(self, place: int) -> SweepPoint:
        """Return the point of an index."""
        return SweepPoint(place, self._values[place])


def parse_variation(text: str) -> Variation:
    """Read ``PATH=FROM:TO:STEP`` or ``PATH=a,b,c``. Raises `InputError` for anything else.

    Where PATH names entries of the catalogue, a value may be a pattern: ``rack=*``.
    """
    source = f"--vary {text}"
    path, equals, listed = text.partition("=")
    path = path.strip()
    if not equals or not all(path.split(".")):
        raise InputError(f"{source}: write it as {EXAMPLE}")
    found: list[tuple[str, ...] | Range] = []
    for item in _split(listed, ",", source):
        if not item:
            raise InputError(f"{source}: a value is missing; write it as {EXAMPLE}")
        parts = _split(item, ":", source)
        if len(parts) == 1:
            found.append((item,))
        elif len(parts) == 3 and all(parts):
            found.append(_range(parts, source))
        else:
            raise InputError(
                f"{source}: a range is FROM:TO:STEP, such as 60 kW:600 kW:20 kW; put quotes around "
                "a text with colons"
            )
    values = _joined(found)
    variation = Variation(
        path, expanded(path, values, source) if isinstance(values, tuple) else values
    )
    _check_units(variation, source)
    return variation


def points(variations: Sequence[Variation], *, zipped: bool = False) -> Points:
    """Return the points: of a grid, in which the last variation changes fastest, or zipped.

    Raises
    ------
    InputError
        Where nothing varies, a path undoes another one, lengths differ that are zipped, or there
        are more than `MOST_POINTS`.
    """
    if not variations:
        raise InputError(f"--vary: name at least one field and its values, such as {EXAMPLE}")
    _check_paths(variations)
    for one in variations:
        if not one.values:
            raise InputError(f"--vary {one.path}: has no values")
    if zipped and len({len(one.values) for one in variations}) > 1:
        listed = ", ".join(f"{one.path} has {len(one.values)}" for one in variations)
        raise InputError(f"--vary with --zip: the values have to be as many; {listed}")
    total = len(variations[0].values) if zipped else prod(len(one.values) for one in variations)
    if total > MOST_POINTS:
        raise InputError(f"--vary: the grid has {total:,} points; at most {MOST_POINTS:,}")
    return Points(variations, zipped=zipped)


def _check_paths(variations: Sequence[Variation]) -> None:
    paths = [parse_path(one.path) for one in variations]
    for later, path in enumerate(paths):
        for earlier, before in enumerate(paths[:later]):
            if path == before:
                raise InputError(f"--vary {variations[later].path}: is varied twice")
            if before[: len(path)] == path:
                raise InputError(
                    f"--vary {variations[later].path}: undoes {variations[earlier].path}, which is "
                    "named before it; name it first"
                )


def _check_units(variation: Variation, source: str) -> None:
    """Refuse a list in which some numbers have a unit and some have none."""
    telling = [text for part in _parts(variation.values) for text in _telling(part)]
    found = [_quantity(text) for text in telling]
    if any(one is not None and one[1] for one in found):
        for text, one in zip(telling, found, strict=True):
            if one is not None and not one[1]:
                raise InputError(f"{source}: {text} has no unit; write one with each value")


def _joined(parts: Sequence[Sequence[Item]]) -> Sequence[Item]:
    """Return the items of all parts: a tuple, unless there are ranges."""
    if all(isinstance(part, tuple) for part in parts):
        return tuple(chain.from_iterable(parts))
    return parts[0] if len(parts) == 1 else Joined(parts)


def _parts(values: Sequence[str]) -> Sequence[Sequence[str]]:
    """Return values as parts of which each is a range or none is in it."""
    return values.parts if isinstance(values, Joined) else (values,)


def _telling(part: Sequence[str]) -> Sequence[str]:
    """Return the values that say what all of a part are: of a range the first two and the last.

    A range has one unit, and where both its first two numbers are whole all but the last are.
    """
    return (*part[:2], part[-1]) if isinstance(part, Range) else part


def _quantity(text: str) -> Quantity | None:
    """Return number and unit of a value, None where it is neither a number nor a quantity."""
    value = parse_scalar(text, "--vary").value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        found = units.split(value)
        if found is None or not _dimension(found[1]) or abs(found[0]) >= LARGEST:
            return None
        return found
    return (Fraction(repr(value)), "") if abs(value) < LARGEST else None


def _dimension(unit: str) -> str:
    """Return what a unit measures, "" for no unit and for an unknown one."""
    return next((name for name, known in units.DIMENSIONS.items() if unit in known), "")


def _ratio(unit: str, other: str) -> Fraction:
    """Return how many of `other` make one `unit`, both of one dimension."""
    if unit == other:
        return Fraction(1)
    known = units.DIMENSIONS[_dimension(unit)]
    return known[unit] / known[other]


def _range(parts: Sequence[str], source: str) -> Range:
    """Return the values of FROM:TO:STEP in the unit of FROM."""
    ends = [_end_of_range(part, source) for part in parts]
    unit = ends[0][1]
    for part, (_, other) in zip(parts, ends, strict=True):
        if bool(unit) != bool(other):
            bare = parts[0] if not unit else part
            raise InputError(f"{source}: {bare} has no unit; write one with FROM, TO and STEP")
        if _dimension(other) != _dimension(unit):
            raise InputError(f"{source}: {part} does not measure the same as {parts[0]}")
    first, last, step = (number * _ratio(one, unit) for number, one in ends)
    if step == 0:
        raise InputError(f"{source}: the step is 0")
    steps = (last - first) / step
    if steps < 0:
        raise InputError(f"{source}: steps of {parts[2]} never get from {parts[0]} to {parts[1]}")
    if steps >= MOST_POINTS:
        raise InputError(f"{source}: has {float(steps):,.0f} values; at most {MOST_POINTS:,}")
    return Range(first, step, steps, unit)


def _end_of_range(part: str, source: str) -> tuple[Fraction, str]:
    found = units.split(part)
    if found is None or abs(found[0]) >= LARGEST:
        raise InputError(f"{source}: {part} is not a number with its unit, such as 60 kW")
    if found[1] and not _dimension(found[1]):
        known = [unit for table in units.DIMENSIONS.values() for unit in table]
        near = [repr(unit) for unit in known if unit.lower() == found[1].lower()]
        hint = f"did you mean {' or '.join(near)}?" if near else nearest(found[1], known)
        raise InputError(f"{source}: {found[1]!r} is not a unit; {hint}")
    return found


def _written(numerator: int, denominator: int) -> str:
    whole, rest = divmod(numerator, denominator)
    if rest == 0 and abs(whole) < LARGEST_WHOLE:
        return str(whole)
    return repr(numerator / denominator)


_OPENING, _CLOSING, _QUOTES = "[{", "]}", "'\""
_BEFORE_QUOTES = ("", ",", ":", "[", "{")


def _split(text: str, separator: str, source: str) -> list[str]:
    """Split at separators outside of brackets and quotes, without spaces around the parts."""
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in _QUOTES and parts[-1].rstrip()[-1:] in _BEFORE_QUOTES:
            quote = sign
        elif sign in _OPENING:
            depth += 1
        elif sign in _CLOSING:
            depth -= 1
        elif sign == separator and depth == 0:
            parts.append("")
            continue
        parts[-1] += sign
    if depth or quote:
        raise InputError(f"{source}: a bracket or quote is not closed")
    return [part.strip() for part in parts]
