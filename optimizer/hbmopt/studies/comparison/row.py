"""One instance of a comparison: its rack, its plan, and what limits it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from hbmopt.instance import Objective
from hbmopt.results import InputResult, StepAccuracy


@dataclass(frozen=True)
class ComparisonRow:
    """One instance: its rack, its plan and what limits it. Without a plan, what rules one out.

    `ratio` is throughput over that of the first instance that runs. `step_shares` are parts of a
    step as shares of it. `weights_share_of_hbm` is of usable HBM, and known where that is full.
    `regime` says whether "throughput ∝ HBM size × bandwidth" holds around this plan, or what it
    breaks towards (`hbmopt.generation_law`). A million output tokens cost `full_usd_per_million` at
    full utilisation and `load_usd_per_million` of a load, where the price of the rack is known; it
    is `capital_usd`, and as good as the weakest of its parts. Prices in `inputs` are those of
    `solve`: of the whole rack, for one unit more on every accelerator.
    """

    name: str
    title: str
    rack: str
    accelerator: str
    year: int | None
    accelerators: int
    llm: str
    context_tokens: float
    hbm_gb: float
    hbm_tb_s: float
    rack_hbm_gb: float
    rack_hbm_tb_s: float
    hbm_capacity_status: str
    hbm_bandwidth_status: str
    power_scope: str
    min_speed_tok_s_user: float
    status: str
    conflict: str | None = None
    objective: Objective = "throughput"
    objective_unit: str = "tok/s"
    objective_amount: float | None = None
    throughput_tok_s: float | None = None
    ratio: float | None = None
    tok_s_per_accelerator: float | None = None
    speed_tok_s_user: float | None = None
    batch: float | None = None
    power_w: float | None = None
    tok_s_per_mw: float | None = None
    full_usd_per_million: float | None = None
    load_usd_per_million: float | None = None
    capital_usd: float | None = None
    capital_status: str | None = None
    limiting_resource: str | None = None
    limiting_elasticity: float | None = None
    binding: tuple[str, ...] = ()
    configuration: str | None = None
    formats: str | None = None
    hbm_filled: float | None = None
    weights_share_of_hbm: float | None = None
    regime: str | None = None
    law_holds: bool | None = None
    elasticities: dict[str, float] = field(default_factory=dict)
    step_shares: dict[str, float] = field(default_factory=dict)
    accuracy: StepAccuracy | None = None
    inputs: tuple[InputResult, ...] = ()

    @property
    def feasible(self) -> bool:
        """Whether there is a plan."""
        return self.status == "optimal"

    @property
    def unit_prices(self) -> dict[str, float]:
        """What one more unit of each hardware input is worth, in tok/s of the rack."""
        return {one.name: one.unit_price for one in self.inputs}

    def flat(self) -> dict[str, Any]:
        """Return the row with one value per key: elasticities, prices and shares spread out."""
        row = {
            key: value
            for key, value in asdict(self).items()
            if not isinstance(value, dict | tuple | list)
        }
        row["binding"] = " ".join(self.binding)
        row |= {f"elasticity_{name}": value for name, value in self.elasticities.items()}
        row |= {f"price_{name}": value for name, value in self.unit_prices.items()}
        known = asdict(self.accuracy) if self.accuracy is not None else {}
        row |= {f"step_{name}": value for name, value in known.items()}
        return row | {f"step_share_{name}": value for name, value in self.step_shares.items()}
