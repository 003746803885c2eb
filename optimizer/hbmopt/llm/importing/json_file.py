"""JSON files of published models: a mapping with no key twice, as large and deep as they are."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hbmopt.basics import MILLION, read_text
from hbmopt.errors import InputError

MOST_BYTES = 4 * MILLION
"""Size of a file beyond which it is no configuration."""

DEEPEST = 50
"""Levels of nesting."""

TOO_DEEP = "is nested too deeply to be the configuration of a model"


class Lines:
    """The line of every key of a JSON text, by the keys that lead to it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: dict[tuple[str, ...], int] | None = None

    def of(self, path: tuple[str, ...]) -> int | None:
        """Return the line where a key stands, or None where it does not."""
        if self._found is None:
            self._found = dict(_places(self._text))
        return self._found.get(path)


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|\n')


def _places(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the path and the line of every key; items of a list go by their number."""
    line, path, numbers, last = 1, [""], [-1], ""
    for token in _TOKEN.findall(text):
        if token == "\n":
            line += 1
        elif token in "{[":
            numbers.append(0 if token == "[" else -1)
            path.append("0" if token == "[" else "")
        elif token in "}]":
            if len(path) > 1:
                path.pop()
                numbers.pop()
        elif token == ",":
            if numbers[-1] >= 0:
                numbers[-1] += 1
                path[-1] = str(numbers[-1])
        elif token == ":":
            if numbers[-1] < 0:
                path[-1] = last
                yield tuple(path[1:]), line
        else:
            last = str(json.loads(token, strict=False))


def read_mapping(path: Path, source: str, most: int = MOST_BYTES) -> tuple[str, dict[str, Any]]:
    """Return a file as text and as the mapping that it holds; errors call it `source`.

    Raises
    ------
    InputError
        Where it is no JSON, no mapping, too large or too deep, or where a key stands twice.
    """
    text = read_text(path, "JSON", most)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise InputError(f"{source}: {key}: stands there twice")
            found[key] = value
        return found

    try:
        values = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{source}:{error.lineno}: not JSON: {error.msg}; a Hugging Face config.json is needed"
        ) from None
    except RecursionError:
        raise InputError(f"{source}: {TOO_DEEP}") from None
    except ValueError:  # a number of thousands of digits
        raise InputError(f"{source}: a number in it is too long to be one of a model") from None
    if not isinstance(values, dict):
        raise InputError(f"{source}: a config.json holds a mapping, this is a list or a value")
    level: list[Any] = [values]
    for _ in range(DEEPEST):
        level = [item for one in level for item in _items(one)]
    if level:
        raise InputError(f"{source}: {TOO_DEEP}")
    return text, values


def _items(value: Any) -> Iterable[Any]:
    """Return what a mapping or a list holds, nothing of another value."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
