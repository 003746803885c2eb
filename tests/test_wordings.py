"""Numbers and words of answers: digits that are known, one thing and several, narrow terminals."""

import json
import re

import pytest

import hbmopt
from builders import INSTANCES
from commands import invoke, one_line_of_error
from hbmopt.basics import made
from hbmopt.instance import load
from hbmopt.llm.importing.entry import summary
from hbmopt.report.charts import frontier_chart, sensitivity_chart, sweep_chart
from hbmopt.report.tables import (
    render,
    render_check,
    render_explanation,
    render_frontier,
    render_prediction,
)

LONG = re.compile(r"(?<![\d.,:=])(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d+))? (?:tok/s\b|tok/s/MW)")
TABLES = {
    "solve": ["solve", "h200"],
    "explain": ["explain", "h200"],
    "sensitivity": ["sensitivity", "h200", "--no-resolve", "--only", "power"],
    "check": ["check", "h200", "--batch", "64", "--speed", "20"],
}


def digits(text):
    """Return the significant digits of a number as it is written."""
    plain = text.replace(",", "").replace(".", "").lstrip("0")
    return len(plain.rstrip("0")) if "." not in text else len(plain)


@pytest.mark.parametrize("command", list(TABLES))
def test_what_is_predicted_has_three_digits(command):
    text = invoke(*TABLES[command]).stdout
    # What is claimed is exact, and prices are by unit.
    lines = [line for line in text.splitlines() if "at that power" not in line]
    found = [match.group(0).split()[0] for line in lines for match in LONG.finditer(line)]
    assert len(found) >= 1
    assert all(digits(one) <= 3 for one in found if one != "1,280"), found


def cells(text, column, after=0):
    """Return the cells of a column that a head of one word names, by place in the lines."""
    lines = text.splitlines()[after:]
    head = next(line for line in lines if re.search(rf"\b{column}\b", line))
    return head, lines[lines.index(head) + 1 :]


def test_tables_of_sweeps_frontiers_and_comparisons_have_three_digits():
    swept = hbmopt.sweep("h200", "limits.power=8 kW,9 kW")
    text = invoke("sweep", "h200", "--vary", "limits.power=8 kW,9 kW").stdout
    for row in swept.rows:
        exact = row["throughput_tok_s"]
        assert f" {made(exact, banded=True)} " in text
        assert f"{exact:,.0f}" not in text
        assert made(row["tok_s_per_mw"], banded=True) in text
    drawn = hbmopt.frontier("h200")
    (point,) = drawn.ladder([30.0])
    text = render_frontier(drawn, "table", speeds=[30.0], width=None, color=False)
    assert f" {made(point.throughput_tok_s, banded=True)} " in text
    assert f"{point.throughput_tok_s:,.0f} " not in text
    compared = invoke("compare", "h200").stdout
    line = next(one for one in compared.splitlines() if one.startswith("throughput, tok/s"))
    assert digits(line.split()[-1]) <= 3
    # Files keep what was computed.
    assert json.loads(invoke("solve", "h200", "--format", "json").stdout)[
        "throughput_tok_s"
    ] == pytest.approx(hbmopt.solve("h200").throughput_tok_s, rel=1e-12)
    assert len(invoke("explain", "h200", "--format", "csv").stdout.splitlines()[1].split(".")) > 1


def test_constants_of_ones_own_keep_their_digits():
    assert made(123456.7, banded=False) == "123,457"
    assert made(123456.7, banded=True) == "123,000"
    closed = hbmopt.explain("closed_form")
    assert closed.throughput_range_tok_s is None
    assert " 3,200 tok/s\n" in render_explanation(closed, "table")
    known = hbmopt.explain("h200")
    low, high = known.throughput_range_tok_s
    assert low < known.throughput_tok_s < high
    assert (low, high) == hbmopt.solve("h200").throughput_range_tok_s


def test_charts_have_as_many_digits_as_are_known():
    drawn = hbmopt.frontier("h200")
    text = json.dumps(frontier_chart([drawn]).to_dict())
    assert '"format": ",.3~r", "title": "throughput (tok/s)"' in text
    exact = json.dumps(
        frontier_chart([hbmopt.frontier("h200", {"calibration": "spec_sheet"})]).to_dict()
    )
    assert '"format": ",.6~r", "title": "throughput (tok/s)"' in exact
    swept = json.dumps(sweep_chart(hbmopt.sweep("h200", "llm=qwen3_235b,llama_3_1_70b")).to_dict())
    texts = re.findall(r'"text": "([0-9,.]+)"', swept)
    assert len(set(texts)) == 2
    assert all(digits(one) <= 3 for one in texts)
    found = hbmopt.sensitivity("h200", resolve=False, only="hbm")
    reached = made(found.throughput_tok_s, banded=True)
    assert f": {reached} tok/s" in json.dumps(sensitivity_chart(found).to_dict()["title"])


@pytest.mark.parametrize(
    ("batch", "said"),
    [(1, "Possible: 1 request at 20 tok/s/user (20 tok/s) runs on"), (2, "Possible: 2 requests")],
)
def test_one_request_is_one(batch, said):
    found = hbmopt.check("h200", batch, 20)
    assert found.verdict.startswith(said)
    impossible = hbmopt.check("h200", batch, 20_000).verdict
    assert (" needs " in impossible) == (batch == 1)
    assert "1 requests" not in render_check(found, "table", width=None, color=False)


def test_accelerators_are_parked_where_some_are():
    def note(rack, batch):
        found = hbmopt.check(
            "rubin_nvl72", batch, 100, "120 kW", overrides={"calibration.worst": rack}
        )
        parked = [one for one in found.notes if "provisioned for" in one]
        return parked[0], found

    text, found = note("10%", 1920)
    assert found.accelerators_used == 72
    assert text.endswith("; all 72 accelerators run.")
    table = render_check(found, "table", width=None, color=False)
    assert "all 72 accelerators run" in table
    assert "72 of 72" not in table
    text, found = note("0%", 1920)
    assert found.accelerators_used == 64
    assert text.endswith("; 64 of 72 accelerators run, and the rest are parked.")


def test_a_check_states_its_band_and_what_the_slowest_tenth_does():
    checked = {speed: hbmopt.check("h200", 64, speed) for speed in (20, 30, 40, 43)}
    found = checked[20]
    assert found.accuracy.step_high > 1
    table = " ".join(render_check(found, "table", width=None, color=False).split())
    assert "Step times: universal, " in table
    assert "in four of five cases measured steps took" in table
    assert [one for one in found.notes if one.startswith("In the slowest tenth of cases")]
    # It holds in the slowest tenth where the check of that says so.
    said = {}
    for speed in (speed for speed, one in checked.items() if one.possible):
        (note,) = [one for one in checked[speed].notes if "slowest tenth" in one]
        worst = hbmopt.check("h200", 64, speed, overrides={"calibration.worst": 0.1})
        said[speed] = "holds as well" in note
        assert said[speed] == worst.possible
        assert "Checked for the slowest 10 % of cases: steps that take" in worst.notes[0]
        assert not any("slowest tenth" in one for one in worst.notes)
    assert set(said.values()) == {True, False}
    # Nothing is known of constants of one's own.
    exact = hbmopt.check("closed_form", 8, 20)
    assert not exact.banded
    assert not any("slowest" in one for one in exact.notes)


@pytest.mark.parametrize("written", ["10%", "10 %", "0.1"])
def test_a_share_may_be_written_in_per_cent(written):
    assert float(load("h200", f"calibration.worst={written}").calibration.worst) == 0.1
    changes = [f"workload.prefix_hit_rate={written}", "workload.prefill=shared"]
    assert float(load("h200", changes).workload.prefix_hit_rate) == 0.1


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("10", "10 must be at most 0.5; 10 % is written 10%"),
        ("60%", "'60%' must be at most 0.5"),
        ("many", "'many' is not a plain number"),
        ("1%%", "'1%%' is not a plain number"),
    ],
)
def test_a_wrong_share_says_how_it_is_written(written, remedy):
    assert remedy in one_line_of_error(invoke("solve", "h200", "--worst", written))


@pytest.mark.parametrize(
    "command",
    [
        ["solve", "closed_form"],
        ["check", "closed_form", "--batch", "8", "--speed", "20"],
        ["frontier", "h200", "--at", "30"],
        ["report", "closed_form"],
    ],
    ids=lambda command: command[0],
)
def test_the_worst_cases_can_be_asked_for_in_per_cent(command):
    outcome = invoke(*command, "--worst", "10%")
    assert outcome.exit_code == 0
    assert "calibration.worst=10%" in " ".join(outcome.stdout.split()) or command[0] == "check"


def test_names_stay_whole_on_a_narrow_terminal():
    solution = hbmopt.solve("h200")
    text = render(solution, "table", width=60, color=False)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 60
    limits = text[text.index("Limits (binding") :]
    for row in solution.constraints:
        assert re.search(rf"^ {row.name} ", limits, re.MULTILINE)
    assert "Left out for want of width: unit, price, next." in text
    check = render_check(hbmopt.check("h200", 64, 20), "table", width=60, color=False)
    assert "…" not in check
    for name in ("hbm_bandwidth", "accelerator_power", "rack.static_power", "Within reach"):
        assert re.search(rf"^ ?{re.escape(name)}", check, re.MULTILINE)
    found = hbmopt.predict(INSTANCES / "measured" / "decode_steps_pure.csv")
    predicted = render_prediction(found, "table", width=60, color=False)
    assert "…" not in predicted
    for name in {one.accelerator for one in found.rows} | {one.llm for one in found.rows}:
        assert f" {name} " in predicted


def test_models_of_less_than_a_billion_parameters_are_counted_in_millions():
    llm = load("h200", {"llm": "llama_3_1_8b"}).llm
    assert summary(llm).startswith("Llama 3.1 8B: 8.0303 B parameters, 16.061 GB as bf16")
    small = {"attention": 2_000.0, "dense_ffn": 4_000.0, "embedding": 1_000.0}
    rest = dict.fromkeys(type(llm.parameters).model_fields, 0.0)
    few = llm.model_copy(update={"parameters": llm.parameters.model_copy(update=rest | small)})
    assert summary(few).startswith("Llama 3.1 8B: 0.007 M parameters, 0.014 MB as bf16")
    many = {name: 1e4 * count for name, count in small.items()}
    some = llm.model_copy(update={"parameters": llm.parameters.model_copy(update=rest | many)})
    assert summary(some).startswith("Llama 3.1 8B: 70 M parameters, 140 MB as bf16")
