import pyomo.environ as pyo
import pytest

from builders import (
    golden_rack,
    one,
    replica,
    resolved_with_more,
    rows_text,
    solve,
    with_lpus,
)
from hbmopt.models.quantities import LpuUnits


def test_rows_equal_the_golden_file(assert_golden):
    assert_golden("lpu_units", rows_text(golden_rack(), "lpu_units"))


def model(units=8.0):
    """Replicas of four LPUs that make 5 tokens/ms each, and accelerators for ten of them."""
    four = LpuUnits(4.0, 1000.0, 1000.0, 1000.0, 0.0, 0.0)
    return one(with_lpus(lpu=four), accelerators=10.0, lpu_units=units)


def test_replicas_share_the_lpus():
    # 4 R <= 8: R = 2, v = 10.
    solved = solve(model())
    assert solved.value("configuration[0].replicas") == pytest.approx(2.0)
    assert solved.objective == pytest.approx(10.0)
    # 4 R / 8 <= 1 + e: R = 2 + 2 e.
    assert solved.price("lpu_units") == pytest.approx(10.0)
    assert solved.price("accelerators") == pytest.approx(0.0)
    more = resolved_with_more(solved.model, "lpu_units", 0.01)
    assert more == pytest.approx(10.0 + 10.0 * 0.01)


def test_one_more_lpu_is_worth_its_price():
    # One of 8 is 1/8 of the limit.
    assert solve(model(9.0)).objective == pytest.approx(10.0 + 10.0 / 8)


def test_a_rack_whose_replicas_have_no_lpus_has_no_such_row():
    bare = one(replica())
    rows = {row.local_name for row in bare.component_objects(pyo.Constraint)}
    assert "accelerators" in rows
    assert "lpu_units" not in rows
