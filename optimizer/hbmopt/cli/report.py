"""One page to send."""

import shlex
from pathlib import Path

import click

from hbmopt.cli.command import INFEASIBLE, SOLVED, command
from hbmopt.cli.destination import destination
from hbmopt.cli.fleets import worst_case
from hbmopt.cli.options import instance_or_fleet_argument, output_to, set_option, worst_option
from hbmopt.cli.progress import counter
from hbmopt.cli.question import asked_document
from hbmopt.errors import InputError

PAGE = {".html": "html", ".htm": "html", "": "html"}


@click.command()
@instance_or_fleet_argument
@output_to("Write the page to FILE, such as report.html, instead of standard output.")
@set_option
@worst_option
@command
def report(
    instance: Path, output: Path | None, overrides: tuple[str, ...], worst: str | None
) -> int:
    """Write one page on INSTANCE to send: answer, frontier, prices, what to buy, sources.

    Of a fleet what to buy, what racks do through the periods, what it costs, and how that changes
    with demand and power.

    A single HTML file that works offline, with charts to hover. Exit code 0: solved; 1:
    infeasible, and the page says which limits conflict; 2: bad input.
    """
    from hbmopt.instance import is_fleet, validate
    from hbmopt.report.page import report_page

    answer = destination(output, formats=PAGE)
    if answer.width is not None:
        raise InputError("report: name the file of the page: -o report.html")
    overrides = worst_case(instance, overrides, worst)
    document = asked_document(instance, overrides, output=output)
    command_line = _command(instance, output, overrides)
    with counter("parts") as progress:
        if is_fleet(document):
            page = report_page(instance, overrides, command=command_line, progress=progress)
        else:
            page = report_page(validate(document), command=command_line, progress=progress)
    answer.emit(page.html)
    return SOLVED if page.feasible else INFEASIBLE


def _command(instance: Path, output: Path | None, overrides: tuple[str, ...]) -> str:
    """Return the command that makes the page again."""
    words = ["hbmopt", "report", str(instance)]
    for one in overrides:
        words += ["--set", one]
    if output is not None:
        words += ["-o", output.name]
    return shlex.join(words)
