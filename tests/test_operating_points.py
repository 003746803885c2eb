"""Rates of operating points, and the programs behind them, are what HiGHS finds."""

import numpy as np
import pytest

import hbmopt
from builders import INSTANCES
from hbmopt.demand import Demand, Segment, alike, enumerate_configurations
from hbmopt.points import BatchRates, OperatingPoints
from hbmopt.points.many_programs import maximised
from hbmopt.program import highs, solve_program

CLOCKS = {"choices.clocks": [(1000 - 25 * step) / 1000 for step in range(17)]}
CASES = {
    "h200": [3.0, 6.0, 100.0],
    "gb200_nvl72": [60.0, 90.0, 200.0],
    "mi455x_helios": [100.0, 250.0],
    "rubin_nvl72_lpx": [110.0, 180.0, 1000.0],
}
"""Power caps in kW, some of which leave room for few replicas."""


@pytest.mark.parametrize("calibration", ["universal", "spec_sheet"])
@pytest.mark.parametrize("name", CASES)
def test_rates_are_those_of_the_declared_program(name, calibration):
    generator, compared = np.random.default_rng(5), 0
    for cap in CASES[name]:
        changes = {"limits.power": f"{cap} kW", "limits.min_speed": "0 tok/s/user"}
        changes |= CLOCKS | {"calibration": calibration}
        instance = hbmopt.load(INSTANCES / f"{name}.yaml", changes)
        configurations, _ = enumerate_configurations(instance)
        for place in generator.choice(len(configurations), 6, replace=False):
            demand = Demand(instance, configurations[place])
            points = OperatingPoints(alike(instance, [configurations[place]]))
            if points.last[0] < points.first[0] or points.most[0] < 1:
                continue
            spread = np.log([points.first[0], points.last[0]])
            batches = np.round(np.exp(generator.uniform(*spread, 3)))
            count = int(generator.integers(1, points.most[0] + 1))
            rates = points.at(0, batches)
            found = rates.under(np.array([[count]]), np.array(cap))[0]
            for at, batch in enumerate(batches.tolist()):
                solved = solve_program(demand, Segment(batch, batch), float(count))
                if not solved.answer.optimal:
                    assert found[at] <= 0.0
                    continue
                expected = solved.throughput / (count * rates.tokens[at])
                assert found[at] == pytest.approx(expected, rel=1e-7, abs=1e-12)
                compared += expected > 0
                if expected > 0:
                    parts = rates.parts(at, float(found[at]))
                    mean = sum(part.share * part.steps for part in parts)
                    assert mean == pytest.approx(found[at], rel=1e-9)
                    assert sum(part.share for part in parts) == pytest.approx(1.0)
    assert compared >= 10


def test_a_glance_is_never_below_what_is_so():
    changes = CLOCKS | {"limits.min_speed": "0 tok/s/user"}
    instance = hbmopt.load(INSTANCES / "rubin_nvl72_lpx.yaml", changes)
    configurations, _ = enumerate_configurations(instance)
    for configuration in configurations[::40]:
        points = OperatingPoints(alike(instance, [configuration]))
        batches = np.unique(np.round(np.geomspace(points.first[0], points.last[0], 9)))
        rates = points.at(0, batches)
        power = np.linspace(0.2, 1.1, 7)[:, None] * rates.power
        glance = BatchRates(points, rates.owners, batches).rates_at_most(power)
        assert (rates.rates(power) <= glance * (1 + 1e-9)).all()


@pytest.mark.parametrize(("height", "width"), [(3, 1), (6, 3), (20, 5)])
def test_many_programs_have_the_optima_of_each(height, width):
    generator, programs = np.random.default_rng(2), 60
    rows = generator.uniform(-0.3, 1.0, (programs, height, width))
    rows[generator.uniform(size=rows.shape) < 0.3] = 0.0
    limits = generator.uniform(0.0, 2.0, (programs, height))
    # Rows that hold at nothing, as those of what fits do: vertices at which many rows meet.
    limits[generator.uniform(size=limits.shape) < 0.3] = 0.0
    cost = generator.uniform(-0.5, 1.0, (programs, width))
    found, bounded = maximised(cost, rows, limits), 0
    for place in range(programs):
        answer = highs.solve(program(cost[place], rows[place], limits[place]), integers=False)
        if not answer.optimal:
            assert np.isinf(found[place]).all()
            continue
        bounded += 1
        assert (found[place] >= 0).all()
        assert (rows[place] @ found[place] <= limits[place] + 1e-9).all()
        assert cost[place] @ found[place] == pytest.approx(answer.objective, rel=1e-7, abs=1e-9)
    assert bounded >= 20


def program(cost, rows, limits):
    """One of the programs, as HiGHS has it."""
    height, width = rows.shape
    kept = rows != 0.0
    return highs.Program(
        cost=cost,
        column_lower=np.zeros(width),
        column_upper=np.full(width, highs.INFINITY),
        integer=(),
        row_lower=np.full(height, -highs.INFINITY),
        row_upper=limits,
        starts=np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32),
        indices=np.nonzero(kept)[1].astype(np.int32),
        values=rows[kept],
    )
