"""The catalogue as tables: the numbers of its entries in the terminal, in files and as frames."""

import csv
import json

import pandas as pd
import pytest

import hbmopt
from commands import invoke, one_line_of_error
from hbmopt.documents import catalogue, shipped
from hbmopt.errors import InputError
from hbmopt.instance import KINDS, catalogue_table
from hbmopt.report.tables import render_catalogue


def listed(*arguments):
    """Return what `hbmopt catalog` lists as CSV, by name and in the order of the lines."""
    outcome = invoke("catalog", *arguments, "--format", "csv")
    assert outcome.exit_code == 0
    return {row["name"]: row for row in csv.DictReader(outcome.stdout.splitlines())}


def test_a_rack_is_all_of_its_accelerators():
    rack = hbmopt.load(
        {"rack": "gb200_nvl72", "llm": "deepseek_r1", "workload": {"context": 1}}
    ).rack
    chip, row = rack.accelerator, hbmopt.catalogue("racks").loc["gb200_nvl72"]
    assert row["accelerators"] == 72
    assert row["hbm_gb"] == pytest.approx(72 * float(chip.hbm_capacity))
    assert row["hbm_bandwidth_tb_s"] == pytest.approx(72 * 8)
    assert row["fp4_pflop_s"] == pytest.approx(72 * 10)
    assert row["power_kw"] == pytest.approx(132)
    assert row["tdp_kw"] == pytest.approx(72 * 1.2 + 45.6)
    assert row["price_usd"] == 3_000_000
    assert row["price_per_gb_usd"] == pytest.approx(3e6 / (72 * float(chip.hbm_capacity)))
    assert row["year"] == 2025


def test_an_accelerator_has_its_peaks_and_a_lpu_its_sram():
    frame = hbmopt.catalogue("accelerators")
    assert frame.loc["nvidia_h100_sxm", "tdp_w"] == 700
    assert frame.loc["nvidia_h100_sxm", "fp8_tflop_s"] == 1979
    assert pd.isna(frame.loc["nvidia_h100_sxm", "fp4_tflop_s"])
    assert frame.loc["qualcomm_ai200", "memory"] == "LPDDR5X"
    lpu = frame.loc["nvidia_groq3_lpu"]
    assert (lpu["kind"], lpu["memory"], lpu["hbm_gb"]) == ("lpu", "SRAM", 0.5)


def test_a_model_is_what_its_configuration_counts():
    frame = hbmopt.catalogue("llms")
    latent = frame.loc["deepseek_v3"]
    assert latent["parameters_billion"] == pytest.approx(671.03, abs=0.01)
    assert latent["active_billion"] == pytest.approx(37.55, abs=0.01)
    assert (latent["experts"], latent["active_experts"]) == (256, 8)
    assert latent["kv_per_token_bytes"] == 61 * 576  # one latent and one rotary key a layer
    assert latent["native_format"] == "fp8"
    dense = frame.loc["llama_3_1_70b"]
    assert dense["kv_per_token_bytes"] == 80 * 8 * 2 * 128
    assert pd.isna(dense["experts"])
    assert pd.isna(dense["state_mb"])
    assert frame.loc["jamba_v0_1", "state_mb"] == pytest.approx(8.716, abs=1e-3)
    assert frame["experts"].dtype == "Int64"


def test_an_offload_is_all_of_its_devices():
    row = hbmopt.catalogue("offloads").loc["lpx"]
    assert (row["device"], row["units"], row["sram_gb"]) == ("nvidia_groq3_lpu", 256, 128)
    assert row["tdp_kw"] == pytest.approx(256 * 0.45 + 32)


def test_a_calibration_states_what_it_fitted_itself():
    frame = hbmopt.catalogue("calibrations")
    assert frame.loc["nvidia_hopper", "chips"] == "nvidia_h100_sxm nvidia_h200_sxm"
    assert frame.loc["nvidia_hopper", "rows"] == 324 + 20
    assert frame.loc["nvidia_hopper", "worst_median"] == 0.121
    assert frame.loc["universal", "rows"] == 1085
    assert frame.loc["universal", "per_layer_us"] == pytest.approx(64.9)
    assert pd.isna(frame.loc["kernels", "prefill"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_is_a_row_and_every_table_says_so(kind):
    files = {"instances": shipped.names, "fleets": shipped.fleets}
    known = set(files[kind]()) if kind in files else set(catalogue.names(kind))
    frame = hbmopt.catalogue(kind)
    assert set(frame.index) == known
    assert set(listed(kind)) == known
    lines = invoke("catalog", kind).stdout.splitlines()
    assert known <= {line.split()[0] for line in lines if line.strip()}


def test_without_a_kind_the_frame_lists_the_kinds():
    frame = hbmopt.catalogue()
    assert tuple(frame.index) == KINDS
    assert frame.loc["racks", "entries"] == len(catalogue.names("racks"))
    assert "gb200_nvl72" in frame.loc["racks", "names"].split()


def test_uncertain_figures_are_marked_and_named():
    table = catalogue_table("racks")
    rows = {row["name"]: row for row in table.rows()}
    assert "price_usd=press" in rows["gb200_nvl72"]["uncertain"].split()
    assert rows["dgx_b200"]["uncertain"] == "tdp_kw=derived year=derived"
    text = invoke("catalog", "racks").stdout
    line = next(one for one in text.splitlines() if "kyber_nvl144" in one)
    assert "147,456 (ann.)" in line
    assert "1,152 (est.)" in line
    assert "est.: a guess; ann.: announced ahead of the product; press: reported by others." in text
    certain = render_catalogue(table.only("dgx_a100"), "table")
    assert "(" not in certain.split("\n\n")[0]
    assert "est.:" not in certain


def test_a_number_of_several_figures_is_worth_what_the_weakest_is():
    entry = next(one for one in catalogue_table("racks").entries if one.name == "vr_nvl72")
    assert entry.uncertain["price"] == "press"
    assert entry.uncertain["hbm"] == "announced"
    assert entry.uncertain["price_per_gb"] == "press"  # the weaker of both


def test_digits_stand_below_each_other_whatever_marks_follow():
    lines = invoke("catalog", "racks").stdout.splitlines()
    ends = {
        line.index(digits) + len(digits)
        for name, digits in (("dgx_a100", "343.6"), ("kyber_nvl144", "147,456"))
        for line in lines
        if line.strip().startswith(name)
    }
    assert len(ends) == 1


def test_a_sorted_table_has_its_order_and_says_by_what():
    by_price = [row["price_usd"] for row in listed("racks", "--sort", "price").values()]
    known = [float(one) for one in by_price if one]
    assert known == sorted(known)
    assert by_price[: len(known)] == [one for one in by_price if one], "unknown ones come last"
    falling = listed("racks", "--sort=-price")
    dearest = next(iter(falling.values()))["price_usd"]
    assert float(dearest) == max(known)
    assert list(falling) == list(listed("racks", "--sort", "price_usd", "--reverse"))
    assert list(listed("racks", "--sort=-price", "--reverse")) == list(
        listed("racks", "--sort", "price")
    )
    assert [row["price_usd"] for row in falling.values()][-1] == ""
    assert list(listed("llms", "--reverse")) == sorted(catalogue.names("llms"), reverse=True)
    memory = [row["memory"] for row in listed("accelerators", "--sort", "memory").values()]
    assert memory == sorted(memory, key=str.lower)
    text = invoke("catalog", "racks", "--sort=-hbm").stdout
    assert "GB ↓" in text
    assert "GB ↑" in invoke("catalog", "racks", "--sort", "hbm").stdout
    assert "↓" not in invoke("catalog", "racks").stdout


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (
            ("racks", "--sort", "pric"),
            "no such column; did you mean 'price' or 'price_per_gb'?",
        ),
        (("racks", "--sort", "zz"), "valid: name, accelerator, accelerators, hbm, "),
        (("llms", "--sort", "hbm"), "llms have no such column; valid: name, parameters"),
        (("--sort", "hbm"), "--sort: orders a list; name what to list: instances, fleets"),
        (("racks", "dgx_h100", "--reverse"), "--reverse: orders a list"),
        (("rack", "--sort", "hbm"), "did you mean 'racks'?"),
        (("racks", "dgx_h10", "--format", "json"), "did you mean 'dgx_h100'?"),
        (("instances", "h20"), "did you mean 'h200' or"),
        (("racks", "-o", "racks.xml"), "must end in .txt, .json, .csv"),
    ],
)
def test_what_cannot_be_listed_is_one_line(arguments, remedy):
    assert remedy in one_line_of_error(invoke("catalog", *arguments))


def test_json_says_what_columns_mean_and_what_is_uncertain():
    found = json.loads(invoke("catalog", "racks", "--format", "json").stdout)
    assert found["kind"] == "racks"
    keys = {one["key"]: one for one in found["columns"]}
    assert keys["hbm_gb"]["unit"] == "GB"
    assert all(one["meaning"] for one in found["columns"])
    rack = next(one for one in found["entries"] if one["name"] == "gb200_nvl72")
    assert set(rack) == {"name", "uncertain", *keys}
    assert rack["uncertain"]["price_usd"] == "press"
    assert rack["fp4_pflop_s"] == 720
    everything = json.loads(invoke("catalog", "--format", "json").stdout)
    assert everything["offloads"] == ["lpx"]
    assert "accelerators,qualcomm_ai200\n" in invoke("catalog", "--format", "csv").stdout


def test_a_file_holds_what_its_suffix_says(tmp_path):
    for name in ("racks.csv", "racks.json", "racks.txt"):
        outcome = invoke("catalog", "racks", "-o", tmp_path / name)
        assert (outcome.exit_code, outcome.stdout) == (0, "")
    assert (tmp_path / "racks.csv").read_text(encoding="utf-8").startswith("name,accelerator,")
    assert json.loads((tmp_path / "racks.json").read_text(encoding="utf-8"))["kind"] == "racks"
    text = (tmp_path / "racks.txt").read_text(encoding="utf-8")
    assert text == invoke("catalog", "racks").stdout


def test_one_entry_is_its_text_or_its_row(tmp_path):
    assert invoke("catalog", "racks", "dgx_h100").stdout == catalogue.text("racks", "dgx_h100")
    assert list(listed("racks", "dgx_h100")) == ["dgx_h100"]
    path = tmp_path / "mine.yaml"
    invoke("catalog", "racks", "dgx_h100", "-o", path)
    own = {"rack": str(path), "llm": "llama_3_1_8b", "workload": {"context": 8192}}
    assert hbmopt.load(own).rack == hbmopt.load(own | {"rack": "dgx_h100"}).rack


@pytest.mark.parametrize("width", [80, 100, 132])
@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_a_narrow_terminal_leaves_columns_out_and_names_them(kind, width):
    text = render_catalogue(catalogue_table(kind), "table", width=width)
    lines = text.split("\nLeft out")[0].splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text, "no number is cut"
    assert "title" in text.split("Left out for want of width:")[1]


def test_instances_can_be_sorted_and_name_rack_and_model():
    frame = hbmopt.catalogue("instances")
    assert frame.loc["h200", "rack"] == "hgx_h200"
    assert frame.loc["closed_form", "rack"]
    racks = [row["rack"] for row in listed("instances", "--sort", "rack").values()]
    assert racks == sorted(racks, key=str.lower)


def test_an_unknown_kind_is_an_input_error():
    with pytest.raises(InputError, match="did you mean 'racks'"):
        hbmopt.catalogue("rack")
    with pytest.raises(InputError, match="catalogue: kind: 3"):
        hbmopt.catalogue(3)
