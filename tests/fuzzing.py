"""Instances of every kind, and what must hold of any answer to one of them.

`python tests/fuzzing.py COUNT [SEED]` tries as many; the test takes a few.
"""

import json
import math
import random
import sys
import time
from collections import Counter
from copy import deepcopy

from hypothesis import strategies as st

import hbmopt
from hbmopt.documents import catalogue
from hbmopt.errors import InputError
from hbmopt.points import PointSearch, TargetSearch, has_formula
from racks import small_instances

TOLERANCE = 1e-8
"""Relative difference of throughputs that are found in two ways."""

JUNK = ("", None, -1, 0, True, "5 apples", "1e400 GB", [], {}, "NaN", math.inf, "fp8", "100 %")
"""Values that stand where they should not, or that may."""


@st.composite
def catalogue_instances(draw):
    """Racks and models of the catalogue, cut down or grown, with any limits and choices."""
    pick = st.sampled_from
    rack = {"base": draw(pick(catalogue.names("racks")))}
    if draw(st.booleans()):
        rack["accelerators"] = rack["scale_up_domain"] = draw(pick([1, 2, 4, 6, 8, 12, 16]))
    if draw(st.integers(0, 5)) == 0:
        rack["offload"] = "lpx"
    if draw(st.integers(0, 2)) == 0:
        rack["nodes"] = draw(pick([2, 3, 4]))
        if draw(st.booleans()):
            rack["scale_out_bandwidth"] = draw(pick(["5 GB/s", "50 GB/s", "400 GB/s"]))
            rack["scale_out_latency"] = draw(pick(["0 us", "10 us", "200 us"]))
    workload = {
        "prompt": draw(pick([1, 500, 4_000, 130_000])),
        "output": draw(pick([1, 100, 8_000])),
    }
    if draw(st.booleans()):
        workload |= {"prefill": "shared", "prefix_hit_rate": draw(pick([0.0, 0.5, 0.99]))}
    choices = {}
    if draw(st.booleans()):
        choices["kv_formats"] = draw(pick([["fp8"], ["bf16", "fp8"], ["fp4"]]))
    if draw(st.booleans()):
        choices["clocks"] = draw(pick([[1.0], [1.0, 0.5], [1.0, 0.9, 0.8, 0.7]]))
    if draw(st.integers(0, 3)) == 0:
        choices["draft_tokens"] = draw(pick([[0, 1], [2]]))
        workload["draft_acceptance"] = draw(st.floats(0.0, 1.0))
    if draw(st.integers(0, 3)) == 0:
        choices["pipeline_parallel"] = draw(pick([[1, 2], [4]]))
    limits = {}
    if draw(st.booleans()):
        limits["min_speed"] = f"{draw(pick([1, 10, 30, 100, 400]))} tok/s/user"
    if draw(st.booleans()):
        limits["power"] = f"{draw(st.floats(0.1, 300.0)):.3f} kW"
        limits["power_scope"] = draw(pick(["accelerators", "rack", "facility"]))
        limits["pue"] = draw(pick([1.0, 1.3]))
    if draw(st.integers(0, 3)) == 0:
        budget = {"name": "cores", "unit": "core", "capacity": draw(st.floats(1.0, 1e4))}
        budget[draw(pick(["per_replica", "per_accelerator", "per_step", "per_token"]))] = 0.5
        limits["budgets"] = [budget]
    calibration = draw(pick(["universal", "calibrated", "spec_sheet"]))
    return {
        "name": "fuzzed",
        "rack": rack,
        "llm": draw(pick(catalogue.names("llms"))),
        "workload": workload,
        "limits": limits,
        "choices": choices,
        "calibration": calibration,
    }


@st.composite
def any_instances(draw):
    """Instances, valid and not."""
    mapping = draw(st.one_of(small_instances(), catalogue_instances()))
    if draw(st.integers(0, 4)) == 0:
        mapping = deepcopy(mapping)
        places = list(_places(mapping))
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        holder[key] = draw(st.sampled_from(JUNK))
    return mapping


def _places(node):
    for key in node if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], dict | list):
            yield from _places(node[key])


def verdict(mapping):
    """Solve an instance and check the answer; return its status.

    Raises
    ------
    AssertionError
        Where the answer is wrong. Anything but an `InputError` from the program is a bug.
    """
    try:
        instance = hbmopt.load(mapping)
    except InputError as error:
        problem = str(error)
    else:
        problem = None
    if problem is not None:
        assert problem.strip()
        assert "\n" not in problem
        return "invalid"
    solution = hbmopt.solve(instance)
    json.dumps(solution.to_dict(), allow_nan=False)
    known = PointSearch(instance) if has_formula(instance) else None
    points = known.best([instance]) if known is not None and known.tabled else None
    if solution.status == "infeasible":
        assert solution.conflict.summary
        assert not points, f"{points[0].throughput} tok/s can be served"
        return "infeasible"
    _check_plan(instance, solution)
    if points is not None:
        best, found = float(points[0].throughput[0]), solution.throughput_tok_s
        assert best >= found * (1 - TOLERANCE), f"{found} tok/s cannot be, {best} can"
        proven = found * (1 + solution.certificate.piecewise_error + TOLERANCE)
        assert best <= proven, f"{best} tok/s beat the optimum {found}"
    if instance.choices.uniform:
        _check_claims(instance, solution)
    return "optimal"


FEW = 8
"""Accelerators of a rack up to which its frontier is looked at as well."""


def _check_claims(instance, solution):
    """Check that what is returned is possible, and that nothing faster is."""
    search = TargetSearch(instance)
    served = [(solution.batch, solution.speed_tok_s_user)]
    if instance.choices.whole_sequences and instance.rack.all_accelerators <= FEW:
        points = hbmopt.frontier(instance).points_frame
        for place in {0, len(points) // 2, len(points) - 1}:
            row = points.iloc[place]
            served.append((float(row["batch"]), float(row["speed_tok_s_user"])))
    for batch, speed in served:
        assert search.serves(search.target(batch, speed)), f"{batch} at {speed} is refused"
        faster = search.target(batch, 1.01 * speed)
        assert not search.serves(faster), f"{batch} at {faster.speed} is called possible"


def _check_plan(instance, solution):
    certificate = solution.certificate
    assert certificate.violation <= 1e-6
    assert certificate.piecewise_error <= 1e-3
    slack = 1 + 1e-6
    floor, cap = float(instance.limits.min_speed), instance.power_cap_kw
    used = sum(one.replicas * one.accelerators for one in solution.configurations)
    assert used <= instance.rack.all_accelerators
    assert solution.speed_tok_s_user * slack >= floor
    assert cap is None or solution.power_w <= cap * 1e3 * slack
    for one in solution.configurations:
        held = one.batch * one.replicas * one.kv_held_gb
        accelerators = one.replicas * one.accelerators
        hbm = float(instance.rack.accelerator.hbm_capacity) * accelerators
        assert held <= hbm * slack
        speed = one.throughput_tok_s / (one.batch * one.replicas)
        assert math.isclose(speed, one.tokens_per_step * 1e3 / one.step_ms, rel_tol=1e-7)
    assert math.isclose(
        solution.throughput_tok_s, solution.speed_tok_s_user * solution.batch, rel_tol=1e-9
    )
    for row in solution.constraints:
        assert row.slack >= -1e-5 * abs(row.limit), f"{row.name} is exceeded"


def main(count, seed):
    """Try instances, print what was found and each wrong verdict."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    statuses, begun = Counter(), time.monotonic()
    wrong = []

    @seeded(seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(any_instances())
    def tried(mapping):
        try:
            statuses[verdict(mapping)] += 1
        except Exception as error:  # every wrong verdict is to be seen, not the first alone
            wrong.append(f"{type(error).__name__}: {error}\n  {json.dumps(mapping, default=str)}")
            print(wrong[-1], flush=True)
        if sum(statuses.values()) % 250 == 0:
            print(f"{dict(statuses)} in {time.monotonic() - begun:.0f} s", flush=True)

    tried()
    total = sum(statuses.values()) + len(wrong)
    seconds = time.monotonic() - begun
    print(f"{total:,} instances in {seconds:.0f} s: {dict(statuses)}, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    arguments = [int(one) for one in sys.argv[1:]]
    sys.exit(main(arguments[0], arguments[1] if len(arguments) > 1 else random.randrange(2**31)))
