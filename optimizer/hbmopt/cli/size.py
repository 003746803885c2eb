"""How many racks a demand takes, or how much of one number."""

from pathlib import Path
from typing import cast

import click

from hbmopt.cli.command import INFEASIBLE, SOLVED, command
from hbmopt.cli.completing import numbers
from hbmopt.cli.destination import destination
from hbmopt.cli.options import format_option, instance_argument, output_option, set_option
from hbmopt.cli.progress import SHOWN_AFTER, stages
from hbmopt.cli.question import question


@click.command()
@instance_argument
@set_option
@click.option("--users", type=float, metavar="N", help="Users who read at once, at --speed.")
@click.option("--speed", metavar="SPEED", help='What each receives at least: "30 tok/s".')
@click.option("--demand", metavar="RATE", help='Instead of users: "2M tok/s" in all.')
@click.option(
    "--least",
    type=click.Choice(["racks", "power", "cost"]),
    default="racks",
    show_default=True,
    help="Of what the racks are to be the least.",
)
@click.option(
    "--solve-for",
    metavar="PATH",
    shell_complete=numbers,
    help="How much of one number is enough: rack.accelerator.hbm_capacity, context, speed.",
)
@format_option
@output_option
@command
def size(
    instance: Path,
    overrides: tuple[str, ...],
    users: float | None,
    speed: str | None,
    demand: str | None,
    least: str,
    solve_for: str | None,
    style: str | None,
    output: Path | None,
) -> int:
    """Say how many racks of INSTANCE serve a demand, or how much of one number is enough.

    The fewest racks, those that draw least and those that cost least, with what is proven of them.
    Exit code 0: served; 1: nothing serves it; 2: bad input.
    """
    from hbmopt.report.tables import render_sizing
    from hbmopt.studies.sizing import Least
    from hbmopt.studies.sizing import size as sizing_of

    answer = destination(output, style)
    asked = question(instance, overrides, output=output)
    with stages("sizing", SHOWN_AFTER):
        found = sizing_of(
            asked,
            users=users,
            speed=speed,
            demand=demand,
            least=cast("Least", least),
            solve_for=solve_for,
        )
    answer.show(render_sizing, found)
    return SOLVED if found.feasible else INFEASIBLE
