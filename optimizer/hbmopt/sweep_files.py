"""Files of a sweep: the results in the format of the file's name, and the journal beside it.

The journal FILE.partial holds what is done of a sweep that goes on: a header that says of which
sweep, and one line for each point. A line that was cut short, and all after it, is done again.
"""

import io
import json
import os
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hbmopt.csv_text import csv_text
from hbmopt.errors import InputError
from hbmopt.files import check_writable
from hbmopt.plain_text import visible_json

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}
"""Formats by the suffix of a file."""

SYNCED_EVERY = 1.0
"""Seconds after which a line of the journal is on the disk, whatever happens to the machine."""

SIGNATURE = "hbmopt sweep"


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


def contents(rows: Sequence[Row], columns: Sequence[str], style: str) -> bytes:
    """Return rows as a file in the format ``csv``, ``jsonl`` or ``parquet``."""
    if style == "parquet":
        file = io.BytesIO()
        frame_of(rows, columns).to_parquet(file, engine="pyarrow", index=False)
        return file.getvalue()
    if style == "jsonl":
        return "".join(_line(row) for row in rows).encode()
    return csv_text(rows, columns).encode()


def frame_of(rows: Sequence[Row], columns: Sequence[str]) -> "pd.DataFrame":
    """Return rows as a frame in which whole numbers stay whole where some are missing."""
    import pandas as pd  # 0.3 s that only frames need

    frame = pd.DataFrame({name: [row[name] for row in rows] for name in columns})
    for name in columns:
        kinds = {type(row[name]) for row in rows}
        if kinds == {int, type(None)}:
            frame[name] = frame[name].astype("Int64")
    return frame


def _line(value: Any) -> str:
    return visible_json(json.dumps(value, allow_nan=False, ensure_ascii=False)) + "\n"


class Journal:
    """The journal of a sweep with an output file; a context that keeps it open for new lines."""

    def __init__(self, output: Path, digest: str, points: int) -> None:
        self.path = output.with_name(output.name + ".partial")
        self._header: Row = {"journal": SIGNATURE, "digest": digest, "points": points}
        self._points = points
        self._lock = threading.Lock()
        self._written = False
        self._closing = threading.Event()

    def done(self, *, resume: bool) -> dict[int, Row]:
        """Return the answers by point that an interrupted sweep has left, and keep only those.

        Raises
        ------
        InputError
            Where there are some and they are not to be used, or where they are of another sweep.
        """
        if not self.path.exists():
            return {}
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror})") from None
        lines = data.splitlines(keepends=True)
        header = _parsed(lines[0]) if lines else None
        if lines and lines[0].endswith(b"\n") and header != self._header:
            ours = header is not None and header.get("journal") == SIGNATURE
            kind = "of another sweep (instance, --set, --vary, --zip or version differ)"
            raise InputError(
                f"{self.path}: is {kind if ours else 'not the journal of a sweep'}; remove it, or "
                "name another --output"
            )
        found: dict[int, Row] = {}
        kept = len(lines[0]) if header is not None else 0
        for line in lines[1:] if header is not None else ():
            row = _parsed(line) or {}
            index, answer = row.get("index"), row.get("answer")
            if not isinstance(index, int) or not isinstance(answer, dict):
                break
            found[index] = answer
            kept += len(line)
        if found and not resume:
            raise InputError(
                f"{self.path}: holds {len(found):,} of {self._points:,} points of this sweep, "
                "which was interrupted; go on with --resume, or remove it"
            )
        os.truncate(self.path, kept)
        return found

    def __enter__(self) -> "Journal":
        try:
            self._file = self.path.open("ab")
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror})") from None
        if self._file.tell() == 0:
            self._append(self._header)
        self._syncing = threading.Thread(target=self._sync_regularly, daemon=True)
        self._syncing.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._syncing.join()
        self._sync()
        self._file.close()

    def add(self, index: int, answer: Row) -> None:
        """Keep the answer of a point."""
        self._append({"index": index, "answer": answer})

    def remove(self) -> None:
        """Remove the journal of a sweep whose results are written."""
        self.path.unlink(missing_ok=True)

    def _append(self, value: Row) -> None:
        line = _line(value).encode()
        with self._lock:
            self._file.write(line)
            self._file.flush()
            self._written = True

    def _sync_regularly(self) -> None:
        while not self._closing.wait(SYNCED_EVERY):
            self._sync()

    def _sync(self) -> None:
        with self._lock:
            wanted, self._written = self._written, False
        if wanted:
            os.fsync(self._file.fileno())


def _parsed(line: bytes) -> Row | None:
    """Return a whole line of a journal, None for one that was cut short."""
    if not line.endswith(b"\n"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
