"""Sizes: the racks that a demand takes, and how much of a number is enough for it."""

import json

import pyomo.environ as pyo
import pytest

import hbmopt
from commands import invoke
from hbmopt.errors import InputError

LAYOUTS = {"choices.replica_accelerators": [4, 8]}
"""What is tested here does not hang on layouts, of which many questions ask."""

CHAT = {"llm": "llama_3_1_70b", "workload": {"context": 8192}} | LAYOUTS
"""Llama 3.1 70B with 8k tokens of context, on nodes of eight H200."""


@pytest.fixture(scope="module")
def chat():
    return hbmopt.size("h200", CHAT, users=3000, speed="30 tok/s")


def plan(racks_at_most, users=3000, speed=30.0):
    """The fewest racks as a planning model finds them."""
    model = pyo.ConcreteModel()
    changes = CHAT | {"limits.min_speed": f"{speed} tok/s"}
    model.nodes = hbmopt.rack_block("h200", changes, racks_at_most=racks_at_most)
    model.demand = pyo.Constraint(expr=model.nodes.throughput >= users * speed)
    model.fewest = pyo.Objective(expr=model.nodes.racks)
    return hbmopt.solve_model(model, objective_unit="racks")


def test_the_fewest_racks_are_those_of_a_plan_and_one_less_is_too_few(chat):
    fewest = chat.chosen
    assert chat.demand_tok_s == 90_000
    assert fewest.least == "racks"
    assert plan(fewest.racks + 3).objective == pytest.approx(fewest.racks)
    with pytest.raises(hbmopt.InfeasiblePlanError):
        plan(fewest.racks - 1)
    assert (fewest.racks - 1) * chat.rack_tok_s < chat.demand_tok_s
    assert fewest.throughput_tok_s >= chat.demand_tok_s * (1 - 1e-9)
    assert fewest.speed_tok_s_user >= 30 * (1 - 1e-9)
    assert fewest.spare == pytest.approx(fewest.racks * chat.rack_tok_s / 90_000 - 1)
    assert fewest.accelerators == 8 * fewest.racks == 8 * fewest.nodes


def test_no_number_of_racks_draws_or_costs_less_than_those_that_are_said_to_be_least(chat):
    by_least = {one.least: one for one in chat.fleets}
    for least, objective in (("power", "power"), ("cost", "cost")):
        found = by_least[least]
        amounts = {}
        for count in range(by_least["racks"].racks, by_least["racks"].racks + 8):
            share = CHAT | {
                "objective": objective,
                "limits.min_throughput": f"{90_000 / count} tok/s",
                "limits.min_speed": "30 tok/s",
            }
            amounts[count] = count * hbmopt.solve("h200", share).objective_amount
        assert min(amounts, key=amounts.get) == found.racks
        # What is told of every other number of racks: none takes less by more than the gap.
        assert min(amounts.values()) >= amounts[found.racks] * (1 - found.gap - 1e-9)
    assert by_least["power"].power_kw <= by_least["racks"].power_kw
    assert by_least["cost"].usd_per_year <= by_least["power"].usd_per_year


def test_nodes_are_counted_in_racks_of_several():
    pair = hbmopt.size("h200", CHAT | {"rack.nodes": 2}, users=3000, speed=30).chosen
    assert pair.nodes == 2 * pair.racks
    assert pair.accelerators == 16 * pair.racks


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("rack.accelerator.hbm_capacity", {"users": 300, "speed": 30}),
        ("rack.accelerator.hbm_bandwidth", {"demand": "8k tok/s", "speed": 30}),
        ("workload.context", {"speed": 30, "users": 200}),
        ("llm.parameters", {"speed": 20}),
        ("speed", {"users": 64}),
    ],
)
def test_what_is_enough_is_enough_and_a_hundredth_short_of_it_is_not(name, asked):
    found = hbmopt.size("h200", CHAT, solve_for=name, **asked)
    unknown = found.unknown
    assert found.feasible
    assert unknown.more == (name.startswith("rack."))

    def served(value):
        amount = f"{value:.15g} {unknown.unit}" if unknown.unit not in ("%", "tokens") else value
        changes, speed = dict(CHAT), asked.get("speed", 0)
        if name == "speed":
            speed = value
        elif unknown.unit == "%":
            parameters = hbmopt.load("h200", CHAT).llm.parameters
            scaled = {
                key: float(each) * value / 100
                for key, each in parameters.model_dump().items()
                if isinstance(each, int | float)
            }
            changes["llm.parameters"] = scaled
        elif name == "workload.context":
            changes["workload"] = {"context": round(value)}
        else:
            changes[unknown.name] = amount
        demand = asked.get("demand") or f"{asked.get('users', 0) * speed} tok/s"
        if not demand.startswith("0"):
            changes["limits.min_throughput"] = demand
        changes["limits.min_speed"] = f"{speed} tok/s"
        return hbmopt.solve("h200", changes).feasible

    assert served(unknown.value)
    assert not served(unknown.short)
    assert abs(unknown.short / unknown.value - 1) <= 0.0101


def test_the_command_says_what_is_proven():
    words = ("size", "h200", "--set", "llm=llama_3_1_70b", "--users", "3000", "--speed", "30")
    text = invoke(*words).stdout
    assert "fewest racks" in text
    assert "least power" in text
    assert "USD per" in text
    assert "One rack makes at most" in text
    assert "racks make at most" in text
    data = json.loads(invoke(*words, "--format", "json").stdout)
    assert [one["least"] for one in data["fleets"]] == ["racks", "power", "cost"]
    rows = invoke(*words, "--format", "csv").stdout.splitlines()
    assert len(rows) == 4


def test_a_fleet_that_nothing_serves_says_why():
    result = invoke("size", "h200", "--users", "10", "--speed", "5000")
    assert result.exit_code == 1
    assert "Infeasible: the speed floor of 5000" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("h200",), "--users 3000 --speed"),
        (("closed_form", "--users", "3000"), "--users needs a speed"),
        (("h200", "--users", "3", "--demand", "2M tok/s"), "either --users, or --demand"),
        (("h200", "--demand", "2M"), 'such as "50k tok/s"'),
        (("h200", "--users", "-1"), "must be more than 0"),
        (("h200", "--users", "inf", "--speed", "30"), "and finite"),
        (("h200", "--solve-for", "speed", "--least", "power"), "--least is about numbers of racks"),
        (("h200", "--solve-for", "choices.clocks"), "name a number"),
        (("h200", "--speed", "30 GB", "--users", "5"), "speed"),
        (("h200", "--solve-for", "rack.accelerator.hbm_capcity"), "hbm_capacity"),
        (
            ("rubin_ultra", "--demand", "1M tok/s", "--least", "cost", "--speed", "50"),
            "rack.price",
        ),
    ],
)
def test_what_cannot_be_sized_is_one_line(arguments, remedy):
    result = invoke("size", *arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert remedy in line


def test_python_takes_the_same_questions():
    with pytest.raises(InputError, match="nothing is to be served"):
        hbmopt.size("h200")
    found = hbmopt.size("h200", CHAT | {"limits.min_throughput": "50k tok/s"})
    assert found.demand_tok_s == 50_000
    assert repr(found).startswith("<Sizing: h200, ")
    assert "<table" in found._repr_html_()


def test_a_rack_that_draws_nothing_is_counted_all_the_same():
    found = hbmopt.size("closed_form", demand="5k tok/s")
    assert [one.least for one in found.fleets] == ["racks"]
    assert found.chosen.racks == 2
    assert "One rack makes at most 3,200 tok/s" in invoke(
        "size", "closed_form", "--demand", "5k tok/s"
    ).stdout.replace("one rack", "One rack")


@pytest.mark.parametrize("name", ["limits.power", "limits.accelerator_power", "limits.budget_usd"])
def test_limits_that_are_not_given_can_be_what_is_sought(name):
    found = hbmopt.size("h200", LAYOUTS, users=100, speed=30, solve_for=name).unknown
    assert found.more
    assert found.value <= found.now
    given = f"{found.value:.12g} {found.unit}"
    asked = {"limits.min_speed": "30 tok/s", "limits.min_throughput": "3000 tok/s"} | LAYOUTS
    assert hbmopt.solve("h200", asked | {name: given}).feasible
    short = f"{found.short:.12g} {found.unit}"
    assert not hbmopt.solve("h200", asked | {name: short}).feasible


def test_how_little_is_enough_is_told_where_too_much_fails_as_well():
    # So many accelerators at rest draw more than the rack may.
    found = hbmopt.size("h200", users=64, speed=30, solve_for="rack.accelerators").unknown
    assert found.more
    assert (found.value, found.short) == (4, 3)


def test_the_longest_context_is_that_of_the_prompt_where_there_is_one():
    found = hbmopt.size("h200", users=50, speed=30, solve_for="context").unknown
    assert found.name == "workload.prompt"
    assert not found.more


def test_a_speed_that_is_sought_is_what_is_served():
    found = hbmopt.size("h200", users=64, solve_for="speed")
    assert found.speed_tok_s_user == found.unknown.value
    assert found.demand_tok_s == pytest.approx(64 * found.unknown.value)
