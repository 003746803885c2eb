"""The plan that was asked for, marked in charts of all plans, with how far it may be off."""

from dataclasses import dataclass
from typing import Any

import altair as alt

from hbmopt.basics import made, range_text
from hbmopt.report.charts.style import INK, inline, made_format, resource_label, tooltips
from hbmopt.results import Solution

RING = "Ring: the answer"
"""How the note under a title begins."""

Spot = tuple[float, float]


@dataclass(frozen=True)
class Mark:
    """A plan in a chart: where it stands, and the ends of its range of four of five cases."""

    at: Spot
    ends: tuple[Spot, Spot] | None
    row: dict[str, Any]

    @property
    def spots(self) -> list[Spot]:
        """All that the axes have to hold."""
        return [self.at, *(self.ends or ())]


def marked(solution: Solution, at: Spot, ends: tuple[Spot, Spot] | None) -> Mark:
    """Return the mark of a plan with what is hovered of it."""
    banded = solution.throughput_range_tok_s is not None
    unit = solution.objective_unit
    row: dict[str, Any] = {
        "what": "the answer",
        "reached": f"{made(solution.objective_amount or 0.0, banded=banded)} {unit}",
        "user": solution.speed_tok_s_user,
        "batch": solution.batch,
        "power": (solution.power_w or 0.0) / 1e3,
        "limit": resource_label(solution.limiting_resource),
    }
    if solution.throughput_range_tok_s is not None:
        row["likely"] = f"{range_text(*solution.throughput_range_tok_s)} tok/s"
    return Mark(at, ends, row)


def mark_layers(mark: Mark, fields: Spot | tuple[str, str], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Return a ring where the plan stands, on the line of its range."""
    across, up = (str(one) for one in fields)
    digits = made_format(banded="likely" in mark.row)
    hover = tooltips(
        ("what", "ring", ""),
        ("reached", "makes", ""),
        *([("likely", "in four of five cases", "")] if "likely" in mark.row else []),
        ("user", "speed (tok/s per user)", digits),
        ("batch", "batch (sequences)", ",.6~r"),
        ("power", "power drawn (kW)", digits),
        ("limit", "limited by", ""),
    )
    layers: list[alt.Chart] = []
    if mark.ends is not None:
        ends = [dict(zip((across, up), spot, strict=True)) for spot in mark.ends]
        layers.append(
            alt.Chart(inline(ends))
            .mark_line(
                color=INK,
                strokeWidth=1.6,
                point=alt.OverlayMarkDef(color=INK, size=26, filled=True),
            )
            .encode(x=x, y=y)
        )
    ring = (
        alt.Chart(inline([mark.row | dict(zip((across, up), mark.at, strict=True))]))
        .mark_point(shape="circle", size=170, filled=False, color=INK, strokeWidth=2.2, opacity=1.0)
        .encode(x=x, y=y, tooltip=hover)
    )
    return [*layers, ring]


def ring_note(mark: Mark, where: str = "") -> str:
    """Say what the ring is."""
    ranged = ", on the line of its range in four of five cases" if mark.ends is not None else ""
    return f"{RING}{where}{ranged}."
