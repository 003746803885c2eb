"""YAML as nodes: what is written and on which line, read event by event within limits.

A short text can stand for a large document, for aliases repeat what they name, and aliases within
that repeat it again. So everything is counted while it is read, an alias with all that it stands
for, and what no instance has is refused before it takes memory.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import yaml

from hbmopt.errors import InputError

MOST_VALUES = 20_000
"""Values in a file, those of an alias counted wherever it stands."""

DEEPEST = 50
"""Levels of nesting."""

MOST_CHARACTERS = 10_000
"""Characters of one text or key."""

MOST_DIGITS = 30
"""Digits up to which a whole number is read as one; longer ones are read as floats."""

# The scalars of YAML 1.2 (core schema): `no` and `1e9` mean what they say.
_BOOLEANS = {"true": True, "True": True, "false": False, "False": False}
_NULLS = {"", "~", "null", "Null"}
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
BEGINNINGS = (yaml.ScalarEvent, yaml.SequenceStartEvent, yaml.MappingStartEvent)
_QUOTED = ("'", '"', "|", ">")

Scalar: TypeAlias = "bool | int | float | str | None"


class Node(NamedTuple):
    """A value and the line on which it begins; an alias is the node that it names, once more.

    `size` is how many values it holds and is, `height` how many levels are below it.
    """

    line: int
    value: "Scalar | list[Node] | dict[str, Entry]"
    size: int = 1
    height: int = 0


class Entry(NamedTuple):
    """The value of a key, and the line of the key."""

    line: int
    node: Node


def composed(text: str, source: str) -> Node | None:
    """Return the node that a YAML text is, None where it holds none.

    Raises
    ------
    InputError
        With `source` and line: for what is no YAML, several documents, a key that stands twice,
        what YAML has and instances do not (tags, merge keys), and what is too large.
    """
    try:
        return _Composer(text, source).document()
    except yaml.YAMLError as error:
        raise InputError(_syntax_error(error, text, source)) from None
    except UnicodeEncodeError:
        raise InputError(f"{source}: is not Unicode text") from None


class _Composer:
    """Makes nodes of the events of a parser."""

    def __init__(self, text: str, source: str) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(
            text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        )
        self._source = source
        self._count = 0
        self._anchors: dict[str, Node | None] = {}  # None while it is being read

    def document(self) -> Node | None:
        """Return the one document that there may be."""
        found = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if found is not None:
                    raise self._error(event, "another document begins; keep one in a file")
                found = self._node(next(self._events), 0)
        return found

    def _node(self, event: yaml.Event, depth: int) -> Node:
        """Return the node that begins with an event, its parts read."""
        if depth > DEEPEST:
            raise self._error(event, "nested too deeply to be an instance")
        if isinstance(event, yaml.AliasEvent):
            return self._repeated(event, depth)
        assert isinstance(event, BEGINNINGS)  # by YAML's grammar
        before = self._count
        self._add(event, 1)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise self._error(event, f"the tag {tag} is not read; leave it out")
        if event.anchor is not None:
            if event.anchor in self._anchors:
                raise self._error(event, f"the anchor &{event.anchor} stands twice; rename one")
            self._anchors[event.anchor] = None
        value: Scalar | list[Node] | dict[str, Entry]
        below: list[Node] = []
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(self._text(event), quoted=event.style in _QUOTED)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = below = self._items(depth)
        else:
            value = self._entries(depth)
            below = [entry.node for entry in value.values()]
        height = 1 + max((one.height for one in below), default=-1)
        node = Node(_line(event), value, self._count - before, height)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _repeated(self, event: yaml.AliasEvent, depth: int) -> Node:
        """Return the node that an alias names."""
        if event.anchor not in self._anchors:
            raise self._error(
                event, f"undefined alias *{event.anchor}; no value before it has that anchor"
            )
        node = self._anchors[event.anchor]
        if node is None:
            raise self._error(event, "an alias that contains itself cannot be read")
        self._add(event, node.size)
        if depth + node.height > DEEPEST:
            raise self._error(event, "nested too deeply to be an instance")
        return Node(_line(event), node.value, node.size, node.height)

    def _items(self, depth: int) -> list[Node]:
        """Return the items of a list that has begun."""
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return items

    def _entries(self, depth: int) -> dict[str, Entry]:
        """Return the entries of a mapping that has begun."""
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.tag or event.anchor:
                raise self._error(event, "a key must be a plain word")
            key = self._text(event)
            if key == "<<" and event.style not in _QUOTED:
                raise self._error(event, "merge keys (<<) are not read; write the keys out")
            if key in entries:
                raise self._error(event, f"{key!r} stands twice; keep one of them")
            entries[key] = Entry(_line(event), self._node(next(self._events), depth + 1))
        return entries

    def _text(self, event: yaml.ScalarEvent) -> str:
        text = str(event.value)
        if len(text) > MOST_CHARACTERS:
            raise self._error(
                event, f"a text of {len(text):,} characters; at most {MOST_CHARACTERS:,} are read"
            )
        return text

    def _add(self, event: yaml.Event, count: int) -> None:
        """Count values; those of an alias are as many as those that it names."""
        self._count += count
        if self._count > MOST_VALUES:
            raise self._error(
                event, f"more than {MOST_VALUES:,} values up to here, too many for an instance"
            )

    def _error(self, event: yaml.Event, message: str) -> InputError:
        return InputError(f"{self._source}:{_line(event)}: {message}")


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return int(mark.line) + 1 if mark is not None else 1


def _scalar(text: str, *, quoted: bool) -> Scalar:
    if quoted:
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


def _syntax_error(error: yaml.YAMLError, text: str, source: str) -> str:
    mark, line = getattr(error, "problem_mark", None), 1
    if mark is not None:
        line = int(mark.line) + 1
    elif isinstance(error, yaml.reader.ReaderError):
        line = text.encode()[: int(error.position)].count(b"\n") + 1
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{source}:{line}: not valid YAML: {problem}; check indentation, colons and quotes"
