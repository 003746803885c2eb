"""Entries of the catalogue side by side: columns with units, and what each figure is worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from hbmopt.errors import InputError, nearest

if TYPE_CHECKING:
    import pandas as pd

Fact: TypeAlias = str | int | float | None

NAME, UNCERTAIN_FIGURES = "name", "uncertain"
"""The first key of a row, and the last: the figures that may turn out otherwise."""


@dataclass(frozen=True)
class CatalogueColumn:
    """A column of a table of entries: its name, its unit, "" where it has none, and its meaning.

    `digits` are those of its numbers in texts, 0 for one that is written as it stands, such as a
    year. Columns of the highest `rank` are left out first where a terminal is narrow; the cells of
    one that `wraps` may take several lines.
    """

    name: str
    unit: str
    meaning: str
    heading: str
    digits: int = 4
    rank: int = 0
    wraps: bool = False

    @property
    def key(self) -> str:
        """The name with the unit, as rows and frames have it: ``hbm_gb``."""
        unit = self.unit.lower().replace("/", "_").replace(" ", "_")
        return f"{self.name}_{unit}" if unit else self.name


@dataclass(frozen=True)
class CatalogueEntry:
    """One entry: what it says by the names of columns, and the statuses of uncertain figures."""

    name: str
    facts: Mapping[str, Fact]
    uncertain: Mapping[str, str]


@dataclass(frozen=True)
class CatalogueTable:
    """The entries of one kind, by name unless they were sorted.

    `sorted_by` is the name of a column, "" where nobody asked; `descending` says which way.
    """

    kind: str
    columns: tuple[CatalogueColumn, ...]
    entries: tuple[CatalogueEntry, ...]
    sorted_by: str = ""
    descending: bool = False

    def sorted(self, column: str, *, descending: bool = False) -> "CatalogueTable":
        """Return the entries by a column, those of which it is not known last.

        Raises
        ------
        InputError
            Where there is no such column, with the nearest one.
        """
        name = self._column(column)

        def key(entry: CatalogueEntry) -> tuple[str, float]:
            fact = entry.name if name == NAME else entry.facts[name]
            return (fact.lower(), 0.0) if isinstance(fact, str) else ("", float(fact or 0.0))

        known = [one for one in self.entries if name == NAME or one.facts[name] is not None]
        unknown = [one for one in self.entries if name != NAME and one.facts[name] is None]
        ordered = sorted(known, key=key, reverse=descending)
        return CatalogueTable(self.kind, self.columns, (*ordered, *unknown), name, descending)

    def _column(self, asked: str) -> str:
        """Return the name of the column that is meant, with its unit or without."""
        names = {NAME: NAME} | {one.name: one.name for one in self.columns}
        known = names | {one.key: one.name for one in self.columns}
        if asked in known:
            return known[asked]
        hint = nearest(asked, names)
        if not hint.startswith("did"):
            hint = f"valid: {', '.join(names)}"
        raise InputError(f"--sort {asked}: {self.kind} have no such column; {hint}")

    def only(self, name: str) -> "CatalogueTable":
        """Return the table of one entry alone."""
        chosen = tuple(one for one in self.entries if one.name == name)
        return CatalogueTable(self.kind, self.columns, chosen, self.sorted_by, self.descending)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of a row."""
        return (NAME, *(one.key for one in self.columns), UNCERTAIN_FIGURES)

    def rows(self) -> list[dict[str, Fact]]:
        """Return a row for each entry; uncertain figures as in ``price_usd=press``, one or more."""
        return [
            {NAME: one.name}
            | {column.key: one.facts[column.name] for column in self.columns}
            | {UNCERTAIN_FIGURES: " ".join(f"{key}={status}" for key, status in self.worth(one))}
            for one in self.entries
        ]

    def worth(self, entry: CatalogueEntry) -> list[tuple[str, str]]:
        """Return keys and statuses of the figures of an entry that may turn out otherwise."""
        return [
            (column.key, entry.uncertain[column.name])
            for column in self.columns
            if column.name in entry.uncertain
        ]

    @property
    def frame(self) -> "pd.DataFrame":
        """The rows as a frame, indexed by name; whole numbers stay whole where some are missing."""
        import pandas as pd  # 0.3 s that only frames need

        frame = pd.DataFrame(self.rows(), columns=list(self.keys)).set_index(NAME)
        for column in self.columns:
            kinds = {type(one.facts[column.name]) for one in self.entries}
            if kinds <= {int, type(None)}:
                frame[column.key] = frame[column.key].astype("Int64")
            elif kinds == {float, type(None)}:
                frame[column.key] = frame[column.key].astype(float)
        return frame
