"""Models of the catalogue by their identifiers on the Hugging Face hub.

An identifier is ``PUBLISHER/NAME``. Tuning, date and publisher change no shape, so that an entry of
the catalogue stands for all of them; a quantized checkpoint is the entry in another weight format.
"""

import re
from functools import cache

from hbmopt.documents import catalogue
from hbmopt.documents.document import Value

TUNED = re.compile(
    r"-(instruct|base|chat|it|hf|thinking|preview|dynamic|quantized|\d{4}"
    r"|(nvfp4|mxfp4|fp4|fp8|bf16|fp16|int4|int8|awq|gptq|w4a16|w8a8)(-v\d+)?)$"
)
"""Endings of a model's name that say how it was tuned or quantized, not what it is."""

TUNED_VERSION = re.compile(r"-(instruct|chat)(?=-v\d)")
"""The same before a version, as in Mixtral-8x7B-Instruct-v0.1."""

FORMATS = {
    "nvfp4": ("nvfp4", "fp4"),
    "fp4": ("fp4", "nvfp4"),
    "mxfp4": ("mxfp4",),
    "fp8": ("fp8",),
    "bf16": ("bf16",),
    "fp16": ("bf16",),
}
"""Endings that name a weight format, and the schemes of an entry that are meant, the best first."""

OTHERWISE = frozenset({"thinking", "preview", "dynamic", "quantized"} | {"int4", "int8"}) | {
    "awq",
    "gptq",
    "w4a16",
    "w8a8",
}
"""Endings after which the weights may be stored in ways that the name does not tell."""

NAMED = re.compile(r"^(?:huggingface: *(\S+)|same_architecture: *\[(.*)\])$", re.MULTILINE)


@cache
def identifiers() -> dict[str, str]:
    """Return the entries by identifier in lower case, those of models of one shape included.

    Both stand on lines of their own, which are read without the rest of 51 files.
    """
    found = dict[str, str]()
    for name in catalogue.names("llms"):
        text = (catalogue.catalogue_root() / "llms" / f"{name}.yaml").read_text(encoding="utf-8")
        for own, others in NAMED.findall(text):
            listed = [own] if own else [one.strip() for one in others.split(",")]
            found |= {one.lower(): name for one in listed}
    return found


def architecture_name(model: str) -> str:
    """Return the name of a model without its publisher, tuning, quantization and date."""
    name = model.rsplit("/", maxsplit=1)[-1].lower().removeprefix("meta-")
    name = TUNED_VERSION.sub("", name)
    while (shorter := TUNED.sub("", name)) != name:
        name = shorter
    return name


def entry_of(identifier: str) -> dict[str, Value] | None:
    """Return the entry that an identifier means, with its format where that is another one.

    As ``{"base": NAME}``, maybe with ``native_format``; None where no entry has its shape, or its
    weights may be stored otherwise than the name tells.
    """
    known, wanted = identifiers(), identifier.lower()
    if wanted in known:
        return {"base": known[wanted]}
    format_of = _ending(wanted, FORMATS)
    same = [
        (other, name)
        for other, name in known.items()
        if architecture_name(other) == architecture_name(wanted)
        and _ending(other, OTHERWISE) == _ending(wanted, OTHERWISE)
    ]
    alike = [name for other, name in same if _ending(other, FORMATS) == format_of]
    if alike:
        return {"base": alike[0]} if len(set(alike)) == 1 else None
    names = {name for _, name in same}
    if format_of is None or len(names) != 1:
        return None
    name = names.pop()
    entry = catalogue.entry("llms", name)
    schemes = entry.get(("weight_formats",))
    own = schemes if isinstance(schemes, dict) else {}
    meant = FORMATS[format_of]
    chosen = next((one for one in meant if one in own), meant[0])
    return {"base": name, "native_format": chosen}


def _ending(identifier: str, endings: "frozenset[str] | dict[str, tuple[str, ...]]") -> str | None:
    """Return the last of some endings that an identifier has."""
    return next((one for one in reversed(re.split("[-/]", identifier)) if one in endings), None)
