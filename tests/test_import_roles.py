"""Keys that change the architecture, roles, wrappers and files beside a configuration."""

import json

import pytest

import configurations as tiny
from commands import invoke, one_line_of_error
from configurations import changed, without
from hbmopt.errors import InputError
from hbmopt.instance.schema import load
from hbmopt.llm.importing import import_llm, imported
from hbmopt.llm.importing.wrapper import nearest_family

MISTRAL = {  # Mistral 7B
    "model_type": "mistral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "sliding_window": 4096,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}
MISTRAL_TABLE = 32000 * 4096
MISTRAL_TOTAL = (
    2 * MISTRAL_TABLE
    + 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336 + 2 * 4096)
    + 4096
)


def refusal(values, **options):
    with pytest.raises(InputError) as caught:
        import_llm(values, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


# ---- One number by two keys


def test_an_inner_width_that_is_stated_counts():
    values = {
        "model_type": "falcon_mamba",
        "hidden_size": 4096,
        "expand": 16,
        "intermediate_size": 8192,
        "num_hidden_layers": 64,
        "state_size": 16,
        "time_step_rank": 256,
        "conv_kernel": 4,
        "tie_word_embeddings": False,
        "vocab_size": 65024,
    }
    inner = 8192
    # in, to time step and states, time step, out; convolution and its bias, A, D and the bias of
    # the time step; the norm.
    layer = 2 * 4096 * inner + inner * (256 + 2 * 16) + 256 * inner + inner * 4096
    layer += (4 + 1) * inner + inner * 16 + 2 * inner + 4096
    llm = import_llm(values)
    assert llm.parameters.total == 2 * 65024 * 4096 + 64 * layer + 4096 == 7_272_665_088
    # The state of 16 numbers per channel, and 3 inputs of the convolution, in 16 bits.
    assert llm.state_bytes() == 64 * inner * (16 + 3) * 2
    assert round(llm.state_bytes() / 1e6, 1) == 19.9
    # Where the class does not say so, both have to agree.
    mamba = values | {"model_type": "mamba"}
    assert "contradicts `expand`, 16 x 4096" in refusal(mamba)
    assert import_llm(mamba | {"expand": 2}).parameters == llm.parameters


CONTRADICTIONS = {
    "experts by two names": (tiny.MIXTURE, {"num_experts": 9}, "contradicts n_routed_experts, 8"),
    "experts visited": (tiny.MIXTURE, {"moe_topk": 2}, "contradicts num_experts_per_tok, 3"),
    "hidden size": (tiny.DENSE, {"d_model": 20}, "contradicts 'hidden_size', 24"),
    "layers": (tiny.DENSE, {"n_layers": 4}, "contradicts 'num_hidden_layers', 3"),
    "width of a head": (tiny.DENSE, {"kv_channels": 4}, "contradicts head_dim, 5"),
    "feed-forward": (tiny.DENSE, {"ffn_dim": 44}, "contradicts intermediate_size, 40"),
    "kv heads": (tiny.DENSE, {"num_kv_heads": 3}, "contradicts"),
    "head of latent attention": (tiny.LATENT, {"qk_head_dim": 9}, "which make 10"),
    "rows of the table": (tiny.DENSE, {"padded_vocab_size": 128}, "contradicts vocab_size, 100"),
    "the wrapper": (
        tiny.MULTIMODAL,
        {"hidden_size": 15},
        "contradicts text_config.hidden_size, 14",
    ),
}


@pytest.mark.parametrize("case", sorted(CONTRADICTIONS))
def test_two_keys_that_contradict_each_other_are_refused(case):
    values, more, said = CONTRADICTIONS[case]
    assert said in refusal(values | more)
    (key,) = more
    assert key in refusal(values | more)


def test_a_key_that_repeats_another_is_said_to():
    found = imported(tiny.MIXTURE | {"num_experts": 8})
    assert found.llm == import_llm(tiny.MIXTURE)
    assert found.account.ignored["num_experts"] == "says the same as n_routed_experts"


# ---- Keys that change old families


def test_early_files_of_bigcode_share_keys_and_values():
    values = {
        "model_type": "gpt2",
        "attention_head_type": "multiquery",
        "n_embd": 2048,
        "n_head": 16,
        "n_layer": 24,
        "n_inner": 8192,
        "n_positions": 2048,
        "vocab_size": 49280,
    }
    # q of 16 heads, k and v of one, output, with biases; two matrices with biases; two norms.
    layer = 2 * 2048 * 2048 + 2 * 2048 * 128 + (2048 + 2 * 128) + 2048
    layer += 2 * 2048 * 8192 + 8192 + 2048 + 2 * 2 * 2048
    llm = import_llm(values)
    total = (49280 + 2048) * 2048 + 24 * layer + 2 * 2048
    assert llm.parameters.total == total == 1_124_886_528
    assert llm.held_bytes(1, "bf16") == 24 * 2 * 128 * 2 == 12_288
    plain = import_llm(values | {"attention_head_type": "multihead"})
    assert plain.parameters.total == 1_313_722_368
    assert plain.held_bytes(1, "bf16") == 196_608
    assert "neither" in refusal(values | {"attention_head_type": "both"})
    bigcode = values | {"model_type": "gpt_bigcode", "multi_query": False}
    assert "contradicts 'multi_query'" in refusal(bigcode)


SIZES = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 16, "vocab_size": 50}
OLD = {
    "gpt2": SIZES | {"n_positions": 32},
    "bloom": SIZES,
    "gptj": SIZES,
    "gpt_neox": SIZES | {"intermediate_size": 64},
    "falcon": SIZES | {"new_decoder_architecture": False},
    "opt": SIZES
    | {"ffn_dim": 64, "word_embed_proj_dim": 16, "max_position_embeddings": 32}
    | {"do_layer_norm_before": True},
}
STRANGE = {
    "add_cross_attention": True,
    "is_encoder_decoder": True,
    "position_embedding_type": "absolute",
    "pruned_heads": {"0": [1]},
    "qk_layernorm_type": "full",
    "norm_type": "layernorm",
    "moe_layers_enum": "3,4,5",
    "num_experts": 64,
    "share_layers": 2,
    "kv_channels": 3,
}


@pytest.mark.parametrize("key", sorted(STRANGE))
@pytest.mark.parametrize("family", sorted(OLD))
def test_keys_that_old_families_do_not_have_are_refused(family, key):
    values = OLD[family] | {"model_type": family}
    assert import_llm(values).parameters.total > 0
    assert key in refusal(values | {key: STRANGE[key]})


# ---- Wrappers


def test_a_key_of_the_wrapper_that_is_not_known_is_refused():
    wrapped = {"model_type": "x", "num_experts": 64, "text_config": tiny.TIED}
    assert "num_experts: 'num_experts' may change" in refusal(wrapped)
    assert import_llm(without(wrapped, "num_experts")).parameters == (
        import_llm(tiny.TIED).parameters
    )


@pytest.mark.parametrize(
    ("section", "part"),
    [
        ("vision_config", "vision"),
        ("audio_config", "audio"),
        ("audio_encoder_config", "audio"),
        ("speech_config", "audio"),
        ("encoder_config", "encoder"),
        ("projector_config", "projector"),
        ("talker_config", "talker"),
        ("token2wav_config", "speech output"),
        ("code2wav_config", "speech output"),
        ("qformer_config", "resampler"),
        ("vq_config", "image output"),
    ],
)
def test_every_part_that_is_left_out_is_in_the_note(section, part):
    found = imported(tiny.MULTIMODAL | {section: {"hidden_size": 8}})
    assert part in found.llm.note
    assert section in found.llm.note
    assert found.account.left_out[section] == part


def test_towers_beside_a_decoder_deep_inside_are_in_the_note():
    values = {
        "model_type": "qwen2_5_omni",
        "architectures": ["Qwen2_5OmniModel"],
        "enable_audio_output": True,
        "enable_talker": True,
        "thinker_config": {
            "model_type": "qwen2_5_omni_thinker",
            "text_config": tiny.TIED | {"model_type": "qwen2_5_omni_text"},
            "audio_config": {"d_model": 1280, "encoder_layers": 32},
            "vision_config": {"hidden_size": 1280},
        },
        "talker_config": {"hidden_size": 896},
        "token2wav_config": {"dit_config": {"dim": 1024}},
    }
    for key in ("attention_bias", "mlp_bias"):
        values = without(values, f"thinker_config.text_config.{key}")
    note = import_llm(values).note
    for part in ("audio", "vision", "talker", "speech output"):
        assert part in note


def test_a_part_inside_the_decoder_is_not_taken_for_one_beside_it():
    values = tiny.MULTIMODAL | {"audio_adapter_type": "dual_ffn", "audio_dual_ffn_layers": [1, 2]}
    assert "audio_dual_ffn_layers" in refusal(values)


# ---- Roles


def test_a_model_without_a_head_has_none():
    llm = import_llm(MISTRAL | {"architectures": ["MistralModel"]})
    assert MISTRAL_TOTAL == 7_241_732_096
    assert llm.parameters.total == MISTRAL_TOTAL - MISTRAL_TABLE == 7_110_660_096
    assert llm.parameters.lm_head == 0
    assert not llm.tied
    # The embedding is looked up, not multiplied with.
    assert llm.matmul_parameters == llm.parameters.total - MISTRAL_TABLE
    assert "MistralModel has no output head" in llm.note
    whole = import_llm(MISTRAL | {"architectures": ["MistralForCausalLM"]})
    assert whole.parameters.total == MISTRAL_TOTAL
    assert whole.generates


@pytest.mark.parametrize(
    ("architecture", "more", "head"),
    [
        ("MistralForSequenceClassification", {"num_labels": 1}, 4096),
        ("MistralForSequenceClassification", {}, 2 * 4096),
        (
            "MistralForSequenceClassification",
            {"id2label": {"0": "a", "1": "b", "2": "c"}},
            3 * 4096,
        ),
        ("MistralForTokenClassification", {"num_labels": 5}, 5 * (4096 + 1)),
        ("MistralForQuestionAnswering", {}, 2 * (4096 + 1)),
    ],
)
def test_a_classifier_has_the_head_of_its_labels(architecture, more, head):
    llm = import_llm(MISTRAL | {"architectures": [architecture]} | more)
    assert llm.parameters.total == MISTRAL_TOTAL - MISTRAL_TABLE + head
    assert not llm.generates
    assert "scores, not tokens" in llm.note


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"architectures": ["LlamaForCausalLMEagle3"]}, "draft head"),
        ({"architectures": ["EagleMistralForCausalLM"]}, "draft head"),
        ({"architectures": ["MedusaModel"]}, "draft head"),
        ({"architectures": ["LlamaBidirectionalModel"]}, "both ways"),
        ({"architectures": ["MistralForMaskedLM"]}, "both ways"),
        ({"architectures": ["MistralForRewardModel"]}, "draft head|not known"),
        ({"architectures": ["Something"]}, "not a kind of model"),
        ({"architectures": ["MistralModel", "MistralForCausalLM"]}, "do not end alike"),
        ({"architectures": [7]}, "not the name of a class"),
        ({"is_encoder_decoder": True}, "an encoder with a decoder"),
        ({"is_causal": False}, "both ways"),
        ({"use_bidirectional_attention": True}, "both ways"),
        (
            {"architectures": ["MistralForSequenceClassification"], "num_labels": 2}
            | {"id2label": {"0": "a"}},
            "`id2label` names 1",
        ),
    ],
)
def test_what_is_no_decoder_is_refused_as_what_it_is(more, said):
    message = refusal(MISTRAL | more)
    assert any(one in message for one in said.split("|"))


def test_a_model_without_tokens_cannot_be_planned_with(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(MISTRAL | {"architectures": ["MistralModel"]}), encoding="utf-8")
    with pytest.raises(InputError, match="has no output head: it makes no tokens"):
        load({"rack": "dgx_h100", "llm": str(path), "workload": {"context": 8192}})


def test_draft_layers_of_glm_repeat_embedding_and_head():
    llm = import_llm(tiny.MIXTURE)
    without_drafts = import_llm(tiny.MIXTURE | {"num_nextn_predict_layers": 0})
    added = llm.checkpoint_bytes("bf16") - without_drafts.checkpoint_bytes("bf16")
    # Of each of two modules: its own parameters, and 2 x vocabulary x hidden.
    assert added == 2 * 2 * (llm.draft.parameters.total + 2 * 90 * 18)


# ---- Places and names


def test_the_line_of_a_nested_key_is_its_own(tmp_path):
    path = tmp_path / "tiny.json"
    values = changed(tiny.MULTIMODAL, "text_config.hidden_size", "many")
    values = {"hidden_size": None, "vision_config": values["vision_config"]} | values
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")
    lines = path.read_text(encoding="utf-8").splitlines()
    (line,) = [number for number, text in enumerate(lines, 1) if '"many"' in text]
    assert sum('"hidden_size"' in text for text in lines) == 3
    message = one_line_of_error(invoke("import-llm", path))
    assert f"{path}:{line}: text_config.hidden_size: 'many'" in message


def test_the_line_of_a_nested_key_that_is_not_known_is_its_own(tmp_path):
    path = tmp_path / "tiny.json"
    values = changed(tiny.MULTIMODAL, "text_config.mystery", 3) | {"mystery_of_vision": None}
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")
    lines = path.read_text(encoding="utf-8").splitlines()
    (line,) = [number for number, text in enumerate(lines, 1) if '"mystery"' in text]
    assert refusal(path).startswith(f"{path}:{line}: text_config.mystery: ")


KNOWN = ("bailing_hybrid", "chatglm", "glm4", "inkling2", "qwen2", "qwen3", "qwen3_moe", "hy_v3")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bailing_moe", "of Ling and Ring, known are 'bailing_hybrid'"),
        ("qwenn3", "did you mean 'qwen3'?"),
        ("qwen9_vl_moe", "of Qwen, known are 'qwen2', 'qwen3', 'qwen3_moe'"),
        ("hunyuan_large", "of Hunyuan, known are 'hy_v3'"),
        ("grok-1", "no family of Grok is known"),
        ("xyzzy", "valid: "),
    ],
)
def test_the_nearest_family_is_one_of_the_same_series(name, said):
    assert nearest_family(name, KNOWN).startswith(said)


# ---- Files beside a configuration


def index(folder, size):
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": {}}))
    return path


def checkout(folder, values):
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_the_bytes_of_an_index_are_compared(tmp_path):
    folder = checkout(tmp_path, tiny.DENSE)
    llm = import_llm(folder)
    size = llm.checkpoint_bytes("bf16")
    index(folder, int(size))
    assert import_llm(folder) == llm
    index(folder, int(size * 1.009))
    assert import_llm(folder).note == ""
    index(folder, int(size * 1.02))
    note = import_llm(folder).note
    assert "model.safetensors.index.json beside it states" in note
    assert "2.0% less" in note
    outcome = invoke("import-llm", folder / "config.json", "--format", "table")
    assert "2.0% less" in outcome.stdout


def test_the_bytes_of_parts_that_are_left_out_are_said_to_be_missing(tmp_path):
    folder = checkout(tmp_path, tiny.MULTIMODAL)
    index(folder, 3 * int(import_llm(folder).checkpoint_bytes("bf16")))
    assert "of which vision are not counted" in import_llm(folder).note


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"metadata": {}}', '{"metadata": {"total_size": "many"}}']
)
def test_a_bad_index_is_one_line_with_its_name(text, tmp_path):
    folder = checkout(tmp_path, tiny.DENSE)
    path = index(folder, 1)
    path.write_text(text, encoding="utf-8")
    assert str(path) in one_line_of_error(invoke("import-llm", folder))


# ---- The table


def test_the_table_says_what_became_of_every_key(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(tiny.MULTIMODAL | {"rope_theta": 1e6}), encoding="utf-8")
    text = invoke("import-llm", path, "--format", "table").stdout
    decided, ignored, left_out = (
        text.index(one)
        for one in (
            "keys that decided",
            "keys that were ignored, and why",
            "parts that were left out",
        )
    )
    assert decided < text.index("text_config.hidden_size") < ignored
    assert ignored < text.index("positions are computed, not stored:") < left_out
    assert "vision (vision_config)" in text[left_out:]
    keys = json.loads(invoke("import-llm", path, "--format", "json").stdout)["keys"]
    assert keys["ignored"]["rope_theta"] == "positions are computed, not stored"
    assert keys["left_out"] == {"vision_config": "vision"}
