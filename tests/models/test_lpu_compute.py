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
    assert_golden("lpu_compute", rows_text(golden_rack(), "lpu_compute"))


def model(peak=500.0):
    return one(
        with_lpus(
            components=(component(gflop_per_sequence=100.0),),
            lpu=replace(AMPLE_LPU, units=2.0),
            offloaded=(offloaded(gflop_per_sequence=100.0, peak_tflops=peak),),
            efficiency=efficiency(lpu_compute=0.5),
            fixed_latency_ms=0.25,
        ),
        lpu_units=2.0,
    )


def test_rates_and_price_follow_from_the_operations():
    # LPUs: 100 / 500 w <= 0.5 x 2: w = 5. Accelerator: 100 / 1000 (v - w) <= 1: v = 15.
    solved = solve(model())
    assert solved.value(f"{CLOCK}.offloaded_sequences[0]") == pytest.approx(5.0)
    assert solved.objective == pytest.approx(15.0)
    # 0.2 w <= 1 + e.
    assert solved.price(f"{CLOCK}.lpu_compute") == pytest.approx(5.0)
    assert solved.price(f"{CLOCK}.compute") == pytest.approx(10.0)
    more = resolved_with_more(solved.model, f"{CLOCK}.lpu_compute", 0.01)
    assert more == pytest.approx(15.0 + 5.0 * 0.01)


def test_one_percent_higher_peak_is_worth_its_price():
    assert solve(model(505.0)).objective == pytest.approx(15.0 + 5.0 * 0.01)
