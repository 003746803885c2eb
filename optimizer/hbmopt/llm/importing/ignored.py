"""Keys of a configuration that change nothing which is counted, each with the reason why.

What is not here, and not read by a family, is refused: it may change what is stored or computed.
"""

import re
from functools import lru_cache
from typing import Any

_TABLE = (
    (
        "positions are computed, not stored",
        r"(?!\w*layer)(rope|rotary|mrope|yarn|alibi|ntk)_\w+|rotary_\w+|use_(rotary|rope)\w*|rope|rotary_dim"
        r"|\w*_rope_(base_freq|theta)|rope_\w*|\w*rope_(interleave|ratio|scaling|theta|parameters|dim)"
        r"|max_position_embeddings|original_max_position_embeddings|initial_context_length"
        r"|partial_rotary_factor|max_seq(uence)?_len(gth)?|seq_len(gth)?|model_max_length|n_ctx"
        r"|n_positions|context_length|max_context_length|attn_temperature_tuning|use_dynamic_ntk"
        r"|use_logn_attn|logn\w*|alibi(_bias_max)?|floor_scale|attn_scale|position_id_per_seconds"
        r"|max_model_len|training_max_len|no_rope_layers?|nope_layer_interval|use_mrope|rotary_emb_base"
        r"|tokens_per_second|spatial_merge_size|freqs_for|max_position_id|log_scaling_\w+"
        r"|llama_4_scaling|use_llama_rope|original_rope|no_rope_layer_interval"
        r"|rotary|theta|use_pos_enc|interpolate_factor|xdrope_\w+|position_embedding_xdrope|offset_alibi"
        r"|position_encoding_2d|rope_pct|use_rotary_pos_emb",
    ),
    (
        "numerics: how it is computed, not what is stored",
        r"\w*_eps(_\w+)?|eps|\w*epsilon|\w*_(in_)?fp32|fp32_\w+|\w*(soft_?cap|softcapping)|\w*logit_cap"
        r"|(embedding|attention|residual|key|lm_head|logits|output|ssm_in|ssm_out|attention_in"
        r"|attention_out|embedding_)_multipliers?|mlp_multipliers|ssm_multipliers|logits?_scal(e|ing)"
        r"|residual_scale|scale_(emb|depth|attn_weights|attn_by_inverse_layer_idx|embedding"
        r"|attention_softmax_in_fp32)|dim_model_base|mup_\w+|use_mup|logits_mup_width_multiplier"
        r"|query_pre_attn_scalar|softmax_scale|clip_qkv|qkv_clip\w*|attn_logit_\w+|time_step_(min|max|limit"
        r"|floor|scale|rank_scale|init_scheme)|linear_(allow_neg_eigval|a_log_m\w+|dt_\w+)|rescale_\w+"
        r"|normalize_embeddings|scale_embeddings?|reorder_and_upcast_attn|layer_norm_\w*fp32|gate_soft_cap"
        r"|mamba_(chunk_size|dt_(min|max|init\w*|limit)|a_\w+)|chunk_size|\w*_scale_factor|mamba_chunk_scan_\w+|norm_before_gate"
        r"|mamba_norm_before_gate|sinkhorn_iters|hc_sinkhorn_iters|\w*_logits_as_\w+|(embedding|hidden)_scale"
        r"|apply_residual_connection_post_layernorm|apply_query_key_layer_scaling|attention_softmax_in_fp32"
        r"|use_associative_scan|layer_scale\w*|(full|linear)_attn_\w*(alpha|beta)_factor|mlp_(alpha|beta)_factor"
        r"|layernorm_\w*(alpha|beta)|postnorm|(kda|linear|gate)_lower_bound|safe_gate|kda_safe_gate|hidden_scale"
        r"|fc_layernorm_\w+|attention_(logit|value|output)_\w*scale\w*|zero_centered\w*|norm_reduction\w*"
        r"|mla_scale_\w+|hc_magnitude|expand_cache|sparse_init_\w+|laurel_norm_eps|altup_lr_multiplier",
    ),
    (
        "activations have no weights",
        r"(mlp_|mamba_|hidden_mamba_|vision_|ff_|dense_)?(hidden_)?(act|activation)(_fn|_func|_function|_type|_name)?"
        r"|activation_(sparsity|situ|dropout)\w*|swiglu_(alpha|beta|limits?|limits_shared)|activations?|gelu_\w+|hidden_act_\w+"
        r"|(linear|output)_gate_(act|type)\w*|hidden_activation|ffn_act\w*",
    ),
    (
        "routing: which experts a token visits, not how many there are",
        r"n_group|topk_group|topk_method|num_expert_groups?|n_expert_groups?|num_limited_groups|use_grouped_topk"
        r"|scoring_func(tion)?|score_(func|function|type)|score_function|norm_topk_(prob|weights)?|norm_expert_weight"
        r"|(moe_)?routed_scaling_factor|output_router_(logits|probs|loss)|route_(scale|norm|topk\w*)|moe_renormalize"
        r"|normalize_expert_weights|router_(scaling_factor|dtype|type|score\w*|temperature|logit_\w+|ignore_\w+|normalize\w*)"
        r"|moe_router_(dtype|pre_softmax|score_function|topk_scaling_factor|scaling_factor|load_balancing_type"
        r"|num_groups|group_topk|activation_func|logit\w*|fusion|aux\w*|padding\w*|bias_update\w*|force\w*|topk_limited\w*)"
        r"|moe_(apply_router_weight_on_input|z_loss\w*|aux\w*|jitter\w*|capacity\w*|permute\w*|grouped_gemm"
        r"|token_dispatcher\w*|extended_tp|lb_\w+|routed_\w*factor|scaling\w*|score_func\w*|gating\w*|train\w*)"
        r"|(expert|eval|train)_capacity(_factor)?|capacity_factor|drop_tokens|moe_eval_capacity\w*|router_bias_update\w*"
        r"|shared_expert_combination_strategy|moe_layer_freq_\w+|use_routed_expert_scaling|moe_shared_expert_overlap"
        r"|apply_routing_\w+|hash_router_\w+|num_hash_layers|moe_norm\w*|group_(norm_)?topk\w*|enable_moe_fp32_combine"
        r"|moe_k_normalization|experts_implementation|expert_selection_fn|density_router_\w+|moe_implementation|zero_expert_type"
        r"|moe_(gate|gate_act|drop_tokens|random_routing\w*|capacity)|group_limited_greedy|moe_layer_num_skipped|use_sigmoid\w*",
    ),
    (
        "a bias by which experts are chosen is a buffer, which is not counted",
        r"\w*(correction|router|routing|gate|expert)_bias|moe_router_enable_expert_bias|use_(routing|expert)_bias"
        r"|moe_router_use_expert_bias|moe_use_aux_free|use_moe_expert_bias|e_score_correction_bias",
    ),
    (
        "training",
        r"\w*drop(out|path|_path|_rate)?(_\w+)?|\w*pdrop|layerdrop|initiali[sz]er_\w+|init_\w+|\w+_init(_\w+)?"
        r"|\w*_initializer_range|\w*xavier_init|block_(mlp|out)_init_scale|\w*loss(es)?(_\w+)?|\w*aux_\w+|aux_\w+|seq_aux|\w*jitter\w*|gradient_\w+|label_smoothing"
        r"|seed|freeze_\w+|use_liger\w*|\w*_noise(_\w+)?|load_balanc\w+|small_init|emb_init\w*|wide_init|alpha_initializer"
        r"|embedding_init_\w+|lora_(alpha|bias)|max_grad\w*|train_\w+|tf_\w+|use_z_loss|bias_update_speed|stop_gradient"
        r"|pretrain\w*_(steps|tokens)",
    ),
    (
        "how the software runs it",
        r"model_type|use_cache|output_(attentions|hidden_states|scores|logits)|return_dict(_in_generate)?|torchscript|use_bfloat16"
        r"|transformers(_version|\.js_config|_js_config)?|auto_map|_\w*name_or_path|_commit_hash|\w*attn_implementation\w*"
        r"|\w*(flash|sdpa)_?att\w*|use_flash\w*|use_\w*_kernels?|\w*_backend|use_fused_\w+|fused_\w+"
        r"|pretraining_tp|ep_size|tp_size|\w*_parallel_size|\w*tensor_parallel\w*|sequence_parallel|\w*model_parallel"
        r"|unsloth_\w+|use_mambapy|chunk_size_(feed_forward|lm_head)|disable_custom_kernels|slow_but_exact|onnx_export"
        r"|num_logits_to_keep|\w*cache_(type|implementation|dtype|config)|pad_head_dim_\w+|use_fp8_\w+|version|\w*_version"
        r"|(model_)?name|model_id|license|\w*_implementation|inference_\w+|use_triton\w*|fuse_\w+|\w+_fusion|onnx_safe|skip_bias_add\w*|pad_key_length"
        r"|validate_runner_input|pre_allocate_kv_cache|max_batch_size|inference_runner|concat_tokenizer|use_deterministic\w*"
        r"|\w*memory_efficient\w*|low_cpu_mem_usage|use_return_dict|legacy|is_training|kernel_\w+_mode|step_kernel"
        r"|chunkwise_kernel|sequence_kernel|autocast_\w+|recurrent_kv_cache_mode|use_xformers\w*|architecture"
        r"|attention_type_backend|max_inference_chunksize|return_last_states|ssm_state_dtype|mamba_ssm_cache_dtype"
        r"|mamba_ssm_dtype|use_bf16|bf16|fp16|fp32|use_fp32\w*|force_dequant|use_quant|model_file_\w+|language|languages"
        r"|dynamic_cache|offload\w*|debug\w*|verbose|is_native|_(?!sliding)\w+",
    ),
    (
        "generation and its words",
        r"(?!additional)\w*_token_ids?|\w*_token_index|\w*_token_idx|\w*_token_indices|(bos|eos|pad|unk|mask|sep|cls)_token|bos_id|eos_id|pad_id|sep_id|im_(start|end|newline|patch)_id"
        r"|max_(length|new_tokens)|min_length|do_sample|early_stopping|num_beams?|num_beam_groups|diversity_penalty"
        r"|temperature|top_k|top_p|typical_p|repetition_penalty|length_penalty|(encoder_)?no_repeat_ngram_size"
        r"|bad_words_ids|num_return_sequences|remove_invalid_values|exponential_decay_length_penalty|(begin_)?suppress_tokens"
        r"|prefix|generation_config|forced_\w+|chat_template\w*|task_specific_params|tokenizer_\w+|\w*tokenizer_(class|name|path)"
        r"|finetuning_task|problem_type|ignore_index|image_(start|end|patch)_id|slice_(start|end)_id|unk_index|system_message"
        r"|template|prompt_template|assistant_\w+|user_token_id|bot_token|stop_\w+|\w*_token_len(gth)?|summary_\w+",
    ),
    (
        "labels of a classifier, counted where the architecture has one",
        r"id2label|label2id|num_labels|classifier_\w+|num_classes|pooler_\w+|pooling\w*",
    ),
    (
        "of parts that are left out, or of how pictures and sounds become tokens",
        r"(image|img|video|vision|visual)_(?!config|experts?|layers?$)\w+|mm_\w+|audio_(?!config|dual|adapter|ffn|vocab|num)\w+"
        r"|speech_(?!config)\w+|projector_\w+|multi_?modal_projector_\w+|projection_dim|projector|downsample_\w+"
        r"|select_layer|force_image_size|max_dynamic_patch|min_dynamic_patch|use_thumbnail|dynamic_image_size|ps_version"
        r"|pad2square|candidate_resolutions|tile_tag|global_view_pos|max_(image|img|num)_(size|tiles|patches|max_token_num)|patch_size"
        r"|num_image_tokens|use_image_\w+|unfreeze_\w+|tune_mm_\w+|merge_(size|kernel_size)|temporal_patch_size|pixel_shuffle_\w+"
        r"|num_query_tokens?|query_num|slice_\w+|use_image_id|batch_(vision|3d)_\w+|vit_\w+|deepstack_\w+|reshape_hidden_states"
        r"|in_channels|num_channels|spatial_\w+|sample_rate|sampling_rate|boi_token\w*|eoi_token\w*|media_\w+|has_lora_adapter"
        r"|enable_(audio_output|talker)|seconds_per_chunk|image_grid_pinpoints|use_vision\w*|interpolate_mode|vocab_list"
        r"|feature_layer|image_seq_len|use_mm_\w+|freeze_mm_\w+|s2\w*|max_pixels|min_pixels|insert_layer_id"
        r"|merger_times|use_unified_vision_chunk|max_value_projector_patch_to_query_dict|projection_hidden_size"
        r"|alignment_intermediate_size|merged_hidden_size|out_hidden_size|process_image_mode|query_dim|tower_\w+|anyres_\w+|num_media_embeds|mask_init_id|text_(start|end)_id|pool_type"
        r"|frame_rate|scale_factor|acoustic_tokenizer_\w+",
    ),
    (
        "the layers are listed, or their number is read elsewhere",
        r"_sliding_window_pattern|sliding_window_size_pattern|prefix_dense_sliding_window_pattern|_pattern_\w+|max_window_layers",
    ),
)
"""Reasons, and the keys that each holds for, as one expression."""

_COMPILED = tuple((reason, re.compile(pattern)) for reason, pattern in _TABLE)

_EXPERT_KEYS = re.compile(r"(num|n)_(\w*_)?experts")

NO_DENSE = "no layer has a dense block"

_DENSE_KEYS = ("intermediate_size", "intermediate_size_mlp", "dense_intermediate_size")


def no_dense(key: str, read: frozenset[str]) -> str | None:
    """Return why the width of dense blocks is idle, or None; it is read where a layer has one."""
    experts = key in _DENSE_KEYS and any(_EXPERT_KEYS.fullmatch(one) for one in read)
    return NO_DENSE if experts else None


_HARMLESS_VALUES: dict[str, tuple[tuple[Any, ...], str]] = {
    "position_embedding_type": (
        ("rope", "rope_gptj", "rotary", "alibi", "nope"),
        "positions are computed, not stored",
    ),
    "norm_type": (
        ("hf_rms", "rms", "rmsnorm", "rms_norm", "RMSNorm"),
        "norms are as the family has them",
    ),
    "normalization_type": (("rms", "rmsnorm", "RMSNorm"), "norms are as the family has them"),
    "normalization_function": (("rmsnorm",), "norms are as the family has them"),
    "full_attn_mod": ((1,), "every layer attends to everything"),
    "mlp_type": (("default", "gated", "swiglu"), "the block is as the family has it"),
    "output_projection": ((True,), "the model ends in a head"),
    "order_of_interleaved_layers": (("local_attn_first",), "the layers are read elsewhere"),
    "use_gated_activation": ((True,), "the feed-forward block is gated"),
    "block_use_swiglu": ((True,), "the feed-forward block is gated"),
    "use_parallel_block": ((True,), "the order of the sums has no weights"),
    "use_parallel_embedding": ((True,), "how the software runs it"),
    "use_embedding_sharing": ((True,), "the head is the embedding, as the family has it"),
    "compression_ratio": ((1.0, 1), "nothing is compressed"),
    "is_causal": ((True,), "says that the model looks back only"),
    "causal": ((True,), "says that the model looks back only"),
    "is_decoder": ((True, False), "says that the model is a decoder"),
    "use_bidirectional_attention": (("vision",), "pictures alone are looked at both ways"),
    "is_moe": ((True,), "the number of experts is read"),
    "use_moe": ((True,), "the number of experts is read"),
    "use_rmsnorm": ((True,), "norms are as the family has them"),
    "use_rms_norm": ((True,), "norms are as the family has them"),
    "rmsnorm": ((True,), "norms are as the family has them"),
    "post_layer_norm": ((True, False), "norms are as the family has them"),
    "is_gated_act": ((True,), "the feed-forward block is gated"),
    "use_gated_mlp": ((True,), "the feed-forward block is gated"),
    "use_mla": ((True,), "the ranks of the latents are read"),
    "is_hybrid": ((True,), "the layers are listed"),
    "use_parallel_residual": ((True, False), "the order of the sums has no weights"),
    "fsdp": ((None,), "training"),
    "legacy_cache_format": ((True, False), "how the software runs it"),
}
"""Keys that change nothing while they have one of these values."""

PARTS: tuple[tuple[str, str], ...] = (
    (
        r"(vision|visual|vit|image|sam|siglip|clip|dino)\w*_(config|cfg|model)|vision|visual|img_processor|embd_layer"
        r"|vision_tower|mm_vision_tower|vision_model_config|visual_tokenizer_config|vision_tower_config",
        "vision",
    ),
    (r"(audio|speech|whisper|sound)\w*_(config|cfg|model)|audio_processor|speech_tower", "audio"),
    (r"high_res_vision_config", "vision"),
    (r"(word_timestamp|adaptor|acoustic_\w+|semantic_\w+)_config", "audio"),
    (r"talker_config", "talker"),
    (r"(token2wav|code2wav|codec|vocoder|dac|tts)\w*_config", "speech output"),
    (r"encoder_config", "encoder"),
    (
        r"(mm_)?(projector|connector|adapter|aligner|bridge|abstractor|merger|mlp_connector)\w*_config",
        "projector",
    ),
    (r"(qformer|perceiver|resampler)_config", "resampler"),
    (r"(vq|vqgan|gen|dit|diffusion|vae|decoder_image|image_decoder)\w*_config", "image output"),
    (r"has_lora_adapter", "adapter"),
    (r"depth_decoder_config|code_predictor_config", "speech output"),
)
"""Sections that describe parts beside the decoder, and what each part is called."""

_PARTS = tuple((re.compile(pattern), part) for pattern, part in PARTS)

SPELLINGS: tuple[frozenset[str], ...] = tuple(
    frozenset(names.split())
    for names in (
        "hidden_size n_embd d_model n_embed dim model_dim hidden_dim block_dim",
        "num_hidden_layers n_layer n_layers num_layers",
        "num_attention_heads n_head n_heads num_heads",
        "num_key_value_heads num_kv_heads n_head_kv n_kv_heads multi_query_group_num",
        "head_dim attention_head_dim attention_head_size kv_channels head_size d_head qk_head_dim",
        "intermediate_size n_inner ffn_dim ffn_hidden_size d_ff ffn_size",
        "moe_intermediate_size expert_ffn_hidden_size moe_ffn_hidden_size",
        "num_experts num_local_experts n_routed_experts moe_num_experts num_routed_experts",
        "num_experts_per_tok num_experts_per_token moe_topk moe_k experts_per_token moe_top_k",
        "n_shared_experts num_shared_experts moe_num_shared_experts num_shared_expert",
        "vocab_size padded_vocab_size org_vocab_size",
        "num_nextn_predict_layers num_mtp_layers mtp_num_hidden_layers mtp_num_layers",
        "state_size mamba_d_state ssm_state_size",
        "conv_kernel mamba_d_conv d_conv",
        "sliding_window sliding_window_size window_size",
        "sliding_window_pattern layer_switch",
    )
)
"""Keys that state one number: where a family reads one of them, another must say the same."""

_SPELLED = {name: names for names in SPELLINGS for name in names}

QUIET_VALUES: tuple[Any, ...] = (None, False, 0, "", {}, [])

QUIET = "null, false, zero or empty: it says that there is none"


def spellings(key: str) -> frozenset[str]:
    """Return all keys that state the same number as this one."""
    return _SPELLED.get(key, frozenset())


@lru_cache(maxsize=8192)
def part_of(key: str) -> str | None:
    """Return the part beside the decoder that a section describes."""
    return next((part for pattern, part in _PARTS if pattern.fullmatch(key)), None)


@lru_cache(maxsize=8192)
def _named(key: str) -> str | None:
    return next((reason for reason, pattern in _COMPILED if pattern.fullmatch(key)), None)


def reason_to_ignore(key: str, value: Any) -> str | None:
    """Return why a key changes nothing, or None where that is not known."""
    if key in _HARMLESS_VALUES:
        values, reason = _HARMLESS_VALUES[key]
        if any(type(value) is type(one) and value == one for one in values):
            return reason
        return QUIET if value is False or value is None else None
    named = _named(key)
    if named is not None:
        return named
    if value in QUIET_VALUES:
        return QUIET
    return None
