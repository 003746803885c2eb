"""Objectives: each is the best of all that can be chosen, and has prices in its own unit."""

import contextlib
import io
import itertools
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hbmopt
from builders import INSTANCES, ROOT
from hbmopt import program
from hbmopt.demand import Segment, aim_of, collect, configuration_data, rack_data
from hbmopt.errors import InputError
from hbmopt.instance import OBJECTIVES, cost_rate, numbers_of
from hbmopt.plan import search
from hbmopt.program import highs
from hbmopt.program.template import coefficients
from hbmopt.studies.sensitivity.price_range import HeldOptimum, held_optimum
from racks import best_amount, small_instances, ways_to_run

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
FRACTIONS = ("tokens_per_joule", "tokens_per_dollar")
FEW_LAYOUTS = {"choices.replica_accelerators": [8]}
"""For tests that ask many questions of a rack."""

PRICES = {"rack.price": "100000 USD", "economics.power_price": "0.4 USD/kWh"}


@st.composite
def asked(draw, objectives, lpus=False):
    """A small rack, and five questions to it: objectives with demands and caps that can be met.

    And some that cannot. They share the ways to run, which take the time.
    """
    mapping = draw(small_instances(lpus=lpus))
    prices = dict(PRICES)
    if "offload" in mapping["rack"]:
        prices["rack.offload.price"] = "20000 USD"
    made = hbmopt.solve(mapping)
    most, power = made.throughput_tok_s or 1.0, (made.power_w or 1e3) / 1e3
    questions = []
    for _ in range(5):
        objective = draw(st.sampled_from(objectives))
        changes = {"objective": objective} | prices
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


@settings(max_examples=8, deadline=None, suppress_health_check=SLOW)
@given(asked(FRACTIONS))
def test_a_fraction_is_that_of_the_best_column(asked_of):
    are_best(*asked_of)


@settings(max_examples=8, deadline=None, suppress_health_check=SLOW)
@given(asked([one for one in OBJECTIVES if one not in FRACTIONS]))
def test_every_other_objective_is_that_of_the_best_column(asked_of):
    are_best(*asked_of)


@settings(max_examples=6, deadline=None, suppress_health_check=SLOW)
@given(asked(list(OBJECTIVES), lpus=True))
def test_no_grid_point_with_shares_on_lpus_is_better(asked_of):
    mapping, questions = asked_of
    ways = ways_to_run(hbmopt.load(mapping))
    for changes in questions:
        instance = hbmopt.load(mapping, changes)
        solution, best = hbmopt.solve(instance), best_amount(instance, ways)
        if best is None:
            continue
        assert solution.feasible
        amount = solution.objective_amount
        ratio = amount / best if OBJECTIVES[instance.objective].least else best / amount
        assert ratio <= 1 + 1e-6


@pytest.mark.parametrize("name", ["h200", "gb200_nvl72", "tpu_v8"])
@pytest.mark.parametrize("objective", FRACTIONS)
def test_a_fraction_is_the_optimum_of_its_transformed_program(name, objective):
    # Charnes and Cooper: with x = y / t and what is divided by equal to 1, a fraction is linear.
    instance = hbmopt.load(INSTANCES / f"{name}.yaml", {"objective": objective} | PRICES)
    found, aim = search(instance), aim_of(instance)
    point = found.point
    exact = Segment(point.batch, point.batch)
    rack, data = rack_data(instance), configuration_data(instance, point.configuration, exact)
    read = coefficients(rack, data)
    template, columns = read.template, len(read.template.columns)
    rows = np.zeros((len(template.rows), columns))
    for row, (first, last) in enumerate(itertools.pairwise(template.starts)):
        rows[row, template.indices[first:last]] = read.values[first:last]
    replicas = template.column("replicas")
    held = np.zeros((1, columns))
    held[0, replicas] = 1.0
    drawn = np.zeros(columns)
    numbers = collect(data, collect(rack, []))
    drawn[template.power_columns] = template.power.gradient(numbers, columns)[
        template.power_columns
    ]
    fixed = template.power.value(numbers, np.zeros(columns))
    per_kw, whole = (1e3, 0.0)
    if objective == "tokens_per_dollar":
        per_kw, whole = aim.usd_per_kwh, aim.usd_per_hour
    # Columns y and t: A y <= b t, replicas y = R t, per_kw (drawn y + fixed t) + whole t = 1.
    body = np.block(
        [
            [rows, -read.upper[:, None]],
            [held, np.array([[-float(point.replicas)]])],
            [per_kw * drawn[None, :], np.array([[per_kw * fixed + whole]])],
        ]
    )
    equal = np.concatenate([template.equality, [True, True]])
    upper = np.concatenate([np.zeros(len(body) - 1), [1.0]])
    # HiGHS drops what is small: columns and rows are measured in what they come to.
    column = 1.0 / np.abs(body).max(axis=0)
    body = body * column
    scale = np.abs(body).max(axis=1) / 1e3
    body, upper = body / scale[:, None], upper / scale
    filled = np.abs(body) > 1e-9
    answer = highs.solve(
        highs.Program(
            cost=np.concatenate([read.cost * 1e3, [0.0]]) * column,
            column_lower=np.zeros(columns + 1),
            column_upper=np.full(columns + 1, highs.INFINITY),
            integer=(),
            row_lower=np.where(equal, upper, -highs.INFINITY),
            row_upper=upper,
            starts=np.concatenate([[0], np.cumsum(filled.sum(axis=1))]).astype(np.int32),
            indices=np.nonzero(filled)[1].astype(np.int32),
            values=body[filled],
        ),
        integers=False,
    )
    per_unit = 3600 / 1e6 if objective == "tokens_per_dollar" else 1.0
    best = hbmopt.solve(instance).objective_amount
    assert answer.objective * per_unit == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("name", ["h200", "gb200_nvl72"])
def test_no_power_cap_makes_more_tokens_per_joule(name):
    best = hbmopt.solve(name, {"objective": "tokens_per_joule"})
    drawn = best.power_w / 1e3
    swept = hbmopt.sweep(name, f"limits.power={0.7 * drawn} kW:{1.2 * drawn} kW:{drawn / 40} kW")
    reached = [row["tok_s_per_mw"] / 1e6 for row in swept.rows if row["status"] == "optimal"]
    assert len(reached) > 10
    assert max(reached) <= best.objective_amount * (1 + 1e-9)
    assert max(reached) >= best.objective_amount * 0.99


@pytest.mark.parametrize("name", ["h200", "gb200_nvl72", "gb300_nvl72"])
def test_with_power_for_nothing_tokens_per_dollar_are_those_of_the_most_tokens(name):
    free = {"economics.power_price": "0 USD/kWh"}
    most = hbmopt.solve(name, free)
    per_dollar = hbmopt.solve(name, free | {"objective": "tokens_per_dollar"})
    assert per_dollar.throughput_tok_s == pytest.approx(most.throughput_tok_s, rel=1e-9)
    hourly = most.economics.usd_per_hour
    capital = most.throughput_tok_s * 3600 / 1e6 / hourly
    assert per_dollar.objective_amount == pytest.approx(capital, rel=1e-9)


OBJECTIVES_WITH_DEMAND = [(one, "2k tok/s") for one in OBJECTIVES]


@pytest.mark.parametrize(("objective", "demand"), OBJECTIVES_WITH_DEMAND)
def test_prices_are_what_the_optimum_changes_by_with_integers_held(objective, demand):
    changes = {"objective": objective, "limits.min_throughput": demand} | PRICES
    instance = hbmopt.load("h200", changes)
    numbers = {one.name: one for one in numbers_of(instance)}
    found = hbmopt.sensitivity(instance, top=24, resolve=False)  # ranges of all take a while
    priced = [one for one in found.numbers if one.elasticity and abs(one.elasticity) > 0.02]
    assert len(priced) > 5
    optimum = search(instance)
    held = HeldOptimum(optimum.relaxed, optimum.around)
    for one in priced[::2]:  # neighbours in worth are alike
        if one.unit_price_below is not None:
            continue
        number, step = numbers[one.name], 1e-4
        ends = []
        for factor in (1.0 + step, 1.0 - step):
            moved = number.at(instance, number.amount * factor)
            solved = program.answered(held_optimum(moved, held.operation))
            ends.append(solved.objective)
        slope = (ends[0] - ends[1]) / (2 * step) / held.objective
        assert slope == pytest.approx(one.elasticity, rel=2e-3, abs=2e-5), one.name


def test_the_terms_of_costs_have_prices_where_money_is_what_counts():
    changes = {"objective": "tokens_per_dollar"} | PRICES
    found = hbmopt.sensitivity("h200", changes, only="*price*", resolve=False)
    by_name = {one.name: one for one in found.numbers}
    # A tenth of a cent more for a kWh, and a dearer rack, both make fewer tokens for a dollar.
    assert by_name["economics.power_price"].elasticity < 0
    assert by_name["rack.price"].elasticity < 0
    solution = hbmopt.solve("h200", changes)
    rate = cost_rate(hbmopt.load("h200", changes))
    energy = rate.usd_per_kwh * solution.power_w / 1e3
    share = energy / rate.usd_per_hour(solution.power_w / 1e3)
    assert by_name["economics.power_price"].elasticity == pytest.approx(-share, rel=1e-3)


@pytest.mark.parametrize("objective", ["throughput", "tokens_per_joule", "power", "cost"])
def test_a_mix_is_no_worse_than_its_best_single_configuration(objective):
    changes = {"objective": objective, "limits.min_throughput": "40k tok/s"} | PRICES
    changes["choices.replica_accelerators"] = [8, 36]
    single = hbmopt.solve("gb200_nvl72", changes)
    mixed = hbmopt.solve("gb200_nvl72", changes | {"choices.uniform": False})
    better = -1 if OBJECTIVES[objective].least else 1
    assert better * mixed.objective_amount >= better * single.objective_amount * (1 - better * 1e-9)
    assert mixed.throughput_tok_s >= 40_000 * (1 - 1e-9)


@pytest.mark.parametrize("objective", ["speed", "accelerators"])
def test_a_mix_is_not_sought_for_a_speed_or_a_count(objective):
    changes = {
        "objective": objective,
        "limits.min_throughput": "2k tok/s",
        "choices.uniform": False,
    }
    with pytest.raises(InputError, match=r"choices\.uniform=true"):
        hbmopt.solve("h200", changes)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"objective": "power"}, r"limits\.min_throughput"),
        ({"objective": "least"}, "tokens_per_joule"),
        ({"objective": "cost", "limits.min_throughput": "9 tok/s", "rack": "helios"}, "rack.price"),
        ({"limits.budget_usd": "1 MUSD", "rack": "helios"}, "rack.price"),
        ({"limits.min_throughput": "5"}, "no unit"),
    ],
)
def test_what_cannot_be_asked_is_one_line(changes, remedy):
    with pytest.raises(InputError, match=remedy) as caught:
        hbmopt.solve("h200", changes)
    assert "\n" not in str(caught.value)


def test_a_demand_that_is_too_high_is_told_with_what_is_in_its_way_and_its_cures():
    changes = {"limits.min_throughput": "20k tok/s"} | FEW_LAYOUTS
    solution = hbmopt.solve("h200", changes)
    assert not solution.feasible
    assert solution.conflict.limits[0] == "min_throughput"
    assert {"step_time", "min_speed"} <= set(solution.conflict.limits)
    assert "20,000 tok/s is more than the rack makes" in solution.conflict.summary
    cures = hbmopt.explain("h200", changes).cures
    cure = next(one for one in cures.found if one.key == "limits.min_throughput")
    (setting,) = cure.settings
    assert hbmopt.solve("h200", [setting.replace('"', "")]).feasible


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"limits.accelerator_power": "500 W"}, "accelerator_power"),
        ({"limits.budget_usd": "100 kUSD"}, "budget_usd"),
    ],
)
def test_caps_on_accelerators_and_money_hold(changes, name):
    free, capped = hbmopt.solve("h200"), hbmopt.solve("h200", changes)
    row = next(one for one in capped.constraints if one.name == name)
    assert row.usage <= row.limit * (1 + 1e-6)
    assert capped.throughput_tok_s < free.throughput_tok_s
    again = hbmopt.load(hbmopt.load("h200", changes), {})
    assert hbmopt.solve(again).throughput_tok_s == capped.throughput_tok_s


def test_the_lower_of_two_power_limits_counts():
    asked = {"limits.accelerator_power": "600 W", "rack.accelerator.power_limit": "500 W"}
    lower = hbmopt.solve("h200", {"rack.accelerator.power_limit": "500 W"})
    assert hbmopt.solve("h200", asked).throughput_tok_s == lower.throughput_tok_s


def test_frontiers_of_other_objectives_are_the_best_at_each_of_their_speeds():
    curve = hbmopt.frontier("h200", {"objective": "tokens_per_joule"})
    assert curve.sampled
    for speed, amount in list(zip(curve.speeds, curve.amounts, strict=True))[::3]:
        changes = {
            "objective": "tokens_per_joule",
            "limits.min_speed": f"{speed * (1 - 1e-9)} tok/s",
        }
        assert hbmopt.solve("h200", changes).objective_amount == pytest.approx(amount, rel=1e-6)
    with pytest.raises(InputError, match="a frontier runs over speeds"):
        hbmopt.frontier("h200", {"objective": "speed"})


def test_docs():
    block = r"<!-- executed by the tests -->\n```python\n(.*?)```\n\n```console\n(.*?)```"
    text = (ROOT / "docs" / "objectives.md").read_text(encoding="utf-8")
    blocks = re.findall(block, text, re.DOTALL)
    assert blocks
    for code, printed in blocks:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(code, {})
        assert said.getvalue() == printed


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        ("power", "The least power at round speeds per user"),
        ("tokens_per_joule", "The most tokens per joule at round speeds per user"),
        ("speed", "what is sought above has no frontier over speeds"),
    ],
)
def test_a_page_speaks_of_what_is_sought(objective, said, tmp_path):
    path = tmp_path / "page.html"
    changes = {"objective": objective, "limits.min_throughput": "2k tok/s"} | FEW_LAYOUTS
    hbmopt.report_page("h200", changes).write(path)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", path.read_text(encoding="utf-8")))
    assert said in text
    unit = OBJECTIVES[objective].unit
    assert f"price of speed, {'tok/s' if objective == 'speed' else unit} per tok/s/user" in text
    assert "makes at most" not in text


@pytest.mark.parametrize("objective", ["tokens_per_joule", "power"])
def test_a_rack_that_draws_nothing_has_no_such_objective(objective):
    changes = {"objective": objective, "limits.min_throughput": "100 tok/s"}
    with pytest.raises(InputError, match="the rack draws no power"):
        hbmopt.solve("closed_form", changes)
