"""How far a command is, in one line on a terminal that is taken away at the end."""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from hbmopt.basics import Progress, Remaining, duration

SHOWN_AFTER = 1.0
"""Seconds after which a command shows how far it is."""

SHORTLY = 0.3
"""And after which it says that it reads what it was asked about."""

EVERY = 0.25
"""Seconds between two looks at how far it is."""


@contextmanager
def counter(what: str) -> Iterator[Progress | None]:
    """Give what counts work and shows it with the time that is left; nothing off a terminal."""
    if not _on_a_terminal():
        yield None
        return
    remaining = Remaining()

    def words(spent: float) -> str:
        if remaining.most == 0:
            return f"{what}: {duration(spent)} so far"
        counted = f"{remaining.done} of {remaining.most} {what}"
        left = remaining.seconds()
        if left is None:
            return f"{counted}, {duration(spent)} so far"
        return f"{counted}, about {duration(left)} left"

    with _line(words, SHOWN_AFTER):
        yield remaining.tell


@contextmanager
def stages(first: str = "", after: float = 0.0) -> Iterator[Callable[[str], None] | None]:
    """Give what says what is being done, shown with the time so far; nothing off a terminal."""
    if not _on_a_terminal():
        yield None
        return
    doing = [first]

    def told(what: str) -> None:
        doing[0] = what

    def words(spent: float) -> str:
        return f"{doing[0]}, {duration(spent)}" if spent >= SHOWN_AFTER else doing[0]

    with _line(words, after):
        yield told


def _on_a_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def _line(words: Callable[[float], str], after: float) -> Iterator[None]:
    """Draw a line anew until it is left, by an error or by Ctrl-C as well."""
    done, begun = threading.Event(), time.monotonic()

    def draw() -> None:
        drawn, room, wait = 0, 0, after
        with suppress(OSError, ValueError):  # nobody looks any more
            while not done.wait(wait):
                wait, room = EVERY, shutil.get_terminal_size().columns - 1
                text = words(time.monotonic() - begun)[:room]
                _write(f"\r{text:<{min(drawn, room)}}")
                drawn = len(text)
            if drawn:
                # A terminal shows Ctrl-C as two letters behind it.
                _write(f"\r{'':<{min(drawn + 2, room)}}\r")

    drawing = threading.Thread(target=draw, name="hbmopt-progress", daemon=True)
    drawing.start()
    try:
        yield
    finally:
        done.set()
        drawing.join()


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
