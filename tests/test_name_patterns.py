"""Patterns: names of the catalogue that vary, and instances that are compared."""

from pathlib import Path

import pytest

import hbmopt
from builders import INSTANCES
from commands import invoke, one_line_of_error
from hbmopt.documents import catalogue, shipped
from hbmopt.errors import InputError
from hbmopt.instance import parse_variation

H200 = INSTANCES / "h200.yaml"


def values(text):
    return parse_variation(text).values


def test_a_star_is_every_entry_of_the_kind():
    assert values("rack=*") == catalogue.names("racks")
    assert values("llm=*") == catalogue.names("llms")
    assert values("calibration=*") == catalogue.names("calibrations")
    assert values("rack.offload=*") == ("lpx",)


def test_lpus_are_no_accelerators_of_a_rack():
    everything = set(catalogue.names("accelerators"))
    lpus = {"groq_lpu_v1", "nvidia_groq3_lpu"}
    assert set(values("rack.accelerator=*")) == everything - lpus
    assert set(values("rack.offload.device=*")) == lpus


def test_patterns_match_as_those_of_a_shell_and_stand_beside_names():
    assert values("rack=gb?00_nvl72") == ("gb200_nvl72", "gb300_nvl72")
    assert values("rack=gb[23]00_*") == ("gb200_nvl72", "gb300_nvl72")
    assert values("llm=qwen3_32b, llama_3_1_*b")[0] == "qwen3_32b"
    # What is named already is not named again.
    assert values("rack=gb300_nvl72,gb*") == ("gb300_nvl72", "gb200_nvl72")


def test_files_of_ones_own_match_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b", "a"):
        text = catalogue.text("racks", "hgx_h200")
        Path(f"{name}.yaml").write_text(text, encoding="utf-8")
    assert values("rack=*.yaml") == ("a.yaml", "b.yaml")
    assert values(f"rack={tmp_path}/a*.yaml") == (f"{tmp_path}/a.yaml",)
    swept = hbmopt.sweep("h200", "rack=hgx_h200,*.yaml")
    assert len({row["throughput_tok_s"] for row in swept.rows}) == 1


def test_other_fields_have_no_patterns():
    assert values("description=why?,who?") == ("why?", "who?")
    assert values("choices.weight_formats=[fp8],[fp4,fp8]") == ("[fp8]", "[fp4,fp8]")
    assert values("rack=[1],{base: hgx_h200}") == ("[1]", "{base: hgx_h200}")
    assert len(values("limits.power=60 kW:90 kW:10 kW")) == 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "rack=gb20_*",
            "none of the catalogue's racks matches gb20_*; did you mean 'gb200_nvl72'?",
        ),
        ("rack=zz*", "24 are known, none of them near it"),
        ("rack.accelerator=groq*", "matches groq_lpu_v1 alone: LPUs, named at rack.offload.device"),
        ("rack.offload.device=nvidia_h*", "alone: accelerators, named at rack.accelerator"),
        ("limits.power=*", "patterns stand for names of the catalogue, at rack, rack.accelerator"),
        ("llm=no_such_*.json", "no file matches no_such_*.json"),
    ],
)
def test_a_pattern_that_matches_nothing_is_one_line(text, told):
    with pytest.raises(InputError) as error:
        parse_variation(text)
    assert str(error.value).startswith(f"--vary {text}: ")
    assert told in str(error.value)
    assert told in one_line_of_error(invoke("sweep", H200, "--vary", text))


def test_a_sweep_over_racks_has_a_row_for_each_and_says_why_one_does_not_fit():
    swept = hbmopt.sweep("deepseek_r1_h200", "rack=dgx_?100,hgx_*")
    rows = {row["rack"]: row for row in swept.rows}
    assert list(rows) == ["dgx_a100", "dgx_h100", "hgx_h200", "hgx_rubin_nvl8"]
    assert rows["dgx_h100"]["status"] == "infeasible"
    alone = hbmopt.solve("deepseek_r1_h200", {"rack": "hgx_h200"})
    assert rows["hgx_h200"]["throughput_tok_s"] == pytest.approx(alone.throughput_tok_s)


def test_of_names_each_one_that_does_not_fit_says_why():
    outcome = invoke("sweep", "deepseek_r1_h200", "--vary", "rack=dgx_?100,hgx_h200")
    lines = [line for line in outcome.stdout.splitlines() if line.startswith("infeasible at")]
    assert [line.split(":")[0] for line in lines] == [
        "infeasible at rack dgx_a100",
        "infeasible at rack dgx_h100",
    ]
    # Of numbers the first one says it for all.
    speeds = "limits.min_speed=900 tok/s:1000 tok/s:50 tok/s"
    text = invoke("sweep", "h200", "--vary", speeds).stdout
    assert text.count("infeasible at") == 1
    assert " 950 " in text
    assert text.count("infeasible") > 2


def test_an_entry_that_is_not_valid_is_a_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = catalogue.text("racks", "hgx_h200").replace("accelerators:", "acelerators:", 1)
    Path("wrong.yaml").write_text(wrong, encoding="utf-8")
    swept = hbmopt.sweep("h200", "rack=hgx_h200,*.yaml")
    assert dict(swept.statuses) == {"optimal": 1, "invalid": 1}
    assert "did you mean 'accelerators'?" in swept.rows[1]["error"]
    compared = hbmopt.compare(["h200"], vary="rack=hgx_h200,*.yaml")
    assert [row.name for row in compared.rows] == ["hgx_h200"]
    assert compared.notes[-1].startswith("Left out: wrong.yaml, which cannot be used: wrong.yaml:")


def test_shipped_instances_match_as_files_of_a_folder_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped.matching("gb[23]00_nvl*") == ("gb200_nvl72", "gb300_nvl72")
    generations = tuple(name for name in shipped.names() if "/" in name)
    for pattern in ("generations/*", "instances/generations/*", "instances/generations/*.yaml"):
        assert shipped.matching(pattern) == generations
    assert not set(shipped.matching("*")) & set(generations)
    assert shipped.matching("h200") == ("h200",)
    with pytest.raises(InputError, match=r"gb20_\*: no file .* did you mean 'gb200_nvl72'"):
        shipped.matching("gb20_*")


def test_files_that_are_there_come_before_shipped_instances(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("h9.yaml").write_text(H200.read_text(encoding="utf-8"), encoding="utf-8")
    assert shipped.matching("h*.yaml") == (Path("h9.yaml"),)
    assert set(shipped.matching("h?00")) == {"h100", "h200"}
    Path("h?00").write_text("rack: x", encoding="utf-8")
    assert shipped.matching("h?00") == ("h?00",)


def test_a_comparison_takes_patterns():
    by_pattern = hbmopt.compare(["h?00"])
    assert [row.name for row in by_pattern.rows] == ["h100", "h200"]
    assert hbmopt.compare("h?00").rows == by_pattern.rows
    outcome = invoke("compare", "h?00", "--format", "csv")
    assert [line.split(",")[0] for line in outcome.stdout.splitlines()] == ["name", "h100", "h200"]
    assert "did you mean 'h100'?" in one_line_of_error(invoke("compare", "h10*_"))


def test_an_instance_stands_beside_itself_on_other_racks():
    found = hbmopt.compare(["h200"], vary="rack=hgx_h200,dgx_h*")
    assert [row.name for row in found.rows] == ["hgx_h200", "dgx_h100"]
    alone = hbmopt.solve("h200", {"rack": "dgx_h100"})
    assert found.rows[1].throughput_tok_s == pytest.approx(alone.throughput_tok_s)
    assert found.law is not None
    outcome = invoke("compare", H200, "--vary", "rack=hgx_h200,dgx_h*", "--format", "csv")
    lines = outcome.stdout.splitlines()
    assert [line.split(",")[0] for line in lines] == ["name", "hgx_h200", "dgx_h100"]


def test_several_instances_that_vary_carry_their_names():
    grid = hbmopt.compare(
        ["h100", "h200"], vary=["limits.min_speed=20 tok/s,30 tok/s", "choices.kv_formats=[fp8]"]
    )
    assert [row.name for row in grid.rows] == [
        "h100 20 tok/s, [fp8]",
        "h100 30 tok/s, [fp8]",
        "h200 20 tok/s, [fp8]",
        "h200 30 tok/s, [fp8]",
    ]
    assert [row.min_speed_tok_s_user for row in grid.rows] == [20, 30, 20, 30]


def test_calibrations_by_chip_follow_the_rack_that_varies():
    varied = hbmopt.compare(["h200"], {"calibration": "calibrated"}, vary="rack=dgx_h100,dgx_b200")
    alone = [
        hbmopt.solve("h200", {"calibration": "calibrated", "rack": rack})
        for rack in ("dgx_h100", "dgx_b200")
    ]
    assert [row.accuracy for row in varied.rows] == [one.accuracy for one in alone]
    assert alone[0].accuracy.calibration != alone[1].accuracy.calibration


def test_progress_counts_the_instances():
    told = []
    hbmopt.compare(["closed_form"] * 2, progress=lambda done, most: told.append((done, most)))
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("vary", "told"),
    [
        ("rack=zz*", "none of the catalogue's racks matches zz*"),
        ("rak=1,2", "did you mean 'rack'?"),
        ("limits.power=1 kW:201 kW:1 kW", "201 instances; at most 200, sweep takes more"),
    ],
)
def test_what_cannot_vary_is_one_line(vary, told):
    with pytest.raises(InputError) as error:
        hbmopt.compare(["h200"], vary=vary)
    assert told in str(error.value)
    assert told in one_line_of_error(invoke("compare", H200, "--vary", vary))
