"""Why a configuration won, or why none can run."""

from pathlib import Path

import click

from hbmopt.cli.command import INFEASIBLE, SOLVED, command
from hbmopt.cli.destination import destination
from hbmopt.cli.fleets import solve_and_show
from hbmopt.cli.options import format_option, instance_or_fleet_argument, output_option, set_option
from hbmopt.cli.progress import counter
from hbmopt.cli.question import asked_document


@click.command()
@instance_or_fleet_argument
@set_option
@format_option
@output_option
@command
def explain(
    instance: Path, overrides: tuple[str, ...], style: str | None, output: Path | None
) -> int:
    """Say why INSTANCE's configuration won, by how much others lost, and why some cannot run.

    Where nothing can run: which limits exclude each other, and the smallest single change of each
    limit, input or choice that cures it. Of a fleet likewise, or its plan where there is one.
    """
    from hbmopt.instance import is_fleet, validate
    from hbmopt.report.tables import render_explanation
    from hbmopt.studies.conflict import explain as explain_instance

    answer = destination(output, style)
    document = asked_document(instance, overrides, output=output)
    if is_fleet(document):
        return solve_and_show(document, answer)
    with counter("parts") as progress:
        explanation = explain_instance(validate(document), progress=progress)
    answer.show(render_explanation, explanation)
    return SOLVED if explanation.chosen is not None else INFEASIBLE
