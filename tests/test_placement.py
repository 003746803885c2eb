"""Bytes, FLOPs and parameters add up over components and ranks, for every model and layout.

The ranks of a replica are walked one by one here: which layers, KV heads, experts and sequences
each has. Their sum has to be what the program is filled with.
"""

import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbmopt
from builders import BARE_ENGINE, INSTANCES
from hbmopt.demand.coefficients import Segment, replica_data
from hbmopt.demand.components import components_of
from hbmopt.demand.configuration import Configuration, Layout, enumerate_configurations
from hbmopt.demand.placement import TABLES, copies, larger_table, placed_bytes
from hbmopt.documents import catalogue
from hbmopt.llm.attention import GroupedAttention, cache_copies
from hbmopt.llm.schema import COMPONENTS, Llm


def instance_of(llm, **choices):
    """Any instance that serves `llm`: a rack of 72 accelerators."""
    return hbmopt.load(
        INSTANCES / "gb200_nvl72.yaml",
        {
            "llm": llm,
            "workload": {"context": 8192, "draft_acceptance": 0.7},
            "choices": {"kv_formats": ["fp8"], "clocks": [1.0], **choices},
            "calibration": BARE_ENGINE,
        },
    )


def ranks(layout):
    """Every rank of a replica as (pipeline stage, attention-data rank, tensor rank)."""
    return product(
        range(layout.pipeline_parallel),
        range(layout.attention_data_parallel),
        range(layout.tensor_parallel),
    )


def heads_on_rank(heads, tensor_parallel):
    """KV heads that each tensor rank holds: an equal share, or one that it shares."""
    return heads // tensor_parallel if heads >= tensor_parallel else 1


def attention_on_rank(llm, layout):
    """Attention weights of one rank, as a number of parameters."""
    held = 0.0
    whole = sum(group.replicated_parameters for group in llm.attention)
    shared = 0.0
    for group in llm.attention:
        if isinstance(group, GroupedAttention):
            each = group.kv_parameters / group.kv_heads
            held += each * heads_on_rank(group.kv_heads, layout.tensor_parallel)
            shared += group.kv_parameters
    rest = llm.parameters.attention - whole - shared
    return (held + whole + rest / layout.tensor_parallel) / layout.pipeline_parallel


def parameters_on_rank(llm, layout, component):
    """Parameters of a component on one rank where layers divide evenly over the stages."""
    count = getattr(llm.parameters, component)
    stages, tensor = layout.pipeline_parallel, layout.tensor_parallel
    if component == "attention":
        return attention_on_rank(llm, layout)
    if component == "router":
        return count / stages
    if component == "lookup_tables":
        return count / layout.accelerators
    if component == "routed_experts" and llm.mixture is not None:
        slots = math.ceil(llm.mixture.experts / layout.expert_parallel)
        expert = count / llm.mixture.experts
        split = layout.stage_accelerators // layout.expert_parallel
        return slots * expert / split / stages
    if component in ("embedding", "lm_head") and stages > 1:
        # Every stage counts as the fullest one, which is the first or the last.
        return count / tensor if larger_table(llm, llm.native_format) == component else 0.0
    return count / tensor / stages


def cache_on_rank(llm, layout, tokens, kv_format, *, held):
    """Cache bytes of one sequence on one tensor rank of the group that serves it, all stages."""
    total = 0.0
    for group in llm.attention:
        for cache in (*group.cache(tokens, kv_format), *group.state(1.0)):
            each = (cache.held if held else cache.read) / cache.shards
            total += each * heads_on_rank(cache.shards, layout.tensor_parallel)
    return total


def filled(instance, layout):
    """The numbers of one replica at batch 1 .. 2, and the names of its components."""
    configuration = Configuration(layout, instance.llm.native_format, "fp8", 0, (1.0,))
    data = replica_data(instance, configuration, 1.0, Segment(1.0, 2.0))
    return dict(zip(components_of(instance.llm, configuration), data.components, strict=True)), data


@pytest.mark.parametrize("name", catalogue.names("llms"))
def test_ranks_of_every_layout_hold_what_the_program_reserves(name):
    instance = instance_of(name)
    llm, scheme = instance.llm, instance.llm.native_format
    layouts = {one.layout for one in enumerate_configurations(instance)[0]}
    assert layouts
    for layout in layouts:
        parts, data = filled(instance, layout)
        for component, part in parts.items():
            per_parameter = (
                llm.loaded_bytes(scheme, component) / getattr(llm.parameters, component)
                if getattr(llm.parameters, component)
                else 0.0
            )
            on_ranks = sum(parameters_on_rank(llm, layout, component) for _ in ranks(layout))
            assert part.resident_gb == pytest.approx(on_ranks * per_parameter / 1e9, rel=1e-9)
        held = cache_on_rank(llm, layout, 8192, "fp8", held=True) * layout.tensor_parallel
        assert data.kv_held_gb == pytest.approx(held / 1e9, rel=1e-9)
        read = cache_on_rank(llm, layout, 8192, "fp8", held=False) * layout.tensor_parallel
        assert data.kv_read_gb == pytest.approx(read / 1e9, rel=1e-9)


@pytest.mark.parametrize("name", catalogue.names("llms"))
def test_on_one_accelerator_components_add_up_to_the_model(name):
    instance = instance_of(name)
    llm, scheme = instance.llm, instance.llm.native_format
    parts, data = filled(instance, Layout(1, 1, 1, 1))
    weights = sum(llm.loaded_bytes(scheme, component) for component in COMPONENTS)
    assert sum(part.resident_gb for part in parts.values()) == pytest.approx(weights / 1e9)
    assert sum(getattr(llm.parameters, component) for component in COMPONENTS) == pytest.approx(
        llm.parameters.total
    )
    gemm = sum(part.gflop_per_sequence for part in parts.values())
    assert gemm == pytest.approx(llm.matmul_flops / 1e9, rel=1e-9)
    attention = sum(group.flops(8192) for group in llm.attention)
    assert data.attention_gflop == pytest.approx(attention / 1e9, rel=1e-9)


GROUPS = st.one_of(
    st.builds(
        lambda heads, share, window: {
            "kind": "grouped",
            "layers": 12,
            "heads": heads,
            "kv_heads": heads // share,
            "head_dimension": 128,
            "kv_parameters": 2e6 * heads // share,
            **({"window": 512} if window else {}),
        },
        st.sampled_from([16, 32, 64]),
        st.sampled_from([1, 4, 8, 16]),
        st.booleans(),
    ),
    st.builds(
        lambda indexed: {
            "kind": "latent",
            "layers": 12,
            "heads": 64,
            "latent_rank": 512,
            "rope_dimension": 64,
            "replicated_parameters": 5e6,
            **({"indexer": {"heads": 8, "head_dimension": 128, "top_k": 2048}} if indexed else {}),
        },
        st.booleans(),
    ),
    st.just(
        {
            "kind": "recurrent",
            "layers": 12,
            "heads": 64,
            "key_dimension": 128,
            "value_dimension": 64,
            "replicated_parameters": 1e6,
        }
    ),
)


@st.composite
def models(draw):
    groups = draw(st.lists(GROUPS, min_size=1, max_size=3))
    parameters = {
        "attention": draw(st.floats(4e8, 2e9)),
        "dense_ffn": draw(st.sampled_from([0.0, 1e9])),
        "router": 1e7,
        "embedding": 2e8,
        "lm_head": draw(st.sampled_from([0.0, 2e8])),
    }
    model = {
        "name": "drawn",
        "layers": 12,
        "hidden_size": 4096,
        "parameters": parameters,
        "attention": groups,
        "native_format": draw(st.sampled_from(["bf16", "fp8", "nvfp4"])),
    }
    if draw(st.booleans()):
        parameters["routed_experts"] = draw(st.floats(5e9, 5e10))
        parameters["shared_experts"] = draw(st.sampled_from([0.0, 1e9]))
        experts = draw(st.sampled_from([24, 64, 160]))
        model["mixture"] = {"layers": 10, "experts": experts, "active": 6}
    return model


@settings(max_examples=25, deadline=None)
@given(models(), st.sampled_from([1, 2, 4]))
def test_any_model_adds_up_over_the_ranks_of_any_layout(model, stages):
    instance = instance_of(model, pipeline_parallel=[stages], replica_accelerators=[8, 24])
    llm, scheme = instance.llm, instance.llm.native_format
    for layout in {one.layout for one in enumerate_configurations(instance)[0]}:
        parts, data = filled(instance, layout)
        for component, part in parts.items():
            on_ranks = sum(parameters_on_rank(llm, layout, component) for _ in ranks(layout))
            one = getattr(llm.parameters, component)
            if one:
                size = llm.loaded_bytes(scheme, component) * on_ranks / one
                assert part.resident_gb == pytest.approx(size / 1e9, rel=1e-9)
                if component not in TABLES:
                    assert copies(llm, layout, component) == pytest.approx(on_ranks / one, rel=1e-9)
        held = cache_on_rank(llm, layout, 8192, "fp8", held=True) * layout.tensor_parallel
        assert data.kv_held_gb == pytest.approx(held / 1e9, rel=1e-9)


@given(st.sampled_from([1, 2, 4, 8, 16, 64]), st.sampled_from([1, 2, 4, 8, 16, 32]))
def test_a_cache_is_split_over_its_heads_and_copied_past_their_number(heads, tensor_parallel):
    total = tensor_parallel * heads_on_rank(heads, tensor_parallel) / heads
    assert cache_copies(heads, tensor_parallel) == total
    assert total == max(1.0, tensor_parallel / heads)


def test_layers_that_do_not_divide_over_the_stages_reserve_the_fullest():
    llm = catalogue.entry("llms", "deepseek_r1").value
    instance = instance_of(llm, pipeline_parallel=[2])
    even, uneven = Layout(16, 8, 1, 1, 1), Layout(16, 8, 1, 1, 2)
    # 61 layers over two stages: 31 and 30. A pipeline of two 31s holds 62 / 61 of the model, and
    # of eight tensor ranks instead of sixteen fewer keep a latent.
    _, data = filled(instance, uneven)
    held = cache_on_rank(instance.llm, uneven, 8192, "fp8", held=True) * 8
    assert data.kv_held_gb == pytest.approx(held / 1e9 * 62 / 61, rel=1e-9)
    assert even.stage_accelerators == 2 * uneven.stage_accelerators


def test_two_kv_heads_over_eight_ranks_serve_the_concurrency_of_a_known_deployment():
    # 92 layers, 23 of them attention with 2 KV heads of 256, 69 Gated DeltaNet with 128 states of
    # 128 x 128; 8 accelerators with 70 GiB for the cache, tensor parallel. Every token's K and V
    # are kept four times. 506 sequences of 9,240 tokens and 25 of 262,144 were measured.
    llm = Llm.model_validate(
        {
            "name": "hybrid",
            "layers": 92,
            "hidden_size": 8192,
            "parameters": {"attention": 1e9, "embedding": 1e9},
            "attention": [
                {
                    "kind": "grouped",
                    "layers": 23,
                    "heads": 64,
                    "kv_heads": 2,
                    "head_dimension": 256,
                },
                {
                    "kind": "recurrent",
                    "layers": 69,
                    "heads": 128,
                    "key_dimension": 128,
                    "value_dimension": 128,
                    "state_format": "bf16",
                    "convolution_elements": 3 * (2 * 16 * 128 + 128 * 128),
                },
            ],
        }
    )

    def sequences(model, tokens):
        caches = tuple(
            one
            for group in model.attention
            for one in (*group.cache(tokens, "fp8"), *group.state(1))
        )
        return 8 * 70 * 2**30 / placed_bytes(caches, Layout(8, 8, 1, 1), held=True)

    assert math.floor(sequences(llm, 9240)) == 514
    assert math.floor(sequences(llm, 262_144)) == 24
    assert sequences(llm, 9240) == pytest.approx(506, rel=0.03)
    fuller = llm.attention[1].model_copy(update={"state_format": "fp32"})
    wider = llm.model_copy(update={"attention": [llm.attention[0], fuller]})
    assert math.floor(sequences(wider, 9240)) == 412
