"""Dotted keys of an instance or of a fleet, and the values that they take, by the JSON Schemas.

The schemas are data that ships: reading one takes some milliseconds, and validates nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

Node: TypeAlias = Mapping[str, Any]
"""A schema, or a part of one."""

FIGURE = {"value", "amount", "dimension", "status", "source", "note"}
"""What stands in a figure that is written as a mapping: it is set as a whole."""

PARTS = {"rack", "llm", "workload", "limits", "choices", "calibration"}
"""Parts of an instance as which a fleet has them, in its types of racks and its classes."""

PARTS_OF = ("racks", "classes")


@cache
def _schema(kind: str) -> Node:
    from hbmopt.report.tables import schema_text

    found: Node = json.loads(schema_text(kind))
    return found


class Keys:
    """The keys of a document.

    Parameters
    ----------
    fleet
        Whether it is one of a fleet.
    value
        What it holds, as far as that is known: where names are free, they are those that it has.
    """

    def __init__(self, *, fleet: bool = False, value: object = None) -> None:
        self._kind, self._value = "fleet" if fleet else "instance", value

    def below(self, path: Sequence[str]) -> dict[str, tuple[bool, bool]]:
        """Return the keys below a key: whether each takes a value, and whether it has keys."""
        found = dict[str, tuple[bool, bool]]()
        for one in self._at(path):
            for name in one.get("properties", {}):
                if name != "base" and name not in found:
                    found[name] = self._takes([*path, name])
            if isinstance(one.get("additionalProperties"), Mapping):
                found |= {name: self._takes([*path, name]) for name in self._names(path)}
        return found

    def values(self, path: Sequence[str]) -> list[str]:
        """Return the names that a key takes, of the catalogue or of what may be chosen."""
        found = dict[str, None]()
        for one in self._at(path):
            found |= {str(name): None for name in one.get("enum", []) if name is not None}
            if one.get("type") == "boolean":
                found |= {"true": None, "false": None}
            items = one.get("items", {})
            found |= {f"[{name}]": None for name in items.get("enum", items.get("examples", []))}
        return list(found)

    def _takes(self, path: Sequence[str]) -> tuple[bool, bool]:
        forms = list(self._at(path))
        below = any("properties" in one or "additionalProperties" in one for one in forms)
        whole = any(one.get("type") != "object" or "enum" in one for one in forms)
        return whole, below and (bool(self.below(path)) or not whole)

    def _names(self, path: Sequence[str]) -> list[str]:
        value = self._value
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return [str(name) for name in value] if isinstance(value, Mapping) else []

    def _at(self, path: Sequence[str]) -> Iterator[Node]:
        """Yield the forms that a key may have."""
        if self._kind == "fleet" and len(path) > 2 and path[0] in PARTS_OF and path[2] in PARTS:
            yield from Keys()._at(path[2:])
            return
        root = _schema(self._kind)
        forms = list(_forms(root, root))
        for name in path:
            nearer = list[Node]()
            for one in forms:
                free = one.get("additionalProperties")
                below = one.get("properties", {}).get(name, free)
                if isinstance(below, Mapping):
                    nearer += _forms(root, below)
            forms = nearer
        yield from forms


def _forms(root: Node, node: Node) -> Iterator[Node]:
    """Yield what a schema allows: a reference is followed, each alternative is one form."""
    if "$ref" in node:
        yield from _forms(root, root["$defs"][node["$ref"].rpartition("/")[2]])
        return
    alternatives = node.get("anyOf", node.get("oneOf"))
    if alternatives is not None:
        for one in alternatives:
            yield from _forms(root, one)
        return
    if node.get("type") == "null":
        return
    figure = "properties" in node and FIGURE.issuperset(node["properties"])
    yield {"type": "number"} if figure else node
