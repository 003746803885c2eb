"""One accelerator, no latency, full overlap: the answer is a formula."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbmopt
from builders import INSTANCES
from hbmopt.demand.coefficients import Segment, replica_data
from hbmopt.demand.configuration import enumerate_configurations
from racks import ideal


def demand(instance):
    """Return resident weights M, weights read W, bytes held S and read Q per sequence, in GB."""
    configurations, _ = enumerate_configurations(instance)
    data = replica_data(instance, configurations[0], 1.0, Segment(1.0, 1.0))
    return (
        sum(part.resident_gb for part in data.components),
        sum(part.read_gb_per_step for part in data.components),
        data.kv_held_gb,
        data.kv_read_gb + sum(part.read_gb_per_sequence for part in data.components),
    )


@settings(max_examples=30, deadline=None)
@given(
    capacity=st.floats(20, 2000),
    bandwidth=st.floats(0.5, 50),
    weights=st.floats(1, 15),
    context=st.integers(100, 100_000),
)
def test_optimum_prices_and_elasticities_are_the_formula(capacity, bandwidth, weights, context):
    instance = hbmopt.load(ideal(capacity, bandwidth, weights, context))
    resident, read, held, cache = demand(instance)
    batch = (capacity - resident) / held
    if batch < 1:
        assert hbmopt.solve(instance).status == "infeasible"
        return
    step_ms = (read + cache * batch) / bandwidth
    throughput = 1e3 * batch / step_ms
    by_capacity = capacity / (capacity - resident) * read / (read + cache * batch)
    solution = hbmopt.solve(instance)
    prices = {row.name: row for row in solution.constraints}
    inputs = {one.name: one for one in solution.inputs}
    close = {"rel": 1e-6}
    assert solution.batch == pytest.approx(batch, **close)
    assert solution.speed_tok_s_user == pytest.approx(1e3 / step_ms, **close)
    assert solution.throughput_tok_s == pytest.approx(throughput, **close)
    assert solution.elasticities["hbm_bandwidth"] == pytest.approx(1.0, **close)
    assert solution.elasticities["hbm_capacity"] == pytest.approx(by_capacity, **close)
    for table in (prices, inputs):
        per_gb, per_tb_s = table["hbm_capacity"].unit_price, table["hbm_bandwidth"].unit_price
        assert per_gb == pytest.approx(by_capacity * throughput / capacity, **close)
        assert per_tb_s == pytest.approx(throughput / bandwidth, **close)
    assert prices["hbm_capacity"].binding
    assert prices["hbm_bandwidth"].binding


@settings(max_examples=15, deadline=None)
@given(share=st.floats(1.05, 4.0), capacity=st.floats(30, 200))
def test_a_floor_above_the_optimum_speed_leaves_capacity_without_a_price(share, capacity):
    free = hbmopt.solve(hbmopt.load(ideal(capacity)))
    floor = free.speed_tok_s_user * share
    instance = hbmopt.load(ideal(capacity), {"limits.min_speed": f"{floor!r} tok/s/user"})
    _, read, _, cache = demand(instance)
    batch = (3.0 * 1e3 / floor - read) / cache
    solution = hbmopt.solve(instance)
    if batch < 1:
        assert solution.status == "infeasible"
        return
    assert solution.batch == pytest.approx(batch, rel=1e-6)
    assert solution.speed_tok_s_user == pytest.approx(floor, rel=1e-6)
    assert solution.elasticities["hbm_capacity"] == pytest.approx(0.0, abs=1e-9)
    rows = {row.name: row for row in solution.constraints}
    # T = s B with B = (BW/s - W)/Q, so dT/ds = -W/Q per ms of speed.
    assert rows["min_speed"].unit_price == pytest.approx(-read / cache, rel=1e-6)
    assert not rows["hbm_capacity"].binding


def test_the_shipped_closed_form_has_the_numbers_of_its_comment():
    solution = hbmopt.solve(hbmopt.load(INSTANCES / "closed_form.yaml"))
    assert solution.batch == pytest.approx(80, rel=1e-9)
    assert solution.speed_tok_s_user == pytest.approx(40, rel=1e-9)
    assert solution.throughput_tok_s == pytest.approx(3200, rel=1e-9)
    assert solution.elasticities["hbm_bandwidth"] == pytest.approx(1.0, rel=1e-9)
    assert solution.elasticities["hbm_capacity"] == pytest.approx(0.25, rel=1e-9)
    assert solution.limiting_resource == "hbm_bandwidth"


@pytest.mark.parametrize(
    "changes",
    [
        {"rack.accelerator.hbm_bandwidth": "0.0000001 TB/s"},
        {"calibration.latency.per_layer": "100000 s"},
        {"calibration.latency.per_layer": "10 s"},
    ],
)
def test_rates_far_from_one_are_as_exact(changes):
    instance = hbmopt.load(INSTANCES / "closed_form.yaml", changes)
    resident, read, held, cache = demand(instance)
    capacity, bandwidth = 100.0, float(instance.rack.accelerator.hbm_bandwidth)
    batch = (capacity - resident) / held
    reading = (read + cache * batch) / bandwidth
    latency = instance.llm.layers * float(instance.calibration.latency.per_layer)
    solution = hbmopt.solve(instance)
    made = 1e3 * batch / max(reading, latency)
    assert solution.throughput_tok_s == pytest.approx(made, rel=1e-6)
    by_capacity = capacity / (capacity - resident)
    if reading > latency:
        by_capacity *= read / (read + cache * batch)
    assert solution.elasticities["hbm_capacity"] == pytest.approx(by_capacity, rel=1e-6)
