"""Explanations: what lost and by how much, what cannot run and why."""

import csv
import io
import json

import pytest

import hbmopt
from builders import INSTANCES
from commands import runner
from hbmopt.cli import cli
from hbmopt.demand.configuration import enumerate_configurations
from hbmopt.plan import best_point, search


@pytest.fixture(scope="module")
def h200():
    return hbmopt.load(INSTANCES / "h200.yaml")


@pytest.fixture(scope="module")
def explanation(h200):
    return hbmopt.explain(h200)


def test_the_chosen_configuration_is_that_of_the_solution(h200, explanation):
    solution = hbmopt.solve(h200)
    assert explanation.throughput_tok_s == pytest.approx(solution.throughput_tok_s, rel=1e-6)
    chosen = solution.configurations[0]
    assert f"TP{chosen.tensor_parallel}" in explanation.chosen
    assert chosen.weight_format in explanation.chosen


def test_every_configuration_is_chosen_an_alternative_idle_or_rejected(h200, explanation):
    named = {explanation.chosen, *explanation.idle}
    named |= {one.configuration for one in explanation.alternatives}
    named |= {name.split(": ")[0] for one in explanation.rejected for name in one.configurations}
    configurations, rejections = enumerate_configurations(h200)
    everything = {str(one) for one in configurations} | {one.configuration for one in rejections}
    assert named == everything


def test_exact_alternatives_are_their_own_optimum_and_none_beats_the_best(h200, explanation):
    configurations, _ = enumerate_configurations(h200)
    by_name = {str(one): one for one in configurations}
    assert all(one.exact for one in explanation.alternatives)
    for one in explanation.alternatives:
        own = search(h200, only=[by_name[one.configuration]]).plan
        assert one.throughput_tok_s == pytest.approx(own.throughput, rel=1e-9)
        assert one.batch == own.batch
        assert one.loss == pytest.approx(
            max(0.0, 1 - one.throughput_tok_s / explanation.throughput_tok_s), abs=1e-9
        )
        assert one.throughput_tok_s <= explanation.throughput_tok_s * (1 + 1e-9)


def test_rejections_say_what_is_in_the_way(explanation):
    rejected = explanation.rejected
    reasons = " | ".join(one.reason for one in rejected)
    assert "attention-data parallelism needs the experts spread over all accelerators" in reasons
    memory = next(one for one in rejected if "do not fit in HBM" in one.reason)
    assert all("exceed" in name and "GB of usable HBM" in name for name in memory.configurations)
    uneven = hbmopt.load(
        INSTANCES / "h200.yaml",
        {"rack.accelerators": 24, "choices": {"replica_accelerators": [3, 8]}},
    )
    reasons = " | ".join(one.reason for one in hbmopt.explain(uneven).rejected)
    assert "64 attention heads do not divide by 3" in reasons


def test_configurations_that_miss_a_limit_are_idle():
    instance = hbmopt.load(INSTANCES / "h200.yaml", {"limits.min_speed": "60 tok/s/user"})
    explanation = hbmopt.explain(instance)
    configurations, _ = enumerate_configurations(instance)
    by_name = {str(one): one for one in configurations}
    assert explanation.idle
    for name in explanation.idle:
        assert best_point(instance, only=[by_name[name]]) is None


def test_nothing_is_chosen_where_nothing_is_feasible():
    instance = hbmopt.load(INSTANCES / "h200.yaml", {"limits.min_speed": "9000 tok/s/user"})
    explanation = hbmopt.explain(instance)
    assert explanation.status == "infeasible"
    assert explanation.chosen is None
    assert explanation.alternatives == ()


def test_the_command_prints_alternatives_and_reasons_as_text_and_json():
    path = str(INSTANCES / "h200.yaml")
    outcome = runner().invoke(cli, ["explain", path])
    assert outcome.exit_code == 0
    assert outcome.stdout.startswith("Chosen: TP")
    assert "Cannot run (" in outcome.stdout
    found = json.loads(runner().invoke(cli, ["explain", path, "--format", "json"]).stdout)
    assert found["alternatives"][0]["loss"] >= 0
    assert {"reason", "configurations"} == set(found["rejected"][0])
    nothing = ["explain", path, "--set", "limits.min_speed=9000 tok/s/user"]
    outcome = runner().invoke(cli, nothing)
    assert outcome.exit_code == 1
    assert "No configuration meets all limits" in outcome.stdout


# The best and what the others make are two parts; changes that would cure are many.
@pytest.mark.parametrize(("power", "parts"), [("10 kW", 2), ("5 kW", 6)])
def test_progress_counts_up_to_the_end(power, parts):
    told = []
    instance = hbmopt.load(INSTANCES / "h100.yaml", {"limits.power": power})
    hbmopt.explain(instance, progress=lambda done, known: told.append((done, known)))
    assert len(told) >= parts
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert all(done < known for done, known in told[:-1])
    assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize("power", ["10 kW", "5 kW"])
def test_csv_has_a_row_per_configuration_or_change(power):
    arguments = ["explain", str(INSTANCES / "h100.yaml"), "--set", f"limits.power={power}"]
    text = runner().invoke(cli, [*arguments, "--format", "csv"]).stdout
    data = json.loads(runner().invoke(cli, [*arguments, "--format", "json"]).stdout)
    rows = list(csv.DictReader(io.StringIO(text)))
    kinds = [row["kind"] for row in rows]
    cures = data["cures"] or {"found": [], "without": []}
    assert kinds.count("chosen") == (data["chosen"] is not None)
    assert kinds.count("alternative") == len(data["alternatives"])
    assert kinds.count("idle") == len(data["idle"])
    assert kinds.count("rejected") == sum(len(one["configurations"]) for one in data["rejected"])
    assert kinds.count("cure") == len(cures["found"])
    assert kinds.count("no_cure") == len(cures["without"])
    # A text that begins like a formula is marked as a text.
    assert all(row["settings"].startswith("'--set ") for row in rows if row["kind"] == "cure")
