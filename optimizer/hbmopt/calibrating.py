"""`calibrate`: constants of the step-time and power laws from measured decode steps.

A step takes the sum of its parts, each a time at the peak divided by an efficiency, plus fixed
times per layer. The constants are fitted in their logarithms, so that none is negative, to the
logarithm of predicted over measured, by least absolute deviations (iteratively reweighted least
squares). A penalty draws them to the universal ones; it grows with the square root of the rows,
because the rows of a series are not independent of each other.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hbmopt.calibration import (
    EXPERT_PARALLEL,
    LATENCIES,
    STEP_RESOURCES,
    TENSOR_PARALLEL,
    LayoutConstants,
    StepError,
    layout_mode,
    universal,
)
from hbmopt.errors import InputError
from hbmopt.known_models import known_chip
from hbmopt.measured_steps import Row, UnusableRowError, read_measured_steps, recorded
from hbmopt.models.quantities import number
from hbmopt.prediction import CONTEXT_STANDS, ErrorSummary, Predictor, StepCase, summarised
from hbmopt.progress import Progress
from hbmopt.step_latency import composite_blocks, latency_layers

Array = NDArray[np.float64]

CONTRADICTION = 2.0
"""Factor from which on a row's batch, step and throughput exclude each other."""

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
MOST_FOLDS = 50

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


@dataclass(frozen=True)
class HeldOut:
    """Predictions of rows whose whole series took no part in the fit, by line of the file.

    `groups` says what was held out: a series, or, where there is only one, its contexts.
    """

    groups: Literal["series", "contexts of one series"]
    count: int
    predicted: dict[int, float]


@dataclass(frozen=True)
class CalibrationFit:
    """Fitted constants by mode of layouts, the power law, and the errors on held-out rows."""

    name: str
    source: str
    accelerators: tuple[str, ...]
    constants: dict[str, StepConstants]
    power: PowerConstants | None
    steps: tuple[Step, ...]
    draws: tuple[Draw, ...]
    skipped: tuple[tuple[int, str], ...]
    held_out: dict[str, HeldOut]
    held_out_power: dict[int, float]

    def errors(self) -> list[StepError]:
        """Return the errors on held-out rows as a calibration states them."""
        found = []
        for mode in (TENSOR_PARALLEL, EXPERT_PARALLEL):
            held = self.held_out.get(mode)
            if held is None:
                continue
            summary = self.held_out_error(mode)
            if summary.median_abs_error is None:
                continue
            found.append(
                StepError(
                    accelerators=list(self.accelerators),
                    layout="tensor_parallel" if mode == TENSOR_PARALLEL else "expert_parallel",
                    rows=summary.compared,
                    series=held.count,
                    median=round(summary.median_abs_error, 3),
                    mean=round(summary.mean_abs_error or 0.0, 3),
                    p90=round(summary.p90_abs_error or 0.0, 3),
                    bias=round(summary.bias or 0.0, 3),
                )
            )
        return found

    @property
    def held_out_ms(self) -> dict[int, float]:
        """The ms of all held-out rows, by line of the file."""
        return {line: ms for one in self.held_out.values() for line, ms in one.predicted.items()}

    def held_out_error(
        self, mode: str | None = None, *, contradicting: bool = False
    ) -> ErrorSummary:
        """Return the error on held-out rows, of one mode or all.

        With `contradicting` the rows count that exclude their own throughput.
        """
        steps = [
            one
            for one in self.steps
            if mode in (None, one.mode) and (contradicting or not one.contradicts)
        ]
        known = self.held_out_ms
        errors = [known[one.line] / one.measured_ms - 1 for one in steps if one.line in known]
        return summarised(len(steps), len(errors), errors)

    def fitted_error(self, mode: str) -> ErrorSummary:
        """Return the error on the rows that were fitted."""
        steps = [one for one in self.steps if one.mode == mode and not one.contradicts]
        measured = np.array([one.measured_ms for one in steps])
        errors = self.constants[mode].predict(steps) / measured - 1
        return summarised(len(steps), len(steps), errors)

    def power_error(self) -> ErrorSummary:
        """Return the error of power on held-out rows."""
        errors = [
            self.held_out_power[one.line] / one.share - 1
            for one in self.draws
            if one.line in self.held_out_power
        ]
        return summarised(len(self.draws), len(errors), errors)


def series_of(row: Row, case: StepCase) -> tuple[str, ...]:
    """Return the series of a row: source, model, chip and layout."""
    return (
        row.text("source"),
        case.instance.llm.name,
        case.instance.rack.accelerator.name,
        str(case.configuration.layout),
    )


def calibrate(
    source: str | Path,
    *,
    llm_configs: str | Path | None = None,
    chips: Sequence[str] | None = None,
    name: str = "my_fit",
    progress: Progress | None = None,
) -> CalibrationFit:
    """Fit the constants of the step-time and power laws to measured decode steps.

    Parameters
    ----------
    source
        A file in the format of ``instances/measured/decode_steps.csv``.
    llm_configs
        A folder of Hugging Face configurations for models that the catalogue does not have.
    chips
        Take only rows of these accelerators.
    name
        Name of the calibration: letters, digits, ``_``, ``.`` and ``-``.
    progress
        Called with the fits done and all of them.

    Raises
    ------
    InputError
        Where no row can be fitted.
    """
    if not re.fullmatch(r"[\w.-]+", name):
        raise InputError(f"--name: {name!r} must be letters, digits, '_', '.' and '-'")
    wanted = None if chips is None else {_chip(one) for one in chips}
    steps, draws, skipped, names = _collect(Path(source), llm_configs, wanted)
    if all(one.contradicts for one in steps):
        why = f"; the first: line {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise InputError(f"{source}: no row with a recorded context can be fitted{why}")
    modes = [
        mode
        for mode in (TENSOR_PARALLEL, EXPERT_PARALLEL)
        if any(one.mode == mode and not one.contradicts for one in steps)
    ]
    by_mode = {mode: [one for one in steps if one.mode == mode] for mode in modes}
    constants = {mode: fit_steps(by_mode[mode], mode) for mode in modes}
    held_out = {}
    for mode in modes:
        held = _held_out(by_mode[mode], mode, progress)
        if held is not None:
            held_out[mode] = held
    comparable = [one for one in draws if one.comparable]
    return CalibrationFit(
        name=name,
        source=re.sub(r"[^\w.-]+", "_", Path(source).stem),
        accelerators=tuple(sorted(names)),
        constants=constants,
        power=fit_power(comparable) if comparable else None,
        steps=tuple(steps),
        draws=tuple(comparable),
        skipped=tuple(skipped),
        held_out=held_out,
        held_out_power=_held_out_power(comparable),
    )


def _chip(written: str) -> str:
    try:
        return known_chip(written)
    except UnusableRowError as error:
        raise InputError(f"--chips {written}: {error}") from None


def _collect(
    path: Path, llm_configs: str | Path | None, wanted: set[str] | None
) -> tuple[list[Step], list[Draw], list[tuple[int, str]], set[str]]:
    """Return what can be fitted: steps and power; the rows that cannot, and the chips."""
    predictor = Predictor("universal", Path(llm_configs) if llm_configs is not None else None)
    table = read_measured_steps(path)
    steps, draws = list[Step](), list[Draw]()
    skipped, names = list[tuple[int, str]](), set[str]()
    for row in table.rows:
        try:
            if wanted is not None and known_chip(row.text("accelerator")) not in wanted:
                continue
            case = predictor.case(row, flags=table.flags)
            measured = row.number("step_ms")
            step = _step(row, case, measured)
            if row.optional("power_w_per_accelerator") is not None:
                draws.append(_draw(row, case, measured))
            if not recorded(row):
                raise UnusableRowError("context_recorded: is false")
        except UnusableRowError as error:
            skipped.append((row.line, str(error)))
            continue
        steps.append(step)
        names.add(case.instance.rack.accelerator.name)
    return steps, draws, skipped, names


def _contradicts(row: Row, case: StepCase, measured: float) -> bool:
    """Whether batch and step say another throughput than the row does, by a factor."""
    made = row.optional("tokens_per_s_per_accelerator")
    if made is None:
        return False
    count = case.configuration.layout.accelerators * case.replicas
    ratio = row.number("batch") / measured * 1e3 / count / made
    return not 1 / CONTRADICTION <= ratio <= CONTRADICTION


def _step(row: Row, case: StepCase, measured: float) -> Step:
    layout, llm = case.configuration.layout, case.instance.llm
    profile = case.profile()
    parts, attained = profile.parts(np.array([case.batch])), profile.replica.efficiency
    layers = latency_layers(llm)
    return Step(
        line=row.line,
        series=series_of(row, case),
        context=row.number("context_tokens"),
        mode=layout_mode(layout.attention_data_parallel),
        engine=row.engine,
        measured_ms=measured,
        at_peak=tuple(
            float(parts[name][0]) * number(getattr(attained, name)) for name in STEP_RESOURCES
        ),
        contradicts=_contradicts(row, case, measured),
        counts=(
            layers,
            layers * float(np.log2(layout.stage_accelerators)),
            float(composite_blocks(llm)),
        ),
    )


def _draw(row: Row, case: StepCase, measured: float) -> Draw:
    profile, accelerator = case.profile(), case.instance.rack.accelerator
    parts, attained = profile.parts(np.array([case.batch])), profile.replica.efficiency
    used = {
        name: float(parts[name][0]) * number(getattr(attained, name)) / measured
        for name in STEP_RESOURCES
    }
    step = sum(float(part[0]) for part in parts.values())
    return Draw(
        line=row.line,
        series=series_of(row, case),
        share=row.number("power_w_per_accelerator") / (1e3 * float(accelerator.tdp)),
        hbm=used["weights"] + used["kv"],
        flop=used["gemm"] + used["attention"],
        comparable=recorded(row) or 1 / CONTEXT_STANDS <= step / measured <= CONTEXT_STANDS,
    )


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


def folds(groups: Sequence[tuple[str, ...]], most: int = MOST_FOLDS) -> list[int]:
    """Return the fold of each row: groups are never torn apart, and folds are of similar size."""
    sizes = {group: groups.count(group) for group in groups}
    count = min(most, len(sizes))
    load, fold = [0] * max(count, 1), {}
    for group in sorted(sizes, key=lambda one: (-sizes[one], one)):
        lightest = load.index(min(load))
        fold[group] = lightest
        load[lightest] += sizes[group]
    return [fold[group] for group in groups]


def _groups(steps: Sequence[Step]) -> tuple[list[tuple[str, ...]], bool]:
    """Return what is held out together, and whether that are parts of one series."""
    series = [one.series for one in steps]
    if len(set(series)) > 1:
        return series, False
    return [(*one.series, f"{one.context:g}") for one in steps], True


def _held_out(steps: Sequence[Step], mode: str, progress: Progress | None) -> HeldOut | None:
    """Return predictions by constants that were fitted without the row's whole series."""
    groups, parts = _groups(steps)
    if len({name for name, one in zip(groups, steps, strict=True) if not one.contradicts}) < 2:
        return None
    fold = folds(groups)
    predicted: dict[int, float] = {}
    for index in range(max(fold) + 1):
        if progress is not None:
            progress(index, max(fold) + 2)
        rest = [one for one, number_ in zip(steps, fold, strict=True) if number_ != index]
        tested = [one for one, number_ in zip(steps, fold, strict=True) if number_ == index]
        found = fit_steps(rest, mode).predict(tested)
        predicted |= {one.line: float(ms) for one, ms in zip(tested, found, strict=True)}
    kind: Literal["series", "contexts of one series"]
    kind = "contexts of one series" if parts else "series"
    return HeldOut(kind, len(set(groups)), predicted)


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


def _held_out_power(draws: Sequence[Draw]) -> dict[int, float]:
    """Return the power of rows by laws that were fitted without the row's whole series."""
    if len({one.series for one in draws}) < 2:
        return {}
    fold = folds([one.series for one in draws])
    predicted: dict[int, float] = {}
    for index in range(max(fold) + 1):
        rest = [one for one, held in zip(draws, fold, strict=True) if held != index]
        tested = [one for one, held in zip(draws, fold, strict=True) if held == index]
        found = fit_power(rest).predict(tested)
        predicted |= {one.line: float(share) for one, share in zip(tested, found, strict=True)}
    return predicted
