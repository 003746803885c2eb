"""The commands that draw and compare, as a user calls them."""

import csv
import io
import json
import re

import pytest

from builders import INSTANCES
from commands import invoke

H200, H100 = str(INSTANCES / "h200.yaml"), str(INSTANCES / "h100.yaml")


def test_frontier_draws_a_chart_beside_its_text(tmp_path):
    path = tmp_path / "frontier.svg"
    outcome = invoke("frontier", H200, "--at", "40", "--plot", str(path))
    assert outcome.exit_code == 0
    assert "limited by" in outcome.stdout
    assert path.read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize("command", [("frontier", H200), ("compare", H200, H100)])
def test_a_chart_that_cannot_be_written_is_refused_before_the_work(command, tmp_path):
    path = tmp_path / "chart.pdf"
    outcome = invoke(*command, "--plot", str(path))
    assert outcome.exit_code == 2
    assert ".html" in outcome.stderr
    assert outcome.stdout == ""
    assert not path.exists()


def test_compare_puts_instances_side_by_side_and_draws_the_generations(tmp_path):
    first, second = INSTANCES / "generations" / "01_a100.yaml", INSTANCES / "generations"
    path = tmp_path / "generations.png"
    paths = (str(first), str(second / "05_gb200.yaml"), str(second / "07_rubin.yaml"))
    outcome = invoke("compare", *paths, "--plot", str(path))
    assert outcome.exit_code == 0
    assert "a slope of" in " ".join(outcome.stdout.split())
    assert path.read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader(io.StringIO(invoke("compare", *paths, "--format", "csv").stdout)))
    assert [row["name"] for row in rows] == ["01_a100", "05_gb200", "07_rubin"]
    found = json.loads(invoke("compare", *paths, "--format", "json").stdout)
    assert len(found["rows"]) == 3


def test_sweep_prints_rows_and_writes_files(tmp_path):
    caps = "limits.power=6 kW:10 kW:2 kW"
    outcome = invoke("sweep", H200, "--vary", caps)
    assert outcome.exit_code == 0
    assert "3 points" in outcome.stdout
    path = tmp_path / "caps.csv"
    written = invoke("sweep", H200, "--vary", caps, "-o", str(path))
    assert (written.exit_code, written.stdout) == (0, "")
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert [row["limits.power [kW]"] for row in rows] == ["6", "8", "10"]
    made = [float(row["throughput_tok_s"]) for row in rows if row["status"] == "optimal"]
    assert made == sorted(made)
    assert made
    lines = invoke("sweep", H200, "--vary", caps, "--format", "jsonl").stdout.splitlines()
    assert len(lines) == 3
    assert all(json.loads(line)["status"] for line in lines)


def drawn(path):
    """Return the texts of a chart."""
    return " ".join(re.findall(r">([^<>]+)</text>", path.read_text(encoding="utf-8")))


def test_a_sweep_of_one_number_is_a_curve_with_its_price(tmp_path):
    path = tmp_path / "caps.svg"
    outcome = invoke("sweep", H200, "--vary", "limits.power=4 kW:10 kW:2 kW", "--plot", str(path))
    assert outcome.exit_code == 0
    assert "4 points" in outcome.stdout
    shown = drawn(path)
    for text in ("power cap, kW", "throughput, tok/s", "price, tok/s per kW", "HBM bandwidth"):
        assert text in shown


def test_what_cannot_be_served_at_the_end_of_a_sweep_is_shaded(tmp_path):
    path = tmp_path / "floors.svg"
    floors = "limits.min_speed=40 tok/s/user:400 tok/s/user:60 tok/s/user"
    assert invoke("sweep", H200, "--vary", floors, "--plot", str(path)).exit_code == 0
    shown = drawn(path)
    assert "nothing can be served" in shown
    assert "price, tok/s per tok/s per user" in shown


def test_a_sweep_of_names_is_bars(tmp_path):
    path = tmp_path / "models.svg"
    formats = ("--set", "choices.weight_formats=null")
    outcome = invoke(
        "sweep", H100, "--vary", "llm=llama_3_1_70b,deepseek_r1", *formats, "--plot", str(path)
    )
    assert outcome.exit_code == 0
    shown = drawn(path)
    assert "llama_3_1_70b" in shown
    assert "deepseek_r1" in shown
    assert "nothing can be served" in shown


def test_a_sweep_of_two_is_a_heat_map(tmp_path):
    path = tmp_path / "grid.svg"
    caps, floors = "limits.power=6 kW,8 kW", "limits.min_speed=20 tok/s/user,40 tok/s/user"
    outcome = invoke("sweep", H200, "--vary", caps, "--vary", floors, "--plot", str(path))
    assert outcome.exit_code == 0
    shown = drawn(path)
    assert "power cap, kW" in shown
    assert "speed floor, tok/s per user" in shown


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--vary", "workload.context=1024,2048", "--zip"), "without --zip"),
        (("--vary", "workload.context=1024,2048", "--vary", "llm=glm_5"), "--set the rest"),
    ],
)
def test_a_sweep_without_a_chart_is_refused_before_the_work(more, said, tmp_path):
    path = tmp_path / "sweep.svg"
    outcome = invoke("sweep", H200, "--vary", "limits.power=6 kW,8 kW", *more, "--plot", str(path))
    assert outcome.exit_code == 2
    assert said in outcome.stderr
    assert outcome.stdout == ""
    assert not path.exists()


@pytest.mark.parametrize(
    ("chart", "text"), [("steps", "time of one decode step, ms"), ("elasticities", "1 % more of")]
)
def test_frontier_draws_steps_and_elasticities(chart, text, tmp_path):
    path = tmp_path / "along.svg"
    outcome = invoke("frontier", H200, "--chart", chart, "--plot", str(path))
    assert outcome.exit_code == 0
    assert text in drawn(path)


def test_a_chart_without_a_file_is_refused():
    outcome = invoke("frontier", H200, "--chart", "steps")
    assert outcome.exit_code == 2
    assert "needs --plot FILE" in outcome.stderr


def test_a_frontier_by_power_says_so_on_its_axis(tmp_path):
    path = tmp_path / "frontier.svg"
    assert invoke("frontier", H200, "--per", "mw", "--plot", str(path)).exit_code == 0
    assert "throughput by power drawn, tok/s per MW" in drawn(path)


def test_racks_that_serve_different_models_get_no_fitted_line(tmp_path):
    path = tmp_path / "racks.svg"
    other = str(INSTANCES / "deepseek_r1_h200.yaml")
    assert invoke("compare", H100, other, "--plot", str(path)).exit_code == 0
    shown = drawn(path)
    assert "No line is fitted" in shown
    assert "fit: slope" not in shown


def test_racks_of_which_none_serves_anything_have_no_chart(tmp_path):
    path = tmp_path / "racks.svg"
    fast = ("--set", "limits.min_speed=900 tok/s/user")
    outcome = invoke("compare", H100, H200, *fast, "--plot", str(path))
    assert outcome.exit_code == 1
    assert outcome.stderr == ""
    assert not path.exists()


def test_a_format_that_contradicts_the_file_is_refused(tmp_path):
    path = tmp_path / "caps.csv"
    caps = "limits.power=6 kW:10 kW:2 kW"
    outcome = invoke("sweep", H200, "--vary", caps, "-o", str(path), "--format", "jsonl")
    assert outcome.exit_code == 2
    assert "is a file of csv by its name" in outcome.stderr
    assert not path.exists()


def test_a_sweep_of_what_is_not_there_is_one_line():
    outcome = invoke("sweep", H200, "--vary", "limits.pwoer=6 kW:10 kW:2 kW")
    assert outcome.exit_code == 2
    assert outcome.stderr.startswith("hbmopt: ")
    assert outcome.stderr.count("\n") == 1
    assert outcome.stdout == ""
