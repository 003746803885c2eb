"""A sweep of fleets as a table."""

from collections.abc import Sequence

from hbmopt.basics import show, shown
from hbmopt.report.tables.fitted_table import Column
from hbmopt.studies.sweep import Row, Sweep

RACKS = "racks_"
"""Beginning of the columns of racks by type."""

MOST_KINDS = 6
"""Types of racks that have a column each."""


def fleet_columns(sweep: Sweep, rows: Sequence[Row]) -> list[Column]:
    """Return the columns of what fleets come to at the points of a sweep."""
    units = {str(row["objective_unit"]) for row in rows if row["status"] == "optimal"}
    unit = units.pop() if len(units) == 1 else "objective"
    kinds = [name for name in sweep.columns if name.startswith(RACKS)][:MOST_KINDS]
    classes = [name for name in sweep.columns if name.startswith("served_")]
    columns = [
        Column(unit, [_amount(row) for row in rows]),
        Column("racks", [_count(row["racks"]) for row in rows]),
    ]
    if len(kinds) > 1:
        columns += [
            Column(
                f"racks\n{name.removeprefix(RACKS)}", [_count(row[name]) for row in rows], rank=1
            )
            for name in kinds
        ]
    columns.append(Column("MW at\nthe peak", [_megawatt(row) for row in rows], rank=1))
    if unit != "tok/s":
        tokens = [shown(row["throughput_tok_s"], 4) for row in rows]
        columns.append(Column("tok/s at\nthe peak", tokens, rank=4))
    if any(row["served"] is not None for row in rows):
        columns.append(Column("served", [_share(row["served"]) for row in rows], rank=2))
    if len(classes) > 1 and any(row["served"] not in (None, 1.0) for row in rows):
        columns += [
            Column(
                f"served\n{name.removeprefix('served_')}",
                [_share(row[name]) for row in rows],
                rank=6,
            )
            for name in classes
        ]
    if unit != "USD/h" and any(row["usd_per_hour"] is not None for row in rows):
        columns.append(Column("costs\nUSD/h", [shown(row["usd_per_hour"]) for row in rows], rank=5))
    if any(row["usd_per_million"] is not None for row in rows):
        per_token = [shown(row["usd_per_million"], 3) for row in rows]
        columns.append(Column("USD per\nM tokens", per_token, rank=3))
    if any(row["price_kw"] for row in rows):
        columns.append(Column(f"{unit}\nper kW", [shown(row["price_kw"]) for row in rows], rank=5))
    binding = [str(row["binding"] or "") for row in rows]
    if any(binding):
        columns.append(Column("what binds", binding, right=False, least=16, rank=7, style="dim"))
    return columns


def _amount(row: Row) -> str:
    return show(row["objective_amount"], 6) if row["status"] == "optimal" else str(row["status"])


def _count(number: int | None) -> str:
    return f"{number:,}" if number is not None else ""


def _megawatt(row: Row) -> str:
    return show(row["power_kw"] / 1e3) if row["power_kw"] is not None else ""


def _share(share: float | None) -> str:
    return f"{share:.0%}" if share is not None else ""
