"""Texts of users are data: a terminal does not obey them, a spreadsheet does not calculate them."""

import ast
import csv
import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbmopt
from builders import INSTANCES
from commands import invoke, one_line_of_error
from hbmopt.basics.csv_text import FORMULA, csv_cell, csv_text
from hbmopt.basics.plain_text import (
    MOST_OF_A_LINE,
    hidden,
    one_line,
    visible,
    visible_in,
    visible_json,
)
from hbmopt.documents.document import parse_document
from hbmopt.report.tables.calibration_file import _scalar
from hbmopt.report.tables.output import printed, render
from hbmopt.report.tables.solution_report import solution_tables
from hbmopt.report.tables.table_text import Text
from hostile import ESCAPES, RICH, hostile
from test_layers import PACKAGE

COMMANDS = {
    "solve": ["solve"],
    "solve, infeasible": ["solve", "--set", "limits.power=1 kW"],
    "explain": ["explain"],
    "explain, infeasible": ["explain", "--set", "limits.power=1 kW"],
    "check": ["check", "--batch", "8", "--speed", "50"],
    "sensitivity": ["sensitivity", "--no-resolve", "--only", "limits"],
    "frontier": ["frontier"],
    "compare": ["compare", "{file}"],
    "sweep": ["sweep", "--vary", "limits.power=1 kW,9 kW"],
    "sweep of texts": ["sweep", "--vary", "rack.title==1+1,-2,b"],
}
FEASIBLE_ENDS = {"explain, infeasible": 1, "solve, infeasible": 1}
STYLED = re.compile(r"\x1b\[[0-9;]*m")
WRITTEN = r"a\x1b[2J\x9b31m\x07\x08\t\r\x7f\u202eb\u2066\u200e\u061c\u2028\u2029\u200b\ufeff"


def run(name, file, *options):
    command, *given = [one.format(file=file) for one in COMMANDS[name]]
    outcome = invoke(command, file, *given, *options)
    assert (outcome.exit_code, outcome.stderr) == (FEASIBLE_ENDS.get(name, 0), "")
    return outcome.stdout


def bare(text):
    """Return a text without spacing, so that where its lines break does not matter."""
    return "".join(text.split())


@pytest.fixture(scope="module")
def escaping(tmp_path_factory):
    return hostile(tmp_path_factory.mktemp("escaping") / "a\x1b[31m\u202e.yaml", ESCAPES)


@pytest.fixture(scope="module")
def styling(tmp_path_factory):
    return hostile(tmp_path_factory.mktemp("styling") / "[red]a.yaml", RICH)


@pytest.fixture(scope="module")
def calculating(tmp_path_factory):
    return hostile(tmp_path_factory.mktemp("calculating") / "=a.yaml", "=1+1")


@pytest.mark.parametrize("name", COMMANDS)
def test_tables_show_what_a_terminal_would_obey(name, escaping):
    text = run(name, escaping)
    assert [one for one in text if hidden(one)] == []
    assert bare(WRITTEN)[:12] in bare(text)


@pytest.mark.parametrize("name", ["solve", "frontier", "compare", "sweep", "sensitivity"])
def test_tables_read_no_text_as_markup(name, styling):
    assert bare("[red]a[/] [link=https") in bare(run(name, styling))
    assert "💥" not in run(name, styling)


def test_colours_are_those_of_the_table_alone(escaping):
    solution = hbmopt.solve(hbmopt.load(escaping))
    text = printed(solution_tables(solution), 132, color=True)
    assert STYLED.search(text)
    assert [one for one in STYLED.sub("", text) if hidden(one)] == []
    lines = [line.rstrip() for line in STYLED.sub("", text).split("\n")]
    assert "\n".join(lines) == printed(solution_tables(solution), 132, color=False)


def test_columns_stay_even_where_something_is_hidden(escaping):
    text = run("sweep", escaping)
    first = next(line for line in text.splitlines() if "optimal" in line or " 9 " in line)
    head = next(line for line in text.splitlines() if line.endswith("configuration"))
    assert first.index(" x TP") - 1 == head.index("configuration")


def test_json_holds_the_texts_as_they_are(escaping):
    text = run("solve", escaping, "--format", "json")
    assert text.isascii()
    assert json.loads(text)["title"] == ESCAPES
    lines = run("sweep", escaping, "--format", "jsonl")
    assert [one for one in lines if hidden(one)] == []
    rows = [json.loads(line) for line in lines.splitlines()]
    assert rows[1]["configuration_weight_format"] == ESCAPES


@pytest.mark.parametrize("name", COMMANDS)
def test_csv_holds_no_formula(name, calculating, escaping):
    text = run(name, calculating, "--format", "csv")
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert any("=1+1" in cell for cell in cells)
    # What begins like one is a negative number.
    assert all(float(cell) < 0 for cell in cells if cell.startswith(FORMULA))
    assert [one for one in run(name, escaping, "--format", "csv") if hidden(one)] == []


def test_csv_marks_texts_that_vary_and_leaves_numbers_alone(calculating):
    rows = list(csv.DictReader(io.StringIO(run("sweep of texts", calculating, "--format", "csv"))))
    assert [row["rack.title"] for row in rows] == ["'=1+1", "'-2", "b"]
    assert [row["configuration_weight_format"] for row in rows] == ["'=1+1", "", "'=1+1"]
    (solved,) = csv.DictReader(io.StringIO(invoke("solve", "h200", "--format", "csv").stdout))
    assert float(solved["price_latency"]) < 0


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1", "'=1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@a", "'@a"),
        ("\t=1", r"'\t=1"),
        ("\r=1", r"'\r=1"),
        ("\n=1", "'\n=1"),
        ("a=1", "a=1"),
        ("\u202e=1", r"\u202e=1"),
        ("", ""),
        (-1, -1),
        (-1.5, -1.5),
        (None, None),
        (True, True),
    ],
)
def test_cells(value, cell):
    assert csv_cell(value) == cell
    assert type(csv_cell(value)) is type(value)


def test_rows_that_lack_a_column_have_an_empty_cell():
    text = csv_text([{"a": 1, "=b": "x,\ny"}, {"a": None, "c": -2.5}])
    assert text == 'a,\'=b,c\n1,"x,\ny",\n,,-2.5\n'
    assert csv_text([], ["a", "b"]) == "a,b\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["solve", "h200", "--set", "llm.title=\x1b[31m\u202e"],
        ["solve", "h200", "--set", "\x1b[31m\u202e"],
        ["solve", "\x1b[31m\u202e.yaml"],
        ["solve", "h200", "--\x1b[31m\u202e"],
        ["\x1b[31m\u202e"],
        ["solve", "h200", "--format", "\x1b[31m\u202e"],
        ["solve", "h200", "-o", "\x1b[31m\u202e/x.json"],
        ["import-llm", "\x1b[31m\u202e"],
        ["predict", "\x1b[31m\u202e"],
        ["sweep", "h200", "--vary", "\x1b[31m\u202e"],
        ["frontier", "h200", "--plot", "\x1b[31m\u202e"],
        ["solve", "h200", "--set", "llm.title=\udcff\x1b[31m\u202e"],
    ],
)
def test_errors_show_what_a_terminal_would_obey(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        hbmopt.cli.main(arguments)
    said = capsys.readouterr()
    assert (end.value.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert [one for one in said.err if hidden(one)] == []
    assert r"\x1b[31m\u202e" in said.err


def test_a_long_error_leaves_out_its_middle():
    text = one_line_of_error(invoke("solve", "h200", "--set", f"limits.power={'x' * 9000} kW"))
    assert len(text) < MOST_OF_A_LINE + 60
    assert text.startswith("hbmopt: --set limits.power=xxx")
    assert "characters ...]" in text
    assert text.endswith('write one such as "120 kW"\n')


def test_the_line_of_an_error_is_one_line():
    assert one_line("  a \n\n b\x1b\u2028c ") == r"a b\x1b\u2028c"


def test_what_is_visible_stays():
    shown = "Größe × 中文 עברית\n  ∝ µs 🙂 é"
    assert visible(shown) == shown
    assert visible_in({"a": [shown, 1, None, {"b\x1b": "\x9b"}]}) == {
        "a": [shown, 1, None, {r"b\x1b": r"\x9b"}]
    }


@given(st.text(st.characters(exclude_categories=())))
def test_json_is_the_same_without_hidden_characters(text):
    written = json.dumps(text, ensure_ascii=False)
    assert json.loads(visible_json(written)) == text
    assert not any(map(hidden, visible_json(written)))
    visible_json(written).encode()


ANY = st.text(st.characters(exclude_categories=()), max_size=40)


@settings(deadline=None, max_examples=30)
@given(title=ANY, name=ANY, llm=ANY, rack=ANY)
def test_no_text_reaches_a_terminal_or_a_spreadsheet_as_more_than_text(title, name, llm, rack):
    texts = {"description": title, "name": name, "llm.title": llm, "rack.title": rack}
    solution = hbmopt.solve(hbmopt.load(INSTANCES / "closed_form.yaml", texts))
    table = render(solution, "table", width=None, color=False)
    assert not any(map(hidden, table))
    assert bare(visible(title)) in bare(table)
    text = render(solution, "csv", width=None, color=False)
    text.encode()
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["instance"] == csv_cell(name)
    assert row["llm"] == csv_cell(llm or "ideal")
    assert not row["instance"].startswith(FORMULA)
    assert json.loads(render(solution, "json", width=None, color=False))["title"] == title


@given(ANY)
def test_a_name_in_a_calibration_file_is_read_as_it_is_shown(text):
    assert parse_document(f"name: {_scalar(text)}\nmore: 1\n", "f").value == {
        "name": visible(text),
        "more": 1,
    }


def test_reports_make_their_texts_in_one_way():
    """Rich's own `Text` would let hidden characters through."""
    for path in PACKAGE.glob("**/*.py"):
        if path.name == "table_text.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                imported = [node.module]
            assert not {"rich.text", "rich.markup"} & set(imported), path
    text = Text.assemble(("a\x1b", "bold"), "\u202eb").append("\x9b")
    assert text.plain == r"a\x1b\u202eb\x9b"
