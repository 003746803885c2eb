import re

import pytest

from builders import INSTANCES
from hbmopt.errors import HbmoptError, InputError
from hbmopt.instance.schema import load
from problems import FILES, GOOD, NAMED, OVERRIDES


def message(*arguments):
    with pytest.raises(InputError) as caught:
        load(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_bad_file_is_named_with_line_key_and_remedy(name, tmp_path):
    problem, path = FILES[name], tmp_path / f"{name}.yaml"
    path.write_text(problem.text, encoding="utf-8")
    text = message(path)
    assert text.startswith(f"{path}:{problem.line}: ")
    assert problem.key in text
    assert problem.remedy in text


@pytest.mark.parametrize("override", sorted(OVERRIDES))
def test_a_bad_override_is_named_with_key_and_remedy(override, tmp_path):
    path = tmp_path / "good.yaml"
    path.write_text(GOOD, encoding="utf-8")
    key, remedy = OVERRIDES[override]
    text = message(path, [override])
    assert key in text
    assert remedy in text


@pytest.mark.parametrize("override", ["llm.attention.0.heads=0", "x.y=3", "limits.power=3 GB"])
def test_a_bad_override_is_not_blamed_on_the_file(override, tmp_path):
    path = tmp_path / "good.yaml"
    path.write_text(GOOD, encoding="utf-8")
    assert message(path, [override]).startswith(f"--set {override}: ")


def test_a_bad_override_of_the_library_is_named(tmp_path):
    path = tmp_path / "good.yaml"
    path.write_text(GOOD, encoding="utf-8")
    text = message(path, {"limits.power": "3 GB"})
    assert text.startswith("override limits.power: limits.power: ")
    assert '"120 kW"' in text


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "none.yaml"
    assert message(path) == f"{path}: there is no such file"


def test_a_folder_is_named(tmp_path):
    assert message(tmp_path) == f"{tmp_path}: is a folder; name a YAML file in it"


def test_a_binary_file_is_named(tmp_path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\x80\xff\x00rack")
    assert message(path) == f"{path}: is not UTF-8 text, as YAML is"


def test_a_control_character_is_named(tmp_path):
    path = tmp_path / "control.yaml"
    path.write_text("rack: \x01\n", encoding="utf-8")
    text = message(path)
    assert text.startswith(f"{path}")
    assert "control characters are not allowed" in text


def test_a_mapping_is_named_without_a_file():
    text = message({"rack": "dgx_h100", "llm": "llama_3_1_8b", "workload": {"contxt": 3}})
    assert text.startswith("<mapping>: workload.contxt: ")
    assert "did you mean 'context'?" in text


def test_an_input_error_is_an_error_of_hbmopt():
    assert issubclass(InputError, HbmoptError)


def test_the_instance_behind_the_bad_files_is_good(tmp_path):
    path = tmp_path / "good.yaml"
    path.write_text(GOOD, encoding="utf-8")
    instance = load(path)
    assert instance.name == "good"
    assert instance.rack.accelerator.hbm_capacity.amount == 100.0


@pytest.mark.parametrize(
    ("written", "other"),
    [
        ("hbm_capacity: 100 GB", "hbm_capacity: 100_000 MB"),
        ("hbm_capacity: 100 GB", "hbm_capacity: 0.1 TB"),
        ("hbm_capacity: 100 GB", 'hbm_capacity: "100,000,000 kB"'),
        ("hbm_bandwidth: 4 TB/s", "hbm_bandwidth: 4000 GB/s"),
        ("hbm_bandwidth: 4 TB/s", "hbm_bandwidth: 32 Tbit/s"),
        ("hbm_bandwidth: 4 TB/s", "hbm_bandwidth: 32 Tb/s"),
        ("{bf16: 1000 PFLOP/s}", "{bf16: 1 EFLOP/s}"),
        ("{bf16: 1000 PFLOP/s}", "{bf16: 1e6 TFLOPS}"),
        ("tdp: 1 kW", "tdp: 1000 W"),
        ("tdp: 1 kW", "tdp: {value: 0.001 MW}"),
    ],
)
def test_other_units_of_the_same_quantity_leave_the_instance_equal(written, other, tmp_path):
    assert GOOD.count(written) == 1
    one, two = tmp_path / "a" / "same.yaml", tmp_path / "b" / "same.yaml"
    for path, text in ((one, GOOD), (two, GOOD.replace(written, other))):
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
    assert one.read_text(encoding="utf-8") != two.read_text(encoding="utf-8")
    assert load(one) == load(two)


def test_a_change_of_a_catalogue_entry_is_not_blamed_on_the_catalogue(tmp_path):
    change = "rack: {base: dgx_h100, accelerator: {base: nvidia_h100_sxm, tdp: 3 GB}}\n"
    path = tmp_path / "changed.yaml"
    path.write_text(NAMED.replace("rack: dgx_h100\n", change), encoding="utf-8")
    assert message(path).startswith(f"{path}:1: rack.accelerator.tdp: ")


def test_a_change_in_a_mapping_is_not_blamed_on_the_catalogue():
    text = message(
        {
            "rack": {"base": "dgx_h100", "static_power": "3 GB"},
            "llm": "llama_3_1_8b",
            "workload": {"context": 100},
        }
    )
    assert text.startswith("<mapping>: rack.static_power: ")


@pytest.mark.parametrize(
    "written",
    [
        "rack: nvidia\n",
        "rack: {base: dgx_h100, accelerator: [1]}\n",
        "rack: {base: dgx_h100, power: {value: 3}}\n",
        "rack: {base: dgx_h100, offload: {base: lpx, device: groq}}\n",
    ],
)
def test_the_line_of_a_changed_entry_is_that_of_the_instance(written, tmp_path):
    path = tmp_path / "changed.yaml"
    path.write_text(NAMED.replace("rack: dgx_h100\n", written), encoding="utf-8")
    assert message(path).startswith(f"{path}:1: rack")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("llm.attention.0.layers=5", "have 5 layers, the model 61 attention blocks"),
        ("llm.layers=10", "`mixture.layers` 58 are more than the model's 10"),
        ("llm.mixture.layers=100", "`mixture.layers` 100 are more than the model's 61"),
    ],
)
def test_layers_that_do_not_add_up_are_an_error(change, said):
    with pytest.raises(InputError, match=re.escape(said)):
        load(INSTANCES / "deepseek_r1_h200.yaml", [change])
