"""Sweeps: every point is an independent solve, whoever solves it and whatever interrupts it."""

import csv
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec

import pandas as pd
import pytest

import hbmopt
from builders import INSTANCES, ROOT
from hbmopt.basics import made
from hbmopt.errors import InputError, SolverError
from hbmopt.instance.schema import load_document
from hbmopt.instance.variation import points
from hbmopt.points import PointSearch
from hbmopt.report.tables.sweep_report import MOST_ROWS, render_sweep
from hbmopt.studies.sweep import sweeping
from hbmopt.studies.sweep import workers as sweep_workers
from hbmopt.studies.sweep.journal import Journal
from hbmopt.studies.sweep.sweeping import SweepInterrupted, sweep
from hbmopt.studies.sweep.workers import Problem

H100 = INSTANCES / "h100.yaml"
POWER = "limits.power=5 kW:8 kW:0.5 kW"
DASK = pytest.mark.skipif(
    find_spec("distributed") is None, reason="dask.distributed is not installed"
)
SPEED = "limits.min_speed=20 tok/s/user,60 tok/s/user"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The files of one sweep, made in one process without an interruption."""
    path = tmp_path_factory.mktemp("undisturbed") / "all.csv"
    found = sweep(H100, [POWER, SPEED], output=path)
    assert path.read_bytes() == found.contents("csv")
    return {f".{style}": found.contents(style) for style in ("csv", "jsonl", "parquet")}


def close(value):
    return pytest.approx(value, rel=1e-9, abs=1e-9)


def test_every_row_is_the_solve_of_its_instance():
    found = sweep(
        H100, ["limits.power=6 kW,9 kW", SPEED], overrides={"choices.kv_formats": ["bf16"]}
    )
    assert len(found.rows) == 4
    for row, (power, speed) in zip(found.rows, [(6, 20), (6, 60), (9, 20), (9, 60)], strict=True):
        overrides = {
            "limits.power": f"{power} kW",
            "limits.min_speed": f"{speed} tok/s/user",
            "choices.kv_formats": ["bf16"],
        }
        solution = hbmopt.solve(hbmopt.load(H100, overrides))
        assert row["limits.power [kW]"] == power
        assert row["limits.min_speed [tok/s/user]"] == speed
        assert row["status"] == solution.status
        if solution.feasible:
            assert row["throughput_tok_s"] == close(solution.throughput_tok_s)
            assert row["speed_tok_s_user"] == close(solution.speed_tok_s_user)
            ends = row["throughput_low_tok_s"], row["throughput_high_tok_s"]
            assert ends == close(solution.throughput_range_tok_s)
            assert row["limiting_resource"] == solution.limiting_resource
            assert row["configuration_kv_format"] == "bf16"
            floor = solution.constraints_frame.loc["min_speed", "unit_price"]
            assert row["price_of_speed"] == close(floor)
            for one in solution.inputs:
                assert row[f"price_{one.name}"] == close(one.unit_price)
                assert row[f"elasticity_{one.name}"] == close(one.elasticity)
        else:
            assert row["conflict"] == solution.conflict.summary


def test_any_field_can_vary_and_values_go_together_when_zipped():
    found = sweep(
        H100,
        ["llm=llama_3_1_8b,llama_3_1_70b", "choices.kv_formats=[bf16],[fp8]"],
        zipped=True,
    )
    assert [row["llm"] for row in found.rows] == ["llama_3_1_8b", "llama_3_1_70b"]
    assert [row["configuration_kv_format"] for row in found.rows] == ["bf16", "fp8"]
    for row in found.rows:
        expected = {"llm": row["llm"], "choices.kv_formats": [row["configuration_kv_format"]]}
        solution = hbmopt.solve(hbmopt.load(H100, expected))
        assert row["throughput_tok_s"] == close(solution.throughput_tok_s)


def test_a_mapping_can_be_swept_and_is_left_as_it_is():
    mapping = {"rack": "dgx_h100", "llm": "llama_3_1_8b", "workload": {"context": 4096}}
    found = sweep(mapping, "rack.power=8 kW,9 kW")
    assert mapping == {"rack": "dgx_h100", "llm": "llama_3_1_8b", "workload": {"context": 4096}}
    assert found.feasible
    assert len(found.rows) == 2


def test_a_point_without_a_plan_is_a_row():
    found = sweep(H100, "limits.power=0 W,1 kW,8 kW")
    invalid, infeasible, optimal = found.rows
    assert invalid["status"] == "invalid"
    assert "limits.power" in invalid["error"]
    assert "must be more than 0" in invalid["error"]
    assert invalid["throughput_tok_s"] is None
    assert infeasible["status"] == "infeasible"
    assert "static power" in infeasible["conflict"]
    assert infeasible["error"] is None
    assert optimal["status"] == "optimal"
    assert set(invalid) == set(infeasible) == set(optimal) == set(found.columns)


def test_a_failure_of_the_solver_is_a_row(monkeypatch):
    def fail(*_):
        raise SolverError("stopped\nwithout a proof")

    monkeypatch.setattr(sweep_workers, "answer", fail)
    (row,) = sweep(H100, "limits.power=8 kW").rows
    assert (row["status"], row["error"]) == ("failed", "stopped without a proof")


def test_a_bug_keeps_its_traceback_and_says_at_which_point(monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(sweep_workers, "answer", fail)
    with pytest.raises(ZeroDivisionError) as caught:
        sweep(H100, "limits.power=8 kW")
    assert caught.value.__notes__ == ["at point 0 of the sweep: 8 kW"]


@pytest.mark.parametrize(
    ("variations", "options", "problem"),
    [
        ("limits.powr=8 kW", {}, "--vary limits.powr=8 kW"),
        ("limits.power=0 W", {}, "must be more than 0"),
        ("limits.power=8 GB,9 GB", {}, "it measures data"),
        ("llm=none_such", {}, "none_such"),
        (POWER, {"jobs": 0}, "--jobs 0: must be at least 1"),
        (POWER, {"jobs": 2, "dask": "tcp://host:1"}, "has workers of its own"),
        pytest.param(POWER, {"dask": "host"}, "write it as tcp://HOST:8786", marks=DASK),
        (POWER, {"resume": True}, "--resume: needs --output"),
        (POWER, {"output": "rows.xlsx"}, "must end in .csv, .jsonl, .parquet"),
        (POWER, {"output": "none/rows.csv"}, "there is no folder"),
        ([], {}, "name at least one field"),
        ([POWER, SPEED], {"zipped": True}, "the values have to be as many"),
    ],
)
def test_a_wrong_call_is_one_line(variations, options, problem):
    with pytest.raises(InputError) as caught:
        sweep(H100, variations, **options)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parquet_without_pyarrow_is_an_error_that_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr("hbmopt.studies.sweep.files.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'hbmopt\[parquet\]'"):
        sweep(H100, POWER, output=tmp_path / "rows.parquet")


def test_dask_without_distributed_is_an_error_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'hbmopt\[dask\]'"):
        sweep(H100, POWER, dask="local")


# The same rows, whoever answers and in which order.


@pytest.mark.parametrize("name", ["h100", "cpu_budget", "gb200_nvl72"])
def test_a_point_does_not_depend_on_those_before_it(name):
    grid = points(
        [sweeping.parse_variation("limits.min_speed=0 tok/s/user:200 tok/s/user:50 tok/s/user")]
    )
    problem = Problem(load_document(INSTANCES / f"{name}.yaml"), ("limits.min_speed",))
    shuffled = random.Random(7).sample(grid, len(grid))
    first = dict(sweep_workers.answers(problem, grid))
    assert dict(sweep_workers.answers(problem, shuffled)) == first
    assert len({row.get("throughput_tok_s") for row in first.values()}) > 2


def test_any_number_of_processes_gives_the_same_bytes(undisturbed, tmp_path):
    path = tmp_path / "rows.csv"
    found = sweep(H100, [POWER, SPEED], jobs=2, output=path)
    assert path.read_bytes() == undisturbed[".csv"]
    assert [child.name for child in tmp_path.iterdir()] == ["rows.csv"]
    for suffix, expected in undisturbed.items():
        assert found.contents(suffix.removeprefix(".")) == expected


@DASK
def test_a_local_dask_cluster_beside_another_gives_the_same_bytes(undisturbed, tmp_path):
    """The port of another cluster's dashboard is taken: nothing is said about it."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # then somebody else has it already
            other.bind(("", 8787))
            other.listen()
        outcome = run_driver(tmp_path, "--dask", "local", "--jobs", "2").communicate()
    assert outcome == ("", "")
    assert (tmp_path / "rows.csv").read_bytes() == undisturbed[".csv"]


def test_a_worker_that_dies_is_an_error_and_what_is_done_is_kept(tmp_path):
    process = run_driver(tmp_path, "--jobs", "2", "--deadly", "9")
    _, problem = process.communicate()
    assert process.returncode == 2
    assert "a worker process ended before it was done" in problem
    assert "Traceback" not in problem
    assert journal_lines(tmp_path) > 1


# Files.


def test_csv_json_lines_and_parquet_hold_the_same_rows(undisturbed):
    rows = [json.loads(line) for line in undisturbed[".jsonl"].splitlines()]
    found = sweep(H100, [POWER, SPEED])
    assert rows == list(found.rows)
    table = list(csv.DictReader(io.StringIO(undisturbed[".csv"].decode())))
    assert list(table[0]) == list(found.columns)
    for row, texts in zip(rows, table, strict=True):
        assert {name: "" if value is None else str(value) for name, value in row.items()} == texts
    frame = pd.read_parquet(io.BytesIO(undisturbed[".parquet"]))
    pd.testing.assert_frame_equal(frame, found.frame, check_dtype=False)
    assert frame["throughput_tok_s"].dtype == "float64"
    assert str(frame["configuration_replicas"].dtype) == "Int64"


def test_the_table_shows_inputs_answers_and_the_price_of_what_varies():
    found = sweep(H100, ["limits.power=0 W,1 kW,6 kW,8 kW", "choices.kv_formats=[fp8]"])
    text = render_sweep(found, "table", width=None, color=False)
    header = " ".join(text.partition("\n\n")[2].splitlines()[:2])
    for name in ("limits.power ", "[W]", "choices.kv_formats", "per kW", "configuration"):
        assert name in header
    assert "[fp8]" in text
    assert "power cap" in text
    assert "infeasible at limits.power [W] 1000" in text
    assert "4 points: 1 invalid, 1 infeasible, 2 optimal" in text


@pytest.mark.parametrize("width", [70, 90, 140])
def test_a_narrow_table_leaves_columns_out_and_cuts_no_numbers(width):
    found = sweep(H100, ["limits.power=1 kW,6 kW,8 kW", SPEED])
    text = render_sweep(found, "table", width=width, color=False)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert ("Left out for want of width" in text) == (width < 140)
    for row in found.rows:
        assert row["status"] != "optimal" or made(row["throughput_tok_s"], banded=True) in text


def test_a_long_table_ends_with_a_note():
    found = sweep(H100, "limits.power=1 kW:5 kW:0.1 kW")
    text = render_sweep(found, "table", width=None, color=False)
    assert len([line for line in text.splitlines() if " infeasible" in line]) <= MOST_ROWS + 2
    assert "1 more rows with --format csv or --output FILE" in text
    assert render_sweep(found, "csv", width=None, color=False).count("\n") == 42


# Interruptions.


def test_what_is_done_is_told_before_points_of_another_kind_are_begun(monkeypatch):
    begun = []

    class Counted(PointSearch):
        def __init__(self, instance):
            begun.append(instance)
            super().__init__(instance)

    monkeypatch.setattr("hbmopt.studies.sweep.point.PointSearch", Counted)
    grid = points([sweeping.parse_variation("workload.prompt=1234,2345,3456")])
    problem = Problem(load_document(INSTANCES / "b200.yaml"), ("workload.prompt",))
    for answered, (index, row) in enumerate(sweep_workers.in_this_process(problem, grid)):
        assert (index, row["status"]) == (answered, "optimal")
        assert len(begun) == answered + 1


DRIVER = """
import os, sys, time
from hbmopt.errors import HbmoptError
from hbmopt.studies.sweep import workers as sweep_workers
from hbmopt.studies.sweep.sweeping import sweep

options = dict(zip(sys.argv[3::2], sys.argv[4::2]))
plain = sweep_workers.answer
deadly = float(options.get("--deadly", 0))

def answer(row):
    time.sleep(float(options.get("--slow", 0)))
    found = plain(row)
    if deadly and (found.get("power_w") or 0) > 6000:
        os._exit(9)
    return found

sweep_workers.answer = answer
if __name__ == "__main__":
    try:
        sweep(
            sys.argv[1],
            [POWER, SPEED],
            jobs=int(options["--jobs"]) if "--jobs" in options else None,
            dask=options.get("--dask"),
            output=sys.argv[2],
            resume="--resume" in options,
        )
    except HbmoptError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as error:
        print(error, file=sys.stderr)
        sys.exit(130)
"""


def run_driver(folder, *options):
    """Start a sweep in a process and a session of its own, as a terminal does."""
    script = folder / "driver.py"
    script.write_text(DRIVER.replace("POWER", repr(POWER)).replace("SPEED", repr(SPEED)))
    return subprocess.Popen(
        [sys.executable, str(script), str(H100), str(folder / "rows.csv"), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT / "optimizer")},
        start_new_session=True,
    )


def journal_lines(folder):
    path = folder / "rows.csv.partial"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def started(folder, *options, lines=4):
    """Start a sweep and wait until some of it is done."""
    process = run_driver(folder, *options)
    give_up = time.monotonic() + 60
    while journal_lines(folder) < lines and process.poll() is None:
        assert time.monotonic() < give_up
        time.sleep(0.005)
    assert process.poll() is None
    return process


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups here")
@pytest.mark.parametrize(
    ("plug", "jobs"),
    [("SIGINT", "1"), ("SIGINT", "2"), ("SIGKILL", "1"), ("SIGKILL", "2"), ("SIGTERM", "2")],
)
def test_an_interrupted_sweep_goes_on_to_the_same_file(plug, jobs, undisturbed, tmp_path):
    process = started(tmp_path, "--jobs", jobs, "--slow", "0.1")
    if plug == "SIGINT":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(getattr(signal, plug))
    # At the end of the pipes, as no worker is left that could write to them.
    _, said = process.communicate(timeout=30)
    kept = journal_lines(tmp_path) - 1
    assert 3 <= kept < 14
    assert not (tmp_path / "rows.csv").exists()
    if plug == "SIGINT":
        assert process.returncode == 130
        path = tmp_path / "rows.csv.partial"
        assert said == (
            f"interrupted after {kept} of 14 points; they are kept in {path}, go on with --resume\n"
        )
    found = sweep(H100, [POWER, SPEED], output=tmp_path / "rows.csv", resume=True)
    assert len(found.rows) == 14
    assert (tmp_path / "rows.csv").read_bytes() == undisturbed[".csv"]
    assert not (tmp_path / "rows.csv.partial").exists()


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A folder in which a sweep was interrupted after five points."""
    plain, calls = sweep_workers.answer, []

    def answered(row):
        calls.append(row)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return plain(row)

    with monkeypatch.context() as patch:
        patch.setattr(sweep_workers, "answer", answered)
        with pytest.raises(SweepInterrupted) as caught:
            sweep(H100, [POWER, SPEED], output=tmp_path / "rows.csv")
    assert [row["index"] for row in caught.value.sweep.rows] == [0, 1, 2, 3, 4]
    assert "9 are not done" in render_sweep(caught.value.sweep, "table", width=None, color=False)
    return tmp_path


def counted(monkeypatch):
    """Count the points that are answered from here on."""
    plain, calls = sweep_workers.answer, []
    monkeypatch.setattr(sweep_workers, "answer", lambda row: calls.append(1) or plain(row))
    return calls


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_points_that_are_done_are_not_done_again(suffix, undisturbed, tmp_path, monkeypatch):
    path = tmp_path / f"rows{suffix}"
    plain, calls = sweep_workers.answer, []

    def answered(row):
        calls.append(row)
        if len(calls) == 11:
            raise KeyboardInterrupt
        return plain(row)

    monkeypatch.setattr(sweep_workers, "answer", answered)
    with pytest.raises(KeyboardInterrupt):
        sweep(H100, [POWER, SPEED], output=path)
    sweep(H100, [POWER, SPEED], output=path, resume=True)
    assert len(calls) == 11 + 4
    assert path.read_bytes() == undisturbed[suffix]


@pytest.mark.parametrize("cut", [1, 40, 0])
def test_a_line_that_was_cut_short_is_done_again(cut, interrupted, undisturbed, monkeypatch):
    journal = interrupted / "rows.csv.partial"
    data = journal.read_bytes()
    journal.write_bytes(data[:-cut] if cut else data + b'{"index": 5, "ans')
    calls = counted(monkeypatch)
    sweep(H100, [POWER, SPEED], output=interrupted / "rows.csv", resume=True)
    assert len(calls) == (10 if cut else 9)
    assert (interrupted / "rows.csv").read_bytes() == undisturbed[".csv"]


def test_a_journal_without_a_whole_header_is_begun_anew(interrupted, undisturbed):
    journal = interrupted / "rows.csv.partial"
    journal.write_bytes(journal.read_bytes()[:30])
    sweep(H100, [POWER, SPEED], output=interrupted / "rows.csv", resume=True)
    assert (interrupted / "rows.csv").read_bytes() == undisturbed[".csv"]


def test_what_is_done_is_not_overwritten_without_resume(interrupted):
    with pytest.raises(InputError, match=r"holds 5 of 14 points .* go on with --resume"):
        sweep(H100, [POWER, SPEED], output=interrupted / "rows.csv")
    assert journal_lines(interrupted) == 6


@pytest.mark.parametrize(
    "changed",
    [
        {"overrides": {"limits.pue": 1.3}},
        {"variations": [POWER, "limits.min_speed=20 tok/s/user,61 tok/s/user"]},
        {"variations": [SPEED, POWER]},
        {"source": INSTANCES / "h200.yaml"},
    ],
)
def test_the_journal_of_another_sweep_is_refused_and_kept(changed, interrupted):
    before = (interrupted / "rows.csv.partial").read_bytes()
    options = {"source": H100, "variations": [POWER, SPEED]} | changed
    with pytest.raises(InputError, match="is of another sweep") as caught:
        sweep(**options, output=interrupted / "rows.csv", resume=True)
    assert "\n" not in str(caught.value)
    assert (interrupted / "rows.csv.partial").read_bytes() == before


def test_a_file_that_is_no_journal_is_left_alone(tmp_path):
    (tmp_path / "rows.csv.partial").write_text("my notes\nmore\n")
    for resume in (False, True):
        with pytest.raises(InputError, match="is not the journal of a sweep"):
            sweep(H100, POWER, output=tmp_path / "rows.csv", resume=resume)
    assert (tmp_path / "rows.csv.partial").read_text() == "my notes\nmore\n"


def test_a_finished_sweep_is_replaced_only_by_a_finished_one(interrupted):
    path = interrupted / "rows.csv"
    path.write_text("before")
    with pytest.raises(InputError):
        sweep(H100, [POWER, SPEED], output=path)
    assert path.read_text() == "before"


def test_lines_are_on_the_disk_within_a_second(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("hbmopt.studies.sweep.journal.SYNCED_EVERY", 0.02)
    monkeypatch.setattr("hbmopt.studies.sweep.journal.os.fsync", synced.append)
    journal = Journal(tmp_path / "rows.csv", "digest", 3)
    journal.begin(resume=False)
    with journal:
        journal.add(0, {"status": "optimal"})
        give_up = time.monotonic() + 10
        while not synced and time.monotonic() < give_up:
            time.sleep(0.01)
        assert len(synced) == 1
    assert len(synced) == 1
    again = Journal(tmp_path / "rows.csv", "digest", 3)
    again.begin(resume=True)
    assert [(index, again.answer(index)) for index in again.done] == [(0, {"status": "optimal"})]
