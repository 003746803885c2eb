"""How commands end: bugs, interruptions, and what a new user begins with."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import hbmopt
from builders import ROOT
from commands import invoke, one_line_of_error
from hbmopt.cli.command import BUG, INTERRUPTED
from hbmopt.documents import shipped
from hbmopt.instance.starting import BLOCKS, starting_text
from hbmopt.results import solving

H100 = ROOT / "instances" / "h100.yaml"


def test_a_bug_has_an_exit_code_of_its_own_and_says_what_to_do(monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("division by\nzero")

    monkeypatch.setattr(solving, "search", broken)
    outcome = invoke("solve", H100)
    assert outcome.exit_code == BUG == 70
    assert outcome.stdout == ""
    assert outcome.stderr.count("\n") == 1
    assert "this is a bug of hbmopt, not of your input: ZeroDivisionError" in outcome.stderr
    assert "report it" in outcome.stderr
    details = Path(re.search(r"the details are in (\S+)", outcome.stderr)[1])
    told = details.read_text(encoding="utf-8")
    details.unlink()
    assert told.startswith(f"hbmopt {hbmopt.__version__}, Python ")
    assert "highspy " in told
    assert "Traceback (most recent call last)" in told
    assert "in broken" in told


def test_a_bug_is_told_where_no_file_can_be_written(monkeypatch):
    def broken(*_, **__):
        raise KeyError("attention")

    def full(**_):
        raise OSError("no space")

    monkeypatch.setattr(solving, "search", broken)
    monkeypatch.setattr("hbmopt.cli.command.tempfile.mkstemp", full)
    outcome = invoke("solve", H100)
    assert outcome.exit_code == BUG
    assert outcome.stderr.count("\n") == 1
    assert "Traceback (most recent call last)" in outcome.stderr


@pytest.mark.parametrize(
    ("existing", "said"),
    [
        (None, "interrupted; {path} was not written"),
        ("before", "interrupted; {path} as before"),
    ],
)
def test_an_interruption_says_what_was_kept(existing, said, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    path = tmp_path / "answer.json"
    if existing is not None:
        path.write_text(existing, encoding="utf-8")
    monkeypatch.setattr(solving, "search", interrupted)
    outcome = invoke("solve", H100, "-o", path)
    assert outcome.exit_code == INTERRUPTED
    assert outcome.stderr == f"hbmopt: {said.format(path=path)}\n"
    assert path.exists() == (existing is not None)
    assert invoke("solve", H100).stderr == "hbmopt: interrupted; nothing was written\n"


def test_ctrl_c_in_a_long_solve_is_one_line():
    capped = ["--set", "limits.power=150 kW"]
    command = [sys.executable, "-m", "hbmopt", "frontier", "rubin_nvl72_lpx", *capped]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT / "optimizer")},
    ) as running:
        time.sleep(2)
        running.send_signal(signal.SIGINT)
        try:
            _, said = running.communicate(timeout=60)
        finally:
            running.kill()
    # Where the signal meets code that Python compiles from a text, Python ends by the signal
    # itself; a shell calls both 130.
    assert running.returncode in (INTERRUPTED, -signal.SIGINT)
    assert said == "hbmopt: interrupted; nothing was written\n"


def test_the_catalogue_lists_the_instances_with_their_questions():
    lines = invoke("catalog", "instances").stdout.splitlines()
    assert len(lines) == len(shipped.names()) >= 25
    by_name = dict(line.split(maxsplit=1) for line in lines)
    assert by_name["h100"].startswith("Which layout and weight format serves most Llama 3.1 70B")
    assert all(line.endswith("?") for line in lines), "each is a question"
    assert "instances (" in invoke("catalog").stdout
    assert invoke("catalog", "instances", "h100").stdout == H100.read_text(encoding="utf-8")
    assert "did you mean 'instances'?" in one_line_of_error(invoke("catalog", "instance"))
    text = one_line_of_error(invoke("catalog", "instances", "h10"))
    assert "did you mean 'h100'?" in text


@pytest.mark.parametrize("name", ["h200", "rubin_ultra", "generations/01_a100"])
def test_a_new_instance_is_commented_and_answers_as_the_shipped_one(name, tmp_path):
    path = tmp_path / "my.yaml"
    outcome = invoke("new", path, "--from", name)
    assert outcome.exit_code == 0
    assert outcome.stderr == f"hbmopt: wrote {path}; now: hbmopt solve {path}\n"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# An instance of hbmopt")
    assert "$schema" not in text
    wanted = hbmopt.load(name)
    assert hbmopt.load(path) == wanted.model_copy(update={"name": "my"})
    said = one_line_of_error(invoke("new", path))
    assert "is there already" in said
    assert path.read_text(encoding="utf-8") == text


def test_a_new_instance_names_the_nearest_shipped_one(tmp_path):
    text = one_line_of_error(invoke("new", tmp_path / "my.yaml", "--from", "rubin"))
    assert "did you mean 'rubin_" in text
    assert list(tmp_path.iterdir()) == []


def test_every_key_is_set_or_stands_in_a_comment():
    text = starting_text("closed_form")
    for block, (schema, examples) in BLOCKS.items():
        assert set(examples) == set(schema.model_fields), block
        for key in examples:
            assert schema.model_fields[key].description, key
            assert re.search(rf"^(#   |.*\b){key}: ", text, re.MULTILINE), key


@pytest.mark.parametrize(
    ("block", "key"), [(block, key) for block in BLOCKS for key in BLOCKS[block][1]]
)
def test_every_comment_is_a_setting_that_works(block, key):
    value = yaml.safe_load(BLOCKS[block][1][key])
    changes = {f"{block}.{key}": value}
    if key == "context":
        changes = {"workload": {"context": value}}
    elif key == "lpu_units":
        instance = hbmopt.load("rubin_nvl72_lpx", changes)
        assert instance.choices.lpu_units == value
        return
    elif key == "draft_tokens":
        changes["workload.draft_acceptance"] = 0.7
    base = "gb200_drafting" if "draft" in key else "h200"
    if key == "draft_acceptance_by_position":
        changes |= {"workload.draft_acceptance": None, "choices.draft_tokens": [0, 1]}
    hbmopt.load(base, changes)


def test_the_program_runs_away_from_its_sources(tmp_path):
    """From any folder, the shipped instances are there by name and by the path of the docs."""
    for source in ("rubin_ultra", "instances/rubin_ultra.yaml"):
        outcome = subprocess.run(
            [sys.executable, "-m", "hbmopt", "solve", source, "--format", "csv"],
            capture_output=True,
            encoding="utf-8",
            check=False,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT / "optimizer")},
        )
        assert (outcome.returncode, outcome.stderr) == (0, "")
        assert outcome.stdout.splitlines()[1].startswith("rubin_ultra,")
