"""Shapes of published models, each counted to the last parameter.

`public_shapes.json` states for every model its configuration, or what differs from one named
before (`like`), and its parameters by a witness that is not this project: `counted` is a class of
the transformers library with its weights on the meta device (benchmarks/llm_counts.py counts them
anew), `published` the total that the publisher's files state, `sum` the layers written out from
the model's own code. Of models that also see and hear it is the decoder's.
"""

import ast
import json
import operator
from pathlib import Path

import pytest

from hbmopt import import_llm

FILE = Path(__file__).with_name("public_shapes.json")
MODELS = json.loads(FILE.read_text(encoding="utf-8"))
WITNESSES = {"counted", "published", "sum"}


def resolved():
    """Every configuration by the model's name, with what it has from another."""
    found = {}
    for model in MODELS:
        found[model["name"]] = found.get(model.get("like"), {}) | model["config"]
    return found


CONFIGS = resolved()
OPERATIONS = {ast.Add: operator.add, ast.Mult: operator.mul, ast.Pow: operator.pow}


def evaluated(node):
    """A sum of products of whole numbers."""
    if isinstance(node, ast.Constant):
        return node.value
    return OPERATIONS[type(node.op)](evaluated(node.left), evaluated(node.right))


def test_there_are_many_and_each_has_a_witness():
    assert len(MODELS) >= 150
    assert len(CONFIGS) == len(MODELS)
    assert len({config["model_type"] for config in CONFIGS.values()}) >= 60
    assert all(model.keys() & WITNESSES for model in MODELS)


@pytest.mark.parametrize(
    "model", [one for one in MODELS if "sum" in one], ids=lambda one: one["name"]
)
def test_the_sum_of_the_layers_is_the_number_stated(model):
    assert evaluated(ast.parse(model["sum"], mode="eval").body) == model["parameters"]


@pytest.mark.parametrize("model", MODELS, ids=lambda one: one["name"])
def test_parameters_are_those_of_the_witness(model):
    assert import_llm(CONFIGS[model["name"]]).parameters.total == model["parameters"]
