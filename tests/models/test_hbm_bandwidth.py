import pytest

from builders import (
    CLOCK,
    component,
    efficiency,
    golden_rack,
    kernel,
    one,
    replica,
    resolved_with_more,
    rows_text,
    solve,
)


def test_rows_equal_the_golden_file(assert_golden):
    assert_golden("hbm_bandwidth", rows_text(golden_rack(), "hbm_bandwidth"))


def model(tb_per_s=1.0):
    return one(
        replica(
            hbm_tb_per_s=tb_per_s,
            components=(component(read_gb_per_step=2.4),),
            kv_read_gb=0.1,
            kernels=(kernel(weights=0.8),),
            efficiency=efficiency(kv=0.5),
        )
    )


def test_rates_and_price_follow_from_the_bytes_read():
    # 2.4 / 0.8 z + 0.1 / 0.5 v <= 1 with v = 10 z: 3 z + 2 z = 1, z = 0.2, v = 2.
    solved = solve(model())
    assert solved.value(f"{CLOCK}.steps") == pytest.approx(0.2)
    assert solved.value(f"{CLOCK}.sequences") == pytest.approx(2.0)
    # 5 z = 1 + e: v = 2 + 2 e.
    assert solved.price(f"{CLOCK}.hbm_bandwidth") == pytest.approx(2.0)
    # v / 10 <= z + e: v = 10 z + 10 e, 3 z + 0.2 v = 1: 5 z = 1 - 2 e, v = 2 - 4 e + 10 e.
    assert solved.price(f"{CLOCK}.highest_batch") == pytest.approx(6.0)
    assert solved.price(f"{CLOCK}.step_time") == pytest.approx(0.0)
    more = resolved_with_more(solved.model, f"{CLOCK}.hbm_bandwidth", 0.01)
    assert more == pytest.approx(2.0 + 2.0 * 0.01)


def test_one_percent_more_bandwidth_is_worth_its_price():
    assert solve(model(1.01)).objective == pytest.approx(2.0 + 2.0 * 0.01)
