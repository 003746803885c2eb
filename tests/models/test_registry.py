"""Every row of the model has a golden file, and a price that is asserted somewhere."""

import ast
import re

import pytest

from builders import GOLDEN, ROOT

MODELS = ROOT / "models"
TESTS = ROOT / "tests" / "models"


def families():
    """The files of models/ that add something to a block, with the rows that they add."""
    found = {}
    for path in sorted(MODELS.glob("*.py")):
        adders = [
            node
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("add_")
        ]
        if adders:
            found[path.stem] = sorted(row for adder in adders for row in rows_of(adder))
    return found


def rows_of(adder):
    for node in ast.walk(adder):
        if isinstance(node, ast.FunctionDef) and any(
            ast.unparse(decorator).startswith("block.Constraint")
            for decorator in node.decorator_list
        ):
            yield node.name


FAMILIES = families()
ROWS = [(family, row) for family, rows in FAMILIES.items() for row in rows]


def parsed_tests(family):
    path = TESTS / f"test_{family}.py"
    assert path.is_file(), f"models/{family}.py has no tests/models/test_{family}.py"
    return ast.parse(path.read_text(encoding="utf-8"))


def asserted_prices(tree):
    """The rows whose price stands in an assertion: a call of `price` within an `assert`."""
    for statement in ast.walk(tree):
        if not isinstance(statement, ast.Assert):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".price"):
                yield ast.unparse(node.args[0])


def test_the_registry_sees_the_families():
    assert {"hbm_capacity", "offload", "throughput"} <= FAMILIES.keys()
    assert FAMILIES["offload"] == [
        "kept_highest",
        "kept_lowest",
        "offload_highest",
        "offload_lowest",
        "offload_share",
    ]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_has_a_golden_file_and_a_case_solved_by_hand(family):
    tree = parsed_tests(family)
    assert (GOLDEN / f"{family}.txt").is_file()
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert {"assert_golden", "solve", "resolved_with_more"} <= called
    assert list(asserted_prices(tree))


@pytest.mark.parametrize(("family", "row"), ROWS)
def test_every_row_stands_in_the_golden_file(family, row):
    heads = [
        line.split(".")[-1].split("[")[0]
        for line in (GOLDEN / f"{family}.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith(" ")
    ]
    assert row in heads


@pytest.mark.parametrize(("family", "row"), ROWS)
def test_every_row_has_a_price_that_is_asserted(family, row):
    named = re.compile(rf"\b{row}\b")
    prices = list(asserted_prices(parsed_tests(family)))
    assert any(named.search(text) for text in prices), f"no test asserts the price of {row}"
