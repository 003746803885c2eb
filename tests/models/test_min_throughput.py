import pyomo.environ as pyo
import pytest

from builders import (
    golden_rack,
    one,
    power,
    replica,
    resolved_with_more,
    rows_text,
    solve,
)
from hbmopt.models.objective import Worth


def test_rows_equal_the_golden_file(assert_golden):
    assert_golden("min_throughput", rows_text(golden_rack(), "min_throughput"))


def model(demand=20.0):
    """Ten accelerators of 1 kW running and 0.2 kW parked that are to draw as little as possible.

    A replica makes up to 5 tokens/ms.
    """
    return one(
        replica(power=power(active_kw=1.0)),
        worth=Worth(kilowatt=1.0),
        accelerators=10.0,
        min_tokens_per_ms=demand,
        static_kw=2.0,
        parked_accelerator_kw=0.2,
    )


def test_power_and_price_follow_from_the_demand():
    # 5 R = 20: R = 4, P = 2 + 4 + 0.2 x 6 = 7.2.
    solved = solve(model())
    assert solved.value("configuration[0].replicas") == pytest.approx(4.0)
    assert solved.value("throughput") == pytest.approx(20.0)
    assert solved.objective == pytest.approx(-7.2)
    # A demand of 20 (1 - e): R = 4 - 4 e, P less by 0.8 x 4 e.
    assert solved.price("min_throughput") == pytest.approx(3.2)
    more = resolved_with_more(solved.model, "min_throughput", 0.01)
    assert more == pytest.approx(-7.2 + 3.2 * 0.01)


def test_one_more_token_costs_its_price():
    # R = 4.2, P = 2 + 4.2 + 0.2 x 5.8 = 7.36: a twentieth of the limit.
    assert solve(model(21.0)).objective == pytest.approx(-7.2 - 3.2 / 20)


def test_a_rack_without_a_demand_has_no_such_row():
    bare = one(replica())
    rows = {row.local_name for row in bare.component_objects(pyo.Constraint)}
    assert "accelerators" in rows
    assert "min_throughput" not in rows
