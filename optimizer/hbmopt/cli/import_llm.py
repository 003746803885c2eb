"""A model of one's own from its published configuration."""

from pathlib import Path

import click

from hbmopt.cli.command import SOLVED, command
from hbmopt.cli.completing import with_ending
from hbmopt.cli.destination import TABLE, destination, protect
from hbmopt.cli.options import output_to

ENTRY = {".yaml": "yaml", ".yml": "yaml"} | {".json": "json"} | {".txt": TABLE[".txt"]}


@click.command("import-llm")
@click.argument("source", metavar="CONFIG", shell_complete=with_ending(".json", ".gguf"))
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
    help="The entry itself (yaml, the default), or the numbers that follow from it; by default as "
    "the suffix of -o FILE says.",
)
@output_to("Write to FILE (.yaml, .json or .txt) instead of the terminal.")
@command
def import_llm(
    source: str,
    checkpoint_format: str | None,
    name: str | None,
    style: str | None,
    output: Path | None,
) -> int:
    """Turn a Hugging Face CONFIG into an llm entry.

    CONFIG is a config.json, a folder with a model's files, a .gguf file, or ORG/NAME on the hub.
    Name the entry in an instance as llm: FILE.yaml. A family that is not known, a missing key or
    one that is not understood is an error, never a guess; --format table says what became of
    every key.
    """
    import json

    from hbmopt.basics import visible
    from hbmopt.llm.importing import entry_yaml, facts, facts_table, imported, summary

    answer = destination(output, style, ENTRY)
    protect([Path(source), Path(source, "config.json")], output=output)
    model = imported(source, checkpoint_format=checkpoint_format, name=name)
    llm, account = model.llm, model.account
    if answer.style == "yaml":
        answer.emit(entry_yaml(llm))
    elif answer.style == "table":
        answer.emit(facts_table(llm, account, answer.width))
    else:
        answer.emit(json.dumps(facts(llm, account), indent=2) + "\n")
    if answer.style == "yaml":
        click.echo(visible(summary(llm)), err=True)
        if llm.note:
            click.echo(visible(llm.note), err=True)
    return SOLVED
