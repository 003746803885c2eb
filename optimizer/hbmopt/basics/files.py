"""Files that are written whole or not at all, and never over what was read."""

import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from hbmopt.errors import InputError

MOST_LINKS = 40
"""Symbolic links that are followed one after the other; the system itself follows no more."""


def check_writable(path: Path, option: str = "--output", inputs: Iterable[Path] = ()) -> None:
    """Raise `InputError` where a file cannot be written, or would be written over an input.

    Parameters
    ----------
    path
        The file to write. A link stands for what it points to.
    option
        What named the file.
    inputs
        Files and folders that are read; nothing in them may be replaced.
    """
    try:
        where = _target(path)
        folder = where.parent if path.is_symlink() else path.parent
        if not folder.is_dir():
            raise InputError(f"{option} {path}: there is no folder {folder}; create it first")
        if where.is_dir():
            raise InputError(f"{option} {path}: is a folder; name a file in it")
        if _descriptor(path) is None and not os.access(
            where if where.exists() and not where.is_file() else folder, os.W_OK
        ):
            raise InputError(f"{option} {path}: cannot be written (Permission denied)")
        check_not_read(path, inputs, option)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{option} {path}: cannot be written ({_reason(error)})") from None


def check_not_read(path: Path, inputs: Iterable[Path], option: str = "--output") -> None:
    """Raise `InputError` where a file is an input, or one in a folder of inputs."""
    where = _target(path)
    for read in inputs:
        if _same(where, read):
            raise InputError(
                f"{option} {path}: is {read}, which is read; name another file to write"
            )


def check_different(named: Iterable[tuple[str, Path | None]]) -> None:
    """Raise `InputError` where two options name the same file to write."""
    before: list[tuple[str, Path]] = []
    for option, path in named:
        if path is None:
            continue
        for other, known in before:
            if _target(known) == _target(path):
                raise InputError(f"{option} {path}: is the file of {other} too; name another one")
        before.append((option, path))


def write(content: str | bytes, path: Path, option: str = "--output") -> None:
    """Write a file whole or not at all. Raises `InputError` where it cannot be written."""
    with writing(path, option) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def writing(path: Path, option: str = "--output") -> Iterator[BinaryIO]:
    """Open a file to write it whole or not at all: it is there when the block has ended well.

    What is no regular file, such as a pipe, a device or an open descriptor (/dev/stdout), is
    written into as it is. A link stands for what it points to, and a file that is replaced passes
    its permissions on.

    Raises
    ------
    InputError
        Where it cannot be written.
    """
    check_writable(path, option)
    try:
        descriptor = _descriptor(path)
        if descriptor is not None:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                yield file
        elif path.exists() and not path.is_file():
            with path.open("wb") as file:
                yield file
        else:
            with _replacing(_target(path)) as file:
                yield file
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be written ({_reason(error)})") from None


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Write beside a regular file, and put that in its place at the end."""
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            if path.exists():
                _pass_on(path.stat(), beside)
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _pass_on(before: os.stat_result, path: Path) -> None:
    """Give a file the owner, as far as that is allowed, and the permissions of another one."""
    now = path.stat()
    if hasattr(os, "chown") and (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        with suppress(PermissionError):  # then it is theirs who write it, as with any program
            os.chown(path, before.st_uid, before.st_gid)
    path.chmod(stat.S_IMODE(before.st_mode))


def _target(path: Path) -> Path:
    """Return what a path stands for, where links lead; a descriptor stays as it is named."""
    return path if _descriptor(path) is not None else path.resolve()


def _descriptor(path: Path) -> int | None:
    """Return the number of the descriptor of this process that a path names, such as /dev/stdout.

    Opening such a path again would begin at the start of a file that is being written.
    """
    place = path
    own = Path(f"/proc/{os.getpid()}/fd")
    for _ in range(MOST_LINKS):
        place = place.parent.resolve() / place.name
        if place.parent == own and place.name.isdigit():
            return int(place.name)
        if not place.is_symlink():
            break
        place = place.parent / place.readlink()
    return None


def _same(path: Path, read: Path) -> bool:
    """Whether writing a path replaces something that is read: a file, or one in a folder."""
    if not path.exists() or not read.exists():
        return False
    if read.is_dir():
        return read.resolve() in path.parents
    return path.samefile(read)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
