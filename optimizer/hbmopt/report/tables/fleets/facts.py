"""What the reports of a fleet tell of its plan, in words and numbers, one fact at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from hbmopt.basics import counted, rounded, show
from hbmopt.fleet import ClassResult, FleetPlan, PeriodResult, PoolResult, RackCount

PREFILL = "prefill"
"""Stage of pools that compute prompts and nothing else; they make prompts/s, all others tok/s."""

LEAST = {"cost": "least cost", "power": "least power", "racks": "fewest racks"}
MOST = {"revenue": "most revenue", "margin": "highest margin", "throughput": "most tokens"}

NOTHING = 1e-6
"""Share of what a pool could make below which it makes nothing, as solvers round."""

PLACES = {
    "hbm": "HBM",
    "host": "host memory",
    "storage": "drives",
    "recompute": "dropped and computed again",
}

FEW_CLASSES = 4
"""Classes up to which each is told of in words."""

SHOWN_SHARE = 5e-3
"""Share of the turns from which a place of their caches is named."""

TIGHTEST_GAP = 1e-6
"""Gap of which nothing is told: below it solvers count plans as equally good."""


def is_least(plan: FleetPlan) -> bool:
    """Whether less of the objective is better."""
    return plan.objective in LEAST


def sought(plan: FleetPlan) -> str:
    """Return what is sought, such as ``least cost``."""
    return (LEAST | MOST)[plan.objective]


def setting(plan: FleetPlan) -> str:
    """Return what is asked, in one sentence."""
    text = f"{sought(plan).capitalize()}"
    if is_many(plan):
        peaks = [peak for one in plan.classes if (peak := peak_asked(one)) is not None]
        text += f" for {len(plan.classes)} classes"
        text += f" that ask for {show(sum(peaks), 5)} tok/s at their peaks" if peaks else ""
    elif plan.classes:
        text += f" for {'; '.join(map(_asked, plan.classes))}"
    if len(plan.periods) > 1:
        text += f", over {counted(len(plan.periods), 'period')}"
    if len(plan.years) > 1:
        text += f" from {plan.years[0]} to {plan.years[-1]}"
    return text + "."


def is_many(plan: FleetPlan) -> bool:
    """Whether there are so many classes that each has a line of a table, and no words."""
    return len(plan.classes) > FEW_CLASSES


def _asked(one: ClassResult) -> str:
    named = [one.llm] if one.llm else []
    peak = peak_asked(one)
    named.append(f"{show(peak, 6)} tok/s" if peak is not None else "as much as can be made")
    if peak is not None and not one.must_serve:
        named.append("as far as it is worth it")
    return f"{one.name} ({', '.join(named)})"


def proof(plan: FleetPlan) -> str:
    """Say how much better another plan may be."""
    if plan.gap is None:
        return ""
    if plan.gap <= TIGHTEST_GAP:
        return "proven: no plan is better"
    return f"proven: no plan is better by more than {percent(plan.gap)}"


def percent(share: float) -> str:
    """Write a share in per cent with two digits."""
    return f"{rounded(100.0 * share, 2)} %"


def share_text(share: float) -> str:
    """Write a share in whole per cent."""
    return f"{share:.0%}"


def mean(plan: FleetPlan, amounts: Sequence[float]) -> float:
    """Return the mean of amounts by period over the time."""
    time = sum(one.share for one in plan.periods)
    weighted = sum(one.share * amount for one, amount in zip(plan.periods, amounts, strict=True))
    return weighted / time if time > 0 else 0.0


@dataclass(frozen=True)
class Work:
    """What the racks of a type do for a class in a stage, by period, where they make anything.

    Pools that keep different shares of their HBM for caches that wait count as one; `told` is the
    one that makes most, whose batch and configuration are told.
    """

    kind: str
    demand: str
    stage: str
    racks: tuple[int, ...]
    rate: tuple[float, ...]
    could: tuple[float, ...]
    power_kw: tuple[float, ...]
    kept: tuple[float, ...]
    """Shares of HBM that are kept for caches, each once."""
    told: PoolResult
    ways: int
    """Configurations that differ."""

    @property
    def prefills(self) -> bool:
        """Whether it computes prompts and nothing else."""
        return self.stage == PREFILL

    @property
    def unit(self) -> str:
        """The unit of what it makes."""
        return "prompts/s" if self.prefills else "tok/s"

    @property
    def used(self) -> tuple[float, ...]:
        """How much of what its racks can make they make, by period with any."""
        pairs = zip(self.rate, self.could, strict=True)
        return tuple(made / could for made, could in pairs if could > 0)


def work_of(plan: FleetPlan) -> tuple[Work, ...]:
    """Return what all racks do, by class and stage."""
    order = [one.name for one in plan.classes]
    alike = dict[tuple[str, str, str], list[PoolResult]]()
    for pool in plan.pools:
        if any(_works(pool)):
            alike.setdefault((pool.kind, pool.demand, pool.stage), []).append(pool)
    found = [_work(pools, len(plan.periods)) for pools in alike.values()]
    return tuple(sorted(found, key=lambda one: (order.index(one.demand), one.prefills, one.kind)))


def _works(pool: PoolResult) -> tuple[bool, ...]:
    """Return in which periods a pool makes anything: racks of it may stand by as well."""
    return tuple(
        count > 0 and rate > NOTHING * count * pool.rate_of_a_rack
        for count, rate in zip(pool.racks, pool.rate, strict=True)
    )


def _work(pools: Sequence[PoolResult], periods: int) -> Work:
    working = [(one, _works(one)) for one in pools]

    def summed(of: Callable[[PoolResult], Sequence[float]]) -> tuple[float, ...]:
        return tuple(
            sum(of(one)[place] for one, works in working if works[place])
            for place in range(periods)
        )

    first = max(pools, key=lambda one: sum(one.rate))
    return Work(
        kind=first.kind,
        demand=first.demand,
        stage=first.stage,
        racks=tuple(map(round, summed(lambda one: one.racks))),
        rate=summed(lambda one: one.rate),
        could=summed(lambda one: [count * one.rate_of_a_rack for count in one.racks]),
        power_kw=summed(lambda one: one.power_kw),
        kept=tuple(sorted({one.kept_hbm_share for one in pools})),
        told=first,
        ways=len({(one.configuration, one.batch) for one in pools}),
    )


def peak_asked(one: ClassResult) -> float | None:
    """Return the most that a class asks for, None where it takes as much as is made."""
    asked = [tokens for tokens in one.asked_tok_s if tokens is not None]
    return max(asked, default=None)


def served_share(plan: FleetPlan, one: ClassResult) -> float | None:
    """Return the share of what a class asks for over all periods that is served."""
    asked = mean(plan, [tokens or 0.0 for tokens in one.asked_tok_s])
    return mean(plan, one.served_tok_s) / asked if asked > 0 else None


def peak_period(one: ClassResult) -> int:
    """Return the period in which most of a class is served."""
    return max(range(len(one.served_tok_s)), key=lambda place: one.served_tok_s[place])


def price_sign(plan: FleetPlan) -> float:
    """Return the sign by which prices are told: what more costs, or what it brings."""
    return -1.0 if is_least(plan) else 1.0


def price_word(plan: FleetPlan) -> str:
    """Return what one more unit of demand does to the objective."""
    return "costs" if is_least(plan) else "brings"


def saved_word(plan: FleetPlan) -> str:
    """Return what one more unit of a limit does to the objective."""
    return "saves" if is_least(plan) else "brings"


def by_stretch(items: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return names and texts with neighbours of the same text as one: ``08h to 11h``."""
    found = []
    for text, alike in groupby(items, key=lambda one: one[1]):
        names = [name for name, _ in alike]
        found.append((stretch(names), text))
    return found


def stretch(names: Sequence[str]) -> str:
    """Return the name of neighbouring periods."""
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def span(counts: Sequence[int]) -> str:
    """Return whole numbers as the range that they fill."""
    low, high = min(counts), max(counts)
    return f"{high:,}" if low == high else f"{low:,} to {high:,}"


def bought_text(plan: FleetPlan, one: RackCount) -> str:
    """Return how many racks of a type are bought, and when."""
    if len(plan.years) <= 1:
        return f"{sum(one.bought):,}"
    dated = zip(plan.years, one.bought, strict=True)
    return ", ".join(f"{count:,} in {year}" for year, count in dated if count) or "0"


def kept_text(plan: FleetPlan, one: RackCount) -> str:
    """Return how many owned racks of a type are kept, and until when."""
    if len(set(one.kept)) == 1 or len(plan.years) <= 1:
        return f"{one.kept[0]:,}"
    dated = [(str(year), f"{count:,}") for year, count in zip(plan.years, one.kept, strict=True)]
    return ", ".join(f"{count} in {years}" for years, count in by_stretch(dated))


def racks_text(plan: FleetPlan) -> str:
    """Return the racks that stand in the last year by type."""
    listed = [f"{one.standing[-1]:,} of {one.kind}" for one in plan.racks if one.standing[-1]]
    return ", ".join(listed) or "none"


def prefilling(plan: FleetPlan, one: ClassResult) -> tuple[int, int] | None:
    """Return the racks that prefill a class and those that decode it, None where none prefill.

    At the period in which most of it is served.
    """
    at = peak_period(one)
    own = [work for work in work_of(plan) if work.demand == one.name]
    first = sum(work.racks[at] for work in own if work.prefills)
    then = sum(work.racks[at] for work in own if not work.prefills)
    return (first, then) if first and then else None


def prefill_text(plan: FleetPlan, one: ClassResult) -> str:
    """Say how many racks prefill a class beside those that decode it, "" where none do."""
    racks = prefilling(plan, one)
    if racks is None:
        return ""
    first, then = racks
    when = f" at its peak ({plan.periods[peak_period(one)].name})" if len(plan.periods) > 1 else ""
    ratio = show(first / then, 2)
    return f"{counted(first, 'rack')} prefill for {then} that decode{when}, {ratio} to 1"


def waiting_places(plan: FleetPlan, one: ClassResult) -> dict[str, float]:
    """Return the share of a class's turns whose cache waits in each place, over all periods."""
    found = dict[str, float]()
    for pool in plan.pools:
        if pool.demand == one.name:
            for name, shares in pool.places:
                made = [rate * share for rate, share in zip(pool.rate, shares, strict=True)]
                found[name] = found.get(name, 0.0) + mean(plan, made)
    total = sum(found.values())
    return {name: amount / total for name, amount in found.items() if amount > SHOWN_SHARE * total}


def place_text(name: str) -> str:
    """Return a place of caches in words."""
    return " and ".join(PLACES.get(part, part) for part in name.split(" and "))


def waiting_text(plan: FleetPlan, one: ClassResult) -> str:
    """Return where the caches of a class wait, the most common place first."""
    found = sorted(waiting_places(plan, one).items(), key=lambda pair: -pair[1])
    return ", ".join(f"{place_text(name)} ({share_text(share)})" for name, share in found)


def tiers_that_bind(plan: FleetPlan) -> list[str]:
    """Return which host memory, drives, links or CPU cores are used up, and when."""
    found = dict[str, list[str]]()
    for period in plan.periods:
        for name in period.binding:
            if name.startswith(("host memory", "links", "drives", "CPU")):
                found.setdefault(name, []).append(period.name)
    everywhere = len(plan.periods)
    return [
        f"{name} {'always' if len(when) == everywhere else f'in {_periods(when, everywhere)}'}"
        for name, when in found.items()
    ]


def _periods(names: Sequence[str], of: int) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} of {of} periods"


def cap_share(period: PeriodResult) -> float | None:
    """Return the share of the cap that the site draws, None where there is none."""
    return period.power_kw / period.cap_kw if period.cap_kw else None


def power_text(kilowatt: float) -> str:
    """Write a power in kW, or in MW where it is large."""
    return f"{show(kilowatt / 1e3)} MW" if kilowatt >= 1e3 else f"{show(kilowatt)} kW"
