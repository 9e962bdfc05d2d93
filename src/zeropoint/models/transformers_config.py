"""transformers' configuration of an architecture, for the engine that runs its modules."""

from typing import Any

import transformers

from zeropoint.checkpoints.families import FAMILIES, Feature, HuggingFaceType, ModelFamily
from zeropoint.checkpoints.families.windows import layer_type
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.errors import UnsupportedModel
from zeropoint.models.architecture import Architecture, LayerSpec
from zeropoint.models.feed_forward import Experts
from zeropoint.models.weights import Weights

ACTIVATIONS = {"silu": "silu", "gelu": "gelu_pytorch_tanh", "relu2": "relu2"}


def make_config(architecture: Architecture, weights: Weights) -> Any:
    """Return transformers' configuration of an architecture.

    A setting that the type's class does not define becomes an attribute without effect.
    """
    family, kind = FAMILIES[architecture.name], find_type(architecture)
    layers = architecture.layers
    parts = [layer.feed_forward for layer in layers if layer.feed_forward]
    dense = next((part for part in parts if not isinstance(part, Experts)), parts[0])
    experts = next((layer.experts for layer in layers if layer.experts), None)
    attentions = [layer.attention for layer in layers if layer.attention]
    first = attentions[0]
    window = next((layer.window for layer in attentions if layer.window), None)
    options: dict[str, Any] = {
        "vocab_size": architecture.vocab_size,
        "hidden_size": architecture.width,
        "intermediate_size": dense.inner,
        "num_hidden_layers": len(layers),
        "num_attention_heads": first.heads,
        "num_key_value_heads": first.kv_heads,
        "head_dim": first.head_size,
        "max_position_embeddings": architecture.context_length,
        kind.epsilon_key: architecture.epsilon,
        "tie_word_embeddings": False,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
        "embedding_multiplier": 1.0,  # the engine has multiplied
        "logits_scaling": 1.0,
        "attention_multiplier": first.scale,
        "residual_multiplier": layers[0].residual_scale,
        "query_pre_attn_scalar": round(first.scale**-2),
        "attn_logit_softcapping": first.softcap,
        "final_logit_softcapping": architecture.logit_softcap,
        "sliding_window": window,
        "use_sliding_window": window is not None,
        "rope_parameters": _rope_parameters(architecture),
    }
    if family.windows and family.windows.per_layer:
        options["layer_types"] = _layer_types(architecture)
    if family.rope_skip_period:
        options["no_rope_layers"] = [int(layer.rope is not None) for layer in attentions]
    if kind.activation_key:
        options[kind.activation_key] = ACTIVATIONS[dense.activation]
    if experts:
        options |= _expert_options(experts, layers)
    if (family.recurrent_mixer or family.window_sizes) and kind.write_config:
        metadata, tensors = weights.checkpoint.metadata, weights.checkpoint.tensors
        options |= kind.write_config(family, GgufKeys(metadata, tensors), options)
    return getattr(transformers, kind.config_class)(**options)


def _expert_options(experts: Experts, layers: tuple[LayerSpec, ...]) -> dict[str, Any]:
    """Return the settings of a mixture by all names that transformers' types have for them."""
    routing, shared = experts.routing, experts.shared // experts.inner
    leading = next(index for index, layer in enumerate(layers) if layer.experts)
    settings: dict[str, Any] = {
        "num_local_experts num_experts moe_num_experts n_routed_experts": routing.count,
        "num_experts_per_tok moe_k top_k_experts": routing.used,
        "n_shared_experts moe_num_shared_experts": shared,
        "first_k_dense_replace moe_layer_start_index": leading,
        "moe_intermediate_size": experts.inner,
        "norm_topk_prob": routing.normalize,
        "n_group": routing.groups,
        "topk_group": routing.used_groups,
        "routed_scaling_factor": 1.0,  # `BlockExperts` multiplies
    }
    settings["use_qk_norm"] = layers[0].has("attn_q_norm")
    return {name: value for names, value in settings.items() for name in names.split()}


def find_type(architecture: Architecture) -> HuggingFaceType:
    """Return the Hugging Face type whose classes compute what this architecture computes."""
    layers = architecture.layers
    attentions = [layer.attention for layer in layers if layer.attention]
    present: dict[Feature, bool] = {
        "experts": any(layer.experts for layer in layers),
        "window": any(layer.window for layer in attentions),
        "temperature": any(layer.temperature for layer in attentions),
    }
    features = frozenset(feature for feature, is_present in present.items() if is_present)
    return FAMILIES[architecture.name].type_for(features)


def _layer_types(architecture: Architecture) -> list[str]:
    attentions = (layer.attention for layer in architecture.layers)
    return [layer_type(windowed=bool(part and part.window)) for part in attentions]


def _rope_parameters(architecture: Architecture) -> dict[str, Any]:
    """Return rotary parameters; `_put_frequencies` replaces the frequencies that they give."""
    first = next(layer.attention for layer in architecture.layers if layer.attention)
    family = FAMILIES[architecture.name]
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 10000.0}
    if first.temperature:
        rope |= {
            "llama_4_scaling_beta": first.temperature.scale,
            "original_max_position_embeddings": first.temperature.length,
        }
    if first.rope and family.partial_rope:
        rope["partial_rotary_factor"] = first.rope.dimensions / first.head_size
    if not find_type(architecture).rope_types_of_full_layers:
        return rope
    return {kind: dict(rope) for kind in set(_layer_types(architecture))}


def check_shape(architecture: Architecture, weights: Weights) -> None:
    """Raise UnsupportedModel for what zeropoint's layers can have and transformers' cannot."""
    family = FAMILIES[architecture.name]
    attentions = [layer.attention for layer in architecture.layers if layer.attention]
    ropes = {part.rope for part in attentions if part.rope}
    wrong = ""
    if len(ropes) > 1 and not find_type(architecture).rope_types_of_full_layers:
        wrong = "layers with rotary positions of their own"
    shapes = {(part.heads, part.kv_heads, part.head_size, part.scale) for part in attentions}
    parts = {layer.feed_forward for layer in architecture.layers if layer.feed_forward}
    kinds = {type(part) for part in parts} if family.experts.some_layers_dense else {None}
    varied = family.window_sizes  # `write_config` refuses what the type cannot express
    if not varied and (len(shapes) > 1 or len(parts) > len(kinds)):
        wrong = "layers of several shapes"
    for layer in architecture.layers:
        wrong = wrong or _missing(family, layer)
    if wrong:
        path = weights.checkpoint.path
        raise UnsupportedModel(f"{path}: transformers' {architecture.name} has no {wrong}")


def _missing(family: ModelFamily, layer: LayerSpec) -> str:
    """Return what of a layer's attention transformers' class does not have, or ""."""
    part, experts = layer.attention, layer.experts
    if experts and experts.routing.gating != family.experts.gating:
        return f"experts that are chosen by {experts.routing.gating}"
    if part is None:
        return ""
    if layer.has("attn_qkv") != family.fused_qkv:
        return "matrices attn_q, attn_k, attn_v" if family.fused_qkv else "matrix attn_qkv"
    if part.rope is None and not family.rope_skip_period:
        return "layers without rotary positions"
    if part.value_size != part.head_size:
        return f"values of {part.value_size} beside keys of {part.head_size}"
    if part.temperature and layer.experts:
        return "temperature of queries in a mixture of experts"
    return ""
