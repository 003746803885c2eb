"""Measured decode steps against the model."""

from pathlib import Path

import click

from hbmopt.cli.command import INFEASIBLE, SOLVED, command
from hbmopt.cli.completing import calibrations
from hbmopt.cli.completing import measured as measured_completions
from hbmopt.cli.destination import destination, protect
from hbmopt.cli.options import format_option, llm_configs_option, output_option
from hbmopt.cli.progress import SHOWN_AFTER, stages


@click.command()
@click.argument(
    "measured",
    metavar="CSV",
    type=click.Path(path_type=Path),
    shell_complete=measured_completions,
)
@llm_configs_option
@click.option(
    "--calibration",
    default="universal",
    show_default=True,
    metavar="NAME|FILE",
    shell_complete=calibrations,
    help="universal, calibrated (by chip and layout), spec_sheet, or a calibration file.",
)
@click.option(
    "--recorded", "recorded_only", is_flag=True, help="Only rows whose context was recorded."
)
@format_option
@output_option
@command
def predict(
    measured: Path,
    llm_configs: Path | None,
    calibration: str,
    recorded_only: bool,
    style: str | None,
    output: Path | None,
) -> int:
    """Predict the measured decode steps of a CSV file, and say how far off they are.

    Columns as in instances/measured/decode_steps.csv. A row that cannot be predicted says why.
    Exit code 0: done; 1: no row can be predicted; 2: bad input.
    """
    from hbmopt.report.tables import render_prediction
    from hbmopt.studies.accuracy import predict as predict_steps

    answer = destination(output, style)
    read = [measured, Path(calibration), *([llm_configs] if llm_configs is not None else [])]
    protect(read, output=output)
    with stages("predicting", SHOWN_AFTER):
        found = predict_steps(
            measured, llm_configs=llm_configs, calibration=calibration, recorded_only=recorded_only
        )
    answer.show(render_prediction, found)
    return SOLVED if found.summary.predicted else INFEASIBLE
