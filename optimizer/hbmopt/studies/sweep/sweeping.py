"""`sweep`: the optimum at every point of a grid over fields of an instance.

The points are independent of each other: any number of workers, in any order, gives the same
rows to the last bit, and so does a sweep that was interrupted and goes on.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import file_digest, sha256
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hbmopt import __version__
from hbmopt.basics import (
    Chosen,
    Remaining,
    brief,
    check_not_read,
    counted,
    duration,
    is_file,
    verb,
    writing,
)
from hbmopt.errors import HbmoptError, InputError
from hbmopt.instance import (
    Overrides,
    Points,
    Source,
    SweepPoint,
    Variation,
    is_fleet,
    load_document,
    parse_variation,
    points,
)
from hbmopt.notebook import Answer, chart_of
from hbmopt.studies.sweep.files import Row, format_of, frame_of, write_rows
from hbmopt.studies.sweep.journal import Journal, partial_of
from hbmopt.studies.sweep.rows import Rows
from hbmopt.studies.sweep.workers import (
    Answers,
    FleetProblem,
    Problem,
    in_processes,
    in_this_process,
    on_dask,
)

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

PROGRESS_AFTER = 1.0
"""Seconds after which a sweep shows how far it is."""


@dataclass(frozen=True)
class Sweep(Answer):
    """The rows of a sweep, one for each point in order.

    A row has all `columns`: `index`, the inputs, `status` (``optimal``, ``infeasible``,
    ``invalid`` or ``failed``), the answer, what limits it, its configuration, `price_...` and
    `elasticity_...` of every priced input; `conflict` where nothing is feasible, `error` where the
    instance is invalid or the solver failed. What a row has not is None. Rows are read when they
    are asked for, from a temporary file where they are many.

    Rows of a fleet have the columns of `FLEET_LAYOUT` instead, and `of_fleets` is set.

    `statuses` counts the rows of each status, and `examples` are the first rows of each, both in
    the order of those.
    """

    title: str
    variations: tuple[Variation, ...]
    points: int
    columns: tuple[str, ...]
    rows: Sequence[Row]
    statuses: Mapping[str, int]
    examples: Mapping[str, Row]
    seconds: float
    of_fleets: bool = False

    def __repr__(self) -> str:
        return brief(
            "Sweep",
            " and ".join(one.header for one in self.variations),
            counted(self.points, "point"),
            *(f"{count:,} {status}" for status, count in self.statuses.items()),
        )

    @property
    def feasible(self) -> bool:
        """Whether anything can be served at any point."""
        return "optimal" in self.statuses

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """The rows as a frame."""
        return frame_of(self.rows, self.columns)

    def chart(self) -> "alt.LayerChart | alt.VConcatChart":
        """Return the chart that ``hbmopt sweep --plot`` draws.

        Of one variation the curve of the objective with, where it has one, the price of what
        varies, and bars where the values are names; of two variations a heat map.

        Raises
        ------
        InputError
            Where the packages that draw charts are missing, for more variations, for two that were
            zipped, or where nothing can be served.
        """
        return chart_of(self)

    def write(self, file: BinaryIO, style: str) -> None:
        """Write the rows to a file in the format ``csv``, ``jsonl`` or ``parquet``."""
        write_rows(self.rows, self.columns, style, file)

    def contents(self, style: str) -> bytes:
        """Return the rows as a file in the format ``csv``, ``jsonl`` or ``parquet``."""
        file = BytesIO()
        self.write(file, style)
        return file.getvalue()


class SweepInterrupted(KeyboardInterrupt):
    """Ctrl-C: `sweep` holds the rows that are done, the message says where they are kept."""

    def __init__(self, message: str, sweep: Sweep) -> None:
        super().__init__(message)
        self.sweep = sweep


@verb
def sweep(
    source: Source,
    variations: str | Variation | Sequence[str | Variation],
    *,
    overrides: Overrides = None,
    zipped: bool = False,
    jobs: int | None = None,
    dask: str | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> Sweep:
    """Return the optimum at every point.

    Parameters
    ----------
    source, overrides
        As of `load`, or of `solve_fleet`.
    variations
        What varies: ``"limits.power=60 kW:600 kW:20 kW"``, ``"llm=kimi_k2_5,glm_4_5"``. Several
        make a grid, in which the last one changes fastest.
    zipped
        Take the first values of all together, then the second ones, instead of a grid.
    jobs
        Worker processes, by default 1; of ``dask="local"`` by default one for each core. A script
        that uses more than one has to keep its calls below ``if __name__ == "__main__":``.
    dask
        The address of a Dask scheduler, or ``"local"``.
    output
        A file that ends in .csv, .jsonl or .parquet. While the sweep runs, what is done is kept
        beside it in FILE.partial.
    resume
        Go on with what an interrupted sweep has left in FILE.partial.
    progress
        Show on stderr, where that is a terminal, how far the sweep is.

    Raises
    ------
    InputError
        Where the variations cannot be used, no point is valid, or a file cannot be written. A point
        that is infeasible or invalid is a row, not an error.
    SweepInterrupted
        On Ctrl-C, with the rows that are done.
    """
    begun = time.perf_counter()
    listed = [variations] if isinstance(variations, str | Variation) else list(variations)
    varied = tuple(parse_variation(one) if isinstance(one, str) else one for one in listed)
    grid = points(varied, zipped=zipped)
    workers = _workers(jobs, dask)
    file = Path(output) if output is not None else None
    style = format_of(file) if file is not None else ""
    if resume and file is None:
        raise InputError("--resume: needs --output FILE, whose FILE.partial it goes on with")
    document, paths = load_document(source, overrides), tuple(one.path for one in varied)
    # What was changed is told once for all points.
    changes, document.changes = document.changes, []
    problem = (FleetProblem if is_fleet(document) else Problem)(document, paths)
    if file is not None:
        read = {*problem.document.files, *_files(varied)}
        check_not_read(file, read)
        check_not_read(partial_of(file), read)
    title = _title(problem, grid, changes)
    digest = _digest(problem, varied, grid) if file is not None else ""
    journal = Journal(file, digest, len(grid))
    journal.begin(resume=resume)

    def made() -> Sweep:
        rows = Rows([one.header for one in varied], grid.cells, journal, problem.layout)
        firsts = sorted(journal.firsts, key=journal.firsts.__getitem__)
        return Sweep(
            title=title,
            variations=varied,
            points=len(grid),
            columns=rows.columns,
            rows=rows,
            statuses={status: journal.statuses[status] for status in firsts},
            examples={status: rows.at(journal.firsts[status]) for status in firsts},
            seconds=time.perf_counter() - begun,
            of_fleets=is_fleet(document),
        )

    try:
        with journal:
            left = Chosen(grid, journal.left)
            with (
                closing(_Progress(len(grid), len(journal), wanted=progress)) as shown,
                closing(_run(problem, left, workers, dask)) as run,
            ):
                for index, answer in run:
                    journal.add(index, answer)
                    shown.advance()
        found = made()
        if file is not None:
            with writing(file) as results:
                found.write(results, style)
    except KeyboardInterrupt:
        message = f"interrupted after {len(journal):,} of {len(grid):,} points"
        if len(journal):
            message += f"; {journal.kept}"
        raise SweepInterrupted(message, made()) from None
    except HbmoptError as error:
        if not len(journal):
            raise
        done = f"{len(journal):,} of {len(grid):,} points are done: {journal.kept}"
        raise type(error)(f"{error}; {done}") from None
    journal.remove()
    return found


def _workers(jobs: int | None, dask: str | None) -> int:
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs {jobs}: must be at least 1")
    if dask is not None and dask != "local" and jobs is not None:
        raise InputError(f"--jobs {jobs}: the cluster at --dask {dask} has workers of its own")
    return jobs or ((os.cpu_count() or 1) if dask == "local" else 1)


def _run(problem: Problem, left: Sequence[SweepPoint], workers: int, dask: str | None) -> Answers:
    """Return the answers of the points that are left, as they are done."""
    if not left:
        return in_this_process(problem, ())
    if dask is not None:
        return on_dask(problem, left, dask, min(workers, len(left)))
    if workers == 1 or len(left) == 1:
        return in_this_process(problem, left)
    return in_processes(problem, left, min(workers, len(left)))


def _title(problem: Problem, grid: Sequence[SweepPoint], changes: Sequence[str]) -> str:
    """Return what heads the sweep, by its first valid point.

    Raises the first error where none is valid: then a path or the instance is wrong.
    """
    first: InputError | None = None
    for point in grid:
        try:
            return problem.title(point.values, changes)
        except InputError as error:
            first = first or error
    if first is None:
        raise AssertionError("a grid has points")
    raise first


def _digest(problem: Problem, variations: Sequence[Variation], grid: Points) -> str:
    """Return what tells this sweep from any other one whose rows may differ."""
    told = [
        [__version__, version("highspy"), version("numpy")],
        problem.document.value,
        [[one.path, len(one.values)] for one in variations],
        [point.values for point in grid[:2]],
    ]
    digest = sha256(json.dumps(told, default=repr).encode())
    for one in variations:
        for value in one.values:
            digest.update(repr(value).encode())
    for path in _files(variations):
        # A point whose file cannot be read says so in its row.
        with suppress(OSError), path.open("rb") as read:
            digest.update(file_digest(read, "sha256").digest())
    return digest.hexdigest()


def _files(variations: Sequence[Variation]) -> list[Path]:
    """Return the files that are named among the values that vary."""
    suffixes = (".yaml", ".yml", ".json")
    values = (value for one in variations for value in one.values if value.endswith(suffixes))
    return [path for path in map(Path, values) if is_file(path)]


class _Progress:
    """How far a sweep is, on stderr; nothing for a short one or off a terminal."""

    def __init__(self, points: int, done: int, *, wanted: bool) -> None:
        self._points, self._done = points, done
        self._remaining = Remaining()
        self._shown: Any = None
        self._begin: threading.Timer | None = None
        if wanted and sys.stderr.isatty():
            self._begin = threading.Timer(PROGRESS_AFTER, self._show)
            self._begin.daemon = True
            self._begin.start()

    def advance(self) -> None:
        """Count one more point."""
        self._done += 1
        if self._begin is not None:
            self._remaining.tell(self._done, self._points)

    def _show(self) -> None:
        # Only long sweeps need it.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, Task

        sweep, begun = self, time.monotonic() - PROGRESS_AFTER

        class Words(ProgressColumn):
            """How far it is by now."""

            def render(self, task: Task) -> str:
                task.completed = sweep._done
                left = sweep._remaining.seconds()
                spent = f"{duration(time.monotonic() - begun)} so far"
                text = f"about {duration(left)} left" if left is not None else spent
                return f"{sweep._done:,} of {sweep._points:,} points, {text}"

        shown = Progress(BarColumn(10), Words(), console=Console(stderr=True), transient=True)
        shown.add_task("", total=self._points, completed=self._done)
        shown.start()
        self._shown = shown

    def close(self) -> None:
        """Take the bar away."""
        if self._begin is not None:
            self._begin.cancel()
            self._begin.join()
        if self._shown is not None:
            self._shown.stop()
