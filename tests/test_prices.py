"""Prices are derivatives: they equal the difference of two solves."""

import pytest
from hypothesis import HealthCheck, assume, given, settings

import hbmopt
from builders import INSTANCES
from hbmopt.demand.coefficients import Demand
from hbmopt.plan import search
from hbmopt.points import polish_clocks
from hbmopt.program import answered, priced
from hbmopt.results.prices import hardware_inputs, worth
from racks import small_instances

STEP = 1e-5


def free_batch_throughput(instance, found):
    """Throughput at a free batch with the configuration and replicas of a plan."""
    demand = Demand(instance, found.point.configuration)
    return answered(polish_clocks(demand, found.relaxed))[0].throughput


def check_all_inputs(instance, tolerance):
    found = search(instance)
    rack = priced(instance, found.relaxed, found.around)
    lpus = found.plan.used_lpus > 0
    checked = 0
    for one in hardware_inputs(instance, lpus=lpus):
        ends = []
        for factor in (1 + STEP, 1 - STEP):
            changed = instance
            for path in one.paths:
                changed = changed.scaled(path, factor)
            ends.append(free_batch_throughput(changed, found))
        middle = found.relaxed.throughput
        up, down = ends[0] - middle, middle - ends[1]
        # At a kink the two sides differ and a price is one of them, or between them.
        slopes = sorted((up / STEP / middle, down / STEP / middle))
        elasticity = worth(rack, one.paths) / rack.objective
        assert slopes[0] - tolerance <= elasticity <= slopes[1] + tolerance, one.name
        checked += 1
    assert checked >= 4


@pytest.mark.parametrize(
    "name",
    [
        "a100",
        "h100",
        "b200",
        "gb200_nvl72",
        "gb300_nvl72",
        "rubin_ultra",
        "rubin_nvl72_lpx",
        "tpu_v8",
        "mi455x_helios",
        "generations/07_rubin",
    ],
)
def test_input_prices_are_finite_differences_on_shipped_instances(name):
    check_all_inputs(hbmopt.load(INSTANCES / f"{name}.yaml"), tolerance=2e-4)


def test_prices_are_those_of_the_clocks_that_a_free_batch_runs_at():
    # 15 whole sequences leave speed to spare; 15.3 leave none, and run at lower clocks.
    instance = hbmopt.load(INSTANCES / "rubin_nvl72.yaml", {"limits.power": "144 kW"})
    check_all_inputs(instance, tolerance=2e-4)
    free = {"limits.power": "144 kW", "choices.whole_sequences": False}
    at = hbmopt.solve(hbmopt.load(INSTANCES / "rubin_nvl72.yaml", free))
    solution = hbmopt.solve(instance)
    assert solution.priced_batch == pytest.approx(at.batch, rel=1e-6)
    for name, elasticity in solution.elasticities.items():
        assert elasticity == pytest.approx(at.elasticities[name], rel=1e-6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(small_instances(lpus=False))
def test_input_prices_are_finite_differences_on_random_racks(mapping):
    instance = hbmopt.load(mapping)
    assume(search(instance).plan is not None)
    check_all_inputs(instance, tolerance=2e-4)


@pytest.mark.parametrize("name", ["h200", "gb200_nvl72", "gb300_nvl72", "tpu_v8"])
def test_a_row_with_slack_has_no_price(name):
    solution = hbmopt.solve(hbmopt.load(INSTANCES / f"{name}.yaml"))
    for row in solution.constraints:
        if not row.binding:
            assert row.unit_price == pytest.approx(0.0, abs=1e-6), row.name
        assert row.slack >= -1e-6 * max(1.0, abs(row.limit)), row.name


def test_the_floor_costs_and_the_cap_pays():
    changes = {"limits.power": "100 kW"}
    solution = hbmopt.solve(hbmopt.load(INSTANCES / "gb200_nvl72.yaml", changes))
    rows = {row.name: row for row in solution.constraints}
    assert rows["min_speed"].unit_price < 0
    assert rows["power_cap"].unit_price > 0
    # The same number by the envelope theorem and by the row's multiplier.
    inputs = {one.name: one for one in solution.inputs}
    assert inputs["power_cap"].unit_price == pytest.approx(rows["power_cap"].unit_price, rel=1e-6)


@pytest.mark.parametrize(("floor", "step"), [(30, 0.01), (60, 0.01)])
def test_the_price_of_speed_is_the_slope_between_two_floors(floor, step):
    path, free = INSTANCES / "gb200_nvl72.yaml", {"choices.whole_sequences": False}
    low, at, high = (
        hbmopt.solve(hbmopt.load(path, free | {"limits.min_speed": f"{speed} tok/s/user"}))
        for speed in (floor - step, floor, floor + step)
    )
    slope = (high.throughput_tok_s - low.throughput_tok_s) / (2 * step)
    price = next(row.unit_price for row in at.constraints if row.name == "min_speed")
    assert price == pytest.approx(slope, rel=1e-4)
