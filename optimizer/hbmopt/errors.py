"""The errors a user can meet; each prints as one line of what, where and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class HbmoptError(Exception):
    """Base class of every error that hbmopt raises on purpose."""


class InputError(HbmoptError):
    """The input cannot be used: what is wrong, where it stands, what to do."""


class SolverError(HbmoptError):
    """HiGHS did not accept the program or stopped without a proof."""


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return a hint that names the valid word closest to `word`, or all of a short list."""
    names = sorted(valid)
    close = get_close_matches(word.lower(), [name.lower() for name in names], n=1, cutoff=0.6)
    if close:
        original = next(name for name in names if name.lower() == close[0])
        return f"did you mean {original!r}?"
    containing = [name for name in names if len(word) > 2 and word.lower() in name.lower()]
    if containing:
        return f"did you mean {containing[0]!r}?"
    if len(names) <= 16:
        return "valid: " + ", ".join(names)
    return f"{len(names)} are known, none of them near it"
