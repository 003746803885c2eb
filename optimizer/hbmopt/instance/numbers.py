"""The numbers of an instance: where they stand, what they may be, and how they are quoted.

Every number of a validated instance is found by walking it. Some are listed together as well, as a
data sheet or a designer changes them together: all peaks of a chip, all weights of a model, all
bytes of a cache.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args

from pydantic import BaseModel

from hbmopt.basics import units
from hbmopt.documents import Figure, FigureRule, KeyPath, format_path
from hbmopt.instance.calibration import LATENCIES, ErrorBand
from hbmopt.instance.error_band import QuantileBand
from hbmopt.instance.objective import OBJECTIVES
from hbmopt.instance.schema import NO_COMPRESSION, Instance

SECTIONS = ("rack", "limits", "workload", "llm", "calibration")
"""Parts of an instance that hold numbers of the program."""

ECONOMICS = "economics"
"""The part whose numbers count where money is what is sought."""

BESIDE_THE_STEP = (("rack", "host"), ("rack", "storage"))
"""Parts of a rack that no decode step uses."""

PRICE = "price"

SMOOTH_WHOLE = frozenset(
    {
        "hidden_size",
        "expert_width",
        "head_dimension",
        "value_dimension",
        "key_dimension",
        "latent_rank",
        "rope_dimension",
        "window",
        "chunk",
        "top_k",
        "candidates",
        "convolution_elements",
    }
)
"""Whole numbers of an architecture that only multiply bytes and FLOPs, which gives them a price."""

TOKENS = frozenset({"context", "prompt", "output", "capacity_context"})
"""Whole numbers of a workload: means over many sequences, so that they have a price."""

ENGINE = {
    "prompt_chunk": ("tokens", 0.0),
    "page_tokens": ("tokens", 1.0),
    "engine_sequences": ("sequences", 0.0),
    "max_batch": ("sequences", 1.0),
}
"""Whole numbers of an engine: their units, and the least that they may be."""

COUNTED: dict[KeyPath, str] = {
    ("rack", "nodes"): "nodes",
    ("rack", "accelerators"): "accelerators",
    ("rack", "scale_up_domain"): "accelerators",
    ("rack", "offload", "units"): "LPUs",
    ("llm", "mixture", "active"): "experts per token",
}
"""Counts without a derivative that can be changed alone, and their units; they are solved again."""

LEFT_OUT = (
    ("choices", "the solver picks among them; change the list and solve again"),
    ("layers, heads and experts of the llm", "they hang together; compare models instead"),
    ("prices, years and economics", "they count where the objective is a cost"),
    ("host and storage of the rack", "no step waits for them; they count where sessions are idle"),
)
"""What is not listed, and why."""

NOT_READ = frozenset({"year", PRICE, "worst"})

KV_CACHE = "kv_cache"
ACCELERATOR_POWER = "accelerator_power"
PEAKS = "rack.accelerator.peak_flops"
LPU_PEAKS = "rack.offload.device.peak_flops"
WEIGHTS = "llm.parameters"
LATENCY = "calibration.latency"

TOGETHER = {
    PEAKS: "all peaks of the accelerator",
    LPU_PEAKS: "all peaks of the LPU",
    WEIGHTS: "all weights of the model",
    KV_CACHE: "all bytes of the KV cache, held and read",
    LATENCY: "all latency of the accelerators' layers",
    ACCELERATOR_POWER: "the accelerator's power limit, all that it draws as it is",
}
"""Names of numbers that are scaled together, and what they are."""

SMALL_USE = 1e-3
"""Share of a budget by which a use that is 0 is moved, per unit of what uses it."""


@dataclass(frozen=True)
class InstanceNumber:
    """One number of an instance, or several that are scaled together.

    `amount` is in internal units; for several together it is 1. A quoted value is `amount` times
    `quoted`, in `unit`, and its price is for `per` of that. Numbers at `inverse` are divided by
    what those at `paths` are multiplied with. `whole` numbers stay whole where they are changed
    for good, `priced` ones have a derivative. A change is measured by `scale` where they are 0.
    """

    name: str
    paths: tuple[KeyPath, ...]
    amount: float
    unit: str = ""
    quoted: float = 1.0
    per: float = 1.0
    status: str = "given"
    inverse: tuple[KeyPath, ...] = ()
    lowest: float = 0.0
    highest: float = math.inf
    whole: bool = False
    priced: bool = True
    scale: float = 1.0

    @property
    def size(self) -> float:
        """Return what a change of it is measured by: its amount, or a scale where that is 0."""
        return self.amount or self.scale

    @property
    def price_unit(self) -> str:
        """What a price is quoted for: GB, 0.01, 1 %."""
        if self.unit and self.per == 1.0 and self.unit != "%":
            return "token" if self.unit == "tokens" else self.unit
        return f"{self.per:g} {self.unit}".rstrip()

    @property
    def section(self) -> str:
        """The part of the instance that it belongs to."""
        first = str(self.paths[0][0])
        return "llm" if first == "choices" else first

    def at(self, instance: Instance, amount: float) -> Instance:
        """Return the instance with this number at another amount, not validated."""
        if self.unit != "%" and not self.inverse:
            return instance.changed(self.paths[0], lambda leaf: _with_amount(leaf, amount))
        factor, changed = amount / self.amount, instance
        for path in self.paths:
            changed = changed.changed(path, lambda leaf: _with_amount(leaf, float(leaf) * factor))
        for path in self.inverse:
            changed = changed.changed(path, lambda leaf: _with_amount(leaf, float(leaf) / factor))
        return changed

    def stepped(self, share: float) -> float | None:
        """Return the amount after a step of `share` of it; None where there is none.

        Where a bound is nearer the step ends there. Whole numbers move by at least one; a share
        that is 0 rises by `share` itself.
        """
        wanted = self.amount * (1.0 + share)
        if self.amount == 0.0 and math.isfinite(self.highest):
            wanted = share
        if self.whole:
            wanted = round(wanted)
            if wanted == self.amount:
                wanted += math.copysign(1.0, share)
        reached = min(max(wanted, self.lowest), self.highest)
        if self.whole:
            reached = float(math.floor(reached) if share > 0 else math.ceil(reached))
        return None if reached == self.amount or reached < 0 else reached


def _with_amount(leaf: Any, amount: float) -> Any:
    if isinstance(leaf, Figure):
        return replace(leaf, amount=amount)
    return int(amount) if isinstance(leaf, int) and amount == int(amount) else amount


def numbers_of(instance: Instance) -> list[InstanceNumber]:
    """Return the numbers of an instance, those that are scaled together first."""
    sections: tuple[str, ...] = SECTIONS
    if OBJECTIVES[instance.objective].priced:
        sections = (*SECTIONS, ECONOMICS)
    found = [
        number
        for section in sections
        for leaf in _leaves(getattr(instance, section), (section,))
        if (number := _number(instance, leaf)) is not None
    ]
    return [*_together(instance, found), *_compressions(instance), *found]


@dataclass(frozen=True)
class _Leaf:
    path: KeyPath
    value: Figure | float | int
    most: float

    @property
    def amount(self) -> float:
        return float(self.value)

    @property
    def key(self) -> str:
        """The last name of its path."""
        return next(step for step in reversed(self.path) if isinstance(step, str))


def _leaves(node: object, path: KeyPath, most: float = math.inf) -> Iterator[_Leaf]:
    """Yield every number below `node`; `most` is what its kind of figure may be at most."""
    if isinstance(node, ErrorBand | QuantileBand) or path in BESIDE_THE_STEP:
        return  # what is known of errors moves no answer, nor do parts that no step uses
    if isinstance(node, BaseModel):
        for name, field in type(node).model_fields.items():
            rules = [*field.metadata, *_annotations(field.annotation)]
            limits = [one.most for one in rules if isinstance(one, FigureRule)]
            yield from _leaves(getattr(node, name), (*path, name), min(limits, default=math.inf))
    elif isinstance(node, dict):
        for key, item in node.items():
            yield from _leaves(item, (*path, key), most)
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _leaves(item, (*path, index), most)
    elif isinstance(node, Figure | float) or (isinstance(node, int) and not isinstance(node, bool)):
        yield _Leaf(path, node, most)


def _annotations(annotation: object) -> Iterator[object]:
    """Yield what is written at a type and at the types that it is made of."""
    yield from getattr(annotation, "__metadata__", ())
    for part in get_args(annotation):
        yield from _annotations(part)


LARGE_KW = 10.0
"""Power from which on it is quoted in kW, as that of racks, and not in W."""


def _number(instance: Instance, leaf: _Leaf) -> InstanceNumber | None:
    """Return a number with its quotation; None for what the program does not read as one."""
    path, key = leaf.path, leaf.key
    if key == PRICE and OBJECTIVES[instance.objective].priced:
        return _of_money(instance, leaf)
    if key in NOT_READ or (leaf.amount == 0.0 and (path[0] == "llm" or key.startswith("scale_up"))):
        return None
    status = leaf.value.status if isinstance(leaf.value, Figure) else "given"
    plain = InstanceNumber(format_path(path), (path,), leaf.amount, status=status)
    if path in COUNTED:
        most = float(instance.llm.mixture.experts) if instance.llm.mixture else math.inf
        highest = most if key == "active" else math.inf
        return replace(
            plain, unit=COUNTED[path], lowest=1.0, highest=highest, whole=True, priced=False
        )
    if path[0] == "llm":
        return _of_llm(instance, plain, leaf)
    if not isinstance(leaf.value, Figure):
        return _of_budget(instance, plain)
    if key in TOKENS:
        return _of_tokens(instance, plain, key)
    dimension = leaf.value.dimension
    if key in ENGINE:
        unit, least = ENGINE[key]
        return replace(plain, unit=unit, whole=True, lowest=least)
    if dimension == "power":
        kilowatts = leaf.amount >= LARGE_KW or key in ("static_power", "power")
        unit, quoted = ("kW", 1.0) if kilowatts else ("W", 1e3)
        return replace(plain, unit=unit, quoted=quoted)
    if dimension in units.QUOTED:
        unit, quoted = units.QUOTED[dimension]
        return replace(plain, unit=unit, quoted=quoted, scale=1.0 / quoted)
    if key.endswith("_bytes"):
        return replace(plain, unit="B")
    lowest, highest = 0.0, leaf.most
    if key in ("pue", "expert_imbalance"):
        lowest = 1.0
    if key == "draft_acceptance_by_position":
        lowest, highest = _between_neighbours(instance, path)
    return replace(plain, per=0.01, lowest=lowest, highest=highest)


def _of_money(instance: Instance, leaf: _Leaf) -> InstanceNumber | None:
    """Return the price of the rack or its LPUs; that of an accelerator counts where it is alone."""
    alone = leaf.path[:2] == ("rack", "accelerator")
    if not isinstance(leaf.value, Figure) or (alone and instance.rack.price is not None):
        return None
    unit, quoted = units.QUOTED["money"]
    name, status = format_path(leaf.path), leaf.value.status
    return InstanceNumber(name, (leaf.path,), leaf.amount, unit, quoted=quoted, status=status)


def _of_llm(instance: Instance, plain: InstanceNumber, leaf: _Leaf) -> InstanceNumber | None:
    known = replace(plain, status=instance.llm.status)
    if "parameters" in leaf.path or leaf.key.endswith("_parameters"):
        return replace(known, unit="G parameters", quoted=1e-9)
    if isinstance(leaf.value, int):
        smooth = leaf.key in SMOOTH_WHOLE
        return replace(known, whole=True, lowest=1.0) if smooth else None
    return replace(known, unit="B" if "bytes" in str(leaf.path) else "")


def _of_budget(instance: Instance, plain: InstanceNumber) -> InstanceNumber:
    """Return a number of a declared budget, in the user's unit."""
    _, _, position, key = plain.paths[0]
    if not isinstance(position, int) or not isinstance(key, str):
        raise AssertionError("budgets are a list")
    budget = instance.limits.budgets[position]
    unit, below = budget.unit, {"per_step": "step/s", "per_token": "tok/s"}
    if key.startswith("per_"):
        unit += f" per {below.get(key, key.removeprefix('per_'))}"
    return replace(plain, unit=unit, scale=budget.capacity * SMALL_USE)


def _of_tokens(instance: Instance, plain: InstanceNumber, key: str) -> InstanceNumber:
    """Return a number of tokens; its bounds keep the mean context within the reserved one."""
    work = instance.workload
    lowest, highest = 1.0, math.inf
    if key == "capacity_context":
        lowest = work.mean_context
    elif work.capacity_context is not None:
        spare = work.capacity_context.amount - work.mean_context
        highest = plain.amount + spare * (2.0 if key == "output" else 1.0)
    return replace(plain, unit="tokens", lowest=lowest, highest=highest, whole=True)


def _between_neighbours(instance: Instance, path: KeyPath) -> tuple[float, float]:
    """Return the acceptance of the next and of the previous drafted token."""
    listed = [float(one) for one in instance.workload.draft_acceptance_by_position or []]
    position = path[-1]
    if not isinstance(position, int):
        raise AssertionError("acceptance by position is a list")
    later = listed[position + 1] if position + 1 < len(listed) else 0.0
    return later, listed[position - 1] if position else 1.0


def _together(instance: Instance, found: list[InstanceNumber]) -> list[InstanceNumber]:
    """Return the numbers that are scaled together."""
    offload = instance.rack.offload is not None
    wanted: list[tuple[str, list[KeyPath]]] = [
        (PEAKS, [one.paths[0] for one in found if one.name.startswith(f"{PEAKS}.")]),
        (LPU_PEAKS, [one.paths[0] for one in found if one.name.startswith(f"{LPU_PEAKS}.")]),
        (WEIGHTS, [one.paths[0] for one in found if one.unit == "G parameters"]),
        (LATENCY, [("calibration", "latency", name) for name in LATENCIES]),
        (
            KV_CACHE,
            [
                ("choices", "kv_compressions", index, "ratio")
                for index in range(len(instance.choices.kv_compressions))
            ],
        ),
    ]
    groups = [
        InstanceNumber(name, tuple(paths), 1.0, "%", quoted=100.0, status="given")
        for name, paths in wanted
        if paths and (name != LPU_PEAKS or offload)
    ]
    return [*groups, _accelerator_power(instance)]


def _accelerator_power(instance: Instance) -> InstanceNumber:
    """Return the power limit of an accelerator, what it draws at rest as it is."""
    accelerator = instance.rack.accelerator
    law: KeyPath = ("rack", "accelerator", "power_law", "idle")
    if accelerator.power_law is None or accelerator.power_law.idle is None:
        law = ("calibration", "power_law", "idle")
    path, limit = instance.accelerator_limit_path, instance.accelerator_limit
    limited = path[-1] != "tdp"
    return InstanceNumber(
        ACCELERATOR_POWER,
        (path,),
        limit.amount,
        "W",
        quoted=1e3,
        status=limit.status,
        inverse=() if limited else (law,),
    )


def _compressions(instance: Instance) -> list[InstanceNumber]:
    """Return the numbers of the cache compressions that a user declared."""
    return [
        InstanceNumber(format_path(path), (path,), getattr(one, key), per=per, highest=highest)
        for index, one in enumerate(instance.choices.kv_compressions)
        if one.name != NO_COMPRESSION
        for key, per, highest in (("ratio", 0.01, 1.0), ("flops_per_byte", 1.0, math.inf))
        for path in [("choices", "kv_compressions", index, key)]
    ]
