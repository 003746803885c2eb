"""YAML documents that remember where each value stands.

A document is plain Python data plus an *origin* (file and line) for every key path, so that
whatever is found wrong with a value later can be reported at the line that says it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from hbmopt.errors import InputError

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
KeyPath: TypeAlias = tuple[str | int, ...]

# The scalars of YAML 1.2 (core schema): `no` and `1e9` mean what they say.
_BOOLEANS = {"true": True, "True": True, "false": False, "False": False}
_NULLS = {"", "~", "null", "Null"}
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


DEEPEST = 50
"""Levels of nesting beyond which a file is no instance."""

MOST_DIGITS = 30
"""Digits up to which a whole number is read as one; longer ones are read as floats."""


@dataclass(frozen=True)
class Origin:
    """Where a value was written: a file and line, or the option that set it."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass
class Document:
    """Plain data with the origin of each key path, and the files that were read for it."""

    value: Value
    origins: dict[KeyPath, Origin] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)

    def origin(self, path: KeyPath) -> Origin:
        """Return the origin of `path`, or of the nearest enclosing key that has one."""
        for length in range(len(path), -1, -1):
            found = self.origins.get(path[:length])
            if found is not None:
                return found
        return Origin("<input>")

    def error(self, path: KeyPath, message: str) -> InputError:
        """Return the one-line error for something wrong at `path`."""
        key = format_path(path)
        return InputError(f"{self.origin(path)}: {key + ': ' if key else ''}{message}")

    def get(self, path: KeyPath) -> Value:
        """Return the value at `path`, or None where there is none."""
        node: Value = self.value
        for step in path:
            if isinstance(node, dict) and isinstance(step, str):
                node = node.get(step)
            elif isinstance(node, list) and isinstance(step, int) and 0 <= step < len(node):
                node = node[step]
            else:
                return None
        return node

    def graft(self, path: KeyPath, other: "Document") -> None:
        """Put the content of `other` at `path`, with its origins."""
        for known in [known for known in self.origins if known[: len(path)] == path]:
            if len(known) > len(path):
                del self.origins[known]
        self._assign(path, other)
        self.files |= other.files
        self.origins.update({path + below: origin for below, origin in other.origins.items()})

    def _assign(self, path: KeyPath, other: "Document") -> None:
        value = other.value
        if not path:
            self.value = value
            return
        node = self.value
        for depth, step in enumerate(path[:-1]):
            if isinstance(node, list):
                node = node[_list_index(step, node, self, path[: depth + 1])]
                continue
            if not isinstance(node, dict):
                raise self.error(path[:depth], "holds a plain value, so nothing can be set below")
            if node.get(str(step)) is None:
                node[str(step)] = {}
                self.origins[path[: depth + 1]] = other.origin(())
            node = node[str(step)]
        if isinstance(node, list):
            node[_list_index(path[-1], node, self, path)] = value
        elif isinstance(node, dict):
            node[str(path[-1])] = value
        else:
            raise self.error(path[:-1], "holds a plain value, so nothing can be set below")


def _list_index(step: str | int, items: list[Value], document: Document, path: KeyPath) -> int:
    if isinstance(step, int) and 0 <= step < len(items):
        return step
    raise document.error(path, f"{step!r} is not an index of a list of {len(items)}")


def format_path(path: KeyPath) -> str:
    """Write a key path as a user writes it: ``rack.accelerator.hbm_capacity``."""
    return ".".join(str(step) for step in path)


def parse_path(text: str) -> KeyPath:
    """Read a dotted key path; a step made of digits is an index into a list."""
    return tuple(int(step) if step.isdigit() else step for step in text.split("."))


def read_document(path: Path) -> Document:
    """Read a YAML file. Raises `InputError` for anything but one non-empty mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; name a YAML file in it") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text; an instance is a YAML file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    document = parse_document(text, str(path))
    document.files.add(path)
    if document.value is None:
        raise InputError(f"{path}:1: the file is empty; an instance needs rack, llm and workload")
    if not isinstance(document.value, dict):
        raise InputError(f"{path}:1: expected `key: value` lines at the top level")
    return document


def parse_document(text: str, source: str) -> Document:
    """Parse YAML text. Raises `InputError` with the line of a syntax error or double key."""
    loader_class = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = Document(None)
    try:
        loader = loader_class(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
        if root is not None:
            document.value = _plain(root, (), document, source, frozenset())
    except yaml.YAMLError as error:
        raise InputError(_syntax_error(error, source)) from None
    except RecursionError:
        raise InputError(f"{source}:1: nested too deeply to be an instance") from None
    return document


def parse_scalar(text: str, source: str) -> Document:
    """Parse the value of a ``--set key=value`` option: YAML, with one origin throughout."""
    document = parse_document(text, source)
    document.origins = {(): Origin(source)}
    return document


def _syntax_error(error: yaml.YAMLError, source: str) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    where = f"{source}:{mark.line + 1}" if mark is not None else source
    return f"{where}: not valid YAML: {problem}; check indentation, colons and quotes"


def _plain(
    node: yaml.Node, path: KeyPath, document: Document, source: str, above: frozenset[int]
) -> Value:
    origin = Origin(source, node.start_mark.line + 1)
    document.origins.setdefault(path, origin)
    if len(path) > DEEPEST:
        raise InputError(f"{origin}: nested too deeply to be an instance")
    if id(node) in above:
        raise InputError(f"{origin}: an alias that contains itself cannot be read")
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Value] = {}
        for key, item, line in _pairs(node, source):
            if key in mapping:
                raise InputError(f"{source}:{line}: {key!r} stands twice; keep one of them")
            document.origins[(*path, key)] = Origin(source, line)
            mapping[key] = _plain(item, (*path, key), document, source, above | {id(node)})
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [
            _plain(item, (*path, index), document, source, above | {id(node)})
            for index, item in enumerate(node.value)
        ]
    return _scalar(node)


def _pairs(node: yaml.MappingNode, source: str) -> Iterator[tuple[str, yaml.Node, int]]:
    for key, item in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(f"{source}:{line}: a key must be a plain word")
        yield str(key.value), item, line


def _scalar(node: yaml.Node) -> Value:
    text = str(node.value)
    if getattr(node, "style", None) in ("'", '"', "|", ">"):
        return text
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text) and len(text) <= MOST_DIGITS:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
