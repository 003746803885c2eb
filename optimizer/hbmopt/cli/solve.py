"""The optimum of an instance."""

from pathlib import Path

import click

from hbmopt.cli.command import INFEASIBLE, SOLVED, command
from hbmopt.cli.destination import destination
from hbmopt.cli.options import (
    format_option,
    instance_argument,
    output_option,
    planned,
    set_option,
    worst_option,
)
from hbmopt.cli.question import question


@click.command()
@instance_argument
@set_option
@worst_option
@format_option
@output_option
@command
def solve(
    instance: Path,
    overrides: tuple[str, ...],
    worst: str | None,
    style: str | None,
    output: Path | None,
) -> int:
    """Print the optimum of INSTANCE, what limits it, and prices.

    Exit code 0: solved; 1: infeasible, with the limits that conflict; 2: bad input.
    """
    from hbmopt.report.tables import render
    from hbmopt.results import solve as solve_instance

    answer = destination(output, style)
    solution = solve_instance(question(instance, planned(overrides, worst), output=output))
    answer.show(render, solution)
    return SOLVED if solution.feasible else INFEASIBLE
