"""Standard output, which may be a closed pipe, a full disk, or nothing at all."""

import errno
import io
import os
import sys

WRITTEN, NOT_WRITTEN = 0, 2


def write_out(text: str) -> int:
    """Write text to standard output, all of it; return the exit code that it asks for.

    A reader that has seen enough is no error. Anything else is one line on stderr, as whoever
    asked has no answer.
    """
    if not text:
        return WRITTEN
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "it is closed")
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        return not_written(error)
    return WRITTEN


def not_written(error: OSError) -> int:
    """Say what keeps standard output from being written; return the exit code that it asks for."""
    # Nothing is left that the interpreter would try to write at its end.
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    if isinstance(error, BrokenPipeError):
        return WRITTEN
    complain(f"standard output cannot be written ({error.strerror}); name a file with -o FILE")
    return NOT_WRITTEN


def complain(message: str) -> None:
    """Write one line to stderr, where there is one."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(f"hbmopt: {message}\n")
            sys.stderr.flush()
    except OSError:
        pass  # nobody can be told


def hold_standard_streams() -> None:
    """Open what stands for standard streams that are closed, and let no character be an error.

    The next file that is opened would otherwise take the place of one, and be printed into. What
    stands for standard output refuses to be written, as a closed one does.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
