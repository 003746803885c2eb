"""A curve of the explorer: an instance with changes, and the address that holds several.

A page shows up to six of them. Its address holds them all, after the ``#``:
``per=rack&shown=0&curve=gb200_nvl72&set=limits.power=90 kW&curve=h100``. What stands after a
``curve`` belongs to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

from hbmopt.documents import Document, Value, parse_scalar, shipped
from hbmopt.errors import InputError, nearest
from hbmopt.instance import Instance, load, load_document, names_a_file

MOST_CURVES = 6
"""Curves of one page: more line styles than six nobody tells apart."""

MOST_CHANGES, LONGEST_CHANGE = 60, 4000
"""Changes of a curve and letters of one, beyond which no page of ours asks."""


@dataclass(frozen=True)
class Curve:
    """An instance by the name under which it was given, and its changes by dotted key."""

    source: str
    changes: tuple[tuple[str, str], ...] = ()

    @property
    def overrides(self) -> list[str]:
        """The changes as `hbmopt.load` and ``--set`` take them, enclosing keys first."""
        ordered = sorted(self.changes, key=lambda change: change[0].count("."))
        return [f"{key}={value}" for key, value in ordered]

    def changed(self, **changes: str) -> "Curve":
        """Return the curve with more changes; two underscores stand for a dot."""
        more = {key.replace("__", "."): value for key, value in changes.items()}
        return Curve(self.source, tuple((dict(self.changes) | more).items()))


@cache
def _shipped() -> dict[str, Path]:
    return shipped.names()


@dataclass(frozen=True)
class Sources:
    """The instances that a page may show: files that were named, and all that ship."""

    named: tuple[tuple[str, Path], ...] = ()

    def path(self, source: str) -> Path:
        """Return the file of a source. Raises `InputError` for what is neither."""
        known = _shipped() | dict(self.named)
        if source not in known:
            raise InputError(
                f"no instance {source!r} here; {nearest(source, known)}; files of your own are "
                "named on the command line: hbmopt explore FILE"
            )
        return known[source]

    def document(self, curve: Curve) -> Document:
        """Return the document of a curve, entries resolved and changes applied."""
        return load_document(self.path(curve.source), curve.overrides)

    def instance(self, curve: Curve) -> Instance:
        """Return the instance of a curve. Raises `InputError` for what is wrong with it."""
        return load(self.path(curve.source), curve.overrides)

    def written(self, source: str) -> float:
        """Return when the file of a source was last written: answers hold until it is again."""
        return self.path(source).stat().st_mtime

    @property
    def names(self) -> list[str]:
        """The names of all sources, those that were given first."""
        given = [name for name, _ in self.named]
        return [*given, *(name for name in _shipped() if name not in given)]


def sources_of(files: Sequence[Path]) -> tuple[Sources, list[Curve]]:
    """Return the sources of files or names of shipped instances, and a curve for each."""
    known, named, curves = _shipped(), list[tuple[str, Path]](), list[Curve]()
    for file in files:
        path = shipped.found(file)
        name = next((one for one, place in known.items() if place == path), str(file))
        if name not in known:
            named.append((name, path.absolute()))
        curves.append(Curve(name))
    return Sources(tuple(named)), curves


def curve_of(data: object) -> Curve:
    """Return the curve of what a page sent. Raises `InputError` for anything else."""
    if not isinstance(data, dict) or not isinstance(data.get("source"), str):
        raise InputError("a curve is {source: NAME, changes: {KEY: VALUE}}")
    changes = data.get("changes", {})
    texts = isinstance(changes, dict) and all(isinstance(one, str) for one in changes.values())
    if not texts or len(changes) > MOST_CHANGES:
        raise InputError(f"changes are at most {MOST_CHANGES} texts by dotted key")
    for key, value in changes.items():
        _check(key, value)
    return Curve(data["source"], tuple(changes.items()))


def _check(key: str, value: str) -> None:
    """Refuse a change that no page of ours makes: one that names a file, or is endless."""
    if len(key) + len(value) > LONGEST_CHANGE:
        raise InputError(f"{key[:40]}: at most {LONGEST_CHANGE} letters")
    found = parse_scalar(value, key).value
    if any(names_a_file(text) for text in _texts(found)):
        raise InputError(
            f"{key}: {value} names a file, which an address may not; change it in a file of your "
            "own and name that: hbmopt explore FILE"
        )


def _texts(value: Value) -> list[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in _texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []


def curves_in(address: str) -> list[Curve]:
    """Return the curves that an address holds. Raises `InputError` where it holds none."""
    curves = list[Curve]()
    for key, value in parse_qsl(urlsplit(address).fragment, keep_blank_values=True):
        if key == "curve":
            curves.append(Curve(value))
        elif key == "set" and curves:
            name, equals, setting = value.partition("=")
            if not equals:
                raise InputError(f"{value}: write a change as set=KEY=VALUE")
            _check(name, setting)
            last = curves[-1]
            curves[-1] = Curve(last.source, (*last.changes, (name, setting)))
    if not curves:
        raise InputError("the address holds no question; one that does ends in #curve=NAME")
    if len(curves) > MOST_CURVES:
        raise InputError(f"{len(curves)} curves: a page shows {MOST_CURVES} at most")
    return curves


def fragment(curves: Sequence[Curve]) -> str:
    """Return what stands after the ``#`` of the address of curves."""
    pairs = []
    for curve in curves:
        pairs.append(("curve", curve.source))
        pairs += [("set", f"{key}={value}") for key, value in curve.changes]
    return "&".join(f"{key}={quote(value, safe='=/:,')}" for key, value in pairs)
