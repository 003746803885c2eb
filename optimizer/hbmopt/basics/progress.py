"""How far a piece of work is: parts that are done, of those that are known of."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""What is told how many parts are done, and of how many; equal numbers say that all is done."""


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
