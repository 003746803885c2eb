"""Prefill pools: closed forms, a second statement of the law, limits that are kept, order."""

import math
from itertools import pairwise

import pytest

from builders import INSTANCES, ROOT, executed_examples
from hbmopt.errors import InputError
from hbmopt.fleet import CHUNKS, prefill_points
from hbmopt.instance import load

IDEAL = INSTANCES / "closed_form.yaml"
WEIGHTS = 10e9
ATTENTION = 50 * 2 * 10 * (50 + 50)
"""FLOPs of attention for every token that another one sees: layers x 2 x heads x (keys, values)."""


def ideal(prompt=10000, **changes):
    """One accelerator of 1,000 TFLOP/s, of which prompts attain half; arithmetic alone binds."""
    given = {
        "workload": {"prompt": prompt, "output": 100},
        "rack.accelerator.peak_flops": {"bf16": "1000 TFLOP/s"},
        "rack.accelerator.hbm_bandwidth": "1000 TB/s",
        "calibration.efficiency.prefill": 0.5,
    }
    return load(IDEAL, given | changes)


def served(**changes):
    """A server with the constants of real engines, one layout and one clock."""
    given = {
        "workload": {"prompt": 6000, "output": 100, "prefix_hit_rate": 0.25},
        "limits.power_capped": False,
        "rack.accelerator.tdp": "5 kW",
        "choices": {
            "replica_accelerators": [2],
            "tensor_parallel": [2],
            "weight_formats": ["bf16"],
            "kv_formats": ["bf16"],
            "clocks": [1.0],
        },
    }
    return load("h200", {"llm": "llama_3_1_8b"} | given | changes)


def only(points):
    (point,) = points
    return point


def test_where_arithmetic_binds_prompts_are_peak_over_flops():
    for prompt in (1000, 10000):
        flops = 2 * WEIGHTS * prompt + ATTENTION * prompt**2 / 2
        point = only(prefill_points(ideal(prompt), chunks=[prompt]))
        assert point.prompts_per_s == pytest.approx(0.5 * 1000e12 / flops)
        assert point.compute_s == pytest.approx(1 / point.prompts_per_s)
        assert point.uncached_tokens == prompt


def test_where_reading_binds_a_pass_takes_as_long_as_its_bytes():
    changes = {
        "rack.accelerator.hbm_bandwidth": "1 TB/s",
        "rack.accelerator.peak_flops": {"bf16": "1000 PFLOP/s"},
        # Kernel after kernel, as measured.
        "calibration.overlap": 0,
    }
    point = only(prefill_points(ideal(10000, **changes), chunks=[2500]))
    # 20 GB of weights, and 0.25, 0.5, 0.75 and 1 GB of cache at the ends of four chunks.
    reading = 4 * 20 / 1e3 + (0.25 + 0.5 + 0.75 + 1.0) / 1e3
    assert point.compute_s == pytest.approx(reading, rel=1e-9)
    assert point.handover_gb == pytest.approx(1.0)


def test_a_pass_is_what_plain_python_says():
    instance, chunk = served(), 2048
    point = only(prefill_points(instance, chunks=[chunk]))
    chip, llm = instance.rack.accelerator, instance.llm
    eta, late = instance.calibration.efficiency, instance.calibration.latency
    layers, hidden, heads, width, kv_heads, ranks = 32, 4096, 32, 128, 8, 2
    computed, cached = 4500, 1500
    # Passes of weights in bf16, split over two ranks; the embedding is looked up.
    parts = llm.parameters
    # Norms are whole on every rank.
    blocks = parts.attention + parts.dense_ffn + ranks * parts.router
    read = 2e-9 * (blocks + parts.lm_head) + 2e-9 * hidden * chunk
    gflop = 2e-9 * (blocks * chunk + parts.lm_head * chunk / computed)
    bandwidth = ranks * float(chip.hbm_bandwidth)
    peak = ranks * float(chip.peak_flops["bf16"])
    products = max(read / (float(eta.weights) * bandwidth), gflop / (float(eta.prefill) * peak))
    # A chunk reads the cache up to its own end; its tokens see what stands before each.
    end = cached + (computed + chunk) / 2
    cache = 2 * layers * kv_heads * width * 2e-9
    seen = cached + computed / 2
    arithmetic = layers * 4 * heads * width * seen * chunk * 1e-9
    attention = max(
        end * cache / (float(eta.kv) * bandwidth), arithmetic / (float(eta.prefill) * peak)
    )
    sent = 2 * layers * 2 * (ranks - 1) * hidden * 2 * chunk * 1e-9
    links = sent / (float(eta.link) * ranks * float(chip.scale_up_bandwidth))
    fixed = layers * float(late.per_layer) + float(late.per_sequence)
    passing = products + attention + links + fixed
    assert point.compute_s == pytest.approx(math.ceil(computed / chunk) * passing / 1e3, rel=1e-6)
    each = 1e3 / passing * chunk / computed
    assert point.replicas == 4
    assert point.prompts_per_s == pytest.approx(4 * each, rel=1e-6)
    law, tdp = instance.power_law, float(chip.tdp)
    energy = float(law.hbm) * (read + end * cache)
    energy += float(law.flop["bf16"]) * (gflop + arithmetic)
    running = float(law.idle) * tdp + float(law.running)
    kw = float(instance.rack.static_power) + 8 * running + 4 * energy / passing
    assert point.rack_kw == pytest.approx(kw, rel=1e-6)
    rest = float(instance.rack.static_power) + 8 * float(law.idle) * tdp
    assert point.rest_kw == pytest.approx(rest)
    joule = 1e3 * (kw - rest) / (4 * each)
    assert point.joule_per_prompt == pytest.approx(joule, rel=1e-6)
    whole = (computed + cached) * cache
    assert point.handover_gb == pytest.approx(whole)
    network = 0.05 * float(eta.scale_out)
    assert point.handover_s == pytest.approx(whole / (ranks * network) / 1e3)
    assert point.first_token_s == point.compute_s + point.handover_s
    assert point.tokens_per_s == pytest.approx(4 * each * computed, rel=1e-6)


RACKS = {
    "rubin_nvl72_lpx": {},
    "gb200_nvl72": {},
    "h200": {"llm": "llama_3_1_70b"},
    "gb200_drafting": {},
}


@pytest.fixture(scope="module", params=RACKS)
def rack(request):
    instance = load(request.param, RACKS[request.param])
    return instance, prefill_points(instance)


def test_racks_of_all_kinds_have_points_and_none_beats_another(rack):
    instance, points = rack
    assert len(points) > 3
    rates = [one.prompts_per_s for one in points]
    assert rates == sorted(rates, reverse=True)
    for one in points:
        layout = one.configuration.layout
        assert (one.configuration.lpu_units, one.configuration.draft_tokens) == (0, 0)
        assert one.chunk in CHUNKS
        assert one.clock in instance.choices.clocks
        assert one.replicas * layout.accelerators <= instance.rack.all_accelerators
        assert one.rest_kw < one.rack_kw <= instance.power_cap_kw * (1 + 1e-6)
        limit = float(instance.accelerator_limit) * instance.rack.all_accelerators
        assert one.rack_kw <= instance.rack.all_static_kw + limit + lpus(instance)
        for other in points:
            better = (
                other.prompts_per_s >= one.prompts_per_s,
                other.joule_per_prompt <= one.joule_per_prompt,
                other.first_token_s <= one.first_token_s,
            )
            assert other is one or not all(better)


def lpus(instance):
    offload = instance.rack.offload
    if offload is None:
        return 0.0
    device = offload.device
    return float(offload.units) * float(device.parked) * float(device.tdp)


def test_a_limit_on_the_first_token_leaves_the_points_that_keep_it(rack):
    instance, points = rack
    for share in (0.3, 0.7):
        limit = points[0].first_token_s * share
        kept = [one for one in points if one.first_token_s <= limit]
        found = prefill_points(instance, limit + 0.5, queueing_s=0.5)
        assert all(one.first_token_s <= limit * (1 + 1e-6) for one in found)
        assert bool(found) == bool(kept)
        if kept:
            assert found[0].prompts_per_s == pytest.approx(kept[0].prompts_per_s)
    assert prefill_points(instance, 1e-4) == []
    assert prefill_points(instance, 0.5, queueing_s=0.5) == []


LAYOUT = {
    "replica_accelerators": [8],
    "tensor_parallel": [1],
    "attention_data_parallel": [8],
    "expert_parallel": [8],
    "weight_formats": ["fp4"],
    "clocks": [1.0],
}


def mixture(prompt=8192, hits=0.0, **changes):
    given = {
        "workload": {"prompt": prompt, "output": 100, "prefix_hit_rate": hits},
        "choices": LAYOUT,
        "limits.power_capped": False,
    }
    return load("gb200_nvl72", given | changes)


def most(instance, chunk):
    return only(prefill_points(instance, chunks=[chunk]))


def test_longer_prompts_are_never_computed_faster():
    points = [most(mixture(prompt), 2048) for prompt in (300, 2000, 2048, 2049, 9000, 40000)]
    for shorter, longer in pairwise(points):
        assert longer.prompts_per_s <= shorter.prompts_per_s * (1 + 1e-9)
        assert longer.compute_s >= shorter.compute_s * (1 - 1e-9)
        assert longer.handover_gb > shorter.handover_gb
    # Of a chunk that several prompts share, each waits for all.
    assert points[0].compute_s == pytest.approx(points[1].compute_s, rel=0.2)


def test_larger_chunks_never_compute_fewer_prompts():
    for instance in (mixture(), mixture(700), mixture(30000, 0.5), served()):
        rates = [most(instance, chunk).prompts_per_s for chunk in CHUNKS]
        assert all(later >= earlier * (1 - 1e-9) for earlier, later in pairwise(rates))


def test_more_prompts_in_the_cache_leave_no_fewer_computed():
    ample = {"rack.scale_out_bandwidth": "100 TB/s"}
    points = [most(mixture(20000, hits, **ample), 2048) for hits in (0.0, 0.3, 0.6, 0.95, 1.0)]
    for fewer, more in pairwise(points):
        assert more.prompts_per_s >= fewer.prompts_per_s
        assert more.handover_gb == fewer.handover_gb
        # Prompts that are shorter than a chunk wait for those that share it.
        assert more.compute_s <= fewer.compute_s or more.uncached_tokens < more.chunk
    assert [one.uncached_tokens for one in points] == pytest.approx([20000, 14000, 8000, 1000, 1])


@pytest.mark.parametrize("scope", ["rack", "facility", "accelerators"])
def test_a_power_cap_is_kept_by_fewer_replicas_or_slower_ones(scope):
    reached = math.inf
    for cap in (130, 100, 80):
        changes = {"limits.power": f"{cap} kW", "limits.power_scope": scope}
        points = prefill_points(load("gb200_nvl72", changes), chunks=[4096])
        instance = load("gb200_nvl72", changes)
        for one in points:
            drawn = {
                "rack": one.rack_kw,
                "facility": one.rack_kw * float(instance.limits.pue),
                "accelerators": one.rack_kw - instance.rack.all_static_kw,
            }[scope]
            assert drawn <= cap * (1 + 1e-6)
        best = points[0].prompts_per_s if points else 0.0
        assert best <= reached
        reached = best
    assert prefill_points(load("gb200_nvl72", {"limits.power": "60 kW"})) == []


def test_an_accelerator_that_cannot_run_at_its_lowest_clock_waits_between_passes():
    free = most(served(), 2048)
    slow = served(**{"limits.accelerator_power": "1.2 kW"})
    held, law = most(slow, 2048), slow.power_law
    static = float(slow.rack.static_power)
    assert held.rack_kw == pytest.approx(static + 8 * 1.2)
    # What is left beside what runs anyway is energy of passes.
    running = static + 8 * (float(law.idle) * 5.0 + float(law.running))
    share = (held.rack_kw - running) / (free.rack_kw - running)
    assert 0.0 < share < 1.0
    assert held.prompts_per_s == pytest.approx(share * free.prompts_per_s)
    assert held.compute_s == pytest.approx(free.compute_s / share)
    assert prefill_points(served(**{"limits.accelerator_power": "1 kW"})) == []


def test_short_prompts_that_do_not_fit_leave_a_chunk_that_is_not_full():
    kept = {"calibration.activation_bytes": 1e-9, "rack.accelerator.hbm_capacity": "27 GB"}
    found = only(prefill_points(ideal(10000, **kept), chunks=[50000]))
    # Beside 20 GB of weights three prompts of 1 GB, and three that are handed over.
    filled = only(prefill_points(ideal(10000, **kept), chunks=[30000]))
    assert found.compute_s == pytest.approx(filled.compute_s)
    assert found.prompts_per_s == pytest.approx(3 / found.compute_s)


def test_weights_and_prompts_in_flight_fit_in_memory():
    kept = {"calibration.activation_bytes": 1e-9}
    for capacity, largest in ((19.9, 0), (21.9, 0), (22.1, 10000), (23.9, 10000), (24.1, 20000)):
        changes = kept | {"rack.accelerator.hbm_capacity": f"{capacity} GB"}
        points = prefill_points(ideal(**changes), chunks=[5000, 10000, 20000])
        # 20 GB of weights; a prompt of 1 GB in each chunk, and as many that are handed over.
        assert max((one.chunk for one in points), default=0) <= largest
        assert bool(points) == bool(largest)


def test_the_network_limits_prompts_and_none_that_is_known_does_not():
    slow = most(mixture(**{"rack.scale_out_bandwidth": "0.1 GB/s"}), 8192)
    eta = float(mixture().calibration.efficiency.scale_out)
    assert slow.prompts_per_s == pytest.approx(72 * 0.1 * eta / slow.handover_gb)
    unknown = most(mixture(**{"rack.scale_out_bandwidth": None}), 8192)
    assert unknown.handover_s is None
    assert unknown.first_token_s == unknown.compute_s
    assert unknown.prompts_per_s == pytest.approx(most(mixture(), 8192).prompts_per_s)


def test_caches_of_different_formats_are_not_compared():
    formats = {"choices": LAYOUT | {"kv_formats": ["fp8", "bf16"]}}
    points = prefill_points(mixture(**formats), chunks=[8192])
    assert {one.configuration.kv_format for one in points} == {"fp8", "bf16"}


def test_chunks_follow_one_another_in_a_pipeline():
    stages = {"replica_accelerators": [2], "tensor_parallel": [1], "pipeline_parallel": [2]}
    changes = {"rack.accelerators": 2, "rack.accelerator.scale_up_bandwidth": "1000 TB/s"}
    whole = most(ideal(), 1000)
    piped = most(
        ideal(**changes, **{f"choices.{name}": value for name, value in stages.items()}), 1000
    )
    assert piped.prompts_per_s == pytest.approx(2 * whole.prompts_per_s, rel=1e-6)
    # Ten chunks at half the time each, and one more to fill the pipeline.
    assert piped.compute_s == pytest.approx(whole.compute_s / 10 * 11 / 2, rel=1e-6)


def test_a_workload_without_prompts_is_refused():
    with pytest.raises(InputError, match="says nothing of prompts"):
        prefill_points(load(IDEAL))
    with pytest.raises(ValueError, match="at least one token"):
        prefill_points(ideal(), chunks=[])


def test_docs():
    text = (ROOT / "docs" / "prefill.md").read_text(encoding="utf-8")
    assert executed_examples(text) == 1
