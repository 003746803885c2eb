"""Names and numbers in words, the same in all tables, pages, charts and sentences."""

import math

from hbmopt.basics.plain_text import one_line

SCOPES = {
    "accelerators": "accelerators only",
    "rack": "whole rack",
    "facility": "rack and its share of the facility",
}
INPUT_NAMES = {
    "hbm_capacity": "HBM capacity",
    "hbm_bandwidth": "HBM bandwidth",
    "compute": "compute",
    "interconnect": "scale-up links",
    "scale_out": "scale-out network",
    "latency": "latency per layer",
    "power_cap": "power cap",
    "accelerator_power": "accelerator power limit",
    "sram_capacity": "LPU SRAM capacity",
    "sram_bandwidth": "LPU SRAM bandwidth",
    "lpu_compute": "LPU compute",
    "lpu_link": "LPU links",
    "lpu_latency": "LPU latency per visit",
}
STEP_NAMES = {
    "weights": "reading dense weights",
    "experts": "reading weights of experts",
    "kv": "reading the KV cache",
    "gemm": "dense matrix products",
    "experts_gemm": "matrix products of experts",
    "attention": "attention arithmetic",
    "prefill": "prompts in between",
    "link": "traffic between accelerators",
    "scale_out": "traffic between scale-up domains",
    "latency": "latency of layers and sequences",
    "sram": "reading weights from SRAM",
    "lpu_compute": "matrix products on LPUs",
    "lpu_link": "activations to LPUs and back",
    "waiting": "waiting, as power or a budget limits",
}


def show(value: float, digits: int = 4) -> str:
    """Write a number with `digits` significant digits and thousands separators."""
    if value == 0:
        return "0"
    magnitude = abs(value)
    if magnitude >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:,.{digits}g}" if magnitude >= 1e-4 else f"{value:.2e}"


def rounded(value: float, digits: int) -> str:
    """Write a number rounded to so many significant digits, with thousands separators."""
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):,.{max(places, 0)}f}"


BAND_DIGITS = 3
"""Digits of what is known within a band: its ends are a few per cent apart at least."""


def range_text(low: float, high: float) -> str:
    """Write the range in which four of five cases lie."""
    return f"{rounded(low, BAND_DIGITS)} to {rounded(high, BAND_DIGITS)}"


def made(value: float, *, banded: bool, digits: int = 6) -> str:
    """Write what a rack makes or draws, with no more digits than are known.

    Those of a band where its error is known by one; `digits` where constants are one's own.
    """
    return rounded(value, BAND_DIGITS) if banded else show(value, digits)


def counted(count: int, name: str) -> str:
    """Write a count of things."""
    return f"{count} {name}{'' if count == 1 else 's'}"


def signed(value: float) -> str:
    """Write a price with its sign."""
    return ("+" if value > 0 else "") + show(value)


def shown(value: float | None, digits: int = 4) -> str:
    """Write a number as `show` does, nothing where there is none."""
    return show(value, digits) if value is not None else ""


def input_name(name: str | None) -> str:
    """Return the words for an input, a limit or a budget that somebody declared; "" for none."""
    return INPUT_NAMES.get(name, name.replace("_", " ")) if name else ""


def elasticity_text(value: float) -> str:
    """Write an elasticity with its sign, 0 where it is less than is worth a digit."""
    return f"{value:+.3f}" if abs(value) >= 5e-4 else "0"


def brief(kind: str, *facts: str) -> str:
    """Write an answer as a prompt shows it, in one line: its kind, and the facts that there are."""
    return f"<{kind}: {one_line(', '.join(fact for fact in facts if fact))}>"
