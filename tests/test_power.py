"""Power from what parts of a chip take, against what single kernels and published servers drew."""

import csv

import pytest

import hbmopt
from builders import INSTANCES
from hbmopt.instance import universal
from hbmopt.report.tables import configuration_rows, render
from hbmopt.studies.accuracy import NARROWER, calibrate, predict
from hbmopt.studies.sensitivity import upgrades

PURE = INSTANCES / "measured" / "decode_steps_pure.csv"


def kernels():
    path = INSTANCES / "measured" / "power_kernels.csv"
    with path.open(encoding="utf-8") as file:
        return {
            (row["kernel"], row["tflops"]): {
                name: float(row[name])
                for name in ("hbm_tb_per_s", "tflops", "power_w", "sm_mhz", "tdp_w")
            }
            for row in csv.DictReader(file)
        }


def test_the_energy_of_an_operation_falls_with_the_clock_as_measured():
    found = kernels()
    rest = found["idle", "0"]["power_w"]
    full, slow = found["gemm_duty", "419.8"], found["gemm_bf16", "672.9"]
    half = found["gemm_duty", "218.9"]
    each = (full["power_w"] - half["power_w"]) / (full["tflops"] - half["tflops"])
    lower = (slow["power_w"] - rest) / slow["tflops"]
    clock = slow["sm_mhz"] / full["sm_mhz"]
    exponent = float(universal().clock_power_exponent)
    assert lower / each == pytest.approx(clock**exponent, rel=0.01)
    assert rest / full["tdp_w"] == pytest.approx(float(universal().power_law.idle), rel=0.03)


def test_narrower_operations_take_less_as_measured():
    found = kernels()
    rest = found["idle", "0"]["power_w"]
    exponent = float(universal().clock_power_exponent)

    def at_full_clock(kernel, tflops):
        row = found[kernel, tflops]
        return (row["power_w"] - rest) / row["tflops"] / (row["sm_mhz"] / 1980) ** exponent

    ratio = at_full_clock("gemm_fp8", "1221.8") / at_full_clock("gemm_bf16", "672.9")
    assert ratio == pytest.approx(NARROWER["fp8"], rel=0.02)
    law = universal().power_law.flop
    for name, part in NARROWER.items():
        assert float(law[name]) / float(law["bf16"]) == pytest.approx(part, rel=0.02)


def test_pure_steps_draw_what_was_measured():
    fit = calibrate(PURE, name="pure")
    errors = [
        abs(float(watts) / one.watts - 1)
        for one, watts in zip(fit.draws, fit.power.predict(fit.draws), strict=True)
    ]
    assert sum(errors) / len(errors) < 0.05
    # The catalogue's own entry says the same.
    assert predict(PURE, calibration="kernels").power.mean_abs_error < 0.055


PROMPTS = {
    "rack": {"base": "hgx_h200", "accelerators": 1, "power": "10 kW"},
    "llm": "llama_3_1_70b",
    "workload": {"prompt": 2048, "output": 128, "prefill": "shared"},
    "choices": {"weight_formats": ["fp8"]},
}


def test_a_chip_meets_its_limit_by_lowering_its_clock():
    # NVIDIA publishes 442 tok/s of Llama 70B in FP8 on one H200 (aiconfigurator).
    solution = hbmopt.solve(PROMPTS)
    assert solution.limiting_resource == "accelerator_power"
    assert all(part.clock < 0.9 for part in solution.configurations[0].clocks)
    low, high = solution.throughput_range_tok_s
    assert low < 442 < high
    # At the full clock it would have to pause instead, and make less.
    paused = hbmopt.solve(PROMPTS, {"choices.clocks": [1.0]})
    assert paused.throughput_tok_s < 0.85 * solution.throughput_tok_s
    assert paused.configurations[0].step_breakdown_ms["waiting"] > 0


def test_a_cap_on_every_card_costs_throughput_as_a_lower_tdp_does():
    made = [
        hbmopt.solve(PROMPTS, {"rack.accelerator.power_limit": limit}).throughput_tok_s
        for limit in ("700 W", "600 W", "500 W", "400 W")
    ]
    assert made == sorted(made, reverse=True)
    assert made[0] == pytest.approx(hbmopt.solve(PROMPTS).throughput_tok_s)
    assert made[2] < 0.8 * made[0]
    smaller = hbmopt.solve(PROMPTS, {"rack.accelerator.tdp": "500 W"})
    assert smaller.throughput_tok_s < 0.9 * made[0]
    # Decoding alone draws less for what it makes, so that it slows down less.
    decoding = {**PROMPTS, "workload": {"context": 4096}}
    free, capped = (
        hbmopt.solve(decoding, {"rack.accelerator.power_limit": limit}).throughput_tok_s
        for limit in ("700 W", "500 W")
    )
    assert capped / free > made[2] / made[0]


def test_power_limits_are_swept():
    found = hbmopt.sweep(PROMPTS, "rack.accelerator.power_limit=400 W:700 W:100 W")
    made = [row["throughput_tok_s"] for row in found.frame.to_dict("records")]
    assert made == sorted(made)
    assert made[0] < 0.8 * made[-1]


def test_an_older_chip_does_not_take_the_shares_of_a_newer_one():
    # Llama-3.1-8B in bf16 on an A100: 5,500 to 6,552 tok/s are published.
    solution = hbmopt.solve(
        {
            "rack": {"base": "dgx_a100", "accelerator": "nvidia_a100_80gb", "accelerators": 1},
            "llm": "llama_3_1_8b",
            "workload": {"context": 1024},
            "choices": {"weight_formats": ["bf16"], "kv_formats": ["bf16"]},
        }
    )
    assert solution.throughput_range_tok_s[1] > 5500
    assert solution.throughput_tok_s > 4900


def test_a_chip_of_ones_own_takes_what_is_known_of_it_and_the_rest_from_the_law():
    own = {"rack.accelerator.power_law": {"hbm": "50 pJ/B", "flop": {"bf16": "0.5 pJ/FLOP"}}}
    law, plain = hbmopt.load("h200", own).power_law, hbmopt.load("h200").power_law
    assert float(law.hbm) == 0.05
    assert float(law.running) == float(plain.running)
    assert float(law.flop["fp8"]) / 0.0005 == pytest.approx(
        float(plain.flop["fp8"]) / float(plain.flop["bf16"])
    )
    assert hbmopt.solve("h200", own).power_w < hbmopt.solve("h200").power_w


def test_a_power_limit_below_what_a_running_chip_draws_is_a_conflict_with_a_cure():
    document = hbmopt.load("h100", {"rack.accelerator.power_limit": "130 W"})
    solution = hbmopt.solve(document)
    assert solution.status == "infeasible"
    assert "its power limit is 130 W" in solution.conflict.summary
    assert solution.conflict.limits == ("accelerator_power",)
    explained = hbmopt.explain(document)
    cures = {one.name: one for one in explained.cures.found}
    (setting,) = cures["power limit per accelerator"].settings
    key, _, value = setting.partition("=")
    cured = hbmopt.solve("h100", {key: value})
    assert cured.feasible
    swept = hbmopt.sweep("h100", ["rack.accelerator.power_limit=100 W:700 W:200 W"])
    assert [row["status"] for row in swept.rows] == ["infeasible", "optimal", "optimal", "optimal"]


def test_a_cap_of_just_what_all_chips_draw_at_their_limit_has_no_price():
    # 8 x 700 W + 4.6 kW of the rest = 10.2 kW: more power for the rack is worth nothing.
    solution = hbmopt.solve("generations/03_h200")
    rack = hbmopt.load("generations/03_h200").rack
    most = float(rack.static_power) + 8 * float(rack.accelerator.tdp)
    assert float(rack.power) == pytest.approx(most, rel=1e-12)
    prices = {one.name: one.unit_price for one in solution.inputs}
    assert prices["power_cap"] == 0.0
    assert solution.limiting_resource != "power_cap"
    more = hbmopt.solve("generations/03_h200", {"limits.power": f"{1.1 * most} kW"})
    assert more.throughput_tok_s == pytest.approx(solution.throughput_tok_s, rel=1e-9)
    # Less of it costs, and a sweep says the same as a solve.
    less = hbmopt.solve("generations/03_h200", {"limits.power": f"{0.9 * most} kW"})
    assert less.throughput_tok_s < solution.throughput_tok_s
    row = hbmopt.sweep("generations/03_h200", [f"limits.power={most} kW"]).rows[0]
    assert row["price_power_cap"] == 0.0


def test_the_end_of_the_list_of_clocks_is_said_where_it_limits():
    solution = hbmopt.solve("h100", {"rack.accelerator.power_limit": "300 W"})
    (one,) = solution.configurations
    assert [part.clock for part in one.clocks] == [one.lowest_clock]
    assert any("may make more" in remark for _, _, remark in configuration_rows(one))
    lower = {"rack.accelerator.power_limit": "300 W", "choices.clocks": [1.0, 0.6, 0.5, 0.4]}
    assert hbmopt.solve("h100", lower).throughput_tok_s > 1.1 * solution.throughput_tok_s


def test_a_power_limit_that_limits_is_among_the_inputs():
    solution = hbmopt.solve(PROMPTS)
    first, row = solution.inputs[0], solution.constraints_frame.loc["accelerator_power"]
    assert first.name == solution.limiting_resource == "accelerator_power"
    assert (first.value, first.unit, first.unit_price) == (700.0, "W", row.unit_price)
    assert first.unit_price > 0
    assert solution.inputs_frame.loc[solution.limiting_resource, "elasticity"] > 0.5
    assert solution.elasticities["accelerator_power"] == solution.limiting_elasticity
    assert all(abs(first.elasticity) > abs(one.elasticity) for one in solution.inputs[1:])
    # The price is that of a higher limit, at the same energy of every operation.
    more = hbmopt.solve(PROMPTS, {"rack.accelerator.power_limit": "701 W"})
    per_watt = more.throughput_tok_s - solution.throughput_tok_s
    assert per_watt == pytest.approx(first.unit_price, rel=0.5)
    text = render(solution, "table", width=132, color=False)
    assert text.index("accelerator power limit  ") < text.index("HBM bandwidth  ")
    # Where something else limits, it is not.
    assert "accelerator_power" not in hbmopt.solve("h200").elasticities


def test_a_sweep_prices_the_power_limit_where_it_limits():
    # Found by formula, and solved one by one.
    swept = hbmopt.sweep(PROMPTS, "limits.power=8 kW,10 kW").rows[1]
    solution = hbmopt.solve(PROMPTS, {"limits.power": "10 kW"})
    priced = solution.inputs[0]
    assert swept["limiting_resource"] == priced.name == "accelerator_power"
    assert swept["price_accelerator_power"] == pytest.approx(priced.unit_price, rel=1e-6)
    assert swept["elasticity_accelerator_power"] == pytest.approx(priced.elasticity, rel=1e-6)


def test_more_of_the_power_limit_can_be_bought():
    solution = hbmopt.solve(PROMPTS)
    bought = {one.input.name: one for one in upgrades(hbmopt.load(PROMPTS), solution)}
    more = hbmopt.solve(PROMPTS, {"rack.accelerator.power_limit": "770 W"})
    found = bought["accelerator_power"]
    assert found.amount == pytest.approx(more.throughput_tok_s, rel=1e-9)
    assert found.gain > 0.01
