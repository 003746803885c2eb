"""Files of a sweep's rows: CSV, JSON lines or Parquet, written row by row."""

import json
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hbmopt.csv_text import write_csv
from hbmopt.errors import InputError
from hbmopt.files import check_writable
from hbmopt.plain_text import visible_json

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}
"""Formats by the suffix of a file."""

ROWS_IN_GROUP = 4096
"""Rows of a Parquet file that are written, and held, together."""


def format_of(path: Path) -> str:
    """Return the format of a file of results. Raises `InputError` where it cannot be written."""
    style = FORMATS.get(path.suffix)
    if style is None:
        raise InputError(f"--output {path}: the name must end in {', '.join(FORMATS)}")
    if style == "parquet" and find_spec("pyarrow") is None:
        raise InputError(
            f"--output {path}: Parquet needs pyarrow: pip install 'hbmopt[parquet]', or name it "
            f"{path.stem}.csv"
        )
    check_writable(path)
    return style


def write_rows(rows: Sequence[Row], columns: Sequence[str], style: str, file: BinaryIO) -> None:
    """Write rows in the format ``csv``, ``jsonl`` or ``parquet``."""
    if style == "parquet":
        _write_parquet(rows, columns, file)
    elif style == "jsonl":
        encoder = json.JSONEncoder(allow_nan=False, ensure_ascii=False)
        for row in rows:
            file.write(f"{visible_json(encoder.encode(row))}\n".encode())
    else:
        write_csv(_Encoded(file), rows, columns)


class _Encoded:
    """Text that is written to a file of bytes at once, as a wrapper of the library's is not."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode())


def frame_of(rows: Sequence[Row], columns: Sequence[str]) -> "pd.DataFrame":
    """Return rows as a frame in which whole numbers stay whole where some are missing."""
    cells = _cells(rows, columns)
    return _frame(cells, {name: set(map(type, column)) for name, column in cells.items()})


def _cells(rows: Iterable[Row], columns: Sequence[str]) -> dict[str, list[Any]]:
    cells: dict[str, list[Any]] = {name: [] for name in columns}
    for row in rows:
        for name, column in cells.items():
            column.append(row[name])
    return cells


def _frame(cells: dict[str, list[Any]], kinds: dict[str, set[type]]) -> "pd.DataFrame":
    """Return columns as a frame; `kinds` are the types of their values, or of more than these."""
    import pandas as pd  # 0.3 s that only frames need

    frame = pd.DataFrame(cells)
    for name, found in kinds.items():
        if found == {int, type(None)}:
            frame[name] = frame[name].astype("Int64")
    return frame


def _write_parquet(rows: Sequence[Row], columns: Sequence[str], file: BinaryIO) -> None:
    # Not among the requirements, and without types.
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")

    # A first pass says what each column holds, as every group has to have the same types.
    kinds: dict[str, set[type]] = {name: set() for name in columns}
    for row in rows:
        for name, found in kinds.items():
            found.add(type(row[name]))
    types = {
        type(None): arrow.null(),
        bool: arrow.bool_(),
        int: arrow.int64(),
        float: arrow.float64(),
        str: arrow.string(),
    }
    held = {name: [types[one] for one in types if one in found] for name, found in kinds.items()}
    schema = arrow.schema(
        (name, found[-1] if found else arrow.float64()) for name, found in held.items()
    )
    groups = range(0, max(len(rows), 1), ROWS_IN_GROUP)
    tables = (
        arrow.Table.from_pandas(
            _frame(_cells(rows[begin : begin + ROWS_IN_GROUP], columns), kinds),
            schema=schema,
            preserve_index=False,
        )
        for begin in groups
    )
    first = next(tables)
    with parquet.ParquetWriter(file, first.schema) as writer:
        for table in chain([first], tables):
            writer.write_table(table)
