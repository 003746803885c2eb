"""The command line: parse, call the library, print. Anything else lives elsewhere."""

import errno
import os
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from hbmopt import __version__
from hbmopt.errors import HbmoptError, InputError

SOLVED, INFEASIBLE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

Parameters = ParamSpec("Parameters")
Command = TypeVar("Command", bound=Callable[..., object])


def _one_line_errors(command: Callable[Parameters, int]) -> Callable[Parameters, None]:
    """Turn known errors into one line on stderr and the exit code; a bug keeps its traceback.

    A file that cannot be written is told before the work, not after it.
    """

    @wraps(command)
    def run(*arguments: Parameters.args, **options: Parameters.kwargs) -> None:
        try:
            output = options.get("output")
            if isinstance(output, Path):
                from hbmopt.files import check_writable

                check_writable(output)
            code = command(*arguments, **options)
        except HbmoptError as error:
            click.echo(f"hbmopt: {' '.join(str(error).split())}", err=True)
            code = BAD_INPUT
        except KeyboardInterrupt as interruption:
            click.echo(f"hbmopt: {interruption or 'interrupted'}", err=True)
            code = INTERRUPTED
        sys.exit(code)

    return run


_instance_argument = click.argument("instance", type=click.Path(path_type=Path))
_set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help='Change a field of the instance: --set limits.power="90 kW". May be repeated.',
)
_format_option = click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="How to write the result.",
)


def _output_to(text: str) -> Callable[[Command], Command]:
    """Return the option that names the file to write, with what it says in the help."""
    path = click.Path(path_type=Path)
    return click.option("-o", "--output", "output", type=path, metavar="FILE", help=text)


_output_option = _output_to("Write to FILE instead of the terminal.")
_llm_configs_option = click.option(
    "--llm-configs",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Configurations of models that the catalogue lacks: DIR/ORG--NAME.json.",
)
_plot_option = click.option(
    "--plot",
    "plot",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw a chart to FILE: .html (offline, with hover), .png or .svg.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hbmopt", message="%(prog)s %(version)s")
def cli() -> None:
    """Find the proven optimum of an LLM inference rack.

    hbmopt maximises token throughput subject to HBM capacity and bandwidth, compute, links,
    latency, power and SRAM offload, and says which limit binds and what one more unit of it is
    worth. Start with: hbmopt solve instances/rubin_ultra.yaml
    """


def _emit(text: str, output: Path | None) -> None:
    from hbmopt.files import write  # commands import what they need

    if output is None:
        click.echo(text, nl=False)
    else:
        write(text, output)


def _show(render: Callable[..., str], found: object, style: str, output: Path | None) -> None:
    """Write an answer in a style, as wide as the terminal and in colour where there is one."""
    width = _terminal_width(output)
    _emit(render(found, style, width=width, color=width is not None), output)


@cli.command()
@_instance_argument
@_set_option
@_format_option
@_output_option
@_one_line_errors
def solve(instance: Path, overrides: tuple[str, ...], style: str, output: Path | None) -> int:
    """Print the optimum of INSTANCE, what limits it, and prices.

    Exit code 0: solved; 1: infeasible, with the limits that conflict; 2: bad input.
    """
    from hbmopt.instance import load
    from hbmopt.output import render
    from hbmopt.solver import solve as solve_instance

    solution = solve_instance(load(instance, list(overrides)))
    _show(render, solution, style, output)
    return SOLVED if solution.feasible else INFEASIBLE


@cli.command()
@_instance_argument
@_set_option
@click.option(
    "--at",
    "speeds",
    metavar="SPEEDS",
    help="Speeds of the ladder in tok/s per user, such as 20,40,60; default: round ones.",
)
@click.option(
    "--per",
    type=click.Choice(["rack", "accelerator", "mw", "usd"]),
    default="rack",
    show_default=True,
    help="Quote throughput by accelerator, MW drawn or million USD.",
)
@_format_option
@_output_option
@_plot_option
@click.option(
    "--chart",
    type=click.Choice(["frontier", "steps", "elasticities"]),
    help="What --plot draws along the frontier; default: frontier.",
)
@_one_line_errors
def frontier(
    instance: Path,
    overrides: tuple[str, ...],
    speeds: str | None,
    per: str,
    style: str,
    output: Path | None,
    plot: Path | None,
    chart: str | None,
) -> int:
    """Draw the exact frontier of INSTANCE: the most throughput at every speed per user.

    With what limits each stretch and what speed costs there. Speeds below the instance's own
    floor are left out. CSV lists every point.
    """
    from hbmopt.instance import load
    from hbmopt.normalisation import normalisation
    from hbmopt.output import render_frontier
    from hbmopt.speed_frontier import frontier as draw
    from hbmopt.speed_frontier import parse_speeds

    chosen = parse_speeds(speeds) if speeds is not None else None
    if chart is not None and plot is None:
        raise InputError(f"--chart {chart}: needs --plot FILE to draw to")
    _check_plot(plot)
    loaded = load(instance, list(overrides))
    normalisation(per, loaded)  # a price that is missing is told before the work
    progress = _counter("speeds")
    drawn = draw(loaded, progress=progress)
    if progress is not None:
        progress(1, 1)
    _show(partial(render_frontier, speeds=chosen, per=per), drawn, style, output)
    if plot is not None and drawn.feasible:
        from hbmopt.charts import chart_along, write_chart

        write_chart(chart_along(drawn, chart or "frontier", per), plot)
    return SOLVED if drawn.feasible else INFEASIBLE


def _check_plot(plot: Path | None) -> None:
    """Refuse a chart that cannot be written before the work, not after it."""
    if plot is not None:
        from hbmopt.charts import check_chart_path, require_packages

        require_packages()
        check_chart_path(plot)


@cli.command()
@click.argument("instances", nargs=-1, required=True, type=click.Path(path_type=Path))
@_set_option
@_format_option
@_output_option
@_plot_option
@_one_line_errors
def compare(
    instances: tuple[Path, ...],
    overrides: tuple[str, ...],
    style: str,
    output: Path | None,
    plot: Path | None,
) -> int:
    """Put INSTANCES side by side: throughput, speed, limits and prices.

    Where all serve the same model and workload, says where throughput follows HBM size times
    bandwidth, with the fitted slope, and where it does not.
    """
    from hbmopt.comparison import compare as compare_instances
    from hbmopt.comparison_report import render_comparison
    from hbmopt.instance import load

    _check_plot(plot)
    comparison = compare_instances([load(path, list(overrides)) for path in instances])
    _show(render_comparison, comparison, style, output)
    if plot is not None and any(row.tok_s_per_accelerator for row in comparison.rows):
        from hbmopt.charts import generation_chart, write_chart

        rows = [
            {
                "name": row.name,
                "year": row.year,
                "throughput_tok_s": row.tok_s_per_accelerator,
                "hbm_size_gb": row.hbm_gb,
                "hbm_bandwidth_tb_s": row.hbm_tb_s,
                "limiting_resource": row.limiting_resource,
            }
            for row in comparison.rows
        ]
        law = comparison.law
        note = "" if law is not None else f"No line is fitted: {comparison.law_missing}."
        write_chart(generation_chart(rows, subtitle=note, fitted=law is not None), plot)
    return SOLVED if comparison.feasible else INFEASIBLE


@cli.command()
@_instance_argument
@click.option(
    "--vary",
    "variations",
    multiple=True,
    required=True,
    metavar="KEY=VALUES",
    help='What varies: limits.power="60 kW:600 kW:20 kW", or llm=a,b. Several make a grid.',
)
@click.option("--zip", "zipped", is_flag=True, help="Take values together instead of a grid.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Worker processes.")
@click.option("--dask", metavar="ADDRESS", help="A Dask scheduler, or local.")
@click.option("--resume", is_flag=True, help="Go on with what FILE.partial holds.")
@_set_option
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "jsonl"]),
    help="How to write to the terminal; default: table. A file's suffix says its format.",
)
@_output_to("Write all rows to FILE: .csv, .jsonl or .parquet; what is done is kept on the way.")
@_plot_option
@_one_line_errors
def sweep(
    instance: Path,
    variations: tuple[str, ...],
    zipped: bool,
    jobs: int | None,
    dask: str | None,
    resume: bool,
    overrides: tuple[str, ...],
    style: str | None,
    output: Path | None,
    plot: Path | None,
) -> int:
    """Solve INSTANCE at every value of one or more of its fields.

    Power caps first of all. A point where nothing can be served is a row, not an error. With
    --output what is done is kept in FILE.partial, and --resume goes on to the same file. --plot
    draws one variation as a curve with its price, two as a heat map.

    Exit code 0: done; 1: no point can be served; 2: bad input; 130: interrupted.
    """
    from hbmopt.sweep_report import render_sweep
    from hbmopt.sweeping import SweepInterrupted
    from hbmopt.sweeping import sweep as sweep_instance

    if output is not None and style is not None and output.suffix != f".{style}":
        raise InputError(f"--format {style}: --output {output} has the format of its suffix")
    _check_plot(plot)
    if plot is not None:
        from hbmopt.charts_swept import check_sweep_chart
        from hbmopt.variation import parse_variation

        check_sweep_chart([parse_variation(one) for one in variations], zipped=zipped)
    try:
        swept = sweep_instance(
            instance,
            variations,
            overrides=list(overrides),
            zipped=zipped,
            jobs=jobs,
            dask=dask,
            output=output,
            resume=resume,
            progress=True,
        )
        code = SOLVED if swept.feasible else INFEASIBLE
    except SweepInterrupted as interruption:
        click.echo(f"hbmopt: {interruption}", err=True)
        swept, code = interruption.sweep, INTERRUPTED
    if output is None and style in ("csv", "jsonl"):
        swept.write(sys.stdout.buffer, style)
        sys.stdout.flush()
    elif output is None:
        _show(render_sweep, swept, "table", None)
    if plot is not None and code == SOLVED:
        from hbmopt.charts import sweep_chart, write_chart

        write_chart(sweep_chart(swept), plot)
    return code


PROGRESS_AFTER = 1.0
"""Seconds after which a command shows how far it is."""


def _counter(what: str) -> Callable[[int, int], None] | None:
    """Return what counts work on stderr with the time that is left; nothing off a terminal."""
    if not sys.stderr.isatty():
        return None
    import time

    begun = time.monotonic()

    def count(done: int, most: int) -> None:
        spent = time.monotonic() - begun
        if spent < PROGRESS_AFTER:
            return
        left = spent / done * (most - done) if done else 0.0
        text = f"{done} of {most} {what}, about {left:.0f} s left"
        click.echo(f"\r{text:<60}" if done < most else f"\r{'':<60}\r", nl=False, err=True)

    return count


def _terminal_width(output: Path | None) -> int | None:
    """Return the width of the terminal that is written to; None for a file or a pipe."""
    if output is not None or not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size((132, 24)).columns


@cli.command()
@_instance_argument
@_set_option
@_format_option
@_output_option
@_one_line_errors
def explain(instance: Path, overrides: tuple[str, ...], style: str, output: Path | None) -> int:
    """Say why INSTANCE's configuration won, by how much others lost, and why some cannot run.

    Where nothing can run: which limits exclude each other, and the smallest single change of each
    limit, input or choice that cures it.
    """
    from hbmopt.explanation import explain as explain_instance
    from hbmopt.instance import load
    from hbmopt.output import render_explanation

    explanation = explain_instance(load(instance, list(overrides)), progress=_counter("parts"))
    _emit(render_explanation(explanation, style), output)
    return SOLVED if explanation.chosen is not None else INFEASIBLE


@cli.command()
@_instance_argument
@_set_option
@click.option(
    "--step",
    "step",
    default="10%",
    show_default=True,
    metavar="SHARE",
    help="Size of the steps that are solved anew.",
)
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="Only what is worth most.")
@click.option(
    "--only", metavar="PATTERN", help="Only numbers with this in their path: hbm, limits.*, *peak*."
)
@click.option("--no-resolve", is_flag=True, help="Prices and ranges alone, without the steps.")
@_format_option
@_output_option
@_plot_option
@_one_line_errors
def sensitivity(
    instance: Path,
    overrides: tuple[str, ...],
    step: str,
    top: int | None,
    only: str | None,
    no_resolve: bool,
    style: str,
    output: Path | None,
    plot: Path | None,
) -> int:
    """Price every number of INSTANCE: what it is worth, how far, and what to buy next.

    Price and range hold configuration and replicas; the steps beside them are solved anew, with
    everything free. Exit code 0: solved; 1: infeasible; 2: bad input; 130: interrupted.
    """
    from hbmopt.instance import load
    from hbmopt.sensitivities import parse_step
    from hbmopt.sensitivities import sensitivity as study
    from hbmopt.sensitivity_report import render_sensitivity

    _check_plot(plot)
    found = study(
        load(instance, list(overrides)),
        step=parse_step(step),
        top=top,
        only=only,
        resolve=not no_resolve,
        progress=_counter("numbers"),
    )
    _show(render_sensitivity, found, style, output)
    if plot is not None and found.feasible:
        from hbmopt.charts import sensitivity_chart, write_chart

        write_chart(sensitivity_chart(found), plot)
    if found.interrupted:
        click.echo("hbmopt: interrupted; what was done is above", err=True)
        return INTERRUPTED
    return SOLVED if found.feasible else INFEASIBLE


@cli.command()
@_instance_argument
@_output_to("Write the page to FILE, such as report.html, instead of standard output.")
@_set_option
@_one_line_errors
def report(instance: Path, output: Path | None, overrides: tuple[str, ...]) -> int:
    """Write one page on INSTANCE to send: answer, frontier, prices, what to buy, sources.

    A single HTML file that works offline, with charts to hover. Exit code 0: solved; 1:
    infeasible, and the page says which limits conflict; 2: bad input.
    """
    from hbmopt.instance import load
    from hbmopt.page import report_page

    if output is None and sys.stdout.isatty():
        raise InputError("report: name the file of the page: -o report.html")
    page = report_page(load(instance, list(overrides)), progress=_counter("parts"))
    _emit(page.html, output)
    return SOLVED if page.feasible else INFEASIBLE


@cli.command()
@_instance_argument
@click.option(
    "--batch", type=float, required=True, metavar="N", help="Requests at once on the whole rack."
)
@click.option(
    "--speed", required=True, metavar="SPEED", help="Tokens/s per user: 100, or 100 tok/s/user."
)
@click.option(
    "--power", metavar="POWER", help='Claimed power, such as "120 kW", in the instance\'s scope.'
)
@_set_option
@_format_option
@_output_option
@_one_line_errors
def check(
    instance: Path,
    batch: float,
    speed: str,
    power: str | None,
    overrides: tuple[str, ...],
    style: str,
    output: Path | None,
) -> int:
    """Say whether INSTANCE can serve N requests at once at SPEED.

    With what the claim misses, what is within reach, and what it rests on. The speed is that of
    every user in the mean; replicas share the requests evenly, rounded up to whole ones.

    Exit code 0: possible; 1: not possible; 2: bad input.
    """
    from hbmopt.checking import check as check_claim
    from hbmopt.instance import load
    from hbmopt.output import render_check

    loaded = load(instance, list(overrides))
    found = check_claim(loaded, batch, speed, power, progress=_counter("parts"))
    _show(render_check, found, style, output)
    return SOLVED if found.possible else INFEASIBLE


@cli.command()
@click.argument("kind", required=False)
@click.argument("name", required=False)
@_one_line_errors
def catalog(kind: str | None, name: str | None) -> int:
    """List the catalogue: accelerators, racks, llms, calibrations.

    With NAME, print the entry as it stands, each number with its status and source.
    """
    from hbmopt import catalogue

    if kind is None:
        for one in catalogue.KINDS:
            click.echo(f"{one} ({len(catalogue.names(one))})")
            click.echo("  " + "\n  ".join(catalogue.names(one)))
    elif name is None:
        click.echo("\n".join(catalogue.names(kind)))
    else:
        click.echo(catalogue.text(kind, name), nl=False)
    return SOLVED


@cli.command()
@click.argument("measured", metavar="CSV", type=click.Path(path_type=Path))
@_llm_configs_option
@click.option(
    "--calibration",
    default="universal",
    show_default=True,
    metavar="NAME|FILE",
    help="universal, calibrated (by chip and layout), spec_sheet, or a calibration file.",
)
@click.option(
    "--recorded", "recorded_only", is_flag=True, help="Only rows whose context was recorded."
)
@_format_option
@_output_option
@_one_line_errors
def predict(
    measured: Path,
    llm_configs: Path | None,
    calibration: str,
    recorded_only: bool,
    style: str,
    output: Path | None,
) -> int:
    """Predict the measured decode steps of a CSV file, and say how far off they are.

    Columns as in instances/measured/decode_steps.csv. A row that cannot be predicted says why.
    Exit code 0: done; 1: no row can be predicted; 2: bad input.
    """
    from hbmopt.prediction import predict as predict_steps
    from hbmopt.prediction_report import render_prediction

    found = predict_steps(
        measured, llm_configs=llm_configs, calibration=calibration, recorded_only=recorded_only
    )
    _show(render_prediction, found, style, output)
    return SOLVED if found.summary.predicted else INFEASIBLE


@cli.command()
@click.argument("measured", metavar="CSV", type=click.Path(path_type=Path))
@_llm_configs_option
@click.option(
    "--chips", metavar="NAMES", help="Fit only rows of these accelerators, separated by commas."
)
@click.option("--name", default="my_fit", show_default=True, help="Name of the calibration.")
@_output_to("Write the calibration to FILE (.yaml); name it in an instance as calibration: FILE.")
@_one_line_errors
def calibrate(
    measured: Path, llm_configs: Path | None, chips: str | None, name: str, output: Path | None
) -> int:
    """Fit efficiencies, latencies and power to the measured decode steps of a CSV file.

    Prints the error on whole series that were held out, and the calibration, or writes it to a
    file. Only rows with a recorded context are fitted; power takes those that have it.
    """
    from hbmopt.calibrating import calibrate as fit
    from hbmopt.calibration_file import calibration_yaml, fit_table

    if output is not None and output.suffix not in (".yaml", ".yml"):
        raise InputError(f"--output {output}: a calibration is YAML; name it {output.stem}.yaml")
    progress = _counter("fits")
    chosen = [one.strip() for one in chips.split(",")] if chips is not None else None
    found = fit(measured, llm_configs=llm_configs, chips=chosen, name=name, progress=progress)
    if progress is not None:
        progress(1, 1)
    width = _terminal_width(output)
    click.echo(fit_table(found, width=width, color=width is not None), err=True, nl=False)
    _emit(calibration_yaml(found), output)
    return SOLVED


@cli.command("import-llm")
@click.argument("source", metavar="CONFIG")
@click.option(
    "--checkpoint-format",
    metavar="FORMAT",
    help="Format of the weights, whatever the configuration says: bf16, fp8, nvfp4, ...",
)
@click.option("--name", help="Name of the entry; default: made from the file's name.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["yaml", "table", "json"]),
    default="yaml",
    show_default=True,
    help="The entry itself (yaml), or the numbers that follow from it.",
)
@_output_option
@_one_line_errors
def import_llm(
    source: str, checkpoint_format: str | None, name: str | None, style: str, output: Path | None
) -> int:
    """Turn a Hugging Face CONFIG (a config.json, or ORG/NAME on the hub) into an llm entry.

    Name the file in an instance as llm: FILE.yaml. A family that is not known, a missing key or
    one that is not understood is an error, never a guess.
    """
    import json

    from hbmopt.importing.entry import entry_yaml, facts, facts_table, summary
    from hbmopt.importing.huggingface import import_llm as import_model

    if style == "yaml" and output is not None and output.suffix == ".json":
        raise InputError(f"--output {output}: an entry is YAML; name it {output.stem}.yaml")
    llm = import_model(source, checkpoint_format=checkpoint_format, name=name)
    texts = {"yaml": entry_yaml, "table": facts_table, "json": facts}
    found = texts[style](llm)
    _emit(found if isinstance(found, str) else json.dumps(found, indent=2) + "\n", output)
    if style == "yaml":
        click.echo(summary(llm), err=True)
        if llm.note:
            click.echo(llm.note, err=True)
    return SOLVED


@cli.command()
@click.argument(
    "kind", type=click.Choice(["instance", "solution", "sensitivity", "check", "explanation"])
)
@_output_option
@_one_line_errors
def schema(kind: str, output: Path | None) -> int:
    """Print the JSON Schema of instances (for editors) or of an answer."""
    from hbmopt.json_schema import schema_text

    _emit(schema_text(kind), output)
    return SOLVED


@cli.command()
@_instance_argument
@click.argument("program", type=click.Path(path_type=Path))
@_set_option
@_one_line_errors
def export(instance: Path, program: Path, overrides: tuple[str, ...]) -> int:
    """Write the program of INSTANCE to PROGRAM, an .mps or .lp file, for any solver."""
    from hbmopt.files import check_writable
    from hbmopt.instance import load

    if program.suffix not in (".mps", ".lp"):
        raise InputError(f"{program}: the name must end in .mps or .lp")
    check_writable(program, "export")
    from hbmopt.planning import export_program

    export_program(load(instance, list(overrides)), program)
    return SOLVED


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a wrong call is one line on stderr and exit code 2."""
    try:
        cli.main(args=arguments, prog_name="hbmopt", standalone_mode=False)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "hbmopt"
        message = " ".join(error.format_message().split()).rstrip(".")
        click.echo(f"hbmopt: {message}; see {command} --help", err=True)
        sys.exit(BAD_INPUT)
    except click.Abort:
        click.echo("hbmopt: interrupted", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader has seen enough; closing stdout quietly keeps the interpreter quiet too.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
        sys.exit(SOLVED)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        # Files say so where they are written.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
        click.echo(f"hbmopt: standard output cannot be written ({error.strerror})", err=True)
        sys.exit(BAD_INPUT)
