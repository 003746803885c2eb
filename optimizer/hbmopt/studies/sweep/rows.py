"""The rows of a sweep, made of the answers in its journal when they are asked for."""

from collections.abc import Sequence

from hbmopt.basics import LazySequence
from hbmopt.instance import Cell
from hbmopt.studies.sweep.files import Row
from hbmopt.studies.sweep.journal import Journal
from hbmopt.studies.sweep.layout import Layout


class Rows(LazySequence[Row]):
    """The rows of the points that are answered, in order."""

    def __init__(
        self,
        headers: Sequence[str],
        cells: Sequence[tuple[Cell, ...]],
        journal: Journal,
        layout: Layout,
    ) -> None:
        self._headers, self._cells, self._journal = tuple(headers), cells, journal
        self._outputs = layout.columns(journal.names)
        self._done = journal.done
        self.columns = ("index", *self._headers, *self._outputs)

    def __len__(self) -> int:
        return len(self._done)

    def item(self, place: int) -> Row:
        """Return the row at a place from 0 on."""
        return self.at(int(self._done[place]))

    def at(self, index: int) -> Row:
        """Return the row of a point that is answered."""
        answer = self._journal.answer(index)
        row: Row = {"index": index}
        row |= zip(self._headers, self._cells[index], strict=True)
        return row | {name: answer.get(name) for name in self._outputs}
