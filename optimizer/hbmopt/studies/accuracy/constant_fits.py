"""Fits of the step-time and power laws to measured rows.

A step takes the sum of its parts, each a time at the peak divided by an efficiency, plus fixed
times per layer. The constants are fitted in their logarithms, so that none is negative, to the
logarithm of predicted over measured, by least absolute deviations (iteratively reweighted least
squares). A penalty draws them to the universal ones; it grows with the square root of the rows,
because the rows of a series are not independent of each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hbmopt.demand import Array
from hbmopt.instance import EXPERT_PARALLEL, LATENCIES, STEP_RESOURCES, LayoutConstants, universal

COMPOSITE_SCALE = 0.020
"""ms that `per_composite_block` is drawn to: half the universal latency of a layer."""


STRENGTH = 0.15
"""Weight of the penalty per square root of the rows."""


ENGINE_SPREAD = 0.5
"""Spread of the logarithm of an engine's latency per that of the middle, before any row."""


SMALLEST = 0.02
"""Error from which on a smaller one has no more weight."""


LEAST_EFFICIENCY = 0.2


ITERATIONS, LONGEST_MOVE, CONVERGED = 60, 0.4, 1e-6


CONSTANTS = (*STEP_RESOURCES, *LATENCIES)


@dataclass(frozen=True)
class Step:
    """A measured step and what the law multiplies with its constants.

    `at_peak` are the ms of every part at the peak, `counts` the layers, layers times doublings
    and composite blocks of the fixed times. A step that `contradicts` its own throughput is not
    fitted.
    """

    line: int
    series: tuple[str, ...]
    context: float
    mode: str
    engine: str | None
    measured_ms: float
    at_peak: tuple[float, ...]
    counts: tuple[float, ...]
    contradicts: bool = False


@dataclass(frozen=True)
class Draw:
    """The measured power of an accelerator, as a share of its TDP, and the use of its peaks."""

    line: int
    series: tuple[str, ...]
    share: float
    hbm: float
    flop: float
    comparable: bool


@dataclass(frozen=True)
class StepConstants:
    """Fitted constants of one mode of layouts: efficiencies, latencies in ms, engine factors."""

    mode: str
    efficiency: dict[str, float]
    latency: dict[str, float]
    engines: dict[str, float]

    def predict(self, steps: Sequence[Step]) -> Array:
        """Return the ms of steps."""
        factors = np.array([self.engines.get(one.engine or "", 1.0) for one in steps])
        busy: Array = np.array([one.at_peak for one in steps]) @ np.array(
            [1.0 / self.efficiency[name] for name in STEP_RESOURCES]
        )
        waited: Array = np.array([one.counts for one in steps]) @ np.array(
            [self.latency[name] for name in LATENCIES]
        )
        return np.asarray(busy + factors * waited)


@dataclass(frozen=True)
class PowerConstants:
    """Fitted power law, as shares of TDP."""

    active: float
    hbm: float
    flop: float

    def predict(self, draws: Sequence[Draw]) -> Array:
        """Return the power of accelerators as a share of their TDP."""
        drawn = [self.active + self.hbm * one.hbm + self.flop * one.flop for one in draws]
        return np.asarray(np.minimum(1.0, np.array(drawn)))


def _prior(mode: str) -> tuple[Array, Array]:
    """Return the logarithms that constants are drawn to, and the least that they may be."""
    constants = universal().expert_parallel if mode == EXPERT_PARALLEL else None
    held: LayoutConstants | None = constants
    efficiency = (held or universal()).efficiency
    latency = (held or universal()).latency
    values = [1.0 / float(getattr(efficiency, name)) for name in STEP_RESOURCES]
    values += [float(getattr(latency, name)) or COMPOSITE_SCALE for name in LATENCIES]
    least = [1.0] * len(STEP_RESOURCES) + [1e-5] * len(LATENCIES)
    return np.log(np.array(values)), np.log(np.array(least))


def fit_steps(steps: Sequence[Step], mode: str) -> StepConstants:
    """Return the constants that fit steps of one mode; those that contradict themselves do not."""
    steps = [one for one in steps if not one.contradicts]
    engines = sorted({one.engine for one in steps if one.engine is not None})
    if len(engines) < 2:
        engines = []  # with one engine its latency is the latency
    center, least = _prior(mode)
    center = np.concatenate([center, np.zeros(len(engines))])
    least = np.concatenate([least, np.full(len(engines), -2.0)])
    most = np.concatenate(
        [
            np.full(len(STEP_RESOURCES), -np.log(LEAST_EFFICIENCY)),
            np.log([0.5] * len(LATENCIES)),
            np.full(len(engines), 2.0),
        ]
    )
    spread = np.ones(len(center))
    spread[len(CONSTANTS) :] = ENGINE_SPREAD
    penalty = STRENGTH * np.sqrt(len(steps)) / spread**2
    measured = np.log(np.array([one.measured_ms for one in steps]))
    terms = np.array([one.at_peak + one.counts for one in steps])
    of_engine = np.array([[float(one.engine == name) for name in engines] for one in steps])
    of_engine = of_engine.reshape(len(steps), len(engines))
    point = center.copy()
    for _ in range(ITERATIONS):
        columns = terms * np.exp(point[: len(CONSTANTS)])
        columns[:, len(STEP_RESOURCES) :] *= np.exp(of_engine @ point[len(CONSTANTS) :])[:, None]
        total = columns.sum(axis=1)
        waited = columns[:, len(STEP_RESOURCES) :].sum(axis=1)
        slope = np.hstack([columns, of_engine * waited[:, None]]) / total[:, None]
        residual = np.log(total) - measured
        weight = 1.0 / np.maximum(np.abs(residual), SMALLEST)
        normal = (slope * weight[:, None]).T @ slope + np.diag(penalty)
        gradient = (slope * weight[:, None]).T @ residual + penalty * (point - center)
        move = np.clip(np.linalg.solve(normal, gradient), -LONGEST_MOVE, LONGEST_MOVE)
        moved = np.clip(point - move, least, most)
        done = float(np.max(np.abs(moved - point))) < CONVERGED
        point = moved
        if done:
            break
    # The middle is that of the rows, so that latencies without an engine are theirs.
    of_rows = of_engine.sum(axis=0)
    middle = float(of_rows @ point[len(CONSTANTS) :] / of_rows.sum()) if engines else 0.0
    point[len(CONSTANTS) :] -= middle
    point[len(STEP_RESOURCES) : len(CONSTANTS)] += middle
    values = np.exp(point)
    return StepConstants(
        mode=mode,
        efficiency={
            name: float(1.0 / value) for name, value in zip(STEP_RESOURCES, values, strict=False)
        },
        latency={
            name: float(value)
            for name, value in zip(LATENCIES, values[len(STEP_RESOURCES) :], strict=False)
        },
        engines={
            name: float(value)
            for name, value in zip(engines, values[len(CONSTANTS) :], strict=True)
        },
    )


def fit_power(draws: Sequence[Draw]) -> PowerConstants:
    """Return the non-negative power law that fits measured power.

    Least absolute relative deviations, drawn to the universal law as steps are; a row that is
    clipped at TDP on both sides says nothing.
    """
    law = universal().power_law
    center = np.array([float(law.active), float(law.hbm), float(law.flop)])
    penalty = STRENGTH * np.sqrt(len(draws)) / center**2
    terms = np.array([[1.0, one.hbm, one.flop] for one in draws])
    measured = np.array([one.share for one in draws])
    point = center.copy()
    for _ in range(ITERATIONS):
        drawn = terms @ point
        weight = 1.0 / np.maximum(np.abs(drawn / measured - 1.0), SMALLEST) / measured**2
        weight[(drawn >= 1.0) & (measured >= 0.97)] = 0.0
        free = np.ones(3, dtype=bool)
        while True:
            part = terms[:, free]
            normal = (part * weight[:, None]).T @ part + np.diag(penalty[free])
            right = (part * weight[:, None]).T @ measured + (penalty * center)[free]
            found = np.linalg.solve(normal, right)
            if (found >= 0).all():
                break
            free[np.flatnonzero(free)[found < 0]] = False
        moved = np.zeros(3)
        moved[free] = found
        done = float(np.max(np.abs(moved - point))) < CONVERGED
        point = moved
        if done:
            break
    return PowerConstants(*(float(value) for value in point))
