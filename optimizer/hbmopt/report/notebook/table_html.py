"""Tables for terminals as HTML: texts are paragraphs, tables are tables, drawings stay drawings."""

import io
from collections.abc import Iterator
from itertools import pairwise

from rich.console import Console, ConsoleRenderable, Group, RenderableType
from rich.table import Column, Table

from hbmopt.report.html import Html, element, joined
from hbmopt.report.tables import AnyText, Text, TextConsole

WIDE = 1000
"""Columns of a terminal on which no table leaves anything out: a notebook scrolls."""

FAINT = "opacity: 0.65"
PARAGRAPH = "margin: 0.2em 0"
DRAWING = "font-family: var(--jp-code-font-family, monospace)"
"""Some notebooks have a font of unequal letters in what they are told to leave as it stands."""


def html_of(content: RenderableType) -> Html:
    """Return what a terminal would show as a fragment of HTML."""
    console = TextConsole(file=io.StringIO(), width=WIDE, color_system=None)
    return element("div", *_parts(content, console), class_="hbmopt")


def _parts(content: object, console: Console) -> Iterator[Html]:
    if isinstance(content, str):
        content = Text(content)
    if isinstance(content, Group):
        for one in content.renderables:
            yield from _parts(one, console)
    elif isinstance(content, AnyText):
        yield from _texts(content)
    elif isinstance(content, Table):
        yield _table(content)
    elif isinstance(content, ConsoleRenderable):
        for part in content.__rich_console__(console, console.options):
            yield from _parts(part, console)
    else:
        raise TypeError(f"{type(content).__name__} is neither a text nor a table")


def _texts(text: AnyText) -> Iterator[Html]:
    """Return a paragraph for each line, or the lines as they stand where none may wrap."""
    if text.no_wrap:
        yield element("pre", text.plain, style=DRAWING)
        return
    for line in text.split("\n"):
        if line.plain.strip():
            yield element("p", _marked(line), style=PARAGRAPH)


def _marked(text: AnyText) -> Html:
    """Return a text with what is bold or dim in it."""
    ends = {0, len(text)} | {end for span in text.spans for end in (span.start, span.end)}
    cuts = sorted(end for end in ends if 0 <= end <= len(text))
    pieces = []
    for start, end in pairwise(cuts):
        styles = [str(text.style)]
        styles += [str(one.style) for one in text.spans if one.start <= start and end <= one.end]
        pieces.append(_styled(text.plain[start:end], styles))
    return joined(*pieces)


def _styled(text: str, styles: list[str]) -> str:
    """Return a piece of text; of several styles the last one counts."""
    marked = text
    if _has("dim", styles):
        marked = element("span", marked, style=FAINT)
    return element("strong", marked) if _has("bold", styles) else marked


def _has(name: str, styles: list[str]) -> bool:
    told = [style for style in styles if name in style]
    return bool(told) and f"not {name}" not in told[-1]


def _table(table: Table) -> Html:
    parts = []
    if table.title:
        title = table.title if isinstance(table.title, str) else str(table.title)
        side = "caption-side: top; text-align: left; font-weight: bold"
        parts.append(element("caption", title, style=side))
    names = [_plain(one.header) for one in table.columns]
    if table.show_header and any(names):
        cells = [
            element("th", " ".join(name.split()), style=_aligned(one))
            for one, name in zip(table.columns, names, strict=True)
        ]
        parts.append(element("thead", element("tr", *cells)))
    rows = zip(*(list(one.cells) for one in table.columns), strict=True)
    body = [
        element("tr", *(_cell(one, cell) for one, cell in zip(table.columns, row, strict=True)))
        for row in rows
    ]
    return element("table", *parts, element("tbody", *body))


def _cell(column: Column, cell: RenderableType) -> Html:
    text = cell if isinstance(cell, AnyText) else Text(_plain(cell))
    marked = _marked(text)
    if _has("dim", [str(column.style)]) and marked:
        marked = element("span", marked, style=FAINT)
    return element("td", marked, style=_aligned(column))


def _aligned(column: Column) -> str:
    # Spaces in front of a name say what it is a part of.
    side = "right" if column.justify == "right" else "left"
    return f"text-align: {side}; white-space: pre-wrap; padding: 0.1em 0.5em"


def _plain(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, AnyText) else str(cell)
