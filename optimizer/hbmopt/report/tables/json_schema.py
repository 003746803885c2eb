"""The JSON Schemas that ship: instances and fleets for editors, results for programs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "schemas"


def schema_text(kind: str) -> str:
    """Return a shipped schema, one of `SCHEMAS`, as JSON text."""
    return (FOLDER / f"{kind}.schema.json").read_text(encoding="utf-8")


def instance_schema() -> dict[str, Any]:
    """Derive the schema of an instance file, catalogue names and `base` included."""
    from hbmopt.documents import catalogue
    from hbmopt.instance import CALIBRATED, REFERENCES, Instance

    schema = Instance.model_json_schema()
    definitions = schema["$defs"]
    owners = {
        "rack": schema,
        "llm": schema,
        "accelerator": definitions["Rack"],
        "offload": definitions["Rack"],
        "device": definitions["Offload"],
        "calibration": schema,
    }
    for reference in REFERENCES:
        key = str(reference.path[-1])
        known = list(catalogue.names(reference.kind))
        if reference.kind == "calibrations":
            known.append(CALIBRATED)
        own = owners[key]["properties"][key]
        own.pop("default", None)
        inline = own.get("anyOf", [dict(own)])
        base = {
            "type": "object",
            "properties": {"base": {"enum": known}},
            "required": ["base"],
            "description": "a catalogue entry, changed by the other keys",
        }
        owners[key]["properties"][key] = {
            "description": f"a name among the catalogue's {reference.kind}, or the mapping inline",
            "anyOf": [{"enum": known}, base, *inline],
        }
    # What an instance leaves out is taken from the entry `universal`.
    for part in ("Calibration", "Efficiencies", "Latency", "Overlaps"):
        definitions[part].pop("required", None)
    overlap = definitions["Calibration"]["properties"]["overlap"]
    definitions["Calibration"]["properties"]["overlap"] = {
        "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"$ref": overlap["$ref"]}]
    }
    schema["title"] = "hbmopt instance"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def fleet_schema() -> dict[str, Any]:
    """Derive the schema of a fleet file; racks, llms and what is chosen are as of an instance."""
    from hbmopt.fleet import Fleet

    schema = Fleet.model_json_schema()
    schema["title"] = "hbmopt fleet"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def solution_schema() -> dict[str, Any]:
    """Derive the schema of `Solution.to_dict` from its classes."""
    from hbmopt.results import Solution

    return _result_schema(Solution, "solution")


def check_schema() -> dict[str, Any]:
    """Derive the schema of `Check.to_dict` from its classes."""
    from hbmopt.studies.claim import Check

    return _result_schema(Check, "check")


def explanation_schema() -> dict[str, Any]:
    """Derive the schema of `Explanation.to_dict` from its classes."""
    from hbmopt.studies.conflict import Explanation

    return _result_schema(Explanation, "explanation")


def _result_schema(result: type, name: str) -> dict[str, Any]:
    from pydantic import TypeAdapter

    schema: dict[str, Any] = TypeAdapter(result).json_schema(mode="serialization")
    schema["title"] = f"hbmopt {name}"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def sensitivity_schema() -> dict[str, Any]:
    """Derive the schema of `Sensitivity.to_dict` from its classes."""
    from pydantic import TypeAdapter

    from hbmopt.studies.sensitivity import Sensitivity

    schema = TypeAdapter(Sensitivity).json_schema(mode="serialization")
    schema["title"] = "hbmopt sensitivity"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "instance": instance_schema,
    "fleet": fleet_schema,
    "solution": solution_schema,
    "sensitivity": sensitivity_schema,
    "check": check_schema,
    "explanation": explanation_schema,
}
"""What is described, and how its schema is derived."""


def write_schemas() -> None:
    """Write the shipped schemas anew; needed after a change of an instance or a result."""
    for kind, derive in SCHEMAS.items():
        text = json.dumps(derive(), indent=1, sort_keys=True) + "\n"
        (FOLDER / f"{kind}.schema.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_schemas()
