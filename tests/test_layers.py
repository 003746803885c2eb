"""Data flows one way: rooms import what earlier rooms show, and nothing of what is inside them."""

import ast
from graphlib import TopologicalSorter

import pytest

from builders import ROOT

PACKAGE = ROOT / "optimizer" / "hbmopt"

ROOMS = (
    "basics",
    "documents",
    "llm",
    "llm.importing",
    "instance",
    "demand",
    "program",
    "points",
    "plan",
    "results",
    "studies.frontier",
    "studies.comparison",
    "studies.conflict",
    "studies.claim",
    "studies.sensitivity",
    "studies.accuracy",
    "studies.sizing",
    "fleet",
    "studies.sweep",
    "report.tables",
    "report.html",
    "report.charts",
    "report.page",
    "report.notebook",
    "explorer",
    "cli",
)
"""In the order in which data flows; `models` stands before `demand` and imports nothing."""

AT_THE_DOOR = {"errors", "standard_output", "__version__"}
"""What stands outside of the rooms and every one of them may use; it imports nothing."""

MOST_FILES = 16


def folder(room):
    return PACKAGE.joinpath(*room.split("."))


def files(room):
    """Return the modules of a room; those of rooms inside it are theirs."""
    inner = [folder(other) for other in ROOMS if other.startswith(f"{room}.")]
    return [
        path
        for path in sorted(folder(room).rglob("*.py"))
        if not any(one in path.parents for one in inner)
    ]


def imports(path):
    """Return what a module imports of hbmopt: dotted names, and the names taken from each."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        (node.module, [one.name for one in node.names])
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hbmopt"
    ]


def room_of(module):
    """Return the innermost room of a dotted name, None for what stands outside of all."""
    _, _, inside = module.partition(".")
    found = [room for room in ROOMS if inside == room or inside.startswith(f"{room}.")]
    return max(found, key=len, default=None)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_earlier_rooms_show(room):
    wrong = []
    for path in files(room):
        for module, names in imports(path):
            target = room_of(module)
            if target == room:
                continue
            if target is None:
                inside = module.split(".")[1:2]
                if inside not in (
                    [],
                    ["models"],
                    ["errors"],
                    ["first_use"],
                    ["notebook"],
                    ["standard_output"],
                ):
                    wrong.append(f"{path.name} imports {module}")
                if not inside and not AT_THE_DOOR.issuperset(names):
                    wrong.append(f"{path.name} imports {names} of hbmopt")
                continue
            if module != f"hbmopt.{target}":
                wrong.append(f"{path.name} imports {module}, inside of a room")
            if ROOMS.index(target) > ROOMS.index(room):
                wrong.append(f"{path.name} imports {module}, of a later room")
    assert wrong == []


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_imports_itself_by_others(room):
    prefix = f"hbmopt.{room}."
    graph = {}
    for path in files(room):
        name = ".".join(path.relative_to(folder(room)).with_suffix("").parts)
        graph[name] = {
            module.removeprefix(prefix) for module, _ in imports(path) if module.startswith(prefix)
        }
    graph.pop("__init__", None)
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "cli"])
def test_a_room_is_small_and_says_what_it_holds(room):
    own = [path for path in folder(room).glob("*.py") if path.name != "__init__.py"]
    assert 0 < len(own) <= MOST_FILES
    face = ast.parse((folder(room) / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(face)


def test_every_module_stands_in_a_room_and_says_what_it_holds():
    paths = [path for path in PACKAGE.rglob("*.py") if "models" not in path.parts]
    paths = [path for path in paths if "instances" not in path.parts]
    inside = {path for room in ROOMS for path in files(room)}
    outside = {path.relative_to(PACKAGE).as_posix() for path in paths if path not in inside}
    assert outside == {
        "__init__.py",
        "__main__.py",
        "errors.py",
        "first_use.py",
        "notebook.py",
        "standard_output.py",
        "studies/__init__.py",
        "report/__init__.py",
    }
    assert len(inside) > 150
    for path in [*paths, *ROOT.glob("models/*.py")]:
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_the_mathematics_reads_nothing_but_itself():
    for path in (ROOT / "models").glob("*.py"):
        assert all(module.startswith("hbmopt.models") for module, _ in imports(path)), path


def test_what_stands_outside_imports_nothing_inside():
    assert imports(PACKAGE / "errors.py") == []
    assert imports(PACKAGE / "first_use.py") == []
    assert imports(PACKAGE / "standard_output.py") == []
    assert imports(PACKAGE / "notebook.py") == [("hbmopt.first_use", ["on_first_use"])]


def test_only_the_door_names_a_module_of_another_room_to_load_it_later():
    """A face loads what stands in its own room; `notebook` names the report of an answer."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        if {"models", "instances"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "on_first_use":
                found[path.relative_to(PACKAGE).as_posix()] = ast.unparse(node.args[0])
    assert found.pop("notebook.py") == "'hbmopt.report'"
    assert "results/__init__.py" in found
    assert set(found.values()) == {"__name__"}


@pytest.mark.parametrize("room", ["documents", "points", "results", "plan", "report.tables"])
def test_no_name_that_a_room_shows_is_that_of_a_module_in_it(room):
    """A module that was imported would be found in place of what is loaded on first use."""
    face = (folder(room) / "__init__.py").read_text(encoding="utf-8")
    assert "on_first_use" in face
    shown = {
        name
        for node in ast.walk(ast.parse(face))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"hbmopt.{room}.")
        for name in (one.name for one in node.names)
    }
    assert shown
    assert shown.isdisjoint(path.stem for path in folder(room).glob("*.py"))
    assert shown.isdisjoint(path.name for path in folder(room).iterdir() if path.is_dir())
