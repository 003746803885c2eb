"""The fleets that ship: they are read, the small ones are solved, and documents tell what is so."""

import pyomo.environ as pyo
import pytest

import hbmopt
from builders import INSTANCES, ROOT, executed_examples
from hbmopt.documents import shipped
from hbmopt.fleet import fleet_of, solve_fleet
from hbmopt.fleet.schema import load_fleet_document

FOLDER = INSTANCES / "fleets"
ALL = sorted(FOLDER.glob("*.yaml"))
DOCUMENT = (ROOT / "docs" / "fleets.md").read_text(encoding="utf-8")
HOURS = 24

FEW_LAYOUTS = {"racks.gb300.choices.replica_accelerators": [36]}
"""Of agents: what is tested here does not hang on layouts."""


def read(path):
    return fleet_of(load_fleet_document(path))


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_shipped_fleet_is_read_and_asks_a_question(path):
    fleet = read(path)
    assert fleet.description.endswith("?")
    assert path.stem in {name.rpartition("/")[2] for name in shipped.fleets()}
    assert fleet.name == path.stem


def test_the_documents_name_every_shipped_fleet():
    assert len(ALL) == 6
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in ALL:
        assert path.stem in DOCUMENT + readme


def test_the_factory_is_a_day_of_ten_classes_on_four_types_of_racks():
    fleet = read(FOLDER / "factory_100mw.yaml")
    assert (len(fleet.classes), len(fleet.racks), len(fleet.periods)) == (10, 4, HOURS)
    assert fleet.site.power is not None
    assert float(fleet.site.power) == pytest.approx(100e3)
    for one in fleet.classes.values():
        assert one.load is not None
        assert max(one.load) == 1.0
    batch, chat = fleet.classes["batch"].load, fleet.classes["chat"].load
    assert batch[3] == 1.0
    assert chat[3] < 0.5 < chat[15]


def test_an_hour_of_the_factory_buys_lpus_for_those_who_want_speed():
    document = load_fleet_document(FOLDER / "factory_100mw.yaml")
    factory = document.value
    fast = {
        **factory,
        "classes": {"fast_coding": factory["classes"]["fast_coding"] | {"load": [1.0]}},
        "periods": [{"name": "15h"}],
    }
    plan = solve_fleet(fast)
    bought = {one.kind: one.bought[0] for one in plan.racks}
    assert bought["rubin_lpx"] > 0
    decoding = {pool.kind for pool in plan.pools if pool.stage == "decode"}
    assert "rubin_lpx" in decoding
    assert plan.gap < 1e-2


def test_batch_fills_the_night():
    plan = solve_fleet(FOLDER / "chat_and_batch.yaml")
    served = {one.name: one.served_tok_s for one in plan.classes}
    racks = {pool.demand: pool.racks for pool in plan.pools}
    for one in plan.classes:
        if one.must_serve:
            assert one.served_tok_s == pytest.approx(one.asked_tok_s)
    night, day = 0, 2
    made = [sum(each) for each in zip(*served.values(), strict=True)]
    assert served["batch"][night] / made[night] > 0.4
    assert served["batch"][day] / made[day] < 0.1
    assert racks["batch"][night] == max(racks["batch"])
    # No rack rests, as a token of batch earns more than its energy.
    assert [sum(each) for each in zip(*racks.values(), strict=True)] == [10] * len(plan.periods)
    assert plan.gap < 1e-3


def test_the_older_servers_go_first():
    plan = solve_fleet(FOLDER / "brownfield_hall.yaml")
    racks = {one.kind: one for one in plan.racks}
    gone = {
        name: [1 - kept / racks[name].owned[0] for kept in racks[name].kept]
        for name in ("h100", "h200")
    }
    # Up to 2028 a larger share of the H100 is gone each year; support ends in 2029.
    for older, newer in list(zip(gone["h100"], gone["h200"], strict=True))[:3]:
        assert older > newer
    assert racks["h100"].standing[3] == 0
    assert racks["h200"].standing[3] < racks["h200"].standing[0]
    # A year passes from the order of a Rubin rack until it runs, and it is sold from 2027 on.
    rubin = racks["rubin"]
    assert sum(rubin.bought) > 0
    assert rubin.bought[0] == rubin.standing[0] == rubin.standing[1] == 0
    assert rubin.standing[2] == rubin.bought[1]
    for period in plan.periods:
        assert period.power_kw <= period.cap_kw * (1 + 1e-6)


def test_generations_are_bought_as_they_come():
    plan = solve_fleet(FOLDER / "roadmap.yaml")
    racks = {one.kind: one for one in plan.racks}
    assert plan.years == (2026, 2027, 2028, 2029, 2030)
    assert racks["rubin"].bought[0] == 0
    assert racks["rubin_ultra"].bought[:2] == (0, 0)
    assert racks["rubin_ultra"].bought[4] > 0
    assert racks["gb200"].standing[4] == 0
    assert racks["gb200"].kept == tuple(sorted(racks["gb200"].kept, reverse=True))
    served = [sum(one.served_tok_s[year] for one in plan.classes) for year in range(5)]
    assert served == sorted(served)
    assert served[4] == pytest.approx(served[0] / 0.043)


SMALL_TIERS = {
    "racks.gb300.rack.host.memory": "1 TB",
    "racks.gb300.rack.storage.read_bandwidth": "117 GB/s",
    "racks.gb300.rack.storage.write_bandwidth": "63 GB/s",
    "classes.agents.sessions.tools.time": "60 s",
}


@pytest.mark.parametrize(
    ("changes", "binding"),
    [
        ({"classes.agents.sessions.resume": "0.1 s"}, "host memory of gb300"),
        (SMALL_TIERS, "drives' bandwidth of gb300"),
        ({"classes.agents.sessions.tools.cpu_time": "60 s"}, "CPU cores of gb300"),
    ],
    ids=["host", "drives", "cpus"],
)
def test_what_limits_agents_follows_from_their_sessions(agents, changes, binding):
    plan = solve_fleet(FOLDER / "agents.yaml", changes | FEW_LAYOUTS)
    assert binding in plan.periods[0].binding
    assert plan.standing_racks > agents.standing_racks
    waits = {name for pool in plan.pools for name, share in pool.places if max(share) > 1e-3}
    if binding.startswith("host"):
        agent = [one for one in plan.pools if one.demand == "agents" and one.places]
        assert not any("storage" in name for one in agent for name, _ in one.places)
    if binding.startswith("drives"):
        assert any("storage" in name for name in waits)


@pytest.fixture(scope="module")
def agents():
    return solve_fleet(FOLDER / "agents.yaml", FEW_LAYOUTS)


def test_caches_of_agents_are_somewhere(agents):
    assert "CPU cores of gb300" not in agents.periods[0].binding
    assert "drives' bandwidth of gb300" not in agents.periods[0].binding
    for pool in agents.pools:
        if pool.places and pool.rate[0] > 0:
            assert sum(share[0] for _, share in pool.places) == pytest.approx(1.0)


def test_the_hall_of_the_readme_as_a_fleet_makes_what_its_columns_make():
    changes = {"llm": "deepseek_r1", "workload.context": 8192, "limits.min_speed": "5 tok/s/user"}
    changes |= {"choices.weight_formats": ["fp4"], "choices.replica_accelerators": [8]}
    hall = pyo.ConcreteModel()
    hall.rack = pyo.Block(
        ["gb200_nvl72", "vr_nvl72"],
        rule=lambda _, name: hbmopt.rack_block({"rack": name}, changes, racks_at_most=12),
    )
    racks = list(hall.rack.values())
    hall.power = pyo.Constraint(expr=sum(rack.power for rack in racks) <= 1000)
    hall.tokens = pyo.Objective(expr=sum(rack.throughput for rack in racks), sense=pyo.maximize)
    columns = hbmopt.solve_model(hall)
    fewer = {"classes.chat.choices.replica_accelerators": [8]}
    plan = solve_fleet(FOLDER / "readme_hall.yaml", fewer, gap=5e-3)
    assert plan.amount <= columns.objective * (1 + 1e-6)
    assert plan.bound >= columns.objective * (1 - 1e-6)
    assert plan.amount == pytest.approx(columns.objective, rel=2 * plan.gap + 1e-6)
    assert plan.gap < 1e-2


def test_the_examples_of_the_document_print_what_it_shows():
    assert executed_examples(DOCUMENT) == 3
