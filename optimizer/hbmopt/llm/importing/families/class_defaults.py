"""What classes of the transformers library make of keys that a file leaves out.

The library leaves out of a nested configuration what is as its class has it, so that the decoders
of many multimodal models are described in part. The table is written by benchmarks/llm_counts.py.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple


class ClassDefaults(NamedTuple):
    """The class of a family, with the version of the library, and the values that count."""

    named: str
    values: dict[str, Any]


@cache
def _table() -> dict[str, Any]:
    path = Path(__file__).with_name("class_defaults.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def class_defaults(family: str) -> ClassDefaults | None:
    """Return the defaults of a family, or None where the library has no such class."""
    table = _table()
    if family not in table["classes"]:
        return None
    name, values = table["classes"][family]
    return ClassDefaults(f"{table['library']} {name}", values)
