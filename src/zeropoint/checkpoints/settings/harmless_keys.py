"""Keys of a GGUF architecture that change no logits, and the values for which that holds.

They are harmless to every program that runs the model, and to an export that has no place for them.
"""

from collections.abc import Callable, Mapping

import numpy as np

# Keys of the architecture ("llama.vocab_size") whose value does not matter.
HARMLESS_KEYS: Mapping[str, str] = {
    "vocab_size": "the embedding's rows are counted instead",
    "tensor_data_layout": "it names the order of rows that the converter read from, not the file's",
    "pooling_type": "it says how hidden states become one embedding; logits are not pooled",
    "classifier.pooling_type": "as pooling_type",
    "classifier.output_labels": "the names of a classifier's outputs; its tensors are refused",
    "rope.scaling.finetuned": "it says how the model was trained; no runtime computes with it",
    "attention.layer_norm_epsilon": "all norms of these families are RMS norms, with their own key",
}

# Parts of the architecture's keys that describe another model in the same file.
HARMLESS_PARTS: Mapping[str, str] = {
    "vision.": "text does not pass through the image encoder",
    "audio.": "text does not pass through the audio encoder",
    "mm.": "text does not pass through the projector of images",
}

_ABSENT = """
    activation.situ_beta activation.situ_linear_beta activation_sparsity_scale altup.active_idx
    altup.num_inputs attention.clamp_kqv attention.compress_ratios
    attention.compress_rope_freq_base attention.decay_lora_rank attention.gate_lora_rank
    attention.group_norm_epsilon attention.group_norm_groups attention.iclr_lora_rank
    attention.indexer.block_size attention.indexer.head_count attention.indexer.key_length
    attention.indexer.kpool attention.indexer.kpool_select_tail attention.indexer.local_blocks
    attention.indexer.top_k attention.indexer.types attention.key_length_mla
    attention.key_length_mla_swa attention.kv_lora_rank attention.kv_lora_rank_swa
    attention.max_alibi_bias attention.output_group_count attention.output_lora_rank
    attention.output_scale attention.q_lora_rank attention.recurrent_layers
    attention.relative_buckets_count attention.shared_kv_layers attention.sliding_window
    attention.temperature_length attention.temperature_scale attention.value_length_mla
    attention.value_length_mla_swa attention.value_residual_mix_lora_rank attention.value_scale
    attn_logit_softcapping decoder_block_count decoder_start_token_id
    embedding_length_per_layer_input embedding_scale expert_chunk_feed_forward_length expert_count
    expert_feed_forward_length expert_gating_func expert_group_count expert_group_scale
    expert_group_used_count expert_latent_length expert_shared_count
    expert_shared_feed_forward_length expert_used_count expert_weights_norm expert_weights_scale
    experts_per_group final_logit_softcapping full_attention_interval hash_layer_count
    hrm.h_cycles hrm.l_cycles hrm.layers_per_stack hrm.prefix_lm hyper_connection.count
    hyper_connection.epsilon hyper_connection.low_rank hyper_connection.magnitude
    hyper_connection.sinkhorn_iterations interleave_moe_layer_step kda.gate_lower_bound
    kda.head_dim kda.safe_gate leading_dense_block_count logit_scale moe_every_n_layers
    moe_latent_size n_deepstack_layers num_loops rescale_every_n_layers residual_scale
    rope.dimension_sections rope.scaling.alpha rope.scaling.yarn_log_multiplier
    router_logit_softcapping shortconv.l_cache skip_loop_final_norm ssm.conv_kernel
    ssm.dt_b_c_rms ssm.group_count ssm.inner_size ssm.state_size ssm.time_step_rank
    swiglu_clamp_exp swiglu_clamp_shexp swin_norm time_decay_extra_dim time_mix_extra_dim
    token_shift_count use_parallel_residual wkv.head_size
"""

# Keys that are harmless with one of these values, or an array of them: the model then has no such
# step. Another family, or another kind of layer, may use the key.
NEUTRAL_VALUES: Mapping[str, tuple[float, ...]] = dict.fromkeys(_ABSENT.split(), (0,)) | {
    "attention.causal": (1,),  # true: a position does not attend to later ones
    "decoder_start_token_id": (0, -1, 2**32 - 1),  # no token
    "deepstack_mapping": (-1,),
    "embedding_scale": (0, 1),
    "expert_gating_func": (0, 1),  # 1: softmax
    "expert_group_count": (0, 1),
    "expert_group_used_count": (0, 1),
    "expert_weights_norm": (1,),
    "logit_scale": (0, 1),
    "residual_scale": (0, 1),
    "rope.freq_base_swa": (10000.0,),  # llama.cpp's default; there are no windowed layers
    "rope.scale_linear": (0,),
    "rope.scaling.alpha": (0, 1),
    "rope.scaling.yarn_attn_factor": (1,),  # llama.cpp overwrites it; transformers has no such key
    "rope.scaling.yarn_beta_fast": (32,),  # llama.cpp's defaults; without yarn they have
    "rope.scaling.yarn_beta_slow": (1,),  # no effect
    "rope.scaling.yarn_ext_factor": (-1, 0),  # −1: the default of the scaling type
}

# Keys that are harmless if they repeat the value of another key.
REPETITIONS: Mapping[str, str] = {
    "embedding_length_out": "embedding_length",
    "attention.key_length_swa": "attention.key_length",
    "attention.value_length_swa": "attention.value_length",
    "rope.dimension_count_swa": "rope.dimension_count",
    "rope.freq_base_swa": "rope.freq_base",
    "rope.scale_linear": "rope.scaling.factor",  # the old name
}


def is_harmless_key(key: str, value: object, peek: Callable[[str], object]) -> bool:
    """Return whether a key (without the architecture's name) changes no logit.

    `peek` returns the value of another key of the same file, or None.
    """
    if key in HARMLESS_KEYS or key.startswith(tuple(HARMLESS_PARTS)):
        return True
    if has_value_of(value, NEUTRAL_VALUES.get(key, ())):
        return True
    return key in REPETITIONS and np.array_equal(value, peek(REPETITIONS[key]))  # type: ignore[arg-type]


def has_value_of(value: object, allowed: tuple[float, ...]) -> bool:
    """Return whether a number, or every number of an array, is one of these."""
    if allowed and isinstance(value, np.ndarray | list):
        return bool(np.isin(np.asarray(value), allowed).all())
    return isinstance(value, int | float | np.number) and value in allowed
