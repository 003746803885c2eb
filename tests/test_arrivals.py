"""Random arrivals: Erlang's formulas, the servers that they ask for, requests that are drawn."""

import math
import re
from fractions import Fraction
from heapq import heapreplace

import jsonschema
import numpy as np
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from builders import ROOT, executed_examples
from hbmopt.errors import InputError
from hbmopt.fleet import (
    MOST_OFFERED,
    Arrivals,
    erlang_b,
    erlang_c,
    headroom,
    servers_needed,
    share_waiting,
    square_root_staffing,
)

DOCUMENT = (ROOT / "docs" / "arrivals.md").read_text(encoding="utf-8")

LOADS = st.floats(0.01, 3000.0)
PATIENCES = st.floats(0.0, 2.0)
PERCENTILES = st.floats(0.05, 0.9999)
VARIATIONS = st.floats(0.0, 5.0)
QUESTIONS = st.tuples(LOADS, PATIENCES, PERCENTILES, VARIATIONS)


# Erlang's formulas


def exact_erlang_c(servers, offered):
    """Erlang's delay formula as it is written in textbooks, in whole numbers."""
    load = Fraction(offered)
    all_busy = load**servers / math.factorial(servers) * servers / (servers - load)
    fewer = sum(load**busy / math.factorial(busy) for busy in range(servers))
    return float(all_busy / (fewer + all_busy))


@given(st.floats(0.001, 0.999))
def test_one_or_two_servers_have_a_closed_form(utilisation):
    assert erlang_c(1, utilisation) == pytest.approx(utilisation)
    both = 2.0 * utilisation**2 / (1.0 + utilisation)
    assert erlang_c(2, 2.0 * utilisation) == pytest.approx(both)


@given(st.integers(1, 60), st.fractions(Fraction(1, 100), Fraction(99, 100), max_denominator=100))
def test_the_share_that_waits_is_that_of_the_textbook(servers, utilisation):
    offered = float(servers * utilisation)
    assert erlang_c(servers, offered) == pytest.approx(exact_erlang_c(servers, offered), rel=1e-12)


@pytest.mark.parametrize("offered", [0.3, 20.0, 50_000.0])
def test_the_sum_from_the_top_is_the_recursion_from_the_bottom(offered):
    lost = 1.0
    for servers in range(1, int(offered + 3.0 * math.sqrt(offered)) + 3):
        lost = offered * lost / (servers + offered * lost)
    assert erlang_b(servers, offered) == pytest.approx(lost, rel=1e-11)


def test_no_load_is_too_large_or_too_small():
    assert erlang_b(10_000, 1e-3) == 0.0
    assert erlang_c(10_000, 1e-3) == 0.0
    assert erlang_c(5, 5.0) == erlang_c(5, 7.0) == share_waiting(5, 7.0, 3.0) == 1.0
    assert servers_needed(1e-300, 0.0, 0.95) == 1
    # Halfin and Whitt: beta sqrt(a) is 1.7398 times a thousand.
    assert servers_needed(1e6, 0.0, 0.95) == pytest.approx(1_001_740, abs=2)
    assert 1.0 < headroom(MOST_OFFERED, 0.5, 0.95) < 1.0 + 1e-6


# The fewest servers


@given(QUESTIONS)
def test_the_servers_hold_the_limit_and_one_fewer_do_not(question):
    offered, patience, percentile, variation = question
    limit, servers = 1.0 - percentile, servers_needed(*question)
    assert servers > offered
    assert share_waiting(servers, offered, patience, variation) <= limit
    assert share_waiting(servers - 1, offered, patience, variation) > limit
    assert headroom(*question) == servers / offered


@given(QUESTIONS, QUESTIONS)
def test_more_load_and_stricter_limits_need_no_fewer_servers(one, other):
    easy = [min(one[0], other[0]), max(one[1], other[1]), *map(min, one[2:], other[2:])]
    hard = [max(one[0], other[0]), min(one[1], other[1]), *map(max, one[2:], other[2:])]
    assert servers_needed(*easy) <= servers_needed(*hard)


@given(LOADS, PATIENCES, PERCENTILES, st.integers(2, 5))
def test_pools_with_one_queue_need_no_more_than_pools_apart(offered, patience, percentile, pools):
    """Smith and Whitt (1981): queues that are served alike wait less when they are joined."""
    apart = headroom(offered, patience, percentile)
    assert headroom(pools * offered, patience, percentile) <= apart * (1.0 + 1e-12)


@given(LOADS, st.floats(0.01, 2.0), PERCENTILES, VARIATIONS)
def test_patience_bounds_the_spare_servers(offered, patience, percentile, variation):
    # As C(c, a) is at most 1.
    spare = math.log(1.0 / (1.0 - percentile)) * (1.0 + variation) / (2.0 * patience)
    assert servers_needed(offered, patience, percentile, variation) <= offered + spare + 1.0


def test_headroom_falls_to_one():
    found = [headroom(10.0**power, 0.0, 0.99) for power in range(7)]
    assert found == sorted(found, reverse=True)
    assert 1.0 < found[-1] < 1.003


# Square-root staffing


@pytest.mark.parametrize("percentile", [0.5, 0.8, 0.95, 0.99, 0.9999])
def test_the_exact_number_approaches_square_root_staffing(percentile):
    spare = []
    for offered in (1.0, 10.0, 1e2, 1e3, 1e4, 1e5):
        about = square_root_staffing(offered, percentile)
        exact = servers_needed(offered, 0.0, percentile)
        assert 0.0 <= exact - about < 5.0
        spare.append((exact - offered) / (about - offered))
    assert spare[-1] == pytest.approx(1.0, abs=0.01)
    assert spare[-1] < spare[0]


@pytest.mark.parametrize("beta", [0.2, 1.0, 2.5])
def test_so_many_square_roots_are_what_halfin_and_whitt_say(beta):
    density = math.exp(-(beta**2) / 2.0) / math.sqrt(2.0 * math.pi)
    below = math.erfc(-beta / math.sqrt(2.0)) / 2.0
    waiting = 1.0 / (1.0 + beta * below / density)
    assert square_root_staffing(1e4, 1.0 - waiting) == pytest.approx(1e4 + 100.0 * beta)
    assert erlang_c(round(1e6 + 1000.0 * beta), 1e6) == pytest.approx(waiting, rel=0.01)


# Bad input


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ((0.0, 0.0, 0.95), "offered load of 0.0 erlangs: give more than 0"),
        ((2e8, 0.0, 0.95), "offered load of 200000000.0 erlangs: .* at most 1e\\+08"),
        ((math.nan, 0.0, 0.95), "offered load of nan"),
        ((1.0, -0.1, 0.95), "patience of -0.1 mean service times: give a number of at least 0"),
        ((1.0, math.inf, 0.95), "patience of inf"),
        ((1.0, 0.0, 0.0), "percentile 0.0: give a share between 0 and 1, such as 0.95"),
        ((1.0, 0.0, 95.0), "percentile 95.0"),
        ((1.0, 0.0, 0.95, -1.0), "variation -1.0: give a number of at least 0"),
    ],
)
def test_a_number_out_of_its_range_is_one_line(question, said):
    for function in (servers_needed, headroom):
        with pytest.raises(InputError, match=said) as error:
            function(*question)
        assert "\n" not in str(error.value)


def test_staffing_checks_what_it_is_given():
    with pytest.raises(InputError, match=r"percentile 1\.0"):
        square_root_staffing(10.0, 1.0)


# How arrivals are written

RANDOM = {"kind": "random", "wait": "0.5 s", "percentile": 0.95}


def test_steady_arrivals_need_no_headroom():
    for written in ("steady", {"kind": "steady"}):
        assert Arrivals.model_validate(written).headroom(10.0, 2000.0) == 1.0


def test_random_arrivals_need_the_headroom_of_their_limit():
    arrivals = Arrivals.model_validate(RANDOM)
    assert arrivals.headroom(10.0, 2000.0) == headroom(10.0, 0.25, 0.95)
    assert arrivals.headroom(10.0, 2000.0, 0.0) == headroom(10.0, 0.25, 0.95, 0.0)
    at_once = Arrivals.model_validate({**RANDOM, "wait": "0 s", "percentile": "99%"})
    assert at_once.headroom(10.0, 2000.0) == headroom(10.0, 0.0, 0.99)
    with pytest.raises(InputError, match=r"service time of 0\.0 ms: give more than 0"):
        arrivals.headroom(10.0, 0.0)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("random", "'random' is not a kind of arrivals alone; write `steady`, or {kind: random, "),
        (0.95, "0.95 is not a kind of arrivals alone; write"),
        ({"kind": "random"}, "random arrivals need `wait` and `percentile`: write"),
        ({"kind": "random", "wait": "1 s"}, "random arrivals need `wait` and `percentile`"),
        ({"kind": "steady", "wait": "1 s"}, "steady arrivals do not wait: leave out `wait`"),
        ({**RANDOM, "percentile": 1}, "no number of servers serves all at once"),
        ({**RANDOM, "percentile": 95}, "95 must be at most 1; 95 % is written 95%"),
        ({**RANDOM, "wait": 0.5}, "0.5 has no unit; write a time such as"),
        ({**RANDOM, "kind": "poisson"}, "Input should be 'steady' or 'random'"),
        ({**RANDOM, "percentil": 1}, "unknown key 'percentil'; did you mean 'percentile'?"),
    ],
)
def test_arrivals_that_cannot_be_read_are_told(written, said):
    with pytest.raises(ValidationError) as error:
        Arrivals.model_validate(written)
    (problem,) = error.value.errors()
    assert said in problem["msg"]


def test_the_schema_takes_both_forms():
    schema = Arrivals.model_json_schema()
    for good in ("steady", RANDOM, {"kind": "steady"}):
        jsonschema.validate(good, schema)
        Arrivals.model_validate(good)
    for bad in ("random", {"kind": "random"}, {"wait": "1 s", "percentile": 0.9}, 3):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)


# Requests that are drawn

MEAN_TOKENS = 500
"""Of outputs whose length is geometric: each token is the last one with the same probability."""


def lognormal(variation):
    """Return how times of mean 1 and this squared coefficient of variation are drawn."""
    scale = math.sqrt(math.log(1.0 + variation))
    return lambda draw, many: draw.lognormal(-(scale**2) / 2.0, scale, many)


SERVICES = {
    "exponential": (1.0, lambda draw, many: draw.exponential(1.0, many)),
    "geometric": (1.0, lambda draw, many: draw.geometric(1 / MEAN_TOKENS, many) / MEAN_TOKENS),
    "lognormal, 1": (1.0, lognormal(1.0)),
    "lognormal, 4": (4.0, lognormal(4.0)),
    "constant": (0.0, lambda _, many: np.ones(many)),
}
"""Squared coefficient of variation of a service time, and how it is drawn."""


def drawn(service, offered, requests, seed):
    """Return the times between arrivals and the service times, of mean 1, of many requests."""
    draw = np.random.default_rng(seed)
    _, times = SERVICES[service]
    return draw.exponential(1.0 / offered, requests).tolist(), times(draw, requests).tolist()


def events(servers, gaps, times):
    """Return how long each request waits, by a simulation of discrete events."""
    environment = simpy.Environment()
    slots = simpy.Resource(environment, capacity=servers)
    waits = []

    def request(time):
        came = environment.now
        with slots.request() as slot:
            yield slot
            waits.append(environment.now - came)
            yield environment.timeout(time)

    def arrivals():
        for gap, time in zip(gaps, times, strict=True):
            yield environment.timeout(gap)
            environment.process(request(time))

    environment.process(arrivals())
    environment.run()
    return waits


def waits(servers, gaps, times):
    """Return the same, many times as fast: each request takes the server that is free first."""
    now, free, found = 0.0, [0.0] * servers, []
    for gap, time in zip(gaps, times, strict=True):
        now += gap
        start = max(now, free[0])
        heapreplace(free, start + time)
        found.append(start - now)
    return found


def share_late(found, patience):
    """Return the share that waits longer than a limit, once the queue no longer begins."""
    settled = np.array(found[len(found) // 10 :])
    return float(np.mean(settled > patience))


@pytest.mark.parametrize("service", SERVICES)
def test_the_server_that_is_free_first_is_what_the_events_come_to(service):
    gaps, times = drawn(service, 5.0, 3000, seed=1)
    found = events(7, gaps, times)
    assert max(found) > 0.5
    assert found == pytest.approx(waits(7, gaps, times), abs=1e-9)


@pytest.mark.parametrize(("offered", "servers"), [(0.5, 1), (5.0, 8)])
def test_events_bring_what_the_formula_says(offered, servers):
    found = events(servers, *drawn("exponential", offered, 20_000, seed=2))
    for patience in (0.0, 0.3):
        said = share_waiting(servers, offered, patience)
        # Two standard deviations of what some thousand service times bring.
        assert share_late(found, patience) == pytest.approx(said, rel=0.16)


ROW = re.compile(r"\| (\d+) \| ([\d.]+) \| ([\w, ]+) \| (\d+) \| ([\d.]+) % \| ([\d.]+) % \|")
ROWS = [
    (int(load), float(patience), service, int(servers), float(formula) / 100, float(found) / 100)
    for load, patience, service, servers, formula, found in ROW.findall(DOCUMENT)
]
RUNS = {5: (100_000, 0.15), 30: (100_000, 0.4), 200: (250_000, 0.6)}
"""Requests of a run at each load, and how far chance takes it from long ones: two to three standard
deviations, by the spread of runs. The larger the load, the longer queues take to come and go."""


BANDS = {
    "exponential": (0.97, 1.03),
    "geometric": (0.97, 1.03),
    "lognormal": (0.35, 1.05),
    "constant": (0.85, 1.4),
}
"""What the document says of the share that is simulated, per that of the formula."""


def test_the_document_compares_all_services_at_all_loads():
    assert {(row[0], row[2]) for row in ROWS} == {(a, one) for a in RUNS for one in SERVICES}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} erlangs, {row[2]}")
def test_the_table_of_the_document_is_what_is_simulated(row):
    offered, patience, service, servers, formula, simulated = row
    variation = SERVICES[service][0]
    assert servers == servers_needed(offered, patience, 0.95, variation)
    said = share_waiting(servers, offered, patience, variation)
    assert formula == pytest.approx(said, abs=6e-5)
    requests, chance = RUNS[offered]
    found = share_late(waits(servers, *drawn(service, offered, requests, seed=3)), patience)
    assert found == pytest.approx(simulated, rel=chance)
    least, most = BANDS[service.partition(",")[0]]
    assert least <= simulated / said <= most


def test_the_examples_of_the_document_print_what_it_shows():
    assert executed_examples(DOCUMENT) == 4
