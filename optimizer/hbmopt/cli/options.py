"""Options and arguments that several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from hbmopt.cli.completing import instances, instances_and_fleets, settings

Command = TypeVar("Command", bound=Callable[..., object])

instance_argument = click.argument(
    "instance", type=click.Path(path_type=Path), shell_complete=instances
)
"""A file, or the name of a shipped instance."""

instance_or_fleet_argument = click.argument(
    "instance", type=click.Path(path_type=Path), shell_complete=instances_and_fleets
)
"""A file, or the name of a shipped instance or fleet."""

set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=settings,
    help='Change a field of the instance: --set limits.power="90 kW". May be repeated.',
)
worst_option = click.option(
    "--worst",
    metavar="SHARE",
    help="Plan for the worst cases: 10% or 0.1 holds in nine of ten (calibration.worst).",
)


def planned(overrides: tuple[str, ...], worst: str | None) -> tuple[str, ...]:
    """Return the changes with that of `worst_option`."""
    return overrides if worst is None else (*overrides, f"calibration.worst={worst}")


format_option = click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json", "csv"]),
    help="How to write the result; default: by the suffix of -o FILE, else a table.",
)


def output_to(text: str) -> Callable[[Command], Command]:
    """Return the option that names the file to write, with what it says in the help."""
    path = click.Path(path_type=Path)
    return click.option("-o", "--output", "output", type=path, metavar="FILE", help=text)


output_option = output_to("Write to FILE (.txt, .json or .csv) instead of the terminal.")
llm_configs_option = click.option(
    "--llm-configs",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Configurations of models that the catalogue lacks: DIR/ORG--NAME.json.",
)
plot_option = click.option(
    "--plot",
    "plot",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw a chart to FILE: .html (offline, with hover), .png or .svg.",
)
