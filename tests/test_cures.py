"""Infeasible instances of many causes: the conflict is right, and the smallest changes cure."""

import numpy as np
import pytest

import hbmopt
from builders import INSTANCES
from conflict_reference import fastest, thriftiest
from hbmopt.instance.levers import (
    budget_levers,
    memory_levers,
    pace_levers,
    power_levers,
    rate_levers,
    workload_levers,
)
from hbmopt.plan import best_point, search
from hbmopt.points import TargetSearch, one_replica
from hbmopt.results import explain_conflict, point_use
from hbmopt.results.infeasibility import fixed_power
from hbmopt.studies.conflict.cures import cures_of_infeasible

SMALL_SRAM = {"base": "lpx", "units": 8}
NICS = {"name": "nics", "capacity": 4, "fixed": 3, "per_accelerator": 2}
CPU = {"name": "cpu", "unit": "cores", "capacity": 4, "per_token": 0.5}

CASES = {
    "weights exceed HBM": (
        "a100",
        {"llm": "deepseek_r1", "choices": {"weight_formats": ["bf16"]}},
        {"hbm_capacity"},
        {"rack.accelerator.hbm_capacity"},
    ),
    "weights exceed HBM, and a narrower format does not": (
        "h200",
        {
            "llm": "deepseek_r1",
            "choices": {"weight_formats": ["bf16"]},
            "limits.min_speed": "9 tok/s",
        },
        {"hbm_capacity"},
        {"rack.accelerator.hbm_capacity", "choices.weight_formats"},
    ),
    "one sequence exceeds HBM": (
        "h100",
        {"workload": {"context": 4_000_000}, "limits.min_speed": "2 tok/s"},
        {"hbm_capacity"},
        {"rack.accelerator.hbm_capacity", "workload.context", "choices.kv_formats"},
    ),
    "the reserve for one long sequence exceeds HBM": (
        "h100",
        {"workload": {"context": 8192, "capacity_context": 4_000_000}},
        {"hbm_capacity"},
        {"rack.accelerator.hbm_capacity", "workload.capacity_context", "choices.kv_formats"},
    ),
    "the reserve of the engine is in the way": (
        "h100",
        {
            "choices": {"weight_formats": ["fp8"], "replica_accelerators": [1]},
            "workload": {"context": 20_000},
            "limits.min_speed": "9 tok/s",
        },
        {"hbm_capacity"},
        {"calibration.hbm_usable", "rack.accelerator.hbm_capacity", "choices.replica_accelerators"},
    ),
    "layouts do not divide": (
        "h100",
        {"choices.tensor_parallel": [3]},
        {"choices"},
        {"choices.tensor_parallel"},
    ),
    "replicas larger than the rack": (
        "h100",
        {"choices.replica_accelerators": [16]},
        {"choices"},
        {"choices.replica_accelerators", "rack.accelerators"},
    ),
    "static power alone": (
        "gb200_nvl72",
        {"limits.power": "40 kW", "choices.replica_accelerators": [4, 8]},
        {"power_cap"},
        {"limits.power", "rack.static_power"},
    ),
    "static power alone, whatever is drawn": (
        "gb200_nvl72",
        {"limits.power": "10 kW", "choices.replica_accelerators": [4, 8]},
        {"power_cap"},
        {"limits.power"},
    ),
    "one replica draws too much": (
        "gb200_nvl72",
        {"limits.power": "57 kW", "choices.replica_accelerators": [4, 8]},
        {"power_cap"},
        {"limits.power", "rack.static_power", "calibration.power_law.idle"},
    ),
    "power at the floor": (
        "gb200_nvl72",
        {
            "limits.power": "62.35 kW",
            "limits.min_speed": "80 tok/s/user",
            "choices.replica_accelerators": [4, 8],
        },
        {"power_cap", "min_speed"},
        {"limits.power", "limits.min_speed", "rack.static_power"},
    ),
    "power in the facility": (
        "h100",
        {"limits.power": "9 kW", "limits.power_scope": "facility", "limits.pue": 1.8},
        {"power_cap"},
        {"limits.power", "limits.pue", "rack.static_power"},
    ),
    "floor too high for latency": (
        "h100",
        {"limits.min_speed": "130 tok/s/user", "choices.weight_formats": ["fp8"]},
        {"min_speed", "step_time"},
        {"limits.min_speed", "calibration.latency.per_layer"},
    ),
    "floor too high for bandwidth": (
        "closed_form",
        {"limits.min_speed": "200 tok/s/user"},
        {"min_speed", "hbm_bandwidth"},
        {"limits.min_speed", "rack.accelerator.hbm_bandwidth"},
    ),
    "floor too high for arithmetic": (
        "closed_form",
        {"limits.min_speed": "100 tok/s/user", "rack.accelerator.peak_flops.bf16": "1 TFLOP/s"},
        {"min_speed", "compute"},
        {"limits.min_speed", "rack.accelerator.peak_flops.bf16"},
    ),
    "floor too high for a long context": (
        "h200",
        {
            "llm": "llama_3_1_70b",
            "limits.min_speed": "40 tok/s",
            "workload": {"context": 4_000_000},
        },
        {"min_speed", "step_time"},
        {"limits.min_speed", "workload.context", "rack.accelerator.hbm_bandwidth"},
    ),
    "a budget per accelerator": (
        "h100",
        {"limits.budgets": [NICS]},
        {"nics"},
        {"limits.budgets.0.capacity"},
    ),
    "a budget per token": (
        "h100",
        {"limits.budgets": [CPU]},
        {"cpu", "min_speed"},
        {"limits.budgets.0.capacity", "limits.min_speed"},
    ),
    "full clock only": (
        "h100",
        {"limits.power": "5.7 kW", "choices.clocks": [1.0], "choices.weight_formats": ["fp8"]},
        {"power_cap"},
        {"limits.power", "rack.static_power"},
    ),
    "LPUs hold too little": (
        "rubin_nvl72",
        {
            "rack": {"base": "vr_nvl72", "offload": SMALL_SRAM},
            "limits.min_speed": "650 tok/s/user",
            "choices.replica_accelerators": [1],
            "choices.lpu_units": [8],
        },
        {"min_speed", "step_time", "sram_capacity"},
        {"limits.min_speed", "rack.offload.device.sram_capacity"},
    ),
    "LPUs are too few for the speed": (
        "rubin_nvl72_lpx",
        {"limits.min_speed": "1000 tok/s/user", "choices.replica_accelerators": [4]},
        {"min_speed", "step_time"},
        {"limits.min_speed", "calibration.latency.per_layer"},
    ),
    "tensor parallelism too wide for the layers": (
        "b200",
        {"limits.min_speed": "40 tok/s", "choices.tensor_parallel": [1, 2]},
        {"min_speed", "step_time"},
        {"limits.min_speed", "choices.tensor_parallel"},
    ),
}


def loaded(name, changes, settings=()):
    """The instance with its changes, and then with settings as the command line takes them."""
    path = INSTANCES / f"{name}.yaml"
    written = [f"{key}={yaml_flow(value)}" for key, value in changes.items()]
    return hbmopt.load(path, [*written, *settings])


def yaml_flow(value):
    """Write a value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {yaml_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(yaml_flow(item) for item in value) + "]"
    return str(value)


def feasible(instance):
    """Whether the search finds a plan."""
    return best_point(instance) is not None


def short_of(cure, setting):
    """The setting with a change that is one per cent, or one device or token, smaller."""
    key, _, text = setting.partition("=")
    number, _, unit = text.partition(" ")
    value = float(number)
    whole = (
        "workload.",
        "rack.accelerators",
        "rack.nodes",
        "rack.offload.units",
        "limits.max_batch",
    )
    if cure.key.startswith(whole):
        return f"{key}={int(value) - 1 if cure.ratio > 1 else int(value) + 1}"
    return f"{key}={value * (0.99 if cure.ratio > 1 else 1.01):.12g} {unit}".strip()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_conflict_is_right_and_the_smallest_changes_cure(case):
    name, changes, limits, expected = case
    instance = loaded(name, changes)
    solution = hbmopt.solve(instance)
    assert solution.status == "infeasible"
    assert set(solution.conflict.limits) == limits
    cures = cures_of_infeasible(instance)
    assert expected <= {one.key for one in cures.found}
    for cure in cures.found:
        assert feasible(loaded(name, changes, cure.settings)), cure
        if cure.ratio is not None:
            short = [short_of(cure, setting) for setting in cure.settings]
            if "usable" in cure.key and cure.ratio < 1.01:
                continue
            assert not feasible(loaded(name, changes, short)), (cure, short)


@pytest.mark.parametrize("name", ["weights exceed HBM", "power at the floor", "a budget per token"])
def test_what_is_said_not_to_help_does_not(name):
    path, changes, _, _ = CASES[name]
    instance = loaded(path, changes)
    hopeless = {one.key for one in cures_of_infeasible(instance).without}
    tried = 0
    families = (power_levers, pace_levers, budget_levers, memory_levers, rate_levers)
    for lever in (one for family in (*families, workload_levers) for one in family(instance)):
        if lever.key in hopeless:
            tried += 1
            assert not feasible(lever.apply(instance, lever.furthest)), lever.name
    assert tried > 5


def test_cures_of_latency_and_speed_are_the_closed_form():
    instance = loaded("closed_form", {"limits.min_speed": "400 tok/s/user"})
    found = {one.key: one for one in cures_of_infeasible(instance).found}
    # One sequence: 4000 GB/s over 20 GB of weights and 1 GB of KV.
    assert found["limits.min_speed"].ratio == pytest.approx(4000 / 21 / 400, rel=1e-3)
    assert found["rack.accelerator.hbm_bandwidth"].ratio == pytest.approx(400 * 21 / 4000, rel=1e-3)
    assert found["limits.min_speed"].to == "190.4 tok/s/user"


REFERENCES = {
    "h100": {"limits.min_speed": "1000 tok/s/user"},
    "h200": {"limits.power": "3 kW"},
    "gb200_nvl72": {"limits.power": "57 kW", "choices.replica_accelerators": [4, 8]},
    "rubin_nvl72": {"limits.power": "60 kW", "limits.min_speed": "400 tok/s"},
    "rubin_nvl72_lpx": {"limits.power": "110 kW", "choices.replica_accelerators": [8]},
    "mi455x_helios": {"limits.min_speed": "500 tok/s", "choices.replica_accelerators": [4, 8, 72]},
}


@pytest.mark.parametrize("name", REFERENCES)
def test_formulas_of_conflicts_are_those_of_the_programs(name):
    instance = loaded(name, REFERENCES[name])
    configurations = search(instance).configurations
    formulas = TargetSearch(instance, configurations)
    speed, _ = fastest(instance, configurations)
    by_formula, its_owner = formulas.fastest()
    assert by_formula == pytest.approx(speed, rel=1e-6)
    # Another may be as fast.
    assert fastest(instance, [its_owner])[0] == pytest.approx(speed, rel=1e-6)
    for floor in (False, True):
        least = thriftiest(instance, configurations, at_floor=floor)
        target = one_replica(instance if floor else instance.at_floor(0.0))
        by_formula, its_owner = formulas.least_power(target)
        assert by_formula == pytest.approx(least, rel=1e-6)
        assert (its_owner is None) == (least == np.inf)


def test_the_conflict_of_one_replica_is_its_nearest_point():
    instance = loaded("gb200_nvl72", {"limits.power": "57 kW"})
    nearest = TargetSearch(instance).closest(one_replica(instance))
    use = point_use(instance, nearest.point)
    assert use.worst.name == "power_cap"
    assert use.worst.share == pytest.approx(nearest.factor, rel=1e-12)
    assert use.power_breakdown_kw["static"] == pytest.approx(fixed_power(instance))


def test_a_conflict_is_explained_in_a_moment():
    instance = hbmopt.load(INSTANCES / "rubin_ultra.yaml", {"limits.power": "60 kW"})
    found = search(instance)
    conflict = explain_conflict(instance, found.configurations, found.rejections)
    assert conflict.limits == ("power_cap",)
    assert "static power 96 kW alone" in conflict.summary
