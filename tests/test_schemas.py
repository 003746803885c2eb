import json

import jsonschema
import pytest
import yaml

from builders import INSTANCES
from hbmopt.instance.schema import load
from hbmopt.report.tables.json_schema import (
    SCHEMAS,
    schema_text,
    write_schemas,
)
from hbmopt.results import solve
from problems import FILES

PROBLEMS = sorted(INSTANCES.glob("*.yaml")) + sorted(INSTANCES.glob("generations/*.yaml"))


def instance_validator():
    return jsonschema.Draft202012Validator(json.loads(schema_text("instance")))


# What ships is written with the pydantic of requirements.lock; others word a schema otherwise.
@pytest.mark.locked
@pytest.mark.parametrize(("kind", "derive"), SCHEMAS.items())
def test_shipped_schema_is_the_derived_one(kind, derive):
    shipped = json.loads(schema_text(kind))
    assert shipped == json.loads(json.dumps(derive()))
    jsonschema.Draft202012Validator.check_schema(shipped)


@pytest.mark.locked
def test_writing_the_schemas_gives_what_is_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr("hbmopt.report.tables.json_schema.FOLDER", tmp_path)
    write_schemas()
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    monkeypatch.undo()
    assert written == {f"{kind}.schema.json": schema_text(kind) for kind in SCHEMAS}


def test_problems_are_found():
    assert len(PROBLEMS) >= 20


@pytest.mark.parametrize("path", PROBLEMS, ids=lambda path: path.stem)
def test_every_instance_keeps_to_the_schema(path):
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    errors = [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"
        for error in instance_validator().iter_errors(data)
    ]
    assert errors == []


@pytest.mark.parametrize("path", PROBLEMS, ids=lambda path: path.stem)
def test_every_instance_names_the_schema_for_editors(path):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    folder = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / folder).resolve().name == "instance.schema.json"
    assert (path.parent / folder).is_file()


@pytest.mark.parametrize(
    "name",
    [
        "unknown_key",
        "unknown_top_key",
        "missing_key",
        "missing_unit",
        "word_for_a_number",
        "list_for_a_mapping",
        "mapping_for_a_list",
        "unknown_rack",
        "unknown_scope",
        "unknown_status",
        "unknown_kind_of_attention",
    ],
)
def test_the_schema_refuses_what_the_program_refuses(name):
    assert not instance_validator().is_valid(yaml.safe_load(FILES[name].text))


def test_solutions_keep_to_the_schema():
    validator = jsonschema.Draft202012Validator(json.loads(schema_text("solution")))
    path = INSTANCES / "closed_form.yaml"
    feasible = solve(load(path)).to_dict()
    infeasible = solve(load(path, ["limits.min_speed=1000 tok/s/user"])).to_dict()
    assert feasible["status"] == "optimal"
    assert infeasible["status"] == "infeasible"
    assert feasible["conflict"] is None
    assert infeasible["conflict"]["summary"]
    validator.validate(feasible)
    validator.validate(infeasible)
    assert not validator.is_valid(feasible | {"status": 3})
