"""What each kind of entry of the catalogue says, as a table of its numbers.

Numbers of a rack are those of all its accelerators together. Where a number is made of several
figures it is worth what the weakest of them is.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from hbmopt.documents import (
    UNCERTAIN,
    Document,
    Figure,
    FigureRule,
    KeyPath,
    Value,
    read_document,
    shipped,
)
from hbmopt.documents import catalogue as known
from hbmopt.errors import InputError, nearest
from hbmopt.instance.calibration import STEP_RESOURCES, StepError, VendorError
from hbmopt.instance.catalogue_table import CatalogueColumn, CatalogueEntry, CatalogueTable, Fact
from hbmopt.instance.hardware import ARITHMETIC, Accelerator, Offload, OffloadDevice, Rack
from hbmopt.instance.schema import load_document
from hbmopt.llm import Llm

if TYPE_CHECKING:
    import pandas as pd

Facts: TypeAlias = Mapping[str, Fact | Figure]

PRICES = (
    CatalogueColumn("price", "USD", "list price, where one is known", "USD", 8, rank=3),
    CatalogueColumn("price_per_gb", "USD", "price over its memory in GB", "USD\nper GB", 4, rank=4),
)
YEAR = CatalogueColumn("year", "", "year in which it ships", "year", 0, rank=1)
TITLE = CatalogueColumn("title", "", "what it is", "title", rank=9)


def _peaks(unit: str, whose: str) -> tuple[CatalogueColumn, ...]:
    meaning = f"dense peak of {whose} in {{}}; none: it has no such arithmetic"
    return tuple(
        CatalogueColumn(name, unit, meaning.format(name), f"{name}\n{unit}", rank=2)
        for name in ARITHMETIC
    )


COLUMNS: Mapping[str, tuple[CatalogueColumn, ...]] = {
    "accelerators": (
        CatalogueColumn(
            "kind", "", "accelerator, or lpu: an SRAM device for offloaded weights", "kind", rank=8
        ),
        CatalogueColumn("memory", "", "type of its memory", "memory", rank=3),
        CatalogueColumn("hbm", "GB", "capacity of its memory, as the driver reports it", "HBM\nGB"),
        CatalogueColumn("hbm_bandwidth", "TB/s", "bandwidth of its memory", "HBM\nTB/s"),
        *_peaks("TFLOP/s", "one"),
        CatalogueColumn("tdp", "W", "thermal design power", "TDP\nW", rank=1),
        CatalogueColumn("link", "TB/s", "scale-up links, per direction", "links\nTB/s", rank=6),
        *PRICES,
        YEAR,
        TITLE,
    ),
    "racks": (
        CatalogueColumn("accelerator", "", "what it holds", "accelerator", rank=2),
        CatalogueColumn("accelerators", "", "how many of them", "how\nmany", rank=1),
        CatalogueColumn("hbm", "GB", "HBM of all accelerators", "HBM\nGB"),
        CatalogueColumn("hbm_bandwidth", "TB/s", "HBM bandwidth of all accelerators", "HBM\nTB/s"),
        *_peaks("PFLOP/s", "all accelerators"),
        CatalogueColumn(
            "power", "kW", "provisioned power, the default power limit", "power\nkW", rank=1
        ),
        CatalogueColumn(
            "tdp",
            "kW",
            "TDP of all accelerators and what stands around them",
            "all at\nTDP kW",
            rank=6,
        ),
        *PRICES,
        YEAR,
        TITLE,
    ),
    "offloads": (
        CatalogueColumn("device", "", "what it holds", "device"),
        CatalogueColumn("units", "", "how many of them", "how\nmany", rank=1),
        CatalogueColumn("sram", "GB", "SRAM of all devices", "SRAM\nGB"),
        CatalogueColumn("sram_bandwidth", "TB/s", "SRAM bandwidth of all devices", "SRAM\nTB/s"),
        *_peaks("PFLOP/s", "all devices"),
        CatalogueColumn(
            "power", "kW", "provisioned power, beside that of the rack", "power\nkW", rank=1
        ),
        CatalogueColumn(
            "tdp", "kW", "TDP of all devices and what stands around them", "all at\nTDP kW", rank=6
        ),
        *PRICES,
        TITLE,
    ),
    "llms": (
        CatalogueColumn("parameters", "billion", "all parameters", "parameters\nbillion"),
        CatalogueColumn("active", "billion", "parameters that one token uses", "active\nbillion"),
        CatalogueColumn("layers", "", "decoder layers", "layers", rank=5),
        CatalogueColumn(
            "experts", "", "routed experts of a layer, none where it is dense", "experts", rank=2
        ),
        CatalogueColumn(
            "active_experts", "", "of these, what one token visits", "active\nof these", rank=3
        ),
        CatalogueColumn("attention", "", "kinds of attention", "attention", rank=6),
        CatalogueColumn(
            "kv_per_token",
            "bytes",
            "fp8 cache that one more token of a long sequence keeps",
            "KV bytes\nper token",
        ),
        CatalogueColumn(
            "state", "MB", "recurrent states of a sequence of any length", "states\nMB", rank=4
        ),
        CatalogueColumn(
            "native_format", "", "the format that the publisher ships", "native\nformat", rank=1
        ),
        CatalogueColumn(
            "checkpoint", "GB", "files of the weights in that format", "weights\nGB", rank=1
        ),
        CatalogueColumn(
            "draft", "", "layers that propose tokens in one pass", "draft\nlayers", rank=6
        ),
        TITLE,
    ),
    "calibrations": (
        CatalogueColumn(
            "chips", "", "chips whose measured steps were fitted", "chips", rank=1, wraps=True
        ),
        CatalogueColumn("rows", "", "measured steps that it was compared with", "rows"),
        CatalogueColumn(
            "worst_median",
            "",
            "median error of steps, as a share, on the chip and layout where it is largest",
            "largest\nmedian error",
            3,
        ),
        *(
            CatalogueColumn(name, "", f"efficiency: {name}", name.replace("_", "\n"), 3, rank=3)
            for name in STEP_RESOURCES
        ),
        CatalogueColumn("per_layer", "us", "fixed time of a layer", "us per\nlayer", 3, rank=2),
        TITLE,
    ),
    shipped.INSTANCES: (
        CatalogueColumn("rack", "", "its rack", "rack"),
        CatalogueColumn("llm", "", "its model", "model"),
        CatalogueColumn("question", "", "what it asks", "question"),
    ),
    shipped.FLEETS: (
        CatalogueColumn("racks", "", "its types of racks", "racks"),
        CatalogueColumn("llms", "", "the models of its classes", "models"),
        CatalogueColumn("question", "", "what it asks", "question"),
    ),
}
"""The columns of each kind, beside the name."""

KINDS = (shipped.INSTANCES, shipped.FLEETS, *known.KINDS)
"""What the catalogue lists: instances and fleets that solve, and the parts that they name."""


@cache
def catalogue_table(kind: str) -> CatalogueTable:
    """Return all entries of one of the `KINDS`. Raises `InputError` that names the nearest kind."""
    if kind not in KINDS:
        raise InputError(f"the catalogue has no {kind!r}; {nearest(kind, KINDS)}")
    listed = _listed(kind)
    entries = tuple(_entry(name, _FACTS[kind](name), COLUMNS[kind]) for name in listed)
    return CatalogueTable(kind, COLUMNS[kind], entries)


def _listed(kind: str) -> Sequence[str]:
    """Return the names of all entries of a kind."""
    if kind == shipped.INSTANCES:
        return tuple(shipped.names())
    return tuple(shipped.fleets()) if kind == shipped.FLEETS else known.names(kind)


def catalogue(kind: str | None = None) -> "pd.DataFrame":
    """Return what the catalogue lists as a frame, indexed by name, with units in the columns.

    Parameters
    ----------
    kind
        ``"racks"``, ``"accelerators"``, ``"llms"``, ``"offloads"``, ``"calibrations"``,
        ``"instances"`` or ``"fleets"``. Without it the frame lists these, with the names of their
        entries.

    The column `uncertain` names figures that may turn out otherwise: ``price_usd=press``.

    Raises
    ------
    InputError
        Where there is no such kind, with the nearest one.
    """
    if kind is not None:
        if not isinstance(kind, str):
            raise InputError(f"catalogue: kind: {kind!r:.60}: input should be a valid string")
        return catalogue_table(kind).frame
    import pandas as pd  # 0.3 s that only frames need

    tables = [catalogue_table(one) for one in KINDS]
    overview = pd.DataFrame(
        {
            "kind": [one.kind for one in tables],
            "entries": [len(one.entries) for one in tables],
            "names": [" ".join(entry.name for entry in one.entries) for one in tables],
        }
    )
    return overview.set_index("kind")


def accelerator_names(*, lpus: bool = False) -> tuple[str, ...]:
    """Return the accelerators that a rack may hold, or the LPUs that may stand beside them."""
    kind = "lpu" if lpus else "accelerator"
    table = catalogue_table("accelerators")
    return tuple(one.name for one in table.entries if one.facts["kind"] == kind)


def _entry(name: str, facts: Facts, columns: Sequence[CatalogueColumn]) -> CatalogueEntry:
    return CatalogueEntry(
        name,
        {one.name: _plain(facts.get(one.name)) for one in columns},
        {
            column: fact.status
            for column, fact in facts.items()
            if isinstance(fact, Figure) and fact.status in UNCERTAIN
        },
    )


def _plain(fact: Fact | Figure) -> Fact:
    if isinstance(fact, Figure):
        return int(fact) if fact.dimension == "count" else round(float(fact), 6)
    return round(fact, 6) if isinstance(fact, float) else fact


def _made_of(amount: float, *figures: Figure) -> Figure:
    """Return a number made of figures, worth what the weakest of them is."""
    found = {one.status for one in figures}
    weakest = next((status for status in UNCERTAIN if status in found), figures[0].status)
    return Figure(amount, figures[0].dimension, weakest)


def _priced(price: Figure | None, memory: Figure) -> Facts:
    if price is None:
        return {}
    return {"price": price, "price_per_gb": _made_of(float(price) / float(memory), price, memory)}


def _accelerator(name: str) -> Facts:
    value = known.entry("accelerators", name).value
    if isinstance(value, dict) and value.get("kind") == "lpu":
        return _lpu(OffloadDevice.model_validate(value))
    one = Accelerator.model_validate(value)
    return {
        "kind": one.kind,
        "memory": one.memory_type,
        "hbm": one.hbm_capacity,
        "hbm_bandwidth": one.hbm_bandwidth,
        **one.peak_flops,
        "tdp": one.tdp.scaled(1e3),
        "link": one.scale_up_bandwidth,
        **_priced(one.price, one.hbm_capacity),
        "year": one.year,
        "title": one.title,
    }


def _lpu(one: OffloadDevice) -> Facts:
    return {
        "kind": one.kind,
        "memory": "SRAM",
        "hbm": one.sram_capacity,
        "hbm_bandwidth": one.sram_bandwidth,
        **one.peak_flops,
        "tdp": one.tdp.scaled(1e3),
        "link": one.link_bandwidth,
        "year": one.year,
        "title": one.title,
    }


def _together(count: Figure, each: Figure, scale: float = 1.0) -> Figure:
    """Return a figure of all units, multiplied by `scale`."""
    return _made_of(float(count) * float(each) * scale, each, count)


def _with_surroundings(count: Figure, tdp: Figure, static: Figure) -> Figure:
    return _made_of(float(count) * float(tdp) + float(static), tdp, static, count)


def _rack(name: str) -> Facts:
    one = Rack.model_validate(load_document({"rack": name}).get(("rack",)))
    chip, count = one.accelerator, one.accelerators
    memory = _together(count, chip.hbm_capacity)
    return {
        "accelerator": chip.name,
        "accelerators": count,
        "hbm": memory,
        "hbm_bandwidth": _together(count, chip.hbm_bandwidth),
        **{name: _together(count, peak, 1e-3) for name, peak in chip.peak_flops.items()},
        "power": one.power,
        "tdp": _with_surroundings(count, chip.tdp, one.static_power),
        **_priced(one.price, memory),
        "year": one.year,
        "title": one.title,
    }


def _offload(name: str) -> Facts:
    document = load_document({"rack": {"offload": name}})
    one = Offload.model_validate(document.get(("rack", "offload")))
    device, count = one.device, one.units
    memory = _together(count, device.sram_capacity)
    return {
        "device": device.name,
        "units": count,
        "sram": memory,
        "sram_bandwidth": _together(count, device.sram_bandwidth),
        **{name: _together(count, peak, 1e-3) for name, peak in device.peak_flops.items()},
        "power": one.power,
        "tdp": _with_surroundings(count, device.tdp, one.static_power),
        **_priced(one.price, memory),
        "title": one.title,
    }


def _llm(name: str) -> Facts:
    one = Llm.model_validate(known.entry("llms", name).value)
    mixture, state = one.mixture, one.state_bytes()
    facts: dict[str, Fact] = {
        "parameters": one.parameters.total / 1e9,
        "active": one.active_parameters / 1e9,
        "layers": one.layers,
        "experts": mixture.experts if mixture is not None else None,
        "active_experts": mixture.active if mixture is not None else None,
        "attention": " ".join(dict.fromkeys(group.kind for group in one.attention)),
        "kv_per_token": one.token_bytes("fp8"),
        "state": state / 1e6 if state else None,
        "native_format": one.native_format,
        "checkpoint": one.checkpoint_bytes(one.native_format) / 1e9,
        "draft": one.draft.layers if one.draft is not None else None,
        "title": one.title,
    }
    if one.status not in UNCERTAIN:
        return facts
    # The entry states one status for all that is counted from it.
    return {
        column: Figure(fact, "", one.status) if isinstance(fact, float) else fact
        for column, fact in facts.items()
    }


def _calibration(name: str) -> Facts:
    """Return what an entry states itself; of what it leaves out those of `universal` hold."""
    entry = known.entry("calibrations", name)
    errors = [StepError.model_validate(one) for one in _items(entry, "errors")]
    overall = [VendorError.model_validate(one) for one in _items(entry, "overall")]
    layer = _figure(entry, ("latency", "per_layer"), "time")
    return {
        "chips": " ".join(map(str, _items(entry, "measured"))) or None,
        "rows": sum(one.rows for one in overall[:1] or errors) or None,
        "worst_median": max((one.median for one in errors), default=None),
        **{one: _figure(entry, ("efficiency", one), "fraction") for one in STEP_RESOURCES},
        "per_layer": layer.scaled(1e3) if layer is not None else None,
        "title": str(entry.get(("title",)) or ""),
    }


def _items(entry: Document, key: str) -> list[Value]:
    """Return the items of a list, or the keys of a mapping."""
    value = entry.get((key,))
    return list(value) if isinstance(value, list | dict) else []


def _figure(entry: Document, path: KeyPath, dimension: str) -> Figure | None:
    value = entry.get(path)
    return FigureRule(dimension, zero=True).parse(value) if value is not None else None


def _instance(name: str) -> Facts:
    document = read_document(shipped.path_of(name))
    return {
        "rack": _named(document.get(("rack",))),
        "llm": _named(document.get(("llm",))),
        "question": str(document.get(("description",)) or ""),
    }


def _fleet(name: str) -> Facts:
    document = read_document(shipped.path_of(name, shipped.FLEETS))
    racks, classes = document.get(("racks",)), document.get(("classes",))
    kinds = racks.values() if isinstance(racks, dict) else ()
    demands = classes.values() if isinstance(classes, dict) else ()
    return {
        "racks": _part_names("rack", kinds),
        "llms": _part_names("llm", demands),
        "question": str(document.get(("description",)) or ""),
    }


def _part_names(part: str, owners: Iterable[Value]) -> str:
    """Return the entries that the types or classes of a fleet name, each once."""
    found = (_named(one.get(part)) for one in owners if isinstance(one, dict))
    return " ".join(dict.fromkeys(found))


def _named(value: Value) -> str:
    """Return the entry that an instance names, or how it calls what it states itself."""
    if isinstance(value, dict):
        return str(value.get("base") or value.get("name") or "")
    return str(value or "")


_FACTS: Mapping[str, Callable[[str], Facts]] = {
    "accelerators": _accelerator,
    "racks": _rack,
    "offloads": _offload,
    "llms": _llm,
    "calibrations": _calibration,
    shipped.INSTANCES: _instance,
    shipped.FLEETS: _fleet,
}
