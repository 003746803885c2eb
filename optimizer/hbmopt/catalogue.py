"""The catalogue: accelerators, racks, offload devices and LLMs by name."""

from functools import cache
from pathlib import Path

from hbmopt.document import Document, read_document
from hbmopt.errors import InputError, nearest

KINDS = ("accelerators", "racks", "offloads", "llms")


def catalogue_root() -> Path:
    """Return the folder of the catalogue that ships with hbmopt."""
    return Path(__file__).parent / "instances" / "catalog"


@cache
def names(kind: str) -> tuple[str, ...]:
    """Return the names of all entries of a kind: accelerators, racks, offloads or llms."""
    if kind not in KINDS:
        raise InputError(f"the catalogue has no {kind!r}; {nearest(kind, KINDS)}")
    return tuple(sorted(path.stem for path in (catalogue_root() / kind).glob("*.yaml")))


def entry(kind: str, name: str) -> Document:
    """Read one entry as a document. Raises `InputError` that names the nearest entry."""
    known = names(kind)
    if name not in known:
        raise InputError(f"no {name!r} among the catalogue's {kind}; {nearest(name, known)}")
    return read_document(catalogue_root() / kind / f"{name}.yaml")
