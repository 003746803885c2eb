"""A comparison as text: instances as columns, the chart of generations, what the law says."""

import math
from collections.abc import Callable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table

from hbmopt.basics import (
    INPUT_NAMES,
    SCOPES,
    csv_text,
    input_name,
    made,
    show,
    shown,
    signed,
    visible,
)
from hbmopt.instance import OBJECTIVES
from hbmopt.report.tables.output import json_text, printed
from hbmopt.report.tables.table_text import Text
from hbmopt.studies.comparison import (
    BANDWIDTH,
    CAPACITY,
    FLOOR,
    HOLDS,
    OTHER,
    Comparison,
    ComparisonRow,
    GenerationLaw,
)

WIDTH = 172
LABEL = 28
"""Columns of the names of quantities."""

NARROWEST, WIDEST = 15, 30
"""Columns of an instance."""

REGIMES = {
    HOLDS: "holds",
    BANDWIDTH: "bandwidth",
    CAPACITY: "HBM size",
    FLOOR: "speed floor",
    OTHER: "nothing limits",
}
SHARES = {
    "kv": "reading the KV cache",
    "weights": "reading weights",
    "arithmetic": "arithmetic",
    "latency": "latency of the layers",
    "link": "traffic between",
    "scale_out": "traffic over the network",
    "lpu": "LPUs and traffic to them",
    "waiting": "waiting",
}
ONE_MORE = {
    "hbm_capacity": "1 GB more HBM on each",
    "hbm_bandwidth": "1 TB/s more HBM on each",
    "compute": "1 TFLOP/s more on each",
    "interconnect": "1 TB/s more link on each",
    "scale_out": "1 TB/s more network on each",
    "latency": "1 us more per layer",
    "power_cap": "1 kW more power",
    "accelerator_power": "1 W more limit on each",
    "sram_capacity": "1 GB more on each LPU",
    "sram_bandwidth": "1 TB/s more on each LPU",
    "lpu_compute": "1 TFLOP/s more on each LPU",
    "lpu_link": "1 TB/s more link per LPU",
    "lpu_latency": "1 us more per LPU visit",
}

Cell = Callable[[ComparisonRow], str]


def render_comparison(comparison: Comparison, style: str, *, width: int | None, color: bool) -> str:
    """Return a comparison as text in the style ``table``, ``json`` or ``csv`` (every instance)."""
    if style == "json":
        return json_text(comparison.to_dict())
    if style == "csv":
        return csv_text(row.flat() for row in comparison.rows)
    return printed(comparison_tables(comparison), width or WIDTH, color=color)


def comparison_tables(comparison: Comparison) -> RenderableType:
    """Return the instances as columns, and below them what the law of generations says."""
    parts: list[RenderableType] = [_heading(comparison), Text(), _Columns(comparison), Text()]
    conflicts = [row for row in comparison.rows if row.conflict is not None]
    for row in conflicts:
        parts.append(Text.assemble((f"Infeasible: {row.name}: ", "bold"), f"{row.conflict}."))
    if conflicts:
        parts.append(Text())
    return Group(*parts, *_law(comparison))


def _heading(comparison: Comparison) -> Text:
    rows = comparison.rows
    served = {(row.llm, row.context_tokens) for row in rows}
    plural = "" if len(rows) == 1 else "s"
    text = Text(f"{len(rows)} instance{plural} side by side", style="bold")
    if len(served) == 1:
        text.append(
            f"\n{rows[0].llm}, {show(rows[0].context_tokens, 7)} tokens of context",
            style="not bold",
        )
    return text


class _Columns:
    """The table, in as many parts as the width asks for."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = self.comparison.rows
        room = options.max_width - LABEL - 1
        most = max(1, room // (NARROWEST + 2))
        parts = math.ceil(len(rows) / most)
        each = math.ceil(len(rows) / parts)
        wide = max(1, min(WIDEST, room // each - 2))
        for begin in range(0, len(rows), each):
            if begin:
                yield Text()
            yield _table(self.comparison, rows[begin : begin + each], wide)


def _table(comparison: Comparison, rows: Sequence[ComparisonRow], wide: int) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1))
    table.add_column("", width=LABEL, no_wrap=True)
    for row in rows:
        table.add_column(row.name, width=wide, justify="right", overflow="fold")
    for label, cell in _quantities(comparison):
        if cell is None:
            table.add_row(Text(label, style="bold"))
        else:
            table.add_row(label, *(cell(row) for row in rows))
    return table


def _quantities(comparison: Comparison) -> list[tuple[str, Cell | None]]:
    """Return the rows of the table: names and cells; a heading has no cells."""
    rows = comparison.rows
    first = next((row.name for row in rows if row.feasible), "the first")
    running = [row for row in rows if row.feasible]
    found: list[tuple[str, Cell | None]] = [("rack", lambda row: row.rack)]
    if len({(row.llm, row.context_tokens) for row in rows}) > 1:
        found += [
            ("model", lambda row: row.llm),
            ("tokens of context", lambda row: show(row.context_tokens, 7)),
        ]
    found += [
        ("accelerators", lambda row: str(row.accelerators)),
        ("HBM per accelerator, GB", lambda row: show(row.hbm_gb) + _mark(row.hbm_capacity_status)),
        ("  TB/s", lambda row: show(row.hbm_tb_s) + _mark(row.hbm_bandwidth_status)),
        ("HBM of the rack, TB", lambda row: show(row.rack_hbm_gb / 1e3)),
        ("  TB/s", lambda row: show(row.rack_hbm_tb_s)),
    ]
    if any(row.min_speed_tok_s_user > 0 for row in rows):
        found.append(("speed floor, tok/s per user", lambda row: show(row.min_speed_tok_s_user)))
    found.append(("Optimum", None))
    if not running:
        return [*found, ("status", lambda row: row.status)]
    if len(running) < len(rows):
        found.append(("status", lambda row: row.status))
    kinds = {OBJECTIVES[row.objective] for row in running}
    kind = kinds.pop() if len(kinds) == 1 else None
    sought = kind.title if kind is not None else "the objective"
    if kind != OBJECTIVES["throughput"]:
        named = f"{sought}, {kind.unit}" if kind is not None else sought
        found.append((named, _made("objective_amount")))
    found += [
        ("throughput, tok/s", _made("throughput_tok_s")),
        (f"  {_cut(first)} = 1", _number("ratio", 4)),
        ("tok/s per accelerator", _made("tok_s_per_accelerator")),
        ("speed, tok/s per user", _made("speed_tok_s_user")),
        ("batch", _number("batch", 7)),
        ("power, kW", _made("power_w", 1e-3)),
        ("tok/s/MW", _made("tok_s_per_mw")),
    ]
    if any(row.full_usd_per_million is not None for row in running):
        found.append(("USD per M tokens, full use", _cost("full_usd_per_million")))
    if any(row.load_usd_per_million is not None for row in running):
        found.append(("  of the load", _cost("load_usd_per_million")))
    if len({row.power_scope for row in rows}) > 1:
        found.append(("  power of", lambda row: SCOPES[row.power_scope]))
    found += [
        ("step times", lambda row: row.accuracy.basis if row.accuracy is not None else ""),
        ("  median error", _step_error),
        ("configuration", lambda row: row.configuration or ""),
        ("limited by", _limited),
        ("% of throughput per % of" if sought == "throughput" else "% per % of", None),
        *((f"  {_input(name)}", _elasticity(name)) for name in _priced(running)),
        (f"Worth in {kind.unit if kind is not None else 'its unit'} of the rack", None),
        *_worth(running),
        ("Share of a step", None),
        *(
            (f"  {title}", _share(part))
            for part, title in SHARES.items()
            if any(row.step_shares.get(part, 0.0) >= 5e-3 for row in running)
        ),
    ]
    if all(row.regime is None for row in running):
        return found
    found.append(("tok/s ∝ HBM size × bandwidth", None))
    if comparison.law is not None:
        found += _ratios(comparison.law)
    return [*found, ("  holds, or breaks towards", _regime)]


def _ratios(law: GenerationLaw) -> list[tuple[str, Cell | None]]:
    points = {one.name: one for one in law.points}

    def ratio(name: str) -> Cell:
        def cell(row: ComparisonRow) -> str:
            point = points.get(row.name)
            return show(getattr(point, name), 4) if point is not None else ""

        return cell

    return [
        ("  size × bandwidth, ratio", ratio("size_bandwidth_ratio")),
        ("  tok/s, ratio", ratio("throughput_ratio")),
    ]


def _regime(row: ComparisonRow) -> str:
    if row.regime is None:
        return ""
    return REGIMES.get(row.regime, _input(row.regime))


def _mark(status: str) -> str:
    return " (est.)" if status == "estimate" else ""


def _cut(name: str) -> str:
    name = visible(name)
    return name if len(name) <= LABEL - 6 else name[: LABEL - 7] + "…"


def _input(name: str) -> str:
    return {"hbm_capacity": "HBM size"}.get(name, input_name(name))


def _number(name: str, digits: int) -> Cell:
    def cell(row: ComparisonRow) -> str:
        return shown(getattr(row, name), digits)

    return cell


def _cost(name: str) -> Cell:
    def cell(row: ComparisonRow) -> str:
        return shown(getattr(row, name), 3) + _mark(row.capital_status or "")

    return cell


def _made(name: str, scale: float = 1.0) -> Cell:
    """Return the cells of what racks make or draw, with no more digits than are known of each."""

    def cell(row: ComparisonRow) -> str:
        value, known = getattr(row, name), row.accuracy
        banded = known is not None and known.step_low is not None
        return made(scale * value, banded=banded, digits=4) if value is not None else ""

    return cell


def _step_error(row: ComparisonRow) -> str:
    """Return how far step times were from measured ones of this chip and layout."""
    known = row.accuracy
    if known is None or not row.feasible:
        return ""
    return f"{known.median_error:.0%}" if known.median_error is not None else "not measured"


def _limited(row: ComparisonRow) -> str:
    return _input(row.limiting_resource) if row.limiting_resource else ""


def _priced(rows: Sequence[ComparisonRow]) -> list[str]:
    """Return the inputs that move any instance; HBM always."""
    known = dict.fromkeys(("hbm_capacity", "hbm_bandwidth", *INPUT_NAMES))
    return [
        name
        for name in known
        if name.startswith("hbm_")
        or any(abs(row.elasticities.get(name, 0.0)) >= 5e-3 for row in rows)
    ]


def _worth(rows: Sequence[ComparisonRow]) -> list[tuple[str, Cell | None]]:
    """Return the prices; those of HBM also by accelerator where the racks differ in size."""
    several = len({row.accelerators for row in rows}) > 1
    found: list[tuple[str, Cell | None]] = []
    for name in _priced(rows):
        found.append((f"  {ONE_MORE.get(name, name)}", _price(name)))
        if several and name.startswith("hbm_"):
            found.append(("    by accelerator", _price(name, shared=True)))
    return found


def _elasticity(name: str) -> Cell:
    def cell(row: ComparisonRow) -> str:
        if name not in row.elasticities:
            return ""
        value = row.elasticities[name]
        return f"{value:+.2f}" if abs(value) >= 5e-3 else "0"

    return cell


def _price(name: str, *, shared: bool = False) -> Cell:
    def cell(row: ComparisonRow) -> str:
        if name not in row.unit_prices:
            return ""
        return signed(row.unit_prices[name] / (row.accelerators if shared else 1))

    return cell


def _share(part: str) -> Cell:
    def cell(row: ComparisonRow) -> str:
        return f"{row.step_shares[part]:.0%}" if part in row.step_shares else ""

    return cell


CHART = 84
"""Columns of the chart's axis, where there is room."""


class _Chart:
    """The chart, as wide as there is room."""

    def __init__(self, law: GenerationLaw) -> None:
        self.law = law

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width - _indent(self.law) - 8
        yield Text(chart(self.law, max(20, min(CHART, room))), no_wrap=True)


def _indent(law: GenerationLaw) -> int:
    return max(cell_len(visible(one.name)) for one in law.points) + 2


def chart(law: GenerationLaw, width: int = CHART) -> str:
    """Return throughput, size × bandwidth and bandwidth of each instance on one log axis."""
    marks = (
        ("S", "size_bandwidth_ratio", "HBM size × bandwidth"),
        ("B", "bandwidth_ratio", "HBM bandwidth"),
        ("T", "throughput_ratio", "throughput"),
    )
    values = [getattr(one, name) for one in law.points for _, name, _ in marks]
    low, high = (
        math.floor(math.log10(min(values)) + 1e-9),
        math.ceil(math.log10(max(values)) - 1e-9),
    )
    high = max(high, low + 1)

    def place(value: float) -> int:
        return round((math.log10(value) - low) / (high - low) * (width - 1))

    indent = _indent(law)
    lines = []
    for one in law.points:
        row = [" "] * width
        for mark, name, _ in marks:
            at = place(getattr(one, name))
            row[at] = mark if row[at] == " " else "*"
        lines.append(set_cell_size(f" {visible(one.name)}", indent) + "│" + "".join(row).rstrip())
    axis, labels = ["─"] * width, [" "] * (width + 12)
    for power in range(low, high + 1):
        at, text = place(10.0**power), f"{10.0**power:,g}"
        axis[at] = "┴"
        labels[at : at + len(text)] = text
    lines.append(" " * indent + "└" + "".join(axis))
    lines.append(" " * (indent + 1) + "".join(labels).rstrip())
    legend = "   ".join(f"{mark} {title}" for mark, _, title in reversed(marks))
    lines += [f" {legend}   * several", f" per accelerator, {law.points[0].name} = 1, log axis"]
    return "\n".join(lines)


def _law(comparison: Comparison) -> list[RenderableType]:
    parts: list[RenderableType] = []
    law = comparison.law
    if law is not None:
        parts += [_Chart(law), Text()]
        parts.append(Text.assemble(("Size × bandwidth  ", "bold"), law.summary))
        parts += [Text(one.sentence) for one in comparison.regimes]
        parts.append(Text(law.basis, style="dim"))
    else:
        parts.append(
            Text.assemble(("No chart of generations: ", "bold"), f"{comparison.law_missing}.")
        )
        parts += [Text(one.sentence) for one in comparison.regimes]
    parts += [Text(one, style="dim") for one in comparison.notes]
    return parts
