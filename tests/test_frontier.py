"""The frontier equals independent solves at every speed, and falls."""

import csv
import io
import itertools
import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hbmopt
from builders import INSTANCES
from commands import runner
from hbmopt.basics import made
from hbmopt.cli import cli
from hbmopt.demand.alike import alike
from hbmopt.demand.coefficients import Segment, rack_data, replica_data
from hbmopt.demand.configuration import enumerate_configurations
from hbmopt.errors import InputError
from hbmopt.points import BatchRates, OperatingPoints
from hbmopt.program.witness import ClockPoint, busiest, work
from hbmopt.report.tables.output import render_frontier
from hbmopt.studies.frontier.speed_frontier import frontier
from racks import small_instances

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
CASES = {
    "h200": {},
    "deepseek_r1_h200": {},
    "gb200_drafting": {
        "limits.min_speed": "0 tok/s/user",
        "choices.replica_accelerators": [8, 72],
    },
    "rubin_nvl72": {
        "limits.min_speed": "0 tok/s/user",
        "limits.power": "120 kW",
        "choices.replica_accelerators": [8, 72],
    },
    "cpu_budget": {},
    "h200_kv_compression": {"limits.power": "8 kW"},
}


def loaded(name):
    return hbmopt.load(INSTANCES / f"{name}.yaml", CASES[name])


def solved_at(instance, speed):
    return hbmopt.solve(instance.at_floor(speed))


@pytest.fixture(scope="module", params=CASES)
def drawn(request):
    return frontier(loaded(request.param))


def test_the_frontier_equals_independent_solves(drawn):
    slowest, fastest = float(drawn.speeds[0]), float(drawn.speeds[-1])
    chosen = np.random.default_rng(1).uniform(slowest, fastest * 1.02, 8)
    for speed in (*chosen, slowest, fastest):
        solution = solved_at(drawn.instance, float(speed) * (1 - 1e-9))
        assert drawn.throughput(float(speed) * (1 - 1e-9)) == pytest.approx(
            solution.throughput_tok_s or 0.0, rel=1e-8
        )


def test_throughput_falls_with_speed_and_nothing_is_beyond_the_end(drawn):
    assert (np.diff(drawn.speeds) > 0).all()
    assert (np.diff(drawn.throughputs) < 0).all()
    assert drawn.throughput(float(drawn.speeds[-1]) * 1.001) == 0.0
    assert drawn.point(float(drawn.speeds[-1]) * 1.001) is None


def test_segments_cover_the_frontier_and_differ_from_their_neighbours(drawn):
    segments = drawn.segments
    assert sum(one.points for one in segments) == len(drawn)
    assert segments[0].slowest.throughput_tok_s == pytest.approx(drawn.throughputs[0], rel=1e-6)
    assert segments[-1].fastest.throughput_tok_s == pytest.approx(drawn.throughputs[-1], rel=1e-6)
    for before, after in pairwise(segments):
        assert before.fastest.throughput_tok_s > after.slowest.throughput_tok_s * (1 - 1e-9)
        assert (before.configuration, before.limiting_resource, before.slowest.binding) != (
            after.configuration,
            after.limiting_resource,
            after.slowest.binding,
        )
    for one in segments:
        assert one.slowest.binding == one.fastest.binding
        assert one.slowest.limiting_resource == one.fastest.limiting_resource


def test_a_point_on_the_frontier_is_a_solution_there(drawn):
    middle = float(drawn.speeds[len(drawn) // 2])
    point, solution = drawn.point(middle), drawn.solution(middle)
    assert point.throughput_tok_s == pytest.approx(drawn.throughput(middle), rel=1e-9)
    assert point.throughput_tok_s == pytest.approx(solution.throughput_tok_s, rel=1e-12)
    assert point.speed_tok_s_user >= middle * (1 - 1e-9)
    assert point.power_w == solution.power_w
    # The formula of the power and the solved plan are two ways to one number.
    for index in np.linspace(0, len(drawn) - 1, 9).astype(int):
        solved = drawn.point_at(int(index)).power_w
        assert drawn.powers_kw[index] * 1e3 == pytest.approx(solved, rel=1e-8)
    assert point.price_of_speed <= 0


def test_the_ladder_stands_on_round_speeds(drawn):
    speeds, rungs = drawn.round_speeds(), drawn.ladder()
    assert 3 <= len(rungs) <= 21
    assert len(speeds) == len(rungs)
    for speed, rung in zip(speeds, rungs, strict=True):
        assert rung.speed_tok_s_user >= speed * (1 - 1e-9)
        assert rung.throughput_tok_s == pytest.approx(drawn.throughput(speed), rel=1e-6)


@settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
@given(small_instances(), st.floats(0.0, 1.0))
def test_any_small_rack_has_the_frontier_of_its_solves(mapping, share):
    mapping["limits"].pop("min_speed", None)
    instance = hbmopt.load(mapping)
    drawn = frontier(instance)
    if not drawn.feasible:
        assert hbmopt.solve(instance).status == "infeasible"
        return
    speed = share * float(drawn.speeds[-1]) * (1 - 1e-9)
    solution = solved_at(instance, speed)
    assert drawn.throughput(speed) == pytest.approx(solution.throughput_tok_s, rel=1e-8)


@pytest.mark.parametrize("name", ["h200", "gb200_drafting", "mi455x_helios"])
def test_rates_are_the_physics_of_every_batch(name):
    instance = hbmopt.load(INSTANCES / f"{name}.yaml", {"choices.clocks": [0.8]})
    configurations, _ = enumerate_configurations(instance)
    batches = np.array([1.0, 9.0, 250.0])
    for configuration in configurations[::7]:
        points = OperatingPoints(alike(instance, [configuration]))
        rates = points.at(0, batches)
        for index, batch in enumerate(batches):
            exact = Segment(float(batch), float(batch))
            replica = replica_data(instance, configuration, 0.8, exact)
            done = work(replica, ClockPoint(1.0, 1.0, float(batch), ()))
            if done.resident_gb_steps > replica.accelerators * replica.hbm_gb:
                assert rates.rate[index] == 0
                continue
            fastest = 1 / busiest(replica, done)
            assert rates.rate[index] == pytest.approx(fastest, rel=1e-12)
            done = work(replica, ClockPoint(1.0, fastest, fastest * batch, ()))
            tdp = replica.accelerators * replica.power.limit_kw
            assert rates.heat[index] == pytest.approx(done.power_kw / tdp, rel=1e-12)
            overhead = rack_data(instance).power_overhead
            assert rates.power[index] == pytest.approx(done.power_kw * overhead, rel=1e-12)
            # Within its own limit of power, at one clock it is slowed down to that.
            idle = work(replica, ClockPoint(1.0, 0.0, 0.0, ())).power_kw
            allowed = min(1.0, (tdp - idle) / (done.power_kw - idle))
            most = rates.rates(np.full(3, np.inf))[index]
            assert most == pytest.approx(fastest * allowed, rel=1e-12)


LPUS = {"choices.lpu_units": [256], "choices.replica_accelerators": [4, 72]}


@pytest.mark.parametrize("name", [*CASES, "rubin_nvl72_lpx"])
def test_throughput_grows_and_the_floor_falls_with_the_batch(name):
    # What proves that nothing between two batches is missed.
    instance = hbmopt.load(INSTANCES / f"{name}.yaml", CASES.get(name, LPUS))
    cap = np.inf if instance.power_cap_kw is None else instance.power_cap_kw
    configurations, _ = enumerate_configurations(instance)
    checked = 0
    for configuration in configurations[::5]:
        source = OperatingPoints(alike(instance, [configuration]))
        if source.most[0] < 1 or source.highest[0] < source.lowest[0] + 2:
            continue
        batches = np.unique(np.round(np.geomspace(source.first[0], source.last[0], 9)))
        counts = np.arange(1, source.most[0] + 1)[:, None]
        owners, first = np.zeros(len(batches), dtype=int), np.full(len(batches), batches[0])
        # With LPUs only where the HBM need not hold more than the first batch.
        held = BatchRates(source, owners, batches, first if source.rows.parts else None)
        rates = np.maximum(held.under(counts, np.array(cap)), 0.0)
        made = rates * batches
        assert (np.diff(made) >= -1e-9 * made[:, :-1]).all()
        assert (np.diff(rates) <= 1e-9 * rates[:, :-1]).all()
        true = np.maximum(source.at(0, batches).under(counts, np.array(cap)), 0.0)
        assert (true <= rates * (1 + 1e-9)).all()
        assert (np.diff(true) <= 1e-9 * true[:, :-1]).all()
        checked += bool((rates > 0).any())
    assert checked


def test_an_infeasible_instance_has_an_empty_frontier():
    instance = hbmopt.load(INSTANCES / "h200.yaml", {"limits.min_speed": "9000 tok/s/user"})
    drawn = frontier(instance)
    assert not drawn.feasible
    assert drawn.segments == ()
    assert drawn.ladder() == []
    assert drawn.to_dict()["status"] == "infeasible"


def test_what_a_frontier_cannot_be_drawn_of_is_said():
    with pytest.raises(InputError, match="one configuration at a time"):
        frontier(hbmopt.load(INSTANCES / "h200.yaml", {"choices.uniform": False}))
    with pytest.raises(InputError, match="whole sequences"):
        frontier(hbmopt.load(INSTANCES / "h200.yaml", {"choices.whole_sequences": False}))


def test_the_public_frontier_is_the_function_even_after_its_module_is_imported():
    assert hbmopt.frontier is frontier


def test_what_a_segment_says_holds_at_every_point_of_its_configuration(drawn):
    """Points of another configuration in between are there by rounding, and say nothing."""
    frame, begin = drawn.points_frame, 0
    for one in drawn.segments:
        inside = frame.iloc[begin : begin + one.points]
        own = inside[inside.configuration == one.configuration]
        assert {own.index[0], one.slowest.configuration} == {begin, one.configuration}
        assert one.fastest.throughput_tok_s == pytest.approx(own.throughput_tok_s.iloc[-1])
        assert own.replicas.iloc[0] == one.replicas
        middle = [own.index[len(own) // 2]] if own.replicas.nunique() == 1 else []
        for at in (own.index[0], *middle, own.index[-1]):
            found = {drawn.point_at(at).limiting_resource, one.limiting_resource}
            # A rack's provisioned power may be that of its chips: then both bind at once.
            assert len(found) == 1 or found == {"power_cap", "accelerator_power"}
        begin += one.points


def test_a_narrow_terminal_gets_fewer_columns_and_no_cut_numbers():
    drawn = frontier(loaded("h200"))
    for per, width in itertools.product(("rack", "mw"), (60, 80, 100, 172)):
        text = render_frontier(drawn, "table", per=per, width=width, color=False)
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= width
        assert ("Left out for want of width" in text) == (width < 172)


def test_speeds_that_nothing_reaches_are_named():
    text = invoked("--at", "200,100").stdout
    assert "Nothing reaches 200 tok/s per user; 109.2 is the most." in text
    assert "The most at" not in invoked("--at", "200").stdout


def test_a_budget_has_its_number_in_the_sketch():
    text = render_frontier(frontier(loaded("cpu_budget")), "table", width=None, color=False)
    assert " │1111" in text
    assert "1 host cpu" in text


def test_speeds_below_the_floor_of_the_instance_are_that_floor():
    instance = hbmopt.load(INSTANCES / "mi455x_helios.yaml")
    own = float(instance.limits.min_speed)
    solved, drawn = hbmopt.solve(instance), frontier(instance)
    (one,) = drawn.ladder([0.0, own / 2, own])
    assert one.floor_tok_s_user == own
    assert one.limiting_resource == solved.limiting_resource
    assert drawn.solution(own / 2).elasticities == pytest.approx(solved.elasticities)


def invoked(*arguments):
    return runner().invoke(cli, ["frontier", str(INSTANCES / "h200.yaml"), *arguments])


def test_the_command_draws_a_sketch_a_ladder_and_segments():
    outcome = invoked("--at", "30,60")
    assert outcome.exit_code == 0
    text = outcome.stdout
    assert "limited by  B HBM bandwidth" in text
    assert "The most at round speeds" in text
    ladder = text[text.index("The most at") : text.index("Segments")].splitlines()[3:]
    assert [line.split()[0] for line in ladder if line.strip()][:2] == ["30", "60"]
    assert "Exact: " in text


def test_the_command_writes_every_point_as_csv_and_all_as_json():
    drawn = frontier(loaded("h200"))
    rows = list(csv.DictReader(io.StringIO(invoked("--format", "csv").stdout)))
    assert len(rows) == len(drawn)
    assert float(rows[0]["throughput_tok_s"]) == pytest.approx(drawn.throughputs[0])
    found = json.loads(invoked("--format", "json", "--at", "40").stdout)
    assert [one["floor_tok_s_user"] for one in found["ladder"]] == [40.0]
    assert len(found["curve"]["speed_tok_s_user"]) == len(drawn)
    assert found["segments"][0]["slowest"]["throughput_tok_s"] == pytest.approx(
        drawn.throughputs[0]
    )


@pytest.mark.parametrize("speeds", ["fast", "10,,20", "-1", "nan"])
def test_speeds_that_are_none_are_an_error(speeds):
    outcome = invoked("--at", speeds)
    assert outcome.exit_code == 2
    assert "is not a speed" in outcome.stderr


def test_an_infeasible_frontier_says_so():
    outcome = invoked("--set", "limits.min_speed=9000 tok/s/user")
    assert outcome.exit_code == 1
    assert "Nothing can be served" in outcome.stdout


@pytest.fixture(scope="module")
def with_lpus():
    changes = {"choices.lpu_units": [0, 256], "choices.replica_accelerators": [4, 72]}
    return frontier(hbmopt.load(INSTANCES / "rubin_nvl72_lpx.yaml", changes))


def test_with_lpus_the_frontier_is_exact(with_lpus):
    assert with_lpus.to_dict([])["gap"] == 0.0
    assert (np.diff(with_lpus.speeds) > 0).all()
    assert (np.diff(with_lpus.throughputs) < 0).all()
    slowest, fastest = float(with_lpus.speeds[0]), float(with_lpus.speeds[-1])
    between = np.random.default_rng(1).uniform(slowest, fastest, 4)
    for speed in (*between, slowest, fastest):
        solution = solved_at(with_lpus.instance, float(speed) * (1 - 1e-9))
        found = with_lpus.throughput(float(speed) * (1 - 1e-9))
        assert found == pytest.approx(solution.throughput_tok_s, rel=1e-8)


def test_with_lpus_a_point_is_a_solution_there(with_lpus):
    middle = float(with_lpus.speeds[2] + with_lpus.speeds[3]) / 2
    point, solution = with_lpus.point(middle), solved_at(with_lpus.instance, middle)
    assert point.throughput_tok_s == pytest.approx(solution.throughput_tok_s, rel=1e-9)
    assert point.throughput_tok_s == pytest.approx(with_lpus.throughputs[3], rel=1e-9)
    for index in (0, len(with_lpus) // 2, len(with_lpus) - 1):
        solved = with_lpus.point_at(index).power_w
        assert with_lpus.powers_kw[index] * 1e3 == pytest.approx(solved, rel=1e-6)
    assert "LPUs" in with_lpus.points_frame["configuration"].iloc[-1]


PRICED = {"rack.price": "500000 USD"}


def test_throughput_is_divided_by_accelerators_power_and_price():
    drawn = frontier(hbmopt.load(INSTANCES / "h200.yaml", PRICED))
    count = int(drawn.instance.rack.accelerators)
    assert drawn.normalised("accelerator") == pytest.approx(drawn.throughputs / count)
    assert drawn.normalised("usd") == pytest.approx(drawn.throughputs / 0.5)
    assert drawn.normalised("mw") == pytest.approx(drawn.throughputs / drawn.powers_kw * 1e3)
    point, index = drawn.point_at(3), 3
    assert point.tok_s_per_mw == pytest.approx(drawn.normalised("mw")[index], rel=1e-8)
    assert point.tok_s_per_accelerator == pytest.approx(drawn.normalised("accelerator")[index])
    assert point.tok_s_per_million_usd == pytest.approx(drawn.normalised("usd")[index])
    frame = drawn.points_frame
    assert {"power_w", "tok_s_per_mw", "tok_s_per_million_usd"} <= set(frame.columns)
    with pytest.raises(InputError, match="none of them"):
        drawn.normalised("rak")


@pytest.mark.parametrize(
    ("per", "unit"),
    [
        ("accelerator", "tok/s per accelerator"),
        ("mw", "tok/s per MW"),
        ("usd", "tok/s per million USD"),
    ],
)
def test_the_text_follows_what_throughput_is_divided_by(per, unit):
    drawn = frontier(hbmopt.load(INSTANCES / "h200.yaml", PRICED))
    outcome = runner().invoke(
        cli,
        ["frontier", str(INSTANCES / "h200.yaml"), "--per", per, "--set", "rack.price=500000 USD"],
    )
    assert outcome.exit_code == 0
    lines = outcome.stdout.splitlines()
    assert any(line.endswith(f" {unit}") for line in lines)  # the top of the sketch
    assert any(f"price of 1 tok/s/user in {unit}" in line for line in lines)
    assert made(drawn.normalised(per)[0], banded=True) in outcome.stdout


def test_a_price_that_is_missing_is_told_before_the_work():
    path = str(INSTANCES / "rubin_nvl72_lpx.yaml")
    outcome = runner().invoke(cli, ["frontier", path, "--per", "usd"])
    assert outcome.exit_code == 2
    assert "rack.offload.price" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_nothing_is_per_mw_where_nothing_is_drawn():
    whole = {"choices.whole_sequences": "true"}
    drawn = frontier(hbmopt.load(INSTANCES / "closed_form.yaml", whole))
    assert (drawn.powers_kw == 0).all()
    assert "tok_s_per_mw" not in drawn.points_frame.columns
    with pytest.raises(InputError, match="draws no power"):
        drawn.normalised("mw")


def test_known_points_are_some_of_all_with_both_ends():
    drawn = frontier(hbmopt.load(INSTANCES / "h200.yaml"))
    found = drawn.known_points(7)
    assert 5 <= len(found) <= 7
    made = [one.throughput_tok_s for one in found]
    assert made == sorted(made, reverse=True)
    assert made[0] == pytest.approx(drawn.throughputs[0])
    assert made[-1] == pytest.approx(drawn.throughputs[-1])
