"""What the step times of an answer rest on, and how far they were from measured ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hbmopt.instance import EXPERT_PARALLEL, HIGH, LOW, ErrorBand, Instance, StepError, layout_mode
from hbmopt.results.solution import StepAccuracy


def step_accuracy(instance: Instance, attention_data_parallel: Sequence[int]) -> StepAccuracy:
    """Return the accuracy of step times for the layouts that run; the worst band of theirs.

    `attention_data_parallel` is that of each running configuration; none where nothing runs.
    """
    calibration, chip = instance.calibration, instance.rack.accelerator.name
    found = [calibration.error(chip, data) for data in attention_data_parallel or (1,)]
    worst: StepError | None = None
    if all(found) and not instance.rates_changed:
        worst = max((one for one in found if one is not None), key=lambda one: one.median)
    overall = calibration.overall_error()
    step = _widest(instance, "step", attention_data_parallel)
    power = _widest(instance, "power", attention_data_parallel)
    return StepAccuracy(
        basis=calibration.basis,
        calibration=calibration.name,
        measured_rows=worst.rows if worst is not None else 0,
        median_error=worst.median if worst is not None else None,
        p90_error=worst.p90 if worst is not None else None,
        overall_median_error=overall.median if overall is not None else None,
        statement=_planned(instance) + _statement(instance, worst, attention_data_parallel),
        known=instance.known if step is not None else None,
        cases=step.rows if step is not None else 0,
        step_low=step.low if step is not None else None,
        step_high=step.high if step is not None else None,
        power_low=power.low if power is not None else None,
        power_high=power.high if power is not None else None,
    )


def _planned(instance: Instance) -> str:
    """Say so where a plan is one for the worst cases."""
    share = float(instance.calibration.worst)
    return f"planned for the slowest {share:.0%} of cases; " if share else ""


@dataclass(frozen=True)
class _Range:
    """Ends of what four of five cases were of what is predicted, and how many cases there were."""

    rows: int
    low: float
    high: float


def _widest(
    instance: Instance, of: Literal["step", "power"], attention_data_parallel: Sequence[int]
) -> _Range | None:
    """Return the widest range of the layouts that run, None where nothing is known."""
    found = list[_Range]()
    for data in attention_data_parallel or (1,):
        band = instance.calibration.band(of, instance.known, data)
        if band is None:
            return None
        planned = instance.worst_factor(of, data)
        found.append(_Range(band.rows, band.at(LOW) / planned, band.at(HIGH) / planned))
    return max(found, key=lambda one: one.high / one.low)


def _statement(
    instance: Instance, band: StepError | None, attention_data_parallel: Sequence[int]
) -> str:
    calibration, chip = instance.calibration, instance.rack.accelerator
    name = chip.title or chip.name
    if calibration.basis == "spec sheet":
        return "constants of a data sheet or one's own; not compared with measured steps"
    if band is not None:
        left_out = calibration.basis == "calibrated"
        fitted = "each left out in its turn" if left_out else "with any model"
        text = (
            f"{band.median:.0%} off in the median, {band.p90:.0%} at the 90th percentile, on the "
            f"{band.rows} steps of such chips and layouts that constants were fitted to, {fitted}"
        )
        return text + _lag(band)
    if instance.rates_changed:
        text = f"the rates of {name} were changed, so no measured step covers it"
    elif chip.name in calibration.same_architecture:
        text = f"no measured step covers {name}; constants of its architecture"
    elif any(chip.name in one.accelerators for one in calibration.errors):
        spread = any(layout_mode(one) == EXPERT_PARALLEL for one in attention_data_parallel)
        layout = "with" if spread else "without"
        text = f"no measured step of {name} runs {layout} attention-data parallelism"
    else:
        text = f"no measured step covers {name}"
    return text + _elsewhere(instance, attention_data_parallel)


def _lag(band: ErrorBand) -> str:
    """Say how much longer steps take where most are longer than predicted."""
    if abs(band.bias) >= 0.5 * band.median and abs(band.bias) >= 0.1:
        return f", which take {1 / (1 + band.bias):.2g} times as long"
    return ""


def _elsewhere(instance: Instance, attention_data_parallel: Sequence[int]) -> str:
    """Say what the constants are worth on the chips that were measured, this one not among them.

    Over all rows and on those of the same vendor; a fit to a few chips says it of the layouts
    that run.
    """
    calibration, vendor = instance.calibration, instance.rack.accelerator.vendor
    overall = calibration.overall_error()
    if overall is not None:
        text = f"; median error {overall.median:.0%} over all measured chips"
        own = calibration.overall_error(vendor) if vendor else None
        return f"{text}, {own.median:.0%} on {vendor}'s{_lag(own)}" if own is not None else text
    modes = {layout_mode(one) for one in attention_data_parallel}
    medians = [one.median for one in calibration.errors if one.layout in modes]
    return f"; median error {max(medians):.0%} on the chips that were measured" if medians else ""
