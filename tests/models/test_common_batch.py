import pytest

from builders import (
    component,
    configuration,
    declared,
    golden_rack,
    power,
    rack,
    replica,
    resolved_with_more,
    rows_text,
    solve,
)
from hbmopt.models.quantities import BatchPoint

COLUMN = "configuration[0]"
FAST, SLOW = f"{COLUMN}.clock[0]", f"{COLUMN}.clock[1]"


def test_rows_equal_the_golden_file(assert_golden):
    text = rows_text(golden_rack(around_a_point=True), "common_batch")
    assert_golden("common_batch", text)


def model(capacity_gb=100.0):
    """Two clocks under a cap that lets half of the time run at the fast one."""
    held = {"components": (component(resident_gb=20.0),), "kv_held_gb": 10.0}
    fast = replica(hbm_gb=capacity_gb, power=power(active_kw=1.0), **held)
    slow = replica(hbm_gb=200.0, fixed_latency_ms=2.5, power=power(active_kw=0.5), **held)
    around = BatchPoint(1.0, 20.0, 8.0, (), (0.25, 0.2))
    return declared(rack(power_cap_kw=0.75), configuration(fast, slow, batches=around))


def test_a_clock_with_room_for_more_keeps_the_batch_of_the_other():
    # R + 0.5 (1 - R) = 0.75: R = 0.5 at each clock, z = 0.5 / 2 and 0.5 / 2.5.
    # Memory holds b = (100 - 20) / 10 = 8 at the fast one: v = 8 z = 2 and 1.6, no change.
    solved = solve(model())
    assert solved.value(f"{FAST}.steps") == pytest.approx(0.25)
    assert solved.value(f"{SLOW}.steps") == pytest.approx(0.2)
    assert solved.value(f"{FAST}.sequences") == pytest.approx(2.0)
    assert solved.value(f"{SLOW}.sequences") == pytest.approx(1.6)
    assert solved.value("configuration[0].batch_change") == pytest.approx(0.0)
    # Slow: v + e. Fast: v stays 2, so 0.25 d = -e, and the slow one loses 0.2 x 4 e.
    assert solved.price(f"{COLUMN}.common_batch[1]") == pytest.approx(1.0)
    assert solved.price(f"{COLUMN}.common_batch[0]") == pytest.approx(-0.8)
    # Capacity: v + 10 e at the fast one, d = 40 e, 8 e at the slow one.
    assert solved.price(f"{FAST}.hbm_capacity") == pytest.approx(18.0)
    for index, price in ((0, -0.8), (1, 1.0)):
        more = resolved_with_more(solved.model, f"{COLUMN}.common_batch[{index}]", 0.01)
        assert more == pytest.approx(3.6 + price * 0.01)


def test_one_percent_more_memory_moves_the_batch_of_both_clocks():
    # b = 8.1, so d = 0.1 and v = 8.1 x (0.25 + 0.2). First order: 18 x z = 0.25 x 1 %.
    solved = solve(model(101.0))
    assert solved.value("configuration[0].batch_change") == pytest.approx(0.1)
    assert solved.objective == pytest.approx(8.1 * 0.45)
    assert solved.objective - 3.6 == pytest.approx(18.0 * 0.25 * 0.01)
