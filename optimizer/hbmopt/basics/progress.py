"""How far a piece of work is: parts that are done, of those that are known of."""

import time
from collections.abc import Callable

Progress = Callable[[int, int], None]
"""What is told how many parts are done, and of how many; equal numbers say that all is done."""


Told = Callable[[str], None]
"""What is told what is being done."""


def tells_nobody(_: str) -> None:
    """Take no note of what is being done."""


class Parts:
    """Counts the parts of a piece of work, of which more may become known on the way."""

    def __init__(self, progress: Progress | None, known: int) -> None:
        self._progress = progress
        self.now, self._all = 0, known

    def expect(self, count: int) -> None:
        """Know of more parts."""
        self._all += count

    def add(self, count: int = 1) -> None:
        """Count parts that are done."""
        self.reach(self.now + count)

    def reach(self, count: int) -> None:
        """Say that so many parts are done in all."""
        self.now = min(count, self._all - 1)
        if self._progress is not None:
            self._progress(self.now, self._all)

    def finish(self) -> None:
        """Say that all is done."""
        if self._progress is not None:
            self._progress(self._all, self._all)


SEEN = 0.5
"""Seconds that work is watched for before its end is foretold."""

AGREED = 0.3
"""Share of what is left by which the ends that are foretold may differ, early and late."""

MOST_KEPT = 512
"""Moments that are remembered; of more every second one is forgotten."""


class Remaining:
    """How long the rest of some work takes, as far as its pace says anything about that.

    What comes before the first part is done is no pace. Of the time since, the later half foretells
    the end, and that is told where the earlier half foretold the same: parts of unequal cost
    foretell another end every time, and then none is known.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen = list[tuple[float, int]]()
        self.done, self.most = 0, 0

    def tell(self, done: int, most: int) -> None:
        """Take note of how many parts are done, and of how many."""
        self.done, self.most = done, most
        self._seen.append((self._clock(), done))
        if len(self._seen) > MOST_KEPT:
            del self._seen[1:-1:2]

    def seconds(self) -> float | None:
        """Return how many seconds are left; None where that is not known."""
        if len(self._seen) < 3 or self.done >= self.most:
            return None
        seen, now = list(self._seen), self._clock()
        first, last = seen[0][0], seen[-1][0]
        if now - first < SEEN:
            return None
        middle = (first + last) / 2.0
        earlier = self._foretold([one for one in seen if one[0] <= middle])
        end = self._foretold([one for one in seen if one[0] >= middle])
        if end is None or earlier is None or end < now:
            return None
        return end - now if abs(end - earlier) <= AGREED * (end - now) else None

    def _foretold(self, seen: list[tuple[float, int]]) -> float | None:
        """Return when all parts are done by the pace between two moments."""
        if len(seen) < 2 or seen[-1][1] <= seen[0][1]:
            return None
        (begun, before), (last, done) = seen[0], seen[-1]
        return last + (last - begun) / (done - before) * (self.most - done)


def duration(seconds: float) -> str:
    """Write a time: ``8 s``, ``2:05 min``, ``1:02:05 h``."""
    whole = max(1, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02} h"
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"
