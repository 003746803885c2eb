"""Fleets on the command line, in tables, notebooks, charts, pages and sweeps."""

import csv
import io
import json
import re
from dataclasses import replace

import pytest

import hbmopt
from commands import invoke, one_line_of_error
from hbmopt.documents import shipped
from hbmopt.errors import InputError
from hbmopt.fleet import FleetConflict, FleetCure, plan_of
from hbmopt.report.charts import (
    fleet_cost_chart,
    fleet_curve_chart,
    fleet_power_chart,
    fleet_token_chart,
)
from hbmopt.report.tables import render_fleet, work_of

ONE_WAY = "{weight_formats: [fp8], tensor_parallel: [8], clocks: [1.0]}"

FLEET = f"""\
kind: fleet
description: Which servers serve chat and code by day and by night?
objective: cost
classes:
  chat:
    llm: llama_3_1_70b
    workload: {{prompt: 2000, output: 500}}
    min_speed: 30 tok/s/user
    throughput: 50k tok/s
    choices: {ONE_WAY}
  code:
    llm: llama_3_1_70b
    workload: {{prompt: 8000, output: 1000}}
    min_speed: 40 tok/s/user
    rate: 10 requests/s
    must_serve: false
    choices: {ONE_WAY}
racks:
  h200: {{rack: hgx_h200, price: 0.3 MUSD, owned: 2}}
  h100: {{rack: dgx_h100, price: 0.25 MUSD, at_most: 9}}
periods:
  - {{name: day, weight: 16}}
  - {{name: night, weight: 8, demand: 0.4}}
site: {{power: 0.2 MW}}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("fleet") / "halls.yaml"
    path.write_text(FLEET, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def plan(file):
    return hbmopt.solve_fleet(file)


@pytest.fixture(scope="module")
def infeasible(plan):
    cure = FleetCure("power of the site", "site.power", "9 kW", "96 kW", ("site.power=96 kW",))
    conflict = FleetConflict(
        "the cap is too low for chat", ("power of the site", "demand of chat"), (cure,), ("space",)
    )
    gone = {"racks": (), "pools": (), "classes": (), "periods": (), "limits": (), "cost": None}
    return replace(plan, status="infeasible", amount=None, gap=None, conflict=conflict, **gone)


def table(plan, width=150):
    return render_fleet(plan, "table", width=width, color=False)


def test_the_table_tells_what_to_buy_and_what_it_comes_to(plan):
    text = table(plan)
    words = " ".join(text.split())
    assert words.startswith("Which servers serve chat and code by day and by night? Least cost for")
    assert f"cost {plan.amount:,.6g} USD/h" in words
    assert "proven: no plan is better by more than" in words
    (h100,) = (one for one in plan.racks if one.kind == "h100")
    line = next(one for one in text.splitlines() if one.split()[:1] == ["h100"])
    assert line.split()[1:5] == ["0", "0", str(h100.bought[0]), "9"]
    assert f"in all {plan.cost.total:.4g}" in words
    assert "Not all of code is served, as nothing asks for it" in words


@pytest.mark.parametrize("width", [80, 150])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(plan, width):
    text = table(plan, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert ("Left out for want of width" in text) == (width == 80)


def test_what_racks_do_adds_up_to_what_is_served(plan):
    works = work_of(plan)
    for place in range(len(plan.periods)):
        made = sum(one.rate[place] for one in works)
        assert made == pytest.approx(plan.made_tok_s[place])
    assert all(0.0 < used <= 1.0 + 1e-9 for one in works for used in one.used)
    day, night = plan.made_tok_s
    assert night == pytest.approx(0.4 * day) == pytest.approx(0.4 * 50_000)


def test_pools_that_keep_other_shares_of_hbm_are_told_as_one(plan):
    (first, *others) = (one for one in plan.pools if max(one.rate) > 0)
    twin = replace(first, kept_hbm_share=0.25)
    both = replace(plan, pools=(first, twin, *others))
    told = next(one for one in work_of(both) if one.kind == first.kind)
    alone = next(one for one in work_of(plan) if one.kind == first.kind)
    assert told.rate == tuple(2 * one for one in alone.rate)
    assert told.kept == (0.0, 0.25)
    assert "0 to 25%" in table(both)


def test_periods_that_are_alike_are_one_line(plan):
    day, night = plan.periods
    hours = [replace(day, name=f"{hour:02d}h", share=1 / 24) for hour in range(24)]
    hours[3:6] = [replace(night, name=f"{hour:02d}h", share=1 / 24) for hour in range(3, 6)]

    def stretched(amounts):
        return tuple(amounts[1] if 3 <= hour < 6 else amounts[0] for hour in range(24))

    by_period = ("racks", "rate", "headroom", "utilisation", "power_kw")
    pools = tuple(
        replace(one, **{name: stretched(getattr(one, name)) for name in by_period})
        for one in plan.pools
    )
    classes = tuple(
        replace(
            one, asked_tok_s=stretched(one.asked_tok_s), served_tok_s=stretched(one.served_tok_s)
        )
        for one in plan.classes
    )
    text = table(replace(plan, periods=tuple(hours), pools=pools, classes=classes))
    lines = [one.strip() for one in text.splitlines()]
    names = ("00h to 02h", "03h to 05h", "06h to 23h")
    assert [sum(one.startswith(name) for one in lines) for name in names] == [1, 1, 1]
    assert not any(one.startswith("04h") for one in lines)


def test_prefill_pools_and_caches_that_wait_are_told_in_words(plan):
    (pool, *_) = (one for one in plan.pools if max(one.rate) > 0)
    decoding = replace(
        pool, racks=(4, 2), places=(("hbm", (0.25, 0.25)), ("host and storage", (0.75, 0.75)))
    )
    prefilling = replace(
        decoding,
        stage="prefill",
        racks=(6, 3),
        places=(),
        first_token_s=0.5,
        speed_tok_s_user=None,
        rate=(3.0, 1.0),
        rate_of_a_rack=1.0,
    )
    day, night = plan.periods
    full = replace(day, binding=("host memory of h200", "CPU cores of h200"))
    words = " ".join(
        table(replace(plan, pools=(decoding, prefilling), periods=(full, night))).split()
    )
    assert "chat: 6 racks prefill for 4 that decode at its peak (day), 1.5 to 1." in words
    assert "chat: between turns caches wait in host memory and drives (75%), HBM (25%)." in words
    assert "Used up for caches and tools: host memory of h200 in day; CPU cores of h200" in words
    assert "3 prompts/s" in words


def test_the_price_of_a_request_is_that_of_its_tokens(plan):
    chat, code = plan.classes
    assert chat.price < 0 < -chat.price_held + 1
    text = table(replace(plan, classes=(replace(chat, output_tokens=500.0), code)), 200)
    line = next(one for one in text.splitlines() if one.strip().startswith("chat  ") and "1" in one)
    assert f"{-500 * chat.price:.3g}" in " ".join(text.split())
    assert line


def test_json_and_csv_hold_the_plan(plan):
    assert json.loads(render_fleet(plan, "json", width=None, color=False))["amount"] == plan.amount
    rows = list(csv.DictReader(io.StringIO(render_fleet(plan, "csv", width=None, color=False))))
    assert len(rows) == sum(count > 0 for pool in plan.pools for count in pool.racks)
    assert {row["class"] for row in rows} == {one.demand for one in plan.pools}


def test_an_infeasible_fleet_tells_conflict_and_cures(infeasible):
    text = table(infeasible)
    assert "Infeasible: the cap is too low for chat." in text
    assert "In each other's way: power of the site; demand of chat." in text
    assert '--set "site.power=96 kW"' in text
    assert "Not enough alone, however far it goes: space." in text
    rows = render_fleet(infeasible, "csv", width=None, color=False).splitlines()
    assert rows == ["status,conflict", "infeasible,the cap is too low for chat"]


def test_a_notebook_shows_the_tables(plan, infeasible):
    markup = plan._repr_html_()
    assert "What the racks do" in markup
    assert "<table" in markup
    assert "the cap is too low for chat" in infeasible._repr_html_()


def test_the_command_line_solves_and_explains(file, plan, tmp_path, monkeypatch):
    outcome = invoke("solve", file, "-o", tmp_path / "plan.json")
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (0, "", "")
    found = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert found["amount"] == pytest.approx(plan.amount, rel=2e-3)
    monkeypatch.setattr("hbmopt.fleet.plan_of", lambda *_, **__: plan)
    explained = invoke("explain", file)
    assert (explained.exit_code, explained.stderr) == (0, "")
    assert "code (Llama 3.1 70B, 10,000 tok/s, as far as it is worth it)" in explained.stdout


def test_an_infeasible_fleet_ends_with_1(file, infeasible, monkeypatch):
    monkeypatch.setattr("hbmopt.fleet.plan_of", lambda *_, **__: infeasible)
    for command in ("solve", "explain"):
        outcome = invoke(command, file)
        assert outcome.exit_code == 1
        assert "Infeasible: the cap is too low for chat." in outcome.stdout


def test_worst_cases_are_those_of_every_rack(file, monkeypatch):
    asked = []

    def seen(fleet, document, **_):
        asked.append([document.get(("racks", kind, "calibration")) for kind in fleet.racks])
        raise InputError("seen")

    monkeypatch.setattr("hbmopt.fleet.plan_of", seen)
    assert "seen" in one_line_of_error(invoke("solve", file, "--worst", "10%"))
    assert asked == [[{"worst": "10%"}, {"worst": "10%"}]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("classes.chat.trhoughput=3", "unknown key 'trhoughput'; did you mean 'throughput'"),
        ("classes.chat.racks=[h20]", "no type of rack 'h20'; did you mean 'h200'"),
        ("racks.h100.rack=dgx_h10", "did you mean 'dgx_h100'"),
        ("site.power=3 GB", "'GB' is not a unit of power; it measures data"),
        ("classes.chat.rate=3 requests/s", "give `rate` or `throughput`, not both"),
    ],
)
def test_what_is_wrong_is_one_line(file, change, said):
    assert said in one_line_of_error(invoke("solve", file, "--set", change))


@pytest.mark.parametrize("command", ["frontier", "sensitivity", "size", "compare", "check"])
def test_other_commands_say_what_takes_fleets(command, file):
    options = {"check": ("--batch", 9, "--speed", 9), "size": ("--users", 9)}.get(command, ())
    said = one_line_of_error(invoke(command, file, *options))
    assert "is a fleet; hbmopt solve, sweep, report and explain take fleets" in said
    with pytest.raises(InputError, match="is a fleet"):
        hbmopt.load(file)


def test_the_plan_is_not_written_over_what_it_is_made_of(file):
    assert "halls.yaml" in one_line_of_error(invoke("solve", file, "-o", file, "--format", "table"))
    assert file.read_text(encoding="utf-8") == FLEET


def test_shipped_fleets_are_found_by_name_and_listed(tmp_path, monkeypatch):
    (tmp_path / "fleets").mkdir()
    (tmp_path / "fleets" / "hall_of_mine.yaml").write_text(FLEET, encoding="utf-8")
    (tmp_path / "rack.yaml").write_text("rack: dgx_h100", encoding="utf-8")
    monkeypatch.setattr(shipped, "root", lambda: tmp_path)
    assert list(shipped.names()) == ["rack"]
    path = tmp_path / "fleets" / "hall_of_mine.yaml"
    for source in ("hall_of_mine", "fleets/hall_of_mine", "instances/fleets/hall_of_mine.yaml"):
        assert shipped.found(source) == path
    with pytest.raises(InputError, match="did you mean 'hall_of_mine'"):
        shipped.found("hall_of_min")
    assert shipped.text("hall_of_mine", shipped.FLEETS) == FLEET


def test_no_shipped_fleet_has_the_name_of_an_instance():
    assert not set(shipped.fleets()) & set(shipped.names())


def test_a_sweep_has_a_row_for_every_fleet(file, plan, tmp_path):
    path = tmp_path / "rows.csv"
    outcome = invoke(
        "sweep", file, "--vary", "classes.chat.throughput=25k tok/s,50k tok/s", "-o", path
    )
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (0, "", "")
    less, same = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    assert float(same["objective_amount"]) == pytest.approx(plan.amount, rel=2e-3)
    assert float(less["objective_amount"]) < float(same["objective_amount"])
    assert int(same["racks"]) == int(same["racks_h100"]) + int(same["racks_h200"])
    assert float(same["served_chat"]) == pytest.approx(1.0)
    assert float(same["served_code"]) == 0.0
    assert not path.with_name("rows.csv.partial").exists()


def test_a_sweep_tells_of_points_that_are_not_valid(file, plan, monkeypatch):
    def planned(fleet, document):
        if document.get(("racks", "h100", "rack")) == "dgx_h100":
            return plan
        return plan_of(fleet, document)

    monkeypatch.setattr("hbmopt.studies.sweep.fleet_point.plan_of", planned)
    swept = hbmopt.sweep(file, "racks.h100.rack=dgx_h100,dgx_h10")
    assert swept.statuses == {"optimal": 1, "invalid": 1}
    assert "did you mean 'dgx_h100'" in swept.examples["invalid"]["error"]
    assert "racks h200" in swept._repr_html_()
    wrong = one_line_of_error(invoke("sweep", file, "--vary", "clases.chat.rate=1 requests/s"))
    assert "did you mean 'classes'" in wrong


def test_an_interrupted_sweep_keeps_what_it_has(file, plan, monkeypatch):
    calls = []

    def interrupted(*_, **__):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return plan

    monkeypatch.setattr("hbmopt.studies.sweep.fleet_point.plan_of", interrupted)
    outcome = invoke("sweep", file, "--vary", "site.power=0.1 MW:0.3 MW:0.1 MW")
    assert outcome.exit_code == 130
    assert "interrupted after 1 of 3 points" in outcome.stderr
    assert f"{plan.amount:,.6g}" in outcome.stdout


def drawn(chart):
    """Return all rows that a chart draws."""
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows]


def test_charts_stack_to_what_the_site_draws_and_makes(plan):
    power = drawn(fleet_power_chart(plan))
    for one in plan.periods:
        parts = [row["amount"] for row in power if row["period"] == one.name and "part" in row]
        assert sum(parts) == pytest.approx(one.power_kw / 1e3, rel=2e-3)
    caps = {row["limit"] for row in power if "limit" in row}
    assert caps == {plan.periods[0].cap_kw / 1e3}
    tokens = drawn(fleet_token_chart(plan))
    day = [row["amount"] for row in tokens if row["period"] == "day" and "part" in row]
    assert sum(day) == pytest.approx(plan.made_tok_s[0])
    costs = {row["part"]: row["usd"] for row in drawn(fleet_cost_chart(plan))}
    assert sum(costs.values()) == pytest.approx(plan.cost.total)


def test_a_curve_marks_where_there_is_no_plan():
    rows = [
        {"at": 0.1, "status": "infeasible", "racks_a": None},
        {"at": 0.2, "status": "optimal", "objective_amount": 5.0, "objective_unit": "USD/h"}
        | {"racks": 3, "racks_a": 3, "power_kw": 90.0, "served": 1.0},
    ]
    shown = drawn(fleet_curve_chart(rows, "at", "power, MW", "Costs"))
    assert {"at": 0.1} in shown
    assert [row["amount"] for row in shown if "amount" in row] == [5.0]
    assert [row["count"] for row in shown if "count" in row] == [3]


def test_the_page_holds_the_plan_its_charts_and_its_curves(file, plan, monkeypatch, tmp_path):
    monkeypatch.setattr("hbmopt.report.page.whole_page.plan_of", lambda *_, **__: plan)
    monkeypatch.setattr("hbmopt.studies.sweep.fleet_point.plan_of", lambda *_, **__: plan)
    path = tmp_path / "halls.html"
    outcome = invoke("report", file, "-o", path)
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (0, "", "")
    page = path.read_text(encoding="utf-8")
    titles = re.findall(r"<figure[^>]*><h3>([^<]*)</h3>", page)
    assert titles == [
        "Power of the site by period",
        "Tokens by period",
        "What the fleet costs",
        "With other demand",
        "Under other power caps",
    ]
    sections = re.findall(r'<section id="(\w+)"', page)
    known = ["answer", "racks", "demand", "periods", "cost", "curves", "limits", "assumptions"]
    assert sections == known


def test_the_page_of_an_infeasible_fleet_tells_why(file, infeasible, monkeypatch):
    monkeypatch.setattr("hbmopt.report.page.whole_page.plan_of", lambda *_, **__: infeasible)
    page = hbmopt.report_page(file)
    assert not page.feasible
    assert "the cap is too low for chat" in page.html
    assert "site.power=96 kW" in page.html
    assert "<figure" not in page.html
