"""Whether a claim is possible."""

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
from hbmopt.cli.progress import counter
from hbmopt.cli.question import question


@click.command()
@instance_argument
@click.option(
    "--batch", type=float, required=True, metavar="N", help="Requests at once on the whole rack."
)
@click.option(
    "--speed", required=True, metavar="SPEED", help="Tokens/s per user: 100, or 100 tok/s/user."
)
@click.option(
    "--power", metavar="POWER", help='Claimed power, such as "120 kW", in the instance\'s scope.'
)
@set_option
@worst_option
@format_option
@output_option
@command
def check(
    instance: Path,
    batch: float,
    speed: str,
    power: str | None,
    overrides: tuple[str, ...],
    worst: str | None,
    style: str | None,
    output: Path | None,
) -> int:
    """Say whether INSTANCE can serve N requests at once at SPEED.

    With what the claim misses, what is within reach, and what it rests on. The speed is that of
    every user in the mean; replicas share the requests evenly, rounded up to whole ones.

    Exit code 0: possible; 1: not possible; 2: bad input.
    """
    from hbmopt.report.tables import render_check
    from hbmopt.studies.claim import check as check_claim

    answer = destination(output, style)
    asked = question(instance, planned(overrides, worst), output=output)
    with counter("parts") as progress:
        found = check_claim(asked, batch, speed, power, progress=progress)
    answer.show(render_check, found)
    return SOLVED if found.possible else INFEASIBLE
