"""The schema of a fleet: classes of demand, types of racks, the site, and periods."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field, SkipValidation, ValidationError, field_validator, model_validator

from hbmopt.basics import verb
from hbmopt.documents import (
    Carbon,
    Count,
    Document,
    Duration,
    EnergyPrice,
    Figure,
    Life,
    Money,
    OptionalCount,
    Power,
    Rate,
    RequestRate,
    Speed,
    StrictModel,
    TokenPrice,
)
from hbmopt.errors import InputError, nearest
from hbmopt.fleet.arrivals import Arrivals
from hbmopt.fleet.sessions import Sessions
from hbmopt.instance import (
    HOURS_OF_A_DAY,
    Economics,
    Overrides,
    first_problem,
    load_document,
    problem_at,
)

FleetObjective: TypeAlias = Literal["cost", "power", "racks", "revenue", "margin", "throughput"]

Part: TypeAlias = str | dict[str, Any]
"""Part of an instance, as it stands there: a name of the catalogue, or a mapping."""

STEADY = Arrivals(kind="steady")


class FleetClass(StrictModel):
    """A class: requests that are alike, and what they ask for.

    The demand is one of `rate`, `throughput` and `users`; without any, as much is made as can be.
    """

    llm: Part
    workload: Part
    min_speed: Speed = Field(default=Figure(0.0, "speed"), description="floor of tokens/s per user")
    first_token: Duration | None = Field(
        default=None, description="limit of the time to the first token, where pools prefill"
    )
    rate: RequestRate | None = Field(default=None, description="requests per second at the peak")
    throughput: Rate | None = Field(default=None, description="instead: output tokens per second")
    users: Count | None = Field(
        default=None, description="instead: users who read at once, each at the speed floor"
    )
    load: list[float] | None = Field(
        default=None, description="share of the demand in each period; default: all of it"
    )
    price: TokenPrice = Field(
        default=Figure(0.0, "price of tokens"), description="what an output token earns"
    )
    must_serve: bool = Field(default=True, description="whether all of its demand is served")
    prefill: Literal["elsewhere", "shared", "pool", "choose"] = Field(
        default="elsewhere",
        description="who computes prompts: nobody here, the racks that decode, pools of their "
        "own, or whichever of these two is better",
    )
    sessions: Sessions | None = Field(
        default=None, description="where caches wait between the turns, and what tools compute"
    )
    arrivals: Arrivals | None = Field(
        default=None, description="how its requests arrive; default: as all others of the fleet"
    )
    racks: list[str] | None = Field(default=None, description="types that may serve it")
    choices: dict[str, Any] = Field(default_factory=dict, description="as of an instance")

    @model_validator(mode="after")
    def _one_demand(self) -> "FleetClass":
        given = [
            name for name in ("rate", "throughput", "users") if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise ValueError(f"give `{given[0]}` or `{given[1]}`, not both")
        if self.users is not None and float(self.min_speed) == 0:
            raise ValueError("`users` need a `min_speed` at which each of them reads")
        for share in self.load or []:
            if not 0 <= share < float("inf"):
                raise ValueError(f"a `load` of {share} must be a share, at least 0")
        return self


class FleetRack(StrictModel):
    """A type of rack: what it is, how many there are, and how many may be bought."""

    also_called: ClassVar[Mapping[str, str]] = {"max": "at_most", "count": "owned"}

    rack: Part
    owned: OptionalCount = Field(
        default=Figure(0.0, "count"), description="racks that are there already"
    )
    at_most: OptionalCount | None = Field(
        default=None, description="racks that may be bought; default: any number"
    )
    price: Money | None = Field(default=None, description="instead of that of the rack")
    available: int | None = Field(default=None, description="first year in which it may be bought")
    lead: Life | None = Field(default=None, description="whole years from buying to running")
    retires: int | None = Field(default=None, description="year from which owned ones are gone")
    space: float = Field(default=1.0, ge=0, allow_inf_nan=False, description="places it takes")
    choices: dict[str, Any] = Field(default_factory=dict, description="as of an instance")
    limits: dict[str, Any] = Field(
        default_factory=dict, description="as of an instance: power of a rack, and the like"
    )
    calibration: Part | None = None


class Site(StrictModel):
    """What all racks share."""

    power: Power | None = Field(default=None, description="cap; default: none")
    power_scope: Literal["rack", "facility"] = Field(
        default="facility", description="whether the cap counts the overhead of the facility"
    )
    pue: Figure | None = Field(default=None, description="facility power per rack power")
    capital: Money | None = Field(default=None, description="what purchases may cost in all")
    space: OptionalCount | None = Field(default=None, description="places for racks")

    @field_validator("pue", mode="before")
    @classmethod
    def _at_least_one(cls, pue: object) -> object:
        if isinstance(pue, Figure) or pue is None:
            return pue
        if isinstance(pue, bool) or not isinstance(pue, int | float) or not 1 <= pue < 10:
            raise ValueError(f"{pue!r} is not a PUE; it is a plain number of at least 1")
        return Figure(float(pue), "fraction")


class Period(StrictModel):
    """A stretch of time and what holds in it.

    `demand` is a share of every class's, or one for each class.
    """

    name: str = ""
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="hours, or any time")
    year: int | None = None
    demand: float | dict[str, float] = 1.0
    power: Power | None = Field(default=None, description="instead of the site's cap")
    power_price: EnergyPrice | None = Field(default=None, description="instead of the site's")
    co2: Carbon | None = Field(default=None, description="carbon dioxide of the energy")

    @field_validator("demand")
    @classmethod
    def _shares(cls, demand: float | dict[str, float]) -> float | dict[str, float]:
        for share in demand.values() if isinstance(demand, dict) else [demand]:
            if not 0 <= share < float("inf"):
                raise ValueError(f"{share} must be a share of the demand, at least 0")
        return demand


class Fleet(StrictModel):
    """A fleet: what is asked for, what may serve it, and what is best."""

    kind: Literal["fleet"]
    name: str = "fleet"
    description: str = ""
    objective: FleetObjective = "cost"
    classes: dict[str, FleetClass]
    racks: dict[str, FleetRack]
    site: Site = Field(default_factory=Site)
    economics: Economics = Field(default_factory=Economics)
    periods: list[Period] = Field(
        default_factory=lambda: [Period(name="always")],
        description="stretches of time, or `hours`: the 24 of a day",
    )
    arrivals: Arrivals = Field(
        default=STEADY, description="how requests arrive: `steady`, or at random with a limit"
    )
    switching: OptionalCount | None = Field(
        default=None, description="racks that may change what they do from a period to the next"
    )

    @field_validator("periods", mode="before")
    @classmethod
    def _hours(cls, periods: object) -> object:
        if periods == "hours":
            return [{"name": f"{hour:02d}h"} for hour in range(HOURS_OF_A_DAY)]
        if isinstance(periods, list) and not periods:
            raise ValueError("no periods; leave the key out for one that lasts always")
        return periods

    @field_validator("classes", "racks")
    @classmethod
    def _named(cls, listed: dict[str, Any]) -> dict[str, Any]:
        if not listed:
            raise ValueError("there is none")
        return listed

    @model_validator(mode="after")
    def _names(self) -> "Fleet":
        for name, one in self.classes.items():
            for rack in one.racks or []:
                if rack not in self.racks:
                    problem = f"no type of rack {rack!r}; {nearest(rack, self.racks)}"
                    raise problem_at(f"classes.{name}.racks", problem)
            if one.load is not None and len(one.load) != len(self.periods):
                problem = f"{len(one.load)} shares for {len(self.periods)} periods"
                raise problem_at(f"classes.{name}.load", problem)
        for place, period in enumerate(self.periods):
            for name in period.demand if isinstance(period.demand, dict) else ():
                if name not in self.classes:
                    problem = f"no class {name!r}; {nearest(name, self.classes)}"
                    raise problem_at(f"periods.{place}.demand", problem)
        dated = {one.year is not None for one in self.periods}
        if dated == {True, False}:
            raise problem_at("periods", "give a `year` to all of them or to none")
        if self.objective in ("cost", "power", "racks"):
            for name, one in self.classes.items():
                if one.must_serve and (one.rate or one.throughput or one.users) is None:
                    problem = (
                        f"the least {self.objective} needs a demand: give `rate`, `throughput` or "
                        "`users`"
                    )
                    raise problem_at(f"classes.{name}", problem)
        return self

    @property
    def years(self) -> list[int]:
        """The years of the periods, one where none is named."""
        return sorted({one.year or 0 for one in self.periods})

    def asked(self, name: str, period: int) -> float | None:
        """Return the share of a class's demand in a period, None where no demand is given."""
        one, when = self.classes[name], self.periods[period]
        if one.rate is None and one.throughput is None and one.users is None:
            return None
        share = when.demand.get(name, 1.0) if isinstance(when.demand, dict) else when.demand
        return share * (one.load[period] if one.load is not None else 1.0)


FleetSource: TypeAlias = Annotated[
    Fleet | str | os.PathLike[str] | Mapping[str, Any], SkipValidation
]
"""What a fleet may be given as: itself, a file, the name of a shipped one, or a mapping."""


def fleet_of(document: Document) -> Fleet:
    """Return the fleet that a document describes.

    Raises
    ------
    InputError
        With what is wrong, where, and what to do.
    """
    if document.get(("kind",)) != "fleet":
        raise document.error((), "is an instance of one rack, not a fleet: it lacks `kind: fleet`")
    try:
        return Fleet.model_validate(document.value)
    except ValidationError as error:
        raise first_problem(document, error) from None


@verb
def load_fleet_document(source: FleetSource, overrides: Overrides = None) -> Document:
    """Return a fleet's document with its changes."""
    if isinstance(source, Fleet):
        raise InputError("a fleet that was read already cannot be changed; give its file")
    return load_document(source, overrides)
