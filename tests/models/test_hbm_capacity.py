import pytest

from builders import (
    CLOCK,
    component,
    golden_rack,
    one,
    replica,
    resolved_with_more,
    rows_text,
    solve,
)


def test_rows_equal_the_golden_file(assert_golden):
    assert_golden("hbm_capacity", rows_text(golden_rack(), "hbm_capacity"))


def model(capacity_gb=100.0):
    return one(
        replica(hbm_gb=capacity_gb, components=(component(resident_gb=20.0),), kv_held_gb=10.0)
    )


def test_batch_and_price_follow_from_what_the_weights_leave_free():
    # b = (C - M) / S = (100 - 20) / 10 = 8; z = 1 / 2 ms = 0.5; v = 8 x 0.5 = 4.
    solved = solve(model())
    assert solved.value(f"{CLOCK}.steps") == pytest.approx(0.5)
    assert solved.value(f"{CLOCK}.sequences") == pytest.approx(4.0)
    assert solved.objective == pytest.approx(4.0)
    # (20 z + 10 v) / 100 <= z + e: v = 8 z + 10 e.
    assert solved.price(f"{CLOCK}.hbm_capacity") == pytest.approx(10.0)
    # R more by e: z more by e / 2, v by 8 e / 2.
    assert solved.price(f"{CLOCK}.step_time") == pytest.approx(4.0)
    assert solved.price(f"{CLOCK}.highest_batch") == pytest.approx(0.0)
    # In range until b = 10: e x 10 <= 10 x 0.5 - 4.
    more = resolved_with_more(solved.model, f"{CLOCK}.hbm_capacity", 0.01)
    assert more == pytest.approx(4.0 + 10.0 * 0.01)


def test_one_percent_more_capacity_is_worth_its_price():
    # C = 101: b = 8.1, v = 4.05. First order: price 10 x use of the row z = 0.5, times 1 %.
    assert solve(model(101.0)).objective == pytest.approx(4.05)
    assert pytest.approx(4.05) == 4.0 + 10.0 * 0.5 * 0.01


def test_capacity_is_that_of_all_accelerators_of_a_replica():
    # Two accelerators: (2 x 100 - 20) / 10 = 18 sequences, limited to 10 by the range.
    held = replica(
        accelerators=2.0, hbm_gb=30.0, components=(component(resident_gb=20.0),), kv_held_gb=10.0
    )
    # (2 x 30 - 20) / 10 = 4 sequences.
    assert solve(one(held, accelerators=2.0)).objective == pytest.approx(4 * 0.5)
