"""What a script takes from pandas, and a sweep on one process and on two."""

import pandas as pd
import pytest
from throughputs import INSTANCES

import hbmopt

H100 = INSTANCES / "h100.yaml"
VARIATIONS = ["limits.power=6 kW:9 kW:1 kW", "limits.min_speed=20 tok/s/user,40 tok/s/user"]


def test_the_frames_of_a_solution_hold_its_rows():
    solution = hbmopt.solve(hbmopt.load(H100))
    rows = solution.constraints_frame
    assert rows.loc["min_speed", "binding"]
    assert rows.loc["accelerators", "usage"] == pytest.approx(8)
    inputs = solution.inputs_frame
    assert inputs["elasticity"].idxmax() == solution.limiting_resource


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_sweep_is_its_solves(jobs, tmp_path):
    path = tmp_path / "sweep.csv"
    found = hbmopt.sweep(H100, VARIATIONS, jobs=jobs, output=path)
    table = pd.read_csv(path)
    assert len(table) == len(found.rows) == 8
    for row in table.to_dict("records")[::3]:
        alone = hbmopt.solve(
            hbmopt.load(
                H100,
                {
                    "limits.power": f"{row['limits.power [kW]']} kW",
                    "limits.min_speed": f"{row['limits.min_speed [tok/s/user]']} tok/s/user",
                },
            )
        )
        assert row["status"] == alone.status
        if alone.feasible:
            assert row["throughput_tok_s"] == pytest.approx(alone.throughput_tok_s, rel=1e-6)
