"""Prices: what one more unit of a limit or of a hardware input is worth.

A *row price* is the multiplier of one constraint: it is zero where the row has slack. An *input
price* is the derivative of throughput with respect to a number of the instance, by the envelope
theorem: objective and every row in which the number appears, at the optimal point and
multipliers. Under serial step times HBM bandwidth, say, has a price although its own row has
slack, because every byte read takes time from the step.

Both are local and hold the integers (configuration, replicas) at the optimum. Every price is a
derivative with respect to the number shown as limit, so that of a floor is negative.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from hbmopt.demand import Point, configuration_data, rack_data
from hbmopt.document import KeyPath
from hbmopt.figure import Figure
from hbmopt.instance import Instance
from hbmopt.models.quantities import BatchPoint
from hbmopt.search import Operation
from hbmopt.template import coefficients

STEP = 1e-5
"""Relative step of the central difference of the Lagrangian, which is smooth."""

BINDING = 1e-6
"""Relative slack below which a row counts as binding."""


@dataclass(frozen=True)
class Input:
    """A hardware input: the figures that make it up and how its price is quoted."""

    name: str
    paths: tuple[KeyPath, ...]
    unit: str
    per: str
    quoted: float


@dataclass(frozen=True)
class InputPrice:
    """Price and elasticity of one hardware input."""

    name: str
    value: float
    unit: str
    unit_price: float
    unit_price_unit: str
    elasticity: float
    status: str


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
            "TFLOP/s per accelerator",
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
        path: KeyPath = ("limits", "power") if instance.limits.power else ("rack", "power")
        found.append(Input("power_cap", (path,), "kW", "kW", 1.0))
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
                "us per layer",
                1e3,
            ),
        ]
    return [one for one in found if _amount(instance, one) > 0]


def _compute_formats(instance: Instance) -> list[str]:
    """Return the formats of the accelerator, the one that quotes the price first."""
    return sorted(instance.rack.accelerator.peak_flops)


def _amount(instance: Instance, one: Input) -> float:
    return sum(instance.figure(path).amount for path in one.paths[:1])


def _status(figures: Iterable[Figure]) -> str:
    return next((figure.status for figure in figures), "given")


def elasticity(instance: Instance, optimum: Operation, paths: tuple[KeyPath, ...]) -> float:
    """Return % of throughput per % of the figures at `paths`, scaled together."""
    point, duals = optimum.values, optimum.duals
    batches = _batches(optimum)
    ends = []
    for factor in (1.0 + STEP, 1.0 - STEP):
        changed = instance
        for path in paths:
            changed = changed.scaled(path, factor)
        data = configuration_data(changed, optimum.configuration, batches)
        ends.append(coefficients(rack_data(changed), data).lagrangian(point, duals))
    return (ends[0] - ends[1]) / (2.0 * STEP) / optimum.throughput


def _batches(optimum: Operation) -> Point:
    span = optimum.data.batches
    if not isinstance(span, BatchPoint):
        raise TypeError("prices are read at a polished optimum")
    numbers = [float(value) for value in (span.batch, span.lowest, span.highest)]  # type: ignore[arg-type]
    share = tuple(float(value) for value in span.offloaded_share)  # type: ignore[arg-type]
    return Point(numbers[0], share, numbers[1], numbers[2])


def input_prices(instance: Instance, optimum: Operation) -> list[InputPrice]:
    """Return price and elasticity of every hardware input, the most limiting first."""
    found = []
    for one in hardware_inputs(instance, lpus=bool(optimum.data.clocks[0].offloaded)):
        figures = [instance.figure(path) for path in one.paths]
        relative = elasticity(instance, optimum, one.paths)
        # Latency grows with the logarithm of the replica: quote what a layer takes in all.
        value = figures[0].amount * one.quoted
        if one.name == "latency":
            per_layer = float(optimum.data.clocks[0].fixed_latency_ms)  # type: ignore[arg-type]
            value = per_layer / instance.llm.layers * one.quoted
        found.append(
            InputPrice(
                name=one.name,
                value=value,
                unit=one.unit,
                unit_price=relative * optimum.throughput * 1e3 / value,
                unit_price_unit=f"tok/s per {one.per}",
                elasticity=relative,
                status=_status(figures),
            )
        )
    return sorted(found, key=lambda price: -abs(price.elasticity))
