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
from hbmopt.models.quantities import BudgetData, BudgetUse


def test_rows_equal_the_golden_file(assert_golden):
    assert_golden("budgets", rows_text(golden_rack(), "budget"))


def model(capacity=40.0):
    """Cores: 8 in any case, 4 per replica, 4 per step/ms and 2 per token/ms."""
    use = BudgetUse(per_replica=4.0, per_step=0.004, per_sequence_step=0.002)
    budgets = (BudgetData("ample", 1000.0, 0.0), BudgetData("cores", capacity, 8.0))
    return declared(
        rack(accelerators=10.0, budgets=budgets),
        configuration(replica(), budgets=(use, use)),
    )


def test_replicas_and_price_follow_from_the_budget():
    # z = R / 2, v = 5 R: 8 + 4 R + 2 R + 10 R <= 40: R = 2, v = 10.
    solved = solve(model())
    assert solved.value("configuration[0].replicas") == pytest.approx(2.0)
    assert solved.value("budget_used[1]") == pytest.approx(40.0)
    assert solved.objective == pytest.approx(10.0)
    # (8 + 16 R) / 40 <= 1 + e: R = 2 + 2.5 e.
    assert solved.price("budget[1]") == pytest.approx(12.5)
    assert solved.price("budget[0]") == pytest.approx(0.0)
    more = resolved_with_more(solved.model, "budget[1]", 0.01)
    assert more == pytest.approx(10.0 + 12.5 * 0.01)


def test_one_more_core_is_worth_its_price():
    assert solve(model(41.0)).objective == pytest.approx(10.0 + 12.5 / 40)
