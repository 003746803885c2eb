"""What a serving point uses of every limit, whether it keeps them or not.

It need not be possible: what it uses of a limit may exceed it, and by which factor is what a claim
is judged by.
"""

from dataclasses import dataclass, replace

from hbmopt.demand import Demand, rack_data
from hbmopt.instance import Instance
from hbmopt.models.quantities import number
from hbmopt.points import WITHIN, ServingPoint
from hbmopt.program import (
    RackPlan,
    RunningColumn,
    exposed_time,
    running_column,
)
from hbmopt.results.description import times_taken
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
    steps = column.total("steps")
    taken, times = times_taken(column.clocks)
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
        step_ms=times / steps if steps > 0 else 0.0,
        step_needs=_step_needs(column),
        step_breakdown_ms={
            name: spent / steps if steps > 0 else 0.0 for name, spent in taken.items()
        },
        power_kw=power,
        power_breakdown_kw=parts,
    )


STEP_RESOURCES = {
    "hbm_bandwidth": ("weights", "experts", "kv"),
    "compute": ("gemm", "experts_gemm", "attention", "prefill"),
    "interconnect": ("link",),
    "scale_out": ("scale_out",),
    "latency": ("latency",),
    "sram_bandwidth": ("sram",),
    "lpu_compute": ("lpu_compute",),
    "lpu_link": ("lpu_link",),
}
"""Parts of a step by the resource that makes them shorter."""


def _step_needs(column: RunningColumn) -> dict[str, float]:
    """Return by resource how many times as much of it brings the exposed time down to 1."""
    found = {}
    if _exposed(column, "", 1.0) <= 1.0 + WITHIN:
        return {}
    for resource in STEP_RESOURCES:
        least, most = 0.0, 1.0
        if _exposed(column, resource, least) >= 1.0:
            continue
        while most - least > CLOSE * most:
            middle = (least + most) / 2.0
            if _exposed(column, resource, middle) > 1.0:
                most = middle
            else:
                least = middle
        found[resource] = 1.0 / most
    return found


CLOSE = 1e-12
"""Relative width to which it is found how much more of a resource is needed."""


def _exposed(column: RunningColumn, resource: str, share: float) -> float:
    """Return the exposed time of a replica where a resource's parts take a share of their time."""
    parts, total = STEP_RESOURCES.get(resource, ()), 0.0
    reading, computing = (share if one in parts else 1.0 for one in ("weights", "gemm"))
    for clock in column.clocks:
        done = clock.done
        times = {one: spent * share if one in parts else spent for one, spent in done.times.items()}
        kernels = {
            name: (read * reading, busy * computing) for name, (read, busy) in done.kernels.items()
        }
        total += exposed_time(clock.replica, replace(done, times=times, kernels=kernels))
    return total / column.value("replicas")
