"""Bands of error: as wide as what was left out says, carried to answers, and planned for."""

import json
from itertools import pairwise

import pytest

import hbmopt
from builders import INSTANCES
from commands import runner
from hbmopt.cli import cli
from hbmopt.errors import InputError
from hbmopt.instance import HIGH, LOW, QuantileBand, universal
from hbmopt.studies.accuracy import predict

RACK = "h200"


def test_quantiles_are_read_between_those_that_are_known():
    band = QuantileBand(
        of="step", known="chip", rows=9, quantiles=[0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4]
    )
    assert band.at(0.1) == 0.8
    assert band.at(0.9) == pytest.approx(1.2)
    assert 0.9 < band.at(0.4) < 1.0
    assert band.at(0.001) == 0.7
    assert band.at(0.999) == pytest.approx(1.4)


@pytest.mark.parametrize("wrong", [[1.0], [1, 1, 1, 1, 1, 1, 0.9], [0, 1, 1, 1, 1, 1, 1]])
def test_quantiles_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="quantiles"):
        QuantileBand(of="step", known="chip", rows=9, quantiles=wrong)


def test_who_knows_less_is_not_surer():
    order = ["model and chip", "chip", "family", "nothing"]
    for of in ("step", "power"):
        for layout in (1, 8):
            bands = [universal().band(of, known, layout) for known in order]
            for more, less in pairwise(bands):
                assert less.at(LOW) <= more.at(LOW)
                assert less.at(HIGH) >= more.at(HIGH)


def test_four_of_five_measured_steps_lie_in_their_band():
    found = predict(INSTANCES / "measured" / "decode_steps.csv", recorded_only=True)
    # These rows took part in the fit, which makes more of them lie inside than of others.
    assert 0.75 <= found.within_band <= 0.88


def what_is_known(**changes):
    return hbmopt.load(RACK, changes).known


def test_what_is_known_is_what_was_measured():
    assert what_is_known(llm="llama_3_1_70b") == "model and chip"
    assert what_is_known(llm="qwen3_coder_480b") == "chip"
    assert what_is_known(rack="dgx_b300", llm="llama_3_1_70b") == "family"
    assert what_is_known(rack="vr_nvl72") == "nothing"
    # A chip with other rates is not the one that was measured.
    assert what_is_known(**{"rack.accelerator.hbm_bandwidth": "6 TB/s"}) == "family"


def test_an_answer_says_what_it_lies_between():
    solution = hbmopt.solve(RACK)
    low, high = solution.throughput_range_tok_s
    known = solution.accuracy
    assert low == pytest.approx(solution.throughput_tok_s / known.step_high)
    assert high == pytest.approx(solution.throughput_tok_s / known.step_low)
    slow, fast = solution.speed_range_tok_s_user
    assert slow < solution.speed_tok_s_user < fast
    least, most = solution.power_range_w
    assert least < solution.power_w < most
    text = runner().invoke(cli, ["solve", RACK]).stdout
    assert "in four of five cases" in text
    data = json.loads(runner().invoke(cli, ["solve", RACK, "--format", "json"]).stdout)
    assert data["throughput_range_tok_s"] == pytest.approx([low, high])


def test_constants_of_ones_own_have_no_band():
    solution = hbmopt.solve(RACK, {"calibration.efficiency.kv": 0.5})
    assert solution.throughput_range_tok_s is None
    assert solution.accuracy.step_low is None


def test_a_plan_for_the_worst_cases_keeps_its_floor_in_nine_of_ten():
    plain, worst = hbmopt.solve(RACK), hbmopt.solve(RACK, {"calibration.worst": 0.1})
    assert worst.throughput_tok_s < plain.throughput_tok_s
    # What it promises is the lower end of its own range.
    low, high = worst.throughput_range_tok_s
    assert low == pytest.approx(worst.throughput_tok_s)
    assert high > worst.throughput_tok_s
    # The same batch on the middle of the cases is faster than the floor by as much.
    batch = worst.batch
    verdict = hbmopt.check(RACK, batch=batch, speed=worst.speed_tok_s_user * 1.1)
    assert verdict.possible


def test_the_command_plans_for_the_worst_cases():
    found = runner().invoke(cli, ["solve", RACK, "--worst", "0.1", "--format", "json"])
    known = hbmopt.solve(RACK, {"calibration.worst": 0.1})
    made = json.loads(found.stdout)["throughput_tok_s"]
    assert made == pytest.approx(known.throughput_tok_s)
    assert (
        "planned for the slowest 10% of cases" in json.loads(found.stdout)["accuracy"]["statement"]
    )
    refused = runner().invoke(cli, ["solve", RACK, "--worst", "0.7"])
    assert refused.exit_code == 2
    assert "at most 0.5" in refused.output


def test_what_is_worse_than_any_band_knows_is_refused():
    with pytest.raises(InputError, match=r"bands are known from 0\.05 on"):
        hbmopt.load("h100", {"calibration.worst": 0.01})
    assert hbmopt.load("h100", {"calibration.worst": 0.05}).calibration.worst.amount == 0.05
