"""Keys that were read and that change nothing beside the others.

Whether a number counts may depend on other keys: heads where no layer attends, experts where no
layer has them. So the blocks of a model are made again with other values, and compared.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hbmopt.errors import InputError

UNUSED = "no layer of this model uses it: other values give the same blocks"

Made = Callable[[Mapping[str, Any]], object]
"""Makes what is compared of a configuration; raises `InputError` where it cannot."""


def unused(values: Mapping[str, Any], decided: Sequence[str], made: Made) -> frozenset[str]:
    """Return which of the keys that were read change nothing, by their paths."""
    base = made(values)
    found = set()
    for path in decided:
        place = tuple(path.split("."))
        value = _at(values, place)
        if isinstance(value, int | float) and _changes_nothing(values, place, value, base, made):
            found.add(path)
    return frozenset(found)


def _changes_nothing(
    values: Mapping[str, Any], place: tuple[str, ...], value: float, base: object, made: Made
) -> bool:
    """Return whether all other values that are accepted give the same, and there are some."""
    accepted = False
    for other in _others(value):
        try:
            if made(_put(values, place, other)) != base:
                return False
        except InputError:
            continue
        accepted = True
    return accepted


def _others(value: float) -> Iterator[float]:
    if isinstance(value, bool):
        yield not value
        return
    yield from (one for one in (value + 1, 2 * value, value - 1, 1, 0) if one != value)


def _at(values: Any, place: tuple[str, ...]) -> Any:
    """Return the value at a place, or None where there is none."""
    for key in place:
        if not isinstance(values, Mapping):
            return None
        values = values.get(key)
    return values


def _put(values: Mapping[str, Any], place: tuple[str, ...], value: float) -> dict[str, Any]:
    """Return the same mapping with another value at a place."""
    key, *below = place
    return {**values, key: _put(values[key], tuple(below), value) if below else value}
