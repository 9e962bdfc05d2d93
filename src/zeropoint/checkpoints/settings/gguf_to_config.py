"""Writes GGUF metadata as the config.json of a Hugging Face folder: the inverse of config_to_gguf.

What GGUF does not store (initializer ranges, dropout) is left to transformers' defaults. A key that
transformers has no setting for is refused by name.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from zeropoint.checkpoints.families import FAMILIES, Feature, HuggingFaceType, ModelFamily
from zeropoint.checkpoints.families.nearest import unsupported
from zeropoint.checkpoints.names import role_of
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.rope_to_config import rope_parameters
from zeropoint.checkpoints.tokenizers.tokenizer_facts import read_tokenizer_facts
from zeropoint.checkpoints.typed_mapping import is_array
from zeropoint.errors import UnsupportedModel

Json = dict[str, object]
Metadata = Mapping[str, object]

_BIAS = re.compile(r"blk\.\d+\.\w+\.bias")


def make_config(metadata: Metadata, tensors: Iterable[str], rope_factors: Mapping[str, list[float]],
                vocab_size: int, dtype: str) -> Json:  # fmt: skip
    """Return config.json for the keys of a GGUF file.

    `rope_factors` are the values of its rope_* tensors. Raises UnsupportedModel for an
    architecture, or a scaling of rotary positions, that transformers has no name for.
    """
    keys = GgufKeys(metadata, tensors)
    family = find_convertible(keys.architecture)
    kind = family.type_for(_features(keys))
    assert kind.write_config is not None  # all types of a convertible family have it
    heads = keys.integer("attention.head_count")
    width = keys.integer("embedding_length")
    drafts = keys.integer("nextn_predict_layers", 0) if family.draft_prefix else 0
    config: Json = {
        "hidden_size": width,
        "num_hidden_layers": keys.integer("block_count") - drafts,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.largest("attention.head_count_kv", heads),
        "head_dim": keys.integer("attention.key_length", width // heads),
        "max_position_embeddings": keys.integer("context_length"),
        kind.epsilon_key: _epsilon(keys, family),
        "vocab_size": vocab_size,
        "tie_word_embeddings": "output.weight" not in keys.tensors,
        "torch_dtype": dtype,
    }
    inner = keys.largest("feed_forward_length", kind.default_inner)
    config |= {"intermediate_size": inner} if inner else {}
    if kind.activation_key:
        config[kind.activation_key] = family.activation
    rotated = _rotated_elements(keys, family, config)
    rope = rope_parameters(keys, rope_factors, rotated)
    if family.rotates:
        config["rope_parameters"] = rope
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    config["bos_token_id"] = int(bos) if isinstance(bos, int) else None
    config["eos_token_id"] = _end_tokens(metadata, vocab_size)
    config |= {"model_type": kind.model_types[0], "architectures": [kind.model_class]}
    config |= {"mtp_num_hidden_layers": drafts} if drafts else {}
    config |= kind.write_config(family, keys, config)
    _check_computation(keys, family, config)
    keys.check_all_read()
    return config | _biases(keys, kind)


def _epsilon(keys: GgufKeys, family: ModelFamily) -> float:
    *others, last = family.epsilon_keys
    return keys.number(next((key for key in others if keys.get(key) is not None), last))


def find_convertible(architecture: str) -> ModelFamily:
    """Return the family of an architecture. Raises UnsupportedModel if it has no folders."""
    family = FAMILIES.get(architecture)
    if family is None or not family.convertible:
        sentence = unsupported(f"architecture {architecture}")
        raise UnsupportedModel(f"cannot be written as a Hugging Face folder: {sentence}")
    return family


def _features(keys: GgufKeys) -> frozenset[Feature]:
    """Return what decides between the Hugging Face types of a family."""
    pattern = keys.peek("attention.sliding_window_pattern")
    all_full = is_array(pattern) and not any(pattern)  # type: ignore[arg-type]
    present: dict[Feature, bool] = {
        "experts": bool(keys.peek("expert_count")),
        "window": bool(keys.peek("attention.sliding_window")) and not all_full,
        "temperature": bool(keys.peek("attention.temperature_scale")),
    }
    return frozenset(feature for feature, is_present in present.items() if is_present)


def _end_tokens(metadata: Metadata, tokens: int) -> object:
    """Return the id that ends a generation, a list if there are several, or None."""
    named = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    facts = read_tokenizer_facts(Path("the source"), metadata, tokens)
    ids = [int(index) for index in named if isinstance(index, int)] + sorted(facts.stops)
    ids = list(dict.fromkeys(ids))
    return ids if len(ids) > 1 else next(iter(ids), None)


def _rotated_elements(keys: GgufKeys, family: ModelFamily, config: Json) -> int:
    """Return how many elements of a head are rotated."""
    size = keys.integer("attention.key_length", int(config["head_dim"]))  # type: ignore[call-overload]
    if keys.integer("attention.value_length", size) != size:
        raise keys.unsupported("attention.value_length")
    rotated = keys.integer("rope.dimension_count", size)
    if rotated != size and not family.partial_rope:
        raise keys.unsupported("rope.dimension_count")
    return rotated


def _check_computation(keys: GgufKeys, family: ModelFamily, config: Json) -> None:
    """Raise UnsupportedModel for a computation that transformers' class does not have."""
    if keys.text("hidden_activation", family.activation) != family.activation:
        raise keys.unsupported("hidden_activation")
    scaled = keys.number("expert_weights_scale", 0.0) not in (0.0, 1.0)
    if scaled and "routed_scaling_factor" not in config:
        raise keys.unsupported("expert_weights_scale")
    default = float(config["head_dim"]) ** -0.5  # type: ignore[arg-type]
    scale = keys.number("attention.scale", 0.0) or default
    expressed = {"query_pre_attn_scalar", "attention_multiplier"} & config.keys()
    if not expressed and abs(scale / default - 1) > 1e-6:
        raise keys.unsupported("attention.scale")


def _biases(keys: GgufKeys, kind: HuggingFaceType) -> Json:
    """Return the settings that determine which matrices have a bias.

    Raises UnsupportedModel for a bias that transformers' class does not have.
    """
    present = {role_of(name) for name in keys.tensors if _BIAS.fullmatch(name)}
    flags = {key: bool(present & set(roles)) for key, roles in kind.biases.items()}
    allowed = set(kind.biased_roles).union(*(kind.biases[key] for key in flags if flags[key]))
    for role in sorted(present - allowed):
        raise UnsupportedModel(
            f"transformers has no bias for {role} in {keys.architecture} models of this kind"
        )
    return dict(flags)
