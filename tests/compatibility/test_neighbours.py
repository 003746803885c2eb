"""Beside each other user of HiGHS in a process, both solve as they would alone."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import neighbour
import pytest

import hbmopt

SCRIPT = Path(neighbour.__file__)
VERBS = list(neighbour.VERBS)
BESIDE_SWEEPS = ("appsi_highs", "threads=0")
"""Sweeps solve in processes of their own, which take a while to start; one of each kind will do."""


def printed(*arguments):
    """Return what the script prints, all of it; nothing may stand on stderr."""
    outcome = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    return outcome.stdout


@pytest.fixture(scope="module")
def alone():
    """What hbmopt answers by itself."""
    return json.loads(json.dumps({verb: call() for verb, call in neighbour.VERBS.items()}))


@pytest.mark.parametrize("place", range(len(neighbour.NEIGHBOURS)), ids=list(neighbour.NEIGHBOURS))
def test_all_verbs_in_one_process_beside_another_user_of_highs(place, alone):
    other, turn = list(neighbour.NEIGHBOURS)[place], place % len(VERBS)
    first = ("other", "hbmopt")[place % 2]
    verbs = VERBS[turn:] + VERBS[:turn]  # each is the first one somewhere
    if other not in BESIDE_SWEEPS:
        verbs.remove("sweep")
    assert json.loads(printed(other, first, *verbs)) == {verb: alone[verb] for verb in verbs}


NAMES = ("h100", "a100", "b200", "closed_form", "deepseek_r1_h200", "h200_kv_compression")


def answer(place):
    """Return the numbers of one of many different solves."""
    name, speed = NAMES[place % len(NAMES)], 5 + place % 5
    changes = {"limits.min_speed": f"{speed} tok/s/user"}
    solution = hbmopt.solve(neighbour.INSTANCES / f"{name}.yaml", changes)
    prices = [(one.name, one.unit_price) for one in solution.inputs]
    return solution.throughput_tok_s, solution.batch, solution.power_w, prices


def test_many_threads_get_the_numbers_of_one():
    # Of 8 threads; those that recur are solved anew.
    places = range(len(NAMES) * 5 * 2)
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(answer, places))
    different = len(NAMES) * 5
    one_by_one = [answer(place) for place in range(different)]
    assert together == [one_by_one[place % different] for place in places]
