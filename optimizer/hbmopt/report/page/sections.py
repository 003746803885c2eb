"""The sections of a report, in the order in which a planner reads them."""

from collections.abc import Sequence
from typing import Any

from hbmopt.basics import INPUT_NAMES, SCOPES, input_name, made, range_text, show
from hbmopt.documents import Figure, catalogue, format_path
from hbmopt.instance import OBJECTIVES, Instance
from hbmopt.report.html import Html, element, joined, table
from hbmopt.report.tables import (
    KERNELS_TITLE,
    certificate_text,
    configuration_rows,
    cost_rows,
    input_row,
    kernel_rows,
    limit_text,
    made_text,
    setting_text,
    step_parts,
    step_times_text,
    step_title,
    summary_rows,
)
from hbmopt.results import Solution, estimates, figures, text
from hbmopt.studies.conflict import Cures, Explanation, cure_rows
from hbmopt.studies.frontier import Frontier, millions
from hbmopt.studies.sensitivity import LESS_IS_BETTER, NO_GAIN, TENTH, Upgrade

MOST_ALTERNATIVES = 10
MOST_NAMED = 3
"""Configurations that are named of those that cannot run for one reason."""

LIMIT_NAMES = INPUT_NAMES | {
    "hbm_reserve": "HBM that the engine keeps",
    "max_batch": "sequences at once",
    "step_time": "time of a step",
    "min_speed": "speed floor",
    "min_batch": "smallest batch",
    "accelerators": "accelerators",
    "lpu_units": "LPUs",
}

KEPT = frozenset(
    {"accelerators", "hbm_capacity", "hbm_reserve", "lpu_units", "max_batch", "min_batch"}
)
"""Limits whose use is counted: no measured step or power makes it another one."""


def paragraph(text: str, class_: str = "") -> Html:
    """Return a paragraph."""
    return element("p", text, **({"class_": class_} if class_ else {}))


def section(name: str, title: str, *parts: str) -> Html:
    """Return a section with its heading; the table of contents leads to `name`."""
    return element("section", element("h2", title), *parts, id=name)


def heading(solution: Solution) -> Html:
    """Return the question, and of what it is asked."""
    question = solution.title.strip() or f"What does {solution.rack} make of {solution.llm}?"
    notes = [paragraph(f"Note: {one}", "remark") for one in solution.notes]
    return joined(element("h1", question), paragraph(setting_text(solution), "remark"), *notes)


def answer_section(instance: Instance, solution: Solution) -> Html:
    """Return the optimum in one sentence, in figures, and the configuration that reaches it."""
    made, power = solution.throughput_tok_s or 0.0, (solution.power_w or 0.0) / 1e3
    most = "makes at most" if solution.objective == "throughput" else "makes"
    lead = [
        f"The rack {most} ",
        element("strong", f"{made_text(solution, made)} tok/s"),
        f" for {show(solution.batch or 0.0, 7)} users at once, each at "
        f"{made_text(solution, solution.speed_tok_s_user or 0.0, 4)} tok/s",
        f", and draws {made_text(solution, power, 4)} kW ({SCOPES[solution.power_scope]}). "
        if power > 0
        else ". ",
        _limited(solution),
    ]
    rows = [row for row in summary_rows(solution) if row[0] not in ("limited by", "step times")]
    rows.append(
        ("by accelerator", f"{made_text(solution, made / solution.accelerators)} tok/s", "")
    )
    price = millions(instance)
    if price is not None:
        remark = f"rack at {show(price)} million USD"
        if solution.throughput_range_tok_s is not None:
            low, high = (end / price for end in solution.throughput_range_tok_s)
            remark += f"; {range_text(low, high)} in four of five cases"
        rows.append(
            ("by price", f"{made_text(solution, made / price)} tok/s per million USD", remark)
        )
    parts = [element("p", *lead, class_="lead"), figures_list(rows), *_remarks(solution)]
    for one in solution.configurations:
        parts += [element("h3", "Configuration"), table(("", "", ""), configuration_rows(one))]
    return section("answer", "Answer", *parts)


def _remarks(solution: Solution) -> list[Html]:
    """Return what the step times rest on, in one sentence."""
    known = solution.accuracy
    said = [f"Step times: {step_times_text(known)}."] if known is not None else []
    return [paragraph(one, "remark") for one in said]


def _limited(solution: Solution) -> str:
    name = solution.limiting_resource
    if name is None:
        return "Nothing that has a price limits it."
    known = input_name(name)
    known = known[:1].upper() + known[1:]
    elasticity = solution.limiting_elasticity or 0.0
    kind = OBJECTIVES[solution.objective]
    change = "more" if (elasticity > 0) != kind.least else "less"
    worth = f"{'saves' if kind.least else 'is worth'} {abs(elasticity):.2f} % of {kind.title}"
    return f"{known} limits it: 1 % {change} of it {worth}."


def figures_list(rows: Sequence[tuple[str, str, str]]) -> Html:
    """Return name, number and remark of what is most asked for, side by side."""
    entries = [
        element(
            "div",
            element("dt", name),
            element("dd", value),
            element("dd", remark, class_="remark") if remark else "",
        )
        for name, value, remark in rows
    ]
    return element("dl", *entries, class_="figures")


def conflict_section(solution: Solution) -> Html:
    """Return why nothing can be served."""
    found = solution.conflict
    if found is None:
        return Html()
    parts = [
        element(
            "p",
            element("strong", "Nothing can be served: "),
            found.summary + ".",
        )
    ]
    if found.limits:
        parts.append(paragraph(found.limits_text(LIMIT_NAMES) + "."))
    if found.configuration:
        parts.append(paragraph(f"The configuration that misses by least: {found.configuration}."))
    return section("answer", "Answer", element("div", *parts, class_="conflict"))


def cures_section(cures: Cures | None) -> Html:
    """Return the smallest single changes under which something can be served."""
    if cures is None:
        return Html()
    parts = [paragraph("No single change is enough.")]
    if cures.found:
        header = ("change", "from and to", "by", "on the command line")
        rows = [
            (name, change.replace("->", "→"), relative, element("code", options))
            for name, change, relative, options in cure_rows(cures)
        ]
        parts = [
            paragraph("Each of these alone is enough, and no smaller one of its kind.", "remark"),
            table(header, rows, "llrl"),
        ]
    if cures.without:
        names = ", ".join(one.name for one in cures.without)
        parts.append(paragraph(f"Not enough alone, however far it goes: {names}.", "remark"))
    return section("cures", "What would change that", *parts)


def frontier_section(drawn: Frontier, figure: str, note: str) -> Html:
    """Return the chart of the frontier and its ladder."""
    banded = drawn.likely is not None
    rows = [
        (
            show(one.floor_tok_s_user),
            made(one.throughput_tok_s, banded=banded),
            made(one.tok_s_per_mw, banded=banded) if one.tok_s_per_mw is not None else "",
            show(one.batch, 7),
            made(one.power_w / 1e3, banded=banded, digits=4),
            made(one.price_of_speed, banded=banded, digits=4),
            input_name(one.limiting_resource) or "nothing",
            f"{one.replicas} x {one.configuration}",
        )
        for one in drawn.ladder()
    ]
    header = (
        "speed at least, tok/s per user",
        "tok/s",
        "tok/s per MW",
        "batch",
        "kW",
        f"price of speed, {drawn.unit} per tok/s/user",
        "limited by",
        "configuration",
    )
    return section(
        "frontier",
        f"{drawn.sought[:1].upper()}{drawn.sought[1:]} against speed",
        paragraph(
            f"The {drawn.best_of_it} by whatever configuration is best there. "
            "It begins at the speed floor of the question. The price of speed is what one more "
            f"tok/s per user costs in {drawn.unit} of the rack. " + note
        ),
        figure,
        element("details", element("summary", "At round speeds"), table(header, rows, "rrrrrr")),
    )


def limits_section(solution: Solution) -> Html:
    """Return what one more unit of each input is worth, and how much of each limit is used."""
    prices = []
    for one in solution.inputs:
        name, now, _, unit, elasticity = input_row(one)
        worth = f"{_signed(solution, one.unit_price)} {unit}" if one.unit_price else "0"
        prices.append((name, now, worth, elasticity))
    limits = [
        (
            LIMIT_NAMES.get(row.name, row.name),
            # What binds is used as far as it is given.
            show(row.usage)
            if row.binding or row.name in KEPT
            else made_text(solution, row.usage, 4),
            limit_text(row),
            row.unit,
            f"{row.utilization:.0%}",
            element("span", "binds", class_="binds") if row.binding else "",
            f"{_signed(solution, row.unit_price)} {row.unit_price_unit}" if row.unit_price else "",
        )
        for row in solution.constraints
    ]
    return section(
        "limits",
        "Limits and prices",
        element("h3", "What one more unit of an input is worth"),
        paragraph(
            "All ways in which the number matters are counted. Prices are local: configuration and "
            "replicas are held.",
            "remark",
        ),
        table(("input", "now", "one more is worth", "% per %"), prices, "lrrr"),
        element("h3", "How much of each limit is used"),
        paragraph("A limit with slack has no price of its own.", "remark"),
        table(("limit", "used", "of", "unit", "share", "", "price"), limits, "lrrlrl"),
    )


def _signed(solution: Solution, price: float) -> str:
    """Return a price with its sign, in as many digits as its plan is known to."""
    return ("+" if price > 0 else "") + made_text(solution, price, 4)


def power_section(instance: Instance, solution: Solution, figure: str) -> Html:
    """Return the curve of power caps."""
    if not figure:
        none = "The rack draws no power in this instance, so there is no curve of power caps."
        return section("power", "Under a power cap", paragraph(none))
    cap, drawn = instance.power_cap_kw, made_text(solution, (solution.power_w or 0.0) / 1e3, 4)
    words = f"The cap is {show(cap)} kW ({SCOPES[solution.power_scope]})" if cap else "Nothing caps"
    price = next((one.unit_price for one in solution.inputs if one.name == "power_cap"), 0.0)
    if price > 0:
        words += (
            f", and one more kW is worth {made_text(solution, price, 4)} {solution.objective_unit}."
        )
    elif cap:
        words += f"; the optimum draws {drawn} kW, so more is "
        words += "worth nothing."
    else:
        words += f" the power; the optimum draws {drawn} kW."
    return section("power", "Under a power cap", paragraph(words), figure)


def step_section(solution: Solution, figure: str) -> Html:
    """Return where the time of a decode step goes, at the optimum and along the frontier."""
    parts = []
    for one in solution.configurations:
        rows = [
            (
                name,
                f"{show(ms, 3)} ms",
                f"{share:.0%}",
                Html(f'<span class="bar" style="--share:{share:.4f}"></span>'),
            )
            for name, ms, share in step_parts(one)
        ]
        parts += [element("h3", step_title(one)), table(("", "", "", ""), rows, "lrr")]
        parts += [element("h3", KERNELS_TITLE), table(("", "", ""), kernel_rows(one), "lr")]
    return section("step", "The decode step", *parts, figure)


def cost_section(solution: Solution) -> Html:
    """Return what tokens cost, or which price is missing to know it."""
    rows = cost_rows(solution)
    if not rows:
        key = solution.unpriced or "rack.price"
        missing = ("Not known: a price is missing. Set ", element("code", key), " to see it.")
        return section("cost", "What it costs", element("p", *missing))
    words = (
        "In USD per million output tokens. Capacity is bought for the peak, power is paid for the "
        "hour: what a token costs depends on how much is asked for."
    )
    return section("cost", "What it costs", paragraph(words), table(("", "", ""), rows, "lrl"))


def buying_section(solution: Solution, bought: Sequence[Upgrade]) -> Html:
    """Return what a tenth more of each input makes, in words with numbers, the best first."""
    ranked = sorted(bought, key=lambda one: -one.gain)
    worth = [one for one in ranked if one.gain >= NO_GAIN]
    rest = [input_name(one.input.name) for one in ranked if one not in worth]
    items = [element("li", _bought(one, solution)) for one in worth]
    parts = [
        paragraph(
            f"The optimum solved again with {100 * TENTH:.0f} % more of one input at a time, all "
            "else the same; configuration and replicas may change.",
            "remark",
        ),
        element("ol", *items) if items else paragraph("No single input is worth buying more of."),
    ]
    if rest:
        parts.append(paragraph(f"{100 * TENTH:.0f} % more changes nothing: {', '.join(rest)}."))
    return section("buy", "What to buy next", *parts)


def _bought(one: Upgrade, solution: Solution) -> Html:
    found = one.input
    known = input_name(found.name)
    sign = "−" if found.name in LESS_IS_BETTER else "+"
    value = found.value * (1.0 + one.change)
    unit = found.unit_price_unit.partition(" per ")[2]
    less = found.name in LESS_IS_BETTER
    of = solution.objective_unit
    worth = made_text(solution, abs(found.unit_price), 4)
    price = f"{worth} {of} {'lost ' if less else ''}per {unit}"
    return joined(
        element(
            "strong",
            f"{sign}{100 * abs(one.change):.0f} % {known} is worth {100 * one.gain:+.1f} %",
        ),
        f": {show(value)} instead of {show(found.value)} {found.unit} makes "
        f"{made_text(solution, one.amount)} instead of "
        f"{made_text(solution, solution.objective_amount or 0.0)} "
        f"{of}. At the margin: {price}"
        + (f" ({found.status})." if found.status == "estimate" else "."),
    )


def assumptions_section(instance: Instance) -> Html:
    """Return the numbers that may turn out otherwise, then all others, each with its source."""
    lpus = instance.rack.offload is not None
    uncertain = estimates(instance, lpus=lpus)
    named = {one.input for one in uncertain}
    header = ("number", "value", "status", "source", "note")
    doubtful = [
        (one.input, one.value, one.status, _sources(one.source), one.note) for one in uncertain
    ]
    others = [
        (format_path(path), text(figure), figure.status, _sources(figure.source), figure.note)
        for path, figure in figures(instance)
        if format_path(path) not in named and _stated(figure)
    ]
    parts = [paragraph("Steady decoding; output tokens only. " + _asked(instance))]
    if doubtful:
        parts += [
            element("h3", "Numbers that may turn out otherwise"),
            table(header, doubtful, "lr"),
        ]
    count = f"The other {len(others)} numbers, with their sources"
    parts.append(element("details", element("summary", count), table(header, others, "lr")))
    return section("assumptions", "Assumptions", *parts)


def _stated(figure: Figure) -> bool:
    return figure.status != "counted"


def _asked(instance: Instance) -> str:
    """Say in words what the instance fixes of workload and limits."""
    work, limits = instance.workload, instance.limits
    parts = []
    if work.prompt is not None and work.output is not None:
        parts.append(
            f"Prompts of {show(work.prompt.amount, 7)} tokens and outputs of "
            f"{show(work.output.amount, 7)}."
        )
    if work.prefill == "shared":
        parts.append("Prompts are computed on the same accelerators.")
    else:
        parts.append("Prompts are computed elsewhere and not counted.")
    if limits.power_scope == "facility":
        parts.append(f"Power is that of the facility, {float(limits.pue):g} per rack power.")
    step = instance.calibration.name
    parts.append(f"Constants of the step: {step}.")
    return " ".join(parts)


def _sources(keys: Sequence[str]) -> Html:
    """Return sources by title, with a link where an address is known."""
    known, found = catalogue.sources(), []
    for key in keys:
        source: dict[str, Any] = known.get(key, {})
        title = str(source.get("title", key))
        address = str(source.get("url") or key)
        # An instance may name anything as a source; only addresses of the web become links.
        web = address.startswith(("https://", "http://"))
        found.append(element("a", title, href=address, rel="noreferrer") if web else title)
    separated = [part for one in found for part in (one, "; ")]
    return joined(*separated[:-1])


def alternatives_section(explanation: Explanation) -> Html:
    """Return what other configurations make, and why some cannot run."""
    parts, banded = [], explanation.throughput_range_tok_s is not None
    if explanation.chosen is not None:
        parts.append(paragraph(f"Chosen: {explanation.chosen}. Each of the others at its best:"))
        rows = [
            (
                one.configuration,
                f"{'' if one.exact else '≤ '}{made(one.amount, banded=banded)}",
                f"{-one.loss:.1%}",
            )
            for one in explanation.alternatives[:MOST_ALTERNATIVES]
        ]
        hidden = len(explanation.alternatives) - len(rows)
        parts.append(table(("configuration", "tok/s", "against the optimum"), rows, "lrr"))
        if hidden > 0:
            parts.append(paragraph(f"{hidden} more make less.", "remark"))
    others = [
        (one.reason, str(len(one.configurations)), _examples(one.configurations))
        for one in explanation.rejected
    ]
    if explanation.idle:
        reason = "fits in memory, but no batch of it meets all limits"
        others.insert(0, (reason, str(len(explanation.idle)), _examples(explanation.idle)))
    if others:
        count = f"{sum(int(row[1]) for row in others)} configurations cannot run, by reason"
        listed = table(("reason", "configurations", "such as"), others, "lr")
        parts.append(element("details", element("summary", count), listed))
    return section("alternatives", "Alternatives", *parts)


def _examples(names: Sequence[str]) -> str:
    return "; ".join(names[:MOST_NAMED])


def certificate_section(solution: Solution) -> Html:
    """Return what proves the answer."""
    found = solution.certificate
    if found is None:
        return Html()
    if solution.feasible:
        words = certificate_text(solution, found)
        words = words[:1].upper() + words[1:]
    else:
        words = (
            f"Proven infeasible by {found.solver} over {found.configurations + found.rejected} "
            f"configurations in {found.seconds:.2f} s."
        )
    exceeds = f"a limit by {found.violation:.1e} of it" if found.violation > 0 else "no limit"
    checked = f"Checked again in plain Python against the exact physics, it exceeds {exceeds}."
    parts = [paragraph(words)] + ([paragraph(checked)] if solution.feasible else [])
    return section("certificate", "Certificate", *parts)
