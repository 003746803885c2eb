import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hbmopt.document import (
    Document,
    Origin,
    format_path,
    parse_document,
    parse_path,
    parse_scalar,
    read_document,
)
from hbmopt.errors import InputError, nearest

TEXT = "a:\n  b: 1\n  c:\n    - x\n    - {d: 2}\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1", -1),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("1e9", 1e9),
        (".5", 0.5),
        ("true", True),
        ("false", False),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("null", None),
        ("~", None),
        ("", None),
        ("12:30:00", "12:30:00"),
        ("2024-01-01", "2024-01-01"),
        ("0o17", "0o17"),
        ('"1"', "1"),
        ("'true'", "true"),
        ("90 kW", "90 kW"),
        ("[1, a]", [1, "a"]),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    found = parse_document(text, "x").value
    assert found == value
    assert type(found) is type(value)


def test_every_value_knows_its_line():
    document = parse_document(TEXT, "f.yaml")
    assert document.value == {"a": {"b": 1, "c": ["x", {"d": 2}]}}
    lines = {path: origin.line for path, origin in document.origins.items()}
    assert lines == {
        (): 1,
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "c"): 3,
        ("a", "c", 0): 4,
        ("a", "c", 1): 5,
        ("a", "c", 1, "d"): 5,
    }
    assert str(document.origin(("a", "b"))) == "f.yaml:2"


def test_a_value_without_a_line_has_that_of_what_encloses_it():
    document = parse_document(TEXT, "f.yaml")
    assert str(document.origin(("a", "c", 1, "e", "f"))) == "f.yaml:5"
    assert str(document.origin(("z",))) == "f.yaml:1"
    assert str(Document(None).origin(("z",))) == "<input>"


def test_errors_name_place_and_key():
    document = parse_document(TEXT, "f.yaml")
    assert str(document.error(("a", "c", 1, "d"), "is odd")) == "f.yaml:5: a.c.1.d: is odd"
    assert str(document.error((), "is odd")) == "f.yaml:1: is odd"


def test_get_finds_values_and_nothing_else():
    document = parse_document(TEXT, "f.yaml")
    assert document.get(("a", "c", 1, "d")) == 2
    for path in (("a", "z"), ("a", "c", 9), ("a", "c", "d"), ("a", "b", "d"), ("a", 0)):
        assert document.get(path) is None


def test_grafting_brings_value_and_origins_along():
    document = parse_document(TEXT, "f.yaml")
    document.graft(("a", "c"), parse_document("e:\n  f: 3\n", "g.yaml"))
    assert document.value == {"a": {"b": 1, "c": {"e": {"f": 3}}}}
    assert str(document.origin(("a", "c", "e", "f"))) == "g.yaml:2"
    assert ("a", "c", 1, "d") not in document.origins
    assert str(document.origin(("a", "b"))) == "f.yaml:2"


def test_grafting_makes_the_mappings_on_the_way():
    document = parse_document("a: 1\n", "f.yaml")
    document.graft(("x", "y"), parse_scalar("2", "--set x.y=2"))
    assert document.value == {"a": 1, "x": {"y": 2}}
    assert str(document.origin(("x", "y"))) == "--set x.y=2"


def test_grafting_into_a_list_replaces_the_item():
    document = parse_document(TEXT, "f.yaml")
    document.graft(("a", "c", 1, "d"), parse_scalar("7", "s"))
    document.graft(("a", "c", 0), parse_scalar("y", "s"))
    assert document.get(("a", "c")) == ["y", {"d": 7}]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (("a", "b", "z"), "f.yaml:2: a.b: holds a plain value, so nothing can be set below"),
        (("a", "b", "z", "y"), "f.yaml:2: a.b: holds a plain value, so nothing can be set below"),
        (("a", "c", 2), "f.yaml:3: a.c.2: 2 is not an index of a list of 2"),
        (("a", "c", "d"), "f.yaml:3: a.c.d: 'd' is not an index of a list of 2"),
        (("a", "c", 5, "d"), "f.yaml:3: a.c.5: 5 is not an index of a list of 2"),
    ],
)
def test_grafting_where_nothing_can_stand_is_an_error(path, said):
    document = parse_document(TEXT, "f.yaml")
    with pytest.raises(InputError) as caught:
        document.graft(path, parse_scalar("1", "s"))
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\na: 2\n", 2, "'a' stands twice; keep one of them"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", 4, "'c' stands twice"),
        ("a: 1\n'a': 2\n", 2, "'a' stands twice"),
        ("a: [1\nb: 2\n", 2, "not valid YAML"),
        ("a: 'b\n", 2, "not valid YAML"),
        ("a: b: c\n", 1, "not valid YAML"),
        ("a:\n\tb: 1\n", 2, "not valid YAML"),
        ("a: &x\n  b: *x\n", 2, "contains itself"),
        ("a: &x [*x]\n", 1, "contains itself"),
        ("a: *x\n", 1, "undefined alias"),
        ("{a: 1}: 2\n", 1, "a key must be a plain word"),
    ],
)
def test_what_yaml_cannot_be_read_is_said_with_its_line(text, line, said):
    with pytest.raises(InputError) as caught:
        parse_document(text, "f.yaml")
    assert str(caught.value).startswith(f"f.yaml:{line}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_alias_used_twice_is_read_twice():
    assert parse_document("a: &x {b: 1}\nc: *x\nd: *x\n", "f").value == {
        "a": {"b": 1},
        "c": {"b": 1},
        "d": {"b": 1},
    }


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.getcwd", "!!str", "!mine", "!"])
def test_tags_are_refused(tag):
    with pytest.raises(InputError) as caught:
        parse_document(f"a: 1\nb: {tag} []\n", "f")
    assert str(caught.value) == f"f:2: the tag {tag} is not read; leave it out"


def test_paths_are_written_with_dots():
    assert parse_path("limits.budgets.0.capacity") == ("limits", "budgets", 0, "capacity")
    assert format_path(("limits", "budgets", 0, "capacity")) == "limits.budgets.0.capacity"
    assert format_path(()) == ""


def test_origins_print_with_and_without_a_line():
    assert str(Origin("f.yaml", 3)) == "f.yaml:3"
    assert str(Origin("--set a=1")) == "--set a=1"


def test_files_that_are_no_documents_are_named(tmp_path):
    said = {}
    for name, content in {
        "empty": b"",
        "blank": b"\n\n# no\n",
        "binary": b"\xff\xfe\x00",
        "list": b"- 1\n",
        "word": b"word\n",
    }.items():
        path = tmp_path / f"{name}.yaml"
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_document(path)
        said[name] = str(caught.value).removeprefix(str(path))
    assert said == {
        "empty": ":1: the file is empty; an instance needs rack, llm and workload",
        "blank": ":1: the file is empty; an instance needs rack, llm and workload",
        "binary": ": is not UTF-8 text, as YAML is",
        "list": ":1: expected `key: value` lines at the top level",
        "word": ":1: expected `key: value` lines at the top level",
    }


KEYS = st.text("abcxyz_", min_size=1, max_size=5)
SCALARS = st.none() | st.booleans() | st.integers(-1000, 1000) | st.text("abc :#-'", max_size=6)
TREES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, TREES, max_size=4), st.booleans())
def test_what_is_written_as_yaml_is_what_is_read(tree, flow):
    text = yaml.safe_dump(tree, default_flow_style=flow)
    assert parse_document(text, "f").value == tree


@pytest.mark.parametrize(
    ("word", "valid", "hint"),
    [
        ("min_sped", ["min_speed", "power"], "did you mean 'min_speed'?"),
        ("BF61", ["bf16", "fp8"], "did you mean 'bf16'?"),
        ("gb/s", ["GB/s", "TB/s"], "did you mean 'GB/s'?"),
        ("zzz", ["b", "a"], "valid: a, b"),
        ("zzz", [str(number) for number in range(17)], "17 are known, none of them near it"),
    ],
)
def test_hints_name_the_nearest_word_or_the_short_list(word, valid, hint):
    assert nearest(word, valid) == hint
