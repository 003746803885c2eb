"""Who answers the points of a sweep: this process, processes on this machine, a Dask cluster.

Each takes a problem and points and yields (index, answer) pairs as they are done. Closing the
iterator, as an interruption does, ends the workers.
"""

import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from hbmopt import __version__
from hbmopt.document import Document
from hbmopt.errors import HbmoptError, InputError, SolverError
from hbmopt.instance import Instance, apply_override, copied_document, validate
from hbmopt.sweep_files import Row
from hbmopt.sweep_point import evaluator_of_process
from hbmopt.variation import SweepPoint

Answers = Generator[tuple[int, Row], None, None]

MOST_IN_CHUNK = 16
"""Points that a worker takes at a time: what an interruption loses of each worker."""

CHUNKS_PER_WORKER = 8
"""Chunks for each worker at least, so that none waits long for the last."""

ADDRESS = re.compile(r".+:[0-9]+")
"""The form of a scheduler's address."""

DASK_TIMEOUT = 10.0
"""Seconds in which a Dask scheduler has to answer."""


@dataclass(frozen=True)
class Problem:
    """What the points of a sweep have in common: the document, and the paths that vary."""

    document: Document
    paths: tuple[str, ...]
    version: str = __version__

    def instance(self, values: Sequence[str]) -> Instance:
        """Return the instance of a point. Raises `InputError` where there is none."""
        document = copied_document(self.document)
        for path, value in zip(self.paths, values, strict=True):
            apply_override(document, f"{path}={value}", "--vary")
        return validate(document)


_one_at_a_time = threading.Lock()
"""The solver belongs to the process; a Dask worker may have several threads."""


def answer(problem: Problem, point: SweepPoint) -> Row:
    """Return the answer at a point; what is wrong with it is an answer as well."""
    try:
        with _one_at_a_time:
            return evaluator_of_process().evaluate(problem.instance(point.values))
    except HbmoptError as error:
        status = "invalid" if isinstance(error, InputError) else "failed"
        return {"status": status, "error": " ".join(str(error).split())}
    except Exception as error:
        error.add_note(f"at point {point.index} of the sweep: {', '.join(point.values)}")
        raise


def answers(problem: Problem, points: Sequence[SweepPoint]) -> list[tuple[int, Row]]:
    """Return the answers at points: what a worker does."""
    if problem.version != __version__:
        raise InputError(f"a worker has hbmopt {__version__}, this is {problem.version}")
    return [(point.index, answer(problem, point)) for point in points]


def in_this_process(problem: Problem, points: Sequence[SweepPoint]) -> Answers:
    """Answer one point after the other."""
    for point in points:
        yield point.index, answer(problem, point)


def in_processes(problem: Problem, points: Sequence[SweepPoint], jobs: int) -> Answers:
    """Answer in processes of their own."""
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin_worker)
    first, *rest = _chunks(points, jobs)
    with pool:
        with _interrupts_held():
            futures = [pool.submit(answers, problem, first)]
        workers = [one for one in multiprocessing.active_children() if one not in others]
        try:
            futures += [pool.submit(answers, problem, chunk) for chunk in rest]
            for future in as_completed(futures):
                yield from future.result()
        except BrokenProcessPool:
            raise SolverError(
                "a worker process ended before it was done (out of memory?); try fewer --jobs"
            ) from None
        except BaseException:
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
            with _interrupts_held():
                cluster = distributed.LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    dashboard_address=None,
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
        futures = [
            client.submit(answers, problem, chunk, pure=False) for chunk in _chunks(points, workers)
        ]
        try:
            for future in distributed.as_completed(futures, loop=client.loop):
                yield from future.result()
                future.release()
        except (ImportError, distributed.KilledWorker) as error:
            reason = " ".join(str(error).split())
            raise SolverError(f"--dask {address}: a worker cannot answer: {reason}") from None
        except BaseException:
            client.cancel(futures, force=True)
            raise


def _distributed() -> Any:
    """Return dask.distributed, which is not among the requirements."""
    try:
        return import_module("distributed")
    except ImportError:
        raise InputError(
            "--dask: needs dask.distributed: pip install 'hbmopt[dask]'; --jobs N does without"
        ) from None


def _chunks(points: Sequence[SweepPoint], workers: int) -> list[Sequence[SweepPoint]]:
    size = max(1, min(MOST_IN_CHUNK, len(points) // (workers * CHUNKS_PER_WORKER)))
    return [points[begin : begin + size] for begin in range(0, len(points), size)]


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back: processes that start here leave it to the one that started them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker  # not everywhere

    # Started by itself, as it would let Ctrl-C through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker() -> None:
    """Leave Ctrl-C to the process that started this one, and end when that one does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
