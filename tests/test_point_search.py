"""The best operating point found by formula is the optimum of the program."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hbmopt
from builders import INSTANCES
from hbmopt.documents.figure import Figure
from hbmopt.points import PointSearch, has_formula
from racks import small_instances

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def limited(instance, **figures):
    changes = {
        name: Figure(float(amount), "power" if name == "power" else "speed")
        for name, amount in figures.items()
    }
    limits = instance.limits.model_copy(update=changes)
    return instance.model_copy(update={"limits": limits})


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("h200", {}),
        ("rubin_nvl72", {"choices.replica_accelerators": [8, 72]}),
        ("cpu_budget", {}),
    ],
)
def test_one_search_serves_all_caps_and_floors(name, changes):
    base = hbmopt.load(INSTANCES / f"{name}.yaml", changes)
    search = PointSearch(base)
    highest = base.power_cap_kw or 100.0
    generator = np.random.default_rng(3)
    for cap, floor in zip(
        generator.uniform(0.4, 1.0, 6) * highest, generator.uniform(0.0, 80.0, 6), strict=True
    ):
        instance = limited(base, power=cap, min_speed=floor)
        found, solution = search.best([instance]), hbmopt.solve(instance)
        reached = found[0].throughput[0] if found else 0.0
        assert reached == pytest.approx(solution.throughput_tok_s or 0.0, rel=1e-9)


@settings(max_examples=12, deadline=None, suppress_health_check=SLOW)
@given(small_instances(lpus=False), st.floats(0.4, 1.5), st.floats(0.0, 50.0))
def test_any_small_rack_has_the_point_of_its_solve(mapping, share, floor):
    base = hbmopt.load(mapping)
    search = PointSearch(base)
    cap = share * (1.0 + 0.7 * mapping["rack"]["accelerators"])
    instance = limited(base, power=cap, min_speed=floor)
    check_against_its_solve(search, instance)
    uncapped = limited(base, min_speed=floor)
    limits = uncapped.limits.model_copy(update={"power": None})
    check_against_its_solve(search, uncapped.model_copy(update={"limits": limits}))


def check_against_its_solve(search, instance):
    found, solution = search.best([instance]), hbmopt.solve(instance)
    assert (not found) == (solution.status == "infeasible")
    if found:
        assert found[0].throughput[0] == pytest.approx(solution.throughput_tok_s, rel=1e-9)


def test_answers_do_not_depend_on_what_is_asked_with_them():
    base = hbmopt.load(INSTANCES / "rubin_nvl72.yaml")
    instances = [
        limited(base, power=cap, min_speed=floor)
        for cap in (110.0, 120.0, 90.0, 100.0)
        for floor in (0.0, 35.0)
    ]

    def told(found):
        """Say all that is known of each instance's point, to the last bit."""
        points = {}
        for best in found:
            for at, place in enumerate(best.places.tolist()):
                runs = [
                    getattr(run.take([at]), name).tobytes()
                    for run in (best.whole, best.free)
                    for name in ("batch", "rate", "share", "steps")
                ]
                configuration = best.demand.configuration
                points[place] = [configuration, best.replicas[at], best.throughput[at], *runs]
        return points

    together = told(PointSearch(base).best(instances))
    search = PointSearch(base)
    alone = [told(search.best([one])) for one in reversed(instances)][::-1]
    assert [together.get(place) for place in range(len(instances))] == [one.get(0) for one in alone]
    assert len({point[2] for point in together.values()}) > 4


def test_what_has_a_formula_is_known():
    assert has_formula(hbmopt.load(INSTANCES / "h200.yaml"))
    assert not has_formula(hbmopt.load(INSTANCES / "rubin_nvl72_lpx.yaml"))
    assert not has_formula(hbmopt.load(INSTANCES / "h200.yaml", {"choices.uniform": False}))
    assert not has_formula(hbmopt.load(INSTANCES / "cpu_budget.yaml"))
