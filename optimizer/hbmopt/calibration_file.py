"""A fitted calibration as a file of the catalogue's form, and what the fit is worth as a table."""

from collections.abc import Sequence

import yaml
from rich.console import Group, RenderableType

from hbmopt.calibrating import CalibrationFit
from hbmopt.calibration import EXPERT_PARALLEL, TENSOR_PARALLEL, ErrorBand, StepError
from hbmopt.constant_fits import StepConstants
from hbmopt.document import parse_document
from hbmopt.errors import InputError
from hbmopt.output import printed
from hbmopt.plain_text import one_line, visible
from hbmopt.prediction_report import add_errors, error_table
from hbmopt.table_text import Text

WIDTH = 110
DIGITS = 3


def calibration_yaml(
    fit: CalibrationFit, *, title: str | None = None, same_architecture: Sequence[str] = ()
) -> str:
    """Return a fit as the YAML of a calibration; constants that were not fitted are left out.

    What is left out comes from the entry `universal`. Where no layout is attention-data parallel
    one set of constants holds for all; where every one is, both modes take it.
    """
    title = title or "fitted to measured decode steps"
    source = _scalar(fit.source)
    lines = [
        f"# {one_line(title)}.",
        f"name: {_scalar(fit.name)}",
        f"title: {_scalar(title)}",
        f"note: {_note(fit)}",
        f"accelerators: [{', '.join(fit.accelerators)}]",
    ]
    if same_architecture:
        lines.append(f"same_architecture: [{', '.join(same_architecture)}]")
    base = fit.constants.get(TENSOR_PARALLEL) or fit.constants[EXPERT_PARALLEL]
    lines += _constants(base, source, "")
    spread = fit.constants.get(EXPERT_PARALLEL)
    if spread is not None and spread is not base:
        lines += ["expert_parallel:", *_constants(spread, source, "  ")]
    if fit.power is not None:
        lines.append("power_law:")
        law = {"active": min(fit.power.active, 1.0), "hbm": fit.power.hbm, "flop": fit.power.flop}
        for name, value in law.items():
            lines.append(f"  {name}: {_figure(_rounded(value), source)}")
    errors = fit.errors()
    if errors:
        lines.append("errors:")
    for error in errors:
        lines += error_lines(error)
    return "\n".join(lines) + "\n"


def _scalar(text: str) -> str:
    """Return a text as YAML, in quotes where it would not be read as itself."""
    try:
        plain = parse_document(f"key: {text}", "").value == {"key": text}
    except InputError:
        plain = False
    if plain and visible(text) == text:
        return text
    return str(yaml.safe_dump(visible(text), default_style='"', width=10_000)).strip()


def _note(fit: CalibrationFit) -> str:
    fitted = sum(not one.contradicts for one in fit.steps)
    text = f"{fitted} rows in {len({one.series for one in fit.steps})} series"
    if any(one.groups != "series" for one in fit.held_out.values()):
        text += "; one series only, so its contexts were held out in turn"
    if fit.draws and fit.power is not None:
        text += f"; power law of {len(fit.draws)} rows"
    return text


def _constants(constants: StepConstants, source: str, indent: str) -> list[str]:
    lines = [f"{indent}efficiency:"]
    for name, value in constants.efficiency.items():
        lines.append(f"{indent}  {name}: {_figure(_rounded(value), source)}")
    lines.append(f"{indent}latency:")
    for name, value in constants.latency.items():
        lines.append(f"{indent}  {name}: {_figure(f'{_rounded(1e3 * value)} us', source)}")
    if constants.engines:
        lines.append(f"{indent}engines:")
    for name, value in constants.engines.items():
        lines.append(f"{indent}  {name}: {_figure(_rounded(value), source)}")
    return lines


def _rounded(value: float) -> str:
    return f"{value:.{DIGITS}g}"


def _figure(value: str, source: str) -> str:
    return f"{{value: {value}, status: measured, source: [{source}]}}"


def error_lines(error: StepError) -> list[str]:
    """Return a band of error as it stands in a calibration file."""
    return [
        f"  - accelerators: [{', '.join(error.accelerators)}]",
        f"    layout: {error.layout}",
        f"    rows: {error.rows}",
        f"    series: {error.series}",
        *band_lines(error),
    ]


def band_lines(band: ErrorBand) -> list[str]:
    """Return the errors of a band as they stand in a calibration file."""
    return [
        f"    median: {band.median:g}",
        f"    mean: {band.mean:g}",
        f"    p90: {band.p90:g}",
        f"    bias: {band.bias:g}",
    ]


def fit_table(fit: CalibrationFit, *, width: int | None, color: bool) -> str:
    """Return what a fit is worth: constants, and errors on fitted and on held-out rows."""
    return printed(_fit_tables(fit), width or WIDTH, color=color)


def _fit_tables(fit: CalibrationFit) -> RenderableType:
    fitted = [one for one in fit.steps if not one.contradicts]
    text = Text(f"{fit.name}: {len(fitted)} rows fitted")
    dropped = len(fit.steps) - len(fitted)
    if dropped:
        text.append(f", {dropped} left out that contradict their own throughput")
    if fit.skipped:
        line, reason = fit.skipped[0]
        text.append(f", {len(fit.skipped)} not used (the first, line {line}: {reason})")
    table = error_table("")
    for mode in fit.constants:
        name = mode.replace("_", " ")
        add_errors(table, f"{name}, fitted rows", fit.fitted_error(mode))
        held = fit.held_out.get(mode)
        if held is None:
            table.add_row(f"{name}: one series, so nothing can be held out")
        else:
            add_errors(
                table, f"{name}, held out ({held.count} {held.groups})", fit.held_out_error(mode)
            )
    if fit.held_out:
        add_errors(table, "all held-out rows", fit.held_out_error())
    if fit.power is not None and fit.held_out_power:
        add_errors(table, "power, held-out series", fit.power_error())
    return Group(text, table, Text())
