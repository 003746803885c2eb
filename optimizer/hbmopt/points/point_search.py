"""The best operating points of many instances that differ in power cap and speed floor.

A search over programs takes a tenth of a second on a large rack. Here the rates of all batches are
tabled once, and configurations are looked at in the order of a bound, for all limits at once, until
no bound exceeds the best point found. A program is then solved at that point alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hbmopt.demand import Configuration, Demand, enumerate_configurations
from hbmopt.instance import Instance
from hbmopt.points.batch_table import (
    SAME,
    BatchTable,
    BestBatch,
    ManyLimits,
    Running,
    Whole,
    holds_a_batch,
)
from hbmopt.points.configuration_search import no_memory
from hbmopt.points.step_formula import Array

MOST_BATCHES = 1_000_000
"""Batches of a replica up to which they are tabled; more are left to the search by programs."""


@dataclass(frozen=True)
class BestPoints:
    """The best operating points of the instances at `places`, whose best configuration is one.

    `throughput` in tok/s; `whole` is how each of the `replicas` runs, and `free` how it would if
    batches did not have to be whole.
    """

    table: BatchTable
    places: Whole
    limits: ManyLimits
    replicas: Whole
    throughput: Array
    whole: Running
    free: Running


def has_formula(instance: Instance) -> bool:
    """Whether the operating points of an instance have a formula: no LPUs, whole sequences."""
    choices = instance.choices
    without_lpus = instance.rack.offload is None or choices.lpu_units == [0]
    return choices.uniform and choices.whole_sequences and without_lpus


class PointSearch:
    """Searches for the best operating points of instances that differ in cap and floor."""

    def __init__(self, instance: Instance) -> None:
        configurations, self.rejections = enumerate_configurations(instance)
        self._tables: list[BatchTable] = []
        for one in configurations:
            demand = Demand(instance, one)
            if holds_a_batch(demand):
                self._tables.append(BatchTable(demand))
            else:
                self.rejections.append(no_memory(demand))

    @property
    def configurations(self) -> list[Configuration]:
        """The configurations that hold a sequence."""
        return [one.demand.configuration for one in self._tables]

    @property
    def tabled(self) -> bool:
        """Whether all batches are few enough to be tabled."""
        return all(one.last <= MOST_BATCHES for one in self._tables)

    def best(self, instances: Sequence[Instance]) -> list[BestPoints]:
        """Return the best operating points under the limits of each instance, by configuration.

        They do not depend on which instances are asked for together. An instance of which nothing
        can be served has none.
        """
        if not self._tables:
            return []
        caps = [one.power_cap_kw for one in instances]
        limits = ManyLimits(
            np.array([np.inf if one is None else one for one in caps]),
            np.array([float(one.limits.min_speed) for one in instances]),
        )
        bounds = np.array([one.bound(limits) for one in self._tables])
        looks = _Looks(self._tables, limits, bounds)
        # The most promising configuration of each first: it rules out most of the others.
        first = np.argmax(bounds, axis=0)
        for position in np.unique(first).tolist():
            looks.look(position, np.nonzero(first == position)[0])
        for position in np.argsort(-bounds.max(axis=1), kind="stable").tolist():
            looks.look(position, looks.undecided(position))
        return looks.best()


class _Looks:
    """What is known of configurations, by configuration and instance."""

    def __init__(self, tables: list[BatchTable], limits: ManyLimits, bounds: Array) -> None:
        self._tables, self._limits, self._bounds = tables, limits, bounds
        self._found = BestBatch(
            np.zeros(bounds.shape), np.zeros(bounds.shape), np.zeros(bounds.shape, dtype=np.int64)
        )
        self._known = np.zeros(bounds.shape, dtype=bool)
        self._reached = np.zeros(bounds.shape[1])

    def undecided(self, position: int) -> Whole:
        """Return the instances for which a configuration may be best, or as good."""
        promising = self._bounds[position] > self._reached * (1.0 - 2.0 * SAME)
        return np.nonzero(promising & ~self._known[position])[0]

    def look(self, position: int, wanted: Whole) -> None:
        """Find the best batch of a configuration for some instances."""
        if not len(wanted):
            return
        one, kept = self._tables[position].best(self._limits.take(wanted)), self._found
        kept.throughput[position, wanted] = one.throughput
        kept.batch[position, wanted] = one.batch
        kept.replicas[position, wanted] = one.replicas
        self._known[position, wanted] = True
        self._reached[wanted] = np.maximum(self._reached[wanted], one.throughput)

    def best(self) -> list[BestPoints]:
        """Return the best points; of equally good configurations that listed first."""
        chosen = np.argmax(self._found.throughput >= self._reached * (1.0 - SAME), axis=0)
        served = self._reached > 0.0
        points = []
        for position in np.unique(chosen[served]).tolist():
            table, places = self._tables[position], np.nonzero(served & (chosen == position))[0]
            limits, replicas = self._limits.take(places), self._found.replicas[position, places]
            points.append(
                BestPoints(
                    table,
                    places,
                    limits,
                    replicas,
                    self._found.throughput[position, places],
                    table.running(limits, replicas, self._found.batch[position, places]),
                    table.free_batch(limits, replicas),
                )
            )
        return points
