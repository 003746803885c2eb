"""How a command ends: exit codes, errors in one line, interruptions, and bugs."""

import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ParamSpec

from hbmopt import __version__
from hbmopt.basics import one_line
from hbmopt.errors import HbmoptError
from hbmopt.standard_output import complain

SOLVED, INFEASIBLE, BAD_INPUT, BUG, INTERRUPTED = 0, 1, 2, 70, 130
"""Exit codes. 70 is what sysexits.h calls an internal error of the program."""

TOLD_OF = ("pyomo", "highspy", "numpy", "pandas", "click", "pydantic", "PyYAML", "rich")
"""Packages whose versions matter to whoever reads about a bug."""

Parameters = ParamSpec("Parameters")


def command(run: Callable[Parameters, int]) -> Callable[Parameters, None]:
    """Turn what a command returns into its exit code, and an error into one line on stderr.

    Anything else that is raised is a bug of hbmopt; it is never told as an answer.
    """

    @wraps(run)
    def ended(*arguments: Parameters.args, **options: Parameters.kwargs) -> None:
        try:
            code = run(*arguments, **options)
        except HbmoptError as error:
            say(str(error))
            code = BAD_INPUT
        except KeyboardInterrupt as interruption:
            say(str(interruption) or f"interrupted; {_kept(options)}")
            code = INTERRUPTED
        except Exception as error:
            say(bug(error))
            code = BUG
        sys.exit(code)

    return ended


def say(message: str) -> None:
    """Write one line to stderr; what a terminal would obey in it is shown."""
    complain(one_line(message))


def _kept(options: Mapping[str, object]) -> str:
    """Return what an interrupted command has left behind."""
    named = [options.get(name) for name in ("output", "plot", "program")]
    files = [one for one in named if isinstance(one, Path)]
    if not files:
        return "nothing was written"
    there = [str(one) for one in files if one.exists()]
    return f"{' and '.join(there)} as before" if there else f"{files[0]} was not written"


def bug(error: Exception) -> str:
    """Return what to do about an error that no input should lead to; the details go to a file."""
    details = _details(error)
    try:
        handle, path = tempfile.mkstemp(prefix="hbmopt-bug-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(details)
        where = f"the details are in {path}"
    except OSError:
        where = f"the details: {details}"
    what = "".join(traceback.format_exception_only(error)).strip()
    return (
        f"this is a bug of hbmopt, not of your input: {what}; please report it to whoever gave you "
        f"hbmopt, with the command and the instance; {where}"
    )


def _details(error: Exception) -> str:
    lines = [f"hbmopt {__version__}, Python {platform.python_version()}, {platform.platform()}"]
    for name in TOLD_OF:
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            lines.append(f"{name} is not installed")
    lines.append(f"command: {sys.argv}")
    return "\n".join([*lines, "", *traceback.format_exception(error)])
