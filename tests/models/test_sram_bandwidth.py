from dataclasses import replace

import pytest

from builders import (
    AMPLE_LPU,
    CLOCK,
    component,
    efficiency,
    golden_rack,
    offloaded,
    one,
    resolved_with_more,
    rows_text,
    solve,
    with_lpus,
)


def test_rows_equal_the_golden_file(assert_golden):
    assert_golden("sram_bandwidth", rows_text(golden_rack(), "sram_bandwidth"))


def model(tb_per_s=1.0):
    return one(
        with_lpus(
            hbm_tb_per_s=1.0,
            components=(component(read_gb_per_step=8.0),),
            lpu=replace(AMPLE_LPU, units=2.0, sram_tb_per_s=tb_per_s),
            offloaded=(offloaded(read_gb_per_step=2.0),),
            efficiency=efficiency(sram=0.5),
            fixed_latency_ms=0.5,
        ),
        lpu_units=2.0,
    )


def test_share_and_price_follow_from_what_is_read():
    # 2 y <= 0.5 x 2 x 1 TB/s: y = 0.5. 8 (z - y) <= 1: z = 0.625, v = 10 z = 6.25.
    solved = solve(model())
    assert solved.value(f"{CLOCK}.offloaded_steps[0]") == pytest.approx(0.5)
    assert solved.value(f"{CLOCK}.steps") == pytest.approx(0.625)
    assert solved.objective == pytest.approx(6.25)
    # 2 y <= 1 + e: z more by e / 2, v by 5 e.
    assert solved.price(f"{CLOCK}.sram_bandwidth") == pytest.approx(5.0)
    # z - y <= (1 + e) / 8: v more by 10 e / 8.
    assert solved.price(f"{CLOCK}.hbm_bandwidth") == pytest.approx(1.25)
    more = resolved_with_more(solved.model, f"{CLOCK}.sram_bandwidth", 0.01)
    assert more == pytest.approx(6.25 + 5.0 * 0.01)


def test_one_percent_more_bandwidth_is_worth_its_price():
    assert solve(model(1.01)).objective == pytest.approx(6.25 + 5.0 * 0.01)
