"""Sequences that compute their items behave like tuples of them."""

import pickle
from itertools import product

import numpy as np
import pytest

from hbmopt.lazy_sequence import Chosen, Combinations, Computed, Joined

LETTERS, NUMBERS = ("a", "b", "c"), tuple(range(4))

SEQUENCES = {
    "grid": (Combinations([LETTERS, NUMBERS], zipped=False), tuple(product(LETTERS, NUMBERS))),
    "zipped": (Combinations([LETTERS, "xyz"], zipped=True), tuple(zip("abc", "xyz", strict=True))),
    "computed": (Computed(str, NUMBERS), ("0", "1", "2", "3")),
    "joined": (Joined([LETTERS, (), Computed(str, NUMBERS)]), (*LETTERS, "0", "1", "2", "3")),
    "chosen": (Chosen(Computed(str, NUMBERS), np.array([3, 1])), ("3", "1")),
    "none": (Joined([]), ()),
}


@pytest.fixture(params=SEQUENCES)
def pair(request):
    """A sequence, and the tuple of its items."""
    return SEQUENCES[request.param]


def test_items_are_counted_indexed_and_iterated(pair):
    lazy, items = pair
    assert len(lazy) == len(items)
    assert list(lazy) == list(items)
    for place in range(-len(items), len(items)):
        assert lazy[place] == items[place]
    for place in (len(items), -len(items) - 1):
        with pytest.raises(IndexError):
            lazy[place]


@pytest.mark.parametrize("part", [slice(None), slice(1, 3), slice(None, None, -1), slice(-2, 99)])
def test_a_slice_is_lazy_too(part, pair):
    lazy, items = pair
    found = lazy[part]
    assert isinstance(found, Chosen)
    assert tuple(found) == items[part]
    assert tuple(found[1:]) == items[part][1:]


def test_it_equals_a_tuple_of_its_items_and_is_pickled_as_one(pair):
    lazy, items = pair
    assert lazy == items
    assert items == lazy
    assert hash(lazy) == hash(items)
    assert lazy != (*items, "more")
    assert lazy != "text"
    copied = pickle.loads(pickle.dumps(lazy))
    assert type(copied) is tuple
    assert copied == items


def test_it_says_how_long_it_is_and_shows_no_items():
    assert repr(Computed(str, range(1_000_000))) == "<Computed: 1,000,000 items>"
