"""Checks of claims: whether they are possible, what they miss, and what is within reach.

A claim is a batch of the whole rack and a speed per user, and maybe a power. It is possible where
any configuration that the instance allows serves that batch at that mean speed within every limit.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from hbmopt import units
from hbmopt.configuration import Configuration
from hbmopt.cures import Cures, CureSearch, smallest_changes
from hbmopt.document import parse_path
from hbmopt.errors import InputError
from hbmopt.figure import Figure
from hbmopt.instance import Instance
from hbmopt.levers import Lever, figure_lever
from hbmopt.provenance import estimates
from hbmopt.sequence import sequence_cache, step_tokens
from hbmopt.serving_point import LimitUse, PointUse, ServingPoint, point_use
from hbmopt.solution import ClockShare, Estimate, listed
from hbmopt.target_search import TargetSearch
from hbmopt.targets import EXACT, Nearest

AT_BATCH, AT_SPEED = "highest speed at this batch", "largest batch at this speed"
"""What is reachable: one coordinate of the claim as far as it goes, the other held."""

FAR = 2.0
"""Factor by which an uncertain input may be off when it is asked whether the verdict would turn."""


@dataclass(frozen=True)
class Claim:
    """What is claimed: requests at once, tokens/s per user, and the power, where one is named.

    `tok_s_per_mw` is the throughput over the power that limits, claimed or the instance's own.
    """

    batch: float
    speed_tok_s_user: float
    throughput_tok_s: float
    power_w: float | None
    power_scope: str
    power_is_claimed: bool
    tok_s_per_mw: float | None


@dataclass(frozen=True)
class ClosestPoint:
    """The configuration whose largest missing factor is smallest, at the claimed batch and speed.

    `batch` is that of a replica; replicas may have a place to spare, `batch` times `replicas` is
    at least what is claimed. `step_allowed_ms` is the time that the speed leaves for a step; where
    it is too short, `step_needs` says of which resource how many times as much would be enough.
    """

    configuration: str
    replicas: int
    batch: float
    clocks: tuple[ClockShare, ...]
    offload_shares: tuple[float, ...]
    step_ms: float
    step_allowed_ms: float
    step_needs: dict[str, float]
    step_breakdown_ms: dict[str, float]
    power_w: float
    power_breakdown_w: dict[str, float]
    tok_s_per_mw: float | None


@dataclass(frozen=True)
class ClaimLimit:
    """One limit at the closest point; `missing` is the factor that is lacking, None where kept."""

    name: str
    usage: float
    limit: float
    unit: str
    utilization: float
    missing: float | None


@dataclass(frozen=True)
class Reachable:
    """A point that is possible, as far as one coordinate goes while the others are as claimed."""

    what: str
    batch: float
    speed_tok_s_user: float
    throughput_tok_s: float
    power_w: float
    configuration: str


@dataclass(frozen=True)
class Premise:
    """An uncertain input, and where the verdict would turn, if that is within a factor of 2."""

    input: str
    value: str
    status: str
    source: tuple[str, ...]
    note: str
    turns_at: str | None
    ratio: float | None


@dataclass(frozen=True)
class Check:
    """The verdict on a claim, and what it rests on."""

    instance: str
    title: str
    llm: str
    rack: str
    accelerators: int
    context_tokens: float
    claim: Claim
    possible: bool
    verdict: str
    configurations: int
    rejected: int
    accelerators_used: int = 0
    closest: ClosestPoint | None = None
    limits: tuple[ClaimLimit, ...] = ()
    reachable: tuple[Reachable, ...] = ()
    least_power_w: float | None = None
    cures: Cures | None = None
    premises: tuple[Premise, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the documented JSON structure (`schemas/check.schema.json`)."""
        return {key: listed(value) for key, value in asdict(self).items()}

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat row per limit with the verdict beside it, as CSV has it."""
        common = {
            "instance": self.instance,
            "batch": self.claim.batch,
            "speed_tok_s_user": self.claim.speed_tok_s_user,
            "power_w": self.claim.power_w,
            "possible": self.possible,
            "verdict": self.verdict,
        }
        return [common | asdict(one) for one in self.limits] or [common]


def check(
    instance: Instance, batch: float, speed: float | str, power: float | str | None = None
) -> Check:
    """Say whether an instance can serve `batch` requests at once at `speed` tok/s per user each.

    Parameters
    ----------
    batch
        Requests that decode at once on the whole rack.
    speed
        Tokens/s per user, in the mean over time: a number, or ``"100 tok/s/user"``.
    power
        The power it is claimed to take, such as ``"120 kW"``, or a number in kW; in the
        instance's power scope. Default: the instance's own limit.

    Raises
    ------
    InputError
        For numbers that are none, and where the instance lets a rack mix configurations.
    """
    return _Checking(instance, batch, _amount("speed", speed), power).run()


def _amount(name: str, value: float | str) -> float:
    """Return a speed or power in its own unit. A speed may be a bare number."""
    try:
        bare = isinstance(value, str) and (name == "power" or not _is_number(value))
        amount = units.parse(value, name) if bare else float(value)
    except ValueError as error:
        raise InputError(f"--{name}: {error}") from None
    if not 0 < amount < math.inf:
        raise InputError(f"--{name} {value}: must be more than 0 and finite")
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
        self, instance: Instance, batch: float, speed: float, power: float | str | None
    ) -> None:
        if not 0 < batch < math.inf:
            raise InputError(f"--batch {batch:g}: must be more than 0 requests")
        if instance.choices.whole_sequences and batch != int(batch):
            raise InputError(f"--batch {batch:g}: requests are whole")
        if not instance.choices.uniform:
            raise InputError("choices.uniform: a claim is checked for one configuration at a time")
        self.instance = _claimed(instance, power)
        self.search = TargetSearch(self.instance)
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
            llm=instance.llm.title or instance.llm.name,
            rack=instance.rack.title or instance.rack.name,
            accelerators=int(instance.rack.accelerators),
            context_tokens=instance.workload.mean_context,
            claim=self.claim,
            possible=False,
            verdict="",
            configurations=len(self.search.sources),
            rejected=len(self.search.rejections),
        )
        if nearest is None:
            reasons = sorted({one.reason for one in self.search.rejections})
            verdict = "Not possible: none of the layouts asked for can run"
            return replace(
                found, verdict=f"{verdict}{': ' if reasons else ''}{'; '.join(reasons)}."
            )
        use, possible = point_use(instance, nearest.point), nearest.serves(self.target)
        least = self.search.least_power(self.exact)
        found = replace(
            found,
            possible=possible,
            accelerators_used=nearest.point.replicas
            * nearest.point.configuration.layout.accelerators,
            closest=self._closest(nearest.point, use),
            limits=tuple(_claim_limit(one) for one in use.limits),
            reachable=tuple(self._reachable()),
            least_power_w=least * 1e3 if least < math.inf else None,
            cures=None if possible else self._cures(nearest),
            premises=self._premises(nearest, possible=possible),
            notes=tuple(self._notes(nearest.point)),
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
        )

    def _notes(self, point: ServingPoint) -> Iterator[str]:
        """Yield what should be known beside the verdict."""
        instance, cache = self.instance, sequence_cache(self.instance, point.configuration)
        yield (
            f"A request of {instance.workload.mean_context:,.10g} tokens keeps {cache.held:.3g} GB "
            f"of KV cache and reads {cache.read:.3g} GB per step."
        )
        claimed, provisioned = self.claim.power_w, instance.rack.power
        if self.claim.power_is_claimed and claimed is not None and provisioned is not None:
            rack = provisioned.amount
            if instance.limits.power_scope == "rack" and claimed < rack * 1e3:
                used = point.replicas * point.configuration.layout.accelerators
                yield (
                    f"The claimed power is {claimed / rack / 1e3:.0%} of the {rack:,.5g} kW "
                    f"({provisioned.status}) that this rack is provisioned for; {used} of "
                    f"{int(instance.rack.accelerators)} accelerators run, and the rest are parked."
                )

    def _reachable(self) -> Iterator[Reachable]:
        """Yield the highest speed at the claimed batch, and the largest batch at its speed."""
        fastest = self.search.highest_speed(self.exact)
        if fastest is not None:
            speed, nearest = fastest
            yield self._reached(AT_BATCH, self.target.batch, speed, nearest)
        largest = self.search.largest_batch(self.exact)
        if largest is not None:
            batch, nearest = largest
            yield self._reached(AT_SPEED, batch, self.target.speed, nearest)

    def _reached(self, what: str, batch: float, speed: float, nearest: Nearest) -> Reachable:
        power = point_use(self.instance, nearest.point).power_kw * 1e3
        name = str(nearest.point.configuration)
        return Reachable(what, batch, speed, batch * speed, power, name)

    def _ordered(self, nearest: Nearest) -> list[Configuration]:
        """Return all configurations, the closest first."""
        listed_ones = [one.configuration for one in self.search.sources]
        return sorted(listed_ones, key=lambda one: one != nearest.point.configuration)

    def _cures(self, nearest: Nearest) -> Cures:
        return smallest_changes(
            self.instance, lambda _: self.exact, self._ordered(nearest), floor=False
        )

    def _premises(self, nearest: Nearest, *, possible: bool) -> tuple[Premise, ...]:
        """Return the uncertain inputs, those first that need to be off by least."""
        search = CureSearch(self.instance, lambda _: self.target, self._ordered(nearest))
        lpus = any(one.configuration.lpu_units for one in self.search.sources)
        found = [
            _premise(self.instance, search, one, possible=possible)
            for one in estimates(self.instance, lpus=lpus)
        ]
        return tuple(
            sorted(found, key=lambda one: abs(math.log(one.ratio)) if one.ratio else math.inf)
        )


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
    for furthest in (highest, figure.amount / FAR):
        if furthest != figure.amount:
            yield figure_lever(instance, estimate.input, (estimate.input,), furthest)


def _claim_limit(one: LimitUse) -> ClaimLimit:
    missing = None if one.met else one.factor
    return ClaimLimit(one.name, one.usage, one.limit, one.unit, one.factor, missing)


LIMIT_WORDS = {
    "hbm_capacity": "HBM capacity",
    "hbm_bandwidth": "HBM bandwidth",
    "compute": "compute",
    "interconnect": "scale-up bandwidth",
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
        f"{claim.batch:,.10g} requests at {claim.speed_tok_s_user:,.6g} tok/s/user "
        f"({claim.throughput_tok_s:,.10g} tok/s)"
    )
    if claim.power_is_claimed and claim.power_w is not None:
        asked += f" at {claim.power_w / 1e3:,.5g} kW"
    return (_possible if found.possible else _impossible)(found, point, asked)


def _possible(found: Check, point: ClosestPoint, asked: str) -> str:
    worst = max(found.limits, key=lambda one: one.utilization)
    kilowatt = f"{point.power_w / 1e3:,.4g} kW"
    if found.claim.power_w is not None:
        kilowatt += f" of {found.claim.power_w / 1e3:,.5g} kW"
    text = (
        f"Possible: {asked} run on {found.rack} with {point.replicas} x {point.configuration}, "
        f"which uses {worst.utilization:.1%} of the {_words(worst.name)} and {kilowatt}."
    )
    return text + _reach(found, "At most ")


def _impossible(found: Check, point: ClosestPoint, asked: str) -> str:
    missing = sorted(
        (one for one in found.limits if one.missing is not None), key=lambda one: -one.utilization
    )
    lacks = " and ".join(_lack(one, point) for one in missing[:MOST_LACKS])
    if len(missing) > MOST_LACKS:
        names = ", ".join(
            f"{one.utilization:,.3g} x the {_words(one.name)}" for one in missing[MOST_LACKS:]
        )
        lacks += f" (besides {names})"
    closest = f"the closest of {found.configurations} configurations"
    if found.configurations == 1:
        closest = "the only configuration"
    text = (
        f"Not possible: {asked} on {found.rack} need {lacks}, even in {closest} "
        f"({point.replicas} x {point.configuration})."
    )
    text += _reach(found, "Within reach: ")
    if found.least_power_w is not None and found.claim.power_w is not None:
        efficiency = found.claim.throughput_tok_s / found.least_power_w * 1e6
        text += (
            f" With {_up(found.least_power_w / 1e3)} kW it would be possible, at "
            f"{efficiency:,.0f} tok/s/MW"
        )
        claimed = found.claim.tok_s_per_mw
        if found.claim.power_is_claimed and claimed is not None:
            text += f" instead of {claimed:,.0f}"
        text += "."
    return text


def _lack(one: ClaimLimit, point: ClosestPoint) -> str:
    """Say how much of a limit is missing: factor, what is needed, what there is."""
    needed, given = _up(one.usage), f"{one.limit:,.4g}"
    if one.name == "step_time":
        longest = max(point.step_breakdown_ms, key=lambda name: point.step_breakdown_ms[name])
        return (
            f"{one.utilization:,.3g} x the time that a step has ({needed} ms instead of "
            f"{given} ms, most of it {STEP_WORDS.get(longest, longest)})"
        )
    return (
        f"{one.utilization:,.3g} x the {_words(one.name)} ({needed} instead of {given} {one.unit})"
    )


STEP_WORDS = {
    "weights": "reading weights",
    "kv": "reading the KV cache",
    "gemm": "matrix products",
    "attention": "attention arithmetic",
    "link": "traffic between accelerators",
    "latency": "latency of the layers",
    "sram": "reading SRAM",
    "lpu_compute": "matrix products on LPUs",
    "lpu_link": "traffic to LPUs",
}


def _reach(found: Check, lead: str) -> str:
    """Say how far the claim could go in speed and in batch."""
    at_batch = [one for one in found.reachable if one.what == AT_BATCH]
    at_speed = [one for one in found.reachable if one.what == AT_SPEED]
    speed = "no speed at this batch"
    if at_batch:
        speed = f"{_down(at_batch[0].speed_tok_s_user)} tok/s/user at this batch"
    batch = "no request at this speed"
    if at_speed:
        most = at_speed[0].batch
        count = f"{most:,.10g}" if most == int(most) else _down(most)
        batch = f"{count} requests at this speed"
    return f" {lead}{speed}, {batch}."


def _words(name: str) -> str:
    return LIMIT_WORDS.get(name, f"budget {name}")


def _up(value: float) -> str:
    """Write a number with four digits, rounded up."""
    return _written(value, math.ceil)


def _down(value: float) -> str:
    """Write a number with four digits, rounded down."""
    return _written(value, math.floor)


def _written(value: float, whole: Callable[[float], int]) -> str:
    if value <= 0:
        return "0"
    step = 10.0 ** (math.floor(math.log10(value)) - 3)
    return f"{whole(round(value / step, 6)) * step:,.6g}"
