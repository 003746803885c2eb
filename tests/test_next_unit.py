"""What one more unit changes with everything chosen anew, beside the local price."""

import pyomo.environ as pyo
import pytest

import hbmopt
from builders import INSTANCES

CAPPED = {"limits.power": "90 kW", "choices.replica_accelerators": [36]}
ONE_MORE = {
    "power_cap": {"limits.power": "91 kW"},
    "hbm_capacity": {"rack.accelerator.hbm_capacity": "187 GB"},
    "min_speed": {"limits.min_speed": "51 tok/s/user"},
}


@pytest.mark.parametrize("name", ONE_MORE)
def test_it_is_the_difference_of_two_solves(name):
    instance = INSTANCES / "gb200_nvl72.yaml"
    now = hbmopt.solve(instance, CAPPED)
    then = hbmopt.solve(instance, CAPPED | ONE_MORE[name])
    row = next(one for one in now.constraints if one.name == name)
    difference = then.throughput_tok_s - now.throughput_tok_s
    assert row.next_unit == pytest.approx(difference, rel=1e-6, abs=1e-6)
    for one in now.inputs:
        if one.name == name:
            assert one.next_unit == row.next_unit


def test_under_a_power_cap_the_next_kilowatt_brings_nearly_what_the_price_says():
    solution = hbmopt.solve(INSTANCES / "gb200_nvl72.yaml", {"limits.power": "90 kW"})
    (power,) = (one for one in solution.inputs if one.name == "power_cap")
    assert power.next_unit == pytest.approx(power.unit_price, rel=0.05)


def test_in_a_plan_every_row_that_binds_has_one():
    def hall(power):
        model = pyo.ConcreteModel()
        model.rack = hbmopt.rack_block(
            INSTANCES / "h200.yaml", {"choices.replica_accelerators": [8]}, racks_at_most=3
        )
        model.power = pyo.Constraint(expr=model.rack.power <= power)
        model.tokens = pyo.Objective(expr=model.rack.throughput, sense=pyo.maximize)
        return hbmopt.solve_model(model)

    now, then = hall(26.0), hall(27.0)
    (row,) = (one for one in now.constraints if one.name == "power")
    assert row.binding
    assert row.next_unit == pytest.approx(then.objective - now.objective, rel=1e-5, abs=1e-3)
    assert now.prices.loc["power", "next_unit"] == row.next_unit
