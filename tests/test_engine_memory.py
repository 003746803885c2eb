"""Memory as serving engines use it, against what vLLM printed when it started.

Weights per accelerator ("Model loading took"), room for caches ("Available KV cache memory") and
tokens or sequences that fit in it, from public logs; bf16 caches unless it is said.
"""

from dataclasses import dataclass

import pytest

import hbmopt
from hbmopt.demand import Demand, enumerate_configurations, usable_hbm
from hbmopt.models.quantities import number

GIB = 2**30 / 1e9


def demand_of(llm, context, weights, ranks, *, kv="bf16", rack="hgx_h200", workload=None, **more):
    layout = {"tensor_parallel": ranks} | more.get("layout", {})
    layout |= {"replica_accelerators": more.get("accelerators", ranks)}
    problem = {
        "rack": rack,
        "llm": llm,
        "workload": workload or {"context": context},
        "choices": {
            "weight_formats": [weights],
            "kv_formats": [kv],
            "expert_parallel": [more.get("experts", 1)],
            **{name: [value] for name, value in layout.items()},
        },
        "calibration": more.get("calibration", {}),
    }
    instance = hbmopt.load(problem)
    (configuration,), _ = enumerate_configurations(instance)
    return Demand(instance, configuration)


def loaded_gib(demand):
    data = demand.whole_replica(1.0)
    return sum(number(part.resident_gb) for part in data.components) / data.accelerators / GIB


@dataclass(frozen=True)
class Log:
    """What a start-up log says of one accelerator, and where it stands."""

    llm: str
    weights: str
    ranks: int
    context: int
    room_gib: float
    sequences: float
    chunk: int = 8192
    shared: int = 1


LOGS = [
    # vLLM 0.11.2 on one card: https://blog.huikang.dev/2025/12/28/vllm-logs.html
    Log("gpt_oss_120b", "mxfp4", 1, 98304, 8.99, 2.61, chunk=2048),
    # vLLM 0.3x on an A100 80 GB
    Log("llama_3_1_8b", "bf16", 1, 131072, 56.21, 3.51),
    # vLLM recipe of Kimi-K2-Thinking: tokens that fit with TP8, and with DCP8 beside it
    Log("kimi_k2", "bf16", 8, 131072, 46.80, 715_072 / 131072),
    Log("kimi_k2", "bf16", 8, 131072, 46.80, 5_721_088 / 131072, shared=8),
    # vLLM 0.20.1 on H200, caches of latents in bf16 and index keys in FP8
    Log("glm_5_1", "fp8", 8, 202752, 34.86, 1.84),
    # vLLM 0.10.2 on H200, TP2: pages of 544 tokens
    Log("qwen3_next_80b", "bf16", 2, 262144, 44.59, 14.77),
    # vLLM on RTX PRO 6000, TP4
    Log("qwen3_235b", "fp8", 4, 32768, 27.85, 18.96),
    Log("minimax_m2_5", "fp8", 4, 196608, 23.62, 2.03),
    # https://github.com/vllm-project/recipes/pull/12: one sequence needs 62.00 GiB
    Log("qwen3_coder_480b", "fp8", 1, 262144, 62.00, 1.0),
]


@pytest.mark.parametrize("log", LOGS, ids=lambda one: f"{one.llm}-{one.ranks}-{one.shared}")
def test_as_many_sequences_fit_as_vllm_says(log):
    demand = demand_of(
        log.llm,
        log.context,
        log.weights,
        log.ranks,
        layout={"context_parallel": log.shared},
        calibration={"prompt_chunk": log.chunk},
    )
    held = number(demand.whole_replica(1.0).kv_held_gb) / log.ranks
    assert log.room_gib * GIB / held == pytest.approx(log.sequences, rel=0.02)


LOADED = [
    # https://github.com/vllm-project/vllm/issues/23278: MXFP4 experts are padded to whole tiles
    ("gpt_oss_120b", "mxfp4", 1, 65.97),
    ("llama_3_1_8b", "bf16", 1, 15.0),
    ("qwen3_next_80b", "bf16", 2, 74.28),
    ("glm_5_1", "fp8", 8, 89.39),
    ("qwen3_235b", "fp8", 4, 55.19),
    ("minimax_m2_5", "fp8", 4, 53.75),
]


@pytest.mark.parametrize(("llm", "weights", "ranks", "gib"), LOADED)
def test_weights_take_as_much_as_vllm_says(llm, weights, ranks, gib):
    assert loaded_gib(demand_of(llm, 8192, weights, ranks)) == pytest.approx(gib, rel=0.02)


def test_the_first_and_last_stage_of_a_pipeline_hold_the_tables():
    # Llama-3.1-8B over four stages: the fullest one loads 4.26 GiB.
    demand = demand_of(
        "llama_3_1_8b", 8192, "bf16", 1, layout={"pipeline_parallel": 4}, accelerators=4
    )
    assert loaded_gib(demand) == pytest.approx(4.26, rel=0.01)


ROOM = [
    # Room that vLLM left to caches with nine tenths of the memory: H200 TP2, H200-like DP8.
    ("qwen3_next_80b", "bf16", 2, 1, 44.59, 0.03),
    ("qwen3_coder_480b", "fp8", 1, 8, 48.66, 0.06),
]


@pytest.mark.parametrize(("llm", "weights", "ranks", "data", "gib", "error"), ROOM)
def test_engines_leave_as_much_room_as_in_their_logs(llm, weights, ranks, data, gib, error):
    demand = demand_of(
        llm,
        262144,
        weights,
        ranks,
        layout={"attention_data_parallel": data},
        accelerators=ranks * data,
        experts=data,
        calibration={"hbm_usable": 0.9},
    )
    room = usable_hbm(demand.instance, demand.configuration) / GIB - loaded_gib(demand)
    assert room == pytest.approx(gib, rel=error)


def test_a_model_that_does_not_start_is_infeasible_and_with_fewer_sequences_starts():
    # gpt-oss-120b with 131,072 tokens on one H100 does not start with vLLM's own settings
    # (https://github.com/vllm-project/vllm/issues/23278); with six sequences at once it does.
    problem = {
        "rack": {"base": "dgx_h100", "accelerators": 1, "scale_up_domain": 1},
        "llm": "gpt_oss_120b",
        "workload": {"context": 131072},
        "choices": {"kv_formats": ["bf16"]},
    }
    refused = hbmopt.solve(problem)
    assert refused.status == "infeasible"
    assert "GB that engines keep" in refused.conflict.summary
    assert hbmopt.solve(problem, {"limits.max_batch": 6}).batch == 1


def test_short_contexts_keep_the_prompt_chunk_in_every_window():
    # A window of 128 tokens keeps the 8,192 tokens in flight as well: as much as a full layer.
    def sequences(context, chunk):
        calibration = {"hbm_usable": 0.9, "prompt_chunk": chunk}
        demand = demand_of("gpt_oss_120b", context, "mxfp4", 1, calibration=calibration)
        return demand.largest_batch

    assert sequences(1024, 8192) < 0.6 * sequences(1024, 0)
    assert sequences(131072, 8192) > 0.9 * sequences(131072, 0)


def test_a_sequence_is_whole_on_its_attention_rank():
    # Qwen3-Coder-480B with DP8 and 262,144 tokens: every rank has room for 1.6 to 1.9 sequences.
    problem = {
        "rack": "hgx_h200",
        "llm": "qwen3_coder_480b",
        "workload": {"context": 262144},
        "choices": {
            "weight_formats": ["fp8"],
            "kv_formats": ["fp8"],
            "attention_data_parallel": [8],
        },
    }
    solution = hbmopt.solve(problem)
    assert solution.batch == 8
    assert 8 < solution.priced_batch < 16
    assert hbmopt.check(problem, batch=8, speed=1).possible
    assert not hbmopt.check(problem, batch=12, speed=1).possible


def test_a_long_context_fits_where_it_was_served():
    # DeepSeek-V4-Pro with 800,000 tokens runs on 8 H200 with attention-DP8.
    problem = {
        "rack": "hgx_h200",
        "llm": "deepseek_v4_pro",
        "workload": {"context": 800_000},
        "choices": {"attention_data_parallel": [8]},
    }
    assert hbmopt.solve(problem).batch == 8


def test_capacities_are_what_drivers_report():
    sizes = {"nvidia_h100_sxm": 81_559, "nvidia_h200_sxm": 143_771, "nvidia_gb200": 189_471}
    racks = {"nvidia_h100_sxm": "h100", "nvidia_h200_sxm": "h200", "nvidia_gb200": "gb200_nvl72"}
    for chip, mebibytes in sizes.items():
        capacity = hbmopt.load(racks[chip]).rack.accelerator.hbm_capacity
        assert float(capacity) == pytest.approx(mebibytes * 2**20 / 1e9)
        assert capacity.status == "measured"


def test_used_bytes_are_bytes_and_the_reserve_is_a_line_of_its_own():
    rows = {row.name: row for row in hbmopt.solve("h200").constraints}
    half = {row.name: row for row in hbmopt.solve("h200", "calibration.hbm_usable=0.6").constraints}
    for found in (rows, half):
        whole = found["hbm_reserve"].limit
        assert found["hbm_capacity"].limit + found["hbm_reserve"].usage == pytest.approx(whole)
    assert half["hbm_capacity"].limit < rows["hbm_capacity"].limit - 40
    solution = hbmopt.solve("h200")
    verdict = hbmopt.check("h200", batch=solution.batch, speed=solution.speed_tok_s_user - 0.01)
    used = {row.name: row for row in verdict.limits}["hbm_capacity"]
    assert used.limit == pytest.approx(rows["hbm_capacity"].limit)


def test_no_more_sequences_run_than_an_engine_schedules():
    solution = hbmopt.solve("h200", {"limits.max_batch": 20})
    layout = solution.configurations[0]
    assert layout.batch <= 20 * layout.attention_data_parallel
    row = next(one for one in solution.constraints if one.name == "max_batch")
    assert row.limit == 20 * layout.attention_data_parallel


def test_ranks_that_would_keep_the_same_cache_can_share_its_tokens():
    problem = {
        "rack": "hgx_h200",
        "llm": "deepseek_r1",
        "workload": {"context": 100_000},
        "choices": {"tensor_parallel": [8], "expert_parallel": [1], "context_parallel": [1, 8]},
    }
    found = hbmopt.solve(problem)
    assert found.configurations[0].context_parallel == 8
    alone = hbmopt.solve(problem, {"choices.context_parallel": [1]})
    assert found.throughput_tok_s > 1.5 * alone.throughput_tok_s
    refused = hbmopt.solve(problem | {"llm": "llama_3_1_70b"}, {"choices.context_parallel": [8]})
    assert refused.status == "infeasible"


def test_kimi_linear_keeps_the_cache_of_seven_layers():
    # config.json of Kimi-Linear-48B: full attention in layers 4, 8, 12, 16, 20, 24 and 27 of 27.
    llm = hbmopt.load("h200", {"llm": "kimi_linear_48b"}).llm
    assert {group.kind: group.layers for group in llm.attention} == {"latent": 7, "recurrent": 20}
    assert llm.held_bytes(1.0, "fp8") == 4032


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_layers_take_as_long_on_any_number_of_ranks(ranks):
    # Dense rows from TP1 to TP8 need one figure per layer, not one that grows with log2.
    found = demand_of("llama_3_1_70b", 1024, "fp8", ranks).whole_replica(1.0).fixed_latency_ms
    each = hbmopt.load("h200").calibration.latency.per_layer
    assert found == pytest.approx(80 * float(each))
