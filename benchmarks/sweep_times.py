"""Rates and memory of sweeps, beside a bare loop of HiGHS over the same winning programs.

`python benchmarks/sweep_times.py` prints them. Sweeps run in a cold process each, as a user's do.
With `--long` it also tells the memory of a hundred thousand points, which takes minutes.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import highspy

from hbmopt import highs
from hbmopt.instance import load_document
from hbmopt.sweep_workers import Problem, in_this_process
from hbmopt.variation import parse_variation, points

INSTANCE = Path(__file__).parents[1] / "instances" / "rubin_ultra.yaml"
CAPS = "limits.power=180 kW:599.58 kW:0.42 kW"
GRID = (
    "limits.power=150 kW:645 kW:5 kW",
    "limits.min_speed=1 tok/s/user:100 tok/s/user:1 tok/s/user",
)


LONG = (
    "limits.power=150 kW:649.5 kW:0.5 kW",
    "limits.min_speed=1 tok/s/user:100 tok/s/user:1 tok/s/user",
)


def cold(variations: Sequence[str], *options: str) -> tuple[float, float]:
    """Return the seconds of a sweep from the command line, and the MB that it takes at most."""
    varied = [option for one in variations for option in ("--vary", one)]
    with tempfile.TemporaryDirectory() as folder:
        output = str(Path(folder) / "rows.csv")
        begun = time.perf_counter()
        sweep = [sys.executable, "-m", "hbmopt", "sweep", str(INSTANCE), *varied, "-o", output]
        process = subprocess.Popen([*sweep, *options])
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(f"the sweep ended with {os.waitstatus_to_exitcode(status)}")
        return time.perf_counter() - begun, usage.ru_maxrss / 1e3


def winning_programs(variation: str) -> tuple[list[highs.Program], float]:
    """Return the programs that a sweep solves, and the seconds it takes in a warm process."""
    varied = parse_variation(variation)
    grid = points([varied])
    problem = Problem(load_document(INSTANCE), (varied.path,))
    programs: list[highs.Program] = []
    plain = highs.solve_all

    def kept(solved: Iterable[highs.Program], *, integers: bool) -> list[highs.Answer]:
        listed = list(solved)
        programs.extend(listed)
        return plain(listed, integers=integers)

    highs.solve_all = kept
    list(in_this_process(problem, grid))
    highs.solve_all = plain
    begun = time.perf_counter()
    list(in_this_process(problem, grid))
    return programs, time.perf_counter() - begun


def bare(programs: Sequence[highs.Program]) -> float:
    """Return the seconds of a loop that does nothing but solve, from the last basis that fits."""
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("presolve", "off")
    basis = None
    begun = time.perf_counter()
    for program in programs:
        columns, rows = len(program.cost), len(program.row_lower)
        solver.passModel(
            columns,
            rows,
            len(program.values),
            int(highspy.MatrixFormat.kRowwise),
            int(highspy.ObjSense.kMaximize),
            0.0,
            program.cost,
            program.column_lower,
            program.column_upper,
            program.row_lower,
            program.row_upper,
            program.starts,
            program.indices,
            program.values,
            [0] * columns,
        )
        if basis is not None and (len(basis.col_status), len(basis.row_status)) == (columns, rows):
            solver.setBasis(basis)
        solver.run()
        basis = solver.getBasis()
        solver.getSolution()
    return time.perf_counter() - begun


def main() -> None:
    """Print the rates."""
    programs, warm = winning_programs(CAPS)
    alone = min(bare(programs) for _ in range(5))
    count = counted([CAPS])
    print(f"{count:,} power caps, warm process: {count / warm:,.0f} points/s")
    print(
        f"{len(programs):,} winning programs, bare HiGHS: {len(programs) / alone:,.0f} programs/s"
    )
    print(
        f"rate of the sweep / rate of the bare loop: {count / warm / (len(programs) / alone):.0%}"
    )
    print(f"{count:,} power caps, cold process: {told([CAPS])}")
    print(f"{counted(GRID):,} caps and floors, cold, --jobs 2: {told(GRID, '--jobs', '2')}")
    if "--long" in sys.argv:
        print(f"{counted(LONG):,} caps and floors, cold: {told(LONG)}")


def counted(variations: Sequence[str]) -> int:
    """Return the number of points of a grid."""
    return len(points([parse_variation(one) for one in variations]))


def told(variations: Sequence[str], *options: str) -> str:
    """Return time and memory of a sweep in words."""
    seconds, megabytes = cold(variations, *options)
    return f"{seconds:.1f} s, {megabytes:.0f} MB"


if __name__ == "__main__":
    main()
