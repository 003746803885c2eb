"""What a rack and a token cost, against the arithmetic of a spreadsheet."""

import sys
from dataclasses import replace

import pytest

import hbmopt
from builders import INSTANCES, ROOT, executed_examples
from commands import invoke
from hbmopt.errors import InputError
from hbmopt.instance import cost_rate, load, provisioned_kw, rack_kw, recovery, unpriced
from hbmopt.plan import at_shares, search
from hbmopt.points import TargetSearch
from hbmopt.report.page.sections import cost_section

sys.path.insert(0, str(ROOT / "benchmarks"))
import comparison

H200 = INSTANCES / "h200.yaml"
PLAIN = {
    "rack.price": "876000 USD",
    "economics.life": "5 years",
    "economics.discount_rate": 0.0,
    "economics.site": "8760 USD/kW",
    "economics.site_life": "10 years",
    "economics.operations_share": 0.1,
    "economics.power_price": "0.1 USD/kWh",
    "limits.pue": 1.5,
}
"""Terms that are easily divided by the 8,760 hours of a year."""


def terms(**changes):
    return PLAIN | {key.replace("__", "."): value for key, value in changes.items()}


def test_a_loan_is_paid_back_in_equal_parts():
    assert recovery(0.0, 5.0) == pytest.approx(0.2)
    # 1 USD lent at 10 % for two years: x / 1.1 + x / 1.21 = 1.
    each = recovery(0.1, 2.0)
    assert each / 1.1 + each / 1.21 == pytest.approx(1.0)
    assert recovery(1e-9, 5.0) == pytest.approx(0.2, rel=1e-6)


def test_an_hour_costs_what_a_spreadsheet_says():
    rate = cost_rate(load(H200, terms(limits__power="10 kW")))
    assert rate is not None
    assert rate.capital.usd == 876_000
    # 876,000 USD / 5 years / 8,760 h; 15 kW x 8,760 USD / 10 years / 8,760 h; a tenth a year.
    assert rate.capital_usd_per_hour == pytest.approx(20.0)
    assert rate.provisioned_kw == pytest.approx(15.0)
    assert rate.site_usd_per_hour == pytest.approx(1.5)
    assert rate.operations_usd_per_hour == pytest.approx(10.0)
    assert rate.usd_per_kwh == pytest.approx(0.15)
    assert rate.usd_per_hour(8.0) == pytest.approx(20.0 + 1.5 + 10.0 + 1.2)


def test_operations_may_be_given_in_usd_a_year():
    rate = cost_rate(load(H200, terms(economics__operations="17520 USD/year")))
    assert rate is not None
    assert rate.operations_usd_per_hour == pytest.approx(2.0)


def test_capital_is_that_of_the_accelerators_where_no_rack_is_priced():
    instance = load("h100", {"rack.price": None, "rack.accelerator.price": "32 kUSD"})
    rate = cost_rate(instance)
    assert rate is not None
    assert rate.capital.usd == 8 * 32_000
    assert "accelerators alone" in rate.capital.basis


@pytest.mark.parametrize(
    ("name", "missing"), [("rubin_ultra", "rack.price"), ("rubin_nvl72_lpx", "rack.offload.price")]
)
def test_without_a_price_there_is_no_cost_and_the_key_is_named(name, missing):
    instance = load(name)
    assert cost_rate(instance) is None
    assert unpriced(instance) == missing
    known = load(name, {"rack.price": "4 MUSD"} | {missing: "1 MUSD"})
    rate = cost_rate(known)
    assert rate is not None
    assert rate.capital.usd == (5e6 if "offload" in missing else 1e6)
    assert unpriced(known) == ""


def test_provisioned_power_is_the_limit_in_any_scope_and_never_more_than_can_be_drawn():
    def provisioned(**changes):
        keys = {key.replace("__", "."): value for key, value in changes.items()}
        return provisioned_kw(load(H200, {"limits.pue": 1.25} | keys))

    # 4.6 kW of the server and 8 x 0.7 kW of its accelerators.
    assert provisioned() == pytest.approx(1.25 * 10.2)
    assert provisioned(limits__power="1 MW") == pytest.approx(1.25 * 10.2)
    assert provisioned(limits__power_capped=False) == pytest.approx(1.25 * 10.2)
    assert provisioned(limits__power="8 kW") == pytest.approx(1.25 * 8)
    facility = provisioned(limits__power="10 kW", limits__power_scope="facility")
    assert facility == pytest.approx(10)
    chips = provisioned(limits__power="4 kW", limits__power_scope="accelerators")
    assert chips == pytest.approx(1.25 * 8.6)


def test_power_of_the_rack_is_known_in_every_scope():
    scopes = {"accelerators": 4.0, "rack": 8.6, "facility": 8.6 * 1.25}
    for scope, drawn in scopes.items():
        instance = load(H200, {"limits.power_scope": scope, "limits.pue": 1.25})
        assert rack_kw(instance, drawn) == pytest.approx(8.6)


def test_hours_of_one_load_are_looked_at_once():
    shares = [0.2] * 8 + [1.0] * 10 + [0.5] * 6
    stretches = load(H200, {"economics.load": shares}).economics.stretches
    assert [(one.share, one.weight) for one in stretches] == [(1.0, 10), (0.5, 6), (0.2, 8)]
    flat = load(H200, {"economics.utilisation": 0.4}).economics.stretches
    assert [(one.share, one.weight) for one in flat] == [(0.4, 1.0)]
    assert load(H200).economics.stretches == ()


@pytest.mark.parametrize(
    ("economics", "said"),
    [
        ({"load": [1.0] * 23}, r"economics\.load: 23 shares are not a day: give 24"),
        ({"load": []}, r"economics\.load: an empty load"),
        ({"load": [0] * 24}, r"economics: `load` is 0 at all times"),
        ({"load": [1.5] * 24}, r"economics\.load\.0\.share: .* less than or equal to 1"),
        ({"load": [{"share": 1, "wieght": 2}]}, r"unknown key 'wieght'; did you mean 'weight'"),
        ({"load": [{"share": 1, "weight": 0}]}, r"economics\.load\.0\.weight: .* greater than 0"),
        ({"load": [True] * 24}, r"economics\.load\.0: expected"),
        ({"load": 0.4}, r"economics\.load: .* list"),
        ({"utilisation": 0}, r"economics\.utilisation: 0 must be more than 0"),
        ({"utilisation": 0.5, "load": [1] * 24}, r"economics: give `utilisation` or `load`"),
        ({"utilization": 0.5}, r"unknown key 'utilization'; did you mean 'utilisation'"),
        ({"power_price": 0.08}, r"has no unit; write a price of energy such as \"0.08 USD/kWh\""),
        ({"power_price": "8 USD/kW"}, r"economics\.power_price: .* it measures cost per power"),
        ({"life": "0 years"}, r"economics\.life: '0 years' must be more than 0"),
        ({"discount_rate": 1.5}, r"economics\.discount_rate: 1.5 must be at most 1"),
    ],
)
def test_bad_terms_are_one_line(economics, said):
    with pytest.raises(InputError, match=said) as caught:
        load(H200, {"economics": economics})
    assert "\n" not in str(caught.value)


GB200 = INSTANCES / "gb200_nvl72.yaml"
DAY_AND_NIGHT = [{"share": 1.0, "weight": 10}, {"share": 0.3, "weight": 10}, {"share": 0}]


def economics(path=H200, **changes):
    found = hbmopt.solve(path, terms(**changes)).economics
    assert found is not None
    return found


def test_full_utilisation_is_an_hour_over_its_tokens():
    solution = hbmopt.solve(H200, PLAIN)
    known = solution.economics
    assert known is not None
    # 10.2 kW x 1.5 of site at 0.1 USD an hour and kW, and the energy of what is drawn.
    assert known.provisioned_w == pytest.approx(15_300)
    hour = 20.0 + 1.53 + 10.0 + 0.15 * solution.power_w / 1e3
    assert known.usd_per_hour == pytest.approx(hour)
    cost = known.full_utilisation
    assert cost.usd_per_million == pytest.approx(hour / solution.throughput_tok_s / 3600 * 1e6)
    parts = cost.capital + cost.site + cost.operations + cost.energy
    assert parts == pytest.approx(cost.usd_per_million)
    assert cost.capital == pytest.approx(cost.usd_per_million * 20.0 / hour)
    assert (known.load, known.utilisation, known.hours) == (None, None, ())
    assert known.cost is cost


def test_the_cost_of_a_load_is_the_mean_of_its_hours():
    known = economics(GB200, economics__load=DAY_AND_NIGHT)
    assert [one.share for one in known.hours] == [1.0, 0.3, 0.0]
    assert [one.time for one in known.hours] == pytest.approx([10 / 21, 10 / 21, 1 / 21])
    fixed = known.usd_per_hour - known.usd_per_kwh * known.rack_power_w / 1e3
    for one in known.hours:
        hour = fixed + known.usd_per_kwh * one.rack_power_w / 1e3
        assert one.usd_per_hour == pytest.approx(hour)
    spent = sum(one.time * one.usd_per_hour for one in known.hours)
    made = sum(one.time * one.throughput_tok_s for one in known.hours)
    assert known.load is not None
    assert known.load.usd_per_million == pytest.approx(spent / made / 3600 * 1e6)
    assert known.utilisation == pytest.approx(13 / 21)
    assert known.hours[0].usd_per_million == pytest.approx(known.full_utilisation.usd_per_million)
    assert known.hours[-1].usd_per_million is None
    powers = [one.rack_power_w for one in known.hours]
    assert powers == sorted(powers, reverse=True)
    assert powers[0] == known.rack_power_w


def test_all_that_is_made_all_the_time_is_full_utilisation():
    for flat in ({"economics.utilisation": 1.0}, {"economics.load": [1.0] * 24}):
        known = hbmopt.solve(H200, PLAIN | flat).economics
        assert known.load == known.full_utilisation


def test_a_flat_load_costs_between_the_peak_and_the_peak_over_it():
    known = economics(economics__utilisation=0.4)
    full, less = known.full_utilisation, known.load
    assert less.capital == pytest.approx(full.capital / 0.4)
    assert less.site == pytest.approx(full.site / 0.4)
    assert less.operations == pytest.approx(full.operations / 0.4)
    # Power falls, and less than the tokens.
    assert full.energy < less.energy < full.energy / 0.4


def test_an_idle_rack_draws_what_its_devices_draw_at_rest():
    instance = load(GB200)
    plan = search(instance).plan
    idle = at_shares(instance, plan, [0.0])[0]
    resting = 72 * float(instance.power_law.idle) * float(instance.rack.accelerator.tdp)
    assert idle.power_kw == pytest.approx(float(instance.rack.static_power) + resting)
    assert (idle.replicas, idle.throughput) == (0, 0.0)
    # Hardly anything asked for is hardly more than nothing: there is no step in between.
    hardly = at_shares(instance, plan, [1e-9])[0]
    assert hardly.power_kw == pytest.approx(idle.power_kw, rel=1e-6)


@pytest.mark.parametrize("path", [H200, GB200])
@pytest.mark.parametrize("scope", ["accelerators", "rack", "facility"])
def test_the_power_of_a_load_is_the_least_that_a_check_finds(path, scope):
    instance = load(path, {"limits.power_scope": scope, "limits.power_capped": False})
    plan = search(instance).plan
    (column,) = plan.columns
    clocks = tuple(instance.choices.clocks)
    own = TargetSearch(instance, [replace(column.configuration, clocks=clocks)])
    speed = float(instance.limits.min_speed)
    for sequences in (72, 240, 360):
        share = sequences * speed / plan.throughput
        (found,) = at_shares(instance, plan, [share])
        least, _ = own.least_power(own.target(sequences, speed))
        assert found.power_kw == pytest.approx(least, rel=1e-5)
        assert found.throughput == pytest.approx(sequences * speed)
        # The same tokens of fewer sequences, each faster, take more steps.
        faster, _ = own.least_power(own.target(sequences / 1.2, speed * 1.2))
        assert faster > found.power_kw


def test_replicas_are_parked_where_the_load_is_small():
    instance = load(GB200)
    plan = search(instance).plan
    assert plan.columns[0].replicas == 2
    found = at_shares(instance, plan, [0.9, 0.5, 0.2, 0.1, 0.01])
    assert found[0].replicas == 2
    assert found[-1].replicas == 1
    powers = [one.power_kw for one in found]
    assert powers == sorted(powers, reverse=True)
    # A rack of one replica that is asked for the same draws no less: its other half would be idle.
    assert found[-1].power_kw < 0.75 * plan.power_kw


def test_without_a_floor_nobody_is_served_slower_than_at_the_peak():
    instance = load(GB200, {"limits.min_speed": "0 tok/s/user"})
    plan = search(instance).plan
    floored = instance.at_floor(plan.throughput / plan.batch)
    alike = at_shares(floored, plan, [0.5])[0].power_kw
    assert at_shares(instance, plan, [0.5])[0].power_kw == pytest.approx(alike)


@pytest.mark.parametrize(
    "changes",
    [
        {"choices.uniform": False, "limits.power": "90 kW"},
        {"limits.power_capped": False},
        {"limits.budgets": [{"name": "nic", "capacity": 1e6, "per_token": 1.0}]},
    ],
)
def test_loads_of_mixed_uncapped_and_budgeted_racks_are_priced(changes):
    known = hbmopt.solve(GB200, changes | {"economics.utilisation": 0.5}).economics
    full, less = known.full_utilisation, known.load
    assert full.usd_per_million < less.usd_per_million < 2 * full.usd_per_million


def test_lpus_at_rest_are_paid_for():
    prices = {"rack.price": "4 MUSD", "rack.offload.price": "1 MUSD"}
    asked = {"economics.load": [{"share": 1}, {"share": 0.2}, {"share": 0}]}
    known = hbmopt.solve("rubin_nvl72_lpx", prices | asked).economics
    assert known.capital_usd == 5e6
    rack = load("rubin_nvl72_lpx").rack
    beside = float(rack.static_power) + float(rack.offload.static_power)
    units = float(rack.offload.units) * float(rack.offload.device.parked)
    assert known.hours[-1].rack_power_w > 1e3 * (beside + units * float(rack.offload.device.tdp))
    assert known.hours[1].rack_power_w < known.hours[0].rack_power_w


def test_prompts_computed_here_share_the_cost_by_time():
    solution = hbmopt.solve(GB200, PLAIN | {"workload.prefill": "shared"})
    (one,) = solution.configurations
    parts = {name: ms for name, ms in one.step_breakdown_ms.items() if name != "waiting"}
    share = parts["prefill"] / sum(parts.values())
    assert 0.05 < share < 0.5
    cost = solution.economics.full_utilisation
    # 8,192 tokens of prompt and 1,024 of output: what both cost adds up to the hour.
    assert cost.output_usd_per_million == pytest.approx((1 - share) * cost.usd_per_million)
    assert cost.input_usd_per_million * 8 + cost.output_usd_per_million == pytest.approx(
        cost.usd_per_million
    )
    alone = hbmopt.solve(GB200, PLAIN).economics.full_utilisation
    assert alone.input_usd_per_million is None
    assert alone.usd_per_million < cost.usd_per_million
    # Cached prompt tokens have no price; those that are computed attend to more tokens each.
    cached = hbmopt.solve(
        GB200, PLAIN | {"workload.prefill": "shared", "workload.prefix_hit_rate": 0.5}
    ).economics.full_utilisation
    assert cached.usd_per_million < cost.usd_per_million
    assert 1.0 < cached.input_usd_per_million / cost.input_usd_per_million < 1.5


def test_what_a_cost_rests_on_is_listed_where_there_is_one():
    def named(path, **changes):
        return {one.input for one in hbmopt.solve(path, changes).provenance}

    assert {
        "rack.price",
        "economics.life",
        "economics.discount_rate",
        "economics.power_price",
        "economics.site",
        "economics.site_life",
        "economics.operations_share",
        "limits.pue",
    } <= named(H200)
    given = named(H200, **{"economics.operations": "9000 USD/year", "economics.life": "4 years"})
    assert not given & {"economics.operations_share", "economics.life", "economics.operations"}
    unknown = named("rubin_ultra")
    assert not {one for one in unknown if one.startswith("economics") or "price" in one}
    assert "limits.pue" not in unknown
    assert "limits.pue" in named("rubin_ultra", **{"limits.power_scope": "facility"})


def test_the_verdict_on_a_claim_rests_on_no_price():
    found = hbmopt.check(H200, 8, 20)
    named = {one.input for one in found.premises}
    assert not {one for one in named if one.startswith("economics") or one.endswith("price")}


def test_the_table_says_what_tokens_cost_or_what_is_missing():
    said = invoke("solve", "h200", "--set", "economics.utilisation=0.4").stdout
    known = hbmopt.solve(H200, {"economics.utilisation": 0.4}).economics
    full, less = known.full_utilisation.usd_per_million, known.load.usd_per_million
    assert f"cost                 {full:.3f} USD  per million output tokens at full" in said
    assert f"of the load, 40%     {less:.3f} USD  capital" in said
    assert "330,000 USD, the price of the rack, over 5 years at 8 % a year" in said
    missing = invoke("solve", "rubin_ultra").stdout
    assert 'not known  a price is missing: --set rack.price="3000000 USD"' in missing
    assert "What it costs" not in missing


def test_the_frontier_says_what_tokens_cost_at_every_point():
    found = hbmopt.frontier(H200, PLAIN)
    frame = found.points_frame
    rate = cost_rate(load(H200, PLAIN))
    hourly = [rate.usd_per_hour(kw) for kw in found.powers_kw]
    wanted = [usd / made / 3600 * 1e6 for usd, made in zip(hourly, found.throughputs, strict=True)]
    assert frame["full_usd_per_million"].tolist() == pytest.approx(wanted)
    data = found.to_dict([25.0])
    assert data["curve"]["full_usd_per_million"] == pytest.approx(wanted)
    (rung,) = data["ladder"]
    alone = hbmopt.solve(H200, PLAIN | {"limits.min_speed": "25 tok/s/user"}).economics
    assert rung["full_usd_per_million"] == pytest.approx(alone.full_utilisation.usd_per_million)
    unknown = hbmopt.frontier("rubin_ultra", {"limits.min_speed": "60 tok/s/user"})
    assert unknown.full_usd_per_million is None
    assert "full_usd_per_million" not in unknown.points_frame


@pytest.mark.parametrize("scope", ["accelerators", "facility"])
def test_the_frontier_costs_the_power_of_the_rack_in_any_scope(scope):
    changes = PLAIN | {"limits.power_capped": False, "limits.min_speed": "60 tok/s/user"}
    whole = hbmopt.frontier(H200, changes).full_usd_per_million
    other = hbmopt.frontier(H200, changes | {"limits.power_scope": scope}).full_usd_per_million
    assert other[::50].tolist() == pytest.approx(whole[::50].tolist())


def test_rows_of_a_sweep_cost_what_a_solve_does():
    varied = "limits.power=8 kW:10 kW:1 kW"
    for changes in (PLAIN, PLAIN | {"economics.utilisation": 0.4}):
        for row in hbmopt.sweep(H200, varied, overrides=changes).rows:
            power = {"limits.power": f"{row['limits.power [kW]']} kW"}
            known = hbmopt.solve(H200, changes | power).economics
            full = known.full_utilisation.usd_per_million
            assert row["full_usd_per_million"] == pytest.approx(full, rel=1e-9)
            if known.load is None:
                assert row["load_usd_per_million"] is None
            else:
                less = known.load.usd_per_million
                assert row["load_usd_per_million"] == pytest.approx(less, rel=1e-9)


def test_terms_can_be_swept():
    found = hbmopt.sweep(H200, "economics.power_price=0.04 USD/kWh,0.08 USD/kWh,0.12 USD/kWh")
    costs = [row["full_usd_per_million"] for row in found.rows]
    assert costs[1] - costs[0] == pytest.approx(costs[2] - costs[1])
    assert costs[0] < costs[1]


def test_a_comparison_leaves_the_cost_of_unpriced_racks_open():
    rows = hbmopt.compare(["h200", "rubin_ultra"], {"economics.utilisation": 0.5}).rows
    known = hbmopt.solve("h200", {"economics.utilisation": 0.5}).economics
    assert rows[0].full_usd_per_million == known.full_utilisation.usd_per_million
    assert rows[0].load_usd_per_million == known.load.usd_per_million
    assert (rows[0].capital_usd, rows[0].capital_status) == (330_000, "estimate")
    assert (rows[1].full_usd_per_million, rows[1].capital_usd) == (None, None)
    said = invoke("compare", "h200", "rubin_ultra").stdout
    (line,) = (one for one in said.splitlines() if "USD per M tokens" in one)
    assert line.rstrip().endswith("(est.)")


def test_a_check_says_what_the_claimed_tokens_cost():
    found = hbmopt.check(H200, 200, 20, overrides=PLAIN)
    rate = cost_rate(load(H200, PLAIN))
    hour = rate.usd_per_hour(found.closest.power_w / 1e3)
    assert found.closest.full_usd_per_million == pytest.approx(hour / 4000 / 3600 * 1e6)
    for one in found.reachable:
        hour = rate.usd_per_hour(one.power_w / 1e3)
        assert one.full_usd_per_million == pytest.approx(hour / one.throughput_tok_s / 3600 * 1e6)
    said = invoke("check", "h200", "--batch", 200, "--speed", 20).stdout
    assert "a million output tokens, at full utilisation" in said


def test_the_arithmetic_of_the_document_is_what_it_prints():
    text = (ROOT / "docs" / "economics.md").read_text(encoding="utf-8")
    assert executed_examples(text) == 7


@pytest.fixture(scope="module")
def racks():
    return comparison.compared()


def test_the_comparison_of_racks_is_what_the_command_makes(racks):
    shipped = comparison.DOCUMENT.read_text(encoding="utf-8")
    assert comparison.document_text(racks) == shipped


def test_racks_without_a_price_are_compared_by_the_price_at_which_they_tie(racks):
    by_name = {one.name: one for one in racks}
    gb300 = by_name["GB300 NVL72"].rungs[50.0]
    helios = by_name["AMD Helios (MI455X)"]
    assert helios.rungs[50.0].full is None
    tied = comparison.even_price(helios, gb300.full, 50.0)
    priced = helios.instance.at_floor(50.0)
    known = hbmopt.solve(priced, {"rack.price": f"{tied} USD"}).economics
    assert known.full_utilisation.usd_per_million == pytest.approx(gb300.full)
    # A price that is known ties with itself.
    rubin = by_name["Rubin NVL72"]
    own = comparison.even_price(rubin, rubin.rungs[50.0].full, 50.0)
    assert own == pytest.approx(float(rubin.instance.rack.price))


def test_every_figure_of_the_comparison_that_is_no_data_sheets_is_marked(racks):
    text = comparison.document_text(racks)
    (lpx,) = (one for one in racks if one.name.endswith("LPX"))
    named = {one.input for one in lpx.provenance if one.status == "estimate"}
    assert "rack.offload.device.tdp" in named
    for one in racks:
        for each in one.provenance:
            if each.status == "estimate" and each.input.startswith("rack."):
                assert f"| `{each.input.removeprefix('rack.')}` | {each.value} |" in text


@pytest.mark.parametrize(
    "name", ["closed_form", "gb200_drafting", "mi455x_helios", "tpu_v8", "ai200", "cpu_budget"]
)
def test_the_less_is_asked_for_the_dearer_it_is_and_the_less_is_drawn(name):
    shares = [{"share": share} for share in (1.0, 0.9, 0.6, 0.3, 0.1, 0.01)]
    known = hbmopt.solve(name, {"rack.price": "1 MUSD", "economics.load": shares}).economics
    costs = [one.usd_per_million for one in known.hours]
    assert costs == sorted(costs)
    powers = [one.rack_power_w for one in known.hours]
    assert powers == sorted(powers, reverse=True)
    assert known.cost.usd_per_million > known.full_utilisation.usd_per_million


def test_a_page_without_a_price_says_which_one_to_set():
    said = cost_section(hbmopt.solve("rubin_ultra"))
    assert "a price is missing. Set <code>rack.price</code>" in said
