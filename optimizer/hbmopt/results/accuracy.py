"""What the step times of an answer rest on, and how far they were from measured ones."""

from collections.abc import Sequence

from hbmopt.instance import EXPERT_PARALLEL, ErrorBand, Instance, StepError, layout_mode
from hbmopt.results.solution import StepAccuracy


def step_accuracy(instance: Instance, attention_data_parallel: Sequence[int]) -> StepAccuracy:
    """Return the accuracy of step times for the layouts that run; the worst band of theirs.

    `attention_data_parallel` is that of each running configuration; none where nothing runs.
    """
    calibration, chip = instance.calibration, instance.rack.accelerator.name
    found = [calibration.error(chip, data) for data in attention_data_parallel or (1,)]
    worst: StepError | None = None
    if all(found) and not _changed(instance):
        worst = max((one for one in found if one is not None), key=lambda one: one.median)
    overall = calibration.overall_error()
    return StepAccuracy(
        basis=calibration.basis,
        calibration=calibration.name,
        measured_rows=worst.rows if worst is not None else 0,
        median_error=worst.median if worst is not None else None,
        p90_error=worst.p90 if worst is not None else None,
        overall_median_error=overall.median if overall is not None else None,
        statement=_statement(instance, worst, attention_data_parallel),
    )


def _changed(instance: Instance) -> bool:
    """Whether somebody gave the chip other rates than those that were measured."""
    chip = instance.rack.accelerator
    rates = [chip.hbm_bandwidth, chip.scale_up_bandwidth, *chip.peak_flops.values()]
    return any(rate.status == "given" for rate in rates)


def _statement(
    instance: Instance, band: StepError | None, attention_data_parallel: Sequence[int]
) -> str:
    calibration, chip = instance.calibration, instance.rack.accelerator
    name = chip.title or chip.name
    if calibration.basis == "spec sheet":
        return "constants of a data sheet or one's own; not compared with measured steps"
    if band is not None:
        held = " that were not fitted" if calibration.basis == "calibrated" else ""
        text = f"within {band.median:.0%} (median), {band.p90:.0%} (90th percentile) of "
        return text + f"{band.rows} measured ones{held}{_lag(band)}"
    if _changed(instance):
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
