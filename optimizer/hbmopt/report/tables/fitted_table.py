"""Tables that nothing is cut in where the terminal is narrow.

A `FittedTable` leaves columns out rather than cutting numbers, a `RemarkTable` puts remarks below
their rows rather than into a column of a few letters.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table

from hbmopt.basics import visible
from hbmopt.report.tables.table_text import Text

PADDING = 2
"""Columns of space that a table puts around each column."""


@dataclass(frozen=True)
class Column:
    """One column: its name, in lines, and its cells.

    `least` is the width from which its cells may wrap; None where they must not. Columns of rank 0
    always stand, as far as there is room; those of the lowest ranks take what is left. Cells of
    `briefer` are shown where there is no room for the others, the longest first.
    """

    name: str
    cells: Sequence[str]
    right: bool = True
    least: int | None = None
    rank: int = 0
    style: str | None = None
    briefer: Sequence[Sequence[str]] = ()

    @property
    def width(self) -> int:
        """The width that it needs; words are broken only where they are very long."""
        texts = list(map(visible, (self.name, *self.cells)))
        most = max(cell_len(line) for text in texts for line in text.split("\n"))
        if self.least is None or most <= self.least:
            return most
        return max(self.least, min(_longest_word(texts), 2 * self.least))

    @property
    def title(self) -> str:
        """The name in one line."""
        return " ".join(self.name.split()).replace(" /", "/")

    @property
    def folded(self) -> "Column":
        """The column with a name in lines as wide as its cells."""
        if "\n" in self.name or not self.name:
            return self
        room = max(replace(self, name="").width, _longest_word([self.name]))
        lines = wrap(self.name, room, break_long_words=False, break_on_hyphens=False)
        return replace(self, name="\n".join(lines))


def _longest_word(texts: Iterable[str]) -> int:
    return max((cell_len(word) for text in texts for word in text.split()), default=0)


def _fitting(columns: Sequence[Column], room: int) -> dict[int, Column]:
    """Return the columns that fit, by place; the first one always does."""
    taken = dict[int, Column]()
    for at, one in sorted(enumerate(columns), key=lambda pair: pair[1].rank):
        for form in (one, *(replace(one, cells=cells) for cells in one.briefer)):
            if not taken or form.width + PADDING <= room:
                taken[at] = form
                room -= form.width + PADDING
                break
    return taken


class FittedTable:
    """Columns side by side, as many as fit; a line below names those that do not."""

    def __init__(self, columns: Sequence[Column], title: str | None = None) -> None:
        self.columns = list(columns)
        self.title = title

    def fitting(self, width: int) -> dict[int, Column]:
        """Return the columns that fit into a width, by place.

        Names are folded into lines before a column is left out.
        """
        taken = _fitting(self.columns, width)
        if len(taken) == len(self.columns):
            return taken
        return _fitting([one.folded for one in self.columns], width)

    def shown(self, width: int) -> list[str]:
        """Return the names of the columns that fit into a width."""
        return [one.title for one in self.fitting(width).values()]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        taken = self.fitting(options.max_width)
        shown = [taken[at] for at in sorted(taken)]
        table = Table(
            title=self.title,
            title_justify="left",
            title_style="bold",
            box=None,
            header_style="dim",
            show_header=any(one.name for one in shown),
        )
        for one in shown:
            whole = one.least is None and one.width + PADDING <= options.max_width
            table.add_column(
                Text(one.name),
                justify="right" if one.right else "left",
                no_wrap=whole,
                overflow="fold",
                style=one.style,
            )
        for cells in zip(*(one.cells for one in shown), strict=True):
            table.add_row(*(Text(cell) for cell in cells))
        yield table
        hidden = [one.title for at, one in enumerate(self.columns) if at not in taken and one.title]
        if hidden:
            yield Text(f"Left out for want of width: {', '.join(hidden)}.", style="dim")


READABLE = 16
"""Columns that remarks take at least where they stand beside their rows."""

INDENT = 3
"""Columns by which remarks are set in that stand below their rows."""


class RemarkTable:
    """Rows of name, number and remark; without room for remarks, these stand below their rows."""

    def __init__(self, title: str, rows: Iterable[tuple[str, str, str]]) -> None:
        self.title, self.rows = title, list(rows)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        cells = [list(map(visible, column)) for column in zip(*self.rows, strict=True)]
        names, numbers, remarks = cells or [[], [], []]
        wide = [max(map(cell_len, column), default=0) for column in (names, numbers, remarks)]
        taken = wide[0] + wide[1] + 3 * PADDING
        wanted = min(wide[2], max(READABLE, _longest_word(remarks)))
        if taken + wanted <= options.max_width:
            yield self._beside()
        else:
            yield from self._below(wide[0], wide[1], options.max_width)

    def _beside(self) -> Table:
        table = Table(
            title=self.title,
            title_justify="left",
            title_style="bold",
            box=None,
            show_header=False,
        )
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(style="dim")
        for row in self.rows:
            table.add_row(*row)
        return table

    def _below(self, names: int, numbers: int, width: int) -> Iterable[RenderableType]:
        yield Text(self.title, style="bold")
        apart = names + numbers + 2 * PADDING > width
        for name, number, remark in self.rows:
            if apart:
                yield Text(f" {name}", overflow="fold")
                yield Padding(Text(number, overflow="fold"), (0, 0, 0, INDENT))
            else:
                space = " " * (names - cell_len(visible(name)) + numbers - cell_len(number))
                yield Text(f" {name}{space}  {number}".rstrip())
            if remark:
                yield Padding(Text(remark, style="dim", overflow="fold"), (0, 0, 0, INDENT))
