"""The notebook of the documentation runs, and its stored outputs are what it gives."""

import re
from itertools import pairwise

import pytest

from tour import TOUR, executed, read

NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
TIMES = re.compile(r"[\d.]+ s\b")
"""How long something took, which differs."""

SHOWN = ("text/plain", "text/html")
MOST_BYTES = 300_000


@pytest.fixture(scope="module")
def again():
    return executed()


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(cell):
    """Return what a cell prints and shows, without how long it took."""
    found = []
    for output in cell.outputs:
        assert output.output_type != "error", output
        assert output.get("name") != "stderr", output
        data = output.get("data", {"text/plain": output.get("text", "")})
        found += [TIMES.sub("", data[kind]) for kind in SHOWN if kind in data]
    return found


def numbers(text):
    return [float(one.replace(",", "")) for one in NUMBER.findall(text)]


@pytest.mark.locked
def test_every_cell_gives_what_is_stored(again):
    stored = read()
    assert len(code(stored)) >= 10
    for before, after in zip(code(stored), code(again), strict=True):
        assert [sorted(one.get("data", {})) for one in before.outputs] == [
            sorted(one.get("data", {})) for one in after.outputs
        ]
        for old, new in zip(texts(before), texts(after), strict=True):
            assert NUMBER.sub("0", old) == NUMBER.sub("0", new)
            assert numbers(old) == pytest.approx(numbers(new), rel=1e-6, abs=1e-9)


def test_numbers_that_its_text_states_are_those_of_the_cell_above():
    stated = 0
    for cell, following in pairwise(read().cells):
        if following.cell_type == "markdown":
            for number in re.findall(r"\*\*([\d.,]+)\*\*", following.source):
                stated += 1
                assert any(number in re.sub("<[^>]+>", " ", text) for text in texts(cell)), number
    assert stated > 2


def test_it_has_charts_and_is_small():
    shown = [kind for cell in code(read()) for one in cell.outputs for kind in one.get("data", {})]
    assert shown.count("image/svg+xml") >= 2
    assert TOUR.stat().st_size < MOST_BYTES
