"""An infeasible fleet names what is in its way, and the least change of each kind that cures it."""

from functools import cache

import pytest

from hbmopt.fleet import solve_fleet

CHOICES = {
    "weight_formats": ["fp8"],
    "tensor_parallel": [8],
    "replica_accelerators": [8],
    "clocks": [1.0],
}
CHAT = {
    "llm": "llama_3_1_70b",
    "workload": {"prompt": 2000, "output": 500},
    "min_speed": "30 tok/s/user",
    "choices": CHOICES,
}
CODE = {
    "llm": "qwen3_32b",
    "workload": {"prompt": 1000, "output": 300},
    "min_speed": "40 tok/s/user",
    "choices": CHOICES,
}
H200 = {"rack": "hgx_h200", "price": "0.3 MUSD"}


def fleet(classes, rack=(), **rest):
    racks = {"h200": {**H200, **dict(rack)}}
    return {"kind": "fleet", "classes": classes, "racks": racks, **rest}


def chat(**changes):
    return {"chat": {**CHAT, **changes}}


AGENTS = {
    **CHAT,
    "throughput": "20000 tok/s",
    "sessions": {
        "thinking_time": "1 s",
        "tools": {"per_turn": 20, "time": "2 s", "cpu_time": "1500 ms"},
    },
}

# What is asked for, the words of the conflict, and the keys of the cures.
CASES = {
    "power": (
        fleet(chat(throughput="60000 tok/s"), site={"power": "50 kW"}),
        ("chat's 60,000 tok/s", "kW of the site", "whose cap is 50 kW"),
        {"site.power", "classes.chat.throughput", "classes.chat.min_speed"},
    ),
    "power of periods": (
        fleet(
            {**chat(throughput="60000 tok/s"), "code": {**CODE, "rate": "60 requests/s"}},
            site={"power": "80 kW"},
            periods=[{"name": "day"}, {"name": "night", "demand": 0.5, "power": "45 kW"}],
        ),
        ("in night", "45 kW"),
        {"site.power", "classes.chat.throughput"},
    ),
    "racks": (
        fleet(chat(users=2000), {"at_most": 4}),
        ("6 racks of h200", "at most 4 may be bought"),
        {"racks.h200.at_most", "classes.chat.users", "classes.chat.min_speed"},
    ),
    "racks of years": (
        fleet(
            chat(throughput="60000 tok/s"),
            {"at_most": 4, "owned": 1},
            periods=[{"year": 2026, "demand": 0.5}, {"year": 2027}],
        ),
        ("5 racks of h200 beside the 1 owned",),
        {"racks.h200.at_most", "classes.chat.throughput", "classes.chat.min_speed"},
    ),
    "capital": (
        fleet(chat(rate="120 requests/s"), site={"capital": "1.4 MUSD", "space": 9}),
        ("1.8 MUSD of capital", "1.4 MUSD"),
        {"site.capital", "classes.chat.rate"},
    ),
    "space": (
        fleet(chat(throughput="60000 tok/s"), site={"space": 4}),
        ("6 places for racks", "there are 4"),
        {"site.space", "classes.chat.throughput"},
    ),
    "switching": (
        fleet(
            {
                **chat(throughput="60000 tok/s", load=[1, 0.1]),
                "code": {**CODE, "throughput": "60000 tok/s", "load": [0.1, 1]},
            },
            {"at_most": 8},
            periods=[{"name": "day"}, {"name": "night"}],
            switching=1,
        ),
        ("racks",),
        {
            "switching",
            "racks.h200.at_most",
            "classes.chat.throughput",
            "classes.chat.min_speed",
            "classes.code.throughput",
            "classes.code.min_speed",
        },
    ),
    "first token": (
        fleet(chat(throughput="20000 tok/s", prefill="pool", first_token="30 ms")),
        ("no type of rack serves class chat", "prompts in time"),
        {"classes.chat.first_token"},
    ),
    "too fast": (
        fleet(chat(throughput="20000 tok/s", min_speed="900 tok/s/user")),
        ("no type of rack serves class chat", "meets its floor"),
        {"classes.chat.min_speed"},
    ),
    "random arrivals": (
        fleet(
            chat(rate="100 requests/s"),
            {"at_most": 4},
            arrivals={"kind": "random", "wait": "500 ms", "percentile": 0.95},
        ),
        ("5 racks of h200",),
        {"racks.h200.at_most", "classes.chat.rate"},
    ),
    "host memory": (
        fleet(
            chat(
                throughput="20000 tok/s",
                workload={"prompt": 8000, "output": 500},
                sessions={"thinking_time": "200 s"},
            ),
            {
                "at_most": 6,
                "rack": {
                    "base": "hgx_h200",
                    "host": {"memory": "200 GB"},
                    "storage": {"capacity": "200 GB"},
                },
            },
        ),
        ("12 racks of h200", "host memory of h200: 200 GB a rack"),
        {
            "racks.h200.at_most",
            "racks.h200.rack.host.memory",
            "racks.h200.rack.storage.capacity",
            "classes.chat.throughput",
        },
    ),
    "cores": (
        fleet({"agents": AGENTS}, {"at_most": 6}),
        ("11 racks of h200", "CPU cores of h200"),
        {"racks.h200.rack.host.cores", "racks.h200.at_most", "classes.agents.throughput"},
    ),
}


@cache
def solved(name):
    return solve_fleet(CASES[name][0])


@pytest.mark.parametrize("name", CASES)
def test_the_conflict_is_told_with_its_numbers(name):
    plan = solved(name)
    assert plan.status == "infeasible"
    conflict = plan.conflict
    assert conflict.limits
    for words in CASES[name][1]:
        assert words in conflict.summary
    keys = {one.key for one in conflict.cures if not one.key.endswith("must_serve")}
    assert keys == CASES[name][2]
    assert not {one.name for one in conflict.cures} & set(conflict.without)


def possible(source, settings):
    """Whether there is a plan, however good."""
    return solve_fleet(source, settings, gap=0.5).feasible


RISING = ("power", "at_most", "capital", "space", "switching", "first_token", "memory", "capacity")
COUNTED = ("at_most", "space", "switching", "users", "cores")


def less(setting):
    """Return a setting that changes 1 % less, or one less of what is counted."""
    key, _, text = setting.partition("=")
    rises = setting.split("=")[0].rpartition(".")[2] in RISING or "cores" in text
    if "cores" in text:
        before, _, count = text.rpartition(" ")
        return f"{key}={before} {int(count.rstrip('}')) - 1}}}}}"
    amount, _, unit = text.partition(" ")
    if key.rpartition(".")[2] in COUNTED:
        return f"{key}={int(amount) + (-1 if rises else 1)}"
    return f"{key}={float(amount) * (0.99 if rises else 1.01):.10g} {unit}"


@pytest.mark.parametrize("name", CASES)
def test_each_cure_works_and_less_of_it_does_not(name, monkeypatch):
    source, cures = CASES[name][0], solved(name).conflict.cures
    # Why there is no plan was asked once.
    monkeypatch.setattr("hbmopt.fleet.solving.conflict_of", lambda *_: None)
    for cure in cures:
        assert possible(source, list(cure.settings)), cure
        if not cure.key.endswith("must_serve"):
            closer = [less(one) for one in cure.settings]
            assert not possible(source, closer), (cure, closer)
