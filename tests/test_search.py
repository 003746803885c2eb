"""The search: one best plan, which HiGHS confirms."""

import time

import pytest

import hbmopt
from builders import INSTANCES
from hbmopt.plan import best_point, found_at, search
from hbmopt.results import solution_of
from hbmopt.results.prices import hardware_inputs


def test_a_flat_optimum_ends_without_a_gap():
    # With full overlap the LPUs hide so much that a wide range of batches is as good.
    instance = hbmopt.load(
        {
            "rack": {"base": "vr_nvl72", "offload": "lpx"},
            "llm": "deepseek_r1",
            "workload": {"context": 4096},
            "limits": {"min_speed": "50 tok/s/user"},
            "choices": {"replica_accelerators": [8]},
            "calibration": {"overlap": 1},
        }
    )
    found = search(instance)
    assert found.gap <= 1e-9
    assert found.evaluated < 50_000
    solution = solution_of(instance, found, time.perf_counter())
    assert solution.certificate.piecewise_error == found.gap
    assert solution.certificate.nodes == found.evaluated


def test_a_point_that_is_known_is_solved_to_the_plan_of_the_search():
    instance = hbmopt.load(INSTANCES / "rubin_nvl72_lpx.yaml")
    point = best_point(instance)
    searched, known = search(instance), found_at(instance, point)
    assert searched.point == known.point == point
    assert known.plan.throughput == searched.plan.throughput
    assert known.plan.throughput == pytest.approx(point.throughput, rel=1e-9)


def test_the_plan_of_a_chip_that_heats_runs_at_a_clock_that_is_as_fast():
    # Caches are read as fast at either clock; the full one draws more than the chip may.
    chip = {
        "name": "chip",
        "hbm_capacity": "24 GB",
        "hbm_bandwidth": "1 TB/s",
        "peak_flops": {"bf16": "100 TFLOP/s"},
        "tdp": "700 W",
        "scale_up_bandwidth": "50 GB/s",
    }
    lpu = {
        "name": "lpu",
        "sram_capacity": "0.2 GB",
        "sram_bandwidth": "100 TB/s",
        "peak_flops": {"bf16": "500 TFLOP/s"},
        "tdp": "200 W",
        "link_bandwidth": "1 GB/s",
        "layer_latency": "3 us",
        "hop_latency": "2 us",
    }
    heads = {"kind": "grouped", "layers": 24, "heads": 32, "kv_heads": 4, "head_dimension": 128}
    instance = hbmopt.load(
        {
            "rack": {
                "name": "one",
                "accelerator": chip,
                "accelerators": 1,
                "static_power": "1 kW",
                "offload": {"device": lpu, "units": 8, "static_power": "0.1 kW"},
            },
            "llm": {
                "name": "small",
                "layers": 24,
                "hidden_size": 4096,
                "parameters": {"attention": 0.5e9, "embedding": 0.3e9, "lm_head": 0.3e9},
                "attention": [heads],
            },
            "workload": {"context": 65536},
            "choices": {"clocks": [1.0, 0.7], "lpu_units": [8]},
            "calibration": {"overlap": 0.5},
        }
    )
    found = search(instance)
    assert [run.clock for run in found.point.parts] == [0.7]
    assert found.plan.violation <= 1e-9


def test_a_rack_on_which_branch_and_bound_has_no_proof_gets_a_verdict():
    # Steps take seconds here and the floor asks for milliseconds: numbers far apart.
    chip = {
        "name": "chip",
        "hbm_capacity": "21.15 GB",
        "hbm_bandwidth": "17 TB/s",
        "peak_flops": {"bf16": "1131 TFLOP/s"},
        "tdp": "1.6 kW",
        "scale_up_bandwidth": "0.12 TB/s",
    }
    lpu = {
        "name": "lpu",
        "sram_capacity": "4 GB",
        "sram_bandwidth": "117 TB/s",
        "peak_flops": {"bf16": "808 TFLOP/s"},
        "tdp": "285 W",
        "link_bandwidth": "154.4 GB/s",
        "layer_latency": "3 us",
        "hop_latency": "3 us",
    }
    heads = {"kind": "grouped", "layers": 10, "heads": 24, "kv_heads": 24, "head_dimension": 128}
    mapping = {
        "rack": {
            "name": "two",
            "accelerator": chip,
            "accelerators": 2,
            "static_power": "1 kW",
            "offload": {"device": lpu, "units": 1},
        },
        "llm": {
            "name": "small",
            "layers": 12,
            "hidden_size": 2048,
            "mixers": 10,
            "parameters": {"attention": 3.566e9, "embedding": 0, "lm_head": 0.229e9},
            "attention": [heads],
        },
        "workload": {"prompt": 131072, "output": 1, "prefill": "shared"},
        "limits": {"min_speed": "150 tok/s/user"},
    }
    solution = hbmopt.solve(mapping)
    assert solution.status == "infeasible"
    assert "the speed floor of 150 tok/s/user" in solution.conflict.summary
    slow = hbmopt.solve(mapping, {"limits.min_speed": "0.1 tok/s/user"})
    assert slow.status == "optimal"
    assert slow.certificate.piecewise_error <= 1e-9


def test_a_search_of_some_configurations_finds_no_better_plan_than_the_whole():
    instance = hbmopt.load(INSTANCES / "h200.yaml")
    whole = search(instance)
    for configuration in whole.configurations[:6]:
        part = search(instance, only=[configuration])
        if part.point is not None:
            assert part.plan.throughput <= whole.plan.throughput * (1 + 1e-9)
            assert part.point.configuration == configuration


def test_the_price_of_lpu_latency_is_that_of_one_more_microsecond_per_visit():
    free = {"choices.whole_sequences": False, "limits.min_speed": "100 tok/s/user"}
    path = INSTANCES / "rubin_nvl72_lpx.yaml"
    at = hbmopt.solve(hbmopt.load(path, free))
    price = next(one for one in at.inputs if one.name == "lpu_latency")
    device = hbmopt.load(path).rack.offload.device
    layer_us = float(device.layer_latency) * 1e3
    ends = [
        hbmopt.solve(
            hbmopt.load(path, free | {"rack.offload.device.layer_latency": f"{layer_us + step} us"})
        ).throughput_tok_s
        for step in (-0.01, 0.01)
    ]
    assert price.unit_price_unit == "tok/s per us per visit"
    assert abs(price.unit_price - (ends[1] - ends[0]) / 0.02) <= 1e-3 * abs(price.unit_price) + 1e-3
    assert {one.name for one in hardware_inputs(hbmopt.load(path), lpus=True)} >= {"lpu_latency"}
