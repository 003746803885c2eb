"""The frontier as text: a sketch, the ladder of round speeds, the segments."""

from collections.abc import Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hbmopt.normalisation import Normalisation, normalisation
from hbmopt.report import titled
from hbmopt.speed_frontier import Frontier, FrontierPoint, FrontierSegment
from hbmopt.wording import input_name, show

MARKS = {
    "hbm_capacity": "C",
    "hbm_bandwidth": "B",
    "compute": "F",
    "interconnect": "X",
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
"""Letters of the sketch by limiting resource."""

WIDTH, HEIGHT = 88, 18
MOST_SEGMENTS = 30


def frontier_tables(
    frontier: Frontier, speeds: Sequence[float] | None = None, per: str = "rack"
) -> RenderableType:
    """Return sketch, ladder and segments of a frontier; the ladder at `speeds` or round ones.

    Throughput is that of the rack, or per ``accelerator``, ``mw`` or ``usd``.
    """
    quoted = normalisation(per, frontier.instance)
    instance = frontier.instance
    llm, rack = instance.llm.title or instance.llm.name, instance.rack.title or instance.rack.name
    heading = Text()
    if instance.description:
        heading.append(instance.description.strip() + "\n", style="bold")
    heading.append(f"{llm} on {rack}, {show(instance.workload.mean_context, 7)} tokens of context")
    if not frontier.feasible:
        return Group(heading, Text("\nNothing can be served: no point meets all limits."))
    segments = frontier.segments
    return Group(
        heading,
        Text(),
        Text(sketch(frontier, segments, per=per), no_wrap=True),
        Text(),
        _ladder(frontier.ladder(speeds), quoted),
        Text(),
        _segments(segments, quoted),
        Text(),
        Text(_certificate(frontier, len(segments)), style="dim"),
    )


def _certificate(frontier: Frontier, segments: int) -> str:
    """Say how exact the frontier is."""
    if frontier.gap > 0:
        return (
            f"{len(frontier)} points, each proven optimal at its speed; between two of them the "
            f"frontier falls by at most {frontier.gap:.1%} of its top. {frontier.seconds:.1f} s."
        )
    return (
        f"Exact: {len(frontier):,} points of whole sequences in {segments} segments; no batch of "
        f"{len(frontier.configurations)} configurations makes more at any speed. "
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
    rows = [[" "] * width for _ in range(height)]
    last = height - 1
    for column in range(width):
        speed = slowest + (fastest - slowest) * (column + 0.5) / width
        at = frontier.index(speed)
        made = float(values[at]) if at is not None else 0.0
        owner = segments[min(int(np.searchsorted(ends, speed)), len(segments) - 1)]
        row = last - round(made / most * last)
        rows[row][column] = MARKS.get(owner.limiting_resource, "?")
    label = f"{show(most, 4)} {normalisation(per, frontier.instance).unit}"
    lines = [f" {label}"]
    lines += [" │" + "".join(row).rstrip() for row in rows]
    lines.append(" └" + "─" * width)
    right = f"{show(fastest, 4)} tok/s per user"
    lines.append("  0" + right.rjust(width - 1))
    used = {one.limiting_resource for one in segments}
    legend = [
        f"{mark} {input_name(name) or 'nothing that is priced'}"
        for name, mark in MARKS.items()
        if name in used
    ]
    lines.append("  limited by  " + "   ".join(legend))
    return "\n".join(lines)


def _ladder(points: Sequence[FrontierPoint], quoted: Normalisation) -> Table:
    table = titled("The most at round speeds")
    table.add_column("at least", justify="right")
    table.add_column("tok/s/user", justify="right")
    if quoted.per != "rack":
        table.add_column(quoted.unit, justify="right")
    table.add_column("tok/s", justify="right")
    if quoted.per == "rack":
        table.add_column("tok/s/MW", justify="right")
        table.add_column("tok/s per chip", justify="right")
    table.add_column("batch", justify="right")
    table.add_column("kW", justify="right")
    table.add_column("limited by")
    table.add_column("price of speed", justify="right")
    table.add_column("configuration", style="dim")
    for one in points:
        made = [show(one.throughput_tok_s, 6)]
        if quoted.per == "rack":
            made.append(show(one.tok_s_per_mw, 6) if one.tok_s_per_mw is not None else "")
            made.append(show(one.tok_s_per_accelerator, 4))
        else:
            made.insert(0, show(quoted.value(one.throughput_tok_s, one.power_w / 1e3), 6))
        table.add_row(
            f"{one.floor_tok_s_user:g}",
            show(one.speed_tok_s_user, 4),
            *made,
            show(one.batch, 7),
            show(one.power_w / 1e3, 4),
            input_name(one.limiting_resource),
            show(_price(one, quoted), 4),
            f"{one.replicas} x {one.configuration}",
        )
    return table


def _price(point: FrontierPoint, quoted: Normalisation) -> float:
    """Return the price of speed as throughput is quoted, at the power that the point draws."""
    return quoted.value(point.price_of_speed, point.power_w / 1e3)


def _segments(segments: Sequence[FrontierSegment], quoted: Normalisation) -> Table:
    held = ", the power drawn held" if quoted.per == "mw" else ""
    table = titled(
        "Segments (one configuration, one binding set, one limit; price of 1 tok/s/user in "
        f"{quoted.unit}{held})"
    )
    table.add_column("from", justify="right")
    table.add_column("to tok/s/user", justify="right")
    table.add_column("from", justify="right")
    table.add_column(f"to {quoted.unit}", justify="right")
    table.add_column("limited by")
    table.add_column("price of speed", justify="right")
    table.add_column("binding")
    table.add_column("configuration", style="dim")
    for one in segments[:MOST_SEGMENTS]:
        slow, fast = one.slowest, one.fastest
        table.add_row(
            show(slow.speed_tok_s_user, 4),
            show(fast.speed_tok_s_user, 4),
            show(quoted.value(slow.throughput_tok_s, slow.power_w / 1e3), 6),
            show(quoted.value(fast.throughput_tok_s, fast.power_w / 1e3), 6),
            input_name(one.limiting_resource),
            _span(_price(slow, quoted), _price(fast, quoted)),
            " ".join(slow.binding),
            f"{slow.replicas} x {one.configuration}",
        )
    hidden = len(segments) - MOST_SEGMENTS
    if hidden > 0:
        table.add_row("", "", "", "", f"and {hidden} more in --format json")
    return table


def _span(first: float, last: float) -> str:
    if abs(first - last) <= 5e-4 * max(abs(first), abs(last)):
        return show(first, 4)
    return f"{show(first, 4)} .. {show(last, 4)}"
