"""The errors a user can meet; each prints as one line of what, where and what to do."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches


class HbmoptError(Exception):
    """Base class of every error that hbmopt raises on purpose."""


class InputError(HbmoptError):
    """The input cannot be used: what is wrong, where it stands, what to do."""


class SolverError(HbmoptError):
    """HiGHS did not accept the program or stopped without a proof."""


SHORTEST = 3
"""Letters from which on a part of a name says which one is meant."""

MOST_OFFERED = 3
"""Names that a hint offers where a word fits several alike."""


def nearest(word: str, valid: Iterable[str], said: Mapping[str, str] | None = None) -> str:
    """Return a hint that names the valid word that is meant, or all of a short list.

    What is meant comes before how it is spelled: names of which the word is one of the words or the
    beginning (`gb200` of `gb200_nvl72`), and only then the closest spelling. What stands before a
    slash is whose it is, not what. `said` holds what else is said of names, such as titles.
    """
    names = sorted(valid)
    meant = (
        _same_letters(word, names) or _of_same_words(word, names, said or {}) or _held(word, names)
    )
    if not meant:
        lower = [name.lower() for name in names]
        close = get_close_matches(_own(word), lower, n=1, cutoff=0.6)
        close = close or get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
        meant = [name for name in names if name.lower() == close[0]][:1] if close else []
    meant = meant or _within(word, names)
    if meant:
        *others, last = map(repr, meant[:MOST_OFFERED])
        return f"did you mean {', '.join(others)}{' or ' if others else ''}{last}?"
    if len(names) <= 16:
        return "valid: " + ", ".join(names)
    return f"{len(names)} are known, none of them near it"


def _own(word: str) -> str:
    return word.lower().rsplit("/", maxsplit=1)[-1]


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name)


def _same_letters(word: str, names: list[str]) -> list[str]:
    """Return the name that is written in other cases or with other signs between its words."""
    wanted = _words(word.lower())
    return [name for name in names if wanted and _words(name.lower()) == wanted][:1]


def _of_same_words(word: str, names: list[str], said: Mapping[str, str]) -> list[str]:
    """Return the names that have all words of a word, or else begin with it, the shortest first.

    Those of which it is only said come after them; last come words that begin alike.
    """
    wanted = _words(_own(word))
    joined = "".join(wanted)
    if len(joined) < SHORTEST:
        return []
    of = {name: _words(name.lower()) for name in names}
    names = sorted(names, key=lambda name: (len(of[name]), len(name), name))
    having = [name for name in names if set(wanted) <= set(of[name])]
    told = [name for name in names if set(wanted) <= {*of[name], *_words(said.get(name, ""))}]
    return (
        list(dict.fromkeys([*having, *told]))
        or [name for name in names if "".join(of[name]).startswith(joined)]
        or [name for name in names if all(_begins(one, of[name]) for one in wanted)]
    )


def _begins(word: str, words: list[str]) -> bool:
    return any(one == word or (len(word) >= SHORTEST and one.startswith(word)) for one in words)


def _held(word: str, names: list[str]) -> list[str]:
    """Return the longest name of several words that a word has all of."""
    wanted = set(_words(_own(word)))
    held = [name for name in names if len(_words(name.lower())) > 1]
    held = [name for name in held if set(_words(name.lower())) <= wanted]
    return sorted(held, key=lambda name: -len(name))[:1]


def _within(word: str, names: list[str]) -> list[str]:
    """Return the first name that holds a word, or of which a word begins with a part."""
    own = _own(word)
    if len(own) < SHORTEST:
        return []
    holding = [name for name in names if own in name.lower()]
    begun = [
        name
        for name in names
        if any(len(part) > SHORTEST and own.startswith(part) for part in _words(name.lower()))
    ]
    return (holding or begun)[:1]
