"""Instances side by side: totals, order, text; where throughput ∝ size × bandwidth holds."""

import csv
import io
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hbmopt
from builders import INSTANCES
from hbmopt.basics import made
from hbmopt.errors import InputError
from hbmopt.report.tables.comparison_report import chart, render_comparison
from hbmopt.studies.comparison.generation_law import LAW, listed, span
from hbmopt.studies.comparison.side_by_side import compare, comparison_of
from racks import ideal, small_instances

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
GENERATIONS = sorted((INSTANCES / "generations").glob("*.yaml"))
SPARSE = {"context": 10, "capacity_context": 100_000}
"""Little is read of what is held, so that weights dominate what a step reads."""


def chips(*pairs, weights_gb=2.0, workload=None, limits=None, **changes):
    """Return ideal instances with (HBM size in GB, bandwidth in TB/s)."""
    found = []
    for capacity, bandwidth in pairs:
        mapping = ideal(capacity, bandwidth, weights_gb)
        mapping["name"] = f"{capacity:g}x{bandwidth:g}"
        mapping["workload"] = workload or {"context": 8192}
        found.append(hbmopt.load({**mapping, "limits": limits or {}}, changes))
    return found


@pytest.fixture(scope="module")
def generations():
    return compare([hbmopt.load(path) for path in GENERATIONS])


@pytest.fixture(scope="module")
def mixed():
    """Different models; one has no plan, and it stands first."""
    impossible = hbmopt.load(INSTANCES / "h200.yaml", {"limits.min_speed": "100000 tok/s/user"})
    others = [hbmopt.load(INSTANCES / f"{name}.yaml") for name in ("cpu_budget", "rubin_nvl72_lpx")]
    return compare([impossible, *others])


def test_rows_are_the_solutions_in_the_order_given(generations):
    assert [row.name for row in generations.rows] == [path.stem for path in GENERATIONS]
    for path, row in zip(GENERATIONS, generations.rows, strict=True):
        instance = hbmopt.load(path)
        solution = hbmopt.solve(instance)
        assert row.throughput_tok_s == pytest.approx(solution.throughput_tok_s, rel=1e-12)
        assert row.speed_tok_s_user == pytest.approx(solution.speed_tok_s_user, rel=1e-12)
        assert row.batch == solution.batch
        assert row.power_w == pytest.approx(solution.power_w, rel=1e-12)
        assert row.tok_s_per_mw == pytest.approx(row.throughput_tok_s / row.power_w * 1e6)
        assert row.tok_s_per_accelerator * row.accelerators == pytest.approx(row.throughput_tok_s)
        assert row.limiting_resource == solution.limiting_resource
        assert row.limiting_elasticity == row.elasticities[row.limiting_resource]
        assert row.elasticities == pytest.approx(solution.elasticities)
        assert row.unit_prices == pytest.approx(
            {one.name: one.unit_price for one in solution.inputs}
        )
        assert row.rack_hbm_gb == row.hbm_gb * int(instance.rack.accelerators)
        assert row.rack_hbm_tb_s == row.hbm_tb_s * int(instance.rack.accelerators)
        assert sum(row.step_shares.values()) == pytest.approx(1.0, abs=1e-6)
        assert row.ratio == row.throughput_tok_s / generations.rows[0].throughput_tok_s
    assert generations.feasible
    assert generations.rows[0].hbm_gb == pytest.approx(40 * 1.024**3)
    assert generations.rows[-1].rack_hbm_gb == 144 * 1024


def test_the_generations_break_towards_bandwidth_as_they_read_cache(generations):
    law = generations.law
    first, last = law.points[0], law.points[-1]
    assert (first.size_bandwidth_ratio, first.throughput_ratio) == (1.0, 1.0)
    # 1,024 GB x 32 TB/s over 40 GiB x 1.555 TB/s.
    assert last.size_bandwidth_ratio == pytest.approx(1024 * 32 / (40 * 1.024**3 * 1.555))
    assert last.throughput_ratio == pytest.approx(last.tok_s_per_accelerator / 338.80, rel=1e-3)
    assert last.rack_size_bandwidth_ratio == pytest.approx(last.size_bandwidth_ratio * 18**2)
    assert 0.5 < law.fit.slope < 0.7
    assert 0 < law.fit.scatter < 0.2
    # H200 and B200 are provisioned for just what their chips draw: more power is worth nothing.
    assert [one.name for one in generations.regimes] == ["bandwidth"]
    assert not any(row.law_holds for row in generations.rows)
    assert "by a factor of 491 (size 23.8, bandwidth 20.6)" in law.summary
    assert "holds at none of the 8 instances" in law.summary
    assert any("announced" in note for note in generations.notes)


def test_the_slope_is_least_squares_on_log_axes(generations):
    law = generations.law
    xs = [math.log(one.size_bandwidth_ratio) for one in law.points]
    ys = [math.log(one.throughput_ratio) for one in law.points]
    count = len(xs)
    middle, level = sum(xs) / count, sum(ys) / count
    slope = sum((x - middle) * (y - level) for x, y in zip(xs, ys, strict=True))
    slope /= sum((x - middle) ** 2 for x in xs)
    assert law.fit.slope == pytest.approx(slope)
    left = [y - level - slope * (x - middle) for x, y in zip(xs, ys, strict=True)]
    assert law.fit.scatter == pytest.approx(math.sqrt(sum(one**2 for one in left) / count))


def test_where_weights_dominate_the_law_holds_with_slope_1():
    found = compare(chips((200, 1), (400, 2), (800, 4), workload=SPARSE))
    assert found.law.fit.slope == pytest.approx(1.0, abs=0.03)
    assert found.law.fit.scatter < 0.02
    assert [row.law_holds for row in found.rows] == [True] * 3
    (regime,) = found.regimes
    assert (regime.name, regime.holds) == ("holds", True)
    assert regime.sentence.startswith(f'"T{LAW[1:]}" holds at all 3 instances')
    assert "near this size only" not in regime.sentence
    assert "holds at all 3 instances" in found.law.summary


def test_where_cache_dominates_size_is_worth_little_and_bandwidth_all():
    found = compare(chips((200, 1), (400, 1), (800, 2), workload={"context": 100_000}))
    assert [row.regime for row in found.rows] == ["bandwidth"] * 3
    first, second, third = found.law.points
    assert second.throughput_ratio == pytest.approx(1.0, abs=0.02)
    assert third.throughput_ratio == pytest.approx(2.0, abs=0.04)
    row = found.rows[-1]
    assert row.elasticities["hbm_bandwidth"] == pytest.approx(1.0)
    # C / (C - M) · W / (W + Q B) with W = M and Q B = C - M.
    assert row.elasticities["hbm_capacity"] == pytest.approx(2.0 / 798.0, rel=0.01)
    assert first.size_bandwidth == 200
    assert "tends to bandwidth / KV bytes read per token" in found.regimes[0].sentence


@settings(max_examples=20)
@given(share=st.floats(0.1, 0.9))
def test_a_dense_model_meets_the_law_where_weights_fill_half_the_memory(share):
    # W = M, Q = S: the elasticity to size is M / (C - M).
    found = compare(chips((100, 3), weights_gb=100 * share))
    row = found.rows[0]
    assert row.weights_share_of_hbm == pytest.approx(share, rel=1e-6)
    size = share / (1 - share)
    assert row.elasticities["hbm_capacity"] == pytest.approx(size, rel=1e-6)
    if size > 1.26:
        assert row.regime == "capacity"
        assert "weights fill" in found.regimes[0].sentence
    elif size < 0.79:
        assert row.regime == "bandwidth"
    elif 0.81 < size < 1.24:
        assert row.law_holds
        assert "near this size only" in found.regimes[0].sentence


def test_a_speed_floor_makes_size_irrelevant():
    (free,) = compare(chips((100, 3), weights_gb=16.0)).rows
    floor = {"min_speed": f"{1.5 * free.speed_tok_s_user!r} tok/s/user"}
    found = compare(chips((100, 3), (200, 3), (100, 6), weights_gb=16.0, limits=floor))
    assert [row.regime for row in found.rows[:2]] == ["speed_floor"] * 2
    assert found.rows[0].throughput_tok_s == pytest.approx(found.rows[1].throughput_tok_s)
    assert found.rows[0].elasticities["hbm_capacity"] == pytest.approx(0.0, abs=1e-9)
    # With twice the bandwidth the floor is below the speed of a full memory.
    assert found.rows[2].regime == "bandwidth"
    assert found.rows[0].hbm_filled < 1.0
    assert found.rows[0].weights_share_of_hbm is None
    assert "HBM size is irrelevant at 100x3 and 200x3" in found.regimes[0].sentence


@pytest.mark.parametrize(
    ("changes", "regime"),
    [
        ({"rack.accelerator.peak_flops": {"bf16": "20 TFLOP/s"}}, "compute"),
        ({"limits.power": "190.11 kW"}, "power_cap"),
        ({"limits.budgets": [{"name": "gas", "capacity": 100, "per_token": 1}]}, "gas"),
        ({"calibration.latency.per_layer": "9 ms", "calibration.overlap": 0}, "capacity"),
    ],
)
def test_what_else_limits_is_named(changes, regime):
    found = compare(chips((100, 3), weights_gb=8.0, workload={"context": 4096}, **changes))
    assert found.rows[0].regime == regime
    assert found.rows[0].law_holds is False
    assert len(found.regimes[0].sentence) > 60
    assert found.law_missing == "a slope needs at least two instances that run"


@settings(max_examples=15, suppress_health_check=SLOW)
@given(small_instances())
def test_any_instance_has_a_verdict_and_a_sentence(mapping):
    instance = hbmopt.load(mapping)
    found = comparison_of([instance] * 2, [hbmopt.solve(instance)] * 2)
    row = found.rows[0]
    assert row.feasible is (row.regime is not None)
    assert row.law_holds is (row.regime == "holds" if row.feasible else None)
    assert [one.instances for one in found.regimes] == (
        [("small", "small (2)")] if row.feasible else []
    )
    assert all(one.sentence.endswith(".") for one in found.regimes)
    assert "small" in render_comparison(found, "table", width=172, color=False)
    assert json.loads(render_comparison(found, "json", width=None, color=False))
    if row.weights_share_of_hbm is not None:
        assert 0 <= row.weights_share_of_hbm <= 1


def test_a_mix_of_configurations_is_one_row():
    # Three accelerators hold one replica of two and one of one.
    mapping = ideal(20, 3, 16.0) | {"workload": {"context": 8192}}
    changes = {
        "rack.accelerators": 3,
        "choices.uniform": False,
        "choices.replica_accelerators": [1, 2],
    }
    row = compare([hbmopt.load(mapping, changes)]).rows[0]
    assert sorted(row.configuration.split("; ")) == [
        "1 x TP1 on 1, bf16 weights, bf16 KV",
        "1 x TP2 on 2, bf16 weights, bf16 KV",
    ]
    assert row.formats == "bf16 / bf16"
    assert row.hbm_filled == pytest.approx(1.0)
    # 3 x 20 GB, of which each replica fills 16 GB with weights.
    assert row.weights_share_of_hbm == pytest.approx(32 / 60, rel=1e-6)


def test_an_instance_without_a_plan_is_a_row_with_its_conflict(mixed):
    row = mixed.rows[0]
    assert not row.feasible
    assert not mixed.feasible
    assert row.conflict
    assert row.throughput_tok_s is None
    assert row.regime is None
    assert row.accelerators == 8
    assert [one.ratio for one in mixed.rows][:2] == [None, 1.0]
    assert mixed.rows[1].regime == "host_cpu"
    assert mixed.rows[1].limiting_elasticity > 0
    text = render_comparison(mixed, "table", width=172, color=False)
    assert f"Infeasible: h200: {row.conflict}." in text.replace("\n", " ")


def test_models_and_workloads_that_differ_make_no_chart(mixed, generations):
    assert mixed.law is None
    assert "different models (Qwen3" in mixed.law_missing
    assert generations.law_missing is None
    instance = hbmopt.load(GENERATIONS[0])
    longer = hbmopt.load(GENERATIONS[1], {"workload.prompt": 16384})
    assert "8,704 and 16,896 tokens of context" in compare([instance, longer]).law_missing
    other = hbmopt.load(GENERATIONS[1], {"llm.hidden_size": 8448})
    assert compare([instance, other]).law_missing == (
        "the instances describe Llama 3.1 70B differently"
    )
    assert "is the same in all instances" in compare([instance, instance]).law_missing


def test_what_else_differs_is_noted():
    path = GENERATIONS[1]
    changed = {
        "limits.min_speed": "20 tok/s/user",
        "limits.power_scope": "accelerators",
        "choices.weight_formats": ["bf16"],
    }
    notes = "\n".join(compare([hbmopt.load(path), hbmopt.load(path, changed)]).notes)
    assert "fp8 / fp8 and bf16 / fp8" in notes
    assert "0 and 20 tok/s per user" in notes
    assert "do not compare tok/s/MW" in notes


def test_racks_of_one_product_have_no_slope_and_the_accelerators_have():
    found = chips((100, 2), (100, 8))
    halved = hbmopt.load(
        ideal(100, 2, 2.0) | {"name": "pair", "workload": {"context": 8192}},
        {"rack.accelerators": 2, "choices.replica_accelerators": [1]},
    )
    law = compare([found[1], halved]).law
    assert law.rack_fit is None
    assert law.fit.slope == pytest.approx(1.0)


def test_names_that_occur_twice_are_numbered():
    instance = hbmopt.load(GENERATIONS[0])
    assert [row.name for row in compare([instance] * 3).rows] == [
        "01_a100",
        "01_a100 (2)",
        "01_a100 (3)",
    ]


def test_known_solutions_are_not_solved_again():
    instances = chips((100, 3), (200, 3))
    solutions = [hbmopt.solve(one) for one in instances]
    found = comparison_of(instances, solutions)
    assert found.rows == compare(instances).rows
    assert found.seconds < 0.2


def test_nothing_to_compare_is_an_error():
    with pytest.raises(InputError, match="nothing to compare"):
        compare([])


def test_json_is_whole_and_valid(mixed, generations):
    for found in (mixed, generations):
        data = json.loads(render_comparison(found, "json", width=None, color=False))
        assert data == json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert [row["name"] for row in data["rows"]] == [row.name for row in found.rows]
    assert data["law"]["fit"]["slope"] == generations.law.fit.slope
    assert data["law"]["points"][0]["name"] == "01_a100"
    told = [name for regime in data["regimes"] for name in regime["instances"]]
    assert sorted(told) == [path.stem for path in GENERATIONS]


def test_csv_has_a_line_per_instance_and_the_columns_of_all(mixed):
    text = render_comparison(mixed, "csv", width=None, color=False)
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["name"] for line in lines] == ["h200", "cpu_budget", "rubin_nvl72_lpx"]
    assert lines[0]["throughput_tok_s"] == ""
    assert lines[0]["conflict"] == mixed.rows[0].conflict
    assert float(lines[1]["throughput_tok_s"]) == mixed.rows[1].throughput_tok_s
    assert float(lines[2]["price_lpu_link"]) == mixed.rows[2].unit_prices["lpu_link"]
    assert float(lines[2]["step_share_kv"]) == mixed.rows[2].step_shares["kv"]
    assert lines[1]["elasticity_lpu_link"] == ""
    assert {"elasticity_hbm_capacity", "price_hbm_bandwidth", "regime"} <= set(lines[0])


def test_the_frame_has_a_row_per_instance(generations):
    frame = generations.frame
    assert list(frame.index) == [path.stem for path in GENERATIONS]
    assert frame.loc["08_rubin_ultra", "accelerators"] == 144
    assert (frame["elasticity_hbm_bandwidth"] > frame["elasticity_hbm_capacity"]).all()


@pytest.mark.parametrize("width", [60, 100, 172, 240])
def test_the_table_fits_the_width_and_cuts_no_number(generations, width):
    text = render_comparison(generations, "table", width=width, color=False)
    assert max(map(len, text.splitlines())) <= width
    for row in generations.rows:
        assert made(row.throughput_tok_s, banded=True) in text
        assert made(row.tok_s_per_mw, banded=True) in text
    table = text.split("│")[0]
    assert "…" not in table


def test_eight_instances_stand_in_one_table_at_172(generations):
    text = render_comparison(generations, "table", width=172, color=False)
    assert text.count("limited by") == 1
    assert text.count("\nrack ") == 1
    narrow = render_comparison(generations, "table", width=100, color=False)
    assert narrow.count("limited by") == 2


def test_a_comparison_without_any_plan_is_text_as_well():
    (instance,) = chips((1, 3), weights_gb=16.0)
    text = render_comparison(compare([instance]), "table", width=100, color=False)
    assert "infeasible" in text
    assert "Infeasible: 1x3" in text
    assert "1 instance side by side" in text


def test_the_chart_has_a_line_per_instance_on_a_log_axis(generations):
    lines = chart(generations.law, width=31).splitlines()
    assert len(lines) == 8 + 4
    assert lines[0].split("│")[1] == "*"
    # A factor of 10 is 10 places; 527 is at 27.2 and 32 at 15.1.
    marks = lines[7].split("│")[1]
    assert (marks.index("S"), marks.index("T")) == (27, 15)
    assert lines[9].split() == ["1", "10", "100", "1,000"]


def test_lists_and_spans_read_as_prose():
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert span([0.251, 0.249], lambda value: f"{value:.2f}") == "0.25"
    assert span([0.3, 0.1], lambda value: f"{value:.1f}") == "0.1 to 0.3"
