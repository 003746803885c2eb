"""`calibrate`: constants of the step-time and power laws from measured decode steps.

Rows become what the laws multiply with their constants (`hbmopt.constant_fits` fits those), and
every error that is stated is one on rows whose whole series took no part in the fit.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from hbmopt.basics import Progress, brief, counted, verb
from hbmopt.demand import Array, fixed_latency, sequence_latency
from hbmopt.documents import Figure, shipped
from hbmopt.errors import InputError
from hbmopt.instance import (
    EXPERT_PARALLEL,
    LATENCIES,
    PROBABILITIES,
    STEP_RESOURCES,
    TENSOR_PARALLEL,
    ArchitectureLatency,
    Calibration,
    Known,
    QuantileBand,
    StepError,
    layout_mode,
    universal,
)
from hbmopt.models.quantities import number
from hbmopt.notebook import Answer
from hbmopt.studies.accuracy.constant_fits import (
    NARROWER,
    Draw,
    PowerConstants,
    Step,
    StepConstants,
    architectures,
    fit_power,
    fit_steps,
)
from hbmopt.studies.accuracy.known_models import known_chip
from hbmopt.studies.accuracy.measured_steps import (
    Row,
    UnusableRowError,
    read_measured_steps,
    recorded,
)
from hbmopt.studies.accuracy.prediction import (
    CONTEXT_STANDS,
    ErrorSummary,
    Predictor,
    StepCase,
    summarised,
)

CONTRADICTION = 2.0
"""Factor from which on a row's batch, step and throughput exclude each other."""

MOST_FOLDS = 50


@dataclass(frozen=True)
class HeldOut:
    """Predictions of rows whose whole series took no part in the fit, by line of the file.

    `groups` says what was held out: a series, or, where there is only one, its contexts.
    """

    groups: Literal["series", "contexts of one series"]
    count: int
    predicted: dict[int, float]


@dataclass(frozen=True)
class CalibrationFit(Answer):
    """Fitted constants, the power law, and the errors on held-out rows."""

    name: str
    source: str
    accelerators: tuple[str, ...]
    constants: StepConstants
    power: PowerConstants | None
    steps: tuple[Step, ...]
    draws: tuple[Draw, ...]
    skipped: tuple[tuple[int, str], ...]
    held_out: HeldOut | None
    held_out_power: dict[int, float]

    def __repr__(self) -> str:
        used, skipped = counted(len(self.steps), "step"), f"{len(self.skipped)} not used"
        return brief("CalibrationFit", self.name, used, skipped, " ".join(self.accelerators))

    def errors(self) -> list[StepError]:
        """Return the errors on held-out rows as a calibration states them."""
        found = []
        for mode in (TENSOR_PARALLEL, EXPERT_PARALLEL):
            summary = self.held_out_error(mode)
            if summary.median_abs_error is None:
                continue
            found.append(
                StepError(
                    accelerators=list(self.accelerators),
                    layout="tensor_parallel" if mode == TENSOR_PARALLEL else "expert_parallel",
                    rows=summary.compared,
                    series=len({one.series for one in self.steps if one.mode == mode}),
                    median=round(summary.median_abs_error, 3),
                    mean=round(summary.mean_abs_error or 0.0, 3),
                    p90=round(summary.p90_abs_error or 0.0, 3),
                    bias=round(summary.bias or 0.0, 3),
                )
            )
        return found

    @property
    def measured(self) -> dict[str, list[str]]:
        """The models whose steps were fitted, by chip."""
        pairs = sorted({(one.series[2], one.series[1]) for one in self.steps})
        return {chip: [llm for name, llm in pairs if name == chip] for chip in self.accelerators}

    def bands(self) -> list[QuantileBand]:
        """Return how far steps and power of other series of such chips and models may lie.

        Where nothing could be held out, of the rows that were fitted: the band of their series.
        """
        steps = [one for one in self.steps if not one.contradicts]
        predicted = dict(
            zip((one.line for one in steps), self.constants.predict(steps), strict=True)
        )
        predicted |= self.held_out_ms
        ratios = [(one.mode, one.measured_ms / predicted[one.line]) for one in steps]
        found = step_bands("model and chip", ratios)
        if self.power is not None:
            drawn = dict(
                zip((one.line for one in self.draws), self.power.predict(self.draws), strict=True)
            )
            drawn |= self.held_out_power
            shares = [one.watts / drawn[one.line] for one in self.draws]
            found.append(quantile_band("power", "model and chip", "any", shares))
        return found

    @property
    def held_out_ms(self) -> dict[int, float]:
        """The ms of all held-out rows, by line of the file."""
        return self.held_out.predicted if self.held_out is not None else {}

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
        errors = self.constants.predict(steps) / measured - 1
        return summarised(len(steps), len(steps), errors)

    def power_error(self) -> ErrorSummary:
        """Return the error of power on held-out rows."""
        errors = [
            self.held_out_power[one.line] / one.watts - 1
            for one in self.draws
            if one.line in self.held_out_power
        ]
        return summarised(len(self.draws), len(errors), errors)


LEAST_ROWS = 20
"""Rows of a layout from which it has a band of its own."""


def step_bands(known: Known, ratios: Sequence[tuple[str, float]]) -> list[QuantileBand]:
    """Return the bands of measured over predicted steps, by mode where there are enough rows."""
    found = [quantile_band("step", known, "any", [ratio for _, ratio in ratios])]
    modes: tuple[Literal["tensor_parallel"], Literal["expert_parallel"]]
    modes = ("tensor_parallel", "expert_parallel")
    for mode in modes:
        own = [ratio for name, ratio in ratios if name == mode]
        if len(own) >= LEAST_ROWS and len(own) < len(ratios):
            found.append(quantile_band("step", known, mode, own))
    return found


def quantile_band(
    of: Literal["step", "power"],
    known: Known,
    layout: Literal["tensor_parallel", "expert_parallel", "any"],
    ratios: Sequence[float],
) -> QuantileBand:
    """Return the quantiles of measured over predicted."""
    ends = np.quantile(np.array(ratios), PROBABILITIES)
    quantiles = [round(float(end), 3) for end in ends]
    return QuantileBand(of=of, known=known, layout=layout, rows=len(ratios), quantiles=quantiles)


def series_of(row: Row, case: StepCase) -> tuple[str, ...]:
    """Return the series of a row: source, model, chip and layout."""
    return (
        row.text("source"),
        case.instance.llm.name,
        case.instance.rack.accelerator.name,
        str(case.configuration.layout),
    )


@verb
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
    constants = fit_steps(steps)
    held_out = _held_out(steps, progress)
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
    table = read_measured_steps(shipped.measured(path))
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
    at_peak = _at_peak(case)
    return Step(
        line=row.line,
        series=series_of(row, case),
        context=row.number("context_tokens"),
        mode=layout_mode(case.configuration.layout.attention_data_parallel),
        measured_ms=measured,
        at_peak=tuple(at_peak[name] for name in STEP_RESOURCES),
        prompts=case.instance.workload.prefilled_per_output,
        contradicts=_contradicts(row, case, measured),
        counts=_counts(case),
    )


def _at_peak(case: StepCase) -> dict[str, float]:
    """Return the ms of every resource of a step at the peak."""
    done, replica = case.done, case.demand.whole_replica(1.0)
    found: dict[str, float] = dict.fromkeys(STEP_RESOURCES, 0.0)
    names = {"dense": ("weights", "gemm"), "experts": ("experts", "experts_gemm")}
    for kernel in replica.kernels:
        reads, computes = names[kernel.name]
        reading, computing = done.kernels[kernel.name]
        found[reads], found[computes] = (
            reading * number(kernel.weights),
            computing * number(kernel.gemm),
        )
    for name in ("kv", "attention", "prefill", "link"):
        found[name] = done.times[name] * number(getattr(replica.efficiency, name))
    return {name: float(spent) for name, spent in found.items()}


def _counts(case: StepCase) -> tuple[float, ...]:
    """Return how often a step takes each fixed time: what it would wait if that were 1 ms alone."""
    found = []
    for alone in _one_at_a_time():
        instance = case.instance.model_copy(update={"calibration": alone})
        waited = fixed_latency(instance, case.configuration, 0)
        each = sequence_latency(instance, case.configuration.layout)
        found.append(float(waited + each * case.batch))
    return tuple(found)


@cache
def _one_at_a_time() -> tuple[Calibration, ...]:
    """Return constants in which one fixed time is 1 ms, and all others nothing."""
    base = universal()
    nothing = Figure(0.0, "time", "derived")
    one = replace(nothing, amount=1.0)
    latency = base.latency.model_copy(
        update=dict.fromkeys((*LATENCIES, "per_expert_block", "per_stage"), nothing)
    )
    none = base.model_copy(update={"latency": latency, "architectures": {}})
    found = [
        none.model_copy(update={"latency": latency.model_copy(update={name: one})})
        for name in LATENCIES
    ]
    found += [
        none.model_copy(
            update={"architectures": {name: ArchitectureLatency.model_validate({kind: one})}}
        )
        for name, kind in architectures()
    ]
    return tuple(found)


def _draw(row: Row, case: StepCase, measured: float) -> Draw:
    accelerator, law = case.instance.rack.accelerator, case.instance.power_law
    replica, done = case.demand.whole_replica(1.0), case.done
    # As many operations as if all were bf16: those of other formats count by their energy.
    formats = {float(one): NARROWER[name] for name, one in law.flop.items()}
    operations = sum(
        formats[number(part.joule_per_gflop)]
        * (number(part.gflop_per_sequence) + number(part.prompt_gflop_per_sequence))
        for part in replica.components
    )
    operations += number(replica.attention_gflop) + number(replica.prompt_attention_gflop)
    each = number(replica.accelerators) * measured
    step = sum(case.parts_ms().values())
    return Draw(
        line=row.line,
        series=series_of(row, case),
        watts=row.number("power_w_per_accelerator"),
        idle_w=1e3 * float(law.idle) * float(accelerator.tdp),
        limit_w=1e3 * float(accelerator.limit),
        hbm=float(done.weights_read + done.kv_read) / each,
        flop=float(case.batch * operations) / each,
        comparable=recorded(row) or 1 / CONTEXT_STANDS <= step / measured <= CONTEXT_STANDS,
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


Fitted = TypeVar("Fitted", Step, Draw)
Predict = Callable[[Sequence[Fitted]], Array]


def _without_own(
    rows: Sequence[Fitted],
    groups: Sequence[tuple[str, ...]],
    fit: Callable[[Sequence[Fitted]], Predict[Fitted]],
    progress: Progress | None = None,
) -> dict[int, float]:
    """Return what fits to the rows of other folds predict of each row, by line of the file."""
    fold = folds(groups)
    predicted: dict[int, float] = {}
    for index in range(max(fold) + 1):
        if progress is not None:
            progress(index, max(fold) + 2)
        rest = [one for one, held in zip(rows, fold, strict=True) if held != index]
        tested = [one for one, held in zip(rows, fold, strict=True) if held == index]
        found = fit(rest)(tested)
        predicted |= {one.line: float(value) for one, value in zip(tested, found, strict=True)}
    return predicted


def _held_out(steps: Sequence[Step], progress: Progress | None) -> HeldOut | None:
    """Return predictions by constants that were fitted without the row's whole series."""
    groups, parts = _groups(steps)
    if len({name for name, one in zip(groups, steps, strict=True) if not one.contradicts}) < 2:
        return None

    def fitted(rest: Sequence[Step]) -> Predict[Step]:
        return fit_steps(rest).predict

    predicted = _without_own(steps, groups, fitted, progress)
    kind: Literal["series", "contexts of one series"]
    kind = "contexts of one series" if parts else "series"
    return HeldOut(kind, len(set(groups)), predicted)


def _held_out_power(draws: Sequence[Draw]) -> dict[int, float]:
    """Return the power of rows by laws that were fitted without the row's whole series."""
    if len({one.series for one in draws}) < 2:
        return {}
    groups = [one.series for one in draws]
    return _without_own(draws, groups, lambda rest: fit_power(rest).predict)
