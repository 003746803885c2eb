import pytest

from builders import (
    configuration,
    declared,
    golden_rack,
    rack,
    replica,
    resolved_with_more,
    rows_text,
    solve,
)


def test_rows_equal_the_golden_file(assert_golden):
    text = rows_text(golden_rack(), "only_if_chosen", "whole_racks", "one_chosen")
    assert_golden("uniform", text)


def model(*, uniform=True):
    """One replica that makes 5 tokens/ms, or three that make 2 tokens/ms each."""
    single = configuration(replica(), replicas_at_most=1.0)
    triple = configuration(replica(fixed_latency_ms=5.0), replicas_at_most=3.0)
    return declared(rack(accelerators=10.0), single, triple, uniform=uniform, racks_at_most=1.5)


def test_relaxed_choice_and_its_prices_follow_from_the_replicas_that_fit():
    # R0 <= 1.5 u0, R0 <= 1, R1 <= 4.5 u1, R1 <= 3. A share of u is worth 1.5 x 5 = 7.5 or
    # 4.5 x 2 = 9: u1 = 2/3 for R1 = 3, the rest u0 = 1/3, R0 = 0.5. 2.5 + 6 = 8.5.
    solved = solve(model())
    assert solved.value("chosen[0]") == pytest.approx(1 / 3)
    assert solved.value("chosen[1]") == pytest.approx(2 / 3)
    assert solved.objective == pytest.approx(8.5)
    # u0 + u1 <= 1 + e: u0 more by e.
    assert solved.price("one_chosen") == pytest.approx(7.5)
    # R0 <= 1.5 u0 + e. R1 <= 4.5 u1 + e: u1 less by e / 4.5, u0 more, 7.5 each.
    assert solved.price("only_if_chosen[0]") == pytest.approx(5.0)
    assert solved.price("only_if_chosen[1]") == pytest.approx(7.5 / 4.5)
    # R1 <= 3 + e: 2 e more, for e / 4.5 of u.
    assert solved.price("whole_racks[1]") == pytest.approx(2.0 - 7.5 / 4.5)
    assert solved.price("whole_racks[0]") == pytest.approx(0.0)
    for row, price in (
        ("one_chosen", 7.5),
        ("only_if_chosen[0]", 5.0),
        ("only_if_chosen[1]", 7.5 / 4.5),
        ("whole_racks[1]", 2.0 - 7.5 / 4.5),
    ):
        more = resolved_with_more(solved.model, row, 0.01)
        assert more == pytest.approx(8.5 + price * 0.01)


def test_only_the_better_configuration_runs():
    # 5 against 3 x 2 = 6.
    solved = solve(model(), integers=True)
    assert solved.value("configuration[0].replicas") == pytest.approx(0.0)
    assert solved.value("configuration[1].replicas") == pytest.approx(3.0)
    assert solved.objective == pytest.approx(6.0)


def test_racks_that_are_not_uniform_run_both():
    # Ten accelerators: the better one takes them all, as nothing holds its replicas.
    solved = solve(model(uniform=False), integers=True)
    assert solved.value("configuration[0].replicas") == pytest.approx(10.0)
    assert solved.objective == pytest.approx(50.0)
