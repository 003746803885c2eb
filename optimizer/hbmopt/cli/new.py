"""A new instance to start from."""

from pathlib import Path

import click

from hbmopt.cli.command import SOLVED, command, say
from hbmopt.cli.completing import instance_names, with_ending
from hbmopt.cli.destination import destination
from hbmopt.errors import InputError

INSTANCE = {".yaml": "yaml", ".yml": "yaml"}


@click.command()
@click.argument("file", type=click.Path(path_type=Path), shell_complete=with_ending(".yaml"))
@click.option(
    "--from",
    "shipped_name",
    metavar="NAME",
    default="h200",
    shell_complete=instance_names,
    show_default=True,
    help="The shipped instance to start from; hbmopt catalog instances lists them.",
)
@command
def new(file: Path, shipped_name: str) -> int:
    """Write a commented instance to FILE, to start from.

    It is a shipped instance that solves as it stands, followed by every other key that may be
    set, as comments. An existing file is never changed.
    """
    from hbmopt.instance import starting_text

    answer = destination(file, formats=INSTANCE)
    if file.exists() or file.is_symlink():
        raise InputError(f"{file}: is there already; name a file that is not")
    answer.emit(starting_text(shipped_name))
    say(f"wrote {file}; now: hbmopt solve {file}")
    return SOLVED
