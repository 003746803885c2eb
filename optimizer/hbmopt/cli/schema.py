"""JSON Schemas of instances and answers."""

from pathlib import Path

import click

from hbmopt.cli.command import SOLVED, command
from hbmopt.cli.destination import JSON, destination
from hbmopt.cli.options import output_to


@click.command()
@click.argument(
    "kind",
    type=click.Choice(["instance", "fleet", "solution", "sensitivity", "check", "explanation"]),
)
@output_to("Write to FILE (.json) instead of the terminal.")
@command
def schema(kind: str, output: Path | None) -> int:
    """Print the JSON Schema of instances or fleets (for editors), or of an answer."""
    from hbmopt.report.tables import schema_text

    destination(output, formats=JSON).emit(schema_text(kind))
    return SOLVED
