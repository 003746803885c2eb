"""The sections of a report on a fleet, in the order in which whoever builds it reads them."""

from collections.abc import Sequence

from hbmopt.basics import show
from hbmopt.fleet import FleetConflict, FleetPlan
from hbmopt.report.html import Html, element, joined, table
from hbmopt.report.page.sections import figures_list, paragraph, section
from hbmopt.report.tables import (
    FittedTable,
    answer_rows,
    cures_table,
    demand_table,
    fleet_cost_rows,
    limits_table,
    periods_table,
    pools_table,
    power_text,
    proof,
    racks_table,
    remarks,
    setting,
    sought,
)

FLEET_CONTENTS = {
    "answer": "Answer",
    "cures": "What would change that",
    "racks": "Racks",
    "demand": "Demand",
    "periods": "By period",
    "cost": "What it costs",
    "curves": "With more or less demand and power",
    "limits": "Limits",
    "assumptions": "Assumptions",
}


def html_table(found: FittedTable) -> Html:
    """Return a table of the terminal with all its columns."""
    header = [one.title for one in found.columns]
    rows = zip(*(one.cells for one in found.columns), strict=True)
    kinds = "".join("r" if one.right else "l" for one in found.columns)
    return element("div", table(header, rows, kinds), class_="scrolled")


def fleet_heading(plan: FleetPlan) -> Html:
    """Return the question, and of what it is asked."""
    notes = [paragraph(f"Note: {one}.", "remark") for one in plan.notes]
    title = element("h1", plan.title.strip() or f"What does the fleet {plan.name} need?")
    return joined(title, paragraph(setting(plan), "remark"), *notes)


def fleet_answer(plan: FleetPlan) -> Html:
    """Return the plan in one sentence and in figures."""
    bought = [f"{sum(one.bought):,} of {one.kind}" for one in plan.racks if sum(one.bought)]
    kept = [f"{one.kept[-1]:,} of {one.kind}" for one in plan.racks if one.kept[-1]]
    parts = [f"Buy {_listed(bought)}" if bought else "Buy nothing"]
    if kept:
        parts.append(f"keep {_listed(kept)}")
    power = max(one.power_kw for one in plan.periods)
    lead = [
        f"{' and '.join(parts)}: ",
        element("strong", f"{show(plan.amount or 0.0, 6)} {plan.unit}"),
        f", the {sought(plan)} ({proof(plan)}). The site draws {power_text(power)} at most.",
    ]
    return section(
        "answer",
        FLEET_CONTENTS["answer"],
        element("p", *lead, class_="lead"),
        figures_list(answer_rows(plan)),
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def fleet_conflict(found: FleetConflict | None) -> Html:
    """Return why there is no plan."""
    summary = f"{found.summary.rstrip('.')}." if found is not None else "no plan serves all."
    parts = [element("p", element("strong", "Not possible: "), summary)]
    if found is not None and found.limits:
        parts.append(paragraph(f"In each other's way: {'; '.join(found.limits)}."))
    return section("answer", "Answer", element("div", *parts, class_="conflict"))


def fleet_cures(found: FleetConflict | None) -> Html:
    """Return the smallest single changes under which there is a plan."""
    if found is None:
        return Html()
    parts = [paragraph("No single change is enough.")]
    if found.cures:
        cures = cures_table(found)
        parts = [paragraph(f"{cures.title}.", "remark"), html_table(cures)]
    if found.without:
        names = ", ".join(found.without)
        parts.append(paragraph(f"Not enough alone, however far it goes: {names}.", "remark"))
    return section("cures", FLEET_CONTENTS["cures"], *parts)


def racks_section(plan: FleetPlan) -> Html:
    """Return what to buy and keep, and what the racks do."""
    buying, doing = racks_table(plan), pools_table(plan)
    return section(
        "racks",
        FLEET_CONTENTS["racks"],
        element("h3", buying.title or ""),
        html_table(buying),
        element("h3", doing.title or ""),
        html_table(doing),
    )


def demand_section(plan: FleetPlan) -> Html:
    """Return what is asked and served, and what more of it takes."""
    words = (
        "What one more token per second at the peak, with its load, does to the objective: in a "
        "fleet that is large beside a rack, and with all racks as they are."
    )
    said = [paragraph(one) for one in remarks(plan)]
    table_of_it = html_table(demand_table(plan))
    return section("demand", FLEET_CONTENTS["demand"], paragraph(words), table_of_it, *said)


def periods_section(plan: FleetPlan, figures: Sequence[str]) -> Html:
    """Return power and tokens by period."""
    listed = html_table(periods_table(plan))
    if len(plan.periods) > 1:
        listed = element("details", element("summary", "Each period in numbers"), listed)
    return section("periods", FLEET_CONTENTS["periods"], *figures, listed)


def fleet_cost_section(plan: FleetPlan, figure: str) -> Html:
    """Return what an hour of the fleet costs."""
    words = "In USD an hour, in the mean over all periods; racks count from when they are bought."
    listed = table(("", "", ""), fleet_cost_rows(plan), "lrl")
    return section("cost", FLEET_CONTENTS["cost"], paragraph(words), figure, listed)


def curves_section(figures: Sequence[str]) -> Html:
    """Return the curves over demand and power."""
    if not figures:
        return Html()
    words = (
        "Each point is a plan of its own, in which everything is decided anew: racks are whole, so "
        "that the curves have steps."
    )
    return section("curves", FLEET_CONTENTS["curves"], paragraph(words, "remark"), *figures)


def fleet_limits_section(plan: FleetPlan) -> Html:
    """Return the limits of the whole fleet."""
    if not plan.limits:
        return Html()
    return section("limits", FLEET_CONTENTS["limits"], html_table(limits_table(plan)))


def fleet_assumptions(plan: FleetPlan) -> Html:
    """Return what the plan rests on."""
    parts = [
        paragraph(
            "Steady decoding; output tokens only. Racks of a pool run at the best points of the "
            "load curve of one rack, whole racks at a time."
        )
    ]
    if plan.estimates:
        listed = [element("li", one) for one in plan.estimates]
        parts += [
            element("h3", "Numbers that may turn out otherwise"),
            element("ul", *listed),
        ]
    return section("assumptions", FLEET_CONTENTS["assumptions"], *parts)
