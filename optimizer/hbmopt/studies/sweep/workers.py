"""Who answers the points of a sweep: this process, processes on this machine, a Dask cluster.

Each takes a problem and points and yields (index, answer) pairs as they are done. Closing the
iterator, as an interruption does, ends the workers.
"""

import multiprocessing
import re
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import islice
from typing import Any, TypeAlias

from pydantic import ValidationError

from hbmopt import __version__
from hbmopt.basics import begin_worker, interrupts_held
from hbmopt.documents import Document, parse_scalar
from hbmopt.errors import HbmoptError, InputError, SolverError
from hbmopt.fleet import fleet_of
from hbmopt.instance import (
    Instance,
    Limits,
    SweepPoint,
    apply_override,
    described,
    validate,
)
from hbmopt.studies.sweep.files import Row
from hbmopt.studies.sweep.fleet_point import FLEET_LAYOUT, fleet_row, wrong
from hbmopt.studies.sweep.layout import Layout
from hbmopt.studies.sweep.point import INSTANCE_LAYOUT, Evaluator

Answers = Generator[tuple[int, Row], None, None]

Asked: TypeAlias = tuple[SweepPoint, Callable[[], Row] | InputError]
"""A point, and the call that answers it or what is wrong with it."""

MOST_IN_CHUNK, MOST_ALIKE = 16, 256
"""Points that a worker takes at a time; more where a millisecond answers one."""

MOST_TOGETHER = 1024
"""Points that one process answers together: a second, and some 100 kB for each at most."""

CHUNKS_PER_WORKER = 8
"""Chunks for each worker at least, so that none waits long for the last."""

CHUNKS_AHEAD = 4
"""Chunks for each worker that are given away: enough that none waits, and no more are held."""

ADDRESS = re.compile(r".+:[0-9]+")
"""The form of a scheduler's address."""

DASK_TIMEOUT = 10.0
"""Seconds in which a Dask scheduler has to answer."""


LIMIT_FIELDS = {"limits.power": "power", "limits.min_speed": "min_speed"}
"""Fields that are set without validating the rest of the instance again, by path."""


@dataclass(frozen=True)
class Problem:
    """What the points of a sweep have in common: the document, and the paths that vary."""

    document: Document
    paths: tuple[str, ...]
    version: str = __version__

    @property
    def chunk(self) -> int:
        """Points that a worker takes at a time: what an interruption loses of each worker."""
        return MOST_ALIKE if self.paths[-1] in LIMIT_FIELDS else MOST_IN_CHUNK

    @property
    def layout(self) -> Layout:
        """The columns of its rows."""
        return INSTANCE_LAYOUT

    def title(self, values: Sequence[str], changes: Sequence[str]) -> str:
        """Return what heads the sweep, by a point. Raises `InputError` where that is not valid."""
        return described(self.instance(values).setting, changes, self.paths)

    def rows(self, points: Sequence[SweepPoint], evaluator: Evaluator) -> Iterator[Asked]:
        """Yield points with the calls that answer them, or with what is wrong with them."""
        valid: list[tuple[SweepPoint, Instance]] = []
        instance_of = self.instances()
        for point in points:
            try:
                valid.append((point, instance_of(point.values)))
            except InputError as error:
                yield point, error
        rows = evaluator.rows([instance for _, instance in valid])
        for (point, _), row in zip(valid, rows, strict=True):
            yield point, row

    def instances(self) -> Callable[[Sequence[str]], Instance]:
        """Return a function from the values of a point to its instance.

        It raises `InputError` where there is none. What follows from values of other fields than
        power cap and speed floor is validated once for points that come one after the other.
        """
        others = tuple(place for place, one in enumerate(self.paths) if one not in LIMIT_FIELDS)
        before: list[tuple[tuple[str, ...], Instance]] = []

        def instance(values: Sequence[str]) -> Instance:
            key = tuple(values[place] for place in others)
            if not before or before[0][0] != key:
                before[:] = [(key, self.instance(values))]
                return before[0][1]
            changes = {
                LIMIT_FIELDS[path]: parse_scalar(value, f"--vary {path}={value}").value
                for path, value in zip(self.paths, values, strict=True)
                if path in LIMIT_FIELDS
            }
            try:
                limits = Limits.model_validate(changes)
            except ValidationError:
                return self.instance(values)
            changed = {name: getattr(limits, name) for name in changes}
            alike = before[0][1]
            return alike.model_copy(update={"limits": alike.limits.model_copy(update=changed)})

        return instance

    def instance(self, values: Sequence[str]) -> Instance:
        """Return the instance of a point. Raises `InputError` where there is none."""
        return validate(self.changed(values))

    def changed(self, values: Sequence[str]) -> Document:
        """Return the document of a point."""
        document = self.document.copied()
        for path, value in zip(self.paths, values, strict=True):
            apply_override(document, f"{path}={value}", "--vary")
        document.changes.clear()  # rows tell what varies, and points that are alike stay so
        return document


class FleetProblem(Problem):
    """What the points of a sweep of a fleet have in common."""

    @property
    def chunk(self) -> int:
        """One point, as each takes seconds."""
        return 1

    @property
    def layout(self) -> Layout:
        """The columns of its rows."""
        return FLEET_LAYOUT

    def title(self, values: Sequence[str], changes: Sequence[str]) -> str:
        """Return the description of the fleet with what was changed and what varies."""
        fleet = fleet_of(self.changed(values))
        told = [f"changed: {', '.join(changes)}"] if changes else []
        told.append(f"varied: {', '.join(self.paths)}")
        said = "; ".join(told)
        return f"{fleet.description.strip() or fleet.name} {said[:1].upper()}{said[1:]}."

    def rows(
        self,
        points: Sequence[SweepPoint],
        evaluator: Evaluator,  # noqa: ARG002 -- fleets are solved one by one
    ) -> Iterator[Asked]:
        """Yield points with the calls that answer them, or with what is wrong with them."""
        for point in points:
            try:
                document = self.changed(point.values)
                fleet = fleet_of(document)
            except InputError as error:
                yield point, error
                continue
            yield point, partial(fleet_row, fleet, document)


class _Worker(threading.local):
    """What the chunks have in common that one thread of a worker answers."""

    def __init__(self) -> None:
        self.evaluator = Evaluator()


_worker = _Worker()


def answers(problem: Problem, points: Sequence[SweepPoint]) -> list[tuple[int, Row]]:
    """Return the answers at points: what a worker does."""
    if problem.version != __version__:
        raise InputError(f"a worker has hbmopt {__version__}, this is {problem.version}")
    return list(_answered(problem, points, _worker.evaluator))


def _answered(problem: Problem, points: Sequence[SweepPoint], evaluator: Evaluator) -> Answers:
    """Answer points together; what is wrong with one is its answer."""
    for point, row in problem.rows(points, evaluator):
        if isinstance(row, InputError):
            yield point.index, wrong("invalid", row)
            continue
        try:
            yield point.index, answer(row)
        except HbmoptError as error:
            yield point.index, wrong("failed", error)
        except Exception as error:
            error.add_note(f"at point {point.index} of the sweep: {', '.join(point.values)}")
            raise


def answer(row: Callable[[], Row]) -> Row:
    """Return the row of a point."""
    return row()


def in_this_process(problem: Problem, points: Sequence[SweepPoint]) -> Answers:
    """Answer here, a chunk of points after the other."""
    evaluator = Evaluator()
    for begin in range(0, len(points), MOST_TOGETHER):
        yield from _answered(problem, points[begin : begin + MOST_TOGETHER], evaluator)


def in_processes(problem: Problem, points: Sequence[SweepPoint], jobs: int) -> Answers:
    """Answer in processes of their own."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=begin_worker)
    chunks = _chunks(problem, points, jobs)
    pending: set[Future[list[tuple[int, Row]]]] = set()
    with pool:
        try:
            while True:
                for chunk in islice(chunks, jobs * CHUNKS_AHEAD - len(pending)):
                    with interrupts_held():
                        pending.add(pool.submit(answers, problem, chunk))
                if not pending:
                    return
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                # What is answered comes first, as one that failed ends all.
                for future in sorted(done, key=lambda one: one.exception() is not None):
                    yield from future.result()
        except BrokenProcessPool:
            raise SolverError(
                "a worker process ended before it was done (out of memory?); try fewer --jobs"
            ) from None
        except BaseException:
            workers = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.terminate()
            raise


def on_dask(problem: Problem, points: Sequence[SweepPoint], address: str, jobs: int) -> Answers:
    """Answer on the Dask cluster at an address, or on a ``local`` one with `jobs` workers."""
    distributed = _distributed()
    with ExitStack() as stack:
        cluster: Any = address
        if address == "local":
            with interrupts_held():
                cluster = distributed.LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    # Without an address it would serve on 8787, which another cluster may have.
                    dashboard_address=":0",
                    scheduler_kwargs={"dashboard": False},
                    silence_logs="ERROR",
                )
            stack.enter_context(cluster)
        elif ADDRESS.fullmatch(address) is None:
            raise InputError(f"--dask {address}: write it as tcp://HOST:8786, or local")
        try:
            client = distributed.Client(cluster, timeout=DASK_TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(f"--dask {address}: no scheduler answers there ({error})") from None
        stack.enter_context(client)
        workers = max(jobs, sum(client.nthreads().values()))
        chunks = _chunks(problem, points, workers)

        def begun(count: int) -> set[Any]:
            return {
                client.submit(answers, problem, chunk, pure=False)
                for chunk in islice(chunks, count)
            }

        pending = begun(workers * CHUNKS_AHEAD)
        completed = distributed.as_completed(pending, loop=client.loop)
        try:
            for future in completed:
                more = begun(1)
                completed.update(more)
                pending = pending - {future} | more
                yield from future.result()
                future.release()
        except (ImportError, distributed.KilledWorker) as error:
            reason = " ".join(str(error).split())
            raise SolverError(f"--dask {address}: a worker cannot answer: {reason}") from None
        except BaseException:
            client.cancel(list(pending), force=True)
            raise


def _distributed() -> Any:
    """Return dask.distributed, which is not among the requirements."""
    try:
        return import_module("distributed")
    except ImportError:
        raise InputError(
            "--dask: needs dask.distributed: pip install 'hbmopt[dask]'; --jobs N does without"
        ) from None


def _chunks(
    problem: Problem, points: Sequence[SweepPoint], workers: int
) -> Iterator[list[SweepPoint]]:
    size = max(1, min(problem.chunk, len(points) // (workers * CHUNKS_PER_WORKER)))
    for begin in range(0, len(points), size):
        yield list(points[begin : begin + size])
