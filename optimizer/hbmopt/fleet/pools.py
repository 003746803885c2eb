"""Pools: each class on each type of rack that may serve it, as an instance and its load curve."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hbmopt.basics import Told, tells_nobody
from hbmopt.documents import Document
from hbmopt.errors import InputError
from hbmopt.fleet.arrivals import Arrivals
from hbmopt.fleet.load_curve import LoadCurve, load_curves, resting_kw
from hbmopt.fleet.prefill import PrefillPoint, prefill_points
from hbmopt.fleet.schema import Fleet
from hbmopt.instance import Instance, resolve_references, validate
from hbmopt.models.fleet.quantities import Line


@dataclass(frozen=True)
class PrefillCurve:
    """What one rack computes of a class's prompts on its power: ways to run that rest in between.

    `ways` are the efficient ones, the most prompts per second first.
    """

    instance: Instance
    idle_kw: float
    ways: tuple[PrefillPoint, ...]

    @property
    def top_rate(self) -> float:
        """The most prompts per second of a rack."""
        return self.ways[0].prompts_per_s

    @property
    def lines(self) -> list[Line]:
        """Bounds of what any mix of ways makes: those through neighbouring corners of the hull."""
        corners = [(0.0, 0.0)]
        for one in sorted(self.ways, key=lambda one: one.rack_kw):
            new = one.rack_kw - one.rest_kw, one.prompts_per_s
            while len(corners) > 1 and _below(corners[-2], corners[-1], new):
                corners.pop()
            corners.append(new)
        found = list[Line]()
        for (less, slow), (more, fast) in pairwise(corners):
            if more > less and fast > slow:
                slope = (fast - slow) / (more - less)
                found.append(Line(slow - slope * less, slope))
        return found

    def working(self, rate: float) -> tuple[PrefillPoint, float]:
        """Return the way to compute a rate on the least power, and the kW beyond resting."""
        able = [one for one in self.ways if one.prompts_per_s >= rate * (1.0 - 1e-9)]
        best = min(able, key=lambda one: one.joule_per_prompt)
        return best, 1e-3 * best.joule_per_prompt * rate


def _below(
    first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]
) -> bool:
    """Whether the middle one of three points lies on or below the line of the others."""
    rise = (last[1] - first[1]) * (middle[0] - first[0])
    return (middle[1] - first[1]) * (last[0] - first[0]) <= rise


@dataclass(frozen=True)
class Pool:
    """Racks of a type that do one thing for a class.

    Parameters
    ----------
    kind, demand
        Names of the type of rack and of the class.
    stage
        ``decode``, ``prefill``, or ``decode with prompts`` where the racks compute these as well.
    curve
        What one rack makes: tok/s, or prompts/s of a pool that prefills.
    kept
        Share of its HBM that is kept for the caches of sessions that wait.
    """

    kind: str
    demand: str
    stage: str
    curve: LoadCurve | PrefillCurve
    kept: float = 0.0

    @property
    def name(self) -> str:
        """What tells it from others."""
        kept = f", {self.kept:.0%} of HBM kept" if self.kept else ""
        return f"{self.demand} on {self.kind}: {self.stage}{kept}"

    @property
    def instance(self) -> Instance:
        """One rack with the class's model and workload."""
        return self.curve.instance

    @property
    def prefills(self) -> bool:
        """Whether it computes prompts and nothing else."""
        return self.stage == PREFILL

    @property
    def highest(self) -> float:
        """The most that one rack makes, in tok/s or prompts/s."""
        curve = self.curve
        return curve.top.rate if isinstance(curve, LoadCurve) else curve.top_rate


KEPT = (0.0, 0.1, 0.25, 0.5)
"""Shares of the HBM that may be kept for the caches of sessions that wait."""

HBM = ("rack", "accelerator", "hbm_capacity")

DECODE, SHARED, PREFILL = "decode", "decode with prompts", "prefill"


@dataclass(frozen=True)
class NoPool:
    """A class that a type of rack cannot serve, and why."""

    kind: str
    demand: str
    reason: str


def pools_of(
    fleet: Fleet, document: Document, told: Told = tells_nobody
) -> tuple[list[Pool], list[NoPool]]:
    """Return all pools of a fleet, and the pairs of class and type that there is none of.

    Raises
    ------
    InputError
        If a class or a type is not valid, or no type serves a class at all.
    """
    asked = list[tuple[str, str, str, float, Instance]]()
    prefilling = list[Pool]()
    missing = list[NoPool]()
    pairs = sum(len(one.racks or fleet.racks) for one in fleet.classes.values())
    for name, one in fleet.classes.items():
        for kind in one.racks or fleet.racks:
            pairs_done = len({(pool[1], pool[0]) for pool in asked})
            told(f"reading: {pairs_done} of {pairs} classes on types of rack")
            for stage, shared in _stages(one.prefill):
                instance = instance_of(fleet, document, name, kind, shared=shared)
                for kept in KEPT if one.sessions is not None else (0.0,):
                    less = instance.scaled(HBM, 1.0 - kept) if kept else instance
                    asked.append((kind, name, stage, kept, less))
            if one.prefill in ("pool", "choose"):
                alone = instance_of(fleet, document, name, kind, shared=False)
                pool = prefill_pool(fleet, name, kind, alone)
                if pool is not None:
                    prefilling.append(pool)
                else:
                    missing.append(NoPool(kind, name, "no way computes its prompts in time"))
    curves = load_curves([instance for *_, instance in asked], told)
    found = list[Pool]()
    for (kind, name, stage, kept, _), curve in zip(asked, curves, strict=True):
        if curve is not None:
            found.append(Pool(kind, name, stage, curve, kept))
        elif not kept:
            missing.append(NoPool(kind, name, "no configuration meets its floor within the limits"))
    return [*found, *prefilling], missing


def _stages(prefill: str) -> Sequence[tuple[str, bool]]:
    shared, alone = (SHARED, True), (DECODE, False)
    return {"shared": [shared], "choose": [shared, alone]}.get(prefill, [alone])


def prefill_pool(fleet: Fleet, name: str, kind: str, instance: Instance) -> Pool | None:
    """Return the racks of a type that compute a class's prompts, None where none are in time."""
    one = fleet.classes[name]
    wait = arrivals_of(fleet, name).wait
    points = prefill_points(
        instance,
        float(one.first_token) / 1e3 if one.first_token is not None else None,
        queueing_s=float(wait) / 1e3 if wait is not None else 0.0,
    )
    if not points:
        return None
    curve = PrefillCurve(instance, resting_kw(instance), tuple(points))
    return Pool(kind, name, PREFILL, curve)


def arrivals_of(fleet: Fleet, name: str) -> Arrivals:
    """Return how requests of a class arrive."""
    own = fleet.classes[name].arrivals
    return own if own is not None else fleet.arrivals


def instance_of(
    fleet: Fleet, document: Document, name: str, kind: str, *, shared: bool
) -> Instance:
    """Return one rack of a type with the model and workload of a class.

    Raises
    ------
    InputError
        If it is not valid, at the line that is wrong.
    """
    asked = Document({}, {(): document.origin(())})

    def graft(path: tuple[str, ...], *source: str) -> None:
        if document.get(source) is not None:
            asked.graft(path, document.part(source).copied())

    def given(path: tuple[str, ...], value: "str | float | bool") -> None:
        asked.graft(path, Document(value, {(): document.origin(("classes", name))}))

    graft(("rack",), "racks", kind, "rack")
    graft(("llm",), "classes", name, "llm")
    graft(("workload",), "classes", name, "workload")
    graft(("limits",), "racks", kind, "limits")
    graft(("choices",), "racks", kind, "choices")
    for key in fleet.classes[name].choices:
        graft(("choices", key), "classes", name, "choices", key)
    graft(("calibration",), "racks", kind, "calibration")
    graft(("economics",), "economics")
    given(("name",), f"{name} on {kind}")
    graft(("limits", "min_speed"), "classes", name, "min_speed")
    if fleet.site.pue is not None and asked.get(("limits", "pue")) is None:
        given(("limits", "pue"), float(fleet.site.pue))
    if shared:
        given(("workload", "prefill"), "shared")
    try:
        resolve_references(asked)
        graft(("rack", "price"), "racks", kind, "price")
        instance = validate(asked)
    except InputError as error:
        raise InputError(_where(str(error), name, kind)) from None
    if instance.limits.power_scope != "rack":
        raise InputError(
            f"{document.origin(('racks', kind, 'limits'))}: racks.{kind}.limits.power_scope: the "
            "power of racks of a fleet counts in the scope `rack`; leave it out"
        )
    document.files.update(asked.files)
    return instance


OWN = {"llm": "classes", "workload": "classes"}
"""Parts of an instance that a class has; the others are those of a type of rack."""


def _where(problem: str, name: str, kind: str) -> str:
    """Return a problem of one rack with its key as it stands in the fleet."""
    found = re.match(
        r"(.*?: )(rack|llm|workload|limits|choices|calibration)((?:\.\S+)?: .*)", problem
    )
    if found is None:
        return problem
    place, part, rest = found.groups()
    owner = name if part in OWN else kind
    return f"{place}{OWN.get(part, 'racks')}.{owner}.{part}{rest}"
