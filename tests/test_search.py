"""The search stops, and says how far it got."""

import time

import hbmopt
from builders import INSTANCES
from hbmopt.plan.one_rack import solution_of
from hbmopt.points.configuration_search import search
from hbmopt.results.prices import hardware_inputs


def test_a_flat_optimum_ends_with_a_stated_gap():
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
    assert 1e-6 < found.gap <= 1e-3
    assert found.nodes < 5_000
    solution = solution_of(instance, found, time.perf_counter())
    assert solution.certificate.piecewise_error == found.gap


def test_a_search_of_some_configurations_finds_no_better_plan_than_the_whole():
    instance = hbmopt.load(INSTANCES / "h200.yaml")
    whole = search(instance)
    for configuration in whole.configurations[:6]:
        part = search(instance, only=[configuration])
        if part.plan is not None:
            assert part.plan.throughput <= whole.plan.throughput * (1 + 1e-6)
            assert part.plan.configuration == configuration


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
