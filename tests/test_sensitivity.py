"""Every number has the price that differences of re-solves have, as far as its range says."""

import csv
import io
import json
import math
from dataclasses import replace
from itertools import pairwise

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hbmopt
from builders import INSTANCES
from commands import runner
from hbmopt.basics import show
from hbmopt.cli import cli
from hbmopt.demand import Demand, Segment, smallest_batch
from hbmopt.documents.figure import Figure
from hbmopt.errors import InputError
from hbmopt.instance.numbers import ACCELERATOR_POWER, KV_CACHE, PEAKS, WEIGHTS, numbers_of
from hbmopt.llm.attention import whole_groups
from hbmopt.plan import search
from hbmopt.program import answered, solve_program
from hbmopt.report.charts.chart_files import sensitivity_chart
from hbmopt.report.tables.json_schema import schema_text
from hbmopt.studies.sensitivity.price_range import (
    NO_PLAN,
    HeldOptimum,
    held_optimum,
    nothing_at,
    slope,
)
from hbmopt.studies.sensitivity.study import parse_step

CLOSED_FORM = INSTANCES / "closed_form.yaml"
FAST = {"limits.min_speed": "60 tok/s/user"}
"""A floor above s*: capacity has slack, and everything about it has a formula."""


def load(name, **changes):
    return hbmopt.load(INSTANCES / f"{name}.yaml", changes)


def study(path=CLOSED_FORM, changes=None, **options):
    return hbmopt.sensitivity(hbmopt.load(path, changes or {}), **options)


def held(instance):
    """The priced optimum of an instance, as the ranges hold it."""
    found = search(instance)
    return HeldOptimum(found.relaxed, found.around)


def difference(instance, centre, number):
    """d(objective) / d(amount) by re-solves with configuration and replicas held.

    Central, or forward for a number that is 0, and extrapolated from two widths. Both lie where
    the optimum is the same smooth function.
    """
    width = 1e-3 * number.size
    while True:
        reach = (1, 2) if number.amount == 0 else (-2, -1, 1, 2)
        ends = {
            one: answered(
                held_optimum(number.at(instance, number.amount + one * width), centre.operation)
            )
            for one in reach
        }
        if all(end is not None and end.same(centre) for end in ends.values()):
            break
        width /= 4
        assert width > 1e-6 * number.size, f"{number.name}: at a kink"
    values = {one: end.objective for one, end in ends.items()}
    if number.amount == 0:
        return (4 * values[1] - values[2] - 3 * centre.objective) / (2 * width)
    near, far = values[1] - values[-1], values[2] - values[-2]
    return (8 * near - far) / (12 * width)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("closed_form", {}),
        ("a100", {}),
        # At 10.2 kW the cap of the server and the limits of its chips bind at once.
        ("h200_kv_compression", {"limits.power": "10 kW"}),
        ("cpu_budget", {}),
        ("mi455x_helios", {}),
        ("gb300_nvl72", {}),
        ("rubin_nvl72_lpx", {}),
        ("gb200_drafting", {"workload.prefill": "shared", "workload.prefix_hit_rate": 0.5}),
    ],
)
def test_every_price_is_the_difference_of_re_solves(name, changes):
    instance = load(name, **changes)
    centre = held(instance)
    checked = 0
    for number in numbers_of(instance):
        if not number.priced or (number.amount == 0 and number.name.startswith("limits.budgets")):
            continue
        price = slope(centre.priced, instance, number, number.amount)
        expected = difference(instance, centre, number)
        elasticity = abs(expected) * number.size / centre.objective
        # 1e-5 of the price; of a ten-thousandth of throughput per % where it is smaller than that.
        error = abs(price - expected) * number.size / centre.objective
        # Mixes of clocks bend a little between the ends.
        close = 1e-3 if number.name in ("limits.power", ACCELERATOR_POWER) else 1e-5
        assert error <= close * max(elasticity, 1e-4), number.name
        checked += elasticity > 1e-6
    assert checked >= 4


def test_prices_of_hardware_are_those_of_solve():
    instance = load("rubin_nvl72_lpx", **{"choices.replica_accelerators": [72]})
    solution = hbmopt.solve(instance)
    found = hbmopt.sensitivity(instance, only="rack.*", resolve=False)
    inputs = {one.name: one for one in solution.inputs}
    for path, name in (
        ("rack.accelerator.hbm_bandwidth", "hbm_bandwidth"),
        ("rack.accelerator.scale_up_bandwidth", "interconnect"),
        ("rack.offload.device.link_bandwidth", "lpu_link"),
        ("rack.offload.device.sram_bandwidth", "sram_bandwidth"),
    ):
        price = found.number(path)
        assert price.unit_price == pytest.approx(inputs[name].unit_price, rel=1e-6)
        assert price.elasticity == pytest.approx(inputs[name].elasticity, rel=1e-6)
    assert found.number(PEAKS).elasticity == pytest.approx(inputs["compute"].elasticity, rel=1e-6)


def test_the_power_limit_alone_has_the_price_of_its_row():
    # Long prompts computed here are all arithmetic, which this chip's limit cannot feed.
    instance = hbmopt.load(
        {
            "rack": "trn2_ultra",
            "llm": "llama_3_1_8b",
            "workload": {"prompt": 131072, "output": 256, "prefill": "shared"},
            "choices": {"weight_formats": ["fp8"], "clocks": [1.0]},
        }
    )
    row = next(one for one in hbmopt.solve(instance).constraints if one.name == "accelerator_power")
    assert row.elasticity > 0.1
    found = hbmopt.sensitivity(instance, only="accelerator", resolve=False)
    assert found.number(ACCELERATOR_POWER).unit_price == pytest.approx(row.unit_price, rel=1e-6)
    # A higher TDP is a higher limit, but draws more at rest; with a limit of its own only that.
    assert 0 < found.number("rack.accelerator.tdp").unit_price < row.unit_price
    limited = hbmopt.load(instance, {"rack.accelerator.power_limit": "400 W"})
    found = hbmopt.sensitivity(limited, only="accelerator", resolve=False)
    row = next(one for one in hbmopt.solve(limited).constraints if one.name == "accelerator_power")
    assert found.number(ACCELERATOR_POWER).unit_price == pytest.approx(row.unit_price, rel=1e-6)
    assert found.number("rack.accelerator.tdp").unit_price < 0


@pytest.mark.parametrize("group", [PEAKS, WEIGHTS])
def test_figures_that_are_scaled_together_are_worth_their_sum(group):
    instance = load("mi455x_helios")
    centre = held(instance)
    shares = {
        one.name: slope(centre.priced, instance, one, one.amount) * one.amount
        for one in numbers_of(instance)
        if one.priced
    }
    number = next(one for one in numbers_of(instance) if one.name == group)
    names = [".".join(map(str, path)) for path in number.paths]
    assert len(names) >= 3
    assert shares[group] == pytest.approx(sum(shares[name] for name in names), rel=1e-6)


def test_every_figure_of_an_instance_is_listed():
    def figures(node, path=()):
        if isinstance(node, Figure):
            yield ".".join(path)
        elif isinstance(node, dict):
            for key, item in node.items():
                yield from figures(item, (*path, key))
        elif hasattr(type(node), "model_fields"):
            for key in type(node).model_fields:
                yield from figures(getattr(node, key), (*path, key))

    instance = load("rubin_nvl72_lpx")
    listed = {one.name for one in numbers_of(instance)}
    found = set(figures(instance))
    assert len(found) > 50
    beside = ("economics.", "rack.host.", "rack.storage.")
    moved = {one for one in found - listed if not one.startswith(beside)}
    assert {one for one in moved if not one.endswith((".year", ".price", ".worst"))} == set()
    assert len(listed) == len(numbers_of(instance))


def test_ranges_of_the_closed_form():
    # W = M = 20 GB, S = Q = 1 GB, floor 60 tok/s/user: B = BW / 60 - 20 within 80 sequences.
    found = study(changes=FAST, resolve=False)
    bandwidth = found.number("rack.accelerator.hbm_bandwidth")
    assert bandwidth.unit_price == pytest.approx(1000.0, rel=1e-6)
    assert bandwidth.low.value == pytest.approx(1.26, rel=1e-3)
    assert bandwidth.low.reason == "no plan beyond"
    assert bandwidth.high.value == pytest.approx(6.0, rel=1e-3)
    assert bandwidth.high.reason == "hbm_capacity binds"
    capacity = found.number("rack.accelerator.hbm_capacity")
    assert capacity.unit_price == 0.0
    assert capacity.low.value == pytest.approx(20.0 + (4000.0 / 60.0 - 20.0), rel=1e-3)
    assert capacity.high.reason is None
    floor = found.number("limits.min_speed")
    # T = 4000 - 20 s from s* = 40 to the speed of a single sequence, 4000 / 21.
    assert floor.unit_price == pytest.approx(-20.0, rel=1e-6)
    assert floor.low.value == pytest.approx(40.0, rel=1e-3)
    assert floor.high.value == pytest.approx(4000.0 / 21.0, rel=1e-3)


def test_the_price_is_the_slope_within_its_range_and_jumps_at_its_end():
    instance = hbmopt.load(INSTANCES / "gb300_nvl72.yaml")
    centre = held(instance)
    price = hbmopt.sensitivity(instance, only="limits.power", resolve=False).number("limits.power")
    number = next(one for one in numbers_of(instance) if one.name == "limits.power")

    def slope_at(kilowatts):
        end = answered(held_optimum(number.at(instance, kilowatts), centre.operation))
        return slope(end.priced, instance, number, kilowatts)

    low, high = price.low.value, price.high.value
    assert low < price.value < high
    assert slope_at(price.value) == pytest.approx(price.unit_price, rel=1e-6)
    # Clocks are lowered as power gets scarce: the price rises, 2 % of power at a time, smoothly.
    inside = [slope_at(one) for one in np.geomspace(low * 1.001, high * 0.999, 17)]
    assert max(inside) == inside[0] < 2.5 * min(inside)
    for one, other in pairwise(inside):
        assert other == pytest.approx(one, rel=0.16)
    for within, beyond in ((inside[0], low * 0.999), (inside[-1], high * 1.001)):
        assert abs(slope_at(beyond) - within) > 0.25 * within


@pytest.mark.parametrize("name", ["h200", "deepseek_r1_h200"])
def test_beyond_the_last_plan_no_batch_runs_and_before_it_one_does(name):
    instance = load(name)
    centre = held(instance).operation
    clocks = instance.choices.clocks
    some = replace(centre.configuration, clocks=(clocks[0], clocks[len(clocks) // 2], clocks[-1]))

    def runs(changed):
        demand = Demand(changed, some)
        least, most = smallest_batch(some), max(demand.largest_batch, 1.0)
        tried = (
            solve_program(demand, Segment(batch, batch), centre.replicas)
            for batch in np.geomspace(least, max(most, least), 60).tolist()
        )
        return any(one.answer.optimal and one.total("steps") > 1e-9 for one in tried)

    found = {one.name: one for one in hbmopt.sensitivity(instance, resolve=False).numbers}
    checked = 0
    for number in numbers_of(instance):
        known = found.get(number.name)
        if known is None or known.low is None:
            continue
        for end, outward in ((known.low, 1 / 1.01), (known.high, 1.01)):
            if end.reason == NO_PLAN:
                amount = end.value / number.quoted
                assert not runs(number.at(instance, amount * outward)), number.name
                assert runs(number.at(instance, amount / outward)), number.name
                checked += 1
    assert checked >= 4


@given(
    power=st.floats(-4, 4).filter(lambda one: abs(one) > 1e-3),
    end=st.one_of(st.floats(1.5, 8.0), st.floats(0.12, 0.7)),
)
def test_the_end_of_a_margin_that_is_linear_in_a_power_is_drawn_on_exactly(power, end):
    # From 1 on the way to the end, where it is nothing.
    amounts = [end**share for share in (0.0, 0.2, 0.6)]
    margins = [(end**power - one**power) / (end**power - 1.0) for one in amounts]
    ways = [math.log(one / amounts[-1]) for one in amounts]
    assert math.exp(nothing_at(ways, margins)) * amounts[-1] == pytest.approx(end, rel=1e-6)
    # One that grows is not on its way to nothing.
    assert nothing_at(ways, margins[::-1]) is None


def test_at_a_kink_both_prices_are_given():
    # The floor is exactly the speed at which memory is full.
    found = study(changes={"limits.min_speed": "40 tok/s/user"}, resolve=False)
    capacity = found.number("rack.accelerator.hbm_capacity")
    assert capacity.unit_price_below == pytest.approx(8.0, rel=1e-4)
    assert capacity.unit_price_above == capacity.unit_price == 0.0
    bandwidth = found.number("rack.accelerator.hbm_bandwidth")
    assert bandwidth.unit_price_below == pytest.approx(1000.0, rel=1e-4)
    assert bandwidth.unit_price_above == pytest.approx(800.0, rel=1e-4)
    floor = found.number("limits.min_speed")
    assert floor.unit_price_below == pytest.approx(0.0, abs=1e-9)
    assert floor.unit_price_above == pytest.approx(-20.0, rel=1e-4)


def test_steps_are_solves_of_the_changed_instance():
    instance = load("h200")
    found = hbmopt.sensitivity(instance, only="rack.accelerator.hbm_*", step=0.2)
    base = hbmopt.solve(instance).throughput_tok_s
    assert found.throughput_tok_s == base
    step = found.number("rack.accelerator.hbm_bandwidth").down
    again = hbmopt.solve(load("h200", **{"rack.accelerator.hbm_bandwidth": "3.84 TB/s"}))
    assert step.value == pytest.approx(3.84)
    assert step.throughput_tok_s == pytest.approx(again.throughput_tok_s, rel=1e-9)
    assert step.change == pytest.approx(again.throughput_tok_s / base - 1.0, rel=1e-9)
    price = found.number("rack.accelerator.hbm_bandwidth")
    assert step.expected == pytest.approx(-0.2 * price.elasticity, rel=1e-9)


def test_a_step_says_where_another_configuration_wins_or_nothing_is_feasible():
    found = study(INSTANCES / "gb200_nvl72.yaml", only="rack.accelerators")
    counted = found.number("rack.accelerators")
    assert counted.unit_price is None
    assert counted.up.value == 79
    assert counted.up.other_configuration
    assert counted.up.configuration != found.configuration
    step = study(changes={"limits.min_speed": "185 tok/s/user"}, only="min_speed").numbers[0].up
    assert (step.status, step.change) == ("infeasible", None)
    assert step.message


def test_whole_numbers_step_to_whole_numbers_and_shares_stay_shares():
    numbers = {one.name: one for one in numbers_of(load("gb200_drafting", **{"limits.pue": 1.0}))}
    assert numbers["rack.accelerators"].stepped(0.1) == 79
    assert numbers["llm.mixture.active"].stepped(-0.01) == 7
    assert numbers["workload.draft_acceptance"].stepped(0.9) == 1.0
    assert numbers["calibration.overlap.kv"].stepped(0.1) == 0.1
    assert numbers["limits.pue"].stepped(-0.1) is None
    reserved = {"workload.capacity_context": 9000}
    bounded = {one.name: one for one in numbers_of(load("gb200_nvl72", **reserved))}
    # The mean context, prompt + output / 2 = 8704, stays within what is reserved.
    assert bounded["workload.prompt"].highest == 8192 + 296
    assert bounded["workload.output"].highest == 1024 + 592
    assert bounded["workload.capacity_context"].lowest == 8704


def test_what_nothing_reads_is_named_as_such():
    def unused(name, **changes):
        return study(INSTANCES / "a100.yaml", changes, resolve=False, only=name).unused

    assert unused("limits.pue") == ("limits.pue",)
    assert unused("limits.pue", **{"limits.power_scope": "facility"}) == ()
    assert len(unused("calibration.*.sram")) == 2
    # Memory has slack and no price, and yet a row reads it.
    assert unused("hbm_capacity") == ()


def test_a_selection_by_worth_and_by_name():
    everything = study(resolve=False)
    worths = [one.worth for one in everything.numbers if one.unit_price is not None]
    assert worths == sorted(worths, reverse=True)
    top = study(resolve=False, top=3)
    ranked = [one.name for one in top.numbers if one.unit_price is not None]
    assert ranked == [one.name for one in everything.numbers][:3]
    assert [one.name for one in study(resolve=False, only=KV_CACHE).numbers] == [KV_CACHE]
    with pytest.raises(InputError, match="no number has such a path"):
        study(only="bandwith")


@pytest.mark.parametrize(
    ("text", "step"), [("5%", 0.05), ("5 %", 0.05), ("0.2", 0.2), ("12.5%", 0.125)]
)
def test_a_step_is_a_share(text, step):
    assert parse_step(text) == pytest.approx(step)


@pytest.mark.parametrize("text", ["0%", "100%", "-5%", "five", "5%%", "nan", ""])
def test_a_step_that_is_no_share_is_refused(text):
    with pytest.raises(InputError, match="write a share between 0 and 1"):
        parse_step(text)


def test_an_interruption_keeps_what_is_done():
    def stop(done, most):
        if most > 1 and done == 2:
            raise KeyboardInterrupt

    found = study(progress=stop)
    assert found.interrupted
    assert sum(bool(one.steps) for one in found.numbers) == 2
    assert len(found.numbers) > 10


def test_a_mix_of_configurations_has_prices_without_ranges():
    changes = {"choices.uniform": False}
    found = study(INSTANCES / "h100.yaml", changes, resolve=False, only="hbm_bandwidth")
    (price,) = found.numbers
    one = study(INSTANCES / "h100.yaml", resolve=False, only="hbm_bandwidth").numbers[0]
    assert price.unit_price == pytest.approx(one.unit_price, rel=1e-6)
    assert price.low is None
    assert one.low is not None


def test_what_to_buy_next_is_said_in_a_few_sentences():
    found = study(INSTANCES / "rubin_ultra.yaml", resolve=False, only="rack.*")
    assert 3 <= len(found.advice) <= 5
    price = found.number("rack.accelerator.hbm_bandwidth")
    first = found.advice[0]
    assert first.startswith("1 TB/s more HBM bandwidth per accelerator is worth")
    assert f"{price.unit_price:,.0f} tok/s ({price.elasticity:.2f} % per %)" in first
    assert f"below {show(price.high.value, 3)} TB/s, where {price.high.reason}" in first
    rows = {row.name: row for row in hbmopt.solve(load("rubin_ultra")).constraints}
    idle = 100 * (1 - rows["hbm_capacity"].utilization)
    assert any(f"HBM per accelerator ({idle:.0f} % unused)" in one for one in found.advice)
    assert not any("HBM per" in one for one in study(changes=FAST, resolve=False).advice[:1])


@pytest.mark.parametrize(("tokens", "size"), [(8704.0, 4), (100.0, 128), (1000.0, 1), (900.0, 7)])
def test_groups_of_tokens_are_counted_on_average(tokens, size):
    places = [(tokens + shift) // size for shift in range(-(size // 2), size - size // 2)]
    mean = sum(places) / size
    counted = whole_groups(tokens, size, anywhere=True)
    # Exact but for the half token by which an even number of places has no middle.
    assert counted == pytest.approx(mean, abs=0.5 / size if tokens > size else 0.5)
    assert whole_groups(tokens, size, anywhere=False) == tokens // size


def invoke(*arguments):
    return runner().invoke(cli, ["sensitivity", *map(str, arguments)], prog_name="hbmopt")


def test_the_command_writes_table_json_and_csv(tmp_path):
    drawn = tmp_path / "tornado.svg"
    table = invoke(CLOSED_FORM, "--plot", drawn)
    assert (table.exit_code, table.stderr) == (0, "")
    assert "What to buy next" in table.stdout
    assert "rack.accelerator.hbm_bandwidth" in table.stdout
    assert "+800" in table.stdout
    assert "10 % less of it" in drawn.read_text(encoding="utf-8")
    rack = ("--only", "rack")
    found = json.loads(invoke(CLOSED_FORM, *rack, "--format", "json").stdout)
    jsonschema.Draft202012Validator(json.loads(schema_text("sensitivity"))).validate(found)
    prices = {one["name"]: one for one in found["numbers"]}
    assert prices["rack.accelerator.hbm_capacity"]["unit_price"] == pytest.approx(8.0)
    output = tmp_path / "prices.csv"
    assert invoke(CLOSED_FORM, *rack, "--format", "csv", "--output", output).exit_code == 0
    rows = list(csv.DictReader(io.StringIO(output.read_text(encoding="utf-8"))))
    assert len(rows) == len(found["numbers"])
    assert {row["name"] for row in rows} == set(prices)


def test_an_infeasible_instance_has_no_prices():
    too_fast = ("--set", "limits.min_speed=1000 tok/s/user")
    outcome = invoke(CLOSED_FORM, *too_fast)
    assert outcome.exit_code == 1
    assert "Infeasible" in outcome.stdout
    found = json.loads(invoke(CLOSED_FORM, *too_fast, "--format", "json").stdout)
    assert found["numbers"] == []
    assert found["conflict"]["summary"]
    jsonschema.Draft202012Validator(json.loads(schema_text("sensitivity"))).validate(found)


@pytest.mark.parametrize(
    "arguments", [("--step", "0"), ("--only", "nothing"), ("--plot", "a.pdf"), ("--top", "0")]
)
def test_bad_options_are_one_line(arguments):
    outcome = runner().invoke(
        cli, ["sensitivity", str(CLOSED_FORM), *arguments], prog_name="hbmopt"
    )
    assert outcome.exit_code == 2
    assert outcome.stdout == ""


def test_the_tornado_has_two_bars_for_each_number_that_matters():
    found = study()
    drawn = sensitivity_chart(found).to_dict()
    layer = next(one for one in drawn["layer"] if one["mark"]["type"] == "bar")
    rows = drawn["datasets"][layer["data"]["name"]]
    bars = {(row["label"], row["side"]): row["change"] for row in rows}
    price = found.number("rack.accelerator.hbm_bandwidth")
    label = "rack.accelerator.hbm_bandwidth  4 TB/s"
    assert bars[label, "10 % more of it"] == pytest.approx(100 * price.up.change)
    assert bars[label, "10 % less of it"] == pytest.approx(100 * price.down.change)
    assert "throughput, %" in json.dumps(drawn)
    prices_alone = sensitivity_chart(study(resolve=False)).to_dict()
    assert "By the prices alone" in json.dumps(prices_alone)
    with pytest.raises(InputError, match="the chart is empty"):
        sensitivity_chart(replace(found, numbers=()))
