"""The rows of a sweep, made of the answers in its journal when they are asked for."""

from collections.abc import Iterable, Sequence

from hbmopt.basics import LazySequence
from hbmopt.instance import Cell
from hbmopt.studies.sweep.files import Row
from hbmopt.studies.sweep.journal import Journal
from hbmopt.studies.sweep.point import SHOWN

FIRST_COLUMNS = (
    "status",
    "objective_amount",
    "objective_unit",
    "throughput_tok_s",
    "speed_tok_s_user",
    "batch",
    "power_w",
    "tok_s_per_mw",
    "full_usd_per_million",
    "load_usd_per_million",
    "throughput_low_tok_s",
    "throughput_high_tok_s",
    "limiting_resource",
    "binding",
    "price_of_speed",
    "configurations",
)
LAST_COLUMNS = ("conflict", "error")
GROUPS = ("configuration_", "offload_", "price_", "elasticity_")


class Rows(LazySequence[Row]):
    """The rows of the points that are answered, in order."""

    def __init__(
        self, headers: Sequence[str], cells: Sequence[tuple[Cell, ...]], journal: Journal
    ) -> None:
        self._headers, self._cells, self._journal = tuple(headers), cells, journal
        self._outputs = _outputs(journal.names)
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


def _outputs(names: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of the answers, of which some depend on what was answered."""
    rest = set(names).difference(FIRST_COLUMNS, LAST_COLUMNS)
    return (*FIRST_COLUMNS, *sorted(rest, key=_position), *LAST_COLUMNS)


def _position(name: str) -> tuple[int, int, str]:
    """Return where a column stands among those that depend on the answers."""
    group = next(place for place, prefix in enumerate(GROUPS) if name.startswith(prefix))
    field = name.removeprefix(GROUPS[0])
    return group, SHOWN.index(field) if group == 0 else 0, name
