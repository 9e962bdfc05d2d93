"""A Hugging Face config.json as GGUF metadata.

Each family is a row of `FAMILIES`; what a key means is llama.cpp's (2026-10). A value that a family
needs and a folder does not give is an error that names it; transformers' defaults are used only
where the models' published folders rely on them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zeropoint.checkpoints.values import Float32, UInt32
from zeropoint.errors import CheckpointError, UnsupportedModel

Config = Mapping[str, object]
Metadata = dict[str, object]
Constants = dict[str, list[float]]


@dataclass(frozen=True)
class Family:
    """What transformers calls a family (`model_type`), and what GGUF calls it."""

    architecture: str
    extra: Callable[["Reader"], Metadata] | None = None
    defaults: Mapping[str, object] = field(default_factory=dict)
    activation: str = "silu"  # what GGUF's runtimes do for this architecture


class Reader:
    """Reads typed values from a config.json."""

    def __init__(self, path: Path, config: Config, defaults: Config) -> None:
        self.path = path
        self.config = {**dict(defaults), **{k: v for k, v in config.items() if v is not None}}

    def integer(self, *keys: str, default: int | None = None) -> int:
        """Return the first of these keys as a whole number ≥ 0."""
        value = self._first(keys, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise self.wrong(keys[0], f"expected a whole number, found {value!r}")
        return value

    def number(self, *keys: str, default: float | None = None) -> float:
        """Return the first of these keys as a finite number."""
        value = self._first(keys, default)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise self.wrong(keys[0], f"expected a number, found {value!r}")
        return float(value)

    def positive(self, *keys: str, default: float | None = None) -> float:
        """Return the first of these keys as a finite number > 0."""
        value = self.number(*keys, default=default)
        if value <= 0:
            raise self.wrong(keys[0], f"expected a positive number, found {value!r}")
        return value

    def get(self, key: str) -> object | None:
        """Return a value as it is, or None."""
        return self.config.get(key)

    def wrong(self, key: str, reason: str) -> CheckpointError:
        """Return the error that says what is wrong with a key."""
        return CheckpointError(self.path, reason, field=key)

    def rope(self) -> Mapping[str, object]:
        """Return the rotary parameters: `rope_parameters`, or what was once `rope_scaling`."""
        found = self.get("rope_parameters") or self.get("rope_scaling") or {}
        if not isinstance(found, Mapping):
            raise self.wrong("rope_parameters", f"expected an object, found {found!r}")
        return found

    def _first(self, keys: tuple[str, ...], default: object) -> object:
        for key in keys:
            if key in self.config:
                return self.config[key]
        if default is None:
            raise self.wrong(keys[0], "this key is missing")
        return default


def read_configuration(path: Path, config: Config) -> tuple[str, Metadata, Constants]:
    """Return architecture, metadata and computed tensors of a folder's config.json.

    Raises UnsupportedModel for an unknown `model_type`, CheckpointError for a missing or
    nonsensical key.
    """
    if isinstance(config.get("text_config"), Mapping):  # a model with eyes: its text part
        config = {**config, **config["text_config"]}  # type: ignore[dict-item]
    kind = config.get("model_type")
    family = FAMILIES.get(str(kind))
    if family is None:
        known = ", ".join(FAMILIES)
        raise UnsupportedModel(f"{path}: model_type {kind!r} is not known here; known: {known}")
    reader = Reader(path, config, family.defaults)
    name = family.architecture
    activation = reader.get("hidden_activation") or reader.get("hidden_act") or family.activation
    if activation == "relu2" and name == "bitnet":
        name = "bitnet-b1.58"  # what bitnet.cpp calls the models with squared ReLU
    elif activation not in (family.activation, family.activation.removesuffix("_pytorch_tanh")):
        raise reader.wrong(
            "hidden_act", f"{name} files mean {family.activation}, not {activation!r}"
        )
    values = _common(reader)
    if family.extra:
        values |= family.extra(reader)
    rope, constants = _rope(reader, values, name)
    values |= rope
    metadata: Metadata = {"general.architecture": name, "general.type": "model"}
    metadata |= {f"{name}.{key}": value for key, value in values.items()}
    return name, metadata, constants


def _common(reader: Reader) -> Metadata:
    heads = reader.integer("num_attention_heads")
    width = reader.integer("hidden_size")
    if heads < 1 or width < 1:
        raise reader.wrong("num_attention_heads", f"{heads} heads for a width of {width}")
    head_size = reader.integer("head_dim", default=width // heads)
    return {
        "block_count": UInt32(reader.integer("num_hidden_layers")),
        "context_length": UInt32(reader.integer("max_position_embeddings")),
        "embedding_length": UInt32(width),
        "feed_forward_length": UInt32(reader.integer("intermediate_size")),
        "attention.head_count": UInt32(heads),
        "attention.head_count_kv": UInt32(reader.integer("num_key_value_heads", default=heads)),
        "attention.layer_norm_rms_epsilon": Float32(reader.number("rms_norm_eps")),
        "attention.key_length": UInt32(head_size),
        "attention.value_length": UInt32(head_size),
        "vocab_size": UInt32(reader.integer("vocab_size")),
    }


def _llama(reader: Reader) -> Metadata:
    found = _rotated(reader)
    if reader.get("num_local_experts"):
        found["expert_count"] = UInt32(reader.integer("num_local_experts"))
        found["expert_used_count"] = UInt32(reader.integer("num_experts_per_tok"))
    if reader.get("sliding_window"):  # Mistral 7B v0.1; llama.cpp ignores it
        found["attention.sliding_window"] = UInt32(reader.integer("sliding_window"))
    return found


def _rotated(reader: Reader) -> Metadata:
    default = reader.integer("hidden_size") // reader.integer("num_attention_heads")
    return {"rope.dimension_count": UInt32(reader.integer("head_dim", default=default))}


def _smollm3(reader: Reader) -> Metadata:
    layers = reader.get("no_rope_layers")  # 1 where a layer has positions
    count = reader.integer("num_hidden_layers")
    if layers is not None and layers != [int((i + 1) % 4 != 0) for i in range(count)]:
        raise reader.wrong(
            "no_rope_layers", "GGUF can only leave out every fourth layer's positions"
        )
    return _rotated(reader)


def _qwen3moe(reader: Reader) -> Metadata:
    if reader.get("mlp_only_layers"):
        raise reader.wrong("mlp_only_layers", "layers without experts are not known here")
    return {
        "expert_count": UInt32(reader.integer("num_experts", "num_local_experts")),
        "expert_used_count": UInt32(reader.integer("num_experts_per_tok")),
        "expert_feed_forward_length": UInt32(reader.integer("moe_intermediate_size")),
    }


def _gemma2(reader: Reader) -> Metadata:
    return {
        "attention.sliding_window": UInt32(reader.integer("sliding_window")),
        "attn_logit_softcapping": Float32(reader.number("attn_logit_softcapping")),
        "final_logit_softcapping": Float32(reader.number("final_logit_softcapping")),
    }


def _gemma3(reader: Reader) -> Metadata:
    found: Metadata = {"attention.sliding_window": UInt32(reader.integer("sliding_window"))}
    if reader.get("final_logit_softcapping"):
        found["final_logit_softcapping"] = Float32(reader.number("final_logit_softcapping"))
    return found


def _phi3(reader: Reader) -> Metadata:
    rope = reader.rope()
    part = rope.get("partial_rotary_factor", reader.get("partial_rotary_factor") or 1.0)
    part = Reader(reader.path, {"partial_rotary_factor": part}, {}).positive(
        "partial_rotary_factor"
    )
    size = reader.integer("hidden_size") // reader.integer("num_attention_heads")
    window = reader.get("sliding_window")
    return {
        "rope.dimension_count": UInt32(int(part * size)),
        "attention.sliding_window": UInt32(reader.integer("sliding_window") if window else 0),
    }


_GELU = "gelu_pytorch_tanh"

FAMILIES: Mapping[str, Family] = {
    "llama": Family("llama", _llama),
    "mistral": Family("llama", _llama),
    "mixtral": Family("llama", _llama),
    "smollm3": Family("smollm3", _smollm3),
    "qwen2": Family("qwen2"),
    "qwen3": Family("qwen3"),
    "qwen3_moe": Family("qwen3moe", _qwen3moe),
    "gemma2": Family("gemma2", _gemma2, activation=_GELU),
    "gemma3_text": Family("gemma3", _gemma3, activation=_GELU),
    "gemma3": Family(
        "gemma3",
        _gemma3,
        {  # published folders of the larger sizes leave these out
            "max_position_embeddings": 131072,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "rms_norm_eps": 1e-6,
            "vocab_size": 262208,
        },
        _GELU,
    ),
    "phi3": Family("phi3", _phi3),
    "bitnet": Family("bitnet", _rotated),
}


def _rope(reader: Reader, values: Metadata, name: str) -> tuple[Metadata, Constants]:
    """Return keys and factor tensors of the rotary positions."""
    rope = reader.rope()
    nested = rope.get("full_attention")
    if isinstance(nested, Mapping):  # one set for each kind of layer
        windowed = rope.get("sliding_attention")
        local = windowed.get("rope_theta") if isinstance(windowed, Mapping) else None
        rope = nested
    else:
        local = reader.get("rope_local_base_freq")
    default = 1e6 if name == "gemma3" else 10000.0
    base = rope.get("rope_theta", reader.get("rope_theta") or default)
    base = Reader(reader.path, {"rope_theta": base}, {}).positive("rope_theta")
    found: Metadata = {"rope.freq_base": Float32(base)}
    if name == "gemma3" and local not in (None, 10000, 10000.0):
        local = Reader(reader.path, {"rope_theta": local}, {}).positive("rope_theta")
        found["rope.freq_base_swa"] = Float32(local)
    scaling = Reader(reader.path, rope, {})
    kind = rope.get("rope_type", rope.get("type", "default"))
    constants: Constants = {}
    if kind == "linear":
        found["rope.scaling.type"] = "linear"
        found["rope.scaling.factor"] = Float32(scaling.positive("factor"))
    elif kind == "yarn":
        found["rope.scaling.type"] = "yarn"
        found["rope.scaling.factor"] = Float32(scaling.positive("factor"))
        original = scaling.integer(
            "original_max_position_embeddings", default=reader.integer("max_position_embeddings")
        )
        found["rope.scaling.original_context_length"] = UInt32(original)
    elif kind == "llama3":
        low = scaling.positive("low_freq_factor", default=1.0)
        high = scaling.positive("high_freq_factor", default=4.0)
        if high <= low:
            raise scaling.wrong("high_freq_factor", f"{high} must be above low_freq_factor {low}")
        size = values["attention.key_length"]
        assert isinstance(size, int)
        constants["rope_freqs.weight"] = llama3_factors(
            size,
            base,
            scaling.positive("factor", default=8.0),
            (low, high),
            scaling.integer("original_max_position_embeddings", default=8192),
        )
    elif kind in ("longrope", "su"):
        more, constants = _long_rope(reader, scaling)
        found |= more
    elif kind not in ("default", None):
        raise reader.wrong("rope_type", f"{kind!r} is not known here")
    return found, constants


def llama3_factors(
    size: int, base: float, factor: float, low_high: tuple[float, float], original: int
) -> list[float]:
    """Return what each of size / 2 pairs' frequency is divided by: slow ones by `factor`, fast by
    1.

    Between the wavelengths original / high and original / low the divisor follows the mix that
    Llama 3.1 was trained with.
    """
    low, high = low_high
    found = []
    for power in np.arange(0, size, 2).astype(np.float32) / np.float32(size):
        frequency = np.float32(1.0) / np.float32(np.float64(base) ** np.float64(power))
        wavelength = 2 * math.pi / float(frequency)
        if wavelength < original / high:
            found.append(1.0)
        elif wavelength > original / low:
            found.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            found.append(1 / ((1 - smooth) / factor + smooth))
    return found


def _long_rope(reader: Reader, scaling: Reader) -> tuple[Metadata, Constants]:
    context = reader.integer("max_position_embeddings")
    original = scaling.integer(
        "original_max_position_embeddings",
        default=reader.integer("original_max_position_embeddings", default=context),
    )
    if original < 2:
        raise reader.wrong("original_max_position_embeddings", f"{original} positions are too few")
    scale = context / original
    magnitude = math.sqrt(1 + math.log(scale) / math.log(original)) if scale > 1 else 1.0
    constants = {}
    for kind in ("long", "short"):
        factors = scaling.get(f"{kind}_factor")
        if not isinstance(factors, list) or not all(isinstance(f, int | float) for f in factors):
            raise reader.wrong(f"{kind}_factor", "expected a list of numbers")
        constants[f"rope_factors_{kind}.weight"] = [float(f) for f in factors]
    found: Metadata = {
        "rope.scaling.type": "longrope",
        "rope.scaling.original_context_length": UInt32(original),
        "rope.scaling.attn_factor": Float32(magnitude),
    }
    return found, constants
