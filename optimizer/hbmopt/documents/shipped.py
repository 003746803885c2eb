"""The instances and the fleets that ship with hbmopt, by name."""

from glob import glob
from pathlib import Path

from hbmopt.basics import exists, is_file
from hbmopt.documents.patterns import fits, is_pattern, nearest_to_pattern
from hbmopt.errors import InputError, nearest

INSTANCES = "instances"
"""What the catalogue calls them, and the folder in which documents name them."""

FLEETS = "fleets"
"""What the catalogue calls documents of kind `fleet`, and the folder of the instances with them."""

MEASURED = "measured"
"""The folder in it that holds measured steps."""


def root() -> Path:
    """Return the folder of the instances."""
    return Path(__file__).parents[1] / INSTANCES


def names() -> dict[str, Path]:
    """Return the files of all instances by name; those of a folder carry its name."""
    folders = (root(), *(one for one in sorted(root().iterdir()) if one.name == "generations"))
    files = [path for folder in folders for path in sorted(folder.glob("*.yaml"))]
    return {path.relative_to(root()).with_suffix("").as_posix(): path for path in files}


def fleets() -> dict[str, Path]:
    """Return the files of all fleets by name."""
    return {path.stem: path for path in sorted((root() / FLEETS).glob("*.yaml"))}


def path_of(name: str, kind: str = INSTANCES) -> Path:
    """Return the file of an instance or of a fleet. Raises `InputError` that names the nearest."""
    known = fleets() if kind == FLEETS else names()
    if name not in known:
        raise InputError(
            f"no {name!r} among the shipped {kind}; {nearest(name, known)}; "
            f"hbmopt catalog {kind} lists them"
        )
    return known[name]


def _all() -> dict[str, Path]:
    """Return the files of instances and fleets; ``fleets/NAME`` is that fleet too."""
    known = fleets()
    return {f"{FLEETS}/{name}": path for name, path in known.items()} | known | names()


def found(source: str | Path) -> Path:
    """Return the file that is meant: one that is there, or a shipped instance or fleet.

    ``h200`` and ``instances/h200.yaml`` are the shipped instance wherever there is no such file.
    Raises `InputError` for a bare name that is neither.
    """
    path = Path(source)
    if exists(path):
        return path
    name = path.as_posix()
    if path.suffix in ("", ".yaml") and path.parts[:1] == (INSTANCES,):
        name = path.relative_to(INSTANCES).with_suffix("").as_posix()
        return _all().get(name, path)
    if path.suffix or len(path.parts) != 1 or name in fleets():
        return _all().get(name, path)
    near_fleet = nearest(name, fleets()).startswith("did you mean")
    try:
        return path_of(name, FLEETS if near_fleet and name not in names() else INSTANCES)
    except InputError as error:
        raise InputError(f"{source}: there is no such file, and {error}") from None


def measured(source: str | Path) -> Path:
    """Return the file that is meant: one that is there, or one of the measurements that ship.

    ``instances/measured/decode_steps.csv`` is the shipped one wherever there is no such file.
    """
    path = Path(source)
    if not exists(path) and path.parts[:2] == (INSTANCES, MEASURED) and len(path.parts) == 3:
        own = root() / MEASURED / path.name
        return own if exists(own) else path
    return path


def matching(source: str | Path) -> tuple[str | Path, ...]:
    """Return what is meant by a source: itself, or all that it fits where it is a pattern.

    ``gb*`` is every shipped instance of such a name, ``generations/*`` those of the folder. Files
    that are there come first. Raises `InputError` that names the nearest one where nothing fits.
    """
    pattern = Path(source).as_posix()
    if not is_pattern(pattern) or exists(Path(source)):
        return (source,)
    there = glob(pattern)  # noqa: PTH207 -- a pattern may begin anywhere
    files = sorted(path for path in map(Path, there) if is_file(path))
    if files:
        return tuple(files)
    name = pattern.removeprefix(f"{INSTANCES}/").removesuffix(".yaml")
    known = names()
    fitting = tuple(one for one in known if fits(one, name))
    if not fitting:
        raise InputError(
            f"{source}: no file and none of the shipped instances matches; "
            f"{nearest_to_pattern(name, known)}; hbmopt catalog instances lists them"
        )
    return fitting


def text(name: str, kind: str = INSTANCES) -> str:
    """Return an instance or a fleet as it stands in its file."""
    return path_of(name, kind).read_text(encoding="utf-8")
