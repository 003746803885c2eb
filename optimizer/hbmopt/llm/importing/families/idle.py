"""Keys that files of a family state and that change nothing there, with the reason.

What is true of every family is in `ignored.py`. Here a key is idle in some families, or while it
has one of a few values: with another it is left to be refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hbmopt.llm.importing.keys import Keys

Values = tuple[object, ...]
ANY: Values = ()
"""Whatever the value is."""


@dataclass(frozen=True)
class Idle:
    """Keys of some families, each with the values at which it is idle."""

    reason: str
    families: tuple[str, ...]
    keys: Mapping[str, Values]


def _any(names: str) -> dict[str, Values]:
    return dict.fromkeys(names.split(), ANY)


NUMERICS = "numerics: how it is computed, not what is stored"
SOFTWARE = "how the software runs it"
NORMS = "norms are as the family has them"
TRAINING = "training"
WIDTHS = "says what widths that are stated follow from"

IDLE = (
    Idle(SOFTWARE, ("bloom", "chatglm"), _any("masked_softmax_fusion skip_bias_add_qkv")),
    Idle(
        "queries, keys and values have the same weights in one tensor or three",
        ("mimo_v2", "mimo_v2_flash"),
        {"attention_projection_layout": ("fused_qkv", "split_qkv", "separate")},
    ),
    Idle(SOFTWARE, ("gpt_bigcode",), _any("pad_key_length validate_runner_input inference_runner")),
    Idle(
        SOFTWARE,
        ("phi3small",),
        _any("pad_sequence_to_multiple_of_64 gegelu_pad_to_256 dummy_token_indices"),
    ),
    Idle(SOFTWARE, ("mpt",), {"attn_impl": ANY, "init_config": ANY, "verbose": ANY}),
    Idle(
        SOFTWARE,
        ("ernie4_5_moe_vl",),
        _any("moe_multimodal_dispatch_use_allgather fuse_rope modality_detach"),
    ),
    Idle(NUMERICS, ("phi3small",), _any("gegelu_limit mup_attn_multiplier ff_dim_multiplier")),
    Idle(
        NUMERICS,
        ("grok-1", "grok1", "git"),
        _any(
            "attn_output_multiplier embedding_multiplier_scale max_attn_value "
            "output_multiplier_scale attn_temperature_len"
        ),
    ),
    Idle(
        NUMERICS,
        ("bailing_moe", "bailing_moe_v2", "bailing_moe_linear"),
        _any("norm_head norm_softmax"),
    ),
    Idle(NUMERICS, ("muse_spark_text",), _any("residual_gate_temperature")),
    Idle("positions are computed, not stored", ("step3_text",), _any("max_position_embedding")),
    Idle(NUMERICS, ("recurrent_gemma",), _any("embeddings_scale_by_sqrt_dim")),
    Idle(NUMERICS, ("falcon_h1",), _any("mlp_expansion_factor")),
    Idle(NUMERICS, ("chatglm",), _any("apply_query_key_layer_scaling")),
    Idle(
        "positions are computed, not stored",
        ("phi3", "phi4_multimodal", "phi4mm"),
        _any("interpolate_factor"),
    ),
    Idle(
        "positions are computed, not stored",
        ("chatglm", "gptj", "codegen", "lfm2", "lfm2_moe", "ernie4_5_moe_vl"),
        {"position_encoding_2d": ANY, "rotary": (True,), "use_pos_enc": (True,), "rope_3d": ANY}
        | _any("freq_allocation"),
    ),
    Idle(
        "positions are computed, not stored",
        ("qwen2", "qwen3", "qwen3_moe"),
        _any("dual_chunk_attention_config"),
    ),
    Idle(
        "which layers attend to everything is counted by their pattern",
        ("cohere2",),
        {"layer_switch": ANY, "order_of_interleaved_layers": ("local_attn_first",)},
    ),
    Idle(
        "positions are computed, not stored",
        ("cohere2", "granitemoehybrid", "granitemoe", "granite"),
        {"position_embedding_type": ("rope_gptj", "rope", "nope")},
    ),
    Idle(
        "the head is the embedding as `tie_word_embeddings` has it",
        ("cohere2",),
        {"use_embedding_sharing": (True,)},
    ),
    Idle(
        "the blocks are as the family has them",
        ("cohere2", "lfm2", "lfm2_moe", "starcoder2", "phi3", "phi4_multimodal", "phi4mm"),
        {
            "use_parallel_block": (True,),
            "use_gated_activation": (True,),
            "use_parallel_embedding": ANY,
            "block_use_swiglu": (True,),
            "mlp_type": ("default",),
            "full_attn_mod": (1,),
        },
    ),
    Idle(WIDTHS, ("lfm2", "lfm2_moe"), _any("block_dim")),
    Idle(WIDTHS, ("openelm",), _any("num_gqa_groups qkv_multipliers")),
    Idle(WIDTHS, ("sarvam_mla",), _any("q_head_dim")),
    Idle(
        NORMS,
        ("mamba", "falcon_mamba", "mamba2", "starcoder2", "granitemoehybrid", "openelm", "mpt"),
        {
            "rms_norm": (True,),
            "norm_type": ("layer_norm", "low_precision_layernorm"),
            "normalization_function": ("rmsnorm",),
            "normalization_layer_name": ("rms_norm",),
        },
    ),
    Idle("activations have no weights", ("openelm",), _any("activation_fn_name")),
    Idle(
        "the table of output tokens is counted by `tie_word_embeddings`",
        ("deepseek_v2", "deepseek_vl_v2"),
        {"lm_head": (True,), "rm_head": (False,)},
    ),
    Idle(
        "of parts that are left out, or of how pictures become tokens",
        ("ernie4_5_moe_vl",),
        _any("pixel_hidden_size temporal_conv_size spatial_conv_size im_patch_id"),
    ),
    Idle(
        "of parts that are left out, or of how pictures become tokens",
        ("step3", "step3_text", "step3_vl"),
        _any(
            "im_end_token im_patch_token im_start_token understand_projector_stride "
            "image_token_len patch_token_len projector_bias"
        ),
    ),
    Idle(
        "of parts that are left out, or of how pictures become tokens",
        ("llama", "mistral", "cohere2"),
        {"use_resampler": (False,), "perceiver_config": ANY, "resampler_config": ANY}
        | _any("pixel_shuffle_factor alignment_activation_fn downsample_factor"),
    ),
    Idle(
        "says of what the wrapper consists",
        ("mistral", "llama"),
        {"is_composition": (True,), "is_llama_config": (True,)},
    ),
    Idle(
        TRAINING,
        ("llama", "mistral"),
        _any("neftune_noise_alpha use_reentrant_checkpointing"),
    ),
    Idle(NORMS, ("llama", "mistral"), {"qk_layer_norms": (False,)}),
    Idle("positions are computed, not stored", ("llama",), {"rope_interleaved": (False,)}),
)


def ignore_idle(keys: Keys, family: str) -> None:
    """Note the keys of a mapping that are idle in this family."""
    for row in IDLE:
        if family not in row.families:
            continue
        for key, values in row.keys.items():
            if not values or any(keys.values.get(key) == one for one in values):
                keys.ignore(key, reason=row.reason)
