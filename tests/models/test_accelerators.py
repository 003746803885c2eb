import pytest

from builders import (
    CLOCK,
    configuration,
    declared,
    golden_rack,
    one,
    power,
    rack,
    replica,
    resolved_with_more,
    rows_text,
    solve,
)


def test_rows_equal_the_golden_file(assert_golden):
    assert_golden("accelerators", rows_text(golden_rack(), "accelerators", "clock_shares"))


def model(accelerators=4.0):
    """Replicas of two accelerators that make 5 tokens/ms each."""
    return one(replica(accelerators=2.0), accelerators=accelerators)


def test_replicas_share_the_accelerators():
    # 2 R <= 4: R = 2, v = 10.
    solved = solve(model())
    assert solved.value("configuration[0].replicas") == pytest.approx(2.0)
    assert solved.objective == pytest.approx(10.0)
    # 2 R / 4 <= 1 + e: R = 2 + 2 e.
    assert solved.price("accelerators") == pytest.approx(10.0)
    more = resolved_with_more(solved.model, "accelerators", 0.01)
    assert more == pytest.approx(10.0 + 10.0 * 0.01)


def test_one_more_accelerator_is_half_a_replica_and_none_where_replicas_are_whole():
    assert solve(model(5.0)).objective == pytest.approx(10.0 * 5 / 4)
    whole = solve(model(5.0), integers=True)
    assert whole.value("configuration[0].replicas") == pytest.approx(2.0)
    assert whole.objective == pytest.approx(10.0)


def test_clocks_share_the_replicas():
    # Fast at 1 kW: 5 tokens/ms. Slow at 0.5 kW: 4. The cap of 0.75 kW takes half of each.
    fast = replica(power=power(active_kw=1.0))
    slow = replica(fixed_latency_ms=2.5, power=power(active_kw=0.5))
    solved = solve(declared(rack(power_cap_kw=0.75), configuration(fast, slow)))
    assert solved.value(f"{CLOCK}.running") == pytest.approx(0.5)
    assert solved.value("configuration[0].clock[1].running") == pytest.approx(0.5)
    assert solved.objective == pytest.approx(0.5 * 5 + 0.5 * 4)
    # Fast + slow = replicas + e within the cap: fast - e and slow + 2 e, so 2 x 4 - 5.
    assert solved.price("configuration[0].clock_shares") == pytest.approx(3.0)
    more = resolved_with_more(solved.model, "configuration[0].clock_shares", 0.01)
    assert more == pytest.approx(4.5 + 3.0 * 0.01)


def test_running_replicas_without_a_cap_are_worth_what_they_make():
    solved = solve(model())
    # Running = replicas + e: 5 tokens/ms each.
    assert solved.price("configuration[0].clock_shares") == pytest.approx(5.0)
    more = resolved_with_more(solved.model, "configuration[0].clock_shares", 0.01)
    assert more == pytest.approx(10.0 + 5.0 * 0.01)
