"""Lists of modules, matched as the library matches them that wrote the list.

Each library has rules of its own: compressed-tensors takes a whole name or, after `re:`, a regular
expression from the beginning of the name; ModelOpt and Quark take names and shell patterns, of a
module and all below it; GPTQModel takes regular expressions from the beginning; AWQ takes any part
of a name; transformers takes beginnings, regular expressions and ends, and bitsandbytes whole parts
of a name besides; AutoRound takes a whole name, or an expression anywhere in it.
"""

import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from functools import lru_cache

from hbmopt.errors import InputError


class Unplaced(InputError):
    """What is wrong with a section, said where the section stands."""


Matcher = Callable[[str], bool]

LONGEST = 2000
"""Longer patterns are a mistake."""

_ENDLESS = re.compile(r"[+*}]\)+[+*{]")
"""A repetition of a repetition, which takes for ever on names that nearly match."""


@lru_cache(maxsize=4096)
def _expression(pattern: str) -> re.Pattern[str]:
    if len(pattern) > LONGEST or _ENDLESS.search(pattern):
        raise Unplaced(f"the pattern {pattern[:60]!r} is too long or too costly to match")
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise Unplaced(f"the pattern {pattern[:60]!r} is no regular expression: {error}") from None


@lru_cache(maxsize=8192)
def modules_above(name: str) -> tuple[str, ...]:
    """Return a module and all modules that hold it."""
    parts = name.split(".")
    return tuple(".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _compressed_tensors(pattern: str) -> Matcher:
    if pattern.startswith("re:"):
        return lambda name: _expression(pattern[3:]).match(name) is not None
    return lambda name: name == pattern


def _shell(pattern: str) -> Matcher:
    if pattern.startswith("re:"):
        return _compressed_tensors(pattern)
    glob = _expression(translate(pattern))
    if pattern.endswith("*"):
        return lambda name: glob.match(name) is not None
    return lambda name: any(glob.match(one) is not None for one in modules_above(name))


def _dynamic(pattern: str) -> Matcher:
    return lambda name: _expression(pattern).match(name) is not None


def _part(pattern: str) -> Matcher:
    return lambda name: pattern in name


def _transformers(pattern: str) -> Matcher:
    # A plain name stands for a whole module: layers.1 is not the beginning of layers.10.
    end = r"(?:\.|$)" if re.fullmatch(r"[\w.]+", pattern) else ""
    beginning = _expression(pattern.removeprefix("re:") + end)

    def matches(name: str) -> bool:
        return beginning.match(name) is not None or name.endswith(pattern)

    return matches


def _bitsandbytes(pattern: str) -> Matcher:
    like_transformers = _transformers(pattern)
    return lambda name: like_transformers(name) or f"{pattern}." in name


_SPECIAL = frozenset(r"*+?^$()[]{}|\\")
"""What makes a name an expression."""


def _auto_round(pattern: str) -> Matcher:
    if not set(pattern) & _SPECIAL:
        return lambda name: pattern in modules_above(name)
    return lambda name: _expression(pattern).search(name) is not None


LIBRARIES: dict[str, Callable[[str], Matcher]] = {
    "compressed-tensors": _compressed_tensors,
    "shell": _shell,
    "gptq": _dynamic,
    "awq": _part,
    "transformers": _transformers,
    "bitsandbytes": _bitsandbytes,
    "auto-round": _auto_round,
}
"""How each library reads one item of its list."""


def any_of(patterns: Sequence[str], library: str) -> Matcher:
    """Return whether a name is on a list; plain names of a long list are looked up, not tried."""
    exact: frozenset[str] = frozenset()
    if library in _LOOKED_UP:
        exact = frozenset(one for one in patterns if _LOOKED_UP[library](one))
    matchers = [LIBRARIES[library](one) for one in patterns if one not in exact]
    whole = library == "compressed-tensors"

    @lru_cache(maxsize=200_000)
    def matches(name: str) -> bool:
        if exact and (name in exact or (not whole and not exact.isdisjoint(modules_above(name)))):
            return True
        return any(matcher(name) for matcher in matchers)

    return matches


_LOOKED_UP: dict[str, Callable[[str], bool]] = {
    "auto-round": lambda one: not set(one) & _SPECIAL,
    "shell": lambda one: not one.startswith("re:") and not set(one) & set("*?["),
    "compressed-tensors": lambda one: not one.startswith("re:"),
    # A name of so many parts is that of one module and not the end of others.
    "transformers": lambda one: re.fullmatch(r"[\w-]+(\.[\w-]+){4,}", one) is not None,
}
"""Patterns that are names of modules and nothing else, by library."""
