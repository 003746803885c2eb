"""Rows as CSV that a spreadsheet can open: a text in a cell stays a text.

A spreadsheet calculates a cell that begins like a formula, and a title may begin so. Such a text
gets an apostrophe in front, as spreadsheets themselves mark texts; numbers are numbers as ever.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hbmopt.plain_text import visible

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a cell begins that a spreadsheet may calculate; the last four are wide forms of the first."""


def csv_cell(value: object) -> object:
    """Return a value as it stands in a cell: a text visible, and no formula."""
    if not isinstance(value, str):
        return value
    return f"'{visible(value)}" if value.startswith(FORMULA) else visible(value)


def csv_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Return rows under a line of names; None is an empty cell.

    `columns` are those to write; by default all that any row has.
    """
    listed = list(rows)
    if columns is None:
        columns = list(dict.fromkeys(name for row in listed for name in row))
    text = io.StringIO()
    write_csv(text, listed, columns)
    return text.getvalue()


def write_csv(
    file: "SupportsWrite[str]", rows: Iterable[Mapping[str, Any]], columns: Sequence[str]
) -> None:
    """Write rows under a line of names, one after the other, so that they need not be held."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(csv_cell, columns))
    writer.writerows([csv_cell(row.get(name)) for name in columns] for row in rows)
