"""Round numbers for axes, ladders and grids."""

import math


def round_step(size: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least `size`."""
    power = 10.0 ** math.floor(math.log10(size))
    return next(power * one for one in (1, 2, 5, 10) if power * one >= size * 0.999)
