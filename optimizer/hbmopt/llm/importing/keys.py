"""Reading a configuration file key by key, and noticing what was not read.

A configuration is never guessed at: a key that a family needs is there or is an error, and so is a
key that nothing read and of which it is not known that it changes nothing (`ignored.py`).
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import isfinite
from typing import Any

from hbmopt.errors import InputError
from hbmopt.llm.importing.ignored import (
    QUIET,
    QUIET_VALUES,
    no_dense,
    part_of,
    reason_to_ignore,
    spellings,
)
from hbmopt.llm.importing.json_file import Lines

LARGEST = 10**12
"""Larger whole numbers are a mistake; products of a few of this size can still be counted."""


@dataclass
class Account:
    """What became of every key of a file: each is in one of these, by its path."""

    decided: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)
    """Keys that change nothing, with the reason."""
    tallies: dict[str, str] = field(default_factory=dict)
    """Of keys that decided by places or by rounding: what of them counts."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Sections of parts that are left out, with the name of the part."""
    unknown: list[tuple["Keys", str, str]] = field(default_factory=list)
    """Keys that may change the count, with what is wrong with each."""


NULL = "null: what holds without it"
DEFAULT = "says what holds without it"

DRAFT_LAYERS = (
    "num_nextn_predict_layers",
    "num_mtp_layers",
    "mtp_num_hidden_layers",
    "num_mtp_modules",
)
"""Keys of the number of draft layers, which lists of layers may go on to describe."""

MOST_KINDS = 12
"""More different items than this are not told one by one."""


def number_of_each(items: Sequence[object]) -> str:
    """Return how many of each item a list has, as text."""
    found = Counter(map(str, items))
    if len(found) > MOST_KINDS:
        total = sum(item for item in items if isinstance(item, int | float))
        return f"{len(items)} items, {len(found)} of them different, in sum {total:,}"
    return ", ".join(f"{times} x {item}" for item, times in sorted(found.items()))


CONSIDERED = "the family has considered it: what it says here changes nothing"


class Keys:
    """One mapping of a configuration file, with the file's name for messages.

    Every key that is read is remembered, so that `account` can tell what was overlooked.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        source: str,
        *,
        lines: Lines | None = None,
        path: tuple[str, ...] = (),
    ) -> None:
        self.values = values
        self.source = source
        self.family = str(values.get("model_type") or "")
        self.parent: Keys | None = None
        self._lines = lines
        self._place = path
        self._path = "".join(f"{key}." for key in path)
        self._read: set[str] = set()
        self._seen: set[str] = set()
        self._idle: dict[str, str] = {}
        self._ignored: dict[str, str] = {}
        self._left_out: dict[str, str] = {}
        self._tallies: dict[str, str] = {}
        self._below: list[Keys] = []
        self._grafted: dict[str, Keys] = {}
        self._assumed: dict[str, Any] = {}

    def assume(self, defaults: Mapping[str, Any]) -> None:
        """Take values for keys that are not there: what the model class makes of their absence."""
        self._assumed = {
            key: value
            for key, value in defaults.items()
            if key not in self.values and not spellings(key) & self.values.keys()
        }
        self.values = {**self.values, **self._assumed}

    @property
    def assumed(self) -> dict[str, Any]:
        """What was assumed and has been read."""
        return {key: value for key, value in self._assumed.items() if key in self._read}

    def error(self, key: str, message: str) -> InputError:
        """Return the error of a key: file, line where it stands, key and message."""
        line = self._lines.of((*self._place, key)) if self._lines is not None else None
        place = f":{line}" if line is not None else ""
        return InputError(f"{self.source}{place}: {self._path}{key}: {message}")

    def own_error(self, message: str) -> InputError:
        """Return the error of this mapping as a whole, where it stands."""
        line = self._lines.of(self._place) if self._lines is not None else None
        place = f":{line}" if line is not None else ""
        return InputError(f"{self.source}{place}: {'.'.join(self._place)}: {message}")

    def has(self, key: str) -> bool:
        """Whether the key is there with a value."""
        self._seen.add(key)
        return self.values.get(key) is not None

    def _value(self, key: str) -> Any:
        self._read.add(key)
        return self.values.get(key)

    def _named(self, keys: tuple[str, ...]) -> str:
        """Return the first of several names of a key that has a value, else the first.

        Others that are there as well must say the same.
        """
        self._read.update(keys)
        stated = [key for key in self.values if key in keys and self.values[key] is not None]
        for other in stated[1:]:
            if self.values[other] != self.values[stated[0]]:
                raise self.error(
                    other,
                    f"{self.values[other]!r} contradicts {stated[0]!r}, "
                    f"{self.values[stated[0]]!r}: both state one number",
                )
            self._idle[other] = f"says the same as {stated[0]}"
        return stated[0] if stated else keys[0]

    def whole(self, *keys: str, default: int | None = None, least: int = 1) -> int:
        """Return a whole number; without a default the key must be there.

        Several keys are several spellings of one, the first that is present counts.
        """
        key = self._named(keys)
        value = self._value(key)
        if value is None:
            if default is not None:
                return default
            raise self.missing(*keys)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"{value!r} is not a whole number")
        if value < least:
            raise self.error(key, f"{value} must be at least {least}")
        if value > LARGEST:
            raise self.error(key, f"{value} is more than any model has")
        self._without(key, value, default)
        return value

    def _without(self, key: str, value: object, default: object) -> None:
        """Note that a key says what would hold without it, or that it does not."""
        if default is not None and value == default:
            self._idle.setdefault(key, DEFAULT)

    def missing(self, *keys: str) -> InputError:
        """Return the error of a key that the family needs."""
        named = " or ".join(repr(key) for key in keys)
        where = f" in {self._path.rstrip('.')}" if self._path else ""
        close = [found for key in keys for found in get_close_matches(key, self.values, 1, 0.85)]
        meant = f"; is it meant by {close[0]!r}?" if close else ""
        return InputError(
            f"{self.source}: the key {named} is missing{where}; "
            f"model_type {self.family!r} cannot be counted without it{meant}"
        )

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number; without a default the key must be there."""
        value = self._value(key)
        if value is None:
            if default is not None:
                return default
            raise self.missing(key)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or (isinstance(value, float) and not isfinite(value)):
            raise self.error(key, f"{value!r} is not a number")
        if not -LARGEST <= value <= LARGEST:
            raise self.error(key, f"{value!r} is out of range")
        self._without(key, value, default)
        return float(value)

    def flag(self, *keys: str, default: bool | None = None) -> bool:
        """Return true or false; the default is the one of the published model class.

        Several keys are several spellings of one; without a default one must be there.
        """
        key = self._named(keys)
        value = self._value(key)
        if value is None:
            if default is None:
                raise self.missing(*keys)
            return default
        if not isinstance(value, bool):
            raise self.error(key, f"{value!r} is neither true nor false")
        self._without(key, value, default)
        return value

    def word(self, key: str, default: str | None = None) -> str:
        """Return a string; without a default the key must be there."""
        value = self._value(key)
        if value is None:
            if default is not None:
                return default
            raise self.missing(key)
        if not isinstance(value, str):
            raise self.error(key, f"{value!r} is not a string")
        self._without(key, value, default)
        return value

    def listed(self, key: str, length: int | None = None) -> list[Any] | None:
        """Return a list, or None where the key is absent; `length` is the least it must have."""
        value = self._value(key)
        if value is None:
            return None
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise self.error(key, f"{value!r} is not a list")
        if length is not None and not length <= len(value) <= length + self._drafted():
            raise self.error(key, f"has {len(value)} items for {length} layers")
        found = list(value) if length is None else list(value[:length])
        if length is not None:
            self.tally(key, number_of_each(found))
        return found

    def numbered(self, key: str, layers: int, *, first: int = 0) -> frozenset[int] | None:
        """Return the layers that a list names, each once, or None where the key is absent."""
        listed = self.wholes(key)
        if listed is None:
            return None
        for layer, times in Counter(listed).items():
            if times > 1:
                raise self.error(key, f"layer {layer} stands there {times} times")
            if not first <= layer < layers + first:
                raise self.error(key, f"there is no layer {layer} of {layers}")
        self.tally(key, f"{len(listed)} of {layers} layers")
        return frozenset(listed)

    def tally(self, key: str, said: str) -> None:
        """Note what of a key's value counts: how many layers it picks, what it is rounded to."""
        self._tallies[key] = said

    def flags(self, key: str, length: int) -> list[bool] | None:
        """Return a list of 0 and 1, one for every layer, or None where the key is absent."""
        listed = self.wholes(key, length)
        for value in listed or []:
            if value > 1:
                raise self.error(key, f"{value} is neither 0 nor 1")
        return None if listed is None else [value == 1 for value in listed]

    def _drafted(self) -> int:
        """Return how many draft layers a list of layers may describe after the others."""
        stated = (self.values.get(name) for name in DRAFT_LAYERS)
        return max((one for one in stated if isinstance(one, int)), default=0)

    def wholes(self, key: str, length: int | None = None, *, least: int = 0) -> list[int] | None:
        """Return a list of whole numbers, or None where the key is absent."""
        listed = self.listed(key, length)
        if listed is None:
            return None
        for value in listed:
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole or not least <= value <= LARGEST:
                raise self.error(key, f"{value!r} is not a whole number of at least {least}")
        return [int(value) for value in listed]

    def alike(self, *keys: str, default: int | None = None, least: int = 1) -> int:
        """Return a whole number that is stated once, or once per layer and always the same."""
        key = self._named(keys)
        if not isinstance(self.raw(key), list):
            return self.whole(*keys, default=default, least=least)
        values = self.wholes(key, least=least) or []
        if len(set(values)) != 1:
            raise self.error(key, "differs from layer to layer, which is not known to be possible")
        return values[0]

    def below(self, key: str) -> "Keys | None":
        """Return the mapping under a key, or None where it is absent."""
        if key in self._grafted:
            return self._grafted[key]
        value = self._value(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.error(key, f"{value!r} is not a mapping")
        known = (one for one in self._below if one._place == (*self._place, key))
        return next(known, None) or self.nested(key, value)

    def graft(self, key: str, section: "Keys") -> None:
        """Take a mapping of another file as if it stood under a key of this one."""
        section.parent = self
        self._grafted[key] = section
        self._below.append(section)

    def path_of(self, key: str) -> str:
        """Return the path of a key from the beginning of the file."""
        return f"{self._path}{key}"

    def nested(self, key: str, values: Mapping[str, Any]) -> "Keys":
        """Return the keys of a mapping that stands somewhere under a key."""
        found = Keys(values, self.source, lines=self._lines, path=(*self._place, key))
        found.family = found.family or self.family
        found.parent = self
        self._below.append(found)
        return found

    def ignore(self, *keys: str, reason: str = "") -> None:
        """Note that keys have been considered and change nothing that is counted."""
        for key in keys:
            self._ignored.setdefault(key, reason)

    def ignore_all(self, reason: str) -> None:
        """Note that no key of this mapping changes anything."""
        self.ignore(*map(str, self.values), reason=reason)

    def ignore_where(self, pattern: re.Pattern[str], reason: str) -> None:
        """Note that keys of these names change nothing, where nothing has read them."""
        self.ignore(*(key for key in map(str, self.values) if pattern.match(key)), reason=reason)

    def idle(self, key: str, reason: str) -> None:
        """Note that a key which was read changes nothing here."""
        self._idle[key] = reason

    def leave_out(self, key: str, part: str) -> None:
        """Note that a key describes a part of the model that is left out."""
        self._left_out[key] = part

    def raw(self, key: str) -> Any:
        """Return a value of any type, or None."""
        self._seen.add(key)
        return self.values.get(key)

    def opened(self) -> Iterator["Keys"]:
        """Yield this mapping and all below that were opened."""
        yield self
        for nested in self._below:
            yield from nested.opened()

    def account(self, decoder: "Keys | None" = None, found: Account | None = None) -> Account:
        """Return what became of every key of this mapping and of those below that were opened.

        `decoder` are the keys of the decoder inside; a wrapper may repeat what these say.
        """
        found = Account() if found is None else found
        opened = {one._place[-1] for one in self._below}
        for key, value in ((str(key), value) for key, value in self.values.items()):
            path = f"{self._path}{key}"
            if key in opened or key in self._assumed:
                continue
            if value is None:
                found.ignored[path] = NULL
                continue
            part = self._left_out.get(key) or part_of(key)
            if key in self._left_out and value not in QUIET_VALUES:
                found.left_out[path] = self._left_out[key]
            elif key in (self._read | self._seen) and key in self._idle:
                found.ignored[path] = self._idle[key]
            elif key in (self._read | self._seen) and value in ("", [], {}):
                found.ignored[path] = QUIET
            elif key in self._read:
                self._decided(key, found)
            elif key in self._ignored:
                reason = reason_to_ignore(key, value) if not self._ignored[key] else None
                found.ignored[path] = self._ignored[key] or reason or CONSIDERED
            elif key in self._seen:
                self._decided(key, found)
            elif part is not None and value not in QUIET_VALUES:
                found.left_out[path] = part
            else:
                self._settle(key, value, decoder, found)
        for nested in self._below:
            nested.account(decoder if nested is not decoder else None, found)
        return found

    def _decided(self, key: str, found: Account) -> None:
        """Note that a key decided, and what of it counts where that is less than its value."""
        path = f"{self._path}{key}"
        found.decided.append(path)
        if key in self._tallies:
            found.tallies[path] = self._tallies[key]

    def _settle(self, key: str, value: Any, decoder: "Keys | None", found: Account) -> None:
        """Find the reason why a key that nothing read changes nothing, or what is wrong with it."""
        path = f"{self._path}{key}"
        for place in (self, decoder, self.parent):
            if place is None or not isinstance(value, int | float) or isinstance(value, bool):
                continue
            names = spellings(key) | ({key} if place is not self else frozenset())
            same = sorted(
                one
                for one in names
                if one in (place._read | place._seen) and place.values.get(one) is not None
            )
            if not same:
                continue
            if all(place.values[one] == value for one in same):
                found.ignored[path] = f"says the same as {place._path}{same[0]}"
            else:
                found.unknown.append(
                    (
                        self,
                        key,
                        f"{value!r} contradicts {place._path}{same[0]}, {place.values[same[0]]!r}",
                    )
                )
            return
        reason = no_dense(key, frozenset(self._read)) or reason_to_ignore(key, value)
        if reason is None and decoder is not None and decoder.values.get(key) == value:
            reason = f"repeats {decoder._path}{key}"
        if reason is not None:
            found.ignored[path] = reason
        else:
            found.unknown.append((self, key, ""))
