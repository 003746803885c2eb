"""Drafting, prefill, reserved context, compression, pipelines: coefficients and answers."""

import pytest

import hbmopt
from builders import BARE_ENGINE, INSTANCES
from hbmopt.demand.coefficients import Point, Segment, replica_data
from hbmopt.demand.components import components_of
from hbmopt.demand.configuration import Configuration, Layout, enumerate_configurations
from hbmopt.demand.sequence import sequence_cache, smallest_batch, step_tokens
from hbmopt.errors import InputError
from hbmopt.models.expert_reads import distinct_experts, rank_spread
from hbmopt.program.witness import ClockPoint, work

LAYERS, HIDDEN = 10, 1000
CONTEXT = 4096


def model(**changes):
    """Ten layers, 1 G of attention, 2 G of routed experts of which 2 of 20 are visited."""
    return {
        "name": "small",
        "layers": LAYERS,
        "hidden_size": HIDDEN,
        "parameters": {
            "attention": 1e9,
            "routed_experts": 2e9,
            "router": 1e6,
            "embedding": 1e8,
            "lm_head": 1e8,
        },
        "mixture": {"layers": LAYERS, "experts": 20, "active": 2},
        "attention": [
            {
                "kind": "grouped",
                "layers": LAYERS,
                "heads": 16,
                "kv_heads": 8,
                "head_dimension": 64,
            }
        ],
        "draft": {
            "modules": 2,
            "layers": 1,
            "parameters": {"attention": 1e8, "routed_experts": 2e8},
            "mixture": {"layers": 1, "experts": 20, "active": 2},
            "attention": [
                {
                    "kind": "grouped",
                    "layers": 1,
                    "heads": 16,
                    "kv_heads": 8,
                    "head_dimension": 64,
                }
            ],
        },
    } | changes


def instance_of(workload=None, llm=None, **choices):
    return hbmopt.load(
        {
            "name": "small",
            "rack": "hgx_h200",
            "llm": llm or model(),
            "workload": workload
            or {"context": CONTEXT, "draft_acceptance_by_position": [0.7, 0.4]},
            "limits": {"power_capped": False},
            "choices": {"kv_formats": ["bf16"], "clocks": [1.0], **choices},
            "calibration": BARE_ENGINE,
        }
    )


ONE = Layout(1, 1, 1, 1)


def replica(instance, batch=1.0, layout=ONE, **choices):
    """Coefficients of one replica at one batch: the components by name, and the rest."""
    configuration = Configuration(
        layout, choices.pop("weight_format", "bf16"), "bf16", 0, (1.0,), **choices
    )
    data = replica_data(instance, configuration, 1.0, Segment(batch, batch))
    names = components_of(instance.llm, configuration)
    return dict(zip(names, data.components, strict=True)), data


ENTRY = 8 * 2 * 64 * 2
"""Bytes of one token's K and V in one layer: 8 heads of 64, two of them, bf16."""


# Drafting


def test_tokens_gained_are_one_and_the_sum_of_acceptances():
    instance = instance_of(draft_tokens=[0, 1, 2])
    gained = [instance.workload.accepted_tokens(drafted) for drafted in (0, 1, 2)]
    assert gained == pytest.approx([1.0, 1.7, 2.1])
    chained = instance_of({"context": CONTEXT, "draft_acceptance": 0.5}, draft_tokens=[3])
    assert chained.workload.accepted_tokens(3) == pytest.approx(1 + 0.5 + 0.25 + 0.125)


def test_a_drafted_step_reads_the_cache_once_and_the_head_for_every_draft():
    instance = instance_of(draft_tokens=[0, 2])
    plain, without = replica(instance)
    drafted, with_two = replica(instance, draft_tokens=2)
    cache = LAYERS * CONTEXT * ENTRY
    assert without.kv_read_gb == pytest.approx(cache / 1e9)
    # Two passes through a draft layer that reads its own cache; two modules keep one each.
    assert with_two.kv_read_gb == pytest.approx((cache + 2 * CONTEXT * ENTRY) / 1e9)
    assert with_two.kv_held_gb == pytest.approx((cache + 2 * CONTEXT * ENTRY) / 1e9)
    assert drafted["attention"].read_gb_per_step == plain["attention"].read_gb_per_step == 2.0
    assert drafted["lm_head"].read_gb_per_step == pytest.approx(3 * 0.2)
    assert with_two.tokens_per_sequence_step == pytest.approx(2.1)


def test_draft_passes_are_paid_for_in_weights_flops_and_latency():
    instance = instance_of(draft_tokens=[0, 2])
    parts, data = replica(instance, batch=4.0, draft_tokens=2)
    _, plain = replica(instance, batch=4.0)
    # Each pass reads 0.2 GB of attention; both modules stay resident with their experts.
    assert parts["draft"].read_gb_per_step == pytest.approx(2 * 0.2)
    assert parts["draft"].resident_gb == pytest.approx(2 * 0.2)
    assert parts["draft"].gflop_per_sequence == pytest.approx(2 * 2 * 0.1)
    share = distinct_experts(20, 2, 4) / 20
    assert parts["draft_experts"].read_gb_per_step == pytest.approx(2 * 0.4 * share)
    assert parts["draft_experts"].resident_gb == pytest.approx(2 * 0.4)
    assert parts["draft_experts"].gflop_per_sequence == pytest.approx(2 * 2 * 0.2 * 2 / 20)
    assert data.fixed_latency_ms / plain.fixed_latency_ms == pytest.approx(12 / 10)


def test_experts_are_hit_by_all_drafted_tokens():
    instance = instance_of(draft_tokens=[0, 2])
    parts, _ = replica(instance, batch=4.0, draft_tokens=2)
    assert parts["routed_experts"].read_gb_per_step == pytest.approx(
        4.0 * distinct_experts(20, 2, 12) / 20
    )
    assert parts["routed_experts"].gflop_per_sequence == pytest.approx(3 * 2 * 2.0 * 2 / 20)
    assert parts["lm_head"].gflop_per_sequence == pytest.approx((3 + 2) * 2 * 0.1)


def test_the_first_order_model_of_drafted_experts_touches_the_curve():
    instance = instance_of(draft_tokens=[2])
    configuration = Configuration(ONE, "bf16", "bf16", 0, (1.0,), 2)
    point = Point(6.0, (), (0.1,), 3.0, 12.0)
    data = replica_data(instance, configuration, 1.0, point)
    names = components_of(instance.llm, configuration)
    part = data.components[names.index("routed_experts")]
    at_six = part.read_gb_per_step + 6.0 * part.read_gb_per_sequence
    assert at_six == pytest.approx(4.0 * distinct_experts(20, 2, 18) / 20)


def test_drafted_tokens_keep_a_recurrent_state_each():
    llm = model()
    llm["attention"].append(
        {"kind": "recurrent", "layers": 2, "heads": 4, "key_dimension": 8, "value_dimension": 8}
    )
    instance = instance_of(llm=llm, draft_tokens=[0, 2])
    _, plain = replica(instance)
    _, drafted = replica(instance, draft_tokens=2)
    state = 2 * 4 * 8 * 8 * 4
    cache, own = LAYERS * CONTEXT * ENTRY, CONTEXT * ENTRY
    assert plain.kv_held_gb == pytest.approx((cache + state) / 1e9)
    assert plain.kv_read_gb == pytest.approx((cache + 2 * state) / 1e9)
    assert drafted.kv_held_gb == pytest.approx((cache + 2 * own + 3 * state) / 1e9)
    assert drafted.kv_read_gb == pytest.approx((cache + 2 * own + 4 * state) / 1e9)


def test_drafting_pays_at_small_batches_and_not_where_compute_limits():
    base = INSTANCES / "h200.yaml"
    drafting = {
        "workload": {"context": 4096, "draft_acceptance": 0.65},
        "choices": {
            "draft_tokens": [0, 1],
            "weight_formats": ["fp8"],
            "replica_accelerators": [8],
            "clocks": [1.0],
        },
        "llm": "deepseek_r1",
    }
    slow = hbmopt.solve(hbmopt.load(base, drafting | {"limits": {"power_capped": False}}))
    floor = {"limits": {"power_capped": False, "min_speed": "90 tok/s/user"}}
    fast = hbmopt.solve(hbmopt.load(base, drafting | floor))
    assert fast.configurations[0].draft_tokens == 1
    assert fast.configurations[0].tokens_per_step == pytest.approx(1.65)
    without = {**drafting, "choices": {**drafting["choices"], "draft_tokens": [0]}}
    plain = hbmopt.solve(hbmopt.load(base, without | floor))
    assert fast.throughput_tok_s > 1.1 * plain.throughput_tok_s
    # At full batch verifying twice the tokens costs more arithmetic than 0.65 tokens are worth.
    plain_slow = hbmopt.solve(hbmopt.load(base, without | {"limits": {"power_capped": False}}))
    assert slow.throughput_tok_s >= plain_slow.throughput_tok_s * (1 - 1e-6)


def test_drafting_with_no_acceptance_at_all_never_wins():
    instance = instance_of({"context": CONTEXT, "draft_acceptance": 0.0}, draft_tokens=[0, 2])
    assert hbmopt.solve(instance).configurations[0].draft_tokens == 0


@pytest.mark.parametrize(
    ("workload", "llm", "drafts", "said"),
    [
        ({"context": 100}, None, [1], "acceptance is known of 0"),
        (
            {"context": 100, "draft_acceptance_by_position": [0.5]},
            None,
            [2],
            "acceptance is known of 1",
        ),
        ({"context": 100, "draft_acceptance": 0.5}, {"draft": None}, [1], "no `draft`"),
        ({"context": 100, "draft_acceptance": 1.5}, None, [1], "at most 1"),
        ({"context": 100, "draft_acceptance_by_position": [0.4, 0.5]}, None, [2], "more often"),
        (
            {"context": 100, "draft_acceptance": 0.5, "draft_acceptance_by_position": [0.5]},
            None,
            [1],
            "not both",
        ),
    ],
)
def test_drafting_that_is_not_described_is_an_error(workload, llm, drafts, said):
    with pytest.raises(InputError, match=said):
        instance_of(workload, model(**llm) if llm else None, draft_tokens=drafts)


# Context distribution


def test_capacity_is_reserved_for_the_quantile_and_reads_are_those_of_the_mean():
    instance = instance_of({"context": CONTEXT, "capacity_context": 3 * CONTEXT})
    _, data = replica(instance)
    assert data.kv_held_gb == pytest.approx(3 * LAYERS * CONTEXT * ENTRY / 1e9)
    assert data.kv_read_gb == pytest.approx(LAYERS * CONTEXT * ENTRY / 1e9)


def test_a_quantile_below_the_mean_is_an_error():
    with pytest.raises(InputError, match="capacity_context: 10 tokens are fewer than the mean"):
        instance_of({"context": 100, "capacity_context": 10})


# Prefill


def test_shared_prefill_adds_the_prompts_that_a_token_stands_for():
    shared = {"prompt": 3000, "output": 1000, "prefill": "shared", "prefix_hit_rate": 0.5}
    instance = instance_of(shared)
    tokens = step_tokens(instance, Configuration(ONE, "bf16", "bf16", 0, (1.0,)))
    assert tokens.prefilled == pytest.approx(1.5)
    parts, data = replica(instance, batch=8.0)
    elsewhere, plain = replica(instance_of({"prompt": 3000, "output": 1000}), batch=8.0)
    assert parts["attention"].gflop_per_sequence == pytest.approx(2.0)
    assert parts["attention"].prompt_gflop_per_sequence == pytest.approx(1.5 * 2.0)
    assert elsewhere["attention"].gflop_per_sequence == pytest.approx(2.0)
    assert elsewhere["attention"].prompt_gflop_per_sequence == 0.0
    assert parts["lm_head"].gflop_per_sequence == elsewhere["lm_head"].gflop_per_sequence
    assert parts["lm_head"].prompt_gflop_per_sequence == 0.0
    # Prompts read all experts, behind their own arithmetic.
    assert parts["routed_experts"].read_gb_per_step == pytest.approx(
        4.0 * distinct_experts(20, 2, 8) / 20
    )
    # The second half of a prompt of 3,000: positions 1,500 to 3,000, 2,250 on average.
    per_token = LAYERS * 2 * 16 * 128
    assert plain.attention_gflop == pytest.approx(per_token * 3500 / 1e9)
    assert data.attention_gflop == plain.attention_gflop
    assert data.prompt_attention_gflop == pytest.approx(per_token * 1.5 * 2250 / 1e9)


def test_shared_prefill_costs_throughput_and_a_full_prefix_cache_costs_none():
    workload = {"prompt": 8000, "output": 500}
    free = hbmopt.solve(instance_of(workload)).throughput_tok_s
    shared = hbmopt.solve(instance_of({**workload, "prefill": "shared"})).throughput_tok_s
    cached = {**workload, "prefill": "shared", "prefix_hit_rate": 1.0}
    assert shared < 0.7 * free
    assert hbmopt.solve(instance_of(cached)).throughput_tok_s == pytest.approx(free, rel=1e-9)


def test_prompts_computed_here_draw_power_too():
    workload = {"prompt": 8000, "output": 500, "prefill": "shared"}
    _, data = replica(instance_of(workload), batch=4.0)
    _, plain = replica(instance_of({"prompt": 8000, "output": 500}), batch=4.0)
    done = [work(one, ClockPoint(1.0, 1.0, 4.0, ())) for one in (data, plain)]
    assert done[0].prefill_at_peak > 5 * (done[1].gemm_at_peak + done[1].attention_at_peak)
    more = 4.0 * sum(
        part.joule_per_gflop * part.prompt_gflop_per_sequence for part in data.components
    )
    more += 4.0 * data.power.attention_joule_per_gflop * data.prompt_attention_gflop
    assert done[0].power_kw == pytest.approx(done[1].power_kw + more, rel=1e-4)


def test_shared_prefill_needs_to_know_the_prompt():
    with pytest.raises(InputError, match="needs `prompt` and `output`"):
        instance_of({"context": 1000, "prefill": "shared"})


def test_latent_attention_computes_prompts_with_expanded_keys():
    llm = model()
    llm["attention"] = [
        {
            "kind": "latent",
            "layers": LAYERS,
            "heads": 16,
            "latent_rank": 512,
            "rope_dimension": 64,
            "key_dimension": 128,
            "value_dimension": 128,
        }
    ]
    workload = {"prompt": 1000, "output": 1000, "prefill": "shared"}
    _, data = replica(instance_of(workload, llm))
    absorbed, expanded = 2 * 16 * (2 * 512 + 64) * 1500, 2 * 16 * (128 + 64 + 128) * 500
    assert data.attention_gflop == pytest.approx(LAYERS * absorbed / 1e9)
    assert data.prompt_attention_gflop == pytest.approx(LAYERS * expanded / 1e9)


# Compression of the cache


def test_compression_halves_the_bytes_and_pays_in_arithmetic():
    half = {"name": "half", "ratio": 0.5, "flops_per_byte": 40}
    instance = instance_of(kv_compressions=[{"name": "none", "ratio": 1}, half])
    _, plain = replica(instance)
    _, packed = replica(instance, kv_compression="half")
    cache = LAYERS * CONTEXT * ENTRY / 1e9
    assert packed.kv_held_gb == pytest.approx(cache / 2)
    assert packed.kv_read_gb == pytest.approx(cache / 2)
    assert packed.attention_gflop == pytest.approx(plain.attention_gflop + 40 * cache)


@pytest.mark.parametrize(("flops_per_byte", "chosen"), [(1.0, "half"), (20_000.0, "none")])
def test_spare_compute_buys_bandwidth_while_it_is_cheap(flops_per_byte, chosen):
    half = {"name": "half", "ratio": 0.5, "flops_per_byte": flops_per_byte}
    instance = instance_of(kv_compressions=[{"name": "none", "ratio": 1}, half])
    solution = hbmopt.solve(instance)
    assert solution.configurations[0].kv_compression == chosen


def test_a_recurrent_state_is_not_compressed():
    llm = model()
    llm["attention"] = [
        {
            "kind": "recurrent",
            "layers": LAYERS,
            "heads": 4,
            "key_dimension": 8,
            "value_dimension": 8,
        }
    ]
    instance = instance_of(llm=llm, kv_compressions=[{"name": "half", "ratio": 0.5}])
    _, data = replica(instance, kv_compression="half")
    assert data.kv_held_gb == pytest.approx(LAYERS * 4 * 64 * 4 / 1e9)


# Pipeline stages


def test_a_pipeline_reads_its_weights_for_every_micro_batch():
    instance = instance_of(pipeline_parallel=[2], replica_accelerators=[4])
    parts, data = replica(instance, batch=8.0, layout=Layout(4, 2, 1, 1, 2))
    flat, _ = replica(instance, batch=8.0, layout=Layout(2, 2, 1, 1, 1))
    assert parts["attention"].resident_gb == flat["attention"].resident_gb
    assert parts["attention"].read_gb_per_step == 2 * flat["attention"].read_gb_per_step
    assert parts["routed_experts"].read_gb_per_step == pytest.approx(
        2 * 4.0 * distinct_experts(20, 2, 4) / 20
    )
    # Two tensor ranks in a stage: one all-reduce after attention and one after the experts send
    # 2 (2 - 1) h activations each, and one hand-over between the stages sends h.
    assert data.link_gb_per_sequence == pytest.approx((LAYERS * 2 * 2 + 1) * 2 * HIDDEN / 1e9)
    assert smallest_batch(Configuration(Layout(4, 2, 1, 1, 2), "bf16", "bf16", 0, (1.0,))) == 2


def test_a_pipeline_spans_scale_up_domains_that_tensor_parallelism_cannot():
    changes = {
        "llm": "kimi_k2_5",
        "workload": {"context": 8192},
        "rack": {
            "base": "hgx_h200",
            "accelerators": 16,
            "scale_up_domain": 8,
            "scale_out_bandwidth": None,
            "power": "20 kW",
        },
        "calibration": {"hbm_usable": 0.85},
        "choices": {"weight_formats": ["fp8"], "kv_formats": ["fp8"], "clocks": [1.0]},
    }
    single = hbmopt.solve(hbmopt.load(INSTANCES / "h200.yaml", changes))
    assert single.status == "infeasible"
    changes["choices"]["pipeline_parallel"] = [1, 2]
    staged = hbmopt.solve(hbmopt.load(INSTANCES / "h200.yaml", changes))
    assert staged.status == "optimal"
    assert staged.configurations[0].pipeline_parallel == 2
    assert staged.configurations[0].accelerators == 16


def test_more_stages_than_layers_are_rejected_with_the_reason():
    instance = instance_of(pipeline_parallel=[16], replica_accelerators=[16, 8])
    _, rejections = enumerate_configurations(instance)
    small = hbmopt.load(
        INSTANCES / "gb200_nvl72.yaml",
        {"llm": model(), "choices": {"pipeline_parallel": [16], "replica_accelerators": [16]}},
    )
    _, rejected = enumerate_configurations(small)
    assert {one.reason for one in rejections} == {"the rack has 8 accelerators"}
    assert {one.reason for one in rejected} == {"10 layers are fewer than 16 stages"}


# Layouts


def test_tensor_parallel_latents_are_copied_and_each_end_of_the_frontier_has_its_layout():
    def solved(floor):
        return hbmopt.solve(
            hbmopt.load(
                INSTANCES / "deepseek_r1_h200.yaml", {"limits.min_speed": f"{floor} tok/s/user"}
            )
        ).configurations[0]

    widest, fastest = solved(0), solved(100)
    assert (widest.tensor_parallel, widest.attention_data_parallel) == (1, 8)
    assert (fastest.tensor_parallel, fastest.attention_data_parallel) == (8, 1)
    assert widest.kv_copies == 1.0
    assert fastest.kv_copies == 8.0
    assert fastest.kv_held_gb == pytest.approx(8 * widest.kv_held_gb)
    latents = 61 * 576 * 8192 / 1e9
    assert widest.kv_held_gb == pytest.approx(latents, rel=1e-3)
    assert fastest.kv_read_gb == pytest.approx(8 * latents)


def test_copies_of_a_cache_are_those_of_its_layers():
    instance = instance_of(replica_accelerators=[8])
    layout = Layout(8, 8, 1, 1)
    cache = sequence_cache(instance, Configuration(layout, "bf16", "bf16", 0, (1.0,)))
    assert cache.copies == 1.0
    two = model()
    two["attention"][0]["kv_heads"] = 2
    cache = sequence_cache(instance_of(llm=two), Configuration(layout, "bf16", "bf16", 0, (1.0,)))
    assert cache.copies == 4.0


def test_the_fullest_expert_rank_slows_wide_expert_parallelism_only():
    instance = hbmopt.load(
        INSTANCES / "h200.yaml",
        {"llm": model(), "calibration": {"expert_imbalance": 1.25}, "workload": {"context": 100}},
    )
    spread, _ = replica(instance, batch=8.0, layout=Layout(4, 4, 4, 1))
    whole, _ = replica(instance, batch=8.0, layout=Layout(4, 4, 1, 1))
    read, compute = "read_gb_per_step", "gflop_per_sequence"
    fullest = distinct_experts(20, 2, 8, rank_spread(20, 4)) / distinct_experts(20, 2, 8)
    for what, expected in ((read, 1.25 * fullest), (compute, 1.25)):
        ratio = getattr(spread["routed_experts"], what) / getattr(whole["routed_experts"], what)
        assert ratio == pytest.approx(expected)


def test_lookup_tables_can_stay_off_hbm():
    llm = model()
    llm["parameters"]["lookup_tables"] = 5e9
    here, _ = replica(instance_of(llm=llm))
    away, _ = replica(instance_of(llm=llm, lookup_tables="host"))
    assert here["lookup_tables"].resident_gb == pytest.approx(10.0)
    assert away["lookup_tables"].resident_gb == 0.0
    assert here["lookup_tables"].read_gb_per_step == 0.0
    assert here["lookup_tables"].gflop_per_sequence == 0.0
