"""The files of weights beside a configuration: their bytes against what was counted."""

from dataclasses import dataclass
from pathlib import Path

from hbmopt.basics import MILLION, is_file
from hbmopt.errors import InputError
from hbmopt.llm.importing.json_file import read_mapping

INDEX = "model.safetensors.index.json"
MOST_BYTES = 200 * MILLION
"""An index names every tensor; the largest ones have a few hundred thousand."""

NOTICED = 0.01
"""Share by which the files and the count may differ before it is said."""


@dataclass(frozen=True)
class Index:
    """What an index of safetensors says: bytes of all tensors."""

    path: Path
    total_size: int


def index_beside(path: Path) -> Index | None:
    """Return the index beside a configuration, or None where there is none."""
    beside = path.with_name(INDEX)
    if not is_file(beside):
        return None
    _, values = read_mapping(beside, str(beside), MOST_BYTES)
    metadata = values.get("metadata")
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    if isinstance(size, float) and size.is_integer():
        size = int(size)
    if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
        raise InputError(
            f"{beside}: metadata.total_size: {size!r} is not a number of bytes; "
            "without the file nothing is compared"
        )
    return Index(beside, size)


def disagreement(index: Index, counted: float, parts: tuple[str, ...]) -> str | None:
    """Return what to say where the files are not as large as what was counted."""
    difference = counted / index.total_size - 1.0
    if abs(difference) <= NOTICED:
        return None
    beside = f", of which {' and '.join(parts)} are not counted" if parts else ""
    return (
        f"{INDEX} beside it states {index.total_size / 1e9:,.3f} GB{beside}; counted are "
        f"{counted / 1e9:,.3f} GB, {abs(difference):.1%} {'more' if difference > 0 else 'less'}."
    )
