"""The commands that draw and compare, as a user calls them."""

import csv
import io
import json

import pytest
from click.testing import CliRunner

from builders import INSTANCES
from hbmopt.cli import cli

H200, H100 = str(INSTANCES / "h200.yaml"), str(INSTANCES / "h100.yaml")


def invoke(*arguments):
    return CliRunner().invoke(cli, list(arguments), prog_name="hbmopt")


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


def test_a_format_that_contradicts_the_file_is_refused(tmp_path):
    path = tmp_path / "caps.csv"
    caps = "limits.power=6 kW:10 kW:2 kW"
    outcome = invoke("sweep", H200, "--vary", caps, "-o", str(path), "--format", "jsonl")
    assert outcome.exit_code == 2
    assert "has the format of its suffix" in outcome.stderr
    assert not path.exists()


def test_a_sweep_of_what_is_not_there_is_one_line():
    outcome = invoke("sweep", H200, "--vary", "limits.pwoer=6 kW:10 kW:2 kW")
    assert outcome.exit_code == 2
    assert outcome.stderr.startswith("hbmopt: ")
    assert outcome.stderr.count("\n") == 1
    assert outcome.stdout == ""
