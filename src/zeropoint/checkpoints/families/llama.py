"""Llama 2 and 3, Mistral, Mixtral, Ministral 3, SmolLM 1 and 2."""

from zeropoint.checkpoints.families import tensor_roles as roles
from zeropoint.checkpoints.families.record import (
    HuggingFaceType,
    Json,
    Metadata,
    ModelFamily,
    WindowRule,
)
from zeropoint.checkpoints.families.windows import (
    layer_count,
    layer_type,
    single_window,
    window_keys,
)
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.rope_to_gguf import TEMPERATURE
from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.checkpoints.values import UInt32

MIXTRAL_EXPERTS = {
    "block_sparse_moe.gate": "ffn_gate_inp",
    "block_sparse_moe.experts.*.w1": "ffn_gate_exps",
    "block_sparse_moe.experts.*.w3": "ffn_up_exps",
    "block_sparse_moe.experts.*.w2": "ffn_down_exps",
}


def rotated_keys(family: ModelFamily, settings: Settings) -> Metadata:
    """Return how many elements of a head are rotated: all of them."""
    width, heads = settings.integer("hidden_size"), settings.integer("num_attention_heads")
    return {"rope.dimension_count": UInt32(settings.integer_or_none("head_dim") or width // heads)}


def read_mistral(family: ModelFamily, settings: Settings) -> Metadata:
    """Return Mistral's window, which all layers have."""
    window = settings.integer_or_none("sliding_window")
    kinds = settings.get("layer_types")  # transformers does not read it for this type
    if kinds not in (None, [layer_type(windowed=window is not None)] * layer_count(settings)):
        raise settings.wrong("layer_types", "all layers of this family are of one kind")
    return rotated_keys(family, settings) | window_keys(window, [True] * layer_count(settings))


def read_mixtral(family: ModelFamily, settings: Settings) -> Metadata:
    """Return Mistral's keys and the experts."""
    count = "num_experts" if settings.get("num_experts") is not None else "num_local_experts"
    return read_mistral(family, settings) | {
        "expert_count": UInt32(settings.integer(count)),
        "expert_used_count": UInt32(settings.integer("num_experts_per_tok")),
    }


def no_entries(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return no entries, for a model type without entries."""
    return {}


def write_mistral(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the window."""
    return {"sliding_window": single_window(keys)}


def write_ministral3(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the window, and the rotary parameters with the temperature of queries.

    Raises UnsupportedModel for experts, and for scalings other than YaRN: transformers takes the
    length of the temperature's steps from YaRN's entries.
    """
    rope = config["rope_parameters"]
    assert isinstance(rope, dict)
    if keys.integer("expert_count", 0):
        raise keys.unsupported("expert_count")
    if rope["rope_type"] != "yarn":
        raise keys.unsupported("rope.scaling.type")
    scale = keys.number("attention.temperature_scale")
    return write_mistral(family, keys, config) | {"rope_parameters": rope | {TEMPERATURE: scale}}


def write_mixtral(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the window and the experts."""
    return {
        "sliding_window": single_window(keys),
        "intermediate_size": keys.integer("expert_feed_forward_length", 0)
        or keys.integer("feed_forward_length"),
        "num_local_experts": keys.integer("expert_count"),
        "num_experts_per_tok": keys.integer("expert_used_count"),
    }


MIXTRAL = HuggingFaceType(
    model_types=("mixtral",),
    model_class="MixtralForCausalLM",
    config_class="MixtralConfig",
    needs=frozenset({"experts"}),
    read_settings=read_mixtral,
    write_config=write_mixtral,
    defaults={"num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2},
    rope_theta=1e6,
)
MISTRAL = HuggingFaceType(
    model_types=("mistral",),
    model_class="MistralForCausalLM",
    config_class="MistralConfig",
    needs=frozenset({"window"}),
    read_settings=read_mistral,
    write_config=write_mistral,
    defaults={"num_key_value_heads": 8, "sliding_window": 4096},
)
MINISTRAL3 = HuggingFaceType(
    model_types=("ministral3",),
    model_class="Ministral3ForCausalLM",
    config_class="Ministral3Config",
    needs=frozenset({"temperature"}),
    read_settings=read_mistral,
    write_config=write_ministral3,
    defaults={
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 262144,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 1e6,
            "factor": 16.0,
            "original_max_position_embeddings": 16384,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
            TEMPERATURE: 0.1,
        },
    },
)
LLAMA_TYPE = HuggingFaceType(
    model_types=("llama",),
    model_class="LlamaForCausalLM",
    config_class="LlamaConfig",
    read_settings=rotated_keys,
    write_config=no_entries,
    biases={"attention_bias": roles.ATTENTION_BIASES, "mlp_bias": roles.MLP_BIASES},
)

LLAMA = ModelFamily(
    architecture="llama",
    huggingface=(MIXTRAL, MISTRAL, LLAMA_TYPE),
    roles=roles.LLAMA | MIXTRAL_EXPERTS | roles.EXPERTS,
    permuted_roles=("attn_q", "attn_k"),
    interleaved_rope=True,
    windows=WindowRule(),
    unread_by_llama_cpp=frozenset({"attention.sliding_window", "rope.scaling.yarn_beta_fast"}),
    layers_of_70b=80,
)
MISTRAL3 = ModelFamily(
    architecture="mistral3",
    huggingface=(MINISTRAL3, MIXTRAL, MISTRAL, LLAMA_TYPE),
    roles=roles.LLAMA | MIXTRAL_EXPERTS | roles.EXPERTS,
    permuted_roles=("attn_q", "attn_k"),
    interleaved_rope=True,
    windows=WindowRule(),
    query_temperature=True,
    unread_by_llama_cpp=frozenset({"attention.sliding_window"}),
)
