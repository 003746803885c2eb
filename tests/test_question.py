"""What heads an answer: the question as its file puts it, or as it was changed."""

import json
import re

import pytest

import hbmopt
from commands import invoke
from hbmopt.documents import catalogue
from hbmopt.errors import InputError
from hbmopt.instance import llm_name, load, rack_name

OWN = "What does an HGX H200 make of Qwen3-235B when answers are 16,000 tokens long?"


def heading(*changes):
    return load("h200", list(changes)).description


def test_nothing_that_changed_leaves_the_description_of_the_file():
    assert heading() == OWN
    # The same model and rack again.
    assert heading("llm=qwen3_235b", "rack=hgx_h200") == OWN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("llm=llama_3_1_70b", "make of Llama 3.1 70B with"),
        ("rack=dgx_b200", "What does DGX B200 server, 8 x B200 SXM make of"),
        ("workload={context: 4096}", "with 4,096 tokens of context"),
        ("workload.output=8192", "with 6,144 tokens of context"),
        ("limits.min_speed=40 tok/s", "at 40 tok/s per user"),
        ("limits.power=9.5 kW", "within 9.5 kW?"),
        ("rack.accelerators=32", "hgx_h200 changed to 32 x NVIDIA H200 SXM 141 GB make"),
    ],
)
def test_a_changed_question_is_the_heading(change, said):
    text = heading(change)
    assert said in text
    assert text.endswith(f"? From h200, changed: {change}.")
    assert OWN not in text


def test_choices_and_constants_are_said_beside_the_description():
    text = heading("choices.kv_formats=[bf16]", "calibration.worst=0.1")
    assert text == f"{OWN} From h200, changed: choices.kv_formats=[bf16], calibration.worst=0.1."


def test_a_description_of_ones_own_stays_and_none_is_made_where_there_is_none():
    assert heading("description=Mine", "llm=llama_3_1_8b") == "Mine"
    plain = {"rack": "hgx_h200", "llm": "llama_3_1_8b", "workload": {"context": 8192}}
    assert load(plain, {"rack": "dgx_b200"}).description == ""
    asked = plain | {"description": "How much?"}
    assert load(asked, {"rack": "dgx_b200"}).description.endswith("? Changed: rack=dgx_b200.")


def test_the_last_of_several_changes_of_a_key_counts_and_long_ones_are_named_by_their_key():
    text = heading("limits.power=9 kW", "limits.power=8 kW")
    assert text.endswith("changed: limits.power=8 kW.")
    many = ",".join(str(1 - step / 100) for step in range(30))
    assert heading(f"choices.clocks=[{many}]").endswith("changed: choices.clocks.")


def test_an_instance_that_is_changed_again_asks_its_new_question():
    changed = load(load("h200"), {"limits.min_speed": "30 tok/s"})
    assert "at 30 tok/s per user" in changed.description


def test_racks_are_called_by_their_title_while_they_are_what_it_says():
    for name in catalogue.names("racks"):
        rack = load("h200", {"rack": name}).rack
        assert rack_name(rack) == rack.title
        assert llm_name(load("h200").llm) == "Qwen3 235B-A22B"
    other = load("h200", {"rack.accelerator": "nvidia_h100_sxm"})
    assert rack_name(other.rack) == "hgx_h200 changed to 8 x NVIDIA H100 SXM5 80 GB"
    mine = load("h200", {"rack.accelerators": 32, "rack.title": "Four servers"})
    assert rack_name(mine.rack) == "Four servers"


CHANGES = ["--set", "llm=llama_3_1_70b", "--set", "rack.accelerators=32"]
STALE = re.compile(r"Qwen3|8 x H200")


@pytest.mark.parametrize(
    "command",
    [
        ["solve", "h200"],
        ["check", "h200", "--batch", "64", "--speed", "20"],
        ["frontier", "h200"],
        ["sensitivity", "h200", "--no-resolve", "--only", "power"],
        ["sweep", "h200", "--vary", "limits.power=9 kW,10 kW"],
        ["compare", "h200", "h200"],
    ],
    ids=lambda command: command[0],
)
def test_no_command_heads_its_answer_with_what_was_changed_away(command):
    text = invoke(*command, *CHANGES).stdout
    assert "Llama 3.1 70B" in text
    assert not STALE.search(text)
    assert "32 x NVIDIA" in " ".join(text.split()) or command[0] == "sweep"


def test_json_has_the_changed_question():
    found = json.loads(invoke("solve", "h200", *CHANGES, "--format", "json").stdout)
    assert found["title"].startswith("What does hgx_h200 changed to 32 x NVIDIA H200")
    assert found["rack"] == "hgx_h200 changed to 32 x NVIDIA H200 SXM 141 GB"


def test_what_varies_in_a_sweep_is_left_open():
    title = hbmopt.sweep("h200", "llm=qwen3_235b,llama_3_1_70b").title
    assert "make of each model with" in title
    assert title.endswith("From h200, varied: llm.")
    title = hbmopt.sweep("h200", "limits.power=9 kW,10 kW").title
    assert "kW?" not in title
    title = hbmopt.sweep("h200", ["rack.accelerators=4,8"], overrides=["llm=llama_3_1_8b"]).title
    assert title.startswith("What does hgx_h200 make of Llama 3.1 8B with")
    assert title.endswith("From h200, changed: llm=llama_3_1_8b; varied: rack.accelerators.")
    assert hbmopt.sweep("h200", "choices.kv_formats=[fp8],[bf16]").title.startswith(OWN)


def test_a_page_says_what_made_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    path = tmp_path / "page.html"
    assert invoke("report", "closed_form", "--set", "limits.min_speed=3 tok/s", "-o", str(path))
    text = path.read_text(encoding="utf-8")
    footer = text.partition("<footer>")[2].partition("</footer>")[0]
    assert footer == (
        f"closed_form, by hbmopt {hbmopt.__version__} on 2023-11-14. Made by <code>hbmopt report "
        "closed_form --set &#x27;limits.min_speed=3 tok/s&#x27; -o page.html</code>."
    )
    head = text.partition("<h1>")[2].partition("</h1>")[0]
    assert "at 3 tok/s per user" in head


def test_a_page_of_python_lists_its_changes_and_a_wrong_date_is_refused(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    page = hbmopt.report_page("closed_form", {"limits.min_speed": "3 tok/s"})
    assert "on 1970-01-01. Changed: <code>limits.min_speed=3 tok/s</code>.</footer>" in page.html
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(InputError, match="SOURCE_DATE_EPOCH=yesterday: must be whole seconds"):
        hbmopt.report_page("closed_form")
