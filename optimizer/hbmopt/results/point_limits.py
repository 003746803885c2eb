"""What a serving point uses of every limit, whether it keeps them or not.

It need not be possible: what it uses of a limit may exceed it, and by which factor is what a claim
is judged by.
"""

from dataclasses import dataclass

from hbmopt.demand import Demand, rack_data
from hbmopt.instance import Instance
from hbmopt.models.quantities import ReplicaData, number
from hbmopt.points import WITHIN, ServingPoint
from hbmopt.program import ClockOperation, RackPlan, RunningColumn, exposed_time, running_column
from hbmopt.results.limits import LimitUse, limit_uses, rack_uses


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
        return max(self.limits, key=lambda one: one.share)


def met(use: LimitUse) -> bool:
    """Whether a limit is kept."""
    return use.share <= 1.0 + WITHIN


def plan_of(instance: Instance, point: ServingPoint) -> RackPlan:
    """Return a point as what a rack runs."""
    demand = Demand(instance, point.configuration)
    column = running_column(demand, point.replicas, point.batch, point.parts)
    return RackPlan(rack_data(instance), (column,))


def point_use(instance: Instance, point: ServingPoint) -> PointUse:
    """Return what a point uses of every limit of an instance, and its step and power by part."""
    plan = plan_of(instance, point)
    (column,) = plan.columns
    counted = ("accelerators", "lpu_units")
    limits = [one for one in limit_uses(column, plan.rack) if one.name != "min_speed"]
    limits += [one for one in rack_uses(plan, instance) if one.name not in counted]
    steps, times, exposed = _times(column)
    overhead = number(plan.rack.power_overhead)
    parts = {
        "static": overhead * number(plan.rack.static_kw),
        "accelerators": overhead * sum(one.done.power_kw for one in column.clocks),
        "lpus": overhead * sum(one.done.lpu_power_kw for one in column.clocks),
    }
    power = plan.power_kw
    parts["parked"] = power - sum(parts.values())
    return PointUse(
        limits=tuple(limits),
        step_ms=_busiest(times, exposed) / steps if steps > 0 else 0.0,
        step_needs=_step_needs(column.data.clocks[0], times, exposed),
        step_breakdown_ms={
            name: spent / steps if steps > 0 else 0.0 for name, spent in times.items()
        },
        power_kw=power,
        power_breakdown_kw=parts,
    )


def _times(column: RunningColumn) -> tuple[float, dict[str, float], float]:
    """Return steps per ms, times by part and exposed time of one replica, over its clocks."""
    clocks: tuple[ClockOperation, ...] = column.clocks
    replicas, times = column.value("replicas"), dict[str, float]()
    for clock in clocks:
        for resource, spent in clock.done.times.items():
            times[resource] = times.get(resource, 0.0) + spent / replicas
    exposed = sum(exposed_time(clock.replica, clock.done.times) for clock in clocks)
    return column.total("steps") / replicas, times, exposed / replicas


def _busiest(times: dict[str, float], exposed: float) -> float:
    """Return the largest share of the time that a row of time takes."""
    return max(
        exposed,
        times["weights"] + times["kv"],
        times["gemm"] + times["attention"],
        *(times[name] for name in ("link", "sram", "lpu_compute", "lpu_link")),
    )


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
