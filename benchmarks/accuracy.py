"""Predicted against measured decode steps: the calibrations, the document and its charts.

Fits the catalogue's calibrations to instances/measured/decode_steps.csv, one per family of chips,
and writes docs/accuracy.md, whose words stand in accuracy_template.md. Run it from the repository's
root with the environment in which hbmopt is installed:

    .venv/bin/python benchmarks/accuracy.py
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from accuracy_rows import Judged

from hbmopt.documents import catalogue
from hbmopt.instance import HIGH, LOW, PROBABILITIES, Known, QuantileBand
from hbmopt.instance.calibration import (
    EXPERT_PARALLEL,
    LATENCIES,
    STEP_RESOURCES,
    TENSOR_PARALLEL,
    StepError,
    VendorError,
)
from hbmopt.report.tables.calibration_file import (
    band_lines,
    calibration_yaml,
    error_lines,
    measured_lines,
    quantile_line,
)
from hbmopt.report.tables.prediction_report import percent
from hbmopt.studies.accuracy.calibrating import (
    CONTRADICTION,
    CalibrationFit,
    calibrate,
    quantile_band,
    step_bands,
)
from hbmopt.studies.accuracy.constant_fits import Draw, Step, constants, fit_power, fit_steps
from hbmopt.studies.accuracy.known_models import catalogue_llm
from hbmopt.studies.accuracy.measured_steps import read_measured_steps, recorded
from hbmopt.studies.accuracy.prediction import (
    ErrorSummary,
    PredictedStep,
    Prediction,
    predict,
    summarised,
)

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "instances" / "measured" / "decode_steps.csv"
PURE = ROOT / "instances" / "measured" / "decode_steps_pure.csv"
CALIBRATIONS = ROOT / "instances" / "catalog" / "calibrations"
TEMPLATE = ROOT / "benchmarks" / "accuracy_template.md"
DOCUMENT = ROOT / "docs" / "accuracy.md"
UNFITTED = ("universal", "spec_sheet", "kernels")
MARK = "measured:"


@dataclass(frozen=True)
class Family:
    """Chips that share constants, as the catalogue's entry names them, and their fit."""

    name: str
    title: str
    same_architecture: tuple[str, ...]
    fit: CalibrationFit

    @property
    def short(self) -> str:
        """The title up to the comma."""
        return self.title.split(",")[0]

    def text(self) -> str:
        """Return the entry of the catalogue."""
        return calibration_yaml(
            self.fit, title=self.title, same_architecture=self.same_architecture
        )


@cache
def fitted_family(name: str) -> Family:
    """Fit an entry of the catalogue to the chips that it names."""
    entry = yaml.safe_load((CALIBRATIONS / f"{name}.yaml").read_text(encoding="utf-8"))
    fit = calibrate(MEASURED, chips=entry["accelerators"], name=name)
    return Family(name, entry["title"], tuple(entry.get("same_architecture") or ()), fit)


def fitted_families() -> list[Family]:
    """Fit every entry of the catalogue that names chips."""
    names = (path.stem for path in sorted(CALIBRATIONS.glob("*.yaml")))
    return [fitted_family(name) for name in names if name not in UNFITTED]


@cache
def universal_prediction() -> Prediction:
    """Return what the universal constants predict of every measured row."""
    return predict(MEASURED)


def judged_rows(families: list[Family]) -> list[Judged]:
    """Return the rows with a recorded context; errors are predicted / measured - 1."""
    universal = universal_prediction()
    ideal = {row.line: row.error for row in predict(MEASURED, calibration="spec_sheet").rows}
    rows = {row.line: row for row in universal.rows}
    found = []
    for family in families:
        held_out = family.fit.held_out_ms
        for step in family.fit.steps:
            row, error = rows[step.line], ideal[step.line]
            if row.error is None or error is None:
                raise AssertionError(f"line {step.line} is predicted by one set of constants only")
            fitted = held_out[step.line] / step.measured_ms - 1
            found.append(Judged(row, family.short, row.error, fitted, error, step.contradicts))
    return found


def universal_fit() -> CalibrationFit:
    """Fit the universal constants to all chips."""
    return calibrate(MEASURED, name="universal")


NESTED: tuple[tuple[Known, tuple[Known, ...]], ...] = (
    ("model and chip", ("model and chip",)),
    ("chip", ("model and chip", "chip")),
    ("family", ("model and chip", "chip", "family")),
    ("nothing", ("model and chip", "chip", "family", "nothing")),
)
"""Who knows less is not surer: bands hold those of all that know more."""


@cache
def architecture_of(chip: str) -> str:
    """Return the architecture of a chip of the catalogue."""
    entry = catalogue.entry("accelerators", chip).value
    return str(entry["architecture"]) if isinstance(entry, dict) else ""


def left_out_steps(fit: CalibrationFit) -> dict[Known, list[tuple[Step, float]]]:
    """Return steps and predicted / measured - 1 of fits that know so much of their rows."""
    steps = [one for one in fit.steps if not one.contradicts]
    held = fit.held_out_ms
    families: list[tuple[Step, float]] = []
    for family in sorted({architecture_of(one.series[2]) for one in steps}):
        own = [architecture_of(one.series[2]) == family for one in steps]
        for llm in sorted({one.series[1] for one, mine in zip(steps, own, strict=True) if mine}):
            rest = [
                one
                for one, mine in zip(steps, own, strict=True)
                if not mine and one.series[1] != llm
            ]
            tested = [
                one for one, mine in zip(steps, own, strict=True) if mine and one.series[1] == llm
            ]
            predicted = fit_steps(rest).predict(tested)
            families += [
                (one, float(ms) / one.measured_ms - 1)
                for one, ms in zip(tested, predicted, strict=True)
            ]
    return {
        "model and chip": [(one, held[one.line] / one.measured_ms - 1) for one in steps],
        "chip": left_out(steps, 1),
        "family": left_out(steps, 2),
        "nothing": families,
    }


def left_out_draws(fit: CalibrationFit) -> dict[Known, list[tuple[Draw, float]]]:
    """Return draws and predicted / measured - 1 of laws that know so much of their rows."""
    by_series = [(one, fit.held_out_power[one.line] / one.watts - 1) for one in fit.draws]
    by_chip = list[tuple[Draw, float]]()
    for chip in sorted({one.series[2] for one in fit.draws}):
        rest = [one for one in fit.draws if one.series[2] != chip]
        tested = [one for one in fit.draws if one.series[2] == chip]
        predicted = fit_power(rest).predict(tested)
        by_chip += [
            (one, float(watts) / one.watts - 1)
            for one, watts in zip(tested, predicted, strict=True)
        ]
    return {"model and chip": by_series, "chip": by_series, "family": by_chip, "nothing": by_chip}


def nested(found: dict[Known, list[QuantileBand]]) -> list[QuantileBand]:
    """Return the bands, those that know less as wide as those that know more."""
    result = []
    for known, inner in NESTED:
        for band in found[known]:
            others = [one for name in inner for one in found[name] if one.layout == band.layout]
            ends = [[one.quantiles[at] for one in others] for at in range(len(PROBABILITIES))]
            middle = PROBABILITIES.index(0.5)
            quantiles = [
                min(each) if at < middle else max(each) if at > middle else band.quantiles[at]
                for at, each in enumerate(ends)
            ]
            result.append(band.model_copy(update={"quantiles": quantiles}))
    return result


def universal_bands(fit: CalibrationFit) -> list[QuantileBand]:
    """Return how far measured ones lie from predicted, by what is known."""
    steps = {
        known: step_bands(known, [(one.mode, 1.0 / (1.0 + error)) for one, error in found])
        for known, found in left_out_steps(fit).items()
    }
    draws = {
        known: [quantile_band("power", known, "any", [1.0 / (1.0 + error) for _, error in found])]
        for known, found in left_out_draws(fit).items()
    }
    return nested(steps) + nested(draws)


def universal_constants(fit: CalibrationFit) -> str:
    """Return the constants of the universal entry as YAML, those that no row tells as they are."""
    text = (CALIBRATIONS / "universal.yaml").read_text(encoding="utf-8")
    fitted = calibration_yaml(fit)
    for part in ("efficiency", "latency", "architectures", "power_law"):
        block = fitted.partition(f"\n{part}:\n")[2]
        for line in block.splitlines():
            if not line.startswith("  "):
                break
            name, _, value = line.partition(": ")
            written = next(
                (
                    one
                    for one in text.partition(f"\n{part}:\n")[2].splitlines()
                    if one.startswith(f"{name}: ")
                ),
                None,
            )
            if written is None or not value:
                continue
            head, found, rest = text.partition(f"\n{part}:\n")
            text = head + found + rest.replace(written, line, 1)
    return text


def _errors(errors: Iterable[float]) -> ErrorSummary:
    """Return the summary of errors, all of which are of rows that were predicted."""
    listed = list(errors)
    return summarised(len(listed), len(listed), listed)


def universal_errors(families: list[Family], rows: list[Judged]) -> list[StepError]:
    """Return the errors of the universal constants by family and layout."""
    found = []
    for family in families:
        for mode in (TENSOR_PARALLEL, EXPERT_PARALLEL):
            lines = {one.line for one in family.fit.steps if one.mode == mode}
            errors = [
                one.universal for one in rows if one.row.line in lines and not one.contradicts
            ]
            if not errors:
                continue
            summary = _errors(errors)
            series = {one.series for one in family.fit.steps if one.mode == mode}
            found.append(
                StepError(
                    accelerators=list(family.fit.accelerators),
                    layout="tensor_parallel" if mode == TENSOR_PARALLEL else "expert_parallel",
                    rows=len(errors),
                    series=len(series),
                    **_rounded(summary),
                )
            )
    return found


def overall_errors(rows: list[Judged]) -> list[VendorError]:
    """Return the errors of the universal constants over all rows, and by vendor."""
    vendors = {name: vendor_of(name) for name in {one.row.accelerator for one in rows}}
    found = []
    for vendor in ("", *sorted(set(vendors.values()))):
        members = [one for one in rows if vendor in ("", vendors[one.row.accelerator])]
        summary = _summary(members, "universal")
        found.append(VendorError(vendor=vendor, rows=len(members), **_rounded(summary)))
    return found


def vendor_of(accelerator: str) -> str:
    """Return the vendor of a chip of the catalogue."""
    entry = catalogue.entry("accelerators", accelerator).value
    return str(entry["vendor"]) if isinstance(entry, dict) else ""


def _rounded(summary: ErrorSummary) -> dict[str, float]:
    return {
        "median": round(summary.median_abs_error or 0.0, 3),
        "mean": round(summary.mean_abs_error or 0.0, 3),
        "p90": round(summary.p90_abs_error or 0.0, 3),
        "bias": round(summary.bias or 0.0, 3),
    }


def universal_text(fit: CalibrationFit, overall: list[VendorError], errors: list[StepError]) -> str:
    """Return the universal entry with its constants and errors."""
    text = universal_constants(fit)
    lines = [text.partition("\n" + MARK)[0]]
    lines += measured_lines(fit.measured)
    lines.append("bands:")
    lines += [quantile_line(one) for one in universal_bands(fit)]
    lines.append("overall:")
    for all_rows in overall:
        lines.append(f"  - rows: {all_rows.rows}")
        if all_rows.vendor:
            lines.append(f"    vendor: {all_rows.vendor}")
        lines += band_lines(all_rows)
    lines.append("errors:")
    for one in errors:
        lines += error_lines(one)
    return "\n".join(lines) + "\n"


MODEL_CLASSES = {
    (False, False): "dense, grouped attention",
    (True, False): "mixture of experts, grouped attention",
    (True, True): "mixture of experts, latent attention",
    (False, True): "dense, latent attention",
}


def model_class(row: PredictedStep) -> str:
    """Return the class of a row's model."""
    llm = catalogue_llm(row.llm or "")
    latent = any(group.kind == "latent" for group in llm.attention)
    return MODEL_CLASSES[llm.mixture is not None, latent]


BATCHES = ((64, "64 and more"), (16, "16 to 64"), (4, "4 to 16"), (1, "1 to 4"), (0, "below 1"))


def batch_range(row: PredictedStep) -> str:
    """Return the range of a row's sequences per accelerator."""
    each = (row.batch or 0.0) / accelerators(row)
    return next(name for least, name in BATCHES if each >= least)


def accelerators(row: PredictedStep) -> int:
    """Return the accelerators of a row."""
    return int((row.layout or "on 1").rsplit(" ", maxsplit=1)[-1]) * (row.replicas or 1)


ENGINE_NAMES = {"trtllm": "TensorRT-LLM", "sglang": "SGLang", "vllm": "vLLM", "atom": "ATOM"}

LAYOUTS = {
    TENSOR_PARALLEL: "tensor parallel",
    EXPERT_PARALLEL: "attention-data and expert parallel",
}


def errors_table(
    first: str, rows: list[Judged], key: Callable[[Judged], str], order: Sequence[str] = ()
) -> list[str]:
    """Return a table of the errors of universal and held-out constants by group."""
    lines = [
        f"| {first} | rows | universal: median | mean | 90 % | bias "
        "| calibrated, held out: median | mean | 90 % | bias |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    groups: dict[str, list[Judged]] = {}
    for one in rows:
        groups.setdefault(key(one), []).append(one)
    for name in [one for one in order if one in groups] or sorted(groups):
        members = groups[name]
        cells = [name, str(len(members))]
        for attribute in ("universal", "held_out"):
            cells += _cells(_summary(members, attribute))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _summary(rows: Iterable[Judged], attribute: str) -> ErrorSummary:
    return _errors(getattr(one, attribute) for one in rows)


def _cells(summary: ErrorSummary) -> list[str]:
    return [
        percent(summary.median_abs_error),
        percent(summary.mean_abs_error),
        percent(summary.p90_abs_error),
        percent(summary.bias, sign=True),
    ]


def _line(name: str, summary: ErrorSummary) -> str:
    return "| " + " | ".join([name, str(summary.compared), *_cells(summary)]) + " |"


HEAD = ["| rows | number | median | mean | 90 % | bias |", "|---|--:|--:|--:|--:|--:|"]


def worst_groups(rows: list[Judged], count: int = 10) -> list[str]:
    """Return the series that the held-out constants are furthest from."""
    groups: dict[tuple[str, ...], list[Judged]] = {}
    for one in rows:
        row = one.row
        engine = ENGINE_NAMES.get(row.engine or "", row.framework or "not said")
        key = (row.accelerator, row.llm or "", row.weight_format, row.layout or "", engine)
        groups.setdefault(key, []).append(one)
    found = [
        (key, members, _summary(members, "held_out"))
        for key, members in groups.items()
        if len(members) >= 3
    ]
    found.sort(key=lambda one: -(one[2].median_abs_error or 0.0))
    lines = [
        "| chip | model | weights | layout | engine | rows | universal | calibrated, held out |",
        "|---|---|---|---|---|--:|--:|--:|",
    ]
    for key, members, summary in found[:count]:
        universal = _summary(members, "universal")
        lines.append(
            f"| {' | '.join(key)} | {len(members)} | {percent(universal.bias, sign=True)} "
            f"| {percent(summary.bias, sign=True)} |"
        )
    return lines


LEFT_OUT = (("model", 1), ("chip", 2), ("source", 0))
"""What is left out of a fit as a whole, and where it stands in a series."""


def left_out(steps: Sequence[Step], position: int) -> list[tuple[Step, float]]:
    """Return steps and the errors of constants that were fitted without all that shares a part."""
    found = []
    for group in sorted({one.series[position] for one in steps}):
        rest = [one for one in steps if one.series[position] != group]
        tested = [one for one in steps if one.series[position] == group]
        predicted = fit_steps(rest).predict(tested)
        found += [
            (one, float(ms) / one.measured_ms - 1)
            for one, ms in zip(tested, predicted, strict=True)
        ]
    return found


def long_prompts(step: Step) -> bool:
    """Whether more than two prompt tokens for each output token are computed between the steps."""
    return step.prompts > 2.0


def left_out_table(fit: CalibrationFit) -> list[str]:
    """Return errors of one set of constants on what had no part in it, long prompts apart."""
    steps = [one for one in fit.steps if not one.contradicts]
    lines = [
        "| left out | rows | median | mean | 90 % | bias | long prompts: rows | median | bias |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    predicted = fit.constants.predict(steps)
    every = [
        (one, float(ms) / one.measured_ms - 1) for one, ms in zip(steps, predicted, strict=True)
    ]
    for name, found in (
        ("nothing: all rows in the fit", every),
        *((f"the row's {name}", left_out(steps, position)) for name, position in LEFT_OUT),
    ):
        errors = [error for one, error in found if not long_prompts(one)]
        others = [error for one, error in found if long_prompts(one)]
        usual = _errors(errors)
        rest = _errors(others)
        cells = [name, str(usual.compared), *_cells(usual), str(rest.compared)]
        cells += [percent(rest.median_abs_error), percent(rest.bias, sign=True)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def ablation_table(fit: CalibrationFit) -> list[str]:
    """Return what each term is worth: errors of fits that do without it."""
    steps = [one for one in fit.steps if not one.contradicts]
    lines = [
        "| without | all in the fit | chip left out | model left out | long prompts, all in |",
        "|---|--:|--:|--:|--:|",
    ]
    for name in ("", *ABLATED):
        kept = [_without(one, name) for one in steps] if name else steps
        predicted = fit_steps(kept).predict(kept)
        errors = [
            (one, float(ms) / one.measured_ms - 1) for one, ms in zip(kept, predicted, strict=True)
        ]
        groups = [
            [error for one, error in errors if not long_prompts(one)],
            [error for one, error in left_out(kept, 2) if not long_prompts(one)],
            [error for one, error in left_out(kept, 1) if not long_prompts(one)],
            [error for one, error in errors if long_prompts(one)],
        ]
        medians = [percent(_errors(one).median_abs_error) for one in groups]
        lines.append("| " + " | ".join([name or "nothing", *medians]) + " |")
    return lines


ABLATED = ("prefill", "link", *LATENCIES, "hopper.per_expert_block", "cdna4.per_layer")


def _without(step: Step, name: str) -> Step:
    place = constants().index(name)
    terms = [*step.at_peak, *step.counts]
    terms[place] = 0.0
    rates = len(step.at_peak)
    return replace(step, at_peak=tuple(terms[:rates]), counts=tuple(terms[rates:]))


def kernels_text() -> str:
    """Return the entry of kernels alone, fitted to steps without prompts in between."""
    return calibration_yaml(calibrate(PURE, name="kernels"), title=KERNELS)


KERNELS = "Kernels alone: steps as CUDA graphs, nothing scheduled in between"


def pure_table() -> list[str]:
    """Return errors on steps without prompts in between, of served constants and of their own."""
    fit = calibrate(PURE, name="pure")
    steps = list(fit.steps)
    served = {row.line: row.error for row in predict(PURE).rows if row.error is not None}
    halves = []
    for begin in (0, 1):
        found = fit_steps(steps[begin::2]).predict(steps[1 - begin :: 2])
        halves += [
            float(ms) / one.measured_ms - 1
            for one, ms in zip(steps[1 - begin :: 2], found, strict=True)
        ]
    return [
        *HEAD,
        _line("universal: what serving engines take", _errors(served.values())),
        _line("fitted to the other half of the rows", _errors(halves)),
        _line("fitted, each model's rows held out", _errors(e for _, e in left_out(steps, 1))),
    ]


def power_lines(fit: CalibrationFit, families: list[Family]) -> list[str]:
    """Return the table of power: laws and their mean errors, left out by series and by chip."""
    lines = [
        "| fitted to | rows | running | hbm | bf16 | mean error | series left out | chip left out "
        "| of these with a recorded context |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    pure = calibrate(PURE, name="pure")
    lines.append(_power_line("all rows", fit, chips=True))
    lines += [_power_line(one.short, one.fit) for one in families if one.fit.power is not None]
    lines.append(_power_line("kernels alone", pure))
    return lines


def _power_line(name: str, fit: CalibrationFit, *, chips: bool = False) -> str:
    law = fit.power
    if law is None:
        raise AssertionError(f"{name} has no power")
    fitted = [
        float(watts) / one.watts - 1
        for one, watts in zip(fit.draws, law.predict(fit.draws), strict=True)
    ]
    series = [fit.held_out_power[one.line] / one.watts - 1 for one in fit.draws]
    cells = [name, str(len(fit.draws)), f"{law.running:.0f} W", f"{law.hbm:.0f} pJ/B"]
    cells += [f"{law.flop:.2f} pJ", _mean(fitted), _mean(series)]
    left = left_out_draws(fit)["family"] if chips else []
    cells.append(_mean([error for _, error in left]) if left else "")
    known = recorded_lines() if chips else frozenset()
    own = [error for one, error in left if one.line in known]
    cells.append(f"{_mean(own)} of {len(own)} rows" if own else "")
    return "| " + " | ".join(cells) + " |"


def recorded_lines() -> frozenset[int]:
    """Return the lines of the measured rows with a recorded context."""
    return frozenset(row.line for row in read_measured_steps(MEASURED).rows if recorded(row))


def _mean(errors: list[float]) -> str:
    return percent(_errors(errors).mean_abs_error)


def band_lines_of(fit: CalibrationFit) -> list[str]:
    """Return the table of bands, and what share of rows left out lies in them."""
    steps, draws = left_out_steps(fit), left_out_draws(fit)
    lines = [
        "| known of chip and model | layout | rows | 10 % | median | 90 % | rows inside |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for band in universal_bands(fit):
        if band.of == "step":
            errors = [error for one, error in steps[band.known] if band.layout in ("any", one.mode)]
        else:
            errors = [error for _, error in draws[band.known]]
        low, middle, high = (band.at(one) for one in (LOW, 0.5, HIGH))
        inside = sum(low <= 1.0 / (1.0 + error) <= high for error in errors) / len(errors)
        layout = "power" if band.of == "power" else band.layout.replace("_", " ")
        lines.append(
            f"| {band.known} | {layout} | {band.rows} | {low:.2f} | {middle:.2f} | {high:.2f} "
            f"| {inside:.0%} |"
        )
    return lines


def constants_table(families: list[Family], universal: CalibrationFit) -> list[str]:
    """Return the fitted constants, those of the universal set first."""
    listed = [("universal", universal), *((one.short, one.fit) for one in families)]
    lines = [
        "| constant | " + " | ".join(name for name, _ in listed) + " |",
        "|---|" + "--:|" * len(listed),
    ]
    for name in (*STEP_RESOURCES, *LATENCIES):
        cells = []
        for _, fit in listed:
            found = fit.constants
            if name in found.efficiency:
                cells.append(f"{found.efficiency[name]:.2f}")
            else:
                cells.append(f"{1e3 * found.latency[name]:.0f} µs")
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    for one in universal.constants.architectures:
        cells = [f"{1e3 * fit.constants.architectures[one]:.0f} µs" for _, fit in listed]
        lines.append(f"| `{'.'.join(one)}` | " + " | ".join(cells) + " |")
    return lines


def document_text(fit: CalibrationFit, families: list[Family], rows: list[Judged]) -> str:
    """Return the document."""
    used = [one for one in rows if not one.contradicts]
    nvidia = [one for one in rows if one.row.accelerator.startswith("nvidia")]
    universal = universal_prediction()
    blocks = {
        "rows": str(len(rows)),
        "series": str(len({one.series for family in families for one in family.fit.steps})),
        "contradicting": str(len(rows) - len(used)),
        "factor": f"{CONTRADICTION:g}",
        "all_rows": str(len(read_measured_steps(MEASURED).rows)),
        "headline": "\n".join(
            [
                *HEAD,
                _line("universal, NVIDIA chips", _summary(nvidia, "universal")),
                _line("universal, all", _summary(rows, "universal")),
                _line("calibrated, held-out series", _summary(used, "held_out")),
                _line("the same, with contradicting rows", _summary(rows, "held_out")),
                _line("ideal roofline (`spec_sheet`)", _summary(rows, "ideal")),
            ]
        ),
        "left_out": "\n".join(left_out_table(fit)),
        "ablation": "\n".join(ablation_table(fit)),
        "pure": "\n".join(pure_table()),
        "by_family": "\n".join(errors_table("family", used, lambda one: one.family)),
        "by_chip": "\n".join(errors_table("chip", used, lambda one: one.row.accelerator)),
        "by_model": "\n".join(errors_table("model", used, lambda one: one.row.llm or "")),
        "by_class": "\n".join(errors_table("class", used, lambda one: model_class(one.row))),
        "by_layout": "\n".join(
            errors_table("layout", used, lambda one: LAYOUTS[one.row.mode or TENSOR_PARALLEL])
        ),
        "by_engine": "\n".join(
            errors_table(
                "engine", used, lambda one: ENGINE_NAMES.get(one.row.engine or "", "not said")
            )
        ),
        "by_batch": "\n".join(
            errors_table(
                "sequences per accelerator",
                used,
                lambda one: batch_range(one.row),
                [name for _, name in reversed(BATCHES)],
            )
        ),
        "worst": "\n".join(worst_groups(used)),
        "constants": "\n".join(constants_table(families, fit)),
        "power": "\n".join(power_lines(fit, families)),
        "bands": "\n".join(band_lines_of(fit)),
        "power_rows": str(universal.power.rows),
        "power_compared": str(universal.power.compared),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, block in blocks.items():
        text = text.replace("{" + name + "}", block)
    return text


def charts(rows: list[Judged]) -> dict[str, Any]:
    """Return the charts by the name of their file."""
    from accuracy_charts import error_chart, scatter_chart  # altair takes 0.3 s

    return {"accuracy_steps.svg": scatter_chart(rows), "accuracy_errors.svg": error_chart(rows)}


def outputs() -> dict[Path, Callable[[], str]]:
    """Return what is written, by path: the calibrations, then the document."""
    fit, families = universal_fit(), fitted_families()
    rows = judged_rows(families)
    found: dict[Path, Callable[[], str]] = {
        CALIBRATIONS / f"{family.name}.yaml": family.text for family in families
    }
    found[CALIBRATIONS / "kernels.yaml"] = kernels_text
    errors = universal_errors(families, rows)
    overall = overall_errors(rows)
    found[CALIBRATIONS / "universal.yaml"] = partial(universal_text, fit, overall, errors)
    found[DOCUMENT] = partial(document_text, fit, families, rows)
    return found


def main() -> None:
    """Write calibrations, document and charts."""
    from hbmopt.report.charts.chart_files import write_chart

    if sys.argv[1:]:
        print(__doc__)
        return
    for path, text in outputs().items():
        path.write_text(text(), encoding="utf-8")
        print(path.relative_to(ROOT))
    for name, chart in charts(judged_rows(fitted_families())).items():
        write_chart(chart, DOCUMENT.parent / name)
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
