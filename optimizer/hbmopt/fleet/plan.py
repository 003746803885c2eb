"""The answer of a fleet: racks, pools, classes, periods, and what more of everything is worth."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from hbmopt.basics import brief, counted, show
from hbmopt.notebook import Answer, chart_of
from hbmopt.results import plain

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd


@dataclass(frozen=True)
class RackCount:
    """Racks of a type: owned and bought by year, and what more HBM of each would be worth.

    `bought` are those bought in each year, `standing` those that stand in it.
    """

    kind: str
    title: str
    owned: tuple[int, ...]
    kept: tuple[int, ...]
    bought: tuple[int, ...]
    standing: tuple[int, ...]
    at_most: int | None
    usd: float | None
    idle_kw: float
    hbm_gb_worth: float | None = None
    """What one more GB of HBM on every accelerator of the type gains, in the objective's unit."""
    hbm_tb_s_worth: float | None = None
    """And one more TB/s."""


@dataclass(frozen=True)
class PoolResult:
    """Racks of a type that do one thing for a class, by period.

    `rate` is in tok/s, of pools that prefill in prompts/s; `utilisation` is the share of what the
    racks of the pool can make. `batch` is that of a replica, of pools that prefill the chunk in
    tokens; `speed_tok_s_user` is what a user receives at full load, `first_token_s` how long the
    first token takes. `power_kw` is what its racks draw, with what they draw at rest.
    """

    kind: str
    demand: str
    stage: str
    kept_hbm_share: float
    configuration: str
    replicas: int
    batch: float
    speed_tok_s_user: float | None
    first_token_s: float | None
    rate_of_a_rack: float
    headroom: tuple[float, ...]
    racks: tuple[int, ...]
    rate: tuple[float, ...]
    utilisation: tuple[float | None, ...]
    power_kw: tuple[float, ...]
    places: tuple[tuple[str, tuple[float, ...]], ...]
    """Share of the turns whose cache waits in each place, by period."""


@dataclass(frozen=True)
class ClassResult:
    """A class by period: what was asked for and served in tok/s, and what one more is worth.

    `price` is what the objective gains by one more tok/s at the peak, with its load, in a fleet
    that is large beside a rack, less than nothing where it costs; `price_held` is the same with all
    racks as they are.
    """

    name: str
    llm: str
    must_serve: bool
    asked_tok_s: tuple[float | None, ...]
    served_tok_s: tuple[float, ...]
    price: float | None
    price_held: float | None
    why_not_served: str = ""
    output_tokens: float | None = None
    """Tokens that a request makes, where its workload says so."""


@dataclass(frozen=True)
class PeriodResult:
    """A period: its share of the time, the power of the site, and what one more kW is worth.

    `binding` names the limits that are reached, `kw_worth` is in the objective's unit per kW of the
    site for as long as the period lasts.
    """

    name: str
    year: int | None
    share: float
    power_kw: float
    cap_kw: float | None
    racks_at_rest: int
    usd_per_kwh: float
    kw_worth: float
    binding: tuple[str, ...]
    kg_co2_per_hour: float


@dataclass(frozen=True)
class LimitPrice:
    """A limit of the whole fleet: how much of it is used, and what one more unit is worth."""

    name: str
    unit: str
    used: float
    limit: float
    worth: float
    binding: bool


@dataclass(frozen=True)
class FleetCost:
    """What an hour of the fleet costs and earns in the mean, in USD."""

    capital: float
    site_and_operations: float
    energy: float
    total: float
    revenue: float
    usd_per_million: float | None


@dataclass(frozen=True)
class FleetPlan(Answer):
    """The plan of a fleet.

    Parameters
    ----------
    status
        ``optimal`` or ``infeasible``.
    amount, unit
        The objective in its unit.
    bound, gap
        What no plan is better than, and by how much at most, as a share.
    """

    name: str
    title: str
    status: str
    objective: str
    amount: float | None
    unit: str
    bound: float | None
    gap: float | None
    racks: tuple[RackCount, ...] = ()
    pools: tuple[PoolResult, ...] = ()
    classes: tuple[ClassResult, ...] = ()
    periods: tuple[PeriodResult, ...] = ()
    limits: tuple[LimitPrice, ...] = ()
    cost: FleetCost | None = None
    years: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    estimates: tuple[str, ...] = ()
    conflict: "FleetConflict | None" = None
    pue: float = 1.0
    seconds: float = 0.0

    @property
    def feasible(self) -> bool:
        """Whether there is a plan."""
        return self.status == "optimal"

    @property
    def standing_racks(self) -> int:
        """Racks that stand in the last year."""
        return sum(one.standing[-1] for one in self.racks)

    @property
    def made_tok_s(self) -> tuple[float, ...]:
        """Output tokens per second of all classes by period."""
        return tuple(map(sum, zip(*(one.served_tok_s for one in self.classes), strict=True)))

    @property
    def pools_frame(self) -> "pd.DataFrame":
        """One row for each pool and period in which it has racks."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat row for each pool and period in which it has racks, as CSV has it."""
        found = []
        for pool in self.pools:
            for place, period in enumerate(self.periods):
                if pool.racks[place]:
                    found.append(
                        {
                            "period": period.name,
                            "class": pool.demand,
                            "racks_of": pool.kind,
                            "stage": pool.stage,
                            "racks": pool.racks[place],
                            "rate": pool.rate[place],
                            "unit": "prompts/s" if pool.stage == "prefill" else "tok/s",
                            "utilisation": pool.utilisation[place],
                            "power_kw": pool.power_kw[place],
                            "configuration": pool.configuration,
                            "batch": pool.batch,
                            "speed_tok_s_user": pool.speed_tok_s_user,
                        }
                    )
        return found

    def chart(self, kind: Literal["power", "tokens", "cost"] = "power") -> "alt.LayerChart":
        """Return a chart of the plan, as its report has it.

        Parameters
        ----------
        kind
            ``power`` of the site or output ``tokens`` by period, stacked by pools; or what an hour
            of the fleet costs by part, and what it earns: ``cost``.

        Raises
        ------
        InputError
            Where the packages that draw charts are missing, or there is no plan.
        """
        return cast("alt.LayerChart", chart_of(self, kind=kind))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as JSON has it."""
        return plain(self)

    def __repr__(self) -> str:
        facts = [self.status]
        if self.amount is not None:
            facts = [
                f"{self.objective} {show(self.amount)} {self.unit}",
                counted(self.standing_racks, "rack"),
            ]
        return brief("FleetPlan", self.name, *facts)


@dataclass(frozen=True)
class FleetCure:
    """One change that makes a fleet possible by itself, and the least of its kind that does."""

    name: str
    key: str
    now: str
    to: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class FleetConflict:
    """Why no plan serves a fleet: the limits that are in each other's way, and what cures it."""

    summary: str
    limits: tuple[str, ...]
    cures: tuple[FleetCure, ...]
    without: tuple[str, ...] = ()
