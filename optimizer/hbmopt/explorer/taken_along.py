"""What can be taken along of a curve: a file, a command line, lines of Python."""

import shlex
from typing import Any

import yaml

from hbmopt.basics import Plain
from hbmopt.documents import KeyPath, catalogue, parse_path, parse_scalar
from hbmopt.explorer.curve import Curve, Sources
from hbmopt.instance import REFERENCES, validate


def command_line(sources: Sources, curve: Curve, verb: str = "solve") -> str:
    """Return the command that answers a curve in a terminal."""
    words = ["hbmopt", verb, _named(sources, curve)]
    for one in curve.overrides:
        words += ["--set", one]
    return shlex.join(words)


def python_lines(sources: Sources, curve: Curve) -> str:
    """Return the lines of Python that answer a curve."""
    listed = "".join(f"    {one!r},\n" for one in curve.overrides)
    changes = f", [\n{listed}]" if listed else ""
    return (
        "import hbmopt\n\n"
        f"instance = hbmopt.load({_named(sources, curve)!r}{changes})\n"
        "solution = hbmopt.solve(instance)\n"
        "frontier = hbmopt.frontier(instance)\n"
        "print(solution)\n"
    )


def _named(sources: Sources, curve: Curve) -> str:
    return str(dict(sources.named).get(curve.source, curve.source))


def instance_yaml(sources: Sources, curve: Curve) -> str:
    """Return a file that asks what a curve does: its own file with the changes in their places."""
    path = sources.path(curve.source)
    text = path.read_text(encoding="utf-8")
    if not curve.changes:
        return text
    written: Any = yaml.safe_load(text)
    for change in curve.overrides:
        key, _, value = change.partition("=")
        _put(written, parse_path(key), parse_scalar(value, key).value)
    written["description"] = validate(sources.document(curve)).description
    return yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=100)


def _put(written: dict[str, Any], path: KeyPath, value: Plain) -> None:
    """Put a value at its key; names of entries on the way become entries that are changed."""
    node: Any = written
    for depth, step in enumerate(path[:-1], 1):
        below = node.get(step) if isinstance(node, dict) else node[int(step)]
        if isinstance(below, str):
            below = {"base": below}
        elif below is None:
            named = _named_by_base(written, path[:depth])
            below = {"base": named} if named is not None else {}
        node[step] = below
        node = below
    if value is None and isinstance(node, dict):
        node.pop(path[-1], None)
    node[path[-1]] = value


def _named_by_base(written: dict[str, Any], path: KeyPath) -> str | None:
    """Return the entry that an entry names at a key below it: the accelerator of a rack."""
    kinds = {one.path: one.kind for one in REFERENCES}
    for length in range(len(path) - 1, 0, -1):
        node: Any = written
        for step in path[:length]:
            node = node.get(step) if isinstance(node, dict) else None
        base = node.get("base") if isinstance(node, dict) else None
        if isinstance(base, str) and path[:length] in kinds:
            found = catalogue.entry(kinds[path[:length]], base).get(path[length:])
            return found if isinstance(found, str) else None
    return None
