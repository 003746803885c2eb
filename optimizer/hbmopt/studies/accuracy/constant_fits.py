"""Constants of the step-time and power laws, fitted to what was measured.

A step takes the time of its kernels, each the longer of reading and arithmetic at the peak divided
by an efficiency, of prompts and links, and fixed times of layers, blocks and sequences. The
constants are fitted in their logarithms, so that none is negative, to the logarithm of predicted
over measured, by least absolute deviations (iteratively reweighted least squares). A penalty draws
them to `PRIOR`; it grows with the square root of the rows, because the rows of a series are not
independent of each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hbmopt.demand import Array
from hbmopt.instance import LATENCIES, STEP_RESOURCES, universal

PRIOR = {
    "weights": 0.9,
    "experts": 0.8,
    "kv": 0.8,
    "gemm": 0.6,
    "experts_gemm": 0.4,
    "attention": 0.5,
    "prefill": 0.55,
    "link": 0.4,
    "per_layer": 0.05,
    "per_latent_block": 0.02,
    "per_recurrent_block": 0.027,
    "per_block_scaled_layer": 0.02,
    "per_exchange_doubling": 0.008,
    "per_layer_beyond_domain": 0.075,
    "per_sequence": 0.008,
    "hopper.per_expert_block": 0.02,
    "cdna3.per_layer": 0.15,
    "cdna4.per_layer": 0.04,
}
"""What constants are before any served step: efficiencies, and fixed times in ms.

Rates are those of single kernels as their authors state them, fixed times a few kernel launches
each, rounded.
"""

STRENGTH = 0.3
"""Weight of the penalty on steps per square root of the rows."""

POWER_PRIOR = {"running": 120.0, "hbm": 120.0, "flop": 1.0}
"""The same of power: W, pJ per byte and pJ per bf16 operation, as single kernels draw."""

NARROWER = {"bf16": 1.0, "fp8": 0.58, "fp4": 0.34}
"""Energy of an operation per that of one in bf16, as single products take it on an H100.

FP4 was not measured there: as much less than FP8 as that is less than bf16.
"""

POWER_STRENGTH = 0.15
"""The weight of the penalty on power."""

SMALLEST = 0.02
"""Error from which on a smaller one has no more weight."""

AT_LIMIT = 0.94
"""Share of its limit from which a chip is held by it: it keeps a distance."""

LEAST_EFFICIENCY, LONGEST_LATENCY = 0.1, 0.5
"""Bounds of what a constant may be; latencies in ms."""

ITERATIONS, LONGEST_MOVE, CONVERGED = 60, 0.4, 1e-6

READING, COMPUTING = ("weights", "experts", "kv"), ("gemm", "experts_gemm", "attention")
"""Of each class of kernels what it reads and what it computes, at the peak."""

AFTER = ("prefill", "link")
"""What follows the kernels."""


def architectures() -> list[tuple[str, str]]:
    """Return the architectures and the fixed times that they add, as far as any are known."""
    return [
        (name, kind)
        for name, own in sorted(universal().architectures.items())
        for kind in type(own).model_fields
        if f"{name}.{kind}" in PRIOR
    ]


def constants() -> tuple[str, ...]:
    """Return the names of all constants, in the order in which they are fitted."""
    return (*STEP_RESOURCES, *LATENCIES, *(".".join(one) for one in architectures()))


@dataclass(frozen=True)
class Step:
    """A measured step and what the law multiplies with its constants.

    `at_peak` are the ms of every resource at the peak, `counts` how often each fixed time is taken.
    `prompts` are tokens of prompts computed for each output token. A step that `contradicts` its
    own throughput is not fitted.
    """

    line: int
    series: tuple[str, ...]
    context: float
    mode: str
    measured_ms: float
    at_peak: tuple[float, ...]
    counts: tuple[float, ...]
    prompts: float = 0.0
    contradicts: bool = False


@dataclass(frozen=True)
class Draw:
    """The measured W of an accelerator, and what it does meanwhile.

    `hbm` are TB/s that are read, `flop` TFLOP/s as if all were bf16: operations of other formats
    count by their energy. `idle_w` it draws at rest and `limit_w` at most.
    """

    line: int
    series: tuple[str, ...]
    watts: float
    idle_w: float
    limit_w: float
    hbm: float
    flop: float
    comparable: bool


@dataclass(frozen=True)
class StepConstants:
    """Fitted constants: efficiencies, latencies and what architectures add to them, in ms."""

    efficiency: dict[str, float]
    latency: dict[str, float]
    architectures: dict[tuple[str, str], float]

    def predict(self, steps: Sequence[Step]) -> Array:
        """Return the ms of steps."""
        factors = [1.0 / self.efficiency[name] for name in STEP_RESOURCES]
        factors += [self.latency[name] for name in LATENCIES]
        factors += [self.architectures[one] for one in architectures()]
        return np.asarray(_columns(_terms(steps), np.array(factors)).sum(axis=1))


def _terms(steps: Sequence[Step]) -> Array:
    return np.array([(*one.at_peak, *one.counts) for one in steps])


def _columns(terms: Array, factors: Array) -> Array:
    """Return the ms of every term; of reading and arithmetic of a kernel the shorter is nothing."""
    columns = terms * factors
    for reads, computes in zip(READING, COMPUTING, strict=True):
        one, other = STEP_RESOURCES.index(reads), STEP_RESOURCES.index(computes)
        longer = columns[:, one] >= columns[:, other]
        columns[longer, other] = 0.0
        columns[~longer, one] = 0.0
    return np.asarray(columns)


@dataclass(frozen=True)
class PowerConstants:
    """Fitted power law: W while running, pJ per byte of HBM and per operation in bf16."""

    running: float
    hbm: float
    flop: float

    def predict(self, draws: Sequence[Draw]) -> Array:
        """Return the W of accelerators; one at its limit lowers its clock and stays there."""
        drawn = _draw_terms(draws) @ np.array([self.running, self.hbm, self.flop])
        limit = np.array([one.limit_w for one in draws])
        return np.asarray(np.minimum(limit, np.array([one.idle_w for one in draws]) + drawn))


def _draw_terms(draws: Sequence[Draw]) -> Array:
    """Return what the constants are multiplied with: pJ times TB/s or TFLOP/s are W."""
    return np.array([[1.0, one.hbm, one.flop] for one in draws])


def fit_steps(steps: Sequence[Step]) -> StepConstants:
    """Return the constants that fit steps; those that contradict themselves do not count."""
    steps = [one for one in steps if not one.contradicts]
    rates = len(STEP_RESOURCES)
    prior = np.array([PRIOR[name] for name in constants()])
    prior[:rates] = 1.0 / prior[:rates]
    center = np.log(prior)
    least = np.log([1.0] * rates + [1e-5] * (len(prior) - rates))
    most = np.log([1.0 / LEAST_EFFICIENCY] * rates + [LONGEST_LATENCY] * (len(prior) - rates))
    penalty = STRENGTH * np.sqrt(len(steps))
    measured, terms = np.log(np.array([one.measured_ms for one in steps])), _terms(steps)
    point = center.copy()
    for _ in range(ITERATIONS):
        columns = _columns(terms, np.exp(point))
        total = columns.sum(axis=1)
        slope = columns / total[:, None]
        residual = np.log(total) - measured
        weight = 1.0 / np.maximum(np.abs(residual), SMALLEST)
        normal = (slope * weight[:, None]).T @ slope + penalty * np.eye(len(center))
        gradient = (slope * weight[:, None]).T @ residual + penalty * (point - center)
        move = np.clip(np.linalg.solve(normal, gradient), -LONGEST_MOVE, LONGEST_MOVE)
        moved = np.clip(point - move, least, most)
        done = float(np.max(np.abs(moved - point))) < CONVERGED
        point = moved
        if done:
            break
    values = np.exp(point)
    values[:rates] = 1.0 / values[:rates]
    found = dict(zip(constants(), map(float, values), strict=True))
    return StepConstants(
        efficiency={name: found[name] for name in STEP_RESOURCES},
        latency={name: found[name] for name in LATENCIES},
        architectures={one: found[".".join(one)] for one in architectures()},
    )


def fit_power(draws: Sequence[Draw]) -> PowerConstants:
    """Return the non-negative power law that fits measured power beyond that at rest.

    Least absolute relative deviations, drawn to `POWER_PRIOR` as steps are; a row that is at its
    limit on both sides says nothing.
    """
    center = np.array(list(POWER_PRIOR.values()))
    penalty = POWER_STRENGTH * np.sqrt(len(draws)) / center**2
    terms = _draw_terms(draws)
    idle, limit, measured = (
        np.array([getattr(one, name) for one in draws]) for name in ("idle_w", "limit_w", "watts")
    )
    point = center.copy()
    for _ in range(ITERATIONS):
        drawn = idle + terms @ point
        weight = 1.0 / np.maximum(np.abs(drawn / measured - 1.0), SMALLEST) / measured**2
        weight[(drawn >= limit) & (measured >= AT_LIMIT * limit)] = 0.0
        free = np.ones(len(center), dtype=bool)
        while True:
            part = terms[:, free]
            normal = (part * weight[:, None]).T @ part + np.diag(penalty[free])
            right = (part * weight[:, None]).T @ (measured - idle) + (penalty * center)[free]
            found = np.linalg.solve(normal, right)
            if (found >= 0).all():
                break
            free[np.flatnonzero(free)[found < 0]] = False
        moved = np.zeros(len(center))
        moved[free] = found
        done = float(np.max(np.abs(moved / center - point / center))) < CONVERGED
        point = moved
        if done:
            break
    return PowerConstants(*(float(value) for value in point))
