"""`predict`: step times and power of measured decode steps, and how far off they are.

A row is predicted by the same formulas that the program's coefficients come from
(`hbmopt.points`), at the row's own batch. Nothing of the measured step enters the
predicted one; the predicted power is that of the measured step rate, for it is the power law
that is tested there.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hbmopt.basics import brief, counted, verb
from hbmopt.demand import Alike, Configuration, Demand, Segment, alike, why_not
from hbmopt.documents import Figure, shipped
from hbmopt.errors import InputError
from hbmopt.instance import (
    CALIBRATED,
    HIGH,
    LOW,
    SPEC_SHEET,
    STEP_RESOURCES,
    Instance,
    layout_mode,
    load,
)
from hbmopt.notebook import Answer
from hbmopt.points import BatchRates, OperatingPoints
from hbmopt.program import ClockPoint, Work, step_parts, work
from hbmopt.studies.accuracy.known_models import KnownModels, known_chip, scale_up_domain
from hbmopt.studies.accuracy.measured_steps import (
    MeasuredTable,
    Row,
    UnusableRowError,
    cache_format,
    placement,
    prompts_between,
    read_measured_steps,
    recorded,
    weight_scheme,
)

if TYPE_CHECKING:
    import pandas as pd

CONTEXT_STANDS = 1.5
"""Ratio of measured to predicted step up to which a context that was not recorded may be right."""

LEFT_OUT = "context_recorded: is false, and only rows with a recorded context are taken"


@dataclass(frozen=True)
class PredictedStep:
    """One row: what was measured, what is predicted, and why not where it is not.

    Errors are predicted / measured - 1. `calibration` names the constants, `layout` is that of one
    of `replicas` replicas, `parts_ms` says where the predicted time goes, and `power_compared`
    whether the row's power is comparable: with a context that was not recorded the use of HBM is
    not known, and a step that is off by more than half shows it.
    """

    line: int
    source: str
    model: str
    llm: str | None
    accelerator: str
    weight_format: str
    kv_format: str
    layout: str | None
    mode: str | None
    replicas: int | None
    framework: str
    engine: str | None
    context_tokens: float | None
    context_recorded: bool
    batch: float | None
    calibration: str | None
    measured_ms: float | None
    predicted_ms: float | None
    error: float | None
    known: str | None
    low_ms: float | None
    high_ms: float | None
    measured_power_w: float | None
    predicted_power_w: float | None
    power_error: float | None
    power_compared: bool
    contradiction: float | None
    parts_ms: dict[str, float]
    reason: str | None


@dataclass(frozen=True)
class ErrorSummary:
    """Errors of some rows, as shares; None where no row has both numbers.

    `bias` is the median signed error: negative where predictions are too short.
    """

    rows: int
    predicted: int
    compared: int
    median_abs_error: float | None
    mean_abs_error: float | None
    p90_abs_error: float | None
    bias: float | None


def summarised(rows: int, predicted: int, errors: Iterable[float]) -> ErrorSummary:
    """Return the summary of signed errors."""
    found = np.array(list(errors))
    if not len(found):
        return ErrorSummary(rows, predicted, 0, None, None, None, None)
    absolute = np.abs(found)
    return ErrorSummary(
        rows,
        predicted,
        len(found),
        float(np.median(absolute)),
        float(np.mean(absolute)),
        float(np.percentile(absolute, 90)),
        float(np.median(found)),
    )


@dataclass(frozen=True)
class Prediction(Answer):
    """All rows of a file, in its order, and their errors."""

    calibration: str
    rows: tuple[PredictedStep, ...]

    def __repr__(self) -> str:
        every = self.summary
        off = every.median_abs_error
        return brief(
            "Prediction",
            f"{every.predicted} of {counted(every.rows, 'row')} predicted",
            f"median error {off:.1%}" if off is not None else "",
            f"constants: {self.calibration}",
        )

    @property
    def summary(self) -> ErrorSummary:
        """The errors of all predicted step times."""
        return step_errors(self.rows)

    @property
    def recorded(self) -> ErrorSummary:
        """The errors of those step times whose context was recorded."""
        return step_errors([row for row in self.rows if row.context_recorded])

    @property
    def within_band(self) -> float | None:
        """The share of the compared rows whose step lies between `low_ms` and `high_ms`."""
        inside = [
            one.low_ms <= one.measured_ms <= one.high_ms
            for one in self.rows
            if one.measured_ms is not None and one.low_ms is not None and one.high_ms is not None
        ]
        return sum(inside) / len(inside) if inside else None

    @property
    def power(self) -> ErrorSummary:
        """The errors of power, on the rows where it can be compared."""
        measured = [row for row in self.rows if row.measured_power_w is not None]
        predicted = [row for row in measured if row.power_error is not None]
        errors = [
            row.power_error
            for row in predicted
            if row.power_compared and row.power_error is not None
        ]
        return summarised(len(measured), len(predicted), errors)

    @property
    def power_of_all(self) -> ErrorSummary:
        """The errors of power on all rows that have it."""
        measured = [row for row in self.rows if row.measured_power_w is not None]
        errors = [row.power_error for row in measured if row.power_error is not None]
        return summarised(len(measured), len(errors), errors)

    def by(self, key: Callable[[PredictedStep], str | None]) -> dict[str, ErrorSummary]:
        """Return the errors by a property of the rows, those left out that do not have it."""
        groups: dict[str, list[PredictedStep]] = {}
        for row in self.rows:
            name = key(row)
            if name is not None and row.error is not None:
                groups.setdefault(name, []).append(row)
        return {name: step_errors(groups[name]) for name in sorted(groups)}

    def to_dict(self) -> dict[str, Any]:
        """Return the documented JSON structure."""
        return {
            "calibration": self.calibration,
            "summary": asdict(self.summary),
            "recorded": asdict(self.recorded),
            "within_band": self.within_band,
            "power": {**asdict(self.power), "all_rows": asdict(self.power_of_all)},
            "rows": [asdict(row) for row in self.rows],
        }

    @property
    def frame(self) -> "pd.DataFrame":
        """One row per measured row, the parts of the step in columns of their own."""
        import pandas as pd  # 0.3 s that only frames need

        return pd.DataFrame([flat(row) for row in self.rows])


def flat(row: PredictedStep) -> dict[str, Any]:
    """Return a row without nested values."""
    found = asdict(row)
    parts = found.pop("parts_ms")
    return found | {f"{name}_ms": parts.get(name) for name in (*STEP_RESOURCES, "latency")}


def step_errors(rows: Iterable[PredictedStep]) -> ErrorSummary:
    """Return the summary of the errors of step times."""
    listed = list(rows)
    predicted = [row for row in listed if row.predicted_ms is not None]
    errors = [row.error for row in predicted if row.error is not None]
    return summarised(len(listed), len(predicted), errors)


@verb
def predict(
    source: str | Path,
    *,
    llm_configs: str | Path | None = None,
    calibration: str | Path = "universal",
    recorded_only: bool = False,
) -> Prediction:
    """Predict the measured steps of a CSV file.

    Parameters
    ----------
    source
        A file in the format of ``instances/measured/decode_steps.csv``.
    llm_configs
        A folder of Hugging Face configurations, ``ORG--NAME.json``, for models that the
        catalogue does not have.
    calibration
        ``universal``, ``calibrated`` (the constants of each row's chip and layout), ``spec_sheet``,
        another entry of the catalogue, or a calibration file.
    recorded_only
        Leave out the rows whose context is a stand-in.

    Raises
    ------
    InputError
        For a file that is no such table, or a calibration that there is not. A row that cannot be
        predicted is no error: it says why.
    """
    predictor = Predictor(calibration, Path(llm_configs) if llm_configs is not None else None)
    return predictor.predict(
        read_measured_steps(shipped.measured(source)), recorded_only=recorded_only
    )


@dataclass(frozen=True)
class StepCase:
    """A measured row as the model sees it: who runs what, at which batch per replica."""

    instance: Instance
    configuration: Configuration
    replicas: int
    batch: float

    @cached_property
    def _alone(self) -> Alike:
        """The row's configuration at full clock, without others that stand with it.

        It ran, so weights and caches did fit, whatever share of the HBM constants say is usable.
        """
        roomy = self.instance.scaled(("rack", "accelerator", "hbm_capacity"), AMPLE)
        (found,) = alike(roomy, [replace(self.configuration, clocks=(1.0,))])
        return found

    @property
    def demand(self) -> Demand:
        """What the row's configuration asks for at full clock."""
        return self._alone.demand

    def rates(self) -> BatchRates:
        """Return how fast the row's configuration runs at its batch, at full clock."""
        return OperatingPoints([self._alone]).at(0, np.array([self.batch]))

    def parts_ms(self) -> dict[str, float]:
        """Return what a step of the row spends on each resource."""
        parts = step_parts(self.done)
        return {name: float(spent) for name, spent in parts.items() if name not in OFFLOADED}

    @cached_property
    def done(self) -> Work:
        """What a step of the row does."""
        replica = self.demand.replica(1.0, Segment(self.batch, self.batch))
        return work(replica, ClockPoint(1.0, 1.0, self.batch, ()))


class Predictor:
    """Predicts rows, with what they share loaded once."""

    def __init__(self, calibration: str | Path, folder: Path | None) -> None:
        name = str(calibration)
        plain = name.lower().replace(" ", "_").replace("-", "_")
        self.calibration = SPEC_SHEET if plain == SPEC_SHEET else name
        self._models = KnownModels(folder)
        self._instances: dict[str, Instance] = {}
        if self.calibration != CALIBRATED:
            self._load("nvidia_h100_sxm")  # a wrong name is an error of the call, not of rows

    def predict(self, table: MeasuredTable, *, recorded_only: bool = False) -> Prediction:
        """Return the prediction of every row of a table."""
        rows = [self.row(row, table, recorded_only=recorded_only) for row in table.rows]
        return Prediction(self.calibration, tuple(rows))

    def _load(self, chip: str) -> Instance:
        """Return an instance of a chip and calibration, to be filled with model and workload."""
        if chip not in self._instances:
            rack = {"name": chip, "accelerator": chip, "accelerators": 1, "static_power": "0 W"}
            problem = {"rack": rack, "llm": "llama_3_1_8b", "workload": {"context": 1}}
            try:
                instance = load(problem | {"calibration": self.calibration})
            except InputError as error:
                said = str(error).removeprefix("<mapping>: calibration: ")
                raise InputError(f"--calibration {self.calibration}: {said}") from None
            self._instances[chip] = instance
        return self._instances[chip]

    def case(self, row: Row, *, flags: bool) -> StepCase:
        """Return a row as the model sees it. Raises `UnusableRowError` where it cannot be."""
        if row.torn is not None:
            raise UnusableRowError(row.torn)
        llm = self._models.find(row.text("model"), row.text("weight_format").lower())
        base = self._load(known_chip(row.text("accelerator")))
        context, batch = row.number("context_tokens"), row.number("batch")
        scheme = weight_scheme(row, llm.native_format, llm.weight_formats, llm.schemes)
        kv_format = cache_format(row)
        placed = placement(row, experts=llm.mixture is not None, flags=flags)
        size = Figure(float(placed.layout.accelerators), "count")
        workload: dict[str, object] = {"context": Figure(context, "count")}
        between = prompts_between(row)
        if between is not None:
            prompt, output = (Figure(one, "count") for one in between)
            workload |= {"prefill": "shared", "prompt": prompt, "output": output}
        instance = base.model_copy(
            update={
                "llm": llm,
                "rack": base.rack.model_copy(update={"accelerators": size}),
                "workload": base.workload.model_copy(update=workload),
            }
        )
        reason = why_not(placed.layout, instance)
        domain = scale_up_domain(base.rack.accelerator.name)
        if domain is not None and placed.layout.tensor_parallel > domain:
            reason = f"tensor parallelism is wider than the scale-up domain of {domain}"
        if reason is not None:
            raise UnusableRowError(f"layout {placed.layout}: {reason}")
        if domain is not None:
            # It ran across domains, which a plan would not.
            within = Figure(float(domain), "count")
            rack = instance.rack.model_copy(update={"scale_up_domain": within})
            instance = instance.model_copy(update={"rack": rack})
        configuration = Configuration(placed.layout, scheme, kv_format, 0, (1.0,))
        # A replica that runs at all runs with a sequence: fewer on average are pauses between.
        each = max(1.0, batch / placed.replicas)
        return StepCase(instance, configuration, placed.replicas, each)

    def row(self, row: Row, table: MeasuredTable, *, recorded_only: bool = False) -> PredictedStep:
        """Return the prediction of one row, or the reason why there is none."""
        stated = PredictedStep(
            line=row.line,
            source=row.text("source"),
            model=row.text("model"),
            llm=None,
            accelerator=row.text("accelerator"),
            weight_format=row.text("weight_format"),
            kv_format=row.text("kv_format"),
            layout=None,
            mode=None,
            replicas=None,
            framework=row.text("framework"),
            engine=row.engine,
            context_tokens=None,
            context_recorded=recorded(row),
            batch=None,
            calibration=None,
            measured_ms=None,
            predicted_ms=None,
            error=None,
            known=None,
            low_ms=None,
            high_ms=None,
            measured_power_w=None,
            predicted_power_w=None,
            power_error=None,
            power_compared=False,
            contradiction=None,
            parts_ms={},
            reason=None,
        )
        try:
            if recorded_only and not stated.context_recorded:
                raise UnusableRowError(LEFT_OUT)
            case = self.case(row, flags=table.flags)
            return self._predicted(row, stated, case)
        except UnusableRowError as error:
            return replace(stated, reason=str(error))

    def _predicted(self, row: Row, stated: PredictedStep, case: StepCase) -> PredictedStep:
        measured, drawn = row.optional("step_ms"), row.optional("power_w_per_accelerator")
        made = row.optional("tokens_per_s_per_accelerator")
        layout, rates = case.configuration.layout, case.rates()
        # What limits on power add to a step is in the constants, which were fitted to such steps.
        step = 1.0 / float(rates.rate[0])
        error = step / measured - 1.0 if measured is not None else None
        power = power_at(rates, case.instance, measured or step)
        calibration, ranks = case.instance.calibration, layout.attention_data_parallel
        band = calibration.band("step", case.instance.known, ranks)
        contradiction = None
        if measured is not None and made is not None:
            count = layout.accelerators * case.replicas
            contradiction = row.number("batch") / measured * 1e3 / count / made
        return replace(
            stated,
            llm=case.instance.llm.name,
            accelerator=case.instance.rack.accelerator.name,
            weight_format=case.configuration.weight_format,
            kv_format=case.configuration.kv_format,
            layout=str(layout),
            mode=layout_mode(layout.attention_data_parallel),
            replicas=case.replicas,
            context_tokens=row.number("context_tokens"),
            batch=row.number("batch"),
            calibration=case.instance.calibration.name,
            measured_ms=measured,
            predicted_ms=step,
            error=error,
            known=case.instance.known if band is not None else None,
            low_ms=step * band.at(LOW) if band is not None else None,
            high_ms=step * band.at(HIGH) if band is not None else None,
            measured_power_w=drawn,
            predicted_power_w=power,
            power_error=power / drawn - 1.0 if drawn is not None else None,
            power_compared=stated.context_recorded
            or (error is not None and 1 / CONTEXT_STANDS <= 1.0 + error <= CONTEXT_STANDS),
            contradiction=contradiction,
            parts_ms=case.parts_ms(),
        )


AMPLE = 1e3
"""Times its HBM that every row fits in."""

OFFLOADED = ("sram", "lpu_compute", "lpu_link")
"""Resources of LPUs, which no measured step has."""


def power_at(rates: BatchRates, instance: Instance, step_ms: float) -> float:
    """Return the W of an accelerator whose replica makes a step every `step_ms` ms.

    One that would draw more than its limit stays there by lowering its clock.
    """
    share = min(1.0, float(rates.heat_at(np.array([1.0 / step_ms]))[0]))
    return 1e3 * share * float(instance.rack.accelerator.limit)
