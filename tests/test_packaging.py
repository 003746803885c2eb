import email
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, version

import pytest

import hbmopt
from builders import ROOT

TREE = ("models", "instances", "optimizer", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what is built, so that building leaves nothing in the tree."""
    folder = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*_cache")
    for name in TREE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def isolation():
    """No environment of its own, and so no network, where the backend is installed already."""
    try:
        installed = int(version("setuptools").split(".")[0])
    except PackageNotFoundError:
        installed = 0
    return ["--no-isolation"] if installed >= 77 else []


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    """The sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    outcome = subprocess.run(
        [sys.executable, "-m", "build", *isolation(), "--outdir", str(folder), str(source)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONPATH": ""},
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def sdist(built):
    (path,) = built.glob("*.tar.gz")
    return path


def packaged():
    """The files of the tree that have to be in a wheel, by their name there, and their bytes."""
    package = ROOT / "optimizer" / "hbmopt"
    found = {f"hbmopt/{path.name}": path for path in package.glob("*.py")}
    linked = {package / "models", package / "instances"}
    found |= {
        f"hbmopt/{path.relative_to(package).as_posix()}": path
        for folder in package.iterdir()
        if folder.is_dir() and folder not in linked
        for path in folder.rglob("*.py")
    }
    models = ROOT / "models"
    found |= {f"hbmopt/models/{path.relative_to(models)}": path for path in models.rglob("*.py")}
    instances = ROOT / "instances"
    found |= {
        f"hbmopt/instances/{path.relative_to(instances).as_posix()}": path
        for path in instances.rglob("*")
        if path.is_file()
    }
    found |= {f"hbmopt/schemas/{path.name}": path for path in (package / "schemas").iterdir()}
    found |= {f"hbmopt/explorer/{one.name}": one for one in (package / "explorer").glob("page.*")}
    defaults = "llm/importing/families/class_defaults.json"
    found |= {f"hbmopt/{name}": package / name for name in ("py.typed", "help.txt", defaults)}
    return {name: path.read_bytes() for name, path in found.items()}


def test_the_wheel_holds_what_the_tree_holds(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {
            name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name
        }
    expected = packaged()
    assert sorted(held) == sorted(expected)
    assert [name for name in held if held[name] != expected[name]] == []


def test_the_list_of_what_is_packaged_is_not_empty():
    names = packaged()
    assert "hbmopt/models/rack.py" in names
    assert "hbmopt/llm/importing/families/dense.py" in names
    assert "hbmopt/instances/catalog/racks/dgx_h100.yaml" in names
    assert "hbmopt/instances/generations/01_a100.yaml" in names
    assert "hbmopt/instances/measured/decode_steps.csv" in names
    assert "hbmopt/schemas/solution.schema.json" in names


def test_the_sdist_holds_the_sources(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = {
        "pyproject.toml",
        "LICENSE",
        "README.md",
        "models/rack.py",
        "optimizer/hbmopt/plan/one_rack.py",
        "optimizer/hbmopt/help.txt",
        "instances/closed_form.yaml",
        "instances/catalog/sources.yaml",
    }
    assert expected <= names


def test_metadata_names_version_licence_and_dependencies(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith("/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
        (scripts,) = (one for one in archive.namelist() if one.endswith("/entry_points.txt"))
        entry_points = archive.read(scripts).decode("utf-8")
        licences = [one for one in archive.namelist() if one.endswith("/LICENSE")]
    assert metadata["Name"] == "hbmopt"
    assert metadata["Version"] == hbmopt.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    needed = {
        line.split(">")[0].split(";")[0].strip() for line in metadata.get_all("Requires-Dist")
    }
    assert {"pyomo", "highspy", "pandas", "click", "pydantic", "PyYAML", "rich"} <= needed
    assert "hbmopt = hbmopt.__main__:main" in entry_points
    assert len(licences) == 1


def test_the_installed_wheel_helps_without_its_dependencies(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=False)
    scripts = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    quiet = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--no-compile")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", *quiet, str(wheel)],
        check=True,
        env=clean,
    )
    kept = (ROOT / "optimizer" / "hbmopt" / "help.txt").read_text(encoding="utf-8")
    for command in ([str(python), "-m", "hbmopt", "--help"], [str(scripts / "hbmopt"), "--help"]):
        outcome = subprocess.run(
            command, capture_output=True, encoding="utf-8", check=True, cwd=tmp_path, env=clean
        )
        assert outcome.stdout == kept
        assert outcome.stderr == ""


def test_public_names_are_loaded_on_first_use():
    program = (
        "import sys, hbmopt; before = 'pyomo' in sys.modules;"
        " [getattr(hbmopt, name) for name in hbmopt.__all__];"
        " print(before, 'pyomo' in sys.modules, sorted(hbmopt.__all__) == dir(hbmopt))"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        encoding="utf-8",
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "optimizer")},
    )
    assert outcome.stdout == "False True True\n"


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        hbmopt.nothing  # noqa: B018 -- looking it up is the test
