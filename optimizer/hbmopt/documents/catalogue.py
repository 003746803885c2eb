"""The catalogue: accelerators, racks, offload devices, LLMs and calibrations by name."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from hbmopt.documents.document import Document, read_document
from hbmopt.errors import InputError, nearest

KINDS = ("accelerators", "racks", "offloads", "llms", "calibrations")


def catalogue_root() -> Path:
    """Return the folder of the catalogue that ships with hbmopt."""
    return Path(__file__).parents[1] / "instances" / "catalog"


@cache
def names(kind: str) -> tuple[str, ...]:
    """Return the names of all entries of one of the `KINDS`."""
    if kind not in KINDS:
        raise InputError(f"the catalogue has no {kind!r}; {nearest(kind, KINDS)}")
    return tuple(sorted(path.stem for path in (catalogue_root() / kind).glob("*.yaml")))


def entry(kind: str, name: str) -> Document:
    """Read one entry as a document. Raises `InputError` that names the nearest entry."""
    known = names(kind)
    if name not in known:
        hint = nearest(name, known, _said(kind))
        raise InputError(f"no {name!r} among the catalogue's {kind}; {hint}")
    return _read(kind, name).copied()


@cache
def _read(kind: str, name: str) -> Document:
    """Read a file once: many instances name the same few entries."""
    return read_document(_file(kind, name))


SAID = re.compile(r"^(?:title|accelerator|huggingface): *(.*)$", re.MULTILINE)
"""Lines of an entry that say what else it is called."""


def _said(kind: str) -> dict[str, str]:
    """Return what entries are called besides their names, in lower case."""
    texts = {name: _file(kind, name).read_text(encoding="utf-8") for name in names(kind)}
    return {name: " ".join(SAID.findall(body)).lower() for name, body in texts.items()}


def _file(kind: str, name: str) -> Path:
    return catalogue_root() / kind / f"{name}.yaml"


@cache
def sources() -> dict[str, dict[str, Any]]:
    """Return title and address of the sources by the keys that figures name."""
    known: Any = read_document(catalogue_root() / "sources.yaml").value
    return {key: dict(source) for key, source in known.items()}


def text(kind: str, name: str) -> str:
    """Return an entry as it stands in its file, with the titles of the sources it names."""
    entry(kind, name)
    body = _file(kind, name).read_text(encoding="utf-8")
    known = sources()
    words = set(re.findall(r"\w+", body))
    lines = ["", "# Sources"]
    for key, source in known.items():
        if key in words:
            url = source.get("url")
            lines.append(f"# {key}: {source.get('title')}" + (f" <{url}>" if url else ""))
    return body + ("\n".join(lines) + "\n" if len(lines) > 2 else "")
