import pytest

from builders import (
    CLOCK,
    COLUMN,
    component,
    configuration,
    declared,
    golden_rack,
    one,
    power,
    rack,
    replica,
    resolved_with_more,
    rows_text,
    solve,
)
from hbmopt.models.quantities import BatchSegment


def test_rows_equal_the_golden_file(assert_golden):
    assert_golden("accelerator_power", rows_text(golden_rack(), "accelerator_power"))


def model(limit_kw=1.0):
    return one(
        replica(
            accelerators=2.0,
            components=(component(gflop_per_sequence=30.0, joule_per_gflop=0.001),),
            kv_read_gb=0.5,
            attention_gflop=10.0,
            link_gb_per_sequence=0.02,
            fixed_latency_ms=0.25,
            power=power(
                limit_kw=limit_kw,
                active_kw=0.5,
                joule_per_gb=0.1,
                attention_joule_per_gflop=0.001,
                joule_per_link_gb=0.5,
            ),
        ),
        accelerators=2.0,
    )


def test_rates_and_price_follow_from_the_energy_of_a_token():
    # 2 x 0.5 + v (0.1 x 0.5 + 1 x (0.03 + 0.01) + 0.5 x 0.02) = 1 + 0.1 v <= 2 kW: v = 10.
    solved = solve(model())
    assert solved.objective == pytest.approx(10.0)
    assert solved.value(f"{CLOCK}.power") == pytest.approx(2.0)
    # (1 + 0.1 v) / 2 <= 1 + e: v = 10 + 20 e.
    assert solved.price(f"{COLUMN}.accelerator_power") == pytest.approx(20.0)
    more = resolved_with_more(solved.model, f"{COLUMN}.accelerator_power", 0.01)
    assert more == pytest.approx(10.0 + 20.0 * 0.01)


def test_one_percent_more_power_is_worth_its_price():
    # 1 + 0.1 v <= 2.02: v = 10.2.
    assert solve(model(1.01)).objective == pytest.approx(10.0 + 20.0 * 0.01)


def test_clocks_alternate_where_their_mean_stays_within_the_limit():
    # 1.5 kW at a step per ms, 0.5 kW at half of one, 1 kW on average: half of the time each.
    fast = replica(fixed_latency_ms=1.0, power=power(active_kw=1.5))
    slow = replica(fixed_latency_ms=2.0, power=power(active_kw=0.5))
    both = configuration(fast, slow, batches=BatchSegment(1.0, 1.0))
    solved = solve(declared(rack(), both))
    assert solved.objective == pytest.approx(0.75)
    assert solved.value(f"{COLUMN}.clock[0].running") == pytest.approx(0.5)
    # 1.5 a + 0.5 (1 - a) <= 1 + e, tokens = a + 0.5 (1 - a): 0.75 + 0.5 e.
    assert solved.price(f"{COLUMN}.accelerator_power") == pytest.approx(0.5)
