"""Constants fitted to measured decode steps."""

from pathlib import Path

import click

from hbmopt.cli.command import SOLVED, command
from hbmopt.cli.completing import measured as measured_completions
from hbmopt.cli.destination import destination, protect
from hbmopt.cli.options import llm_configs_option, output_to
from hbmopt.cli.progress import counter

CALIBRATION = {".yaml": "yaml", ".yml": "yaml"}


@click.command()
@click.argument(
    "measured",
    metavar="CSV",
    type=click.Path(path_type=Path),
    shell_complete=measured_completions,
)
@llm_configs_option
@click.option(
    "--chips", metavar="NAMES", help="Fit only rows of these accelerators, separated by commas."
)
@click.option("--name", default="my_fit", show_default=True, help="Name of the calibration.")
@output_to("Write the calibration to FILE (.yaml); name it in an instance as calibration: FILE.")
@command
def calibrate(
    measured: Path, llm_configs: Path | None, chips: str | None, name: str, output: Path | None
) -> int:
    """Fit efficiencies, latencies and power to the measured decode steps of a CSV file.

    Prints the error on whole series that were held out, and the calibration, or writes it to a
    file. Only rows with a recorded context are fitted; power takes those that have it.
    """
    from hbmopt.report.tables import calibration_yaml, fit_table
    from hbmopt.studies.accuracy import calibrate as fit

    answer = destination(output, formats=CALIBRATION)
    protect([measured, *([llm_configs] if llm_configs is not None else [])], output=output)
    chosen = [one.strip() for one in chips.split(",")] if chips is not None else None
    with counter("fits") as progress:
        found = fit(measured, llm_configs=llm_configs, chips=chosen, name=name, progress=progress)
    width = answer.width
    click.echo(fit_table(found, width=width, color=width is not None), err=True, nl=False)
    answer.emit(calibration_yaml(found))
    return SOLVED
