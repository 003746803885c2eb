"""What tokens cost, in rows of name, number and remark."""

from hbmopt.basics import BAND_DIGITS, made, range_text, rounded, show
from hbmopt.results import LoadResult, RackEconomics, Solution, TokenCost

COST_TITLE = "What it costs, in USD per million output tokens"

NAMED_HOURS = 4
"""Loads up to which each is named with its power."""


def cost_text(solution: Solution, cost: TokenCost) -> str:
    """Write a cost of tokens with no more digits than are known."""
    exact = solution.throughput_range_tok_s is None
    usd = cost.usd_per_million
    return f"{show(usd) if exact else rounded(usd, BAND_DIGITS)} USD"


def cost_row(solution: Solution) -> tuple[str, str, str] | None:
    """Return name, number and remark of what tokens cost in one line, or of what is missing."""
    known = solution.economics
    if known is None:
        key = solution.unpriced
        return (
            ("cost", "not known", f'a price is missing: --set {key}="3000000 USD"') if key else None
        )
    remark = "per million output tokens at full utilisation" + _range(solution)
    if known.load is not None:
        remark += f"; {cost_text(solution, known.load)} of the load, {_share(known)} of the peak"
    return "cost", cost_text(solution, known.full_utilisation), remark


def cost_rows(solution: Solution) -> list[tuple[str, str, str]]:
    """Return name, number and remark of all that is known of what tokens cost."""
    known = solution.economics
    if known is None:
        return []
    full = known.full_utilisation
    rows = [("at full utilisation", cost_text(solution, full), _parts(full))]
    if known.load is not None:
        name = f"of the load, {_share(known)}"
        rows.append((name, cost_text(solution, known.load), _parts(known.load)))
        rows += _hours(solution, known)
    mine = known.cost
    if mine.input_usd_per_million is not None and mine.output_usd_per_million is not None:
        rows.append(
            (
                "  of which prompts",
                f"{show(mine.input_usd_per_million, 3)} USD",
                "per million prompt tokens computed, and "
                f"{show(mine.output_usd_per_million, 3)} USD per million output tokens: cost is "
                "split by time",
            )
        )
    hourly = f"{_known(solution, known.usd_per_hour)} USD"
    drawn = f"of the rack at its peak, which draws {_known(solution, known.rack_power_w / 1e3)} kW"
    rows.append(("an hour", hourly, drawn))
    rows.append(("rests on", "", known.statement))
    return rows


def _range(solution: Solution) -> str:
    """Say what the cost at full utilisation lies between in four of five cases."""
    known, ends = solution.economics, solution.throughput_range_tok_s
    if known is None or ends is None:
        return ""
    spent = known.full_utilisation.usd_per_million * (solution.throughput_tok_s or 0.0)
    return f", {range_text(spent / ends[1], spent / ends[0])} in four of five cases"


def _share(known: RackEconomics) -> str:
    return f"{known.utilisation or 0.0:.0%}"


def _parts(cost: TokenCost) -> str:
    return (
        f"capital {show(cost.capital, 3)}, site {show(cost.site, 3)}, operations "
        f"{show(cost.operations, 3)}, energy {show(cost.energy, 3)}"
    )


def _known(solution: Solution, amount: float) -> str:
    """Write what a rack draws or costs with no more digits than are known."""
    return made(amount, banded=solution.throughput_range_tok_s is not None, digits=4)


def _hours(solution: Solution, known: RackEconomics) -> list[tuple[str, str, str]]:
    """Return what each load costs and draws; of many loads the largest and the smallest."""
    shown = known.hours
    if len(shown) > NAMED_HOURS:
        shown = (*known.hours[: NAMED_HOURS - 1], known.hours[-1])
    return [(f"  {one.share:.0%} of the peak", _usd(one), _drawn(solution, one)) for one in shown]


def _usd(one: LoadResult) -> str:
    return f"{show(one.usd_per_million, 3)} USD" if one.usd_per_million is not None else "idle"


def _drawn(solution: Solution, one: LoadResult) -> str:
    running = f"{one.replicas} replica{'' if one.replicas == 1 else 's'} running"
    power = _known(solution, one.rack_power_w / 1e3)
    return f"{one.time:.0%} of the time, on {power} kW with {running}"
