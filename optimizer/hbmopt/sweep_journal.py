"""The journal of a sweep: the answers of its points as they are done, on the disk and not held.

Beside an output file it is FILE.partial, with which an interrupted sweep goes on: a header that
says of which sweep, and one line for each point. A line that was cut short, and all after it, is
done again. Without an output file it is a temporary file that nobody else sees.
"""

import io
import json
import os
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np

from hbmopt.errors import InputError
from hbmopt.lazy_sequence import Places
from hbmopt.sweep_files import Row

SYNCED_EVERY = 1.0
"""Seconds after which a line of the journal is on the disk, whatever happens to the machine."""

MOST_IN_MEMORY = 2**22
"""Bytes up to which a journal without an output file needs no file."""

SIGNATURE = "hbmopt sweep"
LONGEST_HEADER = 4096


def partial_of(output: Path) -> Path:
    """Return the file in which the journal of a sweep to an output file is kept."""
    return output.with_name(output.name + ".partial")


class Journal:
    """The answers of a sweep by the index of their point; a context within which they are added.

    Of each point it holds where its line begins and how long it is.

    Attributes
    ----------
    path
        FILE.partial, None where there is no output file.
    names
        The names of what any answer holds.
    statuses
        How many answers have each status.
    firsts
        The index of the first point of each status.
    """

    def __init__(self, output: Path | None, digest: str, points: int) -> None:
        self.path = partial_of(output) if output is not None else None
        self.names: set[str] = set()
        self.statuses: dict[str, int] = {}
        self.firsts: dict[str, int] = {}
        self._header = _line({"journal": SIGNATURE, "digest": digest, "points": points})
        self._begins = np.full(points, -1, dtype=np.int64)
        self._lengths = np.zeros(points, dtype=np.int32)
        self._file: io.FileIO | io.BytesIO = io.BytesIO()
        self._end = 0
        self._lock = threading.Lock()
        self._written = False
        self._failure: OSError | None = None
        self._closing = threading.Event()

    def begin(self, *, resume: bool) -> None:
        """Take what an interrupted sweep has left.

        Raises
        ------
        InputError
            Where there is something and it is not to be used or is of another sweep, where another
            sweep writes to it, and where it cannot be read or written.
        """
        if self.path is None:
            return
        try:
            self._open(self.path, resume=resume)
        except OSError as error:
            raise self._unwritable(error) from None

    def __enter__(self) -> "Journal":
        if self.path is not None:
            self._syncing = threading.Thread(
                target=self._sync_regularly, args=(self.path.parent,), daemon=True
            )
            self._syncing.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.path is None or isinstance(self._file, io.BytesIO):
            return
        self._closing.set()
        self._syncing.join()
        self._sync(self.path.parent)
        _unlock(self._file)
        if kind is None and self._failure is not None:
            raise self._unwritable(self._failure)

    def __len__(self) -> int:
        return sum(self.statuses.values())

    @property
    def done(self) -> Places:
        """The indices of the points that are answered, in order."""
        points = len(self._begins)
        return range(points) if len(self) == points else np.nonzero(self._begins >= 0)[0]

    @property
    def left(self) -> Places:
        """The indices of the points that are not answered, in order."""
        return np.nonzero(self._begins < 0)[0] if len(self) else range(len(self._begins))

    @property
    def kept(self) -> str:
        """What is kept of the points that are done, in words."""
        if self.path is None:
            return "nothing is kept without --output FILE"
        if not self._in_its_place(self.path):
            return f"nothing is kept, as {self.path} was removed"
        return f"they are kept in {self.path}, go on with --resume"

    def add(self, index: int, answer: Row) -> None:
        """Keep the answer of a point. Raises `InputError` where it cannot be written."""
        if self._failure is not None:
            raise self._unwritable(self._failure)
        line = _line({"index": index, "answer": answer})
        try:
            begin = self._append(line)
        except OSError as error:
            raise self._unwritable(error) from None
        self._count(index, answer, begin, len(line))

    def answer(self, index: int) -> Row:
        """Return the answer of a point that is done. Raises `InputError` where it is lost."""
        try:
            with self._lock:
                self._file.seek(int(self._begins[index]))
                line = self._file.read(int(self._lengths[index]))
        except OSError as error:
            raise InputError(f"{self._name}: cannot be read ({error.strerror})") from None
        found = _parsed(line)
        if found is None or found[0] != index:
            raise InputError(f"{self._name}: was changed by something else; sweep again")
        return found[1]

    def remove(self) -> None:
        """Remove the file of a sweep whose results are written; answers can be read as before."""
        path, self.path = self.path, None
        if path is None:
            return
        try:
            path.unlink(missing_ok=True)
        except PermissionError:  # where a file that is open cannot be removed
            self._closed.detach()
            weakref.finalize(self, _close_and_remove, self._file.close, path)
        except OSError as error:
            raise InputError(f"{path}: cannot be removed ({error.strerror})") from None

    def _open(self, path: Path, *, resume: bool) -> None:
        file = path.open("a+b", buffering=0)
        self._hold(file)
        try:
            _lock(file, path)
            self._end = self._take(path, resume=resume)
            file.truncate(self._end)
            if self._end == 0:
                self._append(self._header)
        except BaseException:
            file.close()
            raise

    def _take(self, path: Path, *, resume: bool) -> int:
        """Count the answers that are in a file, and return where the last whole line ends."""
        with path.open("rb") as lines:
            header = lines.readline(LONGEST_HEADER)
            if header != self._header:
                if self._header.startswith(header):
                    return 0
                ours = header.startswith(self._header.partition(b",")[0])
                kind = "of another sweep (instance, --set, --vary, --zip or version differ)"
                raise InputError(
                    f"{path}: is {kind if ours else 'not the journal of a sweep'}; remove it, or "
                    "name another --output"
                )
            end = len(header)
            for line in lines:
                found = _parsed(line)
                if found is None or not 0 <= found[0] < len(self._begins):
                    break
                self._count(*found, end, len(line))
                end += len(line)
        if len(self) and not resume:
            raise InputError(
                f"{path}: holds {len(self):,} of {len(self._begins):,} points of this sweep, "
                "which was interrupted; go on with --resume, or remove it"
            )
        return end

    def _count(self, index: int, answer: Row, begin: int, length: int) -> None:
        """Know where the answer of a point is, and what the rows have in common."""
        if self._begins[index] >= 0:
            return
        self._begins[index], self._lengths[index] = begin, length
        self.names.update(answer)
        status = answer["status"]
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.firsts[status] = min(self.firsts.get(status, index), index)

    def _append(self, line: bytes) -> int:
        """Write a line, and return where it begins."""
        with self._lock:
            begin, end = self._end, self._end + len(line)
            if isinstance(self._file, io.BytesIO) and end > MOST_IN_MEMORY:
                held, file = self._file, tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
                self._hold(file)
                _write(file, held.getvalue())
            self._file.seek(begin)
            _write(self._file, line)
            self._end, self._written = end, True
        return begin

    def _hold(self, file: io.FileIO) -> None:
        """Use a file as long as any row is held."""
        self._file = file
        self._closed = weakref.finalize(self, file.close)

    def _sync_regularly(self, folder: Path) -> None:
        while not self._closing.wait(SYNCED_EVERY):
            self._sync(folder)

    def _sync(self, folder: Path) -> None:
        with self._lock:
            wanted, self._written = self._written, False
        if not wanted:
            return
        try:
            os.fsync(self._file.fileno())
            folder.stat()  # as a folder that was removed takes what is written all the same
        except OSError as error:
            self._failure = error

    def _in_its_place(self, path: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), path.stat())
        except OSError:
            return False

    @property
    def _name(self) -> str:
        return str(self.path) if self.path is not None else "the temporary file of the rows"

    def _unwritable(self, error: OSError) -> InputError:
        problem = f"{self._name}: cannot be written ({error.strerror})"
        if self.path is None:
            problem += "; name an --output FILE, or in TMPDIR a folder that has room"
        return InputError(problem)


def _line(value: Row) -> bytes:
    return (json.dumps(value) + "\n").encode()


def _parsed(line: bytes) -> tuple[int, Row] | None:
    """Return index and answer of a line, None where it was cut short or is none."""
    if not line.endswith(b"\n"):
        return None
    try:
        value = json.loads(line)
        index, answer = value["index"], value["answer"]
        known = isinstance(index, int) and isinstance(answer["status"], str)
    except (ValueError, TypeError, KeyError):
        return None
    return (index, answer) if known else None


def _write(file: io.FileIO | io.BytesIO, data: bytes) -> None:
    """Write all, as a file without a buffer may take a part where the disk is nearly full."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _lock(file: io.FileIO, path: Path) -> None:
    """Keep other sweeps away from a file. Raises `InputError` where one writes to it."""
    if sys.platform == "win32":
        return
    import fcntl  # not everywhere

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"{path}: another sweep writes to it; wait for its end, or name another --output"
        ) from None
    except OSError:  # a file system that has no locks
        return


def _unlock(file: io.FileIO) -> None:
    if sys.platform == "win32":
        return
    import fcntl  # not everywhere

    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_UN)


def _close_and_remove(close: Callable[[], None], path: Path) -> None:
    close()
    path.unlink(missing_ok=True)
