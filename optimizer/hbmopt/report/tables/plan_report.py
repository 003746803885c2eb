"""The plan of a model around rack blocks as text: racks, and the price of every row."""

from rich.console import Group, RenderableType
from rich.table import Table

from hbmopt.basics import elasticity_text, show, shown, signed
from hbmopt.report.tables.solution_report import next_text, titled
from hbmopt.report.tables.table_text import Text
from hbmopt.results import ConstraintResult, InputResult, Plan


def plan_tables(plan: Plan) -> RenderableType:
    """Return the racks of a plan, and the prices of its rows and inputs."""
    heading = Text.assemble(("Plan: ", "bold"), f"objective {show(plan.objective, 7)}, ")
    heading.append(f"{plan.status}, bound {show(plan.bound, 7)}")
    proof = Text(f"{plan.rounds} rounds of columns in {plan.seconds:.2f} s.", style="dim")
    return Group(heading, Text(), _racks(plan), Text(), _prices(plan), Text(), proof)


def _table(title: str, columns: str) -> Table:
    """Return an empty table of columns in a list; those whose name starts with > hold numbers."""
    table = titled(title)
    for column in columns.split(", "):
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left")
    return table


def _racks(plan: Plan) -> Table:
    numbers = ">racks, >replicas, >batch, >tok/s per user, >tok/s, >kW"
    table = _table("What each block does", f"block, {numbers}, configuration")
    for one in plan.racks:
        table.add_row(
            one.name,
            str(one.racks),
            str(one.replicas),
            show(one.batch, 7),
            show(one.speed_tok_s_user),
            show(one.throughput_tok_s, 6),
            show(one.power_kw),
            one.configuration,
        )
    return table


def _prices(plan: Plan) -> Table:
    table = _table(
        "What one more unit is worth (configurations held; next: the plan solved again)",
        "limit or input, >now, >slack, >price, unit, >% per %, >next",
    )
    for row in plan.constraints:
        if row.binding or row.unit_price:
            table.add_row(row.name, show(row.limit, 6), show(row.slack), *_price(row))
    for one in plan.inputs:
        if one.unit_price:
            table.add_row(one.name, shown(one.value), "", *_price(one))
    return table


def _price(one: ConstraintResult | InputResult) -> tuple[str, str, str, str]:
    return (
        signed(one.unit_price),
        one.unit_price_unit,
        elasticity_text(one.elasticity),
        next_text(one),
    )
