"""The plain numbers that the rows of a fleet are written in: racks, kW, USD, GB, tok/s, seconds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A line above a load curve: a pool's rate is at most `per_rack` n + `per_kw` E.

    E are the kW that n racks draw beyond resting. The rate is in tok/s, or prompts/s of a pool
    that prefills.
    """

    per_rack: float
    per_kw: float


@dataclass(frozen=True)
class Band:
    """Racks whose rate lies between two ends each, and what they draw at least beyond resting.

    One band from 0 to the most that a rack makes holds all of them; narrower ones bound the power
    more closely.
    """

    lowest: float
    highest: float
    least_kw: float
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class PlaceData:
    """Where idle caches of a pool may wait, and what that takes per tok/s of their turns.

    Parameters
    ----------
    host_gb, storage_gb, hbm_gb
        Held in host memory, on drives, in HBM.
    host_busy, storage_busy
        Seconds per s for which the links to host memory, or the drives, of a node are busy.
    kw
        Drawn for moving them.
    prompts_per_s
        Prompts that have to be computed again.
    """

    name: str
    host_gb: float = 0.0
    storage_gb: float = 0.0
    hbm_gb: float = 0.0
    host_busy: float = 0.0
    storage_busy: float = 0.0
    kw: float = 0.0
    prompts_per_s: float = 0.0


@dataclass(frozen=True)
class PoolData:
    """Racks of a type that do one thing for a class: decode, or prefill.

    Parameters
    ----------
    name
        What tells it from others.
    kind, demand
        The places of its type of rack and of its class.
    prefill
        Whether it computes prompts.
    headroom
        Capacity that has to be there per what is asked for in the mean, at least 1, by period.
    prompts_per_token
        Prompts that pools of their own have to compute for a token that it makes.
    reserved_hbm_gb
        HBM of a rack that it keeps for idle caches.
    cores_per_token
        CPU cores that are busy per tok/s.
    kw_per_token
        Power of these, beyond the load curve.
    places
        Where the caches of its idle sessions may be; nothing where a class has no sessions.
    """

    name: str
    kind: int
    demand: int
    prefill: bool
    headroom: tuple[float, ...]
    prompts_per_token: float = 0.0
    reserved_hbm_gb: float = 0.0
    cores_per_token: float = 0.0
    kw_per_token: float = 0.0
    places: tuple[PlaceData, ...] = ()


@dataclass(frozen=True)
class KindData:
    """A type of rack.

    Parameters
    ----------
    owned
        Racks that are there already, by year.
    at_most
        Racks that may be bought in all, None for any number.
    runs
        By year in which it is bought: the first year in which it runs, None where it is not sold.
    usd
        Price of one, that counts against the capital.
    bought_usd_per_hour, standing_usd_per_hour
        Cost of an hour of one that was bought, and of one that stands, however it came there.
    idle_kw
        What one draws at rest.
    space
        Places that it takes.
    host_gb, storage_gb, host_busy, storage_busy, cores
        What stands beside its accelerators; nodes whose links and drives may be busy.
    """

    name: str
    owned: tuple[float, ...]
    at_most: float | None
    runs: tuple[int | None, ...]
    usd: float
    bought_usd_per_hour: float
    standing_usd_per_hour: float
    idle_kw: float
    space: float
    host_gb: float = 0.0
    storage_gb: float = 0.0
    host_busy: float = 0.0
    storage_busy: float = 0.0
    cores: float = 0.0


@dataclass(frozen=True)
class DemandData:
    """A class: whether it has to be served, and what a token earns in USD."""

    name: str
    must_serve: bool
    usd_per_token: float


@dataclass(frozen=True)
class PeriodData:
    """A stretch of time: its share of all time, its year, and what holds in it.

    `asked` is the demand of each class in tok/s, None for as much as can be made; `cap_kw` and
    `usd_per_kwh` are of the site's own power, which is `overhead` times that of the racks.
    """

    name: str
    share: float
    year: int
    asked: tuple[float | None, ...]
    cap_kw: float | None
    usd_per_kwh: float
    kg_per_kwh: float = 0.0


@dataclass(frozen=True)
class FleetData:
    """A fleet: types of racks, classes, periods, pools, and what they share."""

    kinds: tuple[KindData, ...]
    demands: tuple[DemandData, ...]
    periods: tuple[PeriodData, ...]
    pools: tuple[PoolData, ...]
    bands: tuple[tuple[tuple[Band, ...], ...], ...]
    """Bands by pool and period."""
    years: int
    overhead: float
    objective: str
    capital_usd: float | None = None
    space: float | None = None
    switches: float | None = None
    whole: bool = True
    """Whether racks are whole."""

    def indices(self) -> list[tuple[int, int, int]]:
        """Return pool, period and band of every variable of a pool."""
        return [
            (pool, period, band)
            for pool in range(len(self.pools))
            for period in range(len(self.periods))
            for band in range(len(self.bands[pool][period]))
        ]

    def pools_of(self, kind: int) -> list[int]:
        """Return the pools of a type of rack."""
        return [place for place, pool in enumerate(self.pools) if pool.kind == kind]

    def serving(self, demand: int, *, prefill: bool) -> list[int]:
        """Return the pools of a class that decode, or those that prefill."""
        return [
            place
            for place, pool in enumerate(self.pools)
            if pool.demand == demand and pool.prefill == prefill
        ]
