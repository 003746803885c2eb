"""Many small linear programs of one form at once, solved by the simplex method over arrays.

    maximise cost . x      subject to      rows x <= limits,      x >= 0,      limits >= 0

At a fixed batch and clock the share of each part of the weights that LPUs take is such a program,
of one variable for the steps and one for each part. Thousands of them are asked for at once and
each takes a few pivots, so they are pivoted together. HiGHS solves the program of what is found
again, with all of its rows.
"""

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import Array

ZERO = 1e-11
"""Entries up to this size are what rounding left of nothing; rows are near 1."""

GREEDY, MOST_PIVOTS = 40, 400
"""Pivots of the steepest column, after which the first improving one is taken: it cannot cycle."""


def maximised(cost: Array, rows: Array, limits: Array) -> Array:
    """Return the optimal points of many programs.

    Parameters
    ----------
    cost
        By program and column.
    rows
        By program, row and column, scaled to be near 1.
    limits
        By program and row, none of them negative.

    Returns
    -------
    numpy.ndarray
        By program and column; infinite where nothing limits a program.
    """
    programs, height, width = rows.shape
    table = np.zeros((programs, height + 1, width + 1))
    table[:, :height, :width] = rows
    table[:, :height, width] = limits
    table[:, height, :width] = cost
    # Of each column and row the variable that stands there: columns first, then slacks.
    outside = np.broadcast_to(np.arange(width), (programs, width)).copy()
    inside = np.broadcast_to(np.arange(width, width + height), (programs, height)).copy()
    endless = np.zeros(programs, dtype=bool)
    left = np.arange(programs)
    for pivot in range(MOST_PIVOTS):
        part = table[left]
        gains = part[:, height, :width]
        if pivot < GREEDY:
            column = np.argmax(gains, axis=1)
        else:
            order = np.where(gains > ZERO, outside[left], width + height)
            column = np.argmin(order, axis=1)
        every = np.arange(len(left))
        improving = gains[every, column] > ZERO
        if not improving.all():
            left, part, column = left[improving], part[improving], column[improving]
            every = np.arange(len(left))
        if not len(left):
            break
        entering = part[every, :height, column]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(entering > ZERO, part[:, :height, width] / entering, np.inf)
        least = ratios.min(axis=1)
        # Of rows that end it alike, the one whose variable comes first.
        tied = ratios <= (least * (1.0 + 1e-12) + 1e-14)[:, None]
        row = np.argmin(np.where(tied, inside[left], width + height + 1), axis=1)
        unlimited = np.isinf(least)
        if unlimited.any():
            endless[left[unlimited]] = True
            kept = ~unlimited
            left, part, column, row = left[kept], part[kept], column[kept], row[kept]
            every = np.arange(len(left))
            if not len(left):
                break
        table[left] = _pivoted(part, row, column)
        moved = inside[left, row].copy()
        inside[left, row], outside[left, column] = outside[left, column], moved
    found = np.zeros((programs, width + height))
    np.put_along_axis(found, inside, table[:, :height, width], axis=1)
    points = np.maximum(found[:, :width], 0.0)
    points[endless] = np.inf
    return points


def _pivoted(table: Array, row: NDArray[np.int64], column: NDArray[np.int64]) -> Array:
    """Return tables in which the variable of a row and that of a column have changed places."""
    every = np.arange(len(table))
    across, down = table[every, row], table[every, :, column]
    by = 1.0 / across[every, column]
    after = table - down[:, :, None] * (across * by[:, None])[:, None, :]
    after[every, row] = across * by[:, None]
    after[every, :, column] = -down * by[:, None]
    after[every, row, column] = by
    return np.asarray(after)
