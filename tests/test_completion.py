"""Completion in a shell: what is offered for a line that is begun, by click's protocol."""

import os
import shutil
import subprocess
import sys

import pytest

from builders import ROOT
from commands import invoke
from hbmopt.cli import cli
from hbmopt.cli.completing import ASKS
from hbmopt.cli.shells import SHELLS
from hbmopt.documents import catalogue, shipped

TAILS = ("", "_capped", "_scope")
BOTH = ("true", "false")
FORMATS = [f"choices.kv_formats=[{one}]" for one in ("fp8", "fp4")]


@pytest.fixture
def offered(monkeypatch, tmp_path):
    """Return what completes the last word of a line; where it ends in a space, a new one."""
    monkeypatch.chdir(tmp_path)
    for name in ("my.yaml", "mine.yaml", "notes.txt", "a b.yaml", ".hidden.yaml"):
        tmp_path.joinpath(name).touch()
    tmp_path.joinpath("more").mkdir()

    def completed(line, shell="bash"):
        words = line.split()
        monkeypatch.setenv("COMP_WORDS", line)
        at = len(words) if line.endswith(" ") else len(words) - 1
        monkeypatch.setenv("COMP_CWORD", str(at))
        if shell == "fish":
            monkeypatch.setenv("COMP_CWORD", "" if line.endswith(" ") else words[-1])
        said = SHELLS[shell](cli, {}, "hbmopt", ASKS).complete().splitlines()
        if shell == "zsh":
            return said[1::3]
        return [one.partition(",")[2].partition("\t")[0] for one in said]

    return completed


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("hbmopt so", ["solve"]),
        ("hbmopt comp", ["compare", "completion"]),
        ("hbmopt completion ", ["bash", "zsh", "fish"]),
        ("hbmopt solve h200 --f", ["--format"]),
        ("hbmopt solve h200 --format ", ["table", "json", "csv"]),
        ("hbmopt sweep h200 --format j", ["jsonl"]),
        ("hbmopt solve rubin_nvl72_", ["rubin_nvl72_lpx"]),
        ("hbmopt solve generations/01", ["generations/01_a100"]),
        ("hbmopt solve fleets/readme", ["fleets/readme_hall"]),
        ("hbmopt size fleets/readme", []),
        ("hbmopt solve m", ["mi455x_helios", "mine.yaml", "more/", "my.yaml"]),
        ("hbmopt solve ./m", ["./mine.yaml", "./more/", "./my.yaml"]),
        ("hbmopt predict instances/measured/power", ["instances/measured/power_kernels.csv"]),
        ("hbmopt catalog off", ["offloads"]),
        ("hbmopt catalog offloads ", ["lpx"]),
        ("hbmopt new my.yaml --from closed", ["closed_form"]),
        ("hbmopt solve h200 --set lim", ["limits."]),
        ("hbmopt solve h200 --set limits.pow", [f"limits.power{end}=" for end in TAILS]),
        ("hbmopt solve h200 --set limits.pue", ["limits.pue="]),
        ("hbmopt solve h200 --set rack", ["rack=", "rack."]),
        ("hbmopt solve h200 --set rack.accelerator.tdp", ["rack.accelerator.tdp="]),
        ("hbmopt solve h200 --set rack=gb", ["rack=gb200_nvl72", "rack=gb300_nvl72"]),
        ("hbmopt solve h200 --set=rack=gb2", ["--set=rack=gb200_nvl72"]),
        ("hbmopt solve h200 --set llm=m", None),
        ("hbmopt solve h200 --set objective=tokens_per_j", ["objective=tokens_per_joule"]),
        ("hbmopt solve h200 --set choices.uniform=", [f"choices.uniform={one}" for one in BOTH]),
        ("hbmopt solve h200 --set choices.kv_formats=[fp", FORMATS),
        ("hbmopt sweep h200 --vary llm=kimi_k2,kimi_k2_", ["llm=kimi_k2,kimi_k2_5"]),
        ("hbmopt compare h200 --vary rack=gb200_nvl72,gb", ["rack=gb200_nvl72,gb300_nvl72"]),
        ("hbmopt size h200 --solve-for rack.accelerator.hbm_c", ["rack.accelerator.hbm_capacity"]),
        ("hbmopt solve readme_hall --set racks.", ["racks.gb200.", "racks.rubin."]),
        ("hbmopt solve readme_hall --set racks.rubin.rack=gb2", ["racks.rubin.rack=gb200_nvl72"]),
        ("hbmopt solve readme_hall --set site.sp", ["site.space="]),
        ("hbmopt solve none.yaml --set limits.max", ["limits.max_batch="]),
        ("hbmopt solve h200 --set limits.power=9", []),
        ("hbmopt solve h200 --set no.such.key", []),
    ],
)
def test_a_line_that_is_begun_is_completed(line, wanted, offered):
    if wanted is None:
        known = [one for one in catalogue.names("llms") if one.startswith("m")]
        wanted = [f"llm={one}" for one in [*known, "mine.yaml", "more/", "my.yaml"]]
    for shell in SHELLS:
        assert offered(line, shell) == wanted, shell


def test_all_that_ships_is_offered_where_nothing_is_typed(offered):
    found = offered("hbmopt solve ")
    assert set(shipped.names()) < set(found)
    assert {f"fleets/{one}" for one in shipped.fleets()} < set(found)
    assert {"my.yaml", "a b.yaml", "more/"} < set(found)
    assert not {"notes.txt", ".hidden.yaml"} & set(found)
    racks = [f"rack={one}" for one in catalogue.names("racks")]
    assert [one for one in offered("hbmopt solve h200 --set rack=") if "yaml" not in one] == racks


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("hbmopt solve h200 --set rack = gb2", ["gb200_nvl72"]),
        ("hbmopt solve h200 --set = llm = kimi_k2_", ["kimi_k2_5"]),
        ("hbmopt sweep h200 --vary llm = kimi_k2,kimi_k2_", ["kimi_k2,kimi_k2_5"]),
        ("hbmopt solve h200 --set rack = gb200_nvl72 --set limits.max", ["limits.max_batch="]),
        ('hbmopt solve h200 --set "rack=gb2', ["rack=gb200_nvl72"]),
    ],
)
def test_bash_has_words_with_a_sign_in_parts(words, wanted, offered):
    """It takes = for a word of its own, and replaces what stands behind it."""
    assert offered(words) == wanted


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell_is_printed(shell):
    outcome = invoke("completion", shell)
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    assert f"{ASKS}={shell}_complete" in outcome.stdout
    assert "%(" not in outcome.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=outcome.stdout, encoding="utf-8", check=True)


def test_a_shell_without_a_script_is_named():
    outcome = asked_for("-m", "hbmopt", "completion", "tcsh")
    assert outcome.returncode == 2
    assert "'bash', 'zsh', 'fish'" in outcome.stderr


def asked_for(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT / "optimizer"), **environment},
    )


def test_a_shell_waits_for_nothing_heavy():
    program = (
        "import sys; sys.argv = ['hbmopt']; from hbmopt.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'pyomo', 'pydantic', 'highspy', 'pandas', 'rich', 'numpy', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    asked = {ASKS: "bash_complete", "COMP_WORDS": "hbmopt solve h200 --set limits.power_"}
    outcome = asked_for("-c", program, **asked, COMP_CWORD="4")
    assert outcome.stderr == "[]\n"
    assert outcome.stdout.splitlines() == [
        "plain,limits.power_capped=",
        "plain,limits.power_scope=",
    ]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_what_is_typed_into_it(tmp_path):
    """Keys are typed into a terminal: a line that is begun, the tabulator, and echo before it."""
    program = tmp_path / "hbmopt"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT / "optimizer"} exec {sys.executable} -m hbmopt "$@"\n'
    )
    program.chmod(0o755)
    tmp_path.joinpath("a b.yaml").touch()
    typed = {
        "hbmopt sol\th200": "hbmopt solve h200",
        "hbmopt solve h200 --set lim\tpower_s\t": "hbmopt solve h200 --set limits.power_scope=",
        "hbmopt solve h200 --set rack=gb2\t-x": "hbmopt solve h200 --set rack=gb200_nvl72 -x",
        "hbmopt solve a\\ \t-x": "hbmopt solve a b.yaml -x",
    }
    keys = [
        'eval "$(hbmopt completion bash)"',
        *(f"{line}\x01echo is: " for line in typed),
        "exit",
        "",
    ]
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    spawn = "import pty; pty.spawn(['bash', '--norc', '--noprofile', '-i'])"
    outcome = subprocess.run(
        [sys.executable, "-c", spawn],
        input="\n".join(keys),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "TERM": "dumb", "COLUMNS": "200", "PS1": "$ "},
    )
    lines = [one.strip() for one in outcome.stdout.splitlines()]
    assert [one.removeprefix("is: ") for one in lines if one.startswith("is: ")] == [
        *typed.values()
    ]
