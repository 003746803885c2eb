"""Sequences that compute an item when it is asked for, so that a million of them cost nothing."""

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Union, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Item_co = TypeVar("Item_co", covariant=True)
Source = TypeVar("Source")

Places = Union[Sequence[int], "NDArray[np.int64]"]


class LazySequence(Sequence[Item_co]):
    """A sequence of which a kind says how many items there are and what stands at a place.

    A slice is lazy as well. It equals a tuple or a list of the same items, and is pickled as a
    tuple.
    """

    @abstractmethod
    def item(self, place: int) -> Item_co:
        """Return the item at a place from 0 on."""

    @overload
    def __getitem__(self, index: int) -> Item_co: ...

    @overload
    def __getitem__(self, index: slice) -> "LazySequence[Item_co]": ...

    def __getitem__(self, index: int | slice) -> "Item_co | LazySequence[Item_co]":
        if isinstance(index, slice):
            return Chosen(self, range(len(self))[index])
        return self.item(range(len(self))[index])

    def __iter__(self) -> Iterator[Item_co]:
        return map(self.item, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LazySequence | tuple | list):
            return NotImplemented
        return len(self) == len(other) and all(
            mine == theirs for mine, theirs in zip(self, other, strict=True)
        )

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (tuple(self),)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self):,} items>"


class Chosen(LazySequence[Item_co]):
    """The items that stand at some places of another sequence."""

    def __init__(self, items: LazySequence[Item_co], places: Places) -> None:
        self._items, self._places = items, places

    def __len__(self) -> int:
        return len(self._places)

    def item(self, place: int) -> Item_co:
        """Return the item at a place from 0 on."""
        return self._items.item(int(self._places[place]))


class Computed(LazySequence[Item_co], Generic[Source, Item_co]):
    """What a function makes of each item of another sequence."""

    def __init__(self, compute: Callable[[Source], Item_co], items: Sequence[Source]) -> None:
        self._compute, self._items = compute, items

    def __len__(self) -> int:
        return len(self._items)

    def item(self, place: int) -> Item_co:
        """Return the item at a place from 0 on."""
        return self._compute(self._items[place])


class Joined(LazySequence[Item_co]):
    """The items of several sequences, one after the other."""

    def __init__(self, parts: Sequence[Sequence[Item_co]]) -> None:
        self.parts = tuple(parts)
        self._ends = list(accumulate(len(part) for part in self.parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def item(self, place: int) -> Item_co:
        """Return the item at a place from 0 on."""
        position = bisect_right(self._ends, place)
        from_the_end = place - self._ends[position]
        return self.parts[position][from_the_end]


class Combinations(LazySequence[tuple[Item_co, ...]], Generic[Item_co]):
    """An item of each of several sequences: every one with every other, or all in step.

    Of every one with every other the last changes fastest.
    """

    def __init__(self, sequences: Sequence[Sequence[Item_co]], *, zipped: bool) -> None:
        self._sequences, self._zipped = tuple(sequences), zipped
        self._counts = [len(one) for one in self._sequences]
        self._length = min(self._counts) if zipped else prod(self._counts)

    def __len__(self) -> int:
        return self._length

    def item(self, place: int) -> tuple[Item_co, ...]:
        """Return the combination at a place from 0 on."""
        if self._zipped:
            return tuple(one[place] for one in self._sequences)
        found: list[Item_co] = []
        for one, count in zip(reversed(self._sequences), reversed(self._counts), strict=True):
            place, position = divmod(place, count)
            found.append(one[position])
        return tuple(reversed(found))
