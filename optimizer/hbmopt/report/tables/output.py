"""Writing results: as a table, JSON or CSV, to print."""

import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hbmopt.basics import csv_text
from hbmopt.results import Solution

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hbmopt.studies.claim import Check
    from hbmopt.studies.conflict import Explanation
    from hbmopt.studies.frontier import Frontier

TABLE_WIDTH = 132


def render(solution: Solution, style: str, *, width: int | None, color: bool) -> str:
    """Return a solution as text in the style ``table``, ``json`` or ``csv``."""
    if style == "json":
        return json_text(solution.to_dict())
    if style == "csv":
        return csv_text([_flat(solution)])
    from hbmopt.report.tables.solution_report import solution_tables

    return printed(solution_tables(solution), width or TABLE_WIDTH, color=color)


def render_explanation(
    explanation: "Explanation",
    style: str,
    *,
    width: int | None = None,
    color: bool = False,  # noqa: ARG001 -- as all others
) -> str:
    """Return an explanation as text in the style ``table``, ``json`` or ``csv``."""
    if style == "json":
        return json_text(explanation.to_dict())
    if style == "csv":
        return csv_text(explanation.rows())
    from hbmopt.studies.conflict import explanation_text

    return explanation_text(explanation, width)


def render_check(check: "Check", style: str, *, width: int | None, color: bool) -> str:
    """Return the check of a claim as text in the style ``table``, ``json`` or ``csv``."""
    if style == "json":
        return json_text(check.to_dict())
    if style == "csv":
        return csv_text(check.rows())
    from hbmopt.report.tables.check_report import check_tables

    return printed(check_tables(check), width or CHECK_WIDTH, color=color)


CHECK_WIDTH = 150
FRONTIER_WIDTH = 172


def render_frontier(
    frontier: "Frontier",
    style: str,
    *,
    speeds: Sequence[float] | None = None,
    per: str = "rack",
    width: int | None,
    color: bool,
) -> str:
    """Return a frontier as text in the style ``table``, ``json`` or ``csv`` (every point).

    Tables follow `per`; JSON and CSV hold throughput per accelerator, MW and million USD anyway.
    """
    if style == "json":
        return json_text(frontier.to_dict(speeds))
    if style == "csv":
        columns = {str(name): cells.tolist() for name, cells in frontier.points_frame.items()}
        rows = zip(*columns.values(), strict=True)
        return csv_text(dict(zip(columns, row, strict=True)) for row in rows)
    from hbmopt.report.tables.frontier_report import frontier_tables

    width = width or FRONTIER_WIDTH
    return printed(frontier_tables(frontier, speeds, per, width), width, color=color)


def json_text(data: dict[str, Any]) -> str:
    """Return plain data as indented JSON."""
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def printed(content: "RenderableType", width: int, *, color: bool) -> str:
    """Return what rich prints, without spaces at the ends of lines."""
    from hbmopt.report.tables.table_text import TextConsole  # 50 ms that only tables need

    text = io.StringIO()
    console = TextConsole(
        file=text,
        width=width,
        force_terminal=color,
        highlight=False,
        soft_wrap=False,
        markup=False,
        emoji=False,
    )
    console.print(content)
    lines = text.getvalue().removesuffix("\n").split("\n")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _flat(solution: Solution) -> dict[str, Any]:
    """Return the solution as one row: totals, configuration, prices."""
    row: dict[str, Any] = {
        key: value
        for key, value in solution.to_dict().items()
        if not isinstance(value, dict | list)
    }
    row.pop("title", None)
    for key, value in solution.to_dict().items():
        if key == "configurations" and value:
            first = value[0]
            row |= {
                f"configuration_{name}": item
                for name, item in first.items()
                if not isinstance(item, dict | list)
            }
            row |= {f"offload_{name}": item for name, item in first["offload"].items()}
        elif key == "elasticities":
            row |= {f"elasticity_{name}": item for name, item in value.items()}
        elif key == "inputs":
            row |= {f"price_{item['name']}": item["unit_price"] for item in value}
        elif key == "constraints":
            row["binding"] = " ".join(item["name"] for item in value if item["binding"])
        elif key == "economics" and value:
            for name, cost in (("full", value["full_utilisation"]), ("load", value["load"])):
                row |= {f"cost_{name}_{part}": item for part, item in (cost or {}).items()}
        elif key == "conflict" and value:
            row["conflict"] = value["summary"]
        elif key == "accuracy" and value:
            row |= {f"step_{name}": item for name, item in value.items()}
        elif key == "certificate" and value:
            row |= {name: value[name] for name in ("mip_gap", "piecewise_error", "rounding_loss")}
    return row
