"""The journal of a sweep: rows are read from it, and a disk that fails it ends in one line."""

import csv
import errno
import io
import os
import pickle
import resource
import shutil
import time
from contextlib import contextmanager

import pytest

from builders import INSTANCES
from commands import invoke, one_line_of_error
from hbmopt import sweep_journal, sweep_workers, sweeping
from hbmopt.errors import InputError, SolverError
from hbmopt.sweep_journal import Journal
from hbmopt.sweeping import SweepInterrupted, sweep

H100 = INSTANCES / "h100.yaml"
POWER = "limits.power=1 kW:8 kW:0.5 kW"
POINTS = 15


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The file of a sweep to which nothing happened."""
    path = tmp_path_factory.mktemp("undisturbed") / "all.csv"
    sweep(H100, POWER, output=path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path):
    """The file that a sweep is to write."""
    return tmp_path / "rows.csv"


@pytest.fixture
def on_disk(monkeypatch):
    """Temporary files from the first row on."""
    monkeypatch.setattr(sweep_journal, "MOST_IN_MEMORY", 0)


@contextmanager
def files_of_at_most(size):
    """Let no file grow beyond a size, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def before_answer(monkeypatch, number, act):
    """Do something before a point is answered."""
    plain, calls = sweep_workers.answer, []

    def answered(row):
        calls.append(row)
        if len(calls) == number:
            act()
        return plain(row)

    monkeypatch.setattr(sweep_workers, "answer", answered)


def interrupt():
    raise KeyboardInterrupt


def one_line(caught):
    text = str(caught.value)
    assert "\n" not in text
    return text


# Rows are read from it.


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize("output", [True, False])
def test_rows_are_a_sequence_that_is_read_when_asked_for(output, path, undisturbed):
    found = sweep(H100, POWER, output=path if output else None)
    expected = list(csv.DictReader(io.StringIO(undisturbed.decode())))
    assert len(found.rows) == POINTS
    assert [row["index"] for row in found.rows] == list(range(POINTS))
    assert found.rows[-1] == found.rows[POINTS - 1]
    assert str(found.rows[12]["throughput_tok_s"]) == expected[12]["throughput_tok_s"]
    assert [row["index"] for row in found.rows[10:4:-2]] == [10, 8, 6]
    with pytest.raises(IndexError):
        found.rows[POINTS]
    copied = pickle.loads(pickle.dumps(found))
    assert type(copied.rows) is tuple
    assert copied == found
    assert copied.contents("csv") == found.contents("csv") == undisturbed
    assert len(repr(found.rows)) < 100


def test_statuses_are_counted_in_the_order_of_their_first_points(path):
    found = sweep(H100, "limits.power=8 kW,1 kW,0 W,2 kW", output=path)
    assert list(found.statuses.items()) == [("optimal", 1), ("infeasible", 2), ("invalid", 1)]
    assert {status: row["index"] for status, row in found.examples.items()} == {
        "optimal": 0,
        "infeasible": 1,
        "invalid": 2,
    }
    assert all(row == found.rows[row["index"]] for row in found.examples.values())


def test_rows_that_an_interruption_leaves_can_be_read_when_the_sweep_went_on(path, monkeypatch):
    before_answer(monkeypatch, 6, interrupt)
    with pytest.raises(SweepInterrupted) as caught:
        sweep(H100, POWER, output=path)
    kept = caught.value.sweep
    found = sweep(H100, POWER, output=path, resume=True)
    assert [row["index"] for row in kept.rows] == [0, 1, 2, 3, 4]
    assert [row["status"] for row in kept.rows] == [row["status"] for row in found.rows[:5]]


def test_an_answer_that_is_there_twice_counts_once(path):
    journal = Journal(path, "digest", 3)
    journal.begin(resume=False)
    with journal:
        for index in (2, 0, 2):
            journal.add(index, {"status": "optimal", "batch": 1.5})
    again = Journal(path, "digest", 3)
    again.begin(resume=True)
    assert (len(again), again.statuses, list(again.done), list(again.left)) == (
        2,
        {"optimal": 2},
        [0, 2],
        [1],
    )


def test_a_journal_that_something_else_has_changed_is_one_line(path, monkeypatch):
    before_answer(monkeypatch, 9, interrupt)
    with pytest.raises(SweepInterrupted) as caught:
        sweep(H100, POWER, output=path)
    path.with_name("rows.csv.partial").write_text("my notes")
    with pytest.raises(InputError, match="was changed by something else") as changed:
        list(caught.value.sweep.rows)
    assert "\n" not in str(changed.value)


# Who may write to it.


def test_a_journal_is_written_by_one_sweep_at_a_time(path):
    first, second = Journal(path, "digest", 3), Journal(path, "digest", 3)
    first.begin(resume=False)
    with first:
        with pytest.raises(InputError, match="another sweep writes to it") as caught:
            second.begin(resume=True)
        first.add(1, {"status": "optimal"})
    assert "\n" not in str(caught.value)
    second.begin(resume=True)
    assert list(second.done) == [1]


def test_notes_without_an_end_of_line_are_no_journal_that_was_cut_short(path):
    notes = path.with_name("rows.csv.partial")
    for text in ("my notes", '{"journal": "mine"'):
        notes.write_text(text)
        with pytest.raises(InputError, match="is not the journal of a sweep"):
            sweep(H100, POWER, output=path, resume=True)
        assert notes.read_text() == text


# A disk that is full, a folder that is gone.


def test_a_disk_that_fills_under_the_journal_keeps_what_is_done(path, undisturbed):
    with files_of_at_most(6000), pytest.raises(InputError) as caught:
        sweep(H100, POWER, output=path)
    journal = path.with_name("rows.csv.partial")
    done = journal.read_bytes().count(b"\n") - 1
    assert 1 < done < POINTS
    assert journal.stat().st_size == 6000
    assert one_line(caught) == (
        f"{journal}: cannot be written (File too large); {done} of 15 points are done: they are "
        f"kept in {journal}, go on with --resume"
    )
    assert not path.exists()
    sweep(H100, POWER, output=path, resume=True)
    assert path.read_bytes() == undisturbed


def test_a_disk_that_fills_ends_the_workers_too(path, undisturbed):
    with files_of_at_most(6000), pytest.raises(InputError, match="File too large"):
        sweep(H100, POWER, output=path, jobs=2)
    sweep(H100, POWER, output=path, resume=True)
    assert path.read_bytes() == undisturbed


def test_a_disk_without_room_for_a_header_is_one_line(path):
    with files_of_at_most(10), pytest.raises(InputError) as caught:
        sweep(H100, POWER, output=path)
    partial = path.with_name("rows.csv.partial")
    assert one_line(caught) == f"{partial}: cannot be written (File too large)"
    assert sweep(H100, POWER, output=path).feasible


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_disk_without_room_for_the_results_keeps_all(suffix, tmp_path, monkeypatch):
    plain, path = sweeping.writing, tmp_path / f"rows{suffix}"

    @contextmanager
    def full(named):
        with files_of_at_most(100), plain(named) as file:
            yield file

    monkeypatch.setattr(sweeping, "writing", full)
    outcome = invoke("sweep", H100, "--vary", POWER, "-o", path)
    problem = one_line_of_error(outcome)
    assert f"--output {path}: cannot be written (File too large); 15 of 15 points" in problem
    assert f"they are kept in {path}.partial, go on with --resume" in problem
    assert [one.name for one in tmp_path.iterdir()] == [f"rows{suffix}.partial"]
    monkeypatch.setattr(sweeping, "writing", plain)
    monkeypatch.setattr(sweep_workers, "answer", None)  # nothing is left to answer
    assert invoke("sweep", H100, "--vary", POWER, "-o", path, "--resume").exit_code == 0
    assert [one.name for one in tmp_path.iterdir()] == [f"rows{suffix}"]


@pytest.mark.usefixtures("on_disk")
def test_temporary_files_without_room_are_one_line_that_names_a_way_out():
    with files_of_at_most(6000):
        problem = one_line_of_error(invoke("sweep", H100, "--vary", POWER))
    assert "the temporary file of the rows: cannot be written (File too large)" in problem
    assert "name an --output FILE, or in TMPDIR a folder that has room" in problem
    assert "of 15 points are done: nothing is kept without --output FILE" in problem


def test_no_folder_for_temporary_files_matters_to_long_sweeps_alone(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert len(sweep(H100, POWER).rows) == POINTS
    monkeypatch.setattr(sweep_journal, "MOST_IN_MEMORY", 3000)
    problem = one_line_of_error(invoke("sweep", H100, "--vary", POWER))
    assert "cannot be written (No such file or directory); name an --output FILE" in problem


def test_a_folder_that_is_removed_ends_the_sweep(tmp_path, monkeypatch):
    folder = tmp_path / "results"
    folder.mkdir()

    def remove():
        shutil.rmtree(folder)
        time.sleep(0.2)

    monkeypatch.setattr(sweep_journal, "SYNCED_EVERY", 0.01)
    before_answer(monkeypatch, 4, remove)
    problem = one_line_of_error(invoke("sweep", H100, "--vary", POWER, "-o", folder / "rows.csv"))
    journal = folder / "rows.csv.partial"
    assert f"{journal}: cannot be written (No such file or directory)" in problem
    assert f"nothing is kept, as {journal} was removed" in problem


def test_a_journal_that_is_removed_does_not_keep_the_results_from_being_written(
    path, monkeypatch, undisturbed
):
    before_answer(monkeypatch, 4, path.with_name("rows.csv.partial").unlink)
    sweep(H100, POWER, output=path)
    assert path.read_bytes() == undisturbed


def test_a_journal_that_cannot_be_opened_is_one_line(path):
    path.with_name("rows.csv.partial").mkdir()
    with pytest.raises(InputError) as caught:
        Journal(path, "digest", 3).begin(resume=False)
    assert one_line(caught) == f"{path}.partial: cannot be written (Is a directory)"


@pytest.mark.parametrize("number", [3, POINTS])
def test_a_disk_that_refuses_to_keep_lines_ends_the_sweep(number, path, monkeypatch):
    def refuse(_):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    def fill():
        monkeypatch.setattr("os.fsync", refuse)
        time.sleep(0.1)

    monkeypatch.setattr(sweep_journal, "SYNCED_EVERY", 0.01)
    before_answer(monkeypatch, number, fill)
    with pytest.raises(InputError, match="cannot be written") as caught:
        sweep(H100, POWER, output=path)
    assert "of 15 points are done: they are kept in" in one_line(caught)


# What is said when it ends early.


def test_an_interrupted_sweep_without_a_file_says_that_nothing_is_kept(monkeypatch):
    before_answer(monkeypatch, 6, interrupt)
    outcome = invoke("sweep", H100, "--vary", POWER, "--format", "csv")
    assert outcome.exit_code == 130
    assert outcome.stderr == (
        "hbmopt: interrupted after 5 of 15 points; nothing is kept without --output FILE\n"
    )
    assert outcome.stdout.count("\n") == 6


def test_an_interruption_while_results_are_written_keeps_all(path, monkeypatch, undisturbed):
    monkeypatch.setattr(sweeping, "write_rows", lambda *_: interrupt())
    with pytest.raises(SweepInterrupted, match="interrupted after 15 of 15 points; they are kept"):
        sweep(H100, POWER, output=path)
    monkeypatch.undo()
    sweep(H100, POWER, output=path, resume=True)
    assert path.read_bytes() == undisturbed


def test_a_sweep_that_fails_says_what_is_kept(path, monkeypatch):
    def fail(*_):
        yield 3, {"status": "optimal"}
        raise SolverError("a worker ended")

    monkeypatch.setattr(sweep_workers, "_answered", fail)
    with pytest.raises(SolverError) as caught:
        sweep(H100, POWER, output=path)
    assert one_line(caught) == (
        f"a worker ended; 1 of 15 points are done: they are kept in {path}.partial, go on with "
        "--resume"
    )
