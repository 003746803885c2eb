"""How fast a replica runs on so much power: clocks, alternating many times a second.

At one batch every clock is a point: what it draws at its full rate, and that rate; and a replica
may rest at the clock that draws least. What the mean of several is worth is their upper hull, a
concave function of power. No more than two neighbours of it are ever needed.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import Array

Whole = NDArray[np.int64]

RESTING = -1
"""In place of a clock: the replica rests."""


@dataclass(frozen=True)
class ClockMix:
    """Hulls of many batches.

    Corners have the axes (corner, batch), from resting to the fastest; a hull with fewer corners
    repeats its last one. `clock` says which clock a corner is. `rise` is rate per kW between a
    corner and the next, 0 between the same.
    """

    power: Array
    rate: Array
    clock: Whole
    rise: Array

    def put(self, places: Whole, other: "ClockMix") -> "ClockMix":
        """Return the hulls with those of some of the batches replaced."""
        height = max(len(self.power), len(other.power))
        found: dict[str, Any] = {}
        for name in ("power", "rate", "clock", "rise"):
            mine, new = (_filled(getattr(one, name), height, name) for one in (self, other))
            mine[:, places] = new
            found[name] = mine
        return replace(self, **found)

    def take(self, places: Whole) -> "ClockMix":
        """Return the hulls of some of the batches."""
        return ClockMix(
            self.power[:, places], self.rate[:, places], self.clock[:, places], self.rise[:, places]
        )

    def fastest(self, power: Array) -> Array:
        """Return the most steps per ms on so much power for each batch, -1 where it cannot run.

        `power` may have more axes before that of the batches.
        """
        found = np.where(power >= self.power[0], self.rate[-1], -1.0)
        for corner in range(len(self.power) - 1):
            rise = self.rise[corner]
            if not rise.any():
                continue
            with np.errstate(invalid="ignore"):
                line = self.rate[corner] + rise * (power - self.power[corner])
            found = np.where(rise > 0, np.minimum(found, line), found)
        return found

    def least_power(self, rate: Array) -> Array:
        """Return the least kW for so many steps per ms, infinity where they are too many."""
        found = np.where(rate <= self.rate[-1], self.power[0], np.inf)
        for corner in range(len(self.power) - 1):
            rise = self.rise[corner]
            if not rise.any():
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                line = self.power[corner] + (rate - self.rate[corner]) / rise
            found = np.where(rise > 0, np.maximum(found, line), found)
        return found

    def at(self, batch: int, rate: float) -> list[tuple[int, float]]:
        """Return the corners of one batch's hull that make a mean rate, with their shares of time.

        Those that draw least.
        """
        rates = self.rate[:, batch]
        above = int(np.searchsorted(rates, rate * (1.0 - 1e-12)))
        above = min(above, len(rates) - 1)
        if above == 0 or rates[above] <= rate * (1.0 + 1e-12):
            return [(above, 1.0)]
        share = (rate - rates[above - 1]) / (rates[above] - rates[above - 1])
        return [(above, float(share)), (above - 1, float(1.0 - share))]

    def between(self, rate: Array) -> tuple[Whole, Array, Array]:
        """Return the two corners of each hull that make a mean rate, the faster one first.

        Clocks, shares of time and steps per ms there, with the axes (corner, batch); where one
        corner is enough the other has no share.
        """
        every = np.arange(len(rate))
        above = np.argmax(self.rate >= rate * (1.0 - 1e-12), axis=0)
        below = np.maximum(above - 1, 0)
        high, low = self.rate[above, every], self.rate[below, every]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(high > low, (rate - low) / (high - low), 1.0)
        share = np.where(high <= rate * (1.0 + 1e-12), 1.0, share)
        clocks = np.array([self.clock[above, every], self.clock[below, every]])
        return clocks, np.array([share, 1.0 - share]), np.array([high, low])


def _filled(corners: Array, height: int, name: str) -> Array:
    """Return corners up to a height, the last one repeated."""
    last = np.zeros_like(corners[-1:]) if name == "rise" else corners[-1:]
    return np.concatenate([corners, np.repeat(last, height - len(corners), axis=0)])


def clock_mix(power: Array, rate: Array, resting: Array) -> ClockMix:
    """Return the hulls of what clocks draw and make, by clock and batch, and of resting."""
    batches = np.arange(rate.shape[1])
    at_power, at_rate = resting.copy(), np.zeros_like(resting)
    at_clock = np.full(rate.shape[1], RESTING)
    corners = [(at_power, at_rate, at_clock)]
    rises = list[Array]()
    for _ in range(len(rate)):
        more, dearer = rate - at_rate, power - at_power
        with np.errstate(divide="ignore", invalid="ignore"):
            rise = np.where(more > SAME * rate, more / dearer, -np.inf)
        # What makes more and draws no more is above all: the most of it counts.
        rise = np.where((more > SAME * rate) & (dearer <= 0.0), FREE * (1.0 + more), rise)
        best = np.argmax(rise, axis=0)
        steepest = rise[best, batches]
        found = steepest > -np.inf
        if not found.any():
            break
        free = found & (steepest >= FREE)
        fresh = (
            np.where(found, power[best, batches], at_power),
            np.where(found, rate[best, batches], at_rate),
            np.where(found, best, at_clock),
        )
        if free.any():
            last = corners[-1]
            corners[-1] = tuple(  # type: ignore[assignment]
                np.where(free, new, old) for new, old in zip(fresh, last, strict=True)
            )
            if rises:
                before = corners[-2]
                with np.errstate(divide="ignore", invalid="ignore"):
                    again = (corners[-1][1] - before[1]) / (corners[-1][0] - before[0])
                rises[-1] = np.where(free, again, rises[-1])
        corners.append(fresh)
        rises.append(np.where(found & ~free, steepest, 0.0))
        at_power, at_rate, at_clock = fresh
    return ClockMix(
        np.array([one[0] for one in corners]),
        np.array([one[1] for one in corners]),
        np.array([one[2] for one in corners]),
        np.array([*rises, np.zeros(rate.shape[1])]),
    )


def fastest_on(power: Array, drawn: Array, rate: Array, resting: Array) -> Array:
    """Return the most steps per ms on so much power of each batch, -1 where it cannot run.

    What `ClockMix.fastest` finds, without the rest of the hull: of the modes that are affordable
    and those that are not, the two whose line at that power is highest. One of them is held and
    the other chosen until no line through either is higher, which is then above all modes.

    Parameters
    ----------
    power, resting
        By batch; kW, or what `drawn` is in.
    drawn, rate
        By clock and batch.
    """
    drawn = np.concatenate([resting[None], drawn])
    rate = np.concatenate([np.zeros_like(resting)[None], rate])
    every, affordable = np.arange(rate.shape[1]), drawn <= power
    low = np.argmax(np.where(affordable, rate, -1.0), axis=0)
    found = np.zeros_like(power)
    for _ in range(len(rate)):
        at_drawn, at_rate = drawn[low, every], rate[low, every]
        with np.errstate(divide="ignore", invalid="ignore"):
            rise = (rate - at_rate) / (drawn - at_drawn)
            rise = np.where(affordable, 0.0, rise)
            high = np.argmax(rise, axis=0)
            steepest = rise[high, every]
            found = np.where(steepest > 0.0, at_rate + steepest * (power - at_drawn), at_rate)
            fall = (rate[high, every] - rate) / (drawn[high, every] - drawn)
            fall = np.where(affordable, fall, np.inf)
        lower = np.argmin(fall, axis=0)
        turned = (steepest > 0.0) & (fall[lower, every] < steepest * (1.0 - SAME))
        if not turned.any():
            break
        low = np.where(turned, lower, low)
    return np.where(affordable.any(axis=0), found, -1.0)


SAME = 1e-12
"""Share of a rate by which another has to be faster to be more."""

FREE = 1e250
"""Above any rate per kW: what costs nothing."""
