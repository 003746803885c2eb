"""What completes an argument or the value of an option: names that ship, files, keys and entries.

Everything here is read from folders and from the JSON Schemas, so that a shell waits for nothing.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from hbmopt.cli.keys import Keys

Completes: TypeAlias = Callable[
    [click.Context, click.Parameter, str], "list[CompletionItem[str]] | list[str]"
]
"""How click asks: in which call, for which parameter, and what is typed of its value."""

ASKS = "_HBMOPT_COMPLETE"
"""The variable of the environment by which a shell asks what completes a line."""

YAML = (".yaml", ".yml")


def files(begun: str, endings: Sequence[str] = (), *, folders: bool = True) -> list[str]:
    """Return the files with one of some endings, and the folders, whose path begins so."""
    folder, name = os.path.split(begun)
    try:
        there = sorted(os.scandir(Path(folder or ".").expanduser()), key=lambda one: one.name)
    except (OSError, ValueError, RuntimeError):
        return []
    found = []
    for one in there:
        hidden = one.name.startswith(".") and not name.startswith(".")
        if hidden or not one.name.startswith(name) or not one.name.isprintable():
            continue
        path = os.path.join(folder, one.name)  # noqa: PTH118 -- as it is typed: ./x stays ./x
        if one.is_dir():
            found += [f"{path}/"] if folders else []
        elif not endings or one.name.lower().endswith(tuple(endings)):
            found.append(path)
    return found


def _beginning(begun: str, names: Iterable[str]) -> list[str]:
    return [one for one in names if one.startswith(begun)]


def instance_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 -- click's interface
    """Complete with the names of shipped instances."""
    from hbmopt.documents import shipped

    return _beginning(incomplete, shipped.names())


def instances(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete with the names of shipped instances, and files of YAML."""
    return [*instance_names(ctx, param, incomplete), *files(incomplete, YAML)]


def instances_and_fleets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete with the names of shipped instances and fleets, and files of YAML."""
    from hbmopt.documents import shipped

    fleets = _beginning(incomplete, (f"fleets/{one}" for one in shipped.fleets()))
    names = [*instance_names(ctx, param, incomplete), *fleets]
    return list(dict.fromkeys([*names, *files(incomplete, YAML)]))


def measured(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 -- click's interface
    """Complete with the measurements that ship, and files of CSV."""
    from hbmopt.documents import shipped

    folder = shipped.root() / shipped.MEASURED
    names = (f"{shipped.INSTANCES}/{shipped.MEASURED}/{one.name}" for one in folder.glob("*.csv"))
    found = [*sorted(_beginning(incomplete, names)), *files(incomplete, (".csv",))]
    return list(dict.fromkeys(found))


def calibrations(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 -- click's interface
    """Complete with the names of calibrations, and files of YAML."""
    from hbmopt.documents import catalogue

    return [
        *_beginning(incomplete, catalogue.names("calibrations")),
        *files(incomplete, YAML),
    ]


def with_ending(*endings: str) -> Completes:
    """Return what completes with files of some endings."""

    def completed(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 -- click's interface
        return files(incomplete, endings)

    return completed


def kinds(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 -- click's interface
    """Complete with the parts of the catalogue."""
    from hbmopt.documents import catalogue, shipped

    return _beginning(incomplete, (shipped.INSTANCES, shipped.FLEETS, *catalogue.KINDS))


def entries(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 -- click's interface
    """Complete with the entries of the part of the catalogue that was named."""
    from hbmopt.documents import catalogue, shipped

    kind = ctx.params.get("kind")
    if kind == shipped.INSTANCES:
        return _beginning(incomplete, shipped.names())
    if kind == shipped.FLEETS:
        return _beginning(incomplete, shipped.fleets())
    return _beginning(incomplete, catalogue.names(kind)) if kind in catalogue.KINDS else []


def settings(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 -- click's interface
    """Complete a KEY=VALUE: the key by the schema, the value where it is a name or a file."""
    keys = _keys(ctx)
    key, equals, value = incomplete.partition("=")
    if not equals:
        return _keys_beginning(keys, key, "=")
    return [f"{key}={one}" for one in _values(keys, key, value)]


def variations(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 -- click's interface
    """Complete a KEY=VALUE,VALUE as `settings` does, its last value."""
    keys = _keys(ctx)
    key, equals, listed = incomplete.partition("=")
    if not equals:
        return _keys_beginning(keys, key, "=")
    before, comma, value = listed.rpartition(",")
    taken = before.split(",")
    fresh = [one for one in _values(keys, key, value) if one not in taken]
    return [f"{key}={before}{comma}{one}" for one in fresh]


def numbers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 -- click's interface
    """Complete with keys alone."""
    return _keys_beginning(_keys(ctx), incomplete, "")


def _keys_beginning(keys: "Keys", begun: str, end: str) -> list[str]:
    *path, name = begun.split(".")
    found = []
    for one, (takes_value, has_keys) in keys.below(path).items():
        if one.startswith(name):
            whole = ".".join([*path, one])
            found += [f"{whole}{end}"] if takes_value else []
            found += [f"{whole}."] if has_keys else []
    return found


def _values(keys: "Keys", key: str, begun: str) -> list[str]:
    from hbmopt.documents import catalogue

    path = key.split(".")
    names = _beginning(begun, keys.values(path))
    # Where an entry of the catalogue may stand, so may a file with one of one's own.
    own = f"{path[-1]}s" in catalogue.KINDS or path[-1] == "device"
    return [*names, *(files(begun, YAML, folders=bool(begun)) if own else [])]


def _given(ctx: click.Context) -> Mapping[str, Any]:
    """Return what the line gives. Click reads none of it where it ends in an option."""
    words: list[str] = list(ctx.obj or ())
    if not words or not words[-1].startswith("-") or ctx.info_name not in words:
        return ctx.params
    own = words[words.index(ctx.info_name) + 1 : -1]
    with ctx.command.make_context(ctx.info_name, own, resilient_parsing=True) as whole:
        return whole.params


def _keys(ctx: click.Context) -> "Keys":
    """Return the keys of the instance or fleet that the line names; of one rack where none is."""
    from hbmopt.cli.keys import Keys
    from hbmopt.documents import read_document, shipped
    from hbmopt.errors import HbmoptError

    named = _given(ctx)
    source = named.get("instance") or next(iter(named.get("instances") or ()), None)
    if source is None:
        return Keys()
    try:
        value = read_document(shipped.found(source)).value
    except (HbmoptError, OSError):
        return Keys()
    return Keys(fleet=isinstance(value, dict) and value.get("kind") == "fleet", value=value)
