"""The optimum of an instance, or the plan of a fleet."""

from pathlib import Path

import click

from hbmopt.cli.command import INFEASIBLE, SOLVED, command
from hbmopt.cli.destination import destination
from hbmopt.cli.fleets import solve_and_show, worst_case
from hbmopt.cli.options import (
    format_option,
    instance_or_fleet_argument,
    output_option,
    set_option,
    worst_option,
)
from hbmopt.cli.progress import SHORTLY, SHOWN_AFTER, stages
from hbmopt.cli.question import asked_document


@click.command()
@instance_or_fleet_argument
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

    Of a fleet (kind: fleet) the racks to buy, what they do in every period, and what more demand,
    power or racks are worth.

    Exit code 0: solved; 1: infeasible, with the limits that conflict; 2: bad input.
    """
    answer = destination(output, style)
    with stages("reading", SHORTLY):
        from hbmopt.instance import is_fleet, validate  # a second, which is told as well

        document = asked_document(instance, worst_case(instance, overrides, worst), output=output)
    if is_fleet(document):
        return solve_and_show(document, answer)
    with stages("solving", SHOWN_AFTER):
        from hbmopt.report.tables import render
        from hbmopt.results import solve as solve_instance

        solution = solve_instance(validate(document))
    answer.show(render, solution)
    return SOLVED if solution.feasible else INFEASIBLE
