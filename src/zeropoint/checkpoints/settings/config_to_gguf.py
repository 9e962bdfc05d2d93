"""Reads a Hugging Face config.json as the GGUF metadata of the same model.

What differs by family is in its record (`checkpoints.families`). The meaning of a GGUF key is
llama.cpp's (2026-10). A setting that config.json does not have takes the default of transformers'
class for the type, except for sizes, which must be given. Every setting is used, refused by name,
harmless, or listed in `Configuration.ignored` (see `settings`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeropoint.checkpoints.families import (
    HUGGINGFACE_TYPES,
    HuggingFaceType,
    ModelFamily,
    families_of,
)
from zeropoint.checkpoints.families.nearest import unsupported
from zeropoint.checkpoints.settings.rope_to_gguf import RopeDefaults, read_rope
from zeropoint.checkpoints.settings.settings import Config, Settings, check_all_read
from zeropoint.checkpoints.values import Float32, UInt32
from zeropoint.errors import UnsupportedModel, printable

Metadata = dict[str, object]

_LAYER = re.compile(r"(?:model\.)?(?:language_model\.)?layers\.(\d{1,6})\.", re.ASCII)
MAX_LAYERS_OR_HEAD_SIZE = 1 << 16  # lists of that length are made


@dataclass(frozen=True)
class Configuration:
    """A config.json in GGUF's terms."""

    #: The family of the GGUF file.
    family: ModelFamily
    #: The file's keys.
    metadata: Metadata
    #: Values of tensors that are computed from the settings, by GGUF name.
    constants: Mapping[str, list[float]]
    heads: int
    kv_heads: int
    layers: int
    vocab_size: int
    #: `tie_word_embeddings`; the folder's tensors may still differ.
    tied: bool
    #: Roles of layers' tensors that have a bias.
    biased: frozenset[str]
    #: Whether the layers round their weights to three levels at every step.
    ternary: bool
    #: Settings without effect in transformers that are not known to be harmless.
    ignored: tuple[str, ...]


def read_configuration(path: Path, config: Config, tensors: Iterable[str] = ()) -> Configuration:
    """Return the architecture, metadata and computed tensors of a folder's config.json.

    The names of the folder's tensors are compared with those of families if the type is unknown.
    Raises UnsupportedModel for an unknown `model_type`, CheckpointError for a key that is missing,
    nonsensical, or has a value that GGUF cannot express.
    """
    text, outside = _text_part(config)
    kind = HUGGINGFACE_TYPES.get(str(text.get("model_type")))
    if kind is None or kind.read_settings is None:
        supported = (key for key, other in HUGGINGFACE_TYPES.items() if other.convertible)
        sentence = unsupported(f"model_type {text.get('model_type')}", tensors, supported)
        raise UnsupportedModel(f"{path}: {sentence}")
    settings = Settings(path, text, kind.defaults)
    family = _find_family(settings, kind)
    ternary = bool(kind.ternary_method) and _is_ternary(settings, kind.ternary_method)
    if kind.packed_method:
        _check_packed(settings, kind.packed_method)
    values = _common(settings, family, kind) | kind.read_settings(family, settings)
    if family.draft_layers and (drafts := _draft_layers(tensors, int(values["block_count"]))):  # type: ignore[call-overload]
        values["block_count"] = UInt32(int(values["block_count"]) + drafts)  # type: ignore[call-overload]
        values["nextn_predict_layers"] = UInt32(drafts)
    head_size = values["attention.key_length"]
    assert isinstance(head_size, int)
    rope = read_rope(settings, _rope_defaults(family, kind), head_size)
    values |= rope.metadata if family.rotates else {}
    if "attention.sliding_window" not in values:
        values.pop("rope.freq_base_swa", None)  # there is no windowed layer
    biased = set(kind.biased_roles)
    for key, roles in kind.biases.items():
        biased |= set(roles) if settings.flag(key) else set()
    tied = settings.get("tie_word_embeddings")
    ignored = check_all_read(settings, rope.parts, kind.harmless)
    name = family.architecture
    metadata: Metadata = {"general.architecture": name, "general.type": "model"}
    metadata |= {f"{name}.{key}": value for key, value in values.items()}
    return Configuration(
        family=family,
        metadata=metadata,
        constants=rope.constants,
        heads=settings.integer("num_attention_heads"),
        kv_heads=int(np.max(values["attention.head_count_kv"])),  # type: ignore[call-overload]
        layers=_layer_count(settings, kind),
        vocab_size=settings.integer("vocab_size"),
        tied=bool(kind.defaults.get("tie_word_embeddings") if tied is None else tied),
        biased=frozenset(biased),
        ternary=ternary,
        ignored=(*ignored, *sorted(outside & settings.read)),
    )


# Settings of the text model that a multimodal config.json holds outside of its text_config.
_SHARED = ("tie_word_embeddings", "quantization_config", "model_type", "per_layer_config")


def _text_part(config: Config) -> tuple[Config, set[str]]:
    """Return the settings of the text model, and the keys of the outer object that it ignores."""
    text = config.get("text_config")
    if not isinstance(text, Mapping):
        return config, set()
    shared = {key: config[key] for key in _SHARED if key in config}
    if "tie_word_embeddings" in shared:
        text = {**text, "tie_word_embeddings": shared["tie_word_embeddings"]}
    return {**shared, **text}, set(config) - set(text) - set(shared)


def _find_family(settings: Settings, kind: HuggingFaceType) -> ModelFamily:
    """Return the family that computes this folder's activation.

    Raises CheckpointError for an activation that no family of this type has.
    """
    candidates, key = families_of(kind), kind.activation_key
    if not key:
        return candidates[0]
    activation = settings.get(key) or candidates[0].activation
    activation = "silu" if activation == "swish" else activation
    for family in candidates:
        if family.activation == activation:
            return family
    found, first = printable(repr(activation)), candidates[0]
    reason = f"{first.architecture} files mean {first.activation}, not {found}"
    raise settings.wrong(key, reason)


def _rope_defaults(family: ModelFamily, kind: HuggingFaceType) -> RopeDefaults:
    sliding = kind.rope_theta if family.window_rope_base is None else family.window_rope_base
    return RopeDefaults(
        theta=kind.rope_theta,
        sliding_theta=sliding,
        partial=family.partial_rope,
        longrope_only=family.longrope_only,
        sections=family.rope_sections,
        temperature=family.query_temperature,
        yarn_truncates=family.yarn_truncates,
        full_types=kind.rope_types_of_full_layers,
        same_base=family.plain_window_rope,
    )


def _is_ternary(settings: Settings, method: str) -> bool:
    """Return whether, by `quantization_config`, layers round their weights when they run."""
    given = settings.group("quantization_config")
    default = {"quant_method": method}
    quantization = Settings(settings.path, given, default, "quantization_config")
    if (stated := quantization.get("quant_method")) != method:
        raise quantization.wrong("quant_method", f"{stated!r} is not supported")
    for key in ("use_rms_norm", "modules_to_not_convert"):
        if quantization.get(key):
            raise quantization.wrong(key, "cannot be expressed in GGUF")
    return bool(given)


def _draft_layers(tensors: Iterable[str], layers: int) -> int:
    """Return how many layers a folder has behind the first `layers` ones."""
    numbers = {int(match[1]) for name in tensors if (match := _LAYER.match(name))}
    return len([number for number in numbers if number >= layers])


def _check_packed(settings: Settings, method: str) -> None:
    """Raise CheckpointError if `quantization_config` names another method than `method`."""
    given = settings.group("quantization_config")
    quantization = Settings(settings.path, given, {"quant_method": method}, "quantization_config")
    if (stated := quantization.get("quant_method")) != method:
        raise quantization.wrong("quant_method", f"{stated!r} is not supported")


def _layer_count(settings: Settings, kind: HuggingFaceType) -> int:
    if settings.get("num_hidden_layers") is None:
        for key in kind.layer_lists:
            if isinstance(given := settings.get(key), list | str):
                return len(given)
    return settings.integer("num_hidden_layers")


def _common(settings: Settings, family: ModelFamily, kind: HuggingFaceType) -> Metadata:
    heads, width = settings.integer("num_attention_heads"), settings.integer("hidden_size")
    if heads < 1 or width < 1:
        raise settings.wrong("num_attention_heads", f"{heads} heads do not fit a width of {width}")
    head_size = settings.integer_or_none("head_dim") or width // heads
    layers = _layer_count(settings, kind)
    for key, size in (("num_hidden_layers", layers), ("head_dim", head_size)):
        if size > MAX_LAYERS_OR_HEAD_SIZE:
            raise settings.wrong(
                key, f"{size} is more than the supported {MAX_LAYERS_OR_HEAD_SIZE}"
            )
    kv_heads = settings.integer_or_none("num_key_value_heads") or heads
    inner = settings.integer("intermediate_size")
    needed = inner or kind.default_inner is None  # otherwise all layers may have experts
    found: Metadata = {
        "block_count": UInt32(layers),
        "context_length": UInt32(settings.integer("max_position_embeddings")),
        "embedding_length": UInt32(width),
        "attention.head_count": UInt32(heads),
        "attention.head_count_kv": UInt32(kv_heads),
        family.epsilon_keys[-1]: Float32(settings.number(kind.epsilon_key)),
        "attention.key_length": UInt32(head_size),
        "attention.value_length": UInt32(head_size),
        "vocab_size": UInt32(settings.integer("vocab_size")),
    }
    return found | ({"feed_forward_length": UInt32(inner)} if needed else {})
