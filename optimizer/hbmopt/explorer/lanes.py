"""Lanes: processes that answer, each one question at a time.

What follows a slider has lanes of its own, so that it never waits for what takes longer. A session
keeps to its lane, so that the process which drew a frontier answers what is asked of it next. What
nobody waits for any more is not begun.
"""

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from typing import Any, TypeAlias

from hbmopt.basics import begin_worker, interrupts_held
from hbmopt.errors import HbmoptError, SolverError
from hbmopt.explorer.answering import Answer, Answers
from hbmopt.explorer.curve import Sources

Job: TypeAlias = "tuple[asyncio.Future[Answer], str, tuple[Any, ...]]"

MOST_WAITING = 500
"""Questions that wait for one lane, beyond which it is too busy for more."""


NICE = 10
"""By how much what takes longer gives way to what follows a slider."""


class TooBusyError(HbmoptError):
    """Too many questions wait."""


class Lane:
    """One process, and the questions that wait for it."""

    def __init__(self, sources: Sources, nice: int = 0) -> None:
        self._sources, self._nice = sources, nice
        self._waiting: asyncio.Queue[Job] = asyncio.Queue(MOST_WAITING)
        self._pool: ProcessPoolExecutor | None = None
        self._task = asyncio.create_task(self._serve())

    async def answer(self, name: str, *arguments: Any) -> Answer:
        """Return the answer of a method of `Answers`."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        try:
            self._waiting.put_nowait((future, name, arguments))
        except asyncio.QueueFull:
            raise TooBusyError("too many questions wait; try again in a moment") from None
        return await future

    async def end(self) -> None:
        """End the process, whatever it does."""
        self._task.cancel()
        self._stop()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        # Beside what the page asks for meanwhile: what answers takes a second to import.
        self._pool = await asyncio.to_thread(self._begun)
        while True:
            future, name, arguments = await self._waiting.get()
            if future.done():  # given up while it waited
                continue
            try:
                found = await loop.run_in_executor(self._pool, _answered, name, arguments)
            except BrokenProcessPool:
                self._stop()
                self._pool = await asyncio.to_thread(self._begun)
                message = "the process that answers ended (out of memory?); it was begun anew"
                _settle(future, SolverError(message))
            except Exception as error:  # told by whoever asked
                _settle(future, error)
            else:
                if not future.done():
                    future.set_result(found)

    def _begun(self) -> ProcessPoolExecutor:
        """Return a process that is on its way."""
        pool = ProcessPoolExecutor(
            1, mp_context=_context(), initializer=_begin, initargs=(self._sources, self._nice)
        )
        with interrupts_held():
            pool.submit(_ready)
        return pool

    def _stop(self) -> None:
        if self._pool is None:
            return
        workers = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()


def _context() -> BaseContext:
    """Return how processes begin: from one that has imported everything, where there is such."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([Answers.__module__])
    return context


def _settle(future: "asyncio.Future[Answer]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class Lanes:
    """As many lanes as there are cores for what follows, and one for what takes longer."""

    def __init__(self, sources: Sources, count: int | None = None) -> None:
        cores = count or max(2, os.cpu_count() or 2)
        self._quick = [Lane(sources) for _ in range(cores)]
        self._slow = Lane(sources, nice=NICE)

    def quick(self, session: str, aside: int = 0) -> Lane:
        """Return the lane of a session, or another one beside it."""
        return self._quick[(sum(session.encode()) + aside) % len(self._quick)]

    @property
    def slow(self) -> Lane:
        """The lane of what takes longer."""
        return self._slow

    async def end(self) -> None:
        """End all processes."""
        await asyncio.gather(*(one.end() for one in (*self._quick, self._slow)))


_answers: list[Answers] = []
"""The answers of this process, where it is one of a lane."""


def _begin(sources: Sources, nice: int) -> None:
    begin_worker()
    if nice and hasattr(os, "nice"):
        os.nice(nice)
    _answers[:] = [Answers(sources)]


def _ready() -> None:
    """Do nothing: what answers is imported by then."""


def _answered(name: str, arguments: tuple[Any, ...]) -> Answer:
    method: Callable[..., Answer] = getattr(_answers[0], name)
    return method(*arguments)
