"""Texts in tables: shown as they are, never read as markup, and without hidden characters.

Reports make their texts of this `Text`. Of cells that are plain strings the `TextConsole` takes
care, to which they print.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

import rich.text
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding

from hbmopt.basics import visible

if TYPE_CHECKING:
    from typing import Self

    from rich.console import JustifyMethod, OverflowMethod
    from rich.style import Style


AnyText: TypeAlias = rich.text.Text
"""A text of a table: `Text`, or what rich made of one."""


class Text(rich.text.Text):
    """A text with styles; what is hidden is shown before it is measured, so columns stay even."""

    def __init__(
        self,
        text: str = "",
        style: "str | Style" = "",
        *,
        justify: "JustifyMethod | None" = None,
        overflow: "OverflowMethod | None" = None,
        no_wrap: bool | None = None,
        end: str = "\n",
        tab_size: int | None = None,
    ) -> None:
        super().__init__(
            visible(text),
            style,
            justify=justify,
            overflow=overflow,
            no_wrap=no_wrap,
            end=end,
            tab_size=tab_size,
        )

    def append(self, text: "rich.text.Text | str", style: "str | Style | None" = None) -> "Self":
        """Add a text."""
        super().append(visible(text) if isinstance(text, str) else text, style)
        return self


class Indented:
    """A text that is set in, all of its lines."""

    def __init__(self, text: str, indent: int = 2, style: str = "") -> None:
        self.text, self.indent, self.style = text, indent, style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = Text(" " * self.indent + self.text, style=self.style)
        fits = whole.cell_len <= options.max_width
        yield whole if fits else Padding(Text(self.text, style=self.style), (0, 0, 0, self.indent))


class TextConsole(Console):
    """A console to which a plain string is a text as it is."""

    def render_str(self, text: str, **options: Any) -> rich.text.Text:
        """Return a plain string, such as a cell of a table, as a text."""
        return super().render_str(visible(text), **options)
