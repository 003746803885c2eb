"""`size`: what a demand takes, in racks or in any one number of the instance."""

import math
import re
import time
from dataclasses import dataclass
from typing import Any

from hbmopt.basics import brief, counted, show, verb
from hbmopt.documents import FigureRule
from hbmopt.errors import InputError
from hbmopt.instance import Instance, Overrides, Source, llm_name, load, rack_name
from hbmopt.notebook import Answer
from hbmopt.results import Conflict, StepAccuracy, plain
from hbmopt.studies.sizing.racks import Fleet, Least, asking, fleets_for, optimum
from hbmopt.studies.sizing.unknown import Unknown, unknown_of, with_limit


@dataclass(frozen=True)
class Sizing(Answer):
    """What serves a demand.

    Parameters
    ----------
    demand_tok_s, users, speed_tok_s_user
        What is to be served: output tokens, of so many users at least so fast. A user who is
        served faster is done sooner, so users count by the tokens that they take.
    rack_tok_s
        The most that one rack of the instance makes at that speed; None where a number of the
        instance is the unknown.
    fleets
        The racks that serve it, by what they are the least of; `chosen` is the one asked for.
    unknown
        How much of a number is enough, where that was asked.
    conflict
        Why nothing serves it.
    """

    instance: str
    title: str
    llm: str
    rack: str
    status: str
    demand_tok_s: float | None
    users: float | None
    speed_tok_s_user: float
    context_tokens: float
    power_scope: str
    least: Least
    rack_tok_s: float | None = None
    fleets: tuple[Fleet, ...] = ()
    unknown: Unknown | None = None
    statement: str = ""
    accuracy: StepAccuracy | None = None
    conflict: Conflict | None = None
    seconds: float = 0.0

    @property
    def feasible(self) -> bool:
        """Whether the demand can be served."""
        return self.status == "optimal"

    @property
    def chosen(self) -> Fleet | None:
        """The fleet that was asked for, None where there is none."""
        return next((one for one in self.fleets if one.least == self.least), None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as JSON has it."""
        return plain(self)

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat row for each fleet, or for the number, as CSV has it."""
        listed = [self.unknown] if self.unknown is not None else list(self.fleets)
        asked = {"demand_tok_s": self.demand_tok_s, "speed_floor_tok_s_user": self.speed_tok_s_user}
        return [asked | vars(one) for one in listed]

    def __repr__(self) -> str:
        if self.unknown is not None and self.unknown.value is not None:
            fact = f"{self.unknown.name} {show(self.unknown.value)} {self.unknown.unit}".strip()
            return brief("Sizing", fact)
        found = self.chosen
        facts = [self.status]
        if found is not None:
            facts = [counted(found.racks, "rack"), f"{show(found.power_kw)} kW"]
        return brief("Sizing", self.instance, *facts)


@verb
def size(
    source: Source,
    overrides: Overrides = None,
    *,
    users: float | None = None,
    speed: float | str | None = None,
    demand: float | str | None = None,
    least: Least = "racks",
    solve_for: str | None = None,
) -> Sizing:
    """Return what serves a demand: how many racks, or how much of one number.

    Parameters
    ----------
    source, overrides
        As of `load`.
    users
        Users who read at once, each at the speed; or else `demand`.
    speed
        Tokens per second that every user receives at least: 30, or ``"30 tok/s"``; by default the
        floor of the instance.
    demand
        Output tokens per second: 2e6, or ``"2M tok/s"``. By default ``limits.min_throughput``.
    least
        Of what the racks are to be the least: ``racks``, ``power`` or ``cost``.
    solve_for
        A number of the instance by its dotted path, such as ``rack.accelerator.hbm_capacity``: how
        much of it is just enough for the instance to serve the demand, or its speed alone.

    Raises
    ------
    InputError
        Where no demand is given, no price is known for a cost, or no number has that path.
    SolverError
        As `solve` does.
    """
    begun = time.perf_counter()
    instance = load(source, overrides)
    if speed is not None:
        instance = instance.at_floor(_amount(speed, "speed", "speed"))
    floor = float(instance.limits.min_speed)
    asked = _demand(instance, users, demand, floor, solve_for)
    heading: dict[str, Any] = {
        "instance": instance.name,
        "title": instance.description,
        "llm": llm_name(instance.llm),
        "rack": rack_name(instance.rack),
        "demand_tok_s": asked,
        "users": users,
        "speed_tok_s_user": floor,
        "context_tokens": instance.workload.mean_context,
        "power_scope": instance.limits.power_scope,
        "least": least,
    }
    if solve_for is not None and least != "racks":
        raise InputError("--least is about numbers of racks; leave it or --solve-for out")
    if solve_for is not None:
        return _unknown(instance, solve_for, users, asked, heading, begun)
    if asked is None:
        raise InputError(
            'nothing is to be served: give --users 3000 --speed "30 tok/s", or --demand "2M tok/s"'
        )
    alone = optimum(asking(instance, "throughput"))
    most = alone.throughput_tok_s
    if most is None:
        seconds = time.perf_counter() - begun
        return Sizing(status="infeasible", conflict=alone.conflict, seconds=seconds, **heading)
    fleets = tuple(fleets_for(instance, asked, most))
    if least not in {one.least for one in fleets}:
        raise InputError(f'--least {least}: no price is known; give --set rack.price="300 kUSD"')
    return Sizing(
        status="optimal",
        rack_tok_s=most,
        fleets=fleets,
        statement=_proof(fleets[0], most, asked),
        accuracy=alone.accuracy,
        seconds=time.perf_counter() - begun,
        **heading,
    )


def _proof(fewest: Fleet, most: float, demand: float) -> str:
    """Say what is proven of the fewest racks."""
    one = f"one rack makes at most {show(most, 6)} tok/s, proven over all configurations"
    if fewest.racks == 1:
        return f"{one}; the demand is {show(demand, 6)}"
    less, asked = fewest.racks - 1, f"less than the {show(demand, 6)} that are asked for"
    if less == 1:
        return f"{one}, {asked}"
    return f"{one}: {less:,} racks make at most {show(less * most, 6)}, {asked}"


def _amount(given: float | str, dimension: str, name: str) -> float:
    """Return a speed or a rate in tok/s. Raises `InputError` for what is none."""
    if isinstance(given, float | int):
        if not 0 < given < math.inf:
            raise InputError(f"--{name} {given:g}: must be more than 0, and finite")
        return float(given)
    plain_number = re.fullmatch(r"\s*([0-9.]+(?:[eE][0-9]+)?)\s*", given)
    if plain_number:
        return _amount(float(plain_number[1]), dimension, name)
    try:
        return FigureRule(dimension).parse(given).amount
    except ValueError as error:
        raise InputError(f"--{name} {given}: {error}") from None


def _demand(
    instance: Instance,
    users: float | None,
    demand: float | str | None,
    floor: float,
    solve_for: str | None,
) -> float | None:
    """Return the output tok/s that are to be served, None for none."""
    if users is not None and demand is not None:
        raise InputError("give either --users, or --demand")
    if users is not None:
        if not 0 < users < math.inf:
            raise InputError(f"--users {users:g}: must be more than 0, and finite")
        if floor <= 0 and solve_for is None:
            raise InputError('--users needs a speed: --speed "30 tok/s"')
        return users * floor
    if demand is not None:
        return _amount(demand, "rate", "demand")
    own = instance.limits.min_throughput
    return float(own) if own is not None else None


def _unknown(
    instance: Instance,
    name: str,
    users: float | None,
    demand: float | None,
    heading: dict[str, Any],
    begun: float,
) -> Sizing:
    """Return how much of a number is enough for one rack."""

    def asked(changed: Instance) -> Instance:
        """Return an instance that is to serve the demand, which may follow from its own speed."""
        if users is not None:
            served: float | None = users * float(changed.limits.min_speed)
        else:
            served = demand
        return asking(changed, "throughput", served or None)

    instance = with_limit(instance, name)
    found, solution = unknown_of(instance, name, asked)
    if found.name == "limits.min_speed" and found.value is not None:
        heading |= {
            "speed_tok_s_user": found.value,
            "demand_tok_s": users * found.value if users is not None else demand,
        }
    status = "optimal" if found.value is not None or found.statement.startswith("every") else ""
    return Sizing(
        status=status or "infeasible",
        unknown=found,
        statement=found.statement,
        accuracy=solution.accuracy if solution is not None else None,
        seconds=time.perf_counter() - begun,
        **heading,
    )
