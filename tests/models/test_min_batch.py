import pyomo.environ as pyo
import pytest

from builders import (
    CLOCK,
    golden_rack,
    one,
    overlap,
    replica,
    resolved_with_more,
    rows_text,
    solve,
)
from hbmopt.models.quantities import BatchSegment


def test_rows_equal_the_golden_file(assert_golden):
    assert_golden("min_batch", rows_text(golden_rack(), "min_batch", "highest_batch"))


def fastest(lowest=4.0):
    """As many steps as possible: a step takes 1 ms and 0.25 ms per sequence."""
    timed = replica(
        hbm_tb_per_s=1.0, kv_read_gb=0.25, fixed_latency_ms=1.0, overlap=overlap(kv=0.0)
    )
    model = one(timed, batches=BatchSegment(lowest, 10.0))
    steps = model.find_component(f"{CLOCK}.steps")
    model.del_component("objective")
    model.objective = pyo.Objective(expr=steps, sense=pyo.maximize)
    return model


def test_lowest_batch_limits_speed():
    # v = 4 z: z + 0.25 v = 2 z = 1, z = 0.5, v = 2.
    solved = solve(fastest())
    assert solved.value(f"{CLOCK}.steps") == pytest.approx(0.5)
    assert solved.value(f"{CLOCK}.sequences") == pytest.approx(2.0)
    # z <= v / 4 + e: v = 4 (z - e), 2 z = 1 + e.
    assert solved.price(f"{CLOCK}.min_batch") == pytest.approx(0.5)
    assert solved.price(f"{CLOCK}.step_time") == pytest.approx(0.5)
    more = resolved_with_more(solved.model, f"{CLOCK}.min_batch", 0.01)
    assert more == pytest.approx(0.5 + 0.5 * 0.01)


def test_one_percent_larger_lowest_batch_costs_its_price():
    # z (1 + 0.25 x 4.04) = 1. First order: price 0.5 x z = 0.5 x 1 %.
    solved = solve(fastest(4.04))
    assert solved.objective == pytest.approx(1 / 2.01)
    assert 0.5 - solved.objective == pytest.approx(0.5 * 0.5 * 0.01, rel=0.01)


def test_highest_batch_limits_throughput():
    # z = 1 / 2 ms = 0.5, v = 10 z = 5.
    solved = solve(one(replica()))
    assert solved.value(f"{CLOCK}.sequences") == pytest.approx(5.0)
    # v / 10 <= z + e.
    assert solved.price(f"{CLOCK}.highest_batch") == pytest.approx(10.0)
    assert solved.price(f"{CLOCK}.min_batch") == pytest.approx(0.0)
    more = resolved_with_more(solved.model, f"{CLOCK}.highest_batch", 0.01)
    assert more == pytest.approx(5.0 + 10.0 * 0.01)


def test_one_percent_larger_highest_batch_is_worth_its_price():
    larger = solve(one(replica(), batches=BatchSegment(1.0, 10.1)))
    assert larger.objective == pytest.approx(5.0 + 10.0 * 0.5 * 0.01)
