"""YAML documents that remember where each value stands.

A document is plain Python data plus an *origin* (file and line) for every key path, so that
whatever is found wrong with a value later can be reported at the line that says it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from hbmopt.basics import MILLION, read_text
from hbmopt.documents.yaml_nodes import DEEPEST, Node, composed
from hbmopt.errors import InputError

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
KeyPath: TypeAlias = tuple[str | int, ...]

MOST_BYTES = 4 * MILLION
"""Size of a file beyond which it is no instance."""


INDEX = re.compile(r"[0-9]{1,9}")
"""A step of a key path that is a place in a list."""


@dataclass(frozen=True)
class Origin:
    """Where a value was written: a file and line, or the option that set it."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass
class Document:
    """Plain data with the origin of each key path, and the files that were read for it.

    `changes` are those that overrides made to what a file or a mapping says, as ``key=value``.
    """

    value: Value
    origins: dict[KeyPath, Origin] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)
    changes: list[str] = field(default_factory=list)

    def copied(self) -> "Document":
        """Return a copy that can be changed without changing this one."""
        return Document(_copied(self.value), dict(self.origins), set(self.files), [*self.changes])

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

    def part(self, path: KeyPath) -> "Document":
        """Return what stands at `path`, with its origins; the value is not copied."""
        value = self.get(path)
        known = ((below, self.origins.get(path + below)) for below in paths(value))
        return Document(value, {below: one for below, one in known if one is not None})

    def graft(self, path: KeyPath, other: "Document") -> None:
        """Put the content of `other` at `path`, with its origins."""
        if len(path) > DEEPEST:
            raise other.error((), "nested too deeply to be an instance")
        for below in paths(self.get(path)):
            if below:
                self.origins.pop(path + below, None)
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


def _copied(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _list_index(step: str | int, items: list[Value], document: Document, path: KeyPath) -> int:
    if isinstance(step, int) and 0 <= step < len(items):
        return step
    raise document.error(path, f"{step!r} is not an index of a list of {len(items)}")


def paths(value: Value, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the key path of a value and of everything in it, below `path`."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, (*path, index))


def format_path(path: KeyPath) -> str:
    """Write a key path as a user writes it: ``rack.accelerator.hbm_capacity``."""
    return ".".join(str(step) for step in path)


def parse_path(text: str) -> KeyPath:
    """Read a dotted key path; a step made of digits is an index into a list."""
    return tuple(int(step) if INDEX.fullmatch(step) else step for step in text.split("."))


def read_document(path: Path) -> Document:
    """Read a YAML file. Raises `InputError` for anything but one non-empty mapping."""
    text = read_text(path, "YAML", MOST_BYTES)
    document = parse_document(text, str(path))
    document.files.add(path)
    if document.value is None:
        raise InputError(f"{path}:1: the file is empty; an instance needs rack, llm and workload")
    if not isinstance(document.value, dict):
        raise InputError(f"{path}:1: expected `key: value` lines at the top level")
    return document


def parse_document(text: str, source: str) -> Document:
    """Parse YAML text. Raises `InputError` with the line of what `composed` refuses."""
    document = Document(None)
    root = composed(text, source)
    if root is not None:
        document.origins[()] = Origin(source, root.line)
        document.value = _plain(root, (), document, source)
    return document


def parse_scalar(text: str, source: str) -> Document:
    """Parse the value of a ``--set key=value`` option: YAML, with one origin throughout."""
    document = parse_document(text, source)
    document.origins = {(): Origin(source)}
    return document


def _plain(node: Node, path: KeyPath, document: Document, source: str) -> Value:
    """Return the value of a node, and enter the origins of what is below it."""
    if isinstance(node.value, dict):
        mapping: dict[str, Value] = {}
        for key, entry in node.value.items():
            document.origins[(*path, key)] = Origin(source, entry.line)
            mapping[key] = _plain(entry.node, (*path, key), document, source)
        return mapping
    if isinstance(node.value, list):
        items: list[Value] = []
        for index, item in enumerate(node.value):
            document.origins[(*path, index)] = Origin(source, item.line)
            items.append(_plain(item, (*path, index), document, source))
        return items
    return node.value
