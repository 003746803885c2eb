"""What a solve returns: the plan, its limits and prices, and the certificate.

Every class here is plain data. `Solution.to_dict` is the documented JSON; the frames hold the
same rows for pandas.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from hbmopt.basics import BAND_DIGITS, brief, input_name, rounded, show
from hbmopt.instance import OBJECTIVES, Objective
from hbmopt.notebook import Answer

if TYPE_CHECKING:
    import pandas as pd
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class ClockShare:
    """Part of the replicas' time that runs at one clock, as a share of the full clock."""

    clock: float
    share: float


@dataclass(frozen=True)
class KernelResult:
    """A class of kernels in a step: the ms of what it reads and of its arithmetic.

    It takes the longer of both; `bound` says which: ``memory`` or ``arithmetic``. `elasticity` is
    what 1 % faster kernels of the class are worth, in % of throughput, batch and replicas of the
    optimum free as for the prices of inputs; None where no price is known.
    """

    name: str
    reading_ms: float
    computing_ms: float
    bound: str
    elasticity: float | None = None


@dataclass(frozen=True)
class ConfigurationResult:
    """One configuration that runs.

    `kv_held_gb` and `kv_read_gb` are of one sequence over the accelerators of its replica, copies
    included; `kv_copies` says how often its cache is kept. `tokens_per_step` is what a sequence
    gains in a step: 1 without drafting. A replica lies in so many `scale_up_domains`.
    """

    replicas: int
    accelerators: int
    tensor_parallel: int
    expert_parallel: int
    attention_data_parallel: int
    pipeline_parallel: int
    context_parallel: int
    weight_format: str
    kv_format: str
    kv_compression: str
    kv_copies: float
    kv_held_gb: float
    kv_read_gb: float
    draft_tokens: int
    tokens_per_step: float
    lpu_units: int
    clocks: tuple[ClockShare, ...]
    batch: float
    speed_tok_s_user: float
    throughput_tok_s: float
    offload: dict[str, float]
    step_ms: float
    step_breakdown_ms: dict[str, float]
    kernels: tuple[KernelResult, ...] = ()
    lowest_clock: float | None = None
    scale_up_domains: int = 1


@dataclass(frozen=True)
class ConstraintResult:
    """One limit at the priced optimum; a `floor` is a limit that is used from its number on.

    `unit_price` is d(throughput)/d(limit): negative for a floor. `elasticity` is % of throughput
    per % of the limit. Both are 0 where the row has slack. `next_unit` is what one more unit of the
    limit changes in all, everything chosen anew; None where that was not solved.
    """

    name: str
    usage: float
    limit: float
    unit: str
    utilization: float
    slack: float
    binding: bool
    unit_price: float
    unit_price_unit: str
    elasticity: float
    next_unit: float | None = None
    floor: bool = False


@dataclass(frozen=True)
class InputResult:
    """One hardware input: what one more unit is worth through every row it appears in.

    The accelerators' power limit is among them where it is what limits, at the energy that
    operations take.

    `unit_price` is local: configuration, replicas and clocks are held. `next_unit` is what one more
    unit changes in all, everything chosen anew; None where that was not solved.
    """

    name: str
    value: float
    unit: str
    status: str
    unit_price: float
    unit_price_unit: str
    elasticity: float
    next_unit: float | None = None


@dataclass(frozen=True)
class Certificate:
    """What proves the answer, and how exact it is."""

    solver: str
    status: str
    mip_gap: float
    piecewise_error: float
    rounding_loss: float
    seconds: float
    configurations: int
    rejected: int
    nodes: int
    violation: float


WHERE_KNOWN = {
    "model and chip": "chip and model measured and the series left out of the fit",
    "chip": "the chip measured and the model left out of the fit",
    "family": "the chip's family measured and the chip left out of the fit",
    "nothing": "its whole family left out of the fit; those measured are of NVIDIA and AMD",
}
"""Where the cases come from that say how far steps are from predicted ones."""


@dataclass(frozen=True)
class StepAccuracy:
    """What the step times rest on, and how far they were from measured ones.

    `basis` is ``spec sheet`` (ideal or user-set constants), ``universal`` or ``calibrated``. The
    errors are absolute ones on measured steps of this chip and layout, as shares; None where no
    measured step covers it. `overall_median_error` is that over all measured chips, None for
    constants that were fitted to a few.

    In four of five cases measured steps took between `step_low` and `step_high` times what was
    predicted where as much was `known` of chip and model, and drew between `power_low` and
    `power_high` times as much; `cases` says how many were looked at.
    """

    basis: str
    calibration: str
    measured_rows: int
    median_error: float | None
    p90_error: float | None
    overall_median_error: float | None
    statement: str
    known: str | None = None
    cases: int = 0
    step_low: float | None = None
    step_high: float | None = None
    power_low: float | None = None
    power_high: float | None = None

    @property
    def range_statement(self) -> str:
        """Say how far steps were from predicted ones in four of five cases; "" for unknown."""
        if self.step_low is None or self.step_high is None:
            return ""
        return (
            f"in four of five cases measured steps took {self.step_low:.2f} to "
            f"{self.step_high:.2f} times as long, {WHERE_KNOWN[self.known or 'nothing']}"
        )

    def rates(self, made: float) -> tuple[float, float] | None:
        """Return what a rate lies between in four of five cases, None where nothing is known."""
        if self.step_low is None or self.step_high is None:
            return None
        return made / self.step_high, made / self.step_low

    def draws(self, running: float, resting: float = 0.0) -> tuple[float, float] | None:
        """Return what power lies between; what is drawn at rest is certain."""
        if self.power_low is None or self.power_high is None:
            return None
        beyond = running - resting
        return resting + beyond * self.power_low, resting + beyond * self.power_high


@dataclass(frozen=True)
class Estimate:
    """A number that the answer rests on and that may turn out otherwise."""

    input: str
    value: str
    status: str
    source: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class TokenCost:
    """What a million output tokens cost in USD, and its parts, which add up to it.

    Where prompts are computed here `input_usd_per_million` is of the prompt tokens that are
    computed, and `output_usd_per_million` of the output without them: the cost is split by the time
    that accelerators spend on both.
    """

    usd_per_million: float
    capital: float
    site: float
    operations: float
    energy: float
    input_usd_per_million: float | None = None
    output_usd_per_million: float | None = None


@dataclass(frozen=True)
class LoadResult:
    """A part of the time with one load: `time` and `share`, of all time and of the peak.

    The rack makes its share of the peak on the least power; `replicas` run. An idle rack makes no
    token that could have a price.
    """

    share: float
    time: float
    throughput_tok_s: float
    rack_power_w: float
    replicas: int
    usd_per_hour: float
    usd_per_million: float | None


@dataclass(frozen=True)
class RackEconomics:
    """What a rack and its tokens cost; power is that of the whole rack, whatever the scope.

    `full_utilisation` is the cost where the peak is asked for at all times, `load` that of the load
    in `hours`, the largest share first, whose mean is `utilisation`; None where none is given.
    `statement` says what they rest on.
    """

    capital_usd: float
    capital_basis: str
    provisioned_w: float
    capital_usd_per_hour: float
    site_usd_per_hour: float
    operations_usd_per_hour: float
    usd_per_kwh: float
    rack_power_w: float
    usd_per_hour: float
    full_utilisation: TokenCost
    utilisation: float | None = None
    load: TokenCost | None = None
    hours: tuple[LoadResult, ...] = ()
    statement: str = ""

    @property
    def cost(self) -> TokenCost:
        """The cost of the load, or at full utilisation where none is given."""
        return self.load if self.load is not None else self.full_utilisation


@dataclass(frozen=True)
class Conflict:
    """Why nothing is feasible: one sentence, and the limits that cannot hold together."""

    summary: str
    configuration: str
    limits: tuple[str, ...]

    def limits_text(self, names: Mapping[str, str] | None = None) -> str:
        """Say which limits it is about, by their own names or by `names`; "" for none."""
        known = names or {}
        listed = ", ".join(known.get(one, one) for one in self.limits)
        title = "Limits that exclude each other" if len(self.limits) > 1 else "Limit in the way"
        return f"{title}: {listed}" if listed else ""


@dataclass(frozen=True)
class Solution(Answer):
    """The optimum of an instance, or the conflict that rules one out.

    `accelerators` are those of all `nodes`. `notes` say what should be known beside the answer.
    `economics` is what its tokens cost; where a price is missing for that, `unpriced` is its key.
    """

    instance: str
    title: str
    llm: str
    rack: str
    status: str
    objective: Objective
    accelerators: int
    power_scope: str
    min_speed_tok_s_user: float
    context_tokens: float
    reserved_context_tokens: float
    prefill: str
    min_throughput_tok_s: float | None = None
    objective_unit: str = "tok/s"
    objective_amount: float | None = None
    throughput_tok_s: float | None = None
    speed_tok_s_user: float | None = None
    batch: float | None = None
    power_w: float | None = None
    tok_s_per_mw: float | None = None
    priced_batch: float | None = None
    throughput_range_tok_s: tuple[float, float] | None = None
    speed_range_tok_s_user: tuple[float, float] | None = None
    power_range_w: tuple[float, float] | None = None
    configurations: tuple[ConfigurationResult, ...] = ()
    constraints: tuple[ConstraintResult, ...] = ()
    inputs: tuple[InputResult, ...] = ()
    limiting_resource: str | None = None
    elasticities: dict[str, float] = field(default_factory=dict)
    accuracy: StepAccuracy | None = None
    certificate: Certificate | None = None
    provenance: tuple[Estimate, ...] = ()
    nodes: int = 1
    notes: tuple[str, ...] = ()
    conflict: Conflict | None = None
    economics: RackEconomics | None = None
    unpriced: str | None = None

    def __repr__(self) -> str:
        if self.throughput_tok_s is None:
            why = f": {self.conflict.summary}" if self.conflict is not None else ""
            return brief("Solution", self.instance, f"{self.status}{why}")
        exact = self.throughput_range_tok_s is None
        made = self.throughput_tok_s
        text = show(made, 6) if exact else rounded(made, BAND_DIGITS)
        return brief(
            "Solution",
            self.instance,
            f"{text} tok/s",
            f"{show(self.speed_tok_s_user or 0.0)} tok/s per user",
            f"batch {show(self.batch or 0.0, 7)}",
            f"{show((self.power_w or 0.0) / 1e3)} kW",
            f"limited by {input_name(self.limiting_resource)}" if self.limiting_resource else "",
        )

    @property
    def feasible(self) -> bool:
        """Whether there is a plan."""
        return self.status == "optimal"

    @property
    def better(self) -> float:
        """1 where more of the objective is better, -1 where less is."""
        return -1.0 if OBJECTIVES[self.objective].least else 1.0

    @property
    def limiting_elasticity(self) -> float | None:
        """The elasticity of what limits, % of throughput per %; None where nothing does."""
        known = {row.name: row.elasticity for row in self.constraints} | self.elasticities
        return known.get(self.limiting_resource or "")

    def to_dict(self) -> dict[str, Any]:
        """Return the documented JSON structure (`schemas/solution.schema.json`)."""
        return plain(self)

    @property
    def configurations_frame(self) -> "pd.DataFrame":
        """One row per configuration that runs."""
        rows = [
            {
                key: value
                for key, value in asdict(one).items()
                if not isinstance(value, dict | tuple)
            }
            for one in self.configurations
        ]
        return _frame(rows)

    @property
    def constraints_frame(self) -> "pd.DataFrame":
        """One row per limit, indexed by its name; prices stand at the end."""
        return _prices_last([asdict(one) for one in self.constraints])

    @property
    def inputs_frame(self) -> "pd.DataFrame":
        """One row per hardware input, indexed by its name; prices stand at the end."""
        return _prices_last([asdict(one) for one in self.inputs])

    @property
    def prices(self) -> "pd.DataFrame":
        """One table of all prices: limits, and the inputs that count every way they matter."""
        return price_frame(self.constraints, self.inputs)

    @property
    def step_frame(self) -> "pd.DataFrame":
        """The parts of a decode step in ms: one row per part, one column per configuration."""
        import pandas as pd  # 0.3 s that only frames need

        return pd.DataFrame([one.step_breakdown_ms for one in self.configurations]).T


def price_frame(
    constraints: Iterable[ConstraintResult], inputs: Iterable[InputResult]
) -> "pd.DataFrame":
    """Return the prices of limits and inputs in one frame, indexed by name."""
    rows: list[dict[str, Any]] = [
        {
            "name": row.name,
            "kind": "limit",
            "value": row.limit,
            "slack": row.slack,
            "binding": row.binding,
            "unit": row.unit_price_unit,
            "elasticity": row.elasticity,
            "unit_price": row.unit_price,
            "next_unit": row.next_unit,
        }
        for row in constraints
    ]
    rows += [
        {
            "name": one.name,
            "kind": "input",
            "value": one.value,
            "slack": None,
            "binding": None,
            "unit": one.unit_price_unit,
            "elasticity": one.elasticity,
            "unit_price": one.unit_price,
            "next_unit": one.next_unit,
        }
        for one in inputs
    ]
    return _frame(rows, index="name")


PRICES = ("unit_price", "next_unit")
"""Columns that stand last: a narrow terminal leaves out those in the middle."""


def _prices_last(rows: list[dict[str, Any]]) -> "pd.DataFrame":
    """Return rows as a frame, indexed by name, that prints its prices on any terminal."""
    words = ("unit", "status", "unit_price_unit")
    frame = _frame(rows, index="name")
    first = [str(one) for one in frame.columns if one not in (*words, *PRICES, "elasticity")]
    known = [one for one in (*words, "elasticity", *PRICES) if one in frame.columns]
    return frame[[*first, *known]]


def _frame(rows: list[dict[str, Any]], index: str | None = None) -> "pd.DataFrame":
    import pandas as pd  # 0.3 s that only frames need

    frame = pd.DataFrame(rows)
    return frame.set_index(index) if index is not None and rows else frame


def plain(result: "DataclassInstance") -> dict[str, Any]:
    """Return a result as JSON has it: mappings and lists."""
    return {key: _listed(value) for key, value in asdict(result).items()}


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_listed(item) for item in value]
    return value
