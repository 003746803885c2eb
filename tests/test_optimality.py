"""No point of a grid beats the optimum, and the optimum is a point that physics confirms."""

import pyomo.environ as pyo
import pytest
from hypothesis import HealthCheck, given, settings

import hbmopt
from builders import INSTANCES
from hbmopt.demand.coefficients import Segment, configuration_data, rack_data
from hbmopt.models.objective import maximise
from hbmopt.models.rack import declare_rack
from hbmopt.plan import search
from racks import brute_force, ideal, small_instances

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
NOTHING = 1e-6
"""Throughput, in tok/s, that is rounding: a cap that equals what idle devices draw leaves some."""


@settings(max_examples=15, deadline=None, suppress_health_check=SLOW)
@given(small_instances())
def test_no_grid_point_beats_the_optimum(mapping):
    instance = hbmopt.load(mapping)
    solution = hbmopt.solve(instance)
    best = brute_force(instance)
    if solution.status == "infeasible":
        assert best <= NOTHING
        return
    assert best <= solution.throughput_tok_s * (1 + 1e-8)
    assert solution.certificate.piecewise_error <= 1e-8
    assert solution.certificate.violation <= 1e-6


@settings(max_examples=15, deadline=None, suppress_health_check=SLOW)
@given(small_instances(lpus=False))
def test_without_offload_the_grid_reaches_the_optimum(mapping):
    # Every whole batch, layout and replica count is on the grid then, and with one power to
    # limit no more than two clocks in turn are needed: it must agree both ways.
    instance = hbmopt.load(mapping)
    solution = hbmopt.solve(instance)
    reached = solution.throughput_tok_s or 0.0
    assert brute_force(instance) == pytest.approx(reached, rel=1e-8, abs=NOTHING)


@pytest.mark.parametrize("name", ["h100", "gb200_nvl72", "rubin_nvl72_lpx", "tpu_v8"])
def test_pyomo_solves_the_plan_to_the_same_throughput(name):
    instance = hbmopt.load(INSTANCES / f"{name}.yaml")
    found = search(instance)
    plan, batch = found.plan, Segment(found.point.batch, found.point.batch)
    model = pyo.ConcreteModel()
    data = configuration_data(instance, found.point.configuration, batch)
    declare_rack(model, rack_data(instance), [data], uniform=True)
    maximise(model)
    pyo.SolverFactory("appsi_highs").solve(model)
    assert pyo.value(model.throughput) * 1e3 == pytest.approx(plan.throughput, rel=1e-9)


def test_a_coarse_program_of_all_configurations_bounds_the_plan():
    instance = hbmopt.load(INSTANCES / "h200.yaml")
    model = pyo.ConcreteModel()
    model.rack = hbmopt.rack_block(instance)
    model.tokens = pyo.Objective(expr=model.rack.throughput, sense=pyo.maximize)
    pyo.SolverFactory("appsi_highs").solve(model)
    plan = hbmopt.solve(instance)
    assert pyo.value(model.tokens) >= plan.throughput_tok_s * (1 - 1e-6)
    assert pyo.value(model.tokens) <= plan.throughput_tok_s * 1.5


def test_whole_sequences_lose_what_the_certificate_says():
    free = hbmopt.solve(hbmopt.load(ideal(50.0)))
    whole = hbmopt.solve(hbmopt.load(ideal(50.0, whole_sequences=True)))
    assert whole.batch == int(free.batch)
    assert whole.certificate.rounding_loss == pytest.approx(
        1 - whole.throughput_tok_s / free.throughput_tok_s, rel=1e-9
    )
    assert whole.priced_batch == pytest.approx(free.batch, rel=1e-9)


def test_a_mix_of_configurations_is_never_worse_and_can_be_better():
    # Twelve accelerators: a replica of eight leaves four idle, unless they may run another
    # layout; three replicas of four use all, but at this speed eight make more than twice four.
    changes = {
        "rack.accelerators": 12,
        "rack.scale_up_domain": 12,
        "choices.replica_accelerators": [4, 8],
        "limits.power_capped": False,
        "limits.min_speed": "60 tok/s/user",
    }
    instance = hbmopt.load(INSTANCES / "h100.yaml", changes)
    single = hbmopt.solve(instance)
    mixed = hbmopt.solve(hbmopt.load(INSTANCES / "h100.yaml", changes | {"choices.uniform": False}))
    assert single.status == mixed.status == "optimal"
    assert mixed.throughput_tok_s > single.throughput_tok_s * 1.01
    assert len(mixed.configurations) == 2
    total = sum(one.throughput_tok_s for one in mixed.configurations)
    assert total == pytest.approx(mixed.throughput_tok_s, rel=1e-9)
    used = [one.replicas * one.accelerators for one in mixed.configurations]
    assert sorted(used) == [4, 8]
