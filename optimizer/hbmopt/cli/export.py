"""The program itself, for any solver."""

from pathlib import Path

import click

from hbmopt.cli.command import SOLVED, command
from hbmopt.cli.completing import with_ending
from hbmopt.cli.destination import wrote
from hbmopt.cli.options import instance_argument, set_option
from hbmopt.cli.question import question
from hbmopt.errors import InputError


@click.command()
@instance_argument
@click.argument(
    "program", type=click.Path(path_type=Path), shell_complete=with_ending(".mps", ".lp")
)
@set_option
@command
def export(instance: Path, program: Path, overrides: tuple[str, ...]) -> int:
    """Write the program of INSTANCE to PROGRAM, an .mps or .lp file, for any solver."""
    if program.suffix not in (".mps", ".lp"):
        raise InputError(f"{program}: the name must end in .mps or .lp")
    asked = question(instance, overrides, export=program)
    from hbmopt.plan import export_program  # Pyomo only where the input is right

    export_program(asked, program)
    wrote(program)
    return SOLVED
