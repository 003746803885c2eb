"""What a check of a claim returns: verdict, closest point, limits, and what is within reach.

Every class here is plain data. `Check.to_dict` is the documented JSON.
"""

from dataclasses import asdict, dataclass
from typing import Any

from hbmopt.basics import brief
from hbmopt.notebook import Answer
from hbmopt.results import ClockShare, StepAccuracy, plain
from hbmopt.studies.conflict import Cures

AT_BATCH, AT_SPEED = "highest speed at this batch", "largest batch at this speed"
"""What is reachable: one coordinate of the claim as far as it goes, the other held."""


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
    `full_usd_per_million` is what a million output tokens of the claim cost at full utilisation,
    None where no price of the rack is known.
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
    full_usd_per_million: float | None = None


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
    """A point that is possible, as far as one coordinate goes while the others are as claimed.

    `full_usd_per_million` is the cost of output tokens at full utilisation, None for unknown.
    """

    what: str
    batch: float
    speed_tok_s_user: float
    throughput_tok_s: float
    power_w: float
    configuration: str
    full_usd_per_million: float | None = None


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
class Check(Answer):
    """The verdict on a claim, and what it rests on.

    `accuracy` is that of the step times of the closest point.
    """

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
    accuracy: StepAccuracy | None = None

    @property
    def banded(self) -> bool:
        """Whether it is known how far measured steps were from predicted ones."""
        return self.accuracy is not None and self.accuracy.step_low is not None

    def __repr__(self) -> str:
        return brief("Check", self.instance, self.verdict)

    def to_dict(self) -> dict[str, Any]:
        """Return the documented JSON structure (`schemas/check.schema.json`)."""
        return plain(self)

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
