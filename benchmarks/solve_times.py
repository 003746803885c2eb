"""Seconds to solve each shipped instance: a cold process, and again in a warm one.

Run it from the repository's root with the environment in which hbmopt is installed:

    .venv/bin/python benchmarks/solve_times.py [REPEATS]
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

import hbmopt

INSTANCES = Path(__file__).resolve().parent.parent / "instances"


def cold(path: Path) -> float:
    """Return the seconds of one `hbmopt solve PATH --format json` in a process of its own."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "hbmopt", "solve", str(path), "--format", "json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def warm(path: Path) -> float:
    """Return the seconds of one solve of an instance that is loaded already."""
    instance = hbmopt.load(path)
    begun = time.perf_counter()
    hbmopt.solve(instance)
    return time.perf_counter() - begun


def main() -> None:
    """Print the median seconds by instance."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{'instance':32}{'cold s':>8}{'warm s':>8}")
    for path in sorted(INSTANCES.glob("*.yaml")) + sorted(INSTANCES.glob("generations/*.yaml")):
        warm(path)
        times = [statistics.median(run(path) for _ in range(repeats)) for run in (cold, warm)]
        print(f"{path.relative_to(INSTANCES)!s:32}{times[0]:8.2f}{times[1]:8.3f}")


if __name__ == "__main__":
    main()
