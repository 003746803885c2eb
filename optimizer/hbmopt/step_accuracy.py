"""What the step times of an answer rest on, and how far they were from measured ones."""

from collections.abc import Sequence

from hbmopt.calibration import EXPERT_PARALLEL, StepError, layout_mode
from hbmopt.instance import Instance
from hbmopt.solution import StepAccuracy


def step_accuracy(instance: Instance, attention_data_parallel: Sequence[int]) -> StepAccuracy:
    """Return the accuracy of step times for the layouts that run; the worst band of theirs.

    `attention_data_parallel` is that of each running configuration; none where nothing runs.
    """
    calibration, chip = instance.calibration, instance.rack.accelerator.name
    found = [calibration.error(chip, data) for data in attention_data_parallel or (1,)]
    worst: StepError | None = None
    if all(found) and not _changed(instance):
        worst = max((one for one in found if one is not None), key=lambda one: one.median)
    return StepAccuracy(
        basis=calibration.basis,
        calibration=calibration.name,
        engine=calibration.engine,
        measured_rows=worst.rows if worst is not None else 0,
        median_error=worst.median if worst is not None else None,
        p90_error=worst.p90 if worst is not None else None,
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
        text += f"{band.rows} measured ones{held}"
        if abs(band.bias) >= 0.5 * band.median and abs(band.bias) >= 0.1:
            text += f", which take {1 / (1 + band.bias):.2g} times as long"
        return text
    if _changed(instance):
        other = _elsewhere(calibration.errors)
        return f"the rates of {name} were changed, so no measured step covers it{other}"
    if chip.name in calibration.same_architecture:
        return (
            f"no measured step covers {name}; constants of its architecture"
            f"{_elsewhere(calibration.errors)}"
        )
    if any(chip.name in one.accelerators for one in calibration.errors):
        spread = any(layout_mode(one) == EXPERT_PARALLEL for one in attention_data_parallel)
        layout = "with" if spread else "without"
        return f"no measured step of {name} runs {layout} attention-data parallelism"
    return f"no measured step covers {name}{_elsewhere(calibration.errors)}"


def _elsewhere(errors: Sequence[StepError]) -> str:
    """Say what the constants are worth on the chips that were measured."""
    if not errors:
        return ""
    medians = [one.median for one in errors]
    return f" (median error on measured chips: {min(medians):.0%} to {max(medians):.0%})"
