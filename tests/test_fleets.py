"""Fleets: what they share with one rack, what changes nothing, and what everything costs."""

import copy
from dataclasses import replace

import pyomo.environ as pyo
import pytest

import fleets
import hbmopt
from hbmopt.fleet import solve_fleet as solve_closely
from hbmopt.fleet.deciding import decide, site_power
from hbmopt.fleet.load_curve import LoadCurve, refine
from hbmopt.fleet.numbers import fleet_data
from hbmopt.fleet.pools import pools_of
from hbmopt.fleet.prices import memory_worth, prices_of, without_bands
from hbmopt.fleet.program import FleetProgram
from hbmopt.fleet.schema import fleet_of, load_fleet_document

CHOICES = {
    "clocks": [1.0, 0.7],
    "kv_formats": ["fp8"],
    "weight_formats": ["fp8"],
    "tensor_parallel": [4, 8],
}
LLAMA = {
    "llm": "llama_3_1_70b",
    "workload": {"prompt": 2000, "output": 500},
    "min_speed": "30 tok/s/user",
}
H200 = {"rack": "hgx_h200", "price": "0.3 MUSD", "choices": CHOICES}
B200 = {"rack": "dgx_b200", "price": "0.5 MUSD", "choices": CHOICES}


def fleet(**changes):
    base = {
        "kind": "fleet",
        "classes": {"chat": LLAMA | {"throughput": "60k tok/s"}},
        "racks": {"h200": H200},
    }
    return copy.deepcopy(base | changes)


def one_rack(**changes):
    """The same rack and class as an instance."""
    limits = {"min_speed": LLAMA["min_speed"]} | changes.pop("limits", {})
    return {
        "rack": {"base": "hgx_h200", "price": "0.3 MUSD"},
        "llm": LLAMA["llm"],
        "workload": LLAMA["workload"],
        "choices": CHOICES,
        "limits": limits,
    } | changes


def relaxed(source, share=None):
    """What a fleet of parts of racks reaches, with prices."""
    document = load_fleet_document(source)
    read = fleet_of(document)
    pools, _ = pools_of(read, document)
    if share is not None:
        refine([pool.curve for pool in pools if isinstance(pool.curve, LoadCurve)], share)
    answer = FleetProgram(fleet_data(read, pools)).relaxed()
    assert answer.optimal
    return answer.objective


def solve_fleet(source, gap=2e-3):
    """The plan of a fleet, as closely as most questions need it."""
    return solve_closely(source, gap=gap)


ONE = {"h200": H200 | {"owned": 1, "at_most": 0}}


@pytest.mark.parametrize("cap", [None, "8 kW", "6.5 kW"])
def test_one_rack_with_one_class_makes_what_solve_says(cap):
    site = {"power": cap, "power_scope": "rack"} if cap else {}
    chat = {"chat": LLAMA}
    plan = solve_closely(fleet(objective="throughput", classes=chat, racks=ONE, site=site))
    limits = {"power": cap} if cap else {}
    expected = hbmopt.solve(one_rack(limits=limits)).throughput_tok_s
    assert plan.amount == pytest.approx(expected, rel=1e-9)
    assert plan.gap < 1e-4


@pytest.mark.parametrize("objective", ["cost", "power"])
def test_one_rack_serves_a_demand_for_what_solve_says(objective):
    chat = {"chat": LLAMA | {"throughput": "4k tok/s"}}
    bought = {"h200": H200 | {"at_most": 1}}
    plan = solve_closely(fleet(objective=objective, classes=chat, racks=bought))
    limits = {"min_throughput": "4k tok/s", "power_scope": "rack"}
    alone = hbmopt.solve(one_rack(limits=limits, objective=objective))
    drawn = alone.power_w / 1e3 * plan.pue
    expected = drawn if objective == "power" else alone.economics.usd_per_hour
    assert plan.amount == pytest.approx(expected, rel=1e-9)


def test_a_type_that_is_there_twice_changes_nothing():
    once = fleet(racks={"h200": H200, "b200": B200})
    twice = fleet(racks={"h200": H200, "b200": B200, "again": B200})
    assert relaxed(twice) == pytest.approx(relaxed(once), rel=1e-7)
    first, second = solve_fleet(once), solve_fleet(twice)
    assert second.amount == pytest.approx(first.amount, rel=first.gap + second.gap + 1e-9)


def test_a_class_in_two_halves_changes_nothing_but_whole_racks():
    half = LLAMA | {"throughput": "30k tok/s"}
    whole, halves = fleet(), fleet(classes={"chat": half, "more": half})
    assert relaxed(halves) == pytest.approx(relaxed(whole), rel=1e-7)
    assert solve_fleet(halves).amount >= solve_fleet(whole).bound * (1 - 1e-9)


def test_a_period_in_two_changes_nothing():
    whole = fleet(periods=[{"name": "day", "weight": 16}, {"weight": 8, "demand": 0.4}])
    parts = [{"name": "morning", "weight": 6}, {"name": "evening", "weight": 10}]
    split = fleet(periods=[*parts, {"weight": 8, "demand": 0.4}])
    assert relaxed(split) == pytest.approx(relaxed(whole), rel=1e-7)
    first, second = solve_fleet(whole), solve_fleet(split)
    assert second.amount == pytest.approx(first.amount, rel=first.gap + second.gap + 1e-9)


def test_another_choice_never_hurts():
    chat = {"chat": LLAMA | {"throughput": "60k tok/s", "racks": ["h200"]}}
    few = solve_fleet(fleet(classes=chat, racks={"h200": H200, "b200": B200}))
    more = solve_fleet(fleet(racks={"h200": H200, "b200": B200}))
    assert more.amount <= few.amount * (1 + more.gap)


def decided(source):
    """A plan with its numbers, without the bands around what its racks make."""
    document = load_fleet_document(source)
    read = fleet_of(document)
    pools, _ = pools_of(read, document)
    plan = decide(fleet_data(read, pools), pools)
    return plan, without_bands(plan.program.data)


def slope(data, changed, step):
    """What parts of racks reach more where something changes by one."""
    ends = [FleetProgram(changed(data, by)).relaxed() for by in (step, -step)]
    assert all(one.optimal for one in ends)
    return (ends[0].objective - ends[1].objective) / (2 * step)


def test_more_demand_costs_its_price():
    day = [{"name": "day"}, {"name": "night", "demand": 0.5}]
    plan, data = decided(fleet(racks={"h200": H200, "b200": B200}, periods=day))

    def more(data, by):
        periods = [replace(one, asked=(one.asked[0] * (1 + by / 60_000),)) for one in data.periods]
        return replace(data, periods=tuple(periods))

    prices = prices_of(plan)
    large = sum(prices.of("demand", 0, period) for period in range(2)) / 60_000
    held = sum(prices.of("demand", 0, period, held=True) for period in range(2)) / 60_000
    assert large == pytest.approx(slope(data, more, 10.0), rel=1e-6)
    assert large < held < 0.0


def test_a_kilowatt_of_the_site_is_worth_its_price():
    plan, data = decided(
        fleet(
            objective="revenue",
            classes={"chat": LLAMA | {"price": "1 USD/Mtok"}},
            racks={"h200": H200 | {"owned": 8, "at_most": 0}},
            site={"power": "70 kW"},
        )
    )

    def more(data, by):
        periods = [replace(one, cap_kw=one.cap_kw + by) for one in data.periods]
        return replace(data, periods=tuple(periods))

    worth = prices_of(plan).of("power_cap", 0) / 70.0
    assert worth == pytest.approx(slope(data, more, 0.01), rel=1e-6)
    assert site_power(plan, 0) <= 70.0 * (1 + 1e-7)
    assert plan.gap < 2e-3


@pytest.mark.parametrize("seed", range(1, 4))
def test_no_plan_of_whole_racks_is_better(seed):
    assert fleets.verdict(seed, gap=1e-3) == ""


def test_prompts_are_computed_where_it_is_cheaper():
    long = LLAMA | {
        "throughput": "20k tok/s",
        "workload": {"prompt": 8000, "output": 500},
        "first_token": "10 s",
    }
    racks = {"h200": H200, "b200": B200}
    amounts = {}
    for prefill in ("shared", "pool", "choose"):
        plan = solve_fleet(fleet(classes={"rag": long | {"prefill": prefill}}, racks=racks))
        amounts[prefill] = plan.amount
        prompts = sum(one.rate[0] for one in plan.pools if one.stage == "prefill")
        decoded = sum(one.rate[0] for one in plan.pools if one.stage == "decode")
        assert prompts == pytest.approx(decoded / 500, rel=1e-6)
    assert amounts["choose"] <= min(amounts["shared"], amounts["pool"]) * (1 + 2e-3)


def test_random_arrivals_need_headroom():
    steady = solve_fleet(fleet())
    limit = {"kind": "random", "wait": "0 s", "percentile": 0.99}
    drawn = solve_fleet(fleet(arrivals=limit))
    assert all(one.headroom[0] == 1.0 for one in steady.pools)
    (pool,) = drawn.pools
    assert 1.0 < pool.headroom[0] < 1.2
    made = pool.racks[0] * pool.rate_of_a_rack
    assert made >= pool.headroom[0] * pool.rate[0] * (1 - 1e-9)
    assert drawn.amount > steady.amount


def test_racks_move_only_as_far_as_they_may():
    loads = {"chat": [1.0, 0.2], "code": [0.2, 1.0]}
    classes = {
        name: LLAMA | {"throughput": "50k tok/s", "load": load} for name, load in loads.items()
    }
    racks, periods = {"h200": H200}, [{"name": "day"}, {"name": "night"}]
    free = solve_fleet(fleet(classes=classes, racks=racks, periods=periods))
    fixed = solve_fleet(fleet(classes=classes, racks=racks, periods=periods, switching=0))
    assert fixed.standing_racks > free.standing_racks
    for pool in fixed.pools:
        assert len(set(pool.racks)) == 1


def test_more_bandwidth_is_worth_what_it_saves():
    plan, _ = decided(fleet(racks={"b200": B200}))
    document = load_fleet_document(fleet(racks={"b200": B200}))
    pools, _ = pools_of(fleet_of(document), document)
    worth = memory_worth(plan, pools)["b200"]
    faster = fleet(
        racks={
            "b200": B200
            | {
                "rack": {
                    "base": "dgx_b200",
                    "accelerator": {"base": "nvidia_b200_sxm", "hbm_bandwidth": "7.777 TB/s"},
                }
            }
        }
    )
    per_cent = relaxed(faster, 1e-3) - relaxed(fleet(racks={"b200": B200}), 1e-3)
    assert worth.terabyte_per_s * 0.077 == pytest.approx(per_cent, rel=0.1)
    assert worth.terabyte_per_s > 0.0 <= worth.gigabyte


def test_a_fleet_is_a_block_of_a_model_of_ones_own():
    racks = {"h200": H200, "b200": B200}
    model = pyo.ConcreteModel()
    model.fleet = hbmopt.fleet_block(fleet(racks=racks))
    model.least = pyo.Objective(expr=model.fleet.cost)
    model.few = pyo.Constraint(expr=model.fleet.bought[1, 0] <= 1)
    pyo.SolverFactory("appsi_highs").solve(model)
    plan = solve_fleet(fleet(racks={"h200": H200, "b200": B200 | {"at_most": 1}}))
    assert pyo.value(model.least) == pytest.approx(plan.amount, rel=2e-3)
    standing = [round(pyo.value(model.fleet.standing[kind, 0])) for kind in range(2)]
    assert standing == [one.standing[0] for one in plan.racks]
