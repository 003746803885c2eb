"""HiGHS beside other users of HiGHS in the process, and in many threads of the caller at once."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import highspy
import numpy as np
import pytest

from builders import ROOT
from compatibility import neighbour
from hbmopt.errors import SolverError
from hbmopt.program import highs

OTHERS = list(neighbour.NEIGHBOURS)


def run(*arguments, program=neighbour.__file__, options=()):
    """Run a program of its own; return what it prints. Nothing may stand on stderr."""
    outcome = subprocess.run(
        [sys.executable, *options, str(program), *arguments],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT / "optimizer")},
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    return outcome.stdout


@cache
def alone(verb):
    """Return what hbmopt answers in this process."""
    return json.loads(json.dumps({verb: neighbour.VERBS[verb]()}))


@pytest.mark.parametrize("place", range(len(OTHERS)), ids=OTHERS)
def test_answers_beside_another_user_of_highs(place):
    """The other order of turns than in the compatibility part, where all verbs take theirs."""
    other, first = OTHERS[place], ("hbmopt", "other")[place % 2]
    verb = list(neighbour.VERBS)[place % len(neighbour.VERBS)]
    # The whole of stdout is one document.
    assert json.loads(run(other, first, verb)) == alone(verb)


def test_the_first_solve_of_a_process_prints_nothing(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import hbmopt\n"
        f"solution = hbmopt.solve(hbmopt.load({str(ROOT / 'instances' / 'closed_form.yaml')!r}))\n"
        "assert solution.feasible\n"
    )
    assert run(program=script) == ""


def test_a_cold_process_may_begin_with_many_threads(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "import hbmopt\n"
        "def answer(name):\n"
        f"    path = f{str(ROOT / 'instances')!r} + f'/{{name}}.yaml'\n"
        "    return hbmopt.solve(hbmopt.load(path)).throughput_tok_s\n"
        "with ThreadPoolExecutor(8) as threads:\n"
        "    found = list(threads.map(answer, ['h100', 'closed_form'] * 8))\n"
        "assert len(set(found)) == 2, found\n"
        "print(len(found))\n"
    )
    assert run(program=script) == "16\n"


def program(value=1.0):
    """The program of the largest x below 3 times `value`."""
    one = np.array([1.0])
    return highs.Program(
        cost=one,
        column_lower=np.zeros(1),
        column_upper=np.array([highs.INFINITY]),
        integer=(),
        row_lower=np.array([-highs.INFINITY]),
        row_upper=np.array([3.0]),
        starts=np.array([0, 1], dtype=np.int32),
        indices=np.array([0], dtype=np.int32),
        values=np.array([value]),
    )


def workers():
    """Return the threads that run HiGHS."""
    return {one for one in threading.enumerate() if one.name == "hbmopt-highs"}


def test_a_program_that_is_refused_leaves_its_worker_as_it_was():
    highs.solve(program(), integers=False)
    before = workers()
    with pytest.raises(SolverError, match="outside what HiGHS keeps"):
        highs.solve(program(1e15), integers=False)
    assert highs.solve(program(2.0), integers=False).objective == 1.5
    assert workers() == before


@pytest.mark.parametrize("least", [2.0, 0.0])
def test_what_ends_without_a_proof_is_infeasible_if_it_is_so_without_its_costs(monkeypatch, least):
    statuses = {highspy.HighsModelStatus.kUnbounded: "unbounded"}
    monkeypatch.setattr(highs, "_STATUS", statuses)
    tight = replace(program(), row_lower=np.array([least]), column_upper=np.ones(1))
    if least:
        assert highs.solve(tight, integers=False).status == "infeasible"
    else:
        with pytest.raises(SolverError, match="stopped without a proof"):
            highs.solve(tight, integers=False)


def test_a_worker_that_was_left_in_the_middle_is_not_used_again():
    def broken():
        yield program()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        highs.solve_all(broken(), integers=False)
    assert highs.solve(program(), integers=False).objective == 3.0


def test_the_thread_of_the_caller_runs_nothing():
    """A scheduler of the caller's own, made afterwards, may have any number of threads."""
    highs.solve(program(), integers=False)

    def own(threads):
        return neighbour.by_highspy(threads)

    for threads in (4, 2, 1):
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(own, threads).result() == neighbour.OPTIMUM
    assert highs.solve(program(), integers=False).objective == 3.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_solves_with_workers_of_its_own(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "import hbmopt\n"
        f"path = {str(ROOT / 'instances' / 'closed_form.yaml')!r}\n"
        "def answer(_):\n"
        "    return hbmopt.solve(hbmopt.load(path)).throughput_tok_s\n"
        "before = answer(0)\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    found = pool.map(answer, range(4))\n"
        "assert found == [before] * 4, found\n"
        "print('same')\n"
    )
    # Python warns of any fork beside threads from 3.12 on.
    assert run(program=script, options=("-W", "ignore")) == "same\n"


def test_the_version_is_that_of_the_library():
    assert highs.version() == highspy.Highs().version()


LONG = """
import os, signal, sys, threading
import numpy as np
from hbmopt.program import highs

random = np.random.default_rng(1)
columns, rows = 120, 40
weights = random.integers(1, 100, (rows, columns)).astype(float)
program = highs.Program(
    cost=random.integers(1, 100, columns).astype(float),
    column_lower=np.zeros(columns),
    column_upper=np.ones(columns),
    integer=tuple(range(columns)),
    row_lower=np.full(rows, -highs.INFINITY),
    row_upper=weights.sum(axis=1) // 3,
    starts=np.arange(0, rows * columns + 1, columns, dtype=np.int32),
    indices=np.tile(np.arange(columns, dtype=np.int32), rows),
    values=weights.ravel(),
)
threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    highs.solve(program, integers=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_a_process_that_leaves_a_long_program_ends_in_good_order(tmp_path):
    """Left alone, HiGHS would come back into an interpreter that has ended, and abort."""
    script = tmp_path / "script.py"
    script.write_text(LONG, encoding="utf-8")
    assert run(program=script) == "interrupted\n"
