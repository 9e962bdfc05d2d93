"""A Hugging Face config.json as GGUF metadata.

Each family is a row of `FAMILIES`; what a key means is llama.cpp's (2026-10). Where a config.json
says nothing, the default is that of transformers' class for the family, except for sizes, which
must be given. Every key is used, refused by name, harmless, or listed in `Configuration.ignored`
(see `settings`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zeropoint.checkpoints.settings import family_settings as families
from zeropoint.checkpoints.settings.family_settings import layers
from zeropoint.checkpoints.settings.rope_settings import RopeDefaults, llama3_factors, read_rope
from zeropoint.checkpoints.settings.settings import Config, Settings, check_all_read
from zeropoint.checkpoints.values import Float32, UInt32
from zeropoint.errors import UnsupportedModel, printable

__all__ = ["FAMILIES", "Configuration", "Family", "llama3_factors", "read_configuration"]

Metadata = dict[str, object]

_ATTENTION = ("attn_q", "attn_k", "attn_v", "attn_output")
_MLP = ("ffn_gate", "ffn_up", "ffn_down")


MAX_SIZE = 1 << 16  # layers, or elements of a head; lists of that length are made


@dataclass(frozen=True)
class Family:
    """What transformers calls a family (`model_type`), and how GGUF expresses it."""

    architecture: str
    extra: Callable[[Settings], Metadata] | None = None
    defaults: Mapping[str, object] = field(default_factory=dict)
    activation: str = "silu"  # what GGUF's runtimes do for this architecture
    activation_key: str = "hidden_act"
    rope: RopeDefaults = field(default_factory=RopeDefaults)
    biases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # key → roles, if true
    biased: tuple[str, ...] = ()  # roles that always have a bias
    harmless: Mapping[str, str] = field(default_factory=dict)  # key → why, beyond `HARMLESS`


@dataclass(frozen=True)
class Configuration:
    """What a config.json says, in GGUF's terms."""

    architecture: str
    metadata: Metadata
    constants: Mapping[str, list[float]]  # tensors that are computed, by name
    heads: int
    kv_heads: int
    vocab_size: int
    tied: bool  # tie_word_embeddings; the folder's tensors may still differ
    biased: frozenset[str]  # roles of layers that have a bias
    ternary: bool  # BitNet's layers round their weights at every step
    ignored: tuple[str, ...]  # keys without effect in transformers that are not known harmless


def read_configuration(path: Path, config: Config) -> Configuration:
    """Return the architecture, metadata and computed tensors of a folder's config.json.

    Raises UnsupportedModel for an unknown `model_type`, CheckpointError for a key that is missing,
    nonsensical, or has a value that GGUF cannot express.
    """
    text, outside = _text_part(config)
    family = FAMILIES.get(str(text.get("model_type")))
    if family is None:
        known, kind = ", ".join(FAMILIES), printable(repr(text.get("model_type")))
        raise UnsupportedModel(f"{path}: model_type {kind} is not supported; supported: {known}")
    settings = Settings(path, text, family.defaults)
    name = _architecture(settings, family)
    ternary = name.startswith("bitnet") and _is_ternary(settings)
    values = _common(settings)
    if family.extra:
        values |= family.extra(settings)
    head_size = values["attention.key_length"]
    assert isinstance(head_size, int)
    rope = read_rope(settings, family.rope, head_size)
    values |= rope.metadata
    biased = set(family.biased)
    for key, roles in family.biases.items():
        biased |= set(roles) if settings.flag(key) else set()
    tied = settings.get("tie_word_embeddings")
    ignored = check_all_read(settings, rope.parts, family.harmless)
    metadata: Metadata = {"general.architecture": name, "general.type": "model"}
    metadata |= {f"{name}.{key}": value for key, value in values.items()}
    return Configuration(
        architecture=name,
        metadata=metadata,
        constants=rope.constants,
        heads=settings.integer("num_attention_heads"),
        kv_heads=int(values["attention.head_count_kv"]),  # type: ignore[call-overload]
        vocab_size=settings.integer("vocab_size"),
        tied=bool(family.defaults.get("tie_word_embeddings") if tied is None else tied),
        biased=frozenset(biased),
        ternary=ternary,
        ignored=(*ignored, *sorted(outside & settings.read)),
    )


# What a multimodal config.json says for the text model outside of its text_config.
_SHARED = ("tie_word_embeddings", "quantization_config", "model_type", "per_layer_config")


def _text_part(config: Config) -> tuple[Config, set[str]]:
    """Return the settings of the text model, and which keys stand beside them."""
    text = config.get("text_config")
    if not isinstance(text, Mapping):
        return config, set()
    shared = {key: config[key] for key in _SHARED if key in config}
    if "tie_word_embeddings" in shared:
        text = {**text, "tie_word_embeddings": shared["tie_word_embeddings"]}
    return {**shared, **text}, set(config) - set(text) - set(shared)


def _architecture(settings: Settings, family: Family) -> str:
    name, key = family.architecture, family.activation_key
    activation = settings.get(key)
    if activation is None:
        activation = family.activation
    if activation == "relu2" and name == "bitnet":
        return "bitnet-b1.58"  # what bitnet.cpp calls the models with squared ReLU
    if activation != family.activation and (activation, family.activation) != ("swish", "silu"):
        found = printable(repr(activation))
        raise settings.wrong(key, f"{name} files mean {family.activation}, not {found}")
    return name


def _is_ternary(settings: Settings) -> bool:
    """Tell whether a BitNet folder asks for layers that round their weights."""
    found = settings.group("quantization_config")
    how = Settings(settings.path, found, {"quant_method": "bitnet"}, "quantization_config")
    if how.get("quant_method") != "bitnet":
        raise how.wrong("quant_method", f"{how.get('quant_method')!r} is not supported")
    for key in ("use_rms_norm", "modules_to_not_convert"):
        if how.get(key):
            raise how.wrong(key, "cannot be expressed in GGUF")
    return bool(found)


def _common(settings: Settings) -> Metadata:
    heads, width = settings.integer("num_attention_heads"), settings.integer("hidden_size")
    if heads < 1 or width < 1:
        raise settings.wrong("num_attention_heads", f"{heads} heads for a width of {width}")
    head_size = settings.integer_or_none("head_dim") or width // heads
    for key, size in (("num_hidden_layers", layers(settings)), ("head_dim", head_size)):
        if size > MAX_SIZE:
            raise settings.wrong(key, f"{size} is more than the supported {MAX_SIZE}")
    kv_heads = settings.integer_or_none("num_key_value_heads") or heads
    return {
        "block_count": UInt32(settings.integer("num_hidden_layers")),
        "context_length": UInt32(settings.integer("max_position_embeddings")),
        "embedding_length": UInt32(width),
        "feed_forward_length": UInt32(settings.integer("intermediate_size")),
        "attention.head_count": UInt32(heads),
        "attention.head_count_kv": UInt32(kv_heads),
        "attention.layer_norm_rms_epsilon": Float32(settings.number("rms_norm_eps")),
        "attention.key_length": UInt32(head_size),
        "attention.value_length": UInt32(head_size),
        "vocab_size": UInt32(settings.integer("vocab_size")),
    }


_GELU = "gelu_pytorch_tanh"
_BIASES = {"attention_bias": _ATTENTION}
_UNREAD = "published folders have it, but transformers' class does not read it"
_ACT = {"hidden_act": "transformers reads hidden_activation instead"}
_MAX_WINDOW = {"max_window_layers": _UNREAD}
_QWEN = {
    "num_key_value_heads": 32,
    "sliding_window": 4096,
    "max_window_layers": 28,
}
_GEMMA2 = {
    "num_key_value_heads": 4,
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "tie_word_embeddings": True,
}
_GEMMA3 = {  # published folders of the larger sizes leave out more than others do
    "max_position_embeddings": 131072,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "rms_norm_eps": 1e-6,
    "vocab_size": 262208,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
}
_GEMMA3_FAMILY = Family(
    "gemma3",
    families.gemma3,
    _GEMMA3,
    _GELU,
    "hidden_activation",
    RopeDefaults(1e6, sliding_theta=1e4),
    _BIASES,
    harmless=_ACT | {"attn_logit_softcapping": "transformers' forward pass does not apply it here"},
)

FAMILIES: Mapping[str, Family] = {
    "llama": Family("llama", families.rotated, biases={**_BIASES, "mlp_bias": _MLP}),
    "mistral": Family(
        "llama", families.mistral, {"num_key_value_heads": 8, "sliding_window": 4096}
    ),
    "mixtral": Family(
        "llama",
        families.mixtral,
        {"num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2},
        rope=RopeDefaults(1e6),
    ),
    "smollm3": Family(
        "smollm3",
        families.smollm3,
        {"num_key_value_heads": 4, "no_rope_layer_interval": 4, "tie_word_embeddings": True},
        rope=RopeDefaults(2e6),
        biases={**_BIASES, "mlp_bias": _MLP},
        harmless=_MAX_WINDOW,
    ),
    "qwen2": Family("qwen2", families.qwen, _QWEN, biased=("attn_q", "attn_k", "attn_v")),
    "qwen3": Family("qwen3", families.qwen, {**_QWEN, "head_dim": 128}, biases=_BIASES),
    "qwen3_moe": Family(
        "qwen3moe",
        families.qwen3moe,
        {
            "num_key_value_heads": 4,
            "decoder_sparse_step": 1,
            "moe_intermediate_size": 768,
            "num_experts_per_tok": 8,
            "num_experts": 128,
            "sliding_window": 4096,
        },
        biases=_BIASES,
        harmless=_MAX_WINDOW,
    ),
    "gemma2": Family(
        "gemma2",
        families.gemma2,
        _GEMMA2,
        _GELU,
        "hidden_activation",
        biases=_BIASES,
        harmless=_ACT,
    ),
    "gemma3_text": _GEMMA3_FAMILY,
    "gemma3": _GEMMA3_FAMILY,
    "phi3": Family(
        "phi3",
        families.phi3,
        {"original_max_position_embeddings": 4096},
        rope=RopeDefaults(partial=True),
        harmless=dict.fromkeys(("full_attn_mod", "interpolate_factor"), _UNREAD),
    ),
    "bitnet": Family(
        "bitnet",
        families.bitnet,
        {"num_key_value_heads": 5, "hidden_act": "relu2"},
        rope=RopeDefaults(5e5),
        biases=_BIASES,
    ),
}
