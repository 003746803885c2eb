import pytest

from builders import (
    AMPLE_LPU,
    CLOCK,
    component,
    golden_rack,
    kernel,
    offloaded,
    one,
    overlap,
    replica,
    resolved_with_more,
    rows_text,
    solve,
    with_lpus,
)
from hbmopt.models.step_time import TIMED


def test_rows_equal_the_golden_file(assert_golden):
    assert_golden("step_time", rows_text(golden_rack(), "step_time"))


def model(latency_ms=1.0):
    """Serial, but for half of the links' time."""
    return one(
        replica(
            hbm_tb_per_s=1.0,
            link_tb_per_s=1.0,
            components=(component(read_gb_per_step=2.0), component(gflop_per_sequence=50.0)),
            kernels=(kernel(0), kernel(1)),
            kv_read_gb=0.1,
            prompt_attention_gflop=20.0,
            link_gb_per_sequence=0.06,
            fixed_latency_ms=latency_ms,
            overlap=overlap(weights=0.0, kv=0.0, gemm=0.0, prefill=0.0, link=0.5),
        )
    )


def test_times_add_up_to_the_length_of_a_step():
    # Per step: 2 weights + 1 latency. Per sequence: 0.1 KV + 0.05 gemm + 0.02 prompts
    # + half of 0.06 links = 0.2. With 10 sequences 3 + 2 = 5 ms: z = 0.2, v = 2.
    solved = solve(model())
    assert solved.value(f"{CLOCK}.steps") == pytest.approx(0.2)
    assert solved.value(f"{CLOCK}.sequences") == pytest.approx(2.0)
    parts = {name: solved.value(f"{CLOCK}.time_{name}") for name in (*TIMED, "latency")}
    assert parts == pytest.approx(
        {
            "prefill": 0.02 * 2,
            "link": 0.06 * 2,
            "scale_out": 0,
            "latency": 1 * 0.2,
            "sram": 0,
            "lpu_compute": 0,
            "lpu_link": 0,
        }
    )
    kernels = [solved.value(f"{CLOCK}.kernel_time[{index}]") for index in range(3)]
    assert kernels == pytest.approx([2 * 0.2, 0.05 * 2, 0.1 * 2])
    # 5 z <= 1 + e: v = 2 + 2 e.
    assert solved.price(f"{CLOCK}.step_time") == pytest.approx(2.0)
    assert solved.price(f"{CLOCK}.hbm_bandwidth") == pytest.approx(0.0)
    more = resolved_with_more(solved.model, f"{CLOCK}.step_time", 0.01)
    assert more == pytest.approx(2.0 + 2.0 * 0.01)


def test_one_percent_less_latency_is_worth_its_price():
    # 4.99 z = 1: v = 10 / 4.99. First order: price 2 x z = 0.2 x 0.01 ms.
    solved = solve(model(0.99))
    assert solved.objective == pytest.approx(10 / 4.99)
    assert solved.objective - 2.0 == pytest.approx(2.0 * 0.2 * 0.01, rel=0.01)


def test_offloading_moves_latency_and_time_to_the_lpus():
    # Everything on the LPUs: latency 2 - 1.5 + 0.5 = 1; SRAM 2 / (1 TB/s) = 2 per step;
    # LPU arithmetic 0.1 and crossing 0.1 per sequence, with 10 sequences 2: 5 ms.
    lpu = AMPLE_LPU.__class__(1.0, 1000.0, 1.0, 1.0, 0.0, 0.0)
    part = offloaded(
        latency_saved_ms=1.5,
        latency_added_ms=0.5,
        read_gb_per_step=2.0,
        gflop_per_sequence=100.0,
        crossing_gb_per_sequence=0.1,
    )
    heavy = component(read_gb_per_step=100.0)
    serial = overlap(sram=0.0, lpu_compute=0.0, lpu_link=0.0, weights=0.0)
    moved = with_lpus(
        hbm_tb_per_s=1.0, components=(heavy,), lpu=lpu, offloaded=(part,), overlap=serial
    )
    solved = solve(one(moved, lpu_units=1.0))
    assert solved.value(f"{CLOCK}.offloaded_steps[0]") == pytest.approx(0.2)
    assert solved.value(f"{CLOCK}.time_latency") == pytest.approx(1 * 0.2)
    assert solved.value(f"{CLOCK}.time_sram") == pytest.approx(2 * 0.2)
    assert solved.value(f"{CLOCK}.time_lpu_compute") == pytest.approx(0.1 * 2)
    assert solved.value(f"{CLOCK}.time_lpu_link") == pytest.approx(0.1 * 2)
    assert solved.objective == pytest.approx(2.0)
