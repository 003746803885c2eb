import csv
import sys
from dataclasses import replace

import numpy as np
import pytest
import yaml

from builders import INSTANCES, ROOT
from commands import runner
from hbmopt.cli import cli
from hbmopt.instance.calibration import (
    LATENCIES,
    STEP_RESOURCES,
    TENSOR_PARALLEL,
    entry_for,
    universal,
)
from hbmopt.instance.schema import load
from hbmopt.report.tables.calibration_file import calibration_yaml
from hbmopt.studies.accuracy.calibrating import folds
from hbmopt.studies.accuracy.constant_fits import (
    PRIOR,
    Draw,
    PowerConstants,
    Step,
    StepConstants,
    architectures,
    fit_power,
    fit_steps,
)
from hbmopt.studies.accuracy.prediction import predict

sys.path.insert(0, str(ROOT / "benchmarks"))
import accuracy

MEASURED = INSTANCES / "measured" / "decode_steps.csv"

TRUE = StepConstants(
    efficiency={
        "weights": 0.7,
        "experts": 0.65,
        "kv": 0.6,
        "gemm": 0.5,
        "experts_gemm": 0.3,
        "attention": 0.4,
        "prefill": 0.45,
        "link": 0.5,
    },
    latency=dict(zip(LATENCIES, (0.055, 0.025, 0.02, 0.03, 0.012, 0.06, 0.01), strict=True)),
    architectures=dict.fromkeys(architectures(), 0.05),
)


def synthetic(count=2000):
    """Steps of known constants, whose parts vary independently of each other."""
    found, generator = [], np.random.default_rng(1)
    counts = len(LATENCIES) + len(TRUE.architectures)
    for index in range(count):
        step = Step(
            line=index,
            series=(f"series {index // 10}",),
            context=1000.0,
            mode=TENSOR_PARALLEL,
            measured_ms=1.0,
            at_peak=tuple(30.0 * generator.random(len(STEP_RESOURCES)) ** 3 + 0.01),
            counts=tuple(80.0 * generator.random(counts) ** 2),
        )
        found.append(replace(step, measured_ms=float(TRUE.predict([step])[0])))
    return found


def test_known_constants_are_recovered():
    found = fit_steps(synthetic())
    for name in STEP_RESOURCES:
        assert found.efficiency[name] == pytest.approx(TRUE.efficiency[name], rel=0.05)
    for name in LATENCIES:
        assert found.latency[name] == pytest.approx(TRUE.latency[name], rel=0.35)
    for one in TRUE.architectures:
        assert found.architectures[one] == pytest.approx(0.05, rel=0.5)


def test_outliers_do_not_move_the_constants():
    steps = [
        replace(one, measured_ms=5.0 * one.measured_ms) if one.line % 15 == 0 else one
        for one in synthetic()
    ]
    found = fit_steps(steps)
    for name in STEP_RESOURCES:
        assert found.efficiency[name] == pytest.approx(TRUE.efficiency[name], rel=0.1)


def test_rows_that_contradict_themselves_are_not_fitted():
    steps = synthetic()
    wrong = [replace(one, measured_ms=9.0, contradicts=True, line=1000 + one.line) for one in steps]
    assert fit_steps(steps + wrong) == fit_steps(steps)


def test_constants_stay_in_their_range_whatever_the_rows():
    hasty = [replace(one, measured_ms=1e-3 * one.measured_ms) for one in synthetic(60)]
    slow = [replace(one, measured_ms=1e3 * one.measured_ms) for one in synthetic(60)]
    for steps in (hasty, slow):
        found = fit_steps(steps)
        assert all(0 < value <= 1 for value in found.efficiency.values())
        assert all(value > 0 for value in found.latency.values())


def test_few_rows_hardly_move_the_constants():
    (one, *_) = synthetic()
    found = fit_steps([replace(one, measured_ms=1.1 * one.measured_ms)])
    for name in STEP_RESOURCES:
        assert found.efficiency[name] == pytest.approx(PRIOR[name], rel=0.5)


def draws(law, count=60):
    found = []
    for index in range(count):
        draw = Draw(
            index,
            (f"series {index // 6}",),
            0.0,
            130.0,
            9e9,
            index % 7 / 2,
            index % 11 * 40.0,
            True,
        )
        found.append(replace(draw, watts=float(law.predict([draw])[0])))
    return found


def test_a_known_power_law_is_recovered():
    law = PowerConstants(90.0, 80.0, 1.4)
    found = fit_power(draws(law))
    assert found.running == pytest.approx(law.running, rel=0.03)
    assert found.hbm == pytest.approx(law.hbm, rel=0.05)
    assert found.flop == pytest.approx(law.flop, rel=0.05)


def test_a_power_law_is_not_negative():
    falling = [
        replace(one, watts=900.0 - 100 * one.hbm) for one in draws(PowerConstants(900, 0, 0))
    ]
    found = fit_power(falling)
    assert min(found.running, found.hbm, found.flop) >= 0


def test_a_chip_at_its_limit_says_nothing():
    law = PowerConstants(90.0, 80.0, 1.4)
    limited = [replace(one, limit_w=500.0, watts=min(one.watts, 497.0)) for one in draws(law)]
    assert max(one.watts for one in limited) == 497.0
    found = fit_power(limited)
    assert found.hbm == pytest.approx(law.hbm, rel=0.1)
    assert found.flop == pytest.approx(law.flop, rel=0.1)


def test_folds_never_tear_a_series_apart():
    groups = [(f"group {index % 13}",) for index in range(200)]
    for most in (2, 5, 50):
        fold = folds(groups, most)
        assert len(set(fold)) == min(most, 13)
        for group in set(groups):
            assert len({one for one, name in zip(fold, groups, strict=True) if name == group}) == 1


FAMILIES = ("nvidia_hopper", "nvidia_blackwell", "amd_mi300", "amd_mi355")


@pytest.fixture(scope="module")
def fits():
    """Fits that the tests of the document need as well."""
    return {name: accuracy.fitted_family(name).fit for name in FAMILIES}


def test_no_series_is_both_fitted_and_tested(fits):
    """A fold predicts a row as a fit without the row's series does."""
    fit = fits["nvidia_hopper"]
    steps = list(fit.steps)
    for series in sorted({one.series for one in steps})[:3]:
        rest = [one for one in steps if one.series != series]
        tested = [one for one in steps if one.series == series]
        expected = fit_steps(rest).predict(tested)
        held = fit.held_out_ms
        assert [held[one.line] for one in tested] == pytest.approx(list(expected))


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def test_held_out_errors_are_within_their_marks(fits):
    """Recomputed from measured and predicted numbers alone."""
    with MEASURED.open(encoding="utf-8", newline="") as file:
        rows = dict(enumerate(csv.DictReader(file), start=2))
    every, contradicting = [], 0
    for fit in fits.values():
        errors = []
        for line, predicted in fit.held_out_ms.items():
            row = rows[line]
            step = float(row["step_ms"])
            said = 1e3 * float(row["batch"]) / step / float(row["accelerators"])
            ratio = said / float(row["tokens_per_s_per_accelerator"])
            if not 0.5 <= ratio <= 2.0:
                contradicting += 1
                continue
            errors.append(abs(predicted - step) / step)
        assert median(errors) <= 0.16
        every += errors
    assert len(every) + contradicting == 1085
    assert contradicting <= 14
    assert median(every) <= 0.09
    assert sum(every) / len(every) <= 0.13


def test_the_shipped_calibrations_are_what_the_command_makes(fits):
    for name, fit in fits.items():
        path = INSTANCES / "catalog" / "calibrations" / f"{name}.yaml"
        shipped = yaml.safe_load(path.read_text(encoding="utf-8"))
        made = calibration_yaml(
            fit, title=shipped["title"], same_architecture=shipped.get("same_architecture", ())
        )
        assert path.read_text(encoding="utf-8") == made


def test_a_fit_is_a_calibration_that_an_instance_names(tmp_path):
    path = tmp_path / "my_fit.yaml"
    found = runner().invoke(cli, ["calibrate", str(MEASURED), "--chips", "mi355x", "-o", str(path)])
    assert found.exit_code == 0, found.stderr
    assert "held out" in found.stderr
    problem = tmp_path / "problem.yaml"
    problem.write_text(
        "rack: mi355x_node\nllm: deepseek_r1\nworkload: {context: 4096}\n"
        "calibration: my_fit.yaml\n",
        encoding="utf-8",
    )
    calibration = load(problem).calibration
    assert calibration.name == "my_fit"
    assert calibration.basis == "calibrated"
    assert calibration.efficiency.weights.status == "measured"
    assert float(calibration.hbm_usable) == float(universal().hbm_usable)
    assert calibration.error("amd_mi355x", 1).rows == 91
    again = predict(MEASURED, calibration=path, recorded_only=True)
    mine = [row for row in again.rows if row.accelerator == "amd_mi355x" and row.error is not None]
    assert median([abs(row.error) for row in mine]) < 0.13


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--chips", "abacus"], "--chips abacus"),
        (["--chips", "tpu_v6e"], "no row with a recorded context can be fitted"),
        (["-o", "fit.json"], "must end in .yaml"),
        (["--name", "a: b"], "--name: 'a: b' must be letters"),
    ],
)
def test_wrong_calls_of_calibrate_are_one_line(arguments, problem):
    found = runner().invoke(cli, ["calibrate", str(MEASURED), *arguments])
    assert found.exit_code == 2
    assert problem in found.stderr
    assert found.stderr.count("\n") == 1


def calibrated(rack, **changes):
    return load(
        {"rack": rack, "llm": "deepseek_r1", "workload": {"context": 4096}, "calibration": changes}
    ).calibration


@pytest.mark.parametrize(
    ("rack", "name"),
    [
        ("dgx_h100", "nvidia_hopper"),
        ("gb200_nvl72", "nvidia_blackwell"),
        ("gb300_nvl72", "nvidia_blackwell"),
        ("mi325x_node", "amd_mi300"),
        ("kyber_nvl144", "universal"),
    ],
)
def test_calibrated_is_that_of_the_chip(rack, name):
    found = calibrated(rack, base="calibrated")
    assert found.name == name
    assert found.basis == ("universal" if name == "universal" else "calibrated")


def test_the_chip_decides_even_when_it_is_set_later():
    problem = {"rack": "dgx_h100", "llm": "llama_3_1_8b", "workload": {"context": 4096}}
    found = load(problem, ["calibration=calibrated", "rack=mi355x_node"])
    assert found.calibration.name == "amd_mi355"
    assert entry_for("amd_mi355x") == "amd_mi355"


def test_constants_of_ones_own_are_a_spec_sheet_without_errors():
    assert (
        load({"rack": "dgx_h100", "llm": "llama_3_1_8b", "workload": {"context": 4096}}).calibration
        == universal()
    )
    changed = calibrated("dgx_h100", overlap=1)
    assert changed.basis == "spec sheet"
    assert changed.error("nvidia_h100_sxm", 1) is None
    assert changed.efficiency.weights == universal().efficiency.weights
    mixed = calibrated("dgx_h100", base="calibrated", latency={"per_layer": "1 us"})
    assert mixed.name == "nvidia_hopper"
    assert mixed.basis == "spec sheet"
