"""What can be changed about an instance, one number or choice at a time.

A lever is a limit or input with the direction in which it eases a problem. Turning it further never
makes anything worse, so the smallest turn that is enough can be found by halving.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hbmopt.basics import units
from hbmopt.documents import Figure, format_path
from hbmopt.instance.calibration import LATENCIES
from hbmopt.instance.schema import CAPITAL, Choices, Instance
from hbmopt.llm import BITS_PER_CACHE_ELEMENT

FURTHEST = 1e3
"""Factor up to which a number is changed; what 1,000 times does not cure, it does not cure."""

COMMON_FORMATS = ("fp8", "fp4")
"""Weight formats that are proposed beside those that a model names."""


@dataclass(frozen=True)
class Lever:
    """A number that may be changed: what it is, where it stands and how far it goes.

    `apply` returns the instance with another value, `settings` what ``--set`` takes for it.
    """

    name: str
    key: str
    unit: str
    now: float
    furthest: float
    whole: bool
    apply: Callable[[Instance, float], Instance]
    settings: Callable[[float], tuple[str, ...]]
    shown: float = 1.0
    """Shown units per unit of `now`."""

    @property
    def rises(self) -> bool:
        """Whether more of it helps."""
        return self.furthest > self.now

    def text(self, value: float) -> str:
        """Write a value with its unit."""
        return f"{value * self.shown:,.10g} {self.unit}".strip()


@dataclass(frozen=True)
class Choice:
    """A choice that may be allowed as well: another format, or a list that is left out."""

    name: str
    key: str
    now: str
    to: str
    instance: Instance
    settings: tuple[str, ...]


def _unit(figure: Figure) -> tuple[str, float]:
    """Return the unit that a figure is shown in, and how many of it are one internal unit."""
    if figure.dimension == "time":
        return "us", 1e3
    return units.INTERNAL_UNITS[figure.dimension], 1.0


def _setting(key: str, value: float, unit: str) -> str:
    return f"{key}={value:.10g} {unit}".strip()


def figure_lever(
    instance: Instance,
    name: str,
    keys: tuple[str, ...],
    furthest: float,
    *,
    whole: bool = False,
) -> Lever:
    """Return the lever of one figure, or of several that change in proportion to the first."""
    paths = [tuple(key.split(".")) for key in keys]
    figures = [instance.figure(path) for path in paths]
    first = figures[0]

    def factors(value: float) -> list[float]:
        # Proportional, but a second of equal size stays equal to the last bit.
        return [
            value if one.amount == first.amount else value / first.amount * one.amount
            for one in figures
        ]

    def apply(changed: Instance, value: float) -> Instance:
        for path, figure, amount in zip(paths, figures, factors(value), strict=True):
            changed = changed.scaled(path, amount / figure.amount) if figure.amount else changed
        return changed

    def settings(value: float) -> tuple[str, ...]:
        return tuple(
            _setting(key, amount * _unit(figure)[1], _unit(figure)[0])
            for key, figure, amount in zip(keys, figures, factors(value), strict=True)
        )

    unit, shown = _unit(first)
    return Lever(name, keys[0], unit, first.amount, furthest, whole, apply, settings, shown)


def _limit_lever(
    name: str, key: str, unit: str, now: Figure, furthest: float, *, whole: bool = False
) -> Lever:
    """Return the lever of a figure of `limits` that an instance need not give."""

    def apply(changed: Instance, value: float) -> Instance:
        limits = changed.limits.model_copy(update={key: Figure(value, now.dimension)})
        return changed.model_copy(update={"limits": limits})

    def settings(value: float) -> tuple[str, ...]:
        return (_setting(f"limits.{key}", value, unit),)

    return Lever(name, f"limits.{key}", unit, now.amount, furthest, whole, apply, settings)


def power_levers(instance: Instance) -> Iterator[Lever]:
    """Yield what eases power: the cap, the overhead, and what is drawn."""
    cap, scope = instance.power_cap_kw, instance.limits.power_scope
    if cap is not None:
        yield _limit_lever("power cap", "power", "kW", Figure(cap, "power"), FURTHEST * cap)
    path, limit = instance.accelerator_limit_path, instance.accelerator_limit
    if path[-1] != "tdp":
        key = format_path(path)
        yield figure_lever(instance, "power limit per accelerator", (key,), FURTHEST * float(limit))
    if scope == "facility" and float(instance.limits.pue) > 1:
        yield figure_lever(instance, "PUE", ("limits.pue",), 1.0)
    static, resting = instance.rack.static_power.amount, instance.power_law.idle.amount
    if resting > 0:
        own = instance.rack.accelerator.power_law
        chip = own is not None and own.idle is not None
        key = f"{'rack.accelerator' if chip else 'calibration'}.power_law.idle"
        yield figure_lever(instance, "draw at rest, of TDP", (key,), resting / FURTHEST)
    if static > 0 and scope != "accelerators":
        yield figure_lever(instance, "static power", ("rack.static_power",), static / FURTHEST)


def demand_levers(instance: Instance) -> Iterator[Lever]:
    """Yield what is to be served."""
    demand = instance.limits.min_throughput
    if demand is not None:
        least = demand.amount / FURTHEST
        yield _limit_lever("demand", "min_throughput", "tok/s", demand, least)


def pace_levers(instance: Instance) -> Iterator[Lever]:
    """Yield the speed floor, and the latency that no hardware shortens."""
    floor = float(instance.limits.min_speed)
    if floor > 0:
        yield Lever(
            "speed floor",
            "limits.min_speed",
            "tok/s/user",
            floor,
            floor / FURTHEST,
            False,
            lambda changed, value: changed.at_floor(value),
            lambda value: (_setting("limits.min_speed", value, "tok/s/user"),),
        )
    yield from latency_levers(instance)


def latency_levers(instance: Instance) -> Iterator[Lever]:
    """Yield the fixed latencies, all in proportion."""
    latency = instance.calibration.latency
    waits = tuple(
        f"calibration.latency.{key}" for key in LATENCIES if getattr(latency, key).amount > 0
    )
    if waits:
        now = instance.figure(tuple(waits[0].split("."))).amount
        yield figure_lever(instance, "latency per layer", waits, now / FURTHEST)


def budget_levers(instance: Instance) -> Iterator[Lever]:
    """Yield the capacities of declared budgets."""
    for position, budget in enumerate(instance.limits.budgets):
        yield _budget_lever(position, budget.name, budget.unit, budget.capacity)
    money = instance.limits.budget_usd
    if money is not None:
        yield _limit_lever("budget of money", CAPITAL, "USD", money, FURTHEST * money.amount)


def _budget_lever(position: int, name: str, unit: str, capacity: float) -> Lever:
    key = f"limits.budgets.{position}.capacity"

    def apply(changed: Instance, value: float) -> Instance:
        budgets = list(changed.limits.budgets)
        budgets[position] = budgets[position].model_copy(update={"capacity": value})
        limits = changed.limits.model_copy(update={"budgets": budgets})
        return changed.model_copy(update={"limits": limits})

    return Lever(
        f"budget {name}",
        key,
        unit if unit != "1" else "",
        capacity,
        FURTHEST * capacity,
        False,
        apply,
        lambda value: (f"{key}={value:.10g}",),
    )


def memory_levers(instance: Instance) -> Iterator[Lever]:
    """Yield what holds more."""
    yield from _hardware(instance, "accelerator", {"hbm_capacity": "HBM capacity per accelerator"})
    if float(instance.calibration.hbm_usable) < 1:
        yield figure_lever(instance, "usable share of HBM", ("calibration.hbm_usable",), 1.0)
    sampled = float(instance.calibration.engine_sequences)
    if instance.limits.max_batch is None and sampled > 1:
        now = Figure(sampled, "count")
        yield _limit_lever("sequences at once", "max_batch", "", now, 1.0, whole=True)
    if instance.rack.offload is not None:
        yield from _hardware(instance, "offload.device", {"sram_capacity": "SRAM capacity per LPU"})


def rate_levers(instance: Instance) -> Iterator[Lever]:
    """Yield what reads, computes and sends faster."""
    names = {
        "hbm_bandwidth": "HBM bandwidth per accelerator",
        "scale_up_bandwidth": "scale-up links per accelerator",
    }
    yield from _hardware(instance, "accelerator", names)
    if instance.rack.networked and instance.rack.scale_out_bandwidth is not None:
        furthest = FURTHEST * float(instance.rack.scale_out_bandwidth)
        key = "rack.scale_out_bandwidth"
        yield figure_lever(instance, "scale-out network per accelerator", (key,), furthest)
    peaks = instance.rack.accelerator.peak_flops
    keys = tuple(f"rack.accelerator.peak_flops.{name}" for name in peaks)
    first = next(iter(peaks.values())).amount
    yield figure_lever(instance, "compute, all formats alike", keys, FURTHEST * first)
    if instance.rack.offload is not None:
        names = {"sram_bandwidth": "SRAM bandwidth per LPU", "link_bandwidth": "links per LPU"}
        yield from _hardware(instance, "offload.device", names)


def _hardware(instance: Instance, part: str, names: dict[str, str]) -> Iterator[Lever]:
    """Yield figures of a part of the rack of which more is better."""
    for key, name in names.items():
        full = f"rack.{part}.{key}"
        amount = instance.figure(tuple(full.split("."))).amount
        if amount > 0:
            yield figure_lever(instance, name, (full,), FURTHEST * amount)


def workload_levers(instance: Instance) -> Iterator[Lever]:
    """Yield what a sequence may be shorter by."""
    workload = instance.workload
    names = [("context", "context"), ("prompt", "prompt")]
    if workload.prefill == "elsewhere":
        names.append(("output", "output"))
    for name, key in names:
        figure = getattr(workload, key)
        if figure is not None and figure.amount > 1:
            yield figure_lever(instance, f"{name} [tokens]", (f"workload.{key}",), 1.0, whole=True)
    reserved = workload.capacity_context
    least = math.ceil(workload.mean_context)
    if reserved is not None and reserved.amount > least:
        key = "workload.capacity_context"
        yield figure_lever(instance, "reserved context [tokens]", (key,), float(least), whole=True)


def with_accelerators(instance: Instance, count: int) -> Instance:
    """Return the rack with another number of accelerators; a domain that was all of them grows."""
    rack, amount = instance.rack, Figure(float(count), "count")
    changes = {"accelerators": amount}
    if rack.scale_up_domain is not None and int(rack.scale_up_domain) == int(rack.accelerators):
        changes["scale_up_domain"] = amount
    return instance.model_copy(update={"rack": rack.model_copy(update=changes)})


def with_nodes(instance: Instance, count: int) -> Instance:
    """Return so many of the rack's nodes."""
    nodes = Figure(float(count), "count")
    return instance.model_copy(update={"rack": instance.rack.model_copy(update={"nodes": nodes})})


def with_lpus(instance: Instance, count: int) -> Instance:
    """Return the rack with another number of LPUs."""
    rack, units_now = instance.rack, {"units": Figure(float(count), "count")}
    if rack.offload is None:
        return instance
    offload = rack.offload.model_copy(update=units_now)
    return instance.model_copy(update={"rack": rack.model_copy(update={"offload": offload})})


@dataclass(frozen=True)
class Counter:
    """A number of devices that may be larger: layouts depend on it, so it is tried one by one."""

    name: str
    key: str
    keys: tuple[str, ...]
    now: int
    apply: Callable[[Instance, int], Instance]


def counters(instance: Instance) -> Iterator[Counter]:
    """Yield the numbers of devices of a rack."""
    rack = instance.rack
    keys = ["rack.accelerators"]
    if rack.scale_up_domain is not None and int(rack.scale_up_domain) == int(rack.accelerators):
        keys.append("rack.scale_up_domain")
    yield Counter("accelerators", keys[0], tuple(keys), int(rack.accelerators), with_accelerators)
    if rack.scale_out_bandwidth is not None:
        key = "rack.nodes"
        yield Counter("nodes", key, (key,), int(rack.nodes), with_nodes)
    if rack.offload is not None:
        key = "rack.offload.units"
        yield Counter("LPUs", key, (key,), int(rack.offload.units), with_lpus)


def format_choices(instance: Instance) -> Iterator[Choice]:
    """Yield the formats that could be allowed as well."""
    choices, llm = instance.choices, instance.llm
    weights = choices.weight_formats or [llm.native_format]
    fewest = min(llm.checkpoint_bytes(name) for name in weights)
    own = sorted({llm.native_format, *llm.weight_formats, *COMMON_FORMATS} - set(weights))
    smaller = [name for name in own if llm.checkpoint_bytes(name) < fewest]
    for name in sorted(smaller, key=lambda one: -llm.checkpoint_bytes(one)):
        allowed = [*weights, name]
        yield _with_choice(instance, "weight format", "weight_formats", weights, allowed, name)
    narrowest = min(BITS_PER_CACHE_ELEMENT[name] for name in choices.kv_formats)
    for name, bits in BITS_PER_CACHE_ELEMENT.items():
        if bits < narrowest:
            kept = choices.kv_formats
            yield _with_choice(instance, "KV format", "kv_formats", kept, [*kept, name], name)


def layout_choices(instance: Instance) -> Iterator[Choice]:
    """Yield the restrictions of layouts, clocks and drafts that could be lifted."""
    choices = instance.choices
    for key, name in (
        ("replica_accelerators", "accelerators per replica"),
        ("tensor_parallel", "tensor parallelism"),
        ("expert_parallel", "expert parallelism"),
        ("attention_data_parallel", "attention-data parallelism"),
    ):
        listed = getattr(choices, key)
        if listed is not None:
            yield _with_choice(instance, name, key, listed, None, "any")
    if instance.rack.offload is not None and choices.lpu_units is not None:
        yield _with_choice(
            instance, "LPUs per replica", "lpu_units", choices.lpu_units, None, "any"
        )
    stages = choices.pipeline_parallel
    more = [depth for depth in (1, 2, 4, 8) if depth not in stages]
    more = [
        depth for depth in more if depth <= min(instance.llm.layers, instance.rack.all_accelerators)
    ]
    for depth in more:
        yield _with_choice(
            instance, "pipeline stages", "pipeline_parallel", stages, [*stages, depth], str(depth)
        )
    slowest = min(choices.clocks)
    for clock in (0.8, 0.6, 0.4):
        if clock < slowest:
            clocks = [*choices.clocks, clock]
            yield _with_choice(instance, "clock", "clocks", choices.clocks, clocks, f"{clock:g}")
    drafted = choices.draft_tokens
    for depth in range(4):
        if depth not in drafted and _can_draft(instance, depth):
            yield _with_choice(
                instance, "drafted tokens", "draft_tokens", drafted, [*drafted, depth], str(depth)
            )
    if choices.lookup_tables == "hbm" and instance.llm.parameters.lookup_tables > 0:
        yield _with_choice(instance, "lookup tables", "lookup_tables", "hbm", "host", "host")


def _can_draft(instance: Instance, depth: int) -> bool:
    if depth == 0:
        return True
    try:
        instance.workload.accepted_tokens(depth)
    except ValueError:
        return False
    return instance.llm.draft is not None


def _with_choice(
    instance: Instance, name: str, key: str, now: object, value: object, to: str
) -> Choice:
    """Return the choice of another value for a key of `choices`."""
    changed = Choices.model_validate(
        {**{field: getattr(instance.choices, field) for field in Choices.model_fields}, key: value}
    )
    shown = ", ".join(str(one) for one in now) if isinstance(now, list) else str(now)
    written = "null" if value is None else str(value).replace("'", "")
    other = instance.model_copy(update={"choices": changed})
    return Choice(name, f"choices.{key}", shown, to, other, (f"choices.{key}={written}",))
