"""Invented configurations of tiny models, one per kind of layer; sizes differ so that none stands
in for another.
"""

import copy

DENSE = {
    "model_type": "qwen3",
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 5,
    "intermediate_size": 40,
    "vocab_size": 100,
    "attention_bias": True,
    "use_sliding_window": False,
    "sliding_window": None,
    "max_window_layers": 3,
    "tie_word_embeddings": False,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "torch_dtype": "bfloat16",
}

TIED = {
    "model_type": "llama",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": True,
}

SLIDING = {
    "model_type": "gemma3_text",
    "hidden_size": 12,
    "num_hidden_layers": 7,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 4,
    "intermediate_size": 20,
    "vocab_size": 60,
    "sliding_window": 8,
    "sliding_window_pattern": 3,
    "attention_bias": False,
    "tie_word_embeddings": True,
}

SINKS = {
    "model_type": "gpt_oss",
    "hidden_size": 10,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "intermediate_size": 14,
    "num_local_experts": 5,
    "num_experts_per_tok": 2,
    "vocab_size": 70,
    "sliding_window": 6,
    "layer_types": [
        "sliding_attention",
        "full_attention",
        "sliding_attention",
        "full_attention",
    ],
    "attention_bias": True,
    "tie_word_embeddings": False,
}

CHUNKED = {
    "model_type": "llama4_text",
    "hidden_size": 20,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "intermediate_size": 16,
    "intermediate_size_mlp": 44,
    "interleave_moe_layer_step": 2,
    "num_local_experts": 3,
    "num_experts_per_tok": 1,
    "vocab_size": 80,
    "attention_chunk_size": 8,
    "no_rope_layers": [1, 1, 1, 0],
    "attention_bias": False,
    "use_qk_norm": False,
    "tie_word_embeddings": False,
}

MIXTURE = {
    "model_type": "glm4_moe",
    "hidden_size": 18,
    "num_hidden_layers": 5,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 4,
    "intermediate_size": 50,
    "moe_intermediate_size": 7,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 3,
    "first_k_dense_replace": 2,
    "n_group": 1,
    "topk_group": 1,
    "norm_topk_prob": True,
    "vocab_size": 90,
    "attention_bias": True,
    "use_qk_norm": True,
    "num_nextn_predict_layers": 2,
    "tie_word_embeddings": False,
}

LATENT = {
    "model_type": "deepseek_v3",
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "q_lora_rank": 12,
    "kv_lora_rank": 10,
    "qk_nope_head_dim": 6,
    "qk_rope_head_dim": 4,
    "v_head_dim": 5,
    "intermediate_size": 40,
    "moe_intermediate_size": 9,
    "n_routed_experts": 6,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "vocab_size": 100,
    "attention_bias": False,
    "num_nextn_predict_layers": 0,
    "tie_word_embeddings": False,
}

FULL_RANK_LATENT = LATENT | {"model_type": "deepseek_v2", "q_lora_rank": None}
del FULL_RANK_LATENT["num_nextn_predict_layers"]

INDEXED = LATENT | {
    "model_type": "glm_moe_dsa",
    "num_hidden_layers": 4,
    "index_n_heads": 2,
    "index_head_dim": 8,
    "index_topk": 16,
    "index_topk_freq": 3,
    "index_skip_topk_offset": 2,
    "indexer_types": ["full", "full", "shared", "full"],
}

SCALED_INDEX = LATENT | {
    "model_type": "deepseek_v32",
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "index_n_heads": 2,
    "index_head_dim": 128,
    "index_topk": 16,
}

BLOCK_SPARSE = {
    "model_type": "minimax_m3",
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "intermediate_size": 11,
    "moe_intermediate_size": 11,
    "dense_intermediate_size": 33,
    "shared_intermediate_size": 13,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "moe_layer_freq": [0, 1, 1],
    "first_k_dense_replace": 1,
    "use_qk_norm": True,
    "attention_output_gate": False,
    "vocab_size": 64,
    "sparse_attention_config": {
        "use_sparse_attention": True,
        "sparse_num_index_heads": 2,
        "sparse_index_dim": 5,
        "sparse_topk_blocks": 3,
        "sparse_block_size": 4,
        "sparse_local_block": 1,
        "sparse_attention_freq": [0, 1, 1],
    },
    "tie_word_embeddings": False,
}

COMPRESSED = {
    "model_type": "deepseek_v4",
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 512,
    "q_lora_rank": 6,
    "o_lora_rank": 5,
    "o_groups": 3,
    "sliding_window": 4,
    "compress_ratios": [0, 128, 4, 128],
    "compress_rope_theta": 160000,
    "index_n_heads": 2,
    "index_head_dim": 128,
    "index_topk": 20,
    "hc_mult": 2,
    "moe_intermediate_size": 7,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "num_hash_layers": 1,
    "num_nextn_predict_layers": 0,
    "vocab_size": 40,
    "tie_word_embeddings": False,
}

DELTA_NET = {
    "model_type": "qwen3_next",
    "hidden_size": 20,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "full_attention_interval": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 3,
    "linear_num_value_heads": 4,
    "linear_value_head_dim": 5,
    "linear_conv_kernel_dim": 4,
    "intermediate_size": 30,
    "moe_intermediate_size": 7,
    "shared_expert_intermediate_size": 9,
    "num_experts": 5,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [0],
    "mamba_ssm_dtype": "float32",
    "attention_bias": False,
    "vocab_size": 60,
    "tie_word_embeddings": False,
}

NESTED = {
    "model_type": "qwen3_5",
    "architectures": ["NestedForConditionalGeneration"],
    "tie_word_embeddings": False,
    "text_config": {
        "model_type": "qwen3_5_text",
        "hidden_size": 20,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 6,
        "attn_output_gate": True,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 3,
        "linear_num_value_heads": 4,
        "linear_value_head_dim": 5,
        "linear_conv_kernel_dim": 4,
        "intermediate_size": 30,
        "mtp_num_hidden_layers": 1,
        "vocab_size": 60,
    },
    "vision_config": {"model_type": "qwen3_5", "hidden_size": 999, "num_hidden_layers": 999},
}

MULTIMODAL = {
    "model_type": "mistral3",
    "text_config": {
        "model_type": "mistral",
        "hidden_size": 14,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 9,
        "intermediate_size": 22,
        "sliding_window": 10,
        "vocab_size": 30,
        "tie_word_embeddings": False,
    },
    "vision_config": {"model_type": "pixtral", "hidden_size": 999},
}

DELTA_ATTENTION = {
    "model_type": "kimi_linear",
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "q_lora_rank": None,
    "kv_lora_rank": 7,
    "qk_nope_head_dim": 5,
    "qk_rope_head_dim": 2,
    "v_head_dim": 3,
    "linear_attn_config": {
        "kda_layers": [1, 2, 4],
        "full_attn_layers": [3],
        "num_heads": 3,
        "head_dim": 4,
        "short_conv_kernel_size": 4,
    },
    "intermediate_size": 35,
    "moe_intermediate_size": 6,
    "num_experts": 5,
    "num_experts_per_token": 2,
    "num_shared_experts": 2,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "vocab_size": 44,
    "num_nextn_predict_layers": 0,
    "tie_word_embeddings": False,
}

GATED_DELTA_ATTENTION = DELTA_ATTENTION | {
    "model_type": "kimi_k3",
    "mla_use_output_gate": True,
    "latent_moe_use_norm": True,
    "attn_res_block_size": None,
    "routed_expert_hidden_size": 10,
    "linear_attn_config": DELTA_ATTENTION["linear_attn_config"] | {"use_full_rank_gate": True},
}

MAMBA2 = {
    "model_type": "nemotron_h",
    "hidden_size": 16,
    "num_hidden_layers": 6,
    "hybrid_override_pattern": "M*EM-E",
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 7,
    "mamba_num_heads": 4,
    "mamba_head_dim": 3,
    "ssm_state_size": 5,
    "n_groups": 2,
    "conv_kernel": 4,
    "chunk_size": 128,
    "expand": 2,
    "use_bias": False,
    "use_conv_bias": True,
    "mamba_ssm_cache_dtype": "float32",
    "intermediate_size": 21,
    "mlp_bias": False,
    "attention_bias": False,
    "n_routed_experts": 6,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 11,
    "moe_latent_size": 8,
    "moe_shared_expert_intermediate_size": 9,
    "num_nextn_predict_layers": 1,
    "mtp_hybrid_override_pattern": "*E",
    "vocab_size": 50,
    "tie_word_embeddings": False,
}

MAMBA1 = {
    "model_type": "jamba",
    "hidden_size": 12,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "attn_layer_period": 4,
    "attn_layer_offset": 2,
    "expert_layer_period": 2,
    "expert_layer_offset": 1,
    "intermediate_size": 20,
    "num_experts": 3,
    "num_experts_per_tok": 2,
    "mamba_expand": 2,
    "mamba_d_state": 5,
    "mamba_dt_rank": 7,
    "mamba_d_conv": 4,
    "mamba_conv_bias": True,
    "mamba_proj_bias": False,
    "mamba_ssm_cache_dtype": "float32",
    "vocab_size": 26,
    "tie_word_embeddings": False,
}

LIGHTNING = {
    "model_type": "minimax",
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 3,
    "layer_types": [
        "linear_attention",
        "linear_attention",
        "linear_attention",
        "full_attention",
    ],
    "intermediate_size": 10,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "vocab_size": 28,
    "tie_word_embeddings": False,
}

CONFIGURATIONS = {
    "block_sparse": BLOCK_SPARSE,
    "chunked": CHUNKED,
    "compressed": COMPRESSED,
    "delta_attention": DELTA_ATTENTION,
    "delta_net": DELTA_NET,
    "dense": DENSE,
    "full_rank_latent": FULL_RANK_LATENT,
    "gated_delta_attention": GATED_DELTA_ATTENTION,
    "indexed": INDEXED,
    "latent": LATENT,
    "lightning": LIGHTNING,
    "mamba1": MAMBA1,
    "mamba2": MAMBA2,
    "mixture": MIXTURE,
    "multimodal": MULTIMODAL,
    "nested": NESTED,
    "scaled_index": SCALED_INDEX,
    "sinks": SINKS,
    "sliding": SLIDING,
    "tied": TIED,
}

# Keys without which each cannot be counted; those of a nested configuration follow a point.
COMMON = ("hidden_size", "num_hidden_layers", "vocab_size", "num_attention_heads")
HEADS = (*COMMON, "num_key_value_heads")
EXPERTS = ("moe_intermediate_size", "num_experts_per_tok", "first_k_dense_replace")
LATENT_SIZES = ("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
LINEAR_SIZES = (
    "linear_num_key_heads",
    "linear_key_head_dim",
    "linear_num_value_heads",
    "linear_value_head_dim",
    "linear_conv_kernel_dim",
)
SPARSE_SIZES = (
    "sparse_num_index_heads",
    "sparse_index_dim",
    "sparse_topk_blocks",
    "sparse_block_size",
)
REQUIRED = {
    "block_sparse": (
        *HEADS,
        "num_local_experts",
        "num_experts_per_tok",
        "dense_intermediate_size",
        *(f"sparse_attention_config.{name}" for name in SPARSE_SIZES),
        "sparse_attention_config.sparse_attention_freq",
        "sparse_attention_config",
    ),
    "chunked": (
        *HEADS,
        "head_dim",
        "intermediate_size",
        "intermediate_size_mlp",
        "num_local_experts",
        "num_experts_per_tok",
        "interleave_moe_layer_step",
    ),
    "compressed": (
        *HEADS,
        "head_dim",
        "q_lora_rank",
        "o_lora_rank",
        "o_groups",
        "sliding_window",
        "compress_ratios",
        "index_n_heads",
        "index_head_dim",
        "index_topk",
        "hc_mult",
        "moe_intermediate_size",
        "n_routed_experts",
        "num_experts_per_tok",
    ),
    "delta_attention": (
        *COMMON,
        *LATENT_SIZES,
        "q_lora_rank",
        "intermediate_size",
        "moe_intermediate_size",
        "num_experts",
        "num_experts_per_token",
        "num_shared_experts",
        "linear_attn_config.num_heads",
        "linear_attn_config.head_dim",
        "linear_attn_config.short_conv_kernel_size",
        "linear_attn_config.kda_layers",
    ),
    "delta_net": (
        *HEADS,
        *LINEAR_SIZES,
        "head_dim",
        "num_experts",
        "num_experts_per_tok",
        "moe_intermediate_size",
        "intermediate_size",
        "full_attention_interval",
    ),
    "dense": (*HEADS, "head_dim", "intermediate_size"),
    "indexed": (
        *COMMON,
        *LATENT_SIZES,
        *EXPERTS,
        "q_lora_rank",
        "n_routed_experts",
        "n_shared_experts",
        "intermediate_size",
        "index_n_heads",
        "index_head_dim",
        "index_topk",
    ),
    "latent": (
        *COMMON,
        *LATENT_SIZES,
        *EXPERTS,
        "q_lora_rank",
        "n_routed_experts",
        "n_shared_experts",
        "intermediate_size",
    ),
    "lightning": (*HEADS, "intermediate_size", "num_local_experts", "num_experts_per_tok"),
    "mamba1": (
        *HEADS,
        "attn_layer_period",
        "attn_layer_offset",
        "expert_layer_period",
        "expert_layer_offset",
        "intermediate_size",
        "num_experts",
        "num_experts_per_tok",
        "mamba_expand",
        "mamba_d_state",
        "mamba_dt_rank",
        "mamba_d_conv",
    ),
    "mamba2": (
        "hidden_size",
        "vocab_size",
        "num_attention_heads",
        "num_key_value_heads",
        "hybrid_override_pattern",
        "mamba_num_heads",
        "mamba_head_dim",
        "ssm_state_size",
        "n_groups",
        "conv_kernel",
        "intermediate_size",
        "n_routed_experts",
        "num_experts_per_tok",
        "moe_intermediate_size",
    ),
    "mixture": (*HEADS, *EXPERTS, "n_routed_experts", "n_shared_experts"),
    "multimodal": tuple(f"text_config.{name}" for name in (*HEADS, "intermediate_size")),
    "nested": tuple(
        f"text_config.{name}" for name in (*HEADS, *LINEAR_SIZES, "head_dim", "intermediate_size")
    ),
    "sinks": (
        *HEADS,
        "head_dim",
        "intermediate_size",
        "num_local_experts",
        "num_experts_per_tok",
        "sliding_window",
    ),
    "sliding": (
        "hidden_size",
        "num_hidden_layers",
        "intermediate_size",
        "sliding_window",
    ),
    "tied": (*COMMON, "intermediate_size"),
}


def changed(values, path, value):
    """A copy of a configuration with another value at a path of keys joined by points."""
    found = copy.deepcopy(values)
    *above, last = path.split(".")
    inner = found
    for key in above:
        inner = inner[key]
    inner[last] = value
    return found


def without(values, path):
    """A copy of a configuration without the key at a path."""
    found = copy.deepcopy(values)
    *above, last = path.split(".")
    inner = found
    for key in above:
        inner = inner[key]
    del inner[last]
    return found


def stated(values, path):
    """The value at a path."""
    for key in path.split("."):
        values = values[key]
    return values
