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
    assert_golden("compute", rows_text(golden_rack(), "compute"))


def model(peak=1000.0):
    return one(
        replica(
            accelerators=2.0,
            attention_peak_tflops=peak,
            components=(component(gflop_per_sequence=30.0, peak_tflops=peak),),
            attention_gflop=10.0,
            fixed_latency_ms=0.25,
            kernels=(kernel(gemm=0.5),),
            efficiency=efficiency(attention=0.25),
        ),
        accelerators=2.0,
    )


def test_rates_and_price_follow_from_the_operations():
    # (30 / 1000 / 0.5 + 10 / 1000 / 0.25) v = (0.06 + 0.04) v <= 2 accelerators: v = 20.
    solved = solve(model())
    assert solved.objective == pytest.approx(20.0)
    assert solved.value(f"{CLOCK}.sequences") == pytest.approx(20.0)
    assert solved.value(f"{CLOCK}.kernel_at_peak[0]") == pytest.approx(0.03 * 20)
    assert solved.value(f"{CLOCK}.attention_at_peak") == pytest.approx(0.01 * 20)
    # 0.1 v / 2 <= 1 + e: v = 20 + 20 e.
    assert solved.price(f"{CLOCK}.compute") == pytest.approx(20.0)
    assert solved.price(f"{CLOCK}.step_time") == pytest.approx(0.0)
    more = resolved_with_more(solved.model, f"{CLOCK}.compute", 0.01)
    assert more == pytest.approx(20.0 + 20.0 * 0.01)


def test_one_percent_higher_peaks_are_worth_the_price():
    assert solve(model(1010.0)).objective == pytest.approx(20.0 + 20.0 * 0.01)
