"""Print the lowest versions that pyproject.toml allows, as constraints for pip."""

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
RANGE = re.compile(r"(?P<name>[\w-]+)(\[[\w,]+\])?>=(?P<lowest>[\d.]+)")


def lowest(project):
    """Return the lowest version of everything that a `pyproject.toml`, as read, names.

    A package that is named more than once has one lowest version.
    """
    named = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(one for extra in project["project"]["optional-dependencies"].values() for one in extra),
    ]
    found = {}
    for one in named:
        match = RANGE.fullmatch(one)
        if match is None:
            raise ValueError(f"pyproject.toml: {one} is not NAME>=VERSION")
        name, version = match["name"].lower().replace("_", "-"), match["lowest"]
        if found.setdefault(name, version) != version:
            raise ValueError(f"pyproject.toml: {name} has more than one lowest version")
    return found


if __name__ == "__main__":
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    for name, version in lowest(project).items():
        print(f"{name}=={version}")
