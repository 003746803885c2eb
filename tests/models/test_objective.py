"""What is best, by hand: replicas of 5 tokens/ms on up to ten accelerators of 1 kW."""

import pytest

from builders import CLOCK, one, power, replica, solve
from hbmopt.models.objective import Worth


def model(worth, **rack_changes):
    return one(
        replica(power=power(active_kw=1.0)),
        worth=worth,
        accelerators=10.0,
        static_kw=2.0,
        parked_accelerator_kw=0.2,
        **rack_changes,
    )


def test_tokens_alone_fill_the_rack():
    solved = solve(model(Worth(token=1.0)))
    assert solved.objective == pytest.approx(50.0)
    assert solved.value("used_accelerators") == pytest.approx(10.0)


def test_as_few_accelerators_as_the_demand_allows():
    solved = solve(model(Worth(accelerator=1.0), min_tokens_per_ms=20.0))
    assert solved.objective == pytest.approx(-4.0)
    # One per cent more demand takes one per cent more of them.
    assert solved.price("min_throughput") == pytest.approx(4.0)


def test_pace_is_that_of_one_user_of_every_replica():
    # One token per sequence and step: the pace is that of the steps.
    solved = solve(model(Worth(pace=1.0)))
    steps = solved.value(f"{CLOCK}.steps")
    assert solved.objective == pytest.approx(steps)
    assert steps > 0.0


@pytest.mark.parametrize(("share", "gains"), [(0.99, True), (1.01, False)])
def test_a_fraction_is_highest_where_tokens_less_its_power_are_worth_nothing(share, gains):
    # 50 tokens/ms on 2 + 10 kW: power is worth 50 / 12 tokens per kJ at the highest. A little
    # above it what it makes is worth less than what it draws.
    price = share * 50.0 / 12.0
    solved = solve(model(Worth(token=1.0, kilowatt=price)))
    assert solved.objective == pytest.approx(50.0 - 12.0 * price)
    assert (solved.objective > 0) == gains
