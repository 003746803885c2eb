"""Patterns among the values that vary: ``rack=*`` is every rack of the catalogue.

Where a field names an entry of the catalogue, a value may hold ``*``, ``?`` and ``[...]``. One that
ends as a file does stands for the files that it matches.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from glob import glob

from hbmopt.documents import catalogue, is_pattern, nearest_to_pattern
from hbmopt.errors import InputError
from hbmopt.instance.catalogue_entries import accelerator_names
from hbmopt.instance.schema import ENTRY_FILES, REFERENCES

KINDS_NAMED = {".".join(map(str, one.path)): one.kind for one in REFERENCES}
"""What the fields name that may name an entry, by dotted path."""

DEVICE = "rack.offload.device"
"""The field that names LPUs, which the catalogue lists among the accelerators."""


def names_at(path: str) -> Sequence[str]:
    """Return the entries that a field may name; LPUs are no accelerators of a rack."""
    kind = KINDS_NAMED[path]
    return (
        accelerator_names(lpus=path == DEVICE) if kind == "accelerators" else catalogue.names(kind)
    )


def expanded(path: str, values: Sequence[str], source: str) -> tuple[str, ...]:
    """Return values in which each pattern is replaced by what it matches and is not there before.

    Fields that name no entry have no patterns.

    Raises
    ------
    InputError
        Where a pattern matches nothing, with the nearest name.
    """
    if path not in KINDS_NAMED:
        if any(value.startswith("*") for value in values):  # which YAML reads as something else
            fields = ", ".join(KINDS_NAMED)
            raise InputError(f"{source}: patterns stand for names of the catalogue, at {fields}")
        return tuple(values)
    found: list[str] = []
    for value in values:
        if not is_pattern(value):
            found.append(value)
        else:
            found += [name for name in _matching(path, value, source) if name not in found]
    return tuple(found)


def _matching(path: str, pattern: str, source: str) -> list[str]:
    if pattern.endswith(ENTRY_FILES):
        files = sorted(glob(pattern))  # noqa: PTH207 -- a pattern may begin anywhere
        if not files:
            raise InputError(f"{source}: no file matches {pattern}")
        return files
    names = names_at(path)
    matched = [name for name in names if fnmatchcase(name, pattern)]
    if matched:
        return matched
    kind = KINDS_NAMED[path]
    others = [name for name in catalogue.names(kind) if fnmatchcase(name, pattern)]
    if others:
        named = "accelerators, named at rack.accelerator"
        if path != DEVICE:
            named = f"LPUs, named at {DEVICE}"
        raise InputError(f"{source}: {pattern} matches {', '.join(others)} alone: {named}")
    raise InputError(
        f"{source}: none of the catalogue's {kind} matches {pattern}; "
        f"{nearest_to_pattern(pattern, names)}"
    )
