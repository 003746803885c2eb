"""Checks of claims: whether they are possible, what they miss, and what is within reach.

A claim is a batch of the whole rack and a speed per user, and maybe a power. It is possible where
any configuration that the instance allows serves that batch at that mean speed within every limit.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

from hbmopt.basics import Parts, Progress, counted, units, verb
from hbmopt.demand import Configuration, sequence_cache, step_tokens
from hbmopt.documents import Figure, parse_path
from hbmopt.errors import InputError
from hbmopt.instance import (
    LOW,
    Instance,
    Lever,
    Overrides,
    Source,
    figure_lever,
    llm_name,
    load,
    rack_name,
)
from hbmopt.points import EXACT, Nearest, ServingPoint, TargetSearch
from hbmopt.results import (
    ClockShare,
    Estimate,
    LimitUse,
    PointUse,
    estimates,
    full_usd_per_million,
    met,
    notes_of,
    point_use,
    step_accuracy,
)
from hbmopt.studies.claim.answer import (
    AT_BATCH,
    AT_SPEED,
    Check,
    Claim,
    ClaimLimit,
    ClosestPoint,
    Premise,
    Reachable,
)
from hbmopt.studies.claim.verdict import verdict_of
from hbmopt.studies.conflict import Changes, Cures, CureSearch, changes_of, smallest_changes

LEAST, MOST = 1e-6, 1e12
"""Numbers of a claim beyond are slips, and not asked of the program."""

SEARCHES = 5
"""Parts besides changes and premises: closest point, least power, speed, batch, and the end."""

FAR = 2.0
"""Factor by which an uncertain input may be off when it is asked whether the verdict would turn."""


@verb
def check(
    source: Source,
    batch: float,
    speed: float | str,
    power: float | str | None = None,
    *,
    overrides: Overrides = None,
    progress: Progress | None = None,
) -> Check:
    """Say whether an instance can serve `batch` requests at once at `speed` tok/s per user each.

    Parameters
    ----------
    source, overrides
        As of `load`.
    batch
        Requests that decode at once on the whole rack.
    speed
        Tokens/s per user, in the mean over time: a number, or ``"100 tok/s/user"``.
    power
        The power it is claimed to take, such as ``"120 kW"``, or a number in kW; in the
        instance's power scope. Default: the instance's own limit.
    progress
        Told how many of how many parts of the work are done.

    Raises
    ------
    InputError
        For numbers that are none, and where the instance lets a rack mix configurations.
    """
    instance = load(source, overrides)
    parts = Parts(progress, SEARCHES)
    found = _Checking(instance, batch, _amount("speed", speed), power, parts).run()
    parts.finish()
    return found


def _amount(name: str, value: float | str) -> float:
    """Return a speed or power in its own unit. A speed may be a bare number."""
    try:
        bare = isinstance(value, str) and (name == "power" or not _is_number(value))
        amount = units.parse(value, name) if bare else float(value)
    except ValueError as error:
        raise InputError(f"--{name}: {error}") from None
    if not 0 < amount < math.inf:
        raise InputError(f"--{name} {value}: must be more than 0 and finite")
    return _claimable(name, amount)


def _claimable(name: str, amount: float) -> float:
    if not LEAST <= amount <= MOST:
        raise InputError(f"--{name} {amount:g}: must be from {LEAST:g} to {MOST:g}")
    return amount


def _is_number(text: str) -> bool:
    found = units.split(text)
    return found is not None and not found[1]


def _claimed(instance: Instance, power: float | str | None) -> Instance:
    """Return the instance under the claimed power."""
    if power is None:
        return instance
    amount = _amount("power", power)
    changes = {"power": Figure(amount, "power"), "power_capped": True}
    return instance.model_copy(update={"limits": instance.limits.model_copy(update=changes)})


class _Checking:
    def __init__(
        self,
        instance: Instance,
        batch: float,
        speed: float,
        power: float | str | None,
        parts: Parts,
    ) -> None:
        if not 0 < batch < math.inf:
            raise InputError(f"--batch {batch:g}: must be more than 0 requests")
        batch = _claimable("batch", batch)
        if instance.choices.whole_sequences and batch != int(batch):
            raise InputError(f"--batch {batch:g}: requests are whole")
        if not instance.choices.uniform:
            raise InputError("choices.uniform: a claim is checked for one configuration at a time")
        self.instance = _claimed(instance, power)
        self.search = TargetSearch(self.instance)
        self.parts = parts
        lpus = any(one.lpu_units for one in self.search.configurations)
        self.uncertain = estimates(self.instance, lpus=lpus, costs=False)
        self.target = self.search.target(float(batch), float(speed))
        self.exact = replace(self.target, slack=EXACT)
        cap = self.instance.power_cap_kw
        throughput = float(batch) * float(speed)
        self.claim = Claim(
            batch=float(batch),
            speed_tok_s_user=float(speed),
            throughput_tok_s=throughput,
            power_w=cap * 1e3 if cap is not None else None,
            power_scope=instance.limits.power_scope,
            power_is_claimed=power is not None,
            tok_s_per_mw=throughput / cap * 1e3 if cap else None,
        )

    def run(self) -> Check:
        instance, nearest = self.instance, self.search.closest(self.target)
        found = Check(
            instance=instance.name,
            title=instance.description,
            llm=llm_name(instance.llm),
            rack=rack_name(instance.rack),
            accelerators=instance.rack.all_accelerators,
            context_tokens=instance.workload.mean_context,
            claim=self.claim,
            possible=False,
            verdict="",
            configurations=len(self.search.configurations),
            rejected=len(self.search.rejections),
        )
        if nearest is None:
            reasons = sorted({one.reason for one in self.search.rejections})
            verdict = "Not possible: none of the layouts asked for can run"
            return replace(
                found, verdict=f"{verdict}{': ' if reasons else ''}{'; '.join(reasons)}."
            )
        use, possible = point_use(instance, nearest.point), nearest.serves(self.target)
        changes = None if possible else changes_of(instance, floor=False)
        self.parts.expect(len(self.uncertain) + (changes.parts if changes is not None else 0))
        self.parts.add()
        least, _ = self.search.least_power(self.exact)
        self.parts.add()
        found = replace(
            found,
            possible=possible,
            accelerators_used=nearest.point.replicas
            * nearest.point.configuration.layout.accelerators,
            closest=self._closest(nearest.point, use),
            limits=tuple(_claim_limit(one) for one in use.limits),
            reachable=tuple(self._reachable()),
            least_power_w=least * 1e3 if least < math.inf else None,
            cures=self._cures(nearest, changes) if changes is not None else None,
            premises=self._premises(nearest, possible=possible),
            notes=tuple(self._notes(nearest.point, possible=possible)),
            accuracy=step_accuracy(instance, [_ranks(nearest.point)]),
        )
        return replace(found, verdict=verdict_of(found))

    def _closest(self, point: ServingPoint, use: PointUse) -> ClosestPoint:
        gained = step_tokens(self.instance, point.configuration).accepted
        served = self.claim.throughput_tok_s
        return ClosestPoint(
            configuration=str(point.configuration),
            replicas=point.replicas,
            batch=point.batch,
            clocks=tuple(ClockShare(part.clock, part.share) for part in point.parts),
            offload_shares=point.parts[0].offloaded,
            step_ms=use.step_ms,
            step_allowed_ms=1e3 * gained / self.claim.speed_tok_s_user,
            step_needs=use.step_needs,
            step_breakdown_ms=use.step_breakdown_ms,
            power_w=use.power_kw * 1e3,
            power_breakdown_w={name: kw * 1e3 for name, kw in use.power_breakdown_kw.items()},
            tok_s_per_mw=served / use.power_kw * 1e3 if use.power_kw > 0 else None,
            full_usd_per_million=full_usd_per_million(self.instance, served, use.power_kw),
        )

    def _notes(self, point: ServingPoint, *, possible: bool) -> Iterator[str]:
        """Yield what should be known beside the verdict."""
        yield from self._planned(point, possible=possible)
        instance, cache = self.instance, sequence_cache(self.instance, point.configuration)
        yield (
            f"A request of {instance.workload.mean_context:,.10g} tokens keeps {cache.held:.3g} GB "
            f"of KV cache and reads {cache.read:.3g} GB per step."
        )
        yield from notes_of(instance, [point.configuration.weight_format])
        claimed, provisioned = self.claim.power_w, instance.rack.power
        if self.claim.power_is_claimed and claimed is not None and provisioned is not None:
            rack = provisioned.amount * int(instance.rack.nodes)
            if instance.limits.power_scope == "rack" and claimed < rack * 1e3:
                used = point.replicas * point.configuration.layout.accelerators
                parked = instance.rack.all_accelerators - used
                running = f"all {counted(used, 'accelerator')} run"
                if parked:
                    rest = "the other one is" if parked == 1 else "the rest are"
                    running = f"{used} of {used + parked} accelerators run, and {rest} parked"
                yield (
                    f"The claimed power is {claimed / rack / 1e3:.0%} of the {rack:,.5g} kW "
                    f"({provisioned.status}) that this rack is provisioned for; {running}."
                )

    def _planned(self, point: ServingPoint, *, possible: bool) -> Iterator[str]:
        """Say which cases the verdict is one for, and whether it holds in the slowest tenth."""
        instance, ranks = self.instance, _ranks(point)
        worst = float(instance.calibration.worst)
        if worst:
            steps, power = (instance.worst_factor(of, ranks) for of in ("step", "power"))
            yield (
                f"Checked for the slowest {100 * worst:.3g} % of cases: steps that take "
                f"{steps:.2f} times as long as predicted, and power that is {power:.2f} times as "
                "much."
            )
        elif possible and instance.calibration.band("step", instance.known, ranks) is not None:
            slow = instance.changed(("calibration", "worst"), lambda _: Figure(LOW, "fraction"))
            search = TargetSearch(slow)
            target = search.target(self.claim.batch, self.claim.speed_tok_s_user)
            nearest = search.closest(target)
            holds = nearest is not None and nearest.serves(target)
            yield (
                f"In the slowest tenth of cases, where steps take "
                f"{slow.worst_factor('step', ranks):.2f} times as long as predicted, it "
                f"{'holds as well' if holds else 'does not hold'} (--worst 10%)."
            )

    def _reachable(self) -> Iterator[Reachable]:
        """Yield the highest speed at the claimed batch, and the largest batch at its speed."""
        fastest = self.search.highest_speed(self.exact)
        self.parts.add()
        if fastest is not None:
            speed, nearest = fastest
            yield self._reached(AT_BATCH, self.target.batch, speed, nearest)
        largest = self.search.largest_batch(self.exact)
        self.parts.add()
        if largest is not None:
            batch, nearest = largest
            yield self._reached(AT_SPEED, batch, self.target.speed, nearest)

    def _reached(self, what: str, batch: float, speed: float, nearest: Nearest) -> Reachable:
        power, made = point_use(self.instance, nearest.point).power_kw, batch * speed
        name = str(nearest.point.configuration)
        cost = full_usd_per_million(self.instance, made, power)
        return Reachable(what, batch, speed, made, power * 1e3, name, cost)

    def _ordered(self, nearest: Nearest) -> list[Configuration]:
        """Return all configurations, the closest first."""
        return sorted(
            self.search.configurations, key=lambda one: one != nearest.point.configuration
        )

    def _cures(self, nearest: Nearest, changes: Changes) -> Cures:
        ordered = self._ordered(nearest)
        return smallest_changes(self.instance, lambda _: self.exact, ordered, changes, self.parts)

    def _premises(self, nearest: Nearest, *, possible: bool) -> tuple[Premise, ...]:
        """Return the uncertain inputs, those first that need to be off by least."""
        ordered = self._ordered(nearest)
        if not possible:
            # A row is a sum of terms, and a number twice as good at most halves each of them.
            near = set(self.search.within(self.target, FAR))
            ordered = [one for one in ordered if one in near]
        search = CureSearch(self.instance, lambda _: self.target, ordered)
        found = []
        for one in self.uncertain:
            found.append(_premise(self.instance, search, one, possible=possible))
            self.parts.add()
        return tuple(
            sorted(found, key=lambda one: abs(math.log(one.ratio)) if one.ratio else math.inf)
        )


def _ranks(point: ServingPoint) -> int:
    return point.configuration.layout.attention_data_parallel


def _premise(
    instance: Instance, search: CureSearch, estimate: Estimate, *, possible: bool
) -> Premise:
    """Return an uncertain input with the value nearest to its own at which the verdict turns."""
    best: tuple[float, float, Lever] | None = None
    for lever in _both_ways(instance, estimate):
        turned = search.breaking(lever) if possible else search.critical(lever)
        if turned is not None:
            ratio = turned / lever.now
            if best is None or abs(math.log(ratio)) < abs(math.log(best[0])):
                best = ratio, turned, lever
    return Premise(
        input=estimate.input,
        value=estimate.value,
        status=estimate.status,
        source=estimate.source,
        note=estimate.note,
        turns_at=best[2].text(float(f"{best[1]:.4g}")) if best is not None else None,
        ratio=best[0] if best is not None else None,
    )


NO_QUANTITY = ("count", "money")
"""Dimensions of figures that are not varied: a rack with other counts is another rack."""


def _both_ways(instance: Instance, estimate: Estimate) -> Iterator[Lever]:
    """Yield an uncertain input as a lever upwards and downwards, nothing where it is no number."""
    path = parse_path(estimate.input)
    if path == ("llm",):
        return
    figure = instance.figure(path)
    if figure.dimension in NO_QUANTITY or figure.amount <= 0:
        return
    highest = figure.amount * FAR
    if figure.dimension == "fraction" and figure.amount <= 1:
        highest = min(1.0, highest)
    lowest = figure.amount / FAR
    if path[-1] in ("expert_imbalance", "pue"):
        lowest = max(1.0, lowest)
        highest = figure.amount * FAR
    for furthest in (highest, lowest):
        if furthest != figure.amount:
            yield figure_lever(instance, estimate.input, (estimate.input,), furthest)


def _claim_limit(one: LimitUse) -> ClaimLimit:
    missing = None if met(one) else one.share
    usage, limit, unit = one.usage, one.limit, one.unit
    if one.name == "step_time":
        usage, limit, unit = 1e-3 * usage, 1e-3 * limit, "ms per step"
    return ClaimLimit(one.name, usage, limit, unit, one.share, missing)
