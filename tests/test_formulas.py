"""Formulas are compiled to what Pyomo says that they are, and no step is done twice."""

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hbmopt
from builders import INSTANCES
from hbmopt.demand import Demand, Point, Segment, collect, enumerate_configurations
from hbmopt.plan import search
from hbmopt.program.formulas import Formula, Formulas

COUNT = 4


def model():
    built = pyo.ConcreteModel()
    built.p = pyo.Param(range(COUNT), mutable=True, initialize=1.0)
    return built


def combined(children):
    return st.tuples(st.sampled_from("+-*/^n"), children, children)


TREES = st.recursive(
    st.one_of(st.integers(0, COUNT - 1), st.sampled_from([0.0, 1.0, -1.0, 2.5])), combined
)


def built_of(tree, p):
    """Return the formula of a tree; a whole number stands for a parameter."""
    if isinstance(tree, int):
        return p[tree]
    if isinstance(tree, float):
        return tree
    sign, left, right = tree
    one, other = built_of(left, p), built_of(right, p)
    match sign:
        case "+":
            return one + other
        case "-":
            return one - other
        case "*":
            return one * other
        case "/":
            return one / (other * other + 1.0)
        case "^":
            return (one * one + 1.0) ** 0.5
    return -one


@given(TREES, st.lists(st.floats(-8, 8), min_size=COUNT, max_size=COUNT))
def test_a_compiled_formula_has_the_value_that_pyomo_gives_it(tree, numbers):
    declared = model()
    expression = built_of(tree, declared.p)
    for place, number in enumerate(numbers):
        declared.p[place] = number
    formulas = Formulas()
    (found,) = formulas.function([formulas.term(expression)])(numbers)
    expected = pyo.value(expression)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    twice = [np.array([number, number]) for number in numbers]
    (found,) = formulas.function([formulas.term(expression)])(twice)
    assert np.broadcast_to(found, 2) == pytest.approx([expected] * 2, rel=1e-9, abs=1e-9)


def test_a_step_that_two_formulas_share_is_named_once():
    p, formulas = model().p, Formulas()
    shared = p[0] * p[1]
    terms = [formulas.term(shared + p[2]), formulas.term(shared * p[3])]
    assert terms == [formulas.term(p[0] * p[1] + p[2]), formulas.term(p[0] * p[1] * p[3])]
    assert len(set(terms)) == 2
    assert formulas.function(terms)([2.0, 3.0, 4.0, 5.0]) == (10.0, 30.0)
    assert formulas.function(terms).__code__.co_nlocals == 1 + 3


def test_nothing_and_one_leave_no_steps():
    p, formulas = model().p, Formulas()
    assert formulas.sum("0.0", "p[1]") == "p[1]"
    assert formulas.sum() == formulas.negative("0.0") == "0.0"
    assert formulas.term((p[0] * p[1]) * 0) == "0.0"
    assert formulas.function([formulas.term((p[0] + 0.0) * 1.0)]).__code__.co_nlocals == 1


def test_a_linear_formula_has_a_value_and_a_gradient():
    formulas = Formulas()
    formula = Formula(formulas, [2, 0], ["p[0]", formulas.negative("p[1]")], "p[2]")
    assert formula.value([3.0, 5.0, 7.0], np.array([1.0, 10.0, 100.0])) == 300.0 - 5.0 + 7.0
    assert formula.gradient([3.0, 5.0, 7.0], 3).tolist() == [-5.0, 0.0, 3.0]


@pytest.mark.parametrize("name", [one.stem for one in sorted(INSTANCES.glob("*.yaml"))])
def test_the_numbers_of_a_demand_are_those_of_its_program(name):
    instance = hbmopt.load(INSTANCES / f"{name}.yaml")
    best = search(instance).point.configuration
    for configuration in (best, *enumerate_configurations(instance)[0][::40]):
        demand = Demand(instance, configuration)
        clocks, parts = configuration.clocks, len(demand.whole_replica(1.0).offloaded)
        point = Point(3.0, (0.5,) * parts, (1.0,) * len(clocks), 2.0, 5.0)
        for batches in (Segment(1.0, 1.0), Segment(2.0, 77.5), point):
            assert demand.numbers(batches) == collect(demand.over(batches), [])
