import json
import math
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import configurations as tiny
from commands import invoke, one_line_of_error
from configurations import CONFIGURATIONS, REQUIRED, changed, stated, without
from hbmopt.errors import InputError
from hbmopt.instance.schema import load
from hbmopt.llm.attention import RecurrentAttention
from hbmopt.llm.importing.entry import entry_yaml, facts, facts_table, summary
from hbmopt.llm.importing.families import KNOWN
from hbmopt.llm.importing.families.class_defaults import class_defaults
from hbmopt.llm.importing.huggingface import import_llm, imported
from hbmopt.llm.schema import COMPONENTS, Llm

NAMES = sorted(CONFIGURATIONS)
REQUIRED_KEYS = [(name, key) for name in sorted(REQUIRED) for key in REQUIRED[name]]
BF16, FP8, FP32 = 2, 1, 4  # bytes


def written(folder, values, name="tiny.json"):
    path = folder / name
    path.write_text(json.dumps(values, indent=2), encoding="utf-8")
    return path


def refusal(source, **options):
    """The message of an import that has to fail, which is one line."""
    with pytest.raises(InputError) as caught:
        import_llm(source, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


# ---- Counts by hand, one test per kind of layer


def test_dense_with_biases_and_norms_of_queries_and_keys():
    llm = import_llm(tiny.DENSE)
    layer = (
        24 * 6 * 5  # queries
        + 2 * 24 * 2 * 5  # keys and values
        + 6 * 5 * 24  # output
        + (30 + 10 + 10 + 24)  # biases of q, k, v, o
        + 2 * 5  # norms of queries and keys
        + 3 * 24 * 40  # feed-forward
        + 2 * 24  # norms
    )
    assert llm.parameters.total == 2 * 100 * 24 + 3 * layer + 24
    assert llm.active_parameters == llm.parameters.total
    assert llm.matmul_parameters == llm.parameters.total - 100 * 24
    for tokens in (1, 30, 1000):
        assert llm.held_bytes(tokens, "bf16") == 3 * tokens * 2 * (5 + 5) * BF16
        assert llm.held_bytes(tokens, "fp8") == 3 * tokens * 2 * (5 + 5) * FP8
        assert llm.read_bytes(tokens, "bf16") == llm.held_bytes(tokens, "bf16")
        assert llm.attention_flops(tokens) == 3 * 4 * 6 * 5 * tokens
    assert llm.state_bytes() == 0
    assert llm.mixture is None
    assert llm.draft is None


def test_a_tied_head_is_counted_once_and_multiplied_with():
    llm = import_llm(tiny.TIED)
    # The hidden size divided by the heads is the width of a head: 16 / 4.
    layer = 16 * 16 + 2 * 16 * 2 * 4 + 16 * 16 + 3 * 16 * 32 + 2 * 16
    assert llm.parameters.total == 50 * 16 + 2 * layer + 16
    assert llm.parameters.lm_head == 0
    assert llm.matmul_parameters == llm.parameters.total
    untied = import_llm(tiny.TIED | {"tie_word_embeddings": False})
    assert untied.parameters.total == llm.parameters.total + 50 * 16
    assert untied.matmul_parameters == llm.matmul_parameters
    assert llm.held_bytes(10, "bf16") == 2 * 10 * 2 * (4 + 4) * BF16


def test_sliding_layers_keep_a_window_and_full_layers_everything():
    llm = import_llm(tiny.SLIDING)
    layer = 12 * 12 + 2 * 12 * 4 + 12 * 12 + 2 * 4 + 3 * 12 * 20 + 4 * 12
    assert llm.parameters.total == 60 * 12 + 7 * layer + 12
    # Every third of 7 layers is full: 2 full ones, 5 with a window of 8.
    assert llm.held_bytes(30, "bf16") == (2 * 30 + 5 * 8) * 1 * (4 + 4) * BF16
    assert llm.read_bytes(30, "fp8") == (2 * 30 + 5 * 8) * 1 * (4 + 4) * FP8
    assert llm.attention_flops(30) == (2 * 30 + 5 * 8) * 4 * 3 * 4
    assert llm.held_bytes(5, "bf16") == 7 * 5 * (4 + 4) * BF16


def test_biases_of_experts_and_sinks():
    llm = import_llm(tiny.SINKS)
    attention = 10 * 24 + 2 * 10 * 12 + 24 * 10 + (24 + 12 + 12) + 10 + 4
    expert = 3 * 10 * 14 + 2 * 14 + 10
    layer = attention + 5 * expert + (5 * 10 + 5) + 2 * 10
    assert llm.parameters.total == 2 * 70 * 10 + 4 * layer + 10
    assert llm.active_parameters == llm.parameters.total - 4 * 3 * expert
    assert llm.held_bytes(30, "bf16") == (2 * 30 + 2 * 6) * 2 * (6 + 6) * BF16
    alternating = import_llm(without(tiny.SINKS, "layer_types"))
    assert alternating.held_bytes(30, "bf16") == llm.held_bytes(30, "bf16")


def test_chunked_layers_keep_a_chunk_and_read_back_to_its_beginning():
    llm = import_llm(tiny.CHUNKED)
    attention = 20 * 24 + 2 * 20 * 12 + 24 * 20 + 2 * 20
    dense = 3 * 20 * 44
    experts = 3 * (3 * 20 * 16) + 3 * 20 * 16 + 3 * 20
    assert llm.parameters.total == 2 * 80 * 20 + 4 * attention + 2 * dense + 2 * experts + 20
    assert llm.active_parameters == llm.parameters.total - 2 * 2 * (3 * 20 * 16)
    entry = 2 * (6 + 6) * BF16
    # Token 19 is the third of its chunk of 8.
    assert llm.held_bytes(19, "bf16") == (1 * 19 + 3 * 8) * entry
    assert llm.read_bytes(19, "bf16") == (1 * 19 + 3 * 3) * entry
    assert llm.attention_flops(19) == (1 * 19 + 3 * 3) * 4 * 4 * 6
    # Token 24 is the last of its own.
    assert llm.read_bytes(24, "bf16") == (1 * 24 + 3 * 8) * entry
    assert llm.held_bytes(5, "bf16") == 4 * 5 * entry


def test_experts_behind_dense_layers_with_shared_experts_and_draft_modules():
    llm = import_llm(tiny.MIXTURE)
    attention = 18 * 24 + 2 * 18 * 12 + 24 * 18 + (24 + 12 + 12) + 2 * 4 + 2 * 18
    expert = 3 * 18 * 7
    experts = 8 * expert + 2 * expert + 8 * 18
    layers = 5 * attention + 2 * (3 * 18 * 50) + 3 * experts
    assert llm.parameters.total == 2 * 90 * 18 + layers + 18
    assert llm.active_parameters == llm.parameters.total - 3 * 5 * expert
    assert llm.matmul_parameters == llm.active_parameters - 90 * 18
    assert llm.held_bytes(30, "bf16") == 5 * 30 * 3 * (4 + 4) * BF16
    assert (llm.mixture.layers, llm.mixture.experts, llm.mixture.active) == (3, 8, 3)
    # Of each of two modules: a layer with experts, a projection of two states, three norms.
    assert llm.draft.modules == 2
    assert llm.draft.parameters.total == attention + experts + 2 * 18 * 18 + 3 * 18
    assert llm.draft.mixture.experts == 8
    assert [group.layers for group in llm.draft.attention] == [1]
    plain = import_llm(tiny.MIXTURE | {"num_nextn_predict_layers": 0})
    assert plain.draft is None
    assert plain.parameters == llm.parameters


def latent_layer(query):
    return query + 32 * (10 + 4) + 10 * 4 * (6 + 5) + 4 * 5 * 32 + 10 + 2 * 32


def latent_feed_forward(sparse):
    return 1 * (3 * 32 * 40) + sparse * (6 * 3 * 32 * 9 + 3 * 32 * 9 + 6 * 32)


def test_latent_attention_with_low_rank_queries():
    llm = import_llm(tiny.LATENT)
    layer = latent_layer(32 * 12 + 12 * 4 * (6 + 4) + 12)
    assert llm.parameters.total == 2 * 100 * 32 + 3 * layer + latent_feed_forward(2) + 32
    assert llm.active_parameters == llm.parameters.total - 2 * 4 * (3 * 32 * 9)
    # One latent and one rotary key per token, for all heads together.
    assert llm.held_bytes(30, "bf16") == 3 * 30 * (10 + 4) * BF16
    assert llm.held_bytes(30, "fp8") == 3 * 30 * (10 + 4) * FP8
    assert llm.read_bytes(30, "bf16") == llm.held_bytes(30, "bf16")
    assert llm.attention_flops(30) == 3 * 2 * 4 * (2 * 10 + 4) * 30
    (group,) = llm.attention
    assert group.replicated_parameters == 3 * (32 * 12 + 32 * (10 + 4))


def test_latent_attention_with_full_rank_queries():
    llm = import_llm(tiny.FULL_RANK_LATENT)
    layer = latent_layer(32 * 4 * (6 + 4))
    assert llm.parameters.total == 2 * 100 * 32 + 3 * layer + latent_feed_forward(2) + 32
    assert llm.held_bytes(30, "bf16") == 3 * 30 * (10 + 4) * BF16
    (group,) = llm.attention
    assert group.replicated_parameters == 3 * 32 * (10 + 4)


def test_an_indexer_runs_on_some_layers_and_all_read_what_it_chose():
    llm = import_llm(tiny.INDEXED)
    layer = latent_layer(32 * 12 + 12 * 4 * (6 + 4) + 12)
    indexer = 12 * 2 * 8 + 32 * 8 + 2 * 8 + 32 * 2
    expected = 2 * 100 * 32 + 4 * layer + 3 * indexer + latent_feed_forward(3) + 32
    assert llm.parameters.total == expected
    entry, key = (10 + 4) * BF16, 8 * BF16
    assert llm.held_bytes(40, "bf16") == 4 * 40 * entry + 3 * 40 * key
    assert llm.read_bytes(40, "bf16") == 4 * 16 * entry + 3 * 40 * key
    assert llm.read_bytes(10, "bf16") == 4 * 10 * entry + 3 * 10 * key
    assert llm.attention_flops(40) == 4 * 2 * 4 * (2 * 10 + 4) * 16 + 3 * 2 * 2 * 8 * 40


def test_sparse_latents_in_fp8_keep_scales_and_the_rotary_key_in_bf16():
    llm = import_llm(tiny.SCALED_INDEX)
    # 512 bytes of latent, 16 of scales, 64 elements in bf16; an index key of 128 and a scale.
    entry, key = 512 + 16 + 64 * BF16, 128 + 4
    assert llm.held_bytes(40, "fp8") == 3 * 40 * (entry + key)
    assert llm.read_bytes(40, "fp8") == 3 * (16 * entry + 40 * key)
    assert llm.held_bytes(40, "bf16") == 3 * 40 * ((512 + 64) * BF16 + key)


def test_block_sparse_attention_reads_the_chosen_blocks_and_all_index_keys():
    llm = import_llm(tiny.BLOCK_SPARSE)
    attention = 24 * 24 + 2 * 24 * 12 + 24 * 24 + 2 * 6 + 2 * 24
    indexer = 24 * (2 + 1) * 5 + 2 * 5
    experts = 4 * (3 * 24 * 11) + 3 * 24 * 13 + 4 * 24
    layers = 3 * attention + 2 * indexer + 1 * (3 * 24 * 33) + 2 * experts
    assert llm.parameters.total == 2 * 64 * 24 + layers + 24
    entry, key = 2 * (6 + 6) * BF16, 5 * BF16
    assert llm.held_bytes(30, "bf16") == 3 * 30 * entry + 2 * 30 * key
    # 3 blocks of 4 tokens on two layers, everything on the first.
    assert llm.read_bytes(30, "bf16") == 30 * entry + 2 * (3 * 4 * entry + 30 * key)
    assert llm.attention_flops(30) == 4 * 4 * 6 * (30 + 2 * 12) + 2 * 2 * 2 * 5 * 30


def test_compressed_attention_keeps_a_window_and_an_entry_for_several_tokens():
    llm = import_llm(tiny.COMPRESSED)
    attention = 16 * 6 + 6 * 3 * 512 + 16 * 512 + 3 * 512 * 5 + 3 * 5 * 16 + (6 + 512 + 3)
    wide = 2 * 16 * 512 + 128 * 512 + 512
    narrow = 4 * 16 * 512 + 8 * 512 + 512
    indexer = 4 * 16 * 128 + 8 * 128 + 128 + 6 * 2 * 128 + 16 * 2
    streams = 2 * ((2 + 2) * 2 * (2 * 16 + 1) + 3)
    experts = 4 * (3 * 16 * 7) + 3 * 16 * 7 + 4 * 16
    layers = 4 * (attention + streams + 2 * 16 + experts) + 2 * wide + narrow + indexer
    head = 2 * 2 * 16 + 2 + 1
    assert llm.parameters.total == 2 * 40 * 16 + layers + 16 + head
    # 300 tokens: 2 entries of 128 tokens on two layers, 75 of 4 on one, of which 20 are read.
    window = 4 * 4 * 584
    assert llm.held_bytes(300, "fp8") == window + 2 * 2 * 584 + 75 * (584 + 132)
    assert llm.read_bytes(300, "fp8") == window + 2 * 2 * 584 + 20 * 584 + 75 * 132
    assert llm.held_bytes(300, "bf16") == (4 * 4 + 2 * 2 + 75) * 512 * BF16 + 75 * 132
    assert llm.held_bytes(3, "fp8") == 4 * 3 * 584
    attended = 4 * 4 + 2 * 2 + 20
    assert llm.attention_flops(300) == 4 * 3 * 512 * attended + 2 * 2 * 128 * 75
    # Tails of the compressors in fp32; of the narrow ones twice as wide, index keys too.
    tails = 2 * (2 * 128 * 512) + 2 * 4 * 2 * 512 + 2 * 4 * 2 * 128
    assert llm.state_bytes() == tails * FP32


def test_a_draft_module_of_compressed_attention_looks_back_over_the_window_alone():
    llm = import_llm(tiny.COMPRESSED | {"num_nextn_predict_layers": 1})
    attention = 16 * 6 + 6 * 3 * 512 + 16 * 512 + 3 * 512 * 5 + 3 * 5 * 16 + (6 + 512 + 3)
    streams = 2 * ((2 + 2) * 2 * (2 * 16 + 1) + 3)
    experts = 4 * (3 * 16 * 7) + 3 * 16 * 7 + 4 * 16
    layer = attention + streams + 2 * 16 + experts
    ends = 2 * 16 * 16 + 3 * 16 + (2 * 2 * 16 + 2 + 1)
    assert llm.draft.parameters.total == layer + ends
    (group,) = llm.draft.attention
    assert group.ratio is None
    assert llm.parameters == import_llm(tiny.COMPRESSED).parameters


def test_a_draft_module_of_latent_attention_is_a_layer_with_experts():
    llm = import_llm(tiny.LATENT | {"num_nextn_predict_layers": 1})
    layer = latent_layer(32 * 12 + 12 * 4 * (6 + 4) + 12)
    experts = 6 * 3 * 32 * 9 + 3 * 32 * 9 + 6 * 32
    assert llm.draft.parameters.total == layer + experts + 2 * 32 * 32 + 3 * 32
    assert llm.checkpoint_bytes("bf16") == BF16 * (
        llm.parameters.total + llm.draft.parameters.total
    )


def test_files_of_one_vocabulary_repeat_the_tables_with_every_draft_module():
    values = tiny.LATENT | {"num_nextn_predict_layers": 2, "vocab_size": 129_280}
    llm = import_llm(values)
    each = llm.draft.parameters.total + 2 * 129_280 * 32
    assert llm.checkpoint_bytes("bf16") == BF16 * (llm.parameters.total + 2 * each)


DELTA_NET = (
    20 * (2 * 2 * 3 + 2 * 4 * 5)  # queries and keys; values and output gate
    + 2 * 20 * 4  # decay and strength of the update
    + 4 * (2 * 2 * 3 + 4 * 5)  # convolution
    + 4 * 5 * 20  # output
    + (2 * 4 + 5)  # decay, its bias, norm
)
GATED_ATTENTION = 2 * 20 * 24 + 2 * 20 * 12 + 24 * 20 + 2 * 6


def test_gated_delta_net_has_a_state_and_one_layer_in_four_a_cache():
    llm = import_llm(tiny.DELTA_NET)
    dense = 3 * 20 * 30
    experts = 5 * (3 * 20 * 7) + 3 * 20 * 9 + 5 * 20 + 20
    layers = 3 * DELTA_NET + GATED_ATTENTION + dense + 3 * experts + 4 * 2 * 20
    assert llm.parameters.total == 2 * 60 * 20 + layers + 20
    assert llm.active_parameters == llm.parameters.total - 3 * 3 * (3 * 20 * 7)
    assert llm.held_bytes(30, "bf16") == 1 * 30 * 2 * (6 + 6) * BF16
    assert llm.state_bytes() == 3 * (4 * 3 * 5 * FP32 + 3 * (2 * 2 * 3 + 4 * 5) * BF16)
    assert llm.attention_flops(30) == 4 * 4 * 6 * 30 + 3 * 8 * 4 * 3 * 5
    in_bf16 = import_llm(without(tiny.DELTA_NET, "mamba_ssm_dtype"))
    assert in_bf16.state_bytes() == 3 * (4 * 3 * 5 * BF16 + 3 * (2 * 2 * 3 + 4 * 5) * BF16)


def test_a_nested_configuration_is_counted_without_its_vision_part():
    llm = import_llm(tiny.NESTED)
    layers = DELTA_NET + GATED_ATTENTION + 2 * (3 * 20 * 30 + 2 * 20)
    assert llm.parameters.total == 2 * 60 * 20 + layers + 20
    assert llm.held_bytes(30, "fp8") == 1 * 30 * 2 * (6 + 6) * FP8
    assert llm.state_bytes() == 1 * (4 * 3 * 5 + 3 * (2 * 2 * 3 + 4 * 5)) * BF16
    draft = GATED_ATTENTION + 3 * 20 * 30 + 2 * 20 + 2 * 20 * 20 + 3 * 20
    assert llm.draft.parameters.total == draft
    assert "vision" in llm.note
    assert import_llm(tiny.NESTED["text_config"]).parameters == llm.parameters


def test_a_nested_configuration_of_another_family_is_that_of_its_decoder():
    llm = import_llm(tiny.MULTIMODAL)
    layer = 14 * 18 + 2 * 14 * 9 + 18 * 14 + 3 * 14 * 22 + 2 * 14
    assert llm.parameters.total == 2 * 30 * 14 + 3 * layer + 14
    assert llm.held_bytes(30, "bf16") == 3 * 10 * 1 * (9 + 9) * BF16
    tied = import_llm(tiny.MULTIMODAL | {"tie_word_embeddings": True})
    assert tied.parameters.total == llm.parameters.total - 30 * 14


def delta_attention(gate):
    return 4 * 24 * 12 + 4 * 3 * 12 + (24 * 4 + 4 * 12) + 24 * 3 + gate + 12 + 3 + 4


def kimi_latent(gate):
    return 24 * 2 * (5 + 2) + 24 * (7 + 2) + 7 * 2 * (5 + 3) + 2 * 3 * 24 + 7 + gate


def test_delta_attention_with_latent_attention_on_the_listed_layers():
    llm = import_llm(tiny.DELTA_ATTENTION)
    experts = 5 * (3 * 24 * 6) + 2 * (3 * 24 * 6) + 5 * 24
    mixers = 3 * delta_attention(24 * 4 + 4 * 12) + kimi_latent(0)
    layers = mixers + 3 * 24 * 35 + 3 * experts + 4 * 2 * 24
    assert llm.parameters.total == 2 * 44 * 24 + layers + 24
    assert llm.held_bytes(30, "bf16") == 1 * 30 * (7 + 2) * BF16
    assert llm.state_bytes() == 3 * (3 * 4 * 4 * FP32 + 3 * (3 * 12) * BF16)
    assert llm.attention_flops(30) == 2 * 2 * (2 * 7 + 2) * 30 + 3 * 8 * 3 * 4 * 4


def test_delta_attention_with_full_gates_and_experts_in_a_latent_space():
    llm = import_llm(tiny.GATED_DELTA_ATTENTION)
    # Experts work on 10 elements, not 24; every token pays for the way there and back and a norm.
    experts = 5 * (3 * 10 * 6) + 2 * (3 * 24 * 6) + 5 * 24 + 2 * 24 * 10 + 10
    mixers = 3 * delta_attention(24 * 12) + kimi_latent(24 * 2 * 3)
    layers = mixers + 3 * 24 * 35 + 3 * experts + 4 * 2 * 24
    assert llm.parameters.total == 2 * 44 * 24 + layers + 24
    assert llm.active_parameters == llm.parameters.total - 3 * 3 * (3 * 10 * 6)
    assert llm.mixture.expert_width == 10


def test_mamba_2_with_latent_experts_has_one_block_per_layer():
    llm = import_llm(tiny.MAMBA2)
    mamba = 16 * (2 * 12 + 2 * 2 * 5 + 4) + (4 + 1) * (12 + 2 * 2 * 5) + 3 * 4 + 12 + 12 * 16
    attention = 16 * 28 + 2 * 16 * 14 + 28 * 16
    # Experts of two matrices each, in a space of 8 elements.
    experts = 6 * (2 * 8 * 11) + 2 * 16 * 9 + 6 * 16 + 2 * 16 * 8
    dense = 2 * 16 * 21
    layers = 2 * mamba + attention + 2 * experts + dense + 6 * 16
    assert llm.parameters.total == 2 * 50 * 16 + layers + 16
    assert llm.active_parameters == llm.parameters.total - 2 * 4 * (2 * 8 * 11)
    assert llm.held_bytes(30, "bf16") == 1 * 30 * 2 * (7 + 7) * BF16
    assert llm.state_bytes() == 2 * (4 * 3 * 5 * FP32 + 3 * (12 + 2 * 2 * 5) * BF16)
    assert llm.attention_flops(30) == 4 * 4 * 7 * 30 + 2 * 6 * 4 * 3 * 5
    assert (llm.layers, llm.mixer_blocks, llm.feed_forward_blocks) == (6, 3, 3)
    draft = attention + experts + 2 * 16 + 2 * 16 * 16 + 3 * 16
    assert llm.draft.parameters.total == draft
    assert llm.draft.layers == 2


def test_the_two_spellings_of_a_pattern_of_blocks_agree():
    kinds = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
    listed = without(tiny.MAMBA2, "hybrid_override_pattern") | {
        "layers_block_type": [kinds[one] for one in tiny.MAMBA2["hybrid_override_pattern"]]
    }
    assert import_llm(listed) == import_llm(tiny.MAMBA2)


def test_mamba_1_has_a_state_per_channel_and_experts_on_every_other_layer():
    llm = import_llm(tiny.MAMBA1)
    mamba = (
        12 * 2 * 24  # input
        + (4 + 1) * 24  # convolution and its bias
        + 24 * (7 + 2 * 5)  # step size and the two state vectors
        + (7 + 2 * 5)  # their norms
        + 7 * 24
        + 24 * 5  # A
        + 2 * 24  # D and the bias of the step size
        + 24 * 12  # output
    )
    attention = 12 * 12 + 2 * 12 * 4 + 12 * 12
    experts = 3 * (3 * 12 * 20) + 3 * 12
    layers = 3 * mamba + attention + 2 * (3 * 12 * 20) + 2 * experts + 4 * 2 * 12
    assert llm.parameters.total == 2 * 26 * 12 + layers + 12
    assert llm.held_bytes(30, "bf16") == 1 * 30 * 1 * (4 + 4) * BF16
    assert llm.state_bytes() == 3 * (24 * 5 * FP32 + 3 * 24 * BF16)


def test_lightning_attention_has_a_square_state_per_head():
    llm = import_llm(tiny.LIGHTNING)
    lightning = 5 * 16 * 12 + 12
    attention = 16 * 12 + 2 * 16 * 6 + 12 * 16
    experts = 4 * (3 * 16 * 10) + 4 * 16
    layers = 3 * lightning + attention + 4 * (experts + 2 * 16)
    assert llm.parameters.total == 2 * 28 * 16 + layers + 16
    assert llm.held_bytes(30, "bf16") == 1 * 30 * 2 * (3 + 3) * BF16
    assert llm.state_bytes() == 3 * 4 * 3 * 3 * BF16
    assert llm.attention_flops(30) == 4 * 4 * 3 * 30 + 3 * 6 * 4 * 3 * 3


# ---- Properties of every kind


@pytest.mark.parametrize("name", NAMES)
def test_components_and_layers_add_up(name):
    llm = import_llm(CONFIGURATIONS[name], name=name)
    assert llm.name == name
    assert sum(getattr(llm.parameters, one) for one in COMPONENTS) == llm.parameters.total
    assert sum(group.layers for group in llm.attention) == llm.mixer_blocks
    assert 0 < llm.active_parameters <= llm.parameters.total
    assert llm.matmul_flops == 2 * llm.matmul_parameters
    assert llm.native_format == "bf16"
    count = llm.parameters.total
    if llm.draft:
        tables = llm.parameters.embedding + llm.parameters.lm_head
        repeated = tables if llm.draft.repeats_tables else 0
        count += llm.draft.modules * (llm.draft.parameters.total + repeated)
    assert llm.checkpoint_bytes("bf16") == BF16 * count


@pytest.mark.parametrize("name", NAMES)
def test_no_more_is_read_than_is_held_and_both_grow(name):
    llm = import_llm(CONFIGURATIONS[name])
    lengths = [1, 3, 17, 64, 129, 1000, 100_000]
    for kv_format in ("bf16", "fp8"):
        held = [llm.held_bytes(tokens, kv_format) for tokens in lengths]
        assert held == sorted(held)
        assert held[-1] > 0
        assert all(
            llm.read_bytes(tokens, kv_format) <= one + 1e-9
            for tokens, one in zip(lengths, held, strict=True)
        )


@pytest.mark.parametrize("name", NAMES)
def test_only_recurrent_and_compressed_layers_have_a_state(name):
    llm = import_llm(CONFIGURATIONS[name])
    recurrent = any(isinstance(group, RecurrentAttention) for group in llm.attention)
    assert (llm.state_bytes() > 0) == (recurrent or name == "compressed")


@pytest.mark.parametrize("name", NAMES)
def test_null_false_and_zero_say_nothing_about_the_architecture(name):
    values = CONFIGURATIONS[name]
    quiet = {"moe_mystery_experts": 0, "sliding_mystery": None, "use_mystery_window": False}
    assert import_llm(values | quiet) == import_llm(values)


# ---- Formats of the weights


UNQUANTIZED = {"attention": "bf16", "dense_ffn": "bf16", "shared_experts": "bf16"}
ALL = ("attention", "dense_ffn", "shared_experts", "routed_experts")


def everywhere(name, **others):
    return dict.fromkeys(ALL, name) | others


def compressed_tensors(bits, kind, group, *, activations=False, **others):
    described = {"num_bits": bits, "type": kind, "group_size": group}
    found = {
        "targets": ["Linear"],
        "weights": described,
        "input_activations": described if activations else None,
    }
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": found}} | others


QUANTIZED = {
    "fp8": ({"quant_method": "fp8", "weight_block_size": [128, 128]}, everywhere("fp8")),
    "fp8 without attention": (
        {"quant_method": "fp8", "modules_to_not_convert": ["lm_head", "model.layers.*.self_attn"]},
        everywhere("fp8", attention="bf16"),
    ),
    "fbgemm": ({"quant_method": "fbgemm_fp8"}, everywhere("fp8")),
    "mxfp4 of experts": ({"quant_method": "mxfp4"}, UNQUANTIZED | {"routed_experts": "mxfp4"}),
    "int4 of experts": (
        compressed_tensors(
            4,
            "int",
            32,
            ignore=[
                "lm_head",
                "re:.*self_attn.*",
                "re:.*shared_experts.*",
                "re:.*mlp\\.(gate|up|gate_up|down)_proj.*",
            ],
        ),
        UNQUANTIZED | {"routed_experts": "int4"},
    ),
    "int4 by 128": (compressed_tensors(4, "int", 128), everywhere("int4_g128")),
    "int8": (compressed_tensors(8, "int", None, activations=True), everywhere("int8")),
    "8-bit floats": (
        compressed_tensors(8, "float", None, activations=True),
        everywhere("fp8"),
    ),
    "nvfp4 by groups": (
        compressed_tensors(4, "float", 16, activations=True),
        everywhere("nvfp4"),
    ),
    "mxfp4 by groups": (compressed_tensors(4, "float", 32), everywhere("mxfp4")),
    "modelopt fp8": ({"quant_method": "modelopt", "quant_algo": "FP8"}, everywhere("fp8")),
    "modelopt nvfp4": (
        {"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["*self_attn*"]},
        everywhere("nvfp4", attention="bf16"),
    ),
    "modelopt by layer": (
        {
            "quant_method": "modelopt",
            "quant_algo": "MIXED_PRECISION",
            "quantized_layers": {
                f"model.layers.{layer}.{module}": {"quant_algo": algorithm}
                for layer in range(5)
                for module, algorithm in (
                    *((f"self_attn.{one}_proj", "FP8") for one in "qkvo"),
                    ("mlp.experts", "NVFP4"),
                )
            },
        },
        UNQUANTIZED | {"attention": "fp8", "routed_experts": "nvfp4"},
    ),
    "gptq": ({"quant_method": "gptq", "bits": 4, "group_size": 128}, everywhere("int4_g128")),
    "gptq by 32": ({"quant_method": "gptq", "bits": 4, "group_size": 32}, everywhere("int4")),
    "gptq of 8 bits": ({"quant_method": "gptq", "bits": 8}, everywhere("int8_a16")),
    "bitsandbytes of 8 bits": (
        {"quant_method": "bitsandbytes", "load_in_8bit": True},
        everywhere("int8"),
    ),
    "nvfp4 of weights alone": (compressed_tensors(4, "float", 16), everywhere("nvfp4_a16")),
    "awq": (
        {"quant_method": "awq", "w_bit": 4, "group_size": 128, "zero_point": True},
        everywhere("int4_g128_zeros"),
    ),
}
UNKNOWN_QUANTIZATIONS = {
    "unknown method": {"quant_method": "unheard", "bits": 4},
    "bitsandbytes of no width": {"quant_method": "bitsandbytes"},
    "no method": {"group_size": 128},
    "unknown algorithm": {"quant_method": "modelopt", "quant_algo": "FP3"},
    "gptq of 3 bits": {"quant_method": "gptq", "bits": 3},
    "unknown group": compressed_tensors(2, "int", 32),
}


def formats(llm):
    return {one: llm.component_format(llm.native_format, one) for one in COMPONENTS}


@pytest.mark.parametrize("case", sorted(QUANTIZED))
def test_stated_quantizations_are_found(case):
    section, expected = QUANTIZED[case]
    llm = import_llm(tiny.MIXTURE | {"quantization_config": section})
    rest = dict.fromkeys(("router", "embedding", "lookup_tables", "lm_head"), "bf16")
    assert formats(llm) == expected | rest
    assert llm.parameters == import_llm(tiny.MIXTURE).parameters


@pytest.mark.parametrize(("left_out", "expected"), [(2, "fp8"), (3, "bf16"), (5, "bf16")])
def test_layers_that_are_left_out_are_stored_apart_from_the_rest(left_out, expected):
    section = {
        "quant_method": "fp8",
        "ignored_layers": [f"model.layers.{layer}.self_attn" for layer in range(left_out)],
    }
    llm = import_llm(tiny.MIXTURE | {"quantization_config": section})
    assert formats(llm)["attention"] == expected
    assert formats(llm)["routed_experts"] == "fp8"
    # Of 5 layers' attention, q, k, v and o; and of the two draft modules, which are none of them.
    each = 18 * 24 + 2 * 18 * 12 + 24 * 18
    quantized, whole = (5 - left_out) * each * 1.0002, left_out * each * BF16
    assert llm.component_bytes("fp8", "attention") == pytest.approx(quantized + whole, rel=1e-12)


def test_bytes_of_a_quantized_checkpoint_follow_from_its_formats():
    values = tiny.MIXTURE | {
        "num_nextn_predict_layers": 0,
        "quantization_config": QUANTIZED["modelopt by layer"][0],
    }
    llm = import_llm(values)
    attention = 5 * (18 * 24 + 2 * 18 * 12 + 24 * 18)
    routed = 3 * 8 * 3 * 18 * 7
    rest = llm.parameters.total - attention - routed
    # One byte and a scale per 128 x 128 weights; half a byte and a scale per 16.
    expected = attention * 1.0002 + routed * (0.5 + 1 / 16) + rest * BF16
    assert llm.checkpoint_bytes(llm.native_format) == pytest.approx(expected, rel=1e-12)


def test_a_checkpoint_holds_its_draft_modules():
    llm = import_llm(tiny.MIXTURE | {"quantization_config": QUANTIZED["fp8"][0]})
    attention = 18 * 24 + 2 * 18 * 12 + 24 * 18
    # The projection of two states to one is a matrix like those of attention.
    matrices = attention + 10 * 3 * 18 * 7 + 2 * 18 * 18
    others = llm.draft.parameters.total - matrices
    alone = import_llm(
        tiny.MIXTURE | {"quantization_config": QUANTIZED["fp8"][0], "num_nextn_predict_layers": 0}
    )
    added = llm.checkpoint_bytes("fp8") - alone.checkpoint_bytes("fp8")
    # Files of GLM-4.5 repeat embedding and output head with every module: 2 x vocabulary x hidden.
    each = matrices * 1.0002 + (others + 2 * 90 * 18) * BF16
    assert added == pytest.approx(2 * each, rel=1e-12)


def test_experts_may_have_a_format_of_their_own():
    values = tiny.COMPRESSED | {
        "expert_dtype": "fp4",
        "quantization_config": {"quant_method": "fp8"},
    }
    assert formats(import_llm(values)) == everywhere("fp8", routed_experts="mxfp4") | {
        "router": "bf16",
        "embedding": "bf16",
        "lookup_tables": "bf16",
        "lm_head": "bf16",
    }


@pytest.mark.parametrize(
    "path",
    ["quantization_config", "compression_config", "text_config.quantization_config"],
)
def test_a_quantization_is_found_in_every_place(path):
    values = changed(tiny.NESTED, path, {"quant_method": "fp8"})
    assert import_llm(values).native_format == "fp8"


def modelopt_file(folder, algorithm):
    written(
        folder,
        {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": algorithm}},
        "hf_quant_config.json",
    )


def test_a_quantization_beside_the_configuration_is_found(tmp_path):
    path = written(tmp_path, tiny.MIXTURE, "config.json")
    assert import_llm(path).native_format == "bf16"
    modelopt_file(tmp_path, "NVFP4")
    assert import_llm(path).native_format == "nvfp4"
    # It belongs to config.json, not to any file in the folder.
    assert import_llm(written(tmp_path, tiny.MIXTURE)).native_format == "bf16"


@pytest.mark.parametrize("content", [b"{", b"[]", b'"x"', b'{"quantization": 5}', b"\x80\xff"])
def test_a_bad_file_beside_the_configuration_is_one_line(content, tmp_path):
    path = written(tmp_path, tiny.MIXTURE, "config.json")
    (tmp_path / "hf_quant_config.json").write_bytes(content)
    assert str(tmp_path) in refusal(path)
    assert str(tmp_path) in one_line_of_error(invoke("import-llm", path))


@pytest.mark.parametrize("section", ["fp8", ["fp8"], [], 5, True])
def test_a_quantization_that_is_no_mapping_is_an_error(section, tmp_path):
    path = written(tmp_path, tiny.MIXTURE | {"quantization_config": section})
    assert refusal(path).endswith(f"quantization_config: {section!r} is not a mapping")


def test_the_configuration_counts_before_the_file_beside_it(tmp_path):
    modelopt_file(tmp_path, "NVFP4")
    values = tiny.MIXTURE | {"quantization_config": {"quant_method": "fp8"}}
    assert import_llm(written(tmp_path, values, "config.json")).native_format == "fp8"


@pytest.mark.parametrize("section", [None, *UNKNOWN_QUANTIZATIONS])
def test_a_named_format_overrides_what_is_stated(section, tmp_path):
    values = tiny.DENSE | {"quantization_config": UNKNOWN_QUANTIZATIONS.get(section)}
    llm = import_llm(values, checkpoint_format="nvfp4")
    assert llm.native_format == "nvfp4"
    assert llm.component_format("nvfp4", "attention") == "nvfp4"
    outcome = invoke("import-llm", written(tmp_path, values), "--checkpoint-format", "mxfp4")
    assert yaml.safe_load(outcome.stdout)["native_format"] == "mxfp4"


@pytest.mark.parametrize("case", sorted(UNKNOWN_QUANTIZATIONS))
def test_an_unknown_quantization_is_an_error_that_says_what_helps(case, tmp_path):
    section = UNKNOWN_QUANTIZATIONS[case]
    path = written(tmp_path, tiny.MIXTURE | {"quantization_config": section})
    message = refusal(path)
    assert str(path) in message
    assert "quantization_config" in message
    assert "--checkpoint-format" in message


def test_an_unknown_format_names_the_nearest():
    message = refusal(tiny.DENSE, checkpoint_format="nvfp5")
    assert "--checkpoint-format: no format 'nvfp5'; did you mean 'nvfp4'?" in message


# ---- Errors

JUNK = ("abc", -1, 2.71, True, [], {}, math.nan)


# The library leaves out of a decoder inside a larger model what is as its class has it.
INSIDE = [one for one in REQUIRED_KEYS if one[1].startswith("text_config.")]
# The classes' 8 KV heads and 32 layers do not fit what these two state otherwise.
UNFIT = {
    ("mistral", "num_key_value_heads"),
    ("qwen3_5_text", "num_hidden_layers"),
}


@pytest.mark.parametrize(("name", "key"), [one for one in REQUIRED_KEYS if one not in INSIDE])
def test_a_missing_key_is_an_error_that_names_file_and_key(name, key, tmp_path):
    path = written(tmp_path, without(CONFIGURATIONS[name], key))
    message = refusal(path)
    assert message.startswith(f"{path}: the key ")
    assert f"'{key.split('.')[-1]}'" in message
    assert "missing" in message


@pytest.mark.parametrize(("name", "key"), INSIDE)
def test_a_key_missing_inside_is_as_the_class_has_it_and_the_note_says_so(name, key):
    family = CONFIGURATIONS[name]["text_config"]["model_type"]
    named, values = class_defaults(family)
    last = key.split(".")[-1]
    said = changed(CONFIGURATIONS[name], key, values[last])
    if (family, last) in UNFIT:
        assert refusal(without(CONFIGURATIONS[name], key)) == refusal(said)
        return
    llm = import_llm(without(CONFIGURATIONS[name], key))
    assert f"Not stated, and so as {named} has it: {last} {values[last]}." in llm.note
    assert llm == import_llm(said).model_copy(update={"note": llm.note})


@pytest.mark.parametrize(("name", "key"), REQUIRED_KEYS)
def test_a_value_of_the_wrong_kind_is_an_error_that_names_the_key(name, key):
    values = CONFIGURATIONS[name]
    for junk in JUNK:
        # A whole number may be negative without being of another kind, a list may be empty.
        if isinstance(stated(values, key), type(junk)) and not isinstance(junk, int | list):
            continue
        message = refusal(changed(values, key, junk))
        assert message.startswith("<mapping>:"), junk
        assert key.split(".")[-1] in message, junk


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (name, key)
        for name, key in REQUIRED_KEYS
        if key.split(".")[-1] in ("hidden_size", "num_hidden_layers", "vocab_size", "kv_lora_rank")
    ],
)
def test_a_null_is_as_good_as_nothing(name, key, tmp_path):
    path = written(tmp_path, changed(CONFIGURATIONS[name], key, None))
    assert f"'{key.split('.')[-1]}'" in refusal(path)


@pytest.mark.parametrize("value", ["yes", 1, 0, "", []])
def test_a_flag_is_true_or_false(value, tmp_path):
    path = written(tmp_path, tiny.DENSE | {"attention_bias": value})
    lines = path.read_text(encoding="utf-8").splitlines()
    (line,) = [number for number, text in enumerate(lines, 1) if '"attention_bias"' in text]
    expected = f"{path}:{line}: attention_bias: {value!r} is neither true nor false"
    assert refusal(path) == expected


def test_a_whole_number_may_be_written_with_a_point():
    assert import_llm(tiny.DENSE | {"hidden_size": 24.0}) == import_llm(tiny.DENSE)


UNREAD = {
    "moe_every_other_layer": 2,
    "engram_rows": 1000,
    "cross_attention_layers": [1],
    "mtp_depth": 3,
    "sparse_selection": "topk",
    "kv_source_table": [0, 0],
    "conv_front_end": {"width": 3},
    "attention_window_schedule": [1, 2],
}


@pytest.mark.parametrize("name", NAMES)
def test_a_key_about_the_architecture_that_nothing_reads_is_refused(name):
    values = CONFIGURATIONS[name]
    for key, value in UNREAD.items():
        place = f"text_config.{key}" if "text_config" in values else key
        assert repr(place) in refusal(changed(values, place, value))


def test_the_line_of_a_key_that_nothing_reads_is_named(tmp_path):
    path = written(tmp_path, {"moe_mystery": 3} | tiny.DENSE)
    assert refusal(path).startswith(f"{path}:2: moe_mystery: ")


def test_a_window_that_the_family_does_not_have_is_refused():
    assert "'sliding_window'" in refusal(tiny.TIED | {"sliding_window": 128})


def test_keys_that_change_nothing_are_no_matter():
    harmless = {
        "initializer_range": 0.02,
        "router_aux_loss_coef": 0.001,
        "eos_token_id": 7,
        "image_token_index": 9,
        "rope_scaling": {"type": "yarn", "factor": 4},
    }
    found = imported(tiny.DENSE | harmless)
    assert found.llm == import_llm(tiny.DENSE)
    assert harmless.keys() <= found.account.ignored.keys()
    assert all(found.account.ignored[key] for key in harmless)


def test_a_key_that_is_not_known_is_refused():
    assert "'my_own_key' may change" in refusal(tiny.DENSE | {"my_own_key": [1, 2]})


# The content of a file, and what the message says beside the file's name.
BAD_FILES = {
    "not JSON": ("{'model_type': 'llama'}", "not JSON"),
    "cut off": ('{"model_type": "llama",', "not JSON"),
    "empty": ("", "not JSON"),
    "a list": ('[{"model_type": "llama"}]', "holds a mapping"),
    "a word": ('"llama"', "holds a mapping"),
    "a number": ("7", "holds a mapping"),
    "nothing said": ("{}", "model_type"),
    "no family": (json.dumps(without(tiny.DENSE, "model_type")), "model_type"),
    "unknown family": (json.dumps(tiny.DENSE | {"model_type": "xyzzy"}), "'xyzzy'"),
    "misspelt family": (
        json.dumps(tiny.DENSE | {"model_type": "qwenn3"}),
        "did you mean 'qwen3'?",
    ),
    "family of another kind": (json.dumps(tiny.DENSE | {"model_type": ["qwen3"]}), "model_type"),
    "unknown nested family": (
        json.dumps(
            changed(
                changed(tiny.MULTIMODAL, "text_config.model_type", "xyzzy"), "model_type", "outer"
            )
        ),
        "'xyzzy'",
    ),
    "missing key": (json.dumps(without(tiny.DENSE, "head_dim")), "'head_dim'"),
    "wrong kind": (json.dumps(tiny.DENSE | {"vocab_size": "many"}), "vocab_size: 'many'"),
    "heads that do not divide": (
        json.dumps(tiny.DENSE | {"num_key_value_heads": 4}),
        "num_key_value_heads: 6 heads do not divide by 4",
    ),
    "more experts visited than there are": (
        json.dumps(tiny.MIXTURE | {"num_experts_per_tok": 9}),
        "9",
    ),
    "list too short": (
        json.dumps(tiny.SINKS | {"layer_types": ["full_attention"]}),
        "layer_types: has 1 items for 4 layers",
    ),
    "unknown kind of layer": (
        json.dumps(tiny.SINKS | {"layer_types": ["full_attention"] * 3 + ["sideways"]}),
        "layer_types: 'sideways'",
    ),
    "unknown block": (
        json.dumps(tiny.MAMBA2 | {"hybrid_override_pattern": "M*EM-Z"}),
        "'Z'",
    ),
    "pattern of another length": (
        json.dumps(tiny.MAMBA2 | {"hybrid_override_pattern": "M*EM-"}),
        "num_hidden_layers: 6, but 5 blocks",
    ),
    "layers that nothing lists": (
        json.dumps(changed(tiny.DELTA_ATTENTION, "linear_attn_config.kda_layers", [1, 2])),
        "kda_layers",
    ),
    "unknown state format": (
        json.dumps(tiny.DELTA_NET | {"mamba_ssm_dtype": "int3"}),
        "mamba_ssm_dtype: 'int3'",
    ),
    "unknown kind of indexer": (
        json.dumps(tiny.INDEXED | {"indexer_types": ["full", "full", "full", "half"]}),
        "indexer_types: 'half'",
    ),
    "unread key": (json.dumps(tiny.DENSE | {"moe_mystery": 3}), "'moe_mystery'"),
    "unknown quantization": (
        json.dumps(tiny.DENSE | {"quantization_config": {"quant_method": "unheard"}}),
        "'unheard'",
    ),
}


@pytest.mark.parametrize("case", sorted(BAD_FILES))
def test_a_bad_file_is_one_line_with_its_name(case, tmp_path):
    text, part = BAD_FILES[case]
    path = tmp_path / "tiny.json"
    path.write_text(text, encoding="utf-8")
    message = refusal(path)
    assert message.startswith(f"{path}:")
    assert part in message


@pytest.mark.parametrize("case", sorted(BAD_FILES))
def test_a_bad_file_is_exit_code_2_with_one_line_and_no_output(case, tmp_path):
    text, part = BAD_FILES[case]
    path, output = tmp_path / "tiny.json", tmp_path / "tiny.yaml"
    path.write_text(text, encoding="utf-8")
    message = one_line_of_error(invoke("import-llm", path, "-o", output))
    assert str(path) in message
    assert part in message
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_of_the_file_is_named(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text('{\n "model_type": "llama",\n "hidden_size": "16"\n}\n', encoding="utf-8")
    assert refusal(path) == f"{path}:3: hidden_size: '16' is not a whole number"
    path.write_text('{\n "model_type": "llama"\n "hidden_size": 16\n}\n', encoding="utf-8")
    assert refusal(path).startswith(f"{path}:3: not JSON")


def test_a_missing_file_is_one_line(tmp_path):
    path = tmp_path / "none.json"
    assert str(path) in refusal(path)
    assert str(path) in one_line_of_error(invoke("import-llm", path))
    assert "none/config.json: there is no such file" in refusal("none/config.json")


def test_a_folder_is_one_line(tmp_path):
    assert str(tmp_path) in refusal(tmp_path)
    assert str(tmp_path) in one_line_of_error(invoke("import-llm", tmp_path))


def test_bytes_that_are_no_text_are_one_line(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_bytes(b"\x80\xff\x00")
    assert f"{path}: is not UTF-8 text" in one_line_of_error(invoke("import-llm", path))


def test_a_mapping_needs_no_file():
    assert refusal(without(tiny.DENSE, "head_dim")).startswith("<mapping>: the key 'head_dim'")


# ---- Any mutation at all


def paths(values, above=()):
    """The path of every key of a configuration, nested ones too."""
    for key, value in values.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from paths(value, (*above, key))


ANYTHING = [
    10**400,
    None,
    True,
    -1,
    0,
    1,
    7,
    2.5,
    4.0,
    math.inf,
    math.nan,
    "",
    "abc",
    "full_attention",
    [],
    [0],
    ["abc"],
    [1, 2, 3, 4],
    [[1]],
    [None],
    {},
    {"model_type": "llama"},
    {"quant_method": "fp8"},
    {"abc": 1},
]
# A list of one item per layer is the place where another type hides.
LISTS = [[junk] * length for junk in (1, 9, -1, "abc", None, [1]) for length in (3, 4, 6)]


@st.composite
def mutations(draw):
    name = draw(st.sampled_from(NAMES))
    values = CONFIGURATIONS[name]
    for _ in range(draw(st.integers(1, 3))):
        known = sorted(paths(values))
        if not known:
            break
        path = ".".join(draw(st.sampled_from(known)))
        if draw(st.booleans()):
            values = without(values, path)
        else:
            values = changed(values, path, draw(st.sampled_from(ANYTHING + LISTS)))
    return values


def assert_imported_or_refused(values):
    """Nothing but a model whose numbers can be printed, or an error of one line."""
    try:
        llm = import_llm(values)
    except InputError as error:
        message = str(error)
    else:
        assert 0 < llm.parameters.total < math.inf
        assert f"{llm.parameters.total:,.0f}" in facts_table(llm)
        return llm
    assert message.startswith("<mapping>:")
    assert len(message.splitlines()) == 1
    return None


@pytest.mark.parametrize("name", NAMES)
def test_any_value_of_any_key_gives_a_model_or_an_input_error(name):
    known = CONFIGURATIONS[name] | {"quantization_config": {"quant_method": "fp8"}}
    for path in paths(known):
        for junk in (*ANYTHING, *LISTS):
            assert_imported_or_refused(changed(known, ".".join(path), junk))


@settings(max_examples=400)
@given(mutations())
def test_several_changes_give_a_model_that_can_be_written_or_an_input_error(values):
    llm = assert_imported_or_refused(values)
    if llm is not None:
        assert Llm.model_validate(yaml.safe_load(entry_yaml(llm))) == llm


# ---- Entries: written, read again, used

RACK = "rack: dgx_h100\nworkload: {context: 8192}\n"


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_read_again_as_it_was_written(name, tmp_path):
    values = CONFIGURATIONS[name] | {"quantization_config": {"quant_method": "fp8"}}
    llm = import_llm(values, name=name)
    (tmp_path / "tiny.yaml").write_text(entry_yaml(llm), encoding="utf-8")
    instance = tmp_path / "instance.yaml"
    instance.write_text(f"{RACK}llm: tiny.yaml\n", encoding="utf-8")
    assert load(instance).llm == llm


@pytest.mark.parametrize("name", NAMES)
def test_an_instance_may_name_a_configuration_directly(name, tmp_path):
    path = written(tmp_path, CONFIGURATIONS[name])
    instance = tmp_path / "instance.yaml"
    instance.write_text(f"{RACK}llm: tiny.json\n", encoding="utf-8")
    assert load(instance).llm == import_llm(path)


def test_a_bad_configuration_of_an_instance_is_one_line(tmp_path):
    path = written(tmp_path, without(tiny.DENSE, "head_dim"))
    instance = tmp_path / "instance.yaml"
    instance.write_text(f"{RACK}llm: tiny.json\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(instance)
    assert str(caught.value).startswith(f"{path}: the key 'head_dim' is missing")


def test_an_instance_without_its_configuration_names_the_missing_file(tmp_path):
    instance = tmp_path / "instance.yaml"
    instance.write_text(f"{RACK}llm: none.json\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(instance)
    assert str(caught.value).startswith(f"{instance}:3: ")
    assert f"there is no file {tmp_path / 'none.json'}" in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_the_command_prints_an_entry_on_stdout_and_its_size_on_stderr(name, tmp_path):
    path = written(tmp_path, CONFIGURATIONS[name])
    outcome = invoke("import-llm", path)
    llm = import_llm(path)
    assert outcome.exit_code == 0
    assert outcome.stdout == entry_yaml(llm)
    assert outcome.stderr.splitlines()[0] == summary(llm)
    assert Llm.model_validate(yaml.safe_load(outcome.stdout)) == llm


def test_the_command_writes_an_entry_that_an_instance_can_name(tmp_path):
    path, output = written(tmp_path, tiny.INDEXED), tmp_path / "entry.yaml"
    outcome = invoke("import-llm", path, "-o", output, "--name", "mine")
    assert outcome.exit_code == 0
    assert outcome.stdout == ""
    loaded = load({"rack": "dgx_h100", "llm": str(output), "workload": {"context": 8192}})
    assert loaded.llm == import_llm(path, name="mine")
    assert loaded.llm.name == "mine"


@pytest.mark.parametrize("name", NAMES)
def test_json_states_the_numbers_of_the_entry(name, tmp_path):
    path = written(tmp_path, CONFIGURATIONS[name])
    llm = import_llm(path)
    outcome = invoke("import-llm", path, "--format", "json")
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    data = json.loads(outcome.stdout)
    account = imported(path).account
    assert data == json.loads(json.dumps(facts(llm, account)))
    # Every key of the file is in one of these, unless it holds others that are.
    keys = data.pop("keys")
    assert data == json.loads(json.dumps(facts(llm)))
    accounted = [*keys["decided"], *keys["ignored"], *keys["left_out"]]
    assert len(accounted) == len(set(accounted))
    for place in (".".join(one) for one in paths(CONFIGURATIONS[name])):
        assert any(
            one == place or one.startswith(f"{place}.") or place.startswith(f"{one}.")
            for one in accounted
        )
    assert data["total_parameters"] == sum(data["parameters"].values()) == llm.parameters.total
    assert data["checkpoint_bytes"] == llm.checkpoint_bytes("bf16")
    assert data["kv_held_bytes"]["fp8"]["128k"] == llm.held_bytes(131_072, "fp8")
    assert data["kv_read_bytes"]["bf16"]["8k"] == llm.read_bytes(8192, "bf16")
    assert data["attention_flops"]["1M"] == llm.attention_flops(1_048_576)
    assert data["state_bytes"] == llm.state_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_the_table_states_every_component_that_there_is(name, tmp_path):
    path = written(tmp_path, CONFIGURATIONS[name])
    llm = import_llm(path)
    outcome = invoke("import-llm", path, "--format", "table")
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    counts = {}
    for words in (line.split() for line in outcome.stdout.splitlines()):
        # Components come first; attention is also the name of a line of FLOPs.
        if words == ["keys", "that", "decided"]:
            break
        counts.setdefault(words[0] if words else "", words[1:2])
    for component in COMPONENTS:
        count = getattr(llm.parameters, component)
        if count:
            assert counts[component] == [f"{count:,.0f}"]
        else:
            assert component not in counts
    assert counts["total"] == [f"{llm.parameters.total:,.0f}"]
    assert ("active" in counts) == (llm.mixture is not None)
    assert ("recurrent state" in outcome.stdout) == (llm.state_bytes() > 0)
    assert ("draft modules" in outcome.stdout) == (llm.draft is not None)


@pytest.mark.parametrize("style", ["table", "json"])
def test_numbers_go_to_a_file_as_well(style, tmp_path):
    path, output = written(tmp_path, tiny.MIXTURE), tmp_path / "numbers"
    outcome = invoke("import-llm", path, "--format", style, "--output", output)
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (0, "", "")
    assert (
        output.read_text(encoding="utf-8") == invoke("import-llm", path, "--format", style).stdout
    )

    shown = invoke("import-llm", path, "--format", style).stdout
    assert output.read_text(encoding="utf-8") == shown


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Tiny-Model 7B.json", "tiny_model_7b"),
        ("org--Tiny-7B.json", "tiny_7b"),
        ("tiny_config.json", "tiny"),
    ],
)
def test_an_entry_is_named_by_its_file(file, name, tmp_path):
    assert import_llm(written(tmp_path, tiny.DENSE, file)).name == name


def test_a_config_json_is_named_by_its_folder(tmp_path):
    folder = tmp_path / "Tiny-7B"
    folder.mkdir()
    assert import_llm(written(folder, tiny.DENSE, "config.json")).name == "tiny_7b"


def test_a_name_with_two_dashes_is_that_of_the_hub(tmp_path):
    llm = import_llm(written(tmp_path, tiny.DENSE, "org--Tiny-7B.json"))
    assert (llm.huggingface, llm.title) == ("org/Tiny-7B", "Tiny-7B")
    assert "# Tiny-7B: " in entry_yaml(llm)


# ---- From the hub


def fake_hub(monkeypatch, download):
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=download))


def test_a_model_of_the_hub_is_imported_by_its_name(monkeypatch, tmp_path):
    asked = []

    def download(name, file):
        asked.append((name, file))
        return str(written(tmp_path, tiny.MIXTURE, "config.json"))

    monkeypatch.chdir(tmp_path)
    fake_hub(monkeypatch, download)
    llm = import_llm("org/Tiny-7B")
    assert ("org/Tiny-7B", "config.json") in asked
    assert (llm.name, llm.huggingface, llm.title) == ("tiny_7b", "org/Tiny-7B", "Tiny-7B")
    assert llm.parameters == import_llm(tiny.MIXTURE).parameters
    outcome = invoke("import-llm", "org/Tiny-7B")
    assert outcome.exit_code == 0
    assert yaml.safe_load(outcome.stdout)["huggingface"] == "org/Tiny-7B"


def test_without_the_package_of_the_hub_one_line_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    message = one_line_of_error(invoke("import-llm", "org/Tiny-7B", "-o", tmp_path / "tiny.yaml"))
    assert "org/Tiny-7B: there is no such file" in message
    assert "huggingface_hub" in message
    assert "pip install" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("no route\nto the hub"), "no route"),
        (RuntimeError("401: gated"), "401: gated"),
        (ValueError(), "ValueError"),
    ],
)
def test_a_failing_download_is_one_line(error, said, monkeypatch, tmp_path):
    def download(*_arguments):
        raise error

    monkeypatch.chdir(tmp_path)
    fake_hub(monkeypatch, download)
    message = one_line_of_error(invoke("import-llm", "org/Tiny-7B", "-o", tmp_path / "tiny.yaml"))
    assert "org/Tiny-7B: config.json cannot be taken from the hub" in message
    assert said in message
    assert "download it and give its path" in message
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_family_of_the_hub_is_named(monkeypatch, tmp_path):
    path = written(tmp_path, {"model_type": "xyzzy"}, "config.json")
    monkeypatch.chdir(tmp_path)
    fake_hub(monkeypatch, lambda _name, _file: str(path))
    assert "org/Tiny-7B:" in one_line_of_error(invoke("import-llm", "org/Tiny-7B"))


def test_a_file_that_exists_is_not_looked_for_on_the_hub(monkeypatch, tmp_path):
    (tmp_path / "org").mkdir()
    written(tmp_path / "org", tiny.DENSE, "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert import_llm("org/tiny").parameters == import_llm(tiny.DENSE).parameters


def test_the_documentation_lists_every_family():
    text = (Path(__file__).parents[1] / "docs" / "llms.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`([a-z0-9_-]+)`", text[text.index("## Families") :]))
    assert listed - {"model_type"} == KNOWN


def test_formats_that_do_not_exist_are_an_error():
    llm = import_llm(CONFIGURATIONS["latent"])
    with pytest.raises(InputError, match="no weight format 'nvfp5'; did you mean"):
        llm.checkpoint_bytes("nvfp5")
    with pytest.raises(InputError, match="no KV format 'nope'"):
        llm.held_bytes(10, "nope")


def test_a_name_that_speaks_of_a_format_makes_the_entry_an_estimate(tmp_path):
    path = tmp_path / "org--tiny-NVFP4.json"
    path.write_text(json.dumps(CONFIGURATIONS["latent"]), encoding="utf-8")
    guessed, stated = import_llm(path), import_llm(path, checkpoint_format="nvfp4")
    assert (guessed.status, stated.status) == ("estimate", "counted")
    assert "The name says NVFP4" in guessed.note
    assert stated.note == ""


def test_a_folder_stands_for_the_configuration_in_it(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIGURATIONS["latent"]), encoding="utf-8")
    whole = import_llm(tmp_path / "config.json")
    assert import_llm(tmp_path) == whole
    assert whole.parameters.total > 0


def test_more_dense_layers_than_layers_are_an_error():
    with pytest.raises(InputError, match="100 dense layers are more than all"):
        import_llm(changed(CONFIGURATIONS["latent"], "first_k_dense_replace", 100))
