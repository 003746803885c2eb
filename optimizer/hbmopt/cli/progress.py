"""How far a command is, on a terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

SHOWN_AFTER = 1.0
"""Seconds after which a command shows how far it is."""


def counter(what: str) -> Callable[[int, int], None] | None:
    """Return what counts work on stderr with the time that is left; nothing off a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    begun = time.monotonic()

    def count(done: int, most: int) -> None:
        spent = time.monotonic() - begun
        if spent < SHOWN_AFTER:
            return
        left = spent / done * (most - done) if done else 0.0
        text = f"{done} of {most} {what}, about {left:.0f} s left"
        click.echo(f"\r{text:<60}" if done < most else f"\r{'':<60}\r", nl=False, err=True)

    return count


@contextmanager
def stages() -> Iterator[Callable[[str], None] | None]:
    """Give what says on stderr what is being done, and takes it away; nothing off a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    try:
        yield lambda what: click.echo(f"\r{what:<60}", nl=False, err=True)
    finally:
        click.echo(f"\r{'':<60}\r", nl=False, err=True)
