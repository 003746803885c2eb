"""Racks of one model side by side: tokens per MW, USD per million tokens, and speed.

Solves the same question on each rack at several speed floors and writes docs/comparison.md, with
the status of every figure that is not a data sheet's. Run it from the repository's root with the
environment in which hbmopt is installed:

    .venv/bin/python benchmarks/comparison.py
"""

import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hbmopt
from hbmopt.basics import rounded, show
from hbmopt.documents import Figure
from hbmopt.instance import Instance, cost_rate, rack_kw, recovery, usd_per_million
from hbmopt.points import TargetSearch
from hbmopt.results import Estimate

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "comparison.md"

RACKS: dict[str, str | dict[str, str]] = {
    "GB300 NVL72": "gb300_nvl72",
    "Rubin NVL72": "vr_nvl72",
    "Rubin NVL72 + LPX": {"base": "vr_nvl72", "offload": "lpx"},
    "AMD Helios (MI455X)": "helios",
    "TPU 8i rack": "tpu_8i_rack",
    "Qualcomm AI200": "qualcomm_ai200_rack",
}
"""Names in the document, and entries of the catalogue; costs are compared with the first."""

SPEEDS = (25.0, 50.0, 100.0, 200.0, 400.0)
"""Speed floors in tok/s per user."""

AT = 50.0
"""The floor at which costs are taken apart."""

DAY = [{"share": 1.0, "weight": 8}, {"share": 0.6, "weight": 6}, {"share": 0.3, "weight": 10}]
"""Hours of a day by their share of the peak."""

QUESTION: dict[str, Any] = {
    "llm": "gpt_oss_120b",
    "workload": {"prompt": 8192, "output": 1024},
    "choices": {"weight_formats": ["fp4"], "kv_formats": ["fp8"]},
    "economics": {"load": DAY},
}

MARKS = {"announced": "a", "press": "p", "derived": "d", "estimate": "e"}
"""Letters of statuses in the tables; figures of data sheets carry none."""


@dataclass(frozen=True)
class Rung:
    """What a rack makes at a speed floor; None where it cannot reach it."""

    throughput: float
    rack_kw: float
    full: float | None
    load: float | None

    @property
    def per_mw(self) -> float:
        """Tokens per s for each MW that the rack draws."""
        return self.throughput / self.rack_kw * 1e3


@dataclass(frozen=True)
class Compared:
    """One rack: its instance, what it makes at each speed, and what that rests on."""

    name: str
    instance: Instance
    rungs: dict[float, Rung | None]
    fastest: float
    provenance: tuple[Estimate, ...]


def compared() -> list[Compared]:
    """Return all racks, solved at all speeds."""
    return [_compared(name, rack) for name, rack in RACKS.items()]


def _compared(name: str, rack: str | dict[str, str]) -> Compared:
    instance = hbmopt.load({"name": name, "rack": rack} | QUESTION)
    rungs = dict[float, Rung | None]()
    provenance: tuple[Estimate, ...] = ()
    for speed in SPEEDS:
        solution = hbmopt.solve(instance.at_floor(speed))
        rungs[speed] = None
        if solution.throughput_tok_s is None or solution.power_w is None:
            continue
        known = solution.economics
        rungs[speed] = Rung(
            solution.throughput_tok_s,
            rack_kw(instance, solution.power_w / 1e3),
            known.full_utilisation.usd_per_million if known is not None else None,
            known.load.usd_per_million if known is not None and known.load is not None else None,
        )
        # That of the LPUs stands in the answers that use them.
        if len(solution.provenance) > len(provenance):
            provenance = solution.provenance
    fastest, _ = TargetSearch(instance).fastest()
    return Compared(name, instance, rungs, fastest, provenance)


def even_price(one: Compared, usd: float, speed: float) -> float | None:
    """Return the price in USD at which a rack's tokens cost so much at full utilisation."""
    rung = one.rungs[speed]
    if rung is None:
        return None
    rack: dict[str, str] = {"rack.price": "0 USD"}
    if one.instance.rack.offload is not None:
        rack["rack.offload.price"] = "0 USD"
    free = cost_rate(hbmopt.load(one.instance, rack))
    if free is None:
        raise AssertionError("a rack of 0 USD has a price")
    terms = one.instance.economics
    yearly = recovery(float(terms.discount_rate), float(terms.life)) + float(terms.operations_share)
    beside = usd_per_million(free.usd_per_hour(rung.rack_kw), rung.throughput)
    return (usd - beside) / usd_per_million(yearly / 8760.0, rung.throughput)


def document_text(racks: Sequence[Compared]) -> str:
    """Return the document."""
    first = racks[0]
    base = first.rungs[AT]
    if base is None or base.full is None:
        raise AssertionError("costs are compared with a rack that has one")
    work = first.instance.workload
    terms = first.instance.economics
    hours = sum(one.weight for one in terms.stretches)
    used = sum(one.share * one.weight for one in terms.stretches) / hours
    day = ", ".join(f"{one.weight:g} h at {one.share:.0%}" for one in terms.stretches)
    parts = [
        "# Racks side by side",
        "Made by `benchmarks/comparison.py`; a test compares it with what the command makes. One "
        f"question to all: {first.instance.llm.title} with prompts of {_tokens(work.prompt)} and "
        f"outputs of {_tokens(work.output)} tokens, prompts computed elsewhere, fp4 "
        "weights and fp8 caches; per rack the best configuration that there is, under its own "
        "power limit. Step times are those of `calibration: universal`, whose errors on chips and "
        "models that were measured [accuracy.md](accuracy.md) lists.",
        "Figures carry what they are worth: " + _legend() + "; those without a letter are a data "
        "sheet's. What is computed from them is as good as the weakest.",
        "## The racks",
        _table(
            ("rack", "chips", "HBM or DRAM, GB each", "TB/s each", "kW", "price, million USD"),
            [
                (
                    one.name,
                    _marked(one.instance.rack.accelerators),
                    _marked(one.instance.rack.accelerator.hbm_capacity),
                    _marked(one.instance.rack.accelerator.hbm_bandwidth),
                    _power(one.instance),
                    _price(one.instance),
                )
                for one in racks
            ],
        ),
        "The power is the limit, with that of the LPUs, or where none is published the most that "
        "everything draws. Prices without a source are left out, not guessed.",
        "## Tokens per MW",
        "Output tokens per s for each MW that the rack draws, at speed floors in tok/s per user. "
        "LPUs that have nothing to do draw power at rest. Order and distance of racks whose power "
        "is an estimate may turn out otherwise.",
        _by_speed(racks, lambda rung: rounded(rung.per_mw, 3)),
        "## Tokens per rack",
        "Output tokens per s.",
        _by_speed(racks, lambda rung: rounded(rung.throughput, 3)),
        "## Speed",
        "The highest speed of a single replica, whatever it costs.",
        _table(("rack", "tok/s per user"), [(one.name, show(one.fastest, 3)) for one in racks]),
        "## USD per million output tokens",
        "At full utilisation: the rack is asked for all that it makes, at all times.",
        _by_speed(racks, lambda rung: show(rung.full, 3) if rung.full is not None else "unknown"),
        f"Of a day with {day} of the peak, {used:.0%} in the mean. Capacity is bought for the "
        "peak, power is paid for the hour.",
        _by_speed(racks, lambda rung: show(rung.load, 3) if rung.load is not None else "unknown"),
        f"What a rack may cost, LPUs included, for tokens as cheap as those of {first.name} at its "
        "price and full utilisation:",
        _table(
            ("million USD at tok/s per user", *(f"{speed:g}" for speed in SPEEDS)),
            [(one.name, *(_even(one, first, speed) for speed in SPEEDS)) for one in racks[1:]],
        ),
        "A price is not what it costs the maker: who builds chips for himself pays less.",
        "## What it rests on",
        "The terms, the same for all: " + _terms(first) + ". All of them are estimates; "
        "[economics.md](economics.md) writes the arithmetic out.",
        "Figures of the racks that are estimates, with their reasons:",
        *(_estimates(one) for one in racks),
    ]
    return "\n\n".join(_wrapped(one) for one in parts) + "\n"


def _wrapped(part: str) -> str:
    """Return a paragraph in lines as other documents have them; tables and headings as they are."""
    return part if part.startswith(("#", "|")) else textwrap.fill(part, 118)


def _tokens(count: Figure | None) -> str:
    return show(float(count), 6) if count is not None else ""


def _legend() -> str:
    return ", ".join(f"({mark}) {status}" for status, mark in MARKS.items())


def _marked(figure: Figure, scale: float = 1.0) -> str:
    mark = MARKS.get(figure.status)
    return show(figure.amount * scale) + (f" ({mark})" if mark else "")


def _power(instance: Instance) -> str:
    rack = instance.rack
    if rack.power is None:
        most = float(rack.static_power) + float(rack.accelerators) * float(rack.accelerator.tdp)
        return f"{show(most)} (e)"
    if rack.offload is not None and rack.offload.power is not None:
        return f"{_marked(rack.power)} + {_marked(rack.offload.power)}"
    return _marked(rack.power)


def _price(instance: Instance) -> str:
    rack = instance.rack
    own = _marked(rack.price, 1e-6) if rack.price is not None else "unknown"
    return f"{own} + unknown" if rack.offload is not None and rack.offload.price is None else own


def _by_speed(racks: Sequence[Compared], cell: Callable[[Rung], str]) -> str:
    def text(rung: Rung | None) -> str:
        return cell(rung) if rung is not None else "not reached"

    header = ("rack", *(f"{speed:g}" for speed in SPEEDS))
    return _table(
        header, [(one.name, *(text(one.rungs[speed]) for speed in SPEEDS)) for one in racks]
    )


def _even(one: Compared, first: Compared, speed: float) -> str:
    base = first.rungs[speed]
    if base is None or base.full is None:
        return ""
    found = even_price(one, base.full, speed)
    if found is None:
        return "not reached"
    return show(found / 1e6, 3) if found > 0 else "never"


def _terms(one: Compared) -> str:
    terms, limits = one.instance.economics, one.instance.limits
    return (
        f"{show(float(terms.life))} years at {100 * float(terms.discount_rate):g} % a year, "
        f"{show(float(terms.site), 6)} USD per kW of site over {show(float(terms.site_life))} "
        f"years, {100 * float(terms.operations_share):g} % of the price a year for operations, "
        f"{show(float(terms.power_price))} USD/kWh at a PUE of {show(float(limits.pue))}"
    )


def _estimates(one: Compared) -> str:
    rows = [
        (f"`{each.input.removeprefix('rack.')}`", each.value, each.note or "no reason is given")
        for each in one.provenance
        if each.status == "estimate" and each.input.startswith("rack.")
    ]
    if not rows:
        return f"### {one.name}\n\nNone."
    return f"### {one.name}\n\n" + _table(("figure", "value", "why"), rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Write the document."""
    text = document_text(compared())
    DOCUMENT.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{DOCUMENT}: {len(text.splitlines())} lines\n")


if __name__ == "__main__":
    main()
