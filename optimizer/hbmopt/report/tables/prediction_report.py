"""Tables of predictions: errors by chip, model and layout, and why rows were left out."""

from collections import Counter
from functools import partial

from rich.console import Group, RenderableType
from rich.table import Table

from hbmopt.basics import csv_text
from hbmopt.instance import EXPERT_PARALLEL, TENSOR_PARALLEL
from hbmopt.report.tables.output import json_text, printed
from hbmopt.report.tables.solution_report import titled
from hbmopt.report.tables.table_text import Text
from hbmopt.studies.accuracy import ErrorSummary, PredictedStep, Prediction, flat

WIDTH = 110
MODES = {
    TENSOR_PARALLEL: "attention split over all ranks",
    EXPERT_PARALLEL: "attention-data parallel, experts spread",
}
MOST_REASONS = 12


def render_prediction(prediction: Prediction, style: str, *, width: int | None, color: bool) -> str:
    """Return a prediction as text in the style ``table``, ``json`` or ``csv`` (every row)."""
    if style == "json":
        return json_text(prediction.to_dict())
    if style == "csv":
        return csv_text(map(flat, prediction.rows))
    return printed(prediction_tables(prediction), width or WIDTH, color=color)


def percent(value: float | None, *, sign: bool = False) -> str:
    """Write a share in percent, or nothing."""
    if value is None:
        return ""
    return f"{100 * value:+.1f} %" if sign else f"{100 * value:.1f} %"


def prediction_tables(prediction: Prediction) -> RenderableType:
    """Return the error tables of a prediction, and the reasons of rows without one."""
    every, recorded, power = prediction.summary, prediction.recorded, prediction.power
    text = Text(
        f"{every.predicted} of {every.rows} rows predicted, constants: {prediction.calibration}"
    )
    parts: list[RenderableType] = [text, Text()]
    overall = error_table("rows", "Step time, predicted / measured - 1")
    add_errors(overall, "all", every)
    if recorded.compared and recorded.compared != every.compared:
        add_errors(overall, "with a recorded context", recorded)
    parts += [overall, Text()]
    if prediction.within_band is not None:
        share = f"{prediction.within_band:.0%} of measured steps lie in their band of four in five"
        parts += [Text(share), Text()]
    for title in ("chip", "model", "layout"):
        groups = prediction.by(partial(_group, title))
        table = error_table(title, f"By {title} (recorded contexts)")
        for name, summary in groups.items():
            add_errors(table, name, summary)
        if groups:
            parts += [table, Text()]
    if power.rows:
        parts += [_power(prediction), Text()]
    return Group(*parts, *_reasons(prediction.rows))


def _group(title: str, row: PredictedStep) -> str | None:
    """Return the group of a row in the table of a title; None without a recorded context."""
    if not row.context_recorded or row.mode is None:
        return None
    return {"chip": row.accelerator, "model": row.llm, "layout": MODES[row.mode]}[title]


def error_table(first: str, title: str | None = None) -> Table:
    """Return an empty table of errors, one row per group; `first` heads their names.

    Names of chips and models are one word, which a narrow terminal must not cut.
    """
    table = titled(title)
    table.add_column(first, no_wrap=first in ("chip", "model"), overflow="fold")
    for name in ("rows", "median |error|", "mean |error|", "90th percentile", "bias (median)"):
        table.add_column(name, justify="right", overflow="fold")
    return table


def add_errors(table: Table, name: str, summary: ErrorSummary) -> None:
    """Add a row of errors to an `error_table`."""
    table.add_row(
        name,
        str(summary.compared),
        percent(summary.median_abs_error),
        percent(summary.mean_abs_error),
        percent(summary.p90_abs_error),
        percent(summary.bias, sign=True),
    )


def _power(prediction: Prediction) -> Table:
    table = error_table("rows", "Power at the measured step rate, predicted / measured - 1")
    comparable, every = prediction.power, prediction.power_of_all
    add_errors(table, "all", every)
    if comparable.compared != every.compared:
        add_errors(table, "step time within a factor 1.5, or context recorded", comparable)
    return table


def _reasons(rows: tuple[PredictedStep, ...]) -> list[RenderableType]:
    counts = Counter(row.reason for row in rows if row.reason is not None)
    if not counts:
        return []
    first = {row.reason: row.line for row in reversed(rows) if row.reason is not None}
    table = titled("Not predicted")
    table.add_column("rows", justify="right")
    table.add_column("first at line", justify="right")
    table.add_column("reason")
    for reason, count in counts.most_common(MOST_REASONS):
        table.add_row(str(count), str(first[reason]), reason)
    hidden = len(counts) - MOST_REASONS
    if hidden > 0:
        table.add_row("", "", f"and {hidden} more reasons in --format csv")
    return [table]
