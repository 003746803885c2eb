from dataclasses import replace

import pytest

from builders import (
    AMPLE_LPU,
    CLOCK,
    component,
    golden_rack,
    offloaded,
    one,
    resolved_with_more,
    rows_text,
    solve,
    with_lpus,
)


def test_rows_equal_the_golden_file(assert_golden):
    assert_golden("sram_capacity", rows_text(golden_rack(), "sram_capacity"))


def model(sram_gb=2.0):
    """Two LPUs of `sram_gb` that hold half of 8 GB, which HBM else reads at 1 TB/s."""
    return one(
        with_lpus(
            hbm_tb_per_s=1.0,
            components=(component(read_gb_per_step=8.0),),
            lpu=replace(AMPLE_LPU, units=2.0, sram_gb=sram_gb),
            offloaded=(offloaded(resident_gb=8.0),),
        ),
        lpu_units=2.0,
    )


def test_share_and_price_follow_from_what_fits():
    # 8 y <= 2 x 2 z: y = z / 2. 8 (z - y) = 4 z <= 1: z = 0.25, v = 10 z = 2.5.
    solved = solve(model())
    assert solved.value(f"{CLOCK}.steps") == pytest.approx(0.25)
    assert solved.value(f"{CLOCK}.offloaded_steps[0]") == pytest.approx(0.125)
    assert solved.objective == pytest.approx(2.5)
    # 2 y <= z + e: 8 (z - y) = 4 z - 4 e <= 1: z = 0.25 + e.
    assert solved.price(f"{CLOCK}.sram_capacity") == pytest.approx(10.0)
    # 4 z <= 1 + e.
    assert solved.price(f"{CLOCK}.hbm_bandwidth") == pytest.approx(2.5)
    more = resolved_with_more(solved.model, f"{CLOCK}.sram_capacity", 0.01)
    assert more == pytest.approx(2.5 + 10.0 * 0.01)


def test_one_percent_more_sram_is_worth_its_price():
    # y = 0.505 z: 8 x 0.495 z = 1, v = 10 / 3.96. First order: price 10 x z = 0.25 x 1 %.
    solved = solve(model(2.02))
    assert solved.objective == pytest.approx(10 / 3.96)
    assert solved.objective - 2.5 == pytest.approx(10.0 * 0.25 * 0.01, rel=0.02)
