"""Lines of plain text: columns side by side, and lines that go on below where they are too long."""

from collections.abc import Collection, Sequence
from textwrap import wrap

APART = "  "
"""What stands between two columns."""

DEEPEST_INDENT = 0.5
"""Share of a line that is left free at most before what goes on below."""


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return rows as lines whose cells stand below each other; `right` are columns of numbers.

    Every column is as wide as its widest cell, so that none runs into the next. Rows may be shorter
    than others.
    """
    widths = list[int]()
    for row in rows:
        widths += [0] * (len(row) - len(widths))
        for place, cell in enumerate(row):
            widths[place] = max(widths[place], len(cell))
    return [
        APART.join(
            cell.rjust(widths[place]) if place in right else cell.ljust(widths[place])
            for place, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]


def wrapped(text: str, width: int | None, indent: int | None = None) -> str:
    """Return a text whose lines are no longer than a width, None for as long as they are.

    What goes on below is set in: by `indent`, or two columns further than a line that is.
    """
    if width is None:
        return text
    lines = list[str]()
    for line in text.split("\n"):
        if len(line) <= width:
            lines.append(line)
            continue
        own = len(line) - len(line.lstrip(" "))
        further = own + 2 if own else 0
        deep = min(further if indent is None else indent, int(DEEPEST_INDENT * width))
        lines += wrap(
            line.lstrip(" "),
            width,
            initial_indent=" " * own,
            subsequent_indent=" " * deep,
            break_on_hyphens=False,
        )
    return "\n".join(lines)
