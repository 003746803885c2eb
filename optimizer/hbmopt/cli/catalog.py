"""What is known: the catalogue, and the shipped instances."""

from pathlib import Path

import click

from hbmopt.cli.command import SOLVED, command
from hbmopt.cli.completing import entries, kinds
from hbmopt.cli.destination import ANSWER, destination
from hbmopt.cli.options import format_option, output_option
from hbmopt.errors import InputError, nearest

ENTRY = {**ANSWER, ".yaml": "table", ".yml": "table"}
"""Formats of one entry by suffix: its own text is YAML."""


@click.command()
@click.argument("kind", required=False, shell_complete=kinds)
@click.argument("name", required=False, shell_complete=entries)
@click.option(
    "--sort",
    "column",
    metavar="COLUMN",
    help="Order by a column: hbm, price, year; by -hbm the largest come first.",
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@format_option
@output_option
@command
def catalog(
    kind: str | None,
    name: str | None,
    column: str | None,
    reverse: bool,
    style: str | None,
    output: Path | None,
) -> int:
    """List the catalogue: instances, fleets, accelerators, racks, offloads, llms, calibrations.

    With KIND, its entries as a table of their numbers; of figures that may turn out otherwise the
    status stands behind them. With NAME, the entry as it stands, each number with its status and
    source. Instances and fleets are listed with their questions; solve one of
    them by its name.
    """
    from hbmopt.instance import KINDS, catalogue_table
    from hbmopt.report.tables import catalogue_overview, entry_text, render_catalogue

    if kind is not None and kind not in KINDS:
        raise InputError(f"the catalogue has no {kind!r}; {nearest(kind, KINDS)}")
    if kind is None or name is not None:
        for option, given in (("--sort", column is not None), ("--reverse", reverse)):
            if given:
                raise InputError(f"{option}: orders a list; name what to list: {', '.join(KINDS)}")
    answer = destination(output, style, ENTRY if name is not None else ANSWER)
    if kind is None:
        answer.emit(catalogue_overview(answer.style))
    elif name is not None:
        answer.emit(entry_text(kind, name, answer.style))
    else:
        table = catalogue_table(kind)
        falling = column is not None and column.startswith("-")
        if column is not None or reverse:
            asked = (column or "name").removeprefix("-")
            table = table.sorted(asked, descending=falling != reverse)
        answer.show(render_catalogue, table)
    return SOLVED
