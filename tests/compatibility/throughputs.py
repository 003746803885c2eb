"""The throughput of every shipped instance, as kept in throughputs.csv.

`python tests/compatibility/throughputs.py` writes the table anew, after a change that is meant to
change answers.
"""

import csv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSTANCES = ROOT / "instances"
TABLE = Path(__file__).with_name("throughputs.csv")
COLUMNS = ("instance", "throughput_tok_s")


def shipped():
    """Return the instances by their path below `instances/`."""
    paths = [*INSTANCES.glob("*.yaml"), *INSTANCES.glob("generations/*.yaml")]
    return {path.relative_to(INSTANCES).as_posix(): path for path in sorted(paths)}


def kept():
    """Return what the table says."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["instance"]: float(row["throughput_tok_s"]) for row in csv.DictReader(file)}


def solved(path):
    """Return the throughput of one instance in tokens/s."""
    import hbmopt

    return hbmopt.solve(hbmopt.load(path)).throughput_tok_s


if __name__ == "__main__":
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((name, f"{solved(path):.10g}") for name, path in shipped().items())
