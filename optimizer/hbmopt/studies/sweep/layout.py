"""In which order the columns of a sweep's answers stand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LAST_COLUMNS = ("conflict", "error")
"""Why a point has no answer."""


@dataclass(frozen=True)
class Layout:
    """Columns that every row has, and the beginnings of names that depend on what was answered.

    `order` says how those of the first group follow one another; all others do by name.
    """

    first: tuple[str, ...]
    groups: tuple[str, ...]
    order: Sequence[str] = ()

    def columns(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return all columns of answers that hold `names`."""
        rest = set(names).difference(self.first, LAST_COLUMNS)
        return (*self.first, *sorted(rest, key=self._position), *LAST_COLUMNS)

    def _position(self, name: str) -> tuple[int, int, str]:
        """Return where a column stands among those that depend on the answers."""
        group = next(place for place, prefix in enumerate(self.groups) if name.startswith(prefix))
        field = name.removeprefix(self.groups[0])
        return group, self.order.index(field) if group == 0 and self.order else 0, name
