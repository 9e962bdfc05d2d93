"""Qwen 3.5: gated delta nets beside gated attention, whose heads are rotated in part."""

import numpy as np

from zeropoint.checkpoints.families import tensor_roles as roles
from zeropoint.checkpoints.families.delta_net import (
    PARAMETERS,
    ROLES,
    TILED_CHANGES,
    read_delta_net,
    write_delta_net,
)
from zeropoint.checkpoints.families.partial_rope import partial_rope
from zeropoint.checkpoints.families.record import HuggingFaceType, Json, Metadata, ModelFamily
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.settings import Settings

DEFAULTS = {
    "head_dim": 256,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "partial_rotary_factor": 0.25,
}
DRAFT_SETTINGS = {
    "mtp_num_hidden_layers": "the layers of the draft head are counted by their tensors",
    "mtp_use_dedicated_embeddings": "an embedding of the draft head would be a tensor of its own",
}
DELTA_NET = ROLES | {
    "linear_attn.in_proj_qkv": "attn_qkv",
    "linear_attn.in_proj_z": "attn_gate",
    "linear_attn.in_proj_a": "ssm_alpha",
    "linear_attn.in_proj_b": "ssm_beta",
}
NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "post_attention_norm"}


def read_settings(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the delta nets."""
    return read_delta_net(settings)


def write_config(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the delta nets, and the part of a head that is rotated."""
    return write_delta_net(keys) | {"rope_parameters": rotary_parameters(keys, config)}


def rotary_parameters(keys: GgufKeys, config: Json) -> Json:
    """Return the rotary parameters with the part of a head that is rotated, and its sections."""
    rope, sections = partial_rope(keys, config), keys.get("rope.dimension_sections")
    if isinstance(sections, np.ndarray):
        rope |= {"mrope_section": sections.tolist()[:3], "mrope_interleaved": True}
    return rope


QWEN35 = ModelFamily(
    architecture="qwen35",
    huggingface=(
        HuggingFaceType(
            model_types=("qwen3_5_text",),
            model_class="Qwen3_5ForCausalLM",
            config_class="Qwen3_5TextConfig",
            read_settings=read_settings,
            write_config=write_config,
            defaults={**DEFAULTS, "num_key_value_heads": 4},
            biases={"attention_bias": roles.ATTENTION_BIASES},
            biased_roles=("ssm_dt",),
            harmless=DRAFT_SETTINGS,
        ),
    ),
    roles=NORMS | roles.ATTENTION | roles.QK_NORMS | roles.MLP | DELTA_NET | roles.DRAFT,
    parameters=PARAMETERS,
    stored_names={"ffn_norm": "post_attention_norm"},
    changes=TILED_CHANGES,
    norm_offset=1.0,
    plain_norms=frozenset({"ssm_norm"}),
    draft_prefix="mtp.",
    recurrent_mixer="delta_net",
    tiled_values=True,
    gated_attention=True,
    partial_rope=True,
    rope_sections=(11, 11, 10, 0),
)
