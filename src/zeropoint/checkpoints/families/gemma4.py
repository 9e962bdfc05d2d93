"""Gemma 4: heads of two sizes, shared caches, per-layer embeddings, experts beside a dense part."""

from collections.abc import Callable, Mapping

import numpy as np

from zeropoint.checkpoints.families import tensor_roles as roles
from zeropoint.checkpoints.families.gemma import GELU, LOGIT_CAP, UNUSED_ACTIVATION
from zeropoint.checkpoints.families.record import (
    ExpertRule,
    HuggingFaceType,
    Json,
    Metadata,
    ModelFamily,
    WindowRule,
)
from zeropoint.checkpoints.families.windows import (
    check_window,
    layer_count,
    layer_types,
    periodic_flags,
    read_layer_types,
    read_windows,
    window_rule,
)
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.checkpoints.values import Float32, UInt32

FULL_HEAD, FULL_HEADS = "global_head_dim", "num_global_key_value_heads"
MIXTURE = "only mixtures use it"


def read_gemma4(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the family's keys, also those with the value that llama.cpp would assume: it needs
    them.
    """
    _check_refused(settings)
    count = layer_count(settings)
    flags = read_layer_types(settings, periodic_flags(count, window_rule(family).period))
    flags[-1:] = [False]  # as transformers does
    window = check_window(settings, settings.integer_or_none("sliding_window"), flags)
    own, kv_heads = settings.integer("head_dim"), settings.integer("num_key_value_heads")
    full, full_heads = _full_layers(settings, flags)
    shared = settings.integer("num_kv_shared_layers")
    inner = settings.integer("intermediate_size")
    keys: Metadata = {
        "attention.key_length": UInt32(full),
        "attention.value_length": UInt32(full),
        "attention.key_length_swa": UInt32(own),
        "attention.value_length_swa": UInt32(own),
        "rope.dimension_count": UInt32(full),
        "rope.dimension_count_swa": UInt32(own),
        "rope.freq_base_swa": Float32(family.window_rope_base or 0.0),
        "attention.sliding_window": UInt32(window or 0),
        "attention.sliding_window_pattern": np.array(flags, np.bool_),
        "attention.shared_kv_layers": UInt32(shared),
        "embedding_length_per_layer_input": UInt32(_input_size(settings)),
    }
    if full_heads != kv_heads:
        per_layer = [kv_heads if windowed else full_heads for windowed in flags]
        keys["attention.head_count_kv"] = np.array(per_layer, np.int32)
    if settings.flag("use_double_wide_mlp") and shared:
        wide = [inner * (2 if index >= count - shared else 1) for index in range(count)]
        keys["feed_forward_length"] = np.array(wide, np.int32)
    if settings.flag("enable_moe_block"):
        if settings.integer_or_none("num_experts") is None:
            raise settings.wrong("enable_moe_block", "is true, but num_experts is missing")
        keys |= {
            "expert_count": UInt32(settings.integer("num_experts", minimum=1)),
            "expert_used_count": UInt32(settings.integer("top_k_experts", minimum=1)),
            "expert_feed_forward_length": UInt32(
                settings.integer("moe_intermediate_size", minimum=1)
            ),
        }
    keys[LOGIT_CAP] = Float32(settings.positive_or_none(LOGIT_CAP) or 0.0)
    return keys


def _check_refused(settings: Settings) -> None:
    if settings.flag("attention_bias"):
        raise settings.wrong("attention_bias", "files of this family cannot express biases")
    if settings.get("use_bidirectional_attention") not in (None, False, "vision"):
        reason = "text attends to earlier positions only"
        raise settings.wrong("use_bidirectional_attention", reason)


def _input_size(settings: Settings) -> int:
    """Return the size of the input of a layer; 0: layers have none."""
    given = settings.get("hidden_size_per_layer_input")
    size = 0 if given is None else settings.integer("hidden_size_per_layer_input")
    rows, tokens = settings.integer("vocab_size_per_layer_input"), settings.integer("vocab_size")
    if size and rows != tokens:
        reason = f"is {rows}; files of this family have as many rows as tokens, {tokens}"
        raise settings.wrong("vocab_size_per_layer_input", reason)
    return size


def _full_layers(settings: Settings, flags: list[bool]) -> tuple[int, int]:
    """Return the size of heads, and the number of key and value heads, of layers without window."""
    base = settings.integer("head_dim"), settings.integer("num_key_value_heads")
    given = settings.get("per_layer_config")
    full_heads = settings.integer_or_none(FULL_HEADS) if settings.flag("attention_k_eq_v") else None
    settings.get(FULL_HEADS)
    size = settings.integer(FULL_HEAD, minimum=1)
    if given is None:
        return size, full_heads or base[1]
    if not isinstance(given, Mapping):
        raise settings.wrong("per_layer_config", "expected an object")
    found: set[tuple[int, int]] = set()
    full: set[tuple[int, int]] = set()
    for index, windowed in enumerate(flags):
        layer = given.get(str(index), {})
        if not isinstance(layer, Mapping) or layer.keys() - {"head_dim", "num_key_value_heads"}:
            reason = f"files of this family cannot express that of layer {index}"
            raise settings.wrong("per_layer_config", reason)
        own = Settings(settings.path, layer, {}, f"per_layer_config.{index}")
        sizes = own.integer("head_dim", base[0]), own.integer("num_key_value_heads", base[1])
        (found if windowed else full).add(sizes)
    others = given.keys() - {str(index) for index in range(len(flags))}
    if len(found) > 1 or len(full) != 1 or others:
        reason = "files of this family have one size for windowed layers and one for all others"
        raise settings.wrong("per_layer_config", reason)
    return full.pop()


def write_gemma4(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the family's settings. Raises UnsupportedModel for what transformers has none for."""
    count = keys.integer("block_count")
    window, flags = read_windows(keys, window_rule(family))
    kv_heads = _by_kind(keys, flags, "attention.head_count_kv", lambda windowed: windowed)
    size = keys.integer("attention.key_length_swa")
    for key in ("attention.value_length_swa", "rope.dimension_count_swa"):
        if keys.integer(key, size) != size:
            raise keys.unsupported(key)
    shared = keys.integer("attention.shared_kv_layers", 0)
    late = [index >= count - shared for index in range(count)]
    inner = _by_kind(keys, late, "feed_forward_length", lambda sharing: not sharing)
    if inner[False] not in (inner[True], 2 * inner[True]):
        raise keys.unsupported("feed_forward_length")
    own = [index for index in range(count - shared) if not flags[index]]
    equal = any(f"blk.{index}.attn_v.weight" not in keys.tensors for index in own)
    if kv_heads[False] != kv_heads[True] and not equal:
        raise keys.unsupported("attention.head_count_kv")
    return {
        "head_dim": size,
        FULL_HEAD: keys.integer("attention.key_length"),
        "num_key_value_heads": kv_heads[True],
        FULL_HEADS: kv_heads[False] if equal else None,
        "attention_k_eq_v": equal,
        "num_kv_shared_layers": shared,
        "intermediate_size": inner[True],
        "use_double_wide_mlp": inner[False] != inner[True],
        "hidden_size_per_layer_input": keys.integer("embedding_length_per_layer_input", 0),
        "vocab_size_per_layer_input": config["vocab_size"],
        **_write_experts(keys),
        "sliding_window": window or keys.integer("context_length"),
        "layer_types": layer_types(flags),
        LOGIT_CAP: keys.number(LOGIT_CAP, family.logit_softcap) or None,
        "rope_parameters": _both_ropes(family, keys, config),
    }


def _write_experts(keys: GgufKeys) -> Json:
    if not (count := keys.integer("expert_count", 0)):
        return {"enable_moe_block": False}
    if not all(
        f"blk.{layer}.ffn_gate_up_exps.weight" in keys.tensors
        for layer in range(keys.integer("block_count"))
    ):
        raise keys.unsupported("expert_count")
    return {
        "enable_moe_block": True,
        "num_experts": count,
        "top_k_experts": keys.integer("expert_used_count"),
        "moe_intermediate_size": keys.integer("expert_feed_forward_length"),
    }


def _by_kind(
    keys: GgufKeys, kinds: list[bool], key: str, is_first: Callable[[bool], bool]
) -> dict[bool, int]:
    """Return the value of a key in layers of the first kind (True) and of the other one (False).

    If there are no layers of a kind, its value is that of the other one.
    """
    found: dict[bool, int] = {}
    for index, kind in enumerate(kinds):
        value = keys.integer(key, layer=index)
        if found.setdefault(is_first(kind), value) != value:
            raise keys.unsupported(key)
    one = next(iter(found.values()))
    return {True: found.get(True, one), False: found.get(False, one)}


def _both_ropes(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    rope = config["rope_parameters"]
    assert isinstance(rope, dict)
    if "full_attention" not in rope:
        if rope["rope_type"] == "default":  # all pairs rotate
            rope = rope | {"rope_type": "proportional", "partial_rotary_factor": 1.0}
        if rope["rope_type"] != "proportional":
            raise keys.unsupported("rope.scaling.type")
    base = keys.number("rope.freq_base_swa", family.window_rope_base)
    return {
        "full_attention": rope.get("full_attention", rope),
        "sliding_attention": {"rope_type": "default", "rope_theta": base},
    }


GEMMA4 = ModelFamily(
    architecture="gemma4",
    huggingface=(
        HuggingFaceType(
            model_types=("gemma4_text", "gemma4"),
            model_class="Gemma4ForCausalLM",
            config_class="Gemma4TextConfig",
            read_settings=read_gemma4,
            write_config=write_gemma4,
            defaults={
                "num_key_value_heads": 4,
                "head_dim": 256,
                FULL_HEAD: 512,
                "max_position_embeddings": 131072,
                "rms_norm_eps": 1e-6,
                "sliding_window": 512,
                "num_kv_shared_layers": 0,
                "hidden_size_per_layer_input": 256,
                "vocab_size_per_layer_input": 262144,
                "tie_word_embeddings": True,
                "rope_parameters": {
                    "full_attention": {
                        "rope_type": "proportional",
                        "partial_rotary_factor": 0.25,
                        "rope_theta": 1e6,
                    },
                    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
                },
            },
            activation_key="hidden_activation",
            rope_theta=1e6,
            rope_types_of_full_layers=("proportional", "default"),
            harmless=UNUSED_ACTIVATION
            | dict.fromkeys(("num_experts", "top_k_experts", "moe_intermediate_size"), MIXTURE),
        ),
    ),
    roles=roles.NORMS_AROUND
    | roles.ATTENTION
    | roles.MLP
    | roles.QK_NORMS
    | {
        "per_layer_input_gate": "inp_gate",
        "per_layer_projection": "proj",
        "post_per_layer_input_norm": "post_norm",
        "router.proj": "ffn_gate_inp",
        "post_feedforward_layernorm_1": "post_ffw_norm_1",
        "pre_feedforward_layernorm_2": "pre_ffw_norm_2",
        "post_feedforward_layernorm_2": "post_ffw_norm_2",
    },
    whole_names={
        "norm.weight": "output_norm.weight",
        "embed_tokens_per_layer.weight": "per_layer_token_embd.weight",
        "per_layer_model_projection.weight": "per_layer_model_proj.weight",
        "per_layer_projection_norm.weight": "per_layer_proj_norm.weight",
    },
    parameters={
        "layer_scalar": "layer_output_scale.weight",
        "router.scale": "ffn_gate_inp.scale",
        "router.per_expert_scale": "ffn_down_exps.scale",
        "experts.gate_up_proj": "ffn_gate_up_exps.weight",
        "experts.down_proj": "ffn_down_exps.weight",
    },
    activation=GELU,
    scaled_embedding=True,
    window_rope_base=10000.0,
    windows=WindowRule(period=6, per_layer=True),
    logit_softcap=30.0,
    unscaled=True,
    normed_values=True,
    window_sizes=True,
    shared_caches=True,
    layer_inputs=True,
    layer_scales=True,
    experts=ExpertRule(beside_dense=True),
)
