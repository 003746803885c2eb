"""The frontier as text: a sketch, the ladder of round speeds, the segments."""

from collections.abc import Sequence

import numpy as np
from rich.console import Group, RenderableType

from hbmopt.basics import counted, input_name, made, show, shown
from hbmopt.instance import OBJECTIVES, llm_name, rack_name
from hbmopt.report.tables.fitted_table import Column, FittedTable
from hbmopt.report.tables.solution_report import step_times_text
from hbmopt.report.tables.table_text import Text
from hbmopt.studies.frontier import (
    Frontier,
    FrontierPoint,
    FrontierSegment,
    Normalisation,
    normalisation,
)

MARKS = {
    "hbm_capacity": "C",
    "hbm_bandwidth": "B",
    "compute": "F",
    "interconnect": "X",
    "scale_out": "N",
    "latency": "L",
    "power_cap": "P",
    "accelerator_power": "T",
    "lpu_latency": "V",
    "sram_bandwidth": "S",
    "sram_capacity": "S",
    "lpu_compute": "U",
    "lpu_link": "K",
    None: "o",
}
"""Letters of the sketch by limiting resource; budgets of one's own are numbered."""

WIDTH, HEIGHT = 88, 18
MOST_SEGMENTS = 30


def frontier_tables(
    frontier: Frontier,
    speeds: Sequence[float] | None = None,
    per: str = "rack",
    width: int | None = None,
) -> RenderableType:
    """Return sketch, ladder and segments of a frontier; the ladder at `speeds` or round ones.

    Throughput is that of the rack, or per ``accelerator``, ``mw`` or ``usd``.
    """
    quoted = normalisation(per, frontier.instance)
    instance = frontier.instance
    llm, rack = llm_name(instance.llm), rack_name(instance.rack)
    heading = Text()
    if instance.description:
        heading.append(instance.description.strip() + "\n", style="bold")
    heading.append(f"{llm} on {rack}, {show(instance.workload.mean_context, 7)} tokens of context")
    if not frontier.feasible:
        return Group(
            heading,
            Text("\nNothing can be served: no point meets all limits. `hbmopt solve` says why."),
        )
    segments, accuracy = frontier.segments, frontier.accuracy
    banded = frontier.likely is not None
    rungs = frontier.ladder(speeds)
    columns = min(WIDTH, width - 2) if width is not None else WIDTH
    ladder: list[RenderableType] = [_ladder(rungs, quoted, banded=banded), Text()] if rungs else []
    return Group(
        heading,
        Text(),
        Text(sketch(frontier, segments, columns, per=per), no_wrap=True),
        Text(),
        *_beyond(frontier, speeds),
        *ladder,
        _segments(segments, quoted, banded=banded),
        Text(),
        Text(f"Step times: {step_times_text(accuracy)}."),
        Text(_certificate(frontier, len(segments)), style="dim"),
    )


def _certificate(frontier: Frontier, segments: int) -> str:
    """Say how exact the frontier is."""
    if frontier.sampled:
        title = OBJECTIVES[frontier.instance.objective].title
        return (
            f"The best {title} at {len(frontier):,} speeds, each exact over "
            f"{counted(len({*frontier.configurations}), 'configuration')}; a speed between has an "
            f"optimum of its own: --at. {frontier.seconds:.2f} s."
        )
    return (
        f"Exact: {len(frontier):,} points of whole sequences in {segments} segments; no batch of "
        f"{counted(len(frontier.configurations), 'configuration')} makes more at any speed. "
        f"{frontier.seconds:.2f} s."
    )


def sketch(
    frontier: Frontier,
    segments: Sequence[FrontierSegment],
    width: int = WIDTH,
    height: int = HEIGHT,
    per: str = "rack",
) -> str:
    """Return the frontier drawn with letters that say what limits it."""
    slowest, fastest = 0.0, float(frontier.speeds[-1])
    values = frontier.normalised(per)
    most = float(values.max())
    ends = np.array([one.fastest.speed_tok_s_user for one in segments])
    used = dict.fromkeys(one.limiting_resource for one in segments)
    budgets = [name for name in used if name not in MARKS]
    marks = MARKS | {name: str(at) for at, name in enumerate(budgets, start=1)}
    rows = [[" "] * width for _ in range(height)]
    last = height - 1
    for column in range(width):
        speed = slowest + (fastest - slowest) * (column + 0.5) / width
        at = frontier.index(speed)
        height_at = float(values[at]) if at is not None else 0.0
        owner = segments[min(int(np.searchsorted(ends, speed)), len(segments) - 1)]
        row = last - round(height_at / most * last)
        rows[row][column] = marks[owner.limiting_resource]
    banded, unit = frontier.likely is not None, normalisation(per, frontier.instance).unit
    label = f"{made(most, banded=banded, digits=4)} {unit}"
    lines = [f" {label}"]
    lines += [" │" + "".join(row).rstrip() for row in rows]
    lines.append(" └" + "─" * width)
    right = f"{made(fastest, banded=banded, digits=4)} tok/s per user"
    lines.append("  0" + right.rjust(width - 1))
    legend = [
        f"{mark} {input_name(name) or 'nothing that is priced'}"
        for name, mark in marks.items()
        if name in used
    ]
    lines.append("  limited by  " + "   ".join(legend))
    return "\n".join(lines)


def _beyond(frontier: Frontier, speeds: Sequence[float] | None) -> list[RenderableType]:
    """Name the speeds asked for that nothing reaches."""
    far = [f"{one:g}" for one in speeds or () if frontier.index(one) is None]
    if not far:
        return []
    fastest = show(float(frontier.speeds[-1]))
    return [
        Text(f"Nothing reaches {', '.join(far)} tok/s per user; {fastest} is the most."),
        Text(),
    ]


def _ladder(points: Sequence[FrontierPoint], quoted: Normalisation, *, banded: bool) -> FittedTable:
    reached = [Column("tok/s", [made(one.throughput_tok_s, banded=banded) for one in points])]
    if quoted.per == "rack":
        efficiencies = [one.tok_s_per_mw for one in points]
        per_mw = [made(one, banded=banded) if one is not None else "" for one in efficiencies]
        per_chip = [made(one.tok_s_per_accelerator, banded=banded, digits=4) for one in points]
        reached += [
            Column("tok/s\n/MW", per_mw, rank=4),
            Column("tok/s\nper chip", per_chip, rank=6),
        ]
    else:
        values = [quoted.value(one.throughput_tok_s, one.power_w / 1e3) for one in points]
        cells = [made(one, banded=banded) for one in values]
        reached.insert(0, Column(_lines(quoted.unit), cells))
    if any(one.full_usd_per_million is not None for one in points):
        costs = [shown(one.full_usd_per_million, 3) for one in points]
        reached.append(Column("USD per M\nat full use", costs, rank=7))
    columns = [
        Column("at\nleast", [f"{one.floor_tok_s_user:g}" for one in points]),
        Column("tok/s\n/user", [show(one.speed_tok_s_user) for one in points]),
        *reached,
        Column("batch", [show(one.batch, 7) for one in points], rank=5),
        Column("kW", [made(one.power_w / 1e3, banded=banded, digits=4) for one in points], rank=2),
        Column("limited by", [input_name(one.limiting_resource) for one in points], right=False),
        Column("price\nof speed", [show(_price(one, quoted)) for one in points], rank=1),
        _configurations([f"{one.replicas} x {one.configuration}" for one in points]),
    ]
    return FittedTable(columns, "The most at round speeds")


def _lines(unit: str) -> str:
    """Return a unit in two lines, as the head of a column."""
    return unit.replace(" ", "\n", 1)


def _configurations(names: Sequence[str]) -> Column:
    return Column("configuration", names, right=False, least=24, rank=3, style="dim")


def _price(point: FrontierPoint, quoted: Normalisation) -> float:
    """Return the price of speed as throughput is quoted, at the power that the point draws."""
    if quoted.aim is not None:
        return point.price_of_speed
    return quoted.value(point.price_of_speed, point.power_w / 1e3)


def _segments(
    segments: Sequence[FrontierSegment], quoted: Normalisation, *, banded: bool
) -> RenderableType:
    held = ", the power drawn held" if quoted.per == "mw" else ""
    shown = segments[:MOST_SEGMENTS]
    ends = [(one.slowest, one.fastest) for one in shown]
    reached = [
        [
            made(quoted.value(one.throughput_tok_s, one.power_w / 1e3), banded=banded)
            for one in points
        ]
        for points in ([slow for slow, _ in ends], [fast for _, fast in ends])
    ]
    columns = [
        Column("from", [show(slow.speed_tok_s_user) for slow, _ in ends]),
        Column("to tok/s\n/user", [show(fast.speed_tok_s_user) for _, fast in ends]),
        Column("from", reached[0]),
        Column(f"to {_lines(quoted.unit)}", reached[1]),
        Column("limited by", [input_name(one.limiting_resource) for one in shown], right=False),
        Column(
            "price\nof speed",
            [_span(_price(slow, quoted), _price(fast, quoted)) for slow, fast in ends],
            rank=1,
        ),
        Column("binding", [" ".join(slow.binding) for slow, _ in ends], False, least=20, rank=4),
        _configurations([f"{one.replicas} x {one.configuration}" for one in shown]),
    ]
    table = FittedTable(
        columns,
        "Segments (one configuration, one binding set, one limit; price of 1 tok/s/user in "
        f"{quoted.unit}{held})",
    )
    hidden = len(segments) - MOST_SEGMENTS
    return Group(table, Text(f"and {hidden} more in --format json")) if hidden > 0 else table


def _span(first: float, last: float) -> str:
    if abs(first - last) <= 5e-4 * max(abs(first), abs(last)):
        return show(first, 4)
    return f"{show(first, 4)} .. {show(last, 4)}"
