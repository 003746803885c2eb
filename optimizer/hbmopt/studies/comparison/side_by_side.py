"""`compare`: instances side by side, and what HBM size and bandwidth have to do with it."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import SkipValidation

from hbmopt.basics import Progress, brief, counted, show, verb
from hbmopt.demand import usable_hbm
from hbmopt.documents import is_pattern, shipped
from hbmopt.errors import InputError
from hbmopt.instance import (
    Instance,
    Overrides,
    Source,
    Variation,
    capital,
    llm_name,
    load,
    load_document,
)
from hbmopt.notebook import Answer, chart_of
from hbmopt.results import ConfigurationResult, Solution, configuration_of, plain, solve
from hbmopt.studies.comparison.generation_law import (
    HOLDS,
    GenerationLaw,
    Regime,
    generation_law,
    listed,
    regime_of,
    regimes,
    step_shares,
)
from hbmopt.studies.comparison.row import ComparisonRow
from hbmopt.studies.comparison.varied import VariedInstances, varied_instances

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

NOT_YET = ("announced", "press", "estimate")
"""Statuses of figures of HBM that may turn out otherwise."""

FULL = 1.0 - 1e-6
"""Share of HBM in use from which on it is full."""


@dataclass(frozen=True)
class Comparison(Answer):
    """Instances side by side, in the order given.

    `law` is the chart of generations: None with `law_missing` as the reason where the instances
    do not serve one model under one workload. `regimes` say of every instance that runs whether
    "throughput ∝ HBM size × bandwidth" holds there. `notes` name what else differs, and what
    is left out as it cannot be used.
    """

    rows: tuple[ComparisonRow, ...]
    law: GenerationLaw | None
    law_missing: str | None
    regimes: tuple[Regime, ...]
    notes: tuple[str, ...]
    seconds: float

    def __repr__(self) -> str:
        made = [
            f"{row.name} {show(row.throughput_tok_s, 6)} tok/s"
            if row.throughput_tok_s is not None
            else f"{row.name} {row.status}"
            for row in self.rows[:MOST_LISTED]
        ]
        hidden = len(self.rows) - MOST_LISTED
        more = f"and {hidden} more" if hidden > 0 else ""
        return brief("Comparison", counted(len(self.rows), "instance"), *made, more)

    @property
    def feasible(self) -> bool:
        """Whether every instance has a plan."""
        return all(row.feasible for row in self.rows)

    @property
    def frame(self) -> "pd.DataFrame":
        """One row per instance, indexed by its name."""
        import pandas as pd  # 0.3 s that only frames need

        return pd.DataFrame([row.flat() for row in self.rows]).set_index("name")

    def chart(self) -> "alt.LayerChart":
        """Return the chart that ``hbmopt compare --plot`` draws.

        Throughput of an accelerator over its HBM size times HBM bandwidth, relative to the first
        instance, with the fitted `law` where there is one.

        Raises
        ------
        InputError
            Where the packages that draw charts are missing, or none of them serves anything.
        """
        return cast("alt.LayerChart", chart_of(self))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as JSON has it."""
        return plain(self)


MOST_LISTED = 4
"""Instances that a comparison in one line names."""

MOST = 200
"""Instances that are put side by side at most; a sweep takes more."""


@verb
def compare(
    sources: Annotated[Sequence[Source], SkipValidation],
    overrides: Overrides = None,
    *,
    vary: str | Variation | Sequence[str | Variation] = (),
    progress: Progress | None = None,
) -> Comparison:
    """Solve instances and return them side by side, in the order given.

    An instance in which nothing can be served is a row with the conflict, not an error.

    Parameters
    ----------
    sources
        What `load` takes, one or more; a pattern stands for all files or shipped instances that it
        matches: ``"gb*"``, ``"generations/*"``.
    overrides
        As of `load`, of all of them.
    vary
        Fields that take several values, as `sweep` has them: ``"rack=*"``. Each instance stands
        there once for every value; the notes say why one that cannot be used is left out.
    progress
        Called with (instances done, instances to do).

    Raises
    ------
    InputError
        Where there is no instance, or a pattern matches none.
    SolverError
        When a plan cannot be proven, as in `solve`.
    """
    begun = time.perf_counter()
    if isinstance(sources, str) and is_pattern(sources):
        sources = [sources]
    if isinstance(sources, str | Mapping | Instance) or not isinstance(sources, Iterable):
        raise InputError("compare: name several instances in a list")
    varied = [vary] if isinstance(vary, str | Variation) else list(vary)
    named = [one for source in sources for one in _matching(source)]
    if varied:
        documents = [load_document(one, overrides) for one in named]
        found = varied_instances(documents, varied)
    else:
        found = VariedInstances(tuple(load(one, overrides) for one in named))
    return solved_comparison(found, begun, progress)


def _matching(source: Source) -> Sequence[Source]:
    return shipped.matching(source) if isinstance(source, str | Path) else [source]


def solved_comparison(
    found: VariedInstances, begun: float | None = None, progress: Progress | None = None
) -> Comparison:
    """Solve instances and return them side by side; `begun` is when that started."""
    instances, solutions = found.instances, list[Solution]()
    if len(instances) > MOST:
        raise InputError(f"compare: {len(instances):,} instances; at most {MOST}, sweep takes more")
    started = time.perf_counter() if begun is None else begun
    for one in instances:
        solutions.append(solve(one))
        if progress is not None:
            progress(len(solutions), len(instances))
    compared = comparison_of(instances, solutions, started)
    return replace(compared, notes=(*compared.notes, *found.left_out))


def comparison_of(
    instances: Sequence[Instance], solutions: Sequence[Solution], begun: float | None = None
) -> Comparison:
    """Return instances side by side whose solutions are known; `begun` is when that started."""
    if not instances:
        raise InputError("compare: there is nothing to compare; name one instance or more")
    started = time.perf_counter() if begun is None else begun
    first = next((one.throughput_tok_s for one in solutions if one.throughput_tok_s), None)
    rows = tuple(
        _row(instance, solution, name, first)
        for instance, solution, name in zip(instances, solutions, _names(instances), strict=True)
    )
    reason = _different(instances)
    law = generation_law(rows) if reason is None else reason
    return Comparison(
        rows=rows,
        law=law if isinstance(law, GenerationLaw) else None,
        law_missing=law if isinstance(law, str) else None,
        regimes=regimes(rows),
        notes=(*_notes(rows), *_of_each(rows, solutions)),
        seconds=time.perf_counter() - started,
    )


def _of_each(rows: Sequence[ComparisonRow], solutions: Sequence[Solution]) -> list[str]:
    """Return what should be known beside the answer to each instance."""
    return [
        f"{row.name}: {note}."
        for row, solution in zip(rows, solutions, strict=True)
        for note in solution.notes
    ]


def _names(instances: Sequence[Instance]) -> list[str]:
    """Return the names of the instances, numbered where two have the same."""
    taken: list[str] = []
    for instance in instances:
        name, count = instance.name, 1
        while name in taken:
            count += 1
            name = f"{instance.name} ({count})"
        taken.append(name)
    return taken


def _row(instance: Instance, solution: Solution, name: str, first: float | None) -> ComparisonRow:
    accelerator = instance.rack.accelerator
    capacity, bandwidth = float(accelerator.hbm_capacity), float(accelerator.hbm_bandwidth)
    count, year = solution.accelerators, accelerator.year
    facts: dict[str, Any] = {
        "name": name,
        "title": solution.title.strip(),
        "rack": solution.rack,
        "accelerator": accelerator.title or accelerator.name,
        "year": int(year) if year is not None else None,
        "accelerators": count,
        "llm": solution.llm,
        "context_tokens": solution.context_tokens,
        "hbm_gb": capacity,
        "hbm_tb_s": bandwidth,
        "rack_hbm_gb": capacity * count,
        "rack_hbm_tb_s": bandwidth * count,
        "hbm_capacity_status": accelerator.hbm_capacity.status,
        "hbm_bandwidth_status": accelerator.hbm_bandwidth.status,
        "power_scope": solution.power_scope,
        "min_speed_tok_s_user": solution.min_speed_tok_s_user,
        "status": solution.status,
        "objective": solution.objective,
        "objective_unit": solution.objective_unit,
        "accuracy": solution.accuracy,
    }
    if solution.throughput_tok_s is None:
        return ComparisonRow(
            **facts, conflict=solution.conflict.summary if solution.conflict else None
        )
    regime = regime_of(solution) if solution.objective == "throughput" else None
    filled = max(
        row.utilization
        for row in solution.constraints
        if row.name == "hbm_capacity" or row.name.startswith("hbm_capacity[")
    )
    return ComparisonRow(
        **facts,
        objective_amount=solution.objective_amount,
        throughput_tok_s=solution.throughput_tok_s,
        ratio=solution.throughput_tok_s / first if first else None,
        tok_s_per_accelerator=solution.throughput_tok_s / count,
        speed_tok_s_user=solution.speed_tok_s_user,
        batch=solution.batch,
        power_w=solution.power_w,
        tok_s_per_mw=solution.tok_s_per_mw,
        **_costs(instance, solution),
        limiting_resource=solution.limiting_resource,
        limiting_elasticity=solution.limiting_elasticity,
        binding=tuple(row.name for row in solution.constraints if row.binding),
        configuration="; ".join(_words(one) for one in solution.configurations),
        formats="; ".join(dict.fromkeys(_formats(one) for one in solution.configurations)),
        hbm_filled=filled,
        weights_share_of_hbm=_weights_share(instance, solution) if filled > FULL else None,
        regime=regime,
        law_holds=regime == HOLDS if regime is not None else None,
        elasticities=solution.elasticities,
        step_shares=step_shares(solution),
        inputs=solution.inputs,
    )


def _costs(instance: Instance, solution: Solution) -> dict[str, Any]:
    """Return what the rack and its tokens cost, nothing where no price of it is known."""
    known, paid = solution.economics, capital(instance)
    if known is None or paid is None:
        return {}
    return {
        "full_usd_per_million": known.full_utilisation.usd_per_million,
        "load_usd_per_million": known.load.usd_per_million if known.load is not None else None,
        "capital_usd": paid.usd,
        "capital_status": paid.status,
    }


def _words(one: ConfigurationResult) -> str:
    """Say how one configuration runs."""
    average = sum(part.share * part.clock for part in one.clocks)
    clock = f", clock {average:.0%}" if any(part.clock < 1.0 for part in one.clocks) else ""
    return f"{one.replicas} x {configuration_of(one)}{clock}"


def _formats(one: ConfigurationResult) -> str:
    compressed = "" if one.kv_compression == "none" else f" ({one.kv_compression})"
    return f"{one.weight_format} / {one.kv_format}{compressed}"


def _weights_share(instance: Instance, solution: Solution) -> float:
    """Return the share of usable HBM that weights fill, where the rest is full of sequences."""
    running = solution.configurations
    # The priced plan fills the memory; the rounded one leaves part of a sequence free.
    rounded = (solution.priced_batch or 0.0) / (solution.batch or 1.0)
    held = sum(one.replicas * one.batch * one.kv_held_gb for one in running) * rounded
    usable = sum(
        one.replicas * one.accelerators * usable_hbm(instance, configuration_of(one))
        for one in running
    )
    return max(0.0, 1.0 - held / usable)


def _different(instances: Sequence[Instance]) -> str | None:
    """Return why the instances make no chart of generations, None where they do."""
    aims = [one.objective for one in instances if one.objective != "throughput"]
    if aims:
        sought = listed(list(dict.fromkeys(aims)))
        return f"the law is about throughput, and what is sought is {sought}"
    titles = list(dict.fromkeys(llm_name(one.llm) for one in instances))
    if len(titles) > 1:
        return f"the instances serve different models ({listed(titles)})"
    if any(one.llm != instances[0].llm for one in instances):
        return f"the instances describe {titles[0]} differently"
    if len({_workload(one) for one in instances}) > 1:
        contexts = list(dict.fromkeys(f"{one.workload.mean_context:,.0f}" for one in instances))
        tokens = f" ({listed(contexts)} tokens of context)" if len(contexts) > 1 else ""
        return f"the instances serve different workloads{tokens}"
    return None


def _workload(instance: Instance) -> tuple[float, ...]:
    """Return what of a workload moves throughput."""
    workload = instance.workload
    drafted = workload.draft_acceptance_by_position or []
    each = workload.draft_acceptance
    return (
        workload.mean_context,
        workload.reserved_context,
        workload.prefilled_per_output,
        float(each) if each is not None else -1.0,
        *(float(one) for one in drafted),
    )


def _notes(rows: Sequence[ComparisonRow]) -> list[str]:
    """Return what differs between the instances beside their hardware, and what is not certain."""
    found = []
    running = [row for row in rows if row.feasible]
    formats = list(dict.fromkeys(row.formats or "" for row in running))
    if len(formats) > 1:
        found.append(
            f"Formats of weights / KV cache differ ({listed(formats)}), which moves throughput too."
        )
    floors = [f"{floor:,g}" for floor in sorted({row.min_speed_tok_s_user for row in rows})]
    if len(floors) > 1:
        found.append(
            f"Speed floors differ ({listed(floors)} tok/s per user), which moves throughput too."
        )
    scopes = list(dict.fromkeys(row.power_scope for row in rows))
    if len(scopes) > 1:
        found.append(
            f"Power is counted in different scopes ({listed(scopes)}): do not compare tok/s/MW."
        )
    unmeasured: dict[float | None, list[str]] = {}
    for row in running:
        known = row.accuracy
        if known is not None and known.basis != "spec sheet" and known.median_error is None:
            unmeasured.setdefault(known.overall_median_error, []).append(row.name)
    for error, names in unmeasured.items():
        over_all = f"; the median error over all measured chips is {error:.0%}" if error else ""
        found.append(f"No measured step covers chip and layout of {listed(names)}{over_all}.")
    for status in NOT_YET:
        names = [
            row.name
            for row in rows
            if status in (row.hbm_capacity_status, row.hbm_bandwidth_status)
        ]
        if names:
            found.append(
                f"HBM size or bandwidth of {listed(names)} is of status {status}: the product may "
                "turn out otherwise."
            )
    return found
