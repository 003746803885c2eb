"""Seconds of whole commands and planning scripts, each in a cold process, as a user waits for them.

`python benchmarks/command_times.py` prints them; `python benchmarks/command_times.py sensitivity`
those whose name holds that word.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
INSTANCES = sorted(path.stem for path in (ROOT / "instances").glob("*.yaml"))

FLEETS = sorted(path.stem for path in (ROOT / "instances" / "fleets").glob("*.yaml"))

FACTORY = """
import hbmopt
import yaml

TIMES, HOUR = {times}, {hour}
fleet = yaml.safe_load(open({file!r}, encoding="utf-8"))
for one in fleet["classes"].values():
    rate, unit = one["rate"].split()
    one["rate"] = f"{{TIMES * float(rate)}} {{unit}}"
    if HOUR is not None:
        one["load"] = [one["load"][HOUR]]
for one in fleet["racks"].values():
    one |= {{key: TIMES * one[key] for key in ("owned", "at_most") if key in one}}
power, unit = fleet["site"]["power"].split()
fleet["site"]["power"] = f"{{TIMES * float(power)}} {{unit}}"
if HOUR is not None:
    fleet["periods"] = [{{"name": "hour"}}]
plan = hbmopt.solve_fleet(fleet)
print(plan, f"gap {{plan.gap:.2%}}")
"""
"""The factory with more of everything, or in one of its hours."""

SITE = """
import hbmopt
import pyomo.environ as pyo

serving = {"llm": "deepseek_r1", "workload.context": 8192, "limits.min_speed": "50 tok/s/user"}
types = ("gb200_nvl72", "gb300_nvl72", "vr_nvl72")
site = pyo.ConcreteModel()
site.rack = pyo.Block(
    types, rule=lambda _, name: hbmopt.rack_block({"rack": name}, serving, racks_at_most=400)
)
racks = list(site.rack.values())
site.power = pyo.Constraint(expr=sum(rack.power for rack in racks) <= 40_000)
site.capital = pyo.Constraint(expr=sum(rack.cost for rack in racks) <= 9e8)
site.tokens = pyo.Objective(expr=sum(rack.throughput for rack in racks), sense=pyo.maximize)
hbmopt.solve_model(site)
"""


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each command, and what Python runs."""
    for name in INSTANCES:
        yield f"sensitivity {name}", ["-m", "hbmopt", "sensitivity", name]
    for name in INSTANCES:
        yield f"report {name}", ["-m", "hbmopt", "report", name, "-o", "report.html"]
    for name in ("rubin_nvl72_lpx", "gb200_nvl72"):
        yield f"frontier {name}", ["-m", "hbmopt", "frontier", name]
    mixed = ["--set", "choices.uniform=false"]
    yield "mix gb200_nvl72", ["-m", "hbmopt", "solve", "gb200_nvl72", *mixed]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (hall,) = re.findall(r"<!-- executed by the tests -->\n```python\n(.*?)```", readme, re.DOTALL)
    yield "plan: hall of the README", ["-c", hall]
    yield "plan: 40 MW, three kinds of racks", ["-c", SITE]
    for name in FLEETS:
        yield f"fleet {name}", ["-m", "hbmopt", "solve", name]
    file = str(ROOT / "instances" / "fleets" / "factory_100mw.yaml")
    for name, times, hour in (("one hour", 1, 15), ("ten times of all", 10, None)):
        script = FACTORY.format(file=file, times=times, hour=hour)
        yield f"fleet factory_100mw, {name}", ["-c", script]
    yield "help", ["-m", "hbmopt", "--help"]


def main(wanted: str) -> None:
    """Print the seconds of every command whose name holds a word."""
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in commands():
            if wanted not in name:
                continue
            begun = time.perf_counter()
            subprocess.run(
                [sys.executable, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL
            )
            print(f"{name:36} {time.perf_counter() - begun:6.2f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
