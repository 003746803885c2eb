"""Files that would eat the machine are refused while they are read: by counting, not by waiting."""

import json
import time
import tracemalloc
from contextlib import contextmanager

import pytest

import hbmopt
from builders import INSTANCES
from commands import invoke, one_line_of_error
from hbmopt.document import MOST_BYTES, parse_document, parse_path, read_document
from hbmopt.errors import InputError
from hbmopt.importing import json_file
from hbmopt.measured_steps import MOST_COLUMNS
from hbmopt.text_file import read_text
from hbmopt.units import split
from hbmopt.yaml_nodes import DEEPEST, MOST_CHARACTERS, MOST_VALUES, composed

MOST_SECONDS = 20.0
"""What no refusal takes, not on a slow machine either; without limits it is minutes and more."""

MOST_MEMORY = 40_000_000
"""Bytes that reading takes at most beside the text itself."""

MANY = "too many for an instance"
DEEP = "nested too deeply to be an instance"


@contextmanager
def bounded():
    """Hold what is done to a time and a memory that only an explosion exceeds."""
    begun = time.process_time()
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_MEMORY
    assert time.process_time() - begun < MOST_SECONDS


def laughs(levels, each):
    """A text in which each level is a list of aliases of the one before."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * each)}]"
        for level in range(1, levels)
    ]
    return "\n".join(lines) + "\n"


TEXTS = {
    "aliases of aliases": (laughs(8, 9), 5, MANY),
    "one alias, often": (f"a: &a [{'1,' * 900}]\n" + "b: [" + "*a," * 90 + "]\n", 2, MANY),
    "aliases, each a level": (
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 90)),
        DEEPEST,
        DEEP,
    ),
    "many values": ("a: [" + "1," * 400_000 + "]", 1, MANY),
    "many keys": ("".join(f"k{n}: 1\n" for n in range(400_000)), MOST_VALUES, MANY),
    "many keys in a line": ("{" + ",".join(f"k{n}: " for n in range(100_000)) + "}", 1, MANY),
    "many items": ("- 1\n" * 400_000, MOST_VALUES, MANY),
    "closed levels": ("a: " + "[" * 60 + "]" * 60, 1, DEEP),
    "open levels": ("a: " + "[" * 400_000, 1, "nest"),
    "lists in a line": ("- " * 400_000, 1, DEEP),
    "braces": ("a: " + "{" * 400_000, 1, "nest"),
    "questions": ("? " * 400_000, 1, "plain word"),
    "a long text": ("a: 1\nb: " + "x" * 3_000_000, 2, f"at most {MOST_CHARACTERS:,}"),
    "a long key": ("x" * 300_000 + ": 1", 1, ""),
    "a long quoted key": ("? '" + "x" * 300_000 + "'\n: 1", 1, f"at most {MOST_CHARACTERS:,}"),
    "many digits": ("a: " + "9" * 3_000_000, 1, f"at most {MOST_CHARACTERS:,}"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_stands_for_too_much_is_refused_with_its_line(name):
    text, line, said = TEXTS[name]
    with bounded(), pytest.raises(InputError) as caught:
        parse_document(text, "f.yaml")
    assert str(caught.value).startswith(f"f.yaml:{line}: ")
    assert said in str(caught.value)


def test_an_alias_counts_with_all_that_it_stands_for():
    text = "a: &a [1, 2, {b: 3}]\nc: *a\nd: {e: *a}\n"
    root = composed(text, "f")
    assert (root.size, root.height) == (1 + 5 + 5 + 1 + 5, 4)
    document = parse_document(text, "f")
    assert len(document.origins) == root.size
    assert str(document.origin(("c",))) == "f:2"
    assert str(document.origin(("c", 0))) == "f:1"


def test_what_just_fits_is_read():
    items = "- 1\n" * (MOST_VALUES - 1)
    assert len(parse_document(items, "f").value) == MOST_VALUES - 1
    with pytest.raises(InputError, match=MANY):
        parse_document(items + "- 1\n", "f")
    deep = "[" * DEEPEST + "]" * DEEPEST
    assert parse_document(f"[{deep}]", "f").value
    with pytest.raises(InputError, match=DEEP):
        parse_document(f"[[{deep}]]", "f")
    text = "x" * MOST_CHARACTERS
    assert parse_document(f"a: {text}", "f").value == {"a": text}


def test_a_large_file_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(2**30)  # a sparse file: a gigabyte that takes no room
    with bounded(), pytest.raises(InputError) as caught:
        read_document(path)
    assert str(caught.value) == f"{path}: is larger than 4 MB, too large for YAML here"
    assert MOST_BYTES == 4_000_000
    whole = tmp_path / "whole.txt"
    whole.write_bytes(b"x" * 10)
    assert read_text(whole, "text", 10) == "x" * 10
    with pytest.raises(InputError, match="is larger than"):
        read_text(whole, "text", 9)


def test_a_file_without_an_end_is_one_line():
    assert "is larger than 4 MB" in one_line_of_error(invoke("solve", "/dev/zero"))


def test_a_mark_of_byte_order_is_no_text(tmp_path):
    text = (INSTANCES / "closed_form.yaml").read_text(encoding="utf-8")
    path = tmp_path / "marked.yaml"
    path.write_text(text, encoding="utf-8-sig")
    assert hbmopt.load(path).rack.name == "one_accelerator"
    for encoding in ("utf-16", "utf-16-le", "utf-32"):
        path.write_text(text, encoding=encoding)
        assert str(path) in one_line_of_error(invoke("solve", path))


def test_many_unknown_keys_are_told_of_at_once(tmp_path):
    """Origins of keys are looked up, not searched for key by key."""
    keys = "".join(f"  k{n}: 1\n" for n in range(MOST_VALUES - 200))
    base = (INSTANCES / "h100.yaml").read_text(encoding="utf-8").replace("rack: dgx_h100\n", "")
    path = tmp_path / "keys.yaml"
    for block in (f"rack:\n  base: dgx_h100\n{keys}", f"rack: dgx_h100\ncalibration:\n{keys}"):
        path.write_text(block + base, encoding="utf-8")
        with bounded(), pytest.raises(InputError, match="unknown key 'k0'"):
            hbmopt.load(path)


@pytest.mark.parametrize(
    "setting",
    [
        "limits.power=1e99999999 kW",
        "limits.power=1e-99999999 kW",
        f"limits.power={'9' * 5000} kW",
        f"limits.power=0.{'0' * 5000}1 kW",
        f"workload.context={'9' * 5000}",
        "workload.context=1e99999999",
        f"limits.budgets.{'9' * 5000}=1",
        "limits.²=1",
        "a." * 3000 + "b=1",
        f"llm={'a' * 300}.yaml",
        f"llm={'a' * 300}.json",
        'llm="a\\0.yaml"',
        'llm="a\\0.json"',
        "limits.min_speed=1e99999999 tok/s/user",
    ],
)
def test_settings_beyond_all_measure_are_one_line(setting):
    with bounded():
        assert "--set" in one_line_of_error(invoke("solve", "closed_form", "--set", setting))


@pytest.mark.parametrize("option", ["--vary", "--speed", "--power"])
def test_quantities_of_options_are_bounded_too(option):
    for amount in ("1e99999999 kW", f"{'9' * 5000} kW", f"{'9' * 5000}"):
        options = {
            "--vary": ["sweep", "closed_form", "--vary", f"limits.power=1 kW:2 kW:{amount}"],
            "--speed": ["check", "closed_form", "--batch", "1", "--speed", amount],
            "--power": ["check", "closed_form", "--batch", "1", "--speed", "1", "--power", amount],
        }
        with bounded():
            one_line_of_error(invoke(*options[option]))


def test_numbers_are_as_long_as_floats_are():
    assert split("1e308 GB") is not None
    assert split(f"0.{'1' * 90} GB") is not None
    assert split("1e1001 GB") is None
    assert split(f"0.{'1' * 100} GB") is None


def test_steps_of_a_path_are_small_numbers_or_words():
    assert parse_path("a.12.²") == ("a", 12, "²")
    assert parse_path(f"a.{'9' * 5000}") == ("a", "9" * 5000)


def test_a_mapping_that_contains_itself_is_one_line():
    rack = {}
    rack["rack"] = rack
    with pytest.raises(InputError, match=DEEP):
        hbmopt.load({"rack": rack})


JSON = {
    "deep lists": '{"a": ' + "[" * 500_000,
    "deep mappings": '{"a": ' * 500_000,
    "closed levels": '{"a": ' + "[" * 300 + "]" * 300 + "}",
    "many digits": '{"a": ' + "9" * 5000 + "}",
    "many keys, the last one twice": "{"
    + ",".join(f'"k{n}": 1' for n in range(200_000))
    + ',"k199999": 1}',
    "a null byte": '{"a": "\0"}',
    "several": "{} {}",
}


@pytest.mark.parametrize("name", JSON)
def test_a_configuration_beyond_all_measure_is_one_line(name, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(JSON[name], encoding="utf-8")
    begun = time.process_time()
    text = one_line_of_error(invoke("import-llm", path))
    assert str(path) in text
    assert time.process_time() - begun < MOST_SECONDS
    with pytest.raises(InputError):
        json_file.read_mapping(path, "source")


def test_a_large_configuration_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(2**30)
    with bounded():
        assert "is larger than 4 MB" in one_line_of_error(invoke("import-llm", path))
    small, beside = tmp_path / "small", tmp_path / "small" / "hf_quant_config.json"
    small.mkdir()
    (small / "config.json").write_text(json.dumps({"model_type": "llama"}), encoding="utf-8")
    beside.write_text('{"a": ' + "[" * 300 + "]" * 300 + "}", encoding="utf-8")
    said = one_line_of_error(invoke("import-llm", small))
    assert f"{beside}: is nested too deeply" in said


@pytest.mark.parametrize("command", ["predict", "calibrate"])
def test_a_table_beyond_all_measure_is_one_line(command, tmp_path):
    path = tmp_path / "steps.csv"
    with path.open("wb") as file:
        file.truncate(2**30)
    with bounded():
        assert "is larger than 10 MB" in one_line_of_error(invoke(command, path))
    path.write_text("a," * (MOST_COLUMNS + 1) + "\n", encoding="utf-8")
    assert f"{path}:1: has 1,002 columns" in one_line_of_error(invoke(command, path))
    head = "model,accelerator,context_tokens,batch\n"
    path.write_text(head + "x" * 200_000 + ",a,1,1\n", encoding="utf-8")
    assert "field larger than field limit" in one_line_of_error(invoke(command, path))
