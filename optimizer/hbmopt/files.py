"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hbmopt.errors import InputError


def check_writable(path: Path, option: str = "--output") -> None:
    """Raise `InputError` where a file cannot be written because of folders.

    `option` is what named the file.
    """
    if not path.parent.is_dir():
        raise InputError(f"{option} {path}: there is no folder {path.parent}; create it first")
    if path.is_dir():
        raise InputError(f"{option} {path}: is a folder; name a file in it")


def write(content: str | bytes, path: Path, option: str = "--output") -> None:
    """Write a file whole or not at all. Raises `InputError` where it cannot be written."""
    with writing(path, option) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def writing(path: Path, option: str = "--output") -> Iterator[BinaryIO]:
    """Open a file that is in its place once all is written, and not at all otherwise.

    Raises
    ------
    InputError
        Where it cannot be written.
    """
    check_writable(path, option)
    folder = path.parent
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be written ({error.strerror})") from None
