"""The catalogue as text: entries as rows with their numbers, and marks at the uncertain ones."""

from typing import Any

from rich.console import Group, RenderableType

from hbmopt.basics import aligned, csv_text, show, wrapped
from hbmopt.documents import catalogue, shipped
from hbmopt.instance import (
    KINDS,
    CatalogueColumn,
    CatalogueEntry,
    CatalogueTable,
    Fact,
    catalogue_table,
)
from hbmopt.report.tables.fitted_table import Column, FittedTable
from hbmopt.report.tables.output import json_text, printed
from hbmopt.report.tables.table_text import Text

WIDTH = 200

NARROWEST = 30
"""Width from which on cells wrap that may."""

MARKS = {"estimate": " (est.)", "announced": " (ann.)", "press": " (press)", "derived": ""}
"""What stands behind figures of a status; arithmetic on published ones is as good as they are."""

MEANINGS = {
    "estimate": "est.: a guess",
    "announced": "ann.: announced ahead of the product",
    "press": "press: reported by others",
}


def render_catalogue(
    table: CatalogueTable, style: str, *, width: int | None = None, color: bool = False
) -> str:
    """Return entries as text in the style ``table``, ``json`` or ``csv``."""
    if style == "csv":
        return csv_text(table.rows(), table.keys)
    if style == "json":
        return json_text(_plain(table))
    if table.kind in (shipped.INSTANCES, shipped.FLEETS):
        return _questions(table, width)
    return printed(catalogue_tables(table), width or WIDTH, color=color)


def catalogue_overview(style: str) -> str:
    """Return the kinds of entries with their names, in the style ``table``, ``json`` or ``csv``."""
    tables = [catalogue_table(one) for one in KINDS]
    listed = {one.kind: [entry.name for entry in one.entries] for one in tables}
    if style == "json":
        return json_text(listed)
    if style == "csv":
        return csv_text(
            {"kind": kind, "name": name} for kind, names in listed.items() for name in names
        )
    return "".join(
        f"{kind} ({len(names)})\n" + "".join(f"  {name}\n" for name in names)
        for kind, names in listed.items()
    )


def entry_text(kind: str, name: str, style: str) -> str:
    """Return an entry as it stands in its file, or its row in the style ``json`` or ``csv``.

    Raises
    ------
    InputError
        Where there is no such entry, with the nearest one.
    """
    whole = kind in (shipped.INSTANCES, shipped.FLEETS)
    text = shipped.text(name, kind) if whole else catalogue.text(kind, name)
    return text if style == "table" else render_catalogue(catalogue_table(kind).only(name), style)


def _plain(table: CatalogueTable) -> dict[str, Any]:
    columns = [{"key": one.key, "unit": one.unit, "meaning": one.meaning} for one in table.columns]
    entries = [
        row | {"uncertain": dict(table.worth(entry))}
        for row, entry in zip(table.rows(), table.entries, strict=True)
    ]
    return {"kind": table.kind, "columns": columns, "entries": entries}


def _questions(table: CatalogueTable, width: int | None) -> str:
    """Return instances with their questions, a line each: those are what tells them apart."""
    lines = aligned([[one.name, str(one.facts["question"])] for one in table.entries])
    longest = max((len(one.name) for one in table.entries), default=0)
    return wrapped("".join(f"{line}\n" for line in lines), width, indent=longest + 2)


def catalogue_tables(table: CatalogueTable) -> RenderableType:
    """Return the table of entries, and below it what the marks mean."""
    columns = [Column(_heading(table, "name", "name"), [one.name for one in table.entries], False)]
    columns += [_column(table, one) for one in table.columns if _stated(table, one)]
    used = {status for one in table.entries for status in one.uncertain.values()}
    meanings = [text for status, text in MEANINGS.items() if status in used]
    legend = f"{'; '.join(meanings)}. " if meanings else ""
    note = (
        f"{legend}hbmopt catalog {table.kind} NAME shows an entry with the source of each number."
    )
    return Group(FittedTable(columns), Text(), Text(note, style="dim"))


def _stated(table: CatalogueTable, column: CatalogueColumn) -> bool:
    """Whether any entry says anything in a column."""
    return any(one.facts[column.name] is not None for one in table.entries)


def _heading(table: CatalogueTable, name: str, heading: str) -> str:
    if table.sorted_by != name:
        return heading
    return f"{heading} {'↓' if table.descending else '↑'}".strip()


def _column(table: CatalogueTable, column: CatalogueColumn) -> Column:
    facts = [one.facts[column.name] for one in table.entries]
    heading = _heading(table, column.name, column.heading)
    texts = [_text(one, column.digits) for one in facts]
    marks = [_mark(one, column) for one in table.entries]
    if any(marks):
        # Digits stand below each other, whatever marks follow.
        lines = heading.split("\n")
        wide = max(map(len, [*texts, *lines]))
        heading = "\n".join(line.rjust(wide) for line in lines)
        texts = [text.rjust(wide) + mark for text, mark in zip(texts, marks, strict=True)]
    return Column(
        heading,
        texts,
        right=not any(marks) and not any(isinstance(one, str) for one in facts),
        least=NARROWEST if column.wraps else None,
        rank=0 if table.sorted_by == column.name else column.rank,
        style="dim" if column.name == "title" else None,
    )


def _text(fact: Fact, digits: int) -> str:
    if fact is None or isinstance(fact, str):
        return fact or ""
    return show(fact, digits) if digits else str(fact)


def _mark(entry: CatalogueEntry, column: CatalogueColumn) -> str:
    """Return what stands behind a figure; of a year nothing, as products are late anyway."""
    return MARKS.get(entry.uncertain.get(column.name, ""), "") if column.digits else ""
