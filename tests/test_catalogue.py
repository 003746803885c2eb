import math

import pytest
import yaml

from builders import INSTANCES
from hbmopt.documents import catalogue
from hbmopt.documents.figure import Figure
from hbmopt.errors import InputError
from hbmopt.instance.hardware import Accelerator, Offload, OffloadDevice, Rack
from hbmopt.instance.schema import Instance, load
from hbmopt.llm.schema import COMPONENTS, Llm

CATALOGUE = INSTANCES / "catalog"
ENTRIES = [(kind, name) for kind in catalogue.KINDS for name in catalogue.names(kind)]
RACKS, LLMS = catalogue.names("racks"), catalogue.names("llms")
GROUPED, TOKENS = 2, 8192  # K and V; the context of the KV figures


def plain(kind, name):
    return yaml.safe_load((CATALOGUE / kind / f"{name}.yaml").read_text(encoding="utf-8"))


def loaded(rack="dgx_h100", llm="llama_3_1_8b"):
    return load({"rack": rack, "llm": llm, "workload": {"context": TOKENS}})


def figures(node, path=()):
    """Every mapping that states a value, with its path."""
    if isinstance(node, dict):
        if "value" in node:
            yield path, node
        for key, below in node.items():
            yield from figures(below, (*path, key))
    elif isinstance(node, list):
        for index, below in enumerate(node):
            yield from figures(below, (*path, index))


ALL_FIGURES = [
    pytest.param(figure, id=".".join(map(str, (kind, name, *path))))
    for kind, name in ENTRIES
    for path, figure in figures(plain(kind, name))
]
SOURCES = yaml.safe_load((CATALOGUE / "sources.yaml").read_text(encoding="utf-8"))


def test_every_file_of_the_catalogue_is_an_entry():
    files = {path.relative_to(CATALOGUE).as_posix() for path in CATALOGUE.rglob("*")}
    expected = {f"{kind}/{name}.yaml" for kind, name in ENTRIES}
    assert files == expected | set(catalogue.KINDS) | {"sources.yaml"}
    assert {kind for kind, _ in ENTRIES} == set(catalogue.KINDS)


@pytest.mark.parametrize("name", RACKS)
def test_every_rack_loads_with_its_accelerator(name):
    rack = loaded(rack=name).rack
    assert isinstance(rack, Rack)
    assert rack.name == name
    assert rack.accelerator.name == plain("racks", name)["accelerator"]


@pytest.mark.parametrize("name", LLMS)
def test_every_model_loads(name):
    assert loaded(llm=name).llm.name == name


@pytest.mark.parametrize("name", catalogue.names("accelerators"))
def test_every_accelerator_loads(name):
    document = catalogue.entry("accelerators", name)
    kinds = {"accelerator": Accelerator, "lpu": OffloadDevice}
    device = kinds[document.value["kind"]].model_validate(document.value)
    assert device.name == name


@pytest.mark.parametrize("name", catalogue.names("offloads"))
def test_every_rack_of_lpus_loads(name):
    instance = loaded(rack={"base": "vr_nvl72", "offload": name})
    assert isinstance(instance.rack.offload, Offload)
    assert instance.rack.offload.device.name == plain("offloads", name)["device"]


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_entries_are_named_like_their_files(kind, name):
    assert plain(kind, name).get("name", name) == name


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_entries_begin_with_what_they_are(kind, name):
    first = (CATALOGUE / kind / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert plain(kind, name)["title"]


@pytest.mark.parametrize("figure", ALL_FIGURES)
def test_figures_have_a_status_and_known_sources_and_estimates_a_note(figure):
    assert "status" in figure
    assert figure["source"]
    assert set(figure["source"]) <= SOURCES.keys()
    if figure["status"] == "estimate":
        assert figure.get("note"), "a guess has to say how it was made"


@pytest.mark.parametrize("figure", ALL_FIGURES)
def test_arithmetic_on_other_figures_says_which(figure):
    if "calc" in figure["source"]:
        assert figure.get("note")
    assert figure["status"] != "given"


def test_every_source_has_a_title():
    assert all(source["title"] for source in SOURCES.values())
    assert list(SOURCES) == sorted(SOURCES)


@pytest.mark.parametrize("name", LLMS)
def test_models_have_known_sources(name):
    entry = plain("llms", name)
    assert entry["source"]
    assert set(entry["source"]) <= SOURCES.keys()
    if entry["status"] == "estimate":
        assert entry["note"]


DERIVED = [
    name
    for name in RACKS
    if "power" in plain("racks", name)
    and plain("racks", name)["static_power"]["status"] == "derived"
]


def test_some_static_powers_are_derived():
    assert "dgx_h100" in DERIVED


@pytest.mark.parametrize("name", DERIVED)
def test_derived_static_power_is_the_rack_without_its_accelerators(name):
    rack = loaded(rack=name).rack
    running = rack.accelerators.amount * rack.accelerator.tdp.amount
    assert rack.static_power.amount + running == pytest.approx(rack.power.amount, rel=1e-12)


@pytest.mark.parametrize("name", RACKS)
def test_a_scale_up_domain_is_no_larger_than_its_rack(name):
    rack = loaded(rack=name).rack
    if rack.scale_up_domain is not None:
        assert rack.scale_up_domain.amount <= rack.accelerators.amount
    assert all(isinstance(peak, Figure) for peak in rack.accelerator.peak_flops.values())


@pytest.mark.parametrize("name", catalogue.names("accelerators"))
def test_peaks_grow_as_formats_shrink(name):
    document = catalogue.entry("accelerators", name).value
    kinds = {"accelerator": Accelerator, "lpu": OffloadDevice}
    peaks = kinds[document["kind"]].model_validate(document).peak_flops
    ordered = [peaks[wide].amount for wide in ("bf16", "fp8", "fp4") if wide in peaks]
    assert ordered == sorted(ordered)


@pytest.mark.parametrize("name", LLMS)
def test_attention_layers_add_up_to_those_of_the_model(name):
    llm = loaded(llm=name).llm
    assert isinstance(llm, Llm)
    assert sum(group.layers for group in llm.attention) == llm.mixer_blocks
    assert set(type(llm.parameters).model_fields) == set(COMPONENTS)
    assert llm.native_format in llm.schemes


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("llama_3_1_8b", 8.03),
        ("llama_3_1_70b", 70.55),
        ("llama_3_1_405b", 405.9),
        ("deepseek_r1", 671.0),
        ("gpt_oss_120b", 116.8),
        ("qwen3_32b", 32.8),
        ("qwen3_235b", 235.1),
    ],
)
def test_parameters_add_up_to_the_published_total(name, billions):
    assert loaded(llm=name).llm.parameters.total / 1e9 == pytest.approx(billions, rel=2e-3)


@pytest.mark.parametrize(("kv_format", "size"), [("fp8", 1), ("bf16", 2), ("fp4", 4.5 / 8)])
def test_grouped_cache_of_llama_is_two_vectors_per_kv_head(kv_format, size):
    # 80 layers x 8 KV heads x (128 + 128) elements.
    held = 80 * 8 * GROUPED * 128 * TOKENS * size
    llm = loaded(llm="llama_3_1_70b").llm
    assert llm.held_bytes(TOKENS, kv_format) == pytest.approx(held, rel=1e-12)
    assert llm.read_bytes(TOKENS, kv_format) == pytest.approx(held, rel=1e-12)
    # 4 FLOPs per query head and dimension and token: 80 x 64 x 128.
    assert llm.attention_flops(TOKENS) == 80 * 4 * 64 * 128 * TOKENS


@pytest.mark.parametrize(("kv_format", "size"), [("fp8", 1), ("bf16", 2)])
def test_latent_cache_of_deepseek_is_one_latent_and_one_rotary_key(kv_format, size):
    # 61 layers x (512 + 64) elements: 70,272 B per token in bf16, as published.
    llm = loaded(llm="deepseek_r1").llm
    assert llm.held_bytes(TOKENS, kv_format) == 61 * 576 * size * TOKENS
    assert llm.read_bytes(TOKENS, kv_format) == 61 * 576 * size * TOKENS
    assert llm.held_bytes(1, "bf16") == 70_272


def test_windows_of_gpt_oss_hold_128_tokens_and_no_more():
    # 18 layers hold 128 tokens, 18 all of them: 8 KV heads x (64 + 64) B each.
    llm = loaded(llm="gpt_oss_120b").llm
    assert llm.held_bytes(TOKENS, "fp8") == 18 * (128 + TOKENS) * 8 * 128
    assert llm.read_bytes(TOKENS, "fp8") == llm.held_bytes(TOKENS, "fp8")
    assert llm.held_bytes(100, "fp8") == 36 * 100 * 8 * 128


def test_sparse_attention_holds_every_entry_and_reads_the_chosen():
    # FP8 entry 656 B and index key 132 B; 2048 entries are read beside all index keys.
    llm = loaded(llm="deepseek_v3_2").llm
    assert llm.held_bytes(TOKENS, "fp8") == 61 * TOKENS * (656 + 132)
    assert llm.read_bytes(TOKENS, "fp8") == 61 * (TOKENS * 132 + 2048 * 656)
    # Shorter than the choice: everything is read.
    assert llm.read_bytes(1000, "fp8") == llm.held_bytes(1000, "fp8")


def test_names_of_an_unknown_kind_are_refused():
    with pytest.raises(InputError, match="did you mean 'racks'"):
        catalogue.names("rack")


def test_an_unknown_entry_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'dgx_h100'"):
        catalogue.entry("racks", "dgx_h1000")


def test_entries_print_with_the_sources_they_name():
    text = catalogue.text("racks", "dgx_h100")
    assert text.startswith((CATALOGUE / "racks" / "dgx_h100.yaml").read_text(encoding="utf-8"))
    after = text.split("# Sources\n")[1]
    named = {line.removeprefix("# ").split(":")[0] for line in after.splitlines()}
    assert {"cat", "calc", "ix_specs", "bnl_node"} <= named <= SOURCES.keys()


@pytest.mark.parametrize(
    "path",
    sorted(INSTANCES.glob("*.yaml")) + sorted(INSTANCES.glob("generations/*.yaml")),
    ids=lambda path: path.stem,
)
def test_every_instance_loads_and_asks_a_question(path):
    instance = load(path)
    assert isinstance(instance, Instance)
    assert instance.name == path.stem
    assert instance.description.endswith("?")
    assert math.isfinite(instance.workload.mean_context)
