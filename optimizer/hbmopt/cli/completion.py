"""Completion of commands, keys and names in a shell."""

import click

from hbmopt.cli.command import SOLVED, command
from hbmopt.cli.destination import Destination


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@command
def completion(context: click.Context, shell: str) -> int:
    """Print the script that completes hbmopt in SHELL: bash, zsh or fish.

    Source it where the shell starts. In ~/.bashrc: eval "$(hbmopt completion bash)"; in ~/.zshrc
    likewise; in fish: hbmopt completion fish > ~/.config/fish/completions/hbmopt.fish. It
    completes commands, options, names of instances and files, keys and names of the catalogue.
    """
    from hbmopt.cli.shells import script  # click's completion, which only this needs

    Destination(None, "script").emit(script(shell, context.find_root().command))
    return SOLVED
