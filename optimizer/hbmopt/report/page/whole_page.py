"""`report_page`: one page that a planner can send, with everything that it needs in it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hbmopt import __version__
from hbmopt.basics import Parts, Progress, brief, verb, write
from hbmopt.documents import Document
from hbmopt.errors import InputError
from hbmopt.fleet import Fleet, FleetPlan, fleet_of, plan_of
from hbmopt.instance import Instance, Overrides, Source, is_fleet, load_document, validate
from hbmopt.notebook import Answer
from hbmopt.report.charts import (
    frontier_chart,
    power_curve_chart,
    require_packages,
    step_breakdown_chart,
)
from hbmopt.report.html import (
    PRINTING,
    SCRIPT,
    STYLE,
    Bundle,
    Html,
    chart_figure,
    element,
    page,
    script,
)
from hbmopt.report.page.fleet_page import fleet_body
from hbmopt.report.page.fleet_sections import FLEET_CONTENTS, fleet_heading
from hbmopt.report.page.power_curve import drawn_row, power_caps, power_rows
from hbmopt.report.page.sections import (
    alternatives_section,
    answer_section,
    assumptions_section,
    buying_section,
    certificate_section,
    conflict_section,
    cost_section,
    cures_section,
    frontier_section,
    heading,
    limits_section,
    power_section,
    step_section,
)
from hbmopt.results import Solution, solve
from hbmopt.studies.conflict import explain
from hbmopt.studies.frontier import NOT_BY_SPEED, Frontier, frontier
from hbmopt.studies.sensitivity import upgrades

FLEET_PARTS = 2
"""Those of a page on a fleet, beside the points of its curves."""

NEAR_KW = 1e-3
"""Share of its power within which a point of the curve of caps is that of the answer."""

KNOWN_PARTS = 12
"""Parts that every page has, as they are counted while it is made."""

CONTENTS = {
    "answer": "Answer",
    "cures": "What would change that",
    "cost": "What it costs",
    "frontier": "Throughput against speed",
    "limits": "Limits and prices",
    "power": "Under a power cap",
    "step": "The decode step",
    "buy": "What to buy next",
    "assumptions": "Assumptions",
    "alternatives": "Alternatives",
    "certificate": "Certificate",
}


@dataclass(frozen=True)
class Page(Answer):
    """A report as one HTML page, and the solution or the plan of a fleet that it is about."""

    solution: Solution | FleetPlan
    html: str

    def __repr__(self) -> str:
        about = self.solution
        name = about.name if isinstance(about, FleetPlan) else about.instance
        return brief("Page", name, f"{len(self.html) / 1e3:,.0f} kB of HTML")

    @property
    def feasible(self) -> bool:
        """Whether anything can be served."""
        return self.solution.feasible

    def write(self, path: str | Path) -> None:
        """Write the page, whole or not at all. Raises `InputError` where it cannot be written."""
        write(self.html, Path(path))


@verb
def report_page(
    source: Source,
    overrides: Overrides = None,
    *,
    command: str | None = None,
    progress: Progress | None = None,
) -> Page:
    """Return the report of an instance or a fleet: answer, why, costs, and what it rests on.

    `source` and `overrides` are those of `load`. Where nothing can be served it says which limits
    conflict. `progress` is told how many of how many parts are done.

    The page ends with what made it: the `command`, where one is named, changes, version and date.
    The date is today's, or that of ``SOURCE_DATE_EPOCH`` (seconds since 1970) for pages that have
    to come out the same again.

    Raises
    ------
    InputError
        Where the packages that draw charts are missing.
    """
    require_packages()
    made = _date()
    document = load_document(source, overrides)
    if is_fleet(document):
        fleet = fleet_of(document)
        ending = _ending(fleet.name, document.changes, command, made)
        with Bundle(SCRIPT) as bundle:
            return _fleet_page(fleet, document, bundle, Parts(progress, FLEET_PARTS), ending)
    instance = validate(document)
    with Bundle(SCRIPT) as bundle:
        ending = _ending(instance.name, document.changes, command, made)
        return _page(instance, bundle, Parts(progress, KNOWN_PARTS), ending)


EPOCH = "SOURCE_DATE_EPOCH"
"""The variable by which builds are told the date to state."""


def _date() -> str:
    """Return the date that the page states."""
    told = os.environ.get(EPOCH, "").strip()
    try:
        made = datetime.fromtimestamp(int(told), UTC) if told else datetime.now(UTC)
    except (ValueError, OverflowError, OSError):
        raise InputError(f"{EPOCH}={told}: must be whole seconds since 1970, or unset") from None
    return f"{made.date().isoformat()}"


def _ending(name: str, changes: Sequence[str], command: str | None, made: str) -> Html:
    """Return what made the page."""
    parts: list[str] = [f"{name}, by hbmopt {__version__} on {made}."]
    if changes:
        parts += [" Changed: ", element("code", ", ".join(changes)), "."]
    if command is not None:
        parts += [" Made by ", element("code", command), "."]
    return element("footer", *parts)


def _page(instance: Instance, bundle: Bundle, done: Parts, ending: Html) -> Page:
    solution = solve(instance)
    done.add(4)
    if solution.feasible:
        sections = _served(instance, solution, done)
    else:
        explanation = explain(instance)
        sections = [
            conflict_section(solution),
            cures_section(explanation.cures),
            alternatives_section(explanation),
            assumptions_section(instance),
            certificate_section(solution),
        ]
    title = solution.title.strip() or solution.instance
    whole = _document(heading(solution), title, sections, bundle, ending, CONTENTS)
    done.finish()
    return Page(solution, whole)


def _fleet_page(
    fleet: Fleet, document: Document, bundle: Bundle, done: Parts, ending: Html
) -> Page:
    plan = plan_of(fleet, document)
    done.add()
    sections = fleet_body(fleet, plan, document, done)
    title = plan.title.strip() or plan.name
    whole = _document(fleet_heading(plan), title, sections, bundle, ending, FLEET_CONTENTS)
    done.finish()
    return Page(plan, whole)


def _served(instance: Instance, solution: Solution, done: Parts) -> list[Html]:
    """Return the sections of an instance that has a plan."""
    done.expect(len(solution.inputs) + len(instance.budgets))
    explanation = explain(instance)
    done.add(3)
    drawn, note = _frontier(instance)
    caps = power_caps(instance)
    done.expect(len(caps))
    rows = []
    for row in power_rows(instance, caps):
        rows.append(row)
        done.add()
    bought = []
    for one in upgrades(instance, solution):
        bought.append(one)
        done.add()
    power, drawn_kw = Html(), (solution.power_w or 0.0) / 1e3
    if rows:
        if all(abs(row["power_kw"] - drawn_kw) > NEAR_KW * drawn_kw for row in rows):
            rows.append(drawn_row(solution))
        caps_drawn = power_curve_chart(rows, answer=solution, cap_kw=instance.power_cap_kw)
        power = chart_figure(caps_drawn)
    steps, curve = Html(), []
    if drawn is not None:
        bars = step_breakdown_chart(drawn)
        steps = chart_figure(bars)
        speeds = frontier_chart([drawn], answer=solution)
        curve = [frontier_section(drawn, chart_figure(speeds), note)]
    return [
        answer_section(instance, solution),
        cost_section(solution),
        *curve,
        limits_section(solution),
        power_section(instance, solution, power),
        step_section(solution, steps),
        buying_section(solution, bought),
        assumptions_section(instance),
        alternatives_section(explanation),
        certificate_section(solution),
    ]


def _frontier(instance: Instance) -> tuple[Frontier | None, str]:
    """Return the frontier and a remark, None where the instance has none."""
    if not instance.choices.uniform:
        return None, ""
    note, choices = "", instance.choices
    if instance.objective in NOT_BY_SPEED:
        note = "It is that of throughput: what is sought above has no frontier over speeds."
        instance = instance.model_copy(update={"objective": "throughput"})
    if not choices.whole_sequences:
        note = "It is that of whole sequences, unlike the answer above."
        whole = choices.model_copy(update={"whole_sequences": True})
        instance = instance.model_copy(update={"choices": whole})
    drawn = frontier(instance)
    return (drawn, note) if drawn.feasible else (None, "")


def _document(
    top: Html,
    title: str,
    sections: Sequence[Html],
    bundle: Bundle,
    ending: Html,
    contents: Mapping[str, str],
) -> str:
    """Return the whole page."""
    shown = [name for one in sections for name in contents if f'<section id="{name}"' in one]
    links = [element("li", element("a", contents[name], href=f"#{name}")) for name in shown]
    charts = any("<figure" in one for one in sections)
    head = [
        element("title", f"{title} - hbmopt"),
        Html(f"<style>{STYLE}</style>"),
    ]
    body = [
        element("header", top, element("nav", element("ul", *links), aria_label="Contents")),
        element("main", *sections),
        ending,
        script(PRINTING),
        *([script(bundle.text())] if charts else []),
    ]
    return page(head, body)
