"""Demands of many configurations at once: those that differ in layout and number of LPUs alone.

What a model, its formats and a chip demand is the same for all of them, and counting copies is
arithmetic on layouts. So one demand is computed whose numbers are arrays over the configurations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import cast

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand.coefficients import Array, Demand
from hbmopt.demand.configuration import Configuration, Layout
from hbmopt.demand.domains import spans_domains
from hbmopt.demand.sequence import smallest_batch
from hbmopt.instance import Instance


@dataclass(frozen=True)
class Alike:
    """Configurations of one instance, and their demand: of each number one, or one for each.

    `places` say where each stands in the list that they were taken from.
    """

    demand: Demand
    configurations: tuple[Configuration, ...]
    places: NDArray[np.int64]

    def each(self, value: float | Array) -> Array:
        """Return a number of the demand for each configuration."""
        return np.broadcast_to(value, len(self.configurations))

    @property
    def fits(self) -> NDArray[np.bool_]:
        """Whether each holds a sequence per rank in its HBM."""
        demand = self.demand
        return self.each(demand.largest_batch) >= smallest_batch(demand.configuration)


def alike(
    instance: Instance,
    configurations: Sequence[Configuration],
    places: Sequence[int] | None = None,
    demand_of: Callable[[Instance, Configuration], Demand] = Demand,
) -> list[Alike]:
    """Return configurations with their demands, those together that have one set of formulas."""
    together: dict[object, list[tuple[int, Configuration]]] = {}
    cautious = float(instance.calibration.worst) > 0.0
    listed = places if places is not None else range(len(configurations))
    for place, one in zip(listed, configurations, strict=True):
        layout = one.layout
        key = (
            one.weight_format,
            one.kv_format,
            one.kv_compression,
            one.draft_tokens,
            one.clocks,
            one.lpu_units > 0,
            # Not all of them have traffic between domains.
            spans_domains(instance, layout),
            # Planned for the worst cases, what predictions are multiplied with hangs on it.
            cautious and layout.attention_data_parallel > 1,
        )
        together.setdefault(key, []).append((place, one))
    return [_alike(instance, found, demand_of) for found in together.values()]


def _alike(
    instance: Instance,
    found: Sequence[tuple[int, Configuration]],
    demand_of: Callable[[Instance, Configuration], Demand],
) -> Alike:
    places, configurations = zip(*found, strict=True)
    first = configurations[0]
    layouts = [one.layout for one in configurations]
    layout = Layout(
        *(_of_all([getattr(one, part.name) for one in layouts]) for part in fields(Layout))
    )
    together = Configuration(
        layout,
        first.weight_format,
        first.kv_format,
        _of_all([one.lpu_units for one in configurations]),
        first.clocks,
        first.draft_tokens,
        first.kv_compression,
    )
    return Alike(demand_of(instance, together), configurations, np.array(places))


def _of_all(counts: Sequence[int]) -> int:
    """Return a count that all have in common, or an array in its place."""
    return counts[0] if len(set(counts)) == 1 else cast("int", np.array(counts))
