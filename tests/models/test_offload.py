from dataclasses import replace

import pytest

from builders import (
    AMPLE_LPU,
    CLOCK,
    component,
    golden_rack,
    offloaded,
    one,
    overlap,
    resolved_with_more,
    rows_text,
    solve,
    with_lpus,
)
from hbmopt.models.quantities import BatchPoint, BatchSegment

ROWS = ("offload_share", "offload_lowest", "offload_highest", "kept_lowest", "kept_highest")
READS = component(read_gb_per_step=8.0)
COMPUTES = component(gflop_per_sequence=500.0)


def test_rows_over_a_segment_equal_the_golden_file(assert_golden):
    assert_golden("offload", rows_text(golden_rack(), *ROWS))


def test_rows_around_a_point_equal_the_golden_file(assert_golden):
    assert_golden("offload_point", rows_text(golden_rack(around_a_point=True), *ROWS))


def test_no_more_than_all_of_a_component_is_offloaded():
    # HBM reads 4 GB that stay and 8 GB that may move: 4 z + 8 (z - y) <= 1, y <= z.
    # All of it moves: z = y = 0.25, v = 10 z = 2.5.
    model = one(
        with_lpus(hbm_tb_per_s=1.0, components=(READS, component(read_gb_per_step=4.0))),
        batches=BatchPoint(1.0, 10.0, 10.0, (1.0,), (0.25,)),
        lpu_units=1.0,
    )
    solved = solve(model)
    assert solved.value(f"{CLOCK}.steps") == pytest.approx(0.25)
    assert solved.value(f"{CLOCK}.offloaded_steps[0]") == pytest.approx(0.25)
    assert solved.objective == pytest.approx(2.5)
    # y = z + e: 4 z = 1 + 8 e, v more by 10 x 2 e.
    assert solved.price(f"{CLOCK}.offload_share[0]") == pytest.approx(20.0)
    more = resolved_with_more(model, f"{CLOCK}.offload_share[0]", 0.01)
    assert more == pytest.approx(2.5 + 20.0 * 0.01)


def lowest(batch=2.0):
    return one(
        with_lpus(
            hbm_tb_per_s=1.0,
            link_tb_per_s=1.0,
            components=(READS,),
            link_gb_per_sequence=0.05,
            fixed_latency_ms=0.0,
            min_speed_per_ms=1.125,
            lpu=replace(AMPLE_LPU, link_tb_per_s=1.0),
            offloaded=(offloaded(crossing_gb_per_sequence=0.25),),
            overlap=overlap(link=0.0, lpu_link=0.0),
        ),
        batches=BatchSegment(batch, 100.0),
        lpu_units=1.0,
    )


def test_offloaded_steps_take_at_least_the_lowest_batch_along():
    # z = 1.125 by the floor, z - y = 1/8 by HBM: y = 1, w = 2 y = 2.
    # Time: 0.25 w + 0.05 v = 1: v = 10.
    solved = solve(lowest())
    assert solved.value(f"{CLOCK}.offloaded_steps[0]") == pytest.approx(1.0)
    assert solved.value(f"{CLOCK}.offloaded_sequences[0]") == pytest.approx(2.0)
    assert solved.objective == pytest.approx(10.0)
    # y <= w / 2 + e: w = 2 - 2 e, 0.05 v = 0.5 + 0.5 e.
    assert solved.price(f"{CLOCK}.offload_lowest[0]") == pytest.approx(10.0)
    more = resolved_with_more(solved.model, f"{CLOCK}.offload_lowest[0]", 0.01)
    assert more == pytest.approx(10.0 + 10.0 * 0.01)
    # A lowest batch of 2.02: w = 2.02.
    assert solve(lowest(2.02)).objective == pytest.approx(10.0 - 10.0 * 0.01)


def highest(batch=10.0):
    return one(
        with_lpus(
            components=(COMPUTES,),
            fixed_latency_ms=1.0,
            lpu=replace(AMPLE_LPU, sram_gb=4.0),
            offloaded=(offloaded(resident_gb=8.0),),
        ),
        batches=BatchSegment(1.0, batch),
        lpu_units=1.0,
    )


def test_offloaded_steps_take_at_most_the_highest_batch_along():
    # z = 1, y = z / 2 by SRAM, w = 10 y = 5. The accelerator: 0.5 (v - w) = 1. v = 7.
    solved = solve(highest())
    assert solved.value(f"{CLOCK}.offloaded_steps[0]") == pytest.approx(0.5)
    assert solved.value(f"{CLOCK}.offloaded_sequences[0]") == pytest.approx(5.0)
    assert solved.objective == pytest.approx(7.0)
    # w / 10 <= y + e.
    assert solved.price(f"{CLOCK}.offload_highest[0]") == pytest.approx(10.0)
    assert solved.price(f"{CLOCK}.sram_capacity") == pytest.approx(5.0)
    assert solved.price(f"{CLOCK}.compute") == pytest.approx(2.0)
    more = resolved_with_more(solved.model, f"{CLOCK}.offload_highest[0]", 0.01)
    assert more == pytest.approx(7.0 + 10.0 * 0.01)
    # A highest batch of 10.1: w = 5.05.
    assert solve(highest(10.1)).objective == pytest.approx(7.0 + 10.0 * 0.5 * 0.01)


def test_kept_steps_keep_at_least_the_lowest_batch():
    # The accelerator: v - w = 2, so z - y <= 2 / 4 = 0.5. SRAM: y = z / 2, so z = 1 and y = 0.5,
    # w = 10 y = 5, v = 7.
    model = one(
        with_lpus(
            components=(COMPUTES,),
            fixed_latency_ms=0.1,
            lpu=replace(AMPLE_LPU, sram_gb=4.0),
            offloaded=(offloaded(resident_gb=8.0),),
        ),
        batches=BatchSegment(4.0, 10.0),
        lpu_units=1.0,
    )
    solved = solve(model)
    assert solved.value(f"{CLOCK}.steps") == pytest.approx(1.0)
    assert solved.objective == pytest.approx(7.0)
    # z - y = z / 2 <= 0.5 + e: y more by e, w by 10 e.
    assert solved.price(f"{CLOCK}.kept_lowest[0]") == pytest.approx(10.0)
    more = resolved_with_more(model, f"{CLOCK}.kept_lowest[0]", 0.01)
    assert more == pytest.approx(7.0 + 10.0 * 0.01)


def kept_highest(batch=10.0):
    return one(
        with_lpus(
            hbm_tb_per_s=1.0,
            components=(READS,),
            fixed_latency_ms=0.0,
            lpu=replace(AMPLE_LPU, link_tb_per_s=1.0),
            offloaded=(offloaded(crossing_gb_per_sequence=0.1),),
        ),
        batches=BatchSegment(1.0, batch),
        lpu_units=1.0,
    )


def test_kept_steps_keep_at_most_the_highest_batch():
    # HBM: z - y = 1/8. LPU links: w = 10. v = 10 + 10 / 8.
    solved = solve(kept_highest())
    assert solved.value(f"{CLOCK}.offloaded_sequences[0]") == pytest.approx(10.0)
    assert solved.objective == pytest.approx(11.25)
    # (v - w) / 10 <= z - y + e.
    assert solved.price(f"{CLOCK}.kept_highest[0]") == pytest.approx(10.0)
    assert solved.price(f"{CLOCK}.hbm_bandwidth") == pytest.approx(1.25)
    assert solved.price(f"{CLOCK}.lpu_link") == pytest.approx(10.0)
    more = resolved_with_more(solved.model, f"{CLOCK}.kept_highest[0]", 0.01)
    assert more == pytest.approx(11.25 + 10.0 * 0.01)
    assert solve(kept_highest(10.1)).objective == pytest.approx(10.0 + 10.1 / 8)


def test_products_are_exact_where_the_range_is_one_batch():
    solved = solve(
        one(
            with_lpus(
                components=(COMPUTES,),
                fixed_latency_ms=1.0,
                lpu=replace(AMPLE_LPU, sram_gb=4.0),
                offloaded=(offloaded(resident_gb=8.0),),
            ),
            batches=BatchSegment(4.0, 4.0),
            lpu_units=1.0,
        )
    )
    steps = solved.value(f"{CLOCK}.offloaded_steps[0]")
    # z = 1 and y = 0.5: 0.5 x (v - w) = 1 with v = 4, w = 2.
    assert steps == pytest.approx(0.5)
    assert solved.value(f"{CLOCK}.offloaded_sequences[0]") == pytest.approx(4.0 * steps)
