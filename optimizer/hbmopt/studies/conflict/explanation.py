"""Why this configuration: how much the others could make at most, and why some cannot run."""

from dataclasses import asdict, dataclass
from typing import Any

from hbmopt.basics import Parts, Progress, brief, counted, made, range_text, verb, visible, wrapped
from hbmopt.demand import aim_of
from hbmopt.instance import OBJECTIVES, Instance, Objective, Overrides, Source, load
from hbmopt.notebook import Answer
from hbmopt.plan import Found, best_of_each, search
from hbmopt.results import Conflict, explain_conflict, plain, step_accuracy
from hbmopt.studies.conflict.cures import WIDTH, Cures, cure_lines, cures_of_infeasible, option


@dataclass(frozen=True)
class Alternative:
    """A configuration that could run, and what it makes.

    `amount` is its own optimum in the objective's unit, as `exact` says, and `throughput_tok_s` the
    same where that is the objective. `loss` is by which share it is worse than the optimum of all.
    """

    configuration: str
    amount: float
    throughput_tok_s: float | None
    exact: bool
    batch: float | None
    loss: float


@dataclass(frozen=True)
class Rejected:
    """Configurations that cannot run, for one and the same reason."""

    reason: str
    configurations: tuple[str, ...]


@dataclass(frozen=True)
class Explanation(Answer):
    """The chosen configuration, the alternatives and what was rejected.

    Where nothing can run, `conflict` says why and `cures` what single change would help. The range
    is that of the chosen one, in four of five cases; None where nothing is known.
    """

    instance: str
    status: str
    chosen: str | None
    objective: Objective
    objective_unit: str
    amount: float | None
    throughput_tok_s: float | None
    alternatives: tuple[Alternative, ...]
    idle: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    conflict: Conflict | None = None
    cures: Cures | None = None
    throughput_range_tok_s: tuple[float, float] | None = None

    def __repr__(self) -> str:
        if self.conflict is not None:
            return brief("Explanation", self.instance, f"{self.status}: {self.conflict.summary}")
        return brief(
            "Explanation",
            self.instance,
            f"chosen: {self.chosen}",
            counted(len(self.alternatives), "alternative"),
            f"{sum(len(one.configurations) for one in self.rejected)} that cannot run",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as JSON has it."""
        return plain(self)

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat row per configuration or change, as CSV has it.

        `kind` is chosen, alternative, idle or rejected for a configuration, cure or no_cure for a
        change; what does not apply is None.
        """
        found: list[dict[str, Any]] = []
        if self.chosen is not None:
            known = {"amount": self.amount, "throughput_tok_s": self.throughput_tok_s}
            found.append(_row("chosen", self.chosen, **known))
        found += [_row("alternative", **asdict(one)) for one in self.alternatives]
        found += [_row("idle", name) for name in self.idle]
        found += [
            _row("rejected", name, reason=one.reason)
            for one in self.rejected
            for name in one.configurations
        ]
        if self.cures is not None:
            found += [
                _row("cure", change=one.name, settings=" ".join(map(option, one.settings)))
                for one in self.cures.found
            ]
            found += [_row("no_cure", change=one.name) for one in self.cures.without]
        return found


def _row(kind: str, configuration: str | None = None, **cells: Any) -> dict[str, Any]:
    return {"kind": kind, "configuration": configuration} | {
        name: cells.get(name)
        for name in (
            "amount",
            "throughput_tok_s",
            "exact",
            "batch",
            "loss",
            "reason",
            "change",
            "settings",
        )
    }


MOST_LISTED = 20
"""Alternatives that the text lists."""


@verb
def explain(
    source: Source, overrides: Overrides = None, *, progress: Progress | None = None
) -> Explanation:
    """Return why the optimum's configuration won and why others could not run.

    `source` and `overrides` are those of `load`. Alternatives are at their own optimum. Those
    without any plan that meets all limits, such as the speed floor or the power cap, are listed as
    idle. `progress` is told how many of how many parts of the work are done.
    """
    instance = load(source, overrides)
    parts = Parts(progress, 2)
    found = search(instance)
    parts.add()
    plan = found.plan
    kind = OBJECTIVES[instance.objective]
    reached = 0.0
    if plan is not None:
        reached = plan.amount(aim_of(instance))
    chosen = found.point.configuration if found.point is not None else None
    alternatives, idle = list[Alternative](), list[str]()
    for one, value, batch in best_of_each(instance):
        if one == chosen:
            continue
        if value > 0 and reached > 0:
            amount = 1.0 / value if kind.least else value
            loss = max(0.0, amount / reached - 1.0 if kind.least else 1.0 - amount / reached)
            tokens = amount if instance.objective == "throughput" else None
            alternatives.append(Alternative(str(one), amount, tokens, True, batch, loss))
        else:
            idle.append(str(one))
    alternatives.sort(key=lambda one: one.loss)
    parts.add()
    reasons: dict[str, list[str]] = {}
    for rejection in found.rejections:
        named = rejection.configuration
        if rejection.detail:
            named += f": {rejection.detail}"
        reasons.setdefault(rejection.reason, []).append(named)
    known = None
    if chosen is not None:
        data = chosen.layout.attention_data_parallel
        known = step_accuracy(instance, [data]).rates(plan.throughput if plan is not None else 0.0)
    conflict = _conflict(instance, found) if plan is None else None
    cures = cures_of_infeasible(instance, parts) if plan is None else None
    parts.finish()
    return Explanation(
        instance=instance.name,
        status="optimal" if plan is not None else "infeasible",
        chosen=str(chosen) if chosen is not None else None,
        objective=instance.objective,
        objective_unit=kind.unit,
        amount=reached if plan is not None else None,
        throughput_tok_s=plan.throughput if plan is not None else None,
        alternatives=tuple(alternatives),
        idle=tuple(idle),
        rejected=tuple(
            Rejected(reason, tuple(names))
            for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1]))
        ),
        conflict=conflict,
        cures=cures,
        throughput_range_tok_s=known,
    )


def _conflict(instance: Instance, found: Found) -> Conflict:
    return explain_conflict(instance, found.configurations, found.rejections)


def explanation_text(explanation: Explanation, width: int | None = None) -> str:
    """Return an explanation as text, no wider than a terminal where one is given."""
    lines, ends = list[str](), explanation.throughput_range_tok_s
    banded, tokens = ends is not None, explanation.objective == "throughput"
    if explanation.chosen is None:
        lines += ["No configuration meets all limits.", *_conflict_lines(explanation, width)]
    else:
        unit, least = explanation.objective_unit, OBJECTIVES[explanation.objective].least
        lines += [
            f"Chosen: {explanation.chosen}",
            f"        {made(explanation.amount or 0.0, banded=banded)} {unit}"
            + (
                f"; {range_text(*ends)} in four of five cases"
                if ends is not None and tokens
                else ""
            ),
            "",
            f"Alternatives ({len(explanation.alternatives)}), the best batch of each",
        ]
        for one in explanation.alternatives[:MOST_LISTED]:
            worse, reached = one.loss if least else -one.loss, made(one.amount, banded=banded)
            lines.append(f" {worse:>8.1%}   {reached:>12} {unit}  {one.configuration}")
        lines += _more(len(explanation.alternatives))
    if explanation.idle:
        lines += ["", f"Fit in memory but meet no plan within the limits ({len(explanation.idle)})"]
        lines += [f"  {name}" for name in explanation.idle[:MOST_LISTED]]
        lines += _more(len(explanation.idle))
    if explanation.rejected:
        count = sum(len(one.configurations) for one in explanation.rejected)
        lines += ["", f"Cannot run ({count})"]
        for rejected in explanation.rejected:
            lines.append(f"  {rejected.reason}")
            lines += [f"      {name}" for name in rejected.configurations[:4]]
            if len(rejected.configurations) > 4:
                lines.append(f"      and {len(rejected.configurations) - 4} more")
    return wrapped(visible("\n".join(lines) + "\n"), width)


def _conflict_lines(explanation: Explanation, width: int | None) -> list[str]:
    """Say why nothing can run, and what single changes would help."""
    lines = []
    if explanation.conflict is not None:
        lines += [f"{explanation.conflict.summary}."]
        if explanation.conflict.limits:
            lines.append(explanation.conflict.limits_text())
    if explanation.cures is not None:
        lines += ["", *cure_lines(explanation.cures, width or WIDTH)]
    return lines


def _more(count: int) -> list[str]:
    hidden = count - MOST_LISTED
    return [f"  and {hidden} more in --format json"] if hidden > 0 else []
