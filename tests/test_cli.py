import csv
import io
import json
import os
import subprocess
import sys

import jsonschema
import pytest
import yaml

from builders import INSTANCES, ROOT
from commands import invoke, one_line_of_error, runner
from hbmopt import __version__
from hbmopt.cli import COMMANDS, cli
from problems import FILES, OVERRIDES

CLOSED_FORM = str(INSTANCES / "closed_form.yaml")
TOO_FAST = "limits.min_speed=1000 tok/s/user"


def run(*arguments, folder=None):
    """Run `python -m hbmopt` as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "hbmopt", *arguments],
        capture_output=True,
        encoding="utf-8",
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "optimizer"), "COLUMNS": "80"},
    )


def test_a_solved_instance_is_exit_code_0_with_a_table_on_stdout():
    outcome = invoke("solve", CLOSED_FORM)
    assert outcome.exit_code == 0
    assert outcome.stderr == ""
    assert "3,200 tok/s" in outcome.stdout
    assert "HBM bandwidth" in outcome.stdout
    assert "\x1b" not in outcome.stdout


def test_one_accelerator_and_one_configuration_are_told_as_one():
    text = invoke("solve", CLOSED_FORM).stdout
    assert "(1 accelerator)" in text
    assert "of the only configuration no other plan beats this" in " ".join(text.split())


def test_an_infeasible_instance_is_exit_code_1_with_the_conflict_on_stdout():
    outcome = invoke("solve", CLOSED_FORM, "--set", TOO_FAST)
    assert outcome.exit_code == 1
    assert outcome.stderr == ""
    assert "Infeasible" in outcome.stdout


def test_a_missing_file_is_exit_code_2_with_one_line_on_stderr():
    text = one_line_of_error(invoke("solve", "none.yaml"))
    assert text == "hbmopt: none.yaml: there is no such file\n"


def test_a_folder_is_exit_code_2(tmp_path):
    assert "is a folder" in one_line_of_error(invoke("solve", str(tmp_path)))


def test_a_binary_file_is_exit_code_2(tmp_path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\x80\xff\x00")
    assert "is not UTF-8 text" in one_line_of_error(invoke("solve", str(path)))


@pytest.mark.parametrize("name", sorted(FILES))
def test_bad_files_are_one_line_and_never_a_traceback(name, tmp_path):
    problem, path = FILES[name], tmp_path / f"{name}.yaml"
    path.write_text(problem.text, encoding="utf-8")
    text = one_line_of_error(invoke("solve", str(path)))
    assert str(path) in text
    assert problem.key in text
    assert problem.remedy in text


@pytest.mark.parametrize("override", sorted(OVERRIDES))
def test_bad_overrides_are_one_line_and_never_a_traceback(override):
    text = one_line_of_error(invoke("solve", CLOSED_FORM, "--set", override))
    assert OVERRIDES[override][1] in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("solve",),
        ("solve", CLOSED_FORM, "--format", "xml"),
        ("solve", CLOSED_FORM, "--st", "a=1"),
        ("schema", "nothing"),
        ("export", CLOSED_FORM),
    ],
)
def test_wrong_usage_is_exit_code_2_on_stderr(arguments):
    outcome = invoke(*arguments)
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert "Error: " in outcome.stderr


def test_json_of_a_solved_instance_keeps_to_the_schema():
    outcome = invoke("solve", CLOSED_FORM, "--format", "json")
    data = json.loads(outcome.stdout)
    jsonschema.validate(data, solution_schema())
    assert outcome.exit_code == 0
    assert data["status"] == "optimal"
    assert data["throughput_tok_s"] == pytest.approx(3200)
    assert data["speed_tok_s_user"] == pytest.approx(40)
    assert data["batch"] == pytest.approx(80)
    assert data["elasticities"]["hbm_bandwidth"] == pytest.approx(1.0)


def test_json_of_an_infeasible_instance_keeps_to_the_schema():
    outcome = invoke("solve", CLOSED_FORM, "--format", "json", "--set", TOO_FAST)
    data = json.loads(outcome.stdout)
    jsonschema.validate(data, solution_schema())
    assert outcome.exit_code == 1
    assert data["status"] == "infeasible"
    assert data["throughput_tok_s"] is None
    assert data["conflict"]["limits"]


def solution_schema():
    return json.loads(invoke("schema", "solution").stdout)


@pytest.mark.parametrize(("overrides", "status"), [((), "optimal"), ((TOO_FAST,), "infeasible")])
def test_csv_is_one_row_with_a_header(overrides, status):
    options = [text for override in overrides for text in ("--set", override)]
    outcome = invoke("solve", CLOSED_FORM, "--format", "csv", *options)
    rows = list(csv.DictReader(io.StringIO(outcome.stdout)))
    assert len(rows) == 1
    assert rows[0]["status"] == status
    assert rows[0]["instance"] == "closed_form"
    assert None not in rows[0]
    if status == "optimal":
        assert float(rows[0]["throughput_tok_s"]) == pytest.approx(3200)
        assert "hbm_bandwidth" in rows[0]["binding"].split()


def test_overrides_change_the_answer():
    more = "rack.accelerator.hbm_bandwidth=8 TB/s"
    outcome = invoke("solve", CLOSED_FORM, "--format", "json", "--set", more)
    # Throughput is proportional to bandwidth.
    assert json.loads(outcome.stdout)["throughput_tok_s"] == pytest.approx(6400)


def test_overrides_may_be_repeated_and_the_last_one_holds():
    outcome = invoke(
        "solve",
        CLOSED_FORM,
        "--format",
        "json",
        "--set",
        "rack.accelerator.hbm_bandwidth=9 TB/s",
        "--set",
        "rack.accelerator.hbm_capacity=200 GB",
        "--set",
        "rack.accelerator.hbm_bandwidth=4 TB/s",
    )
    data = json.loads(outcome.stdout)
    # B = (200 - 20) / 1 = 180, s = 4000 / (20 + 180) = 20, T = 3600.
    assert data["batch"] == pytest.approx(180)
    assert data["throughput_tok_s"] == pytest.approx(3600)


@pytest.mark.parametrize("style", ["table", "json", "csv"])
def test_output_writes_the_whole_text_to_the_file(style, tmp_path):
    path = tmp_path / "answer"
    outcome = invoke("solve", CLOSED_FORM, "--format", style, "--output", str(path))
    assert outcome.exit_code == 0
    assert outcome.stdout == ""
    assert outcome.stderr == ""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert "closed_form" in text or "3,200 tok/s" in text
    if style == "json":
        assert json.loads(text)["status"] == "optimal"
    assert [child.name for child in tmp_path.iterdir()] == ["answer"]


def test_output_of_an_infeasible_instance_is_written_too(tmp_path):
    path = tmp_path / "answer.json"
    outcome = invoke(
        "solve", CLOSED_FORM, "--format", "json", "--output", str(path), "--set", TOO_FAST
    )
    assert outcome.exit_code == 1
    assert json.loads(path.read_text(encoding="utf-8"))["status"] == "infeasible"


def test_output_replaces_a_file_and_leaves_it_alone_on_failure(tmp_path):
    path = tmp_path / "answer.json"
    path.write_text("before", encoding="utf-8")
    bad = invoke("solve", CLOSED_FORM, "--output", str(path), "--set", "limits.powr=3 kW")
    one_line_of_error(bad)
    assert path.read_text(encoding="utf-8") == "before"
    assert [child.name for child in tmp_path.iterdir()] == ["answer.json"]
    invoke("solve", CLOSED_FORM, "--format", "json", "--output", str(path))
    assert json.loads(path.read_text(encoding="utf-8"))["status"] == "optimal"


def test_output_into_a_missing_folder_says_so(tmp_path):
    path = tmp_path / "none" / "answer.json"
    text = one_line_of_error(invoke("solve", CLOSED_FORM, "--output", str(path)))
    assert f"there is no folder {path.parent}; create it first" in text
    assert list(tmp_path.iterdir()) == []


def test_output_onto_a_folder_says_so(tmp_path):
    text = one_line_of_error(invoke("solve", CLOSED_FORM, "--output", str(tmp_path)))
    assert "is a folder; name a file in it" in text


def test_catalog_lists_kinds_names_and_entries():
    everything = invoke("catalog")
    assert everything.exit_code == 0
    for kind in ("accelerators", "racks", "offloads", "llms"):
        table = invoke("catalog", kind, "--format", "csv").stdout
        names = [row["name"] for row in csv.DictReader(table.splitlines())]
        assert f"{kind} ({len(names)})" in everything.stdout
        assert all(f"  {name}\n" in everything.stdout for name in names)
    entry = invoke("catalog", "racks", "dgx_h100").stdout
    assert yaml.safe_load(entry)["name"] == "dgx_h100"
    assert "# Sources" in entry


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("rack",), "did you mean 'racks'?"),
        (("racks", "dgx_h10"), "did you mean 'dgx_h100'?"),
        (("offloads", "zz"), "valid: lpx"),
        (("llms", "x"), "none of them near it"),
    ],
)
def test_unknown_entries_of_the_catalogue_name_the_nearest(arguments, remedy):
    assert remedy in one_line_of_error(invoke("catalog", *arguments))


@pytest.mark.parametrize("kind", ["instance", "solution"])
def test_schema_prints_what_is_shipped(kind, tmp_path):
    shipped = ROOT / "optimizer" / "hbmopt" / "schemas" / f"{kind}.schema.json"
    outcome = invoke("schema", kind)
    assert outcome.stdout == shipped.read_text(encoding="utf-8")
    invoke("schema", kind, "--output", str(tmp_path / "schema.json"))
    assert (tmp_path / "schema.json").read_text(encoding="utf-8") == outcome.stdout


@pytest.mark.parametrize("suffix", ["mps", "lp"])
def test_export_writes_a_program(suffix, tmp_path):
    path = tmp_path / f"program.{suffix}"
    outcome = invoke("export", CLOSED_FORM, str(path))
    assert outcome.exit_code == 0
    assert outcome.stdout == ""
    assert path.stat().st_size > 100


def test_export_needs_a_known_ending_and_a_folder(tmp_path):
    wrong = one_line_of_error(invoke("export", CLOSED_FORM, str(tmp_path / "program.txt")))
    assert "must end in .mps or .lp" in wrong
    missing = one_line_of_error(invoke("export", CLOSED_FORM, str(tmp_path / "no" / "p.lp")))
    assert "there is no folder" in missing
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "folder.mps").mkdir()
    taken = one_line_of_error(invoke("export", CLOSED_FORM, str(tmp_path / "folder.mps")))
    assert "is a folder; name a file in it" in taken


@pytest.mark.parametrize("command", ["solve", "explain", "sensitivity", "frontier"])
def test_a_file_that_cannot_be_written_is_told_before_the_work(command, tmp_path):
    arguments = (command, str(tmp_path / "missing.yaml"), "--output", str(tmp_path / "no" / "x"))
    assert "there is no folder" in one_line_of_error(invoke(*arguments))


def test_version_is_that_of_the_package():
    assert invoke("--version").stdout == f"hbmopt {__version__}\n"


def test_kept_help_is_what_the_command_line_prints():
    kept = (ROOT / "optimizer" / "hbmopt" / "help.txt").read_text(encoding="utf-8")
    outcome = runner().invoke(cli, ["--help"], prog_name="hbmopt", terminal_width=80)
    assert kept == outcome.output
    for name in cli.commands:
        assert name in kept


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_of_the_module_is_the_kept_help(arguments):
    outcome = run(*arguments)
    assert outcome.returncode == 0
    assert outcome.stderr == ""
    assert outcome.stdout == (ROOT / "optimizer" / "hbmopt" / "help.txt").read_text("utf-8")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_commands_explain_themselves(name):
    outcome = invoke(name, "--help")
    assert outcome.exit_code == 0
    assert outcome.stdout.startswith(f"Usage: hbmopt {name}")


def test_help_imports_neither_click_nor_pyomo():
    program = (
        "import sys; sys.argv = ['hbmopt', '--help']; from hbmopt.__main__ import main; main();"
        " heavy = {'click', 'pyomo', 'pydantic', 'highspy', 'pandas', 'rich', 'yaml', 'numpy'};"
        " print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        encoding="utf-8",
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "optimizer")},
    )
    assert outcome.stdout.startswith("Usage: hbmopt")
    assert outcome.stderr == "[]\n"


def test_the_module_keeps_exit_codes_and_streams_apart(tmp_path):
    solved = run("solve", CLOSED_FORM, "--format", "json")
    assert (solved.returncode, solved.stderr) == (0, "")
    assert json.loads(solved.stdout)["status"] == "optimal"
    infeasible = run("solve", CLOSED_FORM, "--format", "csv", "--set", TOO_FAST)
    assert (infeasible.returncode, infeasible.stderr) == (1, "")
    bad = run("solve", "none.yaml", folder=tmp_path)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == "hbmopt: none.yaml: there is no such file\n"
