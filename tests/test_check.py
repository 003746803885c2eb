"""Checks of claims: own optima are possible, more is not, and what is reachable is the limit."""

import csv
import io
import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hbmopt
from builders import INSTANCES
from commands import runner
from hbmopt.cli import cli
from hbmopt.demand.coefficients import Demand, Segment, largest_batch
from hbmopt.demand.configuration import enumerate_configurations
from hbmopt.demand.sequence import smallest_batch
from hbmopt.points import EXACT, TargetSearch
from hbmopt.program.operation import solve_program
from hbmopt.report.tables.json_schema import schema_text
from hbmopt.results import point_use
from racks import small_instances

SHIPPED = sorted([*INSTANCES.glob("*.yaml"), *INSTANCES.glob("generations/*.yaml")])
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
FEW_LAYOUTS = {
    "gb300_nvl72": {"choices.replica_accelerators": [8, 72]},
    "rubin_nvl72": {"choices.replica_accelerators": [8, 72]},
    "rubin_nvl72_lpx": {"choices.replica_accelerators": [8, 72]},
}
"""For tests that ask many questions of a large rack."""


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_optimum_is_possible_and_a_thousandth_more_is_not(path):
    instance = hbmopt.load(path, FEW_LAYOUTS.get(path.stem, {}))
    solution = hbmopt.solve(instance)
    search = TargetSearch(instance)
    batch, speed = solution.batch, solution.speed_tok_s_user
    more = batch * 1.001 if not instance.choices.whole_sequences else np.ceil(batch * 1.001)

    def served(batch, speed):
        target = search.target(batch, speed)
        return search.closest(target).serves(target)

    assert served(batch, speed)
    assert not served(batch, speed * 1.001)
    assert not served(more, speed)
    nearest = search.closest(search.target(batch, speed))
    assert point_use(instance, nearest.point).worst.share == pytest.approx(nearest.factor, rel=1e-6)


def test_a_claim_of_the_closed_form_is_judged_exactly():
    """C = 100 GB, BW = 4000 GB/s, W = M = 20 GB, S = Q = 1 GB per sequence."""
    instance = hbmopt.load(INSTANCES / "closed_form.yaml")
    possible = hbmopt.check(instance, 50, 57.14)
    assert possible.possible
    fastest, largest = possible.reachable
    assert fastest.speed_tok_s_user == pytest.approx(4000 / 70, rel=1e-6)
    assert largest.batch == pytest.approx(4000 / 57.14 - 20, rel=1e-6)
    missed = hbmopt.check(instance, 50, 80)
    assert not missed.possible
    (lack,) = [one for one in missed.limits if one.missing is not None]
    assert lack.name == "hbm_bandwidth"
    assert lack.missing == pytest.approx(80 * 70 / 4000, rel=1e-9)
    cure = next(one for one in missed.cures.found if one.key.endswith("hbm_bandwidth"))
    assert cure.to == "5.6 TB/s"
    full = hbmopt.check(instance, 100, 1)
    (lack,) = [one for one in full.limits if one.missing is not None]
    assert (lack.name, lack.missing) == ("hbm_capacity", pytest.approx(1.2, rel=1e-9))
    assert "1.2 x the HBM capacity (120 instead of 100" in full.verdict


@pytest.mark.parametrize(
    ("name", "batch", "speed", "power"),
    [
        ("h100", 200, 40, None),
        ("rubin_nvl72", 1920, 180, "80 kW"),
        ("gb300_nvl72", 1000, 60, None),
        ("cpu_budget", 2000, 40, None),
        ("deepseek_r1_h200", 300, 40, None),
    ],
)
def test_what_is_reachable_is_possible_and_no_more_is(name, batch, speed, power):
    changes = FEW_LAYOUTS.get(name, {})
    instance = hbmopt.load(INSTANCES / f"{name}.yaml", changes)
    found = hbmopt.check(instance, batch, speed, power)
    assert not found.possible
    cap = {"limits.power": power} if power else {}
    search = TargetSearch(hbmopt.load(INSTANCES / f"{name}.yaml", changes | cap))
    assert found.reachable
    for one in found.reachable:
        target = search.target(one.batch, one.speed_tok_s_user)
        assert search.closest(target).serves(target)
        beyond = (
            search.target(one.batch, one.speed_tok_s_user * 1.001)
            if one.batch == batch
            else search.target(one.batch + 1, one.speed_tok_s_user)
        )
        assert not search.closest(beyond).serves(beyond)


def test_cures_of_a_claim_make_it_possible_and_one_per_cent_less_does_not():
    path, few = INSTANCES / "gb300_nvl72.yaml", ["choices.replica_accelerators=[72]"]
    found = hbmopt.check(hbmopt.load(path, few), 1808, 45)
    assert {"workload.prompt", "rack.accelerator.hbm_bandwidth"} <= {
        one.key for one in found.cures.found
    }
    for cure in found.cures.found:
        instance = hbmopt.load(path, [*few, *cure.settings])
        search = TargetSearch(instance)
        assert search.closest(search.target(1808, 45)).serves(search.target(1808, 45)), cure
        short = []
        for setting in cure.settings:
            key, _, text = setting.partition("=")
            number, _, unit = text.partition(" ")
            if number.startswith("["):
                continue  # one more format to choose from has no size
            less = float(number) * (0.99 if cure.ratio > 1 else 1.01)
            less = f"{less:.12g} {unit}" if unit else f"{int(number) + 2}"
            short.append(f"{key}={less}".strip())
        if not short:
            continue
        search = TargetSearch(hbmopt.load(path, few + short))
        assert not search.closest(search.target(1808, 45)).serves(search.target(1808, 45)), cure


def test_the_least_power_is_the_least():
    path, few = INSTANCES / "rubin_nvl72.yaml", FEW_LAYOUTS["rubin_nvl72"]
    found = hbmopt.check(hbmopt.load(path, few), 1920, 160, "80 kW")
    assert not found.possible
    least = found.least_power_w / 1e3
    for power, possible in ((least * 1.0001, True), (least * 0.999, False)):
        search = TargetSearch(hbmopt.load(path, few | {"limits.power": f"{power} kW"}))
        target = search.target(1920, 160)
        assert search.closest(target).serves(target) == possible
    assert f"With {np.ceil(least):g} kW it would be possible" in found.verdict


def test_a_program_on_the_verge_of_infeasible_is_decided():
    """HiGHS tells neither with nor without presolve whether a row holds that is off by 1e-6."""
    layout = {"replica_accelerators": [2], "tensor_parallel": [1], "lpu_units": [7]}
    changes = {f"choices.{key}": value for key, value in layout.items()}
    rack = hbmopt.load(
        INSTANCES / "rubin_nvl72_lpx.yaml", changes | {"choices.weight_formats": ["fp4"]}
    )
    found = hbmopt.check(rack, 2635, 250.0588469347201, "206.179617 kW")
    assert not found.possible
    assert max(one.utilization for one in found.limits) > 1


def test_a_claim_that_only_a_lower_clock_keeps_is_possible():
    # At the full clock these chips draw more than they may; a lower one reads caches as fast.
    chip = {
        "name": "chip",
        "hbm_capacity": "49 GB",
        "hbm_bandwidth": "7.35 TB/s",
        "peak_flops": {"bf16": "1035 TFLOP/s"},
        "tdp": "1.2 kW",
        "power_law": {"running": "500 W", "hbm": "107 pJ/B", "flop": {"bf16": "1 pJ/FLOP"}},
        "scale_up_bandwidth": "1 TB/s",
    }
    lpu = {
        "name": "lpu",
        "sram_capacity": "5 GB",
        "sram_bandwidth": "45 TB/s",
        "peak_flops": {"bf16": "486 TFLOP/s"},
        "tdp": "150 W",
        "link_bandwidth": "17.8 GB/s",
        "layer_latency": "7 us",
        "hop_latency": "0.5 us",
    }
    windowed = {"kind": "compressed", "layers": 1, "head_dimension": 512, "window": 512}
    grouped = {"kind": "grouped", "layers": 3, "kv_heads": 1, "head_dimension": 64}
    instance = hbmopt.load(
        {
            "rack": {
                "name": "two",
                "accelerator": chip,
                "accelerators": 2,
                "static_power": "0.5 kW",
                "offload": {"device": lpu, "units": 4},
            },
            "llm": {
                "name": "small",
                "layers": 4,
                "hidden_size": 4096,
                "parameters": {"attention": 0.286e9, "embedding": 0.2e9},
                "attention": [one | {"heads": 24} for one in (windowed, grouped)],
            },
            "workload": {"context": 131072},
            "calibration": {
                "overlap": 0.85,
                "clock_power_exponent": 2,
                "latency": {"clock_share": 0},
                "engine_sequences": 256,
            },
        }
    )
    # At the full one alone 278.2 tok/s/user are the most.
    search = TargetSearch(instance)
    assert search.closest(search.target(432, 280)).serves(search.target(432, 280))
    for speed, possible in ((335, True), (336, False)):
        found = hbmopt.check(instance, 432, speed)
        assert found.possible == possible
        assert found.reachable[0].speed_tok_s_user == pytest.approx(335.798, rel=1e-4)


def test_progress_counts_up_to_the_end():
    told = []
    path = INSTANCES / "b200.yaml"
    hbmopt.check(
        hbmopt.load(path), 210, 30, progress=lambda done, known: told.append((done, known))
    )
    assert len(told) > 10
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert all(done < known for done, known in told[:-1])
    assert told[-1][0] == told[-1][1]


def test_the_verdict_turns_where_it_is_said_to():
    path = INSTANCES / "rubin_nvl72.yaml"
    found = hbmopt.check(hbmopt.load(path), 1920, 100, "120 kW")
    assert found.possible
    turning = [one for one in found.premises if one.ratio is not None]
    assert {"rack.static_power", "rack.accelerator.tdp"} <= {one.input for one in turning}
    for one in turning:
        value = float(one.value.split()[0])
        unit = one.value.partition(" ")[2]
        for share, possible in ((0.995, True), (1.005, False)):
            amount = value * (1.0 + (one.ratio - 1.0) * share)
            changed = hbmopt.load(path, [f"{one.input}={amount} {unit}"])
            search = TargetSearch(
                changed.model_copy(
                    update={
                        "limits": hbmopt.load(path, {"limits.power": "120 kW"}).limits,
                    }
                )
            )
            target = search.target(1920, 100)
            assert search.closest(target).serves(target) == possible, one


def test_the_claim_of_the_rubin_rack_is_checked_input_by_input():
    """1,920 requests at 100 tok/s/user on 120 kW: the arithmetic holds, the power is another's."""
    instance = hbmopt.load(INSTANCES / "rubin_nvl72.yaml", {"llm": "deepseek_r1"})
    found = hbmopt.check(instance, 1920, 100, "120 kW")
    assert found.claim.throughput_tok_s == 192_000
    assert found.claim.tok_s_per_mw == pytest.approx(1.6e6)
    assert not found.possible
    missing = {one.name: one.missing for one in found.limits if one.missing is not None}
    assert set(missing) == {"accelerator_power", "step_time", "power_cap", "compute"}
    # As docs/claims.md has it.
    assert missing["step_time"] == pytest.approx(2.23, abs=1e-2)
    assert missing["power_cap"] == pytest.approx(2.13, abs=1e-2)
    assert any("57% of the 210 kW (estimate)" in note for note in found.notes)
    assert sum(found.closest.power_breakdown_w.values()) == pytest.approx(found.closest.power_w)
    assert found.closest.replicas * found.closest.batch >= 1920
    assert {"rack.static_power", "rack.accelerator.tdp", "rack.accelerator.hbm_bandwidth"} <= {
        one.input for one in found.premises
    }


@settings(max_examples=20, deadline=None, suppress_health_check=SLOW)
@given(small_instances(), st.integers(1, 60), st.floats(2.0, 60.0))
def test_a_claim_is_possible_exactly_where_a_program_serves_it(mapping, batch, speed):
    instance = hbmopt.load(mapping)
    search = TargetSearch(instance)
    # A cap near idle power amplifies a slack; here there is none.
    target = replace(search.target(batch, speed), slack=EXACT)
    best = 0.0
    for one in enumerate_configurations(instance)[0]:
        most = int(float(instance.rack.accelerators)) // one.layout.accelerators
        if one.lpu_units:
            most = min(most, 8 // one.lpu_units)
        for count in range(1, most + 1):
            each = max(float(-(-batch // count)), smallest_batch(one))
            if each > largest_batch(instance, one) * (1.0 + 1e-9):
                continue
            exact = Segment(each, each)
            demand = Demand(instance.at_floor(0.0), one)
            solved = solve_program(demand, exact, float(count))
            if solved.answer.optimal:
                best = max(best, solved.throughput * 1e3 / (count * each))
    if abs(best / speed - 1.0) > 1e-7:
        found = search.closest(target)
        assert (found is not None and found.serves(target)) == (best >= speed)
    fastest = search.highest_speed(target)
    reached = fastest[0] if fastest else 0.0
    assert reached == pytest.approx(best, rel=1e-7)


def test_mixed_racks_and_wrong_numbers_are_refused():
    instance = hbmopt.load(INSTANCES / "closed_form.yaml")
    with pytest.raises(hbmopt.InputError, match="it measures data"):
        hbmopt.check(instance, 1, 1, "9 GB")
    mixed = hbmopt.load(INSTANCES / "h100.yaml", {"choices.uniform": False})
    with pytest.raises(hbmopt.InputError, match=r"choices\.uniform"):
        hbmopt.check(mixed, 1, 1)


def test_where_no_layout_can_run_nothing_is_possible():
    instance = hbmopt.load(INSTANCES / "h100.yaml", {"choices.tensor_parallel": [3]})
    found = hbmopt.check(instance, 1, 1)
    assert not found.possible
    assert found.verdict.startswith("Not possible: none of the layouts asked for can run")
    assert found.closest is None


def run(*arguments):
    return runner().invoke(cli, ["check", *arguments])


@pytest.mark.parametrize(
    ("speed", "code", "first"), [("39", 0, "Possible: 80 requests"), ("41", 1, "Not possible: 80")]
)
def test_the_command_says_so_and_exits_so(speed, code, first):
    path = str(INSTANCES / "closed_form.yaml")
    outcome = run(path, "--batch", "80", "--speed", speed)
    assert outcome.exit_code == code
    assert first in outcome.stdout
    assert "Within reach" in outcome.stdout
    found = run(path, "--batch", "80", "--speed", f"{speed} tok/s/user", "--format", "json")
    assert found.exit_code == code
    data = json.loads(found.stdout)
    jsonschema.Draft202012Validator(json.loads(schema_text("check"))).validate(data)
    assert data["possible"] == (code == 0)
    assert data["verdict"].startswith(first)
    rows = list(
        csv.DictReader(
            io.StringIO(run(path, "--batch", "80", "--speed", speed, "--format", "csv").stdout)
        )
    )
    assert [row["name"] for row in rows] == [row["name"] for row in data["limits"]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--batch", "0", "--speed", "1"), "--batch 0: must be more than 0"),
        (("--batch", "1", "--speed", "-1"), "--speed -1: must be more than 0"),
        (("--batch", "1", "--speed", "fast"), "'fast' is not a speed"),
        (("--batch", "1", "--speed", "1", "--power", "120"), "has no unit"),
        (("--batch", "1.5", "--speed", "1"), "requests are whole"),
        (("--batch", "1e300", "--speed", "1"), "--batch 1e+300: must be from 1e-06 to 1e+12"),
        (("--batch", "1", "--speed", "1e-300"), "--speed 1e-300: must be from 1e-06"),
        (("--batch", "1", "--speed", "1", "--power", "1e30 MW"), "must be from 1e-06"),
    ],
)
def test_bad_numbers_are_one_line(arguments, words):
    outcome = run(str(INSTANCES / "h100.yaml"), *arguments)
    assert outcome.exit_code == 2
    assert words in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_explain_lists_the_cures_of_an_infeasible_instance():
    path = str(INSTANCES / "h100.yaml")
    options = ["explain", path, "--set", "limits.power=5 kW"]
    outcome = runner().invoke(cli, options)
    assert outcome.exit_code == 1
    assert "exceed the power cap of 5 kW" in outcome.stdout
    assert '--set limits.power="' in outcome.stdout
    data = json.loads(runner().invoke(cli, [*options, "--format", "json"]).stdout)
    jsonschema.Draft202012Validator(json.loads(schema_text("explanation"))).validate(data)
    assert data["conflict"]["limits"] == ["power_cap"]
    assert data["cures"]["found"][0]["key"] == "limits.power"
    solved = runner().invoke(cli, ["solve", *options[1:]])
    assert "hbmopt explain" in solved.stdout
