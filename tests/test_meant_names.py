"""What a name means that is none: ranked by its words, by who published it, by what it is."""

import pytest

from hbmopt.documents import catalogue, model_ids
from hbmopt.errors import InputError, nearest
from hbmopt.instance import load

PLAIN = {"rack": "hgx_h200", "llm": "llama_3_1_8b", "workload": {"context": 8192}}


def error(**changes):
    with pytest.raises(InputError) as refused:
        load(PLAIN, {key.replace("__", "."): value for key, value in changes.items()})
    return str(refused.value)


@pytest.mark.parametrize(
    ("word", "valid", "meant"),
    [
        # By spelling alone dgx_b200 would be nearer.
        ("gb200", ["dgx_b200", "gb200_nvl72"], "'gb200_nvl72'"),
        ("h100", ["dgx_h100", "dgx_h200"], "'dgx_h100'"),
        ("H100-SXM", ["nvidia_h100_sxm", "nvidia_h200_sxm"], "'nvidia_h100_sxm'"),
        ("nvidia/h100", ["dgx_a100", "dgx_h100"], "'dgx_h100'"),
        ("hgx-h200", ["hgx_h100", "hgx_h200", "hgx_h200_x"], "'hgx_h200'"),
        ("trainium", ["aws_trainium2", "aws_trainium3", "intel"], "'aws_trainium2' or 'aws_trai"),
        ("llama3.1", ["llama_3_1_8b", "llama_3_1_70b", "llama_4"], "'llama_3_1_8b' or 'llama_3_1_"),
        ("h100x8", ["dgx_h100", "helios"], "'dgx_h100'"),
        ("h100_pcie", ["nvidia_h100_sxm", "nvidia_h200_sxm"], "'nvidia_h100_sxm'"),
        ("Llama-3.1-70B-Instruct", ["llama_3_1_405b", "llama_3_1_70b"], "'llama_3_1_70b'"),
        ("power_limt", ["power", "power_limit"], "'power_limit'"),
        ("bandwidth", ["hbm_bandwidth", "hbm_capacity", "tdp"], "'hbm_bandwidth'"),
        ("a_b", ["a", "b", "c_d"], ""),
    ],
)
def test_what_is_meant_comes_before_how_it_is_spelled(word, valid, meant):
    hint = nearest(word, valid)
    assert hint.startswith(f"did you mean {meant}" if meant else "valid: ")


def test_at_most_three_are_offered():
    names = [f"one_{letter}" for letter in "abcdefg"]
    assert nearest("one", names) == "did you mean 'one_a', 'one_b' or 'one_c'?"


@pytest.mark.parametrize(
    ("kind", "word", "meant"),
    [
        ("racks", "gb200", "'gb200_nvl72'"),
        ("racks", "h100", "'dgx_h100'"),
        ("racks", "mi455x", "'helios'"),  # by what stands in it
        ("racks", "ironwood", "'tpu_v7_cube'"),  # by its title
        ("accelerators", "nvidia/h100", "'nvidia_h100_sxm'"),
        ("llms", "A22B", "'qwen3_235b'"),  # by its identifier
    ],
)
def test_entries_are_found_by_what_they_are_called(kind, word, meant):
    with pytest.raises(InputError, match=f"did you mean {meant}"):
        catalogue.entry(kind, word)


@pytest.mark.parametrize(
    ("identifier", "name", "native"),
    [
        ("meta-llama/Llama-3.1-70B-Instruct", "llama_3_1_70b", "bf16"),
        ("meta-llama/Meta-Llama-3.1-70B", "llama_3_1_70b", "bf16"),
        ("meta-llama/llama-3.3-70b-instruct", "llama_3_1_70b", "bf16"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral_8x7b", "bf16"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek_r1", "fp8"),
        ("openai/GPT-OSS-120B", "gpt_oss_120b", "mxfp4"),
        ("nvidia/DeepSeek-R1-0528-FP4-v2", "deepseek_r1", "fp4"),
        ("nvidia/DeepSeek-R1-NVFP4", "deepseek_r1", "fp4"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "qwen3_235b", "fp8"),
        ("nvidia/Gemma-4-31B-IT-NVFP4", "gemma_4_31b_nvfp4", "nvfp4"),
    ],
)
def test_identifiers_of_the_hub_name_models_in_their_format(identifier, name, native):
    llm = load(PLAIN, {"llm": identifier}).llm
    assert (llm.name, llm.native_format) == (name, native)
    assert load(PLAIN, {"llm": {"base": identifier, "title": "Mine"}}).llm.title == "Mine"


@pytest.mark.parametrize(
    ("identifier", "meant"),
    [
        ("moonshotai/Kimi-K2-Thinking", "did you mean 'kimi_k2', or import"),  # int4 in fact
        ("casperhansen/Llama-3.1-70B-Instruct-AWQ", "did you mean 'llama_3_1_70b', or import"),
        ("google/gemma-4-31B-it", "import"),  # the entry is a quantized one
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "in the catalogue; import"),
        ("somebody/Else", "in the catalogue; import"),
    ],
)
def test_an_identifier_of_another_checkpoint_says_how_to_import_it(identifier, meant):
    text = error(llm=identifier)
    assert identifier in text
    assert meant in text
    assert "hbmopt import-llm config.json -o mine.yaml" in text


def test_identifiers_are_read_as_entries_state_them():
    stated = {}
    for name in catalogue.names("llms"):
        entry = catalogue.entry("llms", name)
        others = entry.get(("same_architecture",)) or []
        for one in (entry.get(("huggingface",)), *others):
            if one:
                stated[one.lower()] = name
    assert model_ids.identifiers() == stated


def test_an_lpu_as_accelerator_is_explained_with_its_place():
    for name in ("groq_lpu_v1", "nvidia_groq3_lpu"):
        text = error(rack__accelerator=name)
        assert "is an LPU" in text
        assert "KV cache in HBM" in text
        assert f"rack.offload={{device: {name}, units: 256}}" in text
    assert load(PLAIN, ["rack.offload={device: groq_lpu_v1, units: 256}"]).rack.offload


@pytest.mark.parametrize(
    ("changes", "use"),
    [
        ({"rack__offload": {"device": "nvidia_h100_sxm", "units": 8}}, "rack.accelerator=nvidia_"),
        ({"rack__offload": "groq_lpu_v1"}, "rack.offload={device: groq_lpu_v1, units: 256}"),
        ({"rack__accelerator": "hgx_h200"}, "give it as rack=hgx_h200"),
        ({"rack": "nvidia_h200_sxm"}, "give it as rack.accelerator=nvidia_h200_sxm"),
        ({"llm": "lpx"}, "give it as rack.offload=lpx"),
    ],
)
def test_an_entry_in_the_place_of_another_kind_is_told_where_it_belongs(changes, use):
    assert use in error(**changes)
