"""An engine that schedules a limited number of sequences at once."""

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
    assert_golden("max_batch", rows_text(golden_rack(), "max_batch"))


def test_the_batch_ends_where_the_engine_schedules_no_more():
    # 0.5 steps per ms of 4 sequences each: v = 4 (z + e).
    solved = solve(one(replica(max_batch=4.0, components=(component(),))))
    assert solved.objective == pytest.approx(2.0)
    assert solved.price(f"{CLOCK}.max_batch") == pytest.approx(4.0)
    more = resolved_with_more(solved.model, f"{CLOCK}.max_batch", 0.01)
    assert more == pytest.approx(2.0 + 4.0 * 0.01)


def test_without_a_limit_there_is_no_row():
    solved = solve(one(replica(components=(component(),))))
    assert solved.objective == pytest.approx(5.0)
