import pytest

from builders import (
    CLOCK,
    COLUMN,
    configuration,
    declared,
    golden_rack,
    one,
    overlap,
    power,
    rack,
    replica,
    resolved_with_more,
    rows_text,
    solve,
)
from hbmopt.models.quantities import BatchSegment


def test_rows_equal_the_golden_file(assert_golden):
    assert_golden("min_speed", rows_text(golden_rack(), "min_speed"))


def model(floor_per_ms=0.5):
    """A step takes 1 ms and 0.1 ms per sequence; a sequence gains two tokens in it."""
    return one(
        replica(
            hbm_tb_per_s=1.0,
            kv_read_gb=0.1,
            fixed_latency_ms=1.0,
            tokens_per_sequence_step=2.0,
            min_speed_per_ms=floor_per_ms,
            overlap=overlap(kv=0.0),
        ),
        batches=BatchSegment(1.0, 1000.0),
    )


def test_floor_and_its_price_follow_from_the_length_of_a_step():
    # 0.5 R <= 2 z: z = 0.25. z + 0.1 v = 1: v = 7.5, tokens = 15.
    solved = solve(model())
    assert solved.value(f"{CLOCK}.steps") == pytest.approx(0.25)
    assert solved.value(f"{CLOCK}.sequences") == pytest.approx(7.5)
    assert solved.objective == pytest.approx(15.0)
    # 0.5 R <= 2 z + e: z = 0.25 - e / 2, v more by 5 e, tokens by 10 e.
    assert solved.price(f"{COLUMN}.min_speed") == pytest.approx(10.0)
    assert solved.price(f"{CLOCK}.step_time") == pytest.approx(20.0)
    more = resolved_with_more(solved.model, f"{COLUMN}.min_speed", 0.01)
    assert more == pytest.approx(15.0 + 10.0 * 0.01)


def test_one_percent_higher_floor_costs_its_price():
    # z = 0.2525, v = 7.475, tokens = 14.95: 0.005 tokens/ms more, each costing 10.
    assert solve(model(0.505)).objective == pytest.approx(15.0 - 10.0 * 0.005)


def test_no_floor_costs_nothing():
    solved = solve(model(0.0))
    assert solved.price(f"{COLUMN}.min_speed") == pytest.approx(0.0)


def test_the_mean_over_clocks_reaches_a_floor_that_one_of_them_does_not():
    # Power allows half of the time at a step per ms and half at 0.5: 0.75 in the mean.
    def best(floor_per_ms):
        fast = replica(
            fixed_latency_ms=1.0, power=power(active_kw=1.5), min_speed_per_ms=floor_per_ms
        )
        slow = replica(
            fixed_latency_ms=2.0, power=power(active_kw=0.5), min_speed_per_ms=floor_per_ms
        )
        return declared(rack(), configuration(fast, slow, batches=BatchSegment(1.0, 1.0)))

    solved = solve(best(0.7))
    assert solved.objective == pytest.approx(0.75)
    assert solved.price(f"{COLUMN}.min_speed") == pytest.approx(0.0)
    # No more is to be had: a higher floor leaves nothing that runs.
    assert solve(best(0.76)).objective == pytest.approx(0.0)
