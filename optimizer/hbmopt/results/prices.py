"""Prices: what one more unit of a limit or of a hardware input is worth.

A *row price* is the multiplier of one constraint: it is zero where the row has slack. An *input
price* is the derivative of throughput with respect to a number of the instance, by the envelope
theorem: objective and every row in which the number appears, at the optimal point and
multipliers. Under serial step times HBM bandwidth, say, has a price although its own row has
slack, because every byte read takes time from the step.

Both are local and hold the integers (configuration, replicas) at the optimum. Every price is a
derivative with respect to the number shown as limit, so that of a floor is negative.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hbmopt.demand import (
    Configuration,
    Demand,
    Point,
    aim_of,
    alike,
    collect,
    latency_layers,
    offloadable_components,
    rack_data,
)
from hbmopt.documents import Figure, KeyPath
from hbmopt.instance import LATENCIES, Instance
from hbmopt.models.quantities import number
from hbmopt.program import WORTH_ARRAYS, Array, Numbers, PricedRack, Template, template_of
from hbmopt.results.solution import InputResult

Paths = tuple[KeyPath, ...]
"""Figures that are scaled together."""

STEP = 1e-5
"""Relative step of the central difference of the Lagrangian, which is smooth."""

ENDS = (1.0 + STEP, 1.0 - STEP)
"""By what figures are multiplied for that difference."""

SHARED = frozenset({"accelerators", "lpu_units", "power_cap", "min_throughput", "budget"})
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
        *_network(instance),
        Input(
            "latency",
            tuple(("calibration", "latency", name) for name in LATENCIES),
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


def _network(instance: Instance) -> list[Input]:
    """Return the network between scale-up domains, where there are several and it is known."""
    if not instance.rack.networked:
        return []
    path: KeyPath = ("rack", "scale_out_bandwidth")
    return [Input("scale_out", (path,), "TB/s", "TB/s per accelerator", 1.0)]


def _compute_formats(instance: Instance) -> list[str]:
    """Return the formats of the accelerator, the one that quotes the price first."""
    return sorted(instance.rack.accelerator.peak_flops)


def _amount(instance: Instance, one: Input) -> float:
    return sum(instance.figure(path).amount for path in one.paths[:1])


def worth(optimum: PricedRack, paths: tuple[KeyPath, ...]) -> float:
    """Return d(objective) / d(ln x) for the figures at `paths`, scaled together by x."""
    ends = [scaled(optimum.instance, paths, end) for end in ENDS]
    above, below = lagrangians(optimum, ends)
    return float(above - below) / (2.0 * STEP)


def lagrangians(optimum: PricedRack, instances: Sequence[Instance]) -> Array:
    """Return the Lagrangian of the rack's rows at the optimum, with the numbers of instances."""
    racks = [collect(replace(rack_data(one), racks=optimum.rack.racks), []) for one in instances]
    numbers = []
    for column in optimum.columns:
        each = [Demand(one, column.configuration).numbers(column.batches) for one in instances]
        listed = [[*rack, *data] for rack, data in zip(racks, each, strict=True)]
        numbers.append(np.array(listed).T)
    return _lagrangian(optimum, numbers) + costs(optimum, instances)


def costs(optimum: PricedRack, instances: Sequence[Instance]) -> Array:
    """Return what instances cost at the power of the optimum, as it counts in its objective."""
    if optimum.cost_weight == 0.0:
        return np.zeros(len(instances))
    power = optimum.power_kw
    each = [float(aim_of(one).cost(power)) for one in instances]
    return optimum.cost_weight * np.array(each)


def scaled(instance: Instance, paths: Paths, factor: float) -> Instance:
    """Return the instance with the figures at `paths` multiplied by a factor."""
    for path in paths:
        instance = instance.scaled(path, factor)
    return instance


@dataclass(frozen=True)
class Answers:
    """By how much each number of a configuration's program grows where an input does.

    A number of a program is a product of figures, so the factor by which it answers to one of
    them is the same at every batch and under every limit: it is found once for all of them.
    """

    factors: Array
    """By number, and by end and group of figures."""


def answers_of(
    instance: Instance, configurations: Sequence[Configuration], moved: Sequence[Paths]
) -> list[Answers]:
    """Return how the programs of configurations answer to groups of figures that are `moved`.

    Those that differ in layout alone are filled at one go.
    """
    if instance.limits.power is not None:
        limits = instance.limits.model_copy(update={"power": Figure(1.0, "power")})
        instance = instance.model_copy(update={"limits": limits})
    changed = [scaled(instance, paths, end) for end in ENDS for paths in moved]
    found: dict[int, Answers] = {}
    for group in alike(instance, configurations):
        configuration, size = group.demand.configuration, len(group.places)
        offloaded = len(offloadable_components(instance, configuration))
        point = Point(1.0, (0.0,) * offloaded, (1.0,) * len(configuration.clocks), 1.0, 2.0)

        def numbers(
            one: Instance,
            configuration: Configuration = configuration,
            point: Point = point,
            size: int = size,
        ) -> Array:
            data = Demand(one, configuration).over(point)
            listed = collect(data, collect(rack_data(one), []))
            filled = np.empty((len(listed), size))
            for at, value in enumerate(listed):
                filled[at] = value
            return filled

        base = numbers(instance)
        grown = np.stack([numbers(one) for one in changed], axis=1)
        whole = base[:, None, :]
        factors = np.divide(grown, whole, np.ones_like(grown), where=whole != 0)
        for at, place in enumerate(group.places.tolist()):
            found[place] = Answers(factors[:, :, at])
    return [found[place] for place in range(len(configurations))]


def _lagrangian(optimum: PricedRack, numbers: Sequence[Array]) -> Array:
    """Return the Lagrangian of the rack's rows at the optimum, with other numbers.

    Objective terms plus multipliers times (right-hand side - activity). What the rack has once,
    such as static power, is counted with the first configuration alone.

    Parameters
    ----------
    numbers
        For each configuration, the numbers of its program by number and variant.
    """
    value = np.zeros(numbers[0].shape[1])
    for position, column in enumerate(optimum.columns):
        template, at = template_of(optimum.rack, column.data), numbers[position]
        point = np.array([column.values[label] for label in template.columns])
        duals = np.array(
            [
                optimum.duals[label] if label.family in SHARED else column.duals[label]
                for label in template.rows
            ]
        )
        weights = optimum.throughput_weight, optimum.power_weight, optimum.pace_weight
        first = position == 0
        if at.shape[1] < WORTH_ARRAYS:
            value += [
                lagrangian_of(template, one, point, duals, weights, first=first)
                for one in at.T.tolist()
            ]
        else:
            value += lagrangian_of(template, list(at), point, duals, weights, first=first)
    return value


def lagrangian_of(
    template: Template,
    numbers: Numbers,
    point: Array,
    duals: Array,
    weights: tuple[float, float, float],
    *,
    first: bool = True,
) -> Array:
    """Return one configuration's part of a Lagrangian.

    Parameters
    ----------
    numbers
        Of the program, each one or an array of variants.
    point, duals
        Values of the columns and multipliers of the rows, one or an array for each.
    weights
        Worth of a token per ms, of a kW and of pace outside of the rows.
    first
        Whether what the rack has once is counted here.
    """
    # Plain floats where there is one point: what follows is one number at a time.
    columns, multipliers = (one.tolist() if one.ndim == 1 else one for one in (point, duals))
    nothing = 0.0 * point
    value = weights[0] * template.throughput.value(numbers, columns)
    if weights[2] != 0.0:
        value = value + weights[2] * template.pace.value(numbers, columns)
    for row, (label, slack) in enumerate(zip(template.rows, template.slacks, strict=True)):
        # Rows of a clock at which nothing runs stay 0 whatever their numbers.
        parked = label.clock is not None and not point[template.row_columns(row)].any()
        if duals[row].any() and not parked:
            counted = label.family not in SHARED or first
            once = 0.0 if counted else slack.value(numbers, nothing)
            value = value + multipliers[row] * (slack.value(numbers, columns) - once)
    if weights[1] != 0.0:
        once = 0.0 if first else template.power.value(numbers, nothing)
        value = value + weights[1] * (template.power.value(numbers, columns) - once)
    return value


class InputPrices:
    """Prices the hardware inputs of optima of one instance, whatever their limits."""

    def __init__(self) -> None:
        self._answers: dict[tuple[Configuration, tuple[Paths, ...]], Answers] = {}

    def answers(
        self, instance: Instance, configuration: Configuration, moved: tuple[Paths, ...]
    ) -> Answers:
        """Return how the numbers of a configuration answer to groups of figures.

        They answer alike at every clock, so the full one stands for those that run.
        """
        self.prepare(instance, [configuration], moved)
        return self._answers[_at_full_clock(instance, configuration), moved]

    def prepare(
        self, instance: Instance, configurations: Sequence[Configuration], moved: tuple[Paths, ...]
    ) -> None:
        """Find at one go how the numbers of several configurations answer."""
        wanted = dict.fromkeys(_at_full_clock(instance, one) for one in configurations)
        missing = [one for one in wanted if (one, moved) not in self._answers]
        if missing:
            found = answers_of(instance, missing, moved)
            self._answers |= {
                (one, moved): known for one, known in zip(missing, found, strict=True)
            }

    def changes(self, optimum: PricedRack, moved: tuple[Paths, ...]) -> Array:
        """Return d(objective) / d(ln x) for each group of figures that are scaled by x."""
        numbers = []
        for column in optimum.columns:
            answers = self.answers(optimum.instance, column.configuration, moved)
            at = np.array(collect(column.data, collect(optimum.rack, [])))
            numbers.append(at[:, None] * answers.factors)
        return slopes(_lagrangian(optimum, numbers) + self._costs(optimum, moved))

    def _costs(self, optimum: PricedRack, moved: tuple[Paths, ...]) -> Array:
        if optimum.cost_weight == 0.0:
            return np.zeros(2 * len(moved))
        ends = [scaled(optimum.instance, paths, end) for end in ENDS for paths in moved]
        return costs(optimum, ends)


def _at_full_clock(instance: Instance, configuration: Configuration) -> Configuration:
    full = (max(instance.choices.clocks),) * len(configuration.clocks)
    return replace(configuration, clocks=full)


def slopes(ends: Array) -> Array:
    """Return the central differences of values at both ends of several groups of figures."""
    above, below = ends.reshape(2, -1, *ends.shape[1:])
    return np.asarray((above - below) / (2.0 * STEP))


@dataclass(frozen=True)
class Quote:
    """How the price of an input is quoted: its value, and what a change of its logarithm is worth.

    `change` is the position of the group of figures whose slope is divided by `divisor`.
    """

    name: str
    value: float
    unit: str
    status: str
    per: str
    change: int
    divisor: float


def moved_figures(inputs: Sequence[Input]) -> tuple[Paths, ...]:
    """Return the groups of figures that are priced: those of each input, and kernels alone."""
    kernels = (
        tuple(path for path in one.paths if path[-1] == "per_layer")
        for one in inputs
        if one.name == "latency"
    )
    return (*(one.paths for one in inputs), *kernels)


def quoted(
    instance: Instance, inputs: Sequence[Input], configuration: Configuration, latency_ms: float
) -> list[Quote]:
    """Return how the prices of inputs are quoted, for a configuration of such a latency."""
    quotes = []
    for position, one in enumerate(inputs):
        figures = [instance.figure(path) for path in one.paths]
        value, change = figures[0].amount * one.quoted, position
        if one.name == "lpu_latency":
            # A visit takes the devices' own latency and two hops, which scale together here.
            value = (figures[0].amount + 2.0 * figures[1].amount) * one.quoted
        if one.name == "power_cap":
            # The cap is that of all nodes, and what they are provisioned for that of one.
            whole = 1.0 if instance.limits.power is not None else float(instance.rack.nodes)
            value = whole * sum(figure.amount for figure in figures)
        divisor = value
        if one.name == "latency":
            # It grows with the logarithm of the replica: quote what a layer takes in all, and the
            # price of one more microsecond of every layer's kernels, of which LPUs may take a part.
            layers = latency_layers(instance.llm, configuration.draft_tokens)
            value = latency_ms / layers * one.quoted
            kernels = instance.calibration.latency.per_layer
            change, divisor = len(inputs), float(kernels) * one.quoted
        status = figures[0].status
        quotes.append(Quote(one.name, value, one.unit, status, one.per, change, divisor))
    return quotes


def input_prices(optimum: PricedRack, known: InputPrices | None = None) -> tuple[InputResult, ...]:
    """Return price and elasticity of every hardware input, the most limiting first.

    `known` is what optima that differ in limits alone have in common.
    """
    lpus = any(column.data.clocks[0].offloaded for column in optimum.columns)
    inputs = hardware_inputs(optimum.instance, lpus=lpus)
    changes = (known or InputPrices()).changes(optimum, moved_figures(inputs)).tolist()
    column, found = optimum.columns[0], []
    latency = number(column.data.clocks[0].fixed_latency_ms)
    quotes = quoted(optimum.instance, inputs, column.configuration, latency)
    for one, change in zip(quotes, changes, strict=False):
        elasticity = change / optimum.objective if optimum.objective else 0.0
        found.append(
            InputResult(
                name=one.name,
                value=one.value,
                unit=one.unit,
                status=one.status,
                unit_price=changes[one.change] / one.divisor + 0.0,
                unit_price_unit=f"{optimum.objective_unit} per {one.per}",
                elasticity=elasticity + 0.0,
            )
        )
    return tuple(sorted(found, key=lambda price: -abs(price.elasticity)))
