"""Random arrivals: how many servers keep waiting within a limit, and how arrivals are written.

    P(wait > t) = C(c, a) exp(-(c - a) t / s)

is Erlang's delay formula for requests that arrive at random (a Poisson process) at c servers with
one queue, served in the order of arrival, for exponential times of mean s. The offered load a is
the rate of requests times s: the servers that are busy in the mean. A server is whatever holds one
request at a time: a sequence slot of a decode replica, or a replica that computes prompts.

The formula assumes one queue for all servers of a class of demand, as a router keeps it, and
servers that are alike. Pools that do not share a queue need the headroom of each.

For service times that vary otherwise, with a squared coefficient of variation v, it is an
approximation (Allen and Cunneen): who waits is taken from the formula, and the wait of those is
multiplied by (1 + v) / 2, so that t counts as 2 t / (1 + v). docs/arrivals.md says how far it is
off.

Sources: A. K. Erlang (1917); A. O. Allen, "Probability, Statistics and Queueing Theory" (1990),
5.4; S. Halfin and W. Whitt, "Heavy-traffic limits for queues with many exponential servers",
Operations Research 29 (1981).
"""

import math
from bisect import bisect_left
from statistics import NormalDist
from typing import Literal

import numpy as np
from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from hbmopt.documents import Duration, Efficiency, StrictModel
from hbmopt.errors import InputError

MOST_OFFERED = 1e8
"""Erlangs up to which the answer comes within a second."""

_AT_ONCE = 256
"""Terms of the recursion that are looked at first, and twice as many each time after that."""

_NEGLIGIBLE = 1e-18
"""Terms that are this small beside their sum change it by 1e-15 at most, all of them together."""

_LARGEST_BETA = 10.0
"""At so many square roots 1e-23 of all requests wait: no float below 1 is a higher percentile."""

_MARGIN = 5
"""Servers that staffing for large loads may be short of, at percentiles up to 0.99999."""


def erlang_b(servers: int, offered: float) -> float:
    """Return the share of requests that are lost where there is no queue: Erlang's loss formula.

    The recursion 1/B(c) = 1 + c/a 1/B(c - 1) is written out from its last step,
    1 + c/a (1 + (c - 1)/a (1 + ...)), and cut where nothing is added any more: some multiples of
    the square root of the load, not all c. All terms are positive, so that nothing cancels.

    Parameters
    ----------
    servers
        How many there are, c.
    offered
        The load a in erlangs, more than 0.
    """
    inverse = term = 1.0
    first, many = servers, _AT_ONCE
    with np.errstate(over="ignore"):
        while first > 0 and term >= _NEGLIGIBLE * inverse and not math.isinf(inverse):
            last = max(first - many, 0)
            terms = term * np.cumprod(np.arange(first, last, -1) / offered)
            term, inverse = float(terms[-1]), inverse + float(terms.sum())
            first, many = last, 2 * many
    return 1.0 / inverse


def erlang_c(servers: int, offered: float) -> float:
    """Return the share of requests that have to wait: Erlang's delay formula.

    1 where the load is at least the number of servers: the queue then grows without end.
    """
    if servers <= offered:
        return 1.0
    lost = erlang_b(servers, offered)
    return servers * lost / (servers - offered * (1.0 - lost))


def share_waiting(
    servers: int, offered: float, patience: float = 0.0, variation: float = 1.0
) -> float:
    """Return the share of requests that wait longer than a limit.

    Parameters
    ----------
    servers
        How many there are.
    offered
        The load in erlangs: requests per second times the mean seconds that one is served.
    patience
        The limit in mean service times; 0 asks for the share that waits at all.
    variation
        Squared coefficient of variation of the service time: 1 where it is exponential, 0 where
        it is always the same. Other values than 1 are the approximation of Allen and Cunneen.
    """
    if servers <= offered:
        return 1.0
    rate = (servers - offered) * 2.0 / (1.0 + variation)
    return erlang_c(servers, offered) * math.exp(-rate * patience)


def servers_needed(
    offered: float, patience: float, percentile: float, variation: float = 1.0
) -> int:
    """Return the fewest servers at which no more than 1 - percentile wait longer than a limit.

    Parameters
    ----------
    offered
        The load in erlangs, more than 0.
    patience
        The limit of waiting in mean service times, at least 0.
    percentile
        The share of requests that wait no longer, more than 0 and less than 1.
    variation
        Squared coefficient of variation of the service time, as in `share_waiting`.

    Raises
    ------
    InputError
        Where a number is outside of its range.
    """
    _check(offered, patience, percentile, variation)
    limit, least = 1.0 - percentile, math.floor(offered) + 1

    def holds(servers: int) -> bool:
        return share_waiting(servers, offered, patience, variation) <= limit

    more = _MARGIN + math.ceil(square_root_staffing(offered, percentile) - offered)
    while not holds(least + more):
        more *= 2
    return bisect_left(range(least, least + more), True, key=holds) + least


def headroom(offered: float, patience: float, percentile: float, variation: float = 1.0) -> float:
    """Return the servers that a load needs, per server that is busy in the mean.

    More than 1. It falls towards 1 as the load grows, in steps, as servers are whole. Parameters
    and errors are those of `servers_needed`.
    """
    return servers_needed(offered, patience, percentile, variation) / offered


def square_root_staffing(offered: float, percentile: float) -> float:
    """Return about how many servers let the share `percentile` of requests start at once.

    a + beta sqrt(a), the limit for large loads at which 1 / (1 + beta Phi(beta) / phi(beta)) of
    all requests wait, with the distribution Phi and the density phi of a standard normal (Halfin
    and Whitt 1981). Not a whole number. Errors are those of `servers_needed`.
    """
    _check(offered, 0.0, percentile, 1.0)
    normal, limit = NormalDist(), 1.0 - percentile
    least, most = 0.0, _LARGEST_BETA
    while least < (beta := (least + most) / 2.0) < most:
        if 1.0 / (1.0 + beta * normal.cdf(beta) / normal.pdf(beta)) > limit:
            least = beta
        else:
            most = beta
    return offered + most * math.sqrt(offered)


def _check(offered: float, patience: float, percentile: float, variation: float) -> None:
    for holds, said in (
        (
            0.0 < offered <= MOST_OFFERED,
            f"offered load of {offered} erlangs: give more than 0, and at most {MOST_OFFERED:g}",
        ),
        (
            0.0 <= patience < math.inf,
            f"patience of {patience} mean service times: give a number of at least 0",
        ),
        (
            0.0 < percentile < 1.0,
            f"percentile {percentile}: give a share between 0 and 1, such as 0.95",
        ),
        (
            0.0 <= variation < math.inf,
            f"variation {variation}: give a number of at least 0; 1 is that of exponential times",
        ),
    ):
        if not holds:
            raise InputError(said)


_FORMS = "`steady`, or {kind: random, wait: 0.5 s, percentile: 0.95}"


class Arrivals(StrictModel):
    """How requests of a class arrive: steadily, or at random with a limit of waiting."""

    kind: Literal["steady", "random"] = Field(
        description="steady: one after the other, nobody waits; random: a Poisson process"
    )
    wait: Duration | None = Field(
        default=None, description="how long a request may wait for a server that is free"
    )
    percentile: Efficiency | None = Field(
        default=None, description="share of the requests that wait no longer; less than 1"
    )

    @model_validator(mode="before")
    @classmethod
    def _steady(cls, data: object) -> object:
        """Read the plain word `steady` as arrivals without any limit."""
        if data == "steady":
            return {"kind": data}
        if not isinstance(data, dict | Arrivals):
            raise ValueError(f"{data!r} is not a kind of arrivals alone; write {_FORMS}")
        return data

    @model_validator(mode="after")
    def _with_its_limit(self) -> "Arrivals":
        given = [name for name in ("wait", "percentile") if getattr(self, name) is not None]
        if self.kind == "steady" and given:
            raise ValueError(f"steady arrivals do not wait: leave out `{given[0]}`, or {_FORMS}")
        if self.kind == "random" and len(given) < 2:
            raise ValueError(f"random arrivals need `wait` and `percentile`: write {_FORMS}")
        if self.percentile is not None and float(self.percentile) == 1.0:
            raise ValueError("no number of servers serves all at once; write a percentile below 1")
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        mapping = handler.resolve_ref_schema(handler(core_schema))
        limited = {
            "if": {"properties": {"kind": {"const": "random"}}},
            "then": {"required": ["wait", "percentile"]},
        }
        return {"anyOf": [{"const": "steady"}, {**mapping, **limited}]}

    def headroom(self, offered: float, service: float, variation: float = 1.0) -> float:
        """Return the servers that a load needs per server that is busy in the mean; 1 if steady.

        Parameters
        ----------
        offered
            The load in erlangs, more than 0.
        service
            The mean service time in ms, more than 0.
        variation
            Squared coefficient of variation of the service time, as in `share_waiting`.

        Raises
        ------
        InputError
            Where a number is outside of its range.
        """
        if self.wait is None or self.percentile is None:
            return 1.0
        if not 0.0 < service < math.inf:
            raise InputError(f"service time of {service} ms: give more than 0")
        patience = float(self.wait) / service
        return headroom(offered, patience, float(self.percentile), variation)
