"""A fitted calibration as a file of the catalogue's form, and what the fit is worth as a table."""

from collections.abc import Mapping, Sequence

import yaml
from rich.console import Group, RenderableType

from hbmopt.basics import one_line, visible
from hbmopt.documents import parse_document
from hbmopt.errors import InputError
from hbmopt.instance import ErrorBand, QuantileBand, StepError
from hbmopt.report.tables.output import printed
from hbmopt.report.tables.prediction_report import error_table
from hbmopt.report.tables.table_text import Text
from hbmopt.studies.accuracy import (
    NARROWER,
    CalibrationFit,
    ErrorSummary,
    PowerConstants,
    constants,
)

WIDTH = 110
DIGITS = 3


def calibration_yaml(
    fit: CalibrationFit, *, title: str | None = None, same_architecture: Sequence[str] = ()
) -> str:
    """Return a fit as the YAML of a calibration; constants that were not fitted are left out.

    What is left out comes from the entry `universal`.
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
    lines += _constants(fit, source)
    if fit.power is not None:
        lines += power_lines(fit.power, source)
    lines += measured_lines(fit.measured)
    lines.append("bands:")
    lines += [quantile_line(one) for one in fit.bands()]
    errors = fit.errors()
    if errors:
        lines.append("errors:")
    for error in errors:
        lines += error_lines(error)
    return "\n".join(lines) + "\n"


def power_lines(power: PowerConstants, source: str) -> list[str]:
    """Return a fitted power law as it stands in a calibration file."""
    each = {name: f"{_rounded(power.flop * part)} pJ/FLOP" for name, part in NARROWER.items()}
    lines = ["power_law:"]
    lines.append(f"  running: {_figure(f'{_rounded(power.running)} W', source)}")
    lines.append(f"  hbm: {_figure(f'{_rounded(power.hbm)} pJ/B', source)}")
    lines.append("  flop:")
    return lines + [f"    {name}: {_figure(value, source)}" for name, value in each.items()]


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
    if fit.held_out is not None and fit.held_out.groups != "series":
        text += "; one series only, so its contexts were held out in turn"
    if fit.draws and fit.power is not None:
        text += f"; power law of {len(fit.draws)} rows"
    return text


def _constants(fit: CalibrationFit, source: str) -> list[str]:
    """Return the constants that rows say something about; those of no row are left out."""
    terms = [one.at_peak + one.counts for one in fit.steps if not one.contradicts]
    told = {name for at, name in enumerate(constants()) if any(one[at] for one in terms)}
    found = fit.constants
    lines = ["efficiency:"]
    for name, value in found.efficiency.items():
        if name in told:
            lines.append(f"  {name}: {_figure(_rounded(value), source)}")
    lines.append("latency:")
    for name, value in found.latency.items():
        if name in told:
            lines.append(f"  {name}: {_figure(f'{_rounded(1e3 * value)} us', source)}")
    own = [one for one in found.architectures if ".".join(one) in told]
    if own:
        lines.append("architectures:")
    for name, kind in own:
        more = _figure(f"{_rounded(1e3 * found.architectures[name, kind])} us", source)
        lines.append(f"  {name}: {{{kind}: {more}}}")
    return lines


def _rounded(value: float) -> str:
    return f"{value:.{DIGITS}g}"


def _figure(value: str, source: str) -> str:
    return f"{{value: {value}, status: measured, source: [{source}]}}"


def measured_lines(measured: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what was measured as it stands in a calibration file."""
    return ["measured:", *(f"  {chip}: [{', '.join(llms)}]" for chip, llms in measured.items())]


def quantile_line(band: QuantileBand) -> str:
    """Return a band of quantiles as it stands in a calibration file."""
    quantiles = ", ".join(f"{one:g}" for one in band.quantiles)
    return (
        f"  - {{of: {band.of}, known: {band.known}, layout: {band.layout}, rows: {band.rows}, "
        f"quantiles: [{quantiles}]}}"
    )


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
    return printed(fit_tables(fit), width or WIDTH, color=color)


def fit_tables(fit: CalibrationFit) -> RenderableType:
    """Return rows that were fitted and left out, and the errors."""
    fitted = [one for one in fit.steps if not one.contradicts]
    text = Text(f"{fit.name}: {len(fitted)} rows fitted")
    dropped = len(fit.steps) - len(fitted)
    if dropped:
        text.append(f", {dropped} left out that contradict their own throughput")
    if fit.skipped:
        line, reason = fit.skipped[0]
        text.append(f", {len(fit.skipped)} not used (the first, line {line}: {reason})")
    groups = list[tuple[str, ErrorSummary]]()
    for mode in sorted({one.mode for one in fitted}, reverse=True):
        name = mode.replace("_", " ")
        groups.append((f"{name}, fitted rows", fit.fitted_error(mode)))
        if fit.held_out is not None:
            groups.append((f"{name}, held out", fit.held_out_error(mode)))
    if fit.held_out is not None:
        held = fit.held_out
        title = f"all held-out rows ({held.count} {held.groups})"
        groups.append((title, fit.held_out_error()))
    if fit.power is not None and fit.held_out_power:
        groups.append(("power, held-out series", fit.power_error()))
    parts: list[RenderableType] = [text, error_table("", groups)]
    if fit.held_out is None:
        parts.append(Text(" one series, so nothing can be held out"))
    return Group(*parts, Text())
