"""Published configurations against numbers that were counted independently of this project.

The folder with them is not part of the project: HBMOPT_FACTS names it, else it is looked for
beside the checkout. Without it there is nothing to compare, and every test here is skipped.
"""

import csv
import json
import os
from pathlib import Path

import pytest

from hbmopt.errors import InputError
from hbmopt.llm.attention import RecurrentAttention
from hbmopt.llm.importing.huggingface import import_llm
from hbmopt.llm.schema import Llm

FACTS = Path(
    os.environ.get("HBMOPT_FACTS") or Path(__file__).resolve().parents[2] / "shared" / "facts"
)
CONFIGURATIONS = sorted((FACTS / "llm_configs").glob("*.json"))
if not CONFIGURATIONS:
    pytest.skip(
        f"no published configurations in {FACTS}; set HBMOPT_FACTS to the folder that has them",
        allow_module_level=True,
    )

CONTEXTS = {"8k": 8192, "128k": 131_072, "1M": 1_048_576}
MEGA, GIGA = 1e6, 1e9

# Its configuration states neither the shapes of its draft layers nor its quantization.
NOT_STATED = "deepseek-ai--DeepSeek-V4.1-Flash"

# Sizes of files in GB from outside, of models with their vision parts where there are any.
KNOWN_SIZES = {
    "openai--gpt-oss-120b": 65.2,
    "moonshotai--Kimi-K2.5": 594.0,
    "deepseek-ai--DeepSeek-V4-Pro": 863.7,
    "deepseek-ai--DeepSeek-V3": 688.5,
    "MiniMaxAI--MiniMax-M2.7": 230.0,
}


def rows():
    with (FACTS / "llms.csv").open(encoding="utf-8", newline="") as file:
        return {row["model"]: row for row in csv.DictReader(file)}


ROWS = rows()
PATHS = {path.stem: path for path in CONFIGURATIONS}
COMPARED = sorted(PATHS.keys() & ROWS.keys())


def imported(checkpoint_format=None):
    """Every configuration that is accepted, and the error of every other."""
    accepted, refused = {}, {}
    for name, path in PATHS.items():
        try:
            accepted[name] = import_llm(path, checkpoint_format=checkpoint_format)
        except InputError as error:
            refused[name] = str(error)
    return accepted, refused


ACCEPTED, REFUSED = imported()
# What does not depend on the format of the weights is compared of files too whose quantization
# is not known.
COUNTED, UNCOUNTED = imported("bf16")


def counted(name):
    if name in UNCOUNTED:
        pytest.skip(f"refused: {UNCOUNTED[name]}")
    return COUNTED[name]


def stored(name):
    if name in REFUSED:
        pytest.skip(f"refused: {REFUSED[name]}")
    return ACCEPTED[name]


def given(column, least=0.0):
    """The models for which a column has a number above `least`."""
    return [name for name in COMPARED if ROWS[name][column] and float(ROWS[name][column]) > least]


def reference(name, column):
    return float(ROWS[name][column])


def with_fp32_states(llm: Llm) -> Llm:
    """The model with its recurrent states in fp32, whatever the configuration says."""
    groups = [
        group.model_copy(update={"state_format": "fp32"})
        if isinstance(group, RecurrentAttention)
        else group
        for group in llm.attention
    ]
    return llm.model_copy(update={"attention": groups})


def test_most_published_configurations_are_accepted():
    assert len(COMPARED) >= 30
    assert len(ACCEPTED) >= 0.9 * len(PATHS), REFUSED


def test_every_refusal_is_one_line_that_names_the_file():
    assert ACCEPTED.keys() | REFUSED.keys() == PATHS.keys()
    for name, message in REFUSED.items():
        assert len(message.splitlines()) == 1
        assert message.startswith(str(PATHS[name]))


def test_most_models_with_a_reference_are_compared():
    assert len(UNCOUNTED.keys() & set(COMPARED)) <= 0.1 * len(COMPARED), UNCOUNTED


@pytest.mark.parametrize("name", COMPARED)
def test_total_parameters_are_the_counted_ones(name):
    total = counted(name).parameters.total
    assert total == pytest.approx(reference(name, "total_params"), rel=1e-6)


@pytest.mark.parametrize("name", COMPARED)
def test_active_parameters_are_the_counted_ones(name):
    llm = counted(name)
    with_embedding = reference(name, "active_params_incl_embed")
    assert llm.active_parameters == pytest.approx(with_embedding, rel=1e-6)
    matmul = reference(name, "active_params_matmul")
    assert llm.matmul_parameters == pytest.approx(matmul, rel=1e-6)


@pytest.mark.parametrize("kv_format", ["bf16", "fp8"])
@pytest.mark.parametrize("name", COMPARED)
def test_cache_bytes_held_are_the_reference(name, kv_format):
    llm = counted(name)
    for label, tokens in CONTEXTS.items():
        expected = reference(name, f"kv_held_MB_{label}_{kv_format}")
        held = llm.held_bytes(tokens, kv_format) / MEGA
        assert held == pytest.approx(expected, rel=2e-3), label


@pytest.mark.parametrize("kv_format", ["bf16", "fp8"])
@pytest.mark.parametrize("name", COMPARED)
def test_cache_bytes_read_are_the_reference(name, kv_format):
    llm = counted(name)
    for label, tokens in CONTEXTS.items():
        expected = reference(name, f"kv_read_MB_{label}_{kv_format}")
        read = llm.read_bytes(tokens, kv_format) / MEGA
        assert read == pytest.approx(expected, rel=2e-3), label


@pytest.mark.parametrize("name", COMPARED)
def test_state_bytes_in_fp32_are_the_reference(name):
    # The reference is rounded to 10 kB.
    state = with_fp32_states(counted(name)).state_bytes() / MEGA
    assert state == pytest.approx(reference(name, "state_MB_per_seq_fp32"), rel=1e-6, abs=0.006)


@pytest.mark.parametrize("name", COMPARED)
def test_attention_flops_are_the_reference(name):
    llm = counted(name)
    for label in ("8k", "128k"):
        expected = reference(name, f"attn_GFLOP_per_token_{label}")
        flops = llm.attention_flops(CONTEXTS[label]) / GIGA
        assert flops == pytest.approx(expected, rel=1e-2), label


@pytest.mark.parametrize("name", COMPARED)
def test_matrix_product_flops_are_the_reference(name):
    # The reference is rounded to 10 MFLOP.
    flops = counted(name).matmul_flops / GIGA
    expected = reference(name, "matmul_GFLOP_per_token")
    assert flops == pytest.approx(expected, rel=1e-6, abs=0.006)


@pytest.mark.parametrize("name", [one for one in given("mtp_params_each") if one != NOT_STATED])
def test_parameters_of_a_draft_module_are_the_reference(name):
    llm = counted(name)
    assert llm.draft is not None
    assert llm.draft.modules == int(ROWS[name]["mtp_layers"])
    each = llm.draft.parameters.total
    assert each == pytest.approx(reference(name, "mtp_params_each"), rel=1e-2)


@pytest.mark.parametrize(
    "name", [one for one in COMPARED if float(ROWS[one]["mtp_layers"] or 0) == 0]
)
def test_a_model_without_draft_modules_has_none(name):
    assert counted(name).draft is None


@pytest.mark.parametrize("name", COMPARED)
def test_layers_experts_and_heads_are_the_stated_ones(name):
    llm, row = counted(name), ROWS[name]
    assert llm.layers == int(row["layers"])
    experts = int(float(row["routed_experts"] or 0))
    if llm.mixture is None:
        assert experts == 0
    else:
        assert llm.mixture.experts == experts
        assert llm.mixture.active == int(float(row["top_k"]))
        assert llm.mixture.layers == int(float(row["moe_layers"]))


@pytest.mark.parametrize(
    "name", [one for one in given("checkpoint_GB_predicted") if one != NOT_STATED]
)
def test_bytes_of_the_checkpoint_are_the_predicted_ones(name):
    llm = stored(name)
    size = llm.checkpoint_bytes(llm.native_format) / GIGA
    assert size == pytest.approx(reference(name, "checkpoint_GB_predicted"), rel=1e-2)


@pytest.mark.parametrize("name", sorted(KNOWN_SIZES.keys() & PATHS.keys()))
def test_bytes_of_the_checkpoint_are_those_of_the_published_files(name):
    llm = stored(name)
    size = llm.checkpoint_bytes(llm.native_format) / GIGA
    assert size == pytest.approx(KNOWN_SIZES[name], rel=5e-3)


@pytest.mark.parametrize("name", sorted(KNOWN_SIZES.keys() & PATHS.keys()))
def test_a_quantized_checkpoint_is_not_imported_as_bf16(name):
    assert stored(name).native_format != "bf16"


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_an_entry_states_where_it_comes_from(name):
    llm = stored(name)
    assert llm.huggingface == name.replace("--", "/", 1)
    assert llm.source == ["hf_config"]
    assert sum(group.layers for group in llm.attention) == llm.mixer_blocks


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_a_file_and_its_content_give_the_same_entry(name):
    llm = stored(name)
    values = json.loads(PATHS[name].read_text(encoding="utf-8"))
    alone = import_llm(values, name=llm.name)
    # The file's name is where title and identifier come from, and a note on its format.
    named = {key: getattr(llm, key) for key in ("title", "huggingface", "note", "status")}
    assert alone.model_copy(update=named) == llm
    assert alone.note in llm.note
