import pyomo.environ as pyo
import pytest

from builders import (
    expression_text,
    golden_rack,
    one,
    power,
    replica,
    resolved_with_more,
    rows_text,
    solve,
    with_lpus,
)
from hbmopt.models.quantities import LpuUnits


def test_rows_equal_the_golden_file(assert_golden):
    model = golden_rack()
    text = rows_text(model, "power_cap") + "\n" + expression_text(model.power)
    assert_golden("power_cap", text)


def model(cap_kw=10.0):
    """Ten accelerators of 1 kW running and 0.2 kW parked, 2 kW beside them, PUE 1.25."""
    return one(
        replica(power=power(active_kw=1.0)),
        accelerators=10.0,
        power_cap_kw=cap_kw,
        static_kw=2.0,
        parked_accelerator_kw=0.2,
        power_overhead=1.25,
    )


def test_replicas_and_price_follow_from_the_cap():
    # 1.25 (2 + R + 0.2 (10 - R)) = 1.25 (4 + 0.8 R) <= 10: R = 5, v = 25.
    solved = solve(model())
    assert solved.value("configuration[0].replicas") == pytest.approx(5.0)
    assert solved.value("power") == pytest.approx(10.0)
    assert solved.objective == pytest.approx(25.0)
    # (5 + R) / 10 <= 1 + e: R = 5 + 10 e, v = 25 + 50 e.
    assert solved.price("power_cap") == pytest.approx(50.0)
    more = resolved_with_more(solved.model, "power_cap", 0.01)
    assert more == pytest.approx(25.0 + 50.0 * 0.01)


def test_one_more_kilowatt_is_worth_its_price():
    # (5 + R) <= 11: R = 6. One of 10 kW is a tenth of the limit.
    assert solve(model(11.0)).objective == pytest.approx(25.0 + 50.0 / 10)


def test_running_and_parked_lpus_count():
    # Per replica 4 LPUs x 0.25 kW; 8 LPUs, parked 0.125 kW. Accelerators draw nothing.
    # 4 x 0.25 R + 0.125 (8 - 4 R) = 1 + 0.5 R <= 1.5: R = 1.
    four = LpuUnits(4.0, 1000.0, 1000.0, 1000.0, 0.25, 0.0)
    solved = solve(
        one(
            with_lpus(lpu=four),
            accelerators=10.0,
            lpu_units=8.0,
            power_cap_kw=1.5,
            parked_lpu_kw=0.125,
        )
    )
    assert solved.value("configuration[0].replicas") == pytest.approx(1.0)


def test_a_rack_without_a_cap_has_no_such_row():
    bare = one(replica())
    rows = {row.local_name for row in bare.component_objects(pyo.Constraint)}
    assert "accelerators" in rows
    assert "power_cap" not in rows
