"""The worked example of CONTRIBUTING: a constraint from nothing, by what is written there alone."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from builders import ROOT

SCRIPT = """
import json, hbmopt

few = {"choices.replica_accelerators": [36, 72]}

def capped(count):
    return hbmopt.solve("gb200_nvl72", few | {"limits.sequences_per_rank": count})

solution = capped(30)
row = next(one for one in solution.constraints if one.name == "sequences_per_rank")
asked = few | {"limits.sequences_per_rank": 30}
swept = hbmopt.sweep("gb200_nvl72", "limits.sequences_per_rank=20,30", overrides=few).rows
print(json.dumps({
    "throughput": solution.throughput_tok_s,
    "more": capped(31).throughput_tok_s,
    "ranks": [one.attention_data_parallel for one in solution.configurations],
    "batch": [one.batch for one in solution.configurations],
    "limit": row.limit, "usage": row.usage, "binding": row.binding, "price": row.unit_price,
    "frontier": float(hbmopt.frontier("gb200_nvl72", asked).throughputs.max()),
    "swept": [one["throughput_tok_s"] for one in swept],
    "possible": hbmopt.check("gb200_nvl72", 2 * 1080, 50, overrides=asked).possible,
    "too_many": hbmopt.check("gb200_nvl72", 2 * 1080 + 1, 30, overrides=asked).possible,
}))
"""


@pytest.fixture(scope="module")
def patch():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"<!-- applied by the tests -->\n```diff\n(.*?)```", text, re.DOTALL)
    return found


def test_outside_of_models_it_takes_few_lines(patch):
    files, added = set(), 0
    for line in patch.splitlines():
        if line.startswith("+++ b/"):
            file = line.removeprefix("+++ b/")
        elif line.startswith(("+", "-")) and not line.startswith(("---", "+++")):
            outside = not file.startswith("models/")
            files |= {file} if outside else set()
            added += outside
    assert len(files) <= 3
    assert added <= 20


def test_it_is_solved_swept_and_priced(patch, tmp_path):
    for folder in ("models", "optimizer"):
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True)
    (tmp_path / "instances").symlink_to(ROOT / "instances")
    apply = ["git", "apply", "--unidiff-zero", "-"]
    subprocess.run(apply, cwd=tmp_path, input=patch, text=True, check=True)
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "optimizer")},
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    found = json.loads(run.stdout)
    ranks = found["ranks"][0]
    assert found["binding"]
    assert found["limit"] == 30 * ranks
    assert found["usage"] == pytest.approx(30 * ranks, rel=1e-9)
    assert found["batch"] == [30 * ranks]
    assert found["frontier"] == pytest.approx(found["throughput"], rel=1e-9)
    assert found["swept"][1] == pytest.approx(found["throughput"], rel=1e-9)
    assert found["swept"][0] < found["swept"][1]
    # Its price is what one more sequence of a rank brings, but for the curve in between.
    step = (found["more"] - found["throughput"]) / ranks
    assert found["price"] == pytest.approx(step, rel=0.05)
    assert found["possible"]
    assert not found["too_many"]
