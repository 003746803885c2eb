"""What to buy next, in words: the prices of hardware and limits as a few plain sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

from hbmopt.basics import show
from hbmopt.documents import format_path
from hbmopt.instance import ACCELERATOR_POWER, LATENCY, LPU_PEAKS, OBJECTIVES, PEAKS, Instance
from hbmopt.results import Solution
from hbmopt.studies.sensitivity.number_price import NumberPrice

MOST_BOUGHT = 2
"""Sentences about what is worth buying."""

MOST_SENTENCES = 5

WORTH_A_WORD = 5e-3
"""Elasticity below which more of something is not worth a sentence."""

UNUSED = 0.005
"""Share of a limit from which on it counts as unused."""


@dataclass(frozen=True)
class _Thing:
    """Something that can be bought: more of what, and the row that limits it."""

    words: str
    row: str | None = None


BOUGHT = {
    "rack.accelerator.hbm_capacity": _Thing("HBM per accelerator", "hbm_capacity"),
    "rack.accelerator.hbm_bandwidth": _Thing("HBM bandwidth per accelerator"),
    PEAKS: _Thing("arithmetic in all formats"),
    "rack.accelerator.scale_up_bandwidth": _Thing("scale-up bandwidth per accelerator"),
    "rack.scale_out_bandwidth": _Thing("scale-out bandwidth per accelerator"),
    ACCELERATOR_POWER: _Thing(
        "power per accelerator at the same energy per operation", "accelerator_power"
    ),
    "limits.power": _Thing("power for the rack", "power_cap"),
    "rack.power": _Thing("power for the rack", "power_cap"),
    "rack.offload.device.sram_capacity": _Thing("SRAM per LPU", "sram_capacity"),
    "rack.offload.device.sram_bandwidth": _Thing("SRAM bandwidth per LPU"),
    LPU_PEAKS: _Thing("arithmetic of the LPUs"),
    "rack.offload.device.link_bandwidth": _Thing("bandwidth per LPU to the accelerators"),
}


def what_to_buy(
    instance: Instance, solution: Solution, prices: Sequence[NumberPrice]
) -> tuple[str, ...]:
    """Return at most five sentences on hardware and limits, what is worth most first."""
    known = _things(instance)
    better = solution.better

    def gain(price: NumberPrice) -> float:
        return better * (price.elasticity or 0.0)

    ranked = sorted((one for one in prices if one.name in known), key=lambda one: -gain(one))
    bought = [
        _worth(one, known[one.name], solution)
        for one in ranked
        if gain(one) >= WORTH_A_WORD and _room(one)
    ]
    sentences = bought[:MOST_BOUGHT]
    sentences += _worth_nothing([one for one in ranked if _is_idle(one)], known, solution)
    by_name = {one.name: one for one in prices}
    sentences += _floor(by_name.get("limits.min_speed"), solution)
    sentences += _latency(by_name.get(LATENCY), solution)
    sentences += _accelerators(by_name.get("rack.accelerators"), solution)
    return tuple(sentences[:MOST_SENTENCES])


def _things(instance: Instance) -> dict[str, _Thing]:
    """Return what can be bought, the budgets of the user included, by the name of the number."""
    budgets = {
        format_path(instance.budget_path(position)): _Thing(budget.name, budget.name)
        for position, budget in enumerate(instance.budgets)
    }
    return {**BOUGHT, **budgets}


def _room(price: NumberPrice) -> bool:
    """Whether the number can rise at all at this price."""
    return price.high is None or price.high.value > price.value


def _is_idle(price: NumberPrice) -> bool:
    return abs(price.elasticity or 0.0) < NO_WORTH and not price.unit_price_above


NO_WORTH = 1e-9


def _worth(price: NumberPrice, thing: _Thing, solution: Solution) -> str:
    """Return what one more unit is worth, and how far."""
    amount, unit = _one_more(price)
    rate = (price.unit_price or 0.0) * amount
    elasticity = abs(price.elasticity or 0.0)
    worth = f"{show(abs(rate))} {solution.objective_unit} ({elasticity:.2f} % per %)"
    verb = _verb(solution)
    sentence = f"{_quantity(amount, unit)} more {thing.words} {verb} {worth}"
    return f"{sentence}{_as_long_as(price, solution)}."


def _one_more(price: NumberPrice) -> tuple[float, str]:
    """Return one unit, or a tenth, hundredth, ... of it that still is within the range."""
    room = price.high.value - price.value if price.high is not None else price.value
    amount = 1.0
    while amount > min(room, 0.2 * price.value) and amount > 1e-6:
        amount /= 10.0
    return amount, price.unit


def _quantity(amount: float, unit: str) -> str:
    if unit == "TB/s" and amount < 1.0:
        amount, unit = 1e3 * amount, "GB/s"
    return f"{amount:g} {unit}".strip()


def _as_long_as(price: NumberPrice, solution: Solution) -> str:
    if price.high is None or price.high.reason is None:
        return ""
    end = f"{show(price.high.value, 3)} {price.unit}".strip()
    reason = price.high.reason
    rows = {row.name for row in solution.constraints}
    binding = reason.removesuffix(" binds")
    because = f", where {reason}" if binding in rows or reason.endswith(("binds", "bind")) else ""
    return f", as long as it stays below {end}{because}"


def _worth_nothing(
    idle: Sequence[NumberPrice], known: dict[str, _Thing], solution: Solution
) -> list[str]:
    """Return one sentence on what has a price of 0, with the share that is unused."""
    rows = {row.name: row for row in solution.constraints}
    parts = []
    for one in idle:
        thing = known[one.name]
        row = rows.get(thing.row or "")
        if row is None or row.utilization >= 1.0 - UNUSED:
            continue
        parts.append(f"{thing.words} ({100.0 * (1.0 - row.utilization):.0f} % unused)")
    return [f"More of these is worth nothing here: {', '.join(parts)}."] if parts else []


def _floor(price: NumberPrice | None, solution: Solution) -> list[str]:
    """Return what a lower speed floor is worth."""
    rate = price.unit_price if price is not None else None
    if price is not None and price.unit_price_below is not None:
        rate = price.unit_price_below
    if price is None or not rate or abs(price.elasticity or 0.0) < WORTH_A_WORD:
        return []
    worth = f"{show(abs(rate))} {solution.objective_unit}"
    sentence = f"A speed floor that is 1 tok/s per user lower {_verb(solution)} {worth}"
    share = abs(rate * price.value / _objective(price, rate))
    sentence += f" ({share:.2f} % per %)"
    if price.low is not None and price.low.reason is not None:
        sentence += f", down to {show(price.low.value, 3)} tok/s per user"
    return [f"{sentence}."]


def _verb(solution: Solution) -> str:
    """Return what more of something does: what is best grows, or what is least is saved."""
    return "saves" if solution.better < 0 else "is worth"


def _objective(price: NumberPrice, rate: float) -> float:
    """Return the objective that an elasticity is relative to."""
    if not price.elasticity or not price.unit_price:
        return abs(rate) * price.value
    return price.unit_price * price.value / price.elasticity


def _latency(price: NumberPrice | None, solution: Solution) -> list[str]:
    elasticity = price.elasticity if price is not None else None
    if not elasticity or solution.better * elasticity > -WORTH_A_WORD:
        return []
    title = OBJECTIVES[solution.objective].title
    worth = f"about {abs(elasticity) * 10:.1f} % of {title}"
    return [f"Software with 10 % less latency per layer {_verb(solution)} {worth}."]


def _accelerators(price: NumberPrice | None, solution: Solution) -> list[str]:
    """Return what more accelerators make, solved anew."""
    if price is None or price.up is None or price.up.change is None:
        return []
    if solution.better * price.up.change <= 0.0:
        # A count that does not divide into replicas well says nothing about what more are worth.
        return []
    more = price.up.value - price.value
    return [
        f"{more:g} more {'accelerator' if more == 1 else 'accelerators'} "
        f"({price.up.value:g} instead of {price.value:g}) {'makes' if more == 1 else 'make'} "
        f"{100 * price.up.change:+.1f} % of {OBJECTIVES[solution.objective].title}."
    ]
