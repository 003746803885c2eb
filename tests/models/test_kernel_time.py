import pytest

from builders import (
    CLOCK,
    component,
    efficiency,
    golden_rack,
    kernel,
    one,
    overlap,
    replica,
    resolved_with_more,
    rows_text,
    solve,
)


def test_rows_equal_the_golden_file(assert_golden):
    assert_golden("kernel_time", rows_text(golden_rack(), "kernel_memory", "kernel_arithmetic"))


def model(gflop=200.0, per_s=1.0):
    """Serial: two classes of products and attention proper, ten sequences at most."""
    return one(
        replica(
            hbm_tb_per_s=per_s,
            components=(
                component(read_gb_per_step=1.0, gflop_per_sequence=50.0),
                component(read_gb_per_step=0.5, gflop_per_sequence=gflop),
            ),
            kernels=(kernel(0, weights=0.5), kernel(1, gemm=0.5, name="experts")),
            kv_read_gb=0.05,
            attention_gflop=10.0,
            fixed_latency_ms=1.0,
            efficiency=efficiency(kv=0.5),
            overlap=overlap(weights=0.0, kv=0.0, gemm=0.0, attention=0.0),
        )
    )


def test_a_kernel_takes_the_longer_of_reading_and_arithmetic():
    # Dense: reads 1 / 0.5 = 2 ms, computes 10 x 0.05 = 0.5. Experts: read 0.5, compute
    # 10 x 0.2 / 0.5 = 4. Attention: reads 10 x 0.05 / 0.5 = 1, computes 0.1. 2 + 4 + 1 + 1 = 8 ms.
    solved = solve(model())
    assert solved.value(f"{CLOCK}.steps") == pytest.approx(1 / 8)
    times = [solved.value(f"{CLOCK}.kernel_time[{index}]") for index in range(3)]
    assert times == pytest.approx([2 / 8, 4 / 8, 1 / 8])
    # Every ms of any kernel takes from the same second: 8 z = 1 - e, v = 10 z.
    assert solved.price(f"{CLOCK}.kernel_memory[0]") == pytest.approx(10 / 8)
    assert solved.price(f"{CLOCK}.kernel_memory[1]") == pytest.approx(0.0)
    assert solved.price(f"{CLOCK}.kernel_memory[2]") == pytest.approx(10 / 8)
    assert solved.price(f"{CLOCK}.kernel_arithmetic[0]") == pytest.approx(0.0)
    assert solved.price(f"{CLOCK}.kernel_arithmetic[1]") == pytest.approx(10 / 8)
    assert solved.price(f"{CLOCK}.kernel_arithmetic[2]") == pytest.approx(0.0)
    more = resolved_with_more(solved.model, f"{CLOCK}.kernel_memory[0]", 0.01)
    assert more == pytest.approx(10 * (1 + 0.01) / 8)
    more = resolved_with_more(solved.model, f"{CLOCK}.kernel_arithmetic[1]", 0.01)
    assert more == pytest.approx(10 * (1 + 0.01) / 8)


def test_one_percent_more_bandwidth_shortens_what_reads():
    # Reading takes 3 of the 8 ms.
    faster = solve(model(per_s=1.01)).objective
    assert faster == pytest.approx(10 / (5 + 3 / 1.01))


def test_arithmetic_hides_behind_reading():
    # Experts that compute 0.2 ms behind 0.5 ms of reading: 2 + 0.5 + 1 + 1 ms.
    assert solve(model(gflop=10.0)).objective == pytest.approx(10 / 4.5)
    assert solve(model(gflop=1.0)).objective == pytest.approx(10 / 4.5)
