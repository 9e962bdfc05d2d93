"""Every setting of every family's config.json, with other legal values.

The names come from transformers: the fields of its config classes, the entries of its
`RopeParameters`, its types of rotary scaling, and its defaults of generation.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, GenerationConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS, RopeParameters

from support import hf_folders
from zeropoint.checkpoints.settings.config_to_gguf import read_configuration
from zeropoint.errors import CheckpointError, UnsupportedModel

MISSING = object()  # the key is taken out

Config = dict[str, Any]

COMMON: Config = {
    "vocab_size": hf_folders.VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
WINDOWS: Config = {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 2}
EXPERTS: Config = {"num_experts_per_tok": 2, "head_dim": 16}
GEMMA: Config = {"head_dim": 32, "query_pre_attn_scalar": 24, "sliding_window": 7}
QWEN35: Config = {
    "head_dim": 32,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "tie_word_embeddings": False,
    "attention_bias": True,
}
MULTIPLIERS: Config = {
    "embedding_multiplier": 6.0,
    "residual_multiplier": 0.3,
    "attention_multiplier": 0.2,
    "logits_scaling": 3.0,
}
QWEN35_EXPERTS: Config = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 96,
}
# Settings of each family beyond COMMON, so that as many settings as possible have an effect.
BASES: Mapping[str, Config] = {
    "llama": {"attention_bias": True, "mlp_bias": True},
    "mistral": {"sliding_window": 7},
    "mixtral": EXPERTS | {"num_local_experts": 4, "sliding_window": 7},
    "smollm3": {"use_sliding_window": True, "sliding_window": 7, "tie_word_embeddings": False},
    "qwen2": WINDOWS,
    "qwen3": WINDOWS | {"head_dim": 32, "attention_bias": True},
    "qwen3_moe": EXPERTS
    | {"num_experts": 4, "moe_intermediate_size": 64, "norm_topk_prob": True}
    | {"use_sliding_window": True, "sliding_window": 7},
    "gemma2": GEMMA,
    "gemma3_text": GEMMA | {"num_hidden_layers": 7, "final_logit_softcapping": 20.0},
    "gemma4_text": {
        "head_dim": 32,
        "global_head_dim": 16,
        "sliding_window": 7,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "vocab_size_per_layer_input": hf_folders.VOCABULARY,
        "final_logit_softcapping": 20.0,
    }
    | {"hidden_size_per_layer_input": 24, "num_kv_shared_layers": 2, "use_double_wide_mlp": True},
    "phi3": {"sliding_window": 7, "original_max_position_embeddings": 256},
    "bitnet": {"hidden_act": "silu"},
    "olmo2": {"attention_bias": True},
    "olmo3": {"sliding_window": 7, "num_hidden_layers": 5, "attention_bias": True},
    "granite": MULTIPLIERS | {"attention_bias": True, "mlp_bias": True},
    "granitemoe": MULTIPLIERS
    | {"num_local_experts": 4, "num_experts_per_tok": 2, "attention_bias": True},
    "gpt_oss": EXPERTS
    | {"num_local_experts": 4, "sliding_window": 7, "rope_scaling": None}
    | {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
    "ernie4_5_moe": {"head_dim": 16, "moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 64}
    | {"tie_word_embeddings": False},
    "glm4_moe": EXPERTS
    | {"n_routed_experts": 6, "moe_intermediate_size": 64, "attention_bias": True}
    | {"n_group": 3, "topk_group": 2, "use_qk_norm": True},
    "ministral3": {"head_dim": 24, "sliding_window": 7}
    | {"rope_parameters": hf_folders.MINISTRAL3_ROPE},
    "seed_oss": {"head_dim": 24, "attention_out_bias": True, "mlp_bias": True},
    "qwen3_5_text": QWEN35,
    "qwen3_5_moe_text": QWEN35 | QWEN35_EXPERTS,
    "qwen3_next": QWEN35 | QWEN35_EXPERTS,
    "lfm2": {
        "layer_types": ["conv", "full_attention", "conv", "conv"],
        "block_multiple_of": 16,
        "block_ffn_dim_multiplier": 1.5,
        "tie_word_embeddings": False,
    },
    "lfm2_moe": {
        "layer_types": ["conv", "full_attention", "conv", "conv"],
        "num_dense_layers": 1,
        "num_experts": 5,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 64,
        "tie_word_embeddings": False,
    },
    "nemotron_h": {
        "layers_block_type": ["linear_attention", "mlp", "full_attention", "linear_attention"],
        "mamba_num_heads": 4,
        "mamba_head_dim": 24,
        "n_groups": 2,
        "ssm_state_size": 11,
        "head_dim": 32,
        "mlp_bias": True,
        "attention_bias": True,
        "time_step_min": 1e-9,
    },
    "ernie4_5": {"head_dim": 16, "use_bias": True, "tie_word_embeddings": False},
}

# Other legal values of settings whose type does not suggest any.
SPECIAL: Mapping[str, list[Any]] = {
    "hidden_size": [128],
    "time_step_limit": [[0.0, 0.5]],
    "moe_latent_size": [24],
    "top_k_experts": [2],
    "mtp_layers_block_type": [["moe", "full_attention"]],
    "intermediate_size": [64],
    "num_hidden_layers": [3],
    "num_attention_heads": [8],
    "num_key_value_heads": [4, None],
    "head_dim": [24, None],
    "vocab_size": [hf_folders.VOCABULARY + 8],
    "max_position_embeddings": [64],
    "num_experts": [5],
    "num_local_experts": [5],
    "num_experts_per_tok": [3],
    "moe_intermediate_size": [32],
    "shared_expert_intermediate_size": [32],
    "num_nextn_predict_layers": [2],
    "num_mtp_layers": [2],
    "n_routed_experts": [9],
    "moe_num_experts": [5],
    "moe_k": [3],
    "n_group": [1],
    "topk_group": [1],
    "rms_norm_eps": [0.3],
    "hidden_act": ["gelu", "gelu_pytorch_tanh", "relu", "relu2", "swish", "silu"],
    "hidden_activation": ["gelu", "silu", "gelu_pytorch_tanh"],
    "layer_types": [
        ["full_attention"] * 4,
        ["sliding_attention"] * 4,
        ["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
        ["chunked_attention"] * 4,
        ["full_attention", "linear_attention"] * 2,
        ["conv", "full_attention"] * 2,
    ],
    "full_attn_idxs": [[0, 2], []],
    "conv_L_cache": [2, 5],
    "block_ffn_dim_multiplier": [0.7, None],
    "block_multiple_of": [32],
    "block_auto_adjust_ff_dim": [False],
    "norm_eps": [0.3],
    "linear_conv_kernel_dim": [2, 5],
    "linear_key_head_dim": [8],
    "linear_value_head_dim": [8],
    "linear_num_key_heads": [1, 4],
    "linear_num_value_heads": [2, 6],
    "full_attention_interval": [2, 1],
    "sliding_window": [5, None, 300],
    "max_window_layers": [0, 3, 9],
    "sliding_window_pattern": [2, 1, 6],
    "no_rope_layers": [[1, 1, 1, 1], [0, 1, 1, 1], [1, 1, 1, 0]],
    "no_rope_layer_interval": [2, 4],
    "mlp_only_layers": [[1], []],
    "decoder_sparse_step": [2],
    "query_pre_attn_scalar": [50, 32],
    "attn_logit_softcapping": [2.0, None],
    "final_logit_softcapping": [3.0, None],
    "original_max_position_embeddings": [16, 64],
    "rope_theta": [500.0],
    "rope_local_base_freq": [300.0],
    "partial_rotary_factor": [0.5, 1.0],
    "per_layer_config": [{"1": {"intermediate_size": 32}}, {}],
    "is_causal": [False, True],
    "dtype": ["float32"],
    "torch_dtype": ["float32"],
    "architectures": [["SomethingForCausalLM"]],
    "transformers_version": ["4.1.0"],
    "id2label": [{"0": "a", "1": "b", "2": "c"}],
    "label2id": [{"a": 0, "b": 1, "c": 2}],
    "problem_type": ["regression"],
    "pad_token_id": [3, None],
    "bos_token_id": [3, None],
    "eos_token_id": [3, [2, 3], None],
    "chunk_size_feed_forward": [4],
    "attn_implementation": ["eager"],
    "num_labels": [3],
    "pretraining_tp": [2],
    "auto_map": [{"AutoModel": "x.Y"}],
}
# Settings that transformers reads from config.json although they are no fields of the classes.
LEGACY = (
    "rope_theta partial_rotary_factor head_dim sliding_window layer_types torch_dtype "
    "original_max_position_embeddings per_layer_config is_causal num_labels name_or_path auto_map "
    "output_attentions attn_implementation use_bidirectional_attention sliding_window_pattern "
    "rope_local_base_freq is_decoder tie_encoder_decoder"
).split()
ROPE: Mapping[str, Config] = {  # what each type of rotary scaling needs
    "default": {},
    "linear": {"factor": 3.0},
    "dynamic": {"factor": 3.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 64},
    "longrope": {"original_max_position_embeddings": 64},  # and two lists for half a head
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "proportional": {"partial_rotary_factor": 0.5},
    "axial": {},
}
ENTRIES: Mapping[str, list[Any]] = {
    "rope_theta": [500.0],
    "partial_rotary_factor": [0.5, 1.0],
    "factor": [2.0, None],
    "original_max_position_embeddings": [16, 128],
    "attention_factor": [0.7],
    "beta_fast": [4.0, 64.0],
    "beta_slow": [0.25, 3.0],
    "short_factor": [[1.5] * 8],
    "long_factor": [[3.0] * 8],
    "low_freq_factor": [0.5],
    "high_freq_factor": [8.0],
    "mscale": [1.4],
    "mscale_all_dim": [0.6],
    "truncate": [False, True],
    "mrope_section": [[2, 3, 3]],
    "type": ["linear", "yarn", "su"],
}
# What a family needs beside.
OWN_ENTRIES: Mapping[tuple[str, str], Config] = {
    ("gpt_oss", "yarn"): {"truncate": False},
    ("ministral3", "yarn"): {"llama_4_scaling_beta": 0.4},
}


@dataclass(frozen=True)
class Case:
    """One config.json: a family's base with one setting changed."""

    family: str
    key: str  # "beta_fast (yarn)" for an entry of the rotary parameters
    value: object
    config: Mapping[str, Any] = dataclasses.field(hash=False)

    @property
    def names(self) -> set[str]:
        """Return the names by which an error may refer to the setting."""
        return {self.key.split(" ")[0], *ALIASES.get(self.key.partition(")")[0], ())}

    def __str__(self) -> str:
        shown = "missing" if self.value is MISSING else json.dumps(self.value)
        return f"{self.family}: {self.key} = {shown}"


# A setting is also refused if the sentence names the one that it cannot agree with.
ALIASES: Mapping[str, set[str]] = {
    "num_hidden_layers": {"layer_types", "no_rope_layers"},
    "use_sliding_window": {"layer_types", "sliding_window"},
    "linear_key_head_dim": {"linear_value_head_dim"},
    "num_attention_heads": {"num_key_value_heads", "heads"},
    "hidden_size": {"head_dim"},
    "rope_type (yarn": {"long_factor", "truncate"},  # what Phi-3 calls longrope
    "partial_rotary_factor (longrope": {"long_factor"},  # Phi-3: the list is as long as the part
}


def base(family: str) -> Config:
    """Return the config.json of a family that cases change."""
    family = {"gemma3": "gemma3_text", "gemma4": "gemma4_text"}.get(family, family)
    return COMMON | dict(BASES[family]) | {"model_type": family, "rope_theta": 10000.0}


def class_fields(family: str) -> dict[str, object]:
    """Return the settings of transformers' config class of a family, with its defaults."""
    kind = CONFIG_MAPPING[family]
    found = {field.name: field.default for field in dataclasses.fields(kind)}
    found |= dict.fromkeys(kind.attribute_map)
    return {key: None if value is dataclasses.MISSING else value for key, value in found.items()}


def settings(family: str) -> dict[str, object]:
    """Return all settings that transformers looks at in a family's config.json, with defaults."""
    found = class_fields(family)
    found |= GenerationConfig._get_default_generation_params()
    found |= {key: found.get(key) for key in LEGACY}
    found.pop("rope_parameters", None)
    return found


def other_values(family: str, key: str) -> list[Any]:
    """Return other legal values of a key, by its name or by the type of its default."""
    if key in SPECIAL:
        return list(SPECIAL[key])
    match base(family).get(key, settings(family)[key]):
        case bool(value):
            return [not value]
        case int(value):
            return [value + 1]
        case float(value):
            return [value / 2 + 0.25]
        case None if key.startswith(("use_", "is_", "output_", "tie_", "return_")):
            return [True]
    return ["text"]


def cases(family: str) -> Iterator[Case]:
    """Yield every setting of a family with each of its other values, and without it."""
    start = base(family)
    for key in settings(family):
        for value in other_values(family, key):
            if key == "layer_types" and len(value) != start["num_hidden_layers"]:
                value = (value * 2)[: start["num_hidden_layers"]]
            yield Case(family, key, value, start | {key: value})
        if key in start:
            left = {name: value for name, value in start.items() if name != key}
            yield Case(family, key, MISSING, left)
    yield from rope_cases(family)


def rope_cases(family: str) -> Iterator[Case]:
    """Yield every type of rotary positions with each of its entries changed, added or missing."""
    kinds = sorted({"default", "axial", *ROPE_INIT_FUNCTIONS})
    names = sorted({*RopeParameters.__annotations__, "type"} - {"rope_type"})
    for kind in kinds:
        rope = {"rope_type": kind, "rope_theta": 8000.0} | ROPE[kind]
        rope |= OWN_ENTRIES.get((family, kind), {})
        if kind == "longrope":
            rotated = 0.5 if family == "glm4_moe" else 1.0  # the default part of a head
            size = int(base(family).get("head_dim", 16) * rotated) // 2
            rope["short_factor"] = [1.0 + 0.2 * index for index in range(size)]
            rope["long_factor"] = [2.0 + 0.5 * index for index in range(size)]
        placed = list(_placed(family, f"rope_type ({kind})", kind, rope))
        yield from placed
        expressible = is_read(placed[0])  # else every entry is refused with the type's name
        for name in names:
            for value in (*ENTRIES[name], MISSING) if expressible else ():
                changed = {k: v for k, v in rope.items() if k != name}
                if value is not MISSING:
                    changed[name] = value
                if name == "mscale":
                    changed["mscale_all_dim"] = 0.5
                if name == "mscale_all_dim":
                    changed["mscale"] = 1.2
                if changed != rope:
                    yield from _placed(family, f"{name} ({kind})", value, changed)


def is_read(case: Case) -> bool:
    """Return whether a config.json is accepted."""
    try:
        read_configuration(Path("config.json"), case.config)
    except (CheckpointError, UnsupportedModel):
        return False
    return True


def _placed(family: str, key: str, value: object, rope: Config) -> Iterator[Case]:
    start = base(family)
    if family not in ("gemma3_text", "gemma4_text", "olmo3"):
        yield Case(family, key, value, start | {"rope_parameters": rope})
        if "rope_type" in key:  # what users add to a folder by hand, in the older form too
            plain = {"rope_type": "default", "rope_theta": 10000.0}
            both = start | {"rope_parameters": plain, "rope_scaling": rope}
            yield Case(family, f"{key} rope_scaling", value, both)
            old = {"type": rope["rope_type"]} | {k: v for k, v in rope.items() if "rope" not in k}
            yield Case(family, f"{key} type", value, start | {"rope_scaling": old})
        return
    plain = {"rope_type": "default", "rope_theta": 5000.0}
    places = ((rope, plain), (plain, rope)) if "rope_type" in key else ((rope, plain),)
    for full, sliding in places:
        sets = {"full_attention": full, "sliding_attention": sliding}
        yield Case(family, key, value, start | {"rope_parameters": sets})
    if family != "gemma4_text":  # it needs both sets
        yield Case(family, key, value, start | {"rope_scaling": rope})
        yield Case(family, key, value, start | {"rope_parameters": rope})
