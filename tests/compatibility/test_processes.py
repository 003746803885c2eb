"""The command line and embedding programs, each in a process of its own."""

import json
import re
import subprocess
import sys

import pytest
from throughputs import INSTANCES, ROOT, kept

H100 = str(INSTANCES / "h100.yaml")
QWEN = {
    "model_type": "qwen3",
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 5,
    "intermediate_size": 40,
    "vocab_size": 100,
    "attention_bias": False,
    "use_sliding_window": False,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
"""A tiny model, with the keys of a published configuration."""


def run(*arguments, code=0):
    """Run Python, which has to end with a code; return what it prints on stdout and on stderr."""
    outcome = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
        cwd=ROOT,
    )
    assert outcome.returncode == code, outcome.stderr
    return outcome.stdout, outcome.stderr


def printed(*arguments):
    """Return what Python prints, which has to be all on stdout."""
    stdout, stderr = run(*arguments)
    assert stderr == ""
    return stdout


def hbmopt(*arguments):
    return printed("-m", "hbmopt", *arguments)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (("solve", H100), "throughput_tok_s"),
        (("frontier", H100), "segments"),
        (("sensitivity", H100, "--only", "hbm"), "numbers"),
        (("check", H100, "--batch", 100, "--speed", 30), "verdict"),
        (("explain", H100), "alternatives"),
    ],
)
def test_stdout_is_one_json_document_and_nothing_else(arguments, key):
    assert key in json.loads(hbmopt(*arguments, "--format", "json"))


@pytest.mark.parametrize("name", ["nothing", "*nothing", "--nothing"])
def test_what_is_no_command_is_one_line(name):
    stdout, stderr = run("-m", "hbmopt", name, code=2)
    assert stdout == ""
    assert re.fullmatch(r"hbmopt: No such .*\n", stderr)


def test_tables_are_drawn():
    assert "Certificate  proven optimal by HiGHS" in hbmopt("solve", H100)


def test_an_exported_program_has_the_optimum_of_its_instance(tmp_path):
    path = tmp_path / "closed_form.mps"
    assert hbmopt("export", INSTANCES / "closed_form.yaml", path) == ""
    reader = (
        "import highspy; solver = highspy.Highs(); solver.setOptionValue('output_flag', False);"
        f" solver.readModel({str(path)!r}); solver.run(); print(solver.getObjectiveValue())"
    )
    tokens_per_second = float(printed("-c", reader).split()[-1])
    assert tokens_per_second == pytest.approx(kept()["closed_form.yaml"], rel=1e-6)


def test_a_configuration_becomes_a_model_that_can_be_served(tmp_path):
    configuration, model = tmp_path / "config.json", tmp_path / "tiny.yaml"
    configuration.write_text(json.dumps(QWEN), encoding="utf-8")
    said = run("-m", "hbmopt", "import-llm", configuration, "-o", model)
    assert re.fullmatch(r".* parameters, .*\n", "".join(said))
    solution = json.loads(hbmopt("solve", H100, "--set", f"llm={model}", "--format", "json"))
    assert solution["status"] == "optimal"


def test_the_readme_plan_is_what_the_readme_says():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    script, expected = re.search(
        r"<!-- executed by the tests -->\n```python\n(.*?)```\n\n```console\n(.*?)```",
        text,
        re.DOTALL,
    ).groups()
    assert len(script.strip().splitlines()) <= 25
    plan = printed("-c", script)
    assert numbers(plan) == pytest.approx(numbers(expected), rel=1e-4)
    for name in ("power", "rack[gb200].hbm_capacity", "rack[rubin].hbm_bandwidth"):
        assert name in plan


def numbers(text):
    return [float(word) for word in re.findall(r"(?<![\w\[])\d+\.?\d*", text)]


BESIDE = f"""
import highspy, hbmopt

def theirs():
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    x, y = solver.addVariable(ub=3), solver.addVariable(ub=3)
    solver.addConstr(x + 2 * y <= 7)
    solver.maximize(x + y)
    return solver.getObjectiveValue()

def ours():
    return hbmopt.solve(hbmopt.load({H100!r})).throughput_tok_s

for who in ORDER:
    print(who.__name__, who())
"""


@pytest.mark.parametrize("order", ["theirs ours theirs ours", "ours theirs ours theirs"])
def test_a_program_may_use_highs_for_itself_as_well(order):
    script = BESIDE.replace("ORDER", f"({order.replace(' ', ', ')})")
    # Releases of HiGHS with a banner print it where a program makes a solver of its own.
    found = re.findall(r"^(theirs|ours) (\S+)$", printed("-c", script), re.MULTILINE)
    assert [name for name, _ in found] == order.split()
    expected = {"theirs": 5.0, "ours": kept()["h100.yaml"]}
    for name, value in found:
        assert float(value) == pytest.approx(expected[name], rel=1e-6)
