"""Where an answer goes, and in which format."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hbmopt.basics import check_different, check_writable, write
from hbmopt.cli.command import say
from hbmopt.errors import InputError
from hbmopt.standard_output import not_written, write_out

TABLE, JSON, CSV = {"": "table", ".txt": "table"}, {".json": "json"}, {".csv": "csv"}
"""Suffixes of files, and the format that each stands for; the first one is that of a terminal."""

ANSWER: Mapping[str, str] = TABLE | JSON | CSV


@dataclass(frozen=True)
class Destination:
    """A file, or standard output where there is no path, and the format to write."""

    path: Path | None
    style: str

    @property
    def width(self) -> int | None:
        """The width of the terminal that is written to; None for a file or a pipe."""
        if self.path is not None or sys.stdout is None or not sys.stdout.isatty():
            return None
        import shutil  # only for terminals

        return shutil.get_terminal_size((132, 24)).columns

    def emit(self, text: str) -> None:
        """Write a text. Where standard output cannot be written the command ends."""
        if self.path is not None:
            write(text, self.path)
            wrote(self.path)
        elif code := write_out(text):
            sys.exit(code)

    def stream(self, write: Callable[[BinaryIO], None]) -> None:
        """Have an answer written to standard output as it is made, so that it is never held."""
        try:
            write(sys.stdout.buffer)
            sys.stdout.flush()
        except OSError as error:
            if code := not_written(error):
                sys.exit(code)

    def show(self, render: Callable[..., str], found: object) -> None:
        """Write an answer, as wide as the terminal and in colour where there is one."""
        width = self.width
        self.emit(render(found, self.style, width=width, color=width is not None))


def destination(
    output: Path | None,
    style: str | None = None,
    formats: Mapping[str, str] = ANSWER,
) -> Destination:
    """Return where an answer goes; what cannot be written is told before the work.

    Parameters
    ----------
    output
        The file that was named; ``-`` is standard output.
    style
        The format that was asked for; by default it is that of the file's suffix.
    formats
        Formats by suffix; that of ``""``, or else the first one, is the default.

    Raises
    ------
    InputError
        Where the suffix is not known or says another format, or the file cannot be written.
    """
    default = formats.get("", next(iter(formats.values())))
    if output is None or str(output) == "-":
        return Destination(None, style or default)
    check_writable(output)
    suffix = output.suffix.lower()
    by_name = formats.get(suffix, default if not suffix else None)
    if suffix and by_name is not None and style not in (None, by_name):
        raise InputError(
            f"--format {style}: {output} is a file of {by_name} by its name; leave out --format, "
            "or name it otherwise"
        )
    if by_name is None and style is None:
        known = [one for one in formats if one]
        raise InputError(f"--output {output}: the name must end in {', '.join(known)}")
    return Destination(output, style or by_name or default)


def protect(inputs: Iterable[Path], **outputs: Path | None) -> None:
    """Refuse to write over what is read, and two outputs in one file.

    `outputs` are files by the long option that names them.
    """
    read = list(inputs)
    named = [(f"--{option}", path) for option, path in outputs.items() if str(path) != "-"]
    for option, path in named:
        if path is not None:
            check_writable(path, option, read)
    check_different(named)


def wrote(path: Path) -> None:
    """Say on a terminal that a file is there."""
    if sys.stderr is not None and sys.stderr.isatty():
        say(f"wrote {path}")
