"""Commands of README and docs: each file that they read ships, or is one of the reader's own."""

import re
import shlex

import pytest

from builders import ROOT
from commands import invoke, one_line_of_error
from hbmopt.cli import COMMANDS
from hbmopt.documents import shipped

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
READ = (".yaml", ".yml", ".csv", ".json", ".gguf")
"""Endings of files that a command may read."""

WRITES = {"-o", "--output", "--plot"}
OWN = {"config.json", "my.csv", "ORG--NAME.json"}
"""What readers have themselves: a model's configuration, a table of their measurements."""

FLEETS = {name.rpartition("/")[2] for name in shipped.fleets()}

CALL = re.compile(r"(?:^\$? ?|`)(?:\.venv/bin/)?(hbmopt (?:[^`\n]*?))(?:`|$)", re.MULTILINE)


def calls():
    for path in DOCUMENTS:
        for found in CALL.findall(path.read_text(encoding="utf-8")):
            words = shlex.split(found, comments=True)
            if len(words) > 1 and words[1] in COMMANDS:
                yield path.name, words[1], words[2:]


def files(command, words):
    """Return what a call reads and what it writes."""
    read, written, operands = [], [], []
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        if before in WRITES:
            written.append(word)
        elif before == "--set":
            read += [word.partition("=")[2]]
        elif not word.startswith("-") and not before.startswith("--"):
            operands.append(word)
    if command == "new":
        return read, [*written, *operands]
    if command == "export":
        return [*read, *operands[:1]], [*written, *operands[1:]]
    return [*read, *operands], written


def test_every_file_that_a_command_of_the_documents_reads_is_there():
    found = [(where, command, *files(command, words)) for where, command, words in calls()]
    assert len(found) > 40
    assert {command for _, command, *_ in found} == set(COMMANDS)
    made = {name for *_, written in found for name in written}
    names = [(where, name) for where, _, read, _ in found for name in read]
    files_read = [(where, name) for where, name in names if name.endswith(READ)]
    assert len(files_read) > 30
    for where, name in files_read:
        there = any(ROOT.glob(name)) or name in made or name in OWN
        assert there, f"{where}: {name} does not ship, and no command writes it"


def test_every_instance_that_is_named_alone_ships():
    takes = {"solve", "frontier", "sweep", "compare", "check", "explain", "sensitivity"}
    takes |= {"report", "size"}
    alone = {
        words[0]
        for _, command, words in calls()
        if command in takes and words and not words[0].endswith(READ) and words[0][0] != "-"
    }
    assert "rubin_ultra" in alone
    for name in alone - set(shipped.names()) - FLEETS - {"FILE", "INSTANCE"}:
        assert len(shipped.matching(name)) > 1, f"{name} is a pattern that matches nothing"


@pytest.mark.parametrize("command", ["predict", "calibrate"])
def test_measurements_are_found_from_any_folder(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = "instances/measured/decode_steps_pure.csv"
    options = ["--recorded"] if command == "predict" else ["-o", "mine.yaml"]
    assert invoke(command, own, *options).exit_code == 0
    wrong = one_line_of_error(invoke(command, "instances/measured/other.csv", *options))
    assert "instances/measured/other.csv" in wrong
    # One's own comes first.
    path = tmp_path / own
    path.parent.mkdir(parents=True)
    path.write_text("model,x\n1,2\n", encoding="utf-8")
    assert "'accelerator' is missing" in one_line_of_error(invoke(command, own, *options))
