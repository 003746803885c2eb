"""The explorer in the browser."""

import click

from hbmopt.cli.command import SOLVED, bug, command, say
from hbmopt.cli.completing import instances as instance_completions
from hbmopt.cli.options import set_option


@click.command()
@click.argument("instances", nargs=-1, metavar="[FILE]...", shell_complete=instance_completions)
@set_option
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: any that is free.")
@click.option("--no-browser", is_flag=True, help="Print the address, and open nothing.")
@command
def explore(
    instances: tuple[str, ...], overrides: tuple[str, ...], port: int, no_browser: bool
) -> int:
    """Explore FILE... in the browser: move a slider, and frontier, limits and prices follow.

    Up to six instances, drawn over each other; or the address of such a page, which holds the
    whole question. The page is served to this machine alone, for whoever has its address, and
    ends with Ctrl-C.
    """
    from hbmopt.explorer import Told
    from hbmopt.explorer import explore as serve

    def told(address: str) -> None:
        click.echo(address)
        say("the explorer is at this address until Ctrl-C")

    try:
        serve(instances, overrides, Told(told, bug), port=port, opened=not no_browser)
    except KeyboardInterrupt:
        say("the explorer has ended")
    return SOLVED
