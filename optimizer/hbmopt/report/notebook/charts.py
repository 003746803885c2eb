"""The chart of each kind of answer: what `--plot` draws, as an object that a notebook shows."""

from collections.abc import Iterable
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from hbmopt.errors import InputError, nearest
from hbmopt.fleet import FleetPlan
from hbmopt.report.charts import (
    chart_along,
    comparison_chart,
    fleet_cost_chart,
    fleet_power_chart,
    fleet_token_chart,
    frontier_chart,
    sensitivity_chart,
    sweep_chart,
)
from hbmopt.report.html import specified
from hbmopt.studies.comparison import Comparison
from hbmopt.studies.frontier import PER, Frontier
from hbmopt.studies.sensitivity import Sensitivity
from hbmopt.studies.sweep import Sweep

if TYPE_CHECKING:
    from hbmopt.basics import Plain
    from hbmopt.notebook import Chart

ALONG = ("frontier", "steps", "elasticities")
"""What can be drawn along a frontier."""

FLEET_CHARTS = {
    "power": fleet_power_chart,
    "tokens": fleet_token_chart,
    "cost": fleet_cost_chart,
}
"""What can be drawn of a fleet."""


def answer_chart(answer: object, *others: object, **options: str) -> "Chart":
    """Return the chart of an answer whose texts are safe to show wherever altair writes them.

    Raises
    ------
    InputError
        Where the packages that draw are missing, an option is none of those that there are, or
        there is nothing to draw.
    """
    return _safe(drawing(answer, *others, **options))


@singledispatch
def drawing(answer: object, *_: object) -> "Chart":
    """Return the chart of an answer."""
    raise TypeError(f"{type(answer).__name__} has no chart")


@drawing.register(Frontier)
def _(answer: Frontier, *others: object, kind: str, per: str) -> "Chart":
    _check("kind", kind, ALONG)
    _check("per", per, PER)
    beside = list[Frontier]()
    for one in others:
        if not isinstance(one, Frontier):
            raise InputError(
                f"chart: {one!r:.60} is no frontier; options are named, such as per='mw'"
            )
        beside.append(one)
    if kind == "frontier":
        return frontier_chart([answer, *beside], per)
    if beside:
        raise InputError(f"chart: kind={kind!r} draws one frontier; call it on each")
    return chart_along(answer, kind)


@drawing.register(Sweep)
def _(answer: Sweep) -> "Chart":
    return sweep_chart(answer)


@drawing.register(Comparison)
def _(answer: Comparison) -> "Chart":
    return comparison_chart(answer)


@drawing.register(Sensitivity)
def _(answer: Sensitivity) -> "Chart":
    return sensitivity_chart(answer)


@drawing.register(FleetPlan)
def _(answer: FleetPlan, *, kind: str) -> "Chart":
    _check("kind", kind, FLEET_CHARTS)
    if not answer.feasible:
        raise InputError(f"{answer.name}: no plan serves it, so there is nothing to draw")
    return FLEET_CHARTS[kind](answer)


def _check(name: str, given: object, known: Iterable[str]) -> None:
    """Raise `InputError` where an option is none of those that are known."""
    valid = list(known)
    if given not in valid:
        raise InputError(
            f"chart: {name}={given!r:.60} is none of them; {nearest(str(given), valid)}"
        )


def _safe(chart: "Chart") -> "Chart":
    """Return a chart with its texts as Vega can show them, and none that ends a script.

    Altair writes a specification into a script of the notebook, or hands it to what draws it in
    this process: a text that ends the script would run there, a control character end the process.
    """
    plain = chart.to_dict()
    safe: dict[str, Any] = {key: _harmless(value) for key, value in specified(chart).items()}
    return chart if safe == plain else type(chart).from_dict(safe, validate=False)


def _harmless(value: "Plain") -> "Plain":
    """Return plain data without `</` and `<!` in its texts."""
    if isinstance(value, str):
        return value.replace("</", "< /").replace("<!", "< !")
    if isinstance(value, dict):
        return {name: _harmless(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_harmless(one) for one in value]
    return value
