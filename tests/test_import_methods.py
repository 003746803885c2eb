"""Bytes of checkpoints in formats of local engines, derived from the sections that state them.

Llama-3-8B has 6,979,321,856 weights in the matrices of its layers, two tables of 525,336,576, and
266,240 weights of norms, which are stored in 16 bits whatever the method.
"""

import pytest

from hbmopt import import_llm
from hbmopt.errors import InputError
from test_public_shapes import CONFIGS

LLAMA = CONFIGS["meta-llama/Meta-Llama-3-8B"]
LAYERS, TABLE, NORMS = 6_979_321_856, 525_336_576, 266_240
LINEAR = {"skip_modules": ["lm_head"]}


def hqq(**weights):
    return {"weight_quant_params": weights, "scale_quant_params": None, "zero_quant_params": None}


def torchao(kind, **values):
    return {"default": {"_type": kind, "_version": 1, "_data": values}}


INT4 = torchao("Int4WeightOnlyConfig", group_size=128)
BY_NAME = torchao(
    "ModuleFqnToConfig",
    module_fqn_to_config={"_default": INT4["default"], "model.layers.0.self_attn.q_proj": None},
)
QUERY = 4096 * 4096

# Section, bits of the weights of layers, of the embedding, of the head.
CASES = {
    # 4 bits, and a scale and an offset of 16 bits for 64 weights: 4 + 32 / 64, tables too.
    "mlx": ({"group_size": 64, "bits": 4}, 4.5, 4.5, 4.5),
    "mlx_3": ({"group_size": 32, "bits": 3}, 4.0, 4.0, 4.0),
    "mlx_mxfp4": ({"group_size": 32, "bits": 4, "mode": "mxfp4"}, 4.25, 4.25, 4.25),
    "mlx_head": (
        {"group_size": 64, "bits": 4, "lm_head": {"group_size": 64, "bits": 6}},
        4.5,
        4.5,
        6.5,
    ),
    "mlx_table": ({"group_size": 64, "bits": 4, "model.embed_tokens": False}, 4.5, 16, 4.5),
    "hqq": (
        {"quant_method": "hqq", "quant_config": hqq(nbits=4, group_size=64, axis=1)} | LINEAR,
        4.5,
        16,
        16,
    ),
    "hqq_2": (
        {"quant_method": "hqq", "quant_config": hqq(nbits=2, group_size=16, axis=1)} | LINEAR,
        4.0,
        16,
        16,
    ),
    "torchao_word": (
        {
            "quant_method": "torchao",
            "quant_type": "int4_weight_only",
            "quant_type_kwargs": {"group_size": 64},
        },
        4.5,
        16,
        16,
    ),
    "torchao": ({"quant_method": "torchao", "quant_type": INT4}, 4.25, 16, 16),
    "torchao_tables": (
        {
            "quant_method": "torchao",
            "quant_type": torchao("Float8WeightOnlyConfig"),
            "include_input_output_embeddings": True,
        },
        8 * 1.0002,
        8 * 1.0002,
        8 * 1.0002,
    ),
    # One query projection keeps its 16 bits, which are 11.75 more than the others' 4.25.
    "torchao_by_name": (
        {"quant_method": "torchao", "quant_type": BY_NAME},
        4.25 + 11.75 * QUERY / LAYERS,
        16,
        16,
    ),
    "exl2": (
        {"quant_method": "exl2", "bits": 4.65, "head_bits": 6, "version": "0.0.20"},
        4.65,
        16,
        6,
    ),
    "exl3": (
        {"quant_method": "exl3", "bits": 3.0, "head_bits": 6, "out_scales": "always"},
        3,
        16,
        6,
    ),
    "bitnet": (
        {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"},
        2,
        16,
        16,
    ),
    "bitnet_online": ({"quant_method": "bitnet", "quantization_mode": "online"}, 16, 16, 16),
}


def imported(section):
    key = "quantization_config" if "quant_method" in section else "quantization"
    return import_llm(LLAMA | {key: section})


@pytest.mark.parametrize("case", sorted(CASES))
def test_bytes_follow_from_the_bits_of_layers_and_tables(case):
    section, layers, embedding, head = CASES[case]
    llm = imported(section)
    bits = layers * LAYERS + (embedding + head) * TABLE + 16 * NORMS
    assert llm.checkpoint_bytes(llm.native_format) == pytest.approx(bits / 8, rel=1e-9)


def test_mlx_states_experts_by_the_module_that_holds_them():
    # Qwen3-30B-A3B: the down projections of one layer's 128 experts, 128 x 768 x 2048 weights,
    # have 6 bits instead of 4.
    config = CONFIGS["Qwen/Qwen3-30B-A3B"]
    plain = import_llm(config | {"quantization": {"group_size": 64, "bits": 4}})
    name = "model.layers.3.mlp.switch_mlp.down_proj"
    mixed = import_llm(
        config
        | {"quantization": {"group_size": 64, "bits": 4, name: {"group_size": 64, "bits": 6}}}
    )
    more = mixed.checkpoint_bytes(mixed.native_format) - plain.checkpoint_bytes(plain.native_format)
    assert more == pytest.approx(128 * 768 * 2048 * 2 / 8, rel=1e-6)


def test_aqlm_has_a_book_for_every_matrix():
    # Llama-2-7B, published with 2.38 GB: 16 bits for 8 weights, and for each of 7 x 32 matrices a
    # book of 2^16 entries of 8 numbers in 16 bits.
    config = CONFIGS["meta-llama/Llama-2-7b-hf"]
    section = {
        "quant_method": "aqlm",
        "nbits_per_codebook": 16,
        "num_codebooks": 1,
        "in_group_size": 8,
        "out_group_size": 1,
        "linear_weights_not_to_quantize": ["model.embed_tokens.weight", "lm_head.weight"],
    }
    llm = import_llm(config | {"quantization_config": section})
    weights = 32 * (4 * 4096**2 + 3 * 4096 * 11008)
    rest = 2 * 32000 * 4096 + 65 * 4096
    expected = weights * 2 / 8 + 7 * 32 * 2**16 * 8 * 2 + rest * 2
    assert llm.checkpoint_bytes(llm.native_format) == pytest.approx(expected, rel=1e-6)
    assert llm.checkpoint_bytes(llm.native_format) / 1e9 == pytest.approx(2.38, abs=0.005)


def test_bitnet_says_how_its_three_values_are_stored():
    # Published with 1.18 GB: 2,084,044,800 weights in 2 bits, the table and norms in 16.
    llm = import_llm(CONFIGS["microsoft/bitnet-b1.58-2B-4T"])
    assert llm.checkpoint_bytes(llm.native_format) / 1e9 == pytest.approx(1.18, abs=0.005)
    assert "1.58 bits, are stored in 2" in llm.note


@pytest.mark.parametrize(
    "section",
    [
        {"group_size": 64, "bits": 12},
        {"group_size": 0, "bits": 4},
        {"group_size": 64, "bits": 4, "mode": "unheard"},
        {"group_size": 64, "bits": True},
        {"quant_method": "hqq"},
        {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4}}},
        {"quant_method": "torchao"},
        {"quant_method": "torchao", "quant_type": "autoquant"},
        {"quant_method": "torchao", "quant_type": torchao("UIntXWeightOnlyConfig")},
        {"quant_method": "exl2"},
        {"quant_method": "exl2", "bits": 40},
        {"quant_method": "aqlm", "in_group_size": 8, "out_group_size": 1},
        {
            "quant_method": "aqlm",
            "in_group_size": 8,
            "out_group_size": 1,
            "num_codebooks": 1,
            "nbits_per_codebook": 60,
        },
    ],
)
def test_a_section_that_does_not_say_the_bits_is_refused_in_one_line(section):
    with pytest.raises(InputError) as caught:
        imported(section)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith("<mapping>: ")
