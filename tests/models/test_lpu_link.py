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
    assert_golden("lpu_link", rows_text(golden_rack(), "lpu_link"))


def model(tb_per_s=1.0):
    return one(
        with_lpus(
            components=(component(gflop_per_sequence=100.0),),
            lpu=replace(AMPLE_LPU, units=2.0, link_tb_per_s=tb_per_s),
            offloaded=(offloaded(crossing_gb_per_sequence=0.1),),
            efficiency=efficiency(lpu_link=0.5),
            fixed_latency_ms=0.25,
        ),
        lpu_units=2.0,
    )


def test_rates_and_price_follow_from_the_bytes_that_cross():
    # 0.1 w <= 0.5 x 2 x 1 TB/s: w = 10. 0.1 (v - w) <= 1: v = 20.
    solved = solve(model())
    assert solved.value(f"{CLOCK}.offloaded_sequences[0]") == pytest.approx(10.0)
    assert solved.objective == pytest.approx(20.0)
    assert solved.price(f"{CLOCK}.lpu_link") == pytest.approx(10.0)
    assert solved.price(f"{CLOCK}.compute") == pytest.approx(10.0)
    more = resolved_with_more(solved.model, f"{CLOCK}.lpu_link", 0.01)
    assert more == pytest.approx(20.0 + 10.0 * 0.01)


def test_one_percent_faster_links_are_worth_the_price():
    assert solve(model(1.01)).objective == pytest.approx(20.0 + 10.0 * 0.01)
