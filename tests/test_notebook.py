"""Answers in a notebook and at a prompt: HTML with the words of the tables, and short lines."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pandas as pd
import pyomo.environ as pyo
import pytest
from rich.console import Group
from rich.table import Table

import hbmopt
from builders import INSTANCES
from commands import invoke
from fleets import SMALL
from hbmopt.notebook import Answer
from hbmopt.report.notebook import answer_html
from hbmopt.report.notebook.table_html import html_of
from hbmopt.report.tables import Text

H100 = INSTANCES / "h100.yaml"
STEPS = INSTANCES / "measured" / "decode_steps_pure.csv"
PAGE = """<!doctype html>\n<p title="a &amp; b">\u200b</p><script>'\t<'</script>\n"""
HOSTILE = '<script>alert("&")</script>\u202e\x1b[2J'


def plan():
    hall = pyo.ConcreteModel()
    hall.rack = hbmopt.rack_block("h100", racks_at_most=3)
    hall.power = pyo.Constraint(expr=hall.rack.power <= 25)
    hall.tokens = pyo.Objective(expr=hall.rack.throughput, sense=pyo.maximize)
    return hbmopt.solve_model(hall, objective_unit="tok/s")


ANSWERS = {
    "Solution": lambda: hbmopt.solve(H100),
    "no Solution": lambda: hbmopt.solve(H100, {"limits.power": "1 kW"}),
    "Frontier": lambda: hbmopt.frontier(H100),
    "no Frontier": lambda: hbmopt.frontier(H100, {"limits.power": "1 kW"}),
    "Sweep": lambda: hbmopt.sweep(H100, "rack=dgx_?100"),
    "Comparison": lambda: hbmopt.compare(["h?00"]),
    "Sensitivity": lambda: hbmopt.sensitivity(H100, top=3, resolve=False),
    "no Sensitivity": lambda: hbmopt.sensitivity(H100, {"limits.power": "1 kW"}),
    "Check": lambda: hbmopt.check(H100, 100, 30),
    "Explanation": lambda: hbmopt.explain(H100),
    "Prediction": lambda: hbmopt.predict(STEPS),
    "CalibrationFit": lambda: hbmopt.calibrate(STEPS),
    "Plan": plan,
    "Sizing": lambda: hbmopt.size(H100, users=3000, speed=30),
    "FleetPlan": lambda: hbmopt.solve_fleet(SMALL),
    "Page": lambda: hbmopt.Page(hbmopt.solve("closed_form"), PAGE),
}
FRAMED = {"Page"}
"""Answers that are pages already."""


@pytest.fixture(scope="module")
def answers():
    return {name: call() for name, call in ANSWERS.items()}


def read(markup):
    """Return the elements and the words of a fragment; raises where it is not well-formed."""
    root = ET.fromstring(markup)
    return root, " ".join(" ".join(root.itertext()).split())


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_one_short_line_at_a_prompt(name, answers):
    text = repr(answers[name])
    assert text.startswith(f"<{name.removeprefix('no ')}: ")
    assert text.endswith(">")
    assert "\n" not in text
    assert len(text) < 400


def test_every_public_answer_shows_itself():
    public = [getattr(hbmopt, name) for name in hbmopt.__all__]
    kinds = {one.__name__ for one in public if isinstance(one, type) and issubclass(one, Answer)}
    assert kinds == {name.removeprefix("no ") for name in ANSWERS}


def test_a_page_is_shown_in_a_frame_that_reaches_nothing_around_it(answers):
    page = answers["Page"]
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, given: tags.append((tag, dict(given)))
    parser.feed(page._repr_html_())
    ((tag, given),) = tags
    assert tag == "iframe"
    assert given["srcdoc"] == page.html
    assert "allow-same-origin" not in given["sandbox"]


@pytest.mark.parametrize("name", sorted(ANSWERS.keys() - FRAMED))
def test_an_answer_is_well_formed_html_with_its_tables(name, answers):
    root, text = read(answers[name]._repr_html_())
    assert root.get("class") == "hbmopt"
    assert text
    rows = root.findall(".//tr")
    assert bool(rows) != (name in ("no Solution", "no Frontier", "no Sensitivity", "Explanation"))
    for table in root.findall(".//table"):
        wide = {len(row) for row in table.iter("tr")}
        assert len(wide) == 1, "every row has all cells"


def test_a_line_says_what_one_asks_first(answers):
    solution = answers["Solution"]
    assert repr(solution) == (
        f"<Solution: h100, 6,800 tok/s, 30.07 tok/s per user, batch {solution.batch:.0f}, "
        f"{solution.power_w / 1e3:.4g} kW, limited by HBM bandwidth>"
    )
    assert "infeasible: static power 4.6 kW alone reaches" in repr(answers["no Solution"])
    assert repr(answers["Sweep"]).startswith("<Sweep: rack, 2 points, ")
    assert repr(answers["Comparison"]).startswith("<Comparison: 2 instances, h100 6,796.73 tok/s, ")
    assert "rack.accelerator.hbm_bandwidth +" in repr(answers["Sensitivity"])
    assert "racks: rack 3" in repr(answers["Plan"])
    assert "nothing can be served" in repr(answers["no Frontier"])
    many = hbmopt.compare(["closed_form"] * 6)
    assert repr(many).endswith("and 2 more>")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("Solution", ("solve", H100)),
        ("no Solution", ("solve", H100, "--set", "limits.power=1 kW")),
        ("Comparison", ("compare", "h?00")),
        ("Check", ("check", H100, "--batch", "100", "--speed", "30")),
        ("Explanation", ("explain", H100)),
    ],
)
def test_html_has_the_words_of_the_tables(name, command, answers):
    _, text = read(answers[name]._repr_html_())
    printed = invoke(*command).stdout.split()
    unlike = [one for one in printed if one not in text]
    # What took how long differs, and names that a narrow column breaks.
    assert len(unlike) <= 0.02 * len(printed), unlike


def test_prices_are_in_the_html_of_solutions_and_plans(answers):
    solution = answers["Solution"]
    _, text = read(solution._repr_html_())
    price = next(one for one in solution.inputs if one.name == "hbm_bandwidth")
    assert f"{price.unit_price:+,.0f}" in text
    _, planned = read(answers["Plan"]._repr_html_())
    power = next(row for row in answers["Plan"].constraints if row.name == "power")
    assert f"{power.unit_price:+,.1f}" in planned
    assert "tok/s per unit of power" in planned


def test_texts_of_users_are_escaped_and_what_is_hidden_in_them_shown():
    changes = {"description": HOSTILE, "rack.title": HOSTILE, "name": HOSTILE}
    for call in (
        lambda: hbmopt.solve("closed_form", changes),
        lambda: hbmopt.frontier("h100", changes),
        lambda: hbmopt.compare(["closed_form"], changes),
        lambda: hbmopt.sensitivity("closed_form", changes, resolve=False),
        lambda: hbmopt.sweep(
            "closed_form", "limits.min_speed=10 tok/s,20 tok/s", overrides=changes
        ),
    ):
        answer = call()
        markup, line = answer._repr_html_(), repr(answer)
        root, text = read(markup)
        assert root.findall(".//script") == []
        assert "<script" not in markup
        assert '<script>alert("&")</script>\\u202e\\x1b[2J' in text
        assert not any(sign in markup + line for sign in "\u202e\x1b")


def test_tables_become_tables_and_drawings_stay_drawings():
    table = Table(title="A <title>", box=None)
    table.add_column("two\nlines")
    table.add_column("n", justify="right", style="dim")
    table.add_row("  indented & so on", "1")
    table.add_row(Text("strong", style="bold"))
    drawing = Text("a  b\n  c", no_wrap=True)
    sentence = Text.assemble(("Bold: ", "bold"), "plain\nnext line")
    markup = html_of(Group(table, Text(), drawing, sentence, "plain string"))
    root, _ = read(markup)
    assert root.find("table/caption").text == "A <title>"
    assert [one.text for one in root.findall("table/thead/tr/th")] == ["two lines", "n"]
    cells = [row.findall("td") for row in root.findall("table/tbody/tr")]
    assert cells[0][0].text == "  indented & so on"
    assert "pre-wrap" in cells[0][0].get("style")
    assert "right" in cells[0][1].get("style")
    assert cells[0][1].find("span").text == "1"
    assert cells[1][0].find("strong").text == "strong"
    assert len(cells[1]) == 2
    assert root.find("pre").text == "a  b\n  c"
    paragraphs = root.findall("p")
    assert [" ".join(one.itertext()) for one in paragraphs] == [
        "Bold:  plain",
        "next line",
        "plain string",
    ]
    assert paragraphs[0].find("strong").text == "Bold: "


def test_a_wide_answer_leaves_no_column_out(answers):
    _, text = read(answers["Frontier"]._repr_html_())
    assert "Left out" not in text
    assert "per chip" in text


def test_what_is_no_answer_has_no_tables():
    with pytest.raises(TypeError, match="int has no tables"):
        answer_html(3)


def test_no_report_is_loaded_before_somebody_asks_for_one():
    program = (
        "import sys, hbmopt; found = hbmopt.solve('closed_form'); text = repr(found); "
        "early = [one for one in sys.modules if one.startswith('hbmopt.report')]; "
        "html = found._repr_html_(); "
        "drawn = hbmopt.frontier('closed_form', 'choices.whole_sequences=true')._repr_html_(); "
        "print(len(early), 'hbmopt.report.notebook' in sys.modules, html.startswith('<div'), "
        "'altair' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True
    )
    assert run.stdout == "0 True True False\n"


@pytest.mark.parametrize("wide", [80, 120])
def test_frames_print_their_prices(wide, answers):
    solution, planned = answers["Solution"], answers["Plan"]
    frames = (
        solution.prices,
        solution.inputs_frame,
        solution.constraints_frame,
        planned.prices,
    )
    for frame in frames:
        with pd.option_context("display.width", wide, "display.max_columns", 0):
            text = repr(frame)
        first = text.splitlines()[0]
        assert "unit_price " in f"{first} "
        assert "next_unit" in first


def test_prices_of_a_solution_are_those_of_its_limits_and_inputs(answers):
    solution = answers["Solution"]
    frame = solution.prices
    limits, inputs = (frame[frame["kind"] == kind] for kind in ("limit", "input"))
    assert list(limits.index) == [one.name for one in solution.constraints]
    assert list(inputs.index) == [one.name for one in solution.inputs]
    assert limits.loc["min_speed", "unit_price"] < 0
    assert inputs.loc["hbm_bandwidth", "unit_price"] == pytest.approx(
        solution.inputs_frame.loc["hbm_bandwidth", "unit_price"]
    )
    assert list(frame.columns) == list(answers["Plan"].prices.columns)
    assert answers["no Solution"].prices.empty
