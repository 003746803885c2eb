"""The first principle "throughput ∝ HBM size × bandwidth": where it holds, where it breaks.

With B = (C - M) / S sequences in memory and a step that reads W + Q B bytes, throughput is
BW B / (W + Q B). It is proportional to C and to BW where weights are what a step reads and little
of what memory holds, tends to BW / Q where KV reads dominate, and does not depend on C where a
speed floor ends the batch. Which of these an instance is in, its elasticities to HBM size and
bandwidth say: the law is 1 and 1. The slope over several instances says what came of it, together
with all else that differs between them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import linear_regression

from hbmopt.basics import INPUT_NAMES, input_name, show
from hbmopt.results import Solution
from hbmopt.studies.comparison.row import ComparisonRow

LAW = "throughput ∝ HBM size × bandwidth"

NEAR_ONE = (0.8, 1.25)
"""Elasticities that count as 1."""

NEAR_ZERO = 5e-3
"""Elasticities that are 0 when written with two digits."""

LITTLE = 0.2
"""Elasticity to HBM size up to which throughput is all but independent of it."""

MUCH_HELD = 0.25
"""Share of usable HBM from which on weights bend the law: B = (C - M) / S is not ∝ C."""

MENTIONED = 0.05
"""Share of a step from which a part of it is mentioned."""

HOLDS, BANDWIDTH, CAPACITY, FLOOR, OTHER = "holds", "bandwidth", "capacity", "speed_floor", "none"

BASIS = (
    "Per accelerator: N accelerators have N times the size, the bandwidth and the throughput, so "
    "that size × bandwidth of whole racks would grow as N² by counting alone. The slope counts all "
    "that differs between the instances, compute and links too; elasticities count HBM alone."
)

PARTS: dict[str, tuple[tuple[str, ...], str]] = {
    "kv": (("kv",), "reads the KV cache"),
    "weights": (("weights", "experts"), "reads weights"),
    "arithmetic": (("gemm", "experts_gemm", "attention", "prefill"), "is arithmetic"),
    "latency": (("latency",), "is latency of the layers"),
    "link": (("link",), "is traffic between accelerators"),
    "scale_out": (("scale_out",), "is traffic between scale-up domains"),
    "lpu": (("sram", "lpu_compute", "lpu_link"), "is work of LPUs and traffic to them"),
    "waiting": (("waiting",), "waits"),
}
"""Parts of a step as the law sees them: what they are made of, and the verb."""


@dataclass(frozen=True)
class LawFit:
    """Least squares through ln(throughput) over ln(size × bandwidth).

    `scatter` is the root mean square of the residuals of ln(throughput).
    """

    slope: float
    intercept: float
    scatter: float


@dataclass(frozen=True)
class LawPoint:
    """One instance that runs. Ratios are to the first of them."""

    name: str
    year: int | None
    size_bandwidth: float
    tok_s_per_accelerator: float
    size_ratio: float
    bandwidth_ratio: float
    size_bandwidth_ratio: float
    throughput_ratio: float
    rack_size_bandwidth_ratio: float
    rack_throughput_ratio: float


@dataclass(frozen=True)
class GenerationLaw:
    """Throughput over HBM size × bandwidth, one model and workload on several racks.

    `fit` is per accelerator and is the one to quote; `rack_fit` is of whole racks, None where their
    products are the same. `size_bandwidth`
    of a point is GB × TB/s.
    """

    summary: str
    basis: str
    fit: LawFit
    rack_fit: LawFit | None
    points: tuple[LawPoint, ...]


@dataclass(frozen=True)
class Regime:
    """Instances in which the law holds, or breaks, for the same reason, and that in a sentence."""

    name: str
    holds: bool
    instances: tuple[str, ...]
    sentence: str


def step_shares(solution: Solution) -> dict[str, float]:
    """Return the parts of a step as shares of it, over all accelerators that run.

    Where parts overlap, the shares sum to more than 1.
    """
    busy = [one.replicas * one.accelerators for one in solution.configurations]
    return {
        part: sum(
            weight * sum(one.step_breakdown_ms.get(name, 0.0) for name in names) / one.step_ms
            for weight, one in zip(busy, solution.configurations, strict=True)
        )
        / sum(busy)
        for part, (names, _) in PARTS.items()
    }


def regime_of(solution: Solution) -> str:
    """Return where a plan stands: ``holds``, or what the law breaks towards.

    ``bandwidth``, ``capacity`` and any other hardware input or budget where it has the largest
    elasticity, ``speed_floor`` where the floor ends the batch before memory does.
    """
    size = solution.elasticities.get("hbm_capacity", 0.0)
    bandwidth = solution.elasticities.get("hbm_bandwidth", 0.0)
    if all(NEAR_ONE[0] <= one <= NEAR_ONE[1] for one in (size, bandwidth)):
        return HOLDS
    floor = sum(
        abs(row.elasticity)
        for row in solution.constraints
        if row.name == "min_speed" or row.name.startswith("min_speed[")
    )
    if abs(size) < NEAR_ZERO <= floor:
        return FLOOR
    limiting = solution.limiting_resource
    renamed = {"hbm_bandwidth": BANDWIDTH, "hbm_capacity": CAPACITY, None: OTHER}
    return renamed.get(limiting, limiting or OTHER)


def regimes(rows: Sequence[ComparisonRow]) -> tuple[Regime, ...]:
    """Return the regimes of the rows that run, the largest first, a sentence each."""
    running = [row for row in rows if row.regime is not None]
    groups: dict[tuple[str, bool], list[ComparisonRow]] = {}
    for row in running:
        name = row.regime or OTHER
        # HBM size counts for one of two reasons, and a sentence gives one.
        groups.setdefault((name, name == CAPACITY and _crowded(row)), []).append(row)
    return tuple(
        Regime(
            name=name,
            holds=name == HOLDS,
            instances=tuple(row.name for row in group),
            sentence=_sentence(name, group, _where(group, len(running))),
        )
        for (name, _), group in sorted(groups.items(), key=lambda pair: -len(pair[1]))
    )


def _crowded(row: ComparisonRow) -> bool:
    return (row.weights_share_of_hbm or 0.0) >= MUCH_HELD


def _where(group: Sequence[ComparisonRow], running: int) -> str:
    if len(group) == running > 1:
        return f"all {running} instances"
    return listed([row.name for row in group])


def listed(names: Sequence[str]) -> str:
    """Write names as a list in a sentence."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def span(values: Sequence[float], form: Callable[[float], str]) -> str:
    """Write the range of numbers, or the one that they all show as."""
    low, high = form(min(values)), form(max(values))
    return low if low == high else f"{low} to {high}"


def _percent(values: Sequence[float]) -> str:
    if round(min(values), 2) == 0 and round(max(values), 2) > 0:
        return f"up to {100 * max(values):.0f} %"
    return span(values, lambda value: f"{100 * value:.0f}") + " %"


def _elasticities(rows: Sequence[ComparisonRow], name: str) -> str:
    values = [row.elasticities.get(name, 0.0) for row in rows]
    return span(values, lambda value: "0" if abs(value) < NEAR_ZERO else f"{value:.2f}")


def _parts(rows: Sequence[ComparisonRow]) -> str:
    """Say what a step is made of, the largest part first."""
    shares = {part: [row.step_shares.get(part, 0.0) for row in rows] for part in PARTS}
    told = [part for part in shares if max(shares[part]) >= MENTIONED]
    told.sort(key=lambda part: -max(shares[part]))
    texts = [f"{_percent(shares[part])} {PARTS[part][1]}" for part in told]
    texts[0] = texts[0].replace(" %", " % of a step", 1)
    overlap = any(sum(row.step_shares.values()) > 1.01 for row in rows)
    return listed(texts) + (" (parts overlap)" if overlap else "")


def _sentence(regime: str, rows: Sequence[ComparisonRow], where: str) -> str:
    """Return one sentence on the rows of a regime."""
    size, bandwidth = _elasticities(rows, "hbm_capacity"), _elasticities(rows, "hbm_bandwidth")
    both = (
        f"1 % more HBM bandwidth is worth {bandwidth} % of throughput, 1 % more HBM size {size} %"
    )
    if size == bandwidth == "0":
        both = "more HBM bandwidth is worth nothing, nor is more HBM size"
    if regime == HOLDS:
        return f'"T{LAW[1:]}" holds at {where}: {both}, where {_parts(rows)}{_only_nearby(rows)}.'
    if regime == FLOOR:
        return _floor_sentence(rows, where, bandwidth)
    if regime == BANDWIDTH:
        return (
            f"The law breaks towards bandwidth at {where}: {both}, {_why_not_size(rows)}: "
            f"{_parts(rows)}."
        )
    if regime == CAPACITY:
        return (
            f"The law breaks towards HBM size at {where}: {both}{_why_size(rows)}; {_parts(rows)}."
        )
    if regime == OTHER:
        return f"The law says nothing at {where}: nothing that is priced limits throughput."
    limit = _limit_text(regime, rows)
    return f"The law breaks at {where}, where the limit is {limit}: {both}; {_parts(rows)}."


def _limit_text(regime: str, rows: Sequence[ComparisonRow]) -> str:
    values = [abs(row.limiting_elasticity or 0.0) for row in rows]
    amount = span(values, lambda value: f"{value:.2f}")
    named = INPUT_NAMES.get(regime, f"the budget {regime}")
    named = "the power cap" if regime == "power_cap" else named
    less = any((row.limiting_elasticity or 0.0) < 0 for row in rows)
    return f"{named} (1 % {'less' if less else 'more'} of it is worth {amount} %)"


def _only_nearby(rows: Sequence[ComparisonRow]) -> str:
    """Say where weights fill so much of the memory that the law holds by a balance of two ends."""
    held = [row.weights_share_of_hbm or 0.0 for row in rows]
    if max(held) < MUCH_HELD:
        return ""
    return (
        f"; as weights fill {_percent(held)} of usable HBM, it holds near this size only, and with "
        "more memory KV reads take over"
    )


def _why_not_size(rows: Sequence[ComparisonRow]) -> str:
    grows = ("weights", "arithmetic", "link", "scale_out", "lpu")
    if not all(row.step_shares["kv"] >= max(row.step_shares[one] for one in grows) for row in rows):
        return "not 1 % each, because a larger batch makes a longer step"
    if max(row.elasticities.get("hbm_capacity", 0.0) for row in rows) <= LITTLE:
        return (
            "not 1 % each, because KV reads dominate, and throughput tends to bandwidth / KV bytes "
            "read per token, whatever the size"
        )
    return "not 1 % each, because a larger batch reads more KV cache"


def _why_size(rows: Sequence[ComparisonRow]) -> str:
    if all(_crowded(row) for row in rows):
        held = [row.weights_share_of_hbm or 0.0 for row in rows]
        return (
            f", because weights fill {_percent(held)} of usable HBM and all that is added holds "
            "sequences"
        )
    if all(row.step_shares["latency"] >= row.step_shares["kv"] for row in rows):
        return ", because a larger batch spreads latency, which bandwidth does not shorten"
    return ", because little of a step is read from HBM"


def _floor_sentence(rows: Sequence[ComparisonRow], where: str, bandwidth: str) -> str:
    floors = span([row.min_speed_tok_s_user for row in rows], lambda value: show(value, 4))
    filled = _percent([row.hbm_filled or 0.0 for row in rows])
    text = (
        f"HBM size is irrelevant at {where}: the floor of {floors} tok/s per user ends the batch "
        f"with {filled} of HBM in use, so that 1 % more size is worth nothing and 1 % more "
        f"bandwidth {bandwidth} %"
    )
    most = {row.limiting_resource for row in rows} - {"hbm_bandwidth"}
    if len(most) == 1 and all(row.limiting_resource in most for row in rows):
        name = most.pop() or ""
        values = [abs(row.limiting_elasticity or 0.0) for row in rows]
        amount = span(values, lambda value: f"{value:.2f}")
        text += f"; {input_name(name)} counts most ({amount} %)"
    return text + f"; {_parts(rows)}."


def generation_law(rows: Sequence[ComparisonRow]) -> GenerationLaw | str:
    """Return the law over the rows that run, or why there is none."""
    running = [row for row in rows if row.throughput_tok_s]
    if len(running) < 2:
        return "a slope needs at least two instances that run"
    points = tuple(_point(row, running[0]) for row in running)
    products = [one.size_bandwidth for one in points]
    if max(products) <= min(products) * (1.0 + 1e-9):
        return "HBM size × bandwidth per accelerator is the same in all instances"
    fit = _fit([(one.size_bandwidth_ratio, one.throughput_ratio) for one in points])
    racks = [(one.rack_size_bandwidth_ratio, one.rack_throughput_ratio) for one in points]
    # Racks of different sizes may have one product, through which no line has a slope.
    same = max(racks)[0] <= min(racks)[0] * (1.0 + 1e-9)
    return GenerationLaw(
        summary=_summary(running, points, fit),
        basis=BASIS,
        fit=fit,
        rack_fit=None if same else _fit(racks),
        points=points,
    )


def _point(row: ComparisonRow, first: ComparisonRow) -> LawPoint:
    size, bandwidth = row.hbm_gb / first.hbm_gb, row.hbm_tb_s / first.hbm_tb_s
    per_accelerator = row.tok_s_per_accelerator or 0.0
    count = row.accelerators / first.accelerators
    return LawPoint(
        name=row.name,
        year=row.year,
        size_bandwidth=row.hbm_gb * row.hbm_tb_s,
        tok_s_per_accelerator=per_accelerator,
        size_ratio=size,
        bandwidth_ratio=bandwidth,
        size_bandwidth_ratio=size * bandwidth,
        throughput_ratio=per_accelerator / (first.tok_s_per_accelerator or 1.0),
        rack_size_bandwidth_ratio=size * bandwidth * count**2,
        rack_throughput_ratio=(row.throughput_tok_s or 0.0) / (first.throughput_tok_s or 1.0),
    )


def _fit(pairs: Sequence[tuple[float, float]]) -> LawFit:
    over = [math.log(one) for one, _ in pairs]
    made = [math.log(one) for _, one in pairs]
    slope, intercept = linear_regression(over, made)
    residuals = [y - slope * x - intercept for x, y in zip(over, made, strict=True)]
    scatter = math.sqrt(sum(one**2 for one in residuals) / len(residuals))
    return LawFit(slope, intercept, scatter)


def _summary(rows: Sequence[ComparisonRow], points: Sequence[LawPoint], fit: LawFit) -> str:
    least = min(points, key=lambda one: one.size_bandwidth)
    most = max(points, key=lambda one: one.size_bandwidth)

    def growth(ratio: str) -> str:
        return show(getattr(most, ratio) / getattr(least, ratio), 3)

    holding = sum(row.law_holds is True for row in rows)
    count = len(rows)
    where = {0: f"none of the {count}", count: f"all {count}"}.get(
        holding, f"{holding} of the {count}"
    )
    stray = 100.0 * math.expm1(fit.scatter)
    return (
        f"From {least.name} to {most.name} HBM size × bandwidth per accelerator grows by a factor "
        f"of {growth('size_bandwidth_ratio')} (size {growth('size_ratio')}, bandwidth "
        f"{growth('bandwidth_ratio')}) and throughput per accelerator by "
        f"{growth('throughput_ratio')}: a slope of {fit.slope:.2f} on log axes, where proportional "
        f"is 1 (points stray by {f'{stray:.0f}' if stray >= 1.0 else 'less than 1'} % from the "
        f'line); judged by local elasticities, "{LAW}" holds at {where} instances.'
    )
