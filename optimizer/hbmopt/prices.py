"""Prices: what one more unit of a limit or of a hardware input is worth.

A *row price* is the multiplier of one constraint: it is zero where the row has slack. An *input
price* is the derivative of throughput with respect to a number of the instance, by the envelope
theorem: objective and every row in which the number appears, at the optimal point and
multipliers. Under serial step times HBM bandwidth, say, has a price although its own row has
slack, because every byte read takes time from the step.

Both are local and hold the integers (configuration, replicas) at the optimum. Every price is a
derivative with respect to the number shown as limit, so that of a floor is negative.
"""

from dataclasses import dataclass, replace

import numpy as np

from hbmopt.demand import configuration_data, latency_layers, rack_data
from hbmopt.document import KeyPath
from hbmopt.instance import Instance
from hbmopt.models.quantities import number
from hbmopt.optimum import PricedRack
from hbmopt.solution import InputResult
from hbmopt.template import coefficients

STEP = 1e-5
"""Relative step of the central difference of the Lagrangian, which is smooth."""

SHARED = frozenset({"accelerators", "lpu_units", "power_cap", "budget"})
"""Rows that the configurations of a rack share."""


@dataclass(frozen=True)
class Input:
    """A hardware input: the figures that make it up and how its price is quoted."""

    name: str
    paths: tuple[KeyPath, ...]
    unit: str
    per: str
    quoted: float


def hardware_inputs(instance: Instance, *, lpus: bool) -> list[Input]:
    """Return the hardware inputs of an instance; those of the LPUs where they take part."""
    accelerator: KeyPath = ("rack", "accelerator")
    latency: KeyPath = ("calibration", "latency")
    found = [
        Input("hbm_capacity", ((*accelerator, "hbm_capacity"),), "GB", "GB per accelerator", 1.0),
        Input(
            "hbm_bandwidth", ((*accelerator, "hbm_bandwidth"),), "TB/s", "TB/s per accelerator", 1.0
        ),
        Input(
            "compute",
            tuple((*accelerator, "peak_flops", name) for name in _compute_formats(instance)),
            "TFLOP/s",
            "TFLOP/s (bf16) per accelerator",
            1.0,
        ),
        Input(
            "interconnect",
            ((*accelerator, "scale_up_bandwidth"),),
            "TB/s",
            "TB/s per accelerator",
            1.0,
        ),
        Input(
            "latency",
            ((*latency, "per_layer"), (*latency, "per_layer_doubling")),
            "us",
            "us per layer",
            1e3,
        ),
    ]
    if instance.power_cap_kw is not None:
        provisioned: tuple[KeyPath, ...] = (("rack", "power"),)
        if instance.rack.offload is not None and instance.rack.offload.power is not None:
            provisioned += (("rack", "offload", "power"),)
        paths = (("limits", "power"),) if instance.limits.power is not None else provisioned
        found.append(Input("power_cap", paths, "kW", "kW", 1.0))
    if lpus:
        device: KeyPath = ("rack", "offload", "device")
        formats = instance.rack.offload.device.peak_flops if instance.rack.offload else {}
        found += [
            Input("sram_capacity", ((*device, "sram_capacity"),), "GB", "GB per LPU", 1.0),
            Input("sram_bandwidth", ((*device, "sram_bandwidth"),), "TB/s", "TB/s per LPU", 1.0),
            Input(
                "lpu_compute",
                tuple((*device, "peak_flops", name) for name in formats),
                "TFLOP/s",
                "TFLOP/s per LPU",
                1.0,
            ),
            Input("lpu_link", ((*device, "link_bandwidth"),), "TB/s", "TB/s per LPU", 1.0),
            Input(
                "lpu_latency",
                ((*device, "layer_latency"), (*device, "hop_latency")),
                "us",
                "us per visit",
                1e3,
            ),
        ]
    return [one for one in found if _amount(instance, one) > 0]


def _compute_formats(instance: Instance) -> list[str]:
    """Return the formats of the accelerator, the one that quotes the price first."""
    return sorted(instance.rack.accelerator.peak_flops)


def _amount(instance: Instance, one: Input) -> float:
    return sum(instance.figure(path).amount for path in one.paths[:1])


def worth(optimum: PricedRack, paths: tuple[KeyPath, ...]) -> float:
    """Return d(objective) / d(ln x) for the figures at `paths`, scaled together by x."""
    ends = []
    for factor in (1.0 + STEP, 1.0 - STEP):
        changed = optimum.instance
        for path in paths:
            changed = changed.scaled(path, factor)
        ends.append(lagrangian(optimum, changed))
    return (ends[0] - ends[1]) / (2.0 * STEP)


def lagrangian(optimum: PricedRack, instance: Instance) -> float:
    """Return the Lagrangian of the rack's rows at the optimum, with the numbers of `instance`.

    Objective terms plus multipliers times (right-hand side - activity). What the rack has once,
    such as static power, is counted with the first configuration alone.
    """
    rack, value = replace(rack_data(instance), racks=optimum.rack.racks), 0.0
    for position, column in enumerate(optimum.columns):
        data = configuration_data(instance, column.configuration, column.batches)
        found = coefficients(rack, data)
        template = found.template
        point = np.array([column.values[label] for label in template.columns])
        products = found.values * point[template.indices]
        activity = np.add.reduceat(products, template.starts[:-1])
        slack = found.upper - activity
        if position > 0:
            shared = np.array([label.family in SHARED for label in template.rows])
            slack = np.where(shared, -activity, slack)
        duals = np.array(
            [
                optimum.duals[label] if label.family in SHARED else column.duals[label]
                for label in template.rows
            ]
        )
        drawn = found.power @ point + (found.fixed_power if position == 0 else 0.0)
        value += (
            optimum.throughput_weight * float(found.cost @ point)
            + optimum.power_weight * float(drawn)
            + float(duals @ slack)
        )
    return value


def input_prices(optimum: PricedRack) -> tuple[InputResult, ...]:
    """Return price and elasticity of every hardware input, the most limiting first."""
    instance, found = optimum.instance, []
    lpus = any(column.data.clocks[0].offloaded for column in optimum.columns)
    for one in hardware_inputs(instance, lpus=lpus):
        figures = [instance.figure(path) for path in one.paths]
        change = worth(optimum, one.paths)
        value = figures[0].amount * one.quoted
        if one.name == "lpu_latency":
            # A visit takes the devices' own latency and two hops, which scale together here.
            value = (figures[0].amount + 2.0 * figures[1].amount) * one.quoted
            per_unit = change / value
        if one.name == "power_cap":
            value = sum(figure.amount for figure in figures)
            per_unit = change / value
        per_unit = change / value
        if one.name == "latency":
            # It grows with the logarithm of the replica: quote what a layer takes in all.
            per_layer = number(optimum.columns[0].data.clocks[0].fixed_latency_ms)
            drafted = optimum.columns[0].configuration.draft_tokens
            value = per_layer / latency_layers(instance.llm, drafted) * one.quoted
            # One more microsecond of every layer's kernels, of which LPUs may take a part.
            per_unit = worth(optimum, one.paths[:1]) / (figures[0].amount * one.quoted)
        found.append(
            InputResult(
                name=one.name,
                value=value,
                unit=one.unit,
                status=figures[0].status,
                unit_price=per_unit + 0.0,
                unit_price_unit=f"{optimum.objective_unit} per {one.per}",
                elasticity=(change / optimum.objective if optimum.objective else 0.0) + 0.0,
            )
        )
    return tuple(sorted(found, key=lambda price: -abs(price.elasticity)))
