import subprocess
import sys
from dataclasses import asdict
from statistics import median
from xml.etree import ElementTree

import pytest

from builders import ROOT
from hbmopt.instance.schema import load
from hbmopt.report.tables.comparison_report import render_comparison
from hbmopt.report.tables.output import render_frontier
from hbmopt.results import solve
from hbmopt.studies.comparison.side_by_side import compare
from hbmopt.studies.frontier.speed_frontier import frontier

sys.path.insert(0, str(ROOT / "benchmarks"))
import accuracy

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def families():
    return accuracy.fitted_families()


@pytest.fixture(scope="module")
def rows(families):
    return accuracy.judged_rows(families)


def test_the_document_is_what_the_command_makes(families, rows):
    shipped = (DOCS / "accuracy.md").read_text(encoding="utf-8")
    assert accuracy.document_text(families, rows) == shipped


def test_the_universal_entry_states_the_errors_that_it_has(families, rows):
    shipped = (accuracy.CALIBRATIONS / "universal.yaml").read_text(encoding="utf-8")
    made = accuracy.universal_text(
        accuracy.overall_errors(rows), accuracy.universal_errors(families, rows)
    )
    assert made == shipped


def test_every_recorded_row_is_judged_once(rows):
    lines = [one.row.line for one in rows]
    assert len(lines) == len(set(lines)) == 868


def test_the_charts_of_the_document_are_there(rows):
    text = (DOCS / "accuracy.md").read_text(encoding="utf-8")
    for name, chart in accuracy.charts(rows).items():
        assert f"({name})" in text
        assert ElementTree.parse(DOCS / name).getroot().tag.endswith("svg")
        assert chart.to_dict()["title"]


def test_no_brace_is_left_in_the_document():
    text = (DOCS / "accuracy.md").read_text(encoding="utf-8")
    assert "{" not in text


def solved(path, **changes):
    return solve(load(ROOT / "instances" / path, changes))


def test_answers_say_what_their_step_times_rest_on():
    universal = solved("h100.yaml").accuracy
    assert (universal.basis, universal.calibration) == ("universal", "universal")
    assert universal.measured_rows == 231
    assert 0 < universal.median_error < universal.p90_error
    fitted = solved("h100.yaml", calibration="calibrated").accuracy
    assert (fitted.basis, fitted.calibration) == ("calibrated", "nvidia_hopper")
    assert fitted.median_error < universal.median_error
    assert "that were not fitted" in fitted.statement
    ideal = solved("h100.yaml", calibration="spec_sheet").accuracy
    assert (ideal.basis, ideal.median_error) == ("spec sheet", None)


@pytest.mark.parametrize(
    ("instance", "changes", "statement"),
    [
        ("rubin_nvl72.yaml", {}, "no measured step covers"),
        ("gb300_nvl72.yaml", {"calibration": "calibrated"}, "constants of its architecture"),
        ("h100.yaml", {"rack.accelerator.hbm_bandwidth": "5 TB/s"}, "rates of NVIDIA H100"),
    ],
)
def test_answers_for_chips_that_nobody_measured_say_so(instance, changes, statement):
    found = solve(load(ROOT / "instances" / instance, changes)).accuracy
    assert statement in found.statement
    assert (found.measured_rows, found.median_error, found.p90_error) == (0, None, None)
    assert "median error" in found.statement


@pytest.mark.parametrize(
    ("instance", "vendor"), [("rubin_ultra.yaml", "NVIDIA"), ("mi455x_helios.yaml", "AMD")]
)
def test_a_chip_that_nobody_measured_is_told_the_error_over_all_measured_rows(
    rows, instance, vendor
):
    """The medians are those of the rows themselves, not of groups of them."""
    errors = [(accuracy.vendor_of(one.row.accelerator), abs(one.universal)) for one in rows]
    every = median(error for _, error in errors)
    own = median(error for maker, error in errors if maker == vendor)
    found = solved(instance).accuracy
    assert found.overall_median_error == pytest.approx(every, abs=5e-4)
    assert f"median error {every:.0%} over all measured chips" in found.statement
    assert f", {own:.0%} on {vendor}'s" in found.statement


def test_a_chip_of_a_vendor_without_measured_rows_is_told_the_error_over_all():
    found = solved("tpu_v8.yaml").accuracy
    assert found.statement.endswith("over all measured chips")
    ideal = solved("tpu_v8.yaml", calibration="spec_sheet").accuracy
    assert ideal.overall_median_error is None


def test_frontier_and_comparison_say_what_their_step_times_rest_on():
    instance = load(ROOT / "instances" / "h100.yaml")
    known = solve(instance).accuracy
    drawn = frontier(instance)
    assert drawn.to_dict()["accuracy"] == asdict(known)
    assert f"Step times: universal, {known.statement}." in render_frontier(
        drawn, "table", width=200, color=False
    )
    compared = compare([instance, load(ROOT / "instances" / "rubin_ultra.yaml")])
    first, second = compared.to_dict()["rows"]
    assert first["accuracy"] == asdict(known)
    assert second["accuracy"]["median_error"] is None
    assert compared.frame.loc["h100", "step_median_error"] == known.median_error
    (note,) = [one for one in compared.notes if "measured step" in one]
    assert "rubin_ultra" in note
    assert "h100" not in note
    text = render_comparison(compared, "table", width=120, color=False)
    assert "not measured" in text
    assert f"{known.median_error:.0%}" in text


def test_an_infeasible_answer_says_it_too():
    found = solve(load(ROOT / "instances" / "h100.yaml", {"limits.min_speed": "9000 tok/s"}))
    assert found.status == "infeasible"
    assert found.accuracy.basis == "universal"


def test_a_calibrated_plan_takes_the_constants_of_its_layout():
    """Seconds of the fixed latency, by hand, with and without attention-data parallelism."""
    for size, data in ((8, 1), (8, 8)):
        instance = load(
            ROOT / "instances" / "deepseek_r1_h200.yaml",
            {
                "calibration": {"base": "calibrated", "engine": "sglang"},
                "choices.replica_accelerators": [size],
                "choices.attention_data_parallel": [data],
                "choices.draft_tokens": [0],
                "limits.min_speed": "1 tok/s",
            },
        )
        (one,) = solve(instance).configurations
        constants = instance.calibration.constants(data)
        latency = constants.latency
        per_layer = float(latency.per_layer) + 3 * float(latency.per_layer_doubling)
        blocks = 61 + 58
        expected = 61 * per_layer + blocks * float(latency.per_composite_block)
        expected *= float(constants.engines["sglang"])
        assert one.attention_data_parallel == data
        assert one.step_breakdown_ms["latency"] == pytest.approx(expected)


def test_the_price_of_latency_is_that_of_the_layout():
    """One more microsecond per layer's kernels, against re-solved plans at the same batch."""
    changes = {
        "calibration": {"base": "calibrated", "engine": "sglang"},
        "choices.attention_data_parallel": [8],
        "choices.clocks": [1.0],
        "choices.whole_sequences": False,
        "limits.min_speed": "20 tok/s",
    }
    path = ROOT / "instances" / "deepseek_r1_h200.yaml"
    instance = load(path, changes)
    before = solve(instance)
    price = before.inputs_frame.loc["latency", "unit_price"]
    latency = instance.calibration.expert_parallel.latency.per_layer
    factor = instance.calibration.engine_factor(8)
    ends = []
    for added in (0.5, -0.5):
        moved = float(latency) + 1e-3 * added / factor
        key = ("calibration", "expert_parallel", "latency", "per_layer")
        ends.append(solve(instance.scaled(key, moved / float(latency))).throughput_tok_s)
    assert price == pytest.approx(ends[0] - ends[1], rel=1e-3)
    assert price < 0


def test_the_command_of_the_document_runs():
    command = [sys.executable, str(ROOT / "benchmarks" / "accuracy.py"), "--help"]
    found = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert found.returncode == 0
    assert "docs/accuracy.md" in found.stdout
