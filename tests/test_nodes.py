"""Racks of several nodes, and replicas that span scale-up domains over a network."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hbmopt
from builders import BARE_ENGINE, INSTANCES
from commands import invoke
from hbmopt.demand.alike import alike
from hbmopt.demand.coefficients import Demand, Segment, replica_data
from hbmopt.demand.configuration import (
    Configuration,
    Layout,
    enumerate_configurations,
    replica_sizes,
    why_not,
)
from hbmopt.demand.domains import replicas_at_most, stages_handed_over
from hbmopt.demand.traffic import messages_outside
from hbmopt.errors import InputError
from hbmopt.program.witness import ClockPoint, violations, work
from racks import brute_force, small_instances

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
LAYERS, HIDDEN, WIDTH = 10, 1000, 1000
GB_PER_S, LINK_GB_PER_S = 50, 450
MESSAGE_US = 10


def model(**changes):
    """Ten layers of attention and experts, 16 heads that every rank may share."""
    return {
        "name": "small",
        "layers": LAYERS,
        "hidden_size": HIDDEN,
        "parameters": {
            "attention": 1e9,
            "routed_experts": 2e9,
            "embedding": 1e8,
            "lm_head": 1e8,
        },
        "mixture": {"layers": LAYERS, "experts": 16, "active": 2, "expert_width": WIDTH},
        "attention": [
            {"kind": "grouped", "layers": LAYERS, "heads": 16, "kv_heads": 8, "head_dimension": 64}
        ],
    } | changes


def instance_of(llm=None, choices=None, **rack):
    """Two servers of eight H200 with round numbers for their links, but for what is named."""
    return hbmopt.load(
        {
            "name": "small",
            "rack": {
                "base": "hgx_h200",
                "nodes": 2,
                "scale_out_bandwidth": f"{GB_PER_S} GB/s",
                "scale_out_latency": f"{MESSAGE_US} us",
            }
            | rack,
            "llm": llm or model(),
            "workload": {"context": 4096},
            "limits": {"power_capped": False},
            "choices": {"kv_formats": ["bf16"], "clocks": [1.0]} | (choices or {}),
            "calibration": BARE_ENGINE,
        }
    )


def replica(instance, layout, batch=16.0):
    configuration = Configuration(layout, "bf16", "bf16", 0, (1.0,))
    return replica_data(instance, configuration, 1.0, Segment(batch, batch))


# Nodes


def test_every_total_is_that_of_all_nodes():
    rack = hbmopt.load("rubin_nvl72_lpx", {"rack.nodes": 3, "rack.offload.price": "1 MUSD"}).rack
    one = hbmopt.load("rubin_nvl72_lpx", {"rack.offload.price": "1 MUSD"}).rack
    assert one.nodes.amount == 1
    assert rack.all_accelerators == 3 * 72 == 3 * one.all_accelerators
    assert rack.all_static_kw == pytest.approx(3 * one.all_static_kw)
    assert one.all_static_kw == pytest.approx(
        float(one.static_power) + float(one.offload.static_power)
    )
    assert rack.all_provisioned_kw == pytest.approx(3 * one.all_provisioned_kw)
    assert rack.all_usd == pytest.approx(3 * (float(one.price) + 1e6))
    assert rack.domain == one.domain == 72


@pytest.mark.parametrize("name", ["h100", "deepseek_r1_h200", "gb200_nvl72", "rubin_nvl72_lpx"])
def test_nodes_make_as_many_times_what_one_makes(name):
    # Replicas fit into a node, and its provisioned power is the cap of each.
    alone = {"rack.scale_out_bandwidth": None}
    one, three = hbmopt.solve(name, alone), hbmopt.solve(name, alone | {"rack.nodes": 3})
    assert three.throughput_tok_s == pytest.approx(3 * one.throughput_tok_s, rel=1e-6)
    assert three.power_w == pytest.approx(3 * one.power_w, rel=1e-6)
    assert three.tok_s_per_mw == pytest.approx(one.tok_s_per_mw, rel=1e-6)
    assert three.accelerators == 3 * one.accelerators
    assert (one.nodes, three.nodes) == (1, 3)
    if hbmopt.load(name).power_cap_kw is not None:
        caps = [
            next(row.limit for row in solution.constraints if row.name == "power_cap")
            for solution in (one, three)
        ]
        assert caps[1] == pytest.approx(3 * caps[0])


@settings(max_examples=15, deadline=None, suppress_health_check=SLOW)
@given(small_instances(lpus=False), st.integers(2, 4))
def test_nodes_of_any_rack_make_no_less_than_as_many_racks(mapping, times):
    one = hbmopt.load(mapping)
    many = {"rack.nodes": times}
    if one.limits.power is not None:
        many["limits.power"] = f"{float(one.limits.power) * times!r} kW"
    single, several = hbmopt.solve(one), hbmopt.solve(one, many)
    # Pipelines may span nodes, and whole replicas fall better where a cap is shared.
    assert (several.throughput_tok_s or 0) >= (single.throughput_tok_s or 0) * times * (1 - 3e-6)
    plain = one.limits.power is None and one.choices.pipeline_parallel == [1]
    if plain and single.status == "optimal":
        assert several.throughput_tok_s == pytest.approx(single.throughput_tok_s * times, rel=3e-6)


def test_nodes_are_set_swept_written_and_loaded_again():
    command = ["sweep", "h200", "--vary", "rack.nodes=1,2,4", "--format", "jsonl"]
    rows = [json.loads(line) for line in invoke(*command).stdout.splitlines()]
    made = [row["throughput_tok_s"] for row in rows]
    assert made == pytest.approx([made[0], 2 * made[0], 4 * made[0]], rel=1e-6)
    four = hbmopt.load("h200", {"rack.nodes": 4})
    assert hbmopt.load(four, {"limits.min_speed": "30 tok/s"}).rack.all_accelerators == 32
    assert hbmopt.load({"rack": {"base": "hgx_h200", "nodes": 4}} | SMALL).rack == four.rack


SMALL = {"llm": "llama_3_1_8b", "workload": {"context": 8192}}


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("rack.racks", "rack.racks: unknown key 'racks'; did you mean 'nodes'?"),
        ("rack.servers", "rack.servers: unknown key 'servers'; did you mean 'nodes'?"),
        ("racks", "racks: unknown key 'racks'; did you mean 'rack.nodes'?"),
        ("nodes", "nodes: unknown key 'nodes'; did you mean 'rack.nodes'?"),
        ("rack.node", "rack.node: unknown key 'node'; did you mean 'nodes'?"),
    ],
)
def test_other_words_for_nodes_say_which_is_meant(key, hint):
    with pytest.raises(InputError) as error:
        hbmopt.load("h200", [f"{key}=4"])
    assert str(error.value) == f"--set {key}=4: {hint}"


def test_replicas_do_not_straddle_domains_they_fit_into():
    # Two threes fit into eight, with two left over that a node cannot lend.
    instance = instance_of(nodes=3)
    assert replicas_at_most(instance, Layout(3, 1, 1, 1), 0) == 6
    assert replicas_at_most(instance, Layout(8, 1, 1, 1), 0) == 3
    assert replicas_at_most(instance, Layout(16, 1, 1, 1), 0) == 1
    # Stages of four of a pipeline of three: two to a node, six in all.
    assert replicas_at_most(instance, Layout(12, 1, 1, 1, 3), 0) == 2
    within = instance_of(nodes=1, accelerators=20, scale_up_domain=8)
    assert replicas_at_most(within, Layout(4, 1, 1, 1), 0) == 5
    assert replicas_at_most(within, Layout(3, 1, 1, 1), 0) == 5


def test_lpus_serve_replicas_of_their_node():
    instance = hbmopt.load("rubin_nvl72_lpx", {"rack.nodes": 2})
    units = int(instance.rack.offload.units)
    # All LPUs of a node beside few accelerators, or half of them twice.
    assert replicas_at_most(instance, Layout(2, 2, 1, 1), units) == 2
    assert replicas_at_most(instance, Layout(2, 2, 1, 1), units // 2) == 4
    small = hbmopt.load(instance, {"rack.accelerators": 8})
    found, rejections = enumerate_configurations(small)
    assert max(one.layout.accelerators for one in found) == 16
    assert max(one.layout.accelerators for one in found if one.lpu_units) == 8
    assert "LPUs serve replicas inside one node only" in {one.reason for one in rejections}


# What figures of one node are worth


def capped(**changes):
    given = {"rack.nodes": 3, "choices.whole_sequences": False, "rack.power": "8 kW"}
    return hbmopt.load("h200", given | changes)


@pytest.mark.parametrize(
    ("key", "unit", "step"),
    [("rack.power", "kW", 1e-4), ("rack.static_power", "kW", 1e-4)],
)
def test_prices_of_figures_of_one_node_are_those_of_a_re_solve(key, unit, step):
    instance = capped()
    price = hbmopt.sensitivity(instance, only=key).number(key)
    now = instance.figure(tuple(key.split("."))).amount
    ends = [
        hbmopt.solve(instance, {key: f"{now + change!r} {unit}"}).throughput_tok_s
        for change in (step, -step)
    ]
    assert price.unit_price == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-3)
    assert price.unit_price != 0


def test_a_kw_of_the_cap_is_a_third_of_a_kw_of_every_node():
    instance = capped()
    solution = hbmopt.solve(instance)
    cap = next(one for one in solution.inputs if one.name == "power_cap")
    node = hbmopt.sensitivity(instance, only="rack.power").number("rack.power")
    assert cap.value == pytest.approx(24.0)
    assert cap.unit_price == pytest.approx(node.unit_price / 3, rel=1e-6)
    row = next(one for one in solution.constraints if one.name == "power_cap")
    assert row.unit_price == pytest.approx(cap.unit_price, rel=1e-5)
    raised = hbmopt.solve(instance, {"limits.power": "25 kW"}).throughput_tok_s
    assert cap.next_unit == pytest.approx(raised - solution.throughput_tok_s, rel=1e-6)


def test_another_node_is_solved_anew():
    found = hbmopt.sensitivity("h200", {"rack.nodes": 2}, only="rack.nodes", step=0.5)
    nodes = found.number("rack.nodes")
    assert nodes.unit_price is None
    assert nodes.up.value == 3
    assert nodes.up.change == pytest.approx(0.5, rel=1e-6)


def test_throughput_by_accelerator_and_price_is_that_of_one_node():
    price = {"rack.price": "300000 USD"}
    for per in ("accelerator", "usd"):
        one, two = (
            hbmopt.frontier("h200", price | {"rack.nodes": nodes}).to_dict() for nodes in (1, 2)
        )
        assert two["accelerators"] == 2 * one["accelerators"]
        texts = [
            invoke(
                *[
                    "frontier",
                    "h200",
                    "--per",
                    per,
                    "--format",
                    "csv",
                    "--set",
                    "rack.price=300000 USD",
                    "--set",
                    f"rack.nodes={nodes}",
                ]
            ).stdout
            for nodes in (1, 2)
        ]
        column = (
            texts[0]
            .splitlines()[0]
            .split(",")
            .index(next(name for name in texts[0].splitlines()[0].split(",") if "_per_" in name))
        )
        best = [
            max(float(line.split(",")[column]) for line in text.splitlines()[1:]) for text in texts
        ]
        assert best[0] == pytest.approx(best[1], rel=1e-6)


def test_a_plan_pays_for_every_node():
    import pyomo.environ as pyo

    block = hbmopt.rack_block(hbmopt.load("h200", {"rack.nodes": 2}), racks_at_most=3)
    block.racks.set_value(3)
    assert pyo.value(block.cost) == pytest.approx(3 * 2 * 330_000)


# Over the network: bytes, messages and layouts, worked by hand


def test_experts_on_two_nodes_send_half_of_their_tokens_over_the_network():
    # 16 ranks, 2 experts a token: it visits 16 (1 - (1 - 1/16)^2) = 1.9375 ranks, 15 of 16 of
    # them others. Of the 15 others 7 are in the same node and 8 in the other one. A visit takes
    # 1 byte there and 2 back per activation.
    data = replica(instance_of(), Layout(16, 1, 16, 16))
    visits = 16 * (1 - (1 - 1 / 16) ** 2) * 15 / 16
    sent = LAYERS * visits * 3 * WIDTH / 1e9
    assert data.scale_out.gb_per_sequence == pytest.approx(sent * 8 / 15)
    assert data.link_gb_per_sequence == pytest.approx(sent * 7 / 15)
    assert data.scale_out.tb_per_s == GB_PER_S / 1e3
    assert data.scale_out.attained == pytest.approx(0.8)


def test_a_ring_over_two_nodes_leaves_them_once_in_eight_hops():
    # All-reduces of 16 ranks send 2 x 15 h of 2 bytes, after attention and after the experts; of
    # the 16 hops of the ring 2 lead to the other node.
    instance = instance_of(choices={"tensor_parallel": [16]})
    layout = Layout(16, 16, 1, 1)
    data = replica(instance, layout)
    sent = 2 * LAYERS * 2 * 15 * 2 * HIDDEN / 1e9
    assert data.scale_out.gb_per_sequence == pytest.approx(sent / 8)
    assert data.link_gb_per_sequence == pytest.approx(sent * 7 / 8)
    # Of the 2 x 15 hops that an all-reduce waits for an eighth are messages to the other node.
    assert messages_outside(instance, layout) == pytest.approx(2 * 2 * 15 / 8)


def test_tensor_ranks_of_one_node_reduce_inside_it():
    # Pairs of ranks share attention: their all-reduces stay inside, what experts exchange does not.
    data = replica(instance_of(), Layout(16, 2, 16, 8))
    reduced = LAYERS * 2 * 1 * 2 * HIDDEN / 1e9
    visits = 16 * (1 - (1 - 1 / 16) ** 2) * 15 / 16
    sent = LAYERS * visits * 3 * WIDTH / 1e9
    assert data.scale_out.gb_per_sequence == pytest.approx(sent * 8 / 15)
    assert data.link_gb_per_sequence == pytest.approx(reduced + sent * 7 / 15)


def test_a_pipeline_hands_on_over_the_network_where_it_leaves_a_node():
    # Stages of four: two to a node, and of the three times that it hands on one is between nodes.
    instance = instance_of(choices={"pipeline_parallel": [4]})
    layout = Layout(16, 4, 1, 1, 4)
    data = replica(instance, layout)
    fuller = 3 / 2.5  # ten layers in four stages
    assert data.scale_out.gb_per_sequence == pytest.approx(fuller * 2 * HIDDEN / 1e9)
    reduced = 2 * LAYERS * 2 * 3 * 2 * HIDDEN
    assert data.link_gb_per_sequence == pytest.approx(fuller * (reduced + 2 * 2 * HIDDEN) / 1e9)


@pytest.mark.parametrize(
    ("stage", "stages", "times"), [(8, 2, 1), (4, 2, 0), (4, 3, 1), (4, 4, 1), (2, 8, 1), (2, 6, 2)]
)
def test_stages_fill_nodes_one_after_the_other(stage, stages, times):
    instance = instance_of()
    assert stages_handed_over(instance, Layout(stage * stages, 1, 1, 1, stages)) == times


def test_the_time_of_a_step_is_worked_by_hand():
    instance = instance_of()
    data = replica(instance, Layout(16, 1, 16, 16))
    done = work(data, ClockPoint(1.0, 1.0, 160.0, ()))
    visits = 16 * (1 - (1 - 1 / 16) ** 2) * 15 / 16
    sent = 160 * LAYERS * visits * 3 * WIDTH  # bytes of a step of 160 sequences
    over_network = sent * 8 / 15 / (16 * 0.8 * GB_PER_S * 1e9)
    over_links = sent * 7 / 15 / (16 * 0.271 * LINK_GB_PER_S * 1e9)
    assert done.times["scale_out"] == pytest.approx(1e3 * over_network)
    assert done.times["link"] == pytest.approx(1e3 * over_links)


def test_layers_beyond_a_domain_wait_as_measured_or_for_their_messages():
    def latency(message, layout=None):
        layout = layout or Layout(16, 1, 16, 16)
        instance = instance_of(scale_out_latency=message)
        return replica(instance, layout).fixed_latency_ms

    inside = replica(instance_of(), Layout(8, 1, 8, 8)).fixed_latency_ms
    doubling = LAYERS * 12.6e-3  # of exchanges over twice as many ranks
    measured = LAYERS * 76.7e-3
    assert latency("0 us") == pytest.approx(inside + doubling + measured)
    # Two messages of 10 us a layer are less than what was measured, two of 50 us are more.
    assert latency("10 us") == pytest.approx(latency("0 us"))
    assert latency("50 us") == pytest.approx(inside + doubling + LAYERS * 100e-3)
    pipeline = Layout(16, 8, 1, 1, 2)
    assert latency("50 us", pipeline) - latency("0 us", pipeline) == pytest.approx(30e-3)


def test_every_byte_that_is_sent_takes_its_energy():
    law = {"calibration.power_law.link": "10 pJ/B"}
    data = replica(hbmopt.load(instance_of(), law), Layout(16, 1, 16, 16))
    free = replica(instance_of(), Layout(16, 1, 16, 16))
    point = ClockPoint(1.0, 1.0, 160.0, ())
    sent = 160 * (data.link_gb_per_sequence + data.scale_out.gb_per_sequence)
    assert work(data, point).power_kw - work(free, point).power_kw == pytest.approx(0.01 * sent)


def test_the_witness_finds_a_network_that_is_exceeded():
    data = replica(instance_of(), Layout(16, 1, 16, 16))
    network = replace(data.scale_out, tb_per_s=1e-8)
    point = ClockPoint(1.0, 0.001, 0.16, ())
    assert violations([(data, point)])["scale_out"] == 0
    assert violations([(replace(data, scale_out=network), point)])["scale_out"] > 0


# Layouts


def test_stages_beyond_a_domain_are_whole_domains():
    assert replica_sizes(instance_of(nodes=3)) == [1, 2, 4, 8, 16, 24]
    assert replica_sizes(instance_of(nodes=3, scale_out_bandwidth=None)) == [1, 2, 4, 8]
    piped = instance_of(nodes=3, choices={"pipeline_parallel": [1, 3]})
    assert replica_sizes(piped) == [1, 2, 3, 4, 6, 8, 12, 16, 24]


@pytest.mark.parametrize(
    ("layout", "rack", "reason"),
    [
        (Layout(16, 1, 16, 16), {"scale_out_bandwidth": None}, "domain has 8 accelerators"),
        (Layout(12, 1, 12, 12), {}, "12 accelerators are not whole scale-up domains of 8"),
        (Layout(24, 1, 24, 24), {}, "the rack has 16 accelerators"),
        (Layout(16, 16, 1, 1), {}, "only where choices.tensor_parallel lists it"),
        (
            Layout(12, 4, 12, 3),
            {"accelerators": 6, "scale_up_domain": 6},
            "4 tensor ranks do not divide into scale-up domains of 6",
        ),
        (
            Layout(16, 1, 16, 16),
            {"nodes": 1, "accelerators": 20, "scale_up_domain": 16, "scale_out_bandwidth": None},
            None,
        ),
    ],
)
def test_layouts_beyond_a_domain_are_told_apart(layout, rack, reason):
    found = why_not(layout, instance_of(**rack))
    assert found == reason if reason is None else reason in found


def test_tensor_parallelism_leaves_a_domain_where_it_is_asked_to():
    dense = model(
        parameters={"attention": 1e9, "dense_ffn": 2e9, "embedding": 1e8, "lm_head": 1e8},
        mixture=None,
    )
    wide, _ = enumerate_configurations(instance_of(dense, choices={"tensor_parallel": [16]}))
    free, _ = enumerate_configurations(instance_of(dense))
    assert {one.layout.accelerators for one in wide} == {16}
    assert max(one.layout.accelerators for one in free) == 8


def test_a_domain_is_never_wider_than_a_node():
    assert instance_of(accelerators=4).rack.domain == 4
    assert instance_of(scale_up_domain=4).rack.domain == 4


def test_demands_of_many_layouts_are_those_of_each():
    instance = instance_of(choices={"pipeline_parallel": [1, 2, 4], "tensor_parallel": [1, 4, 16]})
    configurations, _ = enumerate_configurations(instance)
    spanning = 0
    for group in alike(instance, configurations):
        together = group.demand.whole_replica(1.0)
        at_most = group.each(group.demand.replicas_at_most)
        for place, one in enumerate(group.configurations):
            alone = Demand(instance, one)
            data = alone.whole_replica(1.0)
            assert at_most[place] == alone.replicas_at_most
            assert (together.scale_out is None) == (data.scale_out is None)
            for name in ("link_gb_per_sequence", "fixed_latency_ms"):
                found = group.each(getattr(together, name))[place]
                assert found == pytest.approx(getattr(data, name), rel=1e-12)
            if data.scale_out is not None:
                spanning += 1
                sent = group.each(together.scale_out.gb_per_sequence)[place]
                assert sent == pytest.approx(data.scale_out.gb_per_sequence, rel=1e-12)
    assert spanning > 5


# Answers


KIMI = {"llm": "kimi_k2_5", "choices.weight_formats": ["fp8"], "rack.nodes": 4}


def test_a_model_too_large_for_a_node_is_served_over_the_network():
    solution = hbmopt.solve("h200", KIMI)
    (one,) = solution.configurations
    assert one.accelerators > 8
    assert one.scale_up_domains == one.accelerators // 8
    assert one.step_breakdown_ms["scale_out"] > 0
    assert solution.certificate.violation <= 1e-6
    inputs = {each.name: each for each in solution.inputs}
    assert inputs["scale_out"].unit_price > 0
    rows = {each.name: each for each in solution.constraints}
    assert 0 < rows["scale_out"].usage < rows["scale_out"].limit == pytest.approx(0.05)
    # Without a network it stays inside of nodes, which have no room for as many sequences.
    inside = hbmopt.solve("h200", KIMI | {"rack.scale_out_bandwidth": None})
    assert (inside.throughput_tok_s or 0) < solution.throughput_tok_s


def test_the_price_of_the_network_is_that_of_a_re_solve():
    free = KIMI | {"choices.whole_sequences": False}
    solution = hbmopt.solve("h200", free)
    price = next(one for one in solution.inputs if one.name == "scale_out")
    ends = [
        hbmopt.solve("h200", free | {"rack.scale_out_bandwidth": f"{gb} GB/s"}).throughput_tok_s
        for gb in (50.05, 49.95)
    ]
    assert price.unit_price == pytest.approx((ends[0] - ends[1]) / 0.0001, rel=1e-3)
    study = hbmopt.sensitivity("h200", free, only="rack.scale_out_bandwidth")
    number = study.number("rack.scale_out_bandwidth")
    assert number.unit_price == pytest.approx(price.unit_price, rel=1e-6)


@st.composite
def networked(draw):
    """Small racks of one to four nodes with a network between them."""
    mapping = draw(small_instances(lpus=False))
    rack = mapping["rack"] | {
        "nodes": draw(st.sampled_from([2, 3, 4])),
        "accelerators": draw(st.sampled_from([1, 2])),
        "scale_out_bandwidth": f"{draw(st.integers(1, 100))} GB/s",
        "scale_out_latency": f"{draw(st.sampled_from([0, 5, 60]))} us",
    }
    choices = mapping["choices"]
    if draw(st.booleans()):
        choices = choices | {"tensor_parallel": [1, 2, 4, 8]}
    limits = {key: one for key, one in mapping["limits"].items() if key != "power"}
    return mapping | {"rack": rack, "choices": choices, "limits": limits}


@settings(max_examples=16, deadline=None, suppress_health_check=SLOW)
@given(networked())
def test_a_grid_reaches_the_optimum_over_a_network(mapping):
    instance = hbmopt.load(mapping)
    solution = hbmopt.solve(instance)
    reached = solution.throughput_tok_s or 0.0
    assert brute_force(instance) == pytest.approx(reached, rel=1e-8, abs=1e-6)
    if solution.feasible:
        assert solution.certificate.violation <= 1e-6


@settings(max_examples=12, deadline=None, suppress_health_check=SLOW)
@given(networked(), st.floats(1.0, 20.0))
def test_more_network_never_hurts(mapping, factor):
    instance = hbmopt.load(mapping)
    more = instance.scaled(("rack", "scale_out_bandwidth"), factor)
    before, after = hbmopt.solve(instance), hbmopt.solve(more)
    assert (after.throughput_tok_s or 0) >= (before.throughput_tok_s or 0) * (1 - 3e-6)


# Words


def test_answers_name_nodes_in_their_headings():
    solve = invoke(*["solve", "h200", "--set", "rack.nodes=4"]).stdout
    assert "on 4 nodes of 8 NVIDIA H200 SXM 141 GB (32 accelerators)" in " ".join(solve.split())
    checked = invoke(
        *["check", "h200", "--batch", "1000", "--speed", "20", "--set", "rack.nodes=4"]
    )
    assert "4 nodes of 8 NVIDIA H200" in checked.stdout
    frontier = invoke(*["frontier", "h200", "--set", "rack.nodes=4"]).stdout
    assert "4 nodes of 8 NVIDIA H200" in frontier
    racks = hbmopt.load("gb200_nvl72", {"rack.nodes": 2}).rack
    assert racks.in_words == "2 nodes of 72 NVIDIA GB200"
    assert "nodes of" not in invoke(*["solve", "h200"]).stdout


def about_figures(notes):
    """Return the notes on figures of the rack, without those on formats of weights."""
    return tuple(one for one in notes if one.startswith("rack."))


def test_figures_of_another_number_of_accelerators_are_noted():
    solution = hbmopt.solve("h200", {"rack.accelerators": 32})
    (note,) = about_figures(solution.notes)
    stale = "rack.static_power, rack.power and rack.price"
    assert note.startswith(
        f"rack.accelerators is 32, but {stale} are still what hgx_h200 has for 8"
    )
    assert "use rack.nodes=4 for 4 of them" in note
    assert f"set {stale} too" in note
    assert json.loads(json.dumps(solution.to_dict()))["notes"] == list(solution.notes)
    table = " ".join(invoke(*["solve", "h200", "--set", "rack.accelerators=32"]).stdout.split())
    assert f"Note: {note}" in table
    odd = hbmopt.solve("h200", {"rack.accelerators": 6, "rack.power": "8 kW"}).notes
    odd = about_figures(odd)
    assert "rack.static_power and rack.price are still" in odd[0]
    assert "take whole ones with rack.nodes" in odd[0]
    compared = hbmopt.compare(["h200", "h100"], {"rack.accelerators": 16})
    assert sum("rack.accelerators is 16" in one for one in compared.notes) == 2
    claim = hbmopt.check("h200", 100, 20, overrides={"rack.accelerators": 16})
    assert any("use rack.nodes=2" in one for one in claim.notes)


@pytest.mark.parametrize("path", sorted(INSTANCES.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_ships_has_figures_that_fit_together(path):
    from hbmopt.results import notes_of

    assert about_figures(notes_of(hbmopt.load(path))) == ()
    assert about_figures(notes_of(hbmopt.load(path, {"rack.nodes": 3}))) == ()


def test_all_figures_changed_along_leave_nothing_to_note():
    given = {"rack.static_power": "9 kW", "rack.power": "20 kW", "rack.price": "600000 USD"}
    solved = hbmopt.solve("h200", {"rack.accelerators": 16} | given)
    assert about_figures(solved.notes) == ()


def test_what_is_infeasible_on_one_node_may_be_cured_by_more_of_them():
    text = invoke(
        *[
            "explain",
            "deepseek_r1_h200",
            "--set",
            "choices.weight_formats=[bf16]",
            "--set",
            "choices.replica_accelerators=null",
        ]
    ).stdout
    assert "--set rack.nodes=2" in text
