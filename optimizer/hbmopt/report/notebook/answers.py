"""The tables of each kind of answer."""

import html
from functools import singledispatch

from rich.console import Group, RenderableType

from hbmopt.fleet import FleetPlan
from hbmopt.report.html import Html, element
from hbmopt.report.notebook.table_html import html_of
from hbmopt.report.page import Page
from hbmopt.report.tables import (
    Text,
    check_tables,
    comparison_tables,
    fit_tables,
    fleet_tables,
    frontier_tables,
    plan_tables,
    prediction_tables,
    sensitivity_table,
    sizing_tables,
    solution_tables,
    sweep_table,
)
from hbmopt.results import Plan, Solution
from hbmopt.studies.accuracy import CalibrationFit, Prediction
from hbmopt.studies.claim import Check
from hbmopt.studies.comparison import Comparison
from hbmopt.studies.conflict import Explanation, explanation_text
from hbmopt.studies.frontier import Frontier
from hbmopt.studies.sensitivity import Sensitivity
from hbmopt.studies.sizing import Sizing
from hbmopt.studies.sweep import Sweep


def answer_html(answer: object) -> Html:
    """Return an answer as HTML in which every text is escaped."""
    return _framed(answer) if isinstance(answer, Page) else html_of(content(answer))


def _framed(page: Page) -> Html:
    """Return a page in a frame of its own, whose scripts reach nothing of the notebook around."""
    frame = element(
        "iframe",
        title=repr(page),
        sandbox="allow-scripts allow-popups allow-downloads",
        style="width: 100%; height: 80vh; border: 1px solid rgba(128, 128, 128, 0.5)",
    )
    # Its texts are visible already, and a program must stay as it is.
    return Html(frame.replace("<iframe", f'<iframe srcdoc="{html.escape(page.html)}"', 1))


@singledispatch
def content(answer: object) -> RenderableType:
    """Return the tables of an answer."""
    raise TypeError(f"{type(answer).__name__} has no tables")


@content.register
def _(answer: Solution) -> RenderableType:
    return solution_tables(answer)


@content.register
def _(answer: Plan) -> RenderableType:
    return plan_tables(answer)


@content.register
def _(answer: Frontier) -> RenderableType:
    return frontier_tables(answer)


@content.register
def _(answer: Sizing) -> RenderableType:
    return sizing_tables(answer)


@content.register
def _(answer: Sweep) -> RenderableType:
    return sweep_table(answer)


@content.register
def _(answer: Comparison) -> RenderableType:
    return comparison_tables(answer)


@content.register
def _(answer: Sensitivity) -> RenderableType:
    return sensitivity_table(answer)


@content.register
def _(answer: Check) -> RenderableType:
    return check_tables(answer)


@content.register
def _(answer: Explanation) -> RenderableType:
    return Group(Text(explanation_text(answer).rstrip("\n"), no_wrap=True))


@content.register
def _(answer: Prediction) -> RenderableType:
    return prediction_tables(answer)


@content.register
def _(answer: CalibrationFit) -> RenderableType:
    return fit_tables(answer)


@content.register
def _(answer: FleetPlan) -> RenderableType:
    return fleet_tables(answer)
