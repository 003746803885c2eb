"""The exact frontier of DeepSeek-R1 on 72 GB200: seconds, memory, and agreement with solves.

All layouts, two weight formats, three draft depths. Run it from the repository's root with the
environment in which hbmopt is installed:

    .venv/bin/python benchmarks/frontier_times.py [SOLVES]
"""

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import hbmopt

INSTANCE = Path(__file__).resolve().parent.parent / "instances" / "gb200_nvl72.yaml"
CHANGES = {
    "choices.draft_tokens": "[0, 1, 2]",
    "workload.draft_acceptance": "0.7",
    "limits.min_speed": "0 tok/s/user",
}
REPEATS = 5


def cold() -> float:
    """Return the seconds of one `hbmopt frontier` in a process of its own."""
    changes = [part for key, value in CHANGES.items() for part in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "hbmopt", "frontier", str(INSTANCE), *changes]
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def solved_at(instance: hbmopt.Instance, speed: float) -> float:
    """Return the throughput of an independent solve at a speed floor."""
    return hbmopt.solve(instance.at_floor(speed)).throughput_tok_s or 0.0


def main() -> None:
    """Print seconds, peak memory, and the largest difference from independent solves."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    times = [cold() for _ in range(REPEATS)]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"cold process: {statistics.median(times):.2f} s (median of {REPEATS}), {peak:.0f} MiB")
    instance = hbmopt.load(INSTANCE, [f"{key}={value}" for key, value in CHANGES.items()])
    begun = time.perf_counter()
    drawn = hbmopt.frontier(instance)
    points = time.perf_counter() - begun
    segments = len(drawn.segments)
    seconds = time.perf_counter() - begun
    print(f"warm: {points:.2f} s for {len(drawn)} points, {seconds:.2f} s with {segments} segments")
    falls = bool((np.diff(drawn.throughputs) < 0).all() and (np.diff(drawn.speeds) > 0).all())
    print(f"monotone: {falls}")
    worst, begun = 0.0, time.perf_counter()
    for speed in np.linspace(drawn.speeds[0], drawn.speeds[-1], count):
        floor = float(speed) * (1 - 1e-9)
        reached = solved_at(instance, floor)
        worst = max(worst, abs(drawn.throughput(floor) / reached - 1))
    seconds = time.perf_counter() - begun
    print(f"{count} independent solves: {seconds:.0f} s, largest difference {worst:.1e}")


if __name__ == "__main__":
    main()
