"""Where labels stand in a chart so that they cover neither each other nor lines and points."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from hbmopt.report.charts.style import GREY, INK, WIDTH, inline
from hbmopt.report.html import widest

LETTER_HEIGHT = 1.2
"""Height of a letter in sizes of the font."""

NARROW_WIDTH = 280
"""Pixels of a plot on a narrow screen, for which labels are placed a second time."""

WIDTHS = (("wide", WIDTH), ("narrow", NARROW_WIDTH))
"""The placings of a chart: pages take the one, where there is no room for it the other."""

SWEEPS = 5
"""Rounds in which each label takes its best place, the others given."""

SHARED = 10.0
"""Cost of a pixel that two labels share."""

LED = (26.0, 44.0)
"""Distances from which a line leads to the point of a label."""

LEADING = 14.0
"""Cost of such a line."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, from the top left corner of the plot."""

    left: float
    top: float
    right: float
    bottom: float

    def shared(self, other: "Box") -> float:
        """Return the area that two boxes share."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(across, 0.0) * max(down, 0.0)

    def holds(self, x: float, y: float, margin: float = 0.0) -> bool:
        """Whether a point lies in the box or within a margin around it."""
        inside = self.left - margin <= x <= self.right + margin
        return inside and self.top - margin <= y <= self.bottom + margin

    def distance(self, x: float, y: float) -> float:
        """Return how far a point is from the box, 0 in it."""
        across = max(self.left - x, x - self.right, 0.0)
        return math.hypot(across, max(self.top - y, y - self.bottom, 0.0))

    def outside(self, width: float, height: float) -> float:
        """Return by how many pixels the box leaves the plot."""
        return (
            max(-self.left, 0.0)
            + max(-self.top, 0.0)
            + max(self.right - width, 0.0)
            + max(self.bottom - height, 0.0)
        )


@dataclass(frozen=True)
class Place:
    """Where the label of a point may stand: from `align` of it, so many pixels off the point."""

    box: Box
    align: str
    right: float
    down: float
    led: bool = False

    def row(self) -> dict[str, Any]:
        """Return what `label_layers` draws."""
        # The line ends where the label begins.
        end = 3.0 if self.align == "left" else -3.0
        return {
            "align": self.align,
            "dx": self.right,
            "dy": self.down,
            "led": self.led,
            "end": self.right - (end if self.align != "center" else 0.0),
        }


def place_beside(
    point: tuple[float, float],
    text: str,
    size: float,
    offset: tuple[float, float],
    *,
    bold: bool = False,
    led: bool = False,
) -> Place:
    """Return the place of a label whose near edge is `offset` pixels right of and below a point."""
    (x, y), (right, down) = point, offset
    wide, high = widest(text, size, bold=bold), size * LETTER_HEIGHT
    align = "center" if right == 0 else "left" if right > 0 else "right"
    left = x + right - {"center": wide / 2, "left": 0.0, "right": wide}[align]
    box = Box(left, y + down - high / 2, left + wide, y + down + high / 2)
    return Place(box, align, right, down, led)


def places_around(x: float, y: float, text: str, size: float, gap: float) -> list[Place]:
    """Return where the label of a point may stand, the best place first."""
    high = size * LETTER_HEIGHT
    lift = gap * 0.75 + high / 2
    offsets = [
        (-gap, -lift),
        (gap, lift),
        (gap, 0.0),
        (-gap, 0.0),
        (gap, -lift),
        (-gap, lift),
        (0.0, -gap - high / 2),
        (0.0, gap + high / 2),
    ]
    near = [place_beside((x, y), text, size, one) for one in offsets]
    far = [
        place_beside((x, y), text, size, (away * math.cos(turn), away * math.sin(turn)), led=True)
        for away in LED
        for turn in (math.radians(degrees) for degrees in (50, -50, 130, -130, 20, -20, 160, -160))
    ]
    return [*near, *far]


def covering(box: Box, obstacles: Iterable[tuple[float, float]], margin: float) -> int:
    """Return how many points lie in a box or within a margin around it."""
    return sum(box.holds(x, y, margin) for x, y in obstacles)


def placed(
    choices: Sequence[Sequence[tuple[Place, float]]], worst: float = math.inf
) -> list[Place | None]:
    """Return one place per label: of its places with their costs, the one that disturbs least.

    None where even that one costs more than `worst`, or covers the label of an earlier one.
    """
    chosen, cheapest = [0] * len(choices), [0.0] * len(choices)
    # The first round knows only the labels before; later ones let each move once more.
    for sweep in range(SWEEPS):
        for index, places in enumerate(choices):
            known = len(choices) if sweep else index
            others = [
                choices[other][chosen[other]][0].box for other in range(known) if other != index
            ]
            costs = [cost + SHARED * sum(map(one.box.shared, others)) for one, cost in places]
            chosen[index] = costs.index(min(costs))
            cheapest[index] = min(costs)
    kept: list[Box] = []
    found: list[Place | None] = []
    for places, index, cost in zip(choices, chosen, cheapest, strict=True):
        place, _ = places[index]
        clear = cost <= worst and not any(place.box.shared(other) > 0 for other in kept)
        found.append(place if clear else None)
        if clear:
            kept.append(place.box)
    return found


@dataclass(frozen=True)
class Labelled:
    """The axes of a chart with labels, and how these look."""

    x: alt.X
    y: alt.Y
    fields: tuple[str, str]
    size: int
    bold: bool = False


def label_layers(rows: Sequence[Mapping[str, Any]], chart: Labelled, kind: str) -> list[alt.Chart]:
    """Return the labels of points, and the lines that lead to those that stand further off.

    Rows have the fields of the axes, a `name` and what `Place.row` returns; `kind` is one of
    `WIDTHS`, for whose plots alone the layers are.
    """
    layers: list[alt.Chart] = []
    led = [row for row in rows if row["led"]]
    if led:
        line = alt.Chart(inline(led), name=f"leaders_{kind}").mark_rule(
            color=GREY,
            strokeWidth=0.9,
            x2Offset=alt.ExprRef("datum.end"),
            y2Offset=alt.ExprRef("datum.dy"),
        )
        across, up = chart.fields
        layers.append(line.encode(x=chart.x, y=chart.y, x2=alt.X2(across), y2=alt.Y2(up)))
    texts = alt.Chart(inline(rows), name=f"labels_{kind}").mark_text(
        align=alt.ExprRef("datum.align"),
        dx=alt.ExprRef("datum.dx"),
        dy=alt.ExprRef("datum.dy"),
        baseline="middle",
        fontSize=chart.size,
        fontWeight="bold" if chart.bold else "normal",
        color=INK,
    )
    layers.append(texts.encode(x=chart.x, y=chart.y, text="name:N"))
    return layers
