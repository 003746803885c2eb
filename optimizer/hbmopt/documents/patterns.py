"""Patterns: names with ``*``, ``?`` and ``[...]`` in them, for all names that they fit."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from hbmopt.errors import nearest

SIGNS = "*?["


def is_pattern(text: str) -> bool:
    """Whether a text stands for several names; a list, a mapping or a quoted text does not."""
    return any(sign in text for sign in SIGNS) and not text.startswith(("[", "{", "'", '"'))


def fits(name: str, pattern: str) -> bool:
    """Whether a name with slashes fits a pattern part by part, as files of a folder do."""
    parts, patterns = name.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def nearest_to_pattern(pattern: str, names: Iterable[str]) -> str:
    """Return a hint that names the valid name closest to a pattern that fits none."""
    return nearest(pattern.translate({ord(sign): None for sign in "*?[]"}), names)
