"""Tables for people: what a solution says, in the order in which a planner asks."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table

from hbmopt.basics import (
    SCOPES,
    STEP_NAMES,
    counted,
    elasticity_text,
    input_name,
    made,
    range_text,
    show,
    signed,
)
from hbmopt.instance import OBJECTIVES
from hbmopt.report.tables.economics_report import COST_TITLE, cost_row, cost_rows
from hbmopt.report.tables.fitted_table import Column, FittedTable, RemarkTable
from hbmopt.report.tables.table_text import Text
from hbmopt.results import (
    Certificate,
    ClockShare,
    ConfigurationResult,
    ConstraintResult,
    Estimate,
    InputResult,
    KernelResult,
    Solution,
    StepAccuracy,
)


def solution_tables(solution: Solution) -> RenderableType:
    """Return the tables of a solution, or the conflict that rules one out."""
    if solution.conflict is not None:
        return Group(_heading(solution), Text(), *_conflict(solution))
    summary = RemarkTable("Optimum", summary_rows(solution))
    parts: list[RenderableType] = [_heading(solution), Text(), summary, Text()]
    for configuration in solution.configurations:
        rows = RemarkTable("Configuration", configuration_rows(configuration))
        parts += [rows, Text(), _step(configuration), Text(), _kernels(configuration), Text()]
    if solution.economics is not None:
        parts += [RemarkTable(COST_TITLE, cost_rows(solution)), Text()]
    parts += [_inputs(solution), Text(), _constraints(solution.constraints), Text()]
    if solution.certificate is not None:
        certificate = Text()
        certificate.append("Certificate  ", style="bold")
        certificate.append(certificate_text(solution, solution.certificate))
        parts += [certificate, Text()]
    parts += _estimates(solution.provenance)
    return Group(*parts)


def _heading(solution: Solution) -> Text:
    text = Text()
    if solution.title:
        text.append(solution.title.strip() + "\n", style="bold")
    text.append(setting_text(solution))
    for note in solution.notes:
        text.append("\nNote: ", style="bold").append(note, style="")
    return text


def setting_text(solution: Solution) -> str:
    """Return model, rack, context and speed floor in words."""
    text = f"{solution.llm} on {solution.rack} ({counted(solution.accelerators, 'accelerator')})"
    text += f", {show(solution.context_tokens, 7)} tokens of context"
    if solution.reserved_context_tokens > solution.context_tokens:
        text += f" (memory for {show(solution.reserved_context_tokens, 7)})"
    if solution.prefill == "shared":
        text += ", prompts computed here too"
    if solution.min_speed_tok_s_user > 0:
        text += f", at least {solution.min_speed_tok_s_user:g} tok/s per user"
    if solution.min_throughput_tok_s is not None:
        text += f", at least {solution.min_throughput_tok_s:,.6g} tok/s in all"
    return text


def titled(title: str | None) -> Table:
    """Return an empty table in the house style, its title above at the left."""
    return Table(
        title=title, title_justify="left", title_style="bold", box=None, header_style="dim"
    )


def step_times_text(accuracy: StepAccuracy) -> str:
    """Say what step times rest on, and how far they may be off."""
    text = f"{accuracy.basis}, {accuracy.statement}"
    return f"{text}; {accuracy.range_statement}" if accuracy.range_statement else text


def made_text(solution: Solution, value: float, digits: int = 6) -> str:
    """Write what a solution makes, of whatever, with no more digits than are known."""
    return made(value, banded=solution.throughput_range_tok_s is not None, digits=digits)


def _with_range(text: str, ends: tuple[float, float] | None, scale: float = 1.0) -> str:
    """Add what a number lies between in four of five cases, where that is known."""
    if ends is None:
        return text
    low, high = ends
    return f"{text}; {range_text(scale * low, scale * high)} in four of five cases"


def summary_rows(solution: Solution) -> list[tuple[str, str, str]]:
    """Return name, number and remark of what the optimum makes."""
    power = solution.power_w or 0.0
    kind = OBJECTIVES[solution.objective]
    rows = []
    if solution.objective != "throughput":
        amount = made_text(solution, solution.objective_amount or 0.0)
        best = "the least" if kind.least else "the most"
        rows.append(("objective", f"{amount} {kind.unit}", f"{kind.title}: {best} that there is"))
    rows += [
        (
            "throughput",
            f"{made_text(solution, solution.throughput_tok_s or 0.0)} tok/s",
            _with_range("output tokens", solution.throughput_range_tok_s),
        ),
        (
            "speed",
            f"{made_text(solution, solution.speed_tok_s_user or 0.0, 4)} tok/s",
            _with_range("per user = throughput / batch", solution.speed_range_tok_s_user),
        ),
        ("batch", f"{show(solution.batch or 0.0, 7)}", "sequences decoding at once in the rack"),
        (
            "power",
            f"{made_text(solution, power / 1e3, 4)} kW",
            _with_range(SCOPES[solution.power_scope], solution.power_range_w, 1e-3),
        ),
    ]
    if solution.tok_s_per_mw is not None:
        rows.append(("efficiency", f"{made_text(solution, solution.tok_s_per_mw)} tok/s/MW", ""))
    cost = cost_row(solution)
    if cost is not None:
        rows.append(cost)
    if solution.limiting_resource is not None:
        elasticity = solution.limiting_elasticity or 0.0
        rows.append(
            (
                "limited by",
                input_name(solution.limiting_resource),
                f"1 % {'more' if (elasticity > 0) != kind.least else 'less'} of it "
                f"{'saves' if kind.least else 'is worth'} {abs(elasticity):.2f} % of {kind.title}",
            )
        )
    if solution.accuracy is not None:
        rows.append(("step times", solution.accuracy.basis, solution.accuracy.statement))
    return rows


def configuration_rows(one: ConfigurationResult) -> list[tuple[str, str, str]]:
    """Return name, value and remark of how a configuration runs."""
    layout = f"{counted(one.accelerators, 'accelerator')} each: attention tensor-parallel over "
    layout += f"{one.tensor_parallel}"
    if one.attention_data_parallel > 1:
        layout += f" and data-parallel over {one.attention_data_parallel}"
    if one.expert_parallel > 1:
        layout += f", experts spread over {one.expert_parallel}"
    if one.pipeline_parallel > 1:
        layout += f", in {one.pipeline_parallel} pipeline stages"
    if one.scale_up_domains > 1:
        layout += f", over {one.scale_up_domains} scale-up domains"
    if one.context_parallel > 1:
        layout += f", caches shared by {one.context_parallel} ranks each"
    plural = "s" if one.replicas != 1 else ""
    rows = [
        ("replicas", str(one.replicas), layout),
        ("batch", f"{show(one.batch, 7)}", f"sequences per replica{plural and ', each'}"),
        ("formats", f"{one.weight_format} / {one.kv_format}", "weights / KV cache"),
        ("KV cache", f"{show(one.kv_held_gb, 3)} GB", _cache_text(one)),
    ]
    if one.draft_tokens:
        gained = f"tokens per step and sequence; {show(one.tokens_per_step, 3)} gained"
        rows.append(("drafted", str(one.draft_tokens), gained))
    if any(part.clock < 1.0 for part in one.clocks):
        average = sum(part.share * part.clock for part in one.clocks)
        rows.append(("clock", f"{100 * average:.3g} %", clock_text(one.clocks)))
        if one.lowest_clock is not None and average <= one.lowest_clock:
            remark = "the lowest of choices.clocks: one below it may make more"
            rows.append(("", "", remark))
    if one.lpu_units:
        moved = ", ".join(f"{name} {share:.0%}" for name, share in one.offload.items())
        rows.append(("LPUs", str(one.lpu_units), f"per replica, holding {moved or 'nothing'}"))
    return rows


def clock_text(clocks: Iterable[ClockShare]) -> str:
    """Say how much of the time passes at which clock."""
    return ", ".join(f"{part.share:.0%} of the time at {100 * part.clock:.3g} %" for part in clocks)


def _cache_text(one: ConfigurationResult) -> str:
    """Say what a sequence keeps and reads, and how often its cache is kept."""
    text = f"held per sequence, {show(one.kv_read_gb, 3)} GB read per step"
    if one.kv_compression != "none":
        text += f", compressed by {one.kv_compression}"
    if one.kv_copies > 1.0 + 1e-9:
        kept, ranks = show(one.kv_copies, 3), one.tensor_parallel
        text += f"; kept {kept} times over {ranks} tensor-parallel ranks"
    return text


def _step(one: ConfigurationResult) -> FittedTable:
    parts = step_parts(one)

    def bars(longest: int) -> list[str]:
        return [f"{share:4.0%} " + "█" * round(longest * share) for _, _, share in parts]

    return FittedTable(
        [
            Column("", [name for name, _, _ in parts], right=False),
            Column("", [f"{show(milliseconds, 3)} ms" for _, milliseconds, _ in parts]),
            Column("", bars(24), right=False, style="dim", briefer=[bars(12), bars(0)]),
        ],
        step_title(one),
    )


KERNELS = {
    "dense": "dense products",
    "experts": "products of experts",
    "attention": "attention proper",
}


def _kernels(one: ConfigurationResult) -> RemarkTable:
    return RemarkTable(KERNELS_TITLE, kernel_rows(one))


KERNELS_TITLE = "Kernels, each the longer of reading and arithmetic"


def kernel_rows(one: ConfigurationResult) -> list[tuple[str, str, str]]:
    """Return name, ms and remark of each class of kernels of a step."""
    return [
        (
            KERNELS.get(kernel.name, kernel.name),
            f"{show(max(kernel.reading_ms, kernel.computing_ms), 3)} ms",
            f"bound by {kernel.bound}: {show(kernel.reading_ms, 3)} ms of reading, "
            f"{show(kernel.computing_ms, 3)} ms of arithmetic{_worth(kernel)}",
        )
        for kernel in one.kernels
    ]


def _worth(kernel: KernelResult) -> str:
    if kernel.elasticity is None:
        return ""
    return f"; 1 % faster is worth {elasticity_text(kernel.elasticity)} %"


def step_parts(one: ConfigurationResult) -> list[tuple[str, float, float]]:
    """Return name, ms and share of the parts of a step, the longest first."""
    parts = sorted(one.step_breakdown_ms.items(), key=lambda part: -part[1])
    return [(STEP_NAMES.get(name, name), ms, ms / one.step_ms) for name, ms in parts if ms > 0]


def step_title(one: ConfigurationResult) -> str:
    """Say how long a step takes and what it gains."""
    gained = "token" if one.draft_tokens == 0 else f"{show(one.tokens_per_step, 3)} tokens"
    return f"Decode step: {show(one.step_ms, 3)} ms per {gained}"


def _inputs(solution: Solution) -> FittedTable:
    rows = [(*input_row(one), next_text(one)) for one in solution.inputs]
    names, now, worth, units, elasticities, following = (
        zip(*rows, strict=True) if rows else [()] * 6
    )
    return FittedTable(
        [
            Column("input", names, right=False),
            Column("now", now),
            Column("worth", worth),
            Column("", units, right=False, rank=3, style="dim"),
            Column("% per %", elasticities, rank=1),
            Column("next", following, rank=2),
        ],
        "What one more unit is worth (configuration, replicas, clocks held; next: all chosen anew)",
    )


def next_text(one: InputResult | ConstraintResult) -> str:
    """Return what one more unit changes in all, "" where it was not solved."""
    return signed(one.next_unit) if one.next_unit is not None else ""


def input_row(one: InputResult) -> tuple[str, str, str, str, str]:
    """Return name, value, price, its unit and elasticity of an input."""
    marked = " (est.)" if one.status == "estimate" else ""
    return (
        input_name(one.name) + marked,
        f"{show(one.value)} {one.unit}",
        signed(one.unit_price),
        one.unit_price_unit,
        elasticity_text(one.elasticity),
    )


def _constraints(rows: tuple[ConstraintResult, ...]) -> FittedTable:
    priced = [row.unit_price_unit if row.unit_price else "" for row in rows]
    prices = [signed(row.unit_price) if row.unit_price else "" for row in rows]
    return FittedTable(
        [
            Column("limit", [row.name for row in rows], right=False),
            Column("used", [show(row.usage) for row in rows]),
            Column("of", [limit_text(row) for row in rows]),
            Column("unit", [row.unit for row in rows], right=False, rank=4, style="dim"),
            Column("", [f"{row.utilization:.0%}" for row in rows], rank=1),
            Column(
                "binds",
                ["binds" if row.binding else "" for row in rows],
                False,
                rank=2,
                style="bold",
            ),
            Column("price", prices, rank=3),
            Column("", priced, right=False, rank=5, style="dim"),
            Column("next", [next_text(row) if row.binding else "" for row in rows], rank=6),
        ],
        "Limits (binding ones marked; a limit with slack has no price of its own)",
    )


def limit_text(row: ConstraintResult) -> str:
    """Return the number of a limit, of a floor as one."""
    return f"at least {show(row.limit)}" if row.floor else show(row.limit)


NO_GAP = 1e-12
"""Relative gap that is rounding of the last digits."""


def _compared(configurations: int, rejected: int) -> str:
    """Say over how many configurations a plan is the best."""
    others = f" ({rejected} more {'is' if rejected == 1 else 'are'} impossible)" if rejected else ""
    if configurations == 1:
        return f"of the only configuration{others} no other plan beats this"
    return f"of {configurations} configurations{others} none beats this plan"


def certificate_text(solution: Solution, certificate: Certificate) -> str:
    """Say what proves the answer, and how exact it is."""
    loss, gap = certificate.rounding_loss, certificate.piecewise_error
    title = OBJECTIVES[solution.objective].title
    text = (
        f"proven optimal by {certificate.solver}: "
        f"{_compared(certificate.configurations, certificate.rejected)}"
        f"{f' by more than {gap:.1e} of its {title}' if gap > NO_GAP else ''}; "
        f"{certificate.nodes:,} points in {certificate.seconds:.2f} s."
    )
    if solution.priced_batch is not None and loss > 0:
        text += (
            f" Limits and prices are those before rounding down to whole sequences (batch "
            f"{show(solution.priced_batch, 7)}), which costs {loss:.2g} of {title}."
        )
    return text


MOST_ESTIMATES = 8


def _estimates(estimates: tuple[Estimate, ...]) -> list[RenderableType]:
    if not estimates:
        return []
    rows = [(one.input, one.value, f"{one.status}: {one.note}".rstrip(": ")) for one in estimates]
    hidden = len(rows) - MOST_ESTIMATES
    table = RemarkTable("Rests on numbers that may turn out otherwise", rows[:MOST_ESTIMATES])
    if hidden > 0:
        return [table, Text(f"  and {hidden} more in --format json (provenance)", style="dim")]
    return [table]


def _conflict(solution: Solution) -> list[RenderableType]:
    conflict = solution.conflict
    if conflict is None:
        return []
    text = Text("Infeasible: ", style="bold")
    text.append(conflict.summary + ".", style="")
    parts: list[RenderableType] = [text]
    if conflict.limits:
        parts.append(Text(conflict.limits_text()))
    parts.append(Text("`hbmopt explain` lists the smallest changes that cure it."))
    if solution.certificate is not None:
        parts.append(
            Text(
                f"Proven by {solution.certificate.solver} over "
                f"{solution.certificate.configurations + solution.certificate.rejected} "
                f"configurations in {solution.certificate.seconds:.2f} s",
                style="dim",
            )
        )
    return parts
