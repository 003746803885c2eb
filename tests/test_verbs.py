"""Public functions are called alike: sources, overrides, numbers, and what is wrong."""

import inspect
import json
import math
import pydoc
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import hbmopt
from builders import ROOT
from hbmopt.errors import InputError
from hbmopt.instance.schema import load_document, validate

CLOSED_FORM = ROOT / "instances" / "closed_form.yaml"
H100 = ROOT / "instances" / "h100.yaml"
SHIPPED = sorted(ROOT.glob("instances/**/[!_]*.yaml"))
SHIPPED = [path for path in SHIPPED if not {"catalog", "fleets"} & set(path.parts)]

VERBS = {
    "solve": lambda source, **more: hbmopt.solve(source, **more).throughput_tok_s,
    "frontier": lambda source, **more: len(hbmopt.frontier(source, **more).points_frame),
    "sweep": lambda source, **more: [
        row["throughput_tok_s"] for row in hbmopt.sweep(source, "limits.power=8 kW", **more).rows
    ],
    "compare": lambda source, **more: [
        row.throughput_tok_s for row in hbmopt.compare([source], **more).rows
    ],
    "check": lambda source, **more: hbmopt.check(source, 20, 30, **more).possible,
    "explain": lambda source, **more: hbmopt.explain(source, **more).chosen,
    "sensitivity": lambda source, **more: [
        one.unit_price
        for one in hbmopt.sensitivity(source, resolve=False, only="min_speed", **more).numbers
    ],
    "rack_block": lambda source, **more: len(hbmopt.rack_block(source, **more).contents.groups),
}
PAGE = {"report_page": lambda source, **more: hbmopt.report_page(source, **more).solution.batch}


def sources():
    """Return one instance in every form in which it may be given."""
    document = load_document(H100)
    return [H100, str(H100), "h100", document.value, hbmopt.load(H100)]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_every_kind_of_source(verb):
    found = [VERBS[verb](source) for source in sources()]
    assert found[0]
    assert all(one == found[0] for one in found[1:])


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_overrides_in_every_form(verb):
    changes = {"limits.min_speed": "40 tok/s/user", "choices.replica_accelerators": [4]}
    texts = ["limits.min_speed=40 tok/s/user", "choices.replica_accelerators=[4]"]
    call = VERBS[verb]
    wanted = call(hbmopt.load(H100, changes))
    assert call(H100, overrides=changes) == wanted
    assert call(hbmopt.load(H100), overrides=changes) == wanted
    assert call("h100", overrides=texts) == wanted
    assert call(hbmopt.load(H100, texts[1]), overrides=texts[0]) == wanted


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_an_instance_says_itself_again(path):
    instance = hbmopt.load(path)
    assert hbmopt.load(instance) is instance
    assert validate(load_document(instance)) == instance


@pytest.mark.parametrize(
    "overrides",
    [
        {"llm": "gpt_oss_120b"},
        {"rack": "hgx_h200"},
        {"rack.accelerator.hbm_capacity": "141 GB", "limits.power": "9 kW"},
        {"calibration": "spec_sheet"},
        {"workload": {"context": 4096}},
    ],
    ids=lambda overrides: next(iter(overrides)),
)
def test_overrides_of_an_instance_are_those_of_its_file(overrides):
    from_file = hbmopt.load(H100, overrides)
    from_instance = hbmopt.load(hbmopt.load(H100), overrides)
    assert from_instance == from_file


def test_an_override_of_an_instance_leaves_it_as_it_was():
    instance = hbmopt.load(H100)
    before = instance.model_copy(deep=True)
    hbmopt.load(instance, {"limits.power": "5 kW", "choices.kv_formats": ["bf16"]})
    assert instance == before


def test_a_page_is_that_of_a_changed_instance():
    changes = {"limits.min_speed": "40 tok/s/user", "choices.replica_accelerators": [4]}
    page = hbmopt.report_page(load_document(H100).value, changes)
    assert page.solution.batch == hbmopt.solve("h100", changes).batch


@pytest.mark.parametrize("verb", VERBS | PAGE)
@pytest.mark.parametrize("source", [None, 3, 4.5, b"h100", Ellipsis, ["h100"]], ids=repr)
def test_a_source_of_a_wrong_type_is_an_input_error(verb, source):
    with pytest.raises(InputError) as error:
        (VERBS | PAGE)[verb](source)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("verb", VERBS | PAGE)
@pytest.mark.parametrize("overrides", [3, [3], {"limits": object()}, {3: 4}, "no equals sign"])
def test_overrides_of_a_wrong_type_are_an_input_error(verb, overrides):
    with pytest.raises(InputError) as error:
        (VERBS | PAGE)[verb](H100, overrides=overrides)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: hbmopt.check(H100, "many", 30), "check: batch: 'many'"),
        (lambda: hbmopt.check(H100, 10, [30]), "check: speed: [30]"),
        (lambda: hbmopt.check(H100, 10, "30 kW"), "speed"),
        (lambda: hbmopt.check(H100, 10, 30, power={}), "check: power: {}"),
        (lambda: hbmopt.sensitivity(H100, step="a lot"), "step"),
        (lambda: hbmopt.sensitivity(H100, top="three"), "sensitivity: top: 'three'"),
        (lambda: hbmopt.sensitivity(H100, only=3), "sensitivity: only: 3"),
        (lambda: hbmopt.explain(H100, progress="yes"), "explain: progress: 'yes'"),
        (lambda: hbmopt.sweep(H100, 3), "sweep: variations: 3"),
        (lambda: hbmopt.sweep(H100, "limits.power=8 kW", jobs="two"), "sweep: jobs: 'two'"),
        (lambda: hbmopt.compare("h100"), "several instances in a list"),
        (lambda: hbmopt.compare(3), "several instances in a list"),
        (lambda: hbmopt.compare([]), "nothing to compare"),
        (lambda: hbmopt.rack_block(H100, racks_at_most="some"), "racks_at_most: 'some'"),
        (lambda: hbmopt.rack_block(H100, racks_at_most=2.5), "racks_at_most: 2.5"),
        (lambda: hbmopt.solve_model("h100"), "solve_model: model: 'h100'"),
        (lambda: hbmopt.predict(3), "predict: source: 3"),
        (lambda: hbmopt.calibrate(H100, chips="h100"), "calibrate: chips: 'h100'"),
        (lambda: hbmopt.import_llm(3), "import_llm: source: 3"),
        (hbmopt.load, None),
        (lambda: hbmopt.solve(H100, power="90 kW"), None),
    ],
)
def test_a_wrong_argument_is_named_in_one_line(call, named):
    if named is None:  # Python's own word on calls that the signature does not have
        with pytest.raises(TypeError, match=r"missing|unexpected"):
            call()
        return
    with pytest.raises(InputError) as error:
        call()
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_numbers_may_be_texts():
    plain = hbmopt.check(H100, 100, 30, 9)
    assert hbmopt.check(H100, "100", "30 tok/s", "9 kW") == plain
    assert hbmopt.check(str(H100), 100.0, "30", power="9000 W") == plain
    by_share = hbmopt.sensitivity(CLOSED_FORM, step="5%", top="2")
    assert by_share.numbers == hbmopt.sensitivity(CLOSED_FORM, step=0.05, top=2).numbers


@given(st.one_of(st.none(), st.just(math.nan), st.text(), st.binary(), st.lists(st.text())))
def test_no_batch_whatever_is_a_raw_error(batch):
    assume(not is_number(batch))
    with pytest.raises(InputError) as error:
        hbmopt.check(CLOSED_FORM, batch, 30)
    assert "\n" not in str(error.value)


def is_number(value):
    """Whether something is a number as Python reads it."""
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def test_help_lists_every_verb_with_its_line():
    told = pydoc.plain(pydoc.render_doc(hbmopt))
    functions = [name for name in hbmopt.__all__ if inspect.isfunction(getattr(hbmopt, name))]
    listed = [line.split()[0] for line in hbmopt.__doc__.splitlines() if line.startswith("    ")]
    assert sorted(listed) == sorted(functions)
    assert all(f"    {name} " in told for name in functions)


def test_signatures_are_those_of_the_functions():
    for name in ("solve", "frontier", "explain", "sensitivity", "report_page", "rack_block"):
        assert list(inspect.signature(getattr(hbmopt, name)).parameters)[:2] == [
            "source",
            "overrides",
        ]


def test_answers_of_a_name_and_of_its_file_are_one_document():
    by_name, by_file = hbmopt.solve("closed_form").to_dict(), hbmopt.solve(CLOSED_FORM).to_dict()
    for one in (by_name, by_file):
        one["certificate"].pop("seconds")
    assert json.dumps(by_name) == json.dumps(by_file)


def test_a_name_is_shipped_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hbmopt.load("h200").name == "h200"
    assert hbmopt.load("instances/h200.yaml").name == "h200"
    assert hbmopt.load(Path("generations/01_a100")).name == "01_a100"
    with pytest.raises(InputError, match="did you mean 'h200'"):
        hbmopt.load("h20")
    Path("h200").write_text("rack: {", encoding="utf-8")
    with pytest.raises(InputError, match="h200:2: not valid YAML"):  # a file comes first
        hbmopt.load("h200")
