"""Clocks in steps of 2.5 %: fine enough under any power cap, and what a cap does with them."""

import pytest

import hbmopt
from builders import INSTANCES
from hbmopt.plan import best_points

CAPS = (0.45, 0.55, 0.65, 0.75, 0.9)
"""Caps as shares of what a rack is capped at."""

FINE = {"choices.clocks": [(4000 - 10 * step) / 4000 for step in range(161)]}


@pytest.mark.parametrize("name", ["gb200_nvl72", "h200", "mi455x_helios", "rubin_nvl72", "b200"])
def test_ten_times_finer_clocks_change_no_answer(name):
    instance = hbmopt.load(INSTANCES / f"{name}.yaml")
    caps = [{"limits.power": f"{share * instance.power_cap_kw:.4f} kW"} for share in CAPS]
    coarse, fine = (
        best_points([hbmopt.load(INSTANCES / f"{name}.yaml", cap | clocks) for cap in caps])
        for clocks in ({}, FINE)
    )
    assert any(one is not None for one in fine)
    for one, other in zip(coarse, fine, strict=True):
        if other is not None:
            assert one.throughput <= other.throughput * (1 + 1e-9)
            assert one.throughput >= other.throughput * (1 - 1e-3)


def test_a_cap_is_met_by_two_neighbouring_clocks():
    solution = hbmopt.solve(INSTANCES / "gb200_nvl72.yaml", {"limits.power": "90 kW"})
    clocks = [one.clock for one in solution.configurations[0].clocks]
    assert len(clocks) == 2
    assert clocks[0] - clocks[1] == pytest.approx(0.025)
    assert solution.power_w == pytest.approx(90e3, rel=1e-6)


def test_of_plans_that_make_as_much_the_fastest_counts():
    solution = hbmopt.solve(INSTANCES / "cpu_budget.yaml")
    assert solution.throughput_tok_s == pytest.approx(44_000, rel=1e-9)
    assert solution.speed_tok_s_user > 38.0
