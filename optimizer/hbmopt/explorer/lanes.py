"""Lanes: processes that answer, each one question at a time, what is urgent first.

A session keeps to its lane, so that the process which drew a frontier answers what is asked of it
next. What nobody waits for any more is not begun.
"""

import asyncio
import itertools
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeAlias

from hbmopt.basics import begin_worker, interrupts_held
from hbmopt.errors import HbmoptError, SolverError
from hbmopt.explorer.answering import Answer, Answers
from hbmopt.explorer.curve import Sources

Job: TypeAlias = "tuple[int, int, asyncio.Future[Answer], str, tuple[Any, ...]]"

MOST_WAITING = 500
"""Questions that wait for one lane, beyond which it is too busy for more."""


class TooBusyError(HbmoptError):
    """Too many questions wait."""


class Lane:
    """One process, and the questions that wait for it."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._waiting: asyncio.PriorityQueue[Job] = asyncio.PriorityQueue(MOST_WAITING)
        self._pool = self._begun()
        self._numbers = itertools.count()
        self._task = asyncio.create_task(self._serve())

    async def answer(self, urgency: int, name: str, *arguments: Any) -> Answer:
        """Return the answer of a method of `Answers`; the lowest urgency is answered first."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        try:
            self._waiting.put_nowait((urgency, next(self._numbers), future, name, arguments))
        except asyncio.QueueFull:
            raise TooBusyError("too many questions wait; try again in a moment") from None
        return await future

    async def end(self) -> None:
        """End the process, whatever it does."""
        self._task.cancel()
        self._stop()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            _, _, future, name, arguments = await self._waiting.get()
            if future.done():  # given up while it waited
                continue
            try:
                found = await loop.run_in_executor(self._pool, _answered, name, arguments)
            except BrokenProcessPool:
                self._stop()
                self._pool = self._begun()
                message = "the process that answers ended (out of memory?); it was begun anew"
                _settle(future, SolverError(message))
            except Exception as error:  # told by whoever asked
                _settle(future, error)
            else:
                if not future.done():
                    future.set_result(found)

    def _begun(self) -> ProcessPoolExecutor:
        """Return a process that is on its way: its imports take a second."""
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(
            1, mp_context=context, initializer=_begin, initargs=(self._sources,)
        )
        with interrupts_held():
            pool.submit(_ready)
        return pool

    def _stop(self) -> None:
        workers = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()


def _settle(future: "asyncio.Future[Answer]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class Lanes:
    """As many lanes as there are cores, and which one a session takes."""

    def __init__(self, sources: Sources, count: int | None = None) -> None:
        self._lanes = [Lane(sources) for _ in range(count or max(2, os.cpu_count() or 2))]

    def of(self, session: str, aside: int = 0) -> Lane:
        """Return the lane of a session, or another one beside it."""
        return self._lanes[(sum(session.encode()) + aside) % len(self._lanes)]

    async def end(self) -> None:
        """End all processes."""
        await asyncio.gather(*(one.end() for one in self._lanes))


_answers: list[Answers] = []
"""The answers of this process, where it is one of a lane."""


def _begin(sources: Sources) -> None:
    begin_worker()
    _answers[:] = [Answers(sources)]


def _ready() -> None:
    """Do nothing: what answers is imported by then."""


def _answered(name: str, arguments: tuple[Any, ...]) -> Answer:
    method: Callable[..., Answer] = getattr(_answers[0], name)
    return method(*arguments)
