"""The frontier: the most throughput at every speed per user, exactly, with what limits it.

Its points are the upper envelope of all operating points. Limits and prices come from the program
itself, solved at the ends of every segment.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from hbmopt.basics import brief, counted, round_step, show, verb
from hbmopt.demand import Array, aim_of, power_cap
from hbmopt.errors import InputError
from hbmopt.instance import (
    OBJECTIVES,
    Instance,
    Overrides,
    Source,
    cost_rate,
    llm_name,
    load,
    rack_kw,
    rack_name,
    usd_per_million,
)
from hbmopt.notebook import Answer, chart_of
from hbmopt.plan import best_outline, best_point, found_at
from hbmopt.points import Envelope, Outline, all_points
from hbmopt.results import (
    InputPrices,
    Solution,
    StepAccuracy,
    configuration_of,
    priced_solution,
    solution_of,
    step_accuracy,
)
from hbmopt.studies.frontier.normalisation import millions, normalisation

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd


@dataclass(frozen=True)
class FrontierPoint:
    """One point of the frontier with what limits it there.

    Of whole sequences there is not one for every speed: `speed_tok_s_user` is what is reached at a
    floor of `floor_tok_s_user`.
    `full_usd_per_million` is what a million output tokens cost at full utilisation; it and
    throughput per million USD are None where no price of the rack is known.
    `price_of_speed` is d(objective) / d(speed floor): what one more tok/s per user costs.
    `objective_amount` is the objective in its own unit.
    """

    floor_tok_s_user: float
    speed_tok_s_user: float
    throughput_tok_s: float
    objective_amount: float
    batch: float
    power_w: float
    tok_s_per_mw: float | None
    tok_s_per_accelerator: float
    tok_s_per_million_usd: float | None
    full_usd_per_million: float | None
    configuration: str
    replicas: int
    limiting_resource: str | None
    binding: tuple[str, ...]
    price_of_speed: float
    step_breakdown_ms: dict[str, float]
    elasticities: dict[str, float]


@dataclass(frozen=True)
class FrontierSegment:
    """A stretch with one configuration, one binding set and one limiting resource.

    `configuration` is that of the stretch; single points of it may be of another, as rounding to
    whole sequences has it. `replicas` are those at its slowest point. Under a power cap their
    number may change from point to point, and what limits with it: limits are those of the ends.
    """

    slowest: FrontierPoint
    fastest: FrontierPoint
    points: int
    configuration: str
    replicas: int

    @property
    def limiting_resource(self) -> str | None:
        """The input of the largest elasticity along the segment."""
        return self.slowest.limiting_resource


class Frontier(Answer):
    """The frontier of an instance: all of its points, its segments and whatever lies in between."""

    def __init__(
        self, instance: Instance, outline: Outline, seconds: float, within: float = 0.0
    ) -> None:
        self.instance = instance
        self.configurations = tuple(str(one) for one in outline.configurations)
        self.seconds = seconds
        self.within = within
        self._outline, self._points = outline, outline.points
        self._owners = outline.points.owner
        self._sources = outline.configurations
        self._solved: dict[int, FrontierPoint] = {}

    def __repr__(self) -> str:
        if not self.feasible:
            return brief("Frontier", self.instance.name, "nothing can be served")
        speeds, made = self.speeds, self.throughputs
        return brief(
            "Frontier",
            self.instance.name,
            counted(len(self), "point"),
            f"{show(float(made[0]), 6)} tok/s at {show(float(speeds[0]))} tok/s per user",
            f"{show(float(made[-1]), 6)} at {show(float(speeds[-1]))}",
        )

    def __len__(self) -> int:
        return len(self._points.batch)

    @property
    def feasible(self) -> bool:
        """Whether anything can be served."""
        return len(self) > 0

    @property
    def sampled(self) -> bool:
        """Whether its points are the best at some speeds, and others may be better between.

        The most throughput changes from one batch to the next, any other objective everywhere.
        """
        return self.instance.objective != "throughput"

    @property
    def sought(self) -> str:
        """What is the best at its points: throughput, or another objective."""
        return OBJECTIVES[self.instance.objective].title

    @property
    def unit(self) -> str:
        """The unit of that."""
        return OBJECTIVES[self.instance.objective].unit

    @property
    def best_of_it(self) -> str:
        """What a frontier shows, in words: the most throughput at every speed per user."""
        which = "least" if OBJECTIVES[self.instance.objective].least else "most"
        every = "round speeds" if self.sampled else "every speed"
        return f"{which} {self.sought} at {every} per user,"

    @property
    def amounts(self) -> Array:
        """The objective at the points in its own unit, the slowest first."""
        aim = aim_of(self.instance)
        none = np.zeros(len(self))
        return np.asarray(aim.amount(self.throughputs, self.powers_kw, self.speeds, none))

    @property
    def accuracy(self) -> StepAccuracy:
        """What the step times rest on: the worst of the layouts that run along the frontier."""
        used = [self._sources[one].layout for one in np.unique(self._owners)]
        return step_accuracy(self.instance, [one.attention_data_parallel for one in used])

    @cached_property
    def likely(self) -> tuple[Array, Array] | None:
        """Least and most, in four of five cases, of what points make: shares of theirs.

        Throughput and speed of a point are so many times as high together. The slowest point
        first; None where nothing is known.
        """
        found = dict[int, tuple[float, float]]()
        for owner in np.unique(self._owners).tolist():
            data = self._sources[owner].layout.attention_data_parallel
            shares = step_accuracy(self.instance, [data]).rates(1.0)
            if shares is None:
                return None
            found[owner] = shares
        pairs = np.array([found[owner] for owner in self._owners[::-1].tolist()]).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    @property
    def speeds(self) -> Array:
        """Speed floors of the points in tok/s per user, the slowest first."""
        return self._points.floor[::-1]

    @property
    def throughputs(self) -> Array:
        """Throughput of the points in tok/s, the slowest first: falling."""
        return self._points.throughput[::-1]

    @property
    def powers_kw(self) -> Array:
        """Power that the rack draws at the points in kW, the slowest first."""
        return self._outline.power_kw[::-1]

    @property
    def full_usd_per_million(self) -> Array | None:
        """What a million output tokens cost at the points, at full utilisation; None for unknown.

        The slowest point first.
        """
        rate = cost_rate(self.instance)
        if rate is None:
            return None
        # Both are linear in the power that is drawn.
        idle = rate.usd_per_hour(rack_kw(self.instance, 0.0))
        each = rate.usd_per_hour(rack_kw(self.instance, 1.0)) - idle
        hourly = idle + each * self.powers_kw
        per_million = usd_per_million(1.0, 1.0)
        found: Array = np.divide(per_million * hourly, self.throughputs).astype(np.float64)
        return found

    def normalised(self, per: str) -> Array:
        """Return the throughputs per ``rack``, ``accelerator``, ``mw`` or ``usd``.

        Those per MW are of the power drawn at each point, and need not fall with speed.

        Raises
        ------
        InputError
            Where the price is not known, or nothing is drawn.
        """
        if per == "mw" and (self._outline.power_kw <= 0).any():
            raise InputError("--per mw: the rack draws no power; set static_power or a power law")
        quoted = normalisation(per, self.instance)
        powers = self.powers_kw if quoted.by_power else np.zeros(len(self))
        return quoted.values(self.throughputs, powers)

    def throughput(self, speed: float) -> float:
        """Return the throughput at a speed floor in tok/s per user, 0 where none meets it."""
        position = self._position(speed)
        if position >= 0 and self.sampled:
            return self.solution(speed).throughput_tok_s or 0.0
        return float(self._points.throughput[position]) if position >= 0 else 0.0

    def index(self, speed: float) -> int | None:
        """Return the first point, counted from the slowest, that meets a floor; None if none."""
        position = self._position(speed)
        return len(self) - 1 - position if position >= 0 else None

    def _position(self, speed: float) -> int:
        """Return the last of the points, the fastest first, that meet a floor; -1 if none."""
        slack = speed * (1.0 - 1e-12)
        return int(np.searchsorted(-self._points.floor, -slack, side="right")) - 1

    def solution(self, speed: float) -> Solution:
        """Return the whole solution at a speed floor, priced; that of the instance holds too."""
        speed = max(speed, float(self.instance.limits.min_speed))
        position = self._position(speed)
        if position < 0 or self.sampled or self.within:
            return priced_solution(self.instance.at_floor(float(speed)))
        return self._solution_at(position, float(speed))

    def _solution_at(self, position: int, speed: float) -> Solution:
        """Return the solution of a point at a floor that it meets."""
        begun, instance = time.perf_counter(), self.instance.at_floor(speed)
        found = found_at(instance, self._outline.serving(position))
        return solution_of(instance, found, begun, self._prices)

    @cached_property
    def _prices(self) -> InputPrices:
        """What the prices of all points have in common."""
        return InputPrices()

    def point(self, speed: float) -> FrontierPoint | None:
        """Return the point at a speed floor with its limits and prices, None where none is."""
        position = self._position(speed)
        if position < 0:
            return None
        if speed not in self._asked:
            self._asked[speed] = _described(self.solution(speed), millions(self.instance))
        return self._asked[speed]

    @cached_property
    def _asked(self) -> dict[float, FrontierPoint]:
        """The points at speeds that were asked for."""
        return {}

    def point_at(self, index: int) -> FrontierPoint:
        """Return a point by its place from the slowest, with its limits and prices; solved once."""
        return self._point_at(len(self) - 1 - index)

    def _point_at(self, position: int) -> FrontierPoint:
        """Return the point at a position, solved once."""
        if position not in self._solved:
            floor = float(self._points.floor[position])
            # The slowest point meets any floor below it, and there the floor costs nothing.
            slowest = position == len(self) - 1
            speed = float(self.instance.limits.min_speed) if slowest else floor
            solution = self._solution_at(position, speed * (1.0 - 1e-9))
            self._solved[position] = _described(solution, millions(self.instance))
        return self._solved[position]

    @cached_property
    def segments(self) -> tuple[FrontierSegment, ...]:
        """The segments, the slowest first.

        A new one starts where the configuration changes, or the binding set, or the limiting
        resource. Where two configurations alternate within the rounding of single sequences, the
        one that holds before and after counts, and ends and limits are those of its own points.
        """
        found, owners = [], self._owners[::-1]
        for first, last, owner in _runs(owners):
            members = [len(self) - 1 - at for at in range(first, last + 1) if owners[at] == owner]
            groups = self._split(members)
            begins = [*(group[0] for group in groups), len(self) - 2 - last]
            found += [
                FrontierSegment(
                    self._point_at(group[0]),
                    self._point_at(group[-1]),
                    begin - following,
                    str(self._sources[owner]),
                    int(self._points.replicas[group[0]]),
                )
                for group, (begin, following) in zip(groups, pairwise(begins), strict=True)
            ]
        return tuple(found)

    def _split(self, members: Sequence[int]) -> list[Sequence[int]]:
        """Split positions of one configuration, the slowest first, where what limits it changes."""
        slow, fast = self._point_at(members[0]), self._point_at(members[-1])
        if _alike(slow, fast):
            return [members]
        low, high = 0, len(members) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if _alike(slow, self._point_at(members[middle])):
                low = middle
            else:
                high = middle
        return [members[:high], *self._split(members[high:])]

    def ladder(self, speeds: Sequence[float] | None = None) -> list[FrontierPoint]:
        """Return the points at given speeds in tok/s per user; by default at round ones.

        Speeds below the instance's own floor are that floor.
        """
        asked = list(speeds) if speeds is not None else self.round_speeds()
        own = float(self.instance.limits.min_speed)
        asked = list(dict.fromkeys(max(speed, own) for speed in asked))
        found = [self.point(speed) for speed in asked]
        return [one for one in found if one is not None]

    def known_points(self, count: int) -> list[FrontierPoint]:
        """Return up to `count` of the points, evenly over the speeds, both ends among them."""
        if not self.feasible:
            return []
        speeds = self.speeds
        wanted = np.linspace(speeds[0], speeds[-1], count)
        return [self.point_at(int(at)) for at in np.unique(np.searchsorted(speeds, wanted))]

    def round_speeds(self) -> list[float]:
        """Return round speeds over the frontier: at most 20."""
        if not self.feasible:
            return []
        fastest = float(self._points.floor[0])
        step = round_step(fastest / MOST_RUNGS)
        slowest = float(self.speeds[0])
        first = np.ceil(slowest / step)
        return [float(step * (first + count)) for count in range(int(fastest / step - first) + 1)]

    @property
    def points_frame(self) -> "pd.DataFrame":
        """One row per point, the slowest first: speed, throughput, power, batch, configuration.

        With throughput per accelerator, per MW where power is drawn, per million USD where the
        price is known and what a million tokens cost there at full utilisation, and what the plan
        makes at least and at most in four of five cases.
        """
        import pandas as pd  # 0.3 s that only frames need

        names = np.array(self.configurations, dtype=object)
        found = {"tok_s_per_accelerator": self.normalised("accelerator")}
        if (self._outline.power_kw > 0).all():
            found["tok_s_per_mw"] = self.normalised("mw")
        if millions(self.instance) is not None:
            found["tok_s_per_million_usd"] = self.normalised("usd")
        costs = self.full_usd_per_million
        if costs is not None:
            found["full_usd_per_million"] = costs
        if self.likely is not None:
            low, high = self.likely
            found["throughput_low_tok_s"] = self.throughputs * low
            found["throughput_high_tok_s"] = self.throughputs * high
        return pd.DataFrame(
            {
                "speed_tok_s_user": self.speeds,
                "throughput_tok_s": self.throughputs,
                "objective_amount": self.amounts,
                "power_w": self.powers_kw * 1e3,
                **found,
                "batch": (self._points.batch * self._points.replicas)[::-1],
                "replicas": self._points.replicas[::-1],
                "configuration": names[self._owners[::-1]],
            }
        )

    @property
    def segments_frame(self) -> "pd.DataFrame":
        """One row per segment, the slowest first."""
        import pandas as pd  # 0.3 s that only frames need

        return pd.DataFrame([segment_row(one) for one in self.segments])

    def chart(
        self,
        *others: "Frontier",
        kind: Literal["frontier", "steps", "elasticities"] = "frontier",
        per: Literal["rack", "accelerator", "mw", "usd"] = "rack",
    ) -> "alt.LayerChart":
        """Return the chart that ``hbmopt frontier --plot`` draws.

        Parameters
        ----------
        others
            Frontiers to draw beside this one.
        kind
            The ``frontier``; or along one the parts of the decode ``steps``, or the
            ``elasticities``: what 1 % more of each input is worth.
        per
            What the throughput of a frontier is divided by: ``mw`` is that drawn, ``usd`` are
            million USD of price.

        Raises
        ------
        InputError
            Where the packages that draw charts are missing, nothing can be served on one of the
            frontiers, or a price is not known.
        """
        return cast("alt.LayerChart", chart_of(self, *others, kind=kind, per=per))

    def to_dict(self, speeds: Sequence[float] | None = None) -> dict[str, Any]:
        """Return plain data, as JSON has it, with the ladder at `speeds` or at round ones."""
        costs = self.full_usd_per_million
        return {
            "instance": self.instance.name,
            "title": self.instance.description,
            "llm": llm_name(self.instance.llm),
            "rack": rack_name(self.instance.rack),
            "status": "optimal" if self.feasible else "infeasible",
            "objective": self.instance.objective,
            "objective_unit": OBJECTIVES[self.instance.objective].unit,
            "accelerators": self.instance.rack.all_accelerators,
            "points": len(self),
            "gap": 0.0,
            "seconds": self.seconds,
            "accuracy": asdict(self.accuracy),
            "segments": [
                {
                    "configuration": one.configuration,
                    "replicas": one.replicas,
                    "limiting_resource": one.limiting_resource,
                    "points": one.points,
                    "slowest": _plain(one.slowest),
                    "fastest": _plain(one.fastest),
                }
                for one in self.segments
            ],
            "ladder": [_plain(one) for one in self.ladder(speeds)],
            "curve": {
                "speed_tok_s_user": self.speeds.tolist(),
                "throughput_tok_s": self.throughputs.tolist(),
                "objective_amount": self.amounts.tolist(),
                "power_w": (self.powers_kw * 1e3).tolist(),
                "full_usd_per_million": costs.tolist() if costs is not None else None,
            },
        }


@verb
def frontier(
    source: Source,
    overrides: Overrides = None,
    *,
    within: float = 0.0,
) -> Frontier:
    """Return the exact frontier of an instance over speed floors from its own upwards.

    `source` and `overrides` are those of `load`.

    Of another objective than throughput it holds the best points at about twenty speeds.

    With a share `within`, such as 0.003, points may be left out that make no more than so much
    more than another one at their speed: enough for a drawing, in a fraction of the time. What
    `solution` returns is the optimum all the same.

    Raises
    ------
    InputError
        Where the instance lets a rack run a mix of configurations, or batches that are not whole,
        or where its objective is speed itself or a count of accelerators.
    """
    instance = load(source, overrides)
    if not 0.0 <= within < 1.0:
        raise InputError(f"within: {within:g} is not a share; write 0.003 for 0.3 %")
    if not instance.choices.uniform:
        raise InputError(
            "choices.uniform: a frontier is that of one configuration at a time; "
            "--set choices.uniform=true"
        )
    if not instance.choices.whole_sequences:
        raise InputError(
            "choices.whole_sequences: a frontier is that of whole sequences; "
            "--set choices.whole_sequences=true"
        )
    if instance.objective in NOT_BY_SPEED:
        raise InputError(
            f"objective: a frontier runs over speeds, so {instance.objective} is none of its "
            "objectives; take throughput, tokens_per_joule, tokens_per_dollar, power or cost"
        )
    begun = time.perf_counter()
    if instance.objective == "throughput":
        cap, floor = power_cap(instance), float(instance.limits.min_speed)
        groups = all_points(instance).groups
        outline = Envelope(groups, cap, floor, aim_of(instance), within=within).result()
    else:
        outline = best_outline([instance.at_floor(one) for one in _floors(instance)])
    return Frontier(instance, outline, time.perf_counter() - begun, within)


NOT_BY_SPEED = ("speed", "accelerators")
"""Objectives of which there is no frontier over speeds."""


def _floors(instance: Instance) -> list[float]:
    """Return the speed floors at which another objective than throughput is sought.

    Round ones, the instance's own and the highest that there is.
    """
    own = float(instance.limits.min_speed)
    fastest = best_point(instance.model_copy(update={"objective": "speed"}))
    if fastest is None:
        return [own]
    most = fastest.rate * fastest.gained * (1.0 - 1e-9)
    step = round_step(most / MOST_RUNGS)
    rungs = [step * count for count in range(1, int(most / step) + 1)]
    return [own, *(rung for rung in rungs if rung > own), most]


def parse_speeds(text: str) -> list[float]:
    """Return speeds from a list such as ``20,40,60``. Raises `InputError` for anything else."""
    found = []
    for part in text.split(","):
        try:
            speed = float(part)
        except ValueError:
            speed = math.nan
        if not 0 <= speed < math.inf:
            raise InputError(f"--at: {part.strip()!r} is not a speed; write speeds as 20,40,60")
        found.append(speed)
    return found


def _runs(owners: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Return first, last and owner of each run of one owner, short alternations smoothed out."""
    smooth = owners.copy()
    edges = [0, *(np.nonzero(np.diff(owners))[0] + 1).tolist(), len(owners)]
    for left, right in pairwise(edges[1:-1]):
        if right - left <= SHORT and smooth[left - 1] == owners[right]:
            smooth[left:right] = smooth[left - 1]
    edges = [0, *(np.nonzero(np.diff(smooth))[0] + 1).tolist(), len(owners)]
    return [(left, right - 1, int(smooth[left])) for left, right in pairwise(edges) if right > left]


MOST_RUNGS = 20
"""Steps of the ladder of round speeds."""

SHORT = 3
"""Points up to which a change of configuration and back is the rounding of single sequences."""


def _alike(one: FrontierPoint, other: FrontierPoint) -> bool:
    return (one.limiting_resource, one.binding) == (other.limiting_resource, other.binding)


def _described(solution: Solution, price: float | None) -> FrontierPoint:
    """Return the point of a solution; `price` is that of the rack in million USD."""
    chosen = solution.configurations[0]
    floor = next((row for row in solution.constraints if row.name == "min_speed"), None)
    throughput = solution.throughput_tok_s or 0.0
    return FrontierPoint(
        floor_tok_s_user=solution.min_speed_tok_s_user,
        speed_tok_s_user=solution.speed_tok_s_user or 0.0,
        throughput_tok_s=throughput,
        objective_amount=solution.objective_amount or 0.0,
        batch=solution.batch or 0.0,
        power_w=solution.power_w or 0.0,
        tok_s_per_mw=solution.tok_s_per_mw,
        tok_s_per_accelerator=throughput / solution.accelerators,
        tok_s_per_million_usd=throughput / price if price is not None else None,
        full_usd_per_million=(
            solution.economics.full_utilisation.usd_per_million
            if solution.economics is not None
            else None
        ),
        configuration=str(configuration_of(chosen)),
        replicas=chosen.replicas,
        limiting_resource=solution.limiting_resource,
        binding=tuple(row.name for row in solution.constraints if row.binding),
        price_of_speed=floor.unit_price if floor is not None else 0.0,
        step_breakdown_ms=chosen.step_breakdown_ms,
        elasticities=solution.elasticities,
    )


def segment_row(segment: FrontierSegment) -> dict[str, Any]:
    """Return a segment as one flat row."""
    return {
        "from_speed": segment.slowest.speed_tok_s_user,
        "to_speed": segment.fastest.speed_tok_s_user,
        "from_throughput": segment.slowest.throughput_tok_s,
        "to_throughput": segment.fastest.throughput_tok_s,
        "from_batch": segment.slowest.batch,
        "to_batch": segment.fastest.batch,
        "limiting_resource": segment.limiting_resource,
        "binding": " ".join(segment.slowest.binding),
        "from_price_of_speed": segment.slowest.price_of_speed,
        "to_price_of_speed": segment.fastest.price_of_speed,
        "configuration": segment.configuration,
        "replicas": segment.replicas,
        "points": segment.points,
    }


def _plain(point: FrontierPoint) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in asdict(point).items()
    }
