"""Tables of predictions: errors by chip, model and layout, and why rows were left out."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from rich.console import Group, RenderableType

from hbmopt.basics import csv_text
from hbmopt.instance import EXPERT_PARALLEL, TENSOR_PARALLEL
from hbmopt.report.tables.fitted_table import Column, FittedTable
from hbmopt.report.tables.output import json_text, printed
from hbmopt.report.tables.solution_report import titled
from hbmopt.report.tables.table_text import Text
from hbmopt.studies.accuracy import ErrorSummary, PredictedStep, Prediction, flat

WIDTH = 110
LEAST_NAME = 16
"""Width from which on names of groups of several words wrap."""

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
    overall = [("all", every)]
    if recorded.compared and recorded.compared != every.compared:
        overall.append(("with a recorded context", recorded))
    parts += [error_table("rows", overall, "Step time, predicted / measured - 1"), Text()]
    if prediction.within_band is not None:
        share = f"{prediction.within_band:.0%} of measured steps lie in their band of four in five"
        parts += [Text(share), Text()]
    for title in ("chip", "model", "layout"):
        groups = list(prediction.by(partial(_group, title)).items())
        if groups:
            parts += [error_table(title, groups, f"By {title} (recorded contexts)"), Text()]
    if power.rows:
        parts += [_power(prediction), Text()]
    return Group(*parts, *_reasons(prediction.rows))


def _group(title: str, row: PredictedStep) -> str | None:
    """Return the group of a row in the table of a title; None without a recorded context."""
    if not row.context_recorded or row.mode is None:
        return None
    return {"chip": row.accelerator, "model": row.llm, "layout": MODES[row.mode]}[title]


def error_table(
    first: str, groups: Sequence[tuple[str, ErrorSummary]], title: str | None = None
) -> FittedTable:
    """Return a table of errors, one row per group; `first` heads their names."""
    found = [summary for _, summary in groups]
    return FittedTable(
        [
            Column(first, [name for name, _ in groups], right=False, least=LEAST_NAME),
            Column("rows", [str(one.compared) for one in found]),
            Column("median |error|", [percent(one.median_abs_error) for one in found]),
            Column("mean |error|", [percent(one.mean_abs_error) for one in found], rank=2),
            Column("90th percentile", [percent(one.p90_abs_error) for one in found], rank=1),
            Column("bias (median)", [percent(one.bias, sign=True) for one in found], rank=1),
        ],
        title,
    )


def _power(prediction: Prediction) -> FittedTable:
    comparable, every = prediction.power, prediction.power_of_all
    groups = [("all", every)]
    if comparable.compared != every.compared:
        groups.append(("step time within a factor 1.5, or context recorded", comparable))
    return error_table("rows", groups, "Power at the measured step rate, predicted / measured - 1")


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
