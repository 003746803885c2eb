"""One way to serve a batch at a speed, and how much of every limit that takes.

A point fixes everything that a plan decides: configuration, replicas, batch, clocks and shares of
weights in SRAM. It need not be possible: what it uses of a limit may exceed it, and by which factor
is what a claim is judged by. Usage is evaluated by `hbmopt.physics`, without a solver.
"""

from dataclasses import dataclass

from hbmopt.demand import Configuration, Segment, configuration_data, rack_data, replica_data
from hbmopt.instance import Instance
from hbmopt.models.quantities import ReplicaData, number
from hbmopt.program import ClockPoint, exposed_time, rack_power, work

WITHIN = 1e-6
"""Relative excess up to which a limit counts as kept, as everywhere a plan is checked."""


@dataclass(frozen=True)
class ClockPart:
    """Part of the time of all replicas: a clock, and the steps per ms of one replica meanwhile.

    `offloaded` is the share of each offloadable component that is read from SRAM.
    """

    clock: float
    share: float
    steps: float
    offloaded: tuple[float, ...] = ()


@dataclass(frozen=True)
class ServingPoint:
    """Replicas of one configuration with `batch` sequences each."""

    configuration: Configuration
    replicas: int
    batch: float
    parts: tuple[ClockPart, ...]


@dataclass(frozen=True)
class LimitUse:
    """What a point uses of one limit; `factor` is usage over limit, above 1 where it is missing."""

    name: str
    usage: float
    limit: float
    unit: str
    factor: float

    @property
    def met(self) -> bool:
        """Whether the limit is kept."""
        return self.factor <= 1.0 + WITHIN


@dataclass(frozen=True)
class PointUse:
    """Everything a point takes: limits, step and power in kW by part, in the power scope.

    Where the step is too long, `step_needs` says of which resource how many times as much would
    make it short enough, alone and other limits aside. What is missing there cannot.
    """

    limits: tuple[LimitUse, ...]
    step_ms: float
    step_needs: dict[str, float]
    step_breakdown_ms: dict[str, float]
    power_kw: float
    power_breakdown_kw: dict[str, float]

    @property
    def worst(self) -> LimitUse:
        """The limit with the largest factor."""
        return max(self.limits, key=lambda one: one.factor)


@dataclass(frozen=True)
class _Totals:
    """What one replica does per ms, summed over its clocks, each by its share of the time."""

    replica: ReplicaData
    times: dict[str, float]
    exposed: float
    running_kw: float
    lpu_kw: float
    steps: float
    held_gb: float
    sram_gb: float

    @property
    def busiest(self) -> float:
        """The largest share of the time that a row of time takes."""
        times = self.times
        return max(
            self.exposed,
            times["weights"] + times["kv"],
            times["gemm"] + times["attention"],
            *(times[name] for name in ("link", "sram", "lpu_compute", "lpu_link")),
        )


def _totals(instance: Instance, point: ServingPoint) -> _Totals:
    exact, batch = Segment(point.batch, point.batch), point.batch
    replicas = [
        replica_data(instance, point.configuration, part.clock, exact) for part in point.parts
    ]
    times: dict[str, float] = {}
    exposed = running_kw = lpu_kw = steps = held = in_sram = 0.0
    for part, replica in zip(point.parts, replicas, strict=True):
        rate = part.share * part.steps
        done = work(replica, ClockPoint(part.share, rate, rate * batch, part.offloaded))
        once = work(replica, ClockPoint(1.0, 1.0, batch, part.offloaded))
        for resource, spent in done.times.items():
            times[resource] = times.get(resource, 0.0) + spent
        exposed += exposed_time(replica, done.times)
        running_kw += done.power_kw
        lpu_kw += done.lpu_power_kw
        steps += rate
        held, in_sram = max(held, once.resident_gb_steps), max(in_sram, once.sram_gb_steps)
    return _Totals(replicas[0], times, exposed, running_kw, lpu_kw, steps, held, in_sram)


def point_use(instance: Instance, point: ServingPoint) -> PointUse:
    """Return what a point uses of every limit of an instance, and its step and power by part."""
    rack, total, count = rack_data(instance), _totals(instance, point), float(point.replicas)
    replica, steps = total.replica, total.steps
    lpus = count * number(replica.lpu.units) if replica.offloaded else 0.0
    drawn = count * (total.running_kw + total.lpu_kw)
    power = rack_power(rack, drawn, count * number(replica.accelerators), lpus)
    limits = _replica_limits(total)
    if rack.power_cap_kw is not None:
        cap = number(rack.power_cap_kw)
        limits.append(_share("power_cap", power / cap, cap, "kW"))
    overhead = number(rack.power_overhead)
    parts = {
        "static": overhead * number(rack.static_kw),
        "accelerators": overhead * count * total.running_kw,
        "lpus": overhead * count * total.lpu_kw,
    }
    parts["parked"] = power - sum(parts.values())
    return PointUse(
        limits=(*limits, *_budgets(instance, point, steps)),
        step_ms=total.busiest / steps if steps > 0 else 0.0,
        step_needs=_step_needs(replica, total.times, total.exposed),
        step_breakdown_ms={
            name: spent / steps if steps > 0 else 0.0 for name, spent in total.times.items()
        },
        power_kw=power,
        power_breakdown_kw=parts,
    )


def _replica_limits(total: _Totals) -> list[LimitUse]:
    """Return what a point uses of the limits of a replica."""
    replica, times = total.replica, total.times
    size, hbm_gb = number(replica.accelerators), number(replica.hbm_gb)
    hbm, link = number(replica.hbm_tb_per_s), number(replica.link_tb_per_s)
    per_chip = "TB/s per accelerator"
    held = total.held_gb / (size * hbm_gb)
    limits = [
        _share("hbm_capacity", held, hbm_gb, "usable GB per accelerator"),
        _share("hbm_bandwidth", times["weights"] + times["kv"], hbm, per_chip),
        _share("compute", times["gemm"] + times["attention"], 100.0, "% of the time"),
        _share("interconnect", times["link"], link, per_chip),
    ]
    if replica.offloaded:
        lpu = replica.lpu
        sram = number(lpu.sram_gb)
        in_sram = total.sram_gb / (number(lpu.units) * sram)
        limits += [
            _share("sram_capacity", in_sram, sram, "GB per LPU"),
            _share("sram_bandwidth", times["sram"], number(lpu.sram_tb_per_s), "TB/s per LPU"),
            _share("lpu_compute", times["lpu_compute"], 100.0, "% of the time"),
            _share("lpu_link", times["lpu_link"], number(lpu.link_tb_per_s), "TB/s per LPU"),
        ]
    tdp = number(replica.power.limit_kw)
    drawing = total.running_kw / (size * tdp)
    limits.append(_share("accelerator_power", drawing, tdp * 1e3, "W per accelerator"))
    if total.steps > 0:
        limits.append(_share("step_time", total.exposed, 1.0 / total.steps, "ms per step"))
    return limits


STEP_RESOURCES = {
    "hbm_bandwidth": ("weights", "kv"),
    "compute": ("gemm", "attention"),
    "interconnect": ("link",),
    "latency": ("latency",),
    "sram_bandwidth": ("sram",),
    "lpu_compute": ("lpu_compute",),
    "lpu_link": ("lpu_link",),
}
"""Parts of a step by the resource that makes them shorter."""


def _step_needs(replica: ReplicaData, times: dict[str, float], exposed: float) -> dict[str, float]:
    """Return by resource how many times as much of it brings the exposed time down to 1."""
    found = {}
    for resource, parts in STEP_RESOURCES.items():
        waited = sum(
            times[part]
            * (1.0 if part == "latency" else 1.0 - number(getattr(replica.overlap, part)))
            for part in parts
        )
        rest = exposed - waited
        if exposed > 1.0 + WITHIN and rest < 1.0:
            found[resource] = waited / (1.0 - rest)
    return found


def _share(name: str, share: float, limit: float, unit: str) -> LimitUse:
    return LimitUse(name, share * limit, limit, unit, share)


def _budgets(instance: Instance, point: ServingPoint, steps: float) -> list[LimitUse]:
    """Return what a point uses of the declared budgets."""
    exact = Segment(point.batch, point.batch)
    uses = configuration_data(instance, point.configuration, exact).budgets
    found = []
    for budget, use in zip(instance.limits.budgets, uses, strict=True):
        per_step = number(use.per_step) + number(use.per_sequence_step) * point.batch
        used = budget.fixed + point.replicas * (number(use.per_replica) + 1e3 * steps * per_step)
        found.append(
            LimitUse(budget.name, used, budget.capacity, budget.unit, used / budget.capacity)
        )
    return found
