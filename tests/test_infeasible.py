"""Infeasible is an answer: the conflict is named, with numbers."""

import pytest

import hbmopt
from builders import INSTANCES

GB200 = INSTANCES / "gb200_nvl72.yaml"

CASES = {
    "weights exceed HBM": (
        INSTANCES / "a100.yaml",
        {"llm": "deepseek_r1", "choices": {"weight_formats": ["fp8"]}},
        {"hbm_capacity"},
        ["exceed", "8 x 42.95 GB"],
    ),
    "one long sequence exceeds HBM": (
        INSTANCES / "h100.yaml",
        {"workload": {"context": 20_000_000}},
        {"hbm_capacity"},
        ["one sequence", "exceed"],
    ),
    "too fast": (
        GB200,
        {"limits.min_speed": "1000 tok/s/user"},
        {"min_speed", "step_time"},
        ["1000 tok/s/user", "1 ms per step", "latency"],
    ),
    "cap below static power": (
        GB200,
        {"limits.power": "40 kW"},
        {"power_cap"},
        ["static power 45.6 kW", "40 kW"],
    ),
    "cap below one replica": (
        GB200,
        {"limits.power": "57 kW"},
        {"power_cap"},
        ["one replica", "57 kW"],
    ),
    "cap too low for the floor": (
        GB200,
        {"limits.power": "59.2 kW", "limits.min_speed": "80 tok/s/user"},
        {"power_cap"},
        ["59.2 kW"],
    ),
    "budget used up": (
        GB200,
        {"limits.budgets": [{"name": "nics", "capacity": 4, "fixed": 3, "per_accelerator": 2}]},
        {"nics"},
        ["nics", "capacity of 4"],
    ),
    "layout impossible": (
        INSTANCES / "h100.yaml",
        {"choices.tensor_parallel": [3], "choices.replica_accelerators": [3]},
        {"choices"},
        ["64 attention heads do not divide by 3"],
    ),
    "accelerators too few": (
        INSTANCES / "h100.yaml",
        {"choices.replica_accelerators": [16]},
        {"choices"},
        ["the rack has 8 accelerators"],
    ),
    "facility scope": (
        GB200,
        {"limits.power": "60 kW", "limits.power_scope": "facility", "limits.pue": 1.4},
        {"power_cap"},
        ["facility"],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_conflict_names_its_limits_and_numbers(case):
    path, changes, limits, words = case
    solution = hbmopt.solve(hbmopt.load(path, changes))
    assert solution.status == "infeasible"
    assert not solution.feasible
    assert solution.throughput_tok_s is None
    assert limits <= set(solution.conflict.limits)
    for word in words:
        assert word in solution.conflict.summary
    assert "\n" not in solution.conflict.summary


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"limits.min_speed": "1000 tok/s/user"}, {"limits.min_speed": "100 tok/s/user"}),
        ({"limits.power": "57 kW"}, {"limits.power": "75 kW", "limits.min_speed": "10 tok/s"}),
    ],
)
def test_the_stated_limit_is_the_one_to_change(changes, cure):
    assert hbmopt.solve(hbmopt.load(GB200, changes)).status == "infeasible"
    assert hbmopt.solve(hbmopt.load(GB200, changes | cure)).status == "optimal"


def test_the_power_that_the_sentence_asks_for_is_enough_and_less_is_not():
    tight = {"limits.power": "57 kW", "limits.min_speed": "0 tok/s/user"}
    summary = hbmopt.solve(hbmopt.load(GB200, tight)).conflict.summary
    needed = float(summary.split(" = ")[1].split(" kW")[0])
    enough = tight | {"limits.power": f"{needed * 1.001} kW"}
    short = tight | {"limits.power": f"{needed * 0.999} kW"}
    assert hbmopt.solve(hbmopt.load(GB200, enough)).status == "optimal"
    assert hbmopt.solve(hbmopt.load(GB200, short)).status == "infeasible"


def test_the_fastest_speed_that_the_sentence_names_is_reached_and_more_is_not():
    summary = hbmopt.solve(
        hbmopt.load(GB200, {"limits.min_speed": "1000 tok/s/user"})
    ).conflict.summary
    fastest = float(summary.split(" ms = ")[1].split(" tok/s/user")[0])
    below = hbmopt.load(GB200, {"limits.min_speed": f"{fastest * 0.999} tok/s/user"})
    above = hbmopt.load(GB200, {"limits.min_speed": f"{fastest * 1.001} tok/s/user"})
    assert hbmopt.solve(below).status == "optimal"
    assert hbmopt.solve(above).status == "infeasible"
