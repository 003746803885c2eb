"""What pyproject.toml asks for, what requirements.lock holds, and what is tried as the lowest."""

import tomllib
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from builders import ROOT
from lowest import lowest

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUNTIME = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
BACKEND = PROJECT["build-system"]["requires"]
NAMED = sorted({*BACKEND, *RUNTIME, *(one for extra in EXTRAS.values() for one in extra)})


def locked():
    """Return the lines of the lock by the name of their package."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.lstrip().startswith("#")]
    found = {canonicalize_name(one.name): one for one in pins}
    assert len(found) == len(pins), "one version of a package for all Pythons and systems"
    return found


LOCKED = locked()


@pytest.mark.parametrize("named", NAMED)
def test_the_lock_holds_what_is_named_within_its_range(named):
    wanted = Requirement(named)
    pin = LOCKED[canonicalize_name(wanted.name)]
    (exact,) = pin.specifier
    assert exact.operator == "=="
    assert wanted.specifier.contains(exact.version)
    assert pin.marker is None, "what is named is needed everywhere"


@pytest.mark.locked
@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_the_lock_holds_what_these_need_in_turn(extra):
    named = RUNTIME if extra is None else EXTRAS[extra]
    awaited, reached = [Requirement(one) for one in named], set()
    while awaited:
        wanted = awaited.pop()
        name = canonicalize_name(wanted.name)
        assert name in LOCKED
        if (name, *wanted.extras) in reached:
            continue
        reached.add((name, *wanted.extras))
        awaited += [
            one
            for one in map(Requirement, needs(name))
            if one.marker is None
            or any(one.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras))
        ]
    assert len(reached) >= len(named)


def needs(name):
    """Return what an installed package requires; of one that is not here nothing is known."""
    try:
        return distribution(name).requires or []
    except PackageNotFoundError:
        return []


def test_the_header_of_the_lock_says_how_it_is_made():
    header = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()[1]
    command = header.removeprefix("#").split()
    assert command[:3] == ["uv", "pip", "compile"]
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [one for one in command if one not in recipe] == []
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert " ".join(command) in " ".join(guide.split())


def tried(versions):
    """Return the versions in the rows of CONTRIBUTING.md that begin like this, by package."""
    lines = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    (head,) = (row for row in rows if row[0] == "versions")
    return [dict(zip(head[2:-1], row[2:-1], strict=True)) for row in rows if row[0] == versions]


def test_the_guide_says_which_versions_are_tried():
    needed = {Requirement(one).name for one in RUNTIME}
    from_the_lock, as_low_as_allowed = tried("requirements.lock"), tried("lowest")
    assert from_the_lock
    assert as_low_as_allowed
    for row in from_the_lock:
        assert row == {name: str(LOCKED[canonicalize_name(name)].specifier)[2:] for name in needed}
    for row in as_low_as_allowed:
        assert row == {name: lowest(PROJECT)[canonicalize_name(name)] for name in needed}


def test_the_lowest_versions_are_those_of_the_ranges():
    found = lowest(PROJECT)
    assert len(found) == len({canonicalize_name(Requirement(one).name) for one in NAMED})
    for one in map(Requirement, NAMED):
        version = found[canonicalize_name(one.name)]
        assert str(one.specifier) == f">={version}"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (["click"], "click is not NAME>=VERSION"),
        (["click==8.1"], "click==8.1 is not NAME>=VERSION"),
        (["click>=8.1", "Click>=8.2"], "click has more than one lowest version"),
    ],
)
def test_a_dependency_without_one_lowest_version_is_told(named, message):
    project = {
        "build-system": {"requires": []},
        "project": {"dependencies": named, "optional-dependencies": {}},
    }
    with pytest.raises(ValueError, match=message):
        lowest(project)
