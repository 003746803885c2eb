"""What a solution says, on real racks."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hbmopt
from builders import INSTANCES
from hbmopt.documents.figure import UNCERTAIN
from hbmopt.report.tables.output import render
from racks import ideal, small_instances, solved

ALL = sorted(INSTANCES.glob("*.yaml")) + sorted(INSTANCES.glob("generations/*.yaml"))


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_instance_has_a_consistent_optimum(path):
    instance = hbmopt.load(path)
    solution = hbmopt.solve(instance)
    assert solution.status == "optimal"
    assert solution.throughput_tok_s == pytest.approx(
        solution.batch * solution.speed_tok_s_user, rel=1e-9
    )
    assert solution.throughput_tok_s == pytest.approx(
        sum(one.throughput_tok_s for one in solution.configurations), rel=1e-9
    )
    assert solution.speed_tok_s_user >= float(instance.limits.min_speed) * (1 - 1e-6)
    if solution.power_w:
        per_mw = solution.throughput_tok_s / (solution.power_w / 1e6)
        assert solution.tok_s_per_mw == pytest.approx(per_mw, rel=1e-9)
    if instance.power_cap_kw is not None:
        assert solution.power_w <= instance.power_cap_kw * 1e3 * (1 + 1e-6)
    for one in solution.configurations:
        per_token = one.step_ms / one.tokens_per_step
        assert per_token == pytest.approx(1e3 / one.speed_tok_s_user, rel=1e-6)
        spent = sum(one.step_breakdown_ms.values())
        exposed = max(float(getattr(instance.calibration.overlap, name)) for name in ("kv", "gemm"))
        if exposed == 0:
            assert spent <= one.step_ms * (1 + 1e-6)
    certificate = solution.certificate
    assert certificate.solver.startswith("HiGHS")
    assert certificate.piecewise_error <= 1e-3
    assert certificate.mip_gap <= 1e-6
    assert 0 <= certificate.rounding_loss < 0.2
    assert solution.limiting_resource is not None


SLOW_USERS = {"limits.min_speed": "10 tok/s/user", "choices.replica_accelerators": [8, 36]}


@pytest.fixture(scope="module")
def uncapped():
    return hbmopt.solve(hbmopt.load(INSTANCES / "gb200_nvl72.yaml", SLOW_USERS))


@pytest.mark.parametrize("cap", [115, 100, 70, 64])
def test_a_power_cap_binds_pays_and_parks_or_slows(cap, uncapped):
    assert uncapped.power_w > 125_000
    changes = SLOW_USERS | {"limits.power": f"{cap} kW"}
    capped = hbmopt.solve(hbmopt.load(INSTANCES / "gb200_nvl72.yaml", changes))
    row = next(row for row in capped.constraints if row.name == "power_cap")
    assert row.binding
    assert row.unit_price > 0
    assert capped.power_w == pytest.approx(cap * 1e3, rel=1e-3)
    assert capped.throughput_tok_s < uncapped.throughput_tok_s
    used = sum(one.replicas * one.accelerators for one in capped.configurations)
    slowed = any(part.clock < 1 for one in capped.configurations for part in one.clocks)
    assert used < 72 or slowed


def test_scopes_of_power_differ_by_what_they_count():
    path = INSTANCES / "gb200_nvl72.yaml"
    scopes = ("accelerators", "rack", "facility")
    power = {
        scope: hbmopt.solve(
            hbmopt.load(
                path, {"limits.power_scope": scope, "limits.pue": 1.25, "limits.power": "1 MW"}
            )
        ).power_w
        for scope in scopes
    }
    assert power["rack"] == pytest.approx(power["accelerators"] + 45_600, rel=1e-9)
    assert power["facility"] == pytest.approx(1.25 * power["rack"], rel=1e-9)


@pytest.mark.parametrize(
    "overrides",
    [
        # No LPU computes in bf16, so none of the weights can move.
        ["choices.weight_formats=[bf16]", "choices.lpu_units=[64]"],
        # A head without weights has nothing to move.
        [
            "rack.offload.device=groq_lpu_v1",
            "llm.parameters.embedding=0",
            "llm.parameters.lm_head=0",
        ],
        # A tied head multiplies with the table of the embedding, whatever its own format says.
        [
            "llm.parameters.lm_head=0",
            "llm.weight_formats.mxfp4.lm_head=fp8",
            "choices.weight_formats=[mxfp4]",
            "rack.offload.device.peak_flops={fp8: 1 PFLOP/s}",
        ],
    ],
    ids=["nothing to move", "no head", "tied head"],
)
def test_lpus_take_over_only_what_has_weights_in_a_format_of_theirs(overrides):
    base = hbmopt.load("rubin_nvl72_lpx", {"limits.min_speed": "50 tok/s/user"})
    solution = hbmopt.solve(base, overrides)
    assert solution.status == "optimal"
    offload = solution.configurations[0].offload
    assert offload.get("lm_head", 0.0) == 0.0


def test_lpus_win_at_high_speed_and_matter_little_at_maximum_throughput():
    with_lpus, alone = INSTANCES / "rubin_nvl72_lpx.yaml", INSTANCES / "rubin_nvl72.yaml"
    fast = {"limits.min_speed": "250 tok/s/user"}
    lpx, rubin = (hbmopt.solve(hbmopt.load(path, fast)) for path in (with_lpus, alone))
    assert lpx.throughput_tok_s > 2 * rubin.throughput_tok_s
    assert lpx.configurations[0].lpu_units > 0
    assert max(lpx.configurations[0].offload.values()) > 0.5
    slow = {"limits.min_speed": "0 tok/s/user"}
    lpx, rubin = (hbmopt.solve(hbmopt.load(path, slow)) for path in (with_lpus, alone))
    gain = lpx.throughput_tok_s / rubin.throughput_tok_s - 1
    assert -1e-6 <= gain < 0.05


RELAXATIONS = {
    "rack.accelerator.hbm_capacity": 1.3,
    "rack.accelerator.hbm_bandwidth": 1.3,
    "rack.accelerator.scale_up_bandwidth": 1.3,
    "limits.min_speed": 0.7,
    "limits.power": 1.3,
    "calibration.latency.per_layer": 0.5,
}


@settings(max_examples=18, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(small_instances(), st.sampled_from(sorted(RELAXATIONS)))
def test_relaxing_a_limit_never_lowers_throughput(mapping, key):
    instance = hbmopt.load(mapping)
    path = tuple(key.split("."))
    if key == "limits.power" and instance.limits.power is None:
        path = ("rack", "accelerator", "hbm_capacity")
    relaxed = instance.scaled(path, RELAXATIONS[key])
    before, after = hbmopt.solve(instance), hbmopt.solve(relaxed)
    assert (after.throughput_tok_s or 0) >= (before.throughput_tok_s or 0) * (1 - 3e-6)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(small_instances(lpus=False), st.integers(2, 4))
def test_more_of_the_same_racks_make_as_many_times_the_throughput(mapping, times):
    # As one scale-up domain each: replicas do not span racks, power and static power grow along.
    one = hbmopt.load(mapping)
    count = int(one.rack.accelerators)
    many = {
        "rack.accelerators": count * times,
        "rack.scale_up_domain": count,
        "rack.static_power": f"{times} kW",
        "choices.replica_accelerators": [
            1,
            *([2] if count > 1 else []),
            *([4] if count > 3 else []),
        ],
    }
    if one.limits.power is not None:
        many["limits.power"] = f"{float(one.limits.power) * times!r} kW"
    single, several = hbmopt.solve(one), hbmopt.solve(hbmopt.load(mapping, many))
    # Integers may fall better in the larger rack, never worse.
    assert (several.throughput_tok_s or 0) >= (single.throughput_tok_s or 0) * times * (1 - 3e-6)
    if one.limits.power is None and single.status == "optimal":
        assert several.throughput_tok_s == pytest.approx(single.throughput_tok_s * times, rel=3e-6)


def test_units_do_not_change_the_answer():
    plain = solved(ideal())
    other = solved(
        ideal(),
        **{
            "rack.accelerator.hbm_capacity": "0.08 TB",
            "rack.accelerator.hbm_bandwidth": "3000 GB/s",
            "rack.accelerator.tdp": "1 MW",
        },
    )
    assert other.throughput_tok_s == pytest.approx(plain.throughput_tok_s, rel=1e-12)


def test_a_declared_budget_binds_and_is_priced():
    changes = {
        "limits.budgets": [
            {"name": "host_cpu", "unit": "cores", "capacity": 100, "fixed": 10, "per_token": 0.02}
        ]
    }
    solution = hbmopt.solve(hbmopt.load(ideal(), changes))
    # 90 cores left at 0.02 cores per tok/s: 4,500 tok/s would fit, the accelerator makes fewer.
    row = next(row for row in solution.constraints if row.name == "host_cpu")
    assert not row.binding
    changes["limits.budgets"][0]["capacity"] = 30
    solution = hbmopt.solve(hbmopt.load(ideal(), changes))
    row = next(row for row in solution.constraints if row.name == "host_cpu")
    assert solution.throughput_tok_s == pytest.approx(20 / 0.02, rel=1e-9)
    assert row.binding
    assert row.unit_price == pytest.approx(50.0, rel=1e-9)
    assert solution.limiting_resource == "host_cpu"


def test_provenance_names_estimates_and_leaves_out_what_is_not_used():
    solution = hbmopt.solve(hbmopt.load(INSTANCES / "ai200.yaml"))
    named = {one.input: one.status for one in solution.provenance}
    assert named["rack.accelerator.hbm_bandwidth"] == "estimate"
    assert not any("offload" in name for name in named)
    lpx = hbmopt.solve(hbmopt.load(INSTANCES / "rubin_nvl72_lpx.yaml"))
    assert any(one.input == "rack.offload.device.tdp" for one in lpx.provenance)


def test_provenance_begins_with_the_weakest_and_takes_any_status_of_a_model():
    guessed = hbmopt.load(INSTANCES / "ai200.yaml", {"llm.status": "guess"})
    solution = hbmopt.solve(guessed)
    statuses = [one.status for one in solution.provenance]
    assert statuses[0] == "estimate"
    assert statuses[-1] == "guess"
    assert statuses == sorted(statuses, key=[*UNCERTAIN, "guess"].index)
    assert "Rests on numbers" in render(solution, "table", width=None, color=False)


def test_frames_hold_the_rows_of_the_solution():
    solution = hbmopt.solve(hbmopt.load(INSTANCES / "h100.yaml"))
    assert list(solution.constraints_frame.index) == [row.name for row in solution.constraints]
    assert solution.inputs_frame.loc["hbm_bandwidth", "elasticity"] == pytest.approx(
        solution.elasticities["hbm_bandwidth"]
    )
    assert solution.configurations_frame.loc[0, "replicas"] == solution.configurations[0].replicas
    assert solution.step_frame[0].sum() == pytest.approx(
        sum(solution.configurations[0].step_breakdown_ms.values())
    )


def test_a_throttled_chip_is_limited_by_its_power_and_its_step_shows_the_wait():
    # Long prompts computed here are all arithmetic, which this chip's limit cannot feed.
    solution = hbmopt.solve(
        hbmopt.load(
            {
                "name": "prompts",
                "rack": "trn2_ultra",
                "llm": "llama_3_1_8b",
                "workload": {"prompt": 131072, "output": 256, "prefill": "shared"},
                "choices": {"weight_formats": ["fp8"], "clocks": [1.0]},
            }
        )
    )
    rows = {row.name: row for row in solution.constraints}
    assert rows["accelerator_power"].binding
    assert solution.limiting_resource == "accelerator_power"
    step = solution.configurations[0]
    assert step.step_breakdown_ms["waiting"] > 0.01 * step.step_ms
    assert sum(step.step_breakdown_ms.values()) == pytest.approx(step.step_ms, rel=1e-6)


def test_kernels_say_what_they_are_bound_by():
    (one,) = hbmopt.solve("deepseek_r1_h200").configurations
    parts = one.step_breakdown_ms
    longest = {kernel.name: max(kernel.reading_ms, kernel.computing_ms) for kernel in one.kernels}
    assert set(longest) == {"dense", "experts", "attention"}
    classes = ("weights", "gemm", "experts", "experts_gemm", "kv", "attention")
    assert sum(longest.values()) == pytest.approx(sum(parts[name] for name in classes))
    assert parts["experts"] == pytest.approx(longest["experts"])
    bound = {kernel.name: kernel.bound for kernel in one.kernels}
    # Scores of 128 heads over one latent: arithmetic, not memory.
    assert bound["attention"] == "arithmetic"
    assert bound["experts"] == "memory"
    assert parts["attention"] == pytest.approx(longest["attention"])


@pytest.mark.parametrize("name", ["deepseek_r1_h200", "rubin_ultra", "gb300_nvl72"])
def test_prices_of_kernels_add_up_to_those_of_the_hardware(name):
    # Nothing but kernels reads HBM or computes, but for prompts, which these do not compute.
    solution = hbmopt.solve(name)
    kernels = solution.configurations[0].kernels
    by_bound = {"memory": 0.0, "arithmetic": 0.0}
    for kernel in kernels:
        by_bound[kernel.bound] += kernel.elasticity
    assert sum(by_bound.values()) > 0.1
    assert by_bound["memory"] == pytest.approx(solution.elasticities["hbm_bandwidth"], abs=1e-6)
    assert by_bound["arithmetic"] == pytest.approx(solution.elasticities["compute"], abs=1e-6)


def test_the_price_of_a_kernel_is_what_faster_kernels_make():
    base = hbmopt.load("rubin_ultra", {"choices.whole_sequences": False})
    one = hbmopt.solve(base).configurations[0]
    held = {
        "choices.whole_sequences": False,
        "choices.replica_accelerators": [one.accelerators],
        "choices.tensor_parallel": [one.tensor_parallel],
        "choices.expert_parallel": [one.expert_parallel],
    }
    (attention,) = [kernel for kernel in one.kernels if kernel.name == "attention"]
    assert attention.bound == "memory"
    rate = float(base.calibration.efficiency.kv)
    made = [
        hbmopt.solve("rubin_ultra", held | {"calibration.efficiency.kv": rate * (1.0 + change)})
        for change in (-1e-4, 1e-4)
    ]
    slope = (made[1].throughput_tok_s / made[0].throughput_tok_s - 1.0) / 2e-4
    assert slope == pytest.approx(attention.elasticity, rel=1e-3)


@pytest.mark.parametrize(
    ("source", "changes", "said"),
    [
        ("h200", {}, "Weights are in fp8, not in the model's own format, bf16: choices"),
        ("h200", {}, "choices.weight_formats lists both."),
        ("deepseek_r1_h200", {"choices.weight_formats": ["fp4"]}, "own format, fp8: choices"),
        ("deepseek_r1_h200", {"choices.weight_formats": ["fp4"]}, "weight_formats leaves that out"),
        ("h200", {"choices.weight_formats": ["bf16"]}, None),
        ("deepseek_r1_h200", {"choices.weight_formats": ["fp8", "fp4"]}, "own format, fp8"),
    ],
)
def test_weights_in_another_format_than_the_models_own_are_told(source, changes, said):
    solution = hbmopt.solve(source, changes)
    notes = " ".join(solution.notes)
    running = {one.weight_format for one in solution.configurations}
    own = hbmopt.load(source).llm.native_format
    assert (running != {own}) == bool(notes)
    table = " ".join(render(solution, "table", width=200, color=False).split())
    assert notes in table
    if said is None or running == {own}:
        assert notes == ""
    else:
        assert said in notes
        assert said in " ".join(hbmopt.check(source, 8, 10, overrides=changes).notes)


def test_a_format_that_is_left_out_is_told_where_nothing_runs():
    changes = {"choices.weight_formats": ["fp8"], "limits.min_speed": "9000 tok/s"}
    solution = hbmopt.solve("h200", changes)
    assert not solution.feasible
    assert "own format, bf16: choices.weight_formats leaves that out" in solution.notes[0]
    assert solution.notes[0] in render(solution, "table", width=200, color=False)
    assert hbmopt.solve("h200", {"limits.min_speed": "9000 tok/s"}).notes == ()


def test_floors_are_shown_as_floors():
    solution = hbmopt.solve("h200")
    rows = solution.constraints_frame
    assert list(rows.index[rows.floor]) == ["min_speed", "min_batch"]
    text = render(solution, "table", width=132, color=False)
    limits = text[text.index("Limits (binding") :].splitlines()
    floors = [line.split()[0] for line in limits if "at least" in line]
    assert floors == ["min_speed", "min_batch"]
    assert hbmopt.report_page("closed_form").html.count(">at least 1<") == 1
