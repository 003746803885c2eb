"""Objectives: each is the best of everything that can be chosen, and has prices in its own unit."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hbmopt
from hbmopt.instance import OBJECTIVES
from racks import best_amount, small_instances, ways_to_run

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
FRACTIONS = ("tokens_per_joule", "tokens_per_dollar")
PRICES = {"rack.price": "100000 USD", "economics.power_price": "0.4 USD/kWh"}


@st.composite
def asked(draw, objectives):
    """A small rack, and five questions to it: objectives with demands and caps that can be met.

    And some that cannot. They share the ways to run, which take the time.
    """
    mapping = draw(small_instances(lpus=False))
    made = hbmopt.solve(mapping)
    most, power = made.throughput_tok_s or 1.0, (made.power_w or 1e3) / 1e3
    questions = []
    for _ in range(5):
        objective = draw(st.sampled_from(objectives))
        changes = {"objective": objective} | PRICES
        if OBJECTIVES[objective].least or draw(st.booleans()):
            changes["limits.min_throughput"] = f"{draw(st.floats(0.05, 1.02)) * most:.6g} tok/s"
        if draw(st.booleans()):
            changes["limits.power"] = f"{draw(st.floats(0.7, 1.05)) * power:.6g} kW"
        questions.append(changes)
    return mapping, questions


def are_best(mapping, questions):
    ways = ways_to_run(hbmopt.load(mapping))
    for changes in questions:
        instance = hbmopt.load(mapping, changes)
        solution, best = hbmopt.solve(instance), best_amount(instance, ways)
        if best is None:
            assert solution.status == "infeasible"
            continue
        assert solution.status == "optimal"
        assert solution.objective_amount == pytest.approx(best, rel=1e-6)
        assert solution.certificate.piecewise_error <= 1e-6
        least = float(instance.limits.min_throughput or 0.0)
        assert solution.throughput_tok_s >= least * (1 - 1e-6)


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(asked(FRACTIONS))
def test_a_fraction_is_that_of_the_best_column(asked_of):
    are_best(*asked_of)


@settings(max_examples=20, deadline=None, suppress_health_check=SLOW)
@given(asked([one for one in OBJECTIVES if one not in FRACTIONS]))
def test_every_other_objective_is_that_of_the_best_column(asked_of):
    are_best(*asked_of)
