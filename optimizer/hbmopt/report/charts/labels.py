"""Where labels stand in a chart so that they cover neither each other nor lines and points."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LETTER, LETTER_HEIGHT = 0.56, 1.15
"""Width and height of an average letter in sizes of the font."""

SWEEPS = 5
"""Rounds in which each label takes its best place, the others given."""

SHARED = 10.0
"""Cost of a pixel that two labels share."""


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

    def outside(self, width: float, height: float) -> float:
        """Return by how many pixels the box leaves the plot."""
        return (
            max(-self.left, 0.0)
            + max(-self.top, 0.0)
            + max(self.right - width, 0.0)
            + max(self.bottom - height, 0.0)
        )


def boxes_around(x: float, y: float, text: str, size: float, gap: float) -> list[Box]:
    """Return where the label of a point may stand, the best place first."""
    wide, high = len(text) * size * LETTER, size * LETTER_HEIGHT
    reach = gap * 0.75
    places = [
        (x - gap - wide, y - reach - high),
        (x + gap, y + reach),
        (x + gap, y - high / 2),
        (x - gap - wide, y - high / 2),
        (x + gap, y - reach - high),
        (x - gap - wide, y + reach),
        (x - wide / 2, y - gap - high),
        (x - wide / 2, y + gap),
        (x - gap - wide, y - 2.5 * high),
        (x + gap, y + 1.5 * high),
    ]
    return [Box(left, top, left + wide, top + high) for left, top in places]


def covering(box: Box, obstacles: Iterable[tuple[float, float]], margin: float) -> int:
    """Return how many points lie in a box or within a margin around it."""
    return sum(box.holds(x, y, margin) for x, y in obstacles)


def placed(
    choices: Sequence[Sequence[tuple[Box, float]]], worst: float = math.inf
) -> list[Box | None]:
    """Return one box per label: of its boxes with their costs, the one that disturbs least.

    None where even that one costs more than `worst`.
    """
    chosen, cheapest = [0] * len(choices), [0.0] * len(choices)
    # The first round knows only the labels before; later ones let each move once more.
    for sweep in range(SWEEPS):
        for index, boxes in enumerate(choices):
            known = len(choices) if sweep else index
            others = [choices[other][chosen[other]][0] for other in range(known) if other != index]
            costs = [cost + SHARED * sum(map(box.shared, others)) for box, cost in boxes]
            chosen[index] = costs.index(min(costs))
            cheapest[index] = min(costs)
    return [
        boxes[place][0] if cost <= worst else None
        for boxes, place, cost in zip(choices, chosen, cheapest, strict=True)
    ]
