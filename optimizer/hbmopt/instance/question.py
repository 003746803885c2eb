"""The question that an instance asks, in words: as its file puts it, or as it was changed.

A file's description speaks of its own rack, model, workload and limits. Where one of them is
changed, the question is put together from what the instance says by then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from hbmopt.basics import show
from hbmopt.documents import KeyPath, catalogue, parse_path
from hbmopt.instance.hardware import Rack
from hbmopt.llm import Llm

SPOKEN_OF = frozenset({"rack", "llm", "workload", "limits"})
"""Keys of an instance of which its description may speak."""

OWN_WORDS = frozenset({"name", "description"})
"""Keys that are words about an instance, and no part of its problem."""

MOST_LETTERS = 60
"""Letters of a change beyond which it is named by its key alone."""


@dataclass(frozen=True)
class Setting:
    """What an instance asks about: tokens of context, floor in tok/s per user, limit in kW."""

    name: str
    description: str
    rack: Rack
    llm: Llm
    context_tokens: float
    min_speed: float
    power_kw: float | None


def llm_name(llm: Llm) -> str:
    """Return what a model is called."""
    return llm.title or llm.name


def rack_name(rack: Rack) -> str:
    """Return what a rack is called: its title, unless it holds other accelerators than that says.

    A title is that of an entry of the catalogue, and may name number and kind of its accelerators.
    """
    if int(rack.nodes) > 1:
        return rack.in_words
    title = rack.title or rack.name
    entry = _entry(rack.name)
    held = int(rack.accelerators), rack.accelerator.name
    if entry is None or entry[0] != title or entry[1:] == held:
        return title
    chip = rack.accelerator.title or rack.accelerator.name
    return f"{rack.name} changed to {held[0]} x {chip}"


@cache
def _entry(name: str) -> tuple[str, int, str] | None:
    """Return title, accelerators and their name of a rack of the catalogue, None for others."""
    if name not in catalogue.names("racks"):
        return None
    entry = catalogue.entry("racks", name)
    count, chip = entry.get(("accelerators",)), entry.get(("accelerator",))
    if isinstance(count, dict):
        count = count["value"]
    if not isinstance(count, int) or not isinstance(chip, str):
        return None
    return str(entry.get(("title",)) or name), count, chip


def question(asked: Setting, varied: Sequence[KeyPath] = ()) -> str:
    """Return what is asked: of which rack and model, at which context, floor and power.

    What is `varied` is left open.
    """
    rack, llm = rack_name(asked.rack), llm_name(asked.llm)
    if any(path[0] == "rack" for path in varied):
        rack = "each rack" if ("rack",) in varied else asked.rack.name
    if ("llm",) in varied:
        llm = "each model"
    text = f"What does {rack} make of {llm}"
    if not any(path[0] == "workload" for path in varied):
        text += f" with {show(asked.context_tokens, 7)} tokens of context"
    left_open = {path[-1] for path in varied if path[0] == "limits"}
    if asked.min_speed > 0 and "min_speed" not in left_open:
        text += f" at {asked.min_speed:g} tok/s per user"
    if asked.power_kw is not None and "power" not in left_open:
        text += f" within {show(asked.power_kw)} kW"
    return text + "?"


def described(asked: Setting, changes: Sequence[str], varied: Sequence[str] = ()) -> str:
    """Return what heads an answer: the description, or what is asked since it was changed.

    `changes` are written ``key=value``, `varied` are the keys that take several values.
    """
    changed = [parse_path(one.partition("=")[0]) for one in changes]
    paths = [*changed, *map(parse_path, varied)]
    telling = [one for one in changes if one.partition("=")[0] not in OWN_WORDS]
    description = asked.description.strip()
    if not description or ("description",) in changed or not (telling or varied):
        return asked.description
    if any(path[0] in SPOKEN_OF for path in paths):
        description = question(asked, [parse_path(one) for one in varied])
    said = [
        f"{kind}: {', '.join(map(_short, listed))}"
        for kind, listed in (("changed", telling), ("varied", varied))
        if listed
    ]
    source = f"From {asked.name}, " if asked.name != "instance" else ""
    told = source + "; ".join(said)
    return f"{description} {told[:1].upper()}{told[1:]}."


def _short(change: str) -> str:
    return change if len(change) <= MOST_LETTERS else change.partition("=")[0]
