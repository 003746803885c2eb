"""Sessions: where caches wait between turns, what moves, and the CPU work of tools."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbmopt
from builders import ROOT, executed_examples
from hbmopt.demand import Configuration, Layout, kept_cache, sequence_cache
from hbmopt.documents import catalogue
from hbmopt.errors import InputError
from hbmopt.fleet import Sessions, narrowest_configuration, session_numbers
from hbmopt.instance import numbers_of
from hbmopt.results.provenance import estimates

BESIDE = {
    "host": {
        "cpus": 2,
        "cores": 100,
        "core_power": "5 W",
        "memory": "2 TB",
        "memory_bandwidth": "400 GB/s",
        "energy_per_byte": "20 pJ/bit",
    },
    "storage": {
        "capacity": "30 TB",
        "read_bandwidth": "40 GB/s",
        "write_bandwidth": "20 GB/s",
        "power": "100 W",
    },
}
"""What stands beside eight accelerators, in round numbers."""


def written_out(beside=BESIDE, **workload):
    """10,000 tokens of 100 kB each at the end of a turn, which is 1 GB, on eight accelerators."""
    return hbmopt.load(
        {
            "name": "sessions",
            "rack": {
                "name": "eight",
                "accelerator": {
                    "name": "chip",
                    "hbm_capacity": "80 GB",
                    "hbm_bandwidth": "3 TB/s",
                    "peak_flops": {"bf16": "1000 TFLOP/s"},
                    "tdp": "1 kW",
                    "scale_up_bandwidth": "400 GB/s",
                },
                "accelerators": 8,
                "static_power": "2 kW",
                **beside,
            },
            "llm": {
                "name": "round",
                "layers": 50,
                "hidden_size": 1000,
                # 10 G weights; 2 B x 50 layers x 10 heads x (50 + 50) = 100 kB of cache a token.
                "parameters": {"attention": 1e10, "embedding": 0, "lm_head": 1},
                "attention": [
                    {
                        "kind": "grouped",
                        "layers": 50,
                        "heads": 10,
                        "kv_heads": 10,
                        "head_dimension": 50,
                    }
                ],
            },
            "workload": {"prompt": 9000, "output": 1000, "prefix_hit_rate": 0.9} | workload,
            "limits": {"min_speed": "50 tok/s"},
            "choices": {"kv_formats": ["bf16"], "clocks": [1.0]},
            "calibration": {
                "base": "spec_sheet",
                "hbm_usable": 1.0,
                "efficiency": {"prefill": 0.5},
            },
        }
    )


SESSIONS = {
    "turns": 10,
    "thinking_time": "100 s",
    "resume": "0.3 s",
    "tools": {"tokens_between": 250, "time": "2 s", "cpu_time": "0.5 s"},
}
ALONE = Configuration(Layout(1, 1, 1, 1), "bf16", "bf16", 0, (1.0,))
INSTANCE = written_out()


def sessions(**changes):
    return Sessions.model_validate(SESSIONS | changes)


def test_every_number_of_the_example_is_that_of_the_hand():
    found = session_numbers(INSTANCE, sessions())
    assert narrowest_configuration(INSTANCE) == ALONE
    assert found == session_numbers(INSTANCE, sessions(), ALONE)
    assert found.output_tokens == 1000
    assert found.active_s == 1000 / 50
    assert found.context_tokens == 9000 + 1000
    assert found.new_tokens == pytest.approx(900 + 1000)
    assert found.cache_gb == pytest.approx(10_000 * 100e3 / 1e9)
    assert found.cache_hbm_gb == pytest.approx(1.0)
    # A call after every 250 tokens; five stretches of 4 s, each with 380 new tokens, 38 MB.
    assert found.tool_calls == 1000 / 250
    assert found.core_s == 4 * 0.5
    assert found.core_joule == pytest.approx(2.0 * 5)
    thinking, tools = found.pauses
    assert (thinking.kind, thinking.per_turn, thinking.seconds) == ("thinking", 0.9, 100.0)
    assert (tools.kind, tools.per_turn, tools.seconds) == ("tools", 4.0, 2.0)
    assert (thinking.idle_s, tools.idle_s) == (90.0, 8.0)

    expected = {
        # held GB, written GB, read GB, busy node s, joule, prompt tokens, s until it is back
        ("thinking", "hbm"): (90, 0, 0, 0, 0, 0, 0),
        ("thinking", "host"): (93.6, 0.038, 0.9, 0.938 / 400, 0.938 * 0.16, 0, 1 / 50),
        ("thinking", "storage"): (93.6, 0.038, 0.9, 0.0244, 2.44, 0, 1 / 5),
        ("thinking", "recompute"): (0, 0, 0, 0, 0, 9000, 0.41),
        ("tools", "hbm"): (8, 0, 0, 0, 0, 0, 0),
        ("tools", "host"): (24, 0.152, 4, 4.152 / 400, 4.152 * 0.16, 0, 1 / 50),
        ("tools", "storage"): (24, 0.152, 4, 0.1076, 10.76, 0, 1 / 5),
        ("tools", "recompute"): (0, 0, 0, 0, 0, 40_000, 0.41),
    }
    listed = {(pause.kind, one.kind): one for pause in found.pauses for one in pause.places}
    assert listed.keys() == expected.keys()
    for key, numbers in expected.items():
        one = listed[key]
        assert (
            one.held_gb,
            one.written_gb,
            one.read_gb,
            one.busy_node_s,
            one.joule,
            one.prompt_tokens,
            one.back_s,
        ) == pytest.approx(numbers), key
        # 205 TFLOP at half of 1,000 TFLOP/s are 0.41 s, more than the limit of 0.3 s.
        assert one.within_limit == (key[1] != "recompute")
        assert thinking.place(key[1]) is not None
    assert [one.kind for one in thinking.allowed] == ["hbm", "host", "storage"]
    assert len(found.ways) == 9
    assert all(a in thinking.allowed and b in tools.allowed for a, b in found.ways)


times = st.floats(0.0, 1e5)


@settings(max_examples=40, deadline=None)
@given(times, times, st.one_of(st.none(), st.integers(2, 50)))
def test_more_thinking_never_keeps_less_and_moves_the_same(one, other, turns):
    shorter, longer = (
        session_numbers(INSTANCE, sessions(thinking_time=f"{seconds} s", turns=turns), ALONE)
        for seconds in sorted((one, other))
    )
    for before, after in zip(shorter.pauses, longer.pauses, strict=True):
        assert before.idle_s <= after.idle_s
        for less, more in zip(before.places, after.places, strict=True):
            assert less.held_gb <= more.held_gb
            assert replace(less, held_gb=0.0) == replace(more, held_gb=0.0)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_place_beyond_the_limit_is_excluded_and_hbm_never_is(one, other):
    tight, loose = (
        session_numbers(INSTANCE, sessions(resume=f"{seconds} s"), ALONE)
        for seconds in sorted((one, other))
    )
    for pause, wider in zip(tight.pauses, loose.pauses, strict=True):
        assert pause.places[0].kind == "hbm"
        assert pause.places[0] in pause.allowed
        for place in pause.places:
            assert (place in pause.allowed) == (place.back_s <= min(one, other))
        assert {one.kind for one in pause.allowed} <= {one.kind for one in wider.allowed}
    unlimited = session_numbers(INSTANCE, sessions(resume=None), ALONE)
    assert all(pause.allowed == pause.places for pause in unlimited.pauses)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 500.0), st.integers(0, 100), st.integers(1, 5000))
def test_new_tokens_are_written_once_however_often_a_turn_waits(calls, hits, output):
    instance = written_out(output=output, prefix_hit_rate=hits / 100)
    tools = {"per_turn": calls, "time": "2 s"}
    found = session_numbers(instance, sessions(turns=None, tools=tools), ALONE)
    written = sum(pause.place("host").written_gb for pause in found.pauses)
    assert written == pytest.approx(found.new_tokens * 100e3 / 1e9)
    read = sum(pause.place("host").read_gb for pause in found.pauses)
    assert read == pytest.approx((1 + calls) * found.cache_gb)
    # The copy in a tier stays all the time: while the session waits, and while it decodes.
    held = sum(pause.place("host").held_gb for pause in found.pauses)
    assert held == pytest.approx((100 + 2 * calls + found.active_s) * found.cache_gb)


@pytest.mark.parametrize(
    ("beside", "kinds"),
    [
        ({}, ["hbm", "recompute"]),
        ({"host": BESIDE["host"]}, ["hbm", "host", "recompute"]),
        ({"storage": BESIDE["storage"]}, ["hbm", "storage", "recompute"]),
        ({"host": {"cpus": 2, "cores": 64}}, ["hbm", "recompute"]),
    ],
)
def test_a_rack_has_the_places_that_it_says(beside, kinds):
    instance = written_out(beside)
    found = session_numbers(instance, sessions())
    assert [one.kind for one in found.pauses[0].places] == kinds
    assert found.pauses[0].place("host") is None or "host" in kinds
    assert found.core_s == 2.0
    assert (found.core_joule > 0) == ("host" in beside)
    assert (instance.rack.all_host_gb > 0) == ("host" in kinds)
    assert (instance.rack.all_cores > 0) == ("host" in beside)


def test_nodes_multiply_what_stands_beside_and_not_what_a_session_takes():
    alone, together = INSTANCE, hbmopt.load(INSTANCE, {"rack.nodes": 3})
    for name in ("all_cores", "all_host_gb", "all_storage_gb"):
        assert getattr(together.rack, name) == 3 * getattr(alone.rack, name) > 0
    assert session_numbers(together, sessions(), ALONE) == session_numbers(alone, sessions(), ALONE)


def test_ranks_that_repeat_a_cache_keep_copies_in_hbm_and_one_elsewhere():
    instance = hbmopt.load(
        {
            "rack": "dgx_h100",
            "llm": "deepseek_r1",
            "workload": {"prompt": 9500, "output": 500},
            "limits": {"min_speed": "20 tok/s"},
        }
    )
    wide = Configuration(Layout(8, 8, 8, 1), "fp8", "fp8", 0, (1.0,))
    narrow = Configuration(Layout(8, 1, 8, 8), "fp8", "fp8", 0, (1.0,))
    eight, one = (session_numbers(instance, sessions(), used) for used in (wide, narrow))
    once = 10_000 * 61 * 576 / 1e9
    assert eight.cache_gb == one.cache_gb == pytest.approx(once)
    assert eight.cache_hbm_gb == pytest.approx(8 * once)
    assert one.cache_hbm_gb == pytest.approx(once)
    back = [each.pauses[0].place("host").back_s for each in (eight, one)]
    # 504 GB/s are 63 GB/s of each accelerator.
    assert back == pytest.approx([once / 504, once / 63])


def test_a_pipeline_keeps_room_for_its_fullest_stage():
    used = replace(ALONE, layout=Layout(3, 1, 1, 1, pipeline_parallel=3))
    kept = kept_cache(INSTANCE, used, 10_000)
    assert kept.once == pytest.approx(1.0)
    assert kept.in_hbm == pytest.approx(3 * 17 / 50)


@pytest.mark.parametrize("llm", ["gpt_oss_120b", "jamba_v0_1", "deepseek_v3_2", "qwen3_32b"])
def test_what_waits_is_what_a_step_holds_without_the_tokens_in_flight(llm):
    instance = hbmopt.load(
        {
            "rack": "dgx_h100",
            "llm": llm,
            "workload": {"context": 20_000},
            "calibration": {"base": "universal", "page_tokens": 1, "prompt_chunk": 0},
        }
    )
    used = Configuration(Layout(4, 4, 1, 1), instance.llm.native_format, "fp8", 0, (1.0,))
    kept = kept_cache(instance, used, 20_000)
    assert kept.in_hbm == pytest.approx(sequence_cache(instance, used).held)
    assert kept.once <= kept.in_hbm


def test_states_are_written_whole_after_every_stretch():
    instance = hbmopt.load(
        {
            "rack": "gb200_nvl72",
            "llm": "jamba_v0_1",
            "workload": {"prompt": 9500, "output": 500, "prefix_hit_rate": 0.9},
            "limits": {"min_speed": "20 tok/s"},
        }
    )
    used = narrowest_configuration(instance)
    found = session_numbers(instance, sessions(turns=None, tools=None), used)
    states = instance.llm.state_bytes() / 1e9
    assert states > 0
    grown = instance.llm.held_bytes(found.new_tokens, used.kv_format) / 1e9
    assert found.pauses[0].place("host").written_gb == pytest.approx(states + grown)


def test_a_session_of_one_turn_waits_for_tools_alone():
    found = session_numbers(INSTANCE, sessions(turns=1), ALONE)
    assert [pause.kind for pause in found.pauses] == ["tools"]
    assert found.ways == tuple((one,) for one in found.pauses[0].allowed)
    nothing = session_numbers(INSTANCE, sessions(turns=1, tools=None), ALONE)
    assert (nothing.pauses, nothing.ways) == ((), ((),))
    endless = session_numbers(INSTANCE, sessions(turns=None), ALONE)
    assert endless.pauses[0].per_turn == 1.0


def test_a_context_of_its_own_is_what_waits():
    found = session_numbers(INSTANCE, sessions(context=1500), ALONE)
    assert found.cache_gb == pytest.approx(0.15)
    assert found.new_tokens == 1500
    assert found.pauses[0].place("recompute").prompt_tokens == pytest.approx(0.9 * 1500)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workload": {"context": 10_000}}, "`workload.prompt` and `workload.output`"),
        ({"limits.min_speed": "0 tok/s"}, "set limits.min_speed"),
        ({"llm.parameters.attention": 1e13}, "no configuration of round fits in the HBM of eight"),
    ],
)
def test_what_is_missing_is_said_in_one_line(changes, said):
    with pytest.raises(InputError) as raised:
        session_numbers(hbmopt.load(INSTANCE, changes), sessions())
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tools": {"time": "1 s"}}, "either `per_turn` or `tokens_between`"),
        (
            {"tools": {"time": "1 s", "per_turn": 1, "tokens_between": 9}},
            "either `per_turn` or `tokens_between`",
        ),
        ({"think_time": "1 s"}, "did you mean 'thinking_time'"),
        ({"turns": 0}, "must be more than 0"),
    ],
)
def test_sessions_that_make_no_sense_are_refused(changes, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        sessions(**changes)


def test_host_memory_without_its_bandwidth_is_refused_where_it_stands():
    with pytest.raises(InputError, match=r"rack\.host.*belong together"):
        written_out({"host": {"cpus": 2, "cores": 64, "memory": "2 TB"}})


def test_what_no_step_uses_is_no_input_of_an_answer():
    for name in ("gb200_nvl72", "h100"):
        instance = hbmopt.load(name)
        assert instance.rack.host is not None
        listed = [one.name for one in numbers_of(instance)]
        listed += [one.input for one in estimates(instance, lpus=True)]
        assert listed
        assert not [one for one in listed if one.startswith(("rack.host", "rack.storage"))]


RACKS = {
    name: hbmopt.load({"rack": name, "llm": "llama_3_1_8b", "workload": {"context": 1000}}).rack
    for name in catalogue.names("racks")
}


def test_parts_of_the_catalogue_fit_together():
    with_host = {name for name, rack in RACKS.items() if rack.host is not None}
    named = {"gb200_nvl72", "gb300_nvl72", "vr_nvl72", "dgx_h100", "hgx_h200", "helios"}
    assert named <= with_host
    for name in with_host:
        rack = RACKS[name]
        assert float(rack.host.cores) % float(rack.host.cpus) == 0, name
        if rack.host.memory is not None:
            # Between the accelerators and host memory there is less than HBM has.
            together = float(rack.accelerators) * float(rack.accelerator.hbm_bandwidth)
            assert float(rack.host.memory_bandwidth) < together / 10, name
    for name in {name for name, rack in RACKS.items() if rack.storage is not None}:
        storage = RACKS[name].storage
        assert float(storage.write_bandwidth) <= float(storage.read_bandwidth), name
        assert float(storage.read_bandwidth) < float(RACKS[name].host.memory_bandwidth), name
    grace = RACKS["gb200_nvl72"]
    assert grace.all_cores == 36 * 72
    assert grace.all_host_gb == 36 * 480


def test_the_arithmetic_of_the_document_is_what_it_prints():
    text = (ROOT / "docs" / "kv_tiers.md").read_text(encoding="utf-8")
    assert executed_examples(text) == 6
