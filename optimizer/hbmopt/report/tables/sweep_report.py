"""A sweep as text: a table for people, or the rows as CSV or JSON lines."""

from collections.abc import Sequence

from rich.console import Group, RenderableType

from hbmopt.basics import input_name, made, show, shown
from hbmopt.instance import Variation
from hbmopt.report.tables.fitted_table import Column, FittedTable
from hbmopt.report.tables.fleets.swept import fleet_columns
from hbmopt.report.tables.output import printed
from hbmopt.report.tables.table_text import Text
from hbmopt.studies.sweep import Row, Sweep

WIDTH = 140
MOST_ROWS, MOST_REASONS = 40, 12

LIMITED = "limited by"
TOKENS = "tok/s"
"""Unit of the objective that has a column anyway."""

ANSWER = (
    ("tok/s", 0),
    ("tok/s\n/user", 4),
    ("batch", 5),
    ("kW", 1),
    ("tok/s\n/MW", 6),
    (LIMITED, 0),
)
"""Columns of an answer; those of the highest rank are left out first on a narrow terminal."""

COSTS = (
    ("full_usd_per_million", "USD per M\nat full use"),
    ("load_usd_per_million", "USD per M\nof the load"),
)
"""Columns of what tokens cost, where a price is known."""

PRICED = {
    "limits.power": ("price_power_cap", "kW"),
    "rack.power": ("price_power_cap", "kW"),
    "limits.min_speed": ("price_of_speed", "tok/s/user"),
    "rack.accelerator.hbm_capacity": ("price_hbm_capacity", "GB"),
    "rack.accelerator.hbm_bandwidth": ("price_hbm_bandwidth", "TB/s"),
    "rack.accelerator.scale_up_bandwidth": ("price_interconnect", "TB/s"),
    "rack.scale_out_bandwidth": ("price_scale_out", "TB/s"),
    "rack.accelerator.peak_flops": ("price_compute", "TFLOP/s"),
    "calibration.latency": ("price_latency", "us"),
    "rack.offload.device.sram_capacity": ("price_sram_capacity", "GB"),
    "rack.offload.device.sram_bandwidth": ("price_sram_bandwidth", "TB/s"),
    "rack.offload.device.peak_flops": ("price_lpu_compute", "TFLOP/s"),
    "rack.offload.device.link_bandwidth": ("price_lpu_link", "TB/s"),
}
"""Column of the price of a field that is priced, and what it is a price of."""


def render_sweep(sweep: Sweep, style: str, *, width: int | None, color: bool) -> str:
    """Return a sweep as text in the style ``table``, ``csv`` or ``jsonl``."""
    if style == "table":
        return printed(sweep_table(sweep), width or WIDTH, color=color)
    return sweep.contents(style).decode()


def sweep_table(sweep: Sweep) -> RenderableType:
    """Return the table of a sweep with a line of what it holds."""
    rows = list(sweep.rows[:MOST_ROWS])
    columns = [
        Column(
            f"{one.path}\n[{one.unit}]" if one.unit else one.path,
            [str(row[one.header]) for row in rows],
            right=all(not isinstance(cell, str) for cell in one.cells),
        )
        for one in sweep.variations
    ]
    if sweep.of_fleets:
        columns += fleet_columns(sweep, rows)
    else:
        columns += _columns(sweep, rows)
    heading = [Text(sweep.title.strip(), style="bold"), Text()] if sweep.title.strip() else []
    return Group(
        *heading,
        FittedTable(columns),
        Text(),
        *_reasons(sweep, rows),
        Text(_summary(sweep), style="dim"),
    )


def _columns(sweep: Sweep, rows: Sequence[Row]) -> list[Column]:
    """Return the columns of what instances make at the points of a sweep."""
    columns = list[Column]()
    units = {row["objective_unit"] for row in rows if row["status"] == "optimal"}
    unit_of = units.pop() if len(units) == 1 else "objective"
    if unit_of != TOKENS:
        amounts = [shown(row["objective_amount"], 6) for row in rows]
        columns.append(Column(unit_of.replace(" ", "\n", 1), amounts))
    answers = list(zip(*map(_answer, rows), strict=True)) or [()] * len(ANSWER)
    for (name, rank), cells in zip(ANSWER, answers, strict=True):
        columns.append(Column(name, cells, right=name != LIMITED, rank=rank))
    for name, title in COSTS:
        if any(row[name] is not None for row in rows):
            columns.append(Column(title, [shown(row[name], 3) for row in rows], rank=7))
    prices = (price_of(one, sweep.columns) for one in sweep.variations)
    for column, unit in (found for found in prices if found is not None):
        columns.append(
            Column(f"{unit_of}\nper {unit}", [shown(row[column]) for row in rows], rank=2)
        )
    configurations = [configuration_text(row) for row in rows]
    columns.append(
        Column("configuration", configurations, right=False, least=18, rank=3, style="dim")
    )
    return columns


def price_of(variation: Variation, columns: Sequence[str]) -> tuple[str, str] | None:
    """Return column and unit of the price of what varies, None where it has none."""
    path = variation.path.removesuffix(".value")
    for known, found in PRICED.items():
        if (path == known or path.startswith(f"{known}.")) and found[0] in columns:
            return found
    return None


def _answer(row: Row) -> list[str]:
    if row["status"] != "optimal":
        return [row["status"], "", "", "", "", ""]
    banded = row["throughput_low_tok_s"] is not None
    per_mw = row["tok_s_per_mw"]
    return [
        made(row["throughput_tok_s"], banded=banded),
        made(row["speed_tok_s_user"], banded=banded, digits=4),
        show(row["batch"], 7),
        made(row["power_w"] / 1e3, banded=banded, digits=4),
        made(per_mw, banded=banded) if per_mw is not None else "",
        input_name(row["limiting_resource"]),
    ]


def _reasons(sweep: Sweep, rows: Sequence[Row]) -> list[Text]:
    """Return why there is no plan: of names each has its own reason, of numbers the first."""
    named = any(isinstance(cell, str) for one in sweep.variations for cell in one.cells[:1])
    without = [row for row in rows if row["status"] != "optimal"]
    told = without[:MOST_REASONS] if named else []
    others = {row["status"] for row in told}
    told += [row for status, row in sweep.examples.items() if status not in {"optimal", *others}]
    found = []
    for row in told:
        inputs = ", ".join(f"{one.header} {row[one.header]}" for one in sweep.variations)
        reason = row["conflict"] or row["error"] or "no reason is known"
        found.append(Text(f"{row['status']} at {inputs}: {reason}"))
    return found


def configuration_text(row: Row) -> str:
    """Return layout and formats of a row in short, "" where nothing runs."""
    if row["status"] != "optimal":
        return ""
    layout = f"TP{row['configuration_tensor_parallel']}"
    for name, prefix in (
        ("attention_data_parallel", "DP"),
        ("expert_parallel", "EP"),
        ("pipeline_parallel", "PP"),
        ("context_parallel", "DCP"),
    ):
        ranks = row[f"configuration_{name}"]
        layout += f" {prefix}{ranks}" if ranks > 1 else ""
    formats = f"{row['configuration_weight_format']}/{row['configuration_kv_format']}"
    more = f" +{row['configurations'] - 1}" if row["configurations"] > 1 else ""
    return f"{row['configuration_replicas']} x {layout}, {formats}{more}"


def _summary(sweep: Sweep) -> str:
    listed = ", ".join(f"{count:,} {status}" for status, count in sweep.statuses.items())
    text = f"{sweep.points:,} points: {listed or 'none done'}. {sweep.seconds:.1f} s."
    missing, hidden = sweep.points - len(sweep.rows), len(sweep.rows) - MOST_ROWS
    if missing:
        text += f" {missing:,} are not done."
    if hidden > 0:
        text += f" {hidden:,} more rows with --format csv or --output FILE."
    return text
