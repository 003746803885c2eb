"""Files of text that users name: read as UTF-8, and only up to a size that such files have."""

from pathlib import Path

from hbmopt.errors import InputError

MILLION = 1_000_000


def exists(path: Path) -> bool:
    """Whether there is a file or folder of that name; False for what none can be called."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Whether there is a file of that name; False for what no file can be called."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_text(path: Path, kind: str, most: int) -> str:
    """Return the text of a file, without a mark of byte order.

    Parameters
    ----------
    path
        The file.
    kind
        What the file should be, such as ``YAML``; errors name it.
    most
        Bytes beyond which it is refused, whatever it holds; no more than these are read.

    Raises
    ------
    InputError
        Where there is no such file, or it cannot be read, is too large or no UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; name a {kind} file in it") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise InputError(f"{path}: is not the name of a file") from None
    if len(data) > most:
        raise InputError(f"{path}: is larger than {most / MILLION:g} MB, too large for {kind} here")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text, as {kind} is") from None
