"""What is known: the catalogue, and the shipped instances."""

import click

from hbmopt.cli.command import SOLVED, command
from hbmopt.cli.destination import Destination
from hbmopt.errors import InputError, nearest


@click.command()
@click.argument("kind", required=False)
@click.argument("name", required=False)
@command
def catalog(kind: str | None, name: str | None) -> int:
    """List the catalogue: instances, accelerators, racks, offloads, llms, calibrations.

    With NAME, print the entry as it stands, each number with its status and source. Instances are
    listed with their questions; solve one of them by its name.
    """
    from hbmopt.documents import catalogue, shipped

    if kind is None:
        lists = {one: catalogue.names(one) for one in catalogue.KINDS}
        lists = {shipped.INSTANCES: tuple(shipped.names())} | lists
        text = "".join(
            f"{one} ({len(names)})\n" + "".join(f"  {name}\n" for name in names)
            for one, names in lists.items()
        )
    elif kind == shipped.INSTANCES:
        text = shipped.listed() if name is None else shipped.text(name)
    elif kind not in catalogue.KINDS:
        known = (shipped.INSTANCES, *catalogue.KINDS)
        raise InputError(f"the catalogue has no {kind!r}; {nearest(kind, known)}")
    elif name is None:
        text = "\n".join(catalogue.names(kind)) + "\n"
    else:
        text = catalogue.text(kind, name)
    Destination(None, "table").emit(text)
    return SOLVED
