r"""Texts of users as they may be shown: what a terminal or a page would obey is written out.

A title may hold an escape sequence that clears the screen, or a mark that turns the direction of
what follows. Such characters are data like all others, so nothing is refused or lost: they are
shown by their escape, such as ``\x1b``.
"""

from collections.abc import Callable
from typing import TypeAlias
from unicodedata import category

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters without a shape of their own: control, format (direction, no width),
halves of pairs, separators of lines and paragraphs."""

MOST_OF_A_LINE = 1000
"""Characters of an error; a longer one repeats what it was given."""


def hidden(character: str) -> bool:
    """Whether a character is obeyed rather than shown; a new line is shown."""
    code = ord(character)
    return character != "\n" and (category(character) in HIDDEN or code & 0xFFFE == 0xFFFE)


def visible(text: str) -> str:
    r"""Return a text with the escapes of its hidden characters: ``\x1b``, ``\u202e``, ``\t``."""
    return _replaced(text, lambda one: one.encode("unicode_escape").decode())


def visible_in(value: Plain) -> Plain:
    """Return plain data in which all texts are visible."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, list):
        return [visible_in(one) for one in value]
    if isinstance(value, dict):
        return {visible(key): visible_in(one) for key, one in value.items()}
    return value


def visible_json(text: str) -> str:
    """Return JSON that holds the same and in which no character is hidden."""
    return _replaced(text, _json_escape)


def one_line(text: str) -> str:
    """Return a visible text in one line; the middle of a very long one is left out."""
    line = " ".join(word for word in visible(text).replace("\n", " ").split(" ") if word)
    if len(line) <= MOST_OF_A_LINE:
        return line
    half = MOST_OF_A_LINE // 2
    left_out = len(line) - 2 * half
    return f"{line[:half]} [... {left_out:,} characters ...] {line[-half:]}"


def _replaced(text: str, escape: Callable[[str], str]) -> str:
    if text.isprintable():  # most are, and this is quick
        return text
    return "".join(escape(one) if hidden(one) else one for one in text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
