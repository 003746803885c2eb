"""What should be known beside an answer: figures of an instance that no longer fit together."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from hbmopt.documents import Figure, FigureRule, catalogue
from hbmopt.instance import Instance

FOLLOWING = {"static_power": "power", "power": "power", "price": "money"}
"""Figures of a rack that grow with its accelerators, and what they are of."""


def notes_of(instance: Instance, running: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what should be known beside an answer to an instance, in sentences.

    `running` are the weight formats of what runs; where nothing does, those that are allowed are
    told.
    """
    note = _stale_figures(instance)
    return (*([f"{note}."] if note else []), *_other_formats(instance, running))


def _other_formats(instance: Instance, running: Iterable[str]) -> tuple[str, ...]:
    """Say so where weights are in other formats than that in which the model is published.

    `running` are the formats of what runs; where nothing does, those that are allowed are told.
    """
    own, listed = instance.llm.native_format, instance.choices.weight_formats or ()
    used = set(running) or (set(listed) if own not in listed else set())
    others = ", ".join(sorted(used - {own}))
    if not listed or not others:
        return ()
    why = "lists both" if own in listed else "leaves that out"
    return (
        f"Weights are in {others}, not in the model's own format, {own}: choices.weight_formats "
        f"{why}.",
    )


@dataclass(frozen=True)
class _Own:
    """The figures of a rack as the catalogue has it."""

    accelerators: int
    following: dict[str, float]


@cache
def _own(name: str) -> _Own:
    rack = catalogue.entry("racks", name)

    def figure(key: str, dimension: str) -> float | None:
        value = rack.get((key,))
        return FigureRule(dimension, zero=True).parse(value).amount if value is not None else None

    known = {key: figure(key, dimension) for key, dimension in FOLLOWING.items()}
    return _Own(
        accelerators=int(figure("accelerators", "count") or 0),
        following={key: amount for key, amount in known.items() if amount is not None},
    )


def _stale_figures(instance: Instance) -> str:
    """Say which figures are still those of another number of accelerators; "" for none."""
    rack = instance.rack
    if rack.name not in catalogue.names("racks"):
        return ""
    own, count = _own(rack.name), int(rack.accelerators)
    if count == own.accelerators:
        return ""
    stale = []
    for key, amount in own.following.items():
        now = getattr(rack, key)
        if isinstance(now, Figure) and now.amount == amount:
            stale.append(f"rack.{key}")
    if not stale:
        return ""
    *others, last = stale
    listed = f"{', '.join(others)} and {last}" if others else last
    verb = "are" if others else "is"
    text = (
        f"rack.accelerators is {count}, but {listed} {verb} still what {rack.name} has for "
        f"{own.accelerators}; "
    )
    times, left = divmod(count, own.accelerators)
    if times > 1 and left == 0:
        nodes = times * int(rack.nodes)
        return f"{text}use rack.nodes={nodes} for {nodes} of them, or set {listed} too"
    return f"{text}set {listed} too, or take whole ones with rack.nodes"
