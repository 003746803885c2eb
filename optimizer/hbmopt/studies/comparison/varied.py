"""Instances of which some fields take several values, to be put side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

from hbmopt.documents import Document, Origin
from hbmopt.errors import InputError
from hbmopt.instance import (
    Instance,
    SweepPoint,
    Variation,
    apply_override,
    parse_variation,
    points,
    validate,
)


@dataclass(frozen=True)
class VariedInstances:
    """Instances, and a sentence on each one that cannot be used."""

    instances: tuple[Instance, ...]
    left_out: tuple[str, ...] = ()


def varied_instances(
    documents: Sequence[Document], variations: Sequence[str | Variation]
) -> VariedInstances:
    """Return every instance at every point of the grid of the variations, named by its values.

    Raises
    ------
    InputError
        Where the variations cannot be used, or no point of any instance is valid.
    """
    varied = [parse_variation(one) if isinstance(one, str) else one for one in variations]
    several = len(documents) > 1
    found, left_out, first = list[Instance](), list[str](), None
    for document in documents:
        own = str(document.get(("name",)) or "")
        for point in points(varied):
            values = ", ".join(point.values)
            name = f"{own} {values}" if several and own else values
            try:
                found.append(_at(document, varied, point, name))
            except InputError as error:
                first = first or error
                left_out.append(f"Left out: {name}, which cannot be used: {error}")
    if first is not None and not found:
        raise first
    return VariedInstances(tuple(found), tuple(left_out))


def _at(
    document: Document, variations: Sequence[Variation], point: SweepPoint, name: str
) -> Instance:
    """Return the instance of a point under a name."""
    changed = document.copied()
    for one, value in zip(variations, point.values, strict=True):
        apply_override(changed, f"{one.path}={value}", "--vary")
    changed.graft(("name",), Document(name, {(): Origin("--vary")}))
    return validate(changed)
