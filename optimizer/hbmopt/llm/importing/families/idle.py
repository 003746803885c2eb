"""Keys that files of a family state and that change nothing there, with the reason.

What is true of every family is in `ignored.py`. Here a key is idle in some families, or while it
has one of a few values: with another it is left to be refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from hbmopt.llm.importing.keys import Keys

Values = tuple[object, ...]
ANY: Values = ()
"""Whatever the value is."""


@dataclass(frozen=True)
class Idle:
    """Keys of some families, each with the values at which it is idle."""

    reason: str
    families: str
    """Names or shell patterns of them, of decoders or of what is around one."""
    keys: Mapping[str, Values]


def _any(names: str) -> dict[str, Values]:
    return dict.fromkeys(names.split(), ANY)


NUMERICS = "numerics: how it is computed, not what is stored"
SOFTWARE = "how the software runs it"
NORMS = "norms are as the family has them"
POSITIONS = "positions are computed, not stored"
TRAINING = "training"
WIDTHS = "says what widths that are stated follow from"
PARTS = "of parts that are left out, or of how pictures become tokens"

IDLE = (
    Idle(
        "queries, keys and values have the same weights in one tensor or three",
        "mimo_v2 mimo_v2_flash",
        {"attention_projection_layout": ("fused_qkv", "split_qkv", "separate")},
    ),
    Idle(SOFTWARE, "phi3small", _any("pad_sequence_to_multiple_of_64 gegelu_pad_to_256")),
    Idle(SOFTWARE, "ernie4_5_moe_vl", _any("moe_multimodal_dispatch_use_allgather")),
    Idle(SOFTWARE, "ernie4_5_moe_vl", _any("modality_detach")),
    Idle(SOFTWARE, "mpt", _any("attn_impl")),
    Idle(SOFTWARE, "minimax*", _any("block_size")),
    Idle(NUMERICS, "phi3small", _any("gegelu_limit ff_dim_multiplier")),
    Idle(
        NUMERICS,
        "grok-1 grok1 git",
        _any(
            "attn_output_multiplier embedding_multiplier_scale max_attn_value "
            "output_multiplier_scale attn_temperature_len"
        ),
    ),
    Idle(NUMERICS, "bailing_moe bailing_moe_v2 bailing_moe_linear", _any("norm_head norm_softmax")),
    Idle(NUMERICS, "muse_spark_text", _any("residual_gate_temperature")),
    Idle(NUMERICS, "recurrent_gemma", _any("embeddings_scale_by_sqrt_dim")),
    Idle(NUMERICS, "falcon_h1", _any("mlp_expansion_factor")),
    Idle(NUMERICS, "mpt", _any("embedding_fraction attn_uses_sequence_id")),
    Idle(NUMERICS, "hunyuan*", _any("dense_list use_mixed_mlp_moe")),
    Idle(
        "which blocks are chosen, not how many",
        "minimax_m3*",
        _any("sparse_score_type sparse_init_block sparse_local_block"),
    ),
    Idle(POSITIONS, "step3_text", _any("max_position_embedding")),
    Idle(POSITIONS, "ernie4_5_moe_vl", _any("freq_allocation")),
    Idle(POSITIONS, "qwen2 qwen3 qwen3_moe", _any("dual_chunk_attention_config")),
    Idle("idle where ALiBi stands for positions, which is checked", "mpt", _any("learned_pos_emb")),
    Idle(
        "which layers attend to everything is counted by their pattern",
        "cohere2",
        _any("layer_switch"),
    ),
    Idle(
        "it is a part of the width of a head",
        "deepseek_v4* deepseek_ref* deepseek_v41*",
        _any("qk_rope_head_dim"),
    ),
    Idle("Mamba-2 has no projection of this rank", "mamba2 nemotron_h", _any("time_step_rank")),
    Idle("heads are listed by layer", "laguna", _any("num_attention_heads")),
    Idle(
        "the heads are stated by a key of their own",
        "dbrx dots3_note*",
        _any("num_key_value_heads"),
    ),
    Idle(SOFTWARE, "phi3 phi4_multimodal phi4mm cohere2", _any("use_parallel_embedding")),
    Idle(WIDTHS, "lfm2 lfm2_moe", _any("block_dim")),
    Idle(WIDTHS, "openelm", _any("num_gqa_groups qkv_multipliers")),
    Idle(WIDTHS, "sarvam_mla", _any("q_head_dim")),
    Idle(NORMS, "mamba falcon_mamba mamba2", {"rms_norm": (True,)}),
    Idle(NORMS, "openelm", {"normalization_layer_name": ("rms_norm",)}),
    Idle(NORMS, "mpt starcoder2 stablelm phi", _any("norm_type")),
    Idle("norms add one to their weights", "minimax_m3*", _any("use_gemma_norm")),
    Idle("activations have no weights", "openelm", _any("activation_fn_name")),
    Idle(
        "the table of output tokens is counted by `tie_word_embeddings`",
        "deepseek_v2 deepseek_vl_v2",
        {"lm_head": (True,)},
    ),
    Idle("the table is padded to vocab_size", "inkling*", _any("unpadded_vocab_size")),
    Idle("the decoder's table has rows for pictures as well", "paligemma", _any("vocab_size")),
    Idle("the decoder is read", "*blip*", _any("use_decoder_only_language_model")),
    Idle(PARTS, "granite_speech*", _any("window_size")),
    Idle(PARTS, "ernie4_5_moe_vl", _any("pixel_hidden_size temporal_conv_size")),
    Idle(
        PARTS,
        "step3 step3_text step3_vl",
        _any("im_end_token im_patch_token im_start_token understand_projector_stride"),
    ),
    Idle(PARTS, "llama mistral cohere2", _any("perceiver_config resampler_config")),
    Idle(PARTS, "llama mistral cohere2", _any("alignment_activation_fn")),
    Idle(
        "says of what the wrapper consists",
        "mistral llama",
        {"is_composition": (True,), "is_llama_config": (True,)},
    ),
    Idle(TRAINING, "llama mistral", _any("use_reentrant_checkpointing")),
)


@lru_cache
def _rows(family: str) -> tuple[Idle, ...]:
    """Return the rows of a family."""
    return tuple(
        row for row in IDLE if any(fnmatchcase(family, one) for one in row.families.split())
    )


def ignore_idle(keys: Keys, family: str) -> None:
    """Note the keys of a mapping that are idle in this family, or in the mapping's own."""
    for row in (*_rows(family), *_rows(keys.family)):
        for key, values in row.keys.items():
            if not values or any(keys.values.get(key) == one for one in values):
                keys.ignore(key, reason=row.reason)
