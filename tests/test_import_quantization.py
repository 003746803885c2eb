"""Sizes of quantized checkpoints of public shapes, matrix by matrix.

Sections are as the libraries write them. Sizes follow from the number of weights in each format:
GB = (weights x bits + the rest x 16) / 8e9.
"""

import json

import pytest

import configurations as tiny
from commands import invoke, one_line_of_error
from configurations import changed
from hbmopt.errors import InputError
from hbmopt.llm.importing import import_llm

FP8 = 8 * 1.0002  # one fp32 scale per 128 x 128 weights
NVFP4 = 4 + 8 / 16  # one 8-bit scale per 16 weights
INT4 = 4 + 16 / 128  # one 16-bit scale per 128 weights
NF4 = 4.127  # one 8-bit scale per 64 weights, and one fp32 scale per 256 of those

LLAMA = {  # Llama 3.1 8B
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
LLAMA_ATTENTION = 2 * 4096 * 4096 + 2 * 4096 * 1024
LLAMA_MLP = 3 * 4096 * 14336
LLAMA_MATRICES = 32 * (LLAMA_ATTENTION + LLAMA_MLP)
LLAMA_TABLE = 128256 * 4096
LLAMA_NORMS = 65 * 4096

QWEN_2 = {  # Qwen2.5 7B, in InternVL3 8B
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 151674,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
}
INTERNVL = {
    "model_type": "internvl_chat",
    "architectures": ["InternVLChatModel"],
    "llm_config": QWEN_2 | {"architectures": ["Qwen2ForCausalLM"]},
    "vision_config": {"model_type": "intern_vit_6b", "hidden_size": 1024},
    "downsample_ratio": 0.5,
    "select_layer": -1,
    "template": "internvl2_5",
}

QWEN_27B = {  # Qwen3.5 27B
    "model_type": "qwen3_5",
    "architectures": ["Qwen3_5ForConditionalGeneration"],
    "tie_word_embeddings": False,
    "text_config": {
        "model_type": "qwen3_5_text",
        "hidden_size": 5120,
        "intermediate_size": 17408,
        "num_hidden_layers": 64,
        "num_attention_heads": 24,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "full_attention_interval": 4,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 48,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4,
        "mtp_num_hidden_layers": 1,
        "vocab_size": 248320,
    },
    "vision_config": {"model_type": "qwen3_5", "depth": 27},
}
# Queries and their gate, keys, values, output; q, k, v, gate, output of the linear layers.
FULL = 5120 * (2 * 24 * 256) + 2 * 5120 * 4 * 256 + 24 * 256 * 5120
LINEAR = 5120 * (2 * 16 * 128 + 48 * 128) + 2 * 5120 * 48 * 128
QWEN_MLP = 3 * 5120 * 17408
QWEN_TABLE = 248320 * 5120

DEEPSEEK = {  # DeepSeek R1
    "model_type": "deepseek_v3",
    "architectures": ["DeepseekV3ForCausalLM"],
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "num_nextn_predict_layers": 1,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "moe_layer_freq": 1,
    "vocab_size": 129280,
    "tie_word_embeddings": False,
}

NEMOTRON_PATTERN = "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"
NEMOTRON = {  # Nemotron 3 Nano 30B-A3B
    "model_type": "nemotron_h",
    "architectures": ["NemotronHForCausalLM"],
    "hidden_size": 2688,
    "num_hidden_layers": 52,
    "hybrid_override_pattern": NEMOTRON_PATTERN,
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "mamba_num_heads": 64,
    "mamba_head_dim": 64,
    "ssm_state_size": 128,
    "n_groups": 8,
    "conv_kernel": 4,
    "n_routed_experts": 128,
    "n_shared_experts": 1,
    "num_experts_per_tok": 6,
    "moe_intermediate_size": 1856,
    "moe_shared_expert_intermediate_size": 3712,
    "vocab_size": 131072,
    "tie_word_embeddings": False,
}


def gigabytes(values, section, place="quantization_config"):
    llm = import_llm(values | {place: section})
    return llm.checkpoint_bytes(llm.native_format) / 1e9


def parameters(values):
    return import_llm(values).parameters.total


def compressed_tensors(bits, kind, group, ignore, *, activations=None, **others):
    weights = {
        "num_bits": bits,
        "type": kind,
        "group_size": group,
        "strategy": "group" if group else "channel",
        "symmetric": True,
        "actorder": None,
        "block_structure": None,
        "dynamic": False,
        "observer": "minmax",
        "observer_kwargs": {},
    } | others
    group_0 = {
        "targets": ["Linear"],
        "weights": weights,
        "input_activations": activations,
        "output_activations": None,
    }
    return {
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "config_groups": {"group_0": group_0},
        "ignore": ignore,
        "kv_cache_scheme": None,
    }


FP8_INPUTS = {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True}


# ---- The patterns of each library


def test_gptqmodel_excludes_by_regular_expressions_of_names():
    section = {
        "quant_method": "gptq",
        "bits": 4,
        "group_size": 128,
        "sym": True,
        "desc_act": False,
        "dynamic": {
            "-:.*attn.*": {},
            "-:.*mtp.*": {},
            "-:.*visual.*": {},
            "-:.*shared_expert.*": {},
        },
    }
    # self_attn and linear_attn are both left out, and the draft layer; the rest of the layers not.
    quantized = 64 * QWEN_MLP
    llm = import_llm(QWEN_27B)
    rest = llm.parameters.total - quantized + llm.draft.parameters.total
    found = gigabytes(QWEN_27B, section)
    assert found == pytest.approx((quantized * INT4 + rest * 16) / 8e9, rel=1e-12)
    assert found == pytest.approx(29.24, abs=0.005)


def test_gptqmodel_includes_with_other_bits_and_the_first_pattern_counts():
    section = {
        "quant_method": "gptq",
        "bits": 4,
        "group_size": 128,
        "dynamic": {
            r"+:model\.layers\.(0|1)\.mlp\..*": {"bits": 8, "group_size": 64},
            r".*\.mlp\.down_proj": {"group_size": 32},
            r"-:.*\.down_proj": {},
        },
    }
    eight = 2 * LLAMA_MLP
    down = 30 * 4096 * 14336
    four = LLAMA_MATRICES - eight - down
    bits = eight * (8 + 16 / 64) + down * (4 + 16 / 32) + four * INT4
    rest = 2 * LLAMA_TABLE + LLAMA_NORMS
    assert gigabytes(LLAMA, section) == pytest.approx((bits + rest * 16) / 8e9, rel=1e-12)


def test_a_head_that_gptq_quantizes_is_counted_so():
    section = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    more = gigabytes(LLAMA, section) - gigabytes(LLAMA, section | {"lm_head": True})
    assert more == pytest.approx(LLAMA_TABLE * (16 - INT4) / 8e9, rel=1e-9)


def test_bitsandbytes_skips_whole_parts_of_names():
    section = {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "_load_in_4bit": True,
        "load_in_8bit": False,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": "bfloat16",
        "llm_int8_threshold": 6.0,
        "llm_int8_skip_modules": [
            "lm_head",
            "multi_modal_projector",
            "merger",
            "modality_projection",
        ],
    }
    rest = 2 * LLAMA_TABLE + LLAMA_NORMS
    found = gigabytes(LLAMA, section)
    assert found == pytest.approx((LLAMA_MATRICES * NF4 + rest * 16) / 8e9, rel=1e-12)
    assert found == pytest.approx(5.70, abs=0.005)
    # One layer's block, as dynamic 4-bit files have it.
    skipped = section["llm_int8_skip_modules"] + ["model.layers.1.mlp"]
    more = gigabytes(LLAMA, section | {"llm_int8_skip_modules": skipped}) - found
    assert more == pytest.approx(LLAMA_MLP * (16 - NF4) / 8e9, rel=1e-9)


def test_compressed_tensors_matches_from_the_beginning_of_a_name():
    section = compressed_tensors(
        8,
        "float",
        None,
        ["re:.*lm_head", "re:mlp1.*", "re:vision_model.*"],
        activations=FP8_INPUTS,
    )
    matrices = 28 * (2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944)
    rest = parameters(INTERNVL) - matrices
    found = gigabytes(INTERNVL, section)
    assert found == pytest.approx((matrices * FP8 + rest * 16) / 8e9, rel=1e-12)
    assert found == pytest.approx(8.70, abs=0.005)


@pytest.mark.parametrize(
    ("bits", "kind", "group", "pattern", "left_out", "size"),
    [
        (4, "int", 128, r"re:model\.layers\.0\.self_attn\..*", LLAMA_ATTENTION, 5.76),
        (
            8,
            "float",
            None,
            r"re:model\.layers\.(0|31)\..*",
            2 * (LLAMA_ATTENTION + LLAMA_MLP),
            9.52,
        ),
        (8, "float", None, r"re:.*layers\.(0|31)\..*", 2 * (LLAMA_ATTENTION + LLAMA_MLP), 9.52),
        (4, "int", 128, r"re:^(?!model\.layers\.(3|14)\.mlp\.).*", None, None),
        (4, "int", 128, "model.layers.7.mlp.up_proj", LLAMA_MLP // 3, None),
        # A module that is not linear itself is no target and no exception.
        (4, "int", 128, "model.layers.7.mlp", 0, None),
        (4, "int", 128, r"re:.*layers\.[0-3]\.mlp\.(gate|up)_proj$", 4 * LLAMA_MLP * 2 // 3, None),
    ],
)
def test_expressions_of_compressed_tensors(bits, kind, group, pattern, left_out, size):
    activations = FP8_INPUTS if kind == "float" else None
    section = compressed_tensors(bits, kind, group, ["lm_head", pattern], activations=activations)
    if left_out is None:  # all but two layers' blocks
        left_out = LLAMA_MATRICES - 2 * LLAMA_MLP
    width = INT4 if kind == "int" else FP8
    quantized = LLAMA_MATRICES - left_out
    rest = left_out + 2 * LLAMA_TABLE + LLAMA_NORMS
    found = gigabytes(LLAMA, section)
    assert found == pytest.approx((quantized * width + rest * 16) / 8e9, rel=1e-12)
    if size is not None:
        assert found == pytest.approx(size, abs=0.005)


def test_groups_of_compressed_tensors_by_the_names_that_they_target():
    section = compressed_tensors(4, "int", 128, ["lm_head"])
    section["config_groups"]["group_1"] = {
        "targets": [r"re:.*self_attn\.(q|k|v|o)_proj$"],
        "weights": {"num_bits": 8, "type": "float", "strategy": "channel"},
        "input_activations": FP8_INPUTS,
    }
    attention = 32 * LLAMA_ATTENTION
    bits = attention * FP8 + (LLAMA_MATRICES - attention) * INT4
    rest = 2 * LLAMA_TABLE + LLAMA_NORMS
    assert gigabytes(LLAMA, section) == pytest.approx((bits + rest * 16) / 8e9, rel=1e-12)


def test_a_head_that_is_no_exception_is_a_linear_layer_like_others():
    listed = compressed_tensors(4, "int", 128, ["lm_head", "re:.*o_proj"])
    unlisted = compressed_tensors(4, "int", 128, ["re:.*o_proj"])
    more = gigabytes(LLAMA, listed) - gigabytes(LLAMA, unlisted)
    assert more == pytest.approx(LLAMA_TABLE * (16 - INT4) / 8e9, rel=1e-9)


def test_modelopt_lists_projections_one_by_one():
    left_out = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj")
    section = {
        "quant_method": "modelopt",
        "quant_algo": "NVFP4",
        "producer": {"name": "modelopt"},
        "ignore": [
            "lm_head",
            *(f"model.layers.{layer}.self_attn.{one}" for layer in range(61) for one in left_out),
            "model.layers.61*",
        ],
    }
    output = 61 * 128 * 128 * 7168
    expert = 3 * 7168 * 2048
    quantized = output + 3 * (3 * 7168 * 18432) + 58 * 257 * expert
    llm = import_llm(DEEPSEEK)
    # The draft layer repeats embedding and output head.
    whole = llm.parameters.total + llm.draft.parameters.total + 2 * 129280 * 7168
    found = gigabytes(DEEPSEEK, section)
    bits = quantized * NVFP4 + (whole - quantized) * 16
    assert found == pytest.approx(bits / 8e9, rel=1e-12)
    assert found == pytest.approx(413.3, abs=0.05)


def test_modelopt_names_a_convolution_and_not_the_projections_beside_it():
    attends = [place for place, kind in enumerate(NEMOTRON_PATTERN) if kind == "*"]
    recurrent = [place for place, kind in enumerate(NEMOTRON_PATTERN) if kind == "M"]
    before = [max(one for one in recurrent if one < place) for place in attends]
    section = {
        "quant_method": "modelopt",
        "quant_algo": "NVFP4",
        "exclude_modules": [
            "lm_head",
            *(f"backbone.layers.{place}.mixer.conv1d" for place in recurrent),
            *(f"backbone.layers.{place}.mixer.{one}_proj" for place in attends for one in "qkvo"),
            *(
                f"backbone.layers.{place}.mixer.{one}_proj"
                for place in before
                for one in ("in", "out")
            ),
        ],
    }
    inner = 64 * 64
    mamba = 2688 * (2 * inner + 2 * 8 * 128 + 64) + inner * 2688
    experts = NEMOTRON_PATTERN.count("E") * (128 * 2 * 2688 * 1856 + 2 * 2688 * 3712)
    quantized = experts + (len(recurrent) - len(before)) * mamba
    rest = parameters(NEMOTRON) - quantized
    found = gigabytes(NEMOTRON, section)
    assert found == pytest.approx((quantized * NVFP4 + rest * 16) / 8e9, rel=1e-12)
    assert found == pytest.approx(19.32, abs=0.005)


def test_modelopt_lists_a_head_that_is_quantized():
    listed = {}
    for layer in range(64):
        root = f"model.language_model.layers.{layer}"
        attention = (
            [f"self_attn.{one}_proj" for one in "qkvo"]
            if layer % 4 == 3
            else [f"linear_attn.{one}" for one in ("in_proj_qkv", "in_proj_z", "out_proj")]
        )
        listed |= {f"{root}.{one}": {"quant_algo": "FP8"} for one in attention}
        listed |= {
            f"{root}.mlp.{one}_proj": {"quant_algo": "NVFP4", "group_size": 16}
            for one in ("gate", "up", "down")
        }
    listed["lm_head"] = {"quant_algo": "NVFP4", "group_size": 16}
    section = {
        "quant_method": "modelopt",
        "quant_algo": "MIXED_PRECISION",
        "quantized_layers": listed,
        "exclude_modules": ["mtp*", "model.visual*"],
    }
    in_fp8, in_fp4 = 16 * FULL + 48 * LINEAR, 64 * QWEN_MLP + QWEN_TABLE
    llm = import_llm(QWEN_27B)
    rest = llm.parameters.total + llm.draft.parameters.total - in_fp8 - in_fp4
    found = gigabytes(QWEN_27B, section)
    assert found == pytest.approx((in_fp8 * FP8 + in_fp4 * NVFP4 + rest * 16) / 8e9, rel=1e-12)
    assert found == pytest.approx(21.00, abs=0.005)


@pytest.mark.parametrize(
    ("listed", "left_out"),
    [
        (["gate"], 0),  # the router, not gate_proj
        (["model.layers.1"], LLAMA_ATTENTION + LLAMA_MLP),  # not layers 10 to 19
        (["model.layers.*.self_attn"], 32 * LLAMA_ATTENTION),
        (["down_proj"], 32 * LLAMA_MLP // 3),
        (["lm_head", "model.layers.31.mlp.up_proj"], LLAMA_MLP // 3),
        (["model.norm", "visual"], 0),
    ],
)
def test_lists_of_fp8_are_read_as_transformers_reads_them(listed, left_out):
    section = {
        "quant_method": "fp8",
        "weight_block_size": [128, 128],
        "activation_scheme": "dynamic",
        "modules_to_not_convert": listed,
    }
    quantized = LLAMA_MATRICES - left_out
    rest = left_out + 2 * LLAMA_TABLE + LLAMA_NORMS
    found = gigabytes(LLAMA, section)
    assert found == pytest.approx((quantized * FP8 + rest * 16) / 8e9, rel=1e-12)


def test_awq_has_zero_points_and_leaves_out_what_is_a_part_of_a_name():
    section = {
        "quant_method": "awq",
        "bits": 4,
        "group_size": 128,
        "zero_point": True,
        "version": "gemm",
        "modules_to_not_convert": ["layers.0.", "v_proj"],
    }
    # 4 bits, and by 128 weights a scale of 16 bits and a zero point of 4: 4.15625.
    left_out = LLAMA_ATTENTION + LLAMA_MLP + 31 * 4096 * 1024
    quantized = LLAMA_MATRICES - left_out
    rest = left_out + 2 * LLAMA_TABLE + LLAMA_NORMS
    found = gigabytes(LLAMA, section)
    assert found == pytest.approx((quantized * 4.15625 + rest * 16) / 8e9, rel=1e-12)


def test_autoround_states_modules_that_differ():
    section = {
        "quant_method": "auto-round",
        "bits": 4,
        "group_size": 128,
        "sym": True,
        "data_type": "int",
        "packing_format": "auto_round:auto_gptq",
        "autoround_version": "0.5.1",
        "extra_config": {
            "model.layers.0.mlp.down_proj": {"bits": 16},
            r".*layers\.[12]\.mlp\..*": {"bits": 8, "group_size": 32},
            "lm_head": {"bits": 8},
        },
    }
    one = 4096 * 14336
    eight = 2 * LLAMA_MLP
    bits = (LLAMA_MATRICES - eight - one) * INT4 + eight * (8 + 16 / 32)
    bits += LLAMA_TABLE * (8 + 16 / 128) + (one + LLAMA_TABLE + LLAMA_NORMS) * 16
    assert gigabytes(LLAMA, section) == pytest.approx(bits / 8e9, rel=1e-12)


def test_two_of_four_weights_are_kept_with_a_mask():
    section = compressed_tensors(8, "float", None, ["lm_head"], activations=FP8_INPUTS)
    section["sparsity_config"] = {
        "format": "sparse-24-bitmask",
        "sparsity_structure": "2:4",
        "global_sparsity": 0.5,
        "targets": ["Linear"],
        "ignore": ["lm_head"],
    }
    rest = 2 * LLAMA_TABLE + LLAMA_NORMS
    bits = LLAMA_MATRICES * (FP8 / 2 + 1) + rest * 16
    assert gigabytes(LLAMA, section) == pytest.approx(bits / 8e9, rel=1e-12)
    marlin = compressed_tensors(4, "int", 128, ["lm_head"]) | {"format": "marlin-24"}
    bits = LLAMA_MATRICES * (INT4 / 2 + 1) + rest * 16
    assert gigabytes(LLAMA, marlin) == pytest.approx(bits / 8e9, rel=1e-12)
    unstructured = section["sparsity_config"] | {"format": "sparse-bitmask"}
    with pytest.raises(InputError, match="whose bytes depend on the weights"):
        gigabytes(LLAMA, section | {"sparsity_config": unstructured})


def test_weights_that_are_not_quantized_are_as_torch_dtype_says():
    llm = import_llm(LLAMA | {"torch_dtype": "float32"})
    assert llm.checkpoint_bytes(llm.native_format) == 4 * llm.parameters.total
    half = import_llm(LLAMA | {"torch_dtype": "float16"})
    assert half.checkpoint_bytes(half.native_format) == 2 * llm.parameters.total
    section = compressed_tensors(4, "int", 128, ["lm_head"])
    mixed = import_llm(LLAMA | {"torch_dtype": "float32", "quantization_config": section})
    rest = 2 * LLAMA_TABLE + LLAMA_NORMS
    bits = LLAMA_MATRICES * INT4 + rest * 32
    assert mixed.checkpoint_bytes(mixed.native_format) == pytest.approx(bits / 8, rel=1e-12)
    with pytest.raises(InputError, match="torch_dtype: 'float8' is not a format"):
        import_llm(LLAMA | {"torch_dtype": "float8"})


# ---- Formats of other libraries

OTHERS = {
    "mlx": ({"bits": 4, "group_size": 64}, 4 + 32 / 64, 4 + 32 / 64, 4 + 32 / 64),
    "mlx in mxfp4": (
        {"bits": 4, "group_size": 32, "mode": "mxfp4", "lm_head": {"bits": 8, "group_size": 64}},
        4.25,
        4.25,
        8.5,
    ),
    "hqq": (
        {
            "quant_method": "hqq",
            "quant_config": {
                "weight_quant_params": {"nbits": 3, "group_size": 64, "axis": 1},
                "offload_meta": False,
            },
            "skip_modules": ["lm_head"],
        },
        3.2 + 32 / 64,
        16,
        16,
    ),
    "torchao": (
        {
            "quant_method": "torchao",
            "quant_type": {
                "default": {"_type": "Int4WeightOnlyConfig", "_data": {"group_size": 128}}
            },
        },
        4 + 32 / 128,
        16,
        16,
    ),
    "torchao by its short name": (
        {
            "quant_method": "torchao",
            "quant_type": "int8_dynamic_activation_int8_weight",
            "quant_type_kwargs": {},
        },
        FP8,
        16,
        16,
    ),
    "exl2": (
        {"quant_method": "exl2", "version": "0.1.8", "bits": 4.25, "head_bits": 6},
        4.25,
        16,
        6,
    ),
    "exl3": ({"quant_method": "exl3", "version": "0.0.1", "bits": 3.0, "head_bits": 8}, 3, 16, 8),
    "bitnet": (
        {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"},
        2,
        16,
        16,
    ),
}


@pytest.mark.parametrize("case", sorted(OTHERS))
def test_formats_of_other_libraries(case):
    section, matrices, embedding, head = OTHERS[case]
    bits = LLAMA_MATRICES * matrices + LLAMA_TABLE * (embedding + head) + LLAMA_NORMS * 16
    assert gigabytes(LLAMA, section) == pytest.approx(bits / 8e9, rel=1e-12)


def test_the_codebooks_of_aqlm_are_stored_with_every_matrix():
    section = {
        "quant_method": "aqlm",
        "in_group_size": 8,
        "out_group_size": 1,
        "num_codebooks": 1,
        "nbits_per_codebook": 16,
        "linear_weights_not_to_quantize": ["lm_head.weight", "model.layers.0.mlp.up_proj.weight"],
    }
    # 7 matrices a layer but for one, each with 65,536 entries of 8 numbers in 16 bits.
    books = (7 * 32 - 1) * 65_536 * 8 * 16
    one = 4096 * 14336
    bits = (LLAMA_MATRICES - one) * 16 / 8 + books + (one + 2 * LLAMA_TABLE + LLAMA_NORMS) * 16
    assert gigabytes(LLAMA, section) == pytest.approx(bits / 8e9, rel=1e-9)


# ---- What is not known is said

ANYTHING = (None, True, -1, 0, 7, 4.0, 10**400, "", "abc", "re:(", [], [0], [["a"]], {}, {"a": 1})
SECTIONS = [section for section, *_ in OTHERS.values()] + [
    compressed_tensors(4, "int", 128, ["lm_head", "re:.*x"]),
    {"quant_method": "fp8", "modules_to_not_convert": ["lm_head"]},
    {"quant_method": "gptq", "bits": 4, "dynamic": {"-:a": {}, "b": {"bits": 8}}, "sym": True},
    {"quant_method": "gptq", "bits": 4, "modules_in_block_to_quantize": [["self_attn.q_proj"]]},
    {"quant_method": "awq", "w_bit": 4, "group_size": 64, "zero_point": True},
    {"quant_method": "auto-round", "bits": 4, "extra_config": {"a.*": {"bits": 8}}},
    {"quant_method": "bitsandbytes", "load_in_4bit": True, "llm_int8_skip_modules": ["lm_head"]},
    {
        "quant_method": "quark",
        "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}},
        "layer_quant_config": {"*q_proj": {"weight": {"dtype": "int4", "group_size": 32}}},
        "exclude": ["lm_head"],
    },
    {
        "quant_method": "aqlm",
        "in_group_size": 8,
        "out_group_size": 1,
        "num_codebooks": 1,
        "nbits_per_codebook": 16,
        "linear_weights_not_to_quantize": ["lm_head.weight"],
    },
    {
        "quant_algo": "MIXED_PRECISION",
        "quantized_layers": {"model.layers.0.mlp.up_proj": {"quant_algo": "FP8"}},
    },
]


def places(values, above=""):
    """The path of every key that has no point in it."""
    for key, value in values.items():
        if "." not in key:
            yield f"{above}{key}"
        if "." not in key and isinstance(value, dict):
            yield from places(value, f"{above}{key}.")


@pytest.mark.parametrize("section", SECTIONS, ids=lambda one: str(one.get("quant_method")))
def test_any_value_anywhere_in_a_section_gives_a_model_or_one_line(section):
    for place in places(section):
        for junk in ANYTHING:
            values = tiny.MIXTURE | {"quantization_config": changed(section, place, junk)}
            assert size_or_refusal(values), (place, junk)


def size_or_refusal(values):
    """The bytes of a checkpoint, or the one line of the error."""
    try:
        llm = import_llm(values)
    except InputError as error:
        lines = str(error).splitlines()
        return lines if len(lines) == 1 else None
    return llm.checkpoint_bytes(llm.native_format)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"quant_method": "fp8", "group_layers": 3}, "group_layers"),
        ({"quant_method": "gptq", "bits": 4, "group_size": "many"}, "groups of 'many'"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": ["-:.*"]}, "dynamic"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"-:(": {}}}, "no regular expression"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {r"-:(\w+)+x": {}}}, "too costly"),
        ({"quant_method": "fp8", "modules_to_not_convert": [7]}, "modules_to_not_convert"),
        ({"quant_method": "another", "quant_algo": "FP8"}, "'another'"),
        (compressed_tensors(4, "int", 128, [], strategy="another"), "strategy: 'another'"),
        (compressed_tensors(4, "int", 128, []) | {"format": "packed"}, "format: 'packed'"),
        ({"quant_method": "awq", "bits": 4, "group_size": 0}, "groups of 0"),
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 5}}}, "5 bits"),
        ({"quant_method": "torchao", "quant_type": "autoquant"}, "'autoquant'"),
    ],
)
def test_a_section_that_is_not_understood_is_one_line(section, said, tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(LLAMA | {"quantization_config": section}), encoding="utf-8")
    message = one_line_of_error(invoke("import-llm", path))
    assert str(path) in message
    assert said in message


def test_a_pattern_that_names_nothing_of_the_decoder_is_said():
    section = compressed_tensors(4, "int", 128, ["lm_head", "re:.*self_attn.qkv_proj.*"])
    assert "name no matrix of the decoder: 're:.*self_attn.qkv_proj.*'" in (
        import_llm(LLAMA | {"quantization_config": section}).note
    )


def test_a_layer_number_of_any_length_is_a_name_like_others():
    far = "model.layers." + "9" * 5000 + ".mlp"
    section = {"quant_method": "fp8", "modules_to_not_convert": [far]}
    with pytest.raises(InputError, match="too long"):
        gigabytes(LLAMA, section)
    shorter = "model.layers." + "9" * 1000 + ".mlp"
    section = {"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": [shorter]}
    plain = {"quant_method": "modelopt", "quant_algo": "FP8"}
    assert gigabytes(LLAMA, section) == gigabytes(LLAMA, plain)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"quantization": ' + '{"a":' * 100_000 + "1" + "}" * 100_001, "nested too deeply"),
        ('{"quantization": {"quant_algo": "FP8", "quant_algo": "NVFP4"}}', "quant_algo: stands"),
        ('{"quantization": {"quant_algo": "FP3"}}', "'FP3'"),
        ('{\n"quantization": {\n"quant_algo": 7}}', ":3: quantization.quant_algo"),
    ],
)
def test_a_bad_file_of_modelopt_is_one_line_with_its_name(text, said, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    beside = tmp_path / "hf_quant_config.json"
    beside.write_text(text, encoding="utf-8")
    message = one_line_of_error(invoke("import-llm", tmp_path))
    assert "hf_quant_config.json" in message
    assert said in message


def test_a_section_that_stands_twice_must_say_the_same():
    section = {"quant_method": "fp8"}
    twice = QWEN_27B | {"quantization_config": section}
    twice["text_config"] = twice["text_config"] | {"quantization_config": dict(section)}
    assert import_llm(twice).native_format == "fp8"
    twice["text_config"] = twice["text_config"] | {"quantization_config": {"quant_method": "mxfp4"}}
    with pytest.raises(InputError, match=r"text_config\.quantization_config: is not what"):
        import_llm(twice)
