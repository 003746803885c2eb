"""Tables on narrow terminals: nothing is cut, and no line is wider than the terminal."""

import json
import re

import pytest

import hbmopt
from builders import INSTANCES
from configurations import DENSE
from hbmopt.basics import aligned, wrapped
from hbmopt.documents import catalogue
from hbmopt.instance import catalogue_table
from hbmopt.llm.importing import facts_table, imported
from hbmopt.report.tables import (
    render,
    render_catalogue,
    render_explanation,
    render_sensitivity,
    render_sizing,
)

NARROW = (60, 80, 100)


@pytest.fixture(scope="module")
def answers():
    """Return texts by name, each as a function of the width."""
    lpx = hbmopt.solve(INSTANCES / "closed_form.yaml")
    real = hbmopt.solve(INSTANCES / "rubin_nvl72.yaml")
    priced = hbmopt.sensitivity(INSTANCES / "h100.yaml", only="accelerator", resolve=False)
    sized = hbmopt.size(INSTANCES / "h100.yaml", users=900, speed=30)
    refused = hbmopt.explain(INSTANCES / "h100.yaml", {"limits.power": "4 kW"})
    drawn = {
        "solution": (render, real),
        "closed form": (render, lpx),
        "sensitivity": (render_sensitivity, priced),
        "sizing": (render_sizing, sized),
        "explanation": (render_explanation, refused),
        "models": (render_catalogue, catalogue_table("llms")),
        "instances": (render_catalogue, catalogue_table("instances")),
    }

    def text(name, width):
        function, found = drawn[name]
        return function(found, "table", width=width, color=False)

    return text


NAMES = (
    "solution",
    "closed form",
    "sensitivity",
    "sizing",
    "explanation",
    "models",
    "instances",
)


@pytest.mark.parametrize("width", NARROW)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_cut_and_no_line_is_too_wide(name, width, answers):
    text = answers(name, width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    whole = answers(name, 1000)
    # What is said on a narrow terminal is in words that a wide one has too: none is broken.
    told = re.sub(r"Left out for want of width:[^.]*\.", "", text)
    known = set(whole.split())
    broken = [one for one in told.split() if one not in known and one.strip(".,") not in whole]
    assert broken == []


def test_names_of_models_are_whole_at_60_columns(answers):
    text = answers("models", 60)
    assert all(re.search(rf"^ {one} ", text, re.MULTILINE) for one in catalogue.names("llms"))


def test_remarks_without_room_stand_below_their_rows(answers):
    lines = answers("solution", 60).splitlines()
    begin = lines.index("Rests on numbers that may turn out otherwise")
    assert lines[begin + 1].startswith(" rack.")
    assert lines[begin + 2].startswith("   ")


def test_columns_of_an_import_do_not_touch(tmp_path):
    large = dict(DENSE, hidden_size=18432, num_hidden_layers=128, num_attention_heads=128)
    large |= {"num_key_value_heads": 64, "head_dim": 256, "intermediate_size": 65536}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(large | {"max_window_layers": 128}))
    model = imported(str(path))
    text = facts_table(model.llm, model.account, 60)
    assert max(map(len, text.splitlines())) <= 60
    attention = next(one for one in text.splitlines() if one.startswith("attention  "))
    assert re.fullmatch(r"attention  +[\d,]+  +bf16  +[\d,.]+", attention)
    held = next(one for one in text.splitlines() if one.startswith("KV bf16 held, GB"))
    assert re.fullmatch(r"KV bf16 held, GB( {2,}[\d,.]+){3}", held)


def test_columns_are_as_wide_as_their_cells():
    rows = [["a", "1"], ["long name", "1,000", "x"], ["b"]]
    assert aligned(rows, right=(1,)) == ["a              1", "long name  1,000  x", "b"]


def test_lines_that_go_on_are_set_in():
    assert wrapped("one two three", None) == "one two three"
    assert wrapped("  one two three", 9) == "  one two\n    three"
    assert wrapped("name  a question of it", 16, indent=6) == "name  a question\n      of it"
