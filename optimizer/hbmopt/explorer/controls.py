"""What can be moved and chosen in the explorer: filled from the catalogue and from the instance.

A slider holds one number of the instance in the unit in which people read it. Those of the
question move all curves of a page together; those of the rack, the highlighted one alone.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hbmopt.basics import show
from hbmopt.documents import Figure, catalogue
from hbmopt.explorer.curve import Curve, Sources
from hbmopt.instance import Instance, llm_name, rack_name
from hbmopt.llm import BITS_PER_CACHE_ELEMENT

Group = Literal["question", "rack", "prices"]
Read = Callable[[Instance], float | None]


@dataclass(frozen=True)
class Slider:
    """A number to move between two ends, on a scale of ratios; 0 is there too where it `may_end`.

    `base` is what the instance says without the change, None where it says nothing.
    """

    key: str
    label: str
    unit: str
    meaning: str
    group: Group
    value: float | None
    base: float | None
    least: float
    most: float
    whole: bool
    may_end: bool
    kind: str = "slider"


@dataclass(frozen=True)
class Chooser:
    """A list to choose from; `base` is what the instance says without the change."""

    key: str
    label: str
    meaning: str
    group: Group
    value: str
    base: str
    options: tuple[tuple[str, str], ...]
    kind: str = "list"


@dataclass(frozen=True)
class _Number:
    """How a slider reads its number, and how far it goes: between ends, or by ratios of `base`.

    With `no_more` it goes no higher than that. `unknown` is where it stands for want of a base.
    """

    key: str
    label: str
    unit: str
    meaning: str
    group: Group
    read: Read
    ends: tuple[float, float] | None = None
    whole: bool = False
    may_end: bool = False
    unknown: float | None = None
    no_more: bool = False


def _of(figure: Figure | None, scale: float = 1.0) -> float | None:
    return None if figure is None else float(figure) * scale


NUMBERS = (
    _Number("workload.context", "context", "", "mean tokens resident per sequence", "question",
            lambda one: _of(one.workload.context), (256, 2e6), whole=True),
    _Number("workload.prompt", "prompt", "", "prompt tokens", "question",
            lambda one: _of(one.workload.prompt), (128, 2e6), whole=True),
    _Number("workload.output", "output", "", "output tokens", "question",
            lambda one: _of(one.workload.output), (16, 2e5), whole=True),
    _Number("limits.min_speed", "speed floor", "tok/s/user", "least tokens/s per user", "question",
            lambda one: _of(one.limits.min_speed), (1, 2000), may_end=True),
    _Number("limits.power", "power cap", "kW", "what the rack may draw, in its scope", "rack",
            lambda one: one.power_cap_kw),
    _Number("rack.accelerator.hbm_capacity", "HBM size", "GB", "of an accelerator", "rack",
            lambda one: _of(one.rack.accelerator.hbm_capacity)),
    _Number("rack.accelerator.hbm_bandwidth", "HBM bandwidth", "TB/s", "of an accelerator", "rack",
            lambda one: _of(one.rack.accelerator.hbm_bandwidth)),
    _Number("limits.accelerator_power", "accelerator power limit", "W",
            "what an accelerator may draw, which it holds by lowering its clock", "rack",
            lambda one: _of(one.accelerator_limit, 1e3), no_more=True),
    _Number("rack.accelerator.scale_up_bandwidth", "scale-up links", "TB/s",
            "of an accelerator, per direction", "rack",
            lambda one: _of(one.rack.accelerator.scale_up_bandwidth) or None),
    _Number("rack.nodes", "racks or servers", "", "such racks or servers together", "rack",
            lambda one: _of(one.rack.nodes), (1, 64), whole=True),
    _Number("rack.offload.units", "LPUs", "", "SRAM devices beside the accelerators", "rack",
            lambda one: _of(one.rack.offload.units) if one.rack.offload is not None else None,
            (1, 2048), whole=True),
    _Number("rack.price", "price of the rack", "MUSD", "of one rack or server", "prices",
            lambda one: _of(one.rack.price, 1e-6), unknown=3.0),
    _Number("economics.power_price", "power", "USD/kWh", "of the energy that the facility draws",
            "prices", lambda one: _of(one.economics.power_price), (0.01, 1.0)),
    _Number("economics.life", "life", "years", "after which the rack is worth nothing", "prices",
            lambda one: _of(one.economics.life), (1, 15)),
    _Number("economics.utilisation", "utilisation", "", "load at all times, share of the peak",
            "prices", lambda one: _of(one.economics.utilisation), (0.02, 1.0), unknown=0.5),
)  # fmt: skip
"""All sliders; those of which an instance says nothing are left out, but for `unknown` ones."""

RATIO = 4.0
"""How many times as much, and as little, a slider of hardware reaches."""

NONE = "null"
"""How a change says that a list or an offload is left out."""


def controls(sources: Sources, curve: Curve) -> list[dict[str, Any]]:
    """Return all sliders and lists of a curve as plain data."""
    now = sources.instance(curve)
    chosen = {"rack", "llm", "rack.offload", "objective"}
    kept = tuple((key, value) for key, value in curve.changes if key in chosen)
    base = sources.instance(settled(sources, Curve(curve.source, kept)))
    found: list[Slider | Chooser] = [*_choosers(sources, curve, now), *_sliders(now, base)]
    return [asdict(one) for one in found]


def _sliders(now: Instance, base: Instance) -> list[Slider]:
    found = []
    for one in NUMBERS:
        own, value = one.read(base), one.read(now)
        middle = own if own is not None else one.unknown
        if middle is None or (own == 0 and not one.may_end):
            continue
        least, most = one.ends or (middle / RATIO, middle * (1.0 if one.no_more else RATIO))
        held = [end for end in (middle, value) if end]
        found.append(
            Slider(
                one.key,
                one.label,
                one.unit,
                one.meaning,
                one.group,
                value,
                own,
                min([least, *held]),
                max([most, *held]),
                one.whole,
                one.may_end,
            )
        )
    return found


def _choosers(sources: Sources, curve: Curve, now: Instance) -> list[Chooser]:
    given, plain = dict(curve.changes), sources.document(Curve(curve.source))
    unchanged = sources.instance(Curve(curve.source))
    racks = {name: _title("racks", name) for name in catalogue.names("racks")}
    llms = {name: _title("llms", name) for name in catalogue.names("llms")}
    asked = [
        ("rack", "rack", "from the catalogue", racks, rack_name(unchanged.rack)),
        ("llm", "model", "from the catalogue", llms, llm_name(unchanged.llm)),
    ]
    found = [
        Chooser(key, label, meaning, "rack", given.get(key, ""), "", _options(own, entries))
        for key, label, meaning, entries, own in asked
    ]
    formats = {f"[{name}]": name for name in now.llm.schemes}
    caches = {f"[{name}]": name for name in BITS_PER_CACHE_ELEMENT}
    for key, label, listed in (
        ("choices.weight_formats", "weights", formats),
        ("choices.kv_formats", "KV cache", caches),
    ):
        own = plain.get(tuple(key.split(".")))
        said = " or ".join(map(str, own)) if isinstance(own, list) else "as published"
        options = _options(said, listed)
        found.append(Chooser(key, label, "format", "question", given.get(key, ""), "", options))
    lpus = {name: _title("offloads", name) for name in catalogue.names("offloads")}
    own_offload = unchanged.rack.offload
    if "rack" in given:
        rack = sources.instance(settled(sources, Curve(curve.source, (("rack", given["rack"]),))))
        own_offload = rack.rack.offload
    said = f"{show(float(own_offload.units))} LPUs" if own_offload is not None else "none"
    options = _options(said, lpus if own_offload is None else {NONE: "none", **lpus})
    chosen = given.get("rack.offload", "")
    found.append(
        Chooser("rack.offload", "LPUs beside", "SRAM devices", "rack", chosen, "", options)
    )
    return found


def _options(own: str, entries: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what may be chosen: that of the instance, which takes no change, and entries."""
    return (("", f"{own} (as given)"), *entries.items())


def _title(kind: str, name: str) -> str:
    title = catalogue.entry(kind, name).get(("title",))
    return str(title) if title else name


LAYOUTS = (
    "replica_accelerators",
    "tensor_parallel",
    "expert_parallel",
    "attention_data_parallel",
)


def settled(sources: Sources, curve: Curve) -> Curve:
    """Return a curve without what its own file says of another rack or model than it has by now.

    Layouts are those of one rack; formats and drafted tokens, of one model. They are left to the
    solver where the other one was chosen.
    """
    given = dict(curve.changes)
    document = sources.document(curve)
    more = dict[str, str]()
    if "llm" in given:
        listed = document.get(("choices", "weight_formats"))
        if "choices.weight_formats" not in given and isinstance(listed, list):
            known = _schemes(sources, curve)
            if not known.issuperset(map(str, listed)):
                more["choices.weight_formats"] = NONE
        drafts = document.get(("choices", "draft_tokens"))
        if isinstance(drafts, list) and any(drafts) and document.get(("llm", "draft")) is None:
            more["choices.draft_tokens"] = "[0]"
    if "rack" in given or "rack.offload" in given:
        lpus = document.get(("choices", "lpu_units"))
        if lpus is not None and document.get(("rack", "offload")) is None:
            more["choices.lpu_units"] = NONE
    if "rack" in given:
        for name in LAYOUTS:
            if document.get(("choices", name)) is not None:
                more[f"choices.{name}"] = NONE
    fresh = [(key, value) for key, value in more.items() if key not in given]
    return Curve(curve.source, (*curve.changes, *fresh))


def _schemes(sources: Sources, curve: Curve) -> set[str]:
    """Return the weight formats of the model of a curve."""
    without = dict(curve.changes) | {"choices.weight_formats": NONE, "choices.draft_tokens": "[0]"}
    without |= {f"choices.{name}": NONE for name in ("lpu_units", *LAYOUTS)}
    return set(sources.instance(Curve(curve.source, tuple(without.items()))).llm.schemes)
