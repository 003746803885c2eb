"""The numbers of a program, as the leaves of trees of dataclasses and tuples."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import TypeVar

import numpy as np

Tree = TypeVar("Tree")

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
        elif type(part) not in LEAVES:
            collect(part, found)
    return found


def plain(tree: Tree) -> Tree:
    """Return the tree with plain floats in place of numpy's, arrays of many numbers as they are."""
    if isinstance(tree, NUMPY):
        return float(tree) if np.ndim(tree) == 0 else tree  # type: ignore[return-value]
    parts = tree if isinstance(tree, tuple) else _parts(tree)
    changed: list[object] | None = None
    for place, part in enumerate(parts):
        if type(part) in LEAVES:
            continue
        made = plain(part)
        if made is not part:
            changed = list(parts) if changed is None else changed
            changed[place] = made
    if changed is None:
        return tree
    return tuple(changed) if isinstance(tree, tuple) else type(tree)(*changed)  # type: ignore[return-value]


NUMPY = (np.ndarray, np.generic)

LEAVES = frozenset({float, int, str, bool, type(None)})
"""Types of plain values, which have no parts."""


def replaced(tree: Tree, change: Callable[[float], object]) -> Tree:
    """Return the tree with every number, as `collect` knows it, replaced by what it changes to."""
    if isinstance(tree, float | np.ndarray):
        return change(tree)  # type: ignore[return-value,arg-type]
    parts = tree if isinstance(tree, tuple) else _parts(tree)
    if not parts:
        return tree
    changed = [change(part) if type(part) is float else replaced(part, change) for part in parts]
    return tuple(changed) if isinstance(tree, tuple) else type(tree)(*changed)  # type: ignore[return-value]
