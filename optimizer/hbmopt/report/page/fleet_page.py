"""The body of a report on a fleet: its plan, and how it changes with demand and power."""

from hbmopt.basics import Parts
from hbmopt.documents import Document
from hbmopt.fleet import Fleet, FleetPlan
from hbmopt.report.charts import (
    fleet_cost_chart,
    fleet_curve_chart,
    fleet_power_chart,
    fleet_token_chart,
)
from hbmopt.report.html import Html, chart_figure
from hbmopt.report.page.fleet_curves import curve_rows, demand_points, power_points
from hbmopt.report.page.fleet_sections import (
    curves_section,
    demand_section,
    fleet_answer,
    fleet_assumptions,
    fleet_conflict,
    fleet_cost_section,
    fleet_cures,
    fleet_limits_section,
    periods_section,
    racks_section,
)


def fleet_body(fleet: Fleet, plan: FleetPlan, document: Document, done: Parts) -> list[Html]:
    """Return the sections of a fleet."""
    if not plan.feasible:
        return [
            fleet_conflict(plan.conflict),
            fleet_cures(plan.conflict),
            fleet_assumptions(plan),
        ]
    figures = []
    if len(plan.periods) > 1:
        charts = (fleet_power_chart(plan), fleet_token_chart(plan))
        figures = [chart_figure(one) for one in charts]
    return [
        fleet_answer(plan),
        racks_section(plan),
        demand_section(plan),
        periods_section(plan, figures),
        fleet_cost_section(plan, chart_figure(fleet_cost_chart(plan))),
        curves_section(_curves(fleet, plan, document, done)),
        fleet_limits_section(plan),
        fleet_assumptions(plan),
    ]


def _curves(fleet: Fleet, plan: FleetPlan, document: Document, done: Parts) -> list[Html]:
    """Return the curves over demand and over power, as far as the fleet has them."""
    asked = (
        ("demand", demand_points(fleet), "all demand, times what is asked", "With other demand"),
        ("power", power_points(fleet, plan), _cap(fleet), "Under other power caps"),
    )
    done.expect(sum(len(points) for _, points, _, _ in asked))
    found = []
    for field, points, label, title in asked:
        rows = []
        for row in curve_rows(document, field, points):
            rows.append(row)
            done.add()
        if any(row["status"] == "optimal" for row in rows):
            found.append(chart_figure(fleet_curve_chart(rows, field, label, title)))
    return found


def _cap(fleet: Fleet) -> str:
    scope = "racks alone" if fleet.site.power_scope == "rack" else "with the facility"
    return f"power cap of the site, MW ({scope})"
