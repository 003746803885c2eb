"""Small instances for the tests of the engine, and a brute force that shares no code with it."""

import itertools
import math

import numpy as np
from hypothesis import strategies as st

import hbmopt
from hbmopt.demand import aim_of
from hbmopt.demand.coefficients import Demand, Segment, rack_data
from hbmopt.demand.configuration import enumerate_configurations
from hbmopt.demand.sequence import smallest_batch
from hbmopt.instance import OBJECTIVES
from hbmopt.program.witness import ClockPoint, busiest, rack_power, work

IDEAL = {
    "base": "spec_sheet",
    "hbm_usable": 1.0,
}


def ideal(capacity=80.0, bandwidth=3.0, weights_gb=16.0, context=8192, **choices):
    """One accelerator, one dense model, nothing but capacity and bandwidth in the way."""
    return {
        "name": "ideal",
        "rack": {
            "name": "one",
            "accelerator": {
                "name": "chip",
                "hbm_capacity": f"{capacity} GB",
                "hbm_bandwidth": f"{bandwidth} TB/s",
                "peak_flops": {"bf16": "1000000 TFLOP/s"},
                "tdp": "1000 kW",
                "scale_up_bandwidth": "1 TB/s",
                "power_law": {
                    "running": "100 W",
                    "hbm": "10 pJ/B",
                    "flop": {"bf16": "0.1 pJ/FLOP"},
                },
            },
            "accelerators": 1,
            "static_power": "0 kW",
        },
        "llm": {
            "name": "dense",
            "layers": 32,
            "hidden_size": 4096,
            "parameters": {"attention": weights_gb * 1e9 / 2, "embedding": 0, "lm_head": 1},
            "attention": [
                {"kind": "grouped", "layers": 32, "heads": 32, "kv_heads": 8, "head_dimension": 128}
            ],
        },
        "workload": {"context": context},
        "choices": {"kv_formats": ["bf16"], "clocks": [1.0], "whole_sequences": False} | choices,
        "calibration": IDEAL,
    }


OTHER_ATTENTION = st.sampled_from(
    [
        {"kind": "latent", "layers": 8, "heads": 32, "latent_rank": 512, "rope_dimension": 64},
        {
            "kind": "recurrent",
            "layers": 8,
            "heads": 32,
            "key_dimension": 128,
            "value_dimension": 128,
        },
    ]
)
"""Layers that stand beside the grouped ones: caches that no rank can split, states."""


@st.composite
def small_instances(draw, lpus=None):
    """Racks of a few accelerators with a few dozen sequences, dense or mixture of experts.

    With LPUs, without or, as it is drawn, either. Contexts are long, and racks with LPUs small, so
    that a brute force stays brief.
    """
    mixture = draw(st.booleans())
    lpus = draw(st.booleans()) if lpus is None else lpus
    parameters = {
        "attention": draw(st.floats(0.5e9, 3e9)),
        "dense_ffn": draw(st.sampled_from([0.0, 2e9])),
        "embedding": 0.3e9,
        "lm_head": 0.3e9,
        "router": 0.01e9,
    }
    llm = {
        "name": "small",
        "layers": 24,
        "hidden_size": 4096,
        "parameters": parameters,
        "attention": [
            {"kind": "grouped", "layers": 24, "heads": 32, "kv_heads": 4, "head_dimension": 128}
        ],
        "native_format": draw(st.sampled_from(["bf16", "fp8"])),
    }
    if mixture:
        parameters["routed_experts"] = draw(st.floats(5e9, 30e9))
        llm["mixture"] = {"layers": 20, "experts": draw(st.sampled_from([16, 64])), "active": 4}
    if draw(st.booleans()):
        llm["attention"].append(draw(OTHER_ATTENTION))
    workload = {"context": draw(st.sampled_from([65536, 131072]))}
    choices = {"clocks": draw(st.sampled_from([[1.0, 0.7], [1.0, 0.9, 0.75]]))}
    if draw(st.booleans()):
        llm["draft"] = {"parameters": {"attention": 0.2e9, "dense_ffn": 0.1e9}}
        workload["draft_acceptance"] = draw(st.floats(0.1, 0.9))
        choices["draft_tokens"] = draw(st.sampled_from([[1], [0, 2]]))
    choices["pipeline_parallel"] = draw(st.sampled_from([[1], [2], [1, 2]]))
    if draw(st.booleans()):
        spare = {"name": "spare", "ratio": 0.5, "flops_per_byte": draw(st.floats(0.0, 200.0))}
        choices["kv_compressions"] = [{"name": "none", "ratio": 1.0}, spare]
    rack = {
        "name": "small",
        "accelerator": {
            "name": "chip",
            "hbm_capacity": f"{draw(st.integers(24, 60))} GB",
            "hbm_bandwidth": f"{draw(st.floats(1.0, 8.0)):.3f} TB/s",
            "peak_flops": {"bf16": f"{draw(st.integers(100, 900))} TFLOP/s"},
            "tdp": "700 W",
            "scale_up_bandwidth": f"{draw(st.integers(50, 900))} GB/s",
        },
        "accelerators": draw(st.sampled_from([1, 2] if lpus else [1, 2, 4])),
        "static_power": "1 kW",
    }
    limits = {}
    if draw(st.booleans()):
        limits["min_speed"] = f"{draw(st.integers(5, 60))} tok/s/user"
    if draw(st.booleans()):
        share = draw(st.floats(0.3, 1.0))
        limits["power"] = f"{1 + share * 0.7 * rack['accelerators']:.4f} kW"
    if lpus:
        rack["offload"] = {
            "device": {
                "name": "lpu",
                "sram_capacity": f"{draw(st.floats(0.2, 4.0)):.3f} GB",
                "sram_bandwidth": "100 TB/s",
                "peak_flops": {"bf16": "500 TFLOP/s"},
                "tdp": "200 W",
                "link_bandwidth": f"{draw(st.integers(1, 100))} GB/s",
                "layer_latency": "3 us",
                "hop_latency": "2 us",
            },
            "units": 8,
            "static_power": "0.1 kW",
        }
    overlap = draw(st.sampled_from([0, 0.5, 1]))
    return {
        "name": "small",
        "rack": rack,
        "llm": llm,
        "workload": workload,
        "limits": limits,
        "choices": choices,
        "calibration": {"overlap": overlap},
    }


def brute_force(instance, shares=(0.0, 0.5, 1.0)):
    """Return the best throughput, in tok/s, over a grid of everything that can be chosen.

    Every configuration, every whole batch and every replica count; any two ways to run in turn,
    a way being a clock and shares of a grid that are offloaded, at full speed or at rest.
    """
    best, rack = 0.0, rack_data(instance)
    configurations, _ = enumerate_configurations(instance)
    for configuration in configurations:
        demand = Demand(instance, configuration)
        most = math.floor(demand.largest_batch + 1e-9)
        for batch in range(int(smallest_batch(configuration)), most + 1):
            exact = Segment(float(batch), float(batch))
            ways = []
            for clock in configuration.clocks:
                replica = demand.replica(clock, exact)
                for offloaded in itertools.product(shares, repeat=len(replica.offloaded)):
                    ways += _full_and_resting(replica, batch, offloaded)
            if ways:
                best = max(best, _best_count(instance, rack, replica, batch, _undominated(ways)))
    return best


def ways_to_run(instance, shares=(0.0, 0.5, 1.0)):
    """Return every configuration at every whole batch, with its ways to run.

    Whatever the limits on power, speed and throughput are: replica, batch, and arrays of steps per
    ms, of kW of its accelerators and of its LPUs, at every clock with shares of a grid offloaded.
    """
    found = []
    for configuration in enumerate_configurations(instance)[0]:
        demand = Demand(instance, configuration)
        most = math.floor(demand.largest_batch + 1e-9)
        for batch in range(int(smallest_batch(configuration)), most + 1):
            exact, ways = Segment(float(batch), float(batch)), []
            for clock in configuration.clocks:
                replica = demand.replica(clock, exact)
                for offloaded in itertools.product(shares, repeat=len(replica.offloaded)):
                    ways += _full_and_resting(replica, batch, offloaded)
            if ways:
                found.append((replica, batch, *_undominated(ways)))
    return found


def best_amount(instance, ways):
    """Return the objective at its best over everything that can be chosen, None for nothing.

    In the mean over two ways to run everything is linear in their shares, so any objective is best
    at one of them, or where a limit is just reached between.
    """
    aim, rack, found = aim_of(instance), rack_data(instance), []
    floor, demand = float(instance.limits.min_speed), float(aim.least)
    for replica, batch, rate, chips, lpus in ways:
        size, speed = replica.accelerators, 1e3 * replica.tokens_per_sequence_step * rate
        units = replica.lpu.units if replica.offloaded else 0.0
        most = rack.accelerators // size
        most = min(most, rack.lpu_units // units) if units else most
        for count in range(1, int(most) + 1):
            drawn = rack_power(rack, count * (chips + lpus), count * size, count * units)
            made = count * batch * speed
            rows = [(-speed, -floor), (-made, -demand), (chips, size * replica.power.limit_kw)]
            if rack.power_cap_kw is not None:
                rows.append((drawn, rack.power_cap_kw))
            columns = _ends_of_pairs(np.array([made, drawn, speed]), rows)
            running = columns[:, columns[2] > 0]
            if running.size:
                found.append(_best_of(aim, running, count * size))
    if not found:
        return None
    return min(found) if OBJECTIVES[aim.objective].least else max(found)


def _best_of(aim, columns, accelerators):
    made, drawn, speed = columns
    cost = aim.usd_per_hour + aim.usd_per_kwh * drawn
    if aim.objective == "throughput":
        amounts = made
    elif aim.objective == "tokens_per_joule":
        amounts = made / (1000 * drawn)
    elif aim.objective == "tokens_per_dollar":
        amounts = 3600 * made / 1e6 / cost
    else:
        amounts = {
            "speed": speed,
            "power": drawn,
            "cost": cost,
            "accelerators": np.array([accelerators]),
        }[aim.objective]
    return amounts.min() if OBJECTIVES[aim.objective].least else amounts.max()


def _ends_of_pairs(columns, rows):
    """Return the ends of what rows ``used <= limit`` leave of every mean of two columns."""
    first, second = np.triu_indices(columns.shape[1])
    least, most = np.zeros(len(first)), np.ones(len(first))
    for used, limit in rows:
        slope, room = used[first] - used[second], limit - used[second]
        room = room + 1e-9 * abs(limit)
        with np.errstate(divide="ignore", invalid="ignore"):
            end = room / slope
        most = np.where(slope > 0, np.minimum(most, end), most)
        least = np.where(slope < 0, np.maximum(least, end), least)
        least = np.where((slope == 0) & (room < 0), np.inf, least)
    possible = least <= most
    first, second = first[possible], second[possible]
    return np.concatenate(
        [
            end * columns[:, first] + (1 - end) * columns[:, second]
            for end in (least[possible], most[possible])
        ],
        axis=1,
    )


def _full_and_resting(replica, batch, offloaded):
    """Return steps per ms, kW of accelerators and of LPUs of one replica, running and resting.

    Nothing where the batch does not fit.
    """
    done = work(replica, ClockPoint(1.0, 1.0, float(batch), offloaded))
    if done.resident_gb_steps > replica.accelerators * replica.hbm_gb * (1 + 1e-12):
        return []
    sram = replica.lpu.units * replica.lpu.sram_gb
    if replica.offloaded and done.sram_gb_steps > sram * (1 + 1e-12):
        return []
    found = []
    for rate in (1.0 / busiest(replica, done), 0.0):
        done = work(replica, ClockPoint(1.0, rate, rate * batch, offloaded))
        found.append((rate, done.power_kw, done.lpu_power_kw))
    return found


def _undominated(ways):
    """Return the ways than which no other makes as many steps on as little power, as columns.

    Whatever is sought and limited, the others may be replaced by those.
    """
    rate, chips, lpus = columns = np.unique(np.array(ways), axis=0).T
    no_worse = (rate >= rate[:, None]) & (chips <= chips[:, None]) & (lpus <= lpus[:, None])
    return columns[:, no_worse.sum(axis=1) == 1]  # by itself alone


def _best_count(instance, rack, replica, batch, ways):
    """Return the best throughput over the number of replicas."""
    best, gained = 0.0, replica.tokens_per_sequence_step
    most = int(rack.accelerators // replica.accelerators)
    if replica.offloaded:
        most = min(most, int(rack.lpu_units // replica.lpu.units))
    rate, chips, lpus = ways
    tdp = replica.accelerators * replica.power.limit_kw
    for count in range(1, most + 1):
        units = count * replica.lpu.units if replica.offloaded else 0.0
        drawn = rack_power(rack, count * (chips + lpus), count * replica.accelerators, units)
        limited = [(chips, tdp)]
        if rack.power_cap_kw is not None:
            limited.append((drawn, rack.power_cap_kw))
        fastest = _fastest_pair(rate, limited)
        if gained * fastest * 1e3 >= float(instance.limits.min_speed):
            best = max(best, gained * count * batch * fastest * 1e3)
    return best


def _fastest_pair(rate, limited):
    """Return the highest mean of two rates whose mean draws stay within limits, 0 for none."""
    first, second = np.triu_indices(len(rate))
    least, most = np.zeros(len(first)), np.ones(len(first))
    for drawn, limit in limited:
        # share x drawn of the first + (1 - share) x drawn of the second <= limit
        slope, room = drawn[first] - drawn[second], limit - drawn[second]
        with np.errstate(divide="ignore", invalid="ignore"):
            end = room / slope
        most = np.where(slope > 0, np.minimum(most, end), most)
        least = np.where(slope < 0, np.maximum(least, end), least)
        least = np.where((slope == 0) & (room < 0), np.inf, least)
    possible = least <= most
    if not possible.any():
        return 0.0
    first, second, ends = first[possible], second[possible], (least[possible], most[possible])
    return float(max((end * rate[first] + (1 - end) * rate[second]).max() for end in ends))


def solved(mapping, **overrides):
    """Load and solve."""
    return hbmopt.solve(hbmopt.load(mapping, overrides))
