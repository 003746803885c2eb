"""The command line: a file per command, which parses, calls the library and prints.

What all commands have in common: how they end (`command`), where an answer goes and in which
format (`destination`), how an instance is named and changed (`options`, `question`).
"""

import os
import sys
from importlib import import_module

import click

from hbmopt import __version__
from hbmopt.cli.command import BAD_INPUT, INTERRUPTED, say
from hbmopt.cli.completing import ASKS
from hbmopt.standard_output import hold_standard_streams, not_written

COMMANDS = {
    "calibrate": "calibrate",
    "catalog": "catalog",
    "check": "check",
    "compare": "compare",
    "completion": "completion",
    "explain": "explain",
    "explore": "explore",
    "export": "export",
    "frontier": "frontier",
    "import-llm": "import_llm",
    "new": "new",
    "predict": "predict",
    "report": "report",
    "schema": "schema",
    "sensitivity": "sensitivity",
    "size": "size",
    "solve": "solve",
    "sweep": "sweep",
}
"""Commands, and where each stands in this package."""


class _Commands(click.Group):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's interface
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        name = COMMANDS[cmd_name]
        found = getattr(import_module(f"hbmopt.cli.{name}"), name)
        if not isinstance(found, click.Command):
            raise TypeError(f"{cmd_name} is not a command")
        return found


# Without a command `__main__` helps. Click before 8.2 would show help, as if all were well, for a
# command that does not exist and begins with a sign.
@click.group(
    cls=_Commands,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="hbmopt", message="%(prog)s %(version)s")
def cli() -> None:
    """Find the proven optimum of an LLM inference rack.

    hbmopt maximises token throughput subject to HBM capacity and bandwidth, compute, links,
    latency, power and SRAM offload, and says which limit binds and what one more unit of it is
    worth. Start with: hbmopt solve rubin_ultra
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a wrong call is one line on stderr and exit code 2."""
    hold_standard_streams()
    code = 0
    if ASKS in os.environ:
        from hbmopt.cli.shells import know_shells  # only when a shell asks

        know_shells()
    try:
        cli.main(args=arguments, prog_name="hbmopt", standalone_mode=False)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "hbmopt"
        message = error.format_message().strip().rstrip(".")
        say(f"{message}; see {command} --help")
        code = BAD_INPUT
    except click.Abort:
        say("interrupted; nothing was done")
        code = INTERRUPTED
    except OSError as error:
        # Commands answer for their own errors; what is left is help that could not be shown.
        code = not_written(error)
    sys.exit(code)
