"""A table that leaves columns out rather than cutting numbers where the terminal is narrow."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from hbmopt.basics import visible
from hbmopt.report.tables.table_text import Text

PADDING = 2
"""Columns of space that a table puts around each column."""


@dataclass(frozen=True)
class Column:
    """One column: its name, in lines, and its cells.

    `least` is the width from which its cells may wrap; None where they must not. Columns of rank 0
    always stand; those of the lowest ranks take what room is left.
    """

    name: str
    cells: Sequence[str]
    right: bool = True
    least: int | None = None
    rank: int = 0
    style: str | None = None

    @property
    def width(self) -> int:
        """The width that it needs."""
        texts = map(visible, (self.name, *self.cells))
        most = max(cell_len(line) for text in texts for line in text.split("\n"))
        return most if self.least is None else min(most, self.least)

    @property
    def title(self) -> str:
        """The name in one line."""
        return " ".join(self.name.split()).replace(" /", "/")


class FittedTable:
    """Columns side by side, as many as fit; a line below names those that do not."""

    def __init__(self, columns: Sequence[Column], title: str | None = None) -> None:
        self.columns = list(columns)
        self.title = title

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        taken, room = set(), options.max_width
        for at, one in sorted(enumerate(self.columns), key=lambda pair: pair[1].rank):
            if one.rank == 0 or one.width + PADDING <= room:
                taken.add(at)
                room -= one.width + PADDING
        shown = [one for at, one in enumerate(self.columns) if at in taken]
        table = Table(
            title=self.title, title_justify="left", title_style="bold", box=None, header_style="dim"
        )
        for one in shown:
            table.add_column(
                Text(one.name),
                justify="right" if one.right else "left",
                no_wrap=one.least is None,
                style=one.style,
            )
        for cells in zip(*(one.cells for one in shown), strict=True):
            table.add_row(*(Text(cell) for cell in cells))
        yield table
        hidden = [one.title for at, one in enumerate(self.columns) if at not in taken and one.title]
        if hidden:
            yield Text(f"Left out for want of width: {', '.join(hidden)}.", style="dim")
