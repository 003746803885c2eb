"""GGUF files, written by llama.cpp's own library and read back."""

import json
import sys

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter

from commands import invoke, one_line_of_error
from hbmopt.errors import InputError
from hbmopt.instance.schema import load
from hbmopt.llm.importing import import_llm

# Bytes of a block of 32 weights: 32 of 8 bits, or of 4, and a 16-bit scale.
Q8_0, Q4_0, F32, F16 = (
    (GGMLQuantizationType.Q8_0, 34 / 32),
    (GGMLQuantizationType.Q4_0, 18 / 32),
    (GGMLQuantizationType.F32, 4),
    (GGMLQuantizationType.F16, 2),
)


def write(path, architecture, stated, tensors, *, numbers=()):
    """A file with a header and with tensors of zeros; shapes are those of numpy, rows first."""
    writer = GGUFWriter(path, architecture)
    for key, value in stated.items():
        (writer.add_array if isinstance(value, list) else writer.add_uint32)(
            f"{architecture}.{key}", value
        )
    for key, value in numbers:
        writer.add_uint32(key, value)
    for name, (shape, (kind, size)) in tensors.items():
        *rows, columns = shape
        data = np.zeros((*rows, int(columns * size)), dtype=np.uint8)
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


LLAMA = {
    "block_count": 2,
    "embedding_length": 64,
    "feed_forward_length": 96,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
}


def llama_tensors():
    tensors = {"token_embd.weight": ((50, 64), Q8_0), "output_norm.weight": ((64,), F32)}
    for layer in range(2):
        tensors |= {
            f"blk.{layer}.attn_q.weight": ((64, 64), Q4_0),
            f"blk.{layer}.attn_k.weight": ((32, 64), Q4_0),
            f"blk.{layer}.attn_v.weight": ((32, 64), Q8_0),
            f"blk.{layer}.attn_output.weight": ((64, 64), Q4_0),
            f"blk.{layer}.ffn_gate.weight": ((96, 64), Q4_0),
            f"blk.{layer}.ffn_up.weight": ((96, 64), Q4_0),
            f"blk.{layer}.ffn_down.weight": ((64, 96), Q4_0),
            f"blk.{layer}.attn_norm.weight": ((64,), F32),
            f"blk.{layer}.ffn_norm.weight": ((64,), F32),
        }
    # A table of rotations is no parameter.
    return tensors | {"rope_freqs.weight": ((8,), F32)}


def test_a_file_is_counted_by_its_header_and_stored_as_its_tensors_are(tmp_path):
    path = write(tmp_path / "Tiny-Q4_0.gguf", "llama", LLAMA, llama_tensors())
    llm = import_llm(path)
    assert (llm.name, llm.source) == ("tiny_q4_0", ["gguf_header"])
    attention, dense = 2 * 64 * 64 + 2 * 32 * 64, 3 * 64 * 96
    assert llm.parameters.attention == 2 * attention
    assert llm.parameters.dense_ffn == 2 * dense
    # Without a tensor of its own the output head is the embedding.
    assert llm.parameters.lm_head == 0
    assert llm.parameters.total == 50 * 64 + 2 * (attention + dense + 2 * 64) + 64
    assert llm.held_bytes(100, "bf16") == 2 * 100 * 2 * (16 + 16) * 2
    values = 2 * 32 * 64
    size = {
        "embedding": 50 * 64 * 34 / 32,
        "attention": (2 * attention - values) * 18 / 32 + values * 34 / 32,
        "dense_ffn": 2 * dense * 18 / 32,
        "router": 5 * 64 * 4,
    }
    for component, expected in size.items():
        assert llm.component_bytes("native", component) == expected
    assert llm.checkpoint_bytes("native") == sum(size.values())


def test_a_folder_stands_for_the_file_in_it(tmp_path):
    path = write(tmp_path / "Tiny.gguf", "llama", LLAMA, llama_tensors())
    assert import_llm(tmp_path) == import_llm(path)
    write(tmp_path / "Other.gguf", "llama", LLAMA, llama_tensors())
    with pytest.raises(InputError, match=r"several GGUF files: Other\.gguf, Tiny\.gguf"):
        import_llm(tmp_path)


def test_files_of_one_model_are_read_together(tmp_path):
    tensors = llama_tensors()
    names = list(tensors)
    for number, part in enumerate((names[:9], names[9:]), 1):
        chosen = {name: tensors[name] for name in part}
        write(tmp_path / f"Tiny-{number:05d}-of-00002.gguf", "llama", LLAMA, chosen)
    whole = write(tmp_path / "whole.gguf", "llama", LLAMA, tensors)
    parts = import_llm(tmp_path / "Tiny-00001-of-00002.gguf")
    assert parts.parameters == import_llm(whole).parameters
    (tmp_path / "Tiny-00002-of-00002.gguf").unlink()
    with pytest.raises(InputError, match=r"of which Tiny-00002-of-00002\.gguf is not there"):
        import_llm(tmp_path / "Tiny-00001-of-00002.gguf")


def test_experts_and_draft_layers_of_a_file(tmp_path):
    stated = {
        "block_count": 3,
        "embedding_length": 64,
        "feed_forward_length": 96,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.key_length": 16,
        "expert_count": 4,
        "expert_used_count": 2,
        "expert_feed_forward_length": 32,
        "expert_shared_count": 1,
        "leading_dense_block_count": 1,
        "nextn_predict_layers": 1,
    }
    tensors = {
        "token_embd.weight": ((50, 64), F16),
        "output.weight": ((50, 64), F16),
        "output_norm.weight": ((64,), F32),
    }
    for layer in range(3):
        tensors |= {
            f"blk.{layer}.attn_q.weight": ((64, 64), Q4_0),
            f"blk.{layer}.attn_k.weight": ((32, 64), Q4_0),
            f"blk.{layer}.attn_v.weight": ((32, 64), Q4_0),
            f"blk.{layer}.attn_output.weight": ((64, 64), Q4_0),
            f"blk.{layer}.attn_norm.weight": ((64,), F32),
            f"blk.{layer}.post_attention_norm.weight": ((64,), F32),
        }
        if layer == 0:
            tensors |= {
                f"blk.{layer}.ffn_{one}.weight": (shape, Q4_0)
                for one, shape in {"gate": (96, 64), "up": (96, 64), "down": (64, 96)}.items()
            }
            continue
        shapes = {"gate": (32, 64), "up": (32, 64), "down": (64, 32)}
        for one, shape in shapes.items():
            tensors[f"blk.{layer}.ffn_{one}_exps.weight"] = ((4, *shape), Q4_0)
            tensors[f"blk.{layer}.ffn_{one}_shexp.weight"] = (shape, Q8_0)
        tensors[f"blk.{layer}.ffn_gate_inp.weight"] = ((4, 64), F32)
        tensors[f"blk.{layer}.exp_probs_b.bias"] = ((4,), F32)
    tensors["blk.2.nextn.eh_proj.weight"] = ((64, 128), Q8_0)
    llm = import_llm(write(tmp_path / "glm.gguf", "glm4moe", stated, tensors))
    attention = 2 * 64 * 64 + 2 * 32 * 64
    expert = 3 * 32 * 64
    assert (llm.layers, llm.draft) == (2, None)
    assert llm.parameters.routed_experts == 4 * expert
    assert llm.parameters.shared_experts == expert
    assert llm.parameters.dense_ffn == 3 * 64 * 96
    assert llm.parameters.attention == 2 * attention
    assert llm.component_bytes("native", "routed_experts") == 4 * expert * 18 / 32
    assert llm.component_bytes("native", "shared_experts") == expert * 34 / 32
    # Attention, four experts and a shared one, the router, two norms and the projection.
    drafted = attention + 5 * expert + 4 * 64 + 2 * 64 + 128 * 64
    assert f"Draft layers of {drafted:,} parameters are left out." in llm.note


def test_tensors_that_the_header_does_not_speak_of_are_refused(tmp_path):
    more = llama_tensors() | {"blk.0.attn_q_norm.weight": ((16,), F32)}
    path = write(tmp_path / "Tiny.gguf", "llama", LLAMA, more)
    message = one_line_of_error(invoke("import-llm", path))
    norms = 5 * 64
    assert f"tensors of router have {norms + 16} parameters, by its header there are {norms}" in (
        message
    )


def test_an_architecture_that_is_not_known_is_named_with_the_nearest(tmp_path):
    path = write(tmp_path / "Tiny.gguf", "qwen4moe", {"block_count": 1}, {})
    message = one_line_of_error(invoke("import-llm", path))
    assert "'qwen4moe' is not known from GGUF (did you mean 'qwen3moe'?)" in message


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + b"\xff" * 100, b"{}"])
def test_a_file_that_is_no_gguf_is_one_line(content, tmp_path):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(content)
    assert f"{path}: cannot be read as a GGUF file" in one_line_of_error(invoke("import-llm", path))


@pytest.mark.parametrize("missing", ["block_count", "embedding_length", "attention.head_count"])
def test_a_header_without_a_size_is_one_line(missing, tmp_path):
    stated = {key: value for key, value in LLAMA.items() if key != missing}
    path = write(tmp_path / "tiny.gguf", "llama", stated, llama_tensors())
    assert f"the key 'llama.{missing}' is missing" in one_line_of_error(invoke("import-llm", path))


def test_without_the_library_one_line_says_what_to_install(monkeypatch, tmp_path):
    path = write(tmp_path / "tiny.gguf", "llama", LLAMA, llama_tensors())
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert "pip install 'hbmopt[gguf]'" in one_line_of_error(invoke("import-llm", path))


def test_an_instance_may_name_a_file(tmp_path):
    write(tmp_path / "tiny.gguf", "llama", LLAMA, llama_tensors())
    instance = tmp_path / "instance.yaml"
    instance.write_text(
        "rack: dgx_h100\nworkload: {context: 8192}\nllm: tiny.gguf\n", encoding="utf-8"
    )
    assert load(instance).llm == import_llm(tmp_path / "tiny.gguf")


def test_json_of_a_file_names_the_formats_of_its_tensors(tmp_path):
    path = write(tmp_path / "tiny.gguf", "llama", LLAMA, llama_tensors())
    outcome = invoke("import-llm", path, "--format", "json")
    assert outcome.exit_code == 0
    data = json.loads(outcome.stdout)
    assert data["component_formats"]["attention"] == "w4.5a16"
    assert data["stored_apart"] == {"attention": {"w8.5a16": 2 * 32 * 64}}
