"""The verdict on a claim, in two or three sentences that can be quoted."""

import math
from collections.abc import Callable

from hbmopt.basics import BAND_DIGITS, STEP_NAMES, made
from hbmopt.studies.claim.answer import AT_BATCH, AT_SPEED, Check, ClaimLimit, ClosestPoint

LIMIT_WORDS = {
    "hbm_capacity": "HBM capacity",
    "hbm_bandwidth": "HBM bandwidth",
    "compute": "compute",
    "interconnect": "scale-up bandwidth",
    "scale_out": "scale-out bandwidth",
    "accelerator_power": "accelerator power limit",
    "step_time": "time that a step has",
    "power_cap": "power",
    "sram_capacity": "SRAM capacity",
    "sram_bandwidth": "SRAM bandwidth",
    "lpu_compute": "LPU compute",
    "lpu_link": "LPU link bandwidth",
}

MOST_LACKS = 2
"""Missing limits of which the verdict gives the numbers."""


def verdict_of(found: Check) -> str:
    """Return the verdict in two or three sentences that can be quoted."""
    claim, point = found.claim, found.closest
    if point is None:
        raise AssertionError("a verdict in numbers needs a point")
    asked = (
        f"{requests(claim.batch)} at {claim.speed_tok_s_user:,.6g} tok/s/user "
        f"({claim.throughput_tok_s:,.10g} tok/s)"
    )
    if claim.power_is_claimed and claim.power_w is not None:
        asked += f" at {claim.power_w / 1e3:,.5g} kW"
    return (_possible if found.possible else _impossible)(found, point, asked)


def _possible(found: Check, point: ClosestPoint, asked: str) -> str:
    worst = max(found.limits, key=lambda one: one.utilization)
    kilowatt = f"{made(point.power_w / 1e3, banded=found.banded, digits=4)} kW"
    if found.claim.power_w is not None:
        kilowatt += f" of {found.claim.power_w / 1e3:,.5g} kW"
    text = (
        f"Possible: {asked} {_verb(found, 'run')} on {found.rack} with {point.replicas} x "
        f"{point.configuration}, which uses {worst.utilization:.1%} of the {_words(worst.name)} "
        f"and {kilowatt}."
    )
    return text + _reach(found, "At most ")


def _impossible(found: Check, point: ClosestPoint, asked: str) -> str:
    missing = sorted(
        (one for one in found.limits if one.missing is not None), key=lambda one: -one.utilization
    )
    lacks = " and ".join(_lack(one, point, _digits(found)) for one in missing[:MOST_LACKS])
    if len(missing) > MOST_LACKS:
        names = ", ".join(
            f"{_times(one.utilization)} x the {_words(one.name)}" for one in missing[MOST_LACKS:]
        )
        lacks += f" (besides {names})"
    closest = f"the closest of {found.configurations} configurations"
    if found.configurations == 1:
        closest = "the only configuration"
    text = (
        f"Not possible: {asked} on {found.rack} {_verb(found, 'need')} {lacks}, even in {closest} "
        f"({point.replicas} x {point.configuration})."
    )
    text += _reach(found, "Within reach: ")
    if found.least_power_w is not None and found.claim.power_w is not None:
        efficiency = found.claim.throughput_tok_s / found.least_power_w * 1e6
        text += (
            f" With {_up(found.least_power_w / 1e3, _digits(found))} kW it would be possible, at "
            f"{made(efficiency, banded=found.banded)} tok/s/MW"
        )
        claimed = found.claim.tok_s_per_mw
        if found.claim.power_is_claimed and claimed is not None:
            text += f" instead of {claimed:,.0f}"
        text += "."
    return text


def requests(count: float) -> str:
    """Write a number of requests, which may be a fraction of one."""
    return f"{count:,.10g} request{'' if count == 1 else 's'}"


def _verb(found: Check, verb: str) -> str:
    return f"{verb}s" if found.claim.batch == 1 else verb


def _digits(found: Check) -> int:
    """Return how many digits of what is predicted are known."""
    return BAND_DIGITS if found.banded else BAND_DIGITS + 1


def _lack(one: ClaimLimit, point: ClosestPoint, digits: int) -> str:
    """Say how much of a limit is missing: factor, what is needed, what there is."""
    needed, given = _up(one.usage, digits), f"{one.limit:,.4g}"
    if one.name == "step_time":
        longest = max(point.step_breakdown_ms, key=lambda name: point.step_breakdown_ms[name])
        return (
            f"{_times(one.utilization)} x the time that a step has ({needed} ms instead of "
            f"{given} ms, most of it {STEP_NAMES.get(longest, longest)})"
        )
    lacking = f"{_times(one.utilization)} x the {_words(one.name)}"
    return f"{lacking} ({needed} instead of {given} {one.unit})"


def _reach(found: Check, lead: str) -> str:
    """Say how far the claim could go in speed and in batch."""
    at_batch = [one for one in found.reachable if one.what == AT_BATCH]
    at_speed = [one for one in found.reachable if one.what == AT_SPEED]
    speed = "no speed at this batch"
    if at_batch:
        fastest = _down(at_batch[0].speed_tok_s_user, _digits(found))
        speed = f"{fastest} tok/s/user at this batch"
    batch = "no request at this speed"
    if at_speed:
        most = at_speed[0].batch
        count = requests(most) if most == int(most) else f"{_down(most, _digits(found))} requests"
        batch = f"{count} at this speed"
    return f" {lead}{speed}, {batch}."


def _words(name: str) -> str:
    return LIMIT_WORDS.get(name, f"budget {name}")


def _times(factor: float) -> str:
    return f"{factor:,.0f}" if factor >= 1000 else f"{factor:.3g}"


def _up(value: float, digits: int) -> str:
    """Write a number with so many digits, rounded up."""
    return _written(value, math.ceil, digits)


def _down(value: float, digits: int) -> str:
    """Write a number with so many digits, rounded down."""
    return _written(value, math.floor, digits)


def _written(value: float, whole: Callable[[float], int], digits: int) -> str:
    if value <= 0:
        return "0"
    step = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    return f"{whole(round(value / step, 6)) * step:,.6g}"
